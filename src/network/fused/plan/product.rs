//! Matrix products of two tensors.

use super::Planner;
use crate::network::fused::graph::{FREE, Product};
use crate::network::fused::kernels::{ConvF32, Packed, Runs};
use crate::network::fused::steps::{ProductStep, Work};
use std::sync::atomic::AtomicPtr;

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
        let conv = || ConvF32 {
            runs: runs.clone(),
            packed: Packed::Lent(AtomicPtr::default()),
            clamp: FREE,
        };
        Work::Product(Box::new(ProductStep {
            a,
            b,
            y,
            of: of.clone(),
            panels,
            convs: (0..self.threads).map(|_| conv()).collect(),
        }))
    }
}
