//! Many nodes, many inputs, functions that call each other.

use crate::graph::{Net, int, node};
use crate::{Bounded, Like, Refused, Row, row};
use tract_onnx::pb::{FunctionProto, OperatorSetIdProto};

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
pub fn counts() -> Vec<Row> {
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
            Refused(&["the a' (Concat)", "1000"]),
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
    rows.push(row(
        "16000 times Identity",
        chain("Identity", 16_000),
        Like(plain()),
    ));
    for op in ["Add", "Mul"] {
        rows.push(row(format!("16000 times {op}"), chain(op, 16_000), Bounded));
    }
    for (op, count) in [("Neg", 16_000), ("Max", 4_000)] {
        rows.push(row(
            format!("{count} times {op}"),
            chain(op, count),
            Bounded,
        ));
    }
    rows
}
