//! SIGHUP: a board file that was changed while frames are classified.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;

use common::{eyelet, fixture, send_signal};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

fn write_board(file: &Path, threads: u32, enter: &str) {
    write_board_with(file, threads, enter, "");
}

fn write_board_with(file: &Path, threads: u32, enter: &str, more: &str) {
    let model = fixture("opset13.onnx").display().to_string();
    let text = format!(
        "description = \"test\"\ntier = \"untested\"\nthreads = {threads}\nmodel = {model:?}\n[camera.pattern]\nwidth_px = 64\n\
         height_px = 48\nrate_fps = 20\n[decide]\nenter = {enter}\nleave = 0.0\n[policy.camera_lost]\nafter_s = {}\n[display.none]\n{more}",
        300 + threads
    );
    fs::write(file, text).unwrap();
}

/// The log's lines as they come; the program ends with it.
struct Running(Child, Receiver<String>);

impl Running {
    fn start(board: &Path) -> Self {
        let mut child = eyelet(board.parent().unwrap())
            .args(["run", "--board-file"])
            .arg(board)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (to, from) = mpsc::channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|l| to.send(l)));
        Self(child, from)
    }

    fn wait_for(&self, word: &str) -> String {
        loop {
            let line = self.1.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no line with {word:?}"));
            if line.contains(word) {
                return line;
            }
        }
    }

    fn send(&self, signal: i32) {
        send_signal(&self.0, signal);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_board_file_is_reloaded_and_keys_that_need_a_restart_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let board = folder.path().join("board.toml");
    write_board(&board, 1, "1.0");
    let running = Running::start(&board);
    // Nothing is as sure as that.
    running.wait_for("unknown");

    fs::write(&board, "threads = many").unwrap();
    running.send(libc::SIGHUP);
    let line = running.wait_for("reread the board file");
    assert!(
        line.contains("board.toml") && line.contains("continues as before"),
        "{line}"
    );

    write_board(&board, 2, "0.0");
    running.send(libc::SIGHUP);
    let line = running.wait_for("reread the board file");
    assert!(line.contains("decide and policy applied"), "{line}");
    let line = running.wait_for("need a restart");
    assert!(line.ends_with(": threads"), "{line}");
    // The new threshold holds: now a class is decided.
    let line = running.wait_for("frame ");
    assert!(!line.contains("unknown"), "{line}");

    // What could not be started with is a fault, too.
    let no_class = "[decide.class.\"nosuch\"]\nenter = 0.5\n";
    write_board_with(&board, 1, "0.0", no_class);
    running.send(libc::SIGHUP);
    let line = running.wait_for("reread the board file");
    assert!(
        line.contains("\"nosuch\" is not a class") && line.contains("continues as before"),
        "{line}"
    );
    write_board(&board, 1, "0.0");
    let text = fs::read_to_string(&board).unwrap();
    let model = text
        .lines()
        .find(|line| line.starts_with("model = "))
        .unwrap();
    fs::write(&board, text.replace(model, "model = \"nomodel\"")).unwrap();
    running.send(libc::SIGHUP);
    let line = running.wait_for("reread the board file");
    assert!(
        line.contains("no model `nomodel`") && line.contains("continues as before"),
        "{line}"
    );
    // A threshold of single classes holds at once: no class is decided any more.
    let sure = |class| {
        format!("[decide.class.\"class {class}\"]\nenter = 1.0\nleave = 1.0\nhold_ms = 0\n")
    };
    let all: String = (0..10).map(sure).collect();
    write_board_with(&board, 2, "0.0", &all);
    running.send(libc::SIGHUP);
    let line = running.wait_for("reread the board file");
    assert!(line.contains("decide applied"), "{line}");
    running.wait_for("unknown");
    write_board(&board, 2, "0.0");
    running.send(libc::SIGHUP);
    running.wait_for("decide applied");
    running.wait_for("need a restart");

    running.send(libc::SIGHUP);
    let line = running.wait_for("reread the board file");
    assert!(
        line.contains("nothing that applies without a restart"),
        "{line}"
    );
    // What is for the supervisor is not ours to apply.
    let of_supervisor =
        "[policy]\nwatchdog_s = 20\ntrial_s = 99\n[policy.program_fails]\ncount = 3\n";
    write_board_with(&board, 2, "0.0", of_supervisor);
    running.send(libc::SIGHUP);
    let line = running.wait_for("reread the board file");
    assert!(!line.contains("policy applied"), "{line}");
    let line = running.wait_for("act only on a card");
    let keys = "policy.watchdog_s, policy.trial_s, policy.program_fails;";
    assert!(
        line.contains(keys) && line.contains("WatchdogSec="),
        "{line}"
    );
    running.send(libc::SIGTERM);
    running.wait_for(" frames, ");
}
