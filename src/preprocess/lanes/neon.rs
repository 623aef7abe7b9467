//! The loops with NEON, which every AArch64 CPU that runs Linux has.

use super::bt601::{BLACK, GREY, LUMA, SHIFT, U_BLUE, U_GREEN, V_GREEN, V_RED};
use super::{Column, FRACTION_BITS, HORIZONTAL_SHIFT, LANES, TILE, VERTICAL_SHIFT, Vectors};
use core::arch::aarch64::{
    int16x8_t, int32x4_t, uint8x16_t, vcombine_s16, vdupq_n_s16, vdupq_n_s32, vget_low_s16,
    vget_low_u8, vld1q_s16, vld1q_u8, vmlal_high_n_s16, vmlal_n_s16, vmovl_high_u8, vmovl_u8,
    vmull_high_n_s16, vmull_n_s16, vqmovn_s32, vqmovun_s16, vqrshrun_n_s16, vreinterpretq_s16_s32,
    vreinterpretq_s16_s64, vreinterpretq_s16_u16, vreinterpretq_s32_s16, vreinterpretq_s64_s16,
    vrshrq_n_s32, vshrn_n_s32, vst1_u8, vst1q_s16, vsubq_s16, vtrn1q_s16, vtrn1q_s32, vtrn1q_s64,
    vtrn2q_s16, vtrn2q_s32, vtrn2q_s64,
};

/// Vectors of eight 16-bit values.
#[derive(Debug, Clone, Copy)]
pub struct Neon;

/// `LANES` values with `FRACTION_BITS`.
#[derive(Clone, Copy)]
pub struct Lanes(int16x8_t);

impl Vectors for Neon {
    type Lanes = Lanes;

    #[inline(always)]
    fn vertical_tile(
        self,
        rows: &[(&[u8], &[i16]); LANES],
        stride: usize,
        columns: &mut [Column; TILE],
    ) {
        // SAFETY: the functions below only need NEON, which belongs to the target.
        unsafe {
            let mut filtered = [[vdupq_n_s16(0); LANES]; 2];
            for (lane, (data, weights)) in rows.iter().enumerate() {
                let [left, right] = filter(data, stride, weights);
                filtered[0][lane] = left;
                filtered[1][lane] = right;
            }
            let (left, right) = columns.split_at_mut(LANES);
            for (columns, rows) in [left, right].into_iter().zip(filtered) {
                for (column, values) in columns.iter_mut().zip(transposed(rows)) {
                    store(column, values);
                }
            }
        }
    }

    #[inline(always)]
    fn horizontal<const STEP: usize>(self, columns: &[Column], weights: &[i16]) -> Lanes {
        // SAFETY: the intrinsics only need NEON, which belongs to the target.
        unsafe {
            let round = vdupq_n_s32(1 << (HORIZONTAL_SHIFT - 1));
            let (mut left, mut right) = (round, round);
            for (column, &weight) in columns.chunks(STEP).zip(weights) {
                let values = load(&column[0]);
                left = vmlal_n_s16(left, vget_low_s16(values), weight);
                right = vmlal_high_n_s16(right, values, weight);
            }
            Lanes(vcombine_s16(
                vshrn_n_s32::<HORIZONTAL_SHIFT>(left),
                vshrn_n_s32::<HORIZONTAL_SHIFT>(right),
            ))
        }
    }

    #[inline(always)]
    fn bytes_of(self, Lanes(values): Lanes) -> [u8; LANES] {
        let mut bytes = [0; LANES];
        // SAFETY: the array takes the 8 bytes that are stored; NEON belongs to the target.
        unsafe { vst1_u8(bytes.as_mut_ptr(), vqrshrun_n_s16::<FRACTION_BITS>(values)) };
        bytes
    }

    #[inline(always)]
    fn rgb_of_yuv(self, Lanes(y): Lanes, Lanes(u): Lanes, Lanes(v): Lanes) -> [[u8; LANES]; 3] {
        // SAFETY: the functions below only need NEON, which belongs to the target.
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
}

#[inline(always)]
fn load(column: &Column) -> int16x8_t {
    // SAFETY: the reference is good for 8 values; NEON belongs to the target.
    unsafe { vld1q_s16(column.as_ptr()) }
}

/// The first `TILE` bytes.
#[inline(always)]
fn tile(bytes: &[u8]) -> uint8x16_t {
    let bytes: &[u8; TILE] = bytes.first_chunk().unwrap_or(&[0; TILE]); // the caller's rows are all at least a tile long
    // SAFETY: the reference is good for 16 bytes; NEON belongs to the target.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

#[inline(always)]
fn store(column: &mut Column, values: int16x8_t) {
    // SAFETY: the reference is good for 8 values; NEON belongs to the target.
    unsafe { vst1q_s16(column.as_mut_ptr(), values) }
}

/// One output row of a tile: bytes 0..8 and 8..16.
#[inline]
#[target_feature(enable = "neon")]
fn filter(data: &[u8], stride: usize, weights: &[i16]) -> [int16x8_t; 2] {
    let mut sums = [vdupq_n_s32(1 << (VERTICAL_SHIFT - 1)); 4];
    for (row, &weight) in data.chunks(stride).zip(weights) {
        let bytes = tile(row);
        let left = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes)));
        let right = vreinterpretq_s16_u16(vmovl_high_u8(bytes));
        sums[0] = vmlal_n_s16(sums[0], vget_low_s16(left), weight);
        sums[1] = vmlal_high_n_s16(sums[1], left, weight);
        sums[2] = vmlal_n_s16(sums[2], vget_low_s16(right), weight);
        sums[3] = vmlal_high_n_s16(sums[3], right, weight);
    }
    let [a, b, c, d] = sums.map(|sum| vshrn_n_s32::<VERTICAL_SHIFT>(sum));
    [vcombine_s16(a, b), vcombine_s16(c, d)]
}

/// Rows to columns.
#[inline]
#[target_feature(enable = "neon")]
fn transposed(r: [int16x8_t; LANES]) -> [int16x8_t; LANES] {
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

/// Products to bytes, rounded and clamped.
#[inline]
#[target_feature(enable = "neon")]
fn narrow(sums: [int32x4_t; 2]) -> [u8; LANES] {
    let [low, high] = sums.map(|sum| vqmovn_s32(vrshrq_n_s32::<SHIFT>(sum)));
    let mut bytes = [0; LANES];
    // SAFETY: the array takes the 8 bytes that are stored.
    unsafe { vst1_u8(bytes.as_mut_ptr(), vqmovun_s16(vcombine_s16(low, high))) };
    bytes
}
