//! Average and max pooling.

use super::Task;
use crate::network::graph::requantise::Requantise;
use crate::network::graph::{Shape, Window};
use crate::network::kernels::max_pool::MaxPool;
use crate::network::kernels::{AverageQ8, Half, Kernels};
use crate::network::run::offset::{Offset, Worker};
use crate::network::run::touch::{Touches, Whose, times, windows_fit};
use std::ops::Range;

/// Average pooling.
#[derive(Debug)]
pub struct Average {
    pub x: Offset,
    pub y: Offset,
    pub input: Shape,
    pub output: Shape,
    pub window: Window,
    /// Whether padding counts, as zeros.
    pub count_pads: bool,
    pub q8: Option<WindowsQ8>,
    /// The loops for half precision, if the tensors are of it; the window is then the whole picture.
    pub half: Option<&'static dyn Half>,
}

/// How int8 sums become int8 averages.
#[derive(Debug)]
pub struct WindowsQ8 {
    /// Stored zero point of the input.
    pub zero: i32,
    /// `scale_x / scale_y`.
    pub ratio: f64,
    pub end: Requantise,
}

/// Max pooling.
#[derive(Debug)]
pub struct MaxPoolStep {
    pub x: Offset,
    pub y: Offset,
    pub pool: MaxPool,
    /// Whether floats are of half precision.
    pub half: bool,
}

impl Task for MaxPoolStep {
    fn name(&self) -> &'static str {
        "max pool"
    }

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

/// Channels whose sums are kept at a time.
const SUMS: usize = 64;

impl Average {
    /// Whether the window is the whole picture.
    fn is_whole(&self) -> bool {
        self.output.pixels() == 1
            && !self.window.padded()
            && (self.window.kh, self.window.kw) == (self.input.h, self.input.w)
    }

    /// Where the pixels of an output pixel's window start in the input, without those outside of the picture.
    fn taps(&self, row: usize, column: usize) -> impl Iterator<Item = usize> {
        let (input, w) = (self.input, self.window);
        let rows = (0..w.kh).map(move |ky| (row * w.sh + ky * w.dh).wrapping_sub(w.top));
        rows.filter(move |&y| y < input.h).flat_map(move |y| {
            let columns = (0..w.kw).map(move |kx| (column * w.sw + kx * w.dw).wrapping_sub(w.left));
            let inside = columns.filter(move |&x| x < input.w);
            inside.map(move |x| (y * input.w + x) * input.c)
        })
    }

    /// Calls `of(row, column, count, y)` for each pixel of some output rows: the number of values that its average is of, and the
    /// pixel's channels in `y`, which holds these rows.
    fn each_pixel<T>(
        &self,
        rows: Range<usize>,
        y: &mut [T],
        of: impl Fn(usize, usize, usize, &mut [T]),
    ) {
        let (columns, c) = (self.output.w, self.output.c);
        for (at, y) in y.chunks_exact_mut(c).enumerate() {
            let (row, column) = (rows.start + at / columns, at % columns);
            let count = match self.count_pads {
                true => self.window.kh * self.window.kw,
                false => self.taps(row, column).count(),
            };
            of(row, column, count.max(1), y);
        }
    }

    /// Averages of floats: some output rows.
    fn of_floats(&self, x: &[f32], rows: Range<usize>, y: &mut [f32]) {
        self.each_pixel(rows, y, |row, column, count, y| {
            y.fill(0.0);
            for tap in self.taps(row, column) {
                for (y, &x) in y.iter_mut().zip(&x[tap..]) {
                    *y += x;
                }
            }
            for y in y {
                *y /= count as f32;
            }
        });
    }

    /// Averages of bytes, stored with the top bit flipped when `signed`: some output rows.
    fn of_bytes(&self, q8: &WindowsQ8, signed: bool, x: &[u8], rows: Range<usize>, y: &mut [u8]) {
        self.each_pixel(rows, y, |row, column, count, y| {
            let multiplier = (q8.ratio / count as f64) as f32;
            for (part, y) in y.chunks_mut(SUMS).enumerate() {
                let mut sums = [0i32; SUMS];
                for tap in self.taps(row, column) {
                    let x = &x[tap + part * SUMS..][..y.len()];
                    let numbers = x.iter().map(|&x| match signed {
                        true => i32::from(x as i8),
                        false => i32::from(x),
                    });
                    for (sum, number) in sums.iter_mut().zip(numbers) {
                        *sum += number - q8.zero;
                    }
                }
                for (y, &sum) in y.iter_mut().zip(&sums) {
                    *y = q8.end.of(sum, multiplier);
                }
            }
        });
    }
}

impl Task for Average {
    fn name(&self) -> &'static str {
        "average pool"
    }

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
        let row = (self.output.w * self.output.c).saturating_mul(elem);
        to.holds(
            windows_fit(&self.window, self.input, self.output),
            "its windows do not fit its input",
        );
        let from = times(self.input.volume(), elem);
        to.reads(Whose::Input(0), self.x, from, elem);
        to.fills_output(self.y, (self.output.h, 1), row, elem);
    }

    unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        let (input, output) = (self.input, self.output);
        let rows = worker.share(output.h, 1);
        let row = output.w * output.c;
        let (start, len) = (rows.start * row, rows.len() * row);
        let whole = self.is_whole();
        if rows.is_empty() {
            return;
        }
        // SAFETY: what `touches` declares of this worker: inside, aligned and apart by the verifier.
        unsafe {
            match (&self.q8, self.half) {
                (Some(q8), _) => {
                    let x = worker.bytes(self.x, input.volume());
                    let y = worker.bytes_mut(self.y + start, len);
                    if whole {
                        let average = AverageQ8 {
                            c: input.c,
                            zero: q8.zero,
                            multiplier: (q8.ratio / input.pixels() as f64) as f32,
                            end: q8.end,
                        };
                        kernels.average_q8(&average, x, y);
                    } else {
                        self.of_bytes(q8, kernels.signed(), x, rows, y);
                    }
                }
                (None, Some(half)) => {
                    let x = worker.halves(self.x, input.volume());
                    let y = worker.halves_mut(self.y + start * 2, len);
                    half.average(x, input.c, y);
                }
                (None, None) => {
                    let x = worker.floats(self.x, input.volume());
                    let y = worker.floats_mut(self.y + start * 4, len);
                    if whole {
                        kernels.average_f32(x, input.c, y);
                    } else {
                        self.of_floats(x, rows, y);
                    }
                }
            }
        }
    }
}
