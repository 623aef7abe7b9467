//! Standard input as a camera: what is not a stream of pictures is refused in one line within five seconds, with what it seems to
//! be and what to do; what is one runs to its end.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

#[path = "../common/mod.rs"]
mod common;
mod pictures;
mod refused;
mod standard_input;

use common::{Run, eyelet, fixture};
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const DONE: i32 = 0;
const CAMERA: i32 = 5;
const MEMORY: i32 = 7;

/// Longer than this nothing takes.
const BOUND: Duration = Duration::from_secs(if cfg!(target_arch = "x86_64") {
    20
} else {
    120
});

/// What the sender does after its bytes.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Ends,
    /// Lives on and sends nothing.
    Waits,
    /// Sends the same again, for ever.
    Repeats,
}
use Then::{Repeats, Waits};

struct Row {
    name: &'static str,
    bytes: Vec<u8>,
    then: Then,
    code: i32,
    says: &'static str,
}

fn row(
    name: &'static str,
    bytes: impl Into<Vec<u8>>,
    then: Then,
    code: i32,
    says: &'static str,
) -> Row {
    let bytes = bytes.into();
    Row {
        name,
        bytes,
        then,
        code,
        says,
    }
}

/// A small network, a pipe that is waited for for a second, no display.
fn run_from(folder: &Path, input: Stdio) -> (std::process::Child, Instant) {
    let board = folder.join("board.toml");
    let model = fixture("opset13.onnx").display().to_string();
    std::fs::write(
        &board,
        format!(
            "description = \"test\"\ntier = \"untested\"\nmodel = {model:?}\nthreads = 1\npool_mib = 48\n\
             [camera.pipe]\ntimeout_ms = 1000\nmax_width_px = 640\nmax_height_px = 480\n[display.none]\n"
        ),
    )
    .unwrap();
    let began = Instant::now();
    let child = eyelet(folder)
        .args(["run", "--json", "--board-file"])
        .arg(board)
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    (child, began)
}

/// Waits for the program, at most [`BOUND`].
fn end_of(mut child: std::process::Child, began: Instant, name: &str) -> Run {
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let stdout = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text)
    });
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > BOUND {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{name}: still running after {BOUND:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut stderr = String::new();
    err.read_to_string(&mut stderr).unwrap();
    Run {
        code: status.code().unwrap_or(-1),
        stdout: stdout.join().unwrap().unwrap(),
        stderr,
    }
}

fn send(row: &Row) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, began) = run_from(folder.path(), Stdio::piped());
    let mut pipe = child.stdin.take().unwrap();
    let (bytes, then) = (row.bytes.clone(), row.then);
    // Ends with the program: its writes fail then.
    let sender = std::thread::spawn(move || {
        while pipe.write_all(&bytes).is_ok() && then == Repeats {}
        (then == Waits).then_some(pipe)
    });
    let run = end_of(child, began, row.name);
    drop(sender.join().unwrap());
    run
}

fn check(row: &Row, run: &Run) {
    let name = row.name;
    let (stdout, stderr) = (&run.stdout, &run.stderr);
    assert_eq!(run.code, row.code, "{name}: {stdout}{stderr}");
    assert!(!stderr.contains("panic"), "{name}: {stderr}");
    if row.code == DONE {
        assert!(
            stdout.contains(row.says),
            "{name}: '{}' is not in {stdout}",
            row.says
        );
        assert!(stdout.contains("\"event\":\"end\""), "{name}: {stdout}");
    } else {
        let last = stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("eyelet: "), "{name}: {stderr}");
        assert!(
            last.contains(row.says),
            "{name}: '{}' is not in {last}",
            row.says
        );
    }
}

fn encoded(format: image::ImageFormat, width: u32, height: u32) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    let picture = image::RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(x % 256) as u8, (y % 256) as u8, random.u8(..)])
    });
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    encoded(image::ImageFormat::Jpeg, width, height)
}

/// This much of a JPEG, and what stands behind it.
fn cut(jpeg: &[u8], percent: usize, behind: &[u8]) -> Vec<u8> {
    [&jpeg[..jpeg.len() * percent / 100], behind].concat()
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(5);
    (0..bytes).map(|_| random.u8(..)).collect()
}

fn y4m(header: &str, frame_line: &[u8]) -> Vec<u8> {
    [
        format!("YUV4MPEG2 {header}\n").as_bytes(),
        frame_line,
        &[90; 64 * 48 * 3 / 2],
    ]
    .concat()
}
