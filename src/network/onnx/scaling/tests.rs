#![allow(clippy::unwrap_used)]
use super::*;
use crate::network::onnx::attributes::of_int;
use crate::network::onnx::{float_tensor, int64_tensor, test_node, value_info};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{TensorProto, ValueInfoProto};

/// A graph that begins with these operators on these constants (no constants: an operator with one input).
fn begins_with(operators: &[(&str, &[f32])]) -> GraphProto {
    let mut graph = GraphProto::default();
    graph.input.push(ValueInfoProto {
        name: "x0".into(),
        ..ValueInfoProto::default()
    });
    for (at, (op_type, values)) in operators.iter().enumerate() {
        let mut input = vec![format!("x{at}")];
        if !values.is_empty() {
            input.push(format!("c{at}"));
            graph.initializer.push(TensorProto {
                name: format!("c{at}"),
                dims: vec![1, values.len() as i64, 1, 1],
                data_type: DataType::Float as i32,
                raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
                ..TensorProto::default()
            });
        }
        graph.node.push(NodeProto {
            op_type: (*op_type).into(),
            input,
            output: vec![format!("x{}", at + 1)],
            ..NodeProto::default()
        });
    }
    graph
}

#[test]
fn the_pixels_that_a_network_wants_are_seen_in_what_it_does_to_them() {
    let of = |operators| most(&of(&begins_with(operators)));
    let rescaling: &[(&str, &[f32])] = &[
        ("Cast", &[]),
        ("Mul", &[1.0 / 127.5]),
        ("Add", &[-1.0]),
        ("Conv", &[]),
    ];
    assert_eq!(of(rescaling), Some(255.0));
    let keras: &[(&str, &[f32])] = &[
        ("Mul", &[1.0 / 255.0]),
        ("Sub", &[0.485, 0.456, 0.406]),
        ("Div", &[0.229, 0.224, 0.225]),
    ];
    assert_eq!(of(keras), Some(255.0));
    let wrapped: &[(&str, &[f32])] = &[
        ("Sub", &[0.485, 0.456, 0.406]),
        ("Div", &[0.229, 0.224, 0.225]),
        ("Conv", &[]),
    ];
    assert_eq!(of(wrapped), Some(1.0));
    assert_eq!(of(&[("Mul", &[2.0]), ("Sub", &[1.0])]), Some(1.0));
    // From one normalisation to another.
    let moved: &[(&str, &[f32])] = &[("Mul", &[0.458, 0.448, 0.45]), ("Add", &[-0.03])];
    assert_eq!(of(moved), None);
    // Nothing, a layer first, a learned normalisation, weights.
    assert_eq!(of(&[]), None);
    assert_eq!(of(&[("Conv", &[]), ("Mul", &[0.1])]), None);
    assert_eq!(of(&[("BatchNormalization", &[1.0])]), None);
    assert_eq!(of(&[("Mul", &[1.0, 2.0])]), None);
    assert_eq!(of(&[("Mul", &[0.0])]), None);
}

#[test]
fn a_picture_that_two_layers_read_is_none_that_one_of_them_scales() {
    let mut graph = begins_with(&[("Mul", &[1.0 / 255.0])]);
    let mut other = graph.node[0].clone();
    other.output = vec!["y".into()];
    graph.node.push(other);
    assert_eq!(of(&graph), Start::default());
}

fn most(start: &Start) -> Option<f32> {
    start.scaling.as_ref().map(|s| s.pixel_most)
}

#[test]
fn what_is_subtracted_and_bounds_tell_the_range_too() {
    let of = |operators: &[(&str, &[f32])]| most(&of(&begins_with(operators)));
    assert_eq!(of(&[("Sub", &[128.0])]), Some(255.0));
    assert_eq!(of(&[("Sub", &[103.9, 116.8, 123.7])]), Some(255.0));
    assert_eq!(of(&[("Sub", &[0.5])]), Some(1.0));
    assert_eq!(of(&[("Mul", &[255.0]), ("Sub", &[123.7])]), Some(1.0));
    assert_eq!(of(&[("Mul", &[1.0])]), None);
}

#[test]
fn arithmetic_that_nothing_follows_from_is_named() {
    let unclear = |operators: &[(&str, &[f32])]| of(&begins_with(operators)).unclear;
    let named = |names: &str| Some(names.to_owned());
    assert_eq!(unclear(&[("Pow", &[2.0])]), named("Pow"));
    assert_eq!(unclear(&[("Tanh", &[])]), named("Tanh"));
    // From -1..=1 to 0..=1, and by a mean of each pixel.
    let moved: &[(&str, &[f32])] = &[("Add", &[1.0]), ("Mul", &[0.5])];
    assert_eq!(unclear(moved), named("Add Mul"));
    assert_eq!(unclear(&[("Sub", &[1.0, 2.0])]), named("Sub"));
    // Pixels that ImageNet's rule has normalised, for a network that wants -1..=1 or pixels.
    let inception: &[(&str, &[f32])] = &[
        ("Mul", &[0.458, 0.448, 0.45]),
        ("Add", &[-0.03, -0.088, -0.188]),
    ];
    let back: &[(&str, &[f32])] = &[
        ("Mul", &[0.229, 0.224, 0.225]),
        ("Add", &[0.485, 0.456, 0.406]),
    ];
    for usual in [inception, back, &[("Mul", &[1.0])], &[("Conv", &[])]] {
        assert_eq!(of(&begins_with(usual)), Start::default());
    }
}

/// A graph over a picture of this shape.
fn graph(shape: &[i64], nodes: Vec<NodeProto>, constants: Vec<TensorProto>) -> GraphProto {
    GraphProto {
        input: vec![value_info("x", DataType::Float as i32, shape)],
        node: nodes,
        initializer: constants,
        ..GraphProto::default()
    }
}

#[test]
fn a_reversal_and_the_means_after_it_tell_the_order_of_the_channels() {
    let caffe = |means: [f32; 3], reverses: bool| {
        let gather = test_node("Gather", &["x", "order"], &["g"], &[of_int("axis", 3)]);
        let from = if reverses { "g" } else { "x" };
        let mut nodes = vec![test_node("Sub", &[from, "means"], &["y"], &[])];
        nodes.splice(0..0, reverses.then_some(gather));
        let means = float_tensor("means", &[1, 1, 1, 3], means.to_vec());
        let order = int64_tensor("order", &[3], vec![2, 1, 0]);
        of(&graph(&[1, 8, 8, 3], nodes, vec![means, order]))
    };
    let (bgr, rgb) = ([103.9, 116.8, 123.7], [123.7, 116.8, 103.9]);
    for (means, reverses, order) in [
        (bgr, true, ChannelOrder::Rgb),
        (rgb, true, ChannelOrder::Bgr),
        (bgr, false, ChannelOrder::Bgr),
        (rgb, false, ChannelOrder::Rgb),
    ] {
        let start = caffe(means, reverses);
        assert_eq!(start.channels, Some(order), "{means:?} {reverses}");
        assert_eq!(start.reverses.is_some(), reverses);
        assert_eq!(most(&start), Some(255.0));
    }
    assert_eq!(caffe([120.0; 3], true).channels, None);
}

#[test]
fn constants_that_the_graph_computes_are_computed() {
    let nodes = vec![
        test_node("Sub", &["x", "mean"], &["moved"], &[]),
        test_node("Sqrt", &["variance"], &["root"], &[]),
        test_node("Max", &["root", "least"], &["deviation"], &[]),
        test_node("Div", &["moved", "deviation"], &["y"], &[]),
    ];
    let constants = vec![
        float_tensor("mean", &[1, 1, 1, 3], vec![0.4, 0.5, 0.45]),
        float_tensor("variance", &[1, 1, 1, 3], vec![0.06; 3]),
        float_tensor("least", &[], vec![1e-7]),
    ];
    let start = of(&graph(&[1, 8, 8, 3], nodes, constants));
    assert_eq!(most(&start), Some(1.0));
}

#[test]
fn a_batch_normalisation_has_learned_the_range_of_its_pixels() {
    let of = |mean: f32, variance: f32| {
        let inputs = ["x", "scale", "bias", "mean", "variance"];
        let values = [1.0, 0.0, mean, variance];
        let constants = inputs[1..].iter().zip(values);
        let constants = constants.map(|(name, v)| float_tensor(name, &[3], vec![v; 3]));
        let node = test_node("BatchNormalization", &inputs, &["y"], &[]);
        of(&graph(&[1, 3, 8, 8], vec![node], constants.collect()))
    };
    assert_eq!(most(&of(127.0, 3600.0)), Some(255.0));
    assert_eq!(most(&of(0.45, 0.07)), Some(1.0));
    assert_eq!(of(0.02, 1.1), Start::default());
    assert_eq!(of(5.0, 1.0).unclear.as_deref(), Some("BatchNormalization"));
}

#[test]
fn bounds_tell_the_range() {
    let of = |most: f32| {
        let nodes = vec![
            test_node("Clip", &["x", "least", "most"], &["y"], &[]),
            test_node("Conv", &["y", "w"], &["z"], &[]),
        ];
        let constants = vec![
            float_tensor("least", &[], vec![0.0]),
            float_tensor("most", &[], vec![most]),
        ];
        of(&graph(&[1, 3, 8, 8], nodes, constants))
    };
    assert_eq!(most(&of(255.0)), Some(255.0));
    assert_eq!(most(&of(1.0)), Some(1.0));
    assert_eq!(of(6.0).unclear.as_deref(), Some("Clip"));
}

/// A picture that is taken apart (`apart`), each channel through these operators with a constant of its own, and joined in `order`.
fn channel_by_channel(
    apart: &str,
    operators: &[(&str, [f32; 3])],
    order: [usize; 3],
) -> GraphProto {
    let mut graph = GraphProto {
        input: vec![value_info("x", DataType::Float as i32, &[1, 3, 8, 8])],
        initializer: vec![int64_tensor("axis", &[1], vec![1])],
        ..GraphProto::default()
    };
    let axis = of_int("axis", 1);
    let mut ends = [0, 1, 2].map(|c| format!("piece{c}"));
    if apart == "Split" {
        let outputs = ends.each_ref().map(String::as_str);
        let split = test_node("Split", &["x"], &outputs, std::slice::from_ref(&axis));
        graph.node.push(split);
    }
    for (c, end) in ends.iter_mut().enumerate() {
        let channel = c as i64;
        let mut list = |name: &str, values: Vec<i64>| {
            let name = format!("{name}{c}");
            let list = int64_tensor(&name, &[values.len()], values);
            graph.initializer.push(list);
            name
        };
        let far = i64::MAX;
        let slice = match apart {
            "Slice" => Some((vec![channel], vec![channel + 1], Some(vec![1]))),
            "Slice from the end" => {
                let end = if c == 2 { far } else { channel - 2 };
                Some((vec![channel - 3], vec![end], Some(vec![-3])))
            }
            "Slice of all axes" | "Slice of all listed axes" => {
                let axes = (apart != "Slice of all axes").then(|| vec![0, 1, 2, 3]);
                Some((
                    vec![0, channel, 0, 0],
                    vec![far, channel + 1, far, far],
                    axes,
                ))
            }
            _ => None,
        };
        if let Some((starts, ends, axes)) = slice {
            let mut inputs = vec!["x".to_owned(), list("starts", starts), list("ends", ends)];
            inputs.extend(axes.map(|axes| list("axes", axes)));
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            graph.node.push(test_node("Slice", &inputs, &[end], &[]));
        }
        if apart.starts_with("Gather") {
            let (index, flat) = (format!("index{c}"), format!("flat{c}"));
            let from_end = if apart == "Gather" { 0 } else { 3 };
            let number = int64_tensor(&index, &[], vec![channel - from_end]);
            graph.initializer.push(number);
            let gather = test_node(
                "Gather",
                &["x", &index],
                &[&flat],
                std::slice::from_ref(&axis),
            );
            let unsqueeze = test_node("Unsqueeze", &[&flat, "axis"], &[end], &[]);
            graph.node.extend([gather, unsqueeze]);
        }
        for (operator, constants) in operators {
            let (constant, next) = (format!("{end} {operator} by"), format!("{end} {operator}"));
            graph
                .initializer
                .push(float_tensor(&constant, &[], vec![constants[c]]));
            graph
                .node
                .push(test_node(operator, &[end, &constant], &[&next], &[]));
            *end = next;
        }
    }
    let joined = order.map(|c| ends[c].as_str());
    graph
        .node
        .push(test_node("Concat", &joined, &["joined"], &[axis]));
    graph
        .node
        .push(test_node("Conv", &["joined", "w"], &["y"], &[]));
    graph
}

#[test]
fn channels_that_are_normalised_apart_are_followed_to_where_they_are_joined() {
    let means = [("Sub", [123.7, 116.8, 103.9])];
    let inception = [
        ("Mul", [0.458, 0.448, 0.45]),
        ("Add", [-0.03, -0.088, -0.188]),
    ];
    for apart in [
        "Split",
        "Gather",
        "Gather from the end",
        "Slice",
        "Slice from the end",
        "Slice of all axes",
        "Slice of all listed axes",
    ] {
        let found = of(&channel_by_channel(apart, &means, [0, 1, 2]));
        let scaling = found.scaling.unwrap();
        assert_eq!(scaling.pixel_most, 255.0);
        assert_eq!(scaling.operators, "Sub");
        assert_eq!(found.channels, Some(ChannelOrder::Rgb));
        // VGG as Caffe has it.
        let found = of(&channel_by_channel(apart, &means, [2, 1, 0]));
        assert_eq!(found.channels, Some(ChannelOrder::Rgb));
        assert_eq!(found.reverses.as_deref(), Some("Concat"));
        // From one normalisation to another: the usual rule is right.
        let moved = of(&channel_by_channel(apart, &inception, [0, 1, 2]));
        assert_eq!((moved.scaling, moved.unclear), (None, None));
        let mixed = of(&channel_by_channel(apart, &means, [1, 0, 2]));
        assert_eq!(mixed.scaling.unwrap().pixel_most, 255.0);
        let tangled = of(&channel_by_channel(apart, &[("Pow", [2.0; 3])], [0, 1, 2]));
        assert_eq!(tangled.unclear.as_deref(), apart.split(' ').next());
        // What was understood before counts for nothing.
        let mut half = channel_by_channel(apart, &means, [0, 1, 2]);
        let last = half.node.iter().rposition(|node| node.op_type == "Sub");
        half.node[last.unwrap()].op_type = "Pow".into();
        let found = of(&half);
        assert_eq!((found.scaling, found.channels), (None, None));
        assert!(found.unclear.is_some(), "{apart}");
        // Joined as rows, they are not channels.
        let mut rows = channel_by_channel(apart, &means, [0, 1, 2]);
        let joined = rows.node.iter().position(|node| node.op_type == "Concat");
        rows.node[joined.unwrap()].attribute = vec![of_int("axis", 2)];
        assert!(of(&rows).unclear.is_some(), "{apart}");
    }
}

#[test]
fn a_part_of_the_picture_that_is_not_understood_is_named() {
    let taken = |starts: Vec<i64>, ends: Vec<i64>, axes: Vec<i64>| {
        let nodes = vec![
            test_node("Slice", &["x", "starts", "ends", "axes"], &["part"], &[]),
            test_node("Div", &["part", "most"], &["y"], &[]),
        ];
        let list = |name: &str, values: Vec<i64>| int64_tensor(name, &[values.len()], values);
        let mut constants = vec![float_tensor("most", &[], vec![255.0])];
        constants.extend([
            list("starts", starts),
            list("ends", ends),
            list("axes", axes),
        ]);
        of(&graph(&[1, 3, 8, 8], nodes, constants))
    };
    assert_eq!(
        taken(vec![0], vec![2], vec![1]).unclear.as_deref(),
        Some("Slice")
    );
    let odd = taken(vec![i64::MAX], vec![i64::MIN], vec![i64::MIN]);
    assert_eq!(most(&odd), Some(255.0));
    // A crop, and a single channel.
    assert_eq!(
        most(&taken(vec![1, 1], vec![7, 7], vec![2, -1])),
        Some(255.0)
    );
    assert_eq!(most(&taken(vec![-3], vec![-2], vec![1])), Some(255.0));
}

#[test]
fn a_reader_of_the_shape_alone_is_none_of_the_picture() {
    let mut graph = begins_with(&[("Sub", &[0.485, 0.456, 0.406])]);
    for op in ["Shape", "Size"] {
        graph.node.push(test_node(op, &["x0"], &[op], &[]));
    }
    assert_eq!(most(&of(&graph)), Some(1.0));
}

#[test]
fn a_channel_that_is_apart_has_its_own_bounds() {
    let mut graph = channel_by_channel("Split", &[("Mul", [1.0 / 255.0, 0.1, 0.1])], [0, 1, 2]);
    // The second channel is bounded at 25.5 * 0.1.
    let bounds = test_node("Clip", &["piece1 Mul", "", "bound"], &["bounded"], &[]);
    let concat = graph.node.iter_mut().find(|node| node.op_type == "Concat");
    concat.unwrap().input[1] = "bounded".into();
    graph.node.insert(3, bounds);
    graph
        .initializer
        .push(float_tensor("bound", &[], vec![25.5]));
    assert_eq!(most(&of(&graph)), Some(255.0));
}

#[test]
fn statistics_of_the_picture_are_not_understood() {
    let mut graph = begins_with(&[]);
    graph
        .node
        .push(test_node("ReduceMax", &["x0"], &["most"], &[]));
    graph
        .node
        .push(test_node("Div", &["x0", "most"], &["y"], &[]));
    assert_eq!(of(&graph).unclear.as_deref(), Some("ReduceMax"));
    // Beside a layer it gates that.
    let gate = graph.node.last_mut().unwrap();
    *gate = test_node("Conv", &["x0", "w"], &["y"], &[]);
    assert_eq!(of(&graph), Start::default());
}
