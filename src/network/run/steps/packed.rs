//! Packed convolutions, int8 or float of either precision, with the kernels that packed them.

use super::Front;
use crate::network::kernels::{
    ConvF16, ConvF32, ConvQ8, DepthwiseF16, DepthwiseF32, DepthwiseQ8, DepthwiseRow, Half, Kernels,
    Pixels, Runs,
};
use crate::network::run::offset::Worker;
use crate::network::run::touch::{Touches, times};
use std::ops::Range;

/// The most kernel rows of a depthwise step.
pub(crate) const MAX_KERNEL_ROWS: usize = 16;

/// A convolution.
#[derive(Debug)]
pub(crate) enum AnyConv {
    Q8(ConvQ8, &'static dyn Kernels),
    F32(ConvF32, &'static dyn Kernels),
    F16(ConvF16, &'static dyn Half),
}

impl AnyConv {
    /// The kernels' name.
    pub(crate) fn by(&self) -> &'static str {
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
    pub(crate) fn elem(&self) -> usize {
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
    pub(super) fn scratch_bytes(&self) -> usize {
        match self {
            Self::Q8(c, k) => k.conv_q8_scratch_bytes(c.runs()),
            Self::F32(..) | Self::F16(..) => 0,
        }
    }
    /// # Safety
    /// The contract of [`Kernels`]: reads, writes, channels, apart, aligned.
    pub(super) unsafe fn run(&self, pixels: &Pixels, channels: Range<usize>, worker: &Worker) {
        // SAFETY: the caller guarantees the rest of the contract; packed: it follows `runs` with the kernels that packed it; scratch:
        // the verifier proves that the worker's own has as many bytes as `scratch_bytes`.
        unsafe {
            match self {
                Self::Q8(c, k) => k.conv_q8(c, pixels, channels, worker.scratch()),
                Self::F32(c, k) => k.conv_f32(c, pixels, channels),
                Self::F16(c, half) => half.conv(c, pixels, channels),
            }
        }
    }
}

/// A depthwise convolution.
#[derive(Debug)]
pub(crate) enum AnyDepthwise {
    Q8(DepthwiseQ8, &'static dyn Kernels),
    F32(DepthwiseF32, &'static dyn Kernels),
    F16(DepthwiseF16, &'static dyn Half),
}

impl AnyDepthwise {
    /// The kernels' name.
    pub(crate) fn by(&self) -> &'static str {
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
    pub(crate) fn elem(&self) -> usize {
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
                    k.depthwise_q8(c, rows, y, channels, worker.scratch());
                }
                // Each weight is a sum of int8 values, see `kernels::split`.
                Self::Q8(c, k) => {
                    let mut again = [std::ptr::null(); MAX_KERNEL_ROWS * 3];
                    let again = &mut again[..c.row().kh];
                    again
                        .chunks_mut(rows.len())
                        .for_each(|again| again.copy_from_slice(rows));
                    k.depthwise_q8(c, again, y, channels, worker.scratch());
                }
                Self::F32(c, k) => k.depthwise_f32(c, rows, y, channels),
                Self::F16(c, half) => half.depthwise(c, rows, y, channels),
            }
        }
    }
}
