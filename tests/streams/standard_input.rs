//! What standard input itself is: no pipe but a file, a device, a socket; and a pipe whose pictures may be larger than the pool.

use crate::Then::Ends;
use crate::common::{eyelet, fixture, run_eyelet_with_input, send_signal};
use crate::{BOUND, CAMERA, DONE, MEMORY, check, end_of, jpeg, row, run_from};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

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
    let run = run_eyelet_with_input(folder.path(), &words, Some(input));
    assert_eq!(run.code, MEMORY, "{}", run.stderr);
    assert!(run.stderr.contains("set pool_mib = "), "{}", run.stderr);
    assert!(!run.stderr.contains("[memory]"), "{}", run.stderr);
}

/// The sender may be one that never starts.
#[test]
fn a_signal_ends_the_wait_for_the_first_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let board = folder.path().join("board.toml");
    let model = fixture("opset13.onnx").display().to_string();
    let text = format!(
        "description = \"test\"\ntier = \"untested\"\nmodel = {model:?}\nthreads = 1\npool_mib = 48\n\
         [camera.pipe]\ntimeout_ms = 600000\n[display.none]\n[policy]\nwatchdog_s = 0\n"
    );
    std::fs::write(&board, text).unwrap();
    let mut child = eyelet(folder.path())
        .args(["run", "--json", "--board-file"])
        .arg(board)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let told = lines.find(|line| {
        let line = line.as_ref().unwrap();
        line.contains("waiting for pictures on standard input")
    });
    assert!(told.is_some());
    let signalled = std::time::Instant::now();
    send_signal(&child, libc::SIGTERM);
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(DONE));
    assert!(signalled.elapsed() < BOUND, "{:?}", signalled.elapsed());
    assert_eq!(lines.count(), 0, "told once");
}
