//! Quantisation whose scale is found anew in every run, see [`crate::network::graph::dynamic`]: each thread leaves the least and
//! greatest value of its part, and the steps after it take them together.

use super::conv::Computed;
use super::{ConvStep, DepthwiseStep, Task};
use crate::network::graph::dynamic::{Extremes, Rescale};
use crate::network::kernels::Kernels;
use crate::network::run::offset::{Offset, Worker};
use crate::network::run::touch::{Touches, Whose, times};

/// Values that are worked on in one go, so that they stay in the nearest cache.
const NEAR_VALUES: usize = 4096;
/// Pixels of a convolution's result that are worked on in one go.
const NEAR_PIXELS: usize = 48;

/// Least and greatest values of the threads' parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) at: Offset,
}

impl Parts {
    /// All are read.
    fn read(&self, whose: Whose, to: &mut Touches) {
        to.reads(whose, self.at, times(to.team, 8), 4);
    }

    /// Each thread writes its own.
    fn written(&self, whose: Whose, to: &mut Touches) {
        let pairs = [(to.team, 8)];
        to.writes((whose, self.at, 4), &pairs, &[], 8, |id| id..id + 1);
    }

    /// # Safety
    /// As for `Work::run`; the step declares that it reads them.
    unsafe fn whole(&self, worker: &Worker) -> Extremes {
        // SAFETY: the pairs that `read` declares: inside, aligned, defined and apart by the verifier.
        let parts = unsafe { worker.floats(self.at, 2 * worker.team) };
        Extremes::of_parts(parts)
    }

    /// # Safety
    /// As for `Work::run`; the step declares that it writes them.
    unsafe fn leave(&self, worker: &Worker, found: Extremes) {
        // SAFETY: the pair that `written` declares of this worker: inside, aligned and apart by the verifier.
        let own = unsafe { worker.floats_mut(self.at + 8 * worker.id, 2) };
        own.copy_from_slice(&[found.low, found.high]);
    }
}

/// The end of a convolution over whole numbers.
#[derive(Debug)]
pub(crate) struct Sums {
    /// Extremes of the tensor that the whole numbers stand for.
    pub(crate) of: Parts,
    pub(crate) factors: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) clamp: (f32, f32),
    /// Where the extremes of the result are wanted, if they are.
    pub(crate) extremes: Option<Parts>,
}

/// A worker at the end of a convolution.
struct Ending<'a> {
    sums: &'a Sums,
    kernels: &'a dyn Kernels,
    scale: f32,
    found: Extremes,
}

impl Sums {
    /// Its places in the arena.
    #[cfg(test)]
    fn places(&mut self) -> impl Iterator<Item = &mut Offset> {
        let parts = [&mut self.of].into_iter().chain(&mut self.extremes);
        parts.map(|parts| &mut parts.at)
    }

    /// Beside what the convolution of so many channels touches.
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
            // SAFETY: handed on as it is.
            scale: unsafe { self.of.whole(worker) }.scale(),
            found: Extremes::NONE,
        }
    }
}

impl Ending<'_> {
    /// Does it with what the convolution has just computed.
    ///
    /// # Safety
    /// They are floats that nobody else uses meanwhile.
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
            // SAFETY: what the caller has of its result: `count` pixels of `n` floats, `pitch` apart.
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
            // SAFETY: handed on as it is.
            unsafe { extremes.leave(worker, self.found) };
        }
    }
}

/// A convolution over whole numbers. What still has to be done with its sums is done while they are near.
#[derive(Debug)]
pub(crate) struct DynamicConv {
    pub(crate) conv: ConvStep,
    pub(crate) sums: Sums,
}

/// A depthwise convolution over whole numbers.
#[derive(Debug)]
pub(crate) struct DynamicDepthwise {
    pub(crate) conv: DepthwiseStep,
    pub(crate) sums: Sums,
}

/// Least and greatest value of a tensor.
#[derive(Debug)]
pub(crate) struct FindExtremes {
    pub(crate) x: Offset,
    pub(crate) y: Parts,
    pub(crate) len: usize,
}

/// Real values to whole numbers, in place where `x` and `y` are the same.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) x: Offset,
    pub(crate) of: Parts,
    pub(crate) y: Offset,
    pub(crate) len: usize,
}

impl Task for DynamicConv {
    fn name(&self) -> &'static str {
        self.conv.name()
    }

    #[cfg(test)]
    fn places(&mut self) -> Vec<&mut Offset> {
        let mut all = self.conv.places();
        let last = all.len() - 1;
        all.splice(last..last, self.sums.places());
        all
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

    #[cfg(test)]
    fn places(&mut self) -> Vec<&mut Offset> {
        let mut all = self.conv.places();
        let last = all.len() - 1;
        all.splice(last..last, self.sums.places());
        all
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

    #[cfg(test)]
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

impl Task for Round {
    fn name(&self) -> &'static str {
        "whole numbers"
    }

    #[cfg(test)]
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
        // SAFETY: what `touches` declares of this worker: inside, aligned and apart by the verifier; where it works in place, the
        // values are not lent to read but to write.
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
