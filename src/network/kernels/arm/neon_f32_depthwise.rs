//! Float depthwise convolution with NEON, in blocks of 8 channels.
//!
//! For 5x5 and 7x7 kernels, one row's weights stay in registers with the sums of up to 6 outputs, and each column is loaded once for
//! all outputs that use it. For 3x3 kernels see [`super::neon_three`], which has blocks of 4 channels.

use super::neon_f32::{store, vectors};
use super::neon_three;
use crate::network::kernels::panels::{pack_depthwise_floats, tiles};
use crate::network::kernels::{Aligned, DepthwiseF32, DepthwiseRow, RawF32};
use std::arch::aarch64::*;
use std::ops::Range;

/// Outputs of a tile: two vectors of sums for each, 14 of weights and two of values, in 32 registers.
const TILE: usize = 6;

/// Blocks of 8 channels (or 4): biases, then two vectors (or one) per kernel row and column.
pub(super) fn pack(row: &DepthwiseRow, raw: &RawF32<'_>) -> Aligned {
    pack_depthwise_floats(row, raw, if neon_three::takes(row) { 4 } else { 8 })
}

/// Some channels of one output row.
///
/// # Safety
/// The contract of `Kernels`.
#[target_feature(enable = "neon")]
pub(super) unsafe fn run(
    conv: &DepthwiseF32,
    rows: &[*const u8],
    y: *mut u8,
    channels: Range<usize>,
) {
    let d = &conv.row;
    let per = d.kh * d.kw;
    let block = |c: usize, lanes: usize| Block {
        conv,
        w: conv.packed.as_ptr().wrapping_add(c * (1 + per) * 4).cast(),
        c,
        end: (c + lanes).min(d.c),
        y: y.cast(),
    };
    if neon_three::takes(d) {
        let last = channels.end / 4 * 4;
        // SAFETY: contract (reads, writes); reading past the last channel is within the slack.
        unsafe {
            if channels.start < last {
                neon_three::run(conv, rows, y, channels.start..last);
            }
            if last < channels.end {
                block(last, 4).any::<1>(rows, 0..d.w_out);
            }
        }
        return;
    }
    let square = if d.kh == d.kw && d.dilation == 1 && d.stride <= 2 {
        d.kw
    } else {
        0
    };
    let inner = d.whole_windows();
    for c in channels.step_by(8) {
        // SAFETY: contract (reads, writes); reading past the last channel is within the slack.
        unsafe {
            let block = block(c, 8);
            match (square, d.stride) {
                (5, 1) => block.walk::<5, 1>(rows, &inner),
                (5, 2) => block.walk::<5, 2>(rows, &inner),
                (7, 1) => block.walk::<7, 1>(rows, &inner),
                (7, 2) => block.walk::<7, 2>(rows, &inner),
                _ => block.any::<2>(rows, 0..d.w_out),
            }
        }
    }
}

/// 8 channels (or 4) of a depthwise row.
struct Block<'a> {
    conv: &'a DepthwiseF32,
    w: *const f32,
    c: usize,
    /// Past its last channel.
    end: usize,
    y: *mut f32,
}

impl Block<'_> {
    /// # Safety
    /// As `run`.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn finish(&self, sums: &[float32x4_t], ox: usize) {
        // SAFETY: as `run`.
        unsafe {
            let low = vdupq_n_f32(self.conv.clamp.0);
            let high = vdupq_n_f32(self.conv.clamp.1);
            let y = self.y.add(ox * self.conv.row.c);
            for (c, &sum) in (self.c..self.end).step_by(4).zip(sums) {
                let limited = vminq_f32(vmaxq_f32(sum, low), high);
                store(y.add(c), limited, self.end - c);
            }
        }
    }

    /// Any kernel, any columns, V vectors of channels.
    ///
    /// # Safety
    /// As `run`.
    #[target_feature(enable = "neon")]
    unsafe fn any<const V: usize>(&self, rows: &[*const u8], outputs: Range<usize>) {
        let d = &self.conv.row;
        // SAFETY: as `run`.
        unsafe {
            for ox in outputs {
                let mut sums = vectors::<V>(self.w);
                for (ky, row) in rows.iter().enumerate() {
                    for kx in 0..d.kw {
                        let ix = (ox * d.stride + kx * d.dilation).wrapping_sub(d.left);
                        if ix < d.w_in {
                            let x = vectors::<V>(row.cast::<f32>().add(ix * d.c + self.c));
                            let w = vectors::<V>(self.w.add((1 + ky * d.kw + kx) * V * 4));
                            for ((sum, x), w) in sums.iter_mut().zip(x).zip(w) {
                                *sum = vfmaq_f32(*sum, x, w);
                            }
                        }
                    }
                }
                self.finish(&sums, ox);
            }
        }
    }

    /// All outputs of K x K kernels, stride S, in tiles.
    ///
    /// # Safety
    /// As `run`; the windows of `inner` are in the picture.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn walk<const K: usize, const S: usize>(
        &self,
        rows: &[*const u8],
        inner: &Range<usize>,
    ) {
        for (ox, size) in tiles(self.conv.row.w_out, TILE) {
            let inside = inner.start <= ox && ox + size <= inner.end;
            macro_rules! of_size {
                ($($size:literal)*) => {
                    match size {
                        // SAFETY: the caller's contract is the same, with `size` outputs.
                        $($size if inside => unsafe { self.tile::<$size, K, S, true>(rows, ox) },
                        // SAFETY: the caller's contract is the same, with `size` outputs.
                        $size => unsafe { self.tile::<$size, K, S, false>(rows, ox) },)*
                        _ => {}
                    }
                };
            }
            of_size!(1 2 3 4 5 6);
        }
    }

    /// `MR` outputs from `ox`; their windows are in the picture if `INSIDE`. Each column is loaded once for all outputs that use
    /// it.
    ///
    /// # Safety
    /// As `run`.
    #[target_feature(enable = "neon")]
    unsafe fn tile<const MR: usize, const K: usize, const S: usize, const INSIDE: bool>(
        &self,
        rows: &[*const u8],
        ox: usize,
    ) {
        let (d, first) = (&self.conv.row, ox * S);
        // The columns that are in the picture, relative to the first window's first column.
        let real = d.left.saturating_sub(first)..(d.w_in + d.left).saturating_sub(first);
        // The first of these columns may be before the start of the row.
        let at = first
            .wrapping_sub(d.left)
            .wrapping_mul(d.c)
            .wrapping_add(self.c);
        // SAFETY: as `run`; only columns of the picture are read.
        unsafe {
            let mut sums = [vectors::<2>(self.w); MR];
            for (ky, row) in rows[..K].iter().enumerate() {
                let row = row.cast::<f32>().wrapping_add(at);
                let weights: [[float32x4_t; 2]; K] =
                    std::array::from_fn(|kx| vectors::<2>(self.w.add((1 + ky * K + kx) * 8)));
                for column in 0..(MR - 1) * S + K {
                    if !INSIDE && !real.contains(&column) {
                        continue;
                    }
                    let x = vectors::<2>(row.wrapping_add(column * d.c));
                    for (m, sums) in sums.iter_mut().enumerate() {
                        if m * S <= column && column < m * S + K {
                            let w = weights[column - m * S];
                            sums[0] = vfmaq_f32(sums[0], x[0], w[0]);
                            sums[1] = vfmaq_f32(sums[1], x[1], w[1]);
                        }
                    }
                }
            }
            for (m, sums) in sums.into_iter().enumerate() {
                self.finish(&sums, ox + m);
            }
        }
    }
}
