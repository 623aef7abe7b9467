//! Quantisation whose scale is found anew in every run, see [`crate::network::graph::dynamic`]: each thread leaves the least and
//! greatest value of its part, and the steps after it take them together.

use super::{Touches, Whose, Worker, floats_at, floats_of};
use crate::network::graph::dynamic::{Extremes, Rescale};
use crate::network::kernels::Kernels;
use crate::network::run::touch::times;
use std::ops::Range;

/// Values that are worked on in one go, so that they stay in the nearest cache.
const NEAR_VALUES: usize = 4096;
/// Pixels of a convolution's result that are worked on in one go.
pub(super) const NEAR_PIXELS: usize = 48;

/// Least and greatest values of the threads' parts.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) at: usize,
}

impl Parts {
    /// All are read.
    pub(super) fn read(&self, whose: Whose, to: &mut Touches) {
        to.reads(whose, self.at, times(to.team, 8), 4);
    }

    /// Each thread writes its own.
    pub(super) fn written(&self, whose: Whose, to: &mut Touches) {
        let pairs = [(to.team, 8)];
        to.writes((whose, self.at, 4), &pairs, &[], 8, |id| id..id + 1);
    }

    /// # Safety
    /// As for `Work::run`; the step declares that it reads them.
    pub(super) unsafe fn whole(&self, worker: &Worker) -> Extremes {
        // SAFETY: the pairs that `read` declares: inside, aligned, defined and apart by the verifier.
        let parts = unsafe { floats_of(worker.arena, self.at, 2 * worker.team) };
        Extremes::of_parts(parts)
    }

    /// # Safety
    /// As for `Work::run`; the step declares that it writes them.
    pub(super) unsafe fn leave(&self, worker: &Worker, found: Extremes) {
        // SAFETY: the pair that `written` declares of this worker: inside, aligned and apart by the verifier.
        let own = unsafe { floats_at(worker.arena, self.at + 8 * worker.id, 2) };
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
pub(super) struct Ending<'a> {
    sums: &'a Sums,
    kernels: &'a dyn Kernels,
    scale: f32,
    found: Extremes,
}

impl Sums {
    /// Its places in the arena.
    pub(crate) fn places(&mut self) -> impl Iterator<Item = &mut usize> {
        let parts = [&mut self.of].into_iter().chain(&mut self.extremes);
        parts.map(|parts| &mut parts.at)
    }

    /// Beside what the convolution of so many channels touches.
    pub(super) fn touches(&self, channels: usize, to: &mut Touches) {
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
    pub(super) unsafe fn begin<'a>(
        &'a self,
        kernels: &'a dyn Kernels,
        worker: &Worker,
    ) -> Ending<'a> {
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
    /// Channels `channels` of `count` pixels at `y`, `pitch` bytes from one to the next; the first of them is what `y` is at.
    ///
    /// # Safety
    /// They are floats that nobody else uses meanwhile.
    pub(super) unsafe fn pixels(
        &mut self,
        y: *mut u8,
        pitch: usize,
        count: usize,
        channels: Range<usize>,
    ) {
        let n = channels.len();
        let by = Rescale {
            scale: self.scale,
            factors: &self.sums.factors[channels.clone()],
            bias: &self.sums.bias[channels],
            clamp: self.sums.clamp,
        };
        let (runs, len) = if pitch == 4 * n {
            (1, count * n)
        } else {
            (count, n)
        };
        for run in 0..runs {
            // SAFETY: what the caller has of its result: `count` pixels of `n` floats, `pitch` apart.
            let values = unsafe { floats_at(y, run * pitch, len) };
            self.kernels.rescale_f32(&by, values);
            if self.sums.extremes.is_some() {
                self.found = self.found.with(self.kernels.extremes_f32(values));
            }
        }
    }

    /// # Safety
    /// As for [`Parts::leave`].
    pub(super) unsafe fn done(self, worker: &Worker) {
        if let Some(extremes) = &self.sums.extremes {
            // SAFETY: handed on as it is.
            unsafe { extremes.leave(worker, self.found) };
        }
    }
}

/// # Safety
/// As for [`super::Work::run`].
pub(super) unsafe fn extremes(
    x: usize,
    y: &Parts,
    len: usize,
    kernels: &dyn Kernels,
    worker: &Worker,
) {
    let part = worker.share(len, 64);
    // SAFETY: what `Work::touches` declares of this worker: inside, aligned and apart by the verifier.
    unsafe {
        let x = floats_of(worker.arena, x + part.start * 4, part.len());
        y.leave(worker, kernels.extremes_f32(x));
    }
}

/// # Safety
/// As for [`super::Work::run`].
pub(super) unsafe fn round(
    (x, y): (usize, usize),
    of: &Parts,
    len: usize,
    kernels: &dyn Kernels,
    worker: &Worker,
) {
    let part = worker.share(len, 64);
    // SAFETY: what `Work::touches` declares of this worker: inside, aligned and apart by the verifier; where it works in place, the
    // values are not lent to read but to write.
    unsafe {
        let of = of.whole(worker);
        for start in part.clone().step_by(NEAR_VALUES) {
            let count = NEAR_VALUES.min(part.end - start);
            let values = floats_at(worker.arena, y + start * 4, count);
            if x != y {
                values.copy_from_slice(floats_of(worker.arena, x + start * 4, count));
            }
            kernels.round_f32(of, values);
        }
    }
}
