//! Planning LocalResponseNormalization and resized pictures.

use super::Planner;
use crate::network::graph::Lrn;
use crate::network::graph::resize::Resize;
use crate::network::run::steps::{LrnStep, ResizeStep, Work};

impl Planner<'_> {
    pub(super) fn lrn(&mut self, index: usize, of: Lrn) {
        let io = self.in_out(index);
        self.step_and_row(index, move |at| {
            Work::Lrn(LrnStep {
                x: at.of(io.x[0]),
                y: at.of(io.y),
                pixels: io.shape.pixels(),
                c: io.shape.c,
                of,
            })
        });
    }

    pub(super) fn resize(&mut self, index: usize, of: &Resize) {
        let io = self.in_out(index);
        let of = of.clone();
        self.step_and_row(index, move |at| {
            Work::Resize(ResizeStep {
                x: at.of(io.x[0]),
                y: at.of(io.y),
                input: io.inputs[0],
                output: io.shape,
                elem: io.elem,
                of,
            })
        });
    }
}
