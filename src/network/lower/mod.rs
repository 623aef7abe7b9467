//! From an ONNX graph to [`Graph`]: a walk over the nodes in which each ONNX value is known by what it stands for.
//!
//! A float result is not computed when its node is met, but kept as a [`Lazy`] layer. When the next node is a normalisation
//! or an activation it is folded in; when it is a QuantizeLinear and the layer's inputs are dequantised bytes, the whole
//! becomes one integer layer; in every other case the float layer is made. So a quantised pattern that is not understood is
//! served by the float path: right before fast. The QLinear operators are read as dequantise, float operator, quantise.

mod arithmetic;
mod axes;
mod channels;
mod constants;
mod conv;
mod dynamic;
mod emit;
mod fold;
pub(crate) mod gate;
mod known;
mod norm;
mod order;
mod partial;
mod pool;
mod quantised;
mod shape;
mod tokens;

pub use constants::Constants;
pub use known::all_known;
pub use partial::{Fact, Facts, Partial, Place, lower_partly};

use super::error::NotFused;
use super::graph::axes::Axes;
use super::graph::{
    Border, Conv, Graph, GraphInput, InputStep, InputType, Kind, Layer, Norm, Op, Product, Quant,
    Shape, Tensor, TensorId, Window,
};
use super::onnx::constant::Const;
use super::onnx::reads;
use known::{Form, form};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, tensor_shape_proto::dimension,
    type_proto,
};

type Made<T> = Result<T, String>;

/// What the bytes of a picture mean until a file says otherwise.
const PIXELS: Quant = Quant {
    scale: 1.0,
    zero: 0,
};

/// Values of constants that a whole graph may read, fold and keep: as many floats as the largest weights, 2 GiB.
const CONSTANTS_MOST: usize = 1 << 29;

/// How the axes of the ONNX value map to our rows, columns, channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    /// 1, C, H, W.
    Nchw,
    /// 1, H, W, C.
    Nhwc,
    /// 1, N with N in our own order.
    Flat,
    /// 1, N where N counts channels, rows, columns.
    FlatChw,
    /// Any axes, which lie so in the tensor.
    Strided(Axes),
}

/// A computed tensor as an ONNX value.
#[derive(Debug, Clone, Copy)]
struct Act {
    id: TensorId,
    view: View,
    /// The tensor is bytes and the value is what they mean (after DequantizeLinear).
    real: bool,
}

/// Weights as ONNX gives them: real values, or integers with scale and zero point along one axis.
#[derive(Debug, Clone)]
struct QuantConst {
    ints: Const,
    scale: Vec<f32>,
    zero: Vec<i32>,
    axis: usize,
}

impl QuantConst {
    fn floats(&self) -> Vec<f32> {
        let inner: usize = self.ints.dims.iter().skip(self.axis + 1).product();
        let along = self.scale.len();
        let values = self.ints.ints();
        let at = |i: usize| {
            if along == 1 {
                0
            } else {
                i / inner.max(1) % along
            }
        };
        values
            .iter()
            .enumerate()
            .map(|(i, &v)| (v - i64::from(self.zero[at(i)])) as f32 * self.scale[at(i)])
            .collect()
    }
}

/// What an ONNX value stands for.
#[derive(Debug, Clone)]
enum Val {
    Const(Rc<Const>),
    Quantised(Rc<QuantConst>),
    Act(Act),
    Lazy(Rc<Lazy>, View),
    /// Zero padding that a convolution will take over.
    Padded(Box<Val>, [usize; 4]),
    /// 1xCxHxW seen as 1xGx(C/G)xHxW; `turned` when it was seen so first and groups and members changed places then.
    Grouped {
        inner: Box<Val>,
        groups: usize,
        turned: bool,
    },
    /// Of a quantisation whose scale is found anew in every run.
    Dynamic(dynamic::Dynamic),
    /// Of a LayerNormalization that is spelt out.
    Spelt(norm::Spelt),
    /// An optional output that we do not make.
    Absent,
}

/// A float layer that is not made yet.
#[derive(Debug)]
struct Lazy {
    op: LazyOp,
    inputs: Vec<Act>,
    shape: Shape,
    name: String,
    made: RefCell<Option<Act>>,
}

#[derive(Debug, Clone)]
enum LazyOp {
    /// Weights and bias are kept in both forms' source; `graph::Conv::weights` is F32 or Q8 accordingly.
    Conv(Conv, conv::Bias),
    Add((f32, f32)),
    Mul((f32, f32)),
    Average(Window, bool),
    Unary(crate::network::graph::Unary),
    /// LeakyRelu with a slope a channel.
    Slopes(Vec<f32>),
    Affine(Vec<InputStep>),
    Product(Product),
    Norm(Norm),
    Concat,
}

struct Lower {
    opset: i64,
    /// Constants of the file that no node has read yet: together they are as large as the file, so each moves from here.
    initializers: HashMap<String, TensorProto>,
    values: HashMap<String, Val>,
    /// How many nodes read a value.
    uses: HashMap<String, usize>,
    /// How many of them are still to come; a value without any is dropped.
    uses_left: HashMap<String, usize>,
    tensors: Vec<Tensor>,
    /// The segment that makes each tensor (0 for the picture).
    segments: Vec<usize>,
    layers: Vec<Layer>,
    /// The layer that makes each tensor, and those that read it first of all their inputs.
    makers: Vec<Option<usize>>,
    readers: Vec<Vec<usize>>,
    /// Values of constants that may still be read, folded or kept, however often a file names the same ones.
    constants_left: Cell<usize>,
    input: Option<GraphInput>,
    /// How many nodes read the picture, under whatever name: it may be turned, named or dequantised before it is read.
    input_uses: usize,
    /// The picture's bytes have been taken for numbers as they are.
    pixels_taken: bool,
    /// ONNX shapes of values that are not known here, for the operator Shape.
    outside: HashMap<String, Vec<usize>>,
}

/// The graph of a model, or why not. The model is used up on the way.
pub fn lower(mut model: ModelProto) -> Result<Graph, NotFused> {
    let whole = |why: String| NotFused::whole(&why);
    let graph = model.graph.take();
    let mut graph = graph.ok_or_else(|| NotFused::whole("the file has no graph"))?;
    let output = graph
        .output
        .first()
        .ok_or_else(|| whole("the graph has no output".into()))?;
    let mut lower = Lower::new(&model, &graph);
    lower.take_picture(&graph).map_err(whole)?;
    let initializers = std::mem::take(&mut graph.initializer).into_iter();
    lower.initializers = initializers.map(|t| (t.name.clone(), t)).collect();
    for node in std::mem::take(&mut graph.node) {
        let made = lower.read_constants(&node).and_then(|()| lower.node(&node));
        lower.drop_read(&node);
        made.map_err(|why| NotFused {
            node: node.name,
            op: node.op_type,
            why,
        })?;
    }
    let scores = Border {
        name: output.name.clone(),
        tensor: lower.output(&output.name).map_err(whole)?,
        channels_first: false,
        segment: 0,
    };
    Ok(lower.finish(Vec::new(), vec![scores]))
}

/// The input's tensor, how its axes lie, and its type.
fn input_tensor(of: Option<&TypeProto>) -> Made<(Tensor, View, InputType)> {
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
        1 => (Kind::F32, InputType::F32),
        2 => (Kind::Q8(PIXELS), InputType::U8),
        other => return Err(format!("the input's element type is {other}")),
    };
    Ok((Tensor { shape, kind }, view, dtype))
}

impl Lower {
    /// Nothing lowered yet.
    fn new(model: &ModelProto, graph: &GraphProto) -> Self {
        let opset = model
            .opset_import
            .iter()
            .find(|o| o.domain.is_empty() || o.domain == "ai.onnx")
            .map_or(1, |o| o.version);
        let mut uses: HashMap<String, usize> = HashMap::new();
        for name in graph.node.iter().flat_map(reads) {
            *uses.entry(name.to_owned()).or_default() += 1;
        }
        for o in &graph.output {
            *uses.entry(o.name.clone()).or_default() += 1;
        }
        Self {
            opset,
            initializers: HashMap::new(),
            values: HashMap::new(),
            uses_left: uses.clone(),
            uses,
            tensors: Vec::new(),
            segments: Vec::new(),
            layers: Vec::new(),
            makers: Vec::new(),
            readers: Vec::new(),
            constants_left: Cell::new(CONSTANTS_MOST),
            input: None,
            input_uses: 0,
            pixels_taken: false,
            outside: HashMap::new(),
        }
    }

    /// Makes the graph's only input the picture.
    fn take_picture(&mut self, graph: &GraphProto) -> Made<()> {
        let constant = |name: &str| graph.initializer.iter().any(|t| t.name == name);
        let free: Vec<_> = graph.input.iter().filter(|i| !constant(&i.name)).collect();
        let [only] = free[..] else {
            return Err(format!("the graph has {} inputs", free.len()));
        };
        let (tensor, view, dtype) = input_tensor(only.r#type.as_ref())?;
        let id = self.add_tensor(tensor, 0);
        let act = Act {
            id,
            view,
            real: false,
        };
        self.values.insert(only.name.clone(), Val::Act(act));
        self.input_uses = self.uses.get(&only.name).copied().unwrap_or(0);
        self.input = Some(GraphInput {
            tensor: id,
            dtype,
            steps: Vec::new(),
            quantised: false,
        });
        Ok(())
    }

    /// The picture's description, when `id` is the picture's tensor.
    fn picture(&self, id: TensorId) -> Option<&GraphInput> {
        self.input.as_ref().filter(|input| input.tensor == id)
    }

    fn add_tensor(&mut self, tensor: Tensor, segment: usize) -> TensorId {
        self.tensors.push(tensor);
        self.segments.push(segment);
        self.makers.push(None);
        self.readers.push(Vec::new());
        TensorId(self.tensors.len() - 1)
    }

    /// The graph, without layers and imports whose results nothing reads.
    fn finish(self, mut imports: Vec<Border>, exports: Vec<Border>) -> Graph {
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
            // As late as its first reader wants it.
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

    fn node(&mut self, node: &NodeProto) -> Made<()> {
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
            self.values.insert(first.clone(), value);
        }
        for other in outputs.filter(|o| !o.is_empty()) {
            self.values.insert(other.clone(), Val::Absent);
        }
        self.count_readers(node);
        Ok(())
    }

    /// Where a result is the picture under another name, its readers are the picture's in place of this node.
    fn count_readers(&mut self, node: &NodeProto) {
        for name in &node.output {
            if self.values.get(name).is_some_and(|v| self.is_picture(v)) {
                let readers = self.uses.get(name).copied().unwrap_or(0);
                self.input_uses = (self.input_uses + readers).saturating_sub(1);
            }
        }
    }

    /// Whether a value is the picture, at most with steps that the way in may take over.
    fn is_picture(&self, value: &Val) -> bool {
        match value {
            Val::Act(act) => self.picture(act.id).is_some(),
            Val::Lazy(lazy, _) => {
                let steps = matches!(lazy.op, LazyOp::Affine(_));
                steps && self.picture(lazy.inputs[0].id).is_some()
            }
            Val::Padded(inner, _) | Val::Grouped { inner, .. } => self.is_picture(inner),
            _ => false,
        }
    }

    /// Drops what this node was the last to read: an unfolded copy of its weights, above all.
    fn drop_read(&mut self, node: &NodeProto) {
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
    fn input_value(&self, node: &NodeProto, at: usize) -> Made<Val> {
        let name = node.input.get(at).filter(|n| !n.is_empty());
        let name = name.ok_or_else(|| format!("input {at} is missing"))?;
        match self.values.get(name) {
            Some(Val::Absent) => Err(format!("reads {name:?}, an optional output")),
            Some(value) => Ok(value.clone()),
            None if self.outside.contains_key(name) => Err(format!(
                "reads {name:?}, made outside in a form that does not come in (floats of up to six axes do)"
            )),
            None => Err(format!("reads {name:?}, which no earlier node makes")),
        }
    }

    /// Constants of the file that this node is the first to read.
    fn read_constants(&mut self, node: &NodeProto) -> Made<()> {
        for name in &node.input {
            if let Some(tensor) = self.initializers.remove(name) {
                let read = Const::read(tensor).map_err(|why| format!("initialiser {name:?} {why}"));
                self.values.insert(name.clone(), Val::Const(Rc::new(read?)));
            }
        }
        Ok(())
    }

    /// Takes note of so many values of constants that a node reads or makes.
    fn spend(&self, values: usize) -> Made<()> {
        let left = self.constants_left.get().checked_sub(values);
        self.constants_left.set(left.ok_or_else(|| {
            format!(
                "constants are read and made again and again: {CONSTANTS_MOST} values are the limit"
            )
        })?);
        Ok(())
    }

    fn has_input(&self, node: &NodeProto, at: usize) -> bool {
        node.input.get(at).is_some_and(|n| !n.is_empty())
    }

    /// Whether this node is the only reader of its input `at`.
    fn only_reader(&self, node: &NodeProto, at: usize) -> bool {
        node.input
            .get(at)
            .is_some_and(|n| self.uses.get(n) == Some(&1))
    }

    /// A constant's real values and shape, also when it went through DequantizeLinear.
    fn const_floats(&self, node: &NodeProto, at: usize) -> Made<(Vec<f32>, Vec<usize>)> {
        match self.input_value(node, at)? {
            Val::Const(c) => {
                self.spend(c.len())?;
                Ok((c.floats(), c.dims.clone()))
            }
            Val::Quantised(q) => {
                self.spend(q.ints.len())?;
                Ok((q.floats(), q.ints.dims.clone()))
            }
            _ => Err(format!("input {at} is not constant")),
        }
    }

    fn const_ints(&self, node: &NodeProto, at: usize) -> Made<Vec<i64>> {
        match self.input_value(node, at)? {
            Val::Const(c) => {
                self.spend(c.len())?;
                Ok(c.ints())
            }
            _ => Err(format!("input {at} is not constant")),
        }
    }

    fn const_scalar(&self, node: &NodeProto, at: usize) -> Made<f32> {
        match self.const_floats(node, at)?.0[..] {
            [one] => Ok(one),
            _ => Err(format!("input {at} is not one value")),
        }
    }

    fn shape(&self, id: TensorId) -> Shape {
        self.tensors[id.0].shape
    }

    fn quant(&self, id: TensorId) -> Option<Quant> {
        match self.tensors[id.0].kind {
            Kind::Q8(quant) => Some(quant),
            Kind::F32 => None,
        }
    }

    /// Size and view of a computed value.
    fn extent(&self, value: &Val) -> Made<(Shape, View)> {
        match value {
            Val::Act(a) => Ok((self.shape(a.id), a.view)),
            Val::Lazy(l, view) => Ok((l.shape, *view)),
            Val::Padded(..) => Err("padding that is not before a convolution".into()),
            Val::Grouped { .. } => Err("channels seen as groups, not as a shuffle".into()),
            Val::Dynamic(_) => Err(dynamic::ELSEWHERE.into()),
            Val::Spelt(_) => Err(norm::ELSEWHERE.into()),
            _ => Err("a constant where a computed value is needed".into()),
        }
    }

    fn lazy(
        &self,
        node: &NodeProto,
        op: LazyOp,
        inputs: Vec<Act>,
        shape: Shape,
        view: View,
    ) -> Val {
        let name = if node.name.is_empty() {
            node.output.first().cloned().unwrap_or_default()
        } else {
            node.name.clone()
        };
        let made = RefCell::new(None);
        Val::Lazy(
            Rc::new(Lazy {
                op,
                inputs,
                shape,
                name,
                made,
            }),
            view,
        )
    }

    fn add_layer(&mut self, op: Op, inputs: Vec<TensorId>, tensor: Tensor, name: &str) -> TensorId {
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

    /// The scores: float, in the graph's own order.
    fn output(&mut self, name: &str) -> Made<TensorId> {
        let value = self.values.get(name).cloned();
        let value = value.ok_or_else(|| format!("no node makes the output {name:?}"))?;
        let value = self.settled(&NodeProto::default(), &value)?;
        let mut act = self.materialise(&value)?;
        let shape = self.shape(act.id);
        if !act.real && self.quant(act.id).is_some() {
            return Err("the output is integers".into());
        }
        act = self.float_of(act)?;
        let chw = matches!(act.view, View::Nchw | View::FlatChw);
        if chw && shape.pixels() > 1 && shape.c > 1 {
            let tensor = self.tensors[act.id.0].clone();
            act.id = self.add_layer(Op::ChannelsFirst, vec![act.id], tensor, "output");
        }
        if self.picture(act.id).is_some() {
            return Err("the output is the input".into());
        }
        Ok(act.id)
    }
}
