//! Packed convolutions, int8 or float of either precision, with the kernels that packed them.

use super::Front;
use crate::network::kernels::{
    ConvF16, ConvF32, ConvQ8, DepthwiseF16, DepthwiseF32, DepthwiseQ8, DepthwiseRow, Half, Kernels,
    Map, Pixels, Runs,
};
use crate::network::run::offset::Worker;
use crate::network::run::touch::{Touches, times};
use std::ops::Range;

/// The most kernel rows of a depthwise step.
pub const MAX_KERNEL_ROWS: usize = 16;

/// A convolution's bytes are put through a function when about so many have been made.
const PART_BYTES: usize = 64 << 10;
/// The kernels' tiles divide this many pixels.
const TILES: usize = 48;

/// A convolution.
#[derive(Debug)]
pub enum AnyConv {
    Q8(ConvQ8, &'static dyn Kernels),
    F32(ConvF32, &'static dyn Kernels),
    F16(ConvF16, &'static dyn Half),
}

impl AnyConv {
    /// The kernels' name.
    pub fn by(&self) -> &'static str {
        match self {
            Self::Q8(_, k) | Self::F32(_, k) => k.name(),
            Self::F16(_, half) => half.name(),
        }
    }
    /// A range of output channels starts at a multiple of this.
    pub(super) fn channel_group(&self) -> usize {
        match self {
            Self::Q8(_, k) | Self::F32(_, k) => k.channel_group(self.n()),
            Self::F16(_, half) => half.channel_group(self.n()),
        }
    }
    pub(super) fn runs(&self) -> &Runs {
        match self {
            Self::Q8(c, _) => c.runs(),
            Self::F32(c, _) => c.runs(),
            Self::F16(c, _) => c.runs(),
        }
    }
    pub(super) fn n(&self) -> usize {
        self.runs().n
    }
    /// Bytes of a value.
    pub fn elem(&self) -> usize {
        match self {
            Self::Q8(..) => 1,
            Self::F32(..) => 4,
            Self::F16(..) => 2,
        }
    }
    /// Bytes that a pixel's runs span.
    pub(super) fn reach(&self) -> u64 {
        let far = self.runs().offsets.iter().max().copied().unwrap_or(0);
        times(self.runs().len, self.elem()).saturating_add(far as u64)
    }
    /// Declares the strides between its values, for the alignment check.
    pub(super) fn steps_by(&self, front: &Front, to: &mut Touches) {
        let pitches = [front.row_pitch, front.pixel_pitch, front.group_pitch];
        to.steps_by(&pitches, self.elem());
        to.steps_by(&self.runs().offsets, self.elem());
    }
    /// Declares the scratch memory that it needs, and that it has weights.
    pub(super) fn needs(&self, to: &mut Touches) {
        match self {
            Self::Q8(c, k) => to.wants_scratch(k.conv_q8_scratch_bytes(c.runs())),
            Self::F32(c, _) => to.holds(c.has_weights(), "it has no weights of its own"),
            Self::F16(..) => {}
        }
    }
    /// # Safety
    /// The contract of [`Kernels`]: reads, writes, channels, apart, aligned.
    pub(super) unsafe fn run(&self, pixels: &Pixels, channels: Range<usize>, worker: &Worker) {
        // SAFETY: the caller guarantees the rest of the contract; packed: it follows `runs` with the kernels that packed it; scratch,
        // and that there are weights: the verifier proves it of what `needs` declares.
        unsafe {
            match self {
                Self::Q8(c, k) => match c.then() {
                    Some(map) => mapped(*k, (c, map), pixels, &channels, worker),
                    None => c.run(*k, pixels, channels, worker.scratch()),
                },
                Self::F32(c, k) => k.conv_f32(c, pixels, channels),
                Self::F16(c, half) => half.conv(c, pixels, channels),
            }
        }
    }
}

/// A convolution and a function of its bytes, which are still in the cache when the function reads them.
///
/// # Safety
/// As for [`AnyConv::run`].
unsafe fn mapped(
    kernels: &dyn Kernels,
    (conv, map): (&ConvQ8, &Map),
    pixels: &Pixels,
    channels: &Range<usize>,
    worker: &Worker,
) {
    // Few parts, because each reads all weights.
    let parts = (pixels.count * channels.len() / PART_BYTES).max(1);
    let part = pixels.count.div_ceil(parts).max(1).next_multiple_of(TILES);
    for first in (0..pixels.count).step_by(part) {
        // SAFETY: the caller's contract, for some of its pixels.
        unsafe {
            let part = Pixels {
                x: pixels.x.add(first * pixels.x_pitch),
                y: pixels.y.add(first * pixels.y_pitch),
                count: part.min(pixels.count - first),
                ..*pixels
            };
            conv.run(kernels, &part, channels.clone(), worker.scratch());
            map_pixels(kernels, map, (part.y, part.y_pitch, part.count), channels);
        }
    }
}

/// Puts channels of pixels through their functions. `pixels` is where the first one is, the bytes from one to the next, and their
/// number.
///
/// # Safety
/// These channels of the pixels were just written, and nothing else uses them.
unsafe fn map_pixels(
    kernels: &dyn Kernels,
    map: &Map,
    (y, pitch, count): (*mut u8, usize, usize),
    channels: &Range<usize>,
) {
    // SAFETY: all bytes of the pixels, or of each the channels, which the caller guarantees.
    unsafe {
        if channels.start == 0 && channels.len() == pitch {
            let all = std::slice::from_raw_parts_mut(y, count * pitch);
            return kernels.map_q8(map, channels.clone(), all);
        }
        for i in 0..count {
            let first = y.add(i * pitch + channels.start);
            let pixel = std::slice::from_raw_parts_mut(first, channels.len());
            kernels.map_q8(map, channels.clone(), pixel);
        }
    }
}

/// A depthwise convolution.
#[derive(Debug)]
pub enum AnyDepthwise {
    Q8(DepthwiseQ8, &'static dyn Kernels),
    F32(DepthwiseF32, &'static dyn Kernels),
    F16(DepthwiseF16, &'static dyn Half),
}

impl AnyDepthwise {
    /// The kernels' name.
    pub fn by(&self) -> &'static str {
        match self {
            Self::Q8(_, k) | Self::F32(_, k) => k.name(),
            Self::F16(_, half) => half.name(),
        }
    }
    pub(super) fn row(&self) -> &DepthwiseRow {
        match self {
            Self::Q8(c, _) => c.row(),
            Self::F32(c, _) => c.row(),
            Self::F16(c, _) => c.row(),
        }
    }
    /// Bytes of a value.
    pub fn elem(&self) -> usize {
        match self {
            Self::Q8(..) => 1,
            Self::F32(..) => 4,
            Self::F16(..) => 2,
        }
    }
    /// The byte that padding rows are filled with.
    pub(super) fn pad(&self) -> u8 {
        match self {
            Self::Q8(c, _) => c.pad(),
            Self::F32(..) | Self::F16(..) => 0,
        }
    }
    pub(super) fn scratch_bytes(&self) -> usize {
        match self {
            Self::Q8(c, k) => k.depthwise_q8_scratch_bytes(c.row()),
            Self::F32(..) | Self::F16(..) => 0,
        }
    }
    /// # Safety
    /// The contract of [`Kernels`]: reads, writes, channels, apart, aligned.
    pub(super) unsafe fn run(
        &self,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
        worker: &Worker,
    ) {
        // SAFETY: the caller guarantees the rest of the contract; packed: it follows `row` with the kernels that packed it; scratch:
        // the verifier proves that the worker's own has as many bytes as `scratch_bytes`.
        unsafe {
            match self {
                Self::Q8(c, k) if c.row().kh == rows.len() => {
                    c.run(*k, rows, y, channels.clone(), worker.scratch());
                }
                // Each weight is a sum of int8 values, see `kernels::split`.
                Self::Q8(c, k) => {
                    let mut again = [std::ptr::null(); MAX_KERNEL_ROWS * 3];
                    let again = &mut again[..c.row().kh];
                    again
                        .chunks_mut(rows.len())
                        .for_each(|again| again.copy_from_slice(rows));
                    c.run(*k, again, y, channels.clone(), worker.scratch());
                }
                Self::F32(c, k) => k.depthwise_f32(c, rows, y, channels.clone()),
                Self::F16(c, half) => half.depthwise(c, rows, y, channels.clone()),
            }
            if let Self::Q8(c, k) = self
                && let Some(map) = c.then()
            {
                let row = (y, c.row().c, c.row().w_out);
                map_pixels(*k, map, row, &channels);
            }
        }
    }
}
