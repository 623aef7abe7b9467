//! Mutation of ONNX models as graphs: of a hundred models whose bytes are mutated, one can be read at all.

use fastrand::Rng;
use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as DimValue;
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

const OPERATORS: &[&str] = &[
    "Abs",
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Ceil",
    "Clip",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "ConvInteger",
    "ConvTranspose",
    "CumSum",
    "DepthToSpace",
    "DequantizeLinear",
    "Div",
    "Dropout",
    "DynamicQuantizeLinear",
    "Einsum",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Greater",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNormalization",
    "LRN",
    "LayerNormalization",
    "LeakyRelu",
    "Less",
    "Log",
    "LogSoftmax",
    "MatMul",
    "MatMulInteger",
    "Max",
    "MaxPool",
    "Mean",
    "Min",
    "Mish",
    "Mod",
    "Mul",
    "Neg",
    "PRelu",
    "Pad",
    "Pow",
    "QLinearAdd",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
    "Range",
    "Reciprocal",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Resize",
    "Round",
    "Selu",
    "Shape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "Softsign",
    "SpaceToDepth",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Tanh",
    "ThresholdedRelu",
    "Tile",
    "TopK",
    "Transpose",
    "Unsqueeze",
    "Upsample",
    "Where",
];

const INTEGER_ATTRIBUTES: &[&str] = &[
    "allowzero",
    "axis",
    "blocksize",
    "ceil_mode",
    "channels_last",
    "count_include_pad",
    "exclusive",
    "group",
    "keepdims",
    "noop_with_empty_axes",
    "num_outputs",
    "p",
    "size",
    "storage_order",
    "to",
    "training_mode",
    "transA",
    "transB",
];

const LIST_ATTRIBUTES: &[&str] = &[
    "axes",
    "dilations",
    "kernel_shape",
    "output_padding",
    "output_shape",
    "pads",
    "perm",
    "shape",
    "split",
    "strides",
];

const FLOAT_ATTRIBUTES: &[&str] = &["alpha", "beta", "bias", "epsilon", "gamma", "momentum"];

const WORD_ATTRIBUTES: &[&str] = &[
    "approximate",
    "auto_pad",
    "coordinate_transformation_mode",
    "equation",
    "mode",
    "nearest_mode",
];

const WORDS: &[&str] = &[
    "NOTSET",
    "VALID",
    "SAME_UPPER",
    "SAME_LOWER",
    "constant",
    "reflect",
    "edge",
    "wrap",
    "nearest",
    "linear",
    "cubic",
    "DCR",
    "CRD",
    "asymmetric",
    "half_pixel",
    "align_corners",
    "pytorch_half_pixel",
    "floor",
    "ceil",
    "tanh",
    "none",
    "bhwc,hkc->bhwk",
];

const INTEGERS: &[i64] = &[
    10,
    13,
    15,
    16,
    17,
    31,
    32,
    33,
    63,
    64,
    65,
    100,
    127,
    128,
    255,
    256,
    1000,
    1001,
    4096,
    8192,
    16384,
    32768,
    65535,
    65536,
    50_000_000,
    i32::MAX as i64,
    1 << 31,
    1 << 32,
    (1 << 32) + 1,
    1 << 62,
    (1 << 62) + 1,
    i64::MAX,
    i64::MIN,
    -3,
    -4,
    -128,
];

const FLOATS: &[f32] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1e-5,
    1e-38,
    1e-45,
    3e38,
    f32::INFINITY,
    f32::NAN,
    255.0,
    0.003_921_57,
];

/// Mutates the model in `data[..size]`; its new size, or `None` when its bytes are to be mutated instead.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> Option<usize> {
    let mut random = Rng::with_seed(seed.into());
    if random.u8(..10) == 0 {
        return None;
    }
    let mut model = ModelProto::decode(&data[..size]).ok()?;
    for _ in 0..random.usize(1..5) {
        change_model(&mut model, &mut random);
    }
    let bytes = model.encode_to_vec();
    let room = data.get_mut(..bytes.len().min(max_size + 1))?;
    if bytes.len() > max_size {
        return None;
    }
    room.copy_from_slice(&bytes);
    Some(bytes.len())
}

fn change_model(model: &mut ModelProto, random: &mut Rng) {
    if random.u8(..40) == 0 {
        if let Some(opset) = model.opset_import.first_mut() {
            opset.version = random.i64(1..24);
        }
        return;
    }
    if let Some(graph) = &mut model.graph {
        change_graph(graph, random);
    }
}

fn change_graph(graph: &mut GraphProto, random: &mut Rng) {
    let names = names(graph);
    let (Some(name), Some(at)) = (random.choice(&names).cloned(), index(&graph.node, random))
    else {
        return;
    };
    match random.u8(..16) {
        0 => graph.node[at].op_type = word(OPERATORS, random),
        1..=3 => change_attribute(&mut graph.node[at], random),
        4 => add_attribute(&mut graph.node[at], random),
        5 => {
            let node = &mut graph.node[at];
            match index(&node.input, random) {
                Some(input) if random.u8(..6) > 0 => node.input[input] = name,
                Some(input) if random.bool() => drop(node.input.remove(input)),
                _ => node.input.push(name),
            }
        }
        6 | 7 => insert(graph, at, name, random),
        8 => remove(graph, at),
        9 => {
            // The same once more, of the same inputs or of its own result.
            let mut node = graph.node[at].clone();
            let first = node.output.first().cloned().unwrap_or_default();
            for output in &mut node.output {
                output.push_str(&format!("_{}", random.u16(..)));
            }
            let second = node.output.first().cloned().unwrap_or_default();
            if random.bool() {
                replace(&mut graph.node[at + 1..], &first, &second);
                if let Some(input) = node.input.first_mut() {
                    *input = first;
                }
            }
            graph.node.insert(at + 1, node);
        }
        10..=12 => {
            if let Some(at) = index(&graph.initializer, random) {
                change_tensor(&mut graph.initializer[at], random);
            }
        }
        13 => change_border(graph, name, random),
        14 => {
            let other = random.usize(..graph.node.len());
            graph.node.swap(at, other);
        }
        _ => {
            let node = &mut graph.node[at];
            if let Some(attribute) = index(&node.attribute, random) {
                node.attribute.remove(attribute);
            }
        }
    }
}

/// All values: inputs, weights, results.
fn names(graph: &GraphProto) -> Vec<String> {
    let inputs = graph.input.iter().map(|input| &input.name);
    let weights = graph.initializer.iter().map(|tensor| &tensor.name);
    let results = graph.node.iter().flat_map(|node| &node.output);
    inputs.chain(weights).chain(results).cloned().collect()
}

fn index<T>(of: &[T], random: &mut Rng) -> Option<usize> {
    (!of.is_empty()).then(|| random.usize(..of.len()))
}

fn word(of: &[&str], random: &mut Rng) -> String {
    of[random.usize(..of.len())].to_owned()
}

/// Mostly a small one.
fn integer(random: &mut Rng) -> i64 {
    if random.u8(..5) > 0 {
        random.i64(-2..10)
    } else {
        INTEGERS[random.usize(..INTEGERS.len())]
    }
}

fn replace(nodes: &mut [NodeProto], old: &str, new: &str) {
    for input in nodes.iter_mut().flat_map(|node| &mut node.input) {
        if input == old {
            *input = new.to_owned();
        }
    }
}

/// A new node behind the node `at`, of its result and perhaps another value, in the way of all that read the result.
fn insert(graph: &mut GraphProto, at: usize, name: String, random: &mut Rng) {
    let Some(result) = graph.node[at].output.first().cloned() else {
        return;
    };
    let new = format!("{result}_{}", random.u16(..));
    replace(&mut graph.node[at + 1..], &result, &new);
    let mut input = vec![result];
    if random.bool() {
        input.push(name);
    }
    let mut node = NodeProto {
        input,
        output: vec![new],
        op_type: word(OPERATORS, random),
        ..NodeProto::default()
    };
    for _ in 0..random.usize(..3) {
        add_attribute(&mut node, random);
    }
    graph.node.insert(at + 1, node);
}

/// Takes the node out; its first input stands for its result.
fn remove(graph: &mut GraphProto, at: usize) {
    let node = graph.node.remove(at);
    if let (Some(input), Some(output)) = (node.input.first(), node.output.first()) {
        replace(&mut graph.node, output, input);
        for result in &mut graph.output {
            if result.name == *output {
                result.name = input.clone();
            }
        }
    }
}

fn change_attribute(node: &mut NodeProto, random: &mut Rng) {
    let Some(at) = index(&node.attribute, random) else {
        return add_attribute(node, random);
    };
    let attribute = &mut node.attribute[at];
    if let Some(tensor) = &mut attribute.t {
        return change_tensor(tensor, random);
    }
    if let Some(graph) = &mut attribute.g {
        return change_graph(graph, random);
    }
    match AttributeType::try_from(attribute.r#type) {
        Ok(AttributeType::Int) => attribute.i = integer(random),
        Ok(AttributeType::Float) => attribute.f = FLOATS[random.usize(..FLOATS.len())],
        Ok(AttributeType::String) => attribute.s = word(WORDS, random).into_bytes(),
        _ => match index(&attribute.ints, random) {
            Some(at) if random.u8(..4) > 0 => attribute.ints[at] = integer(random),
            Some(at) if random.bool() => drop(attribute.ints.remove(at)),
            _ => attribute.ints.push(integer(random)),
        },
    }
}

fn add_attribute(node: &mut NodeProto, random: &mut Rng) {
    let mut attribute = AttributeProto::default();
    match random.u8(..6) {
        0..=1 => {
            attribute.name = word(INTEGER_ATTRIBUTES, random);
            attribute.set_type(AttributeType::Int);
            attribute.i = integer(random);
        }
        2..=3 => {
            attribute.name = word(LIST_ATTRIBUTES, random);
            attribute.set_type(AttributeType::Ints);
            let count = random.usize(..6);
            attribute.ints = (0..count).map(|_| integer(random)).collect();
        }
        4 => {
            attribute.name = word(FLOAT_ATTRIBUTES, random);
            attribute.set_type(AttributeType::Float);
            attribute.f = FLOATS[random.usize(..FLOATS.len())];
        }
        _ => {
            attribute.name = word(WORD_ATTRIBUTES, random);
            attribute.set_type(AttributeType::String);
            attribute.s = word(WORDS, random).into_bytes();
        }
    }
    node.attribute.retain(|known| known.name != attribute.name);
    node.attribute.push(attribute);
}

/// Bytes of a value of these types; the others are as good as bytes.
fn value_bytes(data_type: i32) -> usize {
    match data_type {
        1 | 6 | 12 => 4,
        4 | 5 | 10 | 16 => 2,
        7 | 11 | 13 => 8,
        _ => 1,
    }
}

fn change_tensor(tensor: &mut TensorProto, random: &mut Rng) {
    let width = value_bytes(tensor.data_type);
    match random.u8(..8) {
        0..=2 => {
            match index(&tensor.dims, random) {
                Some(at) if random.u8(..6) > 0 => tensor.dims[at] = integer(random),
                Some(at) if random.bool() => drop(tensor.dims.remove(at)),
                _ => tensor.dims.insert(0, 1),
            }
            // Most of the time with as many values as that is.
            let count = (tensor.dims.iter()).try_fold(1, |n: usize, &dim| {
                n.checked_mul(usize::try_from(dim).ok()?)
            });
            if let Some(count) = count.filter(|&n| n < 8192)
                && !tensor.raw_data.is_empty()
                && random.u8(..8) > 0
            {
                let old = tensor.raw_data.clone();
                let bytes = old.iter().copied().cycle().take(count * width);
                tensor.raw_data = bytes.collect();
            }
        }
        3 => tensor.data_type = random.i32(1..17),
        4..=6 if tensor.raw_data.len() >= width => {
            let at = random.usize(..tensor.raw_data.len() / width) * width;
            let value = match tensor.data_type {
                1 => FLOATS[random.usize(..FLOATS.len())].to_le_bytes().to_vec(),
                _ => integer(random).to_le_bytes().to_vec(),
            };
            tensor.raw_data[at..at + width].copy_from_slice(&value[..width]);
        }
        _ => {
            for value in &mut tensor.int64_data {
                *value = integer(random);
            }
            for byte in tensor.raw_data.iter_mut().take(16) {
                *byte ^= 1 << random.u8(..8);
            }
        }
    }
}

/// What the graph says of its input or its result.
fn change_border(graph: &mut GraphProto, name: String, random: &mut Rng) {
    let is_input = random.bool();
    let border = if is_input {
        &mut graph.input
    } else {
        &mut graph.output
    };
    let Some(value) = border.first_mut() else {
        return;
    };
    if !is_input && random.bool() {
        value.name = name;
        return;
    }
    let kind = value.r#type.as_mut().and_then(|kind| kind.value.as_mut());
    let Some(TypeValue::TensorType(tensor)) = kind else {
        return;
    };
    let dims = tensor.shape.as_mut().map(|shape| &mut shape.dim);
    match dims {
        Some(dims) if !dims.is_empty() && random.u8(..5) > 0 => {
            let at = random.usize(..dims.len());
            // Pictures stay small.
            let size = if random.u8(..8) > 0 {
                random.i64(1..33)
            } else {
                integer(random)
            };
            dims[at].value = Some(DimValue::DimValue(size));
        }
        _ => tensor.elem_type = random.i32(1..12),
    }
}
