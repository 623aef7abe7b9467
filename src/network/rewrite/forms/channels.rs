//! Activations quantised with one scale per channel, as NNCF quantises those before depthwise convolutions. Later stages know one
//! scale per tensor, so the channels' scales become a division before and a product after:
//!
//! ```text
//! QuantizeLinear(x, s, z)    QuantizeLinear(x / s + (z - base), 1, base)
//! DequantizeLinear(q, s, z)  (DequantizeLinear(q, 1, base) - (z - base)) * s
//! ```
//!
//! `base` is the first channel's zero point. The bytes stay the same; but where another's differs from it by an odd number, a value
//! exactly half-way between two integers goes to the other one, which the rounding of the convolution before decides as often. Of a
//! depthwise convolution, the product becomes part of its weights' scales, so that it computes with the bytes.

use super::{Forms, input, output};
use crate::network::onnx::attributes::{float, int, ints, normalised_index, of_int};
use crate::network::onnx::budget::MAX_AXES;
use crate::network::onnx::{
    float_tensor, holds_at_most, read_counts, reads, typed_tensor, values_f32,
};
use std::collections::HashSet;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{NodeProto, ValueInfoProto, type_proto};

/// Operators whose results have as many axes as their first input.
const SAME_RANK: &[&str] = &[
    "Abs",
    "Attention",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Clip",
    "Concat",
    "Conv",
    "ConvTranspose",
    "DequantizeLinear",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNormalization",
    "LRN",
    "LayerNormalization",
    "LeakyRelu",
    "MaxPool",
    "Mish",
    "Neg",
    "PRelu",
    "Pad",
    "QuantizeLinear",
    "Relu",
    "Resize",
    "Selu",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "Split",
    "Sqrt",
    "Tanh",
    "Transpose",
];
/// Operators whose results have as many axes as the operand that has most.
const BROADCAST: &[&str] = &["Add", "Div", "Max", "Min", "Mul", "Pow", "Sub", "Sum"];

/// Channels' scales that a file may have in all. The networks that people make have some ten thousands.
pub(super) const MAX_CHANNELS: usize = 1 << 20;

/// Nodes among which a Relu is looked for: before it may stand those of the weights.
const NODES_BETWEEN: usize = 16;

/// The quantisation of an activation by channels.
struct Channels {
    /// One per channel, positive.
    scales: Vec<f32>,
    /// What each channel's zero point adds to the base; none if all have the same.
    shifts: Option<Vec<f32>>,
    base: i32,
    kind: DataType,
    /// The scales' shape beside the activation.
    dims: Vec<usize>,
    /// The channels are the second axis, as a convolution has it.
    second: bool,
}

/// An activation's real values as another one times a scale per channel.
pub(super) struct Scaled {
    from: String,
    scales: Vec<f32>,
}

/// The number of axes of a graph's input.
pub(super) fn rank_of(input: &ValueInfoProto) -> Option<usize> {
    let type_proto::Value::TensorType(tensor) = input.r#type.as_ref()?.value.as_ref()?;
    Some(tensor.shape.as_ref()?.dim.len())
}

impl Forms<'_> {
    /// Tracks the number of axes of a node's results, and whether they depend on constants alone.
    pub(super) fn follow(&mut self, node: &NodeProto) {
        let read = reads(node);
        if !read.is_empty() && read.iter().all(|name| self.is_fixed(name)) {
            self.fixed.extend(node.output.iter().cloned());
        }
        if let Some(rank) = self.rank_of_results(node).filter(|&r| r <= MAX_AXES) {
            let results = node.output.iter().filter(|o| !o.is_empty());
            self.ranks.extend(results.map(|o| (o.clone(), rank)));
        }
    }

    fn rank_of_results(&self, node: &NodeProto) -> Option<usize> {
        let op = node.op_type.as_str();
        match op {
            "Flatten" | "Gemm" => Some(2),
            "Reshape" => {
                let sizes = self.weight(input(node, 1))?;
                usize::try_from(*sizes.dims.first()?).ok()
            }
            _ if SAME_RANK.contains(&op) => self.rank(input(node, 0)),
            _ if BROADCAST.contains(&op) => {
                let ranks = node.input.iter().map(|name| self.rank(name));
                ranks.collect::<Option<Vec<_>>>()?.into_iter().max()
            }
            "MatMul" => {
                let ranks = [self.rank(input(node, 0))?, self.rank(input(node, 1))?];
                let vectors = ranks.iter().filter(|&&rank| rank == 1).count();
                ranks.into_iter().max()?.checked_sub(vectors)
            }
            "Gather" => {
                let both = self.rank(input(node, 0))? + self.rank(input(node, 1))?;
                both.checked_sub(1)
            }
            "Squeeze" | "Unsqueeze" => {
                let count = self.axes(node)?.len();
                match op {
                    "Squeeze" => self.rank(input(node, 0))?.checked_sub(count),
                    _ => Some(self.rank(input(node, 0))? + count),
                }
            }
            _ if op.starts_with("Reduce") && int(node, "keepdims", 1) != 0 => {
                self.rank(input(node, 0))
            }
            _ if op.starts_with("Reduce") => {
                let count = self.axes(node)?.len();
                self.rank(input(node, 0))?.checked_sub(count)
            }
            _ => None,
        }
    }

    /// The axes that a node states: a list that is not empty.
    fn axes(&self, node: &NodeProto) -> Option<Vec<i64>> {
        let axes = match input(node, 1) {
            "" => ints(node, "axes"),
            name => self.ints(name),
        };
        axes.filter(|axes| !axes.is_empty())
    }

    /// The channels' quantisation, if the node is about an activation that has one. What is not understood is left to those who
    /// refuse it.
    fn channels(&mut self, node: &NodeProto) -> Option<Channels> {
        let (x, zero) = (input(node, 0), input(node, 2));
        if self.is_fixed(x) {
            return None;
        }
        let tensor = self.weight(input(node, 1))?;
        let count = match tensor.dims[..] {
            [count] => usize::try_from(count).ok().filter(|&n| n > 1)?,
            _ => return None,
        };
        // For a file that names the same scales again and again.
        let left = self.channels_left.get().checked_sub(count)?;
        self.channels_left.set(left);
        let scales = values_f32(tensor).ok()?;
        if !scales.iter().all(|s| s.is_finite() && *s > 0.0) {
            return None;
        }
        let of = if node.op_type == "QuantizeLinear" {
            output(node)
        } else {
            x
        };
        let kind = self.kind(zero).or(self.kind(of));
        let kind = kind.unwrap_or(DataType::Uint8);
        if !matches!(kind, DataType::Int8 | DataType::Uint8) {
            return None;
        }
        let zeros = match zero {
            "" => vec![0.0],
            _ => {
                let zeros = self.weight(zero).filter(|t| holds_at_most(t, count))?;
                values_f32(zeros).ok()?
            }
        };
        if zeros.len() != 1 && zeros.len() != scales.len() {
            return None;
        }
        let base = zeros[0];
        let shifts: Vec<f32> = zeros.iter().map(|z| z - base).collect();
        let rank = self.rank(x).filter(|&r| r <= MAX_AXES)?;
        let axis = normalised_index(int(node, "axis", 1), rank).filter(|&a| a < rank)?;
        let mut dims = vec![scales.len()];
        dims.resize(rank - axis, 1);
        Some(Channels {
            shifts: shifts.iter().any(|shift| *shift != 0.0).then_some(shifts),
            base: base as i32,
            scales,
            kind,
            dims,
            second: axis == 1,
        })
    }

    /// QuantizeLinear or DequantizeLinear of an activation with one scale per channel; whether the node is one.
    pub(super) fn by_channels(&mut self, node: &NodeProto) -> bool {
        let Some(channels) = self.channels(node) else {
            return false;
        };
        let out = output(node).to_owned();
        let part = |what: &str| format!("eyelet/{out}.{what}");
        let one = self.float(&part("one"), &[], vec![1.0]);
        let base = vec![channels.base as u8];
        let base = self.constant(typed_tensor(&part("base"), &[], channels.kind, base));
        self.types.insert(base.clone(), channels.kind);
        let scales = self.float(&part("scales"), &channels.dims, channels.scales.clone());
        let shifts = channels.shifts.clone();
        let shifts = shifts.map(|shifts| self.float(&part("shifts"), &channels.dims, shifts));
        let x = input(node, 0).to_owned();
        if node.op_type == "QuantizeLinear" {
            let mut whole = part("steps");
            let before = self.before_relu(&x, &channels);
            self.push(
                node,
                "Div",
                &[before.as_deref().unwrap_or(&x), &scales],
                &whole,
                vec![],
            );
            if before.is_some() {
                let positive = part("positive");
                self.push(node, "Relu", &[&whole], &positive, vec![]);
                self.loose.insert(x);
                whole = positive;
            }
            if let Some(shifts) = shifts {
                let moved = part("moved");
                self.push(node, "Add", &[&whole, &shifts], &moved, vec![]);
                whole = moved;
            }
            self.push(node, "QuantizeLinear", &[&whole, &one, &base], &out, vec![]);
            return true;
        }
        let mut real = part("steps");
        self.push(node, "DequantizeLinear", &[&x, &one, &base], &real, vec![]);
        match shifts {
            Some(shifts) => {
                let moved = part("moved");
                self.push(node, "Sub", &[&real, &shifts], &moved, vec![]);
                real = moved;
            }
            None if channels.second => {
                let (from, scales) = (real.clone(), channels.scales);
                self.scaled.insert(out.clone(), Scaled { from, scales });
                self.loose.insert(out.clone());
            }
            None => {}
        }
        self.push(node, "Mul", &[&real, &scales], &out, vec![]);
        true
    }

    /// What a Relu reads that nothing but this quantisation reads: it may as well come after the division, which then becomes part
    /// of the convolution before. So may a Clip from 0 on whose other limit the bytes have too.
    fn before_relu(&self, x: &str, channels: &Channels) -> Option<String> {
        let alone = |name: &str| self.read.get(name) == Some(&1);
        let mut earlier = self.nodes.iter().rev().take(NODES_BETWEEN);
        let node = earlier.find(|n| output(n) == x)?;
        let limit = |at: usize, name: &str, free: f32| match input(node, at) {
            "" => Some(float(node, name, free)),
            given => {
                let tensor = self.weight(given).filter(|t| holds_at_most(t, 1))?;
                values_f32(tensor).ok()?.first().copied()
            }
        };
        let most = if channels.kind == DataType::Int8 {
            127
        } else {
            255
        };
        let steps = (most - channels.base) as f32;
        let is_relu = match node.op_type.as_str() {
            "Relu" => true,
            "Clip" => {
                let high = limit(2, "max", f32::INFINITY)?;
                let within = |s: &f32| (high / s).round_ties_even() >= steps;
                limit(1, "min", f32::NEG_INFINITY)? == 0.0 && channels.scales.iter().all(within)
            }
            _ => false,
        };
        let y = input(node, 0);
        let fits = is_relu && channels.shifts.is_none() && alone(x) && alone(y);
        fits.then(|| y.to_owned())
    }

    /// A depthwise convolution of such an activation with quantised weights takes the channels' scales into those of its weights.
    pub(super) fn depthwise(&mut self, node: &mut NodeProto) {
        let Some(scaled) = self.scaled.get(input(node, 0)) else {
            return;
        };
        let groups = usize::try_from(int(node, "group", 1)).unwrap_or(0);
        if groups != scaled.scales.len() || node.input.len() < 2 {
            return;
        }
        let Some(own) = self.quantiser("DequantizeLinear", input(node, 1)) else {
            return;
        };
        let known = self.is_fixed(input(own, 0)) && int(own, "block_size", 0) == 0;
        let Some(tensor) = self.weight(input(own, 1)).filter(|_| known) else {
            return;
        };
        let Some(count) = self.depthwise_channels(own, groups) else {
            return;
        };
        let Some(channels_left) = self.channels_left.get().checked_sub(count) else {
            return;
        };
        if !holds_at_most(tensor, count) {
            return;
        }
        let Ok(scales) = values_f32(tensor) else {
            return;
        };
        let axis = int(own, "axis", 1);
        match (tensor.dims.len(), scales.len()) {
            (1, many) if many > 1 && axis == 0 && many == count => {}
            (0 | 1, 1) if count == groups => {}
            _ => return,
        }
        let each = count / groups;
        let both = (0..count).map(|m| scales[m.min(scales.len() - 1)] * scaled.scales[m / each]);
        let both: Vec<f32> = both.collect();
        if !both.iter().all(|s| s.is_finite() && *s > 0.0) {
            return;
        }
        let (own, from) = (own.clone(), scaled.from.clone());
        self.channels_left.set(channels_left);
        let out = output(node).to_owned();
        let (name, weights) = (
            format!("eyelet/{out}.scales"),
            format!("eyelet/{out}.weights"),
        );
        let both = self.constant(float_tensor(&name, &[count], both));
        let ins: Vec<&str> = match input(&own, 2) {
            "" => vec![input(&own, 0), &both],
            zero => vec![input(&own, 0), &both, zero],
        };
        let axis = vec![of_int("axis", 0)];
        self.push(&own, "DequantizeLinear", &ins, &weights, axis);
        self.fixed.insert(weights.clone());
        self.loose.insert(node.input[1].clone());
        node.input[0] = from;
        node.input[1] = weights;
    }

    /// Output channels of dequantised weights in this many groups, if their shape is known.
    fn depthwise_channels(&self, own: &NodeProto, groups: usize) -> Option<usize> {
        let quantised = self.quantiser("QuantizeLinear", input(own, 0));
        let name = quantised.map_or(input(own, 0), |n| input(n, 0));
        let first = *self.weight(name)?.dims.first()?;
        let first = usize::try_from(first).ok()?;
        first.is_multiple_of(groups).then_some(first)
    }

    /// The quantisation or dequantisation that makes a value.
    fn quantiser(&self, op: &str, result: &str) -> Option<&NodeProto> {
        let node = self.nodes.get(*self.quantisers.get(result)?)?;
        (node.op_type == op).then_some(node)
    }

    /// Notes which of the nodes from `first` on quantise or dequantise.
    pub(super) fn remember_quantisers(&mut self, first: usize) {
        for (at, node) in self.nodes.iter().enumerate().skip(first) {
            if matches!(node.op_type.as_str(), "DequantizeLinear" | "QuantizeLinear") {
                self.quantisers.insert(output(node).to_owned(), at);
            }
        }
    }
}

/// Removes the nodes whose results were loosened from their last reader.
pub(super) fn tidy(
    nodes: &mut Vec<NodeProto>,
    outputs: &[ValueInfoProto],
    loose: &HashSet<String>,
) {
    let read = read_counts(nodes, outputs);
    nodes.retain(|n| !loose.contains(output(n)) || read.contains_key(output(n)));
}
