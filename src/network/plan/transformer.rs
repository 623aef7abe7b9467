//! Planning the layers of transformers: matrix products, moves, LayerNormalization and Softmax.

use super::Planner;
use crate::network::graph::axes::Axes;
use crate::network::graph::{Norm, Product};
use crate::network::kernels::{ConvF32, Runs};
use crate::network::run::steps::{Move, NormStep, ProductStep, Softmax, Work};

impl Planner<'_> {
    /// The step, with scratch memory in each thread for a right matrix.
    pub(super) fn product(&mut self, index: usize, of: &Product) {
        let io = self.in_out(index);
        let runs = Runs {
            offsets: vec![0],
            len: of.depth(),
            n: of.columns(),
        };
        let kernels = self.kernels;
        let scratch_bytes = kernels.float_panels(&runs).total_bytes();
        self.scratch_bytes = self.scratch_bytes.max(scratch_bytes);
        let convs = (0..self.threads).map(|_| ConvF32::lent(runs.clone()));
        let (of, convs) = (of.clone(), convs.collect());
        self.step_and_row(index, move |at| {
            Work::Product(Box::new(ProductStep {
                a: at.of(io.x[0]),
                b: at.of(io.x[1]),
                y: at.of(io.y),
                of,
                kernels,
                convs,
            }))
        });
    }

    pub(super) fn moves(&mut self, index: usize, from: Axes) {
        let io = self.in_out(index);
        self.step_and_row(index, move |at| {
            Work::Move(Move {
                x: at.of(io.x[0]),
                y: at.of(io.y),
                from,
            })
        });
    }

    pub(super) fn norm(&mut self, index: usize, norm: &Norm) {
        let io = self.in_out(index);
        let norm = norm.clone();
        self.step_and_row(index, move |at| {
            Work::Norm(NormStep {
                x: at.of(io.x[0]),
                y: at.of(io.y),
                pixels: io.shape.pixels(),
                norm,
            })
        });
    }

    pub(super) fn softmax(&mut self, index: usize) {
        let io = self.in_out(index);
        self.step_and_row(index, move |at| {
            Work::Softmax(Softmax {
                x: at.of(io.x[0]),
                y: at.of(io.y),
                pixels: io.shape.pixels(),
                c: io.shape.c,
            })
        });
    }
}
