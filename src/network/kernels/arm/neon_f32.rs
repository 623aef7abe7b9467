//! Float kernels with NEON.
//!
//! Convolution: a tile of MR pixels by NV vectors of 4 output channels stays in registers (5x4 sums of the 32 registers, 5
//! vectors of pixels, 4 of weights). Four input channels of each pixel are loaded at once and multiplied by lane, so that each
//! input value is loaded once per panel. (The tile is the usual one of GEMM kernels, as in BLIS and XNNPACK.)
//!
//! Depthwise: [`super::neon_f32_depthwise`].

use super::neon_lanes;
use super::neon_lanes::Floats;
use crate::network::kernels::panels::{Panel, Panels, float_panels, whole_tiles};
use crate::network::kernels::{ConvF32, Pixels, Runs};
use std::arch::aarch64::*;
use std::ops::Range;

/// Vectors of 4 channels in the widest panel.
const WIDEST: usize = 4;

/// For each panel: biases, then for each value of the runs a vector of weights per vector of channels.
pub(super) fn panels(runs: &Runs) -> Panels {
    float_panels(runs, 4, WIDEST)
}

/// A range of channels must begin at a multiple of this.
pub(super) fn channel_group(n: usize) -> usize {
    Panels::new(n, 4, WIDEST, 0).group()
}

/// # Safety
/// The contract of `Kernels`.
pub(super) unsafe fn conv(conv: &ConvF32, p: &Pixels, channels: Range<usize>) {
    for panel in panels(&conv.runs).within(channels) {
        let most = [8, 8, 6, 5][panel.vectors - 1];
        // SAFETY: contract (reads, writes), tile by tile.
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
                // SAFETY: the caller's contract is the same, with `size` pixels per tile; every aarch64 CPU has NEON.
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
/// `w` is valid for them.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn vectors<const NV: usize>(w: *const f32) -> [float32x4_t; NV] {
    // SAFETY: it reads the NV vectors that `w` is valid for.
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
    // SAFETY: contract (reads, writes) of `count` times MR pixels; the packed panel is biases, then NV vectors per value.
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

/// Stores the first `count` floats (1 to 4; more counts as 4).
///
/// # Safety
/// `y` is valid for them.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn store(y: *mut f32, values: float32x4_t, count: usize) {
    // SAFETY: each float is stored only if `count` includes it.
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
