//! Plain Rust, written from the definitions: the reference for every other kernel, and the fallback on a CPU without one.
//!
//! Packed form: bias, multipliers (int8 only), then weights in the given order (float convolutions as one panel); int8 weights as i16
//! with their zero point subtracted.

use super::panels::{Panels, float_panels};
use super::{
    Aligned, AverageQ8, BinaryQ8, ConvF32, ConvQ8, DepthwiseF32, DepthwiseQ8, DepthwiseRow, Half,
    Kernels, Pixels, RawF32, RawQ8, Runs, half,
};
use std::ops::Range;

/// The reference kernels, for both storage formats of bytes.
#[derive(Debug)]
pub struct Reference {
    signed: bool,
}

/// Bytes stored as u8.
pub static UNSIGNED: Reference = Reference { signed: false };
/// Bytes stored as i8.
pub static SIGNED: Reference = Reference { signed: true };

/// The number that a stored byte represents.
#[inline(always)]
fn number(byte: u8, signed: bool) -> i32 {
    if signed {
        i32::from(byte as i8)
    } else {
        i32::from(byte)
    }
}

fn pack(parts: &[&[u8]]) -> Aligned {
    let mut packed = Aligned::zeroed(parts.iter().map(|p| p.len()).sum());
    let bytes = packed.bytes_mut();
    let mut at = 0;
    for part in parts {
        bytes[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    packed
}

fn bytes_of<const N: usize, T: Copy>(values: &[T], of: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&v| of(v)).collect()
}

fn pack_q8(raw: &RawQ8<'_>) -> Aligned {
    let per = raw.w.len() / raw.bias.len().max(1);
    let w: Vec<i16> = raw
        .w
        .iter()
        .enumerate()
        .map(|(i, &w)| (i32::from(w) - raw.w_zero[i / per]) as i16)
        .collect();
    pack(&[
        &bytes_of(raw.bias, i32::to_ne_bytes),
        &bytes_of(raw.multiplier, f32::to_ne_bytes),
        &bytes_of(&w, i16::to_ne_bytes),
    ])
}

/// `count` values of four or two bytes from `at`.
///
/// # Safety
/// The packed bytes hold them, aligned.
unsafe fn view<T>(packed: &Aligned, at: usize, count: usize) -> &[T] {
    debug_assert!(at + count * size_of::<T>() <= packed.len());
    // SAFETY: the packed bytes hold them; Aligned starts on 64 bytes and `at` is a multiple of four.
    unsafe { std::slice::from_raw_parts(packed.as_ptr().add(at).cast(), count) }
}

impl Kernels for Reference {
    fn name(&self) -> &'static str {
        if self.signed {
            "reference-signed"
        } else {
            "reference"
        }
    }

    fn signed(&self) -> bool {
        self.signed
    }

    fn takes(&self, _: &RawQ8<'_>) -> bool {
        true
    }

    fn channel_group(&self, _: usize) -> usize {
        1
    }

    fn pack_conv_q8(&self, _: &Runs, raw: &RawQ8<'_>) -> Aligned {
        pack_q8(raw)
    }

    unsafe fn conv_q8(&self, conv: &ConvQ8, p: &Pixels, channels: Range<usize>, _: *mut u8) {
        let Runs { offsets, len, n } = &conv.runs;
        let per = offsets.len() * len;
        // SAFETY: the layout is that of pack_q8; contract (reads, writes).
        unsafe {
            let bias: &[i32] = view(&conv.packed, 0, *n);
            let multiplier: &[f32] = view(&conv.packed, n * 4, *n);
            let w: &[i16] = view(&conv.packed, n * 8, n * per);
            for i in 0..p.count {
                let x = p.x.add(i * p.x_pitch);
                for o in channels.clone() {
                    let mut sum = bias[o];
                    for (r, &offset) in offsets.iter().enumerate() {
                        let run = std::slice::from_raw_parts(x.add(offset), *len);
                        for (&x, &w) in run.iter().zip(&w[o * per + r * len..]) {
                            let product = number(x, self.signed) * i32::from(w);
                            sum = sum.wrapping_add(product);
                        }
                    }
                    *p.y.add(i * p.y_pitch + o) = conv.end.of(sum, multiplier[o]);
                }
            }
        }
    }

    fn pack_depthwise_q8(&self, _: &DepthwiseRow, raw: &RawQ8<'_>) -> Aligned {
        pack_q8(raw)
    }

    unsafe fn depthwise_q8(
        &self,
        conv: &DepthwiseQ8,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
        _: *mut u8,
    ) {
        let d = &conv.row;
        let per = d.kh * d.kw;
        // SAFETY: the layout is that of pack_q8; contract (reads, writes).
        unsafe {
            let bias: &[i32] = view(&conv.packed, 0, d.c);
            let multiplier: &[f32] = view(&conv.packed, d.c * 4, d.c);
            let w: &[i16] = view(&conv.packed, d.c * 8, d.c * per);
            for ox in 0..d.w_out {
                for c in channels.clone() {
                    let mut sum = bias[c];
                    for (ky, row) in rows.iter().enumerate() {
                        for kx in 0..d.kw {
                            let ix = (ox * d.stride + kx * d.dilation).wrapping_sub(d.left);
                            let x = if ix < d.w_in {
                                *row.add(ix * d.c + c)
                            } else {
                                conv.pad
                            };
                            let w = i32::from(w[c * per + ky * d.kw + kx]);
                            sum = sum.wrapping_add(number(x, self.signed) * w);
                        }
                    }
                    *y.add(ox * d.c + c) = conv.end.of(sum, multiplier[c]);
                }
            }
        }
    }

    fn half(&self) -> Option<&'static dyn Half> {
        Some(&half::Reference)
    }

    fn float_panels(&self, runs: &Runs) -> Panels {
        float_panels(runs, runs.n.max(1), 1)
    }

    unsafe fn conv_f32(&self, conv: &ConvF32, p: &Pixels, channels: Range<usize>) {
        let Runs { offsets, len, n } = &conv.runs;
        let per = offsets.len() * len;
        // SAFETY: the layout is that of `pack_floats`; contract (reads, writes).
        unsafe {
            let packed = conv.packed.as_ptr().cast::<f32>();
            let bias = std::slice::from_raw_parts(packed, *n);
            let w = std::slice::from_raw_parts(packed.add(*n), n * per);
            for i in 0..p.count {
                let x = p.x.add(i * p.x_pitch);
                for o in channels.clone() {
                    let mut sum = bias[o];
                    for (r, &offset) in offsets.iter().enumerate() {
                        let run = std::slice::from_raw_parts(x.add(offset).cast::<f32>(), *len);
                        for (i, &x) in run.iter().enumerate() {
                            sum += x * w[(r * len + i) * n + o];
                        }
                    }
                    let y = p.y.add(i * p.y_pitch).cast::<f32>();
                    *y.add(o) = sum.max(conv.clamp.0).min(conv.clamp.1);
                }
            }
        }
    }

    fn pack_depthwise_f32(&self, _: &DepthwiseRow, raw: &RawF32<'_>) -> Aligned {
        let f = |v: &[f32]| bytes_of(v, f32::to_ne_bytes);
        pack(&[&f(raw.bias), &f(raw.w)])
    }

    unsafe fn depthwise_f32(
        &self,
        conv: &DepthwiseF32,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
    ) {
        let d = &conv.row;
        let per = d.kh * d.kw;
        // SAFETY: the layout is that of pack_depthwise_f32; contract (reads, writes).
        unsafe {
            let bias: &[f32] = view(&conv.packed, 0, d.c);
            let w: &[f32] = view(&conv.packed, d.c * 4, d.c * per);
            let y = y.cast::<f32>();
            for ox in 0..d.w_out {
                for c in channels.clone() {
                    let mut sum = bias[c];
                    for (ky, row) in rows.iter().enumerate() {
                        for kx in 0..d.kw {
                            let ix = (ox * d.stride + kx * d.dilation).wrapping_sub(d.left);
                            if ix < d.w_in {
                                let x = *row.cast::<f32>().add(ix * d.c + c);
                                sum += x * w[c * per + ky * d.kw + kx];
                            }
                        }
                    }
                    *y.add(ox * d.c + c) = sum.max(conv.clamp.0).min(conv.clamp.1);
                }
            }
        }
    }
}

/// `y = a + b` on bytes.
#[inline(always)]
pub fn add_q8(add: &BinaryQ8, a: &[u8], b: &[u8], y: &mut [u8]) {
    let number = |byte: u8| f32::from((byte ^ add.flip) as i8);
    for ((&a, &b), y) in a.iter().zip(b).zip(y) {
        let sum = number(b).mul_add(add.b, add.fixed);
        *y = add.end.finish(number(a).mul_add(add.a, sum));
    }
}

/// `y = limit(a + b)`.
#[inline(always)]
pub fn add_f32(clamp: (f32, f32), a: &[f32], b: &[f32], y: &mut [f32]) {
    for ((&a, &b), y) in a.iter().zip(b).zip(y) {
        *y = (a + b).max(clamp.0).min(clamp.1);
    }
}

/// `y = a * b`, bytes.
#[inline(always)]
pub fn mul_q8(q: &BinaryQ8, a: &[u8], b: &[u8], y: &mut [u8]) {
    let number = |byte: u8| i32::from((byte ^ q.flip) as i8);
    for ((&a, &b), y) in a.iter().zip(b).zip(y) {
        let product = (number(a) - q.zeros.0) * (number(b) - q.zeros.1);
        *y = q.end.of(product, q.a);
    }
}

/// `y = limit(a * b)`.
#[inline(always)]
pub fn mul_f32(clamp: (f32, f32), a: &[f32], b: &[f32], y: &mut [f32]) {
    for ((&a, &b), y) in a.iter().zip(b).zip(y) {
        *y = (a * b).max(clamp.0).min(clamp.1);
    }
}

/// Average over all pixels, a block of channels at a time.
#[inline(always)]
pub fn average_q8(average: &AverageQ8, signed: bool, x: &[u8], y: &mut [u8]) {
    let &AverageQ8 {
        c,
        zero,
        multiplier,
        end,
    } = average;
    let pixels = (x.len() / c) as i32;
    for (block, y) in y.chunks_mut(64).enumerate() {
        let mut sums = [0i32; 64];
        for pixel in x.chunks_exact(c) {
            for (sum, &x) in sums.iter_mut().zip(&pixel[block * 64..][..y.len()]) {
                *sum += number(x, signed);
            }
        }
        for (y, &sum) in y.iter_mut().zip(&sums) {
            *y = end.of(sum - pixels * zero, multiplier);
        }
    }
}

/// Average over all pixels, a block of channels at a time. Four sums, one for every fourth pixel:
/// ONNX Runtime's order on x86-64, to give the same bits.
#[inline(always)]
pub fn average_f32(x: &[f32], c: usize, y: &mut [f32]) {
    let pixels = (x.len() / c) as f32;
    let fours = x.chunks_exact(4 * c);
    let rest = fours.remainder();
    for (block, y) in y.chunks_mut(32).enumerate() {
        let mut sums = [[0f32; 32]; 4];
        let add = |sums: &mut [f32; 32], pixel: &[f32]| {
            for (sum, &x) in sums.iter_mut().zip(&pixel[block * 32..][..y.len()]) {
                *sum += x;
            }
        };
        for four in fours.clone() {
            for (sums, pixel) in sums.iter_mut().zip(four.chunks_exact(c)) {
                add(sums, pixel);
            }
        }
        let mut all: [f32; 32] =
            std::array::from_fn(|i| (sums[0][i] + sums[2][i]) + (sums[1][i] + sums[3][i]));
        for pixel in rest.chunks_exact(c) {
            add(&mut all, pixel);
        }
        for (y, &sum) in y.iter_mut().zip(&all) {
            *y = sum / pixels;
        }
    }
}
