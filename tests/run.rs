//! `eyelet` as a newcomer starts it, and as a service stops it.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;

use common::{Run, fixture, run_eyelet, send_signal, start_eyelet};
use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, Instant};

#[test]
fn without_arguments_the_sample_photos_are_classified_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_eyelet::<&str>(folder.path(), &[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    for word in [
        "Egyptian cat",
        "espresso",
        "tripod",
        "eyelet-display",
        "latency",
        "p99",
        "memory:",
    ] {
        assert!(
            run.stdout.contains(word),
            "'{word}' is not in: {}",
            run.stdout
        );
    }
    let pictures = std::fs::read_dir(folder.path().join("eyelet-display")).unwrap();
    let sizes: Vec<_> = pictures
        .map(|p| image::image_dimensions(p.unwrap().path()).unwrap())
        .collect();
    assert!(sizes.len() >= 4, "{} pictures", sizes.len());
    assert!(sizes.iter().all(|&size| size == (480, 320)), "{sizes:?}");
}

#[test]
fn json_lines_say_the_same_with_a_version() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_eyelet(folder.path(), &["run", "--json", "--stats-every", "10"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let lines = run.json_lines();
    assert!(
        lines
            .iter()
            .all(|line| line["v"] == 1 && line["t_s"].is_number())
    );
    let of = |event: &str| {
        lines
            .iter()
            .filter(|line| line["event"] == event)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (of("start").len(), of("stats").len(), of("end").len()),
        (1, 2, 1)
    );
    let labels: Vec<_> = of("verdict")
        .iter()
        .map(|line| line["label"].as_str().unwrap().to_owned())
        .collect();
    assert!(labels.contains(&"Egyptian cat".to_owned()), "{labels:?}");
    assert!(of("end")[0]["stage_ms"]["latency"]["p99"].as_f64().unwrap() > 0.0);
}

#[test]
fn every_frame_is_logged_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let model = fixture("opset13.onnx").display().to_string();
    let frames = |more: &[&str]| {
        let words = [
            "run", "--frames", "9", "--camera", "pattern", "--model", &model,
        ];
        let run = run_eyelet(folder.path(), &[&words[..], more].concat());
        assert_eq!(run.code, 0, "{}", run.stderr);
        run
    };
    let logged = |run: &Run| run.stdout.matches("] frame ").count();
    let (changes, all) = (frames(&[]), frames(&["--every-frame"]));
    assert!(logged(&changes) < 9, "{}", changes.stdout);
    assert_eq!(logged(&all), 9, "{}", all.stdout);
    let lines = frames(&["--every-frame", "--json"]).json_lines();
    let verdicts = lines.iter().filter(|line| line["event"] == "verdict");
    let (mut before, mut numbers) = (Some(serde_json::Value::Null), Vec::new());
    for verdict in verdicts {
        numbers.push(verdict["frame"].as_u64().unwrap());
        let class = Some(&verdict["class"]);
        // Before the first frame none is decided.
        let has_changed = class != before.as_ref();
        assert_eq!(verdict["changed"], has_changed, "{verdict}");
        before = class.cloned();
    }
    assert_eq!(numbers, Vec::from_iter(1..=9));
}

#[test]
fn a_signal_ends_the_run_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let model = fixture("opset13.onnx").display().to_string();
        let words = ["run", "--board", "host", "--camera", "pattern"];
        let words = [&words[..], &["--model", &model]].concat();
        let mut child = start_eyelet(folder.path(), &words);
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("frame 1:") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the run ended early");
        }
        let asked = Instant::now();
        send_signal(&child, signal);
        let mut rest = String::new();
        log.read_to_string(&mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{rest}");
        assert!(
            asked.elapsed() < Duration::from_secs(10),
            "{:?}",
            asked.elapsed()
        );
        assert!(rest.contains("p99"), "the table is missing: {rest}");
    }
}

#[test]
fn check_opens_no_hardware() {
    let folder = tempfile::tempdir().unwrap();
    let model = fixture("opset13.onnx").display().to_string();
    for board in [
        "host",
        "virt",
        "raspberry-pi-zero-2-w",
        "raspberry-pi-4",
        "jetson-orin-nano",
    ] {
        let run = run_eyelet(
            folder.path(),
            &["check", "--board", board, "--model", &model],
        );
        assert_eq!(run.code, 0, "{board}: {}", run.stderr);
        assert!(
            run.stdout.contains(board) && run.stdout.contains("all is well"),
            "{}",
            run.stdout
        );
    }
}

/// Picture files are not hardware.
#[test]
fn check_looks_at_the_pictures_that_stand_for_a_camera() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    std::fs::write(folder.path().join("cut.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    for (camera, says) in [
        (
            "nope.png",
            "cannot find the picture or folder nope.png: No such file",
        ),
        ("empty", "the folder empty has no pictures"),
        ("cut.png", "cannot read the picture cut.png: "),
    ] {
        let words = ["check", "--board", "host", "--camera", camera];
        let run = run_eyelet(folder.path(), &words);
        assert_eq!(run.code, 5, "{camera}: {}", run.stderr);
        assert!(run.stderr.contains(says), "{camera}: {}", run.stderr);
    }
    // Links to folders are not followed.
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    image::RgbImage::new(8, 8)
        .save(photos.join("a.png"))
        .unwrap();
    std::os::unix::fs::symlink("../empty", photos.join("more")).unwrap();
    let words = ["check", "--board", "host", "--camera", "photos"];
    let run = run_eyelet(folder.path(), &words);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let says = "photos: 1 link to a folder, or to nothing, was skipped";
    assert!(run.stderr.contains(says), "{}", run.stderr);
}

#[test]
fn every_list_prints_something() {
    let folder = tempfile::tempdir().unwrap();
    for (what, word) in [
        ("boards", "raspberry-pi-4"),
        ("models", "mobilenet-v2@12-int8"),
        ("cameras", ""),
        ("displays", ""),
    ] {
        let run = run_eyelet(folder.path(), &["list", what]);
        assert_eq!(run.code, 0, "{what}: {}", run.stderr);
        assert!(
            run.stdout.contains(word) && !run.stdout.trim().is_empty(),
            "{what}: {}",
            run.stdout
        );
    }
}

#[test]
fn explain_shows_the_plan_or_why_there_is_no_fast_one() {
    let folder = tempfile::tempdir().unwrap();
    let explain = |model: &str| {
        let run = run_eyelet(
            folder.path(),
            &["explain", &fixture(model).display().to_string()],
        );
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.stdout
    };
    let fast = explain("qdq-whole.onnx");
    assert!(
        fast.contains("arena of") || fast.contains("no instruction set"),
        "{fast}"
    );
    let slow = explain("dynamic-sums.onnx");
    assert!(
        slow.contains("tract") && slow.contains("DynamicQuantizeLinear"),
        "{slow}"
    );
}
