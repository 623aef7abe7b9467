//! Every JSON line that is printed is as `boards/json.schema.json` says, and that file tells of every key.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;
#[path = "common/schema.rs"]
mod schema;

use common::{eyelet, fixture, run_eyelet, run_eyelet_with_input, send_signal};
use schema::Schema;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

fn small_model() -> String {
    fixture("opset13.onnx").display().to_string()
}

fn photo(folder: &Path, name: &str) -> PathBuf {
    let file = folder.join(name);
    image::RgbImage::from_fn(60, 40, |x, y| image::Rgb([x as u8 * 4, y as u8 * 6, 90]))
        .save(&file)
        .unwrap();
    file
}

/// What the schema calls a line of `run`.
fn event(line: &Value) -> &str {
    line["event"].as_str().unwrap()
}

#[test]
fn each_command_prints_what_the_schema_says() {
    let schema = Schema::load();
    let folder = tempfile::tempdir().unwrap();
    photo(folder.path(), "a.png");
    std::fs::write(folder.path().join("b.png"), "no picture").unwrap();
    let model = &small_model();
    let bench = ["bench", "--json", "--iterations", "3", "--model"];
    let islands = &fixture("dynamic-sums.onnx").display().to_string();
    for (words, code, kinds, least) in [
        (
            &["classify", "--json", "--model", model, "."][..],
            8,
            &["picture", "unread_picture"][..],
            2,
        ),
        (&[&bench[..], &[model]].concat(), 0, &["bench"], 1),
        (
            &[&bench[..], &[model, "--by-step", "--threads", "2"]].concat(),
            0,
            &["bench"],
            1,
        ),
        (
            &[&bench[..], &[islands, "--network-only"]].concat(),
            0,
            &["bench"],
            1,
        ),
        (&["list", "boards", "--json"], 0, &["board"], 8),
        (&["list", "models", "--json"], 0, &["model"], 3),
        (&["list", "cameras", "--json"], 0, &["camera"], 0),
        (&["list", "displays", "--json"], 0, &["display"], 0),
    ] {
        let run = run_eyelet(folder.path(), words);
        assert_eq!(run.code, code, "{words:?}: {}", run.stderr);
        let lines = run.json_lines();
        assert!(lines.len() >= least, "{words:?}: {}", run.stdout);
        for line in &lines {
            let checks = kinds.iter().map(|kind| schema.check(kind, line));
            let errors: Vec<String> = checks.filter_map(Result::err).collect();
            assert!(errors.len() < kinds.len(), "{words:?}: {errors:?}: {line}");
        }
    }
}

#[test]
fn a_network_of_two_classes_lists_two() {
    let folder = tempfile::tempdir().unwrap();
    let model = fixture("one-score.onnx").display().to_string();
    let words = ["run", "--json", "--camera", "pattern", "--frames", "1"];
    let run = run_eyelet(folder.path(), &[&words[..], &["--model", &model]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    let lines = run.json_lines();
    let verdict = lines
        .iter()
        .find(|line| line["event"] == "verdict")
        .unwrap();
    let classes = verdict["top"].as_array().unwrap().iter();
    let mut classes: Vec<_> = classes.map(|c| c["class"].as_u64().unwrap()).collect();
    classes.sort_unstable();
    assert_eq!(classes, [0, 1]);
}

#[test]
fn the_lines_of_run_are_what_the_schema_says() {
    let schema = Schema::load();
    let folder = tempfile::tempdir().unwrap();
    let words = [
        "run",
        "--json",
        "--every-frame",
        "--stats-every",
        "3",
        "--frames",
        "6",
        "--camera",
        "pattern",
        "--model",
    ];
    let run = run_eyelet(folder.path(), &[&words[..], &[&small_model()]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    let lines = run.json_lines();
    let count = |kind: &str| lines.iter().filter(|line| event(line) == kind).count();
    let counts = ["start", "verdict", "stats", "end"].map(count);
    assert_eq!(counts, [1, 6, 2, 1], "{}", run.stdout);
    for line in &lines {
        schema.check(event(line), line).unwrap();
    }
    // The machine that runs the tests has a clock.
    let times: Vec<&str> = lines
        .iter()
        .map(|line| line["time"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    let is_rfc3339 = |time: &&str| {
        let digits = time.replace(|c: char| c.is_ascii_digit(), "0");
        digits == "0000-00-00T00:00:00.000Z"
    };
    assert!(times.iter().all(is_rfc3339), "{times:?}");
}

#[test]
fn a_lost_camera_and_a_trouble_are_what_the_schema_says() {
    let schema = Schema::load();
    let folder = tempfile::tempdir().unwrap();
    let pictures = ["a.png", "b.png"].map(|name| photo(folder.path(), name));
    let board = folder.path().join("board.toml");
    let text = format!(
        "model = {:?}\npool_mib = 32\nthreads = 1\ndescription = \"test\"\ntier = \"untested\"\n\
         [camera.still]\nfiles = {pictures:?}\nframes_each = 1\nrepeat = true\nrate_fps = 100\n[display.none]\n",
        small_model()
    );
    std::fs::write(&board, text).unwrap();
    let mut child = eyelet(folder.path())
        .args(["run", "--json", "--board-file"])
        .arg(&board)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap()).lines();
    // Lines up to the event, which is given.
    let mut until = |kind: &str| {
        for line in reader.by_ref() {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            schema.check(event(&line), &line).unwrap();
            if event(&line) == kind {
                return line;
            }
        }
        panic!("it ended before {kind}");
    };
    until("verdict");
    pictures
        .iter()
        .for_each(|file| std::fs::remove_file(file).unwrap());
    let lost = until("camera_lost");
    assert!(
        lost["why"].as_str().unwrap().contains("No such file"),
        "{lost}"
    );
    for name in ["a.png", "b.png"] {
        photo(folder.path(), name);
    }
    assert!(until("camera_back")["after_s"].as_f64().unwrap() > 0.0);
    send_signal(&child, libc::SIGTERM);
    until("end");
    assert_eq!(child.wait().unwrap().code(), Some(0));

    // A frame in the middle of a stream whose data is cut.
    let jpeg = std::fs::read(fixture("halved-chroma.jpg")).unwrap();
    let cut = [&jpeg[..jpeg.len() * 2 / 3], &[0xff, 0xd9]].concat();
    let path = folder.path().join("stream");
    let mut stream = std::fs::File::create(&path).unwrap();
    for frame in [&jpeg, &cut, &jpeg] {
        stream.write_all(frame).unwrap();
    }
    let words = ["run", "--json", "--camera", "-", "--model", &small_model()];
    let input = std::fs::File::open(path).unwrap();
    let run = run_eyelet_with_input(folder.path(), &words, Some(input));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let lines = run.json_lines();
    lines
        .iter()
        .for_each(|line| schema.check(event(line), line).unwrap());
    assert!(
        lines.iter().any(|line| event(line) == "trouble"),
        "{}",
        run.stdout
    );
}

#[test]
fn the_schema_check_refuses_lines_that_do_not_match() {
    let schema = Schema::load();
    let picture = json!({
        "v": 1, "image": "a.png", "top": [{"class": 1, "label": "cat", "probability": 0.5}],
        "stage_ms": {"decode": 1.0, "preprocess": 0, "infer": 2},
    });
    schema.check("picture", &picture).unwrap();
    for (pointer, value, says) in [
        ("/v", json!(2), "2 is not 1"),
        ("/image", json!(7), "not of type"),
        ("/top", json!([]), "minimum"),
        ("/top/0/class", json!(-1), "minimum"),
        ("/top/0/class", json!(0.5), "not of type"),
        ("/top/0", json!({"class": 1}), "is missing"),
        ("/stage_ms/infer", json!(null), "not of type"),
        (
            "/stage_ms",
            json!({"decode": 1, "preprocess": 0, "infer": 2, "show": 1}),
            "does not tell",
        ),
    ] {
        let mut wrong = picture.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        let error = schema.check("picture", &wrong).unwrap_err();
        assert!(error.contains(says), "{pointer}: {error}");
    }
    let tier = json!({"v": 1, "board": "x", "tier": "good", "description": ""});
    assert!(
        schema
            .check("board", &tier)
            .unwrap_err()
            .contains("is none of")
    );
    assert!(
        schema
            .check("nothing", &tier)
            .unwrap_err()
            .contains("no such schema")
    );
}

#[test]
fn the_page_documents_every_key() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("boards/JSON.md")).unwrap();
    let text = std::fs::read_to_string(root.join("boards/json.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let mut keys: Vec<&str> = Vec::new();
    let mut left = vec![&schema];
    while let Some(value) = left.pop() {
        if let Some(properties) = value.get("properties").and_then(Value::as_object) {
            keys.extend(properties.keys().map(String::as_str));
        }
        match value {
            Value::Object(values) => left.extend(values.values()),
            Value::Array(values) => left.extend(values),
            _ => {}
        }
    }
    assert!(keys.len() > 80, "{}", keys.len());
    for key in keys {
        assert!(
            page.contains(&format!("`{key}`")),
            "boards/JSON.md does not tell of {key}"
        );
    }
}
