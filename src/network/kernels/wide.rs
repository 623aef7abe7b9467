//! Output channels with weights beyond an int8, computed one at a time: [`super::split`] says when.

use super::{ConvQ8, DepthwiseQ8, Pixels};
use std::ops::Range;

/// An output channel.
#[derive(Debug, Clone)]
pub struct Wide {
    /// Which one.
    pub channel: usize,
    /// Its weights, zero point subtracted.
    pub w: Vec<i16>,
    /// Its bias, with the input's zero point folded in.
    pub bias: i32,
    /// Its multiplier.
    pub multiplier: f32,
}

/// Pixels whose sums are requantised together.
const TOGETHER: usize = 32;

/// The number that a stored byte represents.
#[inline(always)]
fn number<const SIGNED: bool>(byte: u8) -> i32 {
    if SIGNED {
        i32::from(byte as i8)
    } else {
        i32::from(byte)
    }
}

/// The scalar product of `len` bytes and weights.
///
/// # Safety
/// Both are valid for `len` values.
#[inline(always)]
unsafe fn product<const SIGNED: bool>(x: *const u8, w: *const i16, len: usize) -> i32 {
    let mut sum = 0i32;
    for i in 0..len {
        // SAFETY: both are valid for `len` values.
        let (x, w) = unsafe { (*x.add(i), *w.add(i)) };
        sum = sum.wrapping_add(number::<SIGNED>(x) * i32::from(w));
    }
    sum
}

/// Those of `channels` of a convolution.
///
/// # Safety
/// The contract of `Kernels`: reads (none past a run), writes.
#[inline(always)]
pub unsafe fn conv<const SIGNED: bool>(conv: &ConvQ8, p: &Pixels, channels: Range<usize>) {
    let runs = &conv.runs;
    for wide in conv.wide.iter().filter(|w| channels.contains(&w.channel)) {
        for first in (0..p.count).step_by(TOGETHER) {
            let count = TOGETHER.min(p.count - first);
            let mut sums = [wide.bias; TOGETHER];
            for (i, sum) in sums[..count].iter_mut().enumerate() {
                // SAFETY: contract (reads): the runs of one of the pixels; there are as many weights.
                unsafe {
                    let x = p.x.add((first + i) * p.x_pitch);
                    let mut w = wide.w.as_ptr();
                    for &offset in &runs.offsets {
                        *sum = sum.wrapping_add(product::<SIGNED>(x.add(offset), w, runs.len));
                        w = w.add(runs.len);
                    }
                }
            }
            let mut bytes = [0; TOGETHER];
            for (byte, &sum) in bytes.iter_mut().zip(&sums) {
                *byte = conv.end.of(sum, wide.multiplier);
            }
            for (i, &byte) in bytes[..count].iter().enumerate() {
                // SAFETY: contract (writes): a channel of one of the pixels.
                unsafe { *p.y.add((first + i) * p.y_pitch + wide.channel) = byte };
            }
        }
    }
}

/// Those of `channels` of a depthwise convolution's row.
///
/// # Safety
/// The contract of `Kernels`: reads (none past a row), writes.
#[inline(always)]
pub unsafe fn depthwise<const SIGNED: bool>(
    conv: &DepthwiseQ8,
    rows: &[*const u8],
    y: *mut u8,
    channels: Range<usize>,
) {
    let d = &conv.row;
    for wide in conv.wide.iter().filter(|w| channels.contains(&w.channel)) {
        for first in (0..d.w_out).step_by(TOGETHER) {
            let count = TOGETHER.min(d.w_out - first);
            let mut sums = [wide.bias; TOGETHER];
            for (row, w) in rows.iter().zip(wide.w.chunks_exact(d.kw)) {
                for (kx, &w) in w.iter().enumerate() {
                    for (i, sum) in sums[..count].iter_mut().enumerate() {
                        let from = ((first + i) * d.stride + kx * d.dilation).wrapping_sub(d.left);
                        let x = if from < d.w_in {
                            // SAFETY: contract (reads): a channel of a pixel inside the row.
                            unsafe { *row.add(from * d.c + wide.channel) }
                        } else {
                            conv.pad
                        };
                        *sum = sum.wrapping_add(number::<SIGNED>(x) * i32::from(w));
                    }
                }
            }
            let mut bytes = [0; TOGETHER];
            for (byte, &sum) in bytes.iter_mut().zip(&sums) {
                *byte = conv.end.of(sum, wide.multiplier);
            }
            for (i, &byte) in bytes[..count].iter().enumerate() {
                // SAFETY: contract (writes): a channel of one of the row's pixels.
                unsafe { *y.add((first + i) * d.c + wide.channel) = byte };
            }
        }
    }
}
