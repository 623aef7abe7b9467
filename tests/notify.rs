//! The program under a service manager: what it tells the manager's socket, and how it waits and ends.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;

use common::{eyelet, fixture, send_signal};
use eyelet::Cause;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const BOARD: &str = r#"
description = "watched"
tier = "hardware"
model = MODEL
threads = 1
pool_mib = 64
[camera.v4l2]
device = "/dev/video-that-is-not-there"
width_px = 64
height_px = 48
[display.none]
"#;

/// A manager's socket in `folder`.
fn manager(folder: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(folder.join("notify")).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    socket
}

fn words(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 512];
    let length = socket
        .recv(&mut buffer)
        .expect("the program says something in time");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

fn start(folder: &Path, arguments: &[&str]) -> Child {
    let mut command: Command = eyelet(folder);
    command
        .args(arguments)
        .env("NOTIFY_SOCKET", folder.join("notify"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn board(folder: &Path, policy: &str) -> String {
    let path = folder.join("watched.toml");
    let model = format!("{:?}", fixture("opset13.onnx"));
    std::fs::write(&path, BOARD.replace("MODEL", &model) + policy).unwrap();
    path.display().to_string()
}

fn terminate(child: &mut Child) -> i32 {
    send_signal(child, libc::SIGTERM);
    child.wait().unwrap().code().unwrap()
}

#[test]
fn only_finished_frames_are_reported_and_nothing_after_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let socket = manager(folder.path());
    let model = fixture("opset13.onnx").display().to_string();
    let arguments = ["run", "--camera", "pattern", "--model", &model];
    let mut child = start(folder.path(), &arguments);
    assert_eq!(words(&socket), "STATUS=starting");
    assert_eq!(words(&socket), "READY=1\nSTATUS=classifying\nWATCHDOG=1");
    let began = Instant::now();
    for _ in 0..12 {
        assert_eq!(words(&socket), "WATCHDOG=1");
    }
    // A quarter of a second each, but some may have waited in the socket for this test.
    assert!(
        began.elapsed() >= Duration::from_millis(2400),
        "not with each frame"
    );
    assert_eq!(terminate(&mut child), 0);
}

#[test]
fn a_hang_is_silence() {
    let folder = tempfile::tempdir().unwrap();
    let socket = manager(folder.path());
    let model = fixture("opset13.onnx").display().to_string();
    let mut command = eyelet(folder.path());
    let mut child = command
        .args(["run", "--camera", "pattern", "--model", &model])
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .env("EYELET_TEST_HANG_AFTER", "10")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while words(&socket) != "READY=1\nSTATUS=classifying\nWATCHDOG=1" {}
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut buffer = [0; 512];
    // The ten frames may give more beats, at most one each, and then none comes.
    let mut beats = 0;
    while socket.recv(&mut buffer).is_ok() {
        beats += 1;
        assert!(beats < 10);
    }
    assert!(
        child.try_wait().unwrap().is_none(),
        "it hangs, it has not ended"
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_camera_that_is_missing_at_start_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let socket = manager(folder.path());
    let board = board(folder.path(), "");
    let mut child = start(folder.path(), &["run", "--board-file", &board]);
    assert_eq!(words(&socket), "STATUS=starting");
    let mut waits = 0;
    while waits < 3 {
        match words(&socket).as_str() {
            "EXTEND_TIMEOUT_USEC=30000000" => waits += 1,
            "STATUS=waiting for the camera" => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!(terminate(&mut child), 0);
}

/// A crash leaves the last class where it was shown.
#[test]
fn an_old_class_is_gone_before_the_model_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let shown = folder.path().join("shown");
    let display = format!("[display.png]\nfolder = {shown:?}\nwidth_px = 320\nheight_px = 240\n");
    let path = folder.path().join("restarted.toml");
    let board = BOARD.replace("MODEL", "\"efficientnet-lite0\"");
    std::fs::write(&path, board.replace("[display.none]\n", &display)).unwrap();
    let arguments = ["run", "--board-file", path.to_str().unwrap()];
    let before = ["--camera", "pattern", "--frames", "20"];
    let run = common::run_eyelet(folder.path(), &[&arguments[..], &before].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!common::names_in(&shown).is_empty());
    let socket = manager(folder.path());
    let mut child = start(folder.path(), &arguments);
    assert_eq!(words(&socket), "STATUS=starting");
    let left = common::names_in(&shown);
    assert_eq!(terminate(&mut child), 0);
    assert_eq!(left, [""; 0]);
}

#[test]
fn a_sender_that_hangs_is_not_waited_for() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let socket = manager(folder.path());
    let path = folder.path().join("piped.toml");
    let model = format!("{:?}", fixture("opset13.onnx"));
    let camera = BOARD.find("[camera.v4l2]").unwrap();
    let board = &BOARD[..camera].replace("MODEL", &model);
    let pipe = "[camera.pipe]\ntimeout_ms = 200\n[display.none]\n";
    std::fs::write(&path, format!("{board}{pipe}")).unwrap();
    let mut child = eyelet(folder.path())
        .args(["run", "--board-file", path.to_str().unwrap()])
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut sender = child.stdin.take().unwrap();
    // A sender that is not there yet is waited for no longer than the service may take to start.
    socket
        .set_read_timeout(Some(Duration::from_millis(1500)))
        .unwrap();
    let mut buffer = [0; 512];
    while let Ok(length) = socket.recv(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..length]);
        assert!(text.starts_with("STATUS="), "{text}");
    }
    let photo = std::fs::read(common::tree_file("boards/photos/cat.jpg")).unwrap();
    sender.write_all(&photo).unwrap();
    sender.flush().unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    while words(&socket) != "READY=1\nSTATUS=classifying\nWATCHDOG=1" {}
    socket
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    while let Ok(length) = socket.recv(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..length]);
        assert!(text.starts_with("STATUS="), "{text}");
    }
    assert!(child.try_wait().unwrap().is_none(), "it waits");
    // Its end is the end.
    drop(sender);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn where_the_policy_says_so_the_wait_ends_with_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let socket = manager(folder.path());
    let policy = "[policy.camera_lost]\ndo = \"reboot\"\nafter_s = 1\n";
    let board = board(folder.path(), policy);
    let child = start(folder.path(), &["run", "--board-file", &board]);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(14));
    let complaint = String::from_utf8_lossy(&output.stderr);
    let lost = complaint.split("eyelet: policy: camera lost for ").nth(1);
    let lost_s = lost.and_then(|rest| rest.split(" s").next()?.parse::<u64>().ok());
    assert!(lost_s.is_some_and(|seconds| seconds >= 1), "{complaint}");
    drop(socket);
}

#[test]
fn without_supervision_a_missing_camera_is_an_error_and_so_is_a_manager() {
    let folder = tempfile::tempdir().unwrap();
    let board = board(folder.path(), "");
    let run = common::run_eyelet(folder.path(), &["run", "--board-file", &board]);
    assert_eq!(run.code, 5, "{}", run.stderr);
    let child = start(folder.path(), &["run", "--board-file", &board]);
    let output = child.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    // Not 14: the unit and the first program would reboot, again and again.
    assert_eq!(
        output.status.code(),
        Some(11),
        "nobody listens: {complaint}"
    );
    assert!(complaint.contains("unset NOTIFY_SOCKET"), "{complaint}");
}

#[test]
fn the_unit_has_the_default_policys_times_and_starts_what_there_is() {
    let unit = include_str!("../boards/eyelet.service");
    let value = |key: &str| {
        let lines = unit.lines().filter_map(|line| line.split_once('='));
        let values: Vec<&str> = lines
            .filter(|line| line.0 == key)
            .map(|line| line.1)
            .collect();
        assert_eq!(values.len(), 1, "{key}");
        values[0].to_owned()
    };
    let policy = eyelet::board::policy::Policy::default();
    assert_eq!(value("WatchdogSec"), policy.watchdog.as_secs().to_string());
    assert_eq!(value("TimeoutStartSec"), policy.start.as_secs().to_string());
    assert_eq!(
        (value("Type"), value("NotifyAccess")),
        ("notify".into(), "main".into())
    );
    let manifest = include_str!("../Cargo.toml");
    assert!(manifest.contains(r#"["target/release/eyelet", "usr/bin/", "755"]"#));
    assert_eq!(value("ExecStart"), "/usr/bin/eyelet run");
    let mailbox = format!("DeviceAllow={} r", eyelet::care::health::MAILBOX);
    assert!(unit.lines().any(|line| line == mailbox), "{mailbox}");
    let [policy, board, model] =
        [Cause::Policy, Cause::Board, Cause::Model].map(|cause| cause as u8);
    assert_eq!(
        value("RestartPreventExitStatus"),
        format!("2 {board} {model}")
    );
    for case in [
        format!("in {policy}) systemctl reboot;;"),
        format!(" 2|{board}|{model}) echo \"held"),
    ] {
        assert!(value("ExecStopPost").contains(&case), "{case}");
    }
}
