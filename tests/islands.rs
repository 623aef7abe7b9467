//! Networks that our kernels know in part: which parts run in islands and which are left to tract. That the scores are right is
//! `any_model.rs`'s business; here also that threads and repetition do not change them.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;

use common::{argmax, fixture, read_f32, run_eyelet, say_skipped};
use eyelet::model::Model;
use eyelet::network::Network;

/// Fixture, islands, operators left to tract in the order of running.
const EXPECTED: &[(&str, usize, &[&str])] = &[
    ("unknown-mish", 2, &["Softplus"]),
    ("unknown-residual", 2, &["InstanceNormalization"]),
    ("unknown-gate", 2, &["Softsign", "Abs"]),
    ("unknown-start-u8", 1, &["Cast", "Div", "Pow"]),
    (
        "unknown-end",
        1,
        &["ReduceMax", "Sub", "Exp", "ReduceSum", "Log", "Sub"],
    ),
    ("qdq-unknown-gate", 2, &["Softsign", "Abs"]),
    ("qdq-unknown-bytes", 2, &["InstanceNormalization"]),
    // Integers cross the borders here.
    ("qdq-moves", 3, &["Transpose", "Reshape"]),
    ("qop-moves", 3, &["Transpose", "Reshape"]),
];

/// Fixtures with operators that used to be left to tract and are known now.
const WHOLE: &[&str] = &[
    "branches",
    "keras",
    "qdq-keras",
    "gelu",
    "gelu-opset20",
    "qdq-gelu",
    "qop-gelu",
    "grouped",
    "qop-branches",
    "split-shuffle",
    "qdq-split-shuffle",
    "qdq-bytes-in",
    "qdq-norms",
    "qdq-chains",
    "qop-chains",
    "dynamic",
    "dynamic-fork",
    "dynamic-zero-points",
    "rank-3",
    "resized",
    "qdq-resized",
    "unknown-start",
    "attention",
    "attention-windows",
    "attention-thinned",
    "standardised",
    "qdq-by-channel",
    "qdq-clipped",
];

/// Fixture, islands, per cent of multiply-adds in them, an operator that is left to tract: tensors of three and five axes, and
/// graphs inside of nodes, between layers that are known.
const AROUND: &[(&str, usize, u64, &str)] = &[
    ("rank-5", 2, 56, "Conv"),
    ("qdq-rank-3", 2, 35, "LayerNormalization"),
    ("qdq-rank-5", 2, 56, "Conv"),
    ("dynamic-rank-3", 3, 67, "MatMulInteger"),
    ("dynamic-dense", 2, 100, "DequantizeLinear"),
    ("if-settled", 1, 100, "If"),
    ("if-picture", 1, 100, "If"),
    ("scan", 2, 100, "Scan"),
    ("qdq-scan", 2, 100, "Scan"),
];

fn load(name: &str, threads: usize) -> (Model, Network) {
    let path = fixture(&format!("{name}.onnx"));
    let model = Model::find(&path.display().to_string(), None).unwrap();
    let network = Network::load(&model, threads).unwrap();
    (model, network)
}

fn has_kernels() -> bool {
    let known = load("opset13", 1).1.fused().is_ok();
    if !known {
        say_skipped("this CPU has no instruction set that the fast plan has kernels for");
    }
    known
}

#[test]
fn known_layers_run_in_islands_and_unknown_ones_in_tract() {
    if !has_kernels() {
        return;
    }
    for &(name, count, left) in EXPECTED {
        let (_, network) = load(name, 1);
        let islands = network
            .islands()
            .unwrap_or_else(|| panic!("{name}: no islands"));
        let outside: Vec<&str> = islands.outside.iter().map(|n| n.op.as_str()).collect();
        assert_eq!((islands.ports.len(), &outside[..]), (count, left), "{name}");
        assert!(islands.outside.iter().all(|n| !n.why.is_empty()), "{name}");
        // Every convolution and matrix product of these networks is known.
        assert_eq!(islands.percent_inside(), 100, "{name}");
        for island in 0..count {
            let mut rows = islands.rows.iter().filter(|r| r.segment == island);
            assert!(
                rows.any(|r| r.multiply_adds > 0),
                "{name}: idle island {island}"
            );
        }
        let plural = if count == 1 { "" } else { "s" };
        let description = network.describe();
        let start = format!("tract plan with {count} island{plural} (100 % of multiply-adds) on ");
        assert!(description.starts_with(&start), "{name}: {description}");
    }
}

#[test]
fn islands_are_made_around_other_ranks_and_graphs_inside_of_nodes() {
    if !has_kernels() {
        return;
    }
    for &(name, count, percent, op) in AROUND {
        let (_, network) = load(name, 1);
        let islands = network
            .islands()
            .unwrap_or_else(|| panic!("{name}: no islands"));
        let found = (islands.ports.len(), islands.percent_inside());
        assert_eq!(found, (count, percent), "{name}");
        assert!(islands.outside.iter().any(|n| n.op == op), "{name}");
        assert!(islands.outside.iter().all(|n| !n.why.is_empty()), "{name}");
    }
}

#[test]
fn channel_shuffles_splits_and_slopes_are_known() {
    if !has_kernels() {
        return;
    }
    for name in WHOLE {
        let (_, network) = load(name, 1);
        let known = network.fused().map(|_| ());
        assert_eq!(known, Ok(()), "{name}");
    }
}

#[test]
fn threads_and_repetition_do_not_change_the_scores() {
    let picture = std::fs::read(fixture("nhwc.input.u8")).unwrap();
    for &(name, _, _) in EXPECTED {
        let expected = read_f32(&fixture(&format!("{name}.output.f32")));
        let count = expected.len() / 2;
        let mut first: Option<Vec<f32>> = None;
        for threads in [1, 2, 3] {
            let (_, mut network) = load(name, threads);
            for run in [0, 1, 0] {
                let half = picture.len() / 2;
                let encoder = network.encoder().clone();
                let pixels = &picture[run * half..][..half];
                encoder.encode(pixels, network.input()).unwrap();
                let scores = network.run().unwrap().to_vec();
                let best = argmax(&expected[run * count..][..count]);
                assert_eq!(argmax(&scores), best, "{name} x {threads}");
                if run == 0 {
                    let first = first.get_or_insert_with(|| scores.clone());
                    assert_eq!(&scores, first, "{name} x {threads}: other bits");
                }
            }
        }
    }
}

#[test]
fn explain_lists_the_islands_and_says_why_a_node_is_outside() {
    if !has_kernels() {
        return;
    }
    let folder = std::env::temp_dir();
    let file = fixture("unknown-residual.onnx").display().to_string();
    let run = run_eyelet(&folder, &["explain", &file]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let at = |what: &str| {
        let found = run.stdout.lines().position(|l| l.contains(what));
        found.unwrap_or_else(|| panic!("{what:?} is not in\n{}", run.stdout))
    };
    let outside =
        "outside: InstanceNormalization node_instancenormalization_9: there is no fused form";
    let order = [
        at("tract plan with 2 islands"),
        at("island 1: 1 in, 1 out"),
        at(outside),
        at("island 2: 1 in, 1 out"),
        at("fully connected"),
        at("in 2 islands"),
    ];
    assert!(order.is_sorted(), "{order:?} in\n{}", run.stdout);
}

#[test]
fn explain_says_why_each_node_is_outside_in_a_network_without_islands() {
    if !has_kernels() {
        return;
    }
    let folder = std::env::temp_dir();
    let file = fixture("dynamic-sums.onnx").display().to_string();
    let run = run_eyelet(&folder, &["explain", &file]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stdout.contains("dynamic-sums: tract plan"),
        "{}",
        run.stdout
    );
    for op in ["DynamicQuantizeLinear", "MatMulInteger"] {
        let start = format!("outside: {op} ");
        let lines = run.stdout.lines().filter(|l| l.starts_with(&start));
        let why = "in another place than quantize_dynamic has it";
        assert!(
            lines.clone().count() > 0 && lines.clone().all(|l| l.ends_with(why)),
            "{op} in\n{}",
            run.stdout
        );
    }
}
