//! Planning the layers of convolutional networks that are not convolutions.

use super::Planner;
use crate::network::graph::requantise::dequantise;
use crate::network::graph::{FREE, Unary, Window};
use crate::network::kernels::BinaryQ8;
use crate::network::kernels::max_pool::MaxPool;
use crate::network::run::steps::{
    Affine, Average, ChannelsFirst, Concat, Dequantise, Function, MaxPoolStep, Pick, Quantise,
    Slopes, Sum, WindowsQ8, Work,
};

impl Planner<'_> {
    /// A sum or a product.
    pub(super) fn sum(
        &mut self,
        index: usize,
        clamp: (f32, f32),
        product: bool,
    ) -> Result<(), String> {
        let signed = self.kernels.signed();
        let io = self.in_out(index);
        let half = self.half(self.graph.layers[index].output)?;
        let q8 = match (io.from[0], io.from[1], io.to) {
            (Some(a), Some(b), Some(y)) if product => {
                Some(BinaryQ8::product(a, b, y, clamp, signed))
            }
            (Some(a), Some(b), Some(y)) => Some(BinaryQ8::sum(a, b, y, clamp, signed)),
            (None, None, None) => None,
            _ => return Err("operands of different kinds".into()),
        };
        let (a, b) = (io.x[0], io.x[1]);
        let (len, period) = (io.shape.volume(), io.inputs[1].volume());
        self.step_and_row(index, move |at| {
            Work::Sum(Sum {
                a: at.of(a),
                b: at.of(b),
                y: at.of(io.y),
                len,
                period,
                product,
                q8,
                half,
                clamp,
            })
        });
        Ok(())
    }

    pub(super) fn average(
        &mut self,
        index: usize,
        window: Window,
        count_pads: bool,
    ) -> Result<(), String> {
        let io = self.in_out(index);
        let half = self.half(self.graph.layers[index].output)?;
        let q8 = match (io.from[0], io.to) {
            (Some(from), Some(to)) => Some(WindowsQ8 {
                zero: self.stored_zero(from),
                ratio: f64::from(from.scale) / f64::from(to.scale),
                end: self.requantise(self.graph.layers[index].output, FREE)?,
            }),
            _ => None,
        };
        self.step_and_row(index, move |at| {
            Work::Average(Average {
                x: at.of(io.x[0]),
                y: at.of(io.y),
                input: io.inputs[0],
                output: io.shape,
                window,
                count_pads,
                q8,
                half,
            })
        });
        Ok(())
    }

    pub(super) fn max_pool(
        &mut self,
        index: usize,
        window: Window,
        zeros: bool,
    ) -> Result<(), String> {
        let half = self.half(self.graph.layers[index].output)?.is_some();
        let io = self.in_out(index);
        let pad = self.pad_byte(self.graph.layers[index].inputs[0]);
        let pool = MaxPool {
            input: io.inputs[0],
            output: io.shape,
            window,
            zeros,
            bytes: io.to.is_some().then(|| (self.kernels.flip(), pad)),
        };
        self.step_and_row(index, move |at| {
            Work::Max(MaxPoolStep {
                x: at.of(io.x[0]),
                y: at.of(io.y),
                pool,
                half,
            })
        });
        Ok(())
    }

    pub(super) fn affine(&mut self, index: usize, a: &[f32], b: &[f32]) {
        let io = self.in_out(index);
        let (a, b) = (a.to_vec(), b.to_vec());
        self.step_and_row(index, move |at| {
            Work::Affine(Affine {
                x: at.of(io.x[0]),
                y: at.of(io.y),
                pixels: io.shape.pixels(),
                a,
                b,
            })
        });
    }

    pub(super) fn slopes(&mut self, index: usize, slopes: &[f32]) {
        let io = self.in_out(index);
        let slopes = slopes.to_vec();
        self.step_and_row(index, move |at| {
            Work::Slopes(Slopes {
                x: at.of(io.x[0]),
                y: at.of(io.y),
                pixels: io.shape.pixels(),
                slopes,
            })
        });
    }

    pub(super) fn pick(&mut self, index: usize, from: &[usize]) {
        let io = self.in_out(index);
        let elem = io.elem;
        let runs = runs_of(from, elem);
        self.step_and_row(index, move |at| {
            Work::Pick(Pick {
                x: at.of(io.x[0]),
                y: at.of(io.y),
                pixels: io.shape.pixels(),
                x_pixel: io.inputs[0].c * elem,
                runs,
            })
        });
    }

    /// A function of floats; if `gate`, times the float itself.
    pub(super) fn function(&mut self, index: usize, f: Unary, gate: bool) -> Result<(), String> {
        let io = self.in_out(index);
        if io.from[0].or(io.to).is_some() {
            return Err("a function of bytes that is not a table".into());
        }
        let layer = &self.graph.layers[index];
        let (from, to) = (self.half(layer.inputs[0])?, self.half(layer.output)?);
        self.step_and_row(index, move |at| {
            Work::Function(Function {
                x: at.of(io.x[0]),
                y: at.of(io.y),
                len: io.shape.volume(),
                f,
                gate,
                from,
                to,
            })
        });
        Ok(())
    }

    pub(super) fn quantise(&mut self, index: usize) -> Result<(), String> {
        let io = self.in_out(index);
        let quant = io.to.ok_or("the result is not quantised")?;
        let flip = self.kernels.flip();
        self.step_and_row(index, move |at| {
            Work::Quantise(Quantise {
                x: at.of(io.x[0]),
                y: at.of(io.y),
                len: io.shape.volume(),
                quant,
                flip,
            })
        });
        Ok(())
    }

    pub(super) fn dequantise(&mut self, index: usize) -> Result<(), String> {
        let io = self.in_out(index);
        let quant = io.from[0].ok_or("dequantises floats")?;
        let mut table = Box::new([0.0; 256]);
        for q in 0..=255u8 {
            table[usize::from(q ^ self.kernels.flip())] = dequantise(q, quant);
        }
        self.step_and_row(index, move |at| {
            Work::Dequantise(Dequantise {
                x: at.of(io.x[0]),
                y: at.of(io.y),
                len: io.shape.volume(),
                table,
            })
        });
        Ok(())
    }

    pub(super) fn concat(&mut self, index: usize) {
        let io = self.in_out(index);
        let elem = io.elem;
        self.step_and_row(index, move |at| {
            let parts = io.x.iter().zip(&io.inputs);
            Work::Concat(Concat {
                parts: parts.map(|(&x, s)| (at.of(x), s.c * elem)).collect(),
                y: at.of(io.y),
                pixels: io.shape.pixels(),
            })
        });
    }

    pub(super) fn channels_first(&mut self, index: usize) {
        let io = self.in_out(index);
        self.step_and_row(index, move |at| {
            Work::ChannelsFirst(ChannelsFirst {
                x: at.of(io.x[0]),
                y: at.of(io.y),
                shape: io.shape,
            })
        });
    }

    /// The same memory with another shape.
    pub(super) fn reshape(&mut self, index: usize) {
        let layer = &self.graph.layers[index];
        let need = self.read(layer.inputs[0], self.steps.len());
        self.tensor_need[layer.output.0] = Some(need);
    }

    /// A tensor that keeps its values from run to run.
    pub(super) fn constant(&mut self, index: usize, values: &[f32]) {
        let output = self.graph.layers[index].output;
        let need = (self.needs).add(self.tensor(output).bytes(), 0, usize::MAX);
        self.tensor_need[output.0] = Some(need);
        self.constants.push((need, values.to_vec()));
    }
}

/// Picked channels as runs of bytes within a pixel: `(start, length)`.
fn runs_of(from: &[usize], elem: usize) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &channel in from {
        let at = channel * elem;
        match runs.last_mut() {
            Some((start, len)) if *start + *len == at => *len += elem,
            _ => runs.push((at, elem)),
        }
    }
    runs
}
