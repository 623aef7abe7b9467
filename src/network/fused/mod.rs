//! The fast plan: a network that is wholly of known layers, run by our own kernels.
//!
//! ```text
//! lower/       ONNX nodes -> graph: folded, quantised patterns recognised
//! graph        layers over NHWC tensors
//! requantise   the exact integer arithmetic
//! plan         graph -> steps: weights packed, blocks by bands, places in the arena
//! steps        how a team of threads runs a step
//! kernels/     inner loops per instruction set
//! ```
//! After [`Understood::plan`] nothing is allocated: a run reads the input in the arena and leaves the scores there.

mod arena;
mod encode;
mod graph;
mod kernels;
mod lower;
mod plan;
mod pointwise;
mod requantise;
mod steps;
mod threads;

pub use graph::Shape;
pub use plan::Row;

use graph::{GraphInput, Kind, Tensor};
use kernels::{Aligned, Kernels};
use plan::Plan;
use threads::Pool;
use tract_onnx::pb::ModelProto;

/// The name of the kernels that every other kernel is tested against; right on every CPU, fast on none.
pub const REFERENCE: &str = "reference";

/// Why a network has no fast plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no fast plan: node {node:?} ({op}): {why}")]
pub struct NotFused {
    /// The ONNX node; empty when it is about the whole graph.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// What is not understood.
    pub why: String,
}

impl NotFused {
    fn whole(why: &str) -> Self {
        Self {
            node: String::new(),
            op: "graph".into(),
            why: why.into(),
        }
    }
}

/// A network ready to run.
#[derive(Debug)]
pub struct Fused {
    plan: Plan,
    arena: Aligned,
    kernels: &'static dyn Kernels,
    pool: Pool,
    input: GraphInput,
    input_tensor: Tensor,
    scores: usize,
}

/// A network that is understood, with weights of its own: the ONNX model that it came from is used up on the way, so that
/// the weights are there once.
#[derive(Debug)]
pub struct Understood(graph::Graph);

/// What the layers of a model compute, if all of them are known.
pub fn understand(model: ModelProto) -> Result<Understood, NotFused> {
    Ok(Understood(lower::lower(model)?))
}

/// The fast plan of a model for one thread, with the best kernels of this CPU.
pub fn fuse(model: ModelProto) -> Result<Fused, NotFused> {
    understand(model)?.plan(1)
}

impl Understood {
    /// The plan for `threads` threads (the caller's one included), with the best kernels of this CPU.
    pub fn plan(self, threads: usize) -> Result<Fused, NotFused> {
        self.plan_with(threads, kernels::choose())
    }

    fn plan_with(self, threads: usize, kernels: &'static dyn Kernels) -> Result<Fused, NotFused> {
        let Self(mut graph) = self;
        let pool = Pool::new(threads);
        let plan =
            plan::plan(&mut graph, kernels, pool.size()).map_err(|why| NotFused::whole(&why))?;
        let arena = plan::arena(&plan);
        let input_tensor = graph.tensors[graph.input.tensor.0].clone();
        let scores = graph.tensors[graph.output.0].shape.volume();
        Ok(Fused {
            plan,
            arena,
            kernels,
            pool,
            input: graph.input,
            input_tensor,
            scores,
        })
    }
}

impl Fused {
    /// The input tensor's values, NHWC, to be written by [`Fused::input_encoding`]'s tables. They stay through a run.
    pub fn input(&mut self) -> crate::network::Input<'_> {
        let len = self.input_tensor.shape.volume();
        let at = self.plan.input_offset;
        // SAFETY: the planner placed `len` values of this kind at this multiple of 64; the arena is borrowed exclusively, and
        // every bit pattern is a float.
        unsafe {
            let start = self.arena.as_mut_ptr().add(at);
            match self.input_tensor.kind {
                Kind::F32 => {
                    crate::network::Input::F32(std::slice::from_raw_parts_mut(start.cast(), len))
                }
                Kind::Q8(_) => {
                    crate::network::Input::U8(std::slice::from_raw_parts_mut(start, len))
                }
            }
        }
    }

    /// Size of the input picture.
    pub fn input_shape(&self) -> Shape {
        self.input_tensor.shape
    }

    /// How many scores a run gives.
    pub fn score_count(&self) -> usize {
        self.scores
    }

    /// Runs the network on what is in the input; the scores, as the model gives them. Allocates nothing.
    pub fn run(&mut self) -> &[f32] {
        let arena = Shared(self.arena.as_mut_ptr());
        let (plan, kernels) = (&self.plan, self.kernels);
        self.pool.run(&|id, team| {
            let arena = &arena;
            for step in &plan.steps {
                // SAFETY: the arena is this plan's and borrowed exclusively; the team meets after each step.
                unsafe { step.work.run(arena.0, kernels, id, team.size()) };
                team.meet();
            }
        });
        // SAFETY: the planner placed the scores there, floats on a multiple of 64.
        unsafe {
            let start = self.arena.as_ptr().add(self.plan.output_offset);
            std::slice::from_raw_parts(start.cast(), self.scores)
        }
    }

    /// How long each step took in all of `rounds` runs on the caller's thread alone, in the order of running: what it does, and
    /// the sum of its times. A block of bands is one step. For plans of one thread.
    pub fn profile(&mut self, rounds: usize) -> Vec<(&'static str, std::time::Duration)> {
        let arena = self.arena.as_mut_ptr();
        let mut times: Vec<_> = self
            .plan
            .steps
            .iter()
            .map(|s| (s.work.name(), std::time::Duration::ZERO))
            .collect();
        for _ in 0..rounds {
            for (step, sum) in self.plan.steps.iter().zip(&mut times) {
                let start = std::time::Instant::now();
                // SAFETY: the arena is this plan's and borrowed exclusively; there is one thread.
                unsafe { step.work.run(arena, self.kernels, 0, 1) };
                sum.1 += start.elapsed();
            }
        }
        times
    }

    /// What was planned, in the order of running.
    pub fn explain(&self) -> &[Row] {
        &self.plan.rows
    }

    /// Bytes of all activations, input and scores included.
    pub fn arena_bytes(&self) -> usize {
        self.plan.arena_bytes
    }

    /// The instruction set's name.
    pub fn kernels(&self) -> &'static str {
        self.kernels.name()
    }

    /// Threads that work on a frame.
    pub fn threads(&self) -> usize {
        self.pool.size()
    }
}

/// The arena's address, for the team.
struct Shared(*mut u8);
// SAFETY: threads write to disjoint parts of a step's output and meet between steps.
unsafe impl Sync for Shared {}

#[cfg(test)]
mod tests;
