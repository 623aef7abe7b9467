//! LayerNormalization and Softmax along the channels of each pixel.

use super::Task;
use crate::network::graph::Norm;
use crate::network::kernels::Kernels;
use crate::network::run::offset::{Offset, Worker};
use crate::network::run::touch::Touches;

#[derive(Debug)]
pub struct Softmax {
    pub x: Offset,
    pub y: Offset,
    pub pixels: usize,
    /// Channels.
    pub c: usize,
}

#[derive(Debug)]
pub struct NormStep {
    pub x: Offset,
    pub y: Offset,
    pub pixels: usize,
    pub norm: Norm,
}

impl Task for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.x, &mut self.y]
    }

    fn touches(&self, to: &mut Touches) {
        to.maps_pixels(self.x, self.y, self.pixels, self.c);
    }

    unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        // SAFETY: what `touches` declares: inside, aligned and apart by the verifier.
        let (x, y) = unsafe { worker.pixels(self.x, self.y, self.pixels, self.c) };
        kernels.softmax_f32(x, self.c, y);
    }
}

impl Task for NormStep {
    fn name(&self) -> &'static str {
        "normalisation"
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.x, &mut self.y]
    }

    fn touches(&self, to: &mut Touches) {
        to.holds(
            self.norm.scale.len() == self.norm.bias.len(),
            "it has other addends than factors",
        );
        to.maps_pixels(self.x, self.y, self.pixels, self.norm.scale.len());
    }

    unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        let c = self.norm.scale.len();
        // SAFETY: what `touches` declares: inside, aligned and apart by the verifier.
        let (x, y) = unsafe { worker.pixels(self.x, self.y, self.pixels, c) };
        kernels.norm_f32(&self.norm, x, y);
    }
}
