//! Assumptions about a model are logged when it is used, its file's statements are used, and contradictions are refused.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;
#[allow(dead_code, reason = "each program uses a part")]
#[path = "common/graph.rs"]
mod graph;

use common::{Run, run_eyelet};
use graph::Net;
use std::fs;
use tempfile::TempDir;

const MODEL: i32 = 4;
const IMAGENET: &str = "assumed: the rule of the published ImageNet models";

/// A folder with `net.onnx`, and with `net.toml` where there is one.
struct Desk(TempDir);

impl Desk {
    fn with(net: Net, toml: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("net.onnx"), net.bytes()).unwrap();
        if let Some(toml) = toml {
            fs::write(folder.path().join("net.toml"), toml).unwrap();
        }
        Self(folder)
    }

    fn run(&self, words: &[&str]) -> Run {
        run_eyelet(self.0.path(), words)
    }

    /// The lines of `eyelet explain` with a key, spaces as one.
    fn explained(&self) -> Vec<String> {
        let run = self.run(&["explain", "net.onnx"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let lines = run.stdout.lines();
        let lines = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.filter(|line| line.contains(" = ")).collect()
    }
}

fn assert_has(lines: &[String], wanted: &[&str]) {
    for wanted in wanted {
        assert!(
            lines.iter().any(|line| line.contains(wanted)),
            "no {wanted:?} in {lines:#?}"
        );
    }
}

#[test]
fn a_bare_file_is_given_the_usual_rule_and_says_so() {
    let desk = Desk::with(Net::new().stem().head("c", 8), None);
    let lines = desk.explained();
    assert_has(
        &lines,
        &[
            "input.layout = \"NCHW\" the ONNX file says so: its input's shape and type",
            "input.width_px = 32 the ONNX file says so",
            &format!("input.scale = 0.003921569 {IMAGENET}"),
            &format!("input.mean = [0.485, 0.456, 0.406] {IMAGENET}"),
            "output.kind = \"logits\" assumed: it ends in no Softmax or Sigmoid",
            "output.class_count = 10 the ONNX file says so",
            "precision = \"single\" the default, for float networks",
            "labels = numbers assumed: ",
        ],
    );
    // Where it is used, each assumption is a line, with the file that changes it.
    let run = desk.run(&["bench", "--model", "net.onnx", "--iterations", "1"]);
    for key in ["input.mean", "input.channels", "output.kind", "labels"] {
        let expected = format!("net: {key} = ");
        assert!(run.stderr.contains(&expected), "{key}: {}", run.stderr);
    }
    assert!(
        run.stderr.contains("correct wrong assumptions in net.toml"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_network_that_scales_its_picture_itself_gets_it_as_it_is() {
    let rescaling = |factor: f32, offset: f32| {
        Net::new()
            .node("Mul", &["x", "factor"], "scaled", &[])
            .float("factor", &[1], factor)
            .node("Add", &["scaled", "offset"], "moved", &[])
            .float("offset", &[1], offset)
            .node("Conv", &["moved", "w"], "c", &[])
            .weights("w", &[8, 3, 3, 3])
            .head("c", 8)
    };
    for (net, scale) in [
        (rescaling(1.0 / 127.5, -1.0), "1.0"),
        (rescaling(2.0, -1.0), "0.003921569"),
    ] {
        let says = "the ONNX file says so: it normalises its picture itself (Mul Add)";
        assert_has(
            &Desk::with(net, None).explained(),
            &[
                &format!("input.scale = {scale} {says}"),
                &format!("input.mean = [0.0, 0.0, 0.0] {says}"),
                &format!("input.std = [1.0, 1.0, 1.0] {says}"),
            ],
        );
    }
}

fn toml(kind: &str, more: &str) -> String {
    format!(
        "description = \"d\"\nfile = \"net.onnx\"\n[input]\nwidth_px = 32\nheight_px = 32\n{more}\
         [output]\nkind = \"{kind}\"\nclass_count = 10\n"
    )
}

fn with_softmax() -> Net {
    Net::new()
        .stem()
        .node("GlobalAveragePool", &["c"], "pooled", &[])
        .node("Flatten", &["pooled"], "flat", &[])
        .node("Gemm", &["flat", "fc"], "logits", &[])
        .weights("fc", &[8, 10])
        .node("Softmax", &["logits"], "out", &[])
}

#[test]
fn a_softmax_after_a_softmax_is_refused_with_the_key_to_correct() {
    assert_has(
        &Desk::with(with_softmax(), None).explained(),
        &["output.kind = \"probabilities\" the ONNX file says so: it ends in Softmax"],
    );
    let right = Desk::with(with_softmax(), Some(&toml("probabilities", "")));
    assert_has(
        &right.explained(),
        &["output.kind = \"probabilities\" its net.toml says so"],
    );
    let wrong = Desk::with(with_softmax(), Some(&toml("logits", "")));
    let run = wrong.run(&["explain", "net.onnx"]);
    assert_eq!(run.code, MODEL, "{}", run.stderr);
    assert!(run.stderr.contains("ends in Softmax"), "{}", run.stderr);
    assert!(
        run.stderr.contains("correct [output] kind"),
        "{}",
        run.stderr
    );
}

#[test]
fn keys_that_a_model_toml_leaves_out_are_assumed() {
    let net = || Net::new().stem().head("c", 8);
    let toml = toml("logits", "mean = [0.5, 0.5, 0.5]\n");
    let toml = toml.replace("[input]", "precision = \"half\"\n[input]");
    let desk = Desk::with(net(), Some(&toml));
    assert_has(
        &desk.explained(),
        &[
            "input.mean = [0.5, 0.5, 0.5] its net.toml says so",
            &format!("input.std = [0.229, 0.224, 0.225] {IMAGENET}"),
            "output.class_count = 10 its net.toml says so",
            "output.label_offset = 0 assumed: score 0 is a class",
            "precision = \"half\" its net.toml says so",
        ],
    );
}

#[test]
fn pixels_that_would_be_normalised_twice_are_warned_about() {
    let net = Net::new()
        .node("Mul", &["x", "factor"], "scaled", &[])
        .float("factor", &[1], 1.0 / 255.0)
        .node("Conv", &["scaled", "w"], "c", &[])
        .weights("w", &[8, 3, 3, 3])
        .head("c", 8);
    let desk = Desk::with(net, Some(&toml("logits", "")));
    let run = desk.run(&["explain", "net.onnx"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stderr.contains("warn") && run.stderr.contains("scale = 1.0, mean = [0.0, 0.0, 0.0]"),
        "{}",
        run.stderr
    );
}

#[test]
fn other_networks_than_classifiers_are_refused_as_what_they_seem() {
    let whole_picture = || {
        let mut net = Net::new().stem();
        net.graph.node[0].output = vec!["out".to_owned()];
        net
    };
    let mut open = whole_picture();
    open.graph.output = vec![graph::value("out", &[1, 8, 30, 30])];
    let embedding = Net::new()
        .stem()
        .node("GlobalAveragePool", &["c"], "pooled", &[])
        .node("Flatten", &["pooled"], "flat", &[])
        .node("LpNormalization", &["flat"], "out", &[])
        .scores(8);
    for (net, seems) in [
        (open, "seems to be a segmentation network"),
        (embedding, "seems to be an embedding"),
    ] {
        let run = Desk::with(net, None).run(&["explain", "net.onnx"]);
        assert_eq!(run.code, MODEL, "{seems}: {}", run.stdout);
        assert!(run.stderr.contains(seems), "{}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    }
}

/// A network whose file says `side_px`, and whose last product fits pictures of 32 x 32 alone.
fn of_one_size(side_px: i64) -> Net {
    Net::of_side(side_px)
        .stem()
        .node("Flatten", &["c"], "flat", &[])
        .node("Gemm", &["flat", "fc"], "out", &[])
        .weights("fc", &[8 * 30 * 30, 10])
}

/// The same for 32 pixels, whose file leaves the size open.
fn of_open_size() -> Net {
    let mut net = of_one_size(32);
    open(&mut net.graph.input[0], 2);
    net
}

/// Leaves the sizes of a value from an axis on open.
fn open(value: &mut tract_onnx::pb::ValueInfoProto, from: usize) {
    let kind = value.r#type.as_mut().unwrap();
    let Some(tract_onnx::pb::type_proto::Value::TensorType(tensor)) = &mut kind.value else {
        panic!("not a tensor");
    };
    for dim in &mut tensor.shape.as_mut().unwrap().dim[from..] {
        dim.value = None;
    }
}

#[test]
fn a_size_that_a_configuration_beside_the_file_states_is_taken() {
    let desk = Desk::with(of_open_size(), None);
    // Hugging Face's MobileViT has such a one, for 256 pixels.
    let config = r#"{"crop_size": {"height": 32, "width": 32}, "do_center_crop": true, "do_flip_channel_order": true,
        "do_rescale": true, "size": {"shortest_edge": 36}}"#;
    fs::write(desk.0.path().join("preprocessor_config.json"), config).unwrap();
    assert_has(
        &desk.explained(),
        &[
            "input.width_px = 32 a file beside it says so: crop_size in preprocessor_config.json",
            "input.channels = \"bgr\" a file beside it says so: do_flip_channel_order in preprocessor_config.json",
            "input.resize_shorter_px = 36 a file beside it says so: size in preprocessor_config.json",
        ],
    );
}

#[test]
fn an_assumed_size_is_named_too_where_the_number_of_scores_is_open() {
    let mut net = of_open_size();
    open(&mut net.graph.output[0], 1);
    let run = Desk::with(net, None).run(&["explain", "net.onnx"]);
    assert_eq!(run.code, MODEL, "{}", run.stdout);
    assert!(
        run.stderr.contains("224 x 224 is assumed: if"),
        "{}",
        run.stderr
    );
}

#[test]
fn an_assumed_size_that_does_not_fit_is_reported_with_how_to_change_it() {
    let desk = Desk::with(of_open_size(), None);
    let run = desk.run(&["explain", "net.onnx"]);
    assert_eq!(run.code, MODEL, "{}", run.stdout);
    let first = "net.onnx leaves the size of its picture open";
    assert!(run.stderr.contains(first), "{}", run.stderr);
    let expected = "224 x 224 is assumed: if it is another one, `eyelet model describe net.onnx -o net.toml` writes";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    // What is said there holds, on a machine whose program has `describe`: a board's has not.
    if cfg!(not(feature = "tools")) {
        return;
    }
    let run = desk.run(&["model", "describe", "net.onnx", "-o", "net.toml"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let toml = desk.0.path().join("net.toml");
    let text = fs::read_to_string(&toml).unwrap();
    fs::write(&toml, text.replace("_px = 224 ", "_px = 32 ")).unwrap();
    let run = desk.run(&["explain", "net.onnx"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn a_size_that_the_file_states_is_not_called_assumed() {
    let run = Desk::with(of_one_size(40), None).run(&["explain", "net.onnx"]);
    assert_eq!(run.code, MODEL, "{}", run.stdout);
    assert!(!run.stderr.contains("is assumed: if"), "{}", run.stderr);
}
