//! What a kernel is given: strides and sizes, weights as the plan has them, and packed weights.

use super::Kernels;
use super::aligned::Aligned;
use super::maps::Map;
use super::panels::Packed;
use super::split::Split;
use super::wide::Wide;
use crate::network::graph::requantise::Requantise;
use crate::network::graph::{FREE, Quant};
use std::ops::Range;
use std::sync::atomic::AtomicPtr;

/// Bytes past the end of every tensor that a kernel may read (never write).
pub const SLACK: usize = 64;

/// A convolution over bytes, as the plan describes it to a kernel that packs it.
#[derive(Debug, Clone, Copy)]
pub struct RawQ8<'a> {
    /// `[output channel][run][byte of the run]`; for a depthwise one `[channel][kernel row][kernel column]`.
    pub w: &'a [i8],
    /// Zero point of the weights, per output channel.
    pub w_zero: &'a [i32],
    /// Bias with the input's zero point folded in, per output channel.
    pub bias: &'a [i32],
    /// `scale_x * scale_w / scale_y`, per output channel.
    pub multiplier: &'a [f32],
}

impl RawQ8<'_> {
    /// Checks that there are `channels` channels of `per` weights: kernels read so many, whatever was packed.
    ///
    /// # Panics
    /// If not.
    fn must_be_of(&self, channels: usize, per: usize) {
        let per_channel = [self.w_zero.len(), self.bias.len(), self.multiplier.len()];
        let sizes = (self.w.len(), per_channel);
        assert_eq!(sizes, (channels * per, [channels; 3]), "other weights");
    }

    /// Weight `i`, of channel `n`, without its zero point.
    pub(super) fn weight(&self, i: usize, n: usize) -> i32 {
        i32::from(self.w[i]) - self.w_zero[n]
    }

    /// How large sums can be.
    pub fn sums(&self) -> Sums {
        let per = self.w.len() / self.bias.len().max(1);
        let mut all = Sums::Small;
        for (n, &multiplier) in self.multiplier.iter().enumerate() {
            let weights: u64 = (n * per..(n + 1) * per)
                .map(|i| u64::from(self.weight(i, n).unsigned_abs()))
                .sum();
            let sum = 255.0 * weights as f64 + f64::from(self.bias[n]).abs();
            let multiplier = f64::from(multiplier);
            let small = sum < f64::from(1 << 23) && (0.0..1.0).contains(&multiplier);
            if !(sum < 2e9 && sum * multiplier.abs() < 2e9) {
                return Sums::Any;
            } else if !small {
                all = Sums::Bounded;
            }
        }
        all
    }
}

/// How large the sums of a convolution can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sums {
    /// Unknown: a result may have to be limited before it is converted to an integer.
    Any,
    /// A sum times its multiplier is below 2^31.
    Bounded,
    /// Also, sums are below 2^23 and multipliers from 0 to 1.
    Small,
}

impl Sums {
    /// Whether every result fits in 32 bits.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub fn bounded(self) -> bool {
        self != Self::Any
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

impl RawF32<'_> {
    /// As of [`RawQ8`].
    pub(super) fn must_be_of(&self, channels: usize, per: usize) {
        let sizes = (self.w.len(), self.bias.len());
        assert_eq!(sizes, (channels * per, channels), "other weights");
    }
}

/// Where an output pixel's inputs are, and the layer's size.
#[derive(Debug, Clone)]
pub struct Runs {
    /// Byte offset of each run from the pixel's first byte.
    pub offsets: Vec<usize>,
    /// Values in each run.
    pub len: usize,
    /// Output channels.
    pub n: usize,
}

impl Runs {
    /// Weights of an output channel.
    pub(super) fn per_channel(&self) -> usize {
        self.offsets.len() * self.len
    }
}

/// A packed convolution over bytes. Weights and geometry always match: neither can be created or changed alone.
#[derive(Debug, Clone)]
pub struct ConvQ8 {
    /// Geometry.
    pub(super) runs: Runs,
    /// Weights, bias and multipliers in the kernel's own order.
    pub(super) packed: Aligned,
    /// Channels that are computed on their own, after the kernel.
    pub(super) wide: Vec<Wide>,
    /// How sums are requantised.
    pub(super) end: Requantise,
    /// How large sums can be.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    // Only x86's conversions do not saturate.
    pub(super) sums: Sums,
    /// What is done with the bytes after that.
    pub(super) then: Option<Map>,
}

impl ConvQ8 {
    /// Packs weights for the same kernels. Split weights repeat the runs.
    ///
    /// # Panics
    /// If there are not as many weights as the geometry says.
    pub fn new(kernels: &dyn Kernels, mut runs: Runs, raw: &RawQ8<'_>, end: Requantise) -> Self {
        raw.must_be_of(runs.n, runs.per_channel());
        let split = Split::of(kernels, raw);
        runs.offsets = runs.offsets.repeat(split.parts);
        Self {
            packed: kernels.pack_conv_q8(&runs, &split.instead(raw)),
            wide: split.wide,
            sums: raw.sums(),
            runs,
            end,
            then: None,
        }
    }
    /// Computes output channels `channels` of `pixels` with the same kernels.
    ///
    /// # Safety
    /// The contract of [`Kernels`]: reads, writes, channels, scratch, packed, apart.
    pub unsafe fn run(
        &self,
        kernels: &dyn Kernels,
        pixels: &Pixels,
        channels: Range<usize>,
        scratch: *mut u8,
    ) {
        // SAFETY: the caller's contract is the same.
        unsafe {
            kernels.conv_q8(self, pixels, channels.clone(), scratch);
            if !self.wide.is_empty() {
                kernels.wide_conv_q8(self, pixels, channels);
            }
        }
    }
    /// Puts its bytes through a function too.
    pub fn with(mut self, then: Option<Map>) -> Self {
        let fits = |map: &Map| map.channels() == self.runs.n;
        debug_assert!(then.as_ref().is_none_or(fits));
        self.then = then;
        self
    }
    /// The function, if there is one.
    pub fn then(&self) -> Option<&Map> {
        self.then.as_ref()
    }
    /// Geometry.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }
}

/// A packed float convolution. Weights and geometry always match, as for [`ConvQ8`].
#[derive(Debug)]
pub struct ConvF32 {
    /// Geometry.
    pub(super) runs: Runs,
    /// Weights and bias in the kernel's own order.
    pub(super) packed: Packed,
    /// Clamp of the output.
    pub(super) clamp: (f32, f32),
}

impl ConvF32 {
    /// Packs weights for the same kernels.
    ///
    /// # Panics
    /// If there are not as many weights as the geometry says.
    pub fn new(kernels: &dyn Kernels, runs: Runs, raw: &RawF32<'_>, clamp: (f32, f32)) -> Self {
        raw.must_be_of(runs.n, runs.per_channel());
        Self {
            packed: Packed::Own(kernels.pack_conv_f32(&runs, raw)),
            runs,
            clamp,
        }
    }
    /// Without weights: a step packs them in every run, into its own memory.
    pub fn lent(runs: Runs) -> Self {
        Self {
            packed: Packed::Lent(AtomicPtr::default()),
            runs,
            clamp: FREE,
        }
    }
    /// Geometry.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }
    /// Whether it has weights of its own.
    pub fn has_weights(&self) -> bool {
        matches!(self.packed, Packed::Own(_))
    }
    /// Sets where the borrowed weights are.
    pub fn lend(&self, memory: *mut u8) {
        self.packed.lend(memory);
    }
}

/// `count` output pixels of one row (or of a whole picture, if evenly spaced).
#[derive(Debug, Clone, Copy)]
pub struct Pixels {
    /// First byte of the first pixel's input.
    pub x: *const u8,
    /// Bytes from one pixel's input to the next.
    pub x_pitch: usize,
    /// First byte of the first pixel's output.
    pub y: *mut u8,
    /// Bytes from one pixel's output to the next.
    pub y_pitch: usize,
    /// Number of pixels.
    pub count: usize,
}

/// Geometry of a depthwise convolution's row.
#[derive(Debug, Clone, Copy)]
pub struct DepthwiseRow {
    /// Channels.
    pub c: usize,
    /// Kernel rows, and row pointers per call.
    pub kh: usize,
    /// Kernel columns.
    pub kw: usize,
    /// Column stride.
    pub stride: usize,
    /// Column dilation.
    pub dilation: usize,
    /// Padding columns on the left.
    pub left: usize,
    /// Columns of the input.
    pub w_in: usize,
    /// Columns of the output.
    pub w_out: usize,
}

impl DepthwiseRow {
    /// Outputs whose whole window is inside the picture's columns.
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    pub(super) fn whole_windows(&self) -> Range<usize> {
        let span = (self.kw - 1) * self.dilation + 1;
        let end = (self.w_in + self.left + self.stride).saturating_sub(span) / self.stride;
        let end = end.min(self.w_out);
        self.left.div_ceil(self.stride).min(end)..end
    }
}

/// A packed depthwise convolution over bytes. Weights and geometry always match, as for [`ConvQ8`].
#[derive(Debug, Clone)]
pub struct DepthwiseQ8 {
    /// Geometry.
    pub(super) row: DepthwiseRow,
    /// The stored byte that means 0 in the input, used for padding columns.
    pub(super) pad: u8,
    /// Weights, bias and multipliers in the kernel's own order.
    pub(super) packed: Aligned,
    /// Channels that are computed on their own, after the kernel.
    pub(super) wide: Vec<Wide>,
    /// How sums are requantised.
    pub(super) end: Requantise,
    /// How large sums can be.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    // Only x86's conversions do not saturate.
    pub(super) sums: Sums,
    /// What is done with the bytes after that.
    pub(super) then: Option<Map>,
}

impl DepthwiseQ8 {
    /// Packs weights for the same kernels. Split weights repeat the kernel rows.
    ///
    /// # Panics
    /// If there are not as many weights as the geometry says.
    pub fn new(
        kernels: &dyn Kernels,
        mut row: DepthwiseRow,
        raw: &RawQ8<'_>,
        pad: u8,
        end: Requantise,
    ) -> Self {
        raw.must_be_of(row.c, row.kh * row.kw);
        let split = Split::of(kernels, raw);
        row.kh *= split.parts;
        Self {
            packed: kernels.pack_depthwise_q8(&row, &split.instead(raw)),
            wide: split.wide,
            sums: raw.sums(),
            row,
            pad,
            end,
            then: None,
        }
    }
    /// Puts its bytes through a function too.
    pub fn with(mut self, then: Option<Map>) -> Self {
        let fits = |map: &Map| map.channels() == self.row.c;
        debug_assert!(then.as_ref().is_none_or(fits));
        self.then = then;
        self
    }
    /// The function, if there is one.
    pub fn then(&self) -> Option<&Map> {
        self.then.as_ref()
    }
    /// Geometry.
    pub fn row(&self) -> &DepthwiseRow {
        &self.row
    }
    /// The byte used for padding columns.
    pub fn pad(&self) -> u8 {
        self.pad
    }
    /// Computes channels `channels` of one output row with the same kernels.
    ///
    /// # Safety
    /// The contract of [`Kernels`]: reads, writes, channels, scratch, packed, apart.
    pub unsafe fn run(
        &self,
        kernels: &dyn Kernels,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
        scratch: *mut u8,
    ) {
        // SAFETY: the caller's contract is the same.
        unsafe {
            kernels.depthwise_q8(self, rows, y, channels.clone(), scratch);
            if !self.wide.is_empty() {
                kernels.wide_depthwise_q8(self, rows, y, channels);
            }
        }
    }
}

/// A packed float depthwise convolution. Weights and geometry always match, as for [`ConvQ8`].
#[derive(Debug, Clone)]
pub struct DepthwiseF32 {
    /// Geometry.
    pub(super) row: DepthwiseRow,
    /// Weights and bias in the kernel's own order.
    pub(super) packed: Aligned,
    /// Clamp of the output.
    pub(super) clamp: (f32, f32),
}

impl DepthwiseF32 {
    /// Packs weights for the same kernels.
    ///
    /// # Panics
    /// If there are not as many weights as the geometry says.
    pub fn new(
        kernels: &dyn Kernels,
        row: DepthwiseRow,
        raw: &RawF32<'_>,
        clamp: (f32, f32),
    ) -> Self {
        raw.must_be_of(row.c, row.kh * row.kw);
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

/// A sum (or product) of two int8 tensors; see `requantise` for the formula.
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
    /// Clamp (of a sum in -128..=127, of a product relative to the zero point), and what is added last.
    pub end: Requantise,
    /// XOR that turns a stored byte into i8: 0x80 if bytes are stored as u8.
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

/// An average over all pixels of an int8 tensor.
#[derive(Debug, Clone, Copy)]
pub struct AverageQ8 {
    /// Channels.
    pub c: usize,
    /// Stored zero point of the input.
    pub zero: i32,
    /// `scale_x / scale_y` over the number of pixels.
    pub multiplier: f32,
    /// How sums are requantised.
    pub end: Requantise,
}
