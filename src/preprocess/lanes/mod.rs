//! The innermost loops of the resize, on [`LANES`] values in parallel.
//!
//! One file per kind of CPU, all with exactly the same results: AVX2 on x86-64, NEON on AArch64, and plain Rust for the rest. The
//! compiler's auto-vectorised code was two to three times slower here, and its speed varied with every change of the code around
//! it. This is the only place in the frame path with `unsafe`: the loads and stores of whole vectors, and the calls into code for
//! a CPU whose features were checked.
//!
//! The loops that develop a raw mosaic are in `mosaic`, a JPEG's transform is in `dct`, again one file per kind of CPU.
//!
//! A [`Pass`] is the code around them. [`run`] chooses the vectors once for a whole pass, so that all of it is compiled for that
//! kind of CPU and the innermost functions are inlined.

#[cfg(target_arch = "x86_64")]
mod avx2;
pub(super) mod dct;
mod mosaic;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;

pub(super) use mosaic::{
    ColourTransform, FRACTION_BITS as LIGHT_FRACTION_BITS, LIGHT_BITS, Mosaic, SUM_BITS,
};
#[cfg(test)]
pub(super) use plain::Plain;
pub(super) use plain::vertical_byte;

use super::line;
use super::taps::WEIGHT_BITS;
use dct::Eights;

/// Values processed in parallel.
pub(super) const LANES: usize = 8;

/// One column of a block: the same byte of `LANES` vertically filtered rows, with [`FRACTION_BITS`], 0..=16320.
pub(super) type Column = [i16; LANES];

/// Bytes of a row that [`vertical_tile`] takes at once.
pub(super) const TILE: usize = 16;

/// Fraction bits between the passes.
const FRACTION_BITS: i32 = 6;

/// The innermost loops for one kind of CPU. A value of this type proves that the CPU is of that kind. Values between the passes
/// have [`FRACTION_BITS`].
pub(super) trait Vectors: Mosaic + Eights {
    /// Filters `TILE` bytes of `LANES` output rows. The input for each row: the bytes from the start of its first source row, at
    /// least `TILE` of every row, and the row's weights and those that follow by `stride`. The output is columns, one for each
    /// byte.
    fn vertical_tile(
        self,
        rows: &[(&[u8], &[i16]); LANES],
        stride: usize,
        columns: &mut [Column; TILE],
    );

    /// The same for two adjacent tiles: at least `2 * TILE` bytes of every row.
    #[inline(always)]
    fn vertical_tiles(
        self,
        rows: &[(&[u8], &[i16]); LANES],
        stride: usize,
        columns: &mut [[Column; TILE]; 2],
    ) {
        let [left, right] = columns;
        self.vertical_tile(rows, stride, left);
        self.vertical_tile(
            &rows.map(|(row, weights)| (&row[TILE..], weights)),
            stride,
            right,
        );
    }

    /// The weighted sum of every `STEP`th column: one colour of one pixel in `LANES` rows.
    fn horizontal<const STEP: usize>(self, columns: &[Column], weights: &[i16]) -> Self::Eight;

    /// The same for two colours with the same weights.
    #[inline(always)]
    fn horizontal_twice<const STEP: usize>(
        self,
        columns: [&[Column]; 2],
        weights: &[i16],
    ) -> [Self::Eight; 2] {
        columns.map(|columns| self.horizontal::<STEP>(columns, weights))
    }

    /// Values rounded to bytes.
    fn bytes_of(self, values: Self::Eight) -> [u8; LANES];

    /// BT.601 limited range (Y 16..=235, U and V 16..=240 around 128) to full-range R, G, B.
    fn rgb_of_yuv(self, y: Self::Eight, u: Self::Eight, v: Self::Eight) -> [[u8; LANES]; 3];

    /// The same for BT.601 full range, as in a JPEG: Y, U and V are 0..=255, U and V around 128.
    #[inline(always)]
    fn rgb_of_full_yuv(self, y: Self::Eight, u: Self::Eight, v: Self::Eight) -> [[u8; LANES]; 3] {
        full_range(self, y, u, v).map(|colour| self.bytes_of(colour))
    }

    /// `(slope * pixel + start) >> line::FRACTION_BITS`, clamped to a byte, for the bytes of eight RGB pixels.
    #[inline(always)]
    fn apply_lines(self, pixels: &[u8; 24], slopes: &[i32; 24], starts: &[i32; 24]) -> [u8; 24] {
        std::array::from_fn(|i| {
            let value = i32::from(pixels[i]) * slopes[i] + starts[i];
            (value >> line::FRACTION_BITS).clamp(0, 255) as u8
        })
    }

    /// Transposes columns of bytes to rows, by swapping halves of bytes, of pairs and of fours within words of eight.
    #[inline(always)]
    fn rows_of(self, columns: &[[u8; LANES]; LANES]) -> [[u8; LANES]; LANES] {
        const { assert!(LANES == 8) };
        let mut words = columns.map(u64::from_le_bytes);
        for (apart, bits, low) in [
            (4, 32, 0x0000_0000_ffff_ffff_u64),
            (2, 16, 0x0000_ffff_0000_ffff),
            (1, 8, 0x00ff_00ff_00ff_00ff),
        ] {
            for i in (0..LANES).filter(|i| i & apart == 0) {
                let (a, b) = (words[i], words[i + apart]);
                words[i] = a & low | (b & low) << bits;
                words[i + apart] = (a >> bits) & low | b & !low;
            }
        }
        words.map(u64::to_le_bytes)
    }
}

/// Code to run with this CPU's vectors.
pub(super) trait Pass {
    /// Must be `#[inline(always)]`, like everything in it.
    fn run<V: Vectors>(self, vectors: V);
}

/// Runs `pass` with the best vectors for this CPU.
pub(super) fn run(pass: impl Pass) {
    #[cfg(target_arch = "x86_64")]
    match avx2::Avx2::detect() {
        Some(avx2) => avx2.run(pass),
        None => pass.run(plain::Plain),
    }
    #[cfg(target_arch = "aarch64")]
    pass.run(neon::Neon);
    #[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
    pass.run(plain::Plain);
}

/// From a sum of bytes times weights to `FRACTION_BITS`.
const VERTICAL_SHIFT: i32 = WEIGHT_BITS as i32 - FRACTION_BITS;

/// From a sum of values times weights to values.
const HORIZONTAL_SHIFT: i32 = WEIGHT_BITS as i32;

/// BT.601: 255/219, then 2 (1 - Kr) and 2 (1 - Kb) times 255/224 and their shares in green (Kr = 0.299, Kb = 0.114), with
/// 13 fraction bits.
mod bt601 {
    /// 1.164384
    pub const LUMA: i16 = 9539;
    /// 1.596027
    pub const V_RED: i16 = 13075;
    /// 0.391762
    pub const U_GREEN: i16 = 3209;
    /// 0.812968
    pub const V_GREEN: i16 = 6660;
    /// 2.017232
    pub const U_BLUE: i16 = 16525;
    /// Offset subtracted from Y, and from U and V, with `FRACTION_BITS`.
    pub const BLACK: i16 = 16 << super::FRACTION_BITS;
    pub const GREY: i16 = 128 << super::FRACTION_BITS;
    /// From the products to bytes.
    pub const SHIFT: i32 = 13 + super::FRACTION_BITS;
}

/// From full-range Y, U, V to R, G, B, all with [`FRACTION_BITS`]: 2 (1 - Kr) and 2 (1 - Kb), and their shares in green. Unlike those
/// of the limited range, the sums fit in 16 bits.
#[inline(always)]
fn full_range<E: Eights>(eights: E, y: E::Eight, u: E::Eight, v: E::Eight) -> [E::Eight; 3] {
    /// 1.402 and 1.772 without their whole parts, 0.344136 and 0.714136.
    const V_RED: i16 = 13173;
    const U_BLUE: i16 = 25297;
    const U_GREEN: i16 = 11277;
    const V_GREEN: i16 = 23401;
    let grey = eights.eight(&[bt601::GREY; LANES]);
    let (u, v) = (eights.minus(u, grey), eights.minus(v, grey));
    let red = eights.plus(v, eights.part_of(v, V_RED));
    let blue = eights.plus(u, eights.part_of(u, U_BLUE));
    let green = eights.plus(eights.part_of(u, U_GREEN), eights.part_of(v, V_GREEN));
    [
        eights.plus(y, red),
        eights.minus(y, green),
        eights.plus(y, blue),
    ]
}

#[cfg(test)]
mod tests {
    use super::plain::Plain;
    use super::*;

    fn weights(random: &mut fastrand::Rng) -> Vec<i16> {
        let count = random.usize(1..20);
        let mut weights: Vec<i16> = (0..count).map(|_| random.i16(0..(16384 / 20))).collect();
        weights[random.usize(..count)] += 16384 - weights.iter().sum::<i16>();
        weights
    }

    fn column(random: &mut fastrand::Rng) -> Column {
        let edge = random.u8(0..4);
        std::array::from_fn(|_| match edge {
            0 => 0,
            1 => 16320,
            _ => random.i16(0..=16320),
        })
    }

    #[test]
    fn the_vertical_tile_is_the_plain_one() {
        struct Tile<'a>(
            &'a [(&'a [u8], &'a [i16]); LANES],
            usize,
            &'a mut [Column; TILE],
        );
        impl Pass for Tile<'_> {
            fn run<V: Vectors>(self, vectors: V) {
                vectors.vertical_tile(self.0, self.1, self.2);
            }
        }
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..500 {
            let taps: Vec<Vec<i16>> = (0..LANES).map(|_| weights(&mut random)).collect();
            let stride = random.usize(TILE..90);
            let at = random.usize(0..=stride - TILE);
            let mut data = vec![0; stride * 24];
            random.fill(&mut data);
            if random.bool() {
                data.fill(255);
            }
            // Each row ends with its last byte, so that a read past it would be out of bounds.
            let rows = std::array::from_fn(|lane| {
                let start = random.usize(0..4) * stride + at;
                let end = start + (taps[lane].len() - 1) * stride + TILE;
                (&data[start..end], &taps[lane][..])
            });
            let (mut fast, mut plain) = ([[1; LANES]; TILE], [[2; LANES]; TILE]);
            run(Tile(&rows, stride, &mut fast));
            Plain.vertical_tile(&rows, stride, &mut plain);
            assert_eq!(fast, plain);
            for (i, column) in plain.iter().enumerate() {
                assert_eq!(
                    *column,
                    vertical_byte(&rows.map(|(row, taps)| (&row[i..], taps)), stride)
                );
            }
        }
    }

    #[test]
    fn two_tiles_are_two_plain_ones() {
        struct Tiles<'a>(
            &'a [(&'a [u8], &'a [i16]); LANES],
            usize,
            &'a mut [[Column; TILE]; 2],
        );
        impl Pass for Tiles<'_> {
            fn run<V: Vectors>(self, vectors: V) {
                vectors.vertical_tiles(self.0, self.1, self.2);
            }
        }
        let mut random = fastrand::Rng::with_seed(13);
        for _ in 0..300 {
            let taps: Vec<Vec<i16>> = (0..LANES).map(|_| weights(&mut random)).collect();
            let stride = random.usize(2 * TILE..90);
            let mut data = vec![0; stride * 24];
            random.fill(&mut data);
            let rows = std::array::from_fn(|lane| {
                let start = random.usize(0..4) * stride;
                let end = start + (taps[lane].len() - 1) * stride + 2 * TILE;
                (&data[start..end], &taps[lane][..])
            });
            let (mut fast, mut plain) = ([[[1; LANES]; TILE]; 2], [[[2; LANES]; TILE]; 2]);
            run(Tiles(&rows, stride, &mut fast));
            Plain.vertical_tiles(&rows, stride, &mut plain);
            assert_eq!(fast, plain);
        }
    }

    #[test]
    fn columns_become_rows() {
        struct Rows<'a>(&'a [[u8; LANES]; LANES], &'a mut [[u8; LANES]; LANES]);
        impl Pass for Rows<'_> {
            fn run<V: Vectors>(self, vectors: V) {
                *self.1 = vectors.rows_of(self.0);
            }
        }
        let mut random = fastrand::Rng::with_seed(14);
        for _ in 0..20 {
            let columns = [(); LANES].map(|()| [(); LANES].map(|()| random.u8(..)));
            let want = std::array::from_fn(|y| std::array::from_fn(|x| columns[x][y]));
            let mut fast = [[0; LANES]; LANES];
            run(Rows(&columns, &mut fast));
            assert_eq!(fast, want);
            assert_eq!(Plain.rows_of(&columns), want);
        }
    }

    #[test]
    fn pixels_are_on_their_lines() {
        struct ApplyLines<'a>(&'a [u8; 24], [[i32; 24]; 2], &'a mut [u8; 24]);
        impl Pass for ApplyLines<'_> {
            fn run<V: Vectors>(self, vectors: V) {
                let [slopes, starts] = &self.1;
                *self.2 = vectors.apply_lines(self.0, slopes, starts);
            }
        }
        let mut random = fastrand::Rng::with_seed(15);
        for _ in 0..500 {
            let pixels = [(); 24].map(|()| random.u8(..));
            // Large enough that some are clamped at either end, small enough for 32 bits.
            let lines = [1 << 21, 1 << 28].map(|most| [(); 24].map(|()| random.i32(-most..most)));
            let (mut fast, mut plain) = ([0; 24], [1; 24]);
            run(ApplyLines(&pixels, lines, &mut fast));
            ApplyLines(&pixels, lines, &mut plain).run(Plain);
            assert_eq!(fast, plain);
        }
    }

    #[test]
    fn full_range_is_that_of_the_definition() {
        for (y, u, v) in (0..4096).map(|i| (i % 16 * 17, i / 16 % 16 * 17, i / 256 * 17)) {
            let lanes = [y, u, v].map(|value: i16| [value << FRACTION_BITS; LANES]);
            let got = Plain
                .rgb_of_full_yuv(lanes[0], lanes[1], lanes[2])
                .map(|c| c[0]);
            let [y, u, v] = [y, u - 128, v - 128].map(f64::from);
            let exact = [
                y + 1.402 * v,
                y - 0.344_136 * u - 0.714_136 * v,
                y + 1.772 * u,
            ];
            for (exact, got) in exact.into_iter().zip(got) {
                assert!((exact.clamp(0.0, 255.0) - f64::from(got)).abs() < 0.55);
            }
        }
    }

    /// Inputs: two colours' columns and their weights. Outputs: bytes of two, and RGB of three in either range.
    struct Sums<'a, const STEP: usize> {
        columns: [&'a [Column]; 2],
        weights: &'a [i16],
        out: &'a mut [[u8; LANES]; 8],
    }

    impl<const STEP: usize> Pass for Sums<'_, STEP> {
        fn run<V: Vectors>(self, vectors: V) {
            let one = vectors.horizontal::<STEP>(self.columns[0], self.weights);
            let [u, v] = vectors.horizontal_twice::<STEP>(self.columns, self.weights);
            self.out[0] = vectors.bytes_of(one);
            self.out[1] = vectors.bytes_of(v);
            self.out[2..5].copy_from_slice(&vectors.rgb_of_yuv(one, u, v));
            self.out[5..].copy_from_slice(&vectors.rgb_of_full_yuv(one, u, v));
        }
    }

    #[test]
    fn the_horizontal_sum_is_the_plain_one() {
        fn check<const STEP: usize>(random: &mut fastrand::Rng) {
            let taps = weights(random);
            let count = (taps.len() - 1) * STEP + 1 + random.usize(0..3);
            let columns: [Vec<Column>; 2] =
                std::array::from_fn(|_| (0..count).map(|_| column(random)).collect());
            let columns = [&columns[0][..], &columns[1][..]];
            let (mut fast, mut plain) = ([[1; LANES]; 8], [[2; LANES]; 8]);
            let sums = |out| Sums::<STEP> {
                columns,
                weights: &taps,
                out,
            };
            run(sums(&mut fast));
            sums(&mut plain).run(Plain);
            assert_eq!(fast, plain);
        }
        let mut random = fastrand::Rng::with_seed(12);
        for _ in 0..2000 {
            check::<1>(&mut random);
            check::<2>(&mut random);
            check::<3>(&mut random);
            check::<4>(&mut random);
        }
    }
}
