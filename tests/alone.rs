//! The program alone, as `cargo install` leaves it: nothing of the source tree is beside it.
#![cfg(feature = "built-in")]
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;

use common::{Run, emulated, tree_file};
use std::process::{Command, Stdio};

/// A copy of the program in a folder of its own, with another one to work in.
struct Alone {
    folder: tempfile::TempDir,
}

impl Alone {
    fn new() -> Self {
        // Not below the target folder: a folder above the program is a data root.
        let folder = tempfile::tempdir().unwrap();
        for name in ["bin", "home", "work"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let program = folder.path().join("bin/eyelet");
        common::copy_program(&program);
        Self { folder }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let output = Command::new(self.folder.path().join("bin/eyelet"))
            .args(arguments)
            .current_dir(self.folder.path().join("work"))
            .env_clear()
            .env("HOME", self.folder.path().join("home"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs it, sees that it says all of `words` and leaves nothing behind but what is in `work`.
    fn says(&self, arguments: &[&str], words: &[&str]) {
        let run = self.run(arguments);
        assert_eq!(run.code, 0, "{arguments:?}: {}{}", run.stdout, run.stderr);
        for word in words {
            let is_printed = run.stdout.contains(word);
            assert!(is_printed, "{arguments:?}: no {word:?} in {}", run.stdout);
        }
        let is_warned = run.stderr.contains(" warn ");
        assert!(!is_warned, "{arguments:?} warns: {}", run.stderr);
        let left = std::fs::read_dir(self.folder.path().join("home")).unwrap();
        assert_eq!(left.count(), 0, "{arguments:?} wrote to the home folder");
    }
}

#[test]
fn the_first_run_needs_nothing_beside_the_program() {
    if emulated() {
        return;
    }
    let alone = Alone::new();
    alone.says(&[], &["Egyptian cat", "espresso", "tripod", "latency"]);
    let drawn = alone.folder.path().join("work/eyelet-display/002.png");
    assert_eq!(image::image_dimensions(drawn).unwrap(), (480, 320));
}

#[test]
fn a_picture_is_classified_by_the_network_in_the_program() {
    if emulated() {
        return;
    }
    let alone = Alone::new();
    let cat = tree_file("boards/photos/cat.jpg");
    let words = ["Egyptian cat"];
    for model in [&[][..], &["--model", "efficientnet-lite0"]] {
        let arguments = [&["classify", cat.to_str().unwrap()], model].concat();
        alone.says(&arguments, &words);
    }
    alone.says(&["check", "--board", "host"], &["all is well"]);
    for (words, says) in [
        (
            &["check", "--board", "host"][..],
            "boards/photos in the program itself",
        ),
        (&["model", "verify", "efficientnet-lite0"], "sha256 matches"),
    ] {
        alone.says(words, &[says]);
        let said = alone.run(words).stdout;
        assert!(!said.contains("/proc/self/exe"), "{said}");
        assert!(said.contains("in the program itself"), "{said}");
    }
    alone.says(
        &["list", "models"],
        &["efficientnet-lite0", "in the program itself"],
    );
}

#[test]
fn a_folders_own_network_takes_precedence_over_the_programs() {
    if emulated() {
        return;
    }
    let alone = Alone::new();
    let below = alone.folder.path().join("work/models/efficientnet-lite0");
    std::fs::create_dir_all(&below).unwrap();
    std::fs::write(below.join("efficientnet-lite0-int8.onnx"), "damaged").unwrap();
    let run = alone.run(&[]);
    assert_eq!(run.code, 4, "{}", run.stdout);
    assert!(run.stderr.contains("has 7 bytes"), "{}", run.stderr);
}
