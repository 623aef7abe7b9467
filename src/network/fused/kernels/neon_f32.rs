//! Floats by NEON.
//!
//! Convolution: a tile of MR pixels by NV vectors of 4 output channels stays in registers (5x4 sums of the 32 registers, 5
//! vectors of pixels, 4 of weights). Four input channels of each pixel are loaded at once and multiplied by lane, so that an
//! input value is loaded once a panel. (The tile is the usual one of GEMM kernels, as in BLIS and XNNPACK.)
//!
//! Depthwise: blocks of 8 channels; a 3x3 kernel's 18 weight vectors stay in registers, and two neighbouring outputs share
//! the columns that both see.

use super::panels::{Panel, Panels, tiles};
use super::{Aligned, ConvF32, DepthwiseF32, DepthwiseRow, Pixels, RawF32, Runs};
use std::arch::aarch64::*;
use std::ops::Range;

/// Vectors of 4 channels in the widest panel.
const WIDEST: usize = 4;

fn panels(runs: &Runs) -> Panels {
    Panels::new(runs.n, 4, WIDEST, (1 + runs.offsets.len() * runs.len) * 16)
}

/// Channels that a range must begin at a multiple of.
pub(super) fn channel_group(n: usize) -> usize {
    Panels::new(n, 4, WIDEST, 0).group()
}

/// Panel by panel: biases, then for each value of the runs a vector of weights for each 4 channels.
pub(super) fn pack_conv(runs: &Runs, raw: &RawF32<'_>) -> Aligned {
    let panels = panels(runs);
    let mut packed = Aligned::zeroed(panels.total_bytes());
    let bytes = packed.bytes_mut();
    let per = runs.offsets.len() * runs.len;
    for panel in panels.within(0..runs.n) {
        for i in 0..panel.channels {
            let n = panel.first + i;
            let at = panel.offset + i * 4;
            bytes[at..at + 4].copy_from_slice(&raw.bias[n].to_ne_bytes());
            for k in 0..per {
                let at = at + (k + 1) * panel.vectors * 16;
                bytes[at..at + 4].copy_from_slice(&raw.w[n * per + k].to_ne_bytes());
            }
        }
    }
    packed
}

/// # Safety
/// Pointers as the geometry says.
pub(super) unsafe fn conv(conv: &ConvF32, p: &Pixels, channels: Range<usize>) {
    macro_rules! by_size {
        ($panel:expr, $pixels:expr, $size:expr, $($vectors:literal: $($m:literal)*;)*) => {
            match ($panel.vectors, $size) {
                $($(($vectors, $m) => tile::<$m, $vectors>(conv, $panel, $pixels),)*)*
                _ => {}
            }
        };
    }
    for panel in panels(&conv.runs).within(channels) {
        let most = [8, 8, 6, 5][panel.vectors - 1];
        for (first, size) in tiles(p.count, most) {
            // SAFETY: the caller's promise.
            unsafe {
                let pixels = Pixels {
                    x: p.x.add(first * p.x_pitch),
                    y: p.y.add(first * p.y_pitch + panel.first * 4),
                    ..*p
                };
                by_size! { &panel, &pixels, size,
                    1: 1 2 3 4 5 6 7 8;
                    2: 1 2 3 4 5 6 7 8;
                    3: 1 2 3 4 5 6;
                    4: 1 2 3 4 5;
                }
            }
        }
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
/// MR pixels as the geometry says.
#[target_feature(enable = "neon")]
unsafe fn tile<const MR: usize, const NV: usize>(conv: &ConvF32, panel: &Panel, p: &Pixels) {
    // SAFETY: the caller's promise; the packed panel is biases, then NV vectors a value.
    unsafe {
        let mut w = conv.packed.as_ptr().add(panel.offset).cast::<f32>();
        let mut sums = [vectors::<NV>(w); MR];
        w = w.add(NV * 4);
        let (fours, rest) = (conv.runs.len / 4, conv.runs.len % 4);
        for &offset in &conv.runs.offsets {
            let mut x = p.x.add(offset);
            for _ in 0..fours {
                let mut values = [vdupq_n_f32(0.0); MR];
                for (m, values) in values.iter_mut().enumerate() {
                    *values = vld1q_f32(x.add(m * p.x_pitch).cast());
                }
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
                x = x.add(16);
                w = w.add(NV * 16);
            }
            for _ in 0..rest {
                let weights = vectors::<NV>(w);
                for (m, sums) in sums.iter_mut().enumerate() {
                    let value = vld1q_dup_f32(x.add(m * p.x_pitch).cast());
                    for (sum, &weights) in sums.iter_mut().zip(&weights) {
                        *sum = vfmaq_f32(*sum, weights, value);
                    }
                }
                x = x.add(4);
                w = w.add(NV * 4);
            }
        }
        let low = vdupq_n_f32(conv.clamp.0);
        let high = vdupq_n_f32(conv.clamp.1);
        for (m, sums) in sums.iter().enumerate() {
            let y = p.y.add(m * p.y_pitch).cast::<f32>();
            for (v, &sum) in sums.iter().enumerate() {
                let limited = vminq_f32(vmaxq_f32(sum, low), high);
                store(y.add(v * 4), limited, panel.channels - v * 4);
            }
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
    let per = row.kh * row.kw;
    let mut packed = Aligned::zeroed(row.c.div_ceil(8) * (1 + per) * 32);
    let bytes = packed.bytes_mut();
    for c in 0..row.c {
        let at = c / 8 * (1 + per) * 32 + c % 8 * 4;
        bytes[at..at + 4].copy_from_slice(&raw.bias[c].to_ne_bytes());
        for k in 0..per {
            let at = at + (1 + k) * 32;
            bytes[at..at + 4].copy_from_slice(&raw.w[c * per + k].to_ne_bytes());
        }
    }
    packed
}

/// Outputs of a row whose whole window lies in the picture.
pub(super) fn inner(d: &DepthwiseRow) -> Range<usize> {
    let span = (d.kw - 1) * d.dilation + 1;
    let end = ((d.w_in + d.left + d.stride).saturating_sub(span) / d.stride).min(d.w_out);
    d.left.div_ceil(d.stride).min(end)..end
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
            let inner = if usual { inner(d) } else { 0..0 };
            block.any(rows, 0..inner.start);
            match d.stride {
                1 => block.three::<1>(rows, inner.clone()),
                _ => block.three::<2>(rows, inner.clone()),
            }
            block.any(rows, inner.end..d.w_out);
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
            self.any(rows, ox..outputs.end);
        }
    }
}
