//! Operators that tract alone would compute differently, from a file's graph to its scores.

use super::parse::one_line;
use super::plan::{Planned, Staging, TractPlan};
use crate::network::lower::settle;
use crate::network::onnx::attributes::{of_float, of_int, of_ints, of_text};
use crate::network::onnx::{
    budget, float_tensor, int64_tensor, repair, test_model, test_node, value_info,
};
use crate::network::rewrite::forms;
use crate::spec::Dtype;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, OperatorSetIdProto, TensorProto};

/// The values of `y`, which these nodes make of `x`.
fn run(
    opset: i64,
    nodes: Vec<NodeProto>,
    weights: Vec<TensorProto>,
    x: &[f32],
    dims: &[usize],
) -> Result<Vec<f32>, String> {
    let sizes: Vec<i64> = dims.iter().map(|&d| d as i64).collect();
    let graph = GraphProto {
        node: nodes,
        initializer: weights,
        input: vec![value_info("x", 1, &sizes)],
        output: vec![value_info("y", 1, &[])],
        ..GraphProto::default()
    };
    let mut model = test_model(graph, opset);
    repair::model(&mut model, None)?;
    budget::check(model.graph.as_ref().unwrap())?;
    settle(&mut model)?;
    forms::rewrite(&mut model)?;
    let planned = Planned::new(model, Dtype::F32, dims, None).map_err(|e| one_line(&e))?;
    let mut plan = TractPlan::new(planned).map_err(|e| one_line(&e))?;
    match &mut plan.input {
        Staging::F32(values) => values.copy_from_slice(x),
        Staging::U8(_) => unreachable!("the input is float"),
    }
    plan.run().map_err(|e| one_line(&e))?;
    Ok(plan.scores)
}

fn node(op: &str, inputs: &[&str], output: &str, attributes: &[AttributeProto]) -> NodeProto {
    test_node(op, inputs, &[output], attributes)
}

fn near(got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{got:?} for {want:?}");
    let alike = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * (1.0 + b.abs());
    assert!(got.iter().zip(want).all(alike), "{got:?} for {want:?}");
}

#[test]
fn distant_scores_have_finite_logarithms_whatever_made_them() {
    let far = [0.0, 200.0, -300.0, 100.0];
    let want = [-200.0, 0.0, -500.0, -100.0];
    let softmax = |axis| node("LogSoftmax", &["scores"], "y", &[of_int("axis", axis)]);
    let identity = float_tensor(
        "w",
        &[4, 4],
        (0..16).map(|i| f32::from(u8::from(i % 5 == 0))).collect(),
    );
    let axes = int64_tensor("axes", &[1], vec![2]);
    let product = vec![
        node("Flatten", &["x"], "flat", &[]),
        node("MatMul", &["flat", "w"], "scores", &[]),
        softmax(1),
    ];
    let squeeze = vec![node("Squeeze", &["x", "axes"], "scores", &[]), softmax(-1)];
    let mean = |attributes: &[AttributeProto]| {
        let mean = node("ReduceMean", &["x"], "scores", attributes);
        vec![mean, softmax(1)]
    };
    let mean = mean(&[of_ints("axes", &[2]), of_int("keepdims", 0)]);
    let shape = int64_tensor("shape", &[2], vec![1, 4]);
    // Its rank is not known before the graph runs.
    let einsum = vec![
        node("Reshape", &["x", "shape"], "flat", &[]),
        node(
            "Einsum",
            &["flat"],
            "scores",
            &[of_text("equation", "ab->ab")],
        ),
        softmax(1),
    ];
    for (opset, nodes) in [
        (17, product.clone()),
        (11, product),
        (17, squeeze),
        (17, mean.clone()),
        (11, mean),
        (17, einsum.clone()),
        (12, einsum),
    ] {
        let weights = vec![identity.clone(), axes.clone(), shape.clone()];
        let got = run(opset, nodes.clone(), weights, &far, &[1, 4, 1]);
        near(&got.unwrap_or_else(|why| panic!("{why}: {nodes:?}")), &want);
    }
}

#[test]
fn a_logarithm_of_a_sum_of_large_exponentials_is_finite() {
    let x = [100.0, 100.0, -200.0, 50.0];
    let want = 100.0 + 2f32.ln();
    for (opset, axes, keep) in [
        (13, Some(1), 1),
        (13, Some(1), 0),
        (18, Some(1), 0),
        (13, None, 0),
    ] {
        let mut inputs = vec!["x"];
        let mut attributes = vec![of_int("keepdims", keep)];
        match axes {
            Some(axis) if opset < 18 => attributes.push(of_ints("axes", &[axis])),
            Some(_) => inputs.push("axes"),
            None => {}
        }
        let nodes = vec![node("ReduceLogSumExp", &inputs, "y", &attributes)];
        let axes = int64_tensor("axes", &[1], vec![1]);
        near(
            &run(opset, nodes, vec![axes], &x, &[1, 4, 1]).unwrap(),
            &[want],
        );
    }
}

#[test]
fn omitted_inputs_at_the_end_are_none() {
    let w = || float_tensor("w", &[1, 1, 1], vec![2.0]);
    for op in ["Conv", "ConvTranspose"] {
        let nodes = vec![node(op, &["x", "w", ""], "y", &[])];
        near(
            &run(17, nodes, vec![w()], &[1.0, 3.0], &[1, 1, 2]).unwrap(),
            &[2.0, 6.0],
        );
    }
    let nodes = vec![node("ReduceMean", &["x", ""], "y", &[])];
    near(
        &run(18, nodes, vec![], &[1.0, 3.0], &[1, 1, 2]).unwrap(),
        &[2.0],
    );
}

/// ONNX Runtime 1.32's results of a kernel of 1, 2, 3 over 1, 2 by a stride of 2.
#[test]
fn a_stated_size_of_a_transposed_convolution_gives_its_padding() {
    let whole = [1.0, 2.0, 5.0, 4.0, 6.0];
    for (size, auto_pad, want) in [
        (5, "NOTSET", &whole[..]),
        (4, "NOTSET", &whole[1..]),
        (4, "SAME_LOWER", &whole[1..]),
        (4, "SAME_UPPER", &whole[..4]),
        (3, "NOTSET", &whole[1..4]),
        (6, "NOTSET", &[1.0, 2.0, 5.0, 4.0, 6.0, 0.0]),
    ] {
        let attributes = [
            of_ints("strides", &[2]),
            of_ints("output_shape", &[size]),
            of_text("auto_pad", auto_pad),
        ];
        let nodes = vec![node("ConvTranspose", &["x", "w"], "y", &attributes)];
        let w = float_tensor("w", &[1, 1, 3], vec![1.0, 2.0, 3.0]);
        let got = run(17, nodes, vec![w], &[1.0, 2.0], &[1, 1, 2]).unwrap();
        near(&got, want);
    }
}

#[test]
fn indices_that_count_from_the_end_are_refused() {
    let nodes = || vec![node("GatherND", &["x", "at"], "y", &[])];
    let run = |at: i64| {
        let at = int64_tensor("at", &[1, 3], vec![0, 0, at]);
        run(17, nodes(), vec![at], &[1.0, 3.0], &[1, 1, 2])
    };
    near(&run(1).unwrap(), &[3.0]);
    let why = run(-1).unwrap_err();
    assert!(
        why.contains("the node 'y' (GatherND) has negative indices"),
        "{why}"
    );
}

/// The values of an RNN's results of a sequence of 1 and 3, with weights of 1.
fn recurrent(opset: i64, results: &[&str], attribute: AttributeProto) -> Result<Vec<f32>, String> {
    let attributes = [of_int("hidden_size", 1), attribute];
    let nodes = vec![
        node("Reshape", &["x", "shape"], "s", &[]),
        test_node("RNN", &["s", "w", "r"], results, &attributes),
    ];
    let weights = vec![
        int64_tensor("shape", &[3], vec![2, 1, 1]),
        float_tensor("w", &[1, 1, 1], vec![1.0]),
        float_tensor("r", &[1, 1, 1], vec![1.0]),
    ];
    run(opset, nodes, weights, &[1.0, 3.0], &[1, 1, 2])
}

#[test]
fn a_layer_may_run_from_the_end_of_its_sequence() {
    let last = 3f32.tanh();
    let first = (1.0 + last).tanh();
    let reverse = || of_text("direction", "reverse");
    near(&recurrent(17, &["y"], reverse()).unwrap(), &[first, last]);
    near(&recurrent(17, &["", "y"], reverse()).unwrap(), &[first]);
    near(&recurrent(10, &["all", "y"], reverse()).unwrap(), &[first]);
}

#[test]
fn a_layer_with_an_attribute_that_tract_drops_is_refused() {
    let clip = of_float("clip", 0.5);
    let why = recurrent(17, &["y"], clip).unwrap_err();
    assert!(why.contains("the node \"y\" (RNN) has clip = 0.5"), "{why}");
    let reverse = of_text("direction", "reverse");
    let why = recurrent(9, &["y"], reverse).unwrap_err();
    assert!(why.contains("has direction = \"reverse\""), "{why}");
}

#[test]
fn a_file_of_two_opsets_is_refused() {
    let mut model = test_model(GraphProto::default(), 11);
    model.opset_import.push(OperatorSetIdProto {
        domain: "ai.onnx".to_owned(),
        version: 17,
    });
    let why = forms::rewrite(&mut model).unwrap_err();
    assert!(why.contains("states two opsets"), "{why}");
    model.opset_import[1].version = 11;
    forms::rewrite(&mut model).unwrap();
}

#[test]
fn cubes_to_one_pixel_as_pytorch_has_it_are_refused() {
    let run = |side: i64| {
        let attributes = [
            of_text("mode", "cubic"),
            of_text("coordinate_transformation_mode", "pytorch_half_pixel"),
        ];
        let nodes = vec![node("Resize", &["x", "", "", "sizes"], "y", &attributes)];
        let sizes = int64_tensor("sizes", &[4], vec![1, 2, side, 2]);
        run(17, nodes, vec![sizes], &[1.0; 32], &[1, 2, 4, 4])
    };
    near(&run(2).unwrap(), &[1.0; 8]);
    let why = run(1).unwrap_err();
    assert!(
        why.contains("(Resize) interpolates by cubes to one pixel"),
        "{why}"
    );
}

#[test]
fn a_computed_boolean_mask_is_refused_in_words() {
    let nodes = vec![
        node("Less", &["x", "w"], "mask", &[]),
        node("Attention", &["x", "x", "x", "mask"], "y", &[]),
    ];
    let w = float_tensor("w", &[1], vec![2.0]);
    let why = run(23, nodes, vec![w], &[1.0; 16], &[1, 4, 2, 2]).unwrap_err();
    assert!(why.contains("a boolean mask that is computed"), "{why}");
}
