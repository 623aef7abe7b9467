//! The loops with NEON, which every AArch64 CPU that runs Linux has.

use super::bt601::{BLACK, GREY, LUMA, SHIFT, U_BLUE, U_GREEN, V_GREEN, V_RED};
use super::{
    Column, EightLines, FRACTION_BITS, HORIZONTAL_SHIFT, LANES, ROWS, Row, TILE, VERTICAL_SHIFT,
    Vectors, full_range, reach,
};
use core::arch::aarch64::*;

/// Vectors of eight 16-bit values.
#[derive(Debug, Clone, Copy)]
pub struct Neon;

impl Vectors for Neon {
    type Values = int16x8_t;

    #[inline(always)]
    fn vertical_tile(
        self,
        rows: &[Row<'_>; ROWS],
        at: usize,
        stride: usize,
        columns: &mut [Column; TILE],
    ) {
        vertical(rows, at, stride, std::array::from_mut(columns));
    }

    #[inline(always)]
    fn vertical_tiles(
        self,
        rows: &[Row<'_>; ROWS],
        at: usize,
        stride: usize,
        columns: &mut [[Column; TILE]; 2],
    ) {
        vertical(rows, at, stride, columns);
    }

    #[inline(always)]
    fn horizontal<const STEP: usize>(self, columns: &[Column], weights: &[i16]) -> int16x8_t {
        let [lanes] = horizontal::<STEP, 1>([columns], weights);
        lanes
    }

    #[inline(always)]
    fn horizontal_twice<const STEP: usize>(
        self,
        columns: [&[Column]; 2],
        weights: &[i16],
    ) -> [int16x8_t; 2] {
        horizontal::<STEP, 2>(columns, weights)
    }

    #[inline(always)]
    fn apply_lines(self, pixels: &[u8; 24], lines: &EightLines) -> [u8; 24] {
        let mut bytes = [0; 24];
        let eights = bytes
            .as_chunks_mut::<8>()
            .0
            .iter_mut()
            .zip(pixels.as_chunks::<8>().0);
        let flip = lines.flip;
        let lines = lines
            .slopes
            .as_chunks::<8>()
            .0
            .iter()
            .zip(lines.starts.as_chunks::<8>().0);
        for ((bytes, pixels), (slopes, starts)) in eights.zip(lines) {
            // SAFETY: the references are valid for that many values; NEON is part of the target.
            unsafe {
                let pixels = vmovl_u8(vld1_u8(pixels.as_ptr()));
                let fours = [vmovl_u16(vget_low_u16(pixels)), vmovl_high_u16(pixels)];
                let four = |i: usize| {
                    let (slopes, starts) = (
                        vld1q_s32(slopes[4 * i..].as_ptr()),
                        vld1q_s32(starts[4 * i..].as_ptr()),
                    );
                    vmlaq_s32(starts, vreinterpretq_s32_u32(fours[i]), slopes)
                };
                // The first part of the shift clamps negative values to 0, the rest clamps at 255.
                const FIRST: i32 = 16;
                const REST: i32 = super::LINE_FRACTION_BITS as i32 - FIRST;
                let low = vqshrun_n_s32::<FIRST>(four(0));
                let both = vqshrun_high_n_s32::<FIRST>(low, four(1));
                let whole = vqshrn_n_u16::<REST>(both);
                vst1_u8(bytes.as_mut_ptr(), veor_u8(whole, vdup_n_u8(flip)));
            }
        }
        bytes
    }

    #[inline(always)]
    fn bytes_of(self, values: int16x8_t) -> [u8; ROWS] {
        let mut bytes = [0; LANES];
        // SAFETY: the array has room for the 8 bytes that are stored; NEON is part of the target.
        unsafe { vst1_u8(bytes.as_mut_ptr(), vqrshrun_n_s16::<FRACTION_BITS>(values)) };
        bytes
    }

    #[inline(always)]
    fn rgb_of_yuv(self, y: int16x8_t, u: int16x8_t, v: int16x8_t) -> [[u8; ROWS]; 3] {
        // SAFETY: the functions below only need NEON, which is part of the target.
        unsafe {
            let y = vsubq_s16(y, vdupq_n_s16(BLACK));
            let u = vsubq_s16(u, vdupq_n_s16(GREY));
            let v = vsubq_s16(v, vdupq_n_s16(GREY));
            let luma = [
                vmull_n_s16(vget_low_s16(y), LUMA),
                vmull_high_n_s16(y, LUMA),
            ];
            [
                narrow(add(luma, v, V_RED)),
                narrow(add(add(luma, u, -U_GREEN), v, -V_GREEN)),
                narrow(add(luma, u, U_BLUE)),
            ]
        }
    }

    #[inline(always)]
    fn rgb_of_full_yuv(self, y: int16x8_t, u: int16x8_t, v: int16x8_t) -> [[u8; ROWS]; 3] {
        // SAFETY: the intrinsics only need NEON, which is part of the target.
        let rgb = unsafe {
            full_range(
                [y, u, v],
                vdupq_n_s16(GREY),
                |a, b| vqaddq_s16(a, b),
                |a, b| vqsubq_s16(a, b),
                |values, part| vqrdmulhq_n_s16(values, part),
            )
        };
        rgb.map(|colour| self.bytes_of(colour))
    }

    #[inline(always)]
    fn rows_of(self, columns: &[[u8; ROWS]; LANES]) -> [[u8; LANES]; ROWS] {
        // SAFETY: the references are valid for that many bytes; NEON is part of the target.
        unsafe {
            // Two columns, then pairs of two such, fours of two such, byte by byte.
            let c: [uint8x8_t; LANES] = std::array::from_fn(|i| vld1_u8(columns[i].as_ptr()));
            let near: [uint8x16_t; 4] = std::array::from_fn(|i| vcombine_u8(c[i], c[i + 4]));
            let zip = |a: uint8x16_t, b: uint8x16_t| (vzip1q_u8(a, b), vzip2q_u8(a, b));
            // Columns 0 2 and 4 6, 1 3 and 5 7; then all even ones with all odd ones.
            let ((a, b), (d, e)) = (zip(near[0], near[2]), zip(near[1], near[3]));
            let ((low_a, high_a), (low_b, high_b)) = (zip(a, d), zip(b, e));
            let four = |a: uint8x16_t, b: uint8x16_t| {
                let (a, b) = (vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b));
                [vzip1q_u32(a, b), vzip2q_u32(a, b)]
            };
            let [r01, r23] = four(low_a, low_b);
            let [r45, r67] = four(high_a, high_b);
            let mut rows = [[0; LANES]; LANES];
            for (two, rows) in [r01, r23, r45, r67]
                .into_iter()
                .zip(rows.as_chunks_mut::<2>().0)
            {
                vst1q_u8(rows.as_mut_ptr().cast(), vreinterpretq_u8_u32(two));
            }
            rows
        }
    }
}

#[inline(always)]
pub(super) fn load(column: &Column) -> int16x8_t {
    // SAFETY: the reference is valid for 8 values; NEON is part of the target.
    unsafe { vld1q_s16(column.as_ptr()) }
}

#[inline(always)]
fn store(column: &mut Column, values: int16x8_t) {
    // SAFETY: the reference is valid for 8 values; NEON is part of the target.
    unsafe { vst1q_s16(column.as_mut_ptr(), values) }
}

/// Filters `N` adjacent tiles.
#[inline(always)]
fn vertical<const N: usize>(
    rows: &[Row<'_>; ROWS],
    at: usize,
    stride: usize,
    columns: &mut [[Column; TILE]; N],
) {
    // SAFETY: the functions and intrinsics only need NEON, which is part of the target.
    unsafe {
        let mut filtered = [[[vdupq_n_s16(0); LANES]; 2]; N];
        for (lane, &row) in rows.iter().enumerate() {
            let tiles: [_; N] = filter(row, at, stride);
            for (filtered, [left, right]) in filtered.iter_mut().zip(tiles) {
                filtered[0][lane] = left;
                filtered[1][lane] = right;
            }
        }
        for (filtered, columns) in filtered.into_iter().zip(columns) {
            let (left, right) = columns.split_at_mut(LANES);
            for (columns, rows) in [left, right].into_iter().zip(filtered) {
                for (column, values) in columns.iter_mut().zip(transposed(rows)) {
                    store(column, values);
                }
            }
        }
    }
}

/// One output row of `N` tiles: bytes 0..8 and 8..16 of each.
#[inline]
#[target_feature(enable = "neon")]
fn filter<const N: usize>(
    (data, weights): Row<'_>,
    at: usize,
    stride: usize,
) -> [[int16x8_t; 2]; N] {
    let mut sums = [[vdupq_n_s32(1 << (VERTICAL_SHIFT - 1)); 4]; N];
    let data = &data[at..][..reach(weights, stride, N * TILE)];
    for (tap, &weight) in weights.iter().enumerate() {
        let weight = vdupq_n_s16(weight);
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the data reaches to the end of the last tile of the last tap.
            let bytes = unsafe { vld1q_u8(data.as_ptr().add(tap * stride + i * TILE)) };
            let left = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes)));
            let right = vreinterpretq_s16_u16(vmovl_high_u8(bytes));
            sums[0] = vmlal_s16(sums[0], vget_low_s16(left), vget_low_s16(weight));
            sums[1] = vmlal_high_s16(sums[1], left, weight);
            sums[2] = vmlal_s16(sums[2], vget_low_s16(right), vget_low_s16(weight));
            sums[3] = vmlal_high_s16(sums[3], right, weight);
        }
    }
    let mut tiles = [[vdupq_n_s16(0); 2]; N];
    for (tile, sums) in tiles.iter_mut().zip(sums) {
        tile[0] =
            vshrn_high_n_s32::<VERTICAL_SHIFT>(vshrn_n_s32::<VERTICAL_SHIFT>(sums[0]), sums[1]);
        tile[1] =
            vshrn_high_n_s32::<VERTICAL_SHIFT>(vshrn_n_s32::<VERTICAL_SHIFT>(sums[2]), sums[3]);
    }
    tiles
}

/// `N` colours with the same weights.
#[inline(always)]
fn horizontal<const STEP: usize, const N: usize>(
    columns: [&[Column]; N],
    weights: &[i16],
) -> [int16x8_t; N] {
    // SAFETY: the intrinsics only need NEON, which is part of the target; the columns reach to the last tap.
    unsafe {
        let mut sums = [[vdupq_n_s32(1 << (HORIZONTAL_SHIFT - 1)); 2]; N];
        let reach = reach(weights, STEP, 1);
        let columns: [&[Column]; N] = std::array::from_fn(|i| &columns[i][..reach]);
        for (tap, &weight) in weights.iter().enumerate() {
            let weight = vdupq_n_s16(weight);
            for (sums, columns) in sums.iter_mut().zip(columns) {
                let values = load(columns.get_unchecked(tap * STEP));
                sums[0] = vmlal_s16(sums[0], vget_low_s16(values), vget_low_s16(weight));
                sums[1] = vmlal_high_s16(sums[1], values, weight);
            }
        }
        sums.map(|[low, high]| {
            let low = vshrn_n_s32::<HORIZONTAL_SHIFT>(low);
            vshrn_high_n_s32::<HORIZONTAL_SHIFT>(low, high)
        })
    }
}

/// Transposes rows to columns.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn transposed(r: [int16x8_t; LANES]) -> [int16x8_t; LANES] {
    // Single values of two rows, pairs of two such, fours of two such.
    let mut p = r;
    for i in (0..LANES).step_by(2) {
        (p[i], p[i + 1]) = (vtrn1q_s16(r[i], r[i + 1]), vtrn2q_s16(r[i], r[i + 1]));
    }
    let mut q = p;
    for i in [0, 1, 4, 5] {
        let (a, b) = (vreinterpretq_s32_s16(p[i]), vreinterpretq_s32_s16(p[i + 2]));
        q[i] = vreinterpretq_s16_s32(vtrn1q_s32(a, b));
        q[i + 2] = vreinterpretq_s16_s32(vtrn2q_s32(a, b));
    }
    let mut columns = q;
    for i in 0..4 {
        let (a, b) = (vreinterpretq_s64_s16(q[i]), vreinterpretq_s64_s16(q[i + 4]));
        columns[i] = vreinterpretq_s16_s64(vtrn1q_s64(a, b));
        columns[i + 4] = vreinterpretq_s16_s64(vtrn2q_s64(a, b));
    }
    columns
}

#[inline]
#[target_feature(enable = "neon")]
fn add(sums: [int32x4_t; 2], values: int16x8_t, factor: i16) -> [int32x4_t; 2] {
    [
        vmlal_n_s16(sums[0], vget_low_s16(values), factor),
        vmlal_high_n_s16(sums[1], values, factor),
    ]
}

/// Converts products to bytes, rounded and clamped.
#[inline]
#[target_feature(enable = "neon")]
fn narrow(sums: [int32x4_t; 2]) -> [u8; LANES] {
    let [low, high] = sums.map(|sum| vqmovn_s32(vrshrq_n_s32::<SHIFT>(sum)));
    let mut bytes = [0; LANES];
    // SAFETY: the array has room for the 8 bytes that are stored.
    unsafe { vst1_u8(bytes.as_mut_ptr(), vqmovun_s16(vcombine_s16(low, high))) };
    bytes
}
