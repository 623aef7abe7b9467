//! A model without the values of its large weights: its shapes and types do not depend on them, and every step that copies or
//! converts weights would cost as much memory as the file again.

use crate::network::onnx::value_info;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto};

/// Constants with at most this many values are kept: shapes, axes and the like.
const VALUES_KEPT: i64 = 64;

/// A model whose weights with two or more axes have only shapes. Scales, zero points and all whole numbers stay.
pub fn outline(model: &ModelProto) -> ModelProto {
    let graph = model.graph.as_ref().map(|graph| GraphProto {
        name: graph.name.clone(),
        node: graph.node.clone(),
        initializer: graph.initializer.iter().map(without_values).collect(),
        input: graph.input.clone(),
        output: graph.output.clone(),
        ..GraphProto::default()
    });
    ModelProto {
        ir_version: model.ir_version,
        opset_import: model.opset_import.clone(),
        graph,
        ..ModelProto::default()
    }
}

/// Whether a tensor is such a weight.
pub fn is_outline(tensor: &TensorProto) -> bool {
    large(tensor)
        && tensor.raw_data.is_empty()
        && tensor.float_data.is_empty()
        && tensor.int32_data.is_empty()
        && tensor.double_data.is_empty()
}

/// Such a weight as float.
pub fn float_outline(tensor: &TensorProto, name: &str) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: tensor.dims.clone(),
        data_type: DataType::Float as i32,
        ..TensorProto::default()
    }
}

/// Makes such weights inputs of the graph: tract takes the shape and type of an input, and does not ask for its values.
pub fn weights_as_inputs(graph: &mut GraphProto) {
    let all = std::mem::take(&mut graph.initializer);
    let (weights, kept) = all.into_iter().partition(is_outline);
    graph.initializer = kept;
    graph.input.extend(
        Vec::into_iter(weights).map(|t: TensorProto| value_info(&t.name, t.data_type, &t.dims)),
    );
}

fn large(tensor: &TensorProto) -> bool {
    let whole = [DataType::Int64 as i32, DataType::Int32 as i32];
    let count = tensor
        .dims
        .iter()
        .try_fold(1i64, |n, &d| n.checked_mul(d))
        .unwrap_or(i64::MAX);
    tensor.dims.len() >= 2 && count > VALUES_KEPT && !whole.contains(&tensor.data_type)
}

fn without_values(tensor: &TensorProto) -> TensorProto {
    if !large(tensor) {
        return tensor.clone();
    }
    TensorProto {
        name: tensor.name.clone(),
        dims: tensor.dims.clone(),
        data_type: tensor.data_type,
        ..TensorProto::default()
    }
}
