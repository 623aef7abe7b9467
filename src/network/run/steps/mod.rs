//! The steps of a plan, and how a team of threads runs one: each thread takes its share of rows, pixels or channels.
//!
//! ```text
//! pad, conv, depthwise, block  convolutions: padding laid out, whole layers, three of them by bands of rows
//! packed                       their weights
//! sum                          sums and products of two tensors
//! values                       each value by itself: functions, tables, quantisation
//! channels                     each pixel by itself: affine, slopes, picked and joined channels
//! pool                         averages and largest values of windows
//! moves, product, rows         of transformers: values that move, products of matrices, LayerNormalization and Softmax
//! dynamic                      quantisation whose scale is found anew in every run
//! ```
//! A new kind of step is a file (or a struct in one of these), a variant of [`Work`] and a line of `with_task`.

mod block;
mod channels;
mod conv;
mod depthwise;
mod dynamic;
mod moves;
mod packed;
mod pad;
mod pool;
mod product;
mod rows;
mod sum;
mod values;

pub(crate) use block::{Block, Slots};
pub(crate) use channels::{Affine, ChannelsFirst, Concat, Pick, Slopes};
pub(crate) use conv::{ConvStep, Front};
pub(crate) use depthwise::DepthwiseStep;
pub(crate) use dynamic::{DynamicConv, DynamicDepthwise, FindExtremes, Parts, Round, Sums};
pub(crate) use moves::Move;
pub(crate) use packed::{AnyConv, AnyDepthwise, MAX_KERNEL_ROWS};
pub(crate) use pad::Pad;
pub(crate) use pool::{Average, MaxPoolStep, WindowsQ8};
pub(crate) use product::ProductStep;
pub(crate) use rows::{NormStep, Softmax};
pub(crate) use sum::Sum;
pub(crate) use values::{Dequantise, Function, Quantise, Table};

#[cfg(test)]
use super::offset::Offset;
use super::offset::Worker;
use super::touch::Touches;
use crate::network::kernels::Kernels;

/// A step of the plan.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) work: Work,
    /// The graph's layers that it does, the first and the last: its inputs are the first one's, its result is the last one's.
    pub(crate) layers: (usize, usize),
}

/// What a step does.
#[derive(Debug)]
pub(crate) enum Work {
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
    Table(Table),
    Function(Function),
    Softmax(Softmax),
    Norm(NormStep),
    Move(Move),
    Product(Box<ProductStep>),
    Quantise(Quantise),
    Dequantise(Dequantise),
    DynamicConv(DynamicConv),
    DynamicDepthwise(DynamicDepthwise),
    Extremes(FindExtremes),
    Round(Round),
    Concat(Concat),
    ChannelsFirst(ChannelsFirst),
}

/// What there is to each kind of step.
pub(crate) trait Task {
    /// What is printed.
    fn name(&self) -> &'static str;

    /// All its places in the arena: its inputs first, its result last.
    #[cfg(test)]
    fn places(&mut self) -> Vec<&mut Offset>;

    /// Declares what it touches with a team of so many as `to` says.
    fn touches(&self, to: &mut Touches);

    /// A worker's share.
    ///
    /// # Safety
    /// The plan is proved (`plan::verify`) and the worker's arena is its; the worker is one of the team of the proof, and no
    /// other has its number; no thread is at another step.
    unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker);
}

/// `$do` with the task of a [`Work`], whichever it is.
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
            Work::Table($task) => $do,
            Work::Function($task) => $do,
            Work::Softmax($task) => $do,
            Work::Norm($task) => $do,
            Work::Move($task) => $do,
            Work::Product($task) => $do,
            Work::Quantise($task) => $do,
            Work::Dequantise($task) => $do,
            Work::DynamicConv($task) => $do,
            Work::DynamicDepthwise($task) => $do,
            Work::Extremes($task) => $do,
            Work::Round($task) => $do,
            Work::Concat($task) => $do,
            Work::ChannelsFirst($task) => $do,
        }
    };
}

impl Work {
    /// What is printed.
    pub(crate) fn name(&self) -> &'static str {
        with_task!(self, task => task.name())
    }

    /// What it touches with a team of so many.
    pub(crate) fn touches(&self, team: usize) -> Touches {
        let mut to = Touches::new(team);
        with_task!(self, task => task.touches(&mut to));
        to
    }

    /// A worker's share.
    ///
    /// # Safety
    /// As for [`Task::run`].
    pub(crate) unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        // SAFETY: handed on as it is.
        with_task!(self, task => unsafe { task.run(kernels, worker) });
    }

    /// All its places in the arena, see [`Task::places`].
    #[cfg(test)]
    pub(crate) fn places(&mut self) -> Vec<&mut Offset> {
        with_task!(self, task => task.places())
    }
}
