//! The loops over values of half precision ([`super::half_values`]).
//!
//! A convolution may round sums of some hundred products to half
//! precision; it adds those sums in single precision, and rounds the result once more.

use super::half_values::{AT_ONCE, of_f32, to_f32};
use super::panels::{Panels, half_panels, pack_depthwise_halves, pack_halves};
use super::{Aligned, DepthwiseRow, Pixels, RawF32, Runs};
use std::ops::Range;

/// The loops of one instruction set. The contract of the `unsafe` methods is that of [`super::Kernels`], for values of two bytes at
/// multiples of two.
pub trait Half: Sync + std::fmt::Debug {
    /// Its name in listings.
    fn name(&self) -> &'static str;
    /// How weights are packed.
    fn panels(&self, runs: &Runs) -> Panels;
    /// A range of output channels must start at a multiple of this.
    fn channel_group(&self, n: usize) -> usize;
    /// Computes output channels `channels` of `pixels`.
    ///
    /// # Safety
    /// The contract of [`super::Kernels`]: reads, writes, channels, packed, apart, aligned.
    unsafe fn conv(&self, conv: &ConvF16, pixels: &Pixels, channels: Range<usize>);
    /// Channels of a depthwise convolution that are packed together.
    fn depthwise_lanes(&self) -> usize;
    /// Computes channels `channels` of one output row from `kh` input rows.
    ///
    /// # Safety
    /// The contract of [`super::Kernels`]: reads, writes, channels, packed, apart, aligned.
    unsafe fn depthwise(
        &self,
        conv: &DepthwiseF16,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
    );
    /// To single precision.
    fn widen(&self, x: &[u16], y: &mut [f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = to_f32(x);
        }
    }
    /// From single precision.
    fn narrow(&self, x: &[f32], y: &mut [u16]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = of_f32(x);
        }
    }
    /// `y = limit(a + b)`, computed in single precision.
    fn add(&self, clamp: (f32, f32), a: &[u16], b: &[u16], y: &mut [u16]) {
        in_single(self, [a, b], y, |a, b| (a + b).max(clamp.0).min(clamp.1));
    }
    /// `y = limit(a * b)`, computed in single precision.
    fn mul(&self, clamp: (f32, f32), a: &[u16], b: &[u16], y: &mut [u16]) {
        in_single(self, [a, b], y, |a, b| (a * b).max(clamp.0).min(clamp.1));
    }
    /// Average over all pixels of `c` channels, summed in single precision.
    fn average(&self, x: &[u16], c: usize, y: &mut [u16]) {
        let pixels = (x.len() / c) as f32;
        for (block, y) in y.chunks_mut(AT_ONCE).enumerate() {
            let (mut sums, mut wide) = ([0f32; AT_ONCE], [0f32; AT_ONCE]);
            for pixel in x.chunks_exact(c) {
                self.widen(&pixel[block * AT_ONCE..][..y.len()], &mut wide);
                for (sum, x) in sums.iter_mut().zip(&wide) {
                    *sum += x;
                }
            }
            self.narrow(&sums.map(|sum| sum / pixels), y);
        }
    }
}

/// `y = f(a, b)`, computed in single precision.
fn in_single<H: Half + ?Sized>(
    half: &H,
    [a, b]: [&[u16]; 2],
    y: &mut [u16],
    f: impl Fn(f32, f32) -> f32,
) {
    let operands = a.chunks(AT_ONCE).zip(b.chunks(AT_ONCE));
    for ((a, b), y) in operands.zip(y.chunks_mut(AT_ONCE)) {
        let (mut wide_a, mut wide_b) = ([0.0; AT_ONCE], [0.0; AT_ONCE]);
        half.widen(a, &mut wide_a);
        half.widen(b, &mut wide_b);
        for (a, &b) in wide_a.iter_mut().zip(&wide_b) {
            *a = f(*a, b);
        }
        half.narrow(&wide_a[..y.len()], y);
    }
}

/// A packed convolution. Weights and geometry always match, as for [`super::ConvQ8`].
#[derive(Debug, Clone)]
pub struct ConvF16 {
    /// Geometry.
    pub(super) runs: Runs,
    /// Weights and bias, see [`half_panels`].
    pub(super) packed: Aligned,
    /// Limits of the output.
    pub(super) clamp: (f32, f32),
}

impl ConvF16 {
    /// Packs weights for the same loops.
    ///
    /// # Panics
    /// If there are not as many weights as the geometry says.
    pub fn new(half: &dyn Half, runs: Runs, raw: &RawF32<'_>, clamp: (f32, f32)) -> Self {
        raw.must_be_of(runs.n, runs.per_channel());
        Self {
            packed: pack_halves(half.panels(&runs), &runs, raw),
            runs,
            clamp,
        }
    }
    /// Geometry.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }
}

/// A packed depthwise convolution. Weights and geometry always match, as for [`super::ConvQ8`].
#[derive(Debug, Clone)]
pub struct DepthwiseF16 {
    /// Geometry.
    pub(super) row: DepthwiseRow,
    /// Weights and bias, see [`pack_depthwise_halves`].
    pub(super) packed: Aligned,
    /// Limits of the output.
    pub(super) clamp: (f32, f32),
}

impl DepthwiseF16 {
    /// Packs weights for the same loops.
    ///
    /// # Panics
    /// If there are not as many weights as the geometry says.
    pub fn new(half: &dyn Half, row: DepthwiseRow, raw: &RawF32<'_>, clamp: (f32, f32)) -> Self {
        raw.must_be_of(row.c, row.kh * row.kw);
        Self {
            packed: pack_depthwise_halves(&row, raw, half.depthwise_lanes()),
            row,
            clamp,
        }
    }
    /// Geometry.
    pub fn row(&self) -> &DepthwiseRow {
        &self.row
    }
}

/// Plain Rust, written from the definitions: the reference for the others.
#[derive(Debug)]
pub struct Reference;

impl Half for Reference {
    fn name(&self) -> &'static str {
        "reference-half"
    }

    fn panels(&self, runs: &Runs) -> Panels {
        half_panels(runs, runs.n.max(1), 1)
    }

    fn channel_group(&self, _: usize) -> usize {
        1
    }

    unsafe fn conv(&self, conv: &ConvF16, p: &Pixels, channels: Range<usize>) {
        let Runs { offsets, len, n } = &conv.runs;
        // SAFETY: the layout is that of `pack_halves`; contract (reads, writes).
        unsafe {
            let packed = conv.packed.as_ptr().cast::<u16>();
            let values = std::slice::from_raw_parts(packed, n * (1 + offsets.len() * len));
            for i in 0..p.count {
                let x = p.x.add(i * p.x_pitch);
                for o in channels.clone() {
                    let mut sum = to_f32(values[o]);
                    for (r, &offset) in offsets.iter().enumerate() {
                        let run = std::slice::from_raw_parts(x.add(offset).cast::<u16>(), *len);
                        for (i, &x) in run.iter().enumerate() {
                            sum += to_f32(x) * to_f32(values[(1 + r * len + i) * n + o]);
                        }
                    }
                    let y = p.y.add(i * p.y_pitch).cast::<u16>();
                    *y.add(o) = of_f32(sum.max(conv.clamp.0).min(conv.clamp.1));
                }
            }
        }
    }

    fn depthwise_lanes(&self) -> usize {
        1
    }

    unsafe fn depthwise(
        &self,
        conv: &DepthwiseF16,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
    ) {
        let d = &conv.row;
        let per = d.kh * d.kw;
        // SAFETY: the layout is that of `pack_depthwise_halves`; contract (reads, writes).
        unsafe {
            let packed = conv.packed.as_ptr().cast::<u16>();
            let y = y.cast::<u16>();
            for ox in 0..d.w_out {
                for c in channels.clone() {
                    let w = std::slice::from_raw_parts(packed.add(c * (1 + per)), 1 + per);
                    let mut sum = to_f32(w[0]);
                    for (ky, row) in rows.iter().enumerate() {
                        for kx in 0..d.kw {
                            let ix = (ox * d.stride + kx * d.dilation).wrapping_sub(d.left);
                            if ix < d.w_in {
                                let x = *row.cast::<u16>().add(ix * d.c + c);
                                sum += to_f32(x) * to_f32(w[1 + ky * d.kw + kx]);
                            }
                        }
                    }
                    *y.add(ox * d.c + c) = of_f32(sum.max(conv.clamp.0).min(conv.clamp.1));
                }
            }
        }
    }
}
