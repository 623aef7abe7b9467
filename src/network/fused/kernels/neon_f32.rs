//! Floats by NEON.
//!
//! Convolution: a tile of MR pixels by NV vectors of 4 output channels stays in registers (5x4 sums of the 32 registers, 5
//! vectors of pixels, 4 of weights). Four input channels of each pixel are loaded at once and multiplied by lane, so that an
//! input value is loaded once a panel. (The tile is the usual one of GEMM kernels, as in BLIS and XNNPACK.)
//!
//! Depthwise: blocks of 8 channels; a 3x3 kernel's 18 weight vectors stay in registers, and two neighbouring outputs share
//! the columns that both see.

use super::neon_lanes::{self, Floats};
use super::panels::{Panel, Panels, float_panels, pack_depthwise_floats, whole_tiles};
use super::{Aligned, ConvF32, DepthwiseF32, DepthwiseRow, Pixels, RawF32, Runs};
use std::arch::aarch64::*;
use std::ops::Range;

/// Vectors of 4 channels in the widest panel.
const WIDEST: usize = 4;

/// Panel by panel: biases, then for each value of the runs a vector of weights for each vector of channels.
pub(super) fn panels(runs: &Runs) -> Panels {
    float_panels(runs, 4, WIDEST)
}

/// Channels that a range must begin at a multiple of.
pub(super) fn channel_group(n: usize) -> usize {
    Panels::new(n, 4, WIDEST, 0).group()
}

/// # Safety
/// Pointers as the geometry says.
pub(super) unsafe fn conv(conv: &ConvF32, p: &Pixels, channels: Range<usize>) {
    for panel in panels(&conv.runs).within(channels) {
        let most = [8, 8, 6, 5][panel.vectors - 1];
        // SAFETY: the caller's promise.
        unsafe {
            whole_tiles(p, panel.first * 4, most, |pixels, size, count| {
                run_tiles(conv, &panel, pixels, size, count);
            });
        }
    }
}

/// # Safety
/// `count` times `size` pixels as the geometry says.
unsafe fn run_tiles(conv: &ConvF32, panel: &Panel, p: &Pixels, size: usize, count: usize) {
    macro_rules! by_size {
        ($($vectors:literal: $($size:literal)*;)*) => {
            match (panel.vectors, size) {
                // SAFETY: the caller's promise; every aarch64 CPU has NEON.
                $($(($vectors, $size) => unsafe {
                    tiles::<$size, $vectors>(conv, panel, p, count)
                },)*)*
                _ => {}
            }
        };
    }
    by_size! {
        1: 1 2 3 4 5 6 7 8;
        2: 1 2 3 4 5 6 7 8;
        3: 1 2 3 4 5 6;
        4: 1 2 3 4 5;
    }
}

/// The next NV vectors.
///
/// # Safety
/// `w` is good for them.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn vectors<const NV: usize>(w: *const f32) -> [float32x4_t; NV] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut all = [vdupq_n_f32(0.0); NV];
        let mut put = |from: &[float32x4_t]| all.copy_from_slice(from);
        match NV {
            1 => put(&[vld1q_f32(w)]),
            2 => {
                let l = vld1q_f32_x2(w);
                put(&[l.0, l.1]);
            }
            3 => {
                let l = vld1q_f32_x3(w);
                put(&[l.0, l.1, l.2]);
            }
            _ => {
                let l = vld1q_f32_x4(w);
                put(&[l.0, l.1, l.2, l.3]);
            }
        }
        all
    }
}

/// # Safety
/// `count` times MR pixels as the geometry says.
#[target_feature(enable = "neon")]
unsafe fn tiles<const MR: usize, const NV: usize>(
    conv: &ConvF32,
    panel: &Panel,
    p: &Pixels,
    count: usize,
) {
    // SAFETY: the caller's promise; the packed panel is biases, then NV vectors a value.
    unsafe {
        let head = conv.packed.as_ptr().add(panel.offset).cast::<f32>();
        let fours = conv.runs.len / 4 * 4;
        let low = vdupq_n_f32(conv.clamp.0);
        let high = vdupq_n_f32(conv.clamp.1);
        let looped = neon_lanes::has(MR, NV) && fours > 0 && conv.runs.offsets.len() == 1;
        for tile in 0..count {
            let first = p.x.add(tile * MR * p.x_pitch);
            let at = |offset: usize| -> [*const f32; MR] {
                std::array::from_fn(|m| first.add(offset + m * p.x_pitch).cast())
            };
            // The last values of a run, fewer than four.
            macro_rules! last {
                ($sums:ident, $x:ident, $w:ident) => {
                    for k in fours..conv.runs.len {
                        let weights = vectors::<NV>($w.add((k - fours) * NV * 4));
                        for (sums, x) in $sums.iter_mut().zip(&$x) {
                            let value = vld1q_dup_f32(x.add(k));
                            for (sum, &weights) in sums.iter_mut().zip(&weights) {
                                *sum = vfmaq_f32(*sum, weights, value);
                            }
                        }
                    }
                };
            }
            macro_rules! end {
                ($sums:ident) => {
                    for (m, sums) in $sums.iter().enumerate() {
                        let y = p.y.add((tile * MR + m) * p.y_pitch).cast::<f32>();
                        let limited = sums.map(|sum| vminq_f32(vmaxq_f32(sum, low), high));
                        for (v, &limited) in limited.iter().enumerate() {
                            if panel.channels == NV * 4 {
                                vst1q_f32(y.add(v * 4), limited);
                            } else {
                                store(y.add(v * 4), limited, panel.channels - v * 4);
                            }
                        }
                    }
                };
            }
            let mut w = head.add(NV * 4);
            if looped {
                let x = at(conv.runs.offsets[0]);
                let mut sums = neon_lanes::run::<Floats, MR, NV>(head, x, w, fours / 4);
                w = w.add(fours * NV * 4);
                last!(sums, x, w);
                end!(sums);
                continue;
            }
            let mut sums = [vectors::<NV>(head); MR];
            for &offset in &conv.runs.offsets {
                let x = at(offset);
                let mut k = 0;
                while k < fours {
                    let values = x.map(|x| vld1q_f32(x.add(k)));
                    macro_rules! lanes {
                        ($($lane:literal)*) => {$(
                            let weights = vectors::<NV>(w.add($lane * NV * 4));
                            for (sums, &values) in sums.iter_mut().zip(&values) {
                                for (sum, &weights) in sums.iter_mut().zip(&weights) {
                                    *sum = vfmaq_laneq_f32::<$lane>(*sum, weights, values);
                                }
                            }
                        )*};
                    }
                    lanes!(0 1 2 3);
                    k += 4;
                    w = w.add(NV * 16);
                }
                last!(sums, x, w);
                w = w.add((conv.runs.len - fours) * NV * 4);
            }
            end!(sums);
        }
    }
}

/// Stores the first `count` (1 to 4, more is 4) floats.
///
/// # Safety
/// `y` is good for them.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn store(y: *mut f32, values: float32x4_t, count: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if count >= 4 {
            vst1q_f32(y, values);
        } else {
            let mut all = [0.0; 4];
            vst1q_f32(all.as_mut_ptr(), values);
            std::ptr::copy_nonoverlapping(all.as_ptr(), y, count);
        }
    }
}

/// Blocks of 8 channels: biases, then two vectors for each kernel row and column.
pub(super) fn pack_depthwise(row: &DepthwiseRow, raw: &RawF32<'_>) -> Aligned {
    pack_depthwise_floats(row, raw, 8)
}

/// One output row, some channels.
///
/// # Safety
/// Pointers as the geometry says.
#[target_feature(enable = "neon")]
pub(super) unsafe fn depthwise(
    conv: &DepthwiseF32,
    rows: &[*const u8],
    y: *mut u8,
    channels: Range<usize>,
) {
    let d = &conv.row;
    let per = d.kh * d.kw;
    let usual = d.kh == 3 && d.kw == 3 && d.dilation == 1 && d.stride <= 2;
    for c in channels.step_by(8) {
        // SAFETY: the caller's promise; reading past the last channel is within the slack.
        unsafe {
            let block = Block {
                conv,
                w: conv.packed.as_ptr().add(c / 8 * (1 + per) * 32).cast(),
                c,
                y: y.cast(),
            };
            if !usual {
                block.any(rows, 0..d.w_out);
                continue;
            }
            let inner = d.whole_windows();
            block.edges(rows, 0..inner.start);
            match d.stride {
                1 => block.three::<1>(rows, inner.clone()),
                _ => block.three::<2>(rows, inner.clone()),
            }
            block.edges(rows, inner.end..d.w_out);
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
    /// As `depthwise`.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn finish(&self, sums: [float32x4_t; 2], ox: usize) {
        // SAFETY: as `depthwise`.
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
    /// As `depthwise`.
    #[target_feature(enable = "neon")]
    unsafe fn any(&self, rows: &[*const u8], outputs: Range<usize>) {
        let d = &self.conv.row;
        // SAFETY: as `depthwise`.
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

    /// A 3x3 kernel, columns inside the picture.
    ///
    /// # Safety
    /// As `depthwise`; every window lies in the picture.
    #[target_feature(enable = "neon")]
    unsafe fn three<const STRIDE: usize>(&self, rows: &[*const u8], outputs: Range<usize>) {
        let d = &self.conv.row;
        if outputs.is_empty() {
            return;
        }
        // SAFETY: as `depthwise`.
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
    /// As `depthwise`.
    #[target_feature(enable = "neon")]
    unsafe fn edges(&self, rows: &[*const u8], outputs: Range<usize>) {
        let d = &self.conv.row;
        for ox in outputs {
            let from = ox * d.stride;
            // SAFETY: as `depthwise`; the columns named lie in the picture.
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

    /// An output of a 3x3 kernel from kernel columns `FROM` to below `TO`.
    ///
    /// # Safety
    /// As `depthwise`; those columns lie in the picture.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn columns<const FROM: usize, const TO: usize>(&self, rows: &[*const u8], ox: usize) {
        let d = &self.conv.row;
        // SAFETY: as `depthwise`.
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
