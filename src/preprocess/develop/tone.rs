//! From sums of samples to sRGB: a table a colour, which holds black level, white balance and tone curve.

/// Bits of an index of a table.
pub(super) const INDEX_BITS: u32 = 12;
const ENTRIES: usize = 1 << INDEX_BITS;

/// The tables, in the order R, G, B.
#[derive(Debug)]
pub(super) struct Tones {
    tables: [[u8; ENTRIES]; 3],
    /// `limits[v - 1]` is the linear light, 0..1, from which on a value is `v`.
    limits: [f32; 255],
    scales: [Scale; 3],
}

/// What the indices of a table mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    /// Indices that occur.
    pub entries: usize,
    /// Linear light of index 0, with black at 0 and a full sample at 1; below 0 for a black level.
    pub start: f32,
    /// Linear light from one index to the next.
    pub step: f32,
}

impl Scale {
    /// For sums of `count` samples of `bits` bits that are shifted down to an index; `black` is a part of a full sample.
    pub fn of(bits: u32, count: u32, black: f32) -> Self {
        let full = ((1_u32 << bits) - 1) as f32;
        let sum_bits = bits + count.ilog2();
        let shift = sum_bits.saturating_sub(INDEX_BITS);
        // The middle of the sums that share an index.
        let middle = ((1_u32 << shift) - 1) as f32 / 2.0;
        let light = |sum: f32| (sum / (count as f32 * full) - black) / (1.0 - black);
        Self {
            entries: 1 << (sum_bits - shift),
            start: light(middle),
            step: light((1_u32 << shift) as f32) - light(0.0),
        }
    }
}

impl Tones {
    /// Tables for these scales, at these gains.
    pub fn new(scales: [Scale; 3], gains: [f32; 3]) -> Box<Self> {
        let mut tones = Box::new(Self {
            tables: [[0; ENTRIES]; 3],
            limits: std::array::from_fn(|i| linear((i as f32 + 0.5) / 255.0)),
            scales,
        });
        tones.set(gains);
        tones
    }

    /// Fills the tables for these gains.
    pub fn set(&mut self, gains: [f32; 3]) {
        for ((table, scale), gain) in self.tables.iter_mut().zip(&self.scales).zip(gains) {
            let mut value = 0;
            for (i, entry) in table[..scale.entries].iter_mut().enumerate() {
                let light = (scale.start + scale.step * i as f32) * gain;
                // The light only rises from entry to entry.
                while value < 255 && light >= self.limits[value] {
                    value += 1;
                }
                *entry = value as u8;
            }
        }
    }

    /// A pixel's R, G, B.
    #[inline(always)]
    pub fn pixel(&self, indices: [usize; 3]) -> [u8; 3] {
        let [r, g, b] = &self.tables;
        // Indices have INDEX_BITS; that is said here for the compiler.
        let [red, green, blue] = indices.map(|index| index % ENTRIES);
        [r[red], g[green], b[blue]]
    }
}

/// Linear light of an sRGB value, both 0..1 (IEC 61966-2-1).
pub(super) fn linear(value: f32) -> f32 {
    if value <= 0.040_45 {
        value / 12.92
    } else {
        ((value + 0.055) / 1.055).powf(2.4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The forward curve of the standard.
    fn srgb(light: f64) -> f64 {
        let light = light.clamp(0.0, 1.0);
        if light <= 0.003_130_8 {
            light * 12.92
        } else {
            1.055 * light.powf(1.0 / 2.4) - 0.055
        }
    }

    #[test]
    fn tables_are_the_standards_curve_behind_black_level_and_gain() {
        for (bits, count, black) in [(8, 1, 0.0), (10, 4, 0.0625), (12, 8, 0.0156), (12, 1, 0.2)] {
            let gains = [1.0, 1.7, 4.0];
            let tones = Tones::new([Scale::of(bits, count, black); 3], gains);
            let shift = (bits + count.ilog2()).saturating_sub(INDEX_BITS);
            let full = f64::from((1_u32 << bits) - 1) * f64::from(count);
            for sum in 0..=full as usize {
                let middle = (sum >> shift << shift) as f64 + f64::from((1_u32 << shift) - 1) / 2.0;
                let light = (middle / full - f64::from(black)) / (1.0 - f64::from(black));
                let got = tones.pixel([sum >> shift; 3]);
                for (value, gain) in got.into_iter().zip(gains) {
                    let want = srgb(light * f64::from(gain)) * 255.0;
                    assert!(
                        (f64::from(value) - want).abs() <= 0.502,
                        "{sum} of {bits} bits: {value}, {want}"
                    );
                }
            }
            assert_eq!(
                tones.pixel([(full as usize) >> shift; 3]),
                [255; 3],
                "full is white"
            );
            assert_eq!(tones.pixel([0; 3]), [0; 3]);
        }
    }
}
