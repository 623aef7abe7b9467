//! Work within each pixel: channels scaled, put through slopes, picked and concatenated.

use super::Task;
use crate::network::graph::Shape;
use crate::network::kernels::Kernels;
use crate::network::run::offset::{Offset, Worker};
use crate::network::run::touch::{Touches, Whose, times};

/// `y = x * a[c] + b[c]`.
#[derive(Debug)]
pub struct Affine {
    pub x: Offset,
    pub y: Offset,
    pub pixels: usize,
    /// Factor per channel.
    pub a: Vec<f32>,
    /// Addend per channel.
    pub b: Vec<f32>,
}

/// `y = x < 0 ? slope[c] * x : x`.
#[derive(Debug)]
pub struct Slopes {
    pub x: Offset,
    pub y: Offset,
    pub pixels: usize,
    pub slopes: Vec<f32>,
}

/// Some channels, in any order.
#[derive(Debug)]
pub struct Pick {
    pub x: Offset,
    pub y: Offset,
    pub pixels: usize,
    /// Bytes of a pixel of the input.
    pub x_pixel: usize,
    /// `(start, length)` in bytes within each pixel.
    pub runs: Vec<(usize, usize)>,
}

/// The channels of several tensors, concatenated.
#[derive(Debug)]
pub struct Concat {
    /// Each tensor, and the bytes per pixel.
    pub parts: Vec<(Offset, usize)>,
    pub y: Offset,
    pub pixels: usize,
}

/// From NHWC to NCHW.
#[derive(Debug)]
pub struct ChannelsFirst {
    pub x: Offset,
    pub y: Offset,
    pub shape: Shape,
}

impl Task for Affine {
    fn name(&self) -> &'static str {
        "affine"
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.x, &mut self.y]
    }

    fn touches(&self, to: &mut Touches) {
        to.holds(
            self.a.len() == self.b.len(),
            "it has other addends than factors",
        );
        to.maps_pixels(self.x, self.y, self.pixels, self.a.len());
    }

    unsafe fn run(&self, _: &dyn Kernels, worker: &Worker) {
        // SAFETY: what `touches` declares: inside, aligned and apart by the verifier.
        let (x, y) = unsafe { worker.pixels(self.x, self.y, self.pixels, self.a.len()) };
        affine(x, &self.a, &self.b, y);
    }
}

impl Task for Slopes {
    fn name(&self) -> &'static str {
        "slopes"
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.x, &mut self.y]
    }

    fn touches(&self, to: &mut Touches) {
        to.maps_pixels(self.x, self.y, self.pixels, self.slopes.len());
    }

    unsafe fn run(&self, _: &dyn Kernels, worker: &Worker) {
        // SAFETY: what `touches` declares: inside, aligned and apart by the verifier.
        let (x, y) = unsafe { worker.pixels(self.x, self.y, self.pixels, self.slopes.len()) };
        slopes(x, &self.slopes, y);
    }
}

impl Task for Pick {
    fn name(&self) -> &'static str {
        "channels"
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.x, &mut self.y]
    }

    fn touches(&self, to: &mut Touches) {
        let lens = self.runs.iter().map(|r| r.1);
        let y_pixel = lens.fold(0, usize::saturating_add);
        let inside = |&(start, len): &(usize, usize)| start.saturating_add(len) <= self.x_pixel;
        to.holds(
            self.runs.iter().all(inside),
            "it picks channels that are not there",
        );
        to.reads(Whose::Input(0), self.x, times(self.pixels, self.x_pixel), 1);
        to.fills_output(self.y, (self.pixels, 1), y_pixel, 1);
    }

    unsafe fn run(&self, _: &dyn Kernels, worker: &Worker) {
        let part = worker.share(self.pixels, 1);
        let (x_pixel, runs) = (self.x_pixel, &self.runs);
        let y_pixel: usize = runs.iter().map(|r| r.1).sum();
        // SAFETY: what `touches` declares of this worker: inside and apart by the verifier.
        let (x, y) = unsafe {
            (
                worker.bytes(self.x + part.start * x_pixel, part.len() * x_pixel),
                worker.bytes_mut(self.y + part.start * y_pixel, part.len() * y_pixel),
            )
        };
        pick(x, x_pixel, runs, y_pixel, y);
    }
}

impl Task for Concat {
    fn name(&self) -> &'static str {
        "concatenate"
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        {
            let parts = self.parts.iter_mut().map(|p| &mut p.0);
            parts.chain([&mut self.y]).collect()
        }
    }

    fn touches(&self, to: &mut Touches) {
        for (i, &(x, bytes)) in self.parts.iter().enumerate() {
            to.reads(Whose::Input(i), x, times(self.pixels, bytes), 1);
        }
        let lens = self.parts.iter().map(|p| p.1);
        let whole = lens.fold(0, usize::saturating_add);
        to.fills_output(self.y, (self.pixels, 1), whole, 1);
    }

    unsafe fn run(&self, _: &dyn Kernels, worker: &Worker) {
        let part = worker.share(self.pixels, 1);
        let whole: usize = self.parts.iter().map(|p| p.1).sum();
        // SAFETY: what `touches` declares of this worker: inside and apart by the verifier.
        let y = unsafe { worker.bytes_mut(self.y + part.start * whole, part.len() * whole) };
        let mut at = 0;
        for &(x, bytes) in &self.parts {
            // SAFETY: the same.
            let x = unsafe { worker.bytes(x + part.start * bytes, part.len() * bytes) };
            for (y, x) in y.chunks_exact_mut(whole).zip(x.chunks_exact(bytes)) {
                y[at..at + bytes].copy_from_slice(x);
            }
            at += bytes;
        }
    }
}

impl Task for ChannelsFirst {
    fn name(&self) -> &'static str {
        "channels first"
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.x, &mut self.y]
    }

    fn touches(&self, to: &mut Touches) {
        let bytes = self.shape.volume().saturating_mul(4);
        to.reads(Whose::Input(0), self.x, bytes as u64, 4);
        to.fills_output_alone(self.y, bytes, 4);
    }

    unsafe fn run(&self, _: &dyn Kernels, worker: &Worker) {
        if worker.id != 0 {
            return;
        }
        let shape = self.shape;
        // SAFETY: what `touches` declares of only the first worker: inside, aligned and apart by the verifier.
        let (x, y) = unsafe {
            (
                worker.floats(self.x, shape.volume()),
                worker.floats_mut(self.y, shape.volume()),
            )
        };
        for (i, y) in y.iter_mut().enumerate() {
            *y = x[i % shape.pixels() * shape.c + i / shape.pixels()];
        }
    }
}

/// `y = x * a[c] + b[c]`.
pub fn affine(x: &[f32], a: &[f32], b: &[f32], y: &mut [f32]) {
    for (x, y) in x.chunks_exact(a.len()).zip(y.chunks_exact_mut(a.len())) {
        for (((y, &x), &a), &b) in y.iter_mut().zip(x).zip(a).zip(b) {
            *y = x * a + b;
        }
    }
}

/// `y = x < 0 ? slope[c] * x : x`.
pub fn slopes(x: &[f32], slopes: &[f32], y: &mut [f32]) {
    let c = slopes.len();
    for (x, y) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)) {
        for ((y, &x), &slope) in y.iter_mut().zip(x).zip(slopes) {
            *y = if x < 0.0 { slope * x } else { x };
        }
    }
}

/// Runs of bytes `(start, length)` within each pixel.
pub fn pick(x: &[u8], x_pixel: usize, runs: &[(usize, usize)], y_pixel: usize, y: &mut [u8]) {
    // Single bytes and floats, as in a channel shuffle, without a call for each.
    let all_of = |bytes: usize| runs.iter().all(|&(_, len)| len == bytes);
    if all_of(4) {
        return pick_each::<4>(x, x_pixel, runs, y);
    }
    if all_of(2) {
        return pick_each::<2>(x, x_pixel, runs, y);
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
