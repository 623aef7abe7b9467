//! Operators in forms that were computed as another: each gives the scores of the same network written plainly, or is refused.

use crate::graph::{Net, int, ints, node, value};
use crate::{Like, Refused, Row, row};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{FunctionProto, OperatorSetIdProto, type_proto};

/// As many channels as rows and columns, so that a wrong axis fits too: `c` is 8x8x8.
fn square() -> Net {
    Net::of_side(10).stem()
}

/// The averages `f` of eight channels, a thousandfold if so wanted.
fn features(by: f32) -> Net {
    square()
        .node("GlobalAveragePool", &["c"], "pooled", &[])
        .node("Flatten", &["pooled"], "small", &[])
        .float("by", &[], by)
        .node("Mul", &["small", "by"], "f", &[])
}

/// Ten scores of `count` features.
fn dense(net: Net, from: &str, count: i64) -> Net {
    net.node("Gemm", &[from, "fc"], "out", &[])
        .weights("fc", &[count, 10])
}

fn of_axes() -> Vec<Row> {
    let scaled = |net: Net, by: &str| net.node("Mul", &["c", by], "m", &[]).head("m", 8);
    let averages = || square().node("GlobalAveragePool", &["c"], "g", &[]);
    let single = averages()
        .node("Squeeze", &["g"], "s", &[])
        .node("Unsqueeze", &["s", "axes"], "u", &[])
        .list("axes", &[1, 2]);
    let groups = averages()
        .node("Reshape", &["g", "to"], "five", &[])
        .list("to", &[1, 2, 4, 1, 1])
        .node("Flatten", &["five"], "f", &[]);
    let flat = averages().node("Flatten", &["g"], "f", &[]);
    let rows = |net: Net| {
        let net = net
            .list("to", &[4, 2])
            .node("Reshape", &["f", "to"], "a", &[])
            .weights("m", &[2, 4])
            .weights("column", &[4, 1]);
        let net = net.node("Flatten", &["sum"], "row", &[int("axis", 0)]);
        dense(net, "row", 16)
    };
    let mean = |axes: &[i64]| {
        let net = features(10.0)
            .opset(18)
            .list("axes", axes)
            .node("ReduceMean", &["f", "axes"], "mean", &[])
            .node("Mul", &["f", "mean"], "m", &[]);
        dense(net, "m", 8)
    };
    let old = Net::of_side(10)
        .opset(6)
        .stem()
        .node(
            "Add",
            &["c", "v"],
            "a",
            &[int("axis", 1), int("broadcast", 1)],
        )
        .weights("v", &[8])
        .node("PRelu", &["a", "slope"], "p", &[])
        .weights("slope", &[8])
        .head("p", 8);
    let new = square()
        .node("Add", &["c", "v"], "a", &[])
        .weights("v", &[8, 1, 1])
        .node("PRelu", &["a", "slope"], "p", &[])
        .weights("slope", &[8, 1, 1])
        .head("p", 8);
    vec![
        row(
            "one axis, then three",
            scaled(single, "u"),
            Like(scaled(averages(), "g").bytes()),
        ),
        row(
            "groups made flat",
            dense(groups, "f", 8),
            Like(dense(flat, "f", 8).bytes()),
        ),
        row(
            "a Gemm that adds a column",
            rows(features(10.0).node("Gemm", &["a", "m", "column"], "sum", &[])),
            Like(
                rows(
                    features(10.0)
                        .node("MatMul", &["a", "m"], "product", &[])
                        .node("Add", &["product", "column"], "sum", &[]),
                )
                .bytes(),
            ),
        ),
        row(
            "a mean over an empty list of axes",
            mean(&[]),
            Like(mean(&[0, 1]).bytes()),
        ),
        row("operands along an axis, of opset 6", old, Like(new.bytes())),
    ]
}

fn of_values() -> Vec<Row> {
    let logarithms = features(3000.0).node("Gemm", &["f", "fc"], "logits", &[]);
    let logarithms = logarithms.weights("fc", &[8, 10]);
    let logarithms = logarithms.node("LogSoftmax", &["logits"], "out", &[int("axis", 1)]);
    let soft = |op: &str| dense(features(30000.0).node(op, &["f"], "s", &[]), "s", 8);
    let random = square()
        .node("RandomNormal", &[], "r", &[ints("shape", &[1, 8, 1, 1])])
        .node("Add", &["c", "r"], "a", &[])
        .head("a", 8);
    let foreign = square()
        .own_node("own", "Neg", &["c"], "a", &[])
        .head("a", 8);
    let uneven = square()
        .node("Sin", &["c"], "s", &[])
        .node("Add", &["s", "five"], "a", &[])
        .weights("five", &[5])
        .head("a", 8);
    let mut boxes = square().head("c", 8);
    boxes.graph.output.push(value("pooled", &[1, 8, 1, 1]));
    boxes.graph.output.push(value("boxes", &[1, 10, 4]));
    vec![
        row(
            "LogSoftmax of distant scores",
            logarithms,
            Like(dense(features(3000.0), "f", 8).bytes()),
        ),
        row(
            "Softplus of large values",
            soft("Softplus"),
            Like(soft("Relu").bytes()),
        ),
        row(
            "a frame before its zero point is told",
            of_bytes(true),
            Like(of_bytes(false).bytes()),
        ),
        row("random numbers", random, Refused(&["random"])),
        row("another domain's Neg", foreign, Refused(&["of own"])),
        row(
            "a sum that fails on each picture",
            uneven,
            Refused(&["cannot be run by tract", "Can not broadcast"]),
        ),
        row(
            "boxes beside the scores",
            boxes,
            Refused(&["seems to be a detector"]),
        ),
    ]
}

/// A picture of bytes with a frame of zeros, and without: what a zero stands for is told by the zero point, 128.
fn of_bytes(frame_first: bool) -> Net {
    let mut net = Net::new()
        .tensor("zero", &[], DataType::Uint8, vec![0])
        .tensor("z", &[], DataType::Uint8, vec![128])
        .float("s", &[], 0.02)
        .list("pads", &[0, 0, 1, 1, 0, 0, 1, 1]);
    let kind = net.graph.input[0]
        .r#type
        .as_mut()
        .and_then(|t| t.value.as_mut());
    if let Some(type_proto::Value::TensorType(tensor)) = kind {
        tensor.elem_type = DataType::Uint8 as i32;
    }
    let pad = node("", "Pad", &["x", "pads", "zero"], "framed", &[]);
    let plain = node("", "DequantizeLinear", &["x", "s", "z"], "a", &[]);
    let both = if frame_first {
        [pad, plain]
    } else {
        [plain, pad]
    };
    net.graph.node.extend(both);
    net.node("DequantizeLinear", &["framed", "s", "z"], "b", &[])
        .node("Conv", &["b", "w"], "wide", &[])
        .weights("w", &[8, 3, 3, 3])
        .node("Conv", &["a", "point"], "narrow", &[])
        .weights("point", &[8, 3, 1, 1])
        .node("Add", &["wide", "narrow"], "c", &[])
        .head("c", 8)
}

/// Functions that a small file makes large.
fn of_functions() -> Vec<Row> {
    let function = |name: &str, inputs: usize, nodes: Vec<_>| FunctionProto {
        name: Some(name.to_owned()),
        domain: Some("own".to_owned()),
        input: (0..inputs).map(|i| format!("i{i}")).collect(),
        output: vec!["q".to_owned()],
        node: nodes,
        opset_import: vec![OperatorSetIdProto {
            version: 17,
            ..OperatorSetIdProto::default()
        }],
        ..FunctionProto::default()
    };
    let called = |name: &str, function: Vec<FunctionProto>| {
        let mut net = square().own_node("own", name, &["c"], "a", &[]);
        net.functions = function;
        net.head("a", 8)
    };
    let copy = || vec![node("", "Identity", &["i0"], "q", &[])];
    let turned = || vec![node("", "Neg", &["i0"], "q", &[])];
    let many = (0..300_000).map(|i| format!("i{i}")).collect();
    let mut wide = square().head("c", 8);
    wide.graph.node[0].input = many;
    let long = "long".repeat(5000);
    let mut inside = turned();
    for i in 0..4000 {
        inside.push(node("", "Neg", &["i0"], &format!("unread{i}"), &[]));
    }
    vec![
        row(
            "one function",
            called("f", vec![function("f", 1, copy())]),
            Like(square().head("c", 8).bytes()),
        ),
        row(
            "two of a name",
            called(
                "f",
                vec![function("f", 1, copy()), function("f", 1, turned())],
            ),
            Refused(&["two functions named 'f'"]),
        ),
        row(
            "of 20000 inputs",
            called("f", vec![function("f", 20_000, copy())]),
            Refused(&["more than 4096"]),
        ),
        row(
            "a node of 300000 inputs",
            wide,
            Refused(&["more than 4096"]),
        ),
        row(
            "of a long name",
            called(&long, vec![function(&long, 1, inside)]),
            Like(square().node("Neg", &["c"], "a", &[]).head("a", 8).bytes()),
        ),
    ]
}

/// All of them.
pub fn meanings() -> Vec<Row> {
    [of_axes(), of_values(), of_functions()].concat()
}
