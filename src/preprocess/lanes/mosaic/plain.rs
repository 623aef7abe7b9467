//! The loops in plain Rust.

use super::super::LANES;
use super::super::plain::Plain;
use super::{ColourTransform, FRACTION_BITS, LIGHT_BITS, Mosaic};

/// The sums over the rows of sixteen samples.
#[inline(always)]
fn sixteen<const N: usize, const BYTES: usize>(
    rows: [&[u8; BYTES]; N],
    sample: impl Fn(&[u8; BYTES], usize) -> u16,
) -> [[u16; LANES]; 2] {
    let sum = |i: usize| rows.iter().map(|row| sample(row, i)).sum();
    [0, LANES].map(|first| std::array::from_fn(|i| sum(first + i)))
}

impl Mosaic for Plain {
    type Samples = [u16; LANES];

    #[inline(always)]
    fn bytes<const N: usize>(self, rows: [&[u8; 16]; N]) -> [Self::Samples; 2] {
        sixteen(rows, |row, i| u16::from(row[i]))
    }

    #[inline(always)]
    fn words<const N: usize>(self, rows: [&[u8; 32]; N], mask: u16) -> [Self::Samples; 2] {
        sixteen(rows, |row, i| {
            u16::from_le_bytes([row[2 * i], row[2 * i + 1]]) & mask
        })
    }

    #[inline(always)]
    fn packed_10<const N: usize>(self, rows: [&[u8; 20]; N]) -> [Self::Samples; 2] {
        sixteen(rows, |row, i| {
            let group = i / 4 * 5;
            u16::from(row[group + i % 4]) << 2 | u16::from(row[group + 4]) >> (2 * (i % 4)) & 3
        })
    }

    #[inline(always)]
    fn packed_12<const N: usize>(self, rows: [&[u8; 24]; N]) -> [Self::Samples; 2] {
        sixteen(rows, |row, i| {
            let group = i / 2 * 3;
            u16::from(row[group + i % 2]) << 4 | u16::from(row[group + 2]) >> (4 * (i % 2)) & 15
        })
    }

    #[inline(always)]
    fn add(self, a: Self::Samples, b: Self::Samples) -> Self::Samples {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn deinterleave(self, samples: [Self::Samples; 2]) -> [Self::Samples; 2] {
        let samples = samples.as_flattened();
        [0, 1].map(|odd| std::array::from_fn(|i| samples[2 * i + odd]))
    }

    #[inline(always)]
    fn add_pairs(self, samples: [Self::Samples; 2]) -> Self::Samples {
        let [even, odd] = self.deinterleave(samples);
        self.add(even, odd)
    }

    #[inline(always)]
    fn linear_light(
        self,
        sums: [Self::Samples; 3],
        transform: &ColourTransform,
    ) -> [Self::Samples; 3] {
        let mut parts = [[0; 3]; LANES];
        for c in 0..3 {
            for (part, sum) in parts.iter_mut().zip(sums[c]) {
                let above = (sum << transform.up[c]).saturating_sub(transform.black[c]);
                part[c] = i32::from(above.min(transform.white[c]) << transform.lift[c]);
            }
        }
        transform.factors.map(|factors| {
            let [r, g, b] = factors.map(i32::from);
            parts.map(|part| {
                let sum = part[0] * r + part[1] * g + part[2] * b + (1 << (FRACTION_BITS - 1));
                (sum >> FRACTION_BITS).clamp(0, (1 << LIGHT_BITS) - 1) as u16
            })
        })
    }

    #[inline(always)]
    fn words_of(self, samples: Self::Samples) -> [u64; 2] {
        let (fours, _) = samples.as_chunks::<4>();
        let word = |four: [u16; 4]| {
            four.into_iter()
                .rev()
                .fold(0, |word, value| word << 16 | u64::from(value))
        };
        [word(fours[0]), word(fours[1])]
    }
}
