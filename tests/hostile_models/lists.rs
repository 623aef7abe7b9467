//! Long lists of sizes and axes, tensors that many nodes name, values that two nodes make.

use crate::graph::{Net, int, ints};
use crate::{Bounded, Like, Refused, Row, floats, row};
use tract_onnx::pb::tensor_proto::DataType;

/// Values of the lists and tensors that are named again and again: 4 MB as floats.
const LONG: i64 = 1_000_000;
/// Nodes that name them.
const NODES: usize = 4_000;

/// A constant `c` of one value, and a node of this kind that names `list` behind it, so often.
fn again(op: &str, list: Net, folds: bool) -> Net {
    let mut net = list.float("one", &[1], 1.0).stem();
    let mut last = if folds { "one" } else { "c" }.to_owned();
    for at in 0..NODES {
        let (wide, next) = (format!("w{at}"), format!("n{at}"));
        net = net.node(op, &[&last, "list"], &wide, &[]);
        if folds {
            net = net.node("Mul", &[&wide, &wide], &next, &[]);
            last = next;
        } else {
            last = wide;
        }
    }
    if folds {
        net.node("ReduceMax", &[&last], "m", &[int("keepdims", 0)])
            .node("Add", &["c", "m"], "a", &[])
            .head("a", 8)
    } else {
        net.head(&last, 8)
    }
}

/// Quantised and dequantised by these scales and zero points; values half-way between two integers are among the quantised ones.
fn steps(scales: (&[i64], Vec<u8>), zeros: (&[i64], Vec<u8>)) -> Net {
    Net::new()
        .float("four", &[], 4.0)
        .float("half", &[], 0.5)
        .node("Mul", &["x", "four"], "big", &[])
        .node("Floor", &["big"], "whole", &[])
        .node("Mul", &["whole", "half"], "halves", &[])
        .tensor("s", scales.0, DataType::Float, scales.1)
        .tensor("z", zeros.0, DataType::Uint8, zeros.1)
        .node(
            "QuantizeLinear",
            &["halves", "s", "z"],
            "q",
            &[int("axis", 1)],
        )
        .node("DequantizeLinear", &["q", "s", "z"], "r", &[int("axis", 1)])
        .node("Conv", &["r", "w"], "c", &[])
        .weights("w", &[8, 3, 3, 3])
        .head("c", 8)
}

fn shifted(zeros: [u8; 3]) -> Net {
    steps((&[3], floats(&[1.0; 3])), (&[3], zeros.to_vec()))
}

/// A depthwise convolution whose three weights have a million scales.
fn too_many_scales() -> Net {
    let mut net = Net::new()
        .tensor("s", &[3], DataType::Float, floats(&[0.1; 3]))
        .tensor("z", &[], DataType::Uint8, vec![3])
        .tensor(
            "ws",
            &[LONG],
            DataType::Float,
            floats(&vec![0.1; LONG as usize]),
        )
        .tensor("w", &[3, 1, 1, 1], DataType::Int8, vec![1, 2, 3])
        .node("QuantizeLinear", &["x", "s", "z"], "q", &[int("axis", 1)])
        .node("DequantizeLinear", &["q", "s", "z"], "r", &[int("axis", 1)])
        .node("DequantizeLinear", &["w", "ws"], "dw", &[int("axis", 0)]);
    let mut last = "r".to_owned();
    for at in 0..400 {
        let (next, sum) = (format!("k{at}"), format!("a{at}"));
        net = net
            .node("Conv", &["r", "dw"], &next, &[int("group", 3)])
            .node("Add", &[&last, &next], &sum, &[]);
        last = sum;
    }
    net.head(&last, 3)
}

/// Lists that are longer than a tensor may have axes, and names that stand for two values.
pub fn lists() -> Vec<Row> {
    let ones = || Net::new().list("list", &vec![1; LONG as usize]);
    let zeros = || Net::new().list("list", &vec![0; LONG as usize]);
    let raw = floats(&vec![1.0; LONG as usize]);
    let reals = || Net::new().tensor("list", &[LONG], DataType::Float, raw.clone());
    let squeeze = |op: &str, axes: &[i64]| {
        Net::new()
            .opset(11)
            .stem()
            .node(op, &["c"], "u", &[ints("axes", axes)])
            .node("ReduceMax", &["u"], "m", &[int("keepdims", 0)])
            .node("Add", &["c", "m"], "a", &[])
            .head("a", 8)
    };
    // Each adds fifteen axes to a constant.
    let mut deep = Net::new().stem().float("one", &[1], 1.0).tensor(
        "at",
        &[1; 16],
        DataType::Int64,
        vec![0; 8],
    );
    let mut last = "one".to_owned();
    for at in 0..NODES {
        let (wide, next) = (format!("w{at}"), format!("n{at}"));
        deep = deep
            .node("Gather", &[&last, "at"], &wide, &[int("axis", 0)])
            .node("Mul", &[&wide, &wide], &next, &[]);
        last = next;
    }
    let deep = deep
        .node("ReduceMax", &[&last], "m", &[int("keepdims", 0)])
        .node("Add", &["c", "m"], "a", &[])
        .head("a", 8);
    let stem = || Net::new().stem();
    let bytes = |count: i64| vec![3; count as usize];
    let cropped = {
        let pads = [i64::MIN; 8];
        let net = stem().list("pads", &pads);
        net.node("Pad", &["c", "pads"], "a", &[]).head("a", 8)
    };
    vec![
        row(
            "shapes of a million axes",
            again("Reshape", ones(), true),
            Refused(&["1000000 sizes"]),
        ),
        row(
            "real shapes of a million axes",
            again("Reshape", reals(), true),
            Refused(&["1000000 sizes"]),
        ),
        row(
            "expansions to a million axes",
            again("Expand", ones(), true),
            Refused(&["1000000 sizes"]),
        ),
        row(
            "a million new axes",
            again("Unsqueeze", zeros(), true),
            Refused(&["1000000 sizes"]),
        ),
        row(
            "paddings of a million sides",
            again("Pad", zeros(), false),
            Refused(&["list"]),
        ),
        row(
            "a million scales",
            again("Upsample", reals(), false),
            Refused(&["scales"]),
        ),
        row("axes on axes", deep, Refused(&["limit"])),
        row(
            "the same new axis twice",
            squeeze("Unsqueeze", &[0, 0]),
            Refused(&["Unsqueeze"]),
        ),
        row(
            "1000 new axes",
            squeeze("Unsqueeze", &[0; 1000]),
            Refused(&["axes"]),
        ),
        row("crops by -2^63", cropped, Refused(&["pads by"])),
        row(
            "zero points by channel",
            shifted([10, 12, 16]),
            Like(shifted([16; 3]).bytes()),
        ),
        row(
            "a million zero points",
            steps((&[3], floats(&[1.0; 3])), (&[LONG], bytes(LONG))),
            Refused(&["one scale"]),
        ),
        row("a million scales of weights", too_many_scales(), Bounded),
        row(
            "two values of a name",
            stem()
                .node("Relu", &["c"], "a", &[])
                .node("Neg", &["c"], "a", &[])
                .head("a", 8),
            Refused(&["two values named 'a'"]),
        ),
        row(
            "a value named as a constant",
            stem().node("Relu", &["c"], "w", &[]).head("w", 8),
            Refused(&["two values named 'w'"]),
        ),
        row(
            "weights without a name",
            stem().float("", &[], 1.0).head("c", 8),
            Refused(&["without a name"]),
        ),
    ]
}
