//! Sums and products of two tensors.

use super::Task;
use crate::network::kernels::{BinaryQ8, Half, Kernels};
use crate::network::run::offset::{Offset, Worker};
use crate::network::run::touch::{Touches, Whose, times};

#[derive(Debug)]
pub struct Sum {
    pub a: Offset,
    pub b: Offset,
    pub y: Offset,
    pub len: usize,
    /// Length of `b`, which repeats.
    pub period: usize,
    pub product: bool,
    pub q8: Option<BinaryQ8>,
    /// The loops for half precision, if the tensors are of it.
    pub half: Option<&'static dyn Half>,
    pub clamp: (f32, f32),
}

impl Sum {
    /// Whether the second operand is as long as the first.
    fn whole(&self) -> bool {
        self.period == self.len
    }
}

impl Task for Sum {
    fn name(&self) -> &'static str {
        if self.product { "product" } else { "sum" }
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.a, &mut self.b, &mut self.y]
    }

    fn touches(&self, to: &mut Touches) {
        let elem = match (&self.q8, self.half) {
            (Some(_), _) => 1,
            (None, Some(_)) => 2,
            (None, None) => 4,
        };
        to.reads(Whose::Input(0), self.a, times(self.len, elem), elem);
        to.reads(Whose::Input(1), self.b, times(self.period, elem), elem);
        if self.whole() {
            to.fills_output(self.y, (self.len, 64), elem, elem);
        } else {
            let count = self.len / self.period.max(1);
            let unit = self.period.saturating_mul(elem);
            to.fills_output(self.y, (count, 1), unit, elem);
        }
    }

    unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        let whole = self.whole();
        let part = if whole {
            worker.share(self.len, 64)
        } else {
            let part = worker.share(self.len / self.period, 1);
            part.start * self.period..part.end * self.period
        };
        let b_at = if whole { part.start } else { 0 };
        let b_len = if whole { part.len() } else { self.period };
        // SAFETY: what `touches` declares of this worker: inside, aligned and apart by the verifier.
        unsafe {
            if let Some(q) = &self.q8 {
                let a = worker.bytes(self.a + part.start, part.len());
                let b = worker.bytes(self.b + b_at, b_len);
                let y = worker.bytes_mut(self.y + part.start, part.len());
                for (a, y) in a.chunks(b_len.max(1)).zip(y.chunks_mut(b_len.max(1))) {
                    if self.product {
                        kernels.mul_q8(q, a, b, y);
                    } else {
                        kernels.add_q8(q, a, b, y);
                    }
                }
            } else if let Some(half) = self.half {
                let a = worker.halves(self.a + part.start * 2, part.len());
                let b = worker.halves(self.b + b_at * 2, b_len);
                let y = worker.halves_mut(self.y + part.start * 2, part.len());
                for (a, y) in a.chunks(b_len.max(1)).zip(y.chunks_mut(b_len.max(1))) {
                    if self.product {
                        half.mul(self.clamp, a, b, y);
                    } else {
                        half.add(self.clamp, a, b, y);
                    }
                }
            } else {
                let a = worker.floats(self.a + part.start * 4, part.len());
                let b = worker.floats(self.b + b_at * 4, b_len);
                let y = worker.floats_mut(self.y + part.start * 4, part.len());
                for (a, y) in a.chunks(b_len.max(1)).zip(y.chunks_mut(b_len.max(1))) {
                    if self.product {
                        kernels.mul_f32(self.clamp, a, b, y);
                    } else {
                        kernels.add_f32(self.clamp, a, b, y);
                    }
                }
            }
        }
    }
}
