//! Bugs that random networks have found, each in a small form.

use super::plainest;
use crate::network::fused::understand;
use crate::network::kernels;
use crate::network::onnx::attributes::{of_int, of_ints};
use crate::network::onnx::test_node as node;
use crate::network::onnx::{float_tensor, int64_tensor, test_model, typed_tensor, value_info};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

/// A model from `picture` to `scores`.
fn model(
    kind: DataType,
    size: [i64; 4],
    nodes: Vec<NodeProto>,
    weights: Vec<TensorProto>,
) -> ModelProto {
    let graph = GraphProto {
        node: nodes,
        initializer: weights,
        input: vec![value_info("picture", kind as i32, &size)],
        output: vec![value_info("scores", DataType::Float as i32, &[])],
        ..GraphProto::default()
    };
    test_model(graph, 17)
}

/// The maxima of a max pooling as whole numbers, and beside that the same maxima reshaped before they are rounded.
fn quantised_beside_reshape() -> ModelProto {
    let last = [of_ints("perm", &[0, 2, 3, 1])];
    let kernel = [of_ints("kernel_shape", &[2, 2])];
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
    let weights = vec![
        int64_tensor("rows", &[3], vec![1, 16, 3]),
        typed_tensor(
            "w",
            &[3, 3, 1, 1],
            DataType::Int8,
            vec![1, 2, 3, 4, 5, 6, 7, 8, 255],
        ),
        float_tensor("w scale", &[], vec![0.25]),
    ];
    model(DataType::Float, [1, 3, 5, 5], nodes, weights)
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
            assert!(net.set_f32(&picture, crate::spec::Layout::Nhwc));
            assert_eq!(net.run(), want, "{} x {threads}", kernels.name());
        }
    }
}

#[test]
fn a_picture_that_is_also_read_as_floats_does_not_go_in_as_bytes() {
    let nodes = vec![
        node("Identity", &["picture"], &["x"], &[]),
        node("Relu", &["x"], &["y"], &[]),
        node("QuantizeLinear", &["x", "s", "z"], &["q"], &[]),
        node("DequantizeLinear", &["q", "s", "z"], &["r"], &[]),
        node("Add", &["y", "r"], &["scores"], &[]),
    ];
    let weights = vec![
        float_tensor("s", &[], vec![0.5]),
        typed_tensor("z", &[], DataType::Uint8, vec![128]),
    ];
    let picture: Vec<f32> = (0..48).map(|i| (i * 11 % 48) as f32 * 0.1 - 2.0).collect();
    let rounded = |x: f32| (x / 0.5).round_ties_even() * 0.5;
    let want: Vec<f32> = picture.iter().map(|&x| x.max(0.0) + rounded(x)).collect();
    let model = model(DataType::Float, [1, 3, 16, 1], nodes, weights);
    let mut net = understand(model).unwrap().plan(1).unwrap();
    assert!(net.set_f32(&picture, crate::spec::Layout::Nchw));
    assert_eq!(net.run(), want);
}

#[test]
fn pixels_that_mean_two_things_are_refused() {
    let cast = node("Cast", &["picture"], &["x"], &[of_int("to", 1)]);
    let dequantised = node("DequantizeLinear", &["picture", "s", "z"], &["y"], &[]);
    let sum = node("Add", &["x", "y"], &["scores"], &[]);
    for nodes in [
        vec![cast.clone(), dequantised.clone(), sum.clone()],
        vec![dequantised, cast, sum],
    ] {
        let weights = vec![
            float_tensor("s", &[], vec![0.5]),
            typed_tensor("z", &[], DataType::Uint8, vec![128]),
        ];
        let model = model(DataType::Uint8, [1, 3, 4, 4], nodes, weights);
        assert!(understand(model).is_err());
    }
}

#[test]
fn padding_stays_with_its_axes() {
    let rows = int64_tensor("pads", &[8], vec![0, 0, 2, 0, 0, 0, 2, 0]);
    let weights = float_tensor("w", &[1, 3, 3, 3], (0..27).map(|i| i as f32).collect());
    let pad = node("Pad", &["x", "pads"], &["y"], &[]);
    let conv = node("Conv", &["z", "w"], &["scores"], &[]);
    let turn = node(
        "Transpose",
        &["y"],
        &["z"],
        &[of_ints("perm", &[0, 1, 3, 2])],
    );
    // Softmax leaves a value whose last axis is in channel order; a transposed value has other rows than it was padded for.
    for (before, after) in [
        ("Softmax", node("Identity", &["y"], &["z"], &[])),
        ("Relu", turn),
    ] {
        let first = node(before, &["picture"], &["x"], &[of_int("axis", -1)]);
        let nodes = vec![first, pad.clone(), after, conv.clone()];
        let weights = vec![rows.clone(), weights.clone()];
        assert!(understand(model(DataType::Float, [1, 3, 4, 7], nodes, weights)).is_err());
    }
}

#[test]
fn a_pool_whose_window_sees_nothing_is_refused() {
    // The taps of the only window are to the left and to the right of the only column.
    let pool = |left: i64| {
        let window = [
            of_ints("kernel_shape", &[1, 2]),
            of_ints("dilations", &[1, 2]),
            of_ints("pads", &[0, left, 0, 1]),
        ];
        let nodes = vec![node("MaxPool", &["picture"], &["scores"], &window)];
        understand(model(
            DataType::Float,
            [1, 3, 5, 2 - left],
            nodes,
            Vec::new(),
        ))
    };
    assert!(pool(1).is_err());
    assert!(pool(0).is_ok());
}
