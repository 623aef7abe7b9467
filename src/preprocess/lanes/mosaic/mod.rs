//! The innermost loops of developing a raw mosaic, on eight 16-bit lanes: unpack samples, separate even from odd columns, add up
//! the samples of a colour, and turn three sums into linear light. Every kind of CPU gives exactly the same results.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;

/// Bits of a sum of samples after its shift: one less than a lane has, so that it is also valid as a signed number.
pub const SUM_BITS: u32 = 15;
/// Bits of linear light.
pub const LIGHT_BITS: u32 = 13;
/// Fraction bits of [`ColourTransform::factors`].
pub const FRACTION_BITS: u32 = 13;

/// From the sums of the samples of three colours to linear light. Each sum is shifted up, the black level subtracted, clipped at
/// white and shifted again; then the three are multiplied by a matrix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ColourTransform {
    /// The first left shift, which takes a sum to `SUM_BITS`.
    pub up: [u32; 3],
    /// The black level.
    pub black: [u16; 3],
    /// White, above black. The sums are clipped here before the matrix, so that clipped highlights have no colour.
    pub white: [u16; 3],
    /// The second left shift, which takes `white` to `SUM_BITS`. It keeps the factors within 16 bits.
    pub lift: [u32; 3],
    /// The matrix: for red, green and blue of the result, the factors of the three sums.
    pub factors: [[i16; 3]; 3],
}

/// The loops for one kind of CPU.
pub trait Mosaic: Copy {
    /// Eight samples, or sums of samples, of 16 bits.
    type Samples: Copy;

    /// The next sixteen samples of each of `N` rows, added up row by row. One byte per sample.
    fn bytes<const N: usize>(self, rows: [&[u8; 16]; N]) -> [Self::Samples; 2];

    /// The same for two bytes per sample, little endian. `mask` selects the bits that count.
    fn words<const N: usize>(self, rows: [&[u8; 32]; N], mask: u16) -> [Self::Samples; 2];

    /// The same for MIPI RAW10: the upper 8 bits of four samples, then a byte with the lower 2 bits of each, the first sample's
    /// in the lowest bits.
    fn packed_10<const N: usize>(self, rows: [&[u8; 20]; N]) -> [Self::Samples; 2];

    /// The same for MIPI RAW12: the upper 8 bits of two samples, then a byte with the lower 4 bits of each, the first sample's in
    /// the lowest bits.
    fn packed_12<const N: usize>(self, rows: [&[u8; 24]; N]) -> [Self::Samples; 2];

    /// Adds lane by lane.
    fn add(self, a: Self::Samples, b: Self::Samples) -> Self::Samples;

    /// The even-numbered of sixteen samples, then the odd-numbered ones.
    fn deinterleave(self, samples: [Self::Samples; 2]) -> [Self::Samples; 2];

    /// Adds the first of sixteen to the second, the third to the fourth, and so on.
    fn add_pairs(self, samples: [Self::Samples; 2]) -> Self::Samples;

    /// Linear red, green and blue, each less than `1 << LIGHT_BITS`, from the sums of three colours.
    fn linear_light(
        self,
        sums: [Self::Samples; 3],
        transform: &ColourTransform,
    ) -> [Self::Samples; 3];

    /// The lanes in two words, the first lane in the lowest bits: a table index is then one instruction away.
    fn words_of(self, samples: Self::Samples) -> [u64; 2];
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::plain::Plain;
    use super::super::{LANES, Pass, Vectors, run};
    use super::*;
    use crate::frame::{BayerDepth, BayerFormat, BayerOrder};

    /// The output of each function for `N` rows of samples, and for three sums.
    struct All<'a, const N: usize> {
        rows: [&'a [u8; 32]; N],
        sums: [[u8; 32]; 3],
        transform: &'a ColourTransform,
        out: &'a mut Vec<[u16; LANES]>,
    }

    /// Entries of [`All`]'s `out` per packing.
    const OUTS: usize = 6;

    impl<const N: usize> Pass for All<'_, N> {
        fn run<V: Vectors>(self, vectors: V) {
            fn begin<const BYTES: usize>(row: &[u8; 32]) -> &[u8; BYTES] {
                row.first_chunk().unwrap()
            }
            let rows = self.rows;
            let unpacked = [
                vectors.bytes(rows.map(begin)),
                vectors.words(rows, 0x03ff),
                vectors.words(rows, 0x0fff),
                vectors.packed_10(rows.map(begin)),
                vectors.packed_12(rows.map(begin)),
            ];
            let mut keep = |samples| {
                let words = vectors.words_of(samples);
                let value = |i: usize| (words[i / 4] >> (16 * (i % 4))) as u16;
                self.out.push(std::array::from_fn(value));
            };
            for samples in unpacked {
                samples.into_iter().for_each(&mut keep);
                vectors
                    .deinterleave(samples)
                    .into_iter()
                    .for_each(&mut keep);
                keep(vectors.add_pairs(samples));
                keep(vectors.add(samples[0], samples[1]));
            }
            let sums = self
                .sums
                .each_ref()
                .map(|sums| vectors.words([sums], 0xffff));
            for half in [0, 1] {
                let sums = sums.map(|sums| sums[half]);
                vectors
                    .linear_light(sums, self.transform)
                    .into_iter()
                    .for_each(&mut keep);
            }
        }
    }

    fn transform(random: &mut fastrand::Rng) -> ColourTransform {
        let up = [(); 3].map(|()| random.u32(0..4));
        let white = [(); 3].map(|()| random.u16(1..1 << SUM_BITS));
        ColourTransform {
            up,
            black: [(); 3].map(|()| random.u16(0..8192)),
            white,
            lift: white.map(|white| white.leading_zeros() - 1),
            // Sums of three with the largest parts still fit in 32 bits.
            factors: [(); 3].map(|()| [(); 3].map(|()| random.i16(-10_000..=20_000))),
        }
    }

    fn every_function_is_the_plain_one<const N: usize>(random: &mut fastrand::Rng) {
        for _ in 0..500 {
            let mut rows = [[0; 32]; N];
            random.fill(rows.as_flattened_mut());
            let transform = transform(random);
            let sums = transform.up.map(|up| {
                let mut sums = [0; 32];
                for place in sums.as_chunks_mut().0 {
                    *place = random.u16(0..1 << (SUM_BITS - up)).to_le_bytes();
                }
                sums
            });
            let all = |out| All {
                rows: rows.each_ref(),
                sums,
                transform: &transform,
                out,
            };
            let (mut fast, mut plain) = (Vec::new(), Vec::new());
            run(all(&mut fast));
            all(&mut plain).run(Plain);
            assert_eq!(fast, plain, "{rows:?} {sums:?} {transform:?}");
        }
    }

    #[test]
    fn every_function_is_the_plain_one_for_one_row_and_two() {
        let mut random = fastrand::Rng::with_seed(21);
        every_function_is_the_plain_one::<1>(&mut random);
        every_function_is_the_plain_one::<2>(&mut random);
    }

    #[test]
    fn sixteen_samples_of_two_rows_are_added_and_then_parted() {
        let mut random = fastrand::Rng::with_seed(22);
        for _ in 0..100 {
            let mut rows = [[0; 32]; 2];
            random.fill(rows.as_flattened_mut());
            let mut out = Vec::new();
            let all = All {
                rows: rows.each_ref(),
                sums: [[0; 32]; 3],
                transform: &ColourTransform::default(),
                out: &mut out,
            };
            all.run(Plain);
            for (depth, out) in BayerDepth::ALL.into_iter().zip(out.chunks(OUTS)) {
                let order = BayerOrder::Rggb;
                let sample = |row, x_px| BayerFormat { order, depth }.row_sample(row, x_px);
                let sum = |x_px| sample(&rows[0], x_px) + sample(&rows[1], x_px);
                let eight = |of: &dyn Fn(usize) -> u16| -> [u16; LANES] { std::array::from_fn(of) };
                let want = [
                    eight(&sum),
                    eight(&|i| sum(i + 8)),
                    eight(&|i| sum(2 * i)),
                    eight(&|i| sum(2 * i + 1)),
                    eight(&|i| sum(2 * i) + sum(2 * i + 1)),
                    eight(&|i| sum(i) + sum(i + 8)),
                ];
                assert_eq!(out, want, "{depth:?}");
            }
        }
    }

    #[test]
    fn light_is_the_rounded_weighted_sum_of_what_lies_between_black_and_white() {
        let mut random = fastrand::Rng::with_seed(23);
        for _ in 0..500 {
            let transform = transform(&mut random);
            let sums = transform
                .up
                .map(|up| [random.u16(0..1 << (SUM_BITS - up)); LANES]);
            let got = Plain.linear_light(sums, &transform);
            let part = |c: usize| {
                let sum = i64::from(sums[c][0]) << transform.up[c];
                let above =
                    (sum - i64::from(transform.black[c])).clamp(0, i64::from(transform.white[c]));
                above << transform.lift[c]
            };
            for (got, factors) in got.iter().zip(transform.factors) {
                let sum: i64 = (0..3).map(|c| part(c) * i64::from(factors[c])).sum();
                let light = (sum as f64 / f64::from(1 << FRACTION_BITS) + 0.5).floor();
                assert_eq!(
                    got,
                    &[light.clamp(0.0, f64::from((1 << LIGHT_BITS) - 1)) as u16; LANES]
                );
            }
        }
    }
}
