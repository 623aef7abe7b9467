//! The steps of a plan, and how the thread team runs one: each thread takes its share of rows, pixels or channels.
//!
//! ```text
//! pad, conv, depthwise, block  convolutions: padded copies, whole layers, three layers fused over bands of rows
//! packed                       their weights
//! sum                          sums and products of two tensors
//! values                       elementwise: functions, quantisation
//! map                          functions of bytes
//! channels                     within each pixel: affine, slopes, picked and concatenated channels
//! pool                         average and max pooling
//! pictures                     LocalResponseNormalization and resizing
//! moves, product, rows         for transformers: data movement, matrix products, LayerNormalization and Softmax
//! dynamic                      quantisation whose scale is computed in every run
//! ```
//! A new kind of step is a file (or a struct in one of these), a variant of [`Work`] and a line in `with_task`.

mod block;
mod channels;
mod conv;
mod depthwise;
mod dynamic;
mod map;
mod moves;
mod packed;
mod pad;
mod pictures;
mod pool;
mod product;
mod rows;
mod sum;
mod values;

pub use block::{Block, Slots};
pub use channels::{Affine, ChannelsFirst, Concat, Pick, Slopes};
pub use conv::{ConvStep, Front};
pub use depthwise::DepthwiseStep;
pub use dynamic::{DynamicConv, DynamicDepthwise, DynamicQuantise, FindExtremes, Parts, Sums};
pub use map::MapStep;
pub use moves::Move;
pub use packed::{AnyConv, AnyDepthwise, MAX_KERNEL_ROWS};
pub use pad::Pad;
pub use pictures::{LrnStep, ResizeStep};
pub use pool::{Average, MaxPoolStep, WindowsQ8};
pub use product::ProductStep;
pub use rows::{NormStep, Softmax};
pub use sum::Sum;
pub use values::{Dequantise, Function, Quantise};

use super::offset::{Offset, Worker};
use super::touch::Touches;
use crate::network::kernels::Kernels;

/// A step of the plan.
#[derive(Debug)]
pub struct Step {
    pub work: Work,
    /// The first and last of the graph's layers that it computes: it reads the first one's inputs and writes the last one's output.
    pub layers: (usize, usize),
}

/// What a step does.
#[derive(Debug)]
pub enum Work {
    Pad(Pad),
    Conv(ConvStep),
    Depthwise(DepthwiseStep),
    Block(Box<Block>),
    Sum(Sum),
    Average(Average),
    Max(MaxPoolStep),
    Affine(Affine),
    Slopes(Slopes),
    Pick(Pick),
    Map(MapStep),
    Function(Function),
    Softmax(Softmax),
    Norm(NormStep),
    Lrn(LrnStep),
    Resize(ResizeStep),
    Move(Move),
    Product(Box<ProductStep>),
    Quantise(Quantise),
    Dequantise(Dequantise),
    DynamicConv(DynamicConv),
    DynamicDepthwise(DynamicDepthwise),
    Extremes(FindExtremes),
    DynamicQuantise(DynamicQuantise),
    Concat(Concat),
    ChannelsFirst(ChannelsFirst),
}

/// What every kind of step implements.
pub trait Task {
    /// Its name in listings.
    fn name(&self) -> &'static str;

    /// All its offsets into the arena: inputs first, output last.
    fn places(&mut self) -> Vec<&mut Offset>;

    /// Declares what it touches, for `to`'s team.
    fn touches(&self, to: &mut Touches);

    /// Runs a worker's share.
    ///
    /// # Safety
    /// The plan is verified (`plan::verify`) and the arena is the plan's; the worker belongs to a team of the verified size, no other
    /// worker has its number, and no thread is at another step.
    unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker);
}

/// `$do` with the task inside a [`Work`].
macro_rules! with_task {
    ($work:expr, $task:ident => $do:expr) => {
        match $work {
            Work::Pad($task) => $do,
            Work::Conv($task) => $do,
            Work::Depthwise($task) => $do,
            Work::Block($task) => $do,
            Work::Sum($task) => $do,
            Work::Average($task) => $do,
            Work::Max($task) => $do,
            Work::Affine($task) => $do,
            Work::Slopes($task) => $do,
            Work::Pick($task) => $do,
            Work::Map($task) => $do,
            Work::Function($task) => $do,
            Work::Softmax($task) => $do,
            Work::Norm($task) => $do,
            Work::Lrn($task) => $do,
            Work::Resize($task) => $do,
            Work::Move($task) => $do,
            Work::Product($task) => $do,
            Work::Quantise($task) => $do,
            Work::Dequantise($task) => $do,
            Work::DynamicConv($task) => $do,
            Work::DynamicDepthwise($task) => $do,
            Work::Extremes($task) => $do,
            Work::DynamicQuantise($task) => $do,
            Work::Concat($task) => $do,
            Work::ChannelsFirst($task) => $do,
        }
    };
}

impl Work {
    /// Its name in listings.
    pub fn name(&self) -> &'static str {
        with_task!(self, task => task.name())
    }

    /// What it touches with a team of `team` threads.
    pub fn touches(&self, team: usize) -> Touches {
        let mut to = Touches::new(team);
        with_task!(self, task => task.touches(&mut to));
        to
    }

    /// Runs a worker's share.
    ///
    /// # Safety
    /// As for [`Task::run`].
    pub unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        // SAFETY: the caller's contract is the same.
        with_task!(self, task => unsafe { task.run(kernels, worker) });
    }

    /// All its offsets into the arena, see [`Task::places`].
    pub fn places(&mut self) -> Vec<&mut Offset> {
        with_task!(self, task => task.places())
    }
}
