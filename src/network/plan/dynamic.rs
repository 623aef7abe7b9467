//! Planning quantisation whose scale is recomputed in every run.

use super::arena::{Need, Places};
use super::{MAX_KERNEL_ROWS, Planner};
use crate::network::graph::{Conv, Graph, Layer, Op, TensorId, Weights};
use crate::network::run::steps::{
    DynamicConv, DynamicDepthwise, DynamicQuantise, FindExtremes, Parts, Sums, Work,
};

/// Facts about the graph that planning needs often, looked up once.
pub(super) struct Asked {
    /// For each tensor, the tensor of its extremes, if any layer needs them.
    extremes: Vec<Option<TensorId>>,
    /// The last layer that reads each tensor's memory, indexed by the first tensor in that memory: a Reshape gives the same
    /// memory another name. `usize::MAX` if it is read outside, or must stay.
    last_reader: Vec<usize>,
    /// For each tensor, the first tensor in its memory.
    first: Vec<usize>,
}

impl Asked {
    pub(super) fn of(graph: &Graph) -> Self {
        let mut asked = Self {
            extremes: vec![None; graph.tensors.len()],
            last_reader: vec![0; graph.tensors.len()],
            first: (0..graph.tensors.len()).collect(),
        };
        for (i, layer) in graph.layers.iter().enumerate() {
            for input in &layer.inputs {
                asked.last_reader[asked.first[input.0]] = i;
            }
            match (&layer.op, &layer.inputs[..]) {
                (Op::Reshape, &[x]) => asked.first[layer.output.0] = asked.first[x.0],
                (Op::Extremes, &[x]) => {
                    asked.extremes[x.0].get_or_insert(layer.output);
                }
                _ => {}
            }
        }
        let constant = |layer: &&Layer| matches!(layer.op, Op::Constant(_));
        let constants = graph.layers.iter().filter(constant).map(|l| l.output);
        let outside = graph.exports.iter().map(|e| e.tensor);
        let picture = graph.input.iter().map(|i| i.tensor);
        for tensor in constants.chain(outside).chain(picture) {
            asked.last_reader[asked.first[tensor.0]] = usize::MAX;
        }
        asked
    }

    /// Whether a tensor's memory is read by no layer after layer `index`, and not outside.
    fn is_last_reader(&self, tensor: TensorId, index: usize) -> bool {
        self.last_reader[self.first[tensor.0]] <= index
    }
}

impl Planner<'_> {
    /// A convolution over whole numbers.
    pub(super) fn dynamic_conv(&mut self, index: usize, conv: &Conv) -> Result<(), String> {
        let bias = self.bias_after(index, conv);
        let (op, kernel);
        if conv.depthwise() && conv.window.kh <= MAX_KERNEL_ROWS {
            let depthwise = self.depthwise_step(index, conv)?;
            (op, kernel) = (depthwise.op, depthwise.kernel);
            let sums = self.sums(index, conv, bias);
            self.step((index, index), move |at| {
                Work::DynamicDepthwise(DynamicDepthwise {
                    conv: (depthwise.step)(at),
                    sums: sums(at),
                })
            });
        } else {
            let whole = self.conv_step(index, conv)?;
            (op, kernel) = (whole.op, whole.kernel);
            let sums = self.sums(index, conv, bias);
            self.step((index, index), move |at| {
                Work::DynamicConv(DynamicConv {
                    conv: (whole.step)(at),
                    sums: sums(at),
                })
            });
        }
        self.row(index, op, kernel, true);
        Ok(())
    }

    /// Takes the bias of a convolution over whole numbers out of its weights: it is added after the sums are scaled.
    fn bias_after(&mut self, index: usize, conv: &Conv) -> Vec<f32> {
        match &mut self.weights[self.graph.layers[index].output.0] {
            Some(Weights::F32 { bias, .. }) => std::mem::replace(bias, vec![0.0; conv.cout]),
            _ => Vec::new(),
        }
    }

    /// How a convolution over whole numbers converts its sums in the next step.
    fn sums(
        &mut self,
        index: usize,
        conv: &Conv,
        bias: Vec<f32>,
    ) -> impl FnOnce(&Places) -> Sums + use<> {
        let layer = &self.graph.layers[index];
        let step = self.steps.len();
        let of = self.read(layer.inputs[1], step);
        // If the extremes of the result are needed, this step computes them.
        let asks = self.dynamic.extremes[layer.output.0];
        let extremes = asks.map(|tensor| self.parts(tensor, step));
        let (factors, clamp) = (conv.factors.clone().unwrap_or_default(), conv.clamp);
        move |at| Sums {
            of: Parts { at: at.of(of) },
            factors,
            bias,
            clamp,
            extremes: extremes.map(|need| Parts { at: at.of(need) }),
        }
    }

    /// A pair of extremes per thread.
    fn parts(&mut self, tensor: TensorId, step: usize) -> Need {
        let need = self.needs.add(self.threads * 8, step, step);
        self.tensor_need[tensor.0] = Some(need);
        need
    }

    /// Extremes, unless the layer that makes the tensor computes them.
    pub(super) fn extremes(&mut self, index: usize) {
        let layer = &self.graph.layers[index];
        if self.tensor_need[layer.output.0].is_some() {
            return;
        }
        let step = self.steps.len();
        let len = self.tensor(layer.inputs[0]).shape.volume();
        let x = self.read(layer.inputs[0], step);
        let y = self.parts(layer.output, step);
        self.step_and_row(index, move |at| {
            Work::Extremes(FindExtremes {
                x: at.of(x),
                y: Parts { at: at.of(y) },
                len,
            })
        });
    }

    /// Whole numbers: in place, if nothing later needs the real values.
    pub(super) fn dynamic_quantise(&mut self, index: usize) {
        let layer = &self.graph.layers[index];
        let step = self.steps.len();
        let len = self.tensor(layer.inputs[0]).shape.volume();
        let x = self.read(layer.inputs[0], step);
        let of = self.read(layer.inputs[1], step);
        let y = if self.dynamic.is_last_reader(layer.inputs[0], index) {
            self.tensor_need[layer.output.0] = Some(x);
            x
        } else {
            self.define(layer.output, step)
        };
        self.step_and_row(index, move |at| {
            Work::DynamicQuantise(DynamicQuantise {
                x: at.of(x),
                of: Parts { at: at.of(of) },
                y: at.of(y),
                len,
            })
        });
    }
}
