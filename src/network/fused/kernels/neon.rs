//! NEON without dot products (Cortex-A53, A72): see `neon_f32`, `neon_q8` and `neon_depthwise` for the ideas. Bytes are
//! stored signed.

use super::{
    Aligned, BinaryQ8, ConvF32, ConvQ8, DepthwiseF32, DepthwiseQ8, DepthwiseRow, Kernels, Pixels,
    RawF32, RawQ8, Runs, neon_depthwise, neon_end, neon_f32, neon_q8,
};
use std::ops::Range;

/// The kernels. Every aarch64 CPU runs them.
#[derive(Debug)]
pub struct Neon;

impl Kernels for Neon {
    fn name(&self) -> &'static str {
        "neon"
    }

    fn signed(&self) -> bool {
        true
    }

    fn channel_group(&self, n: usize) -> usize {
        // For both kinds of layer, whose panels differ.
        common_group(neon_q8::channel_group(n), neon_f32::channel_group(n))
    }

    fn pack_conv_q8(&self, runs: &Runs, raw: &RawQ8<'_>) -> Aligned {
        neon_q8::pack(runs, raw)
    }

    unsafe fn conv_q8(&self, conv: &ConvQ8, pixels: &Pixels, channels: Range<usize>) {
        // SAFETY: the caller's promise.
        unsafe { neon_q8::conv(conv, pixels, channels) }
    }

    fn pack_depthwise_q8(&self, row: &DepthwiseRow, raw: &RawQ8<'_>) -> Aligned {
        neon_depthwise::pack(row, raw)
    }

    unsafe fn depthwise_q8(
        &self,
        conv: &DepthwiseQ8,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
    ) {
        // SAFETY: the caller's promise.
        unsafe { neon_depthwise::run(conv, rows, y, channels) }
    }

    fn pack_conv_f32(&self, runs: &Runs, raw: &RawF32<'_>) -> Aligned {
        neon_f32::pack_conv(runs, raw)
    }

    unsafe fn conv_f32(&self, conv: &ConvF32, pixels: &Pixels, channels: Range<usize>) {
        // SAFETY: the caller's promise.
        unsafe { neon_f32::conv(conv, pixels, channels) }
    }

    fn pack_depthwise_f32(&self, row: &DepthwiseRow, raw: &RawF32<'_>) -> Aligned {
        neon_f32::pack_depthwise(row, raw)
    }

    unsafe fn depthwise_f32(
        &self,
        conv: &DepthwiseF32,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
    ) {
        // SAFETY: the caller's promise; every aarch64 CPU has NEON.
        unsafe { neon_f32::depthwise(conv, rows, y, channels) }
    }

    fn add_q8(&self, add: &BinaryQ8, a: &[u8], b: &[u8], y: &mut [u8]) {
        // SAFETY: every aarch64 CPU has NEON.
        unsafe { neon_end::add_q8(add, a, b, y) }
    }
}

/// The least common multiple of two group sizes.
pub(super) fn common_group(a: usize, b: usize) -> usize {
    (1..).map(|i| a * i).find(|m| m % b == 0).unwrap_or(a * b)
}
