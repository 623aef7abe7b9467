//! Float kernels with NEON.
//!
//! Convolution: tiles of up to 8 pixels by 8 output channels ([`super::neon_f32_tile`]). Weights and pixels come from the L1 cache,
//! and into it as seldom as possible: pixels and input values are cut into parts, so that a part of the pixels stays there while all
//! weights of these values pass by. Sums wait in the output between the parts.
//!
//! Depthwise: [`super::neon_f32_depthwise`].

use super::neon_f32_tile::{LARGEST, Limits, Loops, PANELS, Sums, Tile, add_of_one_pixel};
use crate::network::graph::FREE;
use crate::network::kernels::panels::{Panels, float_panels};
use crate::network::kernels::{ConvF32, Pixels, Runs};
use std::arch::aarch64::*;
use std::ops::Range;

/// Output channels of a panel.
const WIDTH: usize = 8;

/// Floats that stay in the L1 cache (24 of at least 32 KiB): pixels, and the panel that passes by.
const NEAR: usize = 6 << 10;

/// Pixels of a part, if there are more values than stay in the L1 cache.
const PIXELS: usize = 56;

/// For each panel: biases, then for each value of the runs two vectors of weights.
pub(super) fn panels(runs: &Runs) -> Panels {
    float_panels(runs, WIDTH, 1)
}

/// A range of channels must begin at a multiple of this.
pub(super) fn channel_group(_: usize) -> usize {
    WIDTH
}

/// A part of the values under each pixel's window: of these runs, these values.
#[derive(Debug, Clone, Copy)]
struct Part<'a> {
    runs: &'a [usize],
    first_run: usize,
    first: usize,
    len: usize,
    /// Sums begin with the biases, not with what the output holds.
    begins: bool,
    /// Sums are complete.
    ends: bool,
}

/// Calls `run` for each part of the values, so that those of `pixels` pixels and a panel stay near.
fn parts(runs: &Runs, pixels: usize, mut run: impl FnMut(Part<'_>)) {
    let most = (NEAR / (pixels + WIDTH)).max(LARGEST);
    let count = runs.offsets.len();
    if runs.len <= most || runs.offsets.len() * runs.len <= most {
        let together = (most / runs.len.max(1)).clamp(1, count.max(1));
        for (i, some) in runs.offsets.chunks(together).enumerate() {
            run(Part {
                runs: some,
                first_run: i * together,
                first: 0,
                len: runs.len,
                begins: i == 0,
                ends: (i + 1) * together >= count,
            });
        }
        return;
    }
    // Nearly equal parts of whole steps.
    let len = runs
        .len
        .div_ceil(runs.len.div_ceil(most))
        .next_multiple_of(4);
    for (r, offset) in runs.offsets.iter().enumerate() {
        for first in (0..runs.len).step_by(len) {
            let len = len.min(runs.len - first);
            run(Part {
                runs: std::slice::from_ref(offset),
                first_run: r,
                first,
                len,
                begins: (r, first) == (0, 0),
                ends: (r + 1, first + len) == (count, runs.len),
            });
        }
    }
}

/// # Safety
/// The contract of `Kernels`.
pub(super) unsafe fn conv(conv: &ConvF32, p: &Pixels, channels: Range<usize>) {
    let runs = &conv.runs;
    if p.count == 1 {
        // SAFETY: the contract is the same; every aarch64 CPU has NEON.
        return unsafe { one_pixel(conv, p, channels) };
    }
    let values = runs.offsets.len() * runs.len;
    let most = PIXELS.max(NEAR / values.max(1) / LARGEST * LARGEST);
    let blocks = p.count.div_ceil(most).max(1);
    let size = p.count.div_ceil(blocks).max(1).next_multiple_of(LARGEST);
    for first in (0..p.count).step_by(size) {
        let count = size.min(p.count - first);
        parts(runs, count, |part| {
            // SAFETY: contract (reads, writes): pixel `first` is one of the caller's.
            unsafe {
                let (x, y) = (p.x.add(first * p.x_pitch), p.y.add(first * p.y_pitch));
                run_tiles(conv, &part, &Pixels { x, y, count, ..*p }, &channels);
            }
        });
    }
}

/// # Safety
/// The contract of `Kernels`.
unsafe fn run_tiles(conv: &ConvF32, part: &Part<'_>, p: &Pixels, channels: &Range<usize>) {
    let tiles = p.count.div_ceil(LARGEST);
    let (size, longer) = (p.count / tiles, p.count % tiles);
    let sizes = [
        (0, size + 1, longer),
        (longer * (size + 1), size, tiles - longer),
    ];
    for (first, size, count) in sizes {
        if count == 0 {
            continue;
        }
        // SAFETY: contract (reads, writes) of `count` times `size` pixels; every aarch64 CPU has NEON.
        unsafe {
            let (x, y) = (p.x.add(first * p.x_pitch), p.y.add(first * p.y_pitch));
            let p = &Pixels { x, y, count, ..*p };
            match size {
                1 => run_tile::<1>(conv, part, p, channels),
                2 => run_tile::<2>(conv, part, p, channels),
                3 => run_tile::<3>(conv, part, p, channels),
                4 => run_tile::<4>(conv, part, p, channels),
                5 => run_tile::<5>(conv, part, p, channels),
                6 => run_tile::<6>(conv, part, p, channels),
                7 => run_tile::<7>(conv, part, p, channels),
                _ => run_tile::<8>(conv, part, p, channels),
            }
        }
    }
}

/// All panels of `p.count` tiles of N pixels.
///
/// # Safety
/// `p.count` times N pixels as the geometry says.
#[target_feature(enable = "neon")]
unsafe fn run_tile<const N: usize>(
    conv: &ConvF32,
    part: &Part<'_>,
    p: &Pixels,
    channels: &Range<usize>,
) where
    Tile<N>: Loops<N>,
{
    // SAFETY: contract (reads, writes) of `p.count` times N pixels; a packed panel is biases, then two vectors per value.
    unsafe {
        let runs = &conv.runs;
        let per = WIDTH * (1 + runs.offsets.len() * runs.len);
        let skip = WIDTH * (1 + part.first_run * runs.len + part.first);
        let limits = Limits::new(if part.ends { conv.clamp } else { FREE });
        for at in channels.clone().step_by(WIDTH) {
            let held = channels.end - at;
            let head = conv.packed.as_ptr().cast::<f32>().add(at / WIDTH * per);
            let mut x = p.x.add(part.first * 4);
            let mut y = p.y.cast::<f32>().add(at);
            for _ in 0..p.count {
                let mut sums: Sums<N> = if part.begins {
                    [vectors::<2>(head); N]
                } else {
                    std::array::from_fn(|m| load(y.byte_add(m * p.y_pitch), held))
                };
                let mut w = head.add(skip);
                for &offset in part.runs {
                    Tile::<N>::add(&mut sums, x.add(offset).cast(), p.x_pitch, w, part.len);
                    w = w.add(WIDTH * part.len);
                }
                if held >= WIDTH {
                    Tile::<N>::store(sums, y, p.y_pitch, limits);
                } else {
                    for (m, &pair) in sums.iter().enumerate() {
                        store_some(y.byte_add(m * p.y_pitch), pair, limits, held);
                    }
                }
                x = x.wrapping_add(N * p.x_pitch);
                y = y.wrapping_byte_add(N * p.y_pitch);
            }
        }
    }
}

/// One pixel, several panels at a time: the sums of one would wait for each other.
///
/// # Safety
/// The contract of `Kernels`, of one pixel.
#[target_feature(enable = "neon")]
unsafe fn one_pixel(conv: &ConvF32, p: &Pixels, channels: Range<usize>) {
    let runs = &conv.runs;
    let per = WIDTH * (1 + runs.offsets.len() * runs.len);
    for first in channels.clone().step_by(PANELS * WIDTH) {
        let end = channels.end.min(first + PANELS * WIDTH);
        // SAFETY: contract (reads, writes); a panel is biases, then two vectors per value, and the next one follows. Panels that are
        // not asked for are computed from the first one's weights, and not stored.
        unsafe {
            let held = (end - first).div_ceil(WIDTH);
            let head = conv.packed.as_ptr().cast::<f32>().add(first / WIDTH * per);
            let heads: [_; PANELS] =
                std::array::from_fn(|i| head.add(if i < held { i * per } else { 0 }));
            let mut sums: Sums<PANELS> = heads.map(|head| vectors::<2>(head));
            let limits = Limits::new(conv.clamp);
            let mut w = heads.map(|head| head.add(WIDTH));
            for &offset in &runs.offsets {
                add_of_one_pixel(&mut sums, p.x.add(offset).cast(), w, runs.len);
                w = w.map(|w| w.add(WIDTH * runs.len));
            }
            for (i, &pair) in sums.iter().enumerate().take(held) {
                let at = first + i * WIDTH;
                store_some(p.y.cast::<f32>().add(at), pair, limits, end - at);
            }
        }
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

/// The first `count` floats of two vectors (more than 8 count as 8).
///
/// # Safety
/// `y` is valid for them.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load(y: *const f32, count: usize) -> [float32x4_t; 2] {
    // SAFETY: each float is read only if `count` includes it.
    unsafe {
        if count >= WIDTH {
            return [vld1q_f32(y), vld1q_f32(y.add(4))];
        }
        let mut all = [0.0; WIDTH];
        std::ptr::copy_nonoverlapping(y, all.as_mut_ptr(), count);
        [vld1q_f32(all.as_ptr()), vld1q_f32(all[4..].as_ptr())]
    }
}

/// Stores the first `count` floats of two vectors (more than 8 count as 8), within limits.
///
/// # Safety
/// `y` is valid for them.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn store_some(y: *mut f32, values: [float32x4_t; 2], limits: Limits, count: usize) {
    let limited = |sum| vminq_f32(vmaxq_f32(sum, limits.low), limits.high);
    // SAFETY: each float is stored only if `count` includes it.
    unsafe {
        store(y, limited(values[0]), count);
        if count > 4 {
            store(y.add(4), limited(values[1]), count - 4);
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
