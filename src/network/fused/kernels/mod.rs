//! The inner loops, one implementation an instruction set, chosen once at start.
//!
//! All of them share these shapes. Activations are NHWC. A convolution is a matrix product whose left side is read in place:
//! the values under the window of one output pixel are a few *runs* of contiguous memory (one run for a pointwise
//! convolution, one a kernel row else), at offsets that are the same for every pixel of a row. The caller lays padding out in
//! memory beforehand. What a kernel touches exactly is the contract of [`Kernels`]; that steps keep it is proved of every plan
//! before it runs ([`super::verify`]), that kernels keep it is tested with memory that ends where they must stop.
//! Quantised kernels give the same bits, those that `requantise` defines.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_conv;
#[cfg(target_arch = "x86_64")]
mod avx2_depthwise;
#[cfg(target_arch = "x86_64")]
mod avx2_float;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
#[cfg(target_arch = "x86_64")]
mod avx512vnni_depthwise;
#[cfg(target_arch = "aarch64")]
mod dotprod;
#[cfg(target_arch = "aarch64")]
mod dotprod_depthwise;
#[cfg(target_arch = "aarch64")]
mod i8mm;
#[cfg(target_arch = "aarch64")]
mod i8mm_tile;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_depthwise;
#[cfg(target_arch = "aarch64")]
mod neon_end;
#[cfg(target_arch = "aarch64")]
mod neon_f32;
#[cfg(target_arch = "aarch64")]
mod neon_f32_depthwise;
#[cfg(target_arch = "aarch64")]
mod neon_lanes;
#[cfg(target_arch = "aarch64")]
mod neon_q8;
#[cfg(target_arch = "aarch64")]
mod neon_q8_steps;
#[cfg_attr(
    not(any(target_arch = "aarch64", target_arch = "x86_64")),
    allow(
        dead_code,
        unused_imports,
        reason = "other processors have no vector kernels of ours"
    )
)]
pub mod panels;
pub mod reference;
pub mod split;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod wider;

use super::dynamic::{self, Extremes, Rescale};
use super::graph::{Norm, Quant, Unary};
use super::max_pool::MaxPool;
use super::requantise::Requantise;
use super::rows;
use panels::Packed;
pub use panels::Panels;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::AtomicPtr;

/// Bytes past the end of every tensor that a kernel may read (never write).
pub const SLACK: usize = 64;

/// Bytes on a 64-byte boundary, for packed weights and for the arena.
#[derive(Debug, Clone, Default)]
pub struct Aligned {
    lines: Vec<Line>,
}

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

impl Aligned {
    /// At least `len` zero bytes.
    pub fn zeroed(len: usize) -> Self {
        Self {
            lines: vec![Line([0; 64]); len.div_ceil(64)],
        }
    }
    /// The same, if there is memory for it.
    pub fn try_zeroed(len: usize) -> Option<Self> {
        let mut lines = Vec::new();
        lines.try_reserve_exact(len.div_ceil(64)).ok()?;
        lines.resize(len.div_ceil(64), Line([0; 64]));
        Some(Self { lines })
    }
    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.lines.len() * 64
    }
    /// The first byte.
    pub fn as_ptr(&self) -> *const u8 {
        self.lines.as_ptr().cast()
    }
    /// The first byte, to write.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.lines.as_mut_ptr().cast()
    }
    /// All bytes.
    #[cfg(test)]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: as in `bytes_mut`, and the borrow is shared.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.len()) }
    }
    /// All bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.len();
        // SAFETY: a Line is 64 plain bytes without padding, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), len) }
    }
}

/// A convolution over bytes, as the plan describes it to a kernel that packs it.
#[derive(Debug, Clone, Copy)]
pub struct RawQ8<'a> {
    /// `[output channel][run][byte of the run]`; for a depthwise one `[channel][kernel row][kernel column]`.
    pub w: &'a [i8],
    /// Zero point of each output channel's weights.
    pub w_zero: &'a [i32],
    /// Bias with the input's zero point folded in, one an output channel.
    pub bias: &'a [i32],
    /// `scale_x * scale_w / scale_y`, one an output channel.
    pub multiplier: &'a [f32],
}

impl RawQ8<'_> {
    /// Whether no sum of byte inputs, times its multiplier, can reach 2^31: then it becomes an integer without a check.
    pub fn bounded(&self) -> bool {
        let per = self.w.len() / self.bias.len().max(1);
        (0..self.bias.len()).all(|n| {
            let zero = self.w_zero[n];
            let weights: u64 = self.w[n * per..][..per]
                .iter()
                .map(|&w| u64::from((i32::from(w) - zero).unsigned_abs()))
                .sum();
            let sum = 255.0 * weights as f64 + f64::from(self.bias[n]).abs();
            sum < 2e9 && sum * f64::from(self.multiplier[n]).abs() < 2e9
        })
    }
}

/// A float convolution, ordered as [`RawQ8`].
#[derive(Debug, Clone, Copy)]
pub struct RawF32<'a> {
    /// Weights.
    pub w: &'a [f32],
    /// Bias.
    pub bias: &'a [f32],
}

/// Where the values of an output pixel lie, and the layer's size.
#[derive(Debug, Clone)]
pub struct Runs {
    /// Byte offset of each run from the pixel's first byte.
    pub offsets: Vec<usize>,
    /// Values in each run.
    pub len: usize,
    /// Output channels.
    pub n: usize,
}

/// A packed convolution over bytes. What is packed fits the geometry: neither can be had or changed without the other.
#[derive(Debug, Clone)]
pub struct ConvQ8 {
    /// Geometry.
    runs: Runs,
    /// Weights, bias and multipliers in the kernel's own order.
    packed: Aligned,
    /// How sums become bytes.
    end: Requantise,
    /// No sum times its multiplier can reach 2^31 ([`RawQ8::bounded`]).
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    // Only x86's conversions do not saturate.
    bounded: bool,
}

impl ConvQ8 {
    /// Packs weights, for the same kernels to run.
    pub fn new(kernels: &dyn Kernels, runs: Runs, raw: &RawQ8<'_>, end: Requantise) -> Self {
        Self {
            packed: kernels.pack_conv_q8(&runs, raw),
            bounded: raw.bounded(),
            runs,
            end,
        }
    }
    /// Geometry.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }
}

/// A packed float convolution. What is packed fits the geometry, as for [`ConvQ8`].
#[derive(Debug)]
pub struct ConvF32 {
    /// Geometry.
    runs: Runs,
    /// Weights and bias in the kernel's own order.
    packed: Packed,
    /// Limits of the result.
    clamp: (f32, f32),
}

impl ConvF32 {
    /// Packs weights, for the same kernels to run.
    pub fn new(kernels: &dyn Kernels, runs: Runs, raw: &RawF32<'_>, clamp: (f32, f32)) -> Self {
        Self {
            packed: Packed::Own(kernels.pack_conv_f32(&runs, raw)),
            runs,
            clamp,
        }
    }
    /// Without weights: a step packs them in every run, into memory that it lends.
    pub fn lent(runs: Runs) -> Self {
        Self {
            packed: Packed::Lent(AtomicPtr::default()),
            runs,
            clamp: super::graph::FREE,
        }
    }
    /// Geometry.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }
    /// Says where lent weights are now.
    pub fn lend(&self, memory: *mut u8) {
        self.packed.lend(memory);
    }
}

/// Output pixels of one row (or of a whole picture, when they are evenly spaced): `count` of them.
#[derive(Debug, Clone, Copy)]
pub struct Pixels {
    /// First byte of the first pixel's input.
    pub x: *const u8,
    /// Bytes from one pixel's input to the next one's.
    pub x_pitch: usize,
    /// First byte of the first pixel's output.
    pub y: *mut u8,
    /// Bytes from one pixel's output to the next one's.
    pub y_pitch: usize,
    /// How many pixels.
    pub count: usize,
}

/// Geometry of a depthwise convolution's row.
#[derive(Debug, Clone, Copy)]
pub struct DepthwiseRow {
    /// Channels.
    pub c: usize,
    /// Kernel rows (as many row pointers are given).
    pub kh: usize,
    /// Kernel columns.
    pub kw: usize,
    /// Column stride.
    pub stride: usize,
    /// Column dilation.
    pub dilation: usize,
    /// Columns of padding at the left.
    pub left: usize,
    /// Columns of the input.
    pub w_in: usize,
    /// Columns of the output.
    pub w_out: usize,
}

impl DepthwiseRow {
    /// Outputs whose whole window lies in the picture's columns.
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    fn whole_windows(&self) -> Range<usize> {
        let span = (self.kw - 1) * self.dilation + 1;
        let end = (self.w_in + self.left + self.stride).saturating_sub(span) / self.stride;
        let end = end.min(self.w_out);
        self.left.div_ceil(self.stride).min(end)..end
    }
}

/// A packed depthwise convolution over bytes. What is packed fits the geometry, as for [`ConvQ8`].
#[derive(Debug, Clone)]
pub struct DepthwiseQ8 {
    /// Geometry.
    row: DepthwiseRow,
    /// The stored byte that means 0 in the input: what padding columns hold.
    pad: u8,
    /// Weights, bias and multipliers in the kernel's own order.
    packed: Aligned,
    /// How sums become bytes.
    end: Requantise,
    /// No sum times its multiplier can reach 2^31 ([`RawQ8::bounded`]).
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    // Only x86's conversions do not saturate.
    bounded: bool,
}

impl DepthwiseQ8 {
    /// Packs weights, for the same kernels to run.
    pub fn new(
        kernels: &dyn Kernels,
        row: DepthwiseRow,
        raw: &RawQ8<'_>,
        pad: u8,
        end: Requantise,
    ) -> Self {
        Self {
            packed: kernels.pack_depthwise_q8(&row, raw),
            bounded: raw.bounded(),
            row,
            pad,
            end,
        }
    }
    /// Geometry.
    pub fn row(&self) -> &DepthwiseRow {
        &self.row
    }
    /// What padding columns hold.
    pub fn pad(&self) -> u8 {
        self.pad
    }
}

/// A packed float depthwise convolution. What is packed fits the geometry, as for [`ConvQ8`].
#[derive(Debug, Clone)]
pub struct DepthwiseF32 {
    /// Geometry.
    row: DepthwiseRow,
    /// Weights and bias in the kernel's own order.
    packed: Aligned,
    /// Limits of the result.
    clamp: (f32, f32),
}

impl DepthwiseF32 {
    /// Packs weights, for the same kernels to run.
    pub fn new(
        kernels: &dyn Kernels,
        row: DepthwiseRow,
        raw: &RawF32<'_>,
        clamp: (f32, f32),
    ) -> Self {
        Self {
            packed: kernels.pack_depthwise_f32(&row, raw),
            row,
            clamp,
        }
    }
    /// Geometry.
    pub fn row(&self) -> &DepthwiseRow {
        &self.row
    }
}

/// A sum (or product) of two tensors of bytes: see `requantise` for the formula.
#[derive(Debug, Clone, Copy)]
pub struct BinaryQ8 {
    /// `scale_a / scale_y`; for a product `scale_a * scale_b / scale_y`.
    pub a: f32,
    /// `scale_b / scale_y`.
    pub b: f32,
    /// `zero_y - (a * zero_a + b * zero_b)`, zero points counted in -128..=127.
    pub fixed: f32,
    /// Zero points of a product's operands, counted in -128..=127.
    pub zeros: (i32, i32),
    /// Limits (of a sum counted in -128..=127, of a product from the zero point), and what is added at last.
    pub end: Requantise,
    /// What brings a stored byte to i8: 0x80 when bytes are stored as u8.
    pub flip: u8,
}

impl BinaryQ8 {
    /// For `a + b`.
    pub fn sum(a: Quant, b: Quant, y: Quant, clamp: (f32, f32), signed: bool) -> Self {
        let (ra, rb) = (a.scale / y.scale, b.scale / y.scale);
        let zero = |q: Quant| (q.zero - 128) as f32;
        let plain = Requantise::new(y, clamp, signed);
        Self {
            a: ra,
            b: rb,
            fixed: zero(y) - (ra * zero(a) + rb * zero(b)),
            zeros: (0, 0),
            end: Requantise {
                low: plain.low + zero(y),
                high: plain.high + zero(y),
                zero: if signed { 0 } else { 128 },
            },
            flip: if signed { 0 } else { 0x80 },
        }
    }

    /// For `a * b`.
    pub fn product(a: Quant, b: Quant, y: Quant, clamp: (f32, f32), signed: bool) -> Self {
        Self {
            a: a.scale * b.scale / y.scale,
            b: 0.0,
            fixed: 0.0,
            zeros: (a.zero - 128, b.zero - 128),
            end: Requantise::new(y, clamp, signed),
            flip: if signed { 0 } else { 0x80 },
        }
    }
}

/// One instruction set's loops.
///
/// The contract of the `unsafe` ones, which take pointers. A kernel that is given what stands here touches nothing else:
///
/// - **reads**, [`Kernels::conv_q8`] and [`Kernels::conv_f32`]: of every pixel `i` and run `r`, `len` values from
///   `x + i * x_pitch + offsets[r]` on; and up to [`SLACK`] bytes past the end of any run, which change no result.
/// - **reads**, [`Kernels::depthwise_q8`] and [`Kernels::depthwise_f32`]: of every row, `w_in * c` values; and up to [`SLACK`]
///   bytes past them, which change no result. The same row may be given more than once.
/// - **writes**: of every pixel the channels `channels`, each value once, from `y + i * y_pitch` (a depthwise row: from
///   `y + i * c` values) on. Nothing between them, before or after.
/// - **channels**: a range begins at a multiple of [`Kernels::channel_group`], of a depthwise row at a multiple of 64; it ends at
///   such a multiple or with the last channel.
/// - **scratch**: as many bytes as were asked for, from a multiple of 64 on, of this thread alone; written before they are read.
/// - **packed**: made by the same kernels for the same geometry ([`ConvQ8`] and its like cannot be had otherwise).
/// - **apart**: no byte that is written is read, slack included, nor written by another thread meanwhile. Bytes in the slack may
///   be anything that another thread does not write at the same time.
/// - **aligned**: floats are on multiples of 4; bytes anywhere.
pub trait Kernels: Sync + std::fmt::Debug {
    /// What is printed.
    fn name(&self) -> &'static str;
    /// Whether bytes are stored with the top bit flipped (as i8) rather than as u8.
    fn signed(&self) -> bool;

    /// Whether weights of these values can be packed as they are: their zero points must be 0.
    fn takes(&self, raw: &RawQ8<'_>) -> bool {
        raw.w_zero.iter().all(|&z| z == 0)
    }
    /// Output channels are worked on in groups of so many; a range's start must be a multiple of it.
    fn channel_group(&self, n: usize) -> usize;
    /// Packs a convolution.
    fn pack_conv_q8(&self, runs: &Runs, raw: &RawQ8<'_>) -> Aligned;
    /// Bytes of scratch memory that [`Kernels::conv_q8`] wants.
    fn conv_q8_scratch_bytes(&self, _: &Runs) -> usize {
        0
    }
    /// Computes output channels `channels` of some pixels.
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
    /// Bytes of scratch memory that [`Kernels::depthwise_q8`] wants.
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

    /// How float weights are packed.
    fn float_panels(&self, runs: &Runs) -> Panels;
    /// Packs a convolution.
    fn pack_conv_f32(&self, runs: &Runs, raw: &RawF32<'_>) -> Aligned {
        panels::pack_floats(self.float_panels(runs), runs, raw)
    }
    /// Computes output channels `channels` of some pixels.
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

    /// `y = a + b`, bytes.
    fn add_q8(&self, add: &BinaryQ8, a: &[u8], b: &[u8], y: &mut [u8]) {
        reference::add_q8(add, a, b, y);
    }
    /// `y = limit(a + b)`.
    fn add_f32(&self, clamp: (f32, f32), a: &[f32], b: &[f32], y: &mut [f32]) {
        reference::add_f32(clamp, a, b, y);
    }
    /// `y = a * b`, bytes.
    fn mul_q8(&self, product: &BinaryQ8, a: &[u8], b: &[u8], y: &mut [u8]) {
        reference::mul_q8(product, a, b, y);
    }
    /// `y = limit(a * b)`.
    fn mul_f32(&self, clamp: (f32, f32), a: &[f32], b: &[f32], y: &mut [f32]) {
        reference::mul_f32(clamp, a, b, y);
    }
    /// `y = f(x)`; if `gate`, `y = x * f(x)`.
    fn unary_f32(&self, f: Unary, gate: bool, x: &[f32], y: &mut [f32]) {
        f.run::<{ cfg!(target_arch = "aarch64") }>(gate, x, y);
    }
    /// LayerNormalization of rows of as many values as there are factors.
    fn norm_f32(&self, norm: &Norm, x: &[f32], y: &mut [f32]) {
        rows::norm(norm, x, y);
    }
    /// Softmax of rows of `c` values.
    fn softmax_f32(&self, x: &[f32], c: usize, y: &mut [f32]) {
        rows::softmax::<{ cfg!(target_arch = "aarch64") }>(x, c, y);
    }
    /// Least and greatest of these values and 0.
    fn extremes_f32(&self, x: &[f32]) -> Extremes {
        dynamic::extremes(x)
    }
    /// Real values to whole numbers, see [`dynamic`].
    fn round_f32(&self, of: Extremes, values: &mut [f32]) {
        dynamic::round(of, values);
    }
    /// Sums of whole numbers to real values, see [`dynamic`].
    fn rescale_f32(&self, by: &Rescale<'_>, values: &mut [f32]) {
        dynamic::rescale(by, values);
    }
    /// Output rows `rows` of a pooling of floats.
    fn max_f32(&self, pool: &MaxPool, x: &[f32], rows: Range<usize>, y: &mut [f32]) {
        pool.of_floats(x, rows, y);
    }
    /// Output rows `rows` of a pooling of bytes.
    fn max_q8(&self, pool: &MaxPool, x: &[u8], rows: Range<usize>, y: &mut [u8]) {
        pool.of_bytes(x, rows, y);
    }
    /// Average over all pixels of `c` channels, bytes; `zero` is the input's stored zero point.
    fn average_q8(
        &self,
        x: &[u8],
        c: usize,
        zero: i32,
        multiplier: f32,
        end: &Requantise,
        y: &mut [u8],
    ) {
        reference::average_q8(x, c, self.signed(), zero, multiplier, end, y);
    }
    /// Average over all pixels of `c` channels.
    fn average_f32(&self, x: &[f32], c: usize, y: &mut [f32]) {
        reference::average_f32(x, c, y);
    }
}

/// The best kernels of this CPU. `EYELET_KERNELS` names another set (for tests and comparisons). Chosen once.
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
    if let Some(kernels) = avx512vnni::Avx512Vnni::detect() {
        all.push(kernels);
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(kernels) = avx2::Avx2::detect() {
        all.push(kernels);
    }
    #[cfg(target_arch = "aarch64")]
    {
        if let Some(kernels) = i8mm::MatrixProduct::detect() {
            all.push(kernels);
        }
        if let Some(kernels) = dotprod::DotProduct::detect() {
            all.push(kernels);
        }
        all.push(neon::Products::here());
    }
    all.push(&reference::UNSIGNED);
    all.push(&reference::SIGNED);
    all
}
