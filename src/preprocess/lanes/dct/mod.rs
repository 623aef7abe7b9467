//! The inverse cosine transform of a JPEG's blocks, 8x8 coefficients to at most 8x8 bytes, on eight 16-bit lanes. Every kind of CPU
//! gives exactly the same results.
//!
//! It is the transform of Arai, Agui and Nakajima: five products for eight values, once the coefficients are multiplied by a factor
//! each ([`factor`]), which the dequantisation does anyway. A block that is shrunk along an axis takes its lowest coefficients
//! alone: 4 of 8 are the transform's even half, 2 of them half of that.
//!
//! Coefficients have [`FRACTION_BITS`]; with fewer, dense blocks would be more than a step off. The sums of black and white noise
//! still fit in 16 bits, and what is larger is cut off.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;

use super::LANES;

/// Fraction bits of a coefficient, once it is multiplied by its [`factor`].
pub const FRACTION_BITS: i32 = 6;

/// A block's coefficients, column by column: the eight of the lowest frequency across come first.
pub type Block = [[i16; LANES]; LANES];

/// Vectors of eight 16-bit values.
pub trait Eights: Copy {
    type Eight: Copy;

    fn eight(self, values: &[i16; LANES]) -> Self::Eight;

    /// The sum, as far as it fits.
    fn plus(self, a: Self::Eight, b: Self::Eight) -> Self::Eight;

    /// The difference, as far as it fits.
    fn minus(self, a: Self::Eight, b: Self::Eight) -> Self::Eight;

    /// `values * part / 32768`, rounded.
    fn part_of(self, values: Self::Eight, part: i16) -> Self::Eight;

    fn transposed(self, rows: [Self::Eight; LANES]) -> [Self::Eight; LANES];

    /// Without [`FRACTION_BITS`], rounded and clamped.
    fn pixels(self, values: Self::Eight) -> [u8; LANES];
}

/// `cos(k * PI / 16) * sqrt(2)`; the first is 1.
const FACTORS: [f32; LANES] = [
    1.0,
    1.387_039_8,
    1.306_563,
    1.175_875_6,
    1.0,
    0.785_694_96,
    0.541_196_1,
    0.275_899_4,
];

/// What a coefficient of frequency `k` along an axis is multiplied by, if `count` (8, 4, 2 or 1) values come out along it. `None`:
/// it does not count.
pub fn factor(k: usize, count: usize) -> Option<f32> {
    (k < count).then(|| FACTORS[k * LANES / count])
}

/// Transforms a block to `shape` bytes, its width and height (each 8, 4, 2 or 1): rows, of which the first bytes are valid. `is_low`
/// says that all coefficients from the fifth on, across and down, are zero.
#[inline(always)]
pub fn inverse<E: Eights>(
    eights: E,
    block: &Block,
    shape: (usize, usize),
    is_low: bool,
) -> [[u8; LANES]; LANES] {
    let zero = eights.eight(&[0; LANES]);
    let low = |i: usize, eight| {
        if is_low && i >= LANES / 2 {
            zero
        } else {
            eight
        }
    };
    let columns = std::array::from_fn(|i| low(i, eights.eight(&block[i])));
    // From frequencies across to positions, for each frequency down; then the other way round.
    let rows = eights.transposed(along(eights, columns, shape.0));
    let rows = std::array::from_fn(|i| low(i, rows[i]));
    along(eights, rows, shape.1).map(|row| eights.pixels(row))
}

/// The transform of one axis, on eight at once.
#[inline(always)]
fn along<E: Eights>(eights: E, frequencies: [E::Eight; LANES], count: usize) -> [E::Eight; LANES] {
    let f = frequencies;
    let plus = |a, b| eights.plus(a, b);
    let minus = |a, b| eights.minus(a, b);
    match count {
        8 => {
            let even = four(eights, [f[0], f[2], f[4], f[6]]);
            let odd = odd(eights, [f[1], f[3], f[5], f[7]]);
            [
                plus(even[0], odd[0]),
                plus(even[1], odd[1]),
                plus(even[2], odd[2]),
                plus(even[3], odd[3]),
                minus(even[3], odd[3]),
                minus(even[2], odd[2]),
                minus(even[1], odd[1]),
                minus(even[0], odd[0]),
            ]
        }
        4 => {
            let [a, b, c, d] = four(eights, [f[0], f[1], f[2], f[3]]);
            [a, b, c, d, d, c, b, a]
        }
        2 => {
            let (a, b) = (plus(f[0], f[1]), minus(f[0], f[1]));
            [a, b, a, b, a, b, a, b]
        }
        _ => [f[0]; LANES],
    }
}

/// Four values of four frequencies.
#[inline(always)]
fn four<E: Eights>(eights: E, f: [E::Eight; 4]) -> [E::Eight; 4] {
    /// The square root of 2, without its whole part.
    const ROOT: i16 = 13573;
    let (a, b) = (eights.plus(f[0], f[2]), eights.minus(f[0], f[2]));
    let (c, d) = (eights.plus(f[1], f[3]), eights.minus(f[1], f[3]));
    let d = eights.minus(eights.plus(d, eights.part_of(d, ROOT)), c);
    [
        eights.plus(a, c),
        eights.plus(b, d),
        eights.minus(b, d),
        eights.minus(a, c),
    ]
}

/// What the odd frequencies add to the first four of eight values, and take from the last four.
#[inline(always)]
fn odd<E: Eights>(eights: E, f: [E::Eight; 4]) -> [E::Eight; 4] {
    // 2 cos(2/16 PI), 2 (cos(2/16 PI) - cos(6/16 PI)) and 2 (cos(2/16 PI) + cos(6/16 PI)), without their whole parts, and the
    // square root of 2.
    const TURN: i16 = 27779;
    const LESS: i16 = 2700;
    const MORE: i16 = 20091;
    const ROOT: i16 = 13573;
    let plus = |a, b| eights.plus(a, b);
    let minus = |a, b| eights.minus(a, b);
    let part_of = |values, part| eights.part_of(values, part);
    let (a, b) = (plus(f[2], f[1]), minus(f[2], f[1]));
    let (c, d) = (plus(f[0], f[3]), minus(f[0], f[3]));
    let first = plus(c, a);
    let e = minus(c, a);
    let e = plus(e, part_of(e, ROOT));
    let g = plus(b, d);
    let g = plus(g, part_of(g, TURN));
    let h = minus(g, plus(plus(b, b), part_of(b, MORE)));
    let i = minus(g, plus(d, part_of(d, LESS)));
    let second = minus(h, first);
    let third = minus(e, second);
    [first, second, third, minus(i, third)]
}

#[cfg(test)]
mod tests {
    use super::super::{Pass, Vectors, plain::Plain, run};
    use super::*;
    use std::f64::consts::PI;

    struct Inverse<'a>(&'a Block, (usize, usize), &'a mut [[u8; LANES]; LANES]);

    impl Pass for Inverse<'_> {
        fn run<V: Vectors>(self, vectors: V) {
            *self.2 = inverse(vectors, self.0, self.1, false);
        }
    }

    const COUNTS: [usize; 4] = [8, 4, 2, 1];

    #[test]
    fn the_transform_is_the_plain_one() {
        let mut random = fastrand::Rng::with_seed(31);
        for turn in 0..2000 {
            // Also values that no picture has.
            let most = [100, 4000, 32767][turn % 3];
            let block = [(); LANES].map(|()| [(); LANES].map(|()| random.i16(-most..=most)));
            let shape = (COUNTS[random.usize(..4)], COUNTS[random.usize(..4)]);
            let (mut fast, mut plain) = ([[1; LANES]; LANES], [[2; LANES]; LANES]);
            run(Inverse(&block, shape, &mut fast));
            Inverse(&block, shape, &mut plain).run(Plain);
            assert_eq!(fast, plain, "{shape:?}");
        }
    }

    #[test]
    fn a_low_block_is_like_any_other() {
        struct Low<'a>(&'a Block, &'a mut [[u8; LANES]; LANES]);
        impl Pass for Low<'_> {
            fn run<V: Vectors>(self, vectors: V) {
                *self.1 = inverse(vectors, self.0, (8, 8), true);
            }
        }
        let mut random = fastrand::Rng::with_seed(33);
        for _ in 0..200 {
            let mut block = [[0; LANES]; LANES];
            let low = block[..4].iter_mut().flat_map(|column| &mut column[..4]);
            low.for_each(|value| *value = random.i16(-2000..2000));
            let (mut low, mut any) = ([[1; LANES]; LANES], [[2; LANES]; LANES]);
            run(Low(&block, &mut low));
            run(Inverse(&block, (8, 8), &mut any));
            assert_eq!(low, any);
        }
    }

    /// The definition (ITU-T T.81, A.3.3), for `count` values of the lowest `count` frequencies.
    fn cosine(frequency: usize, position: usize, count: usize) -> f64 {
        let scale = if frequency == 0 { 0.5f64.sqrt() } else { 1.0 };
        let angle = (2 * position + 1) as f64 * frequency as f64 * PI / (2 * count) as f64;
        scale * angle.cos() / 2.0
    }

    /// Blocks of flat areas, of edges as sharp as can be, and of noise: never more than a good step from the definition.
    #[test]
    fn pixels_are_those_of_the_definition() {
        let mut random = fastrand::Rng::with_seed(32);
        let mut worst = 0.0f64;
        for turn in 0..600 {
            let spread = [4.0, 60.0, 127.5][turn % 3];
            let pixel = |random: &mut fastrand::Rng| match turn % 2 {
                0 => (random.f64() * 2.0 - 1.0) * spread,
                _ => [-spread, spread][random.usize(..2)],
            };
            let pixels = [(); LANES].map(|()| [(); LANES].map(|()| pixel(&mut random)));
            let mut frequencies = [[0.0; LANES]; LANES];
            for (v, row) in frequencies.iter_mut().enumerate() {
                for (u, value) in row.iter_mut().enumerate() {
                    let all = (0..64).map(|i| (i / 8, i % 8));
                    *value = all
                        .map(|(y, x)| pixels[y][x] * cosine(u, x, 8) * cosine(v, y, 8))
                        .sum::<f64>()
                        .round();
                }
            }
            let (w, h) = (COUNTS[random.usize(..4)], COUNTS[random.usize(..4)]);
            let mut block = [[0; LANES]; LANES];
            for (u, column) in block.iter_mut().enumerate() {
                for (v, value) in column.iter_mut().enumerate() {
                    let (Some(x), Some(y)) = (factor(u, w), factor(v, h)) else {
                        continue;
                    };
                    let unit = f64::from(1 << FRACTION_BITS) / 8.0;
                    let exact = frequencies[v][u] * f64::from(x * y) * unit;
                    *value = exact.round() as i16;
                }
            }
            block[0][0] += 128 << FRACTION_BITS;
            let mut got = [[0; LANES]; LANES];
            run(Inverse(&block, (w, h), &mut got));
            for (y, row) in got.iter().enumerate().take(h) {
                for (x, &got) in row.iter().enumerate().take(w) {
                    let all = (0..w * h).map(|i| (i / w, i % w));
                    let exact: f64 = all
                        .map(|(v, u)| frequencies[v][u] * cosine(u, x, w) * cosine(v, y, h))
                        .sum();
                    let exact = (exact + 128.0).clamp(0.0, 255.0);
                    worst = worst.max((exact - f64::from(got)).abs());
                }
            }
        }
        assert!(worst < 1.2, "{worst}");
    }
}
