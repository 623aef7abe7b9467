//! A table of bytes that is a straight line, computed instead of looked up: `limit(slope * pixel + start)` for many values in
//! parallel. Normalisation and quantisation together are such a line. Only a line that gives every entry of its table is used.

use super::lanes::{self, EightLines, LINE_FRACTION_BITS, Pass, Vectors};
use crate::spec::{ChannelOrder, Encoder, Layout, Table};

/// Steeper lines would overflow 32 bits.
const STEEPEST: f64 = 4.0;

/// One line per colour: `clamp((slope * pixel + start) >> LINE_FRACTION_BITS, 0, 255) ^ flip`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lines {
    slope: [i32; 3],
    start: [i32; 3],
    flip: u8,
}

impl Lines {
    /// The lines of an encoder for bytes in the order of packed RGB, if its tables are lines.
    pub fn of(encoder: &Encoder) -> Option<Self> {
        match (encoder.layout, encoder.channels, &encoder.table) {
            (Layout::Nhwc, ChannelOrder::Rgb, Table::U8(table)) => Self::of_tables(table),
            _ => None,
        }
    }

    /// Stored bytes may have their top bit flipped.
    fn of_tables(table: &[[u8; 256]; 3]) -> Option<Self> {
        [0, 0x80].into_iter().find_map(|flip| {
            let mut lines = Self {
                slope: [0; 3],
                start: [0; 3],
                flip,
            };
            for (c, table) in table.iter().enumerate() {
                let (slope, start) = line_of(&table.map(|byte| byte ^ flip))?;
                let whole = |real: f64| (real * f64::from(1 << LINE_FRACTION_BITS)).round() as i32;
                // Half a byte more, because the shift rounds down.
                (lines.slope[c], lines.start[c]) = (whole(slope), whole(start + 0.5));
            }
            let same = |pixel: usize| (0..3).all(|c| lines.byte(pixel as u8, c) == table[c][pixel]);
            (0..256).all(same).then_some(lines)
        })
    }

    #[inline(always)]
    fn byte(&self, pixel: u8, c: usize) -> u8 {
        let value = i32::from(pixel) * self.slope[c] + self.start[c];
        (value >> LINE_FRACTION_BITS).clamp(0, 255) as u8 ^ self.flip
    }

    /// Converts packed RGB to as many values in the same order.
    pub fn run(&self, rgb: &[u8], values: &mut [u8]) {
        struct Run<'a>(&'a Lines, &'a [u8], &'a mut [u8]);
        impl Pass for Run<'_> {
            #[inline(always)]
            fn run<V: Vectors>(self, vectors: V) {
                let Self(lines, rgb, values) = self;
                let eight = EightLines {
                    slopes: std::array::from_fn(|i| lines.slope[i % 3]),
                    starts: std::array::from_fn(|i| lines.start[i % 3]),
                    flip: lines.flip,
                };
                let (blocks, rest) = rgb.as_chunks();
                let (to, to_rest) = values.as_chunks_mut();
                for (to, block) in to.iter_mut().zip(blocks) {
                    *to = vectors.apply_lines(block, &eight);
                }
                for (i, (to, &pixel)) in to_rest.iter_mut().zip(rest).enumerate() {
                    *to = lines.byte(pixel, i % 3);
                }
            }
        }
        lanes::run(Run(self, rgb, values));
    }
}

/// The slope and start of the line through the middle of a table's tolerance; `None` if no line rounds to it.
fn line_of(table: &[u8; 256]) -> Option<(f64, f64)> {
    // For a given slope, each entry allows an interval for the line's start; entries at the limits are open on one side.
    let interval = |slope: f64| {
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        for (pixel, &byte) in table.iter().enumerate() {
            let rest = f64::from(byte) - slope * pixel as f64;
            if byte > 0 {
                low = low.max(rest - 0.5);
            }
            if byte < 255 {
                high = high.min(rest + 0.5);
            }
        }
        (low, high)
    };
    let room = |slope: f64| {
        let (low, high) = interval(slope);
        high - low
    };
    // The interval's length is a concave function of the slope.
    let (mut left, mut right) = (-STEEPEST, STEEPEST);
    for _ in 0..100 {
        let third = (right - left) / 3.0;
        if room(left + third) < room(right - third) {
            left += third;
        } else {
            right -= third;
        }
    }
    let slope = f64::midpoint(left, right);
    let (low, high) = interval(slope);
    // A slope within a twentieth of the steepest would be at the border of the search.
    let inside = slope.abs() < STEEPEST * 0.95 && low < high;
    (inside && low.is_finite() && high.is_finite()).then(|| (slope, f64::midpoint(low, high)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn table(slope: f64, start: f64, flip: u8) -> [u8; 256] {
        std::array::from_fn(|pixel| (slope * pixel as f64 + start).round_ties_even() as u8 ^ flip)
    }

    #[test]
    fn quantised_tables_are_lines_and_give_their_entries() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut found = 0;
        for _ in 0..200 {
            let flip = random.u8(0..2) << 7;
            let tables = [0; 3].map(|_| {
                let slope = (random.f64() - 0.2) * 3.0;
                table(slope, random.f64() * 300.0 - 50.0, flip)
            });
            let Some(lines) = Lines::of_tables(&tables) else {
                continue;
            };
            found += 1;
            let count = 3 * random.usize(1..40);
            let rgb: Vec<u8> = (0..count).map(|_| random.u8(..)).collect();
            let mut values = vec![0; count];
            lines.run(&rgb, &mut values);
            let looked_up = rgb.iter().enumerate();
            let want: Vec<u8> = looked_up
                .map(|(i, &v)| tables[i % 3][usize::from(v)])
                .collect();
            assert_eq!(values, want, "{lines:?}");
        }
        assert!(found > 150, "{found} of 200");
    }

    #[test]
    fn pixels_as_they_are_and_imagenets_normalisation_are_lines() {
        let same = [std::array::from_fn(|pixel| pixel as u8); 3];
        assert!(Lines::of_tables(&same).is_some());
        let (scale, zero) = (0.018_658_1, 114.0);
        let quantised = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]
            .map(|(mean, std)| table(1.0 / (255.0 * std * scale), zero - mean / std / scale, 0x80));
        assert!(Lines::of_tables(&quantised).is_some());
    }

    #[test]
    fn other_tables_are_not_lines() {
        let line: [u8; 256] = std::array::from_fn(|pixel| pixel as u8);
        let squares = line.map(|v| (u32::from(v) * u32::from(v) / 255) as u8);
        assert_eq!(Lines::of_tables(&[line, line, squares]), None);
        let mut broken = line;
        broken[77] = 80;
        assert_eq!(Lines::of_tables(&[line, broken, line]), None);
        assert_eq!(
            Lines::of_tables(&[[7; 256], line, table(6.0, 0.0, 0)]),
            None
        );
    }
}
