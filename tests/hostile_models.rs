//! Model files that ask for too much, contradict themselves or lie: each is refused with a line that says why, or gives the
//! scores of its plain form, within 5 seconds of the processor and 2 GiB of addresses.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;
#[path = "common/graph.rs"]
mod graph;

use common::{Run, emulated, eyelet};
use graph::{Net, int, ints, node, text};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{FunctionProto, OperatorSetIdProto, StringStringEntryProto, TensorProto};

const SECONDS_MOST: Duration = Duration::from_secs(5);
/// Much more than any run takes on a machine that does other things too.
const HANG: Duration = Duration::from_secs(100);
const ADDRESSES_KIB_MOST: usize = 2 << 20;
const MODEL: i32 = 4;

/// What is right for a model.
enum Right {
    /// Refused, with a line that has these words in it.
    Refused(&'static [&'static str]),
    /// Refused or run, but not both wrong and silent: tract may learn to do it.
    RefusedOrRun,
    /// The scores of this model.
    Like(Vec<u8>),
}
use Right::{Like, Refused, RefusedOrRun};

type Row = (String, Vec<u8>, Right);

fn row(name: impl Into<String>, net: Net, right: Right) -> Row {
    (name.into(), net.bytes(), right)
}

/// The convolution of the picture, by these attributes, with a head.
fn conv(attributes: &[tract_onnx::pb::AttributeProto]) -> Net {
    Net::new()
        .node("Conv", &["x", "w"], "a", attributes)
        .weights("w", &[8, 3, 3, 3])
        .head("a", 8)
}

fn pool(op: &str, attributes: &[tract_onnx::pb::AttributeProto]) -> Net {
    Net::new().node(op, &["x"], "a", attributes).head("a", 3)
}

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
fn sizes() -> Vec<Row> {
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
            Refused(&[]),
        ),
        row(
            "reshape to 2^30 + 1",
            product(reshaped((1 << 30) + 1), "r"),
            Refused(&[]),
        ),
        row(
            "slice far away",
            sliced(reshaped(wrap), 1 << 30),
            Refused(&[]),
        ),
        row("slice near by", sliced(reshaped(wrap), 64), Refused(&[])),
        row("slice of one", sliced(reshaped(1), 0), Like(plain())),
        row("slice behind the end", sliced(reshaped(1), 1), Refused(&[])),
        row("split that wraps", split, Refused(&[])),
        row("gather far away", picked(1 << 62), Refused(&[])),
        row("gather of nothing", picked(-4), Refused(&[])),
        row(
            "expanded",
            Net::new()
                .node("Expand", &["x", "to"], "a", &[])
                .list("to", &[1, 3, 1 << 20, 1 << 20])
                .head("a", 3),
            Refused(&[]),
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

/// Kernels, strides, dilations, padding and groups.
fn windows() -> Vec<Row> {
    let (big, odd): (i64, &'static [&'static str]) = (1 << 31, &["the a", "Conv"]);
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
            Refused(&[]),
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
            Refused(&[]),
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
            Refused(&[]),
        ),
        row(
            "8192 channels of 4096x4096",
            Net::of_side(4096)
                .node("Conv", &["x", "w"], "a", &[])
                .weights("w", &[8192, 3, 1, 1])
                .head("a", 8192),
            Refused(&[]),
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
        rows.push(row(format!("{op} of 64"), sides(64, 0, 1), Refused(&[])));
    }
    rows
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Numbers of scores that no classifier has.
fn scores() -> Vec<Row> {
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

/// Constants that are small in the file and large when they are computed. `e` is the large one.
fn constants() -> Vec<Row> {
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
    [
        (
            "expanded",
            one()
                .node("Expand", &["one", "to"], "e", &[])
                .list("to", &[1 << 20, 1 << 20]),
        ),
        (
            "tiled",
            one()
                .node("Tile", &["one", "by"], "e", &[])
                .list("by", &[huge]),
        ),
        (
            "of a shape",
            one()
                .node("ConstantOfShape", &["to"], "e", &[])
                .list("to", &[huge]),
        ),
        (
            "a range",
            Net::new()
                .node("Range", &["a0", "a1", "a2"], "e", &[])
                .float("a0", &[], 0.0)
                .float("a1", &[], 1e12)
                .float("a2", &[], 1.0),
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
        ),
        ("all products", outer("Mul")),
        ("all products as a matrix", outer("MatMul")),
        (
            "gathered again and again",
            Net::new()
                .node("Gather", &["p", "i"], "e", &[int("axis", 0)])
                .weights("p", &[1, 100_000])
                .list("i", &[0; 100_000]),
        ),
        (
            "random",
            Net::new().node(
                "RandomNormal",
                &[],
                "e",
                &[ints("shape", &[1 << 20, 1 << 20])],
            ),
        ),
    ]
    .into_iter()
    .map(|(name, net)| row(format!("constants: {name}"), of(net), Refused(&[])))
    .collect()
}

/// A node of one input and a constant behind each other, so often.
fn chain(op: &str, count: usize) -> Net {
    let mut net = Net::new().stem().float("one", &[1], 1.0);
    let with_one = ["Max", "Pow", "Mul", "Add"].contains(&op);
    let mut last = "c".to_owned();
    for i in 0..count {
        let next = format!("c{i}");
        let inputs = [last.as_str(), "one"];
        let inputs = &inputs[..1 + usize::from(with_one)];
        net.graph.node.push(node("", op, inputs, &next, &[]));
        last = next;
    }
    net.head(&last, 8)
}

/// One node with so many times the same input.
fn wide(op: &str, count: usize) -> Net {
    let inputs = vec!["c"; count];
    let channels = if op == "Concat" { 8 * count as i64 } else { 8 };
    let net = Net::new().stem().node(op, &inputs, "a", &[int("axis", 1)]);
    net.head("a", channels)
}

/// Functions that each call the one before twice.
fn doubled(depth: usize) -> Net {
    let version = |domain: &str, version| OperatorSetIdProto {
        domain: domain.to_owned(),
        version,
    };
    let mut net = Net::new().stem();
    for i in 0..depth {
        let call = |from: &str, to: &str| match i {
            0 => node("", "Neg", &[from], to, &[]),
            _ => node("own", &format!("f{}", i - 1), &[from], to, &[]),
        };
        net.functions.push(FunctionProto {
            name: Some(format!("f{i}")),
            domain: Some("own".to_owned()),
            input: vec!["p".to_owned()],
            output: vec!["q".to_owned()],
            node: vec![call("p", "between"), call("between", "q")],
            opset_import: vec![version("", 17), version("own", 1)],
            ..FunctionProto::default()
        });
    }
    let last = format!("f{}", depth - 1);
    net.own_node("own", &last, &["c"], "a", &[]).head("a", 8)
}

/// A value that goes twice into each of so many nodes.
fn diamonds(count: usize) -> Net {
    let mut net = Net::new().stem();
    let mut last = "c".to_owned();
    for i in 0..count {
        let next = format!("c{i}");
        net = net.node("Max", &[&last, &last], &next, &[]);
        last = next;
    }
    net.head(&last, 8)
}

/// Many nodes, many inputs, much nesting.
fn counts() -> Vec<Row> {
    let plain = || Net::new().stem().head("c", 8).bytes();
    let nodes: &'static [&'static str] = &["more than", "nodes"];
    let mut rows = vec![
        row("no chain", chain("Neg", 2), Like(plain())),
        row("functions", doubled(4), Like(plain())),
        row("functions to 2^16 nodes", doubled(16), Refused(&["f"])),
        row("functions to 2^60 nodes", doubled(60), Refused(&["f"])),
        row("diamonds", diamonds(60), Like(plain())),
        row(
            "a Concat of 1000 inputs",
            wide("Concat", 1000),
            Refused(&["the a", "1000"]),
        ),
    ];
    for (op, count) in [
        ("Max", 30_000),
        ("Pow", 30_000),
        ("Neg", 100_000),
        ("Relu", 100_000),
    ] {
        rows.push(row(
            format!("{count} times {op}"),
            chain(op, count),
            Refused(nodes),
        ));
    }
    for op in ["Sum", "Concat", "Max"] {
        let name = format!("a {op} of 100000 inputs");
        rows.push(row(name, wide(op, 100_000), Refused(&["inputs"])));
    }
    for op in ["Identity", "Add", "Mul"] {
        rows.push(row(
            format!("16000 times {op}"),
            chain(op, 16_000),
            RefusedOrRun,
        ));
    }
    for (op, count) in [("Neg", 16_000), ("Max", 4_000)] {
        rows.push(row(
            format!("{count} times {op}"),
            chain(op, count),
            RefusedOrRun,
        ));
    }
    rows
}

/// A protobuf field of bytes.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut made = vec![tag << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut made);
    made.extend_from_slice(content);
    made
}

/// A field's key and length, without what it should hold.
fn lie(tag: u8, len: u64) -> Vec<u8> {
    let mut made = vec![tag << 3 | 2];
    prost::encoding::encode_varint(len, &mut made);
    made
}

/// Files that lie about what is in them, or are small and become large.
fn files() -> Vec<Row> {
    let cut: &'static [&'static str] = &["not an ONNX file"];
    let whole = Net::new().stem().head("c", 8).bytes();
    let graph = |content: &[u8]| field(7, content);
    let mut deep = Vec::new();
    for _ in 0..10_000 {
        // A graph in an attribute of a node.
        deep = field(1, &field(5, &field(6, &deep)));
    }
    let mut rows: Vec<Row> = vec![
        (
            "a graph longer than the file".into(),
            lie(7, 1 << 40),
            Refused(cut),
        ),
        (
            "a length of 2^64 - 1".into(),
            lie(7, u64::MAX),
            Refused(cut),
        ),
        (
            "a node longer than its graph".into(),
            graph(&lie(1, 1 << 31)),
            Refused(cut),
        ),
        (
            "weights longer than all".into(),
            graph(&field(5, &lie(9, 1 << 50))),
            Refused(cut),
        ),
        (
            "graphs 10000 deep".into(),
            graph(&deep),
            Refused(&["deeper"]),
        ),
        (
            "10^6 nodes".into(),
            graph(&field(1, &[]).repeat(1_000_000)),
            Refused(&["nodes"]),
        ),
        (
            "10^6 weights".into(),
            graph(&field(5, &[]).repeat(1_000_000)),
            Refused(&["beside"]),
        ),
        (
            "10^6 attributes".into(),
            graph(&field(1, &field(5, &[]).repeat(1_000_000))),
            Refused(&["beside"]),
        ),
        (
            "half a file".into(),
            whole[..whole.len() / 2].to_vec(),
            Refused(cut),
        ),
    ];
    let with_weights = |change: &dyn Fn(&mut TensorProto)| {
        let mut net = Net::new().stem().head("c", 8);
        change(&mut net.graph.initializer[0]);
        net
    };
    let outside = |location: &str, offset: &str| {
        let entry = |key: &str, value: &str| StringStringEntryProto {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let entries = vec![entry("location", location), entry("offset", offset)];
        with_weights(&move |t| {
            t.raw_data.clear();
            t.data_location = Some(DataLocation::External as i32);
            t.external_data = entries.clone();
        })
    };
    let weights: &'static [&'static str] = &["weights", "'w'"];
    rows.extend([
        row(
            "more values than a shape",
            with_weights(&|t| t.raw_data.extend([0; 4])),
            Refused(weights),
        ),
        row(
            "fewer values than a shape",
            with_weights(&|t| t.raw_data.truncate(4)),
            Refused(weights),
        ),
        row(
            "half a value",
            with_weights(&|t| t.raw_data.truncate(5)),
            Refused(weights),
        ),
        row(
            "a negative size",
            with_weights(&|t| t.dims[0] = -8),
            Refused(weights),
        ),
        row(
            "sizes that wrap",
            with_weights(&|t| t.dims = vec![1 << 32; 4]),
            Refused(weights),
        ),
        row(
            "sizes that wrap to 0",
            with_weights(&|t| t.dims = vec![0, 1 << 62, 4]),
            Refused(weights),
        ),
        row(
            "a million axes",
            with_weights(&|t| t.dims = vec![1; 1_000_000]),
            Refused(&["axes"]),
        ),
        row(
            "weights outside of a file",
            outside("photo.png", "1000000"),
            Refused(weights),
        ),
        row(
            "weights at 2^64 - 1",
            outside("photo.png", "18446744073709551615"),
            Refused(weights),
        ),
    ]);
    // Each of many tensors names the same bytes.
    let mut shared = Net::new().stem().head("c", 8);
    let mut large = outside("zeros", "0").graph.initializer.remove(0);
    large.dims = vec![1 << 26];
    for i in 0..100 {
        large.name = format!("large {i}");
        shared.graph.initializer.push(large.clone());
    }
    rows.push(row(
        "the same bytes a hundred times",
        shared,
        Refused(&["2048 MiB"]),
    ));
    rows
}

/// Classifies the photo, with no more addresses than the limit.
fn classify(folder: &Path, model: &Path) -> Run {
    let plain = eyelet(folder);
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            &format!(
                "ulimit -v {ADDRESSES_KIB_MOST} && \"$@\"; code=$?; echo TIMES >&2; times >&2; exit $code"
            ),
            "sh",
        ])
        .arg(plain.get_program())
        .args(["classify", "--json", "--model"])
        .args([model.as_os_str(), "photo.png".as_ref()])
        .current_dir(folder);
    for (key, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    let output = command.output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The processor's time that a run says it took, from the shell's `times`; other programs of the machine do not count.
fn processor_time(run: &mut Run) -> Duration {
    let Some((rest, told)) = run.stderr.rsplit_once("TIMES\n") else {
        return Duration::ZERO;
    };
    // The last line is the children's: user and system, like 0m0.010s.
    let last = told.lines().nth(1).unwrap_or_default().to_owned();
    run.stderr = rest.to_owned();
    let seconds = |word: &str| -> f64 {
        let (minutes, seconds) = word.trim_end_matches('s').split_once('m').unwrap();
        minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
    };
    Duration::from_secs_f64(last.split_whitespace().map(seconds).sum())
}

/// What is wrong with a row, if anything.
fn judge(folder: &Path, number: usize, (name, bytes, right): &Row) -> Option<String> {
    let at = |what: &str, bytes: &[u8]| -> PathBuf {
        let file = folder.join(format!("{number}{what}.onnx"));
        std::fs::write(&file, bytes).unwrap();
        file
    };
    let started = Instant::now();
    let mut run = classify(folder, &at("", bytes));
    let took = processor_time(&mut run);
    assert!(started.elapsed() < HANG, "{name}");
    println!(
        "{name}: {} in {took:.1?}: {}",
        run.code,
        run.stderr.lines().last().unwrap_or("")
    );
    let wrong = |what: &str| Some(format!("{name}: {what}: exit {}, {}", run.code, run.stderr));
    let told = run.stderr.lines().filter(|l| l.starts_with("eyelet: "));
    if took > SECONDS_MOST {
        return wrong(&format!("it took {took:?}"));
    }
    if run.code != 0 && (run.code != MODEL || told.count() != 1) {
        return wrong("it is not refused in one line");
    }
    match right {
        Refused(_) if run.code == 0 => wrong("it is run"),
        Refused(words) => words
            .iter()
            .find(|word| !run.stderr.contains(**word))
            .and_then(|word| wrong(&format!("it does not say '{word}'"))),
        RefusedOrRun => None,
        Like(plain) => {
            let like = classify(folder, &at("-plain", plain));
            let same = run.code == 0 && top(&run) == top(&like);
            (!same).then(|| wrong("it gives other scores")).flatten()
        }
    }
}

/// Classes and scores, best first.
fn top(run: &Run) -> Option<String> {
    Some(run.json_lines().first()?.get("top")?.to_string())
}

fn check(rows: &[Row]) {
    if emulated() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    image::RgbImage::from_fn(60, 40, |x, y| image::Rgb([x as u8 * 4, y as u8 * 6, 90]))
        .save(folder.path().join("photo.png"))
        .unwrap();
    std::fs::File::create(folder.path().join("zeros"))
        .and_then(|f| f.set_len(256 << 20))
        .unwrap();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut wrong = Vec::new();
        loop {
            let number = next.fetch_add(1, Relaxed);
            let Some(row) = rows.get(number) else {
                return wrong;
            };
            wrong.extend(judge(folder.path(), number, row));
        }
    };
    let wrong = std::thread::scope(|scope| {
        let both = [scope.spawn(work), scope.spawn(work)];
        both.map(|thread| thread.join().unwrap()).concat()
    });
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
}

#[test]
fn sizes_that_wrap_or_reach_outside() {
    check(&sizes());
}

#[test]
fn windows_that_make_no_sense() {
    check(&windows());
}

#[test]
fn more_scores_than_a_classifier_has() {
    check(&scores());
}

#[test]
fn constants_that_grow() {
    check(&constants());
}

#[test]
fn more_nodes_than_a_network_has() {
    check(&counts());
}

#[test]
fn files_that_lie() {
    check(&files());
}
