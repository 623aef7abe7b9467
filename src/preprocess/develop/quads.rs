//! The loop over the mosaic: four samples of a row at once, as four 16-bit lanes of one 64-bit word, in the order of the row.
//!
//! Sums of up to four samples of 12 bits, or eight of both greens, fit a lane, so whole words are added. That is fast on every
//! CPU without vectors of its own kind.

use super::tone::Tones;

/// How four samples lie in `BYTES` bytes.
pub(super) trait Quad<const BYTES: usize> {
    /// The samples, the first in the lowest lane.
    fn lanes(bytes: &[u8; BYTES]) -> u64;
}

pub(super) struct Bits8;
pub(super) struct Bits10;
pub(super) struct Bits12;
pub(super) struct Packed10;
pub(super) struct Packed12;

/// The four bytes of a word, one in each lane.
#[inline(always)]
fn spread(bytes: u32) -> u64 {
    let word = u64::from(bytes);
    let word = (word | (word << 16)) & 0x0000_ffff_0000_ffff;
    (word | (word << 8)) & 0x00ff_00ff_00ff_00ff
}

/// Four bytes in one load; byte by byte they cost twice as many instructions.
#[inline(always)]
fn word<const BYTES: usize>(bytes: &[u8; BYTES], at: usize) -> u32 {
    let four = bytes[at..].first_chunk().copied();
    u32::from_le_bytes(four.unwrap_or_default())
}

impl Quad<4> for Bits8 {
    #[inline(always)]
    fn lanes(bytes: &[u8; 4]) -> u64 {
        spread(u32::from_le_bytes(*bytes))
    }
}

impl Quad<8> for Bits10 {
    #[inline(always)]
    fn lanes(bytes: &[u8; 8]) -> u64 {
        u64::from_le_bytes(*bytes) & 0x03ff_03ff_03ff_03ff
    }
}

impl Quad<8> for Bits12 {
    #[inline(always)]
    fn lanes(bytes: &[u8; 8]) -> u64 {
        u64::from_le_bytes(*bytes) & 0x0fff_0fff_0fff_0fff
    }
}

impl Quad<5> for Packed10 {
    #[inline(always)]
    fn lanes(bytes: &[u8; 5]) -> u64 {
        const COPIES: u64 = (1 << 42) | (1 << 28) | (1 << 14) | 1;
        // Two bits for each lane: four copies of the byte, which do not overlap.
        let low = (u64::from(bytes[4]) * COPIES) & 0x0003_0003_0003_0003;
        (spread(word(bytes, 0)) << 2) | low
    }
}

impl Quad<6> for Packed12 {
    #[inline(always)]
    fn lanes(bytes: &[u8; 6]) -> u64 {
        // Two words that overlap: in the first the lower two bytes are upper halves, in the second the middle two.
        let (first, second) = (word(bytes, 0), word(bytes, 2));
        let upper = (first & 0xffff) | ((second << 8) & 0xffff_0000);
        // The low halves lie in their lanes as they are, the upper ones four bits below the next.
        let low = u64::from((first >> 16) & 0xff) | (u64::from(second >> 24) << 32);
        let low = (low | low << 12) & 0x000f_000f_000f_000f;
        (spread(upper) << 4) | low
    }
}

/// One row of pixels from `N` rows of the mosaic that have red and `N` that have blue, each at least as long as `rgb` wants:
/// with one of each a quad gives two pixels, with two of each one. `red_x` is the column of red, 0 or 1.
#[inline(always)]
pub(super) fn develop_row<Q: Quad<BYTES>, const BYTES: usize, const N: usize>(
    red_rows: [&[u8]; N],
    blue_rows: [&[u8]; N],
    red_x: usize,
    tones: &Tones,
    rgb: &mut [u8],
) {
    let (red_shift, blue_shift) = (16 * red_x, 16 * (1 - red_x));
    let (pixels, _) = rgb.as_chunks_mut::<3>();
    let quads = pixels.len() * N / 2;
    let whole = |row: &'_ [u8]| row.len() / BYTES;
    debug_assert!(
        red_rows
            .iter()
            .chain(&blue_rows)
            .all(|row| whole(row) >= quads)
    );
    let red_rows = red_rows.map(|row| &row.as_chunks::<BYTES>().0[..quads]);
    let blue_rows = blue_rows.map(|row| &row.as_chunks::<BYTES>().0[..quads]);
    let pixel = |red_sum: u64, blue_sum: u64| {
        let lane = |sum: u64, shift: usize| (sum >> shift & 0xffff) as i32;
        let green = lane(red_sum, blue_shift) + lane(blue_sum, red_shift);
        tones.pixel([lane(red_sum, red_shift), green, lane(blue_sum, blue_shift)])
    };
    for (i, pixels) in pixels.chunks_exact_mut(2 / N).enumerate() {
        let (mut red_sum, mut blue_sum) = (0, 0);
        for k in 0..N {
            red_sum += Q::lanes(&red_rows[k][i]);
            blue_sum += Q::lanes(&blue_rows[k][i]);
        }
        if N == 1 {
            pixels[0] = pixel(red_sum, blue_sum);
            pixels[1] = pixel(red_sum >> 32, blue_sum >> 32);
        } else {
            pixels[0] = pixel(red_sum + (red_sum >> 32), blue_sum + (blue_sum >> 32));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{BayerDepth, BayerFormat, BayerOrder};

    fn check<Q: Quad<BYTES>, const BYTES: usize>(depth: BayerDepth) {
        let mut random = fastrand::Rng::with_seed(1);
        let format = BayerFormat {
            order: BayerOrder::Rggb,
            depth,
        };
        assert_eq!(depth.row_bytes(4), BYTES as u64);
        for _ in 0..1000 {
            let bytes: [u8; BYTES] = std::array::from_fn(|_| random.u8(..));
            let word = Q::lanes(&bytes);
            for x_px in 0..4 {
                let lane = (word >> (16 * x_px)) as u16;
                assert_eq!(lane, format.row_sample(&bytes, x_px), "{depth:?} {bytes:?}");
            }
        }
    }

    #[test]
    fn four_samples_at_once_are_the_same_as_one_by_one() {
        check::<Bits8, 4>(BayerDepth::Bits8);
        check::<Bits10, 8>(BayerDepth::Bits10);
        check::<Bits12, 8>(BayerDepth::Bits12);
        check::<Packed10, 5>(BayerDepth::Packed10);
        check::<Packed12, 6>(BayerDepth::Packed12);
    }
}
