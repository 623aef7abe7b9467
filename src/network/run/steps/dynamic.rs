//! Dynamic quantisation, whose scale is computed in every run, see [`crate::network::graph::dynamic`]: each thread stores the minimum
//! and maximum of its part, and the following steps combine them.

use super::conv::Computed;
use super::{ConvStep, DepthwiseStep, Task};
use crate::network::graph::dynamic::{Extremes, Rescale};
use crate::network::kernels::Kernels;
use crate::network::run::offset::{Offset, Worker};
use crate::network::run::touch::{Touches, Whose, times};

/// Values processed at a time, so that they stay in L1.
const NEAR_VALUES: usize = 4096;
/// Pixels of a convolution's output processed at a time.
const NEAR_PIXELS: usize = 48;

/// Minimum and maximum of each thread's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    pub at: Offset,
}

impl Parts {
    /// Declares that all are read.
    fn read(&self, whose: Whose, to: &mut Touches) {
        to.reads(whose, self.at, times(to.team, 8), 4);
    }

    /// Declares that each thread writes its own.
    fn written(&self, whose: Whose, to: &mut Touches) {
        let pairs = [(to.team, 8)];
        to.writes((whose, self.at, 4), &pairs, &[], 8, |id| id..id + 1);
    }

    /// # Safety
    /// As for `Work::run`; the step declares these reads.
    unsafe fn whole(&self, worker: &Worker) -> Extremes {
        // SAFETY: the pairs that `read` declares: inside, aligned, defined and apart by the verifier.
        let parts = unsafe { worker.floats(self.at, 2 * worker.team) };
        Extremes::of_parts(parts)
    }

    /// # Safety
    /// As for `Work::run`; the step declares these writes.
    unsafe fn leave(&self, worker: &Worker, found: Extremes) {
        // SAFETY: the pair that `written` declares of this worker: inside, aligned and apart by the verifier.
        let own = unsafe { worker.floats_mut(self.at + 8 * worker.id, 2) };
        own.copy_from_slice(&[found.low, found.high]);
    }
}

/// The end of an integer convolution.
#[derive(Debug)]
pub struct Sums {
    /// Extremes of the tensor that the integers represent.
    pub of: Parts,
    pub factors: Vec<f32>,
    pub bias: Vec<f32>,
    pub clamp: (f32, f32),
    /// Where to store the extremes of the output, if they are needed.
    pub extremes: Option<Parts>,
}

/// A worker in the end of a convolution.
struct Ending<'a> {
    sums: &'a Sums,
    kernels: &'a dyn Kernels,
    scale: f32,
    found: Extremes,
}

impl Sums {
    /// Its places in the arena.
    fn places(&mut self) -> impl Iterator<Item = &mut Offset> {
        let parts = [&mut self.of].into_iter().chain(&mut self.extremes);
        parts.map(|parts| &mut parts.at)
    }

    /// Its offsets among `of_conv`, those of the convolution: the output stays last.
    fn places_with<'a>(&'a mut self, mut of_conv: Vec<&'a mut Offset>) -> Vec<&'a mut Offset> {
        let last = of_conv.len() - 1;
        of_conv.splice(last..last, self.places());
        of_conv
    }

    /// Adds what the end of a convolution with `channels` channels touches.
    fn touches(&self, channels: usize, to: &mut Touches) {
        to.holds(
            self.factors.len() == channels && self.bias.len() == channels,
            "it has factors of other channels",
        );
        self.of.read(Whose::Input(1), to);
        if let Some(extremes) = &self.extremes {
            extremes.written(Whose::Extremes, to);
        }
    }

    /// # Safety
    /// As for [`Parts::whole`].
    unsafe fn begin<'a>(&'a self, kernels: &'a dyn Kernels, worker: &Worker) -> Ending<'a> {
        Ending {
            sums: self,
            kernels,
            // SAFETY: the caller's contract is the same.
            scale: unsafe { self.of.whole(worker) }.scale(),
            found: Extremes::NONE,
        }
    }
}

impl Ending<'_> {
    /// Applies the end to what the convolution has just computed.
    ///
    /// # Safety
    /// They are floats that nothing else uses during the call.
    unsafe fn pixels(&mut self, of: Computed) {
        let n = of.channels.len();
        let by = Rescale {
            scale: self.scale,
            factors: &self.sums.factors[of.channels.clone()],
            bias: &self.sums.bias[of.channels],
            clamp: self.sums.clamp,
        };
        let (runs, len) = if of.pitch == 4 * n {
            (1, of.count * n)
        } else {
            (of.count, n)
        };
        for run in 0..runs {
            // SAFETY: the caller's part of its output: `count` pixels of `n` floats, `pitch` apart.
            let values =
                unsafe { std::slice::from_raw_parts_mut(of.y.add(run * of.pitch).cast(), len) };
            self.kernels.rescale_f32(&by, values);
            if self.sums.extremes.is_some() {
                self.found = self.found.with(self.kernels.extremes_f32(values));
            }
        }
    }

    /// # Safety
    /// As for [`Parts::leave`].
    unsafe fn done(self, worker: &Worker) {
        if let Some(extremes) = &self.sums.extremes {
            // SAFETY: the caller's contract is the same.
            unsafe { extremes.leave(worker, self.found) };
        }
    }
}

/// An integer convolution. Its end is applied while the sums are still in cache.
#[derive(Debug)]
pub struct DynamicConv {
    pub conv: ConvStep,
    pub sums: Sums,
}

/// An integer depthwise convolution.
#[derive(Debug)]
pub struct DynamicDepthwise {
    pub conv: DepthwiseStep,
    pub sums: Sums,
}

/// Minimum and maximum of a tensor.
#[derive(Debug)]
pub struct FindExtremes {
    pub x: Offset,
    pub y: Parts,
    pub len: usize,
}

/// Floats to integers, in place if `x` and `y` are the same.
#[derive(Debug)]
pub struct DynamicQuantise {
    pub x: Offset,
    pub of: Parts,
    pub y: Offset,
    pub len: usize,
}

impl Task for DynamicConv {
    fn name(&self) -> &'static str {
        self.conv.name()
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        self.sums.places_with(self.conv.places())
    }

    fn touches(&self, to: &mut Touches) {
        self.conv.touches(to);
        let are_floats = self.conv.convs.iter().all(|conv| conv.elem() == 4);
        to.holds(are_floats, "it has sums of bytes");
        self.sums.touches(self.conv.channels(), to);
    }

    unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        // SAFETY: the verifier proves of what `touches` declares: inside, aligned, apart, and defined by the steps before.
        unsafe {
            let mut ending = self.sums.begin(kernels, worker);
            self.conv
                .each(worker, NEAR_PIXELS, |computed| ending.pixels(computed));
            ending.done(worker);
        }
    }
}

impl Task for DynamicDepthwise {
    fn name(&self) -> &'static str {
        self.conv.name()
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        self.sums.places_with(self.conv.places())
    }

    fn touches(&self, to: &mut Touches) {
        self.conv.touches(to);
        to.holds(self.conv.conv.elem() == 4, "it has sums of bytes");
        self.sums.touches(self.conv.channels, to);
    }

    unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        // SAFETY: the verifier proves of what `touches` declares: inside, aligned, apart, and defined by the steps before.
        unsafe {
            let mut ending = self.sums.begin(kernels, worker);
            self.conv.each(worker, |computed| ending.pixels(computed));
            ending.done(worker);
        }
    }
}

impl Task for FindExtremes {
    fn name(&self) -> &'static str {
        "extremes"
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.x, &mut self.y.at]
    }

    fn touches(&self, to: &mut Touches) {
        to.reads(Whose::Input(0), self.x, times(self.len, 4), 4);
        self.y.written(Whose::Output, to);
    }

    unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        let part = worker.share(self.len, 64);
        // SAFETY: what `touches` declares of this worker: inside, aligned and apart by the verifier.
        unsafe {
            let x = worker.floats(self.x + part.start * 4, part.len());
            self.y.leave(worker, kernels.extremes_f32(x));
        }
    }
}

impl Task for DynamicQuantise {
    fn name(&self) -> &'static str {
        "whole numbers"
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.x, &mut self.of.at, &mut self.y]
    }

    fn touches(&self, to: &mut Touches) {
        to.reads(Whose::Input(0), self.x, times(self.len, 4), 4);
        self.of.read(Whose::Input(1), to);
        to.fills_output(self.y, (self.len, 64), 4, 4);
        to.in_place = self.x == self.y;
    }

    unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        let part = worker.share(self.len, 64);
        // SAFETY: what `touches` declares of this worker: inside, aligned and apart by the verifier; in place, the
        // values are borrowed only for writing.
        unsafe {
            let of = self.of.whole(worker);
            for start in part.clone().step_by(NEAR_VALUES) {
                let count = NEAR_VALUES.min(part.end - start);
                let values = worker.floats_mut(self.y + start * 4, count);
                if self.x != self.y {
                    values.copy_from_slice(worker.floats(self.x + start * 4, count));
                }
                kernels.round_f32(of, values);
            }
        }
    }
}
