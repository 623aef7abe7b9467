//! The innermost loops of the resize, on [`LANES`] values in parallel.
//!
//! One file per kind of CPU, all with exactly the same results: AVX2 on x86-64 (with AVX-512 VNNI for sums of columns where the CPU has it), NEON on AArch64, and
//! plain Rust for the rest. The
//! compiler's auto-vectorised code was two to three times slower here, and its speed varied with every change of the code around
//! it. Of the preprocess, only this folder has `unsafe`: the loads and stores of whole vectors, and the calls into code for
//! a CPU whose features were checked.
//!
//! The loops that develop a raw mosaic are in `mosaic`, a JPEG's transform is in `dct`, again one file per kind of CPU.
//!
//! A [`Pass`] is the code around them. [`run`] chooses the vectors once for a whole pass, so that all of it is compiled for that
//! kind of CPU and the innermost functions are inlined.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(super) mod dct;
#[cfg(target_arch = "x86_64")]
mod halves;
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

use super::taps::WEIGHT_BITS;
use dct::Eights;

/// Values of 16 bits that a transform and a mosaic process in parallel.
pub(super) const LANES: usize = 8;

/// Rows that the resize filters in parallel: as many values of 16 bits as the vectors of AVX2 hold, or those of NEON.
pub(super) const ROWS: usize = if cfg!(target_arch = "x86_64") {
    2 * LANES
} else {
    LANES
};

/// One column of a block: the same byte of `ROWS` vertically filtered rows, with [`FRACTION_BITS`], 0..=16320.
pub(super) type Column = [i16; ROWS];

/// What makes a row: the bytes from its first source row on, and the weights of that row and of those that follow.
pub(super) type Row<'a> = (&'a [u8], &'a [i16]);

/// Bytes of a row that [`vertical_tile`] takes at once.
pub(super) const TILE: usize = 16;

/// Fraction bits between the passes.
const FRACTION_BITS: i32 = 6;

/// The innermost loops for one kind of CPU. A value of this type proves that the CPU is of that kind. Values between the passes
/// have [`FRACTION_BITS`].
pub(super) trait Vectors: Mosaic + Eights {
    /// A column, or one colour of one pixel in `ROWS` rows.
    type Values: Copy;

    /// Filters `TILE` bytes of `ROWS` output rows, from byte `at` on, at least `TILE` of every source row; these follow each other
    /// by `stride`. The output is columns, one for each byte.
    fn vertical_tile(
        self,
        rows: &[Row<'_>; ROWS],
        at: usize,
        stride: usize,
        columns: &mut [Column; TILE],
    );

    /// The same for two adjacent tiles: at least `2 * TILE` bytes of every row.
    #[inline(always)]
    fn vertical_tiles(
        self,
        rows: &[Row<'_>; ROWS],
        at: usize,
        stride: usize,
        columns: &mut [[Column; TILE]; 2],
    ) {
        let [left, right] = columns;
        self.vertical_tile(rows, at, stride, left);
        self.vertical_tile(rows, at + TILE, stride, right);
    }

    /// The weighted sum of every `STEP`th column: one colour of one pixel in `ROWS` rows.
    fn horizontal<const STEP: usize>(self, columns: &[Column], weights: &[i16]) -> Self::Values;

    /// The same for two colours with the same weights.
    #[inline(always)]
    fn horizontal_twice<const STEP: usize>(
        self,
        columns: [&[Column]; 2],
        weights: &[i16],
    ) -> [Self::Values; 2] {
        columns.map(|columns| self.horizontal::<STEP>(columns, weights))
    }

    /// Values rounded to bytes.
    fn bytes_of(self, values: Self::Values) -> [u8; ROWS];

    /// BT.601 limited range (Y 16..=235, U and V 16..=240 around 128) to full-range R, G, B.
    fn rgb_of_yuv(self, y: Self::Values, u: Self::Values, v: Self::Values) -> [[u8; ROWS]; 3];

    /// The same for BT.601 full range, as in a JPEG: Y, U and V are 0..=255, U and V around 128.
    fn rgb_of_full_yuv(self, y: Self::Values, u: Self::Values, v: Self::Values) -> [[u8; ROWS]; 3];

    /// The bytes of eight RGB pixels on their lines.
    #[inline(always)]
    fn apply_lines(self, pixels: &[u8; 24], lines: &EightLines) -> [u8; 24] {
        std::array::from_fn(|i| {
            let value = i32::from(pixels[i]) * lines.slopes[i] + lines.starts[i];
            (value >> LINE_FRACTION_BITS).clamp(0, 255) as u8 ^ lines.flip
        })
    }

    /// Transposes eight columns of bytes to rows.
    #[inline(always)]
    fn rows_of(self, columns: &[[u8; ROWS]; LANES]) -> [[u8; LANES]; ROWS] {
        std::array::from_fn(|row| columns.map(|column| column[row]))
    }
}

/// Fraction bits of such a line: the error of 255 steps, each half a unit in the last place, is then 0.0001 of a byte.
pub(super) const LINE_FRACTION_BITS: u32 = 20;

/// `clamp((slope * pixel + start) >> LINE_FRACTION_BITS, 0, 255) ^ flip`, for each byte of eight RGB pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct EightLines {
    pub slopes: [i32; 24],
    pub starts: [i32; 24],
    pub flip: u8,
}

/// Code to run with this CPU's vectors.
pub(super) trait Pass {
    /// Must be `#[inline(always)]`, like everything in it.
    fn run<V: Vectors>(self, vectors: V);
}

/// Runs `pass` with the best vectors for this CPU.
pub(super) fn run(pass: impl Pass) {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx512) = avx2::Avx2::<true>::detect() {
        avx512.run(pass);
    } else if let Some(avx2) = avx2::Avx2::<false>::detect() {
        avx2.run(pass);
    } else {
        pass.run(plain::Plain);
    }
    #[cfg(target_arch = "aarch64")]
    pass.run(neon::Neon);
    #[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
    pass.run(plain::Plain);
}

/// Values that the taps of an output reach: `width` at the last one, and `step` from each to the next.
#[inline(always)]
fn reach(weights: &[i16], step: usize, width: usize) -> usize {
    let between = weights.len().saturating_sub(1).saturating_mul(step);
    between.saturating_add(width)
}

/// Two factors as the instructions that multiply pairs want them.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn two(first: i16, second: i16) -> i32 {
    i32::from(first) & 0xffff | i32::from(second) << 16
}

/// Adds up taps in pairs: `add` takes the values of two and their weights, for an odd one at the end `none` and 0.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn in_pairs<T: Copy>(
    weights: &[i16],
    tap: impl Fn(usize) -> T,
    none: T,
    mut add: impl FnMut(T, T, i32),
) {
    let (pairs, odd) = weights.as_chunks();
    for (i, &[first, second]) in pairs.iter().enumerate() {
        add(tap(2 * i), tap(2 * i + 1), two(first, second));
    }
    if let [weight] = odd {
        add(tap(weights.len() - 1), none, two(*weight, 0));
    }
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
/// of the limited range, the sums fit in 16 bits. `grey` is [`bt601::GREY`] in each lane; `plus` and `minus` saturate, and
/// `part_of(values, part)` is `values * part / 32768`, rounded.
#[inline(always)]
fn full_range<T: Copy>(
    [y, u, v]: [T; 3],
    grey: T,
    plus: impl Fn(T, T) -> T,
    minus: impl Fn(T, T) -> T,
    part_of: impl Fn(T, i16) -> T,
) -> [T; 3] {
    /// 1.402 and 1.772 without their whole parts, 0.344136 and 0.714136.
    const V_RED: i16 = 13173;
    const U_BLUE: i16 = 25297;
    const U_GREEN: i16 = 11277;
    const V_GREEN: i16 = 23401;
    let (u, v) = (minus(u, grey), minus(v, grey));
    let red = plus(v, part_of(v, V_RED));
    let blue = plus(u, part_of(u, U_BLUE));
    let green = plus(part_of(u, U_GREEN), part_of(v, V_GREEN));
    [plus(y, red), minus(y, green), plus(y, blue)]
}

#[cfg(test)]
mod tests {
    use super::plain::Plain;
    use super::*;

    /// Runs a pass with the best vectors, and then with AVX2 where those are AVX-512's; checks what it made each time.
    macro_rules! run_each {
        ($pass:expr, $check:expr) => {
            run($pass);
            $check;
            #[cfg(target_arch = "x86_64")]
            if let Some(avx2) = avx2::Avx2::<false>::detect() {
                avx2.run($pass);
                $check;
            }
        };
    }

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
        struct Tile<'a>(&'a [Row<'a>; ROWS], usize, &'a mut [Column; TILE]);
        impl Pass for Tile<'_> {
            fn run<V: Vectors>(self, vectors: V) {
                vectors.vertical_tile(self.0, 0, self.1, self.2);
            }
        }
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..500 {
            let taps: Vec<Vec<i16>> = (0..ROWS).map(|_| weights(&mut random)).collect();
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
            let (mut fast, mut plain) = ([[1; ROWS]; TILE], [[2; ROWS]; TILE]);
            Plain.vertical_tile(&rows, 0, stride, &mut plain);
            run_each!(Tile(&rows, stride, &mut fast), assert_eq!(fast, plain));
            for (i, column) in plain.iter().enumerate() {
                assert_eq!(*column, vertical_byte(&rows, i, stride));
            }
        }
    }

    #[test]
    fn two_tiles_are_two_plain_ones() {
        struct Tiles<'a>(&'a [Row<'a>; ROWS], [usize; 2], &'a mut [[Column; TILE]; 2]);
        impl Pass for Tiles<'_> {
            fn run<V: Vectors>(self, vectors: V) {
                vectors.vertical_tiles(self.0, self.1[0], self.1[1], self.2);
            }
        }
        let mut random = fastrand::Rng::with_seed(13);
        for _ in 0..300 {
            let taps: Vec<Vec<i16>> = (0..ROWS).map(|_| weights(&mut random)).collect();
            let stride = random.usize(2 * TILE..90);
            let at = random.usize(0..9);
            let mut data = vec![0; stride * 25];
            random.fill(&mut data);
            let rows = std::array::from_fn(|lane| {
                let start = random.usize(0..4) * stride;
                let end = start + at + (taps[lane].len() - 1) * stride + 2 * TILE;
                (&data[start..end], &taps[lane][..])
            });
            let (mut fast, mut plain) = ([[[1; ROWS]; TILE]; 2], [[[2; ROWS]; TILE]; 2]);
            Plain.vertical_tiles(&rows, at, stride, &mut plain);
            run_each!(
                Tiles(&rows, [at, stride], &mut fast),
                assert_eq!(fast, plain)
            );
        }
    }

    #[test]
    fn columns_become_rows() {
        struct Rows<'a>(&'a [[u8; ROWS]; LANES], &'a mut [[u8; LANES]; ROWS]);
        impl Pass for Rows<'_> {
            fn run<V: Vectors>(self, vectors: V) {
                *self.1 = vectors.rows_of(self.0);
            }
        }
        let mut random = fastrand::Rng::with_seed(14);
        for _ in 0..20 {
            let columns = [(); LANES].map(|()| [(); ROWS].map(|()| random.u8(..)));
            let want = std::array::from_fn(|y| std::array::from_fn(|x| columns[x][y]));
            let mut fast = [[0; LANES]; ROWS];
            run_each!(Rows(&columns, &mut fast), assert_eq!(fast, want));
            assert_eq!(Plain.rows_of(&columns), want);
        }
    }

    #[test]
    fn pixels_are_on_their_lines() {
        struct ApplyLines<'a>(&'a [u8; 24], EightLines, &'a mut [u8; 24]);
        impl Pass for ApplyLines<'_> {
            fn run<V: Vectors>(self, vectors: V) {
                *self.2 = vectors.apply_lines(self.0, &self.1);
            }
        }
        let mut random = fastrand::Rng::with_seed(15);
        for _ in 0..500 {
            let pixels = [(); 24].map(|()| random.u8(..));
            // Large enough that some are clamped at either end, small enough for 32 bits.
            let [slopes, starts] =
                [1 << 21, 1 << 28].map(|most| [(); 24].map(|()| random.i32(-most..most)));
            let lines = EightLines {
                slopes,
                starts,
                flip: random.u8(0..2) << 7,
            };
            let (mut fast, mut plain) = ([0; 24], [1; 24]);
            ApplyLines(&pixels, lines, &mut plain).run(Plain);
            run_each!(
                ApplyLines(&pixels, lines, &mut fast),
                assert_eq!(fast, plain)
            );
        }
    }

    #[test]
    fn full_range_is_that_of_the_definition() {
        for (y, u, v) in (0..4096).map(|i| (i % 16 * 17, i / 16 % 16 * 17, i / 256 * 17)) {
            let lanes = [y, u, v].map(|value: i16| [value << FRACTION_BITS; ROWS]);
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
        out: &'a mut [[u8; ROWS]; 8],
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
            let (mut fast, mut plain) = ([[1; ROWS]; 8], [[2; ROWS]; 8]);
            let weights = &taps[..];
            let out = &mut plain;
            let sums = Sums::<STEP> {
                columns,
                weights,
                out,
            };
            sums.run(Plain);
            run_each!(
                Sums::<STEP> {
                    columns,
                    weights,
                    out: &mut fast,
                },
                assert_eq!(fast, plain)
            );
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
