//! Plain loops for the rarer layers: windowed averages, affine, picked channels. Slices in, slices out.

use super::steps::Average;
use crate::network::graph::requantise::Requantise;
use crate::network::graph::{Shape, Window};

/// Calls `tap(output index of channel 0, input index of channel 0)` for every tap inside the picture, and `done(output index,
/// taps inside, taps in all)` after each output pixel.
fn windows(
    input: Shape,
    w: &Window,
    output: Shape,
    mut tap: impl FnMut(usize, usize),
    mut done: impl FnMut(usize, usize, usize),
) {
    for oy in 0..output.h {
        for ox in 0..output.w {
            let o = (oy * output.w + ox) * output.c;
            let mut inside = 0;
            for ky in 0..w.kh {
                let y = (oy * w.sh + ky * w.dh).wrapping_sub(w.top);
                for kx in 0..w.kw {
                    let x = (ox * w.sw + kx * w.dw).wrapping_sub(w.left);
                    if y < input.h && x < input.w {
                        inside += 1;
                        tap(o, (y * input.w + x) * input.c);
                    }
                }
            }
            done(o, inside, w.kh * w.kw);
        }
    }
}

/// Average of each window.
pub(crate) fn average_f32(x: &[f32], a: &Average, y: &mut [f32]) {
    y.fill(0.0);
    let c = a.input.c;
    let y = std::cell::RefCell::new(y);
    let tap = |o: usize, i: usize| {
        for (y, &x) in y.borrow_mut()[o..o + c].iter_mut().zip(&x[i..i + c]) {
            *y += x;
        }
    };
    let done = |o: usize, inside: usize, all: usize| {
        let count = if a.count_pads { all } else { inside };
        for y in &mut y.borrow_mut()[o..o + c] {
            *y /= count.max(1) as f32;
        }
    };
    windows(a.input, &a.window, a.output, tap, done);
}

/// Average of each window, bytes; padding that counts is zeros.
pub(crate) fn average_q8(
    x: &[u8],
    a: &Average,
    signed: bool,
    zero: i32,
    ratio: f64,
    end: &Requantise,
    y: &mut [u8],
) {
    let c = a.input.c;
    // One channel at a time: no memory for sums is needed.
    for channel in 0..c {
        let sum = std::cell::Cell::new(0i32);
        let tap = |_: usize, i: usize| {
            let x = x[i + channel];
            let x = if signed {
                i32::from(x as i8)
            } else {
                i32::from(x)
            };
            sum.set(sum.get() + x - zero);
        };
        let done = |o: usize, inside: usize, all: usize| {
            let count = if a.count_pads { all } else { inside };
            let m = (ratio / count.max(1) as f64) as f32;
            y[o + channel] = end.of(sum.take(), m);
        };
        windows(a.input, &a.window, a.output, tap, done);
    }
}

/// `y = x * a[c] + b[c]`.
pub(crate) fn affine(x: &[f32], a: &[f32], b: &[f32], y: &mut [f32]) {
    for (x, y) in x.chunks_exact(a.len()).zip(y.chunks_exact_mut(a.len())) {
        for (((y, &x), &a), &b) in y.iter_mut().zip(x).zip(a).zip(b) {
            *y = x * a + b;
        }
    }
}

/// `y = x < 0 ? slope[c] * x : x`.
pub(crate) fn slopes(x: &[f32], slopes: &[f32], y: &mut [f32]) {
    let c = slopes.len();
    for (x, y) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)) {
        for ((y, &x), &slope) in y.iter_mut().zip(x).zip(slopes) {
            *y = if x < 0.0 { slope * x } else { x };
        }
    }
}

/// Runs of bytes `(start, length)` of each pixel.
pub(crate) fn pick(
    x: &[u8],
    x_pixel: usize,
    runs: &[(usize, usize)],
    y_pixel: usize,
    y: &mut [u8],
) {
    // Single bytes and floats, as a shuffle picks them, without a call for each.
    let all_of = |bytes: usize| runs.iter().all(|&(_, len)| len == bytes);
    if all_of(4) {
        return pick_each::<4>(x, x_pixel, runs, y);
    }
    if all_of(1) {
        return pick_each::<1>(x, x_pixel, runs, y);
    }
    for (x, y) in x.chunks_exact(x_pixel).zip(y.chunks_exact_mut(y_pixel)) {
        let mut at = 0;
        for &(start, len) in runs {
            y[at..at + len].copy_from_slice(&x[start..start + len]);
            at += len;
        }
    }
}

fn pick_each<const N: usize>(x: &[u8], x_pixel: usize, runs: &[(usize, usize)], y: &mut [u8]) {
    let pixels = y.as_chunks_mut::<N>().0.chunks_exact_mut(runs.len());
    for (x, y) in x.chunks_exact(x_pixel).zip(pixels) {
        for (y, &(start, _)) in y.iter_mut().zip(runs) {
            if let Some(value) = x[start..].first_chunk() {
                *y = *value;
            }
        }
    }
}
