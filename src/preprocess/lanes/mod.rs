//! The innermost loops of the resize, on [`LANES`] values side by side.
//!
//! One file a kind of CPU, all with the same functions and exactly the same results: SSE2 (and a little AVX2) on x86-64 and
//! NEON on AArch64, and plain Rust for the rest. The compiler's own vectors were two to three times slower
//! here, and changed with every touch of the code around them. This is the only place of the frame path with `unsafe`: the
//! loads and stores of whole vectors.

#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;
#[cfg(target_arch = "x86_64")]
mod sse2;

#[cfg(target_arch = "aarch64")]
pub(super) use neon::{bytes_of, horizontal, rgb_of_yuv, vertical_tile};
#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
pub(super) use plain::{bytes_of, horizontal, rgb_of_yuv, vertical_tile};
#[cfg(target_arch = "x86_64")]
pub(super) use sse2::{bytes_of, horizontal, rgb_of_yuv, vertical_tile};

pub(super) use plain::vertical_byte;

use super::taps::WEIGHT_BITS;

/// Values side by side.
pub(super) const LANES: usize = 8;

/// One column of a block: the same byte of `LANES` vertically filtered rows, with [`FRACTION_BITS`], 0..=16320.
pub(super) type Column = [i16; LANES];

/// Bytes of a row that [`vertical_tile`] takes at once.
pub(super) const TILE: usize = 16;

/// Fraction bits between the passes.
const FRACTION_BITS: i32 = 6;

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
    /// What is taken off Y, and off U and V, with `FRACTION_BITS`.
    pub const BLACK: i16 = 16 << super::FRACTION_BITS;
    pub const GREY: i16 = 128 << super::FRACTION_BITS;
    /// From the products to bytes.
    pub const SHIFT: i32 = 13 + super::FRACTION_BITS;
}

#[cfg(test)]
mod tests {
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
            // Each row ends with its last byte, so that a read past it would be past the data.
            let rows = std::array::from_fn(|lane| {
                let start = random.usize(0..4) * stride + at;
                let end = start + (taps[lane].len() - 1) * stride + TILE;
                (&data[start..end], &taps[lane][..])
            });
            let (mut fast, mut plain) = ([[1; LANES]; TILE], [[2; LANES]; TILE]);
            vertical_tile(&rows, stride, &mut fast);
            plain::vertical_tile(&rows, stride, &mut plain);
            assert_eq!(fast, plain);
            #[cfg(target_arch = "x86_64")]
            {
                sse2::vertical_tile_everywhere(&rows, stride, &mut fast);
                assert_eq!(fast, plain);
            }
            for (i, column) in plain.iter().enumerate() {
                assert_eq!(
                    *column,
                    vertical_byte(&rows.map(|(row, taps)| (&row[i..], taps)), stride)
                );
            }
        }
    }

    #[test]
    fn the_horizontal_sum_is_the_plain_one() {
        fn check<const STEP: usize>(random: &mut fastrand::Rng) {
            let taps = weights(random);
            let columns: Vec<Column> = (0..(taps.len() - 1) * STEP + 1 + random.usize(0..3))
                .map(|_| column(random))
                .collect();
            let fast = horizontal::<STEP>(&columns, &taps);
            let plain = plain::horizontal::<STEP>(&columns, &taps);
            assert_eq!(bytes_of(fast), plain::bytes_of(plain));
            let (u, v) = (column(random), column(random));
            let one = [1 << 14];
            let lanes = |c: &Column| horizontal::<1>(&[*c], &one);
            let plain_lanes = |c: &Column| plain::horizontal::<1>(&[*c], &one);
            assert_eq!(
                rgb_of_yuv(fast, lanes(&u), lanes(&v)),
                plain::rgb_of_yuv(plain, plain_lanes(&u), plain_lanes(&v))
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
