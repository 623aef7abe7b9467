//! The fast plan: a network of known layers, or the known parts of one, run by our own kernels.
//!
//! ```text
//! lower/    ONNX nodes -> graph: folded, quantised patterns recognised
//! graph/    layers over NHWC tensors
//! plan/     graph -> steps: weights packed, blocks fused over bands of rows, places in the arena, and the proof
//! run/      how a team of threads runs the steps
//! kernels/  inner loops per instruction set
//! ```
//! After [`Understood::plan`] nothing is allocated: a run reads the input in the arena and leaves the scores in it.

pub use super::run::Fused;

use super::error::NotFused;
use super::graph::{Graph, Op, Weights};
use super::kernels::{self, Kernels};
use super::lower::{self, Partial};
use super::plan::{self, verify};
use super::run::Plan;
use super::run::threads::Pool;
use std::time::{Duration, Instant};
use tract_onnx::pb::ModelProto;

/// Whether this CPU has kernels worth planning for: the plain ones, which all others are tested against, are correct on every CPU
/// but slow. The error says that there are none.
pub fn kernels_here() -> Result<(), String> {
    if kernels::choose().name() == kernels::plain::UNSIGNED.name() {
        return Err("this CPU has no instruction set that the fast plan has kernels for".into());
    }
    Ok(())
}

/// Whether this CPU computes in half precision.
pub fn computes_half() -> bool {
    kernels::choose().half().is_some()
}

/// A network that is understood, and owns its weights: the ONNX model it came from was consumed, so that the weights are in
/// memory once.
#[derive(Debug)]
pub struct Understood(pub(crate) Graph);

impl From<Partial> for Understood {
    fn from(partial: Partial) -> Self {
        Self(partial.graph)
    }
}

/// A network in the form that is planned: layers that can be computed as one are one, and the precision is final.
#[derive(Debug)]
pub struct Merged(pub(crate) Graph);

/// What the layers of a model compute, if all of them are known.
pub fn understand(model: ModelProto) -> Result<Understood, NotFused> {
    Ok(Understood(lower::lower(model)?))
}

/// The fast plan of a model for one thread, with the best kernels of this CPU.
pub fn fuse(model: ModelProto) -> Result<Fused, NotFused> {
    understand(model)?.plan(1)
}

impl Understood {
    fn merged(self) -> Merged {
        let Self(mut graph) = self;
        lower::merge_layers(&mut graph);
        Merged(graph)
    }

    /// The network with weights and activations of half precision; the error says why there is none.
    pub fn in_half(self) -> Result<Merged, String> {
        let Merged(mut graph) = self.merged();
        plan::half::halve(&mut graph)?;
        Ok(Merged(graph))
    }

    /// The plan for `threads` threads (the caller's one included), with the best kernels of this CPU.
    pub fn plan(self, threads: usize) -> Result<Fused, NotFused> {
        self.merged().plan(threads)
    }

    #[cfg(test)]
    pub(crate) fn plan_with(
        self,
        threads: usize,
        kernels: &'static dyn Kernels,
    ) -> Result<Fused, NotFused> {
        self.merged().plan_with(threads, kernels)
    }

    /// Durations of `proofs` proofs of the plan. (Normally a plan is proved once, before it runs.)
    pub fn time_proof(self, threads: usize, proofs: u64) -> Result<Vec<Duration>, NotFused> {
        let (graph, plan) = self.merged().planned(threads, kernels::choose())?;
        let one = |_| {
            let start = Instant::now();
            verify::verify(&graph, std::hint::black_box(&plan), threads)?;
            Ok(start.elapsed())
        };
        (0..proofs).map(one).collect()
    }
}

impl Merged {
    /// Number of its convolutions' weights.
    pub fn weight_count(&self) -> usize {
        let weights = self.0.layers.iter().map(|layer| match &layer.op {
            Op::Conv(conv) => match &conv.weights {
                Weights::F32 { w, .. } => w.len(),
                Weights::Q8 { w, .. } => w.len(),
            },
            _ => 0,
        });
        weights.sum()
    }

    /// As [`Understood::plan`].
    pub fn plan(self, threads: usize) -> Result<Fused, NotFused> {
        self.plan_with(threads, kernels::choose())
    }

    /// A plan that is not verified yet, and its graph.
    fn planned(
        self,
        threads: usize,
        kernels: &'static dyn Kernels,
    ) -> Result<(Graph, Plan), NotFused> {
        let Self(mut graph) = self;
        let plan = plan::plan(&mut graph, kernels, threads);
        let plan = plan.map_err(|why| NotFused::whole(&why))?;
        Ok((graph, plan))
    }

    pub(crate) fn plan_with(
        self,
        threads: usize,
        kernels: &'static dyn Kernels,
    ) -> Result<Fused, NotFused> {
        let pool = Pool::new(threads);
        let (graph, plan) = self.planned(pool.size(), kernels)?;
        verify::verify(&graph, &plan, pool.size())
            .inspect_err(|refused| log::warn!("{refused}"))?;
        let picture = graph.input.map(|input| {
            let tensor = graph.tensors[input.tensor.0].clone();
            (input, tensor)
        });
        Fused::new(plan, kernels, pool, picture).map_err(|why| NotFused::whole(&why))
    }
}

#[cfg(test)]
pub(crate) mod tests;
