//! Matrix products of two tensors.

use super::Planner;
use crate::network::graph::Product;
use crate::network::kernels::{ConvF32, Runs};
use crate::network::run::steps::{ProductStep, Work};

impl Planner<'_> {
    /// The step, and scratch memory for a right matrix in each thread.
    pub(super) fn product(&mut self, of: &Product, [a, b, y]: [usize; 3]) -> Work {
        let runs = Runs {
            offsets: vec![0],
            len: of.depth(),
            n: of.columns(),
        };
        let panels = self.kernels.float_panels(&runs);
        self.scratch_bytes = self.scratch_bytes.max(panels.total_bytes());
        Work::Product(Box::new(ProductStep {
            a,
            b,
            y,
            of: of.clone(),
            panels,
            convs: (0..self.threads)
                .map(|_| ConvF32::lent(runs.clone()))
                .collect(),
        }))
    }
}
