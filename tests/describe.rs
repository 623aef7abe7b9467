//! `eyelet model describe` and `import` as a user runs them, what is read beside the graph, and stored integers in `verify`.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;
#[allow(dead_code, reason = "each program uses a part")]
#[path = "common/graph.rs"]
mod graph;

use common::{Run, fixture, run_eyelet};
use eyelet::model::Definition;
use graph::Net;
use prost::Message;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{ModelProto, StringStringEntryProto, TensorProto, type_proto};

const MODEL: i32 = 4;
const PICTURE: i32 = 8;
const OUTPUT: i32 = 11;

/// A folder with `net.onnx`.
struct Desk(TempDir);

impl Desk {
    fn with(net: Net) -> Self {
        Self::with_metadata(net, &[])
    }

    fn with_metadata(net: Net, metadata: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        };
        let model = ModelProto {
            metadata_props: metadata.iter().map(entry).collect(),
            ..net.model()
        };
        fs::write(folder.path().join("net.onnx"), model.encode_to_vec()).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn run(&self, words: &[&str]) -> Run {
        run_eyelet(self.0.path(), words)
    }

    /// Runs what has to go well; gives standard output.
    fn does(&self, words: &[&str]) -> String {
        let run = self.run(words);
        assert_eq!(run.code, 0, "{words:?}: {}", run.stderr);
        run.stdout
    }

    /// Runs what has to be refused with one line that has `words` in it.
    fn refuses(&self, arguments: &[&str], code: i32, words: &str) {
        let run = self.run(arguments);
        assert_eq!(
            run.code, code,
            "{arguments:?}: {}{}",
            run.stdout, run.stderr
        );
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        assert!(run.stderr.contains(words), "{words:?}: {}", run.stderr);
    }

    /// The lines of `eyelet explain` with a key, spaces as one.
    fn explained(&self) -> Vec<String> {
        let stdout = self.does(&["explain", "net.onnx"]);
        let lines = stdout.lines().filter(|line| line.contains(" = "));
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        lines.map(words).collect()
    }
}

fn net() -> Net {
    Net::new().stem().head("c", 8)
}

fn rescaling(factor: f32) -> Net {
    Net::new()
        .node("Mul", &["x", "factor"], "scaled", &[])
        .float("factor", &[1], factor)
        .node("Conv", &["scaled", "w"], "c", &[])
        .weights("w", &[8, 3, 3, 3])
        .head("c", 8)
}

fn assert_has(lines: &[String], wanted: &[&str]) {
    for wanted in wanted {
        assert!(
            lines.iter().any(|line| line.contains(wanted)),
            "no {wanted:?} in {lines:#?}"
        );
    }
}

/// Lines as keys and values, without who says it.
fn keys(lines: &[String]) -> Vec<String> {
    let key = |line: &String| {
        let end = [
            "its net.toml",
            "the ONNX file",
            "assumed",
            "a file beside",
            "the default",
        ]
        .iter()
        .filter_map(|source| line.find(source))
        .min();
        line[..end.unwrap_or(line.len())].trim().to_owned()
    };
    lines.iter().map(key).collect()
}

#[test]
fn describe_prints_what_the_bare_file_is_used_as() {
    let softmax = Net::new()
        .stem()
        .node("GlobalAveragePool", &["c"], "pooled", &[])
        .node("Flatten", &["pooled"], "flat", &[])
        .node("Gemm", &["flat", "fc"], "logits", &[])
        .weights("fc", &[8, 10])
        .node("Softmax", &["logits"], "out", &[]);
    let ultralytics = [("author", "Ultralytics"), ("task", "classify")];
    for (net, metadata) in [
        (net(), &[][..]),
        (rescaling(1.0 / 255.0), &[]),
        (softmax, &ultralytics),
    ] {
        let desk = Desk::with_metadata(net, metadata);
        let bare = desk.explained();
        let toml = desk.does(&["model", "describe", "net.onnx"]);
        assert!(toml.contains("# assumed: "), "{toml}");
        let read = Definition::parse("net.toml", &toml).unwrap();
        assert_eq!(read.main.file, "net.onnx");
        // A colour to fill with is not a key of a picture that is cut out; a guess is written as a comment.
        let assumed = |key: &str| {
            let of_key = |line: &&String| line.starts_with(&format!("{key} = "));
            bare.iter()
                .find(of_key)
                .is_none_or(|line| line.contains("assumed: "))
        };
        assert!(read.left_out.contains(&"input.fill"));
        assert!(read.left_out.iter().all(|key| assumed(key)), "{toml}");
        desk.write("net.toml", &toml);
        let described = desk.explained();
        assert_eq!(keys(&described), keys(&bare));
        let stated = described
            .iter()
            .filter(|line| line.contains("its net.toml says so"));
        // All but what was assumed before, and the precision, which the user chooses.
        let assumed = bare.iter().filter(|line| line.contains("assumed: "));
        assert_eq!(
            stated.count(),
            described.len() - assumed.count() - 1,
            "{described:#?}"
        );
    }
}

/// A shell makes or empties the file before the program begins.
#[test]
fn a_description_that_the_output_goes_to_is_not_read() {
    let desk = Desk::with(net());
    let printed = desk.does(&["model", "describe", "net.onnx"]);
    let redirected = |words: &[&str], to: &str| {
        let output = common::eyelet(desk.0.path())
            .args(words)
            .env("EYELET_HOME", desk.0.path())
            .stdout(fs::File::create(desk.path(to)).unwrap())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        (
            output.status.code().unwrap(),
            text,
            fs::read_to_string(desk.path(to)).unwrap(),
        )
    };
    for to in ["net.toml", "model.toml"] {
        let (code, stderr, written) = redirected(&["model", "describe", "net.onnx"], to);
        assert_eq!((code, &written), (0, &printed), "{stderr}");
        assert!(
            stderr.contains(to) && stderr.contains("is not read"),
            "{stderr}"
        );
        // And it is one.
        let lines = desk.explained();
        assert!(
            lines
                .iter()
                .any(|line| line.contains(&format!("its {to} says so"))),
            "{lines:#?}"
        );
        fs::remove_file(desk.path(to)).unwrap();
    }
    // Of a model by name there is nothing else to go by.
    fs::create_dir_all(desk.path("models/mine")).unwrap();
    let (code, stderr, written) =
        redirected(&["model", "describe", "mine"], "models/mine/model.toml");
    assert_eq!((code, &*written), (MODEL, ""), "{stderr}");
    assert!(stderr.contains("the shell has emptied it"), "{stderr}");
}

#[test]
fn files_and_metadata_beside_the_graph_are_used_and_reported() {
    let names =
        "{0: 'a', 1: 'b', 2: 'c', 3: 'd', 4: 'e', 5: 'f', 6: 'g', 7: 'h', 8: 'i', 9: 'it\\'s'}";
    let desk = Desk::with_metadata(
        net(),
        &[
            ("names", names),
            ("Image.BitmapPixelFormat", "Bgr8"),
            ("Image.NominalPixelRange", "NominalRange_0_255"),
        ],
    );
    let says = "the ONNX file says so: ";
    assert_has(
        &desk.explained(),
        &[
            &format!("labels = its own {says}names in its metadata_props"),
            &format!("input.channels = \"bgr\" {says}Image.BitmapPixelFormat"),
            &format!("input.scale = 1.0 {says}Image.NominalPixelRange"),
            &format!("input.mean = [0.0, 0.0, 0.0] {says}"),
        ],
    );
    // They stay so with a description that has no labels of its own.
    let toml = desk.does(&["model", "describe", "net.onnx"]);
    assert!(
        toml.contains("# labels: its own (the ONNX file says so: names"),
        "{toml}"
    );
    desk.write("net.toml", &toml);
    assert_has(&desk.explained(), &["labels = its own"]);

    let desk = Desk::with(net());
    desk.write(
        "labels.txt",
        "0 a\n1 b\n2 c\n3 d\n4 e\n5 f\n6 g\n7 h\n8 i\n9 j\n",
    );
    desk.write(
        "preprocessor_config.json",
        r#"{"image_mean": [0.5, 0.25, 0.5], "image_std": [0.5, 0.5, 0.5], "size": {"shortest_edge": 40}}"#,
    );
    assert_has(
        &desk.explained(),
        &[
            "labels = \"labels.txt\" a file beside it says so: labels.txt has 10 labels",
            "input.mean = [0.5, 0.25, 0.5] a file beside it says so: image_mean",
            "input.resize_shorter_px = 40 a file beside it says so: size in preprocessor_config.json",
        ],
    );
    // The graph takes precedence over a configuration; labels whose number does not match are reported and ignored.
    let desk = Desk::with(rescaling(1.0 / 255.0));
    desk.write("net.txt", "a\nb\n");
    desk.write(
        "preprocessor_config.json",
        r#"{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#,
    );
    assert_has(
        &desk.explained(),
        &[
            "input.scale = 1.0 the ONNX file",
            "labels = numbers assumed",
        ],
    );
    let run = desk.run(&["explain", "net.onnx"]);
    assert!(
        run.stderr
            .contains("net.txt beside it has 2 labels for 10 classes"),
        "{}",
        run.stderr
    );
    // No classifier by its own words.
    let detector = Desk::with_metadata(net(), &[("task", "detect")]);
    detector.refuses(
        &["model", "describe", "net.onnx"],
        MODEL,
        "its task is \"detect\"",
    );
}

#[test]
fn a_description_is_written_once_and_names_the_labels_relative_to_itself() {
    let desk = Desk::with(net());
    fs::create_dir(desk.path("words")).unwrap();
    desk.write("words/l.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
    let write = [
        "model",
        "describe",
        "net.onnx",
        "--labels",
        "words/l.txt",
        "-o",
        "net.toml",
    ];
    assert_eq!(desk.does(&write), "");
    let text = fs::read_to_string(desk.path("net.toml")).unwrap();
    assert!(text.contains("labels = \"words/l.txt\""), "{text}");
    assert_has(
        &desk.explained(),
        &["labels = \"words/l.txt\" its net.toml says so"],
    );
    desk.refuses(&write, OUTPUT, "--force replaces it");
    desk.does(&[&write[..], &["--force"]].concat());
    // Where there is nothing to describe it says so.
    let run = desk.run(&["model", "describe", "net.onnx", "-o", "words/other.toml"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("has no effect there"), "{}", run.stderr);
    desk.refuses(
        &["model", "describe", "net.onnx", "-o", "words"],
        OUTPUT,
        "a folder",
    );
}

/// Two photos, and a file that is none.
fn photos(desk: &Desk) {
    let photos = Path::new(env!("CARGO_MANIFEST_DIR")).join("boards/photos");
    let mut all: Vec<_> = fs::read_dir(photos)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "jpg"))
        .collect();
    all.sort();
    fs::copy(&all[0], desk.path("one.jpg")).unwrap();
    fs::copy(&all[1], desk.path("two.jpg")).unwrap();
    desk.write("none.jpg", "no picture");
}

#[test]
fn photos_are_shown_under_each_rule_that_makes_sense() {
    let desk = Desk::with(net());
    photos(&desk);
    let out = desk.does(&["model", "describe", "net.onnx", "one.jpg", "two.jpg"]);
    let lines: Vec<String> = out
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(lines[0], "channels \"rgb\" imagenet * 0..1 -1..1 0..255");
    assert!(lines[1].starts_with("one.jpg class "), "{out}");
    assert_eq!(lines[1].matches('%').count(), 4, "{out}");
    assert!(lines[4].starts_with("two.jpg class "), "{out}");
    assert_eq!(lines[7].matches('%').count(), 4, "{out}");
    assert_eq!(lines[8], "channels \"bgr\" imagenet 0..1 -1..1 0..255");
    assert_has(
        &lines,
        &[
            "0..255 scale = 1.0, mean = [0.0, 0.0, 0.0], std = [1.0, 1.0, 1.0]",
            "* marks the rule in the description. Surest on average, with ",
            "to write the description, pass --output FILE.toml",
        ],
    );
    // The description's column is what `classify` says.
    let classified = desk.does(&["classify", "--model", "net.onnx", "one.jpg", "--top", "1"]);
    let best = classified.lines().nth(1).unwrap();
    let label = best
        .split(" %")
        .nth(1)
        .unwrap()
        .split('(')
        .next()
        .unwrap()
        .trim();
    assert!(
        lines[1].starts_with(&format!("one.jpg {label} ")),
        "{best}: {}",
        lines[1]
    );
    // A picture that cannot be read does not keep the others back.
    let run = desk.run(&["model", "describe", "net.onnx", "none.jpg", "two.jpg"]);
    assert_eq!(run.code, PICTURE, "{}", run.stderr);
    assert!(run.stdout.contains("two.jpg"), "{}", run.stdout);

    let itself = Desk::with(rescaling(1.0 / 255.0));
    photos(&itself);
    let out = itself.does(&["model", "describe", "net.onnx", "one.jpg"]);
    assert!(
        out.contains("0..255 *") && !out.contains("imagenet"),
        "{out}"
    );
    let bytes = Desk::with(net());
    photos(&bytes);
    fs::copy(fixture("unknown-start-u8.onnx"), bytes.path("net.onnx")).unwrap();
    let out = bytes.does(&["model", "describe", "net.onnx", "one.jpg"]);
    assert!(out.contains("bytes *") && !out.contains("0..1"), "{out}");
    let grey = Desk::with(net());
    photos(&grey);
    fs::copy(fixture("grey.onnx"), grey.path("net.onnx")).unwrap();
    let out = grey.does(&["model", "describe", "net.onnx", "one.jpg"]);
    assert!(out.contains("0..1 *") && !out.contains("bgr"), "{out}");
}

/// The program outside of the source tree, as an installed one is, in a home folder without models.
struct Installed(TempDir);

impl Installed {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let program = home.path().join("eyelet");
        if fs::hard_link(env!("CARGO_BIN_EXE_eyelet"), &program).is_err() {
            common::copy_program(&program);
        }
        Self(home)
    }

    /// Its exit code, and what it says.
    fn run(&self, folder: &Path, words: &[&str]) -> (Option<i32>, String, String) {
        let output = Command::new(self.0.path().join("eyelet"))
            .args(words)
            .current_dir(folder)
            .env_clear()
            .env("HOME", self.0.path())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    }
}

#[test]
fn an_imported_network_is_found_from_anywhere() {
    if common::emulated() {
        return;
    }
    let desk = Desk::with(net());
    photos(&desk);
    desk.write("l.txt", "cat\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
    // A `models` folder of one's own is no place to be found from elsewhere.
    fs::create_dir(desk.path("models")).unwrap();
    let installed = Installed::new();
    let home = &installed.0;
    let run = |folder: &Path, words: &[&str]| installed.run(folder, words);
    let import = [
        "model", "import", "net.onnx", "--labels", "l.txt", "--name", "mine",
    ];
    let (code, out, err) = run(desk.0.path(), &import);
    assert_eq!(code, Some(0), "{err}");
    let folder = home.path().join(".local/share/eyelet/models/mine");
    assert!(out.contains(folder.to_str().unwrap()), "{out}");
    assert!(
        err.contains("mine: input.mean = [0.485, 0.456, 0.406] (assumed: "),
        "{err}"
    );
    let photo = desk.path("one.jpg");
    let elsewhere = home.path();
    let (code, out, err) = run(elsewhere, &["list", "models"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.lines().any(|line| line.starts_with("mine ")), "{out}");
    let (code, out, err) = run(
        elsewhere,
        &[
            "classify",
            "--model",
            "mine",
            photo.to_str().unwrap(),
            "--top",
            "10",
        ],
    );
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("  cat (0)"), "{out}");
    let (code, out, err) = run(elsewhere, &["model", "verify", "mine"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("sha256 matches"), "{out}");
    let (code, _, err) = run(desk.0.path(), &import);
    assert_eq!(code, Some(MODEL));
    assert!(err.contains("--force"), "{err}");
    let (code, _, err) = run(desk.0.path(), &["model", "import", "net"]);
    assert_eq!(code, Some(MODEL));
    assert!(err.contains("not the path of an ONNX file"), "{err}");
}

/// A quantised network whose scores come as integers of this type.
fn of_integers(kind: DataType) -> Net {
    let zero = match kind {
        DataType::Uint8 => 100,
        _ => 156,
    };
    let mut net = Net::new()
        .stem()
        .node("GlobalAveragePool", &["c"], "pooled", &[])
        .node("Flatten", &["pooled"], "flat", &[])
        .node("Gemm", &["flat", "fc"], "logits", &[])
        .weights("fc", &[8, 10])
        .node("QuantizeLinear", &["logits", "scale", "zero"], "out", &[])
        .float("scale", &[], 0.002)
        .tensor("zero", &[], kind, vec![zero]);
    let output = net.graph.output[0].r#type.as_mut().unwrap();
    if let Some(type_proto::Value::TensorType(tensor)) = &mut output.value {
        tensor.elem_type = kind as i32;
    }
    net
}

fn stored(kind: DataType, dims: &[i64], raw_data: Vec<u8>) -> Vec<u8> {
    let tensor = TensorProto {
        dims: dims.to_vec(),
        data_type: kind as i32,
        raw_data,
        ..TensorProto::default()
    };
    tensor.encode_to_vec()
}

/// The scores of [`of_integers`] for a picture of one value, as plain arithmetic has them: before they are quantised.
fn scores(value: f32) -> Vec<f32> {
    let weight = |i: usize| ((i * 37 % 101) as f32 - 50.0) / 200.0;
    let sum_of = |channel: usize| (0..27).map(|i| weight(channel * 27 + i)).sum::<f32>();
    let score = |class: usize| {
        (0..8)
            .map(|channel| sum_of(channel) * value * weight(channel * 10 + class))
            .sum()
    };
    (0..10).map(score).collect()
}

#[test]
fn stored_integers_are_compared_as_the_numbers_that_they_stand_for() {
    for (kind, zero, low, high) in [
        (DataType::Uint8, 100.0, 0.0, 255.0),
        (DataType::Int8, -100.0, -128.0, 127.0),
    ] {
        let desk = Desk::with(of_integers(kind));
        fs::create_dir(desk.path("test_data_set_0")).unwrap();
        // A pixel's value under the rule that is assumed, a colour each, would differ: the network is given bytes as they are.
        let toml = desk.does(&["model", "describe", "net.onnx"]);
        desk.write("net.toml", &toml);
        let value = 0.25f32;
        let picture = [value; 3 * 32 * 32]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        let input = stored(DataType::Float, &[1, 3, 32, 32], picture);
        fs::write(desk.path("test_data_set_0/input_0.pb"), input).unwrap();
        let integers: Vec<f32> = scores(value)
            .iter()
            .map(|score| ((score / 0.002).round_ties_even() + zero).clamp(low, high))
            .collect();
        let bytes =
            |integers: &[f32]| -> Vec<u8> { integers.iter().map(|i| *i as i16 as u8).collect() };
        let reals = integers.iter().map(|i| (i - zero) * 0.002);
        let reals = reals.flat_map(f32::to_le_bytes).collect();
        let output = desk.path("test_data_set_0/output_0.pb");
        for (name, tensor) in [
            ("integers", stored(kind, &[1, 10], bytes(&integers))),
            ("floats", stored(DataType::Float, &[1, 10], reals)),
        ] {
            fs::write(&output, tensor).unwrap();
            let out = desk.does(&["model", "verify", "net.onnx"]);
            assert!(
                out.contains("largest difference 0"),
                "{kind:?} {name}: {out}"
            );
            assert!(out.contains("top class equal"), "{kind:?} {name}: {out}");
        }
        // Ten steps apart are seen.
        let mut other = integers.clone();
        other[4] -= 10.0;
        fs::write(&output, stored(kind, &[1, 10], bytes(&other))).unwrap();
        let run = desk.run(&["model", "verify", "net.onnx"]);
        assert_eq!(run.code, 10, "{kind:?}: {}{}", run.stdout, run.stderr);
        assert!(
            run.stdout.contains("largest difference 0.02")
                || run.stdout.contains("difference 0.019999"),
            "{}",
            run.stdout
        );
    }
    // Integers beside a network that gives floats are another network's.
    let desk = Desk::with(net());
    fs::create_dir(desk.path("test_data_set_0")).unwrap();
    let picture = vec![0; 4 * 3 * 32 * 32];
    let input = stored(DataType::Float, &[1, 3, 32, 32], picture);
    fs::write(desk.path("test_data_set_0/input_0.pb"), input).unwrap();
    let output = stored(DataType::Uint8, &[1, 10], vec![0; 10]);
    fs::write(desk.path("test_data_set_0/output_0.pb"), output).unwrap();
    let run = desk.run(&["model", "verify", "net.onnx"]);
    assert_eq!(run.code, MODEL, "{}", run.stdout);
    assert!(
        run.stderr.contains("the network gives floats"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_model_that_is_not_here_says_the_command_that_fetches_it() {
    if common::emulated() {
        return;
    }
    let installed = Installed::new();
    for words in [
        &["check", "--board", "raspberry-pi-4"][..],
        &["run", "--board", "raspberry-pi-4", "--camera", "pattern"],
        &["classify", "--model", "mobilenet-v2", "x.jpg"],
        &["model", "describe", "mobilenet-v2"],
    ] {
        let (code, _, error) = installed.run(installed.0.path(), words);
        assert_eq!(code, Some(MODEL), "{words:?}: {error}");
        let expected = "`eyelet model pull mobilenet-v2";
        assert!(error.contains(expected), "{words:?}: {error}");
    }
}
