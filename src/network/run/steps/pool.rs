//! Average and max pooling.

use super::Task;
use crate::network::graph::requantise::Requantise;
use crate::network::graph::{Shape, Window};
use crate::network::kernels::max_pool::MaxPool;
use crate::network::kernels::{AverageQ8, Half, Kernels};
use crate::network::run::offset::{Offset, Worker};
use crate::network::run::touch::{Touches, Whose, times, windows_fit};

/// Average pooling, run by the first worker only.
#[derive(Debug)]
pub(crate) struct Average {
    pub(crate) x: Offset,
    pub(crate) y: Offset,
    pub(crate) input: Shape,
    pub(crate) output: Shape,
    pub(crate) window: Window,
    /// Whether padding counts, as zeros.
    pub(crate) count_pads: bool,
    pub(crate) q8: Option<WindowsQ8>,
    /// The loops for half precision, if the tensors are of it; the window is then the whole picture.
    pub(crate) half: Option<&'static dyn Half>,
}

/// How int8 sums become int8 averages.
#[derive(Debug)]
pub(crate) struct WindowsQ8 {
    /// Stored zero point of the input.
    pub(crate) zero: i32,
    /// `scale_x / scale_y`.
    pub(crate) ratio: f64,
    pub(crate) end: Requantise,
}

/// Max pooling.
#[derive(Debug)]
pub(crate) struct MaxPoolStep {
    pub(crate) x: Offset,
    pub(crate) y: Offset,
    pub(crate) pool: MaxPool,
    /// Whether floats are of half precision.
    pub(crate) half: bool,
}

impl Task for MaxPoolStep {
    fn name(&self) -> &'static str {
        "max pool"
    }

    #[cfg(test)]
    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.x, &mut self.y]
    }

    fn touches(&self, to: &mut Touches) {
        let elem = match (self.pool.bytes, self.half) {
            (Some(_), _) => 1,
            (None, true) => 2,
            (None, false) => 4,
        };
        let row = (self.pool.output.w * self.pool.output.c).saturating_mul(elem);
        to.holds(
            windows_fit(&self.pool.window, self.pool.input, self.pool.output),
            "its windows do not fit its input",
        );
        to.reads(
            Whose::Input(0),
            self.x,
            times(self.pool.input.volume(), elem),
            elem,
        );
        to.fills_output(self.y, (self.pool.output.h, 1), row, elem);
    }

    unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        let rows = worker.share(self.pool.output.h, 1);
        let row = self.pool.output.w * self.pool.output.c;
        let (start, len) = (rows.start * row, rows.len() * row);
        // SAFETY: what `touches` declares of this worker: inside, aligned and apart by the verifier.
        unsafe {
            if self.pool.bytes.is_some() {
                let x = worker.bytes(self.x, self.pool.input.volume());
                let y = worker.bytes_mut(self.y + start, len);
                kernels.max_q8(&self.pool, x, rows, y);
            } else if self.half {
                let x = worker.halves(self.x, self.pool.input.volume());
                let y = worker.halves_mut(self.y + start * 2, len);
                self.pool.of_halves(x, rows, y);
            } else {
                let x = worker.floats(self.x, self.pool.input.volume());
                let y = worker.floats_mut(self.y + start * 4, len);
                kernels.max_f32(&self.pool, x, rows, y);
            }
        }
    }
}

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

impl Average {
    /// Whether the window is the whole picture.
    fn is_whole(&self) -> bool {
        self.output.pixels() == 1
            && !self.window.padded()
            && (self.window.kh, self.window.kw) == (self.input.h, self.input.w)
    }

    /// Average of each window.
    fn of_floats(&self, x: &[f32], y: &mut [f32]) {
        y.fill(0.0);
        let c = self.input.c;
        let y = std::cell::RefCell::new(y);
        let tap = |o: usize, i: usize| {
            for (y, &x) in y.borrow_mut()[o..o + c].iter_mut().zip(&x[i..i + c]) {
                *y += x;
            }
        };
        let done = |o: usize, inside: usize, all: usize| {
            let count = if self.count_pads { all } else { inside };
            for y in &mut y.borrow_mut()[o..o + c] {
                *y /= count.max(1) as f32;
            }
        };
        windows(self.input, &self.window, self.output, tap, done);
    }

    /// Average of each window of bytes, stored with the top bit flipped when `signed`.
    fn of_bytes(&self, q8: &WindowsQ8, signed: bool, x: &[u8], y: &mut [u8]) {
        let c = self.input.c;
        // One channel at a time: needs no memory for sums.
        for channel in 0..c {
            let sum = std::cell::Cell::new(0i32);
            let tap = |_: usize, i: usize| {
                let x = x[i + channel];
                let x = if signed {
                    i32::from(x as i8)
                } else {
                    i32::from(x)
                };
                sum.set(sum.get() + x - q8.zero);
            };
            let done = |o: usize, inside: usize, all: usize| {
                let count = if self.count_pads { all } else { inside };
                let m = (q8.ratio / count.max(1) as f64) as f32;
                y[o + channel] = q8.end.of(sum.take(), m);
            };
            windows(self.input, &self.window, self.output, tap, done);
        }
    }
}

impl Task for Average {
    fn name(&self) -> &'static str {
        "average pool"
    }

    #[cfg(test)]
    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.x, &mut self.y]
    }

    fn touches(&self, to: &mut Touches) {
        let elem = match (&self.q8, self.half) {
            (Some(_), _) => 1,
            (None, Some(_)) => 2,
            (None, None) => 4,
        };
        to.holds(
            self.half.is_none() || self.is_whole(),
            "it has windows of half precision",
        );
        let (from, made) = (self.input.volume(), self.output.volume());
        to.holds(
            windows_fit(&self.window, self.input, self.output),
            "its windows do not fit its input",
        );
        to.reads(Whose::Input(0), self.x, times(from, elem), elem);
        to.fills_output_alone(self.y, made.saturating_mul(elem), elem);
    }

    unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        // Small, or sums over all pixels.
        if worker.id != 0 {
            return;
        }
        let (input, output) = (self.input, self.output);
        let whole = self.is_whole();
        // SAFETY: what `touches` declares, of only the first worker: inside, aligned and apart by the verifier.
        unsafe {
            match (&self.q8, self.half) {
                (Some(q8), _) => {
                    let x = worker.bytes(self.x, input.volume());
                    let y = worker.bytes_mut(self.y, output.volume());
                    if whole {
                        let average = AverageQ8 {
                            c: input.c,
                            zero: q8.zero,
                            multiplier: (q8.ratio / input.pixels() as f64) as f32,
                            end: q8.end,
                        };
                        kernels.average_q8(&average, x, y);
                    } else {
                        self.of_bytes(q8, kernels.signed(), x, y);
                    }
                }
                (None, Some(half)) => {
                    let x = worker.halves(self.x, input.volume());
                    let y = worker.halves_mut(self.y, output.volume());
                    half.average(x, input.c, y);
                }
                (None, None) => {
                    let x = worker.floats(self.x, input.volume());
                    let y = worker.floats_mut(self.y, output.volume());
                    if whole {
                        kernels.average_f32(x, input.c, y);
                    } else {
                        self.of_floats(x, y);
                    }
                }
            }
        }
    }
}
