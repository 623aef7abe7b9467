//! Planning quantisation whose scale is found anew in every run.

use super::Planner;
use crate::network::graph::{Conv, Layer, Op, TensorId, Weights};
use crate::network::run::steps::{Parts, Step, Sums, Work};

impl Planner<'_> {
    /// The bias of a convolution over whole numbers, taken out of its weights: it comes after the sums are scaled.
    pub(super) fn bias_after(&mut self, layer: &Layer, conv: &Conv) -> Vec<f32> {
        match &mut self.weights[layer.output.0] {
            Some(Weights::F32 { bias, .. }) if conv.factors.is_some() => {
                std::mem::replace(bias, vec![0.0; conv.cout])
            }
            _ => Vec::new(),
        }
    }

    /// What a convolution over whole numbers does with its sums in the step to come; `None` for any other.
    pub(super) fn sums(&mut self, layer: &Layer, conv: &Conv, bias: Vec<f32>) -> Option<Sums> {
        let factors = conv.factors.clone()?;
        let step = self.steps.len();
        let of = self.read(layer.inputs[1], step);
        // Who asks for the extremes of the result gets them from here.
        let mut layers = self.graph.layers.iter();
        let asks = |l: &&Layer| l.op == Op::Extremes && l.inputs[0] == layer.output;
        let extremes = layers.find(asks).map(|asks| self.parts(asks.output, step));
        Some(Sums {
            of: Parts { at: of },
            factors,
            bias,
            clamp: conv.clamp,
            extremes,
        })
    }

    /// A pair of extremes for each thread.
    fn parts(&mut self, tensor: TensorId, step: usize) -> Parts {
        let at = self.need(self.threads * 8, step, step);
        self.tensor_need[tensor.0] = Some(at);
        Parts { at }
    }

    /// Extremes, unless the layer that makes the tensor finds them, and whole numbers.
    pub(super) fn dynamic(&mut self, index: usize) -> Result<(), String> {
        let layer = &self.graph.layers[index];
        let step = self.steps.len();
        let x = layer.inputs[0];
        let len = self.tensor(x).shape.volume();
        let work = if layer.op == Op::Extremes {
            if self.tensor_need[layer.output.0].is_some() {
                return Ok(());
            }
            let x = self.read(x, step);
            let y = self.parts(layer.output, step);
            Work::Extremes { x, y, len }
        } else {
            let from = self.read(x, step);
            let of = self.read(layer.inputs[1], step);
            // In the same place, where these are the last to want the real values.
            let y = if self.last_reader(x, index) {
                self.tensor_need[layer.output.0] = Some(from);
                from
            } else {
                self.define(layer.output, step)
            };
            let of = Parts { at: of };
            Work::Round {
                x: from,
                of,
                y,
                len,
            }
        };
        let name = work.name();
        self.steps.push(Step {
            work,
            layers: (index, index),
        });
        self.row(index, name, self.kernels.name(), true);
        Ok(())
    }

    /// Whether what lies in a tensor's place is wanted by no layer after layer `index`, and not outside, under whatever name: a
    /// Reshape gives the same place another one.
    fn last_reader(&self, tensor: TensorId, index: usize) -> bool {
        let graph = self.graph;
        let place = self.tensor_need[tensor.0];
        let there = |t: &TensorId| self.tensor_need[t.0] == place;
        let later = graph.layers[index + 1..]
            .iter()
            .any(|l| l.inputs.iter().any(there));
        let taken = graph.exports.iter().any(|e| there(&e.tensor));
        let kept = graph.input.iter().any(|i| there(&i.tensor));
        let constant = self.constants.iter().any(|c| Some(c.0) == place);
        !(later || taken || kept || constant)
    }
}
