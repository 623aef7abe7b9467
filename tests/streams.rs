//! Standard input as a camera: what is no stream of pictures is refused in one line within five seconds, with what it seems to
//! be and what to do; what is one runs to its end.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;

use common::{Run, eyelet, fixture};
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const DONE: i32 = 0;
const CAMERA: i32 = 5;
const MEMORY: i32 = 7;

/// Longer than this nothing takes.
const BOUND: Duration = Duration::from_secs(5);

/// What the sender does after its bytes.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Ends,
    /// Lives on and sends nothing.
    Waits,
    /// Sends the same again, for ever.
    Repeats,
}
use Then::{Ends, Repeats, Waits};

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

/// Waits for the program, at most [`BOUND`]; other processors may be emulated, which takes ten times as long.
fn end_of(mut child: std::process::Child, began: Instant, name: &str) -> Run {
    let bound = if cfg!(target_arch = "x86_64") {
        BOUND
    } else {
        10 * BOUND
    };
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let stdout = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text)
    });
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > bound {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{name}: still running after {bound:?}");
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

fn encoded(format: image::ImageFormat, width: u32, height: u32, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let picture = image::RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(x % 256) as u8, (y % 256) as u8, random.u8(..)])
    });
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    encoded(image::ImageFormat::Jpeg, width, height, 1)
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

const END: &[u8] = &[0xff, 0xd9];

#[test]
fn what_is_no_stream_of_pictures() {
    let png = encoded(image::ImageFormat::Png, 64, 48, 1);
    let photo = jpeg(64, 48);
    let no_size = {
        let mut photo = photo.clone();
        let at = photo.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
        photo[at + 5..at + 9].fill(0);
        photo
    };
    let rows = [
        row("nothing", "", Ends, CAMERA, "ended before a whole picture"),
        row(
            "one byte",
            "x",
            Ends,
            CAMERA,
            "ended before a whole picture",
        ),
        row("a PNG", png.clone(), Ends, CAMERA, "a PNG picture"),
        row(
            "a PNG, sender lives",
            png.clone(),
            Waits,
            CAMERA,
            "a PNG picture",
        ),
        row(
            "PNGs for ever",
            png,
            Repeats,
            CAMERA,
            "rpicam-vid -t 0 --codec mjpeg",
        ),
        row(
            "a GIF",
            encoded(image::ImageFormat::Gif, 20, 20, 1),
            Ends,
            CAMERA,
            "a GIF picture",
        ),
        row(
            "text",
            "hello, this is text\n",
            Ends,
            CAMERA,
            "to bring text",
        ),
        row(
            "text, sender lives",
            "hello, this is text\n",
            Waits,
            CAMERA,
            "to bring text",
        ),
        row(
            "text for ever",
            "yes\n".repeat(1000),
            Repeats,
            CAMERA,
            "to bring text",
        ),
        row("zeros", vec![0; 2 << 20], Ends, CAMERA, "nothing but zeros"),
        row(
            "zeros for ever",
            [0; 4096],
            Repeats,
            CAMERA,
            "nothing but zeros",
        ),
        row("noise", noise(2 << 20), Ends, CAMERA, "noise"),
        row(
            "a little noise, sender lives",
            noise(5000),
            Waits,
            CAMERA,
            "noise",
        ),
        row(
            "raw video",
            vec![0x80; 640 * 480 * 2 * 3],
            Ends,
            CAMERA,
            "raw video",
        ),
        row(
            "raw video, white",
            vec![0xff; 640 * 480 * 2 * 3],
            Ends,
            CAMERA,
            "raw video",
        ),
        row(
            "H.264",
            [0, 0, 0, 1, 0x67, 0x42, 0, 0x1f],
            Repeats,
            CAMERA,
            "H.264",
        ),
        row(
            "an MP4",
            b"\0\0\0\x18ftypmp42\0\0\0\0".as_slice(),
            Ends,
            CAMERA,
            "MP4",
        ),
        row(
            "an AVI",
            b"RIFF\0\0\0\0AVI LIST".as_slice(),
            Ends,
            CAMERA,
            "AVI",
        ),
        row(
            "starts of JPEGs",
            [0xff, 0xd8].repeat(1 << 20),
            Ends,
            CAMERA,
            "damaged or incomplete JPEGs",
        ),
        row(
            "starts of markers",
            [0xff, 0xd8, 0xff].repeat(1 << 20),
            Ends,
            CAMERA,
            "damaged or incomplete JPEGs",
        ),
        row(
            "a JPEG without end",
            [&photo[..photo.len() - 2], &vec![0x11; 2 << 20]].concat(),
            Ends,
            CAMERA,
            "incomplete JPEGs",
        ),
        row(
            "half a JPEG, sender lives",
            cut(&photo, 50, &[]),
            Waits,
            CAMERA,
            "incomplete JPEGs",
        ),
        row(
            "half JPEGs",
            cut(&photo, 50, &[]),
            Repeats,
            CAMERA,
            "incomplete JPEGs",
        ),
        row(
            "MJPEG of no size",
            no_size,
            Repeats,
            CAMERA,
            "incomplete JPEGs",
        ),
        row(
            "MJPEG of 2560x1440",
            jpeg(2560, 1440),
            Ends,
            CAMERA,
            "2560x1440 pictures, [camera.pipe] takes 640x480: raise max_width_px",
        ),
        row(
            "MJPEG that is one too wide",
            jpeg(641, 16),
            Repeats,
            CAMERA,
            "641x16",
        ),
        row(
            "Y4M of 2560x1440",
            y4m("W2560 H1440", b"FRAME\n"),
            Ends,
            CAMERA,
            "raise max_width_px",
        ),
        row(
            "Y4M of 65535x65535",
            y4m("W65535 H65535", b"FRAME\n"),
            Ends,
            CAMERA,
            "raise max_width_px",
        ),
        row(
            "Y4M of 99999999999",
            y4m("W99999999999 H3", b"FRAME\n"),
            Ends,
            CAMERA,
            "1 to 65535",
        ),
        row(
            "Y4M, FRAME line of 1 MB",
            y4m(
                "W64 H48",
                &[b"FRAME".as_slice(), &vec![b' '; 1 << 20]].concat(),
            ),
            Ends,
            CAMERA,
            "line FRAME of 256 bytes",
        ),
        row(
            "Y4M, FRAME lines of 1 MB",
            y4m(
                "W64 H48",
                &[b"FRAME".as_slice(), &vec![b'x'; 1 << 20], b"\n"].concat(),
            ),
            Repeats,
            CAMERA,
            "line FRAME of 256 bytes",
        ),
        row(
            "Y4M, header of 1 MB",
            y4m(&" ".repeat(1 << 20), b"FRAME\n"),
            Ends,
            CAMERA,
            "no end",
        ),
        row(
            "Y4M, 10 bits",
            y4m("W64 H48 C420p10", b"FRAME\n"),
            Ends,
            CAMERA,
            "C420p10",
        ),
        row(
            "Y4M, header alone, sender lives",
            "YUV4MPEG2 W64 H48 ",
            Waits,
            CAMERA,
            "no whole picture in 1s",
        ),
        row(
            "Y4M, half a frame",
            &y4m("W64 H48", b"FRAME\n")[..3000],
            Ends,
            CAMERA,
            "ended before a whole picture",
        ),
    ];
    for row in &rows {
        check(row, &send(row));
    }
}

#[test]
fn pictures_that_are_all_damaged() {
    let photo = jpeg(640, 480);
    let progressive = std::fs::read(fixture("progressive.jpg")).unwrap();
    for row in [
        row(
            "MJPEG cut to 30 %",
            cut(&photo, 30, END).repeat(50),
            Ends,
            CAMERA,
            "no frame could be used; the last one: the JPEG is cut short",
        ),
        row(
            "MJPEG cut to 99 %",
            cut(&photo, 99, END).repeat(50),
            Ends,
            CAMERA,
            "cut short",
        ),
        row(
            "MJPEG cut to 30 % for ever",
            cut(&photo, 30, END),
            Repeats,
            CAMERA,
            "cut short",
        ),
        row(
            "progressive JPEGs",
            progressive,
            Repeats,
            CAMERA,
            "progressive",
        ),
    ] {
        check(&row, &send(&row));
    }
}

#[test]
fn streams_of_pictures_run_to_their_end() {
    let photo = jpeg(64, 48);
    let part = |jpeg: &[u8]| {
        let head = format!(
            "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
            jpeg.len()
        );
        [head.as_bytes(), jpeg, b"\r\n"].concat()
    };
    let frames = |n: usize| {
        [b"FRAME\n".as_slice(), &[90; 64 * 48 * 3 / 2]]
            .concat()
            .repeat(n)
    };
    for row in [
        row(
            "one picture",
            photo.clone(),
            Ends,
            DONE,
            "\"event\":\"verdict\"",
        ),
        row("pictures", photo.repeat(20), Ends, DONE, "\"damaged\":0"),
        row(
            "joined in the middle",
            [&photo[300..], &photo].concat(),
            Ends,
            DONE,
            "\"damaged\":1",
        ),
        row(
            "the last one is cut",
            [&photo[..], &photo[..500]].concat(),
            Ends,
            DONE,
            "\"damaged\":1",
        ),
        row(
            "zeros behind it",
            [&photo[..], &vec![0; 2 << 20]].concat(),
            Ends,
            DONE,
            "\"damaged\":1",
        ),
        row(
            "parts, as from a web camera",
            part(&photo).repeat(5),
            Ends,
            DONE,
            "\"event\":\"verdict\"",
        ),
        row(
            "the largest",
            jpeg(640, 480),
            Ends,
            DONE,
            "\"event\":\"verdict\"",
        ),
        row(
            "Y4M",
            [y4m("W64 H48", b"FRAME\n"), frames(5)].concat(),
            Ends,
            DONE,
            "\"damaged\":0",
        ),
    ] {
        check(&row, &send(&row));
    }
}

#[test]
fn standard_input_that_is_no_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let sparse = folder.path().join("sparse");
    std::fs::File::create(&sparse)
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let film = folder.path().join("film.mjpeg");
    std::fs::write(&film, jpeg(64, 48).repeat(7)).unwrap();
    let open = |path: &Path| Stdio::from(std::fs::File::open(path).unwrap());
    let write_only = std::fs::File::create(folder.path().join("out")).unwrap();
    let (socket, _far) = std::os::unix::net::UnixStream::pair().unwrap();
    for (name, input, code, says) in [
        ("a folder", open(folder.path()), CAMERA, "cannot be read"),
        (
            "/dev/null",
            open(Path::new("/dev/null")),
            CAMERA,
            "ended before",
        ),
        (
            "/dev/zero",
            open(Path::new("/dev/zero")),
            CAMERA,
            "nothing but zeros",
        ),
        (
            "/dev/urandom",
            open(Path::new("/dev/urandom")),
            CAMERA,
            "noise",
        ),
        ("a sparse file", open(&sparse), CAMERA, "nothing but zeros"),
        ("an output", write_only.into(), CAMERA, "cannot be read"),
        (
            "a silent socket",
            Stdio::from(std::os::fd::OwnedFd::from(socket)),
            CAMERA,
            "no frame from the pipe",
        ),
        ("a film", open(&film), DONE, "\"frame\":7"),
    ] {
        let (child, began) = run_from(folder.path(), input);
        let run = end_of(child, began, name);
        check(&row(name, "", Ends, code, says), &run);
    }
}

#[test]
fn a_pipe_that_needs_more_than_the_pool_says_how_much() {
    let folder = tempfile::tempdir().unwrap();
    let board = folder.path().join("board.toml");
    let model = fixture("opset13.onnx").display().to_string();
    std::fs::write(
        &board,
        format!(
            "description = \"test\"\ntier = \"untested\"\nmodel = {model:?}\nthreads = 1\npool_mib = 48\n\
             [camera.pipe]\nmax_width_px = 8192\nmax_height_px = 8192\n[display.none]\n"
        ),
    )
    .unwrap();
    let picture = folder.path().join("picture");
    std::fs::write(&picture, jpeg(64, 48)).unwrap();
    let input = std::fs::File::open(&picture).unwrap();
    let words = ["run".as_ref(), "--board-file".as_ref(), board.as_os_str()];
    let run = common::run_eyelet_with_input(folder.path(), &words, Some(input));
    assert_eq!(run.code, MEMORY, "{}", run.stderr);
    assert!(run.stderr.contains("set pool_mib = "), "{}", run.stderr);
    assert!(!run.stderr.contains("[memory]"), "{}", run.stderr);
}
