//! What comes out: results that cannot be written are an error, words that cannot are lost; and every error is one line without
//! control characters, whatever names, labels and arguments hold.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;

use common::{eyelet, fixture, names_in, send_signal, start_eyelet};
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

const COMMAND_LINE: i32 = 2;
const BOARD: i32 = 3;
const MODEL: i32 = 4;
const CAMERA: i32 = 5;
const PICTURE: i32 = 8;
const OUTPUT: i32 = 11;

fn full() -> Stdio {
    Stdio::from(std::fs::File::create("/dev/full").unwrap())
}

fn photo(folder: &Path) -> PathBuf {
    let file = folder.join("photo.png");
    image::RgbImage::new(60, 40).save(&file).unwrap();
    file
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn run(folder: &Path, words: &[OsString], out: Stdio, err: Stdio) -> Output {
    let mut command = eyelet(folder);
    command.args(words).stdin(Stdio::null());
    command.stdout(out).stderr(err).output().unwrap()
}

#[test]
fn results_that_cannot_be_written_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let photo = photo(folder.path()).display().to_string();
    let model = fixture("opset13.onnx").display().to_string();
    let still =
        |rest: &[&str]| words(&[&["run", "--camera", &photo, "--model", &model], rest].concat());
    for (words, code) in [
        (words(&["classify", "--model", &model, &photo]), OUTPUT),
        (
            words(&["classify", "--json", "--model", &model, &photo]),
            OUTPUT,
        ),
        (
            words(&["classify", "--csv", "--model", &model, &photo]),
            OUTPUT,
        ),
        (
            words(&["classify", "--model", &model, &photo, &photo, &photo]),
            OUTPUT,
        ),
        (
            words(&["bench", "--json", "--iterations", "1", "--model", &model]),
            OUTPUT,
        ),
        (words(&["list", "boards", "--json"]), OUTPUT),
        (
            words(&["bench", "--iterations", "1", "--model", &model]),
            OUTPUT,
        ),
        (words(&["explain", &model]), OUTPUT),
        (words(&["check", "--model", &model]), OUTPUT),
        (words(&["list", "boards"]), OUTPUT),
        (words(&["list", "models"]), OUTPUT),
        (words(&["model", "verify", &model]), OUTPUT),
        (words(&["--help"]), OUTPUT),
        (words(&["run", "--help"]), OUTPUT),
        (words(&["--version"]), OUTPUT),
        (still(&["--json"]), OUTPUT),
        // The serial log is not a result: the board goes on without it.
        (still(&[]), 0),
    ] {
        let output = run(folder.path(), &words, full(), Stdio::piped());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {stderr}");
        let is_reported = stderr.contains("eyelet: cannot write to standard output");
        assert_eq!(is_reported, code == OUTPUT, "{words:?}: {stderr}");
        // Beside what the log tells of the model.
        let complaints = stderr.lines().filter(|line| !line.starts_with('['));
        assert!(complaints.count() <= 1, "{words:?}: {stderr}");
    }
}

#[test]
fn messages_that_cannot_be_written_are_lost_and_the_exit_code_stays() {
    let folder = tempfile::tempdir().unwrap();
    for (words, code) in [
        (words(&["classify", "nofile"]), PICTURE),
        (
            words(&["classify", "nofile", "--model", "./none.onnx"]),
            MODEL,
        ),
        (words(&["run", "--board", "none"]), BOARD),
        (words(&["run", "--camera", "-"]), CAMERA),
        (words(&["rum"]), COMMAND_LINE),
        (words(&["classify"]), COMMAND_LINE),
    ] {
        let output = run(folder.path(), &words, Stdio::null(), full());
        assert_eq!(output.status.code(), Some(code), "{words:?}");
    }
}

#[test]
fn a_reader_of_json_that_goes_away_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let model = fixture("opset13.onnx").display().to_string();
    let words = ["run", "--json", "--stats-every", "1", "--camera", "pattern"];
    let words = [&words[..], &["--model", &model]].concat();
    let mut child = start_eyelet(folder.path(), &words);
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    reader.read_line(&mut String::new()).unwrap();
    drop(reader);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(OUTPUT), "{stderr}");
    assert!(stderr.contains("its reader is gone"), "{stderr}");
}

/// Much more than an emulated program takes for anything here.
const LONG: Duration = Duration::from_secs(300);
/// Longer than a line waits for its reader.
const QUIET: Duration = Duration::from_secs(4);

/// A pipe of two pages, which has room only while one of them is empty.
fn small_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    // SAFETY: the call has no other effect than on the pipe, which is open.
    let bytes = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, 8192) };
    assert!(bytes >= 8192);
    (reader, writer)
}

/// A run of the pattern with every frame's line, which fills a pipe in a moment.
fn start_run(folder: &Path, more: &[&str], out: Stdio) -> Child {
    let model = fixture("opset13.onnx").display().to_string();
    let mut command = eyelet(folder);
    command
        .args(["run", "--every-frame", "--camera", "pattern", "--model"])
        .arg(model)
        .args(more)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn a_reader_of_json_that_does_not_read_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let (unread, full_soon) = small_pipe();
    let mut child = start_run(folder.path(), &["--json"], full_soon.into());
    let began = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if began.elapsed() > LONG {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(code, Some(OUTPUT), "{stderr}");
    let expected = "eyelet: cannot write to standard output: nobody has read it for 2 s: \
                    make its reader keep up, or write to a file\n";
    assert!(stderr.ends_with(expected), "{stderr}");
    drop(unread);
}

#[test]
fn log_lines_that_nobody_reads_are_dropped_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (out, full_soon) = small_pipe();
    let mut child = start_run(folder.path(), &[], full_soon.into());
    let waiting = || {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the call writes one number, the bytes that wait in the pipe.
        let result = unsafe { libc::ioctl(out.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
        assert_eq!(result, 0);
        bytes
    };
    // Full when nothing more comes in for longer than a line waits; how fast it fills depends on the machine.
    let began = Instant::now();
    let (mut last, mut since) = (0, Instant::now());
    while last < 4096 || since.elapsed() < QUIET {
        assert!(began.elapsed() < LONG, "the pipe fills");
        std::thread::sleep(Duration::from_millis(20));
        let now = waiting();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    let (told, tells) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut log = String::new();
        for line in BufReader::new(out).lines() {
            let line = line?;
            if let Some(count) = line.strip_suffix(" lines were dropped here: nobody read them") {
                let _ = told.send(count.parse::<u64>());
            }
            log.push_str(&line);
            log.push('\n');
        }
        Ok::<_, std::io::Error>(log)
    });
    let count = tells.recv_timeout(LONG);
    send_signal(&child, libc::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let log = reader.join().unwrap().unwrap();
    let count = count.unwrap_or_else(|_| panic!("{}", &log[log.len().saturating_sub(2000)..]));
    assert!(count.unwrap() > 0);
    // The frames went on.
    assert!(log.contains(" frames, "), "the counters at the end");
}

/// A terminal that is stopped holds up neither the frames nor the end.
#[test]
fn a_stopped_terminal_does_not_end_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let (mut master, mut slave) = (0, 0);
    let none = std::ptr::null_mut();
    // SAFETY: two valid places for descriptors; name, settings and size may be null.
    let opened = unsafe { libc::openpty(&mut master, &mut slave, none, none.cast(), none.cast()) };
    assert_eq!(opened, 0);
    // SAFETY: the descriptors were just opened, and each is owned once.
    let (master, slave) = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    let writes = slave.try_clone().unwrap();
    let mut child = start_run(folder.path(), &["--json"], Stdio::from(slave));
    // It fills, one line waits for 2 s, and the next ones are dropped.
    let has_room = || {
        let mut asked = libc::pollfd {
            fd: writes.as_raw_fd(),
            events: libc::POLLOUT,
            revents: 0,
        };
        // SAFETY: the call writes one answer, to a place that is valid.
        assert!(unsafe { libc::poll(&raw mut asked, 1, 0) } >= 0);
        asked.revents & libc::POLLOUT != 0
    };
    let began = Instant::now();
    let mut full_since = Instant::now();
    // Then some frames more.
    while full_since.elapsed() < 2 * QUIET {
        assert!(began.elapsed() < LONG, "the terminal fills");
        std::thread::sleep(Duration::from_millis(20));
        if has_room() {
            full_since = Instant::now();
        }
    }
    drop(writes);
    assert!(child.try_wait().unwrap().is_none(), "it runs");
    let mut reader = BufReader::new(std::fs::File::from(master));
    let mut line = Vec::new();
    let dropped = b" lines were dropped here: nobody read them";
    let began = Instant::now();
    while !line.windows(dropped.len()).any(|words| words == dropped) {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).unwrap_or(0);
        if read == 0 || began.elapsed() > LONG {
            child.kill().unwrap();
            panic!("no line says how many were dropped");
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // Frames went on while nobody read: more lines were dropped than could have waited.
    let text = String::from_utf8_lossy(&line);
    let count: u64 = text.split(' ').next().unwrap().parse().unwrap();
    assert!(count > 5, "{text}");
}

/// Clears a terminal, colours it, ends a line, turns the direction of writing.
const EVIL: &str = "x\u{1b}[2J\u{9b}31m\ny\u{202e}z";
const EVIL_ESCAPED: &str = r"x\u001b[2J\u009b31m\ny\u202ez";

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let photo = photo(folder.path()).display().to_string();
    let model = fixture("opset13.onnx").display().to_string();
    let labels: String = (0..10).map(|n| format!("{n}\u{1b}[31m\u{7f}\n")).collect();
    std::fs::write(at("labels"), labels).unwrap();
    std::fs::write(at(EVIL), "no picture").unwrap();
    std::fs::write(at("board.toml"), "\"a\\u001b[31m\" = 1\n\"\\u202eb\" = 2\n").unwrap();
    let latin = OsString::from_vec(b"--x\xf6\x1b[31m".to_vec());
    let twin = at(&format!("{EVIL}.png")).display().to_string();
    std::fs::copy(&photo, &twin).unwrap();
    let evil_model = at(&format!("{EVIL}.onnx")).display().to_string();
    std::fs::copy(&model, &evil_model).unwrap();
    for (words, code, says) in [
        (words(&["classify", EVIL]), PICTURE, EVIL_ESCAPED),
        (words(&["classify", "--json", EVIL]), PICTURE, ""),
        (
            words(&["classify", &format!("no{EVIL}")]),
            PICTURE,
            EVIL_ESCAPED,
        ),
        (
            words(&["classify", "--model", &format!("./no{EVIL}.onnx"), &photo]),
            MODEL,
            EVIL_ESCAPED,
        ),
        (
            words(&["classify", "--labels", EVIL, "--model", &model, &photo]),
            MODEL,
            "",
        ),
        (words(&["run", "--board", EVIL]), BOARD, EVIL_ESCAPED),
        (
            words(&["run", "--board-file", "board.toml"]),
            BOARD,
            r"a\u001b[31m",
        ),
        (
            words(&["run", "--camera", EVIL, "--model", &model]),
            CAMERA,
            EVIL_ESCAPED,
        ),
        (words(&["run", "--threads", EVIL]), COMMAND_LINE, ""),
        (
            words(&["classify", "--threads", EVIL, &photo]),
            COMMAND_LINE,
            r"y\u202ez' for",
        ),
        (words(&[EVIL]), COMMAND_LINE, r"\u009b31m"),
        (
            vec!["classify".into(), latin],
            COMMAND_LINE,
            "unexpected argument",
        ),
        // Labels have none, or are refused; a name in results, in JSON, on the serial log.
        (
            words(&["classify", "--labels", "labels", "--model", &model, &photo]),
            MODEL,
            "line 1 has a control character",
        ),
        (
            words(&["classify", "--model", &model, &twin]),
            0,
            EVIL_ESCAPED,
        ),
        (
            words(&["classify", "--json", "--model", &model, &twin]),
            0,
            "probability",
        ),
        (
            words(&["classify", "--csv", "--model", &model, &twin]),
            0,
            EVIL_ESCAPED,
        ),
        (
            words(&["classify", "--csv", "--model", &model, EVIL, "."]),
            PICTURE,
            EVIL_ESCAPED,
        ),
        (
            words(&["run", "--camera", &twin, "--model", &evil_model]),
            0,
            EVIL_ESCAPED,
        ),
        (
            words(&["run", "--json", "--camera", &twin, "--model", &evil_model]),
            0,
            "probability",
        ),
    ] {
        let output = run(folder.path(), &words, Stdio::piped(), Stdio::piped());
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{words:?}: {stdout}{stderr}"
        );
        let all = format!("{stdout}{stderr}");
        assert!(all.contains(says), "{words:?}: '{says}' is not in {all}");
        let clean = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}');
        assert!(all.chars().all(clean), "{words:?}: {all:?}");
        if words.contains(&"--json".into()) {
            for line in stdout.lines() {
                serde_json::from_str::<serde_json::Value>(line).unwrap();
            }
        }
    }
}

#[test]
fn a_wrong_command_line_is_reported_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    for (words, says) in [
        (
            words(&["rum"]),
            "eyelet: unrecognized subcommand 'rum'; tip: ",
        ),
        (
            words(&["classify"]),
            "required arguments were not provided: <IMAGE>...; Usage: ",
        ),
        (
            words(&["run", "--fames", "1"]),
            "unexpected argument '--fames' found; tip: ",
        ),
        (
            words(&["run", "--board", "a", "--board-file", "b"]),
            "cannot be used with",
        ),
    ] {
        let output = run(folder.path(), &words, Stdio::piped(), Stdio::piped());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            output.status.code(),
            Some(COMMAND_LINE),
            "{words:?}: {stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(says), "'{says}' is not in {stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_panic_that_is_caught_says_nothing_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut bad = names_in(&fixture(""));
    bad.retain(|name| name.starts_with("bad-") && name.ends_with(".onnx"));
    assert!(bad.len() > 10, "{bad:?}");
    for name in bad {
        let words = words(&["explain", &fixture(&name).display().to_string()]);
        let output = run(folder.path(), &words, Stdio::null(), Stdio::piped());
        let stderr = String::from_utf8(output.stderr).unwrap();
        // Log lines, then the error.
        let mut lines = stderr.lines().filter(|line| !line.starts_with('['));
        assert!(
            lines.next().is_none_or(|line| line.starts_with("eyelet: ")),
            "{name}: {stderr}"
        );
        assert_eq!(lines.next(), None, "{name}: {stderr}");
    }
}

#[test]
fn numbers_out_of_range_are_refused_with_their_range() {
    let folder = tempfile::tempdir().unwrap();
    let (threads, from) = ("--threads", "a whole number from ");
    let wrong = [
        "0",
        "65",
        "1000",
        "20000",
        "-1",
        "1.5",
        "two",
        "99999999999999999999",
    ];
    let mut rows: Vec<(Vec<OsString>, String)> = Vec::new();
    for number in wrong {
        let thread = format!("{threads}={number}");
        for command in [
            &["classify", "a.png"][..],
            &["bench"],
            &["explain"],
            &["model", "verify", "x"],
        ] {
            let line = [command, &[&thread]].concat();
            rows.push((words(&line), format!("{from}1 to 64")));
        }
    }
    for (line, range) in [
        ("bench --iterations=99999999999999999", "1 to 1000000"),
        ("bench --iterations=0", "1 to 1000000"),
        ("classify a.png --top=0", "1 to 100000"),
        ("classify a.png --top=100001", "1 to 100000"),
        ("run --frames=-1", "at least 0"),
        ("run --frames=18446744073709551616", "at least 0"),
        ("run --stats-every=0", "at least 1"),
        ("model verify x --tolerance=NaN", "0 to 1000000"),
        ("model verify x --tolerance=-0.1", "0 to 1000000"),
        ("model verify x --tolerance=inf", "0 to 1000000"),
    ] {
        let line: Vec<&str> = line.split(' ').collect();
        rows.push((words(&line), range.to_owned()));
    }
    for (words, range) in rows {
        let output = run(folder.path(), &words, Stdio::piped(), Stdio::piped());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            output.status.code(),
            Some(COMMAND_LINE),
            "{words:?}: {stderr}"
        );
        assert!(stderr.contains(&range), "{words:?}: {stderr}");
        let given = words
            .last()
            .and_then(|word| word.to_str()?.split('=').nth(1));
        assert!(stderr.contains(given.unwrap()), "{words:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}
