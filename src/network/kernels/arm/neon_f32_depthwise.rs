//! Float depthwise convolution with NEON, in blocks of 8 channels.
//!
//! A 3x3 kernel's 18 weight vectors stay in registers, and two neighbouring outputs share the columns that both use. For 5x5 and
//! 7x7 kernels, one row's weights stay in registers with the sums of up to 6 outputs, and each column is loaded once for all
//! outputs that use it.

use super::neon_f32::{store, vectors};
use crate::network::kernels::panels::{pack_depthwise_floats, tiles};
use crate::network::kernels::{Aligned, DepthwiseF32, DepthwiseRow, RawF32};
use std::arch::aarch64::*;
use std::ops::Range;

/// Outputs of a tile: two vectors of sums for each, 14 of weights and two of values, in 32 registers.
const TILE: usize = 6;

/// Blocks of 8 channels: biases, then two vectors per kernel row and column.
pub(super) fn pack(row: &DepthwiseRow, raw: &RawF32<'_>) -> Aligned {
    pack_depthwise_floats(row, raw, 8)
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
    let square = if d.kh == d.kw && d.dilation == 1 && d.stride <= 2 {
        d.kw
    } else {
        0
    };
    let inner = d.whole_windows();
    for c in channels.step_by(8) {
        // SAFETY: contract (reads, writes); reading past the last channel is within the slack.
        unsafe {
            let block = Block {
                conv,
                w: conv.packed.as_ptr().add(c / 8 * (1 + per) * 32).cast(),
                c,
                y: y.cast(),
            };
            match (square, d.stride) {
                (5, 1) => block.walk::<5, 1>(rows, &inner),
                (5, 2) => block.walk::<5, 2>(rows, &inner),
                (7, 1) => block.walk::<7, 1>(rows, &inner),
                (7, 2) => block.walk::<7, 2>(rows, &inner),
                (3, stride) => {
                    block.edges(rows, 0..inner.start);
                    match stride {
                        1 => block.three::<1>(rows, inner.clone()),
                        _ => block.three::<2>(rows, inner.clone()),
                    }
                    block.edges(rows, inner.end..d.w_out);
                }
                _ => block.any(rows, 0..d.w_out),
            }
        }
    }
}

/// 8 channels of a depthwise row.
struct Block<'a> {
    conv: &'a DepthwiseF32,
    w: *const f32,
    c: usize,
    y: *mut f32,
}

impl Block<'_> {
    /// # Safety
    /// As `run`.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn finish(&self, sums: [float32x4_t; 2], ox: usize) {
        // SAFETY: as `run`.
        unsafe {
            let low = vdupq_n_f32(self.conv.clamp.0);
            let high = vdupq_n_f32(self.conv.clamp.1);
            let sums = sums.map(|s| vminq_f32(vmaxq_f32(s, low), high));
            let y = self.y.add(ox * self.conv.row.c + self.c);
            let left = self.conv.row.c - self.c;
            if left >= 8 {
                vst1q_f32_x2(y, float32x4x2_t(sums[0], sums[1]));
            } else {
                store(y, sums[0], left);
                if left > 4 {
                    store(y.add(4), sums[1], left - 4);
                }
            }
        }
    }

    /// Any kernel, any columns.
    ///
    /// # Safety
    /// As `run`.
    #[target_feature(enable = "neon")]
    unsafe fn any(&self, rows: &[*const u8], outputs: Range<usize>) {
        let d = &self.conv.row;
        // SAFETY: as `run`.
        unsafe {
            for ox in outputs {
                let mut sums = vectors::<2>(self.w);
                for (ky, row) in rows.iter().enumerate() {
                    for kx in 0..d.kw {
                        let ix = (ox * d.stride + kx * d.dilation).wrapping_sub(d.left);
                        if ix < d.w_in {
                            let x = vectors::<2>(row.cast::<f32>().add(ix * d.c + self.c));
                            let w = vectors::<2>(self.w.add((1 + ky * d.kw + kx) * 8));
                            sums[0] = vfmaq_f32(sums[0], x[0], w[0]);
                            sums[1] = vfmaq_f32(sums[1], x[1], w[1]);
                        }
                    }
                }
                self.finish(sums, ox);
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
                self.finish(sums, ox + m);
            }
        }
    }

    /// A 3x3 kernel, for columns inside the picture.
    ///
    /// # Safety
    /// As `run`; every window is in the picture.
    #[target_feature(enable = "neon")]
    unsafe fn three<const STRIDE: usize>(&self, rows: &[*const u8], outputs: Range<usize>) {
        let d = &self.conv.row;
        if outputs.is_empty() {
            return;
        }
        // SAFETY: as `run`.
        unsafe {
            let bias = vectors::<2>(self.w);
            let mut k = [[vdupq_n_f32(0.0); 2]; 9];
            for (i, k) in k.iter_mut().enumerate() {
                *k = vectors::<2>(self.w.add((1 + i) * 8));
            }
            let start = (outputs.start * STRIDE - d.left) * d.c + self.c;
            let mut x = [std::ptr::null(); 3];
            for (x, row) in x.iter_mut().zip(rows) {
                *x = row.cast::<f32>().add(start);
            }
            let mut ox = outputs.start;
            while ox + 1 < outputs.end {
                let mut sums = [bias; 2];
                for (r, x) in x.iter_mut().enumerate() {
                    let mut at = *x;
                    for column in 0..STRIDE + 3 {
                        let values = vectors::<2>(at);
                        at = at.add(d.c);
                        for (o, sums) in sums.iter_mut().enumerate() {
                            let tap = column.wrapping_sub(o * STRIDE);
                            if tap < 3 {
                                sums[0] = vfmaq_f32(sums[0], values[0], k[r * 3 + tap][0]);
                                sums[1] = vfmaq_f32(sums[1], values[1], k[r * 3 + tap][1]);
                            }
                        }
                    }
                    *x = x.add(2 * STRIDE * d.c);
                }
                self.finish(sums[0], ox);
                self.finish(sums[1], ox + 1);
                ox += 2;
            }
            if ox < outputs.end {
                self.columns::<0, 3>(rows, ox);
            }
        }
    }

    /// A 3x3 kernel's outputs at the edges of the picture.
    ///
    /// # Safety
    /// As `run`.
    #[target_feature(enable = "neon")]
    unsafe fn edges(&self, rows: &[*const u8], outputs: Range<usize>) {
        let d = &self.conv.row;
        for ox in outputs {
            let from = ox * d.stride;
            // SAFETY: as `run`; the columns named are in the picture.
            unsafe {
                if from + 1 == d.left && d.w_in >= 2 {
                    self.columns::<1, 3>(rows, ox);
                } else if from >= d.left && from - d.left + 2 == d.w_in {
                    self.columns::<0, 2>(rows, ox);
                } else {
                    self.any(rows, ox..ox + 1);
                }
            }
        }
    }

    /// An output of a 3x3 kernel from kernel columns `FROM..TO`.
    ///
    /// # Safety
    /// As `run`; those columns are in the picture.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn columns<const FROM: usize, const TO: usize>(&self, rows: &[*const u8], ox: usize) {
        let d = &self.conv.row;
        // SAFETY: as `run`.
        unsafe {
            let mut sums = vectors::<2>(self.w);
            let start = (ox * d.stride + FROM - d.left) * d.c + self.c;
            for (r, row) in rows[..3].iter().enumerate() {
                let row = row.cast::<f32>().add(start);
                for kx in FROM..TO {
                    let x = vectors::<2>(row.add((kx - FROM) * d.c));
                    let w = vectors::<2>(self.w.add((1 + r * 3 + kx) * 8));
                    sums[0] = vfmaq_f32(sums[0], x[0], w[0]);
                    sums[1] = vfmaq_f32(sums[1], x[1], w[1]);
                }
            }
            self.finish(sums, ox);
        }
    }
}
