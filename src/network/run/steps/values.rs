//! Elementwise work: functions, quantisation. Workers divide the values in multiples of 64.

use super::Task;
use crate::network::graph::requantise::quantise;
use crate::network::graph::{Quant, Unary};
use crate::network::kernels::half_values::AT_ONCE;
use crate::network::kernels::{Half, Kernels};
use crate::network::run::offset::{Offset, Worker};
use crate::network::run::touch::{Touches, Whose, times};

/// A function of floats of either precision, computed in single precision.
#[derive(Debug)]
pub struct Function {
    pub x: Offset,
    pub y: Offset,
    pub len: usize,
    pub f: Unary,
    /// Computes `x * f(x)` instead of `f(x)`.
    pub gate: bool,
    /// The loops for half precision, if the input is of it.
    pub from: Option<&'static dyn Half>,
    /// The same for the result.
    pub to: Option<&'static dyn Half>,
}

/// Floats to bytes.
#[derive(Debug)]
pub struct Quantise {
    pub x: Offset,
    pub y: Offset,
    pub len: usize,
    pub quant: Quant,
    /// The kernels' top bit.
    pub flip: u8,
}

/// Bytes to floats.
#[derive(Debug)]
pub struct Dequantise {
    pub x: Offset,
    pub y: Offset,
    pub len: usize,
    pub table: Box<[f32; 256]>,
}

impl Function {
    fn of(&self, kernels: &dyn Kernels, x: &[f32], y: &mut [f32]) {
        if self.f == Unary::NONE && !self.gate {
            y.copy_from_slice(x);
        } else {
            kernels.unary_f32(self.f, self.gate, x, y);
        }
    }
}

impl Task for Function {
    fn name(&self) -> &'static str {
        "function"
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.x, &mut self.y]
    }

    fn touches(&self, to: &mut Touches) {
        let elem = |half: Option<_>| if half.is_some() { 2 } else { 4 };
        let (from_bytes, to_bytes) = (elem(self.from), elem(self.to));
        to.reads(
            Whose::Input(0),
            self.x,
            times(self.len, from_bytes),
            from_bytes,
        );
        to.fills_output(self.y, (self.len, 64), to_bytes, to_bytes);
    }

    unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        let part = worker.share(self.len, 64);
        let (start, len) = (part.start, part.len());
        // SAFETY: what `touches` declares of this worker: inside, aligned and apart by the verifier.
        unsafe {
            match (self.from, self.to) {
                (None, None) => {
                    let x = worker.floats(self.x + start * 4, len);
                    let y = worker.floats_mut(self.y + start * 4, len);
                    kernels.unary_f32(self.f, self.gate, x, y);
                }
                (None, Some(to)) => {
                    let x = worker.floats(self.x + start * 4, len);
                    let y = worker.halves_mut(self.y + start * 2, len);
                    for (x, y) in x.chunks(AT_ONCE).zip(y.chunks_mut(AT_ONCE)) {
                        let computed = &mut [0.0; AT_ONCE][..x.len()];
                        self.of(kernels, x, computed);
                        to.narrow(computed, y);
                    }
                }
                (Some(from), None) => {
                    let x = worker.halves(self.x + start * 2, len);
                    let y = worker.floats_mut(self.y + start * 4, len);
                    for (x, y) in x.chunks(AT_ONCE).zip(y.chunks_mut(AT_ONCE)) {
                        let wide = &mut [0.0; AT_ONCE][..x.len()];
                        from.widen(x, wide);
                        self.of(kernels, wide, y);
                    }
                }
                (Some(from), Some(to)) => {
                    let x = worker.halves(self.x + start * 2, len);
                    let y = worker.halves_mut(self.y + start * 2, len);
                    for (x, y) in x.chunks(AT_ONCE).zip(y.chunks_mut(AT_ONCE)) {
                        let wide = &mut [0.0; AT_ONCE][..x.len()];
                        let computed = &mut [0.0; AT_ONCE][..x.len()];
                        from.widen(x, wide);
                        self.of(kernels, wide, computed);
                        to.narrow(computed, y);
                    }
                }
            }
        }
    }
}

impl Task for Quantise {
    fn name(&self) -> &'static str {
        "quantise"
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.x, &mut self.y]
    }

    fn touches(&self, to: &mut Touches) {
        to.reads(Whose::Input(0), self.x, times(self.len, 4), 4);
        to.fills_output(self.y, (self.len, 64), 1, 1);
    }

    unsafe fn run(&self, _: &dyn Kernels, worker: &Worker) {
        let part = worker.share(self.len, 64);
        // SAFETY: what `touches` declares of this worker: inside, aligned and apart by the verifier.
        let (x, y) = unsafe {
            (
                worker.floats(self.x + part.start * 4, part.len()),
                worker.bytes_mut(self.y + part.start, part.len()),
            )
        };
        for (y, &x) in y.iter_mut().zip(x) {
            *y = quantise(x, self.quant) as u8 ^ self.flip;
        }
    }
}

impl Task for Dequantise {
    fn name(&self) -> &'static str {
        "dequantise"
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.x, &mut self.y]
    }

    fn touches(&self, to: &mut Touches) {
        to.reads(Whose::Input(0), self.x, self.len as u64, 1);
        to.fills_output(self.y, (self.len, 64), 4, 4);
    }

    unsafe fn run(&self, _: &dyn Kernels, worker: &Worker) {
        let part = worker.share(self.len, 64);
        // SAFETY: what `touches` declares of this worker: inside, aligned and apart by the verifier.
        let (x, y) = unsafe {
            (
                worker.bytes(self.x + part.start, part.len()),
                worker.floats_mut(self.y + part.start * 4, part.len()),
            )
        };
        for (y, &x) in y.iter_mut().zip(x) {
            *y = self.table[usize::from(x)];
        }
    }
}
