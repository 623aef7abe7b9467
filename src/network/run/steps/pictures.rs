//! LocalResponseNormalization and resized pictures.

use super::Task;
use crate::network::graph::resize::Resize;
use crate::network::graph::{Lrn, Shape};
use crate::network::kernels::Kernels;
use crate::network::run::offset::{Offset, Worker};
use crate::network::run::touch::{Touches, Whose, times};

#[derive(Debug)]
pub struct LrnStep {
    pub x: Offset,
    pub y: Offset,
    pub pixels: usize,
    /// Channels.
    pub c: usize,
    pub of: Lrn,
}

#[derive(Debug)]
pub struct ResizeStep {
    pub x: Offset,
    pub y: Offset,
    pub input: Shape,
    pub output: Shape,
    /// Bytes of a value: 1, or 4 for floats.
    pub elem: usize,
    pub of: Resize,
}

impl Task for LrnStep {
    fn name(&self) -> &'static str {
        "local normalisation"
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.x, &mut self.y]
    }

    fn touches(&self, to: &mut Touches) {
        to.holds(self.c > 0, "it has no channels");
        to.maps_pixels(self.x, self.y, self.pixels, self.c);
    }

    unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        // SAFETY: what `touches` declares: inside, aligned and apart by the verifier.
        let (x, y) = unsafe { worker.pixels(self.x, self.y, self.pixels, self.c) };
        kernels.lrn_f32(&self.of, self.c, x, y);
    }
}

impl ResizeStep {
    /// Bytes of a row of the result.
    fn row(&self) -> usize {
        (self.output.w * self.output.c).saturating_mul(self.elem)
    }
}

impl Task for ResizeStep {
    fn name(&self) -> &'static str {
        "resize"
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.x, &mut self.y]
    }

    fn touches(&self, to: &mut Touches) {
        let of_floats = matches!(self.of, Resize::Linear { .. });
        to.holds(
            self.elem == 4 || self.elem == 1 && !of_floats,
            "its values have no such size",
        );
        to.holds(
            self.of.fits(self.input, self.output),
            "its rows and columns do not fit its input",
        );
        let bytes = times(self.input.volume(), self.elem);
        to.reads(Whose::Input(0), self.x, bytes, self.elem);
        to.fills_output(self.y, (self.output.h, 1), self.row(), self.elem);
    }

    unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        let part = worker.share(self.output.h, 1);
        if part.is_empty() {
            return;
        }
        let (c, row) = (self.output.c, self.row());
        let (at, len) = (self.y + part.start * row, part.len() * row);
        match &self.of {
            Resize::Nearest { rows, columns } => {
                // SAFETY: what `touches` declares of this worker: inside and apart by the verifier.
                let (x, y) = unsafe {
                    let x = worker.bytes(self.x, self.input.volume() * self.elem);
                    (x, worker.bytes_mut(at, len))
                };
                nearest(x, &rows[part], columns, c * self.elem, self.input.w, y);
            }
            Resize::Linear { rows, columns } => {
                // SAFETY: what `touches` declares of this worker: inside, aligned and apart by the verifier.
                let (x, y) = unsafe {
                    let x = worker.floats(self.x, self.input.volume());
                    (x, worker.floats_mut(at, len / 4))
                };
                let width = self.input.w * c;
                let line = |at: usize| &x[at * width..(at + 1) * width];
                for (between, y) in rows[part].iter().zip(y.chunks_exact_mut(row / 4)) {
                    let pair = [line(between.first), line(between.second)];
                    kernels.blend_f32(columns, c, pair, between.share, y);
                }
            }
        }
    }
}

/// Copies pixels of `pixel` bytes; the input is `width` pixels wide.
fn nearest(x: &[u8], rows: &[usize], columns: &[usize], pixel: usize, width: usize, y: &mut [u8]) {
    let row = columns.len() * pixel;
    for (i, &from) in rows.iter().enumerate() {
        if i > 0 && rows[i - 1] == from {
            y.copy_within((i - 1) * row..i * row, i * row);
            continue;
        }
        let x = &x[from * width * pixel..(from + 1) * width * pixel];
        for (&column, y) in columns.iter().zip(y[i * row..].chunks_exact_mut(pixel)) {
            copy(&x[column * pixel..(column + 1) * pixel], y);
        }
    }
}

/// Copies a pixel, whole vectors without a call.
fn copy(x: &[u8], y: &mut [u8]) {
    let (x, x_rest) = x.as_chunks::<32>();
    let (y, y_rest) = y.as_chunks_mut::<32>();
    for (x, y) in x.iter().zip(y) {
        *y = *x;
    }
    if !x_rest.is_empty() {
        y_rest.copy_from_slice(x_rest);
    }
}
