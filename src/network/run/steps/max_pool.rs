//! Largest values of windows: rows shared by threads.

use super::{Worker, bytes_at, bytes_of, floats_at, floats_of};
use crate::network::kernels::Kernels;
use crate::network::kernels::max_pool::MaxPool;
use crate::network::run::touch::{Touches, Whose, times, windows_fit};

/// A pooling step.
#[derive(Debug)]
pub(crate) struct MaxPoolStep {
    pub(crate) x: usize,
    pub(crate) y: usize,
    pub(crate) pool: MaxPool,
}

impl MaxPoolStep {
    pub(crate) fn touches(&self, to: &mut Touches) {
        let elem = if self.pool.bytes.is_some() { 1 } else { 4 };
        let row = (self.pool.output.w * self.pool.output.c).saturating_mul(elem);
        to.holds(
            windows_fit(&self.pool.window, self.pool.input, self.pool.output),
            "its windows do not fit its input",
        );
        to.reads(
            Whose::Input(0),
            self.x,
            times(self.pool.input.volume(), elem),
            elem,
        );
        to.fills_output(self.y, (self.pool.output.h, 1), row, elem);
    }

    /// A worker's rows.
    ///
    /// # Safety
    /// As for `Work::run`.
    pub(crate) unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        let rows = worker.share(self.pool.output.h, 1);
        let (arena, row) = (worker.arena, self.pool.output.w * self.pool.output.c);
        let (start, len) = (rows.start * row, rows.len() * row);
        // SAFETY: what `touches` declares of this worker: inside, aligned and apart by the verifier.
        unsafe {
            if self.pool.bytes.is_some() {
                let x = bytes_of(arena, self.x, self.pool.input.volume());
                let y = bytes_at(arena, self.y + start, len);
                kernels.max_q8(&self.pool, x, rows, y);
            } else {
                let x = floats_of(arena, self.x, self.pool.input.volume());
                let y = floats_at(arena, self.y + start * 4, len);
                kernels.max_f32(&self.pool, x, rows, y);
            }
        }
    }
}
