//! From an ONNX file to a clean graph.
//!
//! ```text
//! mod              reads a file, and answers common questions about a graph
//! census           counts the parts of a file before it is read
//! chunked          reads in chunks
//! side_files       weights in a file beside the model
//! repair           small repairs of the graph, which remove functions and half precision (`local_functions`, `half`), `in_order`
//! budget           what a graph may ask for
//! peek             reads a file without its weights
//! inspect          what the file says about its input and output
//! few              constants of few values
//! shapes           shapes with open axes, and the scores in them
//! scaling          scaling that the graph applies to its picture before its first layer
//! meaning          whether the scores are probabilities
//! seems            what a network that is not a classifier seems to be
//! attributes       attributes of nodes
//! constant         a tensor's values
//! ```
//!
//! After [`read`] a graph has its weights in memory, no half precision, no local functions, no `Constant` nodes, no initialiser
//! among its inputs, exactly one real input with batch 1, one output, and no intermediate shapes that could contradict that (see
//! `repair`).

pub mod attributes;
pub mod budget;
mod census;
mod chunked;
pub(crate) mod constant;
mod few;
pub mod half;
mod in_order;
pub mod inspect;
mod local_functions;
pub mod meaning;
pub mod peek;
pub mod repair;
pub mod scaling;
pub mod seems;
pub mod shapes;
mod side_files;

use super::deadline::{in_time, weights_bytes};
use super::error::NetworkError;
use crate::{built_in, memory};
use chunked::{CHUNK_BYTES, Chunked};
use prost::Message;
use side_files::SideFiles;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Seek;
use std::path::Path;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    tensor_shape_proto, type_proto,
};

/// Bytes to read ahead while counting a file: between the weights there are names and shapes.
const COUNTED_AHEAD_BYTES: usize = 4 << 10;

/// Reads and repairs an ONNX file.
pub fn read(path: &Path) -> Result<ModelProto, NetworkError> {
    read_for(path, None)
}

/// The same where the output with the scores has a stated name.
pub fn read_for(path: &Path, output: Option<&str>) -> Result<ModelProto, NetworkError> {
    let wrong = |why: String| NetworkError::File {
        path: path.to_owned(),
        why,
    };
    let mut model: ModelProto = decode(path).map_err(wrong)?;
    let mut side_files = SideFiles::of(path);
    each_tensor(&mut model, &mut |tensor| side_files.read(tensor)).map_err(wrong)?;
    let output = output.map(str::to_owned);
    let repaired = in_time(weights_bytes(&model), move || {
        repair::model(&mut model, output.as_deref())?;
        model.graph.iter().try_for_each(budget::check)?;
        Ok(model)
    });
    repaired.and_then(|model| model).map_err(wrong)
}

/// Decodes the message in a file; the error says what is wrong with the file.
pub(super) fn decode<M: Message + Default>(path: &Path) -> Result<M, String> {
    if let Some(bytes) = built_in::read(path) {
        return M::decode(bytes).map_err(|e| format!("is damaged: {e}"));
    }
    let unreadable = |e: std::io::Error| format!("cannot be read: {e}");
    let file = File::open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if about.is_dir() {
        return Err("is a folder".into());
    }
    let len = usize::try_from(about.len()).map_err(|_| "is too large".to_owned())?;
    if len == 0 {
        return Err("is empty".into());
    }
    // Counted first: in memory it may be much larger than in the file.
    let again = file.try_clone().map_err(unreadable)?;
    let mut counted = Chunked::new(again, len, COUNTED_AHEAD_BYTES);
    let census = census::take(&mut counted);
    if let Some(e) = counted.error() {
        return Err(unreadable(e));
    }
    memory_for(census?.weights_bytes)?;
    (&file).rewind().map_err(unreadable)?;
    let mut chunked = Chunked::new(file, len, CHUNK_BYTES);
    let decoded = M::decode(&mut chunked);
    match (decoded, chunked.error()) {
        (_, Some(e)) => Err(unreadable(e)),
        (Err(_), None) => {
            Err("is not an ONNX file, or is cut short; export or fetch it again".into())
        }
        (Ok(model), None) => Ok(model),
    }
}

/// Refuses weights that do not fit in this machine's memory.
fn memory_for(bytes: u64) -> Result<(), String> {
    let (needed, free) = (bytes >> 20, memory::free_bytes() >> 20);
    if needed <= free {
        return Ok(());
    }
    Err(format!(
        "has weights of {needed} MiB, and this machine has {free} MiB of memory free: quantise it, or take a smaller network"
    ))
}

/// Sets a repaired graph's input sizes that the file leaves open.
pub fn close_input_shape(graph: &mut GraphProto, shape: &[usize]) {
    let input = graph.input.first_mut().and_then(|i| i.r#type.as_mut());
    if let Some(type_proto::Value::TensorType(tensor)) = input.and_then(|t| t.value.as_mut())
        && let Some(own) = tensor.shape.as_mut().filter(|s| s.dim.len() == shape.len())
    {
        for (dim, &size) in own.dim.iter_mut().zip(shape) {
            let size = tensor_shape_proto::dimension::Value::DimValue(size as i64);
            dim.value = Some(size);
        }
    }
}

/// The element type and the axes of a graph's value; `None` stands for a symbolic axis.
pub fn shape_of(value: &ValueInfoProto) -> Option<(DataType, Vec<Option<usize>>)> {
    let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_ref()?.value.as_ref() else {
        return None;
    };
    let dims = tensor
        .shape
        .as_ref()?
        .dim
        .iter()
        .map(|dim| match dim.value {
            Some(tensor_shape_proto::dimension::Value::DimValue(n)) if n > 0 => {
                usize::try_from(n).ok()
            }
            _ => None,
        });
    Some((DataType::try_from(tensor.elem_type).ok()?, dims.collect()))
}

/// Changes the element type of a graph's value.
pub fn set_elem_type(value: &mut ValueInfoProto, kind: DataType) {
    let value = value.r#type.as_mut().and_then(|of| of.value.as_mut());
    if let Some(type_proto::Value::TensorType(tensor)) = value {
        tensor.elem_type = kind as i32;
    }
}

/// Initialisers by name.
pub fn initializers(graph: &GraphProto) -> HashMap<&str, &TensorProto> {
    graph
        .initializer
        .iter()
        .map(|t| (t.name.as_str(), t))
        .collect()
}

/// For each value, the node that makes it.
pub fn producers(graph: &GraphProto) -> HashMap<&str, &NodeProto> {
    graph
        .node
        .iter()
        .flat_map(|n| n.output.iter().map(move |o| (o.as_str(), n)))
        .collect()
}

/// The node that makes a value, before the operators in `passed`.
pub fn behind<'a>(
    producers: &HashMap<&str, &'a NodeProto>,
    name: &str,
    passed: &[&str],
) -> Option<&'a NodeProto> {
    let mut node = *producers.get(name)?;
    // A graph should be acyclic, but a file may lie.
    for _ in 0..producers.len() {
        if !passed.contains(&node.op_type.as_str()) {
            return Some(node);
        }
        node = producers.get(node.input.first()?.as_str())?;
    }
    None
}

/// Calls `see` with each tensor of a file: weights, and those in attributes, subgraphs and functions.
pub fn each_tensor(
    model: &mut ModelProto,
    see: &mut dyn FnMut(&mut TensorProto) -> Result<(), String>,
) -> Result<(), String> {
    let mut seen = Ok(());
    let mut in_graph = |graph: &mut GraphProto| {
        for tensor in tensors_of(graph) {
            if seen.is_ok() {
                seen = see(tensor);
            }
        }
    };
    if let Some(graph) = &mut model.graph {
        each_graph(graph, &mut in_graph);
    }
    for function in &mut model.functions {
        // A function's nodes are a graph's nodes.
        let mut body = GraphProto {
            node: std::mem::take(&mut function.node),
            ..GraphProto::default()
        };
        each_graph(&mut body, &mut in_graph);
        function.node = body.node;
    }
    seen
}

/// Calls `see` with a graph and all its subgraphs.
pub fn each_graph(graph: &mut GraphProto, see: &mut dyn FnMut(&mut GraphProto)) {
    see(graph);
    for inner in graph.node.iter_mut().flat_map(inner_graphs_mut) {
        each_graph(inner, see);
    }
}

/// A graph's own tensors: weights, and those in its nodes' attributes.
pub fn tensors_of(graph: &mut GraphProto) -> impl Iterator<Item = &mut TensorProto> {
    let attributes = graph.node.iter_mut().flat_map(|n| &mut n.attribute);
    let in_nodes = attributes.flat_map(|a| a.t.iter_mut().chain(&mut a.tensors));
    graph.initializer.iter_mut().chain(in_nodes)
}

/// The subgraphs of a node: branches and bodies.
pub fn inner_graphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute
        .iter()
        .flat_map(|a| a.g.iter().chain(&a.graphs))
}

/// The same, to change them.
pub fn inner_graphs_mut(node: &mut NodeProto) -> impl Iterator<Item = &mut GraphProto> {
    node.attribute
        .iter_mut()
        .flat_map(|a| a.g.iter_mut().chain(&mut a.graphs))
}

/// How many times nodes read each value; once more if the graph outputs it.
pub fn read_counts(nodes: &[NodeProto], outputs: &[ValueInfoProto]) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    let outputs = outputs.iter().map(|o| o.name.as_str());
    for name in nodes.iter().flat_map(reads).chain(outputs) {
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    counts
}

/// Removes the weights that no node reads and the graph does not output.
pub fn drop_unread_weights(graph: &mut GraphProto) {
    let outputs = graph.output.iter().map(|o| o.name.as_str());
    let read: HashSet<&str> = graph.node.iter().flat_map(reads).chain(outputs).collect();
    graph.initializer.retain(|t| read.contains(t.name.as_str()));
}

/// The values that a node reads, including those that only its subgraphs read.
pub fn reads(node: &NodeProto) -> Vec<&str> {
    let mut names: Vec<&str> = node.input.iter().map(String::as_str).collect();
    for graph in inner_graphs(node) {
        let weights = graph.initializer.iter().map(|t| t.name.as_str());
        let inputs = graph.input.iter().map(|i| i.name.as_str());
        let results = graph.node.iter().flat_map(|n| &n.output);
        let defined: HashSet<&str> = weights
            .chain(inputs)
            .chain(results.map(String::as_str))
            .collect();
        let outputs = graph.output.iter().map(|o| o.name.as_str());
        let read = graph.node.iter().flat_map(reads).chain(outputs);
        names.extend(read.filter(|name| !defined.contains(name)));
    }
    names.retain(|name| !name.is_empty());
    names
}

/// What a message or listing calls a node: its name, or that of its first result.
pub fn name_of(node: &NodeProto) -> &str {
    let mut names = std::iter::once(&node.name).chain(&node.output);
    names
        .find(|name| !name.is_empty())
        .map_or("", String::as_str)
}

/// Whether a node's operator is a standard one. Another domain's of the same name may be another one.
pub fn is_standard(node: &NodeProto) -> bool {
    matches!(node.domain.as_str(), "" | "ai.onnx")
}

/// The number of values that a tensor's shape states; `None` if a size is negative or there are too many to count.
pub fn stated_count(tensor: &TensorProto) -> Option<usize> {
    let mut sizes = tensor.dims.iter().map(|&d| usize::try_from(d).ok());
    sizes.try_fold(1usize, |n, d| n.checked_mul(d?))
}

/// Whether a tensor's shape states at most `most` values. A node can name any tensor of the file, and many nodes the same one: its
/// length is looked at before it is read.
pub fn holds_at_most(tensor: &TensorProto, most: usize) -> bool {
    stated_count(tensor).is_some_and(|count| count <= most)
}

/// The values of an integer or float tensor as f32 (exact for the 8-bit types, and for 32-bit integers up to 2^24).
pub fn values_f32(tensor: &TensorProto) -> Result<Vec<f32>, String> {
    let kind = DataType::try_from(tensor.data_type).unwrap_or(DataType::Undefined);
    let raw = &tensor.raw_data;
    let words = || raw.as_chunks().0.iter();
    let values: Vec<f32> = match kind {
        DataType::Float if raw.is_empty() => tensor.float_data.clone(),
        DataType::Float => words().map(|&word| f32::from_le_bytes(word)).collect(),
        DataType::Uint8 if raw.is_empty() => {
            tensor.int32_data.iter().map(|&v| v as u8 as f32).collect()
        }
        DataType::Uint8 => raw.iter().map(|&v| f32::from(v)).collect(),
        DataType::Int8 if raw.is_empty() => {
            tensor.int32_data.iter().map(|&v| v as i8 as f32).collect()
        }
        DataType::Int8 => raw.iter().map(|&v| f32::from(v as i8)).collect(),
        DataType::Int32 if raw.is_empty() => tensor.int32_data.iter().map(|&v| v as f32).collect(),
        DataType::Int32 => words()
            .map(|&word| i32::from_le_bytes(word) as f32)
            .collect(),
        other => {
            return Err(format!(
                "'{}' is of type {other:?}, and Eyelet runs quantised networks of 8 bits; quantise it with QuantType.QInt8 or \
                 QUInt8 for weights and activations, or take the float network",
                tensor.name
            ));
        }
    };
    if stated_count(tensor) != Some(values.len()) {
        return Err(format!(
            "the weights '{}' hold {} values where their shape is {:?}",
            tensor.name,
            values.len(),
            tensor.dims
        ));
    }
    Ok(values)
}

/// Makes a model of the standard operators of `opset`, for tests.
#[cfg(test)]
pub fn test_model(graph: GraphProto, opset: i64) -> ModelProto {
    let standard = tract_onnx::pb::OperatorSetIdProto {
        domain: String::new(),
        version: opset,
    };
    ModelProto {
        opset_import: vec![standard],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

/// Makes a node, for tests.
#[cfg(test)]
pub fn test_node(
    op: &str,
    inputs: &[&str],
    outputs: &[&str],
    attributes: &[tract_onnx::pb::AttributeProto],
) -> NodeProto {
    let names = |of: &[&str]| of.iter().map(|&n| n.to_owned()).collect();
    NodeProto {
        op_type: op.to_owned(),
        input: names(inputs),
        output: names(outputs),
        attribute: attributes.to_vec(),
        ..NodeProto::default()
    }
}

/// Makes a float tensor.
pub fn float_tensor(name: &str, dims: &[usize], values: Vec<f32>) -> TensorProto {
    let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    typed_tensor(name, dims, DataType::Float, raw_data)
}

/// Makes a 64-bit integer tensor.
pub fn int64_tensor(name: &str, dims: &[usize], values: Vec<i64>) -> TensorProto {
    let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    typed_tensor(name, dims, DataType::Int64, raw_data)
}

/// Makes a tensor of little-endian values.
pub fn typed_tensor(name: &str, dims: &[usize], kind: DataType, raw_data: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.iter().map(|&d| d as i64).collect(),
        data_type: kind as i32,
        raw_data,
        ..TensorProto::default()
    }
}

/// Makes a graph's description of a tensor with this element type and shape.
pub fn value_info(name: &str, elem_type: i32, dims: &[i64]) -> ValueInfoProto {
    let dims = dims.iter().map(|&size| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(size)),
        ..Default::default()
    });
    let tensor = type_proto::Tensor {
        elem_type,
        shape: Some(TensorShapeProto {
            dim: dims.collect(),
        }),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..Default::default()
        }),
        ..Default::default()
    }
}
