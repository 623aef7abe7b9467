//! How the camera's picture goes into the network: crop, fit and stretch, by model and by board, and regions in turn.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;
#[allow(dead_code, reason = "each program uses a part")]
#[path = "common/graph.rs"]
mod graph;

use common::{Run, run_eyelet};
use graph::Net;
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use tract_onnx::pb::tensor_proto::DataType;

const INPUT_PX: (u32, u32) = (192, 48);

/// A network for wide pictures whose classes are the colours red, green and blue: that of the largest mean wins.
fn colours() -> Net {
    let mut net = Net::new().scores(3);
    let (width, height) = (i64::from(INPUT_PX.0), i64::from(INPUT_PX.1));
    net.graph.input = vec![graph::value("x", &[1, 3, height, width])];
    let factor = |i: usize| if i.is_multiple_of(4) { 20.0_f32 } else { 0.0 };
    let raw = (0..9).flat_map(|i| factor(i).to_le_bytes()).collect();
    net.node("GlobalAveragePool", &["x"], "pooled", &[])
        .node("Flatten", &["pooled"], "flat", &[])
        .node("MatMul", &["flat", "factors"], "out", &[])
        .tensor("factors", &[3, 3], DataType::Float, raw)
}

fn toml(more: &str) -> String {
    format!(
        "description = \"colours\"\nfile = \"net.onnx\"\nlabels = \"labels.txt\"\n[input]\nwidth_px = {}\nheight_px = {}\n\
         mean = [0, 0, 0]\nstd = [1, 1, 1]\n{more}\n[output]\nkind = \"logits\"\nclass_count = 3\n",
        INPUT_PX.0, INPUT_PX.1
    )
}

/// A folder with the network, its labels and a picture.
fn desk(toml: &str, picture: image::RgbImage) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    fs::write(folder.path().join("net.onnx"), colours().bytes()).unwrap();
    write("labels.txt", "red\ngreen\nblue\n");
    write("net.toml", toml);
    picture.save(folder.path().join("picture.png")).unwrap();
    folder
}

/// Blue in the middle third of the height, red above and below.
fn striped() -> image::RgbImage {
    image::RgbImage::from_fn(300, 300, |_, y| match y {
        100..200 => image::Rgb([0, 0, 255]),
        _ => image::Rgb([255, 0, 0]),
    })
}

/// Red at the left, green at the right.
fn halved() -> image::RgbImage {
    image::RgbImage::from_fn(320, 240, |x, _| match x {
        0..160 => image::Rgb([255, 0, 0]),
        _ => image::Rgb([0, 255, 0]),
    })
}

fn board(more: &str) -> String {
    format!(
        "description = \"d\"\ntier = \"untested\"\nmodel = \"net.onnx\"\nthreads = 1\npool_mib = 32\n\
         [camera.still]\nfiles = [\"picture.png\"]\nframes_each = 12\n\
         [decide]\nframes_in_a_row = 1\nhold_ms = 0\n\
         [display.png]\nfolder = \"shown\"\nwidth_px = 480\nheight_px = 320\n{more}"
    )
}

fn run_board(folder: &Path, more: &str, words: &[&str]) -> Run {
    fs::write(folder.join("board.toml"), board(more)).unwrap();
    let mut all = vec!["run", "--board-file", "board.toml"];
    all.extend(words);
    run_eyelet(folder, &all)
}

#[test]
fn a_wide_network_sees_what_its_model_toml_says() {
    for (more, best) in [
        // The strip of the middle.
        ("", "blue"),
        ("resize = \"crop\"", "blue"),
        // All of it, two thirds of which are red.
        ("resize = \"stretch\"", "red"),
        // All of it, and three quarters beside it.
        ("resize = \"fit\"", "red"),
        ("resize = \"fit\"\nfill = [0, 255, 0]", "green"),
    ] {
        let desk = desk(&toml(more), striped());
        let run = run_eyelet(
            desk.path(),
            &["classify", "--json", "--model", "net.onnx", "picture.png"],
        );
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(run.json_lines()[0]["top"][0]["label"], best, "{more}");
    }
}

#[test]
fn a_board_takes_precedence_over_its_model_and_says_so() {
    let desk = desk(
        &toml("resize = \"crop\"\nresize_shorter_px = 200"),
        striped(),
    );
    let label = |more: &str| {
        let run = run_board(desk.path(), more, &["--json"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let lines = run.json_lines();
        let verdict = lines.iter().find(|line| line["event"] == "verdict");
        verdict.unwrap()["label"].as_str().unwrap().to_owned()
    };
    assert_eq!(label(""), "blue");
    assert_eq!(label("[mount]\nresize = \"stretch\""), "red");
    assert_eq!(label("[mount]\nresize = \"fit\""), "red");
    let run = run_board(desk.path(), "[mount]\nresize = \"fit\"", &[]);
    let expected = "net: input.resize = \"fit\" (the board file says so)";
    assert!(run.stdout.contains(expected), "{}", run.stdout);
    let text = format!(
        "precision = \"half\"\n{}",
        board("[mount]\nresize = \"fit\"")
    );
    fs::write(desk.path().join("board.toml"), text).unwrap();
    let run = run_eyelet(desk.path(), &["check", "--board-file", "board.toml"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let squeezed = run.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for wanted in [
        "input.resize = \"fit\" the board file says so",
        "input.fill = [0, 0, 0] assumed: black, as most tools pad in training",
        "precision = \"half\" the board file says so",
    ] {
        assert!(squeezed.contains(wanted), "{}", run.stdout);
    }
    assert!(!squeezed.contains("resize_shorter_px"), "{}", run.stdout);
    let run = run_eyelet(desk.path(), &["explain", "net.onnx"]);
    assert!(
        run.stdout.contains("input.resize            = \"crop\""),
        "{}",
        run.stdout
    );
}

const TWO: &str = "[mount.regions]\nwest = [0, 0, 0.5, 1]\n\"east side\" = [0.5, 0, 0.5, 1]\n";

#[test]
fn regions_are_classified_in_turn_each_with_its_own_verdict() {
    let desk = desk(&toml(""), halved());
    let run = run_board(desk.path(), TWO, &["--json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let lines = run.json_lines();
    let start = &lines[0]["regions"];
    let wanted = "west = [0, 0, 0.5, 1], east side = [0.5, 0, 0.5, 1]; in turn";
    assert_eq!(start.as_str(), Some(wanted));
    let verdicts: Vec<_> = lines
        .iter()
        .filter(|line| line["event"] == "verdict")
        .map(|line| {
            let word = |key: &str| line[key].as_str().unwrap().to_owned();
            (
                line["frame"].as_u64().unwrap(),
                word("region"),
                word("label"),
            )
        })
        .collect();
    // Neither changes the other's: each is reported once.
    let west = (1, "west".to_owned(), "red".to_owned());
    let east = (2, "east side".to_owned(), "green".to_owned());
    assert_eq!(verdicts, [west, east]);
    let shown = image::open(desk.path().join("shown/002.png")).unwrap();
    assert_eq!((shown.width(), shown.height()), (480, 320));
    assert!(!desk.path().join("shown/003.png").exists());

    let run = run_board(desk.path(), TWO, &[]);
    for wanted in [
        "frame 1: west: red 100.0%",
        "frame 2: east side: green 100.0%",
    ] {
        assert!(run.stdout.contains(wanted), "{wanted}: {}", run.stdout);
    }
    let run = run_eyelet(desk.path(), &["check", "--board-file", "board.toml"]);
    assert!(
        run.stdout.contains("regions  west = [0, 0, 0.5, 1], east"),
        "{}",
        run.stdout
    );
}

#[test]
fn one_region_without_a_name_is_logged_like_a_whole_picture() {
    let desk = desk(&toml(""), halved());
    let run = run_board(
        desk.path(),
        "[mount]\nregion = [0.5, 0, 0.5, 1]",
        &["--json"],
    );
    let lines = run.json_lines();
    let verdict = lines
        .iter()
        .find(|line| line["event"] == "verdict")
        .unwrap();
    assert_eq!(verdict["label"], "green");
    assert_eq!(verdict.get("region"), None);
    // Turned by half, the right side is the camera's left one.
    let turned = "[mount]\nrotate_deg = 180\nregion = [0.5, 0, 0.5, 1]";
    let run = run_board(desk.path(), turned, &["--json"]);
    let lines = run.json_lines();
    let verdict = lines
        .iter()
        .find(|line| line["event"] == "verdict")
        .unwrap();
    assert_eq!(verdict["label"], "red");
}

#[test]
fn a_region_or_a_display_that_is_too_small_is_refused() {
    let desk = desk(&toml(""), halved());
    let run = run_board(desk.path(), "[mount]\nregion = [0, 0, 0.02, 1]", &[]);
    assert_eq!(run.code, 3, "{}{}", run.stdout, run.stderr);
    let why = "the region at [0, 0, 0.02, 1] has 6x240 pixels of a picture of 320x240, and needs at least 8 each way";
    assert!(run.stderr.contains(why), "{}", run.stderr);
    let regions: String = (0..8).map(|i| format!("r{i} = [0, 0, 1, 1]\n")).collect();
    let small = board(&format!("[mount.regions]\n{regions}"));
    let small = small.replace(
        "width_px = 480\nheight_px = 320",
        "width_px = 64\nheight_px = 64",
    );
    fs::write(desk.path().join("small.toml"), small).unwrap();
    let run = run_eyelet(desk.path(), &["run", "--board-file", "small.toml"]);
    assert_eq!(run.code, 3, "{}{}", run.stdout, run.stderr);
    assert!(
        run.stderr
            .contains("a display of 64 x 64 pixels has no room for 8 regions"),
        "{}",
        run.stderr
    );
}
