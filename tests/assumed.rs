//! Assumptions about a model are logged when it is used, its file's statements are used, and contradictions are refused.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;
#[allow(dead_code, reason = "each program uses a part")]
#[path = "common/graph.rs"]
mod graph;

use common::{Run, run_eyelet};
use graph::{Net, int};
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

#[test]
fn a_softmax_after_a_softmax_is_refused_with_the_key_to_correct() {
    assert_has(
        &Desk::with(Net::ending_in("Softmax"), None).explained(),
        &["output.kind = \"probabilities\" the ONNX file says so: it ends in Softmax"],
    );
    let right = Desk::with(Net::ending_in("Softmax"), Some(&toml("probabilities", "")));
    assert_has(
        &right.explained(),
        &["output.kind = \"probabilities\" its net.toml says so"],
    );
    let wrong = Desk::with(Net::ending_in("Softmax"), Some(&toml("logits", "")));
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
    let stated = "mean = [0.485, 0.456, 0.406]\n";
    for (more, is_warned) in [(stated, true), ("", false)] {
        let desk = Desk::with(net.clone(), Some(&toml("logits", more)));
        let run = desk.run(&["explain", "net.onnx"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let expected = "take scale = 1.0, mean = [0.0, 0.0, 0.0]";
        assert_eq!(run.stderr.contains(expected), is_warned, "{}", run.stderr);
        // What is left out comes from the network.
        let expected =
            "input.scale = 1.0 the ONNX file says so: it normalises its picture itself (Mul)";
        let is_said = desk.explained().iter().any(|line| line == expected);
        assert_eq!(is_said, !is_warned);
    }
}

#[test]
fn a_scale_for_another_range_than_the_mean_is_warned_about() {
    let of_bytes = "mean = [123.7, 116.3, 103.5]\nstd = [58.4, 57.1, 57.4]\n";
    let (whole, plain) = (
        "scale = 1.0\n",
        "mean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\n",
    );
    let caffe = "mean = [103.9, 116.8, 123.7]\n";
    for (more, expected) in [
        (
            of_bytes.to_owned(),
            Some(
                "all pictures look alike: if mean and std are for pixels from 0 to 255, state scale = 1.0",
            ),
        ),
        (
            caffe.to_owned(),
            Some(
                "all pictures look alike: if mean is for pixels from 0 to 255, state scale = 1.0, and std for such pixels",
            ),
        ),
        (
            format!("{caffe}std = [1.0, 1.0, 1.0]\n"),
            Some(
                "black becomes -103.900 and white -102.900, so all pictures look alike: if mean and std are for pixels from 0 to 255, \
                 state scale = 1.0",
            ),
        ),
        (
            format!("{whole}{caffe}"),
            Some("state scale = 1.0, and std for such pixels too"),
        ),
        (format!("{whole}{caffe}std = [1.0, 1.0, 1.0]\n"), None),
        (
            whole.to_owned(),
            Some(
                "a pixel's value is up to 1136: if mean and std are for pixels from 0 to 1, state scale = 0.00392",
            ),
        ),
        (format!("{whole}{of_bytes}"), None),
        (format!("{whole}{plain}"), None),
        (plain.to_owned(), None),
        (String::new(), None),
    ] {
        let run = Desk::with(with_logits_out(), Some(&toml("logits", &more)))
            .run(&["explain", "net.onnx"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        match expected {
            Some(words) => assert!(run.stderr.contains(words), "{more}: {}", run.stderr),
            None => assert!(!run.stderr.contains(" warn "), "{more}: {}", run.stderr),
        }
    }
}

#[test]
fn a_softmax_over_one_value_is_refused() {
    let one = Net::new()
        .stem()
        .node("GlobalAveragePool", &["c"], "pooled", &[])
        .node("Flatten", &["pooled"], "flat", &[])
        .node("MatMul", &["flat", "dense"], "score", &[])
        .weights("dense", &[8, 1])
        .node("Softmax", &["score"], "out", &[])
        .scores(1);
    let run = Desk::with(one, None).run(&["explain", "net.onnx"]);
    assert_eq!(run.code, MODEL, "{}", run.stdout);
    let expected = "ends in a Softmax over one value, which is 1 for every picture";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    let over_batch = with_logits().node("Softmax", &["logits"], "out", &[int("axis", 0)]);
    let photo = common::fixture("halved-chroma.jpg").display().to_string();
    let run = Desk::with(over_batch, None).run(&["classify", "--model", "net.onnx", &photo]);
    assert_ne!(run.code, 0, "{}", run.stdout);
    assert!(
        run.stderr.contains("all its scores are 1"),
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
    let expected = "224 x 224 is assumed: if it is another one, state it in a net.toml beside it ([input] width_px = ...";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    // What is said there is enough, also for a file of the name that a shared description has.
    let toml = "[input]\nwidth_px = 32\nheight_px = 32\n[output]\nclass_count = 10\n";
    for name in ["net", "model"] {
        let at = |ending: &str| desk.0.path().join(format!("{name}.{ending}"));
        fs::write(at("onnx"), of_open_size().bytes()).unwrap();
        fs::write(at("toml"), toml).unwrap();
        let run = desk.run(&["explain", &format!("{name}.onnx")]);
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
}

#[test]
fn a_minimal_model_toml_is_that_of_model_onnx() {
    let desk = Desk::with(with_logits_out(), None);
    let at = |name: &str| desk.0.path().join(name);
    let minimal = "[input]\nmean = [0.5, 0.5, 0.5]\n[output]\nclass_count = 10\n";
    let is_stated = |name: &str| {
        let run = desk.run(&["explain", name]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.stdout.contains("its model.toml says so")
    };
    fs::write(at("model.toml"), minimal).unwrap();
    // Without a file that it could be for, it is not passed over.
    let run = desk.run(&["explain", "net.onnx"]);
    assert!(run.stderr.contains("file: is missing"), "{}", run.stderr);
    fs::write(at("model.onnx"), with_logits_out().bytes()).unwrap();
    assert!(is_stated("model.onnx") && !is_stated("net.onnx"));
    // It may be for another file.
    fs::write(at("model.toml"), format!("file = \"net.onnx\"\n{minimal}")).unwrap();
    assert!(!is_stated("model.onnx") && is_stated("net.onnx"));
}

#[test]
fn a_crop_without_a_size_is_cut_out_of_8_sevenths_of_the_picture() {
    for (side, shorter) in [(384, 439), (96, 110)] {
        let toml = "[input]\nresize = \"crop\"\n[output]\nclass_count = 10\n";
        let desk = Desk::with(Net::of_side(side).stem().head("c", 8), Some(toml));
        // ViT's.
        let config = format!(r#"{{"size": {{"height": {side}, "width": {side}}}}}"#);
        fs::write(desk.0.path().join("preprocessor_config.json"), config).unwrap();
        let lines = desk.explained();
        let shorter = format!("input.resize_shorter_px = {shorter} {IMAGENET}");
        assert_has(
            &lines,
            &["input.resize = \"crop\" its net.toml says so", &shorter],
        );
    }
}

#[test]
fn a_scale_of_bytes_is_refused_with_what_to_take_out() {
    let mut net = Net::new()
        .node("Cast", &["x"], "real", &[int("to", 1)])
        .node("Conv", &["real", "w"], "c", &[])
        .weights("w", &[8, 3, 3, 3])
        .head("c", 8);
    let kind = net.graph.input[0].r#type.as_mut().unwrap();
    if let Some(tract_onnx::pb::type_proto::Value::TensorType(tensor)) = &mut kind.value {
        tensor.elem_type = 2;
    }
    for (keys, expected) in [
        ("scale = 0.0039\n", "take scale out of [input]"),
        (
            "mean = [1.0, 1.0, 1.0]\nstd = [1.0, 1.0, 1.0]\n",
            "take mean and std out of [input]",
        ),
        (
            "dtype = \"f32\"\n",
            "takes dtype = \"u8\", and its net.toml says dtype = \"f32\": correct [input] dtype",
        ),
    ] {
        let run =
            Desk::with(net.clone(), Some(&toml("logits", keys))).run(&["explain", "net.onnx"]);
        assert_eq!(run.code, MODEL, "{}", run.stdout);
        assert!(run.stderr.contains(expected), "{}", run.stderr);
    }
    let run = Desk::with(net, Some(&toml("logits", ""))).run(&["explain", "net.onnx"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn a_size_that_the_file_states_is_not_called_assumed() {
    let run = Desk::with(of_one_size(40), None).run(&["explain", "net.onnx"]);
    assert_eq!(run.code, MODEL, "{}", run.stdout);
    assert!(!run.stderr.contains("is assumed: if"), "{}", run.stderr);
}

/// Ten logits, named `logits`.
fn with_logits() -> Net {
    let mut net = Net::ending_in("Softmax");
    net.graph.node.pop();
    net
}

/// The same with these scores made of them.
fn ending_in(nodes: &[(&str, &[&str], &str)], constants: &[(&str, f32)]) -> Net {
    let net = with_logits().list("classes", &[1]);
    let net = constants
        .iter()
        .fold(net, |net, (name, value)| net.float(name, &[], *value));
    nodes.iter().fold(net, |net, (op, inputs, output)| {
        net.node(op, inputs, output, &[])
    })
}

#[test]
fn a_softmax_is_seen_behind_what_keeps_probabilities() {
    let softmax = ("Softmax", &["logits"][..], "p");
    let endings: &[&[(&str, &[&str], &str)]] = &[
        &[softmax, ("Clip", &["p", "small", "one"], "out")],
        &[softmax, ("Mul", &["one", "p"], "out")],
        &[softmax, ("Add", &["p", "small"], "out")],
        &[softmax, ("Div", &["p", "one"], "out")],
        &[softmax, ("Mul", &["p", "hundred"], "out")],
        &[
            softmax,
            ("Softmax", &["logits"], "q"),
            ("Add", &["p", "q"], "sum"),
            ("Mul", &["sum", "half"], "out"),
        ],
        &[
            softmax,
            ("Softmax", &["logits"], "q"),
            ("Sum", &["p", "q"], "out"),
        ],
        &[
            ("Exp", &["logits"], "e"),
            ("ReduceSum", &["e", "classes"], "sum"),
            ("Div", &["e", "sum"], "out"),
        ],
        &[("LogSoftmax", &["logits"], "l"), ("Exp", &["l"], "out")],
        &[
            softmax,
            ("Max", &["p", "small"], "q"),
            ("Mean", &["p", "q"], "out"),
        ],
        // A class, if there is an object.
        &[
            softmax,
            ("Sigmoid", &["logits"], "object"),
            ("Mul", &["p", "object"], "out"),
        ],
        &[
            softmax,
            ("Mul", &["p", "hundred"], "percents"),
            ("Round", &["percents"], "out"),
        ],
    ];
    let constants = [
        ("small", 1e-7),
        ("half", 0.5),
        ("one", 1.0),
        ("hundred", 100.0),
    ];
    for nodes in endings {
        let desk = Desk::with(ending_in(nodes, &constants), None);
        let lines = desk.explained();
        assert_has(
            &lines,
            &["output.kind = \"probabilities\" the ONNX file says so: it ends in"],
        );
        // Their scores are from 0 to 1.
        let run = desk.run(&["bench", "--model", "net.onnx", "--iterations", "1"]);
        assert_eq!(run.code, 0, "{nodes:?}: {}", run.stderr);
    }
    let heads = Net::new()
        .stem()
        .node("GlobalAveragePool", &["c"], "pooled", &[])
        .node("Flatten", &["pooled"], "flat", &[])
        .node("Gemm", &["flat", "fc"], "a", &[])
        .node("Gemm", &["flat", "fc"], "b", &[])
        .weights("fc", &[8, 5])
        .node("Sigmoid", &["a"], "p", &[])
        .node("Sigmoid", &["b"], "q", &[])
        .node("Concat", &["p", "q"], "out", &[int("axis", 1)]);
    assert_has(
        &Desk::with(heads, None).explained(),
        &["output.kind = \"probabilities\" the ONNX file says so: it ends in Sigmoid"],
    );
    // A temperature after no Softmax, and the logarithm of one.
    let logits: &[&[(&str, &[&str], &str)]] = &[
        &[("Mul", &["logits", "half"], "out")],
        &[("LogSoftmax", &["logits"], "out")],
        &[softmax, ("Log", &["p"], "out")],
    ];
    for nodes in logits {
        let desk = Desk::with(ending_in(nodes, &constants), None);
        assert_has(&desk.explained(), &["output.kind = \"logits\""]);
    }
}

#[test]
fn logits_that_are_stated_as_probabilities_are_refused_with_the_key_to_correct() {
    let net = ending_in(&[("Mul", &["logits", "large"], "out")], &[("large", 1e3)]);
    let desk = Desk::with(net, Some(&toml("probabilities", "")));
    let run = desk.run(&["bench", "--model", "net.onnx", "--iterations", "1"]);
    assert_eq!(run.code, MODEL, "{}", run.stderr);
    let expected = "is not a probability, and its net.toml says kind = \"probabilities\": correct [output] kind to \"logits\"";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    // A dense layer at the end is told before a picture shows it.
    let desk = Desk::with(with_logits_out(), Some(&toml("probabilities", "")));
    let run = desk.run(&["explain", "net.onnx"]);
    let expected = "ends in a dense layer, so its scores are hardly probabilities";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
}

#[test]
fn probabilities_that_are_taken_for_logits_are_warned_about() {
    // A share that nobody writes as a Softmax.
    let squares: &[(&str, &[&str], &str)] = &[
        ("Mul", &["logits", "logits"], "squares"),
        ("ReduceSum", &["squares", "classes"], "sum"),
        ("Mul", &["sum", "one"], "all"),
        ("Div", &["squares", "all"], "out"),
    ];
    let desk = Desk::with(ending_in(squares, &[("one", 1.0)]), None);
    let photo = common::fixture("halved-chroma.jpg").display().to_string();
    let run = desk.run(&["classify", "--model", "net.onnx", &photo]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let expected = "state [output] kind = \"probabilities\" in its net.toml";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    let desk = Desk::with(with_logits_out(), None);
    let run = desk.run(&["classify", "--model", "net.onnx", &photo]);
    assert!(
        !run.stderr.contains("seem to be probabilities"),
        "{}",
        run.stderr
    );
}

fn with_logits_out() -> Net {
    ending_in(&[("Identity", &["logits"], "out")], &[])
}

/// A network that begins with one operator on its picture.
fn beginning_with(op: &str, constant: f32) -> Net {
    Net::new()
        .node(op, &["x", "constant"], "moved", &[])
        .float("constant", &[1], constant)
        .node("Conv", &["moved", "w"], "c", &[])
        .weights("w", &[8, 3, 3, 3])
        .head("c", 8)
}

#[test]
fn arithmetic_on_the_picture_that_is_not_understood_is_warned_about() {
    let expected = "computes on its picture before its first layer (Pow)";
    let desk = Desk::with(beginning_with("Pow", 2.0), None);
    let run = desk.run(&["explain", "net.onnx"]);
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    assert_eq!(run.stderr.matches(expected).count(), 1, "{}", run.stderr);
    assert_has(
        &desk.explained(),
        &[&format!(
            "input.mean = [0.485, 0.456, 0.406] {IMAGENET}, although the network computes on its picture first (Pow)"
        )],
    );
    // Whoever states the pixels is not warned; whoever leaves one key out is.
    let scale = "scale = 1.0\nmean = [0.0, 0.0, 0.0]\n";
    let all = format!("{scale}std = [1.0, 1.0, 1.0]\n");
    for (more, is_warned) in [(scale, true), (&all, false)] {
        let desk = Desk::with(beginning_with("Pow", 2.0), Some(&toml("logits", more)));
        let run = desk.run(&["explain", "net.onnx"]);
        assert_eq!(run.stderr.contains(expected), is_warned, "{}", run.stderr);
    }
}

#[test]
fn a_mean_that_is_subtracted_is_evidence_of_the_range() {
    for (mean, scale) in [(128.0, "1.0"), (0.5, "0.003921569")] {
        assert_has(
            &Desk::with(beginning_with("Sub", mean), None).explained(),
            &[&format!(
                "input.scale = {scale} the ONNX file says so: it normalises its picture itself (Sub)"
            )],
        );
    }
}

/// Two rows of scores, of ten and of four classes.
fn two_headed() -> Net {
    let mut net = Net::new()
        .stem()
        .head("c", 8)
        .node("Gemm", &["flat", "fc4"], "mailbox", &[])
        .weights("fc4", &[8, 4]);
    net.graph.output.push(graph::value("mailbox", &[1, 4]));
    net
}

#[test]
fn one_of_several_outputs_is_taken_as_assumed_and_can_be_stated() {
    let desk = Desk::with(two_headed(), None);
    assert_has(
        &desk.explained(),
        &[
            "output.name = \"out\" assumed: its outputs \"out\", \"mailbox\" could all be the scores, and this is the likeliest",
            "output.class_count = 10",
        ],
    );
    // A guess is logged wherever the network is used, the doubtful ones too.
    let run = desk.run(&["explain", "net.onnx"]);
    let logged = "net: output.name = \"out\" (assumed: ";
    assert!(run.stderr.contains(logged), "{}", run.stderr);
    let stated = |name: &str| {
        let toml = toml("logits", "").replace("class_count = 10", "class_count = 4");
        let desk = Desk::with(
            two_headed(),
            Some(&(toml + &format!("name = \"{name}\"\n"))),
        );
        desk.run(&["explain", "net.onnx"])
    };
    let run = stated("mailbox");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let name = "output.name             = \"mailbox\"";
    assert!(run.stdout.contains(name), "{}", run.stdout);
    let run = stated("other");
    assert_eq!(run.code, MODEL, "{}", run.stdout);
    let expected =
        "has no output \"other\", which is stated as [output] name; it has: out, mailbox";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    // An auxiliary output is not the likeliest one, wherever it stands.
    let mut net = two_headed();
    net.graph.output.swap(0, 1);
    net.graph.output[0].name = "aux".to_owned();
    net.graph.node.last_mut().unwrap().output = vec!["aux".to_owned()];
    assert_has(
        &Desk::with(net, None).explained(),
        &["output.name = \"out\" assumed: "],
    );
    // Nor is one that hardly has scores, nor one of no more logits beside a Softmax.
    for operator in ["Tanh", "ArgMax", "Identity"] {
        let mut net = Net::ending_in("Softmax")
            .node("Gemm", &["flat", "fc4"], "features", &[])
            .weights("fc4", &[8, 4])
            .node(operator, &["features"], "first", &[]);
        net.graph.output.insert(0, graph::value("first", &[1, 4]));
        assert_has(
            &Desk::with(net, None).explained(),
            &["output.name = \"out\" assumed: "],
        );
    }
}

#[test]
fn a_small_head_with_a_softmax_is_not_the_likeliest_output() {
    let beside = |count: i64, classes: &str, small: i64| {
        let net = Net::new()
            .stem()
            .node("GlobalAveragePool", &["c"], "pooled", &[])
            .node("Flatten", &["pooled"], "flat", &[])
            .node("Gemm", &["flat", "fc"], "logits", &[])
            .weights("fc", &[8, count])
            .node(classes, &["logits"], "classes", &[])
            .node("Gemm", &["flat", "fc_small"], "small_logits", &[])
            .weights("fc_small", &[8, small])
            .node("Softmax", &["small_logits"], "small", &[]);
        let mut net = net;
        net.graph.output = vec![
            graph::value("classes", &[1, count]),
            graph::value("small", &[1, small]),
        ];
        net
    };
    for (count, classes, small, name) in [
        (100, "Identity", 4, "classes"),
        (80, "Sigmoid", 3, "classes"),
        (4, "Identity", 4, "small"),
        (4, "Identity", 10, "small"),
        (10, "Softmax", 4, "classes"),
    ] {
        assert_has(
            &Desk::with(beside(count, classes, small), None).explained(),
            &[&format!("output.name = \"{name}\" assumed: ")],
        );
    }
}

#[test]
fn a_refused_output_among_several_is_reported_with_how_to_state_another() {
    let mut net = two_headed();
    net.graph.output.swap(0, 1);
    for (at, name) in [(0, "embedding"), (1, "keypoints")] {
        let old = std::mem::replace(&mut net.graph.output[at].name, name.to_owned());
        for output in net.graph.node.iter_mut().flat_map(|node| &mut node.output) {
            if *output == old {
                name.clone_into(output);
            }
        }
    }
    let run = Desk::with(net.clone(), None).run(&["explain", "net.onnx"]);
    assert_eq!(run.code, MODEL, "{}", run.stdout);
    let expected = "this is about its output \"embedding\": if the scores are in another one (\"keypoints\"), state its name and its \
                    number of scores in net.toml beside it ([output] name = ..., class_count = ...); if these are class scores \
                    after all, say so in net.toml beside it ([output] kind = \"logits\", class_count = 4)";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    let toml = "[output]\nname = \"keypoints\"\nclass_count = 10\n";
    let run = Desk::with(net, Some(toml)).run(&["explain", "net.onnx"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn channels_that_are_normalised_one_by_one_are_not_normalised_twice() {
    let mut net = Net::new().list("axes", &[0, 1, 2, 3]);
    let moments = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)];
    for (c, (mean, std)) in moments.into_iter().enumerate() {
        let name = |what: &str| format!("{what}{c}");
        let far = 1 << 40;
        let channel = c as i64;
        net = net
            .list(&name("from"), &[0, channel, 0, 0])
            .list(&name("to"), &[far, channel + 1, far, far])
            .float(&name("mean"), &[], mean)
            .float(&name("std"), &[], std)
            .node(
                "Slice",
                &["x", &name("from"), &name("to"), "axes"],
                &name("p"),
                &[],
            )
            .node("Sub", &[&name("p"), &name("mean")], &name("q"), &[])
            .node("Div", &[&name("q"), &name("std")], &name("z"), &[]);
    }
    let net = net
        .node("Shape", &["x"], "shape", &[])
        .node("Concat", &["z0", "z1", "z2"], "moved", &[int("axis", 1)])
        .node("Conv", &["moved", "w"], "c", &[])
        .weights("w", &[8, 3, 3, 3])
        .head("c", 8);
    assert_has(
        &Desk::with(net, None).explained(),
        &[
            "input.mean = [0.0, 0.0, 0.0] the ONNX file says so: it normalises its picture itself (Sub Div)",
        ],
    );
}

#[test]
fn what_hardly_is_a_classifier_needs_a_model_toml() {
    let backbone = || {
        Net::new()
            .node("Conv", &["x", "w"], "c", &[])
            .weights("w", &[1280, 3, 3, 3])
            .node("GlobalAveragePool", &["c"], "pooled", &[])
            .node("Flatten", &["pooled"], "out", &[])
            .scores(1280)
    };
    let run = Desk::with(backbone(), None).run(&["explain", "net.onnx"]);
    assert_eq!(run.code, MODEL, "{}", run.stdout);
    let expected = "say so in net.toml beside it ([output] kind = \"logits\", class_count = 1280)";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    // What the refusal says is enough.
    let toml = "[output]\nkind = \"logits\"\nclass_count = 1280\n";
    let desk = Desk::with(backbone(), Some(toml));
    assert_has(
        &desk.explained(),
        &[
            "input.layout = \"NCHW\" the ONNX file says so: its input's shape and type",
            "input.width_px = 32 the ONNX file says so: its input's shape",
            "output.class_count = 1280 its net.toml says so",
        ],
    );
    // A board's program has no `describe`.
    if cfg!(not(feature = "tools")) {
        return;
    }
    let described = desk.run(&["model", "describe", "net.onnx"]);
    assert_eq!(described.code, 0, "{}", described.stderr);
    let line = "description = \"net, 1280 classes\"";
    assert!(described.stdout.contains(line), "{}", described.stdout);
}

#[test]
fn a_model_toml_that_contradicts_a_configuration_beside_it_is_logged() {
    let config = r#"{"do_rescale": true, "do_normalize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;
    for (more, is_warned) in [
        ("scale = 1.0\n", true),
        ("mean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n", false),
    ] {
        let desk = Desk::with(with_logits_out(), Some(&toml("logits", more)));
        fs::write(desk.0.path().join("preprocessor_config.json"), config).unwrap();
        let run = desk.run(&["explain", "net.onnx"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let expected = "and it would be scale = 0.003921569, mean = [0.5, 0.5, 0.5], std = [0.5, 0.5, 0.5] otherwise (a file beside it";
        assert_eq!(run.stderr.contains(expected), is_warned, "{}", run.stderr);
    }
}

#[test]
fn a_wide_crop_and_a_small_picture_are_told_and_described() {
    let mut wide = Net::new().stem().head("c", 8);
    wide.graph.input = vec![graph::value("x", &[1, 3, 12, 48])];
    assert_has(
        &Desk::with(wide, None).explained(),
        &[
            "input.resize = \"crop\" assumed: the rule of the published ImageNet models, by which it sees 14 % of a 4:3 picture",
        ],
    );
    let small = Net::of_side(4).stem().head("c", 8);
    let desk = Desk::with(small, None);
    assert_eq!(desk.run(&["explain", "net.onnx"]).code, 0);
    if cfg!(feature = "tools") {
        let run = desk.run(&["model", "describe", "net.onnx", "-o", "net.toml"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(desk.run(&["explain", "net.onnx"]).code, 0);
    }
}
