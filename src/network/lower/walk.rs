//! The walk over the nodes of a graph, in which each ONNX value is known by what it stands for.

use super::known::{Form, form};
use super::value::{Activation, Deferred, DeferredOp, Value, View};
use super::{Lowered, PIXELS};
use crate::network::graph::{
    Border, Graph, GraphInput, Kind, Layer, Op, Quant, Shape, Tensor, TensorId,
};
use crate::network::onnx::constant::Const;
use crate::network::onnx::{name_of, read_counts};
use crate::network::rewrite::forms::opset;
use crate::spec::Dtype;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, tensor_shape_proto::dimension,
    type_proto,
};

/// Limit on the values of constants that a whole graph may read, fold and keep: as many floats as the largest weights, 2 GiB.
const MAX_CONSTANTS: usize = 1 << 29;

/// The walk over the nodes, and the graph so far.
pub(super) struct Lower {
    pub(super) opset: i64,
    /// Constants of the file that no node has read yet: together they are as large as the file, so each is moved out of here.
    pub(super) initializers: HashMap<String, TensorProto>,
    pub(super) values: HashMap<String, Value>,
    /// The number of nodes that read a value.
    pub(super) uses: HashMap<String, usize>,
    /// How many of them are still to come; a value with none left is dropped.
    pub(super) uses_left: HashMap<String, usize>,
    pub(super) tensors: Vec<Tensor>,
    /// The segment that makes each tensor (0 for the picture).
    pub(super) segments: Vec<usize>,
    pub(super) layers: Vec<Layer>,
    /// The layer that makes each tensor, and the layers that have it as their first input.
    pub(super) makers: Vec<Option<usize>>,
    pub(super) readers: Vec<Vec<usize>>,
    /// Budget of constants' values that may still be read, folded or kept, however often a file names the same ones.
    pub(super) constants_left: Cell<usize>,
    pub(super) input: Option<GraphInput>,
    /// The number of nodes that read the picture, under any name: it may be transposed, renamed or dequantised before it is read.
    pub(super) input_uses: usize,
    /// The picture's bytes have been used directly as numbers.
    pub(super) pixels_taken: bool,
    /// ONNX shapes of values that are not known here, for the operator Shape.
    pub(super) outside: HashMap<String, Vec<usize>>,
}

/// The input's tensor, the order of its axes, and its type.
fn input_tensor(of: Option<&TypeProto>) -> Lowered<(Tensor, View, Dtype)> {
    let Some(type_proto::Value::TensorType(t)) = of.and_then(|t| t.value.as_ref()) else {
        return Err("the input is not a tensor".into());
    };
    let dims: Vec<usize> = t.shape.as_ref().map_or_else(Vec::new, |s| {
        s.dim
            .iter()
            .map(|d| match &d.value {
                Some(dimension::Value::DimValue(v)) => usize::try_from(*v).unwrap_or(0),
                _ => 0,
            })
            .collect()
    });
    let (shape, view) = match dims[..] {
        [_, c @ (1 | 3 | 4), h, w] => (Shape::new(h, w, c)?, View::Nchw),
        [_, h, w, c @ (1 | 3 | 4)] => (Shape::new(h, w, c)?, View::Nhwc),
        _ => return Err(format!("the input's shape is {dims:?}, not a picture")),
    };
    if dims[0] > 1 {
        return Err(format!("the batch is {}, not 1", dims[0]));
    }
    if shape.h > 8192 || shape.w > 8192 {
        return Err(format!("the input's size is {}x{}", shape.w, shape.h));
    }
    let (kind, dtype) = match t.elem_type {
        1 => (Kind::F32, Dtype::F32),
        2 => (Kind::Q8(PIXELS), Dtype::U8),
        other => return Err(format!("the input's element type is {other}")),
    };
    Ok((Tensor { shape, kind }, view, dtype))
}

impl Lower {
    /// A walk with nothing lowered yet.
    pub(super) fn new(model: &ModelProto, graph: &GraphProto) -> Self {
        let uses = read_counts(&graph.node, &graph.output);
        Self {
            opset: opset(model),
            initializers: HashMap::new(),
            values: HashMap::new(),
            uses_left: uses.clone(),
            uses,
            tensors: Vec::new(),
            segments: Vec::new(),
            layers: Vec::new(),
            makers: Vec::new(),
            readers: Vec::new(),
            constants_left: Cell::new(MAX_CONSTANTS),
            input: None,
            input_uses: 0,
            pixels_taken: false,
            outside: HashMap::new(),
        }
    }

    /// Makes the graph's only input the picture.
    pub(super) fn take_picture(&mut self, graph: &GraphProto) -> Lowered<()> {
        let constant = |name: &str| graph.initializer.iter().any(|t| t.name == name);
        let free: Vec<_> = graph.input.iter().filter(|i| !constant(&i.name)).collect();
        let [only] = free[..] else {
            return Err(format!("the graph has {} inputs", free.len()));
        };
        let (tensor, view, dtype) = input_tensor(only.r#type.as_ref())?;
        let id = self.add_tensor(tensor, 0);
        let act = Activation {
            id,
            view,
            real: false,
        };
        self.values
            .insert(only.name.clone(), Value::Activation(act));
        self.input_uses = self.uses.get(&only.name).copied().unwrap_or(0);
        self.input = Some(GraphInput {
            tensor: id,
            dtype,
            steps: Vec::new(),
            quantised: false,
        });
        Ok(())
    }

    /// The picture's description, if `id` is the picture's tensor.
    pub(super) fn picture(&self, id: TensorId) -> Option<&GraphInput> {
        self.input.as_ref().filter(|input| input.tensor == id)
    }

    pub(super) fn add_tensor(&mut self, tensor: Tensor, segment: usize) -> TensorId {
        self.tensors.push(tensor);
        self.segments.push(segment);
        self.makers.push(None);
        self.readers.push(Vec::new());
        TensorId(self.tensors.len() - 1)
    }

    /// The finished graph, without layers and imports whose results nothing reads.
    pub(super) fn finish(self, mut imports: Vec<Border>, exports: Vec<Border>) -> Graph {
        let mut layers = self.layers;
        let mut wanted = vec![false; self.tensors.len()];
        for export in &exports {
            wanted[export.tensor.0] = true;
        }
        for layer in layers.iter().rev() {
            if wanted[layer.output.0] {
                for i in &layer.inputs {
                    wanted[i.0] = true;
                }
            }
        }
        layers.retain(|l| wanted[l.output.0]);
        layers.sort_by_key(|l| l.segment);
        imports.retain(|i| wanted[i.tensor.0]);
        let mut first: Vec<Option<usize>> = vec![None; self.tensors.len()];
        let read = layers
            .iter()
            .flat_map(|l| l.inputs.iter().map(|i| (i.0, l.segment)));
        let taken = exports.iter().map(|e| (e.tensor.0, e.segment));
        for (tensor, segment) in read.chain(taken) {
            first[tensor] = Some(first[tensor].map_or(segment, |f| f.min(segment)));
        }
        for import in &mut imports {
            // As late as its first reader allows.
            import.segment = first[import.tensor.0].unwrap_or(import.segment);
        }
        Graph {
            tensors: self.tensors,
            layers,
            input: self.input,
            imports,
            exports,
        }
    }

    /// Says what a result stands for; one without a name is nobody's.
    pub(super) fn define(&mut self, name: &str, value: Value) {
        if !name.is_empty() {
            self.values.insert(name.to_owned(), value);
        }
    }

    pub(super) fn node(&mut self, node: &NodeProto) -> Lowered<()> {
        if self.fold_constant(node)? {
            return Ok(());
        }
        let value = match form(node)? {
            Form::All(lower) => {
                lower(self, node)?;
                self.count_readers(node);
                return Ok(());
            }
            Form::One(lower) => lower(self, node)?,
        };
        let mut outputs = node.output.iter();
        if let Some(first) = outputs.next() {
            self.define(first, value);
        }
        for other in outputs {
            self.define(other, Value::Absent);
        }
        self.count_readers(node);
        Ok(())
    }

    /// If a result is the picture under another name, its readers count as the picture's in place of this node.
    pub(super) fn count_readers(&mut self, node: &NodeProto) {
        for name in &node.output {
            if self.values.get(name).is_some_and(|v| self.is_picture(v)) {
                let readers = self.uses.get(name).copied().unwrap_or(0);
                self.input_uses = (self.input_uses + readers).saturating_sub(1);
            }
        }
    }

    /// Whether a value is the picture, at most with steps that the encoder may absorb.
    pub(super) fn is_picture(&self, value: &Value) -> bool {
        match value {
            Value::Activation(act) => self.picture(act.id).is_some(),
            Value::Deferred(deferred, _) => {
                let steps = matches!(deferred.op, DeferredOp::Affine(_));
                steps && self.picture(deferred.inputs[0].id).is_some()
            }
            Value::Padded(inner, _) | Value::Grouped { inner, .. } => self.is_picture(inner),
            _ => false,
        }
    }

    /// Drops the values for which this node was the last reader: above all, an unfolded copy of its weights.
    pub(super) fn drop_read(&mut self, node: &NodeProto) {
        for name in &node.input {
            let Some(left) = self.uses_left.get_mut(name) else {
                continue;
            };
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.values.remove(name);
            }
        }
    }

    /// The value of input `at`.
    pub(super) fn input_value(&self, node: &NodeProto, at: usize) -> Lowered<Value> {
        let name = node.input.get(at).filter(|n| !n.is_empty());
        let name = name.ok_or_else(|| format!("input {at} is missing"))?;
        match self.values.get(name) {
            Some(Value::Absent) => Err(format!("reads {name:?}, an optional output")),
            Some(value) => Ok(value.clone()),
            None if self.outside.contains_key(name) => Err(format!(
                "reads {name:?}, made outside in a form that does not come in (floats of up to six axes do)"
            )),
            None => Err(format!("reads {name:?}, which no earlier node makes")),
        }
    }

    /// Constants of the file that this node is the first to read.
    pub(super) fn read_constants(&mut self, node: &NodeProto) -> Lowered<()> {
        for name in &node.input {
            if let Some(tensor) = self.initializers.remove(name) {
                let read = Const::read(tensor).map_err(|why| format!("initialiser {name:?} {why}"));
                self.values
                    .insert(name.clone(), Value::Const(Rc::new(read?)));
            }
        }
        Ok(())
    }

    /// Charges this many values of constants, which a node reads or makes, to the budget.
    pub(super) fn spend(&self, values: usize) -> Lowered<()> {
        let left = self.constants_left.get().checked_sub(values);
        self.constants_left.set(left.ok_or_else(|| {
            format!(
                "constants are read and made again and again: {MAX_CONSTANTS} values are the limit"
            )
        })?);
        Ok(())
    }

    pub(super) fn has_input(&self, node: &NodeProto, at: usize) -> bool {
        node.input.get(at).is_some_and(|n| !n.is_empty())
    }

    /// Whether this node is the only reader of its input `at`.
    pub(super) fn only_reader(&self, node: &NodeProto, at: usize) -> bool {
        node.input
            .get(at)
            .is_some_and(|n| self.uses.get(n) == Some(&1))
    }

    /// A constant's real values and shape, even after DequantizeLinear.
    pub(super) fn const_floats(
        &self,
        node: &NodeProto,
        at: usize,
    ) -> Lowered<(Vec<f32>, Vec<usize>)> {
        match self.input_value(node, at)? {
            Value::Const(c) => {
                self.spend(c.len())?;
                Ok((c.floats(), c.dims.clone()))
            }
            Value::Quantised(q) => {
                self.spend(q.ints.len())?;
                Ok((q.floats(), q.ints.dims.clone()))
            }
            _ => Err(format!("input {at} is not constant")),
        }
    }

    pub(super) fn const_ints(&self, node: &NodeProto, at: usize) -> Lowered<Vec<i64>> {
        match self.input_value(node, at)? {
            Value::Const(c) => {
                self.spend(c.len())?;
                Ok(c.ints())
            }
            _ => Err(format!("input {at} is not constant")),
        }
    }

    pub(super) fn const_scalar(&self, node: &NodeProto, at: usize) -> Lowered<f32> {
        match self.const_floats(node, at)?.0[..] {
            [one] => Ok(one),
            _ => Err(format!("input {at} is not one value")),
        }
    }

    pub(super) fn shape(&self, id: TensorId) -> Shape {
        self.tensors[id.0].shape
    }

    pub(super) fn quant(&self, id: TensorId) -> Option<Quant> {
        self.tensors[id.0].kind.quant()
    }

    /// Size and view of a computed value.
    pub(super) fn extent(&self, value: &Value) -> Lowered<(Shape, View)> {
        match value {
            Value::Activation(a) => Ok((self.shape(a.id), a.view)),
            Value::Deferred(l, view) => Ok((l.shape, *view)),
            Value::Padded(..) => Err("padding that is not before a convolution".into()),
            Value::Grouped { .. } => Err("channels in groups that are not a shuffle".into()),
            Value::Intermediate(value) => Err(value.elsewhere().into()),
            _ => Err("a constant where a computed value is needed".into()),
        }
    }

    pub(super) fn deferred(
        &self,
        node: &NodeProto,
        op: DeferredOp,
        inputs: Vec<Activation>,
        shape: Shape,
        view: View,
    ) -> Value {
        let name = name_of(node).to_owned();
        let emitted = RefCell::new(None);
        Value::Deferred(
            Rc::new(Deferred {
                op,
                inputs,
                shape,
                name,
                emitted,
            }),
            view,
        )
    }

    pub(super) fn add_layer(
        &mut self,
        op: Op,
        inputs: Vec<TensorId>,
        tensor: Tensor,
        name: &str,
    ) -> TensorId {
        let segment = inputs.iter().map(|i| self.segments[i.0]).max().unwrap_or(0);
        let output = self.add_tensor(tensor, segment);
        self.makers[output.0] = Some(self.layers.len());
        if let Some(first) = inputs.first() {
            self.readers[first.0].push(self.layers.len());
        }
        self.layers.push(Layer {
            op,
            inputs,
            output,
            name: name.into(),
            segment,
        });
        output
    }

    /// The scores: float, in the graph's own order. Integers become the real numbers that they stand for.
    pub(super) fn output(&mut self, name: &str) -> Lowered<TensorId> {
        let value = self.values.get(name).cloned();
        let value = value.ok_or_else(|| format!("no node makes the output {name:?}"))?;
        let value = self.settled(&NodeProto::default(), &value)?;
        let mut act = self.materialise(&value)?;
        let shape = self.shape(act.id);
        if self.picture(act.id).is_some() {
            return Err("the output is the input".into());
        }
        act.real |= self.quant(act.id).is_some();
        act = self.float_of(act)?;
        let chw = matches!(act.view, View::Nchw | View::FlatChw);
        if chw && shape.pixels() > 1 && shape.c > 1 {
            let tensor = self.tensors[act.id.0].clone();
            act.id = self.add_layer(Op::ChannelsFirst, vec![act.id], tensor, "output");
        }
        Ok(act.id)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::network::onnx::attributes::of_int;
    use crate::network::onnx::{test_model, test_node, value_info};

    #[test]
    fn a_result_without_a_name_is_no_input_that_is_left_out() {
        let graph = GraphProto {
            input: vec![value_info("x", 1, &[1, 3, 4, 4])],
            ..GraphProto::default()
        };
        let model = test_model(graph.clone(), 18);
        let mut lower = Lower::new(&model, &graph);
        lower.take_picture(&graph).unwrap();
        for node in [
            test_node("Constant", &[], &[""], &[of_int("value_int", 1)]),
            test_node("Shape", &["x"], &[""], &[]),
            test_node("Identity", &["x"], &[""], &[]),
            test_node(
                "Split",
                &["x"],
                &["", "a", "b"],
                &[of_int("axis", 1), of_int("num_outputs", 3)],
            ),
            test_node(
                "Split",
                &["x"],
                &["", "c"],
                &[of_int("axis", 2), of_int("num_outputs", 2)],
            ),
        ] {
            lower.node(&node).unwrap();
            assert!(!lower.values.contains_key(""), "{node:?}");
        }
        assert!(lower.values.contains_key("a") && lower.values.contains_key("c"));
    }
}
