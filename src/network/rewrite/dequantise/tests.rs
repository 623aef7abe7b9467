use super::*;
use crate::network::onnx::attributes::of_ints;
use crate::network::onnx::{test_node, typed_tensor, value_info};

fn node(op: &str, inputs: &[&str], output: &str, axis: i64) -> NodeProto {
    let attribute = match op {
        "QuantizeLinear" | "DequantizeLinear" => vec![of_int("axis", axis)],
        "Pad" => vec![of_ints("pads", &[0, 0, 0, 1])],
        _ => Vec::new(),
    };
    test_node(op, inputs, &[output], &attribute)
}

/// Weights of 2x2 that are quantised by two scales along the first axis, then what `nodes` do with them.
fn dequantised_graph(nodes: Vec<NodeProto>) -> Result<GraphProto, String> {
    let quantised = node("QuantizeLinear", &["w", "s"], "q", 0);
    let graph = GraphProto {
        node: [vec![quantised], nodes].concat(),
        initializer: vec![
            float_tensor("w", &[2, 2], vec![1.0, 2.0, 3.0, 4.0]),
            float_tensor("s", &[2], vec![0.5, 1.0]),
            float_tensor("t", &[], vec![0.5]),
        ],
        output: vec![value_info("y", 1, &[2, 2])],
        ..GraphProto::default()
    };
    let mut model = ModelProto {
        graph: Some(graph),
        ..ModelProto::default()
    };
    dequantise(&mut model, &Reals::new())?;
    Ok(model.graph.unwrap())
}

#[test]
fn weights_with_a_scale_per_slice_are_read_only_as_they_were_written() {
    let read = |scale: &str, axis: i64| {
        dequantised_graph(vec![
            node("DequantizeLinear", &["q", scale], "r", axis),
            node("Add", &["x", "r"], "y", 0),
        ])
    };
    for axis in [0, -2] {
        let graph = read("s", axis).unwrap();
        let made = graph.initializer.iter().find(|t| t.name == "q").unwrap();
        assert_eq!(values_f32(made).unwrap(), [1.0, 2.0, 3.0, 4.0]);
    }
    for (scale, axis) in [("s", 1), ("s", -1), ("s", 2), ("t", 0)] {
        let why = read(scale, axis).unwrap_err();
        assert!(why.contains("by other scales"), "{scale} {axis}: {why}");
    }
    for op in ["Transpose", "Identity", "Pad"] {
        let why = dequantised_graph(vec![
            node(op, &["q"], "p", 0),
            node("DequantizeLinear", &["p", "s"], "y", 0),
        ]);
        let why = why.unwrap_err();
        assert!(why.contains("a scale for each slice"), "{op}: {why}");
    }
}

#[test]
fn integers_by_a_computed_scale_have_a_zero_point_of_their_own() {
    let dynamic = test_node("DynamicQuantizeLinear", &["x"], &["d", "ds", "dz"], &[]);
    let read = |zero: &str| {
        let taken = node("DequantizeLinear", &["d", "ds", zero], "y", 1);
        dequantised_graph(vec![dynamic.clone(), taken])
    };
    assert!(read("dz").is_ok());
    let why = read("q").unwrap_err();
    assert!(why.contains("another quantisation"), "{why}");
}

#[test]
fn an_empty_channel_may_have_a_scale_of_0_but_nothing_is_divided_by_one() {
    let run = |nodes: Vec<NodeProto>| {
        let graph = GraphProto {
            node: nodes,
            initializer: vec![
                float_tensor("s", &[2], vec![0.5, 0.0]),
                float_tensor("zero", &[], vec![0.0]),
                float_tensor("x", &[2, 1], vec![1.0, 2.0]),
                typed_tensor("w", &[2, 1], DataType::Uint8, vec![3, 4]),
            ],
            ..GraphProto::default()
        };
        let mut model = ModelProto {
            graph: Some(graph),
            ..ModelProto::default()
        };
        dequantise(&mut model, &Reals::new())?;
        Ok::<_, String>(model.graph.unwrap())
    };
    let graph = run(vec![
        node("DequantizeLinear", &["w", "s"], "r", 0),
        node("Add", &["in", "r"], "y", 0),
    ]);
    let graph = graph.unwrap();
    let made = graph.initializer.iter().find(|t| t.dims == [2, 1]);
    assert_eq!(values_f32(made.unwrap()).unwrap(), [1.5, 0.0]);
    for (op, x, scale) in [
        ("QuantizeLinear", "x", "s"),
        ("QuantizeLinear", "in", "zero"),
        ("DequantizeLinear", "in", "zero"),
    ] {
        let why = run(vec![node(op, &[x, scale], "y", 0)]).unwrap_err();
        assert!(why.contains("not a positive number"), "{op} {x}: {why}");
    }
}

#[test]
fn an_average_that_onnx_runtime_divides_otherwise_is_refused() {
    let pool = |ceil: i64, counted: i64| {
        let attributes = [
            of_int("ceil_mode", ceil),
            of_int("count_include_pad", counted),
            of_ints("kernel_shape", &[2, 2]),
        ];
        let inputs = ["x", "t", "", "t", ""];
        let pool = test_node("QLinearAveragePool", &inputs, &["y"], &attributes);
        dequantised_graph(vec![pool]).map(|_| ())
    };
    assert_eq!(pool(1, 0), Ok(()));
    assert_eq!(pool(0, 1), Ok(()));
    assert!(
        pool(1, 1)
            .unwrap_err()
            .contains("ceil_mode with count_include_pad")
    );
}
