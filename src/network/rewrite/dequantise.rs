//! Converts quantised graphs to float graphs that give the same scores.
//!
//! tract 0.23.9 refuses some quantised graphs and gives wrong scores for others (see `models/README.md`), so it never sees one.
//! Here every quantised value becomes the real number that it stands for: weights are dequantised once, a quantised operator
//! becomes its float twin, and each rounding becomes one [`STEP`] node:
//!
//! ```text
//! real = clamp(round_half_to_even(x / scale), low, high) * scale      low = qmin - zero point, high = qmax - zero point
//! ```
//!
//! which is exactly QuantizeLinear followed by DequantizeLinear (ONNX operator specification, opset 13).

mod operators;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use super::STEP;
use super::forms::opset;
use super::outline::{float_outline, is_outline};
use crate::network::graph::Quant;
use crate::network::onnx::attributes::{int, normalised_index, of_float, of_int};
use crate::network::onnx::{
    drop_unread_weights, float_tensor, inner_graphs, name_of, set_elem_type, values_f32,
};
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

const NOT_POSITIVE: &str = "a scale is not a positive number";

/// Whether a graph holds operators of static quantisation.
pub fn is_quantised(graph: &GraphProto) -> bool {
    graph.node.iter().any(|n| {
        matches!(
            n.op_type.as_str(),
            "QuantizeLinear" | "DequantizeLinear" | "QGemm"
        ) || n.op_type.starts_with("QLinear")
    })
}

/// Values that were quantised and are now real numbers, with the quantisation that they were rounded to.
pub type Reals = HashMap<String, Quantisation>;

/// Converts the graph to a float graph and returns the values that were quantised; the error names the node that is not
/// supported. `known` has such values that come out of islands.
pub fn dequantise(model: &mut ModelProto, known: &Reals) -> Result<Reals, String> {
    for node in model.graph.iter().flat_map(|g| &g.node) {
        if inner_graphs(node).any(is_quantised) {
            return Err(format!(
                "the graph inside of node '{}' ({}) is quantised, which Eyelet does not support: export the float network, or \
                 quantise it without that part",
                name_of(node),
                node.op_type
            ));
        }
    }
    let opset = opset(model);
    // Between islands, quantised values may only be moved.
    let quantised = |g: &&mut GraphProto| is_quantised(g) || !known.is_empty();
    let Some(graph) = model.graph.as_mut().filter(quantised) else {
        return Ok(Reals::new());
    };
    let nodes = std::mem::take(&mut graph.node);
    let initializers = std::mem::take(&mut graph.initializer);
    let dynamic = nodes
        .iter()
        .filter(|n| n.op_type == "DynamicQuantizeLinear");
    let scales = dynamic.filter_map(|n| n.output.get(1).cloned()).collect();
    let constants = initializers.iter().map(|t| (t.name.as_str(), t)).collect();
    let mut rewrite = Rewrite {
        opset,
        constants,
        known,
        scales,
        reals: HashMap::new(),
        sliced: HashMap::new(),
        nodes: Vec::new(),
        new_constants: Vec::new(),
    };
    for node in nodes {
        let (name, op) = (name_of(&node).to_owned(), node.op_type.clone());
        rewrite
            .node(node)
            .map_err(|why| format!("the quantised node '{name}' ({op}): {why}"))?;
    }
    for output in &mut graph.output {
        if rewrite.reals.contains_key(&output.name) {
            set_elem_type(output, DataType::Float);
        }
    }
    let Rewrite {
        reals,
        nodes,
        new_constants,
        ..
    } = rewrite;
    graph.node = nodes;
    graph.initializer = initializers;
    graph.initializer.extend(new_constants);
    drop_unread_weights(graph);
    Ok(reals)
}

/// How the integers at a graph's output stand for real numbers; `None` if the output is real numbers already. Consumes the model.
pub fn of_output(model: &mut ModelProto) -> Result<Option<Quantisation>, String> {
    let mut reals = dequantise(model, &Reals::new())?;
    let output = model.graph.as_ref().and_then(|graph| graph.output.first());
    Ok(output.and_then(|output| reals.remove(&output.name)))
}

/// Scale and zero point of one tensor, or one pair per slice along an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantisation {
    scale: Vec<f32>,
    zero_point: Vec<f32>,
    low: f32,
    high: f32,
}

impl Quantisation {
    /// In the fast plan's form, if the values are bytes with one scale.
    pub fn one_byte(&self) -> Option<Quant> {
        // The zero point counts from the lowest value, also for int8.
        (self.is_whole() && self.high - self.low == 255.0).then(|| Quant {
            scale: self.scale[0],
            zero: -self.low as i32,
        })
    }

    /// The real number that an integer stands for; `None` if that depends on its position in the tensor.
    pub fn real(&self, integer: f32) -> Option<f32> {
        match (&self.scale[..], &self.zero_point[..]) {
            (&[scale], &[zero_point]) => Some((integer - zero_point) * scale),
            _ => None,
        }
    }

    /// Refuses a scale of 0, which only weights may have: those of an empty channel.
    fn positive(&self) -> Result<(), String> {
        let positive = self.scale.iter().all(|s| *s > 0.0);
        positive.then_some(()).ok_or_else(|| NOT_POSITIVE.into())
    }

    /// Whether one scale and zero point are those of the whole tensor.
    fn is_whole(&self) -> bool {
        self.scale.len() == 1 && self.zero_point.len() == 1
    }

    fn zero_point(&self, slice: usize) -> f32 {
        self.zero_point[slice % self.zero_point.len()]
    }
    /// The least and the most that an integer may stand for, in scales.
    fn limits(&self, slice: usize) -> (f32, f32) {
        let moved = self.zero_point[0] - self.zero_point(slice);
        (self.low + moved, self.high + moved)
    }
    fn scale(&self, slice: usize) -> f32 {
        self.scale[slice % self.scale.len()]
    }
}

struct Rewrite<'a> {
    opset: i64,
    constants: HashMap<&'a str, &'a TensorProto>,
    known: &'a Reals,
    /// Scales that DynamicQuantizeLinear finds: one number each.
    scales: HashSet<String>,
    reals: Reals,
    /// The axis and the number of axes of those that were quantised slice by slice.
    sliced: HashMap<String, (usize, usize)>,
    nodes: Vec<NodeProto>,
    new_constants: Vec<TensorProto>,
}

impl Rewrite<'_> {
    /// The real value of operand `i`, whose scale and zero point are the next two inputs.
    fn operand(&mut self, node: &NodeProto, i: usize, axis: i64) -> Result<String, String> {
        let at = |i: usize| node.input.get(i).map_or("", String::as_str);
        let q = self.quantisation(node, at(i + 1), at(i + 2))?;
        self.real(at(i), &q, axis)
    }

    /// Emits the float operator, then the rounding at the end of the quantised one, if it has an output scale: input `scale`, which
    /// the zero point follows.
    fn float_twin(
        &mut self,
        op: &str,
        node: &NodeProto,
        inputs: &[String],
        scale: usize,
        out: &str,
    ) -> Result<(), String> {
        let at = |i: usize| node.input.get(i).map_or("", String::as_str);
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let attributes = node
            .attribute
            .iter()
            .filter(|a| a.name != "channels_last" && a.name != "opset");
        let attributes = attributes.cloned().collect();
        if at(scale).is_empty() {
            self.push(op, &inputs, out, attributes);
            return Ok(());
        }
        let q = self.quantisation(node, at(scale), at(scale + 1))?;
        let exact = format!("eyelet/{out}.exact");
        self.push(op, &inputs, &exact, attributes);
        self.step(&exact, out, q)
    }

    /// QuantizeLinear: of a constant by scales along `axis` it is done here.
    fn quantise(&mut self, x: &str, out: &str, q: Quantisation, axis: i64) -> Result<(), String> {
        q.positive()?;
        let Some(&tensor) = self.constants.get(x).filter(|_| q.scale.len() != 1) else {
            return self.step(x, out, q);
        };
        let rank = tensor.dims.len();
        if let Some(axis) = slice_axis(axis, rank) {
            self.sliced.insert(out.to_owned(), (axis, rank));
        }
        self.new_constants
            .push(by_slices(tensor, &q, axis, out, |v, slice| {
                let (low, high) = q.limits(slice);
                (v / q.scale(slice)).round_ties_even().clamp(low, high) * q.scale(slice)
            })?);
        self.reals.insert(out.to_owned(), q);
        Ok(())
    }

    fn step(&mut self, x: &str, out: &str, q: Quantisation) -> Result<(), String> {
        q.positive()?;
        if !q.is_whole() {
            return Err(
                "quantises activations with one scale per channel; use one scale per tensor".into(),
            );
        }
        let attributes = vec![
            of_float("scale", q.scale[0]),
            of_float("low", q.low),
            of_float("high", q.high),
        ];
        self.push(STEP, &[x], out, attributes);
        self.reals.insert(out.to_owned(), q);
        Ok(())
    }

    /// The name of the real-valued twin of `x`, whose integers have quantisation `q`.
    fn real(&mut self, x: &str, q: &Quantisation, axis: i64) -> Result<String, String> {
        if let Some(&tensor) = self.constants.get(x) {
            let name = format!("eyelet/{x}.real.{}", self.new_constants.len());
            let tensor = dequantised(tensor, q, axis, &name)?;
            self.new_constants.push(tensor);
            return Ok(name);
        }
        q.positive()?;
        let own = self.reals.get(x);
        if let Some(own) = own.filter(|own| !own.is_whole()) {
            let axes = self.sliced.get(x);
            let same = axes.is_some_and(|&(own, rank)| slice_axis(axis, rank) == Some(own));
            if own == q && same {
                return Ok(x.to_owned());
            }
            return Err(
                "reads weights by other scales than those of each slice that they were quantised by".into(),
            );
        }
        if !q.is_whole() {
            return Err(
                "dequantises activations with one scale per channel; use one scale per tensor"
                    .into(),
            );
        }
        let (scale, zero_point) = (q.scale[0], q.zero_point[0]);
        let (factor, offset, start) = match own {
            Some(own) if own.scale == q.scale && own.zero_point == q.zero_point => {
                return Ok(x.to_owned());
            }
            // The integers are read with a different quantisation from the one they were written with.
            Some(own) => (
                scale / own.scale[0],
                (own.zero_point[0] - zero_point) * scale,
                x.to_owned(),
            ),
            // Integers from outside: the graph's input.
            None => {
                let name = format!("eyelet/{x}.float.{}", self.new_constants.len());
                let to = of_int("to", DataType::Float as i64);
                self.push("Cast", &[x], &name, vec![to]);
                (scale, -zero_point * scale, name)
            }
        };
        let n = self.new_constants.len();
        let (f, o) = (
            format!("eyelet/{x}.factor.{n}"),
            format!("eyelet/{x}.offset.{n}"),
        );
        self.new_constants.push(float_tensor(&f, &[], vec![factor]));
        self.new_constants.push(float_tensor(&o, &[], vec![offset]));
        let (scaled, real) = (
            format!("eyelet/{x}.scaled.{n}"),
            format!("eyelet/{x}.real.{n}"),
        );
        self.push("Mul", &[&start, &f], &scaled, vec![]);
        self.push("Add", &[&scaled, &o], &real, vec![]);
        Ok(real)
    }

    /// The bias at input `at` of a QLinearConv or QGemm, if there is one: int32 in units of input scale times weight scale.
    fn bias(&mut self, node: &NodeProto, at: usize, out: &str) -> Result<Option<String>, String> {
        let input = |i: usize| node.input.get(i).map_or("", String::as_str);
        if input(at).is_empty() {
            return Ok(None);
        }
        let integers = self.constant(input(at))?;
        let dims: Vec<usize> = integers.dims.iter().map(|&d| d.max(0) as usize).collect();
        let x = values_f32(self.constant(input(1))?)?;
        let w = values_f32(self.constant(input(4))?)?;
        let (Some(&x), false) = (x.first(), w.is_empty()) else {
            return Err("a scale is empty".into());
        };
        let integers = values_f32(integers)?;
        let real = integers
            .iter()
            .enumerate()
            .map(|(i, &b)| b * (x * w[i % w.len()]))
            .collect();
        let name = format!("eyelet/{out}.bias");
        self.new_constants.push(float_tensor(&name, &dims, real));
        Ok(Some(name))
    }

    fn constant(&self, name: &str) -> Result<&TensorProto, String> {
        self.constants
            .get(name)
            .copied()
            .ok_or_else(|| format!("'{name}' is not a constant of the file"))
    }

    /// Reads a scale and a zero point (if omitted, 0 of type uint8, as the specification says).
    fn quantisation(
        &self,
        node: &NodeProto,
        scale: &str,
        zero_point: &str,
    ) -> Result<Quantisation, String> {
        if int(node, "block_size", 0) != 0 {
            return Err("is quantised in blocks, which Eyelet does not support".into());
        }
        let scale = values_f32(self.constant(scale)?)?;
        let (zero_point, kind) = if zero_point.is_empty() {
            (vec![0.0], DataType::Uint8)
        } else {
            let tensor = self.constant(zero_point)?;
            (
                values_f32(tensor)?,
                DataType::try_from(tensor.data_type).unwrap_or(DataType::Undefined),
            )
        };
        if scale.is_empty() || zero_point.is_empty() {
            return Err("a scale or zero point is empty".into());
        }
        if !scale.iter().all(|s| s.is_finite() && *s >= 0.0) {
            return Err(NOT_POSITIVE.into());
        }
        let (min, max) = match kind {
            DataType::Uint8 => (0.0, 255.0),
            DataType::Int8 => (-128.0, 127.0),
            DataType::Int32 => (i32::MIN as f32, i32::MAX as f32),
            other => {
                return Err(format!(
                    "has a zero point of type {other:?}; int8 and uint8 are known"
                ));
            }
        };
        let (low, high) = (min - zero_point[0], max - zero_point[0]);
        Ok(Quantisation {
            scale,
            zero_point,
            low,
            high,
        })
    }

    fn push(&mut self, op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) {
        self.nodes.push(NodeProto {
            name: format!("{op}:{output}"),
            op_type: op.to_owned(),
            input: inputs.iter().map(|&i| i.to_owned()).collect(),
            output: vec![output.to_owned()],
            attribute,
            ..NodeProto::default()
        });
    }
}

/// `(integer - zero point) * scale`, slice by slice along `axis`.
fn dequantised(
    tensor: &TensorProto,
    q: &Quantisation,
    axis: i64,
    name: &str,
) -> Result<TensorProto, String> {
    by_slices(tensor, q, axis, name, |v, slice| {
        (v - q.zero_point(slice)) * q.scale(slice)
    })
}

/// A function of each value of a constant and of the number of its slice along `axis`.
fn by_slices(
    tensor: &TensorProto,
    q: &Quantisation,
    axis: i64,
    name: &str,
    f: impl Fn(f32, usize) -> f32,
) -> Result<TensorProto, String> {
    if is_outline(tensor) {
        return Ok(float_outline(tensor, name));
    }
    let dims: Vec<usize> = tensor.dims.iter().map(|&d| d.max(0) as usize).collect();
    let mut values = values_f32(tensor)?;
    if q.scale.len() == 1 && q.zero_point.len() == 1 {
        values.iter_mut().for_each(|v| *v = f(*v, 0));
    } else {
        let axis = slice_axis(axis, dims.len())
            .ok_or("has a quantisation axis that its weights do not have")?;
        let slices = dims[axis];
        let count = q.scale.len().max(q.zero_point.len());
        if slices != count {
            return Err(format!(
                "has {count} scales for {slices} slices of '{}'",
                tensor.name
            ));
        }
        let inner: usize = dims[axis + 1..].iter().product();
        for (i, v) in values.iter_mut().enumerate() {
            *v = f(*v, i / inner.max(1) % slices);
        }
    }
    Ok(float_tensor(name, &dims, values))
}

/// The axis along which a tensor of this many axes has its scales.
fn slice_axis(axis: i64, rank: usize) -> Option<usize> {
    // A vector has one axis, whatever the attribute's default is.
    if rank == 1 {
        return Some(0);
    }
    normalised_index(axis, rank).filter(|&a| a < rank)
}
