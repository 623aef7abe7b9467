//! The most multiply-adds per second that kernels reach on this CPU, as a measure for layers that reach less.

use super::{Aligned, ConvF32, ConvQ8, Kernels, Pixels, RawF32, RawQ8, Runs};
use crate::network::graph::requantise::Requantise;
use crate::network::graph::{FREE, Quant};
use std::time::Instant;

/// Pixels, input and output channels of the layers that are measured: multiples of every tile's height and panel's width, and as bytes
/// they fit an L1 cache of 32 KiB. As floats they have a quarter of the input channels.
const LAYERS: [(usize, usize, usize); 2] = [(120, 160, 48), (60, 256, 64)];
/// The best of so many is taken.
const ROUNDS: usize = 200;

/// The rate of one thread in the best of some pointwise convolutions whose pixels and weights stay in the L1 cache.
pub fn multiply_adds_per_second(kernels: &dyn Kernels, in_bytes: bool) -> f64 {
    let rates = LAYERS.map(|layer| rate(kernels, in_bytes, layer));
    rates.into_iter().fold(0.0, f64::max)
}

fn rate(kernels: &dyn Kernels, in_bytes: bool, (count, len, n): (usize, usize, usize)) -> f64 {
    let (len, value_bytes) = if in_bytes { (len, 1) } else { (len / 4, 4) };
    let runs = Runs {
        offsets: vec![0],
        len,
        n,
    };
    let x = Aligned::zeroed(count * len * value_bytes + super::SLACK);
    let mut y = Aligned::zeroed(count * n * value_bytes);
    let mut scratch = Aligned::zeroed(kernels.conv_q8_scratch_bytes(&runs));
    let scratch = scratch.as_mut_ptr();
    let pixels = Pixels {
        x: x.as_ptr(),
        x_pitch: len * value_bytes,
        y: y.as_mut_ptr(),
        y_pitch: n * value_bytes,
        count,
    };
    let seconds = if in_bytes {
        let raw = RawQ8 {
            w: &vec![1; len * n],
            w_zero: &vec![0; n],
            bias: &vec![0; n],
            multiplier: &vec![0.01; n],
        };
        let quant = Quant {
            scale: 1.0,
            zero: 0,
        };
        let end = Requantise::new(quant, FREE, kernels.signed());
        let conv = ConvQ8::new(kernels, runs, &raw, end);
        // SAFETY: the contract of `Kernels`: input with slack, output and scratch memory are of these sizes and nobody else's;
        // packed by the same kernels; all channels.
        least(|| unsafe { kernels.conv_q8(&conv, &pixels, 0..n, scratch) })
    } else {
        let raw = RawF32 {
            w: &vec![1.0; len * n],
            bias: &vec![0.0; n],
        };
        let conv = ConvF32::new(kernels, runs, &raw, FREE);
        // SAFETY: as above.
        least(|| unsafe { kernels.conv_f32(&conv, &pixels, 0..n) })
    };
    (count * n * len) as f64 / seconds
}

/// The least seconds of a run.
fn least(mut run: impl FnMut()) -> f64 {
    let seconds = |_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    // A clock too coarse to see the run would give 0.
    (0..ROUNDS).map(seconds).fold(f64::MAX, f64::min).max(1e-9)
}
