//! What is believed about a network is said where it is used, guesses stay guesses, and what cannot be taken is reported.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;
#[allow(dead_code, reason = "each program uses a part")]
#[path = "common/graph.rs"]
mod graph;

use common::{Run, run_eyelet};
use graph::Net;
use prost::Message;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;
use tract_onnx::pb::StringStringEntryProto;

const MODEL: i32 = 4;
const PICTURE: i32 = 8;
const LABELS: &str = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n";

/// A folder with `net.onnx` and a picture, `p.png`.
struct Desk(TempDir);

impl Desk {
    fn with(net: Net) -> Self {
        Self::with_metadata(net, &[])
    }

    fn with_metadata(net: Net, metadata: &[(&str, &str)]) -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        let mut model = net.model();
        let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        };
        model.metadata_props = metadata.iter().map(entry).collect();
        desk.write("net.onnx", model.encode_to_vec());
        desk.picture("p.png", 90);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn picture(&self, name: &str, grey: u8) {
        let picture = image::RgbImage::from_pixel(40, 40, image::Rgb([grey; 3]));
        picture.save(self.path(name)).unwrap();
    }

    /// Runs what has to go well.
    fn does(&self, words: &[&str]) -> Run {
        let run = run_eyelet(self.0.path(), words);
        assert_eq!(run.code, 0, "{words:?}: {}", run.stderr);
        run
    }

    fn classify(&self) -> Run {
        self.does(&["classify", "--model", "net.onnx", "p.png"])
    }

    /// The lines of `eyelet explain` with a key, spaces as one.
    fn explained(&self) -> String {
        let stdout = self.does(&["explain", "net.onnx"]).stdout;
        let lines = stdout.lines().filter(|line| line.contains(" = "));
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n";
        lines.map(words).collect()
    }
}

fn assert_says(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "no {wanted:?} in {text}");
    }
}

fn net() -> Net {
    Net::new().stem().head("c", 8)
}

#[test]
fn what_the_file_and_files_beside_it_say_is_logged() {
    let desk = Desk::with_metadata(
        Net::ending_in("Softmax"),
        &[("Image.BitmapPixelFormat", "Bgr8")],
    );
    desk.write("labels.txt", LABELS);
    desk.write(
        "preprocessor_config.json",
        r#"{"image_mean": [0.5, 0.25, 0.5], "image_std": [0.5, 0.5, 0.5]}"#,
    );
    let said = desk.classify().stderr;
    assert_says(
        &said,
        &[
            "net: input.mean = [0.5, 0.25, 0.5] (a file beside it says so: image_mean",
            "net: input.channels = \"bgr\" (the ONNX file says so: Image.BitmapPixelFormat",
            "net: output.kind = \"probabilities\" (the ONNX file says so: it ends in Softmax)",
            "net: labels = \"labels.txt\" (a file beside it says so: labels.txt has 10 labels)",
        ],
    );
    // What cannot be meant otherwise takes no line.
    for key in ["input.layout", "input.width_px", "output.class_count"] {
        assert!(!said.contains(key), "{said}");
    }
}

#[test]
fn a_guess_stays_one_when_it_is_described() {
    let desk = Desk::with(net());
    let bare = desk.explained();
    let write = ["model", "describe", "net.onnx", "-o", "net.toml"];
    let said = desk.does(&write).stderr;
    assert_says(
        &said,
        &["net.toml is written: ", " of 14 values are guesses"],
    );
    let described = desk.explained();
    let guesses = |text: &str| text.matches("assumed: ").count();
    assert_eq!(guesses(&described), guesses(&bare), "{described}");
    assert_says(
        &described,
        &[
            "output.kind = \"logits\" assumed: it ends in no Softmax or Sigmoid",
            "input.mean = [0.485, 0.456, 0.406] assumed: ",
            "input.width_px = 32 its net.toml says so",
        ],
    );
    // With the # taken off it is a statement.
    let toml = fs::read_to_string(desk.path("net.toml")).unwrap();
    desk.write("net.toml", toml.replace("# mean = [0.485", "mean = [0.5"));
    assert_says(
        &desk.explained(),
        &["input.mean = [0.5, 0.456, 0.406] its net.toml says so"],
    );
}

#[test]
fn without_a_kind_the_network_file_decides() {
    let toml = "description = \"d\"\nfile = \"net.onnx\"\n[input]\nwidth_px = 32\nheight_px = 32\n[output]\nclass_count = 10\n";
    for (net, kind) in [
        (net(), "\"logits\" assumed: it ends in no"),
        (
            Net::ending_in("Softmax"),
            "\"probabilities\" the ONNX file says so: it ends in Softmax",
        ),
    ] {
        let desk = Desk::with(net);
        desk.write("net.toml", toml);
        assert_says(&desk.explained(), &[&format!("output.kind = {kind}")]);
    }
}

/// The entries of `top` in the first verdict of a board that merges three classes.
fn merged_top(desk: &Desk) -> Vec<Value> {
    desk.write("labels.txt", LABELS);
    desk.write(
        "board.toml",
        "description = \"d\"\ntier = \"untested\"\nthreads = 1\nmodel = \"./net.onnx\"\n[camera.still]\nfiles = [\"p.png\"]\n\
         [decide.merge]\n\"all three\" = [\"b\", \"a\", \"c\"]\n[display.none]\n",
    );
    let run = desk.does(&["run", "--board-file", "board.toml", "--json"]);
    let lines = run.json_lines();
    let verdict = lines.iter().find(|line| line["event"] == "verdict");
    verdict.unwrap()["top"].as_array().unwrap().clone()
}

fn group(top: &[Value]) -> f64 {
    let group = top.iter().find(|entry| entry["label"] == "all three");
    group.unwrap()["probability"].as_f64().unwrap()
}

#[test]
fn merged_classes_of_a_sigmoid_have_the_largest_probability_and_members_are_not_listed() {
    let desk = Desk::with(Net::ending_in("Sigmoid"));
    let single = desk.does(&[
        "classify", "--model", "net.onnx", "p.png", "--json", "--top", "10",
    ]);
    let single = single.json_lines()[0]["top"].as_array().unwrap().clone();
    let of_class = |class: u64| {
        let entry = single.iter().find(|entry| entry["class"] == class);
        entry.unwrap()["probability"].as_f64().unwrap()
    };
    let largest = (0..3).map(of_class).fold(0.0, f64::max);
    let top = merged_top(&desk);
    assert!((group(&top) - largest).abs() < 1e-6, "{top:?}");

    let desk = Desk::with(Net::ending_in("Softmax"));
    let top = merged_top(&desk);
    assert!(group(&top) > 0.2, "{top:?}");
    for member in ["a", "b", "c"] {
        assert!(!top.iter().any(|entry| entry["label"] == member), "{top:?}");
    }
}

#[test]
fn a_file_beside_the_network_that_cannot_be_read_is_reported() {
    let utf16: Vec<u8> = LABELS.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf16 = [&[0xff, 0xfe], &utf16[..]].concat();
    for (name, bytes, why) in [
        (
            "labels.txt",
            &b"a\n\nc\nd\ne\nf\ng\nh\ni\nj\n"[..],
            "the labels in labels.txt beside it are not taken: line 2 is empty",
        ),
        (
            "net.txt",
            b"a\nb\nc\nd\ne\nf\ng\nh\ni\nK\xe4se\n",
            "the labels in net.txt beside it are not taken: cannot be read: line 10 is not UTF-8 text",
        ),
        (
            "classes.txt",
            &utf16,
            "are not taken: cannot be read: line 1 is not UTF-8",
        ),
        (
            "labels.json",
            b"{\"cat\": 0}",
            "the labels in labels.json beside it are not taken: it is neither a list of labels nor",
        ),
        (
            "preprocessor_config.json",
            b"{\"image_mean\": [0.5,",
            "preprocessor_config.json beside it is ignored: it is not JSON: EOF",
        ),
        (
            "config.json",
            b"\xff",
            "config.json beside it is ignored: it is not UTF-8 text",
        ),
    ] {
        let desk = Desk::with(net());
        desk.write(name, bytes);
        let said = desk.classify().stderr;
        assert_says(&said, &["warn", why]);
        assert_eq!(said.matches(name).count(), 1, "{said}");
        // So it is beside a description.
        desk.write("net.toml", "[output]\nclass_count = 10\n");
        let said = desk.classify().stderr;
        assert_says(&said, &["warn", why]);
        assert_eq!(said.matches(name).count(), 1, "{said}");
    }
    // A file behind the one that is taken is another network's.
    let desk = Desk::with(net());
    desk.write("net.txt", LABELS);
    desk.write("labels.txt", "a\n\n");
    assert!(!desk.classify().stderr.contains("warn"));
    let list = r#"["a", "b", "c", "", "e", "f", "g", "h", "i", "j"]"#;
    let desk = Desk::with_metadata(net(), &[("class_names", list)]);
    let why =
        "the labels in its metadata_props (class_names) are not taken: label 4 of 10 is empty";
    assert_says(&desk.classify().stderr, &["warn", why]);
    let desk = Desk::with_metadata(net(), &[("names", "cat,dog")]);
    let why = "the labels in its metadata_props (names) are not taken: they need the form";
    assert_says(&desk.classify().stderr, &["warn", why]);
    let desk = Desk::with(net());
    desk.write("config.json", r#"{"id2label": {"0": "cat", "1": "dog"}}"#);
    let why = "the labels in config.json beside it (id2label) are not taken: there are 2 labels for 10 classes";
    assert_says(&desk.classify().stderr, &["warn", why]);
}

#[test]
fn labels_are_found_under_more_names() {
    let json = r#"{"0": "a", "1": "b", "2": "c", "3": "d", "4": "e", "5": "f", "6": "g", "7": "h", "8": "i", "9": "j"}"#;
    // As Windows' editors begin a file.
    let marked = format!("\u{feff}{json}");
    for (name, text, value) in [
        ("net-labels.txt", LABELS, "\"net-labels.txt\""),
        ("net_labels.txt", LABELS, "\"net_labels.txt\""),
        ("class_names.txt", LABELS, "\"class_names.txt\""),
        ("labels.json", json, "\"labels.json\""),
        ("labels.json", &marked, "\"labels.json\""),
    ] {
        let desk = Desk::with(net());
        desk.write(name, text);
        let says = format!("labels = {value} a file beside it says so: {name} has 10 labels");
        assert_says(&desk.explained(), &[&says]);
        // With a description that names no other they stay.
        desk.does(&["model", "describe", "net.onnx", "-o", "net.toml"]);
        assert_says(&desk.explained(), &[&format!("labels = {value} ")]);
    }
}

#[test]
fn a_picture_without_scores_keeps_no_other_back() {
    // Its root of a dark pixel is not a number.
    let root = Net::new()
        .node("Sqrt", &["x"], "root", &[])
        .node("Conv", &["root", "w"], "c", &[])
        .weights("w", &[8, 3, 3, 3])
        .head("c", 8);
    let desk = Desk::with(root);
    desk.picture("dark.png", 0);
    desk.picture("light.png", 255);
    let words = ["classify", "--model", "net.onnx", "dark.png", "light.png"];
    let run = run_eyelet(desk.0.path(), &words);
    assert_eq!(run.code, MODEL, "{}", run.stderr);
    assert_says(&run.stdout, &["light.png (", " %  class "]);
    assert_says(
        &run.stderr,
        &[
            "dark.png: the network failed on a frame: a score is not a number",
            "1 of 2 pictures could not be classified by this network",
        ],
    );
    desk.write("none.png", "no picture");
    let words = [&words[..], &["none.png", "--json"]].concat();
    let run = run_eyelet(desk.0.path(), &words);
    assert_eq!(run.code, PICTURE, "{}", run.stderr);
    let lines = run.json_lines();
    assert_says(lines[0]["error"].as_str().unwrap(), &["not a number"]);
    assert!(lines[1]["top"].is_array() && lines[2]["error"].is_string());
}

#[test]
fn check_says_how_much_is_assumed_and_what_memory_comes_on_top() {
    let desk = Desk::with(net());
    let check = ["check", "--board", "host", "--model", "net.onnx"];
    let said = desk.does(&check).stdout;
    let assumed = said.matches(" assumed: ").count();
    let end = format!("all is well; {assumed} values are assumed\n");
    assert!(assumed > 5 && said.ends_with(&end), "{said}");
    assert_says(
        &said,
        &["memory: `eyelet run` needs more: its camera and its display come on top"],
    );
    let stated = desk.does(&["check", "--board", "host"]).stdout;
    assert!(stated.ends_with("all is well\n"), "{stated}");
}

#[test]
fn folders_are_taken_where_they_have_a_meaning() {
    let desk = Desk::with(net());
    fs::create_dir(desk.path("photos")).unwrap();
    desk.picture("photos/one.png", 40);
    desk.picture("photos/two.png", 200);
    let table = desk
        .does(&["model", "describe", "net.onnx", "photos"])
        .stdout;
    assert_says(&table, &["one.png", "two.png", "Surest on average"]);
    let run = run_eyelet(desk.0.path(), &["model", "import", "photos"]);
    assert_eq!(run.code, MODEL, "{}", run.stderr);
    assert_says(
        &run.stderr,
        &["\"photos\" is a folder: give the ONNX file in it"],
    );
}
