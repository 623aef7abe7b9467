//! Operators that tract alone would compute differently, from a file's graph to its scores.

mod whole_numbers;

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
    let planned = Planned::new(model, Dtype::F32, dims, None);
    let planned = planned.and_then(Planned::tried).map_err(|e| one_line(&e))?;
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

/// ONNX Runtime 1.32's results of a kernel of 1, 2, 3, or of 1, over 1, 2.
#[test]
fn a_transposed_convolution_that_pads_by_itself_gives_onnx_runtimes_size() {
    for (auto_pad, taps, stride, more, want) in [
        ("SAME_UPPER", 3, 2, 0, &[1.0, 2.0, 5.0, 4.0][..]),
        ("SAME_LOWER", 3, 2, 0, &[2.0, 5.0, 4.0, 6.0]),
        ("SAME_UPPER", 3, 2, 1, &[2.0, 5.0, 4.0, 6.0]),
        ("SAME_LOWER", 3, 2, 1, &[2.0, 5.0, 4.0, 6.0]),
        ("SAME_UPPER", 1, 2, 0, &[1.0, 0.0, 2.0]),
        ("SAME_LOWER", 1, 3, 1, &[1.0, 0.0, 0.0, 2.0, 0.0]),
    ] {
        let attributes = [
            of_ints("strides", &[stride]),
            of_ints("output_padding", &[more]),
            of_text("auto_pad", auto_pad),
        ];
        let nodes = vec![node("ConvTranspose", &["x", "w"], "y", &attributes)];
        let w = float_tensor("w", &[1, 1, taps], vec![1.0, 2.0, 3.0][..taps].to_vec());
        let got = run(17, nodes, vec![w], &[1.0, 2.0], &[1, 1, 2]).unwrap();
        near(&got, want);
    }
}

#[test]
fn indices_that_count_from_the_end_or_are_computed_are_refused() {
    let run_17 = |nodes: Vec<NodeProto>, weights: Vec<TensorProto>| {
        run(17, nodes, weights, &[1.0, 3.0], &[1, 1, 2])
    };
    let run = |nodes: Vec<NodeProto>, at: i64| {
        run_17(nodes, vec![int64_tensor("at", &[1, 3], vec![0, 0, at])])
    };
    let constant = || vec![node("GatherND", &["x", "at"], "y", &[])];
    near(&run(constant(), 1).unwrap(), &[3.0]);
    let why = run(constant(), -1).unwrap_err();
    let expected = "it has negative indices";
    assert!(why.contains(expected), "{why}");
    // Computed from a shape alone, they are known.
    let nodes = vec![
        node("Shape", &["x"], "shape", &[]),
        node("Sub", &["shape", "at"], "places", &[]),
        node("Unsqueeze", &["places", "zero"], "row", &[]),
        node("GatherND", &["x", "row"], "y", &[]),
    ];
    let known = |last: i64| {
        let at = int64_tensor("at", &[3], vec![1, 1, last]);
        let zero = int64_tensor("zero", &[1], vec![0]);
        run_17(nodes.clone(), vec![at, zero])
    };
    near(&known(1).unwrap(), &[3.0]);
    let why = known(3).unwrap_err();
    assert!(why.contains(expected), "{why}");
    let computed = vec![
        node("ArgMax", &["x"], "best", &[of_int("axis", 2)]),
        node("Add", &["best", "at"], "places", &[]),
        node("GatherND", &["x", "places"], "y", &[]),
    ];
    let why = run(computed, 0).unwrap_err();
    let expected = "it has computed indices";
    assert!(why.contains(expected), "{why}");
}

/// The values of an RNN's results of a sequence of 1 and 3, with weights of 1.
fn recurrent(
    opset: i64,
    results: &[&str],
    attributes: &[AttributeProto],
) -> Result<Vec<f32>, String> {
    let attributes = [&[of_int("hidden_size", 1)][..], attributes].concat();
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
    let reverse = [of_text("direction", "reverse")];
    near(&recurrent(17, &["y"], &reverse).unwrap(), &[first, last]);
    near(&recurrent(17, &["", "y"], &reverse).unwrap(), &[first]);
    near(&recurrent(10, &["all", "y"], &reverse).unwrap(), &[first]);
}

#[test]
fn a_layer_with_an_attribute_that_tract_drops_is_refused() {
    let clip = of_float("clip", 0.5);
    let why = recurrent(17, &["y"], std::slice::from_ref(&clip)).unwrap_err();
    assert!(why.contains("the node \"y\" (RNN) has clip = 0.5"), "{why}");
    let reverse = || of_text("direction", "reverse");
    // Rewritten, it still has the file's name.
    let why = recurrent(17, &["y"], &[clip, reverse()]).unwrap_err();
    assert!(why.contains("the node \"y\" (RNN) has clip = 0.5"), "{why}");
    let nodes = vec![node("RNN", &["x", "w", "r"], "y", &[reverse()])];
    let w = |name| float_tensor(name, &[1, 1, 1], vec![1.0]);
    let why = run(17, nodes, vec![w("w"), w("r")], &[0.0; 8], &[1, 2, 2, 2]).unwrap_err();
    assert!(why.contains("\"RNN of y -> eyelet/y.results\""), "{why}");
    let why = recurrent(9, &["y"], &[reverse()]).unwrap_err();
    let expected =
        "has direction = \"reverse\", which is not supported: export it with opset 10 or later";
    assert!(why.contains(expected), "{why}");
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

/// A Resize of a picture of four by four pixels, 0 to 15, and the same again as a second channel, with a third input (scales) or a fourth (sizes).
fn resized(
    attributes: &[AttributeProto],
    roi: &[f32],
    scales: &[f32],
    sizes: &[i64],
) -> Result<Vec<f32>, String> {
    let name = |name: &'static str, is_there: bool| if is_there { name } else { "" };
    let inputs = [
        "x",
        name("roi", !roi.is_empty()),
        name("scales", !scales.is_empty()),
        name("sizes", !sizes.is_empty()),
    ];
    let nodes = vec![node("Resize", &inputs, "y", attributes)];
    let weights = vec![
        float_tensor("roi", &[roi.len()], roi.to_vec()),
        float_tensor("scales", &[scales.len()], scales.to_vec()),
        int64_tensor("sizes", &[sizes.len()], sizes.to_vec()),
    ];
    let x: Vec<f32> = (0..32u8).map(|i| f32::from(i % 16)).collect();
    let both = run(18, nodes, weights, &x, &[1, 2, 4, 4])?;
    Ok(both[..both.len() / 2].to_vec())
}

/// The attributes of a Resize of this mode.
fn kind(mode: &str, places: &str) -> [AttributeProto; 2] {
    [
        of_text("mode", mode),
        of_text("coordinate_transformation_mode", places),
    ]
}

#[test]
fn cubes_to_one_pixel_as_pytorch_has_it_are_refused() {
    let cubic = kind("cubic", "pytorch_half_pixel");
    // ONNX Runtime 1.32's values.
    let want = [2.03125, 4.21875, 10.78125, 12.96875];
    near(&resized(&cubic, &[], &[], &[1, 2, 2, 2]).unwrap(), &want);
    near(
        &resized(&cubic, &[], &[1.0, 1.0, 0.5, 0.5], &[]).unwrap(),
        &want,
    );
    for refused in [
        resized(&cubic, &[], &[], &[1, 2, 1, 2]),
        resized(&cubic, &[], &[1.0, 1.0, 0.5, 0.25], &[]),
    ] {
        let why = refused.unwrap_err();
        assert!(why.contains("it interpolates to one pixel"), "{why}");
    }
}

#[test]
fn a_crop_of_an_axis_that_keeps_its_size_is_refused() {
    let linear = kind("linear", "tf_crop_and_resize");
    let roi = [0.0, 0.0, 0.25, 0.25, 1.0, 1.0, 0.75, 0.75];
    // ONNX Runtime 1.32's values.
    let want = [3.75, 5.25, 9.75, 11.25];
    near(&resized(&linear, &roi, &[], &[1, 2, 2, 2]).unwrap(), &want);
    let why = resized(&linear, &roi, &[], &[1, 2, 4, 2]).unwrap_err();
    assert!(
        why.contains("it crops an axis whose size it keeps"),
        "{why}"
    );
}

#[test]
fn aligned_corners_with_proportions_or_antialias_are_refused() {
    let with = |places: &str, other: AttributeProto, scales: &[f32], sizes: &[i64]| {
        let attributes = [
            &kind("linear", places)[..],
            &[other, of_ints("axes", &[2, 3])],
        ]
        .concat();
        resized(&attributes, &[], scales, sizes)
    };
    let proportions = || of_text("keep_aspect_ratio_policy", "not_larger");
    with("half_pixel", proportions(), &[], &[2, 3]).unwrap();
    let why = with("align_corners", proportions(), &[], &[2, 3]).unwrap_err();
    assert!(why.contains("keeps proportions"), "{why}");
    // ONNX Runtime 1.32's values.
    let antialias = || of_int("antialias", 1);
    let got = with("align_corners", antialias(), &[], &[1, 3]).unwrap();
    near(&got, &[2.666_666_7, 4.0, 5.333_333_5]);
    let why = with("align_corners", antialias(), &[0.4, 0.9], &[]).unwrap_err();
    assert!(
        why.contains("has antialias and scales to fractional"),
        "{why}"
    );
}

#[test]
fn a_pool_with_dilations_that_pads_by_itself_is_refused() {
    for op in ["MaxPool", "AveragePool", "LpPool"] {
        let run = |dilation: i64| {
            let attributes = [
                of_ints("kernel_shape", &[2]),
                of_ints("dilations", &[dilation]),
                of_text("auto_pad", "SAME_UPPER"),
            ];
            let nodes = vec![node(op, &["x"], "y", &attributes)];
            run(19, nodes, vec![], &[1.0, 3.0, 2.0, 4.0], &[1, 1, 4])
        };
        run(1).unwrap();
        let why = run(2).unwrap_err();
        assert!(why.contains("around a window with dilations"), "{why}");
    }
}

#[test]
fn the_best_values_out_of_order_are_refused() {
    let run = |sorted: i64| {
        let attributes = [of_int("axis", 2), of_int("sorted", sorted)];
        let nodes = vec![test_node("TopK", &["x", "k"], &["y", "at"], &attributes)];
        let k = int64_tensor("k", &[1], vec![2]);
        run(17, nodes, vec![k], &[1.0, 3.0, 2.0, 0.0], &[1, 1, 4])
    };
    near(&run(1).unwrap(), &[3.0, 2.0]);
    let why = run(0).unwrap_err();
    assert!(why.contains("export it with sorted = 1"), "{why}");
}

#[test]
fn a_transform_without_an_axis_is_along_the_one_before_the_last() {
    let run = |opset: i64, attributes: &[AttributeProto]| {
        let nodes = vec![node("DFT", &["x"], "y", attributes)];
        let x = [1.0, 0.0, 3.0, 0.0, 2.0, 0.0, 4.0, 0.0];
        run(opset, nodes, vec![], &x, &[1, 2, 2, 2])
    };
    let rows = [4.0, 0.0, -2.0, 0.0, 6.0, 0.0, -2.0, 0.0];
    let columns = [3.0, 0.0, 7.0, 0.0, -1.0, 0.0, -1.0, 0.0];
    near(&run(20, &[]).unwrap(), &rows);
    near(&run(17, &[]).unwrap(), &columns);
    near(&run(17, &[of_int("axis", 2)]).unwrap(), &rows);
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

#[test]
fn what_would_fail_on_each_frame_is_refused() {
    let nodes = vec![
        node("Sin", &["x"], "sine", &[]),
        node("Add", &["sine", "w"], "sum", &[]),
        node("ReduceMean", &["sum"], "y", &[of_int("keepdims", 0)]),
    ];
    let w = float_tensor("w", &[3], vec![0.0; 3]);
    let why = run(17, nodes, vec![w], &[0.0; 4], &[1, 1, 4]).unwrap_err();
    assert!(why.contains("Can not broadcast 4 against 3"), "{why}");
}

#[test]
fn operators_of_onnx_runtime_are_known_by_name() {
    let run = |op: &str, inputs: &[&str], attributes: &[AttributeProto]| {
        let mut node = node(op, inputs, "y", attributes);
        node.domain = "com.microsoft".to_owned();
        let weights = vec![
            int64_tensor("pads", &[6], vec![0, 0, 1, 0, 0, 1]),
            float_tensor("nine", &[], vec![9.0]),
        ];
        run(17, vec![node], weights, &[1.0, 3.0, 2.0, 4.0], &[1, 1, 4])
    };
    // The value does not count.
    for (mode, want) in [
        ("reflect", [3.0, 1.0, 3.0, 2.0, 4.0, 2.0]),
        ("edge", [1.0, 1.0, 3.0, 2.0, 4.0, 4.0]),
        ("constant", [9.0, 1.0, 3.0, 2.0, 4.0, 9.0]),
    ] {
        let got = run("Pad", &["x", "pads", "nine"], &[of_text("mode", mode)]);
        near(&got.unwrap(), &want);
    }
    let quick = run("QuickGelu", &["x"], &[of_float("alpha", 1.0)]).unwrap();
    near(&quick[..1], &[1.0 / (1.0 + (-1f32).exp())]);
    let why = run("Attention", &["x", "x", "x"], &[]).unwrap_err();
    assert!(
        why.contains("unknown operator Attention of com.microsoft"),
        "{why}"
    );
}

#[test]
fn refusals_of_old_and_rare_forms_say_what_helps() {
    let of_pool = [of_ints("kernel_shape", &[2]), of_int("ceil_mode", 1)];
    let nodes = vec![node("LpPool", &["x"], "y", &of_pool)];
    let why = run(18, nodes, vec![], &[0.0; 4], &[1, 1, 4]).unwrap_err();
    assert!(why.contains("rounds its size up (ceil_mode = 1)"), "{why}");
    let nodes = vec![test_node("TopK", &["x"], &["y", "at"], &[of_int("k", 2)])];
    let why = run(9, nodes, vec![], &[0.0; 4], &[1, 1, 4]).unwrap_err();
    assert!(why.contains("export it with opset 10 or later"), "{why}");
}
