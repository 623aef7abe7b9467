//! Running a plan: the only place where an offset into the arena becomes a pointer.
//!
//! ```text
//! mod      a plan with its arena, kernels and threads, and how a frame runs through it
//! offset   offsets into the arena, and the pointers made from them
//! picture  copying a picture in
//! profile  how long each step takes
//! border   float tensors in and out, when only part of the network is known
//! steps/   what the thread team does in each step
//! touch    what each step reads and writes, for the verifier
//! threads  the thread team
//! ```

pub mod border;
pub mod offset;
mod picture;
mod profile;
pub mod steps;
pub mod threads;
pub mod touch;

pub use profile::StepTime;

use super::graph::{GraphInput, Kind, Shape, Tensor};
use super::kernels::{Aligned, Kernels, best};
use crate::spec::Input;
use border::Port;
use offset::{Offset, Worker};
use std::ops::Range;
use steps::Step;
use threads::Pool;

/// One line of a plan's listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The ONNX node's name.
    pub name: String,
    /// What the step does.
    pub op: &'static str,
    /// Shape of the result.
    pub shape: Shape,
    /// The kernels that run it.
    pub kernel: &'static str,
    /// Multiply-adds.
    pub multiply_adds: u64,
    /// The result's offset in the arena; `None` if it exists only as bands of rows.
    pub arena_offset: Option<usize>,
    /// Bytes of the result.
    pub bytes: usize,
    /// Its segment; 0 for a whole network.
    pub segment: usize,
    /// The step that makes it, counted from 0.
    pub step: usize,
}

/// Steps that run within the arena, with the tensors copied in before them and out after them.
#[derive(Debug)]
pub struct Segment {
    pub steps: Range<usize>,
    pub imports: Vec<Port>,
    pub exports: Vec<Port>,
}

/// A row of padding, filled once for all runs. `P` is its place: `Offset`, or `Need` while planning.
#[derive(Debug, Clone, Copy)]
pub struct Fill<P> {
    pub at: P,
    pub bytes: usize,
    /// What each byte is set to.
    pub byte: u8,
}

/// The threads' scratch memory, one thread's after the other's.
#[derive(Debug, Clone, Copy)]
pub struct Scratch {
    pub at: Offset,
    pub bytes_per_thread: usize,
}

/// A plan that is ready to run.
#[derive(Debug)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub segments: Vec<Segment>,
    pub arena_bytes: usize,
    /// The picture's offset, if there is a picture.
    pub input_offset: Option<Offset>,
    pub rows: Vec<Row>,
    /// Rows of padding, one per padding byte.
    pub fills: Vec<Fill<Offset>>,
    /// Constant tensors, until they are copied into the arena.
    pub constants: Vec<(Offset, Vec<f32>)>,
    pub scratch: Scratch,
}

impl Plan {
    /// Worker `id` of `team`, in `arena`.
    pub fn worker(&self, arena: *mut u8, id: usize, team: usize) -> Worker {
        Worker::new(arena, self.scratch, id, team)
    }
}

/// A network that is ready to run, or the known parts of one; their segments run one by one, in order.
#[derive(Debug)]
pub struct Fused {
    pub plan: Plan,
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
    /// From a plan that is verified for the pool's number of threads.
    pub fn new(
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

    /// The input tensor's values, NHWC, to be written through [`Fused::input_encoding`]'s tables. A run does not change them. Empty if
    /// the picture does not go in here, see [`Fused::input_shape`].
    pub fn input(&mut self) -> Input<'_> {
        let Some(picture) = &self.picture else {
            return Input::F32(&mut []);
        };
        let (len, at) = (picture.tensor.shape.volume(), picture.offset);
        let worker = self.plan.worker(self.arena.as_mut_ptr(), 0, 1);
        // SAFETY: the verifier proves of the picture: inside, aligned; the arena stays exclusively borrowed.
        unsafe {
            match picture.tensor.kind {
                Kind::F32 => Input::F32(worker.floats_mut(at, len)),
                Kind::Q8(_) | Kind::F16 => Input::U8(worker.bytes_mut(at, len)),
            }
        }
    }

    /// Size of the input picture; `None` if the layers that read it are not known, so it does not go in here.
    pub fn input_shape(&self) -> Option<Shape> {
        self.picture.as_ref().map(|p| p.tensor.shape)
    }

    /// Number of scores that a run of a whole network gives.
    pub fn score_count(&self) -> usize {
        self.output_shape().map_or(0, |shape| shape.volume())
    }

    /// Shape of the output of a whole network.
    pub fn output_shape(&self) -> Option<Shape> {
        let scores = self.plan.segments.last().and_then(|s| s.exports.last());
        scores.map(|port| port.shape)
    }

    /// Number of segments; 1 for a whole network.
    pub fn segments(&self) -> usize {
        self.plan.segments.len()
    }

    /// Runs a whole network on the input and returns its scores. Allocates nothing.
    pub fn run(&mut self) -> &[f32] {
        self.run_segment::<f32>(0, &[], &mut []);
        let scores = self.plan.segments.last().and_then(|s| s.exports.last());
        let Some(scores) = scores else { return &[] };
        let worker = self.plan.worker(self.arena.as_mut_ptr(), 0, 1);
        // SAFETY: the verifier proves of exports: inside, defined, aligned; the arena stays borrowed while they are.
        unsafe { worker.floats(scores.offset, scores.shape.volume()) }
    }

    /// Runs one segment. Imports and exports are in the graph's order; exports stay in the arena if `exports` is empty, otherwise every
    /// value of every slice is written. Allocates nothing. Segments must run in order: each reads what the earlier ones left.
    ///
    /// # Panics
    /// If a slice's length differs from its tensor's, if the number of imports is wrong, or if the number of exports is neither 0 nor
    /// the segment's.
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
                // SAFETY: the plan is verified, the slice is as long as the tensor (checked above), and the team meets before
                // anything reads it.
                unsafe { port.put(&worker, values.as_ptr()) };
            }
            if !imports.is_empty() {
                team.meet();
            }
            for step in steps {
                // SAFETY: the plan is verified for the team's number of threads; the arena is the plan's and exclusively borrowed;
                // the team meets after each step.
                unsafe { step.work.run(kernels, &worker) };
                team.meet();
            }
            for (i, port) in part.exports.iter().take(taken.1).enumerate() {
                // SAFETY: `i` is within the list, which outlives the run; the slice is as long as the tensor (checked above), each
                // thread writes its own part of it, and a `Room` holds a float.
                unsafe {
                    let values = (&raw mut **taken.0.add(i)).cast();
                    port.take(&worker, values);
                }
            }
        });
    }

    /// The planned steps, in execution order.
    pub fn explain(&self) -> &[Row] {
        &self.plan.rows
    }

    /// Bytes of all activations, including input and scores.
    pub fn arena_bytes(&self) -> usize {
        self.plan.arena_bytes
    }

    /// The instruction set's name.
    pub fn kernels(&self) -> &'static str {
        self.kernels.name()
    }

    /// The most multiply-adds per second that these kernels reach on one thread of this CPU, in bytes or in floats. Takes some
    /// milliseconds.
    pub fn best_rate(&self, in_bytes: bool) -> f64 {
        best::multiply_adds_per_second(self.kernels, in_bytes)
    }

    /// Whether weights and activations are of half precision.
    pub fn is_half(&self) -> bool {
        let half = self.kernels.half().map(|half| half.name());
        self.plan.rows.iter().any(|row| Some(row.kernel) == half)
    }

    /// Threads that work on a frame.
    pub fn threads(&self) -> usize {
        self.pool.size()
    }
}

/// An arena for a plan, with padding rows filled and constants copied in.
pub fn arena(plan: &mut Plan) -> Result<Aligned, String> {
    let arena = Aligned::try_zeroed(plan.arena_bytes);
    let mut arena = arena.ok_or_else(|| {
        let needed = plan.arena_bytes.div_ceil(1 << 20);
        format!("its activations need {needed} MiB, more than there is memory for")
    })?;
    for &Fill { at, bytes, byte } in &plan.fills {
        arena.bytes_mut()[at.byte()..][..bytes].fill(byte);
    }
    for (offset, values) in std::mem::take(&mut plan.constants) {
        let places = arena.bytes_mut()[offset.byte()..].chunks_exact_mut(4);
        for (place, value) in places.zip(&values) {
            place.copy_from_slice(&value.to_ne_bytes());
        }
    }
    Ok(arena)
}

/// The arena's address, shared with the team.
struct Shared(*mut u8);
// SAFETY: the verifier proves that threads write disjoint memory within a step, and they meet between steps.
unsafe impl Sync for Shared {}

/// The slices that tensors are copied out to, shared with the team.
struct SharedList<'a, R>(*mut &'a mut [R], usize);
// SAFETY: threads only read the list, and write to disjoint parts of each slice.
unsafe impl<R: Room> Sync for SharedList<'_, R> {}

/// Memory that a float can be written to: a float, or uninitialised room for one.
pub trait Room: room::Float {}
impl Room for f32 {}
impl Room for std::mem::MaybeUninit<f32> {}

/// Implementors have the size of a float and accept every bit pattern.
mod room {
    pub trait Float {}
    impl Float for f32 {}
    impl Float for std::mem::MaybeUninit<f32> {}
}
