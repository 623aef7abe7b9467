//! Running a plan: the only place where an offset into the arena becomes a pointer.
//!
//! ```text
//! mod      a plan with its arena, kernels and threads, and the way of a frame through it
//! offset   places in the arena, and the pointers that are made of them
//! picture  how a picture goes in
//! border   float tensors in and out, where only a part of the network is known
//! steps/   what a team of threads does in each step
//! touch    what each step reads and writes, for the proof
//! threads  the team
//! ```

pub(crate) mod border;
pub(crate) mod offset;
mod picture;
pub(crate) mod steps;
pub(crate) mod threads;
pub(crate) mod touch;

use super::graph::{GraphInput, Kind, Shape, Tensor};
use super::kernels::{Aligned, Kernels};
use crate::spec::Input;
use border::Port;
use offset::{Offset, Worker};
use std::ops::Range;
use std::time::{Duration, Instant};
use steps::Step;
use threads::Pool;

/// One line of what was planned.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The ONNX node's name.
    pub name: String,
    /// What is done.
    pub op: &'static str,
    /// Size of the result.
    pub shape: Shape,
    /// The kernels that do it.
    pub kernel: &'static str,
    /// Multiply-adds.
    pub multiply_adds: u64,
    /// Where the result lies in the arena; `None` when it only ever exists by bands of rows.
    pub arena_offset: Option<usize>,
    /// Bytes of the result.
    pub bytes: usize,
    /// The segment that it belongs to; 0 for a whole network.
    pub segment: usize,
}

/// Steps that run without leaving the arena, what is put in before them and taken out after them.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) steps: Range<usize>,
    pub(crate) imports: Vec<Port>,
    pub(crate) exports: Vec<Port>,
}

/// Everything ready to run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) arena_bytes: usize,
    /// Where the picture lies, when there is one.
    pub(crate) input_offset: Option<Offset>,
    pub(crate) rows: Vec<Row>,
    /// Rows of padding, one for each padding byte: `(offset, bytes, value)`, filled once.
    pub(crate) fills: Vec<(Offset, usize, u8)>,
    /// Tensors that stay the same, until they are in the arena.
    pub(crate) constants: Vec<(Offset, Vec<f32>)>,
    /// Where the scratch memory of the first thread lies, and its bytes; those of the others follow.
    pub(crate) scratch: (Offset, usize),
}

impl Plan {
    /// Worker `id` of `team`, in `arena`.
    pub(crate) fn worker(&self, arena: *mut u8, id: usize, team: usize) -> Worker {
        Worker::new(arena, self.scratch, id, team)
    }
}

/// A network ready to run, or the known parts of one: then its segments are run one by one, in their order.
#[derive(Debug)]
pub struct Fused {
    pub(crate) plan: Plan,
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
    offset: Offset,
}

impl Fused {
    /// Of a plan that is proved for as many threads as the pool has.
    pub(crate) fn new(
        mut plan: Plan,
        kernels: &'static dyn Kernels,
        pool: Pool,
        picture: Option<(GraphInput, Tensor)>,
    ) -> Result<Self, String> {
        let arena = arena(&mut plan)?;
        let picture = picture.zip(plan.input_offset);
        let picture = picture.map(|((input, tensor), offset)| Picture {
            input,
            tensor,
            offset,
        });
        Ok(Self {
            plan,
            arena,
            kernels,
            pool,
            picture,
        })
    }

    /// The input tensor's values, NHWC, to be written by [`Fused::input_encoding`]'s tables. They stay through a run. Empty
    /// when the picture does not go in here, see [`Fused::input_shape`].
    pub fn input(&mut self) -> Input<'_> {
        let Some(picture) = &self.picture else {
            return Input::F32(&mut []);
        };
        let (len, at) = (picture.tensor.shape.volume(), picture.offset);
        let worker = self.plan.worker(self.arena.as_mut_ptr(), 0, 1);
        // SAFETY: the verifier proves of the picture: inside, aligned; the arena is borrowed exclusively while it is lent.
        unsafe {
            match picture.tensor.kind {
                Kind::F32 => Input::F32(worker.floats_mut(at, len)),
                Kind::Q8(_) => Input::U8(worker.bytes_mut(at, len)),
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
        let worker = self.plan.worker(self.arena.as_mut_ptr(), 0, 1);
        // SAFETY: the verifier proves of exports: inside, defined, aligned; the arena stays borrowed while they are.
        unsafe { worker.floats(scores.offset, scores.shape.volume()) }
    }

    /// Runs one segment: its imports in the order of the graph's, its exports likewise (left where they are when
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
                unsafe { port.put(&worker, values.as_ptr()) };
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
                    port.take(&worker, values);
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

/// An arena for a plan, with the padding rows filled and the constants in their places.
pub(crate) fn arena(plan: &mut Plan) -> Result<Aligned, String> {
    let arena = Aligned::try_zeroed(plan.arena_bytes);
    let mut arena = arena.ok_or_else(|| {
        let needed = plan.arena_bytes.div_ceil(1 << 20);
        format!("its activations need {needed} MiB, more than there is memory for")
    })?;
    for &(offset, bytes, value) in &plan.fills {
        arena.bytes_mut()[offset.byte()..][..bytes].fill(value);
    }
    for (offset, values) in std::mem::take(&mut plan.constants) {
        let places = arena.bytes_mut()[offset.byte()..].chunks_exact_mut(4);
        for (place, value) in places.zip(&values) {
            place.copy_from_slice(&value.to_ne_bytes());
        }
    }
    Ok(arena)
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
