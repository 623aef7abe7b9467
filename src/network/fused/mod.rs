//! The fast plan: a network of known layers, or the known parts of one, run by our own kernels.
//!
//! ```text
//! lower/       ONNX nodes -> graph: folded, quantised patterns recognised
//! graph        layers over NHWC tensors
//! sizes        shapes whose volume was checked
//! axes         how values of any rank lie in them
//! requantise   the exact integer arithmetic
//! dynamic      that of scales found anew in every run
//! plan         graph -> steps: weights packed, blocks by bands, places in the arena
//! steps        how a team of threads runs a step
//! touch        what each step reads and writes
//! verify       the proof of a plan, before it runs
//! border       float tensors in and out, where only a part of the network is known
//! kernels/     inner loops per instruction set
//! ```
//! After [`Understood::plan`] nothing is allocated: a run reads the input in the arena and leaves the scores there.

mod arena;
mod axes;
mod border;
mod dynamic;
mod encode;
mod ends;
mod functions;
mod gate;
mod graph;
mod kernels;
mod lower;
mod max_pool;
mod plan;
mod pointwise;
mod requantise;
mod rows;
mod sizes;
mod steps;
mod threads;
mod touch;
mod verify;

pub use graph::{Border, Quant, Shape};
pub use lower::{Const, Constants, Element, Fact, Facts, Partial, Place, all_known, lower_partly};
pub use plan::Row;
pub use sizes::{VALUES_MOST, volume};

use border::Port;
use graph::{GraphInput, Kind, Tensor};
use kernels::{Aligned, Kernels};
use plan::Plan;
use std::time::{Duration, Instant};
use threads::Pool;
use tract_onnx::pb::ModelProto;

/// Whether this CPU has kernels that are worth planning for: those that every other kernel is tested against are right on
/// every CPU and fast on none. The error says that there are none.
pub fn kernels_here() -> Result<(), String> {
    if kernels::choose().name() == kernels::reference::UNSIGNED.name() {
        return Err("this CPU has no instruction set that the fast plan has kernels for".into());
    }
    Ok(())
}

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

/// A network ready to run, or the known parts of one: then its segments are run one by one, in their order.
#[derive(Debug)]
pub struct Fused {
    plan: Plan,
    arena: Aligned,
    kernels: &'static dyn Kernels,
    pool: Pool,
    picture: Option<Picture>,
}

/// How a picture goes in.
#[derive(Debug)]
struct Picture {
    input: GraphInput,
    tensor: Tensor,
    /// Where it lies in the arena, in bytes.
    offset: usize,
}

/// A network that is understood, with weights of its own: the ONNX model that it came from is used up on the way, so that
/// the weights are there once.
#[derive(Debug)]
pub struct Understood(graph::Graph);

impl From<Partial> for Understood {
    fn from(partial: Partial) -> Self {
        Self(partial.graph)
    }
}

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

    /// How long each of so many proofs of the plan takes; every plan is proved once.
    pub fn time_proof(self, threads: usize, proofs: u64) -> Result<Vec<Duration>, NotFused> {
        let Self(mut graph) = self;
        gate::take_together(&mut graph);
        let plan = plan::plan(&mut graph, kernels::choose(), threads)
            .map_err(|why| NotFused::whole(&why))?;
        let one = |_| {
            let start = Instant::now();
            verify::verify(&graph, std::hint::black_box(&plan), threads)?;
            Ok(start.elapsed())
        };
        (0..proofs).map(one).collect()
    }

    fn plan_with(self, threads: usize, kernels: &'static dyn Kernels) -> Result<Fused, NotFused> {
        let Self(mut graph) = self;
        gate::take_together(&mut graph);
        let pool = Pool::new(threads);
        let mut plan =
            plan::plan(&mut graph, kernels, pool.size()).map_err(|why| NotFused::whole(&why))?;
        verify::verify(&graph, &plan, pool.size())
            .inspect_err(|refused| log::warn!("{refused}"))?;
        let arena = plan::arena(&mut plan).map_err(|why| NotFused::whole(&why))?;
        let picture = graph.input.zip(plan.input_offset);
        let picture = picture.map(|(input, offset)| Picture {
            tensor: graph.tensors[input.tensor.0].clone(),
            input,
            offset,
        });
        Ok(Fused {
            plan,
            arena,
            kernels,
            pool,
            picture,
        })
    }
}

impl Fused {
    /// The input tensor's values, NHWC, to be written by [`Fused::input_encoding`]'s tables. They stay through a run. Empty
    /// when the picture does not go in here, see [`Fused::input_shape`].
    pub fn input(&mut self) -> crate::network::Input<'_> {
        let Some(picture) = &self.picture else {
            return crate::network::Input::F32(&mut []);
        };
        let len = picture.tensor.shape.volume();
        // SAFETY: the verifier proves of the picture: inside, aligned; the arena is borrowed exclusively, and every bit pattern is
        // a float.
        unsafe {
            let start = self.arena.as_mut_ptr().add(picture.offset);
            match picture.tensor.kind {
                Kind::F32 => {
                    crate::network::Input::F32(std::slice::from_raw_parts_mut(start.cast(), len))
                }
                Kind::Q8(_) => {
                    crate::network::Input::U8(std::slice::from_raw_parts_mut(start, len))
                }
            }
        }
    }

    /// Size of the input picture; `None` when the layers that read it are not known, so that it does not go in here.
    pub fn input_shape(&self) -> Option<Shape> {
        self.picture.as_ref().map(|p| p.tensor.shape)
    }

    /// How many scores a run of a whole network gives.
    pub fn score_count(&self) -> usize {
        self.output_shape().map_or(0, |shape| shape.volume())
    }

    /// The shape of what a run of a whole network gives.
    pub fn output_shape(&self) -> Option<Shape> {
        let scores = self.plan.segments.last().and_then(|s| s.exports.last());
        scores.map(|port| port.shape)
    }

    /// How many segments there are; 1 for a whole network.
    pub fn segments(&self) -> usize {
        self.plan.segments.len()
    }

    /// Runs a whole network on what is in the input; the scores, as the model gives them. Allocates nothing.
    pub fn run(&mut self) -> &[f32] {
        self.run_segment::<f32>(0, &[], &mut []);
        let scores = self.plan.segments.last().and_then(|s| s.exports.last());
        let Some(scores) = scores else { return &[] };
        // SAFETY: the verifier proves of exports: inside, defined, aligned; the arena stays borrowed while they are.
        unsafe {
            let start = self.arena.as_ptr().add(scores.offset);
            std::slice::from_raw_parts(start.cast(), scores.shape.volume())
        }
    }

    /// Runs one segment: its imports in the order of [`Partial`]'s graph, its exports likewise (left where they are when
    /// `exports` is empty, else every value of every slice is written). Allocates nothing. Segments must be run in their order;
    /// each reads what the ones before it left.
    ///
    /// # Panics
    /// When a slice has another length than its tensor, there are not as many slices as the segment has imports, or neither none
    /// nor as many as it has exports.
    pub fn run_segment<R: Room>(
        &mut self,
        segment: usize,
        imports: &[&[f32]],
        exports: &mut [&mut [R]],
    ) {
        let part = &self.plan.segments[segment];
        let fits = |port: &Port, len: usize| port.shape.volume() == len;
        assert!(
            part.imports.len() == imports.len()
                && (exports.is_empty() || part.exports.len() == exports.len())
                && part
                    .imports
                    .iter()
                    .zip(imports)
                    .all(|(p, v)| fits(p, v.len()))
                && part
                    .exports
                    .iter()
                    .zip(exports.iter())
                    .all(|(p, v)| fits(p, v.len())),
            "segment {segment} is given other tensors than it has"
        );
        // Each thread writes its own part of each export, so the team gets their addresses.
        let taken = SharedList(exports.as_mut_ptr(), exports.len());
        let arena = Shared(self.arena.as_mut_ptr());
        let (plan, kernels) = (&self.plan, self.kernels);
        let steps = &plan.steps[part.steps.clone()];
        self.pool.run(&|id, team| {
            let (arena, taken) = (&arena, &taken);
            let worker = plan.worker(arena.0, id, team.size());
            for (port, values) in part.imports.iter().zip(imports) {
                // SAFETY: the plan is proved, and the slice as long as the tensor, checked above; the team meets before anybody
                // reads it.
                unsafe { port.put(arena.0, values.as_ptr(), id, team.size()) };
            }
            if !imports.is_empty() {
                team.meet();
            }
            for step in steps {
                // SAFETY: the plan is proved for as many threads as the team has; the arena is its and borrowed exclusively; the
                // team meets after each step.
                unsafe { step.work.run(kernels, &worker) };
                team.meet();
            }
            for (i, port) in part.exports.iter().take(taken.1).enumerate() {
                // SAFETY: `i` is within the list, which outlives the run; the slice was checked to be as long as the tensor,
                // each thread writes its own part of it, and a `Room` takes a float.
                unsafe {
                    let values = (&raw mut **taken.0.add(i)).cast::<f32>();
                    port.take(arena.0, values, id, team.size());
                }
            }
        });
    }

    /// How long each step took in all of `rounds` runs on the caller's thread alone, in the order of running: what it does, and
    /// the sum of its times. A block of bands is one step.
    ///
    /// # Panics
    /// When the plan is for more than one thread.
    pub fn profile(&mut self, rounds: usize) -> Vec<(&'static str, Duration)> {
        assert!(self.threads() == 1, "a profile is of one thread");
        let worker = self.plan.worker(self.arena.as_mut_ptr(), 0, 1);
        let mut times: Vec<_> = self
            .plan
            .steps
            .iter()
            .map(|s| (s.work.name(), Duration::ZERO))
            .collect();
        for _ in 0..rounds {
            for (step, sum) in self.plan.steps.iter().zip(&mut times) {
                let start = Instant::now();
                // SAFETY: the plan is proved for the one thread that there is; the arena is its and borrowed exclusively.
                unsafe { step.work.run(self.kernels, &worker) };
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
// SAFETY: the verifier proves that what threads write within a step is apart, and they meet between steps.
unsafe impl Sync for Shared {}

/// Where tensors are taken out to, for the team.
struct SharedList<'a, R>(*mut &'a mut [R], usize);
// SAFETY: threads only read the list, and write to disjoint parts of each slice.
unsafe impl<R: Room> Sync for SharedList<'_, R> {}

/// What a float can be written to: a float, or memory that holds none yet.
pub trait Room: room::Float {}
impl Room for f32 {}
impl Room for std::mem::MaybeUninit<f32> {}

/// Nothing else is as large as a float and takes every bit pattern of one.
mod room {
    pub trait Float {}
    impl Float for f32 {}
    impl Float for std::mem::MaybeUninit<f32> {}
}

#[cfg(test)]
mod tests;
