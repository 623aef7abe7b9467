//! Kernels, strides, dilations, padding, groups and sizes that make no sense.

use crate::graph::{Net, int, ints, text};
use crate::{Bounded, Like, Refused, Row, floats, row};
use tract_onnx::pb::AttributeProto;
use tract_onnx::pb::tensor_proto::DataType;

/// The convolution of the picture, by these attributes, with a head.
fn conv(attributes: &[AttributeProto]) -> Net {
    Net::new()
        .node("Conv", &["x", "w"], "a", attributes)
        .weights("w", &[8, 3, 3, 3])
        .head("a", 8)
}

fn pool(op: &str, attributes: &[AttributeProto]) -> Net {
    Net::new().node(op, &["x"], "a", attributes).head("a", 3)
}

/// Kernels, strides, dilations, padding and groups.
pub fn windows() -> Vec<Row> {
    let (big, odd): (i64, &'static [&'static str]) = (1 << 31, &["the a' (Conv)"]);
    let with = |name: &str, list: &[i64]| conv(&[ints(name, list)]);
    let mut rows = vec![
        row(
            "kernel as it is",
            with("kernel_shape", &[3, 3]),
            Like(conv(&[]).bytes()),
        ),
        row(
            "kernel that contradicts",
            with("kernel_shape", &[5, 5]),
            Refused(&["the a", "3x3"]),
        ),
        row("kernel of 0", with("kernel_shape", &[0, 0]), Refused(odd)),
        row(
            "kernel of three sides",
            with("kernel_shape", &[3, 3, 3]),
            Refused(odd),
        ),
        row("dilation 0", with("dilations", &[0, 0]), Refused(odd)),
        row(
            "dilation 2^40",
            with("dilations", &[1 << 40, 1]),
            Refused(odd),
        ),
        row("stride 0", with("strides", &[0, 0]), Refused(odd)),
        row("stride -1", with("strides", &[-1, 1]), Refused(odd)),
        row("three strides", with("strides", &[1, 1, 1]), Refused(odd)),
        row("pads -1", with("pads", &[-1; 4]), Refused(odd)),
        row("pads 2^31", with("pads", &[big; 4]), Refused(odd)),
        row("pads 16384", with("pads", &[16384; 4]), Refused(odd)),
        row("pads 4096", with("pads", &[4096; 4]), Refused(&["limit"])),
        row(
            "pads 8192, stride 8192",
            conv(&[ints("pads", &[8192; 4]), ints("strides", &[8192; 2])]),
            Refused(odd),
        ),
        row("group 0", conv(&[int("group", 0)]), Refused(odd)),
        row("group -1", conv(&[int("group", -1)]), Refused(odd)),
        row(
            "group 2 of 3 channels",
            conv(&[int("group", 2)]),
            Refused(&["Conv"]),
        ),
        row(
            "group 3 of 8 filters",
            conv(&[int("group", 3)]),
            Refused(odd),
        ),
        row("group 2^40", conv(&[int("group", 1 << 40)]), Refused(odd)),
        row(
            "auto_pad of nonsense",
            conv(&[text("auto_pad", "ALL")]),
            Refused(&["auto_pad"]),
        ),
        row(
            "transposed, stride 100000",
            Net::new()
                .node(
                    "ConvTranspose",
                    &["x", "w"],
                    "a",
                    &[ints("strides", &[100_000; 2])],
                )
                .weights("w", &[3, 3, 1, 1])
                .head("a", 3),
            Refused(&["the a"]),
        ),
        row(
            "a padding of 32768",
            Net::new()
                .node("Pad", &["x", "pads"], "a", &[])
                .list("pads", &[0, 0, 32768, 32768, 0, 0, 32768, 32768])
                .head("a", 3),
            Refused(&["the a", "32768"]),
        ),
        row(
            "a padding of channels",
            Net::new()
                .node("Pad", &["x", "pads"], "a", &[])
                .list("pads", &[0, 1 << 20, 0, 0, 0, 1 << 20, 0, 0])
                .head("a", 3 + (2 << 20)),
            Refused(&["the a", "1048576"]),
        ),
        row(
            "resized by 10^9",
            Net::new()
                .node("Resize", &["x", "", "by"], "a", &[text("mode", "nearest")])
                .tensor("by", &[4], DataType::Float, floats(&[1.0, 1.0, 1e9, 1e9]))
                .head("a", 3),
            Refused(&["the a", "1000000000"]),
        ),
        row(
            "resized to 2^31",
            Net::new()
                .node(
                    "Resize",
                    &["x", "", "", "to"],
                    "a",
                    &[text("mode", "linear")],
                )
                .list("to", &[1, 3, 1 << 31, 1 << 31])
                .head("a", 3),
            Refused(&["Resize", "limit"]),
        ),
        row(
            "LRN of no channels",
            pool("LRN", &[int("size", 0)]),
            Refused(&["LRN", "size"]),
        ),
        row(
            "LRN of 10^9 channels",
            pool("LRN", &[int("size", 1_000_000_000)]),
            Bounded,
        ),
        row(
            "8192 channels of 4096x4096",
            Net::of_side(4096)
                .node("Conv", &["x", "w"], "a", &[])
                .weights("w", &[8192, 3, 1, 1])
                .head("a", 8192),
            Refused(&["Conv", "limit"]),
        ),
    ];
    for op in ["MaxPool", "AveragePool", "LpPool"] {
        let sides = |k: i64, p: i64, s: i64| {
            let lists = [("kernel_shape", k), ("strides", s)].map(|(n, v)| ints(n, &[v; 2]));
            let mut attributes = lists.to_vec();
            attributes.push(ints("pads", &[p; 4]));
            pool(op, &attributes)
        };
        for (k, p, s) in [
            (0, 0, 1),
            (2, 0, 0),
            (-1, 0, 1),
            (big, big - 1, 1),
            (16385, 16384, 1),
        ] {
            rows.push(row(
                format!("{op} of {k}, pads {p}, stride {s}"),
                sides(k, p, s),
                Refused(&["the a"]),
            ));
        }
        rows.push(row(
            format!("{op} of 64"),
            sides(64, 0, 1),
            Refused(&["window of 64"]),
        ));
    }
    rows.extend(too_few_axes());
    rows
}

/// Operators of a tensor with fewer axes than they need, which tract reads without a check.
fn too_few_axes() -> Vec<Row> {
    /// An operator, its inputs after the first, and the words of its refusal.
    type Operator = (
        &'static str,
        &'static [&'static str],
        &'static [&'static str],
    );
    let operators: [Operator; 8] = [
        ("BatchNormalization", &["c", "c", "c", "c"], &["BatchNorm"]),
        ("Conv", &["w"], &["Conv"]),
        ("ConvTranspose", &["w"], &["ConvTranspose"]),
        ("MaxPool", &[], &["MaxPool"]),
        ("AveragePool", &[], &["AveragePool"]),
        ("GlobalAveragePool", &[], &["GlobalAveragePool"]),
        ("GlobalMaxPool", &[], &["GlobalMaxPool"]),
        ("LRN", &[], &["LRN"]),
    ];
    let of_axes = |(op, parameters, words): Operator, axes: usize| {
        let shape = [vec![1; axes.saturating_sub(1)], vec![-1; axes.min(1)]].concat();
        let inputs = [&["few"], parameters].concat();
        let attributes = match op {
            "MaxPool" | "AveragePool" => vec![ints("kernel_shape", &vec![1; axes])],
            "LRN" => vec![int("size", 1)],
            _ => vec![],
        };
        let net = match axes {
            0 => Net::new().node("ReduceMax", &["x"], "few", &[int("keepdims", 0)]),
            _ => Net::new()
                .node("Reshape", &["x", "shape"], "few", &[])
                .list("shape", &shape),
        };
        // Two axes are enough for these, as channels without pixels.
        let enough = axes == 2 && ["GlobalAveragePool", "GlobalMaxPool", "LRN"].contains(&op);
        let net = net
            .node(op, &inputs, "a", &attributes)
            .weights("w", &vec![1; axes])
            .tensor("c", &[1], DataType::Float, floats(&[1.0]))
            .head("a", if enough { 3 * 32 * 32 } else { 3 });
        let right = if enough { Bounded } else { Refused(words) };
        row(format!("{op} of {axes} axes"), net, right)
    };
    let axes = 0..3;
    let mut rows: Vec<Row> = axes
        .flat_map(|axes| operators.map(|operator| of_axes(operator, axes)))
        .collect();
    // Found by fuzzing: with a constant in place of a tensor it is tract that looks at it first.
    rows.push(row(
        "BatchNormalization of a constant of 1 axis",
        Net::new()
            .node("BatchNormalization", &["c"; 5], "b", &[])
            .tensor("c", &[1], DataType::Float, floats(&[1.0]))
            .node("Add", &["x", "b"], "a", &[])
            .head("a", 3),
        Refused(&["BatchNorm", "rank 1"]),
    ));
    // Also found by fuzzing: tract counts up to an axis before the first one.
    let norm = |name: &str, from: &str, axis: i64| {
        let net = Net::new()
            .node(
                "LayerNormalization",
                &[from, "c"],
                "b",
                &[int("axis", axis)],
            )
            .tensor("c", &[1], DataType::Float, floats(&[1.0]))
            .tensor("one", &[], DataType::Float, floats(&[1.0]))
            .node("Add", &["x", "b"], "a", &[])
            .head("a", 3);
        row(
            format!("LayerNormalization {name}"),
            net,
            Refused(&["LayerNorm"]),
        )
    };
    rows.push(norm("of a single value", "one", -1));
    rows.push(norm("along an axis before the first", "x", -5));
    rows.push(norm("along an axis far before", "x", i64::MIN));
    rows.push(norm("along an axis far behind", "x", i64::MAX));
    let hot = Net::new()
        .node("Shape", &["x"], "sizes", &[])
        .node(
            "OneHot",
            &["sizes", "depth", "v"],
            "hot",
            &[int("axis", -3)],
        )
        .list("depth", &[4])
        .tensor("v", &[2], DataType::Float, floats(&[0.0, 1.0]))
        .node("ReduceMax", &["hot"], "m", &[int("keepdims", 0)])
        .node("Add", &["x", "m"], "a", &[])
        .head("a", 3);
    rows.push(row(
        "OneHot before the first axis",
        hot,
        Refused(&["OneHot", "rank 1"]),
    ));
    rows
}
