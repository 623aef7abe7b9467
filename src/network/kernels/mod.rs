//! The inner loops, one implementation per instruction set, chosen once at start.
//!
//! ```text
//! mod       the trait that each instruction set implements, its contract, and the choice
//! geometry  what a kernel is given
//! aligned   memory for weights and activations
//! panels    how weights are packed, and how channels and pixels are divided
//! half      values of half precision, and the loops over them
//! split     weights with zero points as int8 values
//! wide      channels with weights beyond an int8
//! plain     portable loops: the reference for all others, and the fallback
//! rows      LayerNormalization and Softmax along the last axis
//! max_pool  max pooling
//! best      the most that they reach on this CPU
//! maps      functions of bytes
//! pictures  LocalResponseNormalization and linear resizing
//! x86, arm  one or more files per instruction set
//! ```
//!
//! All share this layout. Activations are NHWC. A convolution is a matrix product whose left side is read in place: the values under
//! one output pixel's window are a few *runs* of contiguous memory (one run for a pointwise convolution, otherwise one per kernel row),
//! at offsets that are the same for every pixel of a row. The caller adds padding in memory beforehand. The contract of [`Kernels`] says
//! exactly what a kernel touches; every plan is verified to keep it before it runs (`network::plan::verify`), and kernels are tested
//! against guard pages. All quantised kernels give the same bits, those that `requantise` defines.

pub mod aligned;
#[cfg(target_arch = "aarch64")]
mod arm;
pub mod best;
pub mod geometry;
pub mod half;
pub mod half_values;
pub mod maps;
pub mod max_pool;
#[cfg_attr(
    not(any(target_arch = "aarch64", target_arch = "x86_64")),
    allow(
        dead_code,
        unused_imports,
        reason = "other processors have no vector kernels of ours"
    )
)]
pub mod panels;
pub mod pictures;
pub mod plain;
pub mod rows;
pub mod split;
#[cfg(test)]
mod tests;
pub mod wide;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use aligned::Aligned;
pub use geometry::{
    AverageQ8, BinaryQ8, ConvF32, ConvQ8, DepthwiseF32, DepthwiseQ8, DepthwiseRow, Pixels, RawF32,
    RawQ8, Runs, SLACK,
};
pub use half::{ConvF16, DepthwiseF16, Half};
pub use maps::Map;
pub use panels::Panels;

use super::graph::dynamic::{self, Extremes, Rescale};
use super::graph::resize::Between;
use super::graph::{Lrn, Norm, Unary};
use max_pool::MaxPool;
use std::ops::Range;
use std::sync::OnceLock;

/// The loops of one instruction set.
///
/// The contract of the `unsafe` methods, which take pointers. A kernel touches only what is listed here:
///
/// - **reads**, [`Kernels::conv_q8`] and [`Kernels::conv_f32`]: of every pixel `i` and run `r`, `len` values from
///   `x + i * x_pitch + offsets[r]`; and up to [`SLACK`] bytes past the end of any run, without effect on the result.
/// - **reads**, [`Kernels::depthwise_q8`] and [`Kernels::depthwise_f32`]: of every row, `w_in * c` values; and up to [`SLACK`]
///   bytes past them, without effect on the result. The same row may be passed more than once.
/// - **writes**: of every pixel the channels `channels`, from `y + i * y_pitch` (a depthwise row: from `y + i * c` values). Nothing
///   between, before or after them. Floats may hold partial sums during the call.
/// - **channels**: a range begins at a multiple of [`Kernels::channel_group`], in a depthwise row at a multiple of 64; it ends at
///   such a multiple or at the last channel.
/// - **scratch**: as many bytes as requested, aligned to 64, private to this thread; written before they are read.
/// - **packed**: made by the same kernels for the same geometry ([`ConvQ8`] and its like cannot be created otherwise; for
///   [`ConvF32::lent`] a step packs them itself).
/// - **apart**: no written byte is read (slack included) or written by another thread during the call. Slack bytes may hold anything
///   that no other thread writes at the same time.
/// - **aligned**: floats at multiples of 4; bytes anywhere.
pub trait Kernels: Sync + std::fmt::Debug {
    /// Its name in listings.
    fn name(&self) -> &'static str;
    /// Whether bytes are stored with the top bit flipped (as i8) rather than as u8.
    fn signed(&self) -> bool;
    /// The bits that this flips in each byte.
    fn flip(&self) -> u8 {
        if self.signed() { 0x80 } else { 0 }
    }

    /// Whether these weights can be packed directly: their zero points must be 0. Others are split.
    fn takes(&self, raw: &RawQ8<'_>) -> bool {
        raw.w_zero.iter().all(|&z| z == 0)
    }
    /// Output channels are processed in groups of this size; a range must start at a multiple of it.
    fn channel_group(&self, n: usize) -> usize;
    /// Packs a convolution.
    fn pack_conv_q8(&self, runs: &Runs, raw: &RawQ8<'_>) -> Aligned;
    /// Bytes of scratch memory for [`Kernels::conv_q8`].
    fn conv_q8_scratch_bytes(&self, _: &Runs) -> usize {
        0
    }
    /// Computes output channels `channels` of `pixels`.
    ///
    /// # Safety
    /// The contract of the trait: reads, writes, channels, scratch, packed, apart.
    unsafe fn conv_q8(
        &self,
        conv: &ConvQ8,
        pixels: &Pixels,
        channels: Range<usize>,
        scratch: *mut u8,
    );
    /// Packs a depthwise convolution.
    fn pack_depthwise_q8(&self, row: &DepthwiseRow, raw: &RawQ8<'_>) -> Aligned;
    /// Bytes of scratch memory for [`Kernels::depthwise_q8`].
    fn depthwise_q8_scratch_bytes(&self, _: &DepthwiseRow) -> usize {
        0
    }
    /// Computes channels `channels` of one output row from `kh` input rows.
    ///
    /// # Safety
    /// The contract of the trait: reads, writes, channels, scratch, packed, apart.
    unsafe fn depthwise_q8(
        &self,
        conv: &DepthwiseQ8,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
        scratch: *mut u8,
    );

    /// Computes the channels of `channels` in `ConvQ8::wide`, which the kernel has computed with limited weights.
    ///
    /// # Safety
    /// The contract of the trait: reads, writes, apart.
    unsafe fn wide_conv_q8(&self, conv: &ConvQ8, pixels: &Pixels, channels: Range<usize>) {
        // SAFETY: the caller's contract is the same.
        unsafe {
            if self.signed() {
                wide::conv::<true>(conv, pixels, channels);
            } else {
                wide::conv::<false>(conv, pixels, channels);
            }
        }
    }
    /// Computes the channels of `channels` in `DepthwiseQ8::wide`, as [`Kernels::wide_conv_q8`] does.
    ///
    /// # Safety
    /// The contract of the trait: reads, writes, apart.
    unsafe fn wide_depthwise_q8(
        &self,
        conv: &DepthwiseQ8,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
    ) {
        // SAFETY: the caller's contract is the same.
        unsafe {
            if self.signed() {
                wide::depthwise::<true>(conv, rows, y, channels);
            } else {
                wide::depthwise::<false>(conv, rows, y, channels);
            }
        }
    }

    /// How float weights are packed.
    fn float_panels(&self, runs: &Runs) -> Panels;
    /// Packs a convolution.
    fn pack_conv_f32(&self, runs: &Runs, raw: &RawF32<'_>) -> Aligned {
        panels::pack_floats(self.float_panels(runs), runs, raw)
    }
    /// Computes output channels `channels` of `pixels`.
    ///
    /// # Safety
    /// The contract of the trait: reads, writes, channels, packed, apart, aligned.
    unsafe fn conv_f32(&self, conv: &ConvF32, pixels: &Pixels, channels: Range<usize>);
    /// Packs a depthwise convolution.
    fn pack_depthwise_f32(&self, row: &DepthwiseRow, raw: &RawF32<'_>) -> Aligned;
    /// Computes channels `channels` of one output row from `kh` input rows.
    ///
    /// # Safety
    /// The contract of the trait: reads, writes, channels, packed, apart, aligned.
    unsafe fn depthwise_f32(
        &self,
        conv: &DepthwiseF32,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
    );

    /// The loops over values of half precision, if this CPU computes with them.
    fn half(&self) -> Option<&'static dyn Half> {
        None
    }

    /// `y = a + b`, bytes.
    fn add_q8(&self, add: &BinaryQ8, a: &[u8], b: &[u8], y: &mut [u8]) {
        plain::add_q8(add, a, b, y);
    }
    /// `y = limit(a + b)`.
    fn add_f32(&self, clamp: (f32, f32), a: &[f32], b: &[f32], y: &mut [f32]) {
        plain::add_f32(clamp, a, b, y);
    }
    /// `y = a * b`, bytes.
    fn mul_q8(&self, product: &BinaryQ8, a: &[u8], b: &[u8], y: &mut [u8]) {
        plain::mul_q8(product, a, b, y);
    }
    /// `y = limit(a * b)`.
    fn mul_f32(&self, clamp: (f32, f32), a: &[f32], b: &[f32], y: &mut [f32]) {
        plain::mul_f32(clamp, a, b, y);
    }
    /// `y = f(x)`; if `gate`, `y = x * f(x)`.
    fn unary_f32(&self, f: Unary, gate: bool, x: &[f32], y: &mut [f32]) {
        f.run::<{ cfg!(target_arch = "aarch64") }>(gate, x, y);
    }
    /// LayerNormalization of rows that are as long as the factors.
    fn norm_f32(&self, norm: &Norm, x: &[f32], y: &mut [f32]) {
        rows::norm(norm, x, y);
    }
    /// LocalResponseNormalization of pixels of `c` channels.
    fn lrn_f32(&self, of: &Lrn, c: usize, x: &[f32], y: &mut [f32]) {
        pictures::lrn(of, c, x, y);
    }
    /// A row of a picture of `c` channels between two others: see [`pictures::blend`].
    fn blend_f32(
        &self,
        columns: &[Between],
        c: usize,
        rows: [&[f32]; 2],
        share: f32,
        y: &mut [f32],
    ) {
        pictures::blend(columns, c, rows, share, y);
    }
    /// Softmax of rows of `c` values.
    fn softmax_f32(&self, x: &[f32], c: usize, y: &mut [f32]) {
        rows::softmax::<{ cfg!(target_arch = "aarch64") }>(x, c, y);
    }
    /// Minimum and maximum of these values and 0.
    fn extremes_f32(&self, x: &[f32]) -> Extremes {
        dynamic::extremes(x)
    }
    /// Floats to integers, see [`dynamic`].
    fn round_f32(&self, of: Extremes, values: &mut [f32]) {
        dynamic::round(of, values);
    }
    /// Integer sums to floats, see [`dynamic`].
    fn rescale_f32(&self, by: &Rescale<'_>, values: &mut [f32]) {
        dynamic::rescale(by, values);
    }
    /// Output rows `rows` of a float max pooling.
    fn max_f32(&self, pool: &MaxPool, x: &[f32], rows: Range<usize>, y: &mut [f32]) {
        pool.of_floats(x, rows, y);
    }
    /// Output rows `rows` of an int8 max pooling.
    fn max_q8(&self, pool: &MaxPool, x: &[u8], rows: Range<usize>, y: &mut [u8]) {
        pool.of_bytes(x, rows, y);
    }
    /// Puts these channels of some pixels, which `y` holds one after the other, through their functions.
    fn map_q8(&self, map: &Map, channels: Range<usize>, y: &mut [u8]) {
        if self.signed() {
            map.run::<true>(channels, y);
        } else {
            map.run::<false>(channels, y);
        }
    }
    /// Average over all pixels, bytes.
    fn average_q8(&self, average: &AverageQ8, x: &[u8], y: &mut [u8]) {
        plain::average_q8(average, self.signed(), x, y);
    }
    /// Average over all pixels of `c` channels.
    fn average_f32(&self, x: &[f32], c: usize, y: &mut [f32]) {
        plain::average_f32(x, c, y);
    }
}

/// The best kernels for this CPU, chosen once. `EYELET_KERNELS` names another set, for tests and comparisons.
pub fn choose() -> &'static dyn Kernels {
    static CHOSEN: OnceLock<&'static dyn Kernels> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let all = available();
        if let Ok(name) = std::env::var("EYELET_KERNELS") {
            if let Some(k) = all.iter().find(|k| k.name() == name) {
                return *k;
            }
            log::warn!("EYELET_KERNELS={name} is not among this CPU's kernels; the best are used");
        }
        all[0]
    })
}

/// All kernels that this CPU can run, best first; the last two are the references.
pub fn available() -> Vec<&'static dyn Kernels> {
    let mut all: Vec<&'static dyn Kernels> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    all.extend(x86::detected());
    #[cfg(target_arch = "aarch64")]
    all.extend(arm::detected());
    all.push(&plain::UNSIGNED);
    all.push(&plain::SIGNED);
    all
}
