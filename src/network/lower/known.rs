//! The operators with a fused form, and the function that lowers each.

use super::{Lower, Lowered, Value};
use crate::network::error::NotFused;
use crate::network::onnx::name_of;
use std::collections::HashSet;
use tract_onnx::pb::{GraphProto, NodeProto};

/// How a node is lowered.
pub(crate) enum Form {
    /// To one value, its first result.
    One(fn(&mut Lower, &NodeProto) -> Lowered<Value>),
    /// To all its results at once.
    All(fn(&mut Lower, &NodeProto) -> Lowered<()>),
}

/// The fused form of a node's operator; the error says that there is none.
pub(crate) fn form(node: &NodeProto) -> Lowered<Form> {
    let one: fn(&mut Lower, &NodeProto) -> Lowered<Value> =
        match (node.domain.as_str(), node.op_type.as_str()) {
            ("" | "ai.onnx", "Split") => return Ok(Form::All(Lower::split)),
            ("" | "ai.onnx", "DynamicQuantizeLinear") => {
                return Ok(Form::All(Lower::dynamic_quantize_linear));
            }
            ("" | "ai.onnx", op) => match op {
                "Conv" => Lower::conv,
                "BatchNormalization" => Lower::batch_norm,
                "Relu" | "Clip" | "HardSwish" | "HardSigmoid" | "Sigmoid" | "LeakyRelu"
                | "Tanh" | "Erf" => Lower::unary,
                "Min" | "Max" => Lower::min_or_max,
                "Gelu" => Lower::gelu,
                "PRelu" => Lower::prelu,
                "Slice" => Lower::slice,
                "Gather" => Lower::gather,
                "Add" | "Sub" | "Mul" | "Div" => Lower::binary,
                "GlobalAveragePool" | "GlobalMaxPool" | "AveragePool" | "MaxPool"
                | "ReduceMean" => Lower::pool,
                "Gemm" | "MatMul" => Lower::fully_connected,
                "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => Lower::reshape,
                "Transpose" => Lower::transpose,
                "Identity" | "Dropout" => |lower, node| lower.input_value(node, 0),
                "Cast" => Lower::cast,
                "Pad" => Lower::pad,
                "Sum" => Lower::sum,
                "LRN" => Lower::lrn,
                "Resize" => Lower::resize,
                "Softmax" => Lower::softmax,
                "LayerNormalization" => Lower::layer_norm,
                "Pow" | "Sqrt" => Lower::power,
                "Concat" => Lower::concat,
                "QuantizeLinear" => Lower::quantize_linear,
                "DequantizeLinear" => Lower::dequantize_linear,
                "QLinearConv" => Lower::qlinear_conv,
                "QLinearMatMul" => Lower::qlinear_matmul,
                "ConvInteger" => Lower::conv_integer,
                "MatMulInteger" => Lower::matmul_integer,
                _ => return Err("there is no fused form of this operator".into()),
            },
            ("com.microsoft", op) => match op {
                "QLinearAdd" | "QLinearMul" => Lower::qlinear_binary,
                "QLinearGlobalAveragePool" | "QLinearAveragePool" => Lower::qlinear_pool,
                "QGemm" => Lower::qgemm,
                "QLinearSoftmax" => Lower::qlinear_softmax,
                "QLinearConcat" => Lower::qlinear_concat,
                "QLinearLeakyRelu" | "QLinearSigmoid" => Lower::qlinear_unary,
                _ => return Err("there is no fused form of this operator".into()),
            },
            (domain, _) => return Err(format!("the operator set {domain:?} is unknown")),
        };
    Ok(Form::One(one))
}

/// Checks that every operator of a graph has a fused form, apart from those with only constant inputs. Runs before any weight is
/// consumed; the error names the first operator without one.
pub fn all_known(graph: &GraphProto) -> Result<(), NotFused> {
    let weights = graph.initializer.iter().map(|t| t.name.as_str());
    let mut constant: HashSet<&str> = weights.collect();
    for node in &graph.node {
        let folds = node.op_type == "Shape"
            || node
                .input
                .iter()
                .all(|i| i.is_empty() || constant.contains(i.as_str()));
        if folds {
            constant.extend(node.output.iter().map(String::as_str));
        } else if let Err(why) = form(node) {
            return Err(NotFused {
                node: name_of(node).to_owned(),
                op: node.op_type.clone(),
                why,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::network::onnx::test_node;

    #[test]
    fn a_node_without_a_name_is_called_by_its_result() {
        let graph = GraphProto {
            node: vec![test_node("Sin", &["x"], &["", "sine"], &[])],
            ..GraphProto::default()
        };
        assert_eq!(all_known(&graph).unwrap_err().node, "sine");
    }
}
