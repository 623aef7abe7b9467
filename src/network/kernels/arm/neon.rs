//! What all kernel sets for 64-bit ARM share. They differ in their int8 convolutions ([`ByteLoops`]); floats are in
//! [`super::neon_f32`]. Bytes are stored signed.

use super::{
    neon_depthwise, neon_end, neon_f16, neon_f32, neon_f32_depthwise, neon_look_up, neon_q8,
};
use crate::network::kernels::panels::Panels;
use crate::network::kernels::{
    Aligned, BinaryQ8, ConvF32, ConvQ8, DepthwiseF32, DepthwiseQ8, DepthwiseRow, Half, Kernels,
    Map, Pixels, RawF32, RawQ8, Runs,
};
use std::fmt::Debug;
use std::ops::Range;

/// The int8 convolutions of one instruction set: see the methods of [`Kernels`]. The `unsafe` ones also require the CPU to have
/// the instructions; a value of the type proves that it has.
pub trait ByteLoops: Debug + Sync {
    /// Its name in listings.
    const NAME: &'static str;
    /// Output channels of a full panel.
    fn channel_group(n: usize) -> usize;
    /// Packs a convolution.
    fn pack_conv(runs: &Runs, raw: &RawQ8<'_>) -> Aligned;
    /// Computes output channels `channels` of `pixels`.
    ///
    /// # Safety
    /// As for [`Kernels`].
    unsafe fn conv(conv: &ConvQ8, pixels: &Pixels, channels: Range<usize>);
    /// Packs a depthwise convolution.
    fn pack_depthwise(row: &DepthwiseRow, raw: &RawQ8<'_>) -> Aligned;
    /// Computes channels `channels` of one output row from `kh` input rows.
    ///
    /// # Safety
    /// As for [`Kernels`].
    unsafe fn depthwise(conv: &DepthwiseQ8, rows: &[*const u8], y: *mut u8, channels: Range<usize>);
}

/// NEON multiply instructions, which every 64-bit ARM CPU has (Cortex-A53, A72): `neon_q8` and `neon_depthwise`.
#[derive(Debug)]
pub struct Products(());

impl Products {
    /// Always available: every CPU has the instructions.
    pub fn here() -> &'static Neon<Self> {
        static KERNELS: Neon<Products> = Neon::new(Products(()));
        &KERNELS
    }
}

impl ByteLoops for Products {
    const NAME: &'static str = "neon";

    fn channel_group(n: usize) -> usize {
        neon_q8::channel_group(n)
    }

    fn pack_conv(runs: &Runs, raw: &RawQ8<'_>) -> Aligned {
        neon_q8::pack(runs, raw)
    }

    unsafe fn conv(conv: &ConvQ8, pixels: &Pixels, channels: Range<usize>) {
        // SAFETY: the caller's contract is the same; every aarch64 CPU has NEON.
        unsafe { neon_q8::conv(conv, pixels, channels) }
    }

    fn pack_depthwise(row: &DepthwiseRow, raw: &RawQ8<'_>) -> Aligned {
        neon_depthwise::pack(row, raw)
    }

    unsafe fn depthwise(
        conv: &DepthwiseQ8,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
    ) {
        // SAFETY: the caller's contract is the same; every aarch64 CPU has NEON.
        unsafe { neon_depthwise::run(conv, rows, y, channels) }
    }
}

/// The kernels with one instruction set's int8 convolutions; these prove that this CPU has the instructions.
#[derive(Debug)]
pub struct Neon<B>(B);

impl<B: ByteLoops> Neon<B> {
    /// The kernels with these int8 convolutions.
    pub const fn new(loops: B) -> Self {
        Self(loops)
    }
}

impl<B: ByteLoops> Kernels for Neon<B> {
    fn name(&self) -> &'static str {
        B::NAME
    }

    fn signed(&self) -> bool {
        true
    }

    fn channel_group(&self, n: usize) -> usize {
        // For both kinds of layer, whose panels differ.
        common_group(B::channel_group(n), neon_f32::channel_group(n))
    }

    fn pack_conv_q8(&self, runs: &Runs, raw: &RawQ8<'_>) -> Aligned {
        B::pack_conv(runs, raw)
    }

    unsafe fn conv_q8(&self, conv: &ConvQ8, pixels: &Pixels, channels: Range<usize>, _: *mut u8) {
        // SAFETY: the caller's contract is the same; the `B` in `self` exists only on a CPU with the instructions.
        unsafe { B::conv(conv, pixels, channels) }
    }

    fn pack_depthwise_q8(&self, row: &DepthwiseRow, raw: &RawQ8<'_>) -> Aligned {
        B::pack_depthwise(row, raw)
    }

    unsafe fn depthwise_q8(
        &self,
        conv: &DepthwiseQ8,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
        _: *mut u8,
    ) {
        // SAFETY: the caller's contract is the same; the `B` in `self` exists only on a CPU with the instructions.
        unsafe { B::depthwise(conv, rows, y, channels) }
    }

    fn float_panels(&self, runs: &Runs) -> Panels {
        neon_f32::panels(runs)
    }

    unsafe fn conv_f32(&self, conv: &ConvF32, pixels: &Pixels, channels: Range<usize>) {
        // SAFETY: the caller's contract is the same; every aarch64 CPU has NEON.
        unsafe { neon_f32::conv(conv, pixels, channels) }
    }

    fn pack_depthwise_f32(&self, row: &DepthwiseRow, raw: &RawF32<'_>) -> Aligned {
        neon_f32_depthwise::pack(row, raw)
    }

    unsafe fn depthwise_f32(
        &self,
        conv: &DepthwiseF32,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
    ) {
        // SAFETY: the caller's contract is the same; every aarch64 CPU has NEON.
        unsafe { neon_f32_depthwise::run(conv, rows, y, channels) }
    }

    fn half(&self) -> Option<&'static dyn Half> {
        neon_f16::Fp16::detect()
    }

    fn add_q8(&self, add: &BinaryQ8, a: &[u8], b: &[u8], y: &mut [u8]) {
        // SAFETY: every aarch64 CPU has NEON.
        unsafe { neon_end::add_q8(add, a, b, y) }
    }

    fn map_q8(&self, map: &Map, channels: Range<usize>, y: &mut [u8]) {
        map.run_with::<true>(channels, y, |table, y| {
            // SAFETY: every aarch64 CPU has NEON.
            unsafe { neon_look_up::look_up(table, y) }
        });
    }
}

/// The least common multiple of two group sizes.
fn common_group(a: usize, b: usize) -> usize {
    (1..).map(|i| a * i).find(|m| m % b == 0).unwrap_or(a * b)
}
