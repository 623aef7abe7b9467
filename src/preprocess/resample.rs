//! The two filter passes and the colour conversion, on blocks of [`LANES`] output rows.
//!
//! All arithmetic is on whole numbers and the same on every CPU:
//! - vertical: bytes times 14-bit weights, summed in 32 bits, rounded to 6 fraction bits (0..=16320);
//! - horizontal: those times 14-bit weights, summed in 32 bits, rounded to a byte (RGB, grey) or to 6 fraction bits (YUV);
//! - YUV to RGB: BT.601 limited range with 13-bit coefficients, rounded and clamped to a byte.
//!
//! The vertical pass writes its result column by column, [`LANES`] rows side by side, so that the horizontal pass and the
//! colour conversion work on whole lanes: every inner loop has a fixed length and becomes vector instructions.

use super::source::Plane;
use super::taps::{Taps, WEIGHT_BITS};

/// Output rows that are worked on together.
pub(super) const LANES: usize = 8;

/// One column of a block: the same byte of `LANES` vertically filtered rows, with [`FRACTION_BITS`].
pub(super) type Column = [i16; LANES];

/// Fraction bits between the passes.
const FRACTION_BITS: u32 = 6;

/// Bytes of a row that the vertical pass takes at once.
const TILE: usize = 16;

/// Filters the plane's rows into output rows `rows`, one lane each. `columns` has `plane.len` columns.
pub(super) fn vertical(
    data: &[u8],
    plane: &Plane,
    taps: &Taps,
    rows: &[usize; LANES],
    columns: &mut [Column],
) {
    if plane.len < TILE {
        for at in 0..plane.len {
            tile::<1>(data, plane, taps, rows, at, columns);
        }
        return;
    }
    for at in (0..plane.len - TILE).step_by(TILE) {
        tile::<TILE>(data, plane, taps, rows, at, columns);
    }
    // The last tile ends with the row, and does a part of its neighbour's work again.
    tile::<TILE>(data, plane, taps, rows, plane.len - TILE, columns);
}

#[inline(always)]
fn tile<const N: usize>(
    data: &[u8],
    plane: &Plane,
    taps: &Taps,
    rows: &[usize; LANES],
    at: usize,
    columns: &mut [Column],
) {
    let mut filtered = [[0i16; N]; LANES];
    for (lane, &row) in filtered.iter_mut().zip(rows) {
        let (start, weights) = taps.get(row);
        let begin = plane.offset + start * plane.stride + at;
        let mut sums = [1i32 << (WEIGHT_BITS - FRACTION_BITS - 1); N];
        for (source, &weight) in data[begin..].chunks(plane.stride).zip(weights) {
            let bytes = &source[..N];
            for (sum, &byte) in sums.iter_mut().zip(bytes) {
                *sum += i32::from(i16::from(byte)) * i32::from(weight);
            }
        }
        for (value, &sum) in lane.iter_mut().zip(&sums) {
            *value = (sum >> (WEIGHT_BITS - FRACTION_BITS)) as i16;
        }
    }
    for (i, column) in columns[at..at + N].iter_mut().enumerate() {
        for (value, lane) in column.iter_mut().zip(&filtered) {
            *value = lane[i];
        }
    }
}

/// The weighted sum of every `STEP`th column, with `WEIGHT_BITS + FRACTION_BITS` fraction bits.
#[inline(always)]
fn horizontal<const STEP: usize>(columns: &[Column], weights: &[i16]) -> [i32; LANES] {
    let mut sums = [0i32; LANES];
    for (column, &weight) in columns.chunks(STEP).zip(weights) {
        for (sum, &value) in sums.iter_mut().zip(&column[0]) {
            *sum += i32::from(value) * i32::from(weight);
        }
    }
    sums
}

/// One colour of one pixel in `LANES` rows, as bytes.
#[inline(always)]
pub(super) fn horizontal_bytes<const STEP: usize>(
    columns: &[Column],
    weights: &[i16],
) -> [u8; LANES] {
    const SHIFT: u32 = WEIGHT_BITS + FRACTION_BITS;
    // The weights sum to 1 and the bytes are at most 255, so the result is at most 255.
    horizontal::<STEP>(columns, weights).map(|sum| ((sum + (1 << (SHIFT - 1))) >> SHIFT) as u8)
}

/// One colour of one pixel in `LANES` rows, with `FRACTION_BITS`.
#[inline(always)]
pub(super) fn horizontal_fine<const STEP: usize>(columns: &[Column], weights: &[i16]) -> Column {
    horizontal::<STEP>(columns, weights)
        .map(|sum| ((sum + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS) as i16)
}

/// BT.601 limited range (Y 16..=235, U and V 16..=240 around 128) to full-range R, G, B.
#[inline(always)]
pub(super) fn rgb_of_yuv(y: &Column, u: &Column, v: &Column) -> [[u8; LANES]; 3] {
    const BITS: u32 = 13;
    const SHIFT: u32 = BITS + FRACTION_BITS;
    // 255/219; 2 * (1 - Kr) and 2 * (1 - Kb) times 255/224, and their shares in green; Kr = 0.299, Kb = 0.114.
    const LUMA: i32 = 9539; // 1.164384
    const V_RED: i32 = 13075; // 1.596027
    const U_GREEN: i32 = 3209; // 0.391762
    const V_GREEN: i32 = 6660; // 0.812968
    const U_BLUE: i32 = 16525; // 2.017232
    let mut rgb = [[0u8; LANES]; 3];
    for lane in 0..LANES {
        let y = i32::from(y[lane] - (16 << FRACTION_BITS)) * LUMA + (1 << (SHIFT - 1));
        let u = u[lane] - (128 << FRACTION_BITS);
        let v = v[lane] - (128 << FRACTION_BITS);
        let byte = |value: i32| (value >> SHIFT).clamp(0, 255) as u8;
        rgb[0][lane] = byte(y + i32::from(v) * V_RED);
        rgb[1][lane] = byte(y - i32::from(u) * U_GREEN - i32::from(v) * V_GREEN);
        rgb[2][lane] = byte(y + i32::from(u) * U_BLUE);
    }
    rgb
}
