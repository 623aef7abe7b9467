//! Sizes that wrap, numbers of scores that no classifier has, constants that grow.

use crate::graph::{Net, int, ints};
use crate::{Bounded, Like, Refused, Row, floats, row};
use tract_onnx::pb::tensor_proto::DataType;

/// Four values in a row, `c`, seen as `[size, 4]`.
fn reshaped(size: i64) -> Net {
    Net::new()
        .scores(2)
        .node("GlobalAveragePool", &["x"], "g", &[])
        .node("Conv", &["g", "w"], "c", &[])
        .weights("w", &[4, 3, 1, 1])
        .node("Reshape", &["c", "sizes"], "r", &[])
        .list("sizes", &[size, 4])
}

fn product(net: Net, from: &str) -> Net {
    net.node("MatMul", &[from, "m"], "out", &[])
        .weights("m", &[4, 2])
}

/// A row of `r` from `start` on.
fn sliced(net: Net, start: i64) -> Net {
    let net = net
        .node("Slice", &["r", "start", "end", "axis"], "s", &[])
        .list("start", &[start])
        .list("end", &[start + 1])
        .list("axis", &[0]);
    product(net, "s")
}

/// Sizes that wrap, or reach far outside.
pub fn sizes() -> Vec<Row> {
    let wrap = (1 << 62) + 1;
    let plain = || product(reshaped(1), "r").bytes();
    let half = |values: &[i64]| {
        Net::new()
            .node("Split", &["x", "split"], "left", &[int("axis", 1)])
            .list("split", values)
            .head("left", 1)
    };
    let mut split = half(&[1 << 62, 1 << 62, 1 << 62, (1 << 62) + 3]);
    split.graph.node[0].output = ["left", "b", "c", "d"].map(str::to_owned).to_vec();
    let picked = |at: i64| {
        let net = Net::new().node("Gather", &["x", "at"], "a", &[int("axis", 1)]);
        net.list("at", &[at]).head("a", 1)
    };
    vec![
        row("reshape as it is", product(reshaped(1), "r"), Like(plain())),
        row(
            "reshape that wraps",
            product(reshaped(wrap), "r"),
            Refused(&["the r", "limit"]),
        ),
        row(
            "reshape to 2^31 + 1",
            product(reshaped((1 << 31) + 1), "r"),
            Refused(&["the r", "limit"]),
        ),
        row(
            "reshape to 2^30 + 1",
            product(reshaped((1 << 30) + 1), "r"),
            Refused(&["the r", "limit"]),
        ),
        row(
            "slice far away",
            sliced(reshaped(wrap), 1 << 30),
            Refused(&["the r", "limit"]),
        ),
        row(
            "slice near by",
            sliced(reshaped(wrap), 64),
            Refused(&["the r", "limit"]),
        ),
        row("slice of one", sliced(reshaped(1), 0), Like(plain())),
        row(
            "slice behind the end",
            sliced(reshaped(1), 1),
            Refused(&["0 scores"]),
        ),
        row("split that wraps", split, Refused(&["cannot be planned"])),
        row("gather far away", picked(1 << 62), Refused(&["Gather"])),
        row("gather of nothing", picked(-4), Refused(&["Gather"])),
        row(
            "expanded",
            Net::new()
                .node("Expand", &["x", "to"], "a", &[])
                .list("to", &[1, 3, 1 << 20, 1 << 20])
                .head("a", 3),
            Refused(&["the a", "limit"]),
        ),
        row(
            "tiled",
            Net::new()
                .node("Tile", &["x", "by"], "a", &[])
                .list("by", &[1, 1, 1 << 15, 1 << 15])
                .head("a", 3),
            Refused(&["limit"]),
        ),
    ]
}

/// Numbers of scores that no classifier has.
pub fn scores() -> Vec<Row> {
    let of = |count: i64| Net::new().stem().head("c", 8).scores(count);
    let mut rows: Vec<Row> = [(1 << 31) - 1, 1 << 62, 50_000_000, 100_001]
        .into_iter()
        .map(|n| row(format!("{n} scores"), of(n), Refused(&["scores", "100000"])))
        .collect();
    rows.push(row(
        "100000 scores where there are ten",
        of(100_000),
        Refused(&["gives 10 scores"]),
    ));
    rows
}

/// Weights that are computed again and again, or that a computation makes unfit.
pub fn computed() -> Vec<Row> {
    // Each of the products is read; a million values each where the file has two thousand.
    let many = |count: usize| {
        let mut net = Net::new().stem();
        let mut last = "c".to_owned();
        for at in 0..count {
            let (product, mean, sum) = (format!("p{at}"), format!("m{at}"), format!("s{at}"));
            net = net
                .node("Mul", &["p", "q"], &product, &[])
                .node("ReduceMean", &[&product], &mean, &[int("keepdims", 0)])
                .node("Add", &[&last, &mean], &sum, &[]);
            last = sum;
        }
        let net = net.weights("p", &[1000, 1]).weights("q", &[1, 1000]);
        net.head(&last, 8)
    };
    let norm = |dims: &[i64], channels: i64| {
        Net::new()
            .node(
                "BatchNormalization",
                &["w", "one", "one", "one", "one"],
                "n",
                &[],
            )
            .weights("w", dims)
            .weights("one", &[channels])
            .node("Conv", &["x", "n"], "c", &[])
            .head("c", 8)
    };
    let to = |dims: &[i64]| {
        Net::new()
            .weights("w", &[8, 3, 3, 3])
            .float("two", &[], 2.0)
            .node("Mul", &["w", "two"], "m", &[])
            .node("Reshape", &["m", "to"], "k", &[])
            .list("to", dims)
            .node("Conv", &["x", "k"], "c", &[])
            .head("c", 8)
    };
    vec![
        row(
            "as it is",
            to(&[8, 3, 3, 3]),
            Like(to(&[8, 3, 3, -1]).bytes()),
        ),
        row("of another size", to(&[8, 3, 3, 4]), Refused(&["Reshape"])),
        row(
            "wrapped",
            to(&[1 << 62, 3, 3, 3]),
            Refused(&["the k", "limit"]),
        ),
        row("more products than are computed", many(60), Bounded),
        row("few enough products", many(2), Like(many(2).bytes())),
        row(
            "statistics of others",
            norm(&[8, 3, 3, 3], 7),
            Refused(&["BatchNorm"]),
        ),
        row("no channels", norm(&[8, 0, 3, 3], 0), Refused(&["Conv"])),
        row("a vector", norm(&[8], 8), Refused(&["BatchNorm", "rank 1"])),
    ]
}

/// Activations with scales by channel that do not fit.
pub fn channels() -> Vec<Row> {
    let of = |scales: i64, axis: i64, again: usize| {
        let mut net = Net::new().stem().weights("s", &[scales]);
        // The scales are positive.
        let raw = vec![floats(&[0.05]); scales as usize].concat();
        net.graph.initializer.last_mut().unwrap().raw_data = raw;
        let mut last = "c".to_owned();
        for at in 0..again {
            let (bytes, real) = (format!("q{at}"), format!("r{at}"));
            net = net
                .node(
                    "QuantizeLinear",
                    &[&last, "s"],
                    &bytes,
                    &[int("axis", axis)],
                )
                .node(
                    "DequantizeLinear",
                    &[&bytes, "s"],
                    &real,
                    &[int("axis", axis)],
                );
            last = real;
        }
        net.head(&last, 8)
    };
    vec![
        row("by channel", of(8, 1, 1), Like(of(8, -3, 1).bytes())),
        row("too few", of(7, 1, 1), Refused(&["Val(7)"])),
        row("along rows", of(30, 2, 1), Like(of(30, -2, 1).bytes())),
        row("along no axis", of(8, 4, 1), Refused(&["one scale"])),
        row("far away", of(8, i64::MIN, 1), Refused(&["one scale"])),
        row("far up", of(8, i64::MAX, 1), Refused(&["one scale"])),
        row("again and again", of(8, 1, 3000), Bounded),
        row(
            "many again and again",
            of(1 << 20, 1, 3000),
            Refused(&["one scale"]),
        ),
    ]
}

/// Constants that are small in the file and large when they are computed. `e` is the large one.
pub fn constants() -> Vec<Row> {
    let of = |net: Net| {
        net.node("ReduceMax", &["e"], "m", &[int("keepdims", 0)])
            .node("Add", &["x", "m"], "a", &[])
            .head("a", 3)
    };
    let huge = 1 << 40;
    let one = || Net::new().float("one", &[1], 1.0);
    let outer = |op: &str| {
        let net = Net::new().node(op, &["p", "q"], "e", &[]);
        net.weights("p", &[200_000, 1]).weights("q", &[1, 200_000])
    };
    let all: [(&str, Net, &'static [&'static str]); 9] = [
        (
            "expanded",
            one()
                .node("Expand", &["one", "to"], "e", &[])
                .list("to", &[1 << 20, 1 << 20]),
            &["the e", "limit"],
        ),
        (
            "tiled",
            one()
                .node("Tile", &["one", "by"], "e", &[])
                .list("by", &[huge]),
            &["the e", "limit"],
        ),
        (
            "of a shape",
            one()
                .node("ConstantOfShape", &["to"], "e", &[])
                .list("to", &[huge]),
            &["the e", "limit"],
        ),
        (
            "a range",
            Net::new()
                .node("Range", &["a0", "a1", "a2"], "e", &[])
                .float("a0", &[], 0.0)
                .float("a1", &[], 1e12)
                .float("a2", &[], 1.0),
            &["the e", "counts"],
        ),
        (
            "one hot",
            Net::new()
                .node("OneHot", &["i", "depth", "v"], "e", &[])
                .list("i", &[1, 2])
                .tensor(
                    "depth",
                    &[],
                    DataType::Int64,
                    i64::to_le_bytes(huge).to_vec(),
                )
                .tensor("v", &[2], DataType::Float, floats(&[0.0, 1.0])),
            &["the e", "limit"],
        ),
        ("all products", outer("Mul"), &["memory"]),
        ("all products as a matrix", outer("MatMul"), &["memory"]),
        (
            "gathered again and again",
            Net::new()
                .node("Gather", &["p", "i"], "e", &[int("axis", 0)])
                .weights("p", &[1, 100_000])
                .list("i", &[0; 100_000]),
            &["memory"],
        ),
        (
            "random",
            Net::new().node(
                "RandomNormal",
                &[],
                "e",
                &[ints("shape", &[1 << 20, 1 << 20])],
            ),
            &["random"],
        ),
    ];
    all.into_iter()
        .map(|(name, net, words)| row(format!("constants: {name}"), of(net), Refused(words)))
        .collect()
}
