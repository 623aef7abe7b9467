//! What several test programs need: files of the tree, and the program, run in one way or another.
#![allow(dead_code, unused_imports, reason = "each test program uses a part")]

mod basics;

pub use basics::{names_in, say_skipped, shared};
use std::path::{Path, PathBuf};

/// The photos that have references.
pub const PHOTOS: [&str; 8] = [
    "cat",
    "chickadee",
    "daisy",
    "dragonfly",
    "hotdog",
    "macaw",
    "military_uniform",
    "packet",
];

/// Little-endian f32 values of a file.
pub fn read_f32(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

/// The index of the largest score.
pub fn argmax(scores: &[f32]) -> usize {
    (0..scores.len())
        .max_by(|&a, &b| scores[a].total_cmp(&scores[b]))
        .expect("there are scores")
}

/// A small network of `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// What one run of the program left.
pub struct Run {
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Standard output as JSON, line by line.
    pub fn json_lines(&self) -> Vec<serde_json::Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.stdout.lines().map(parse).collect()
    }
}

/// Runs `eyelet` in `folder` without standard input; data (models, boards) are those of the source tree.
pub fn run_eyelet<S: AsRef<std::ffi::OsStr>>(folder: &Path, arguments: &[S]) -> Run {
    run_eyelet_with_input(folder, arguments, None)
}

/// The same with a file as standard input.
pub fn run_eyelet_with_input<S: AsRef<std::ffi::OsStr>>(
    folder: &Path,
    arguments: &[S],
    input: Option<std::fs::File>,
) -> Run {
    let output = eyelet(folder)
        .args(arguments)
        .stdin(input.map_or_else(std::process::Stdio::null, Into::into))
        .output()
        .expect("the program starts");
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Starts `eyelet` in `folder` without standard input, what it prints in pipes.
pub fn start_eyelet<S: AsRef<std::ffi::OsStr>>(
    folder: &Path,
    arguments: &[S],
) -> std::process::Child {
    eyelet(folder)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts")
}

/// Sends a signal to a program that a test started and has not seen end.
pub fn send_signal(child: &std::process::Child, signal: i32) {
    let id = i32::try_from(child.id()).expect("Linux counts processes so far");
    // SAFETY: a call without pointers; the number is the child's own until it is waited for.
    assert_eq!(unsafe { libc::kill(id, signal) }, 0, "signal {signal}");
}

/// Runs `command` to its end, for which it has ten seconds of a processor's time (under emulation a minute); one that takes more, or
/// that waits for something for five minutes, is ended, and its code is -1. (Time on the wall would tell how busy the machine is.) For programs that
/// print no more than a pipe holds.
pub fn run_promptly(command: &std::process::Command) -> Run {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};
    let seconds = if cfg!(target_arch = "x86_64") { 10 } else { 60 };
    let mut limited = Command::new("sh");
    limited
        .args(["-c", &format!("ulimit -t {seconds}; exec \"$0\" \"$@\"")])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(folder) = command.get_current_dir() {
        limited.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    let mut child = limited.spawn().expect("it starts");
    let began = Instant::now();
    while child.try_wait().expect("it can be waited for").is_none() {
        if began.elapsed() > Duration::from_secs(300) {
            child.kill().expect("it can be ended");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().expect("it gives its output");
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The program, to be started in `folder`.
///
/// Where this test runs under an emulator, the program does too: the kernel alone could not start it.
pub fn eyelet(folder: &Path) -> std::process::Command {
    let program = env!("CARGO_BIN_EXE_eyelet");
    let runner = runner().unwrap_or_default();
    let mut words = runner.split_whitespace().chain([program]);
    let mut command = std::process::Command::new(words.next().unwrap_or(program));
    command
        .args(words)
        .current_dir(folder)
        .env("EYELET_HOME", env!("CARGO_MANIFEST_DIR"))
        .env_remove("RUST_LOG");
    command
}

/// The emulator that Cargo starts this test with, from the variable that names it (`Cross.toml`'s image and the alias
/// `test-aarch64` set it).
fn runner() -> Option<String> {
    let target = match std::env::consts::ARCH {
        "aarch64" => "AARCH64_UNKNOWN_LINUX_GNU",
        "arm" => "ARMV7_UNKNOWN_LINUX_GNUEABIHF",
        _ => return None,
    };
    std::env::var(format!("CARGO_TARGET_{target}_RUNNER")).ok()
}

/// Whether this test runs under user mode emulation, where memory and system calls are the emulator's, not the program's, and
/// all takes ten times as long. Says that the test is skipped if so.
pub fn emulated() -> bool {
    let emulated = runner().is_some();
    if emulated {
        say_skipped("this test tells nothing under user mode emulation");
    }
    emulated
}

/// A file of the source tree.
pub fn tree_file(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// Puts a copy of the program at `to`. Another process does it: a test that starts a program at that moment would hand its child
/// a copy that is open for writing, and the system starts no such program ("text file busy").
pub fn copy_program(to: &Path) {
    let copied = std::process::Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_eyelet"))
        .arg(to)
        .status();
    assert!(copied.unwrap().success());
}
