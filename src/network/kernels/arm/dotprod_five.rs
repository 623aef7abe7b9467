//! Rows of a 5x5 depthwise convolution with NEON dot products: 16 channels of several outputs at a time.
//!
//! First the inputs of every kernel column are interleaved: for each channel its bytes of four rows, and that of the fifth row with
//! three that have weight 0. Then the weights of 4 channels stay in registers while the columns pass.

use super::dotprod_end::{End, POSITIVE};
use super::dotprod_row::{Block, Column, HEAD, dot};
use super::neon_end::{self, fresh, store_vectors};
use crate::network::graph::requantise::Requantise;
use crate::network::kernels::DepthwiseRow;
use std::arch::aarch64::*;

/// Outputs whose columns are interleaved together.
const CHUNK: usize = 16;
/// Outputs that are computed together.
const TOGETHER: usize = 4;
const WIDTH: usize = 5;
/// Columns of a chunk if the stride is 2.
const COLUMNS: usize = (CHUNK - 1) * 2 + WIDTH;

/// Whether [`run`] takes these rows.
pub(super) fn takes(d: &DepthwiseRow) -> bool {
    d.kh == WIDTH && d.kw == WIDTH && d.dilation == 1 && d.stride <= 2
}

/// Interleaves the bytes of five rows.
///
/// # Safety
/// 16 bytes are readable at each.
#[inline(always)]
unsafe fn interleave(rows: [*const u8; WIDTH], to: &mut [Column; 2]) {
    // SAFETY: it reads the readable bytes; each vector holds 16 bytes.
    unsafe {
        let [a, b, c, d, e] = rows.map(|row| vld1q_s8(row.cast()));
        let pairs = |a, b| [vzip1q_s8(a, b), vzip2q_s8(a, b)].map(|v| vreinterpretq_s16_s8(v));
        let fours = |a: [int16x8_t; 2], b: [int16x8_t; 2]| {
            [
                vzip1q_s16(a[0], b[0]),
                vzip2q_s16(a[0], b[0]),
                vzip1q_s16(a[1], b[1]),
                vzip2q_s16(a[1], b[1]),
            ]
            .map(|v| vreinterpretq_s8_s16(v))
        };
        let last = pairs(e, e);
        let all = [fours(pairs(a, b), pairs(c, d)), fours(last, last)];
        for (to, all) in to.as_flattened_mut().iter_mut().zip(all.as_flattened()) {
            store_vectors::<4>((&raw mut *to).cast(), *all);
        }
    }
}

/// The blocks of a row.
///
/// # Safety
/// As `dotprod_depthwise::run`, for a kernel that [`takes`].
pub(super) unsafe fn run<'a, const STRIDE: usize, const WAY: u8>(
    blocks: impl Iterator<Item = Block<'a>>,
    end: &Requantise,
) {
    // SAFETY: the caller's contract is the same.
    unsafe {
        let end = End::new::<WAY>(end);
        for block in blocks {
            row::<STRIDE, WAY>(&block, &end);
        }
    }
}

/// # Safety
/// As `run`.
#[target_feature(enable = "neon,dotprod")]
unsafe fn row<const STRIDE: usize, const WAY: u8>(block: &Block<'_>, end: &End) {
    let d = &block.conv.row;
    let pad = [block.conv.pad; 16];
    let mut columns = [[[vdupq_n_s8(0); 4]; 2]; COLUMNS];
    // SAFETY: as `dotprod_depthwise::run`; columns below `w_in` are in the picture, and there are five rows.
    unsafe {
        let rows: [*const u8; WIDTH] = std::array::from_fn(|r| block.rows[r].add(block.c));
        let mut ox = 0;
        while ox < d.w_out {
            let count = CHUNK.min(d.w_out - ox);
            let first = (ox * STRIDE).wrapping_sub(d.left);
            let used = (count - 1) * STRIDE + WIDTH;
            for (i, to) in columns[..used].iter_mut().enumerate() {
                let at = first.wrapping_add(i);
                let inside = at < d.w_in;
                let from = rows.map(|row| {
                    if inside {
                        row.add(at * d.c)
                    } else {
                        pad.as_ptr()
                    }
                });
                interleave(from, to);
            }
            for at in (0..count).step_by(TOGETHER) {
                outputs::<STRIDE, WAY>(
                    block,
                    end,
                    &*columns.as_ptr().add(at * STRIDE).cast(),
                    block.y.add((ox + at) * d.c),
                    TOGETHER.min(count - at),
                );
            }
            ox += count;
        }
    }
}

/// The sums of [`TOGETHER`] outputs for the `V`th 4 channels.
///
/// # Safety
/// The CPU has dot products; `head` has biases and `weights` weights of the block.
#[inline(always)]
unsafe fn sums<const STRIDE: usize, const V: usize>(
    head: *const u8,
    weights: *const u8,
    columns: &[[Column; 2]; (TOGETHER - 1) * 2 + WIDTH],
) -> [int32x4_t; TOGETHER] {
    // SAFETY: as the caller says.
    unsafe {
        let mut sums = [vdupq_n_s32(0); TOGETHER];
        for sum in &mut sums {
            [*sum] = fresh::<1>(head.add(V * 16));
        }
        for kx in 0..WIDTH {
            for g in 0..2 {
                let w = vld1q_s8(weights.add((kx * 2 + g) * 64 + V * 16).cast());
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = dot(*sum, columns[i * STRIDE + kx][g][V], w);
                }
            }
        }
        sums
    }
}

/// # Safety
/// As `dotprod_depthwise::run`: `count` outputs from `y`.
#[inline(always)]
unsafe fn outputs<const STRIDE: usize, const WAY: u8>(
    block: &Block<'_>,
    end: &End,
    columns: &[[Column; 2]; (TOGETHER - 1) * 2 + WIDTH],
    y: *mut u8,
    count: usize,
) {
    // SAFETY: as the caller says.
    unsafe {
        let head = block.packed.add(if WAY == POSITIVE { 128 } else { 0 });
        let weights = block.packed.add(HEAD);
        let a = sums::<STRIDE, 0>(head, weights, columns);
        let b = sums::<STRIDE, 1>(head, weights, columns);
        let c = sums::<STRIDE, 2>(head, weights, columns);
        let d = sums::<STRIDE, 3>(head, weights, columns);
        let m = fresh::<4>(head.add(64)).map(|m| vreinterpretq_f32_s32(m));
        for i in 0..TOGETHER {
            let bytes = end.bytes::<WAY, 4>([a[i], b[i], c[i], d[i]], m, head.add(128));
            if i < count {
                let y = y.add(i * block.conv.row.c);
                if block.left >= 16 {
                    store_vectors::<4>(y, bytes);
                } else {
                    neon_end::store(y, bytes, block.left);
                }
            }
        }
    }
}
