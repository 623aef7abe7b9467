//! Classes by name in a board file, and labels in letters of all kinds, through the program.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;

use common::{Run, fixture, run_eyelet};

/// A board that classifies the shipped photo of a cat with the shipped network, each frame as it is.
fn board(decide: &str, display: &str) -> String {
    let photo = concat!(env!("CARGO_MANIFEST_DIR"), "/boards/photos/cat.jpg");
    format!(
        "description = \"t\"\ntier = \"untested\"\nmodel = \"efficientnet-lite0\"\nthreads = 1\npool_mib = 96\n\
         [camera.still]\nfiles = [\"{photo}\"]\nframes_each = 3\n\
         [decide]\nema_weight = 1\nframes_in_a_row = 2\nhold_ms = 0\n{decide}\n{display}\n"
    )
}

fn run(board: &str, arguments: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.toml"), board).unwrap();
    for font in ["chinese.ttf", "make.py"] {
        let from = fixture(&format!("fonts/{font}"));
        std::fs::copy(from, folder.path().join(font)).unwrap();
    }
    let (command, rest) = arguments.split_first().unwrap();
    let all = [&[*command, "--board-file", "t.toml"], rest].concat();
    run_eyelet(folder.path(), &all)
}

const NONE: &str = "[display.none]";
const CATS: &str = "[decide.merge]\ncat = [\"tabby\", \"tiger cat\", \"Egyptian cat\"]";

fn verdicts(run: &Run) -> Vec<(Option<u64>, String, f64)> {
    assert_eq!(run.code, 0, "{}", run.stderr);
    let lines = run.json_lines();
    let verdicts = lines.iter().filter(|line| line["event"] == "verdict");
    verdicts
        .map(|line| {
            let label = line["label"].as_str().unwrap().to_owned();
            (
                line["class"].as_u64(),
                label,
                line["probability"].as_f64().unwrap(),
            )
        })
        .collect()
}

#[test]
fn merged_cats_are_a_cat() {
    let alone = verdicts(&run(&board("", NONE), &["run", "--json"]));
    assert_eq!(
        (alone[1].0, alone[1].1.as_str()),
        (Some(285), "Egyptian cat")
    );
    let merged = verdicts(&run(&board(CATS, NONE), &["run", "--json"]));
    // In JSON a group has the number of the first class of its list.
    assert_eq!((merged[1].0, merged[1].1.as_str()), (Some(281), "cat"));
    assert!(merged[1].2 > alone[1].2 + 0.02, "{merged:?} {alone:?}");
    let output = run(&board(CATS, NONE), &["run"]).stdout;
    assert!(
        output.contains("frame 1: unknown (best: cat 9") && output.contains("frame 2: cat 9"),
        "{output}"
    );
}

#[test]
fn single_classes_have_thresholds_and_can_be_ignored() {
    for (decide, last) in [
        (
            "[decide.class.\"Egyptian cat\"]\nenter = 0.7",
            "Egyptian cat",
        ),
        ("[decide.class.\"Egyptian cat\"]\nenter = 0.99", "nothing"),
        (
            "[decide.class.\"Egyptian cat\"]\nframes_in_a_row = 4",
            "nothing",
        ),
        ("ignore = [\"Egyptian cat\"]", "nothing"),
        ("ignore = [\"tabby, tabby cat\"]", "Egyptian cat"),
    ] {
        let decide = format!("unknown_label = \"nothing\"\n{decide}");
        let printed = verdicts(&run(&board(&decide, NONE), &["run", "--json"]));
        assert_eq!(printed.last().unwrap().1, last, "{decide}");
    }
}

#[test]
fn names_that_are_no_class_are_faults_at_start_and_for_check() {
    let decide = "ignore = [\"tabbby\", \"crane\"]\n[decide.class.\"web sit\"]\nenter = 0.9";
    for command in [&["check"][..], &["run"], &["run", "--json"]] {
        let run = run(&board(decide, NONE), command);
        assert_eq!(run.code, 3, "{}", run.stderr);
        for fault in [
            "board t with the model efficientnet-lite0: decide.ignore: \"tabbby\" is not a class of the model, did you mean \"tabby\"?",
            "decide.ignore: \"crane\" is the label of 2 classes: write one of `class 134`, `class 517`",
            "decide.class: \"web sit\" is not a class of the model, did you mean \"web site\"?",
        ] {
            assert!(
                run.stderr.contains(fault),
                "{fault} is not in: {}",
                run.stderr
            );
        }
    }
}

#[test]
fn letters_that_no_font_has_are_reported_by_check_and_once_by_run() {
    let png = "[display.png]\nfolder = \"p\"\nwidth_px = 480\nheight_px = 320";
    let chinese = "[decide.merge]\n\"埃及猫\" = [\"Egyptian cat\"]\n\"熊\" = [\"brown bear\"]";
    let with_font = format!("[display]\nfont = \"chinese.ttf\"\n{png}");
    let bear = "\"熊\" (熊 U+718A)";
    let cases = [
        (png, true, "put `font = \"FILE.ttf\"` into [display]"),
        (
            &with_font,
            false,
            "the file that `font` in [display] names lacks them too",
        ),
    ];
    for (display, is_cat_missing, remedy) in cases {
        let check = run(&board(chinese, display), &["check"]);
        assert_eq!(check.code, 0, "{}", check.stderr);
        let run = run(&board(chinese, display), &["run"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        // Log lines for people are on standard output, as the labels' own letters.
        assert!(run.stdout.contains("frame 2: 埃及猫 "), "{}", run.stdout);
        for output in [&check.stdout, &run.stdout] {
            assert_eq!(output.matches(bear).count(), 1, "{output}");
            assert_eq!(
                output.contains("\"埃及猫\" (埃 U+57C3"),
                is_cat_missing,
                "{output}"
            );
            assert!(output.contains(remedy), "{output}");
        }
        assert!(
            check.stdout.ends_with("all else is well\n"),
            "{}",
            check.stdout
        );
    }
    let greek = "[decide.merge]\n\"Γάτα\" = [\"Egyptian cat\"]";
    let check = run(&board(greek, png), &["check"]);
    assert!(check.stdout.ends_with("all is well\n"), "{}", check.stdout);
}

#[test]
fn a_font_file_that_cannot_be_used_is_refused_with_its_reason() {
    for (font, why) in [
        ("none.ttf", "none.ttf cannot be read: No such file"),
        (
            "make.py",
            "make.py is not a TrueType or OpenType font (.ttf, .otf, .ttc)",
        ),
    ] {
        for command in ["check", "run"] {
            let display = format!("[display]\nfont = \"{font}\"\n{NONE}");
            let run = run(&board("", &display), &[command]);
            assert_eq!(run.code, 3, "{}", run.stderr);
            assert!(run.stderr.contains(why), "{}", run.stderr);
        }
    }
}
