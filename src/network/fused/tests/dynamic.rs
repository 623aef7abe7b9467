//! Scales found anew in every run, beside other readers of the same tensor.

use super::plainest;
use crate::network::attributes::{of_int, of_ints};
use crate::network::fused::{kernels, understand};
use crate::network::onnx::{float_tensor, int64_tensor, typed_tensor, value_info};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};

fn node(op: &str, inputs: &[&str], outputs: &[&str], attributes: &[AttributeProto]) -> NodeProto {
    let names = |of: &[&str]| of.iter().map(|&n| n.to_owned()).collect();
    NodeProto {
        op_type: op.to_owned(),
        input: names(inputs),
        output: names(outputs),
        attribute: attributes.to_vec(),
        ..NodeProto::default()
    }
}

/// The largest of pixels, by whole numbers; on top of it the same largest values, counted along other axes before they are
/// rounded.
fn quantised_beside_reshape() -> ModelProto {
    let last = [of_ints("perm", &[0, 2, 3, 1])];
    let kernel = [of_ints("kernel_shape", &[2, 2])];
    let size = |c| value_info("picture", DataType::Float as i32, &[1, c, 5, 5]);
    let nodes = vec![
        node("MaxPool", &["picture"], &["x"], &kernel),
        node("Transpose", &["x"], &["x last"], &last),
        node("Reshape", &["x last", "rows"], &["x rows"], &[]),
        node("DynamicQuantizeLinear", &["x"], &["q", "s", "z"], &[]),
        node("ConvInteger", &["q", "w", "z"], &["sums"], &[]),
        node("Cast", &["sums"], &["floats"], &[of_int("to", 1)]),
        node("Mul", &["s", "w scale"], &["scale"], &[]),
        node("Mul", &["floats", "scale"], &["y"], &[]),
        node("Transpose", &["y"], &["y last"], &last),
        node("Reshape", &["y last", "rows"], &["y rows"], &[]),
        node("Add", &["x rows", "y rows"], &["scores"], &[]),
    ];
    let graph = GraphProto {
        node: nodes,
        initializer: vec![
            int64_tensor("rows", &[3], vec![1, 16, 3]),
            typed_tensor(
                "w",
                &[3, 3, 1, 1],
                DataType::Int8,
                vec![1, 2, 3, 4, 5, 6, 7, 8, 255],
            ),
            float_tensor("w scale", &[], vec![0.25]),
        ],
        input: vec![size(3)],
        output: vec![value_info("scores", DataType::Float as i32, &[1, 16, 3])],
        ..GraphProto::default()
    };
    ModelProto {
        opset_import: vec![OperatorSetIdProto {
            version: 17,
            ..OperatorSetIdProto::default()
        }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

#[test]
fn rounding_in_place_leaves_what_a_reshape_shares() {
    let picture: Vec<f32> = (0..75)
        .map(|i| (i * 37 % 75) as f32 * 0.013 - 0.4436)
        .collect();
    let understood = understand(quantised_beside_reshape()).unwrap();
    let all = plainest::run(&understood.0, &picture, &[]);
    let want: Vec<f32> = all[understood.0.exports[0].tensor.0]
        .iter()
        .map(|x| x.is)
        .collect();
    for kernels in kernels::available() {
        for threads in 1..4 {
            let understood = understand(quantised_beside_reshape()).unwrap();
            let mut net = understood.plan_with(threads, kernels).unwrap();
            assert!(net.set_f32(&picture, crate::model::Layout::Nhwc));
            assert_eq!(net.run(), want, "{} x {threads}", kernels.name());
        }
    }
}
