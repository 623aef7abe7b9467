//! The most multiply-adds per second that kernels reach on this CPU, as a measure for layers that reach less.

use super::{Aligned, ConvF32, ConvQ8, Kernels, Pixels, RawF32, RawQ8, Runs};
use crate::network::graph::requantise::Requantise;
use crate::network::graph::{FREE, Quant};
use std::time::Instant;

/// Pixels of the layer that is measured: a multiple of every tile's height.
const PIXELS: usize = 120;
/// Its output channels: a multiple of every panel's width.
const OUTPUTS: usize = 48;
/// Its input channels: pixels and weights together fit an L1 cache of 32 KiB, as bytes and as floats.
const INPUTS_Q8: usize = 160;
const INPUTS_F32: usize = 40;
/// The best of so many is taken.
const ROUNDS: usize = 200;

/// The rate of one thread in a pointwise convolution whose pixels and weights stay in the L1 cache.
pub fn multiply_adds_per_second(kernels: &dyn Kernels, quantised: bool) -> f64 {
    let len = if quantised { INPUTS_Q8 } else { INPUTS_F32 };
    let value_bytes = if quantised { 1 } else { 4 };
    let runs = Runs {
        offsets: vec![0],
        len,
        n: OUTPUTS,
    };
    let x = Aligned::zeroed(PIXELS * len * value_bytes + super::SLACK);
    let mut y = Aligned::zeroed(PIXELS * OUTPUTS * value_bytes);
    let mut scratch = Aligned::zeroed(kernels.conv_q8_scratch_bytes(&runs));
    let scratch = scratch.as_mut_ptr();
    let pixels = Pixels {
        x: x.as_ptr(),
        x_pitch: len * value_bytes,
        y: y.as_mut_ptr(),
        y_pitch: OUTPUTS * value_bytes,
        count: PIXELS,
    };
    let seconds = if quantised {
        let raw = RawQ8 {
            w: &[1; INPUTS_Q8 * OUTPUTS],
            w_zero: &[0; OUTPUTS],
            bias: &[0; OUTPUTS],
            multiplier: &[0.01; OUTPUTS],
        };
        let quant = Quant {
            scale: 1.0,
            zero: 0,
        };
        let end = Requantise::new(quant, FREE, kernels.signed());
        let conv = ConvQ8::new(kernels, runs, &raw, end);
        // SAFETY: the contract of `Kernels`: input with slack, output and scratch memory are of these sizes and nobody else's;
        // packed by the same kernels; all channels.
        least(|| unsafe { kernels.conv_q8(&conv, &pixels, 0..OUTPUTS, scratch) })
    } else {
        let raw = RawF32 {
            w: &[1.0; INPUTS_F32 * OUTPUTS],
            bias: &[0.0; OUTPUTS],
        };
        let conv = ConvF32::new(kernels, runs, &raw, FREE);
        // SAFETY: as above.
        least(|| unsafe { kernels.conv_f32(&conv, &pixels, 0..OUTPUTS) })
    };
    (PIXELS * OUTPUTS * len) as f64 / seconds
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
