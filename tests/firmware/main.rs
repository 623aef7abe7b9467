//! A board whose first program is Eyelet: what happens when the loop hangs, the camera or the display goes, the model or the
//! data partition is damaged; and that nothing is written to the card otherwise. QEMU's `virt` machine with Debian's arm64
//! kernel, its hardware watchdog, display, cameras and disk.
//!
//! `cargo test --test firmware -- --ignored`
//!
//! Needs what `tests/board` needs, without the files of `../shared`.

#![allow(clippy::unwrap_used)]
#[path = "../emulator/mod.rs"]
mod emulator;
mod machine;

use emulator::qemu::DISPLAY_SOCKETS;
use emulator::{or_skip, pictures, screen};
use machine::{Parts, Running, Setup, VIVID};
use std::time::Duration;

/// A small network, so that emulation is as fast as the camera.
const MODEL: &[u8] = include_bytes!("../fixtures/qdq-whole.onnx");

const BOARD: &str = r#"
description = "the first program's tests"
tier = "emulation"
model = "/model/net.onnx"
threads = 1
pool_mib = 64
[camera.v4l2]
width_px = 320
height_px = 180
rate_fps = 60
timeout_ms = 2000
[decide]
enter = 0.0
[display.framebuffer]
driver = "virtio_gpu"
[policy]
watchdog_s = 12
"#;

fn setup(board: &str) -> Setup<'_> {
    Setup {
        modules: &[VIVID],
        board,
        model: MODEL,
        devices: &[],
        kernel_words: "",
        damage: |_| {},
    }
}

/// The loop hangs: the hardware resets the board, and the next start says why.
#[test]
#[ignore = "boots an emulated board: `cargo test --test firmware -- --ignored`"]
fn a_hang_is_ended_by_the_watchdog_and_reported_at_the_next_start() {
    let Some(parts) = or_skip(Parts::get()) else {
        return;
    };
    let mut running = Running::boot(
        &parts,
        &Setup {
            kernel_words: "eyelet.slot=a eyelet.test_hang=after:50",
            ..setup(BOARD)
        },
    );
    running.line("last reboot: power");
    running.line("watchdog armed: 12 s");
    running.line("first class after ");
    running.line("hanging on purpose");
    running.line("watchdog: no finished frame for 12 s; the watchdog will reset the board");
    // No software reboot: it is the hardware that resets.
    running.next_boot(&["rebooting"]);
    running.line("last reboot: watchdog: no finished frame for 12 s");
    running.line("first class after ");
}

/// Nothing is written to the card while frames come, however many.
#[test]
#[ignore = "boots an emulated board: `cargo test --test firmware -- --ignored`"]
fn ten_thousand_frames_write_nothing_to_the_card() {
    const FRAMES: u64 = 10_000;
    let Some(parts) = or_skip(Parts::get()) else {
        return;
    };
    let mut running = Running::boot(&parts, &setup(BOARD));
    running.line("last reboot: power");
    running.line("watchdog armed");
    loop {
        let line = running.next_line_but(" frames, ", &["init: "]);
        if counts(&line).frames >= FRAMES {
            break;
        }
    }
    assert_eq!(running.written(), (0, 0), "bytes and operations");
}

/// A data partition that cannot be used is formatted, and the job does not wait for it.
#[test]
#[ignore = "boots an emulated board: `cargo test --test firmware -- --ignored`"]
fn a_corrupt_data_partition_is_formatted_again() {
    let Some(parts) = or_skip(Parts::get()) else {
        return;
    };
    let damages: [fn(&mut [u8]); 3] = [
        |volume| volume.fill(0),
        |volume| {
            let mut random = fastrand::Rng::with_seed(4);
            volume.fill_with(|| random.u8(..));
        },
        // The boot sector is sound, and the tables and the root folder behind it are not.
        |volume| {
            let mut random = fastrand::Rng::with_seed(5);
            volume[512..].fill_with(|| random.u8(..));
        },
    ];
    for damage in damages {
        let kernel_words = "eyelet.test_hang=after:50";
        let mut running = Running::boot(
            &parts,
            &Setup {
                kernel_words,
                damage,
                ..setup(BOARD)
            },
        );
        running.line("first class after ");
        running.line("the watchdog will reset the board");
        running.next_boot(&[]);
        running.line("last reboot: watchdog: no finished frame for 12 s");
        let is_formatted = running
            .board
            .log
            .iter()
            .any(|line| line.contains("formatting the data partition"));
        assert!(is_formatted, "{}", running.board.last_lines());
        running.line("hanging on purpose");
        assert_eq!(
            running.data().reason().unwrap(),
            None,
            "logged, so forgotten"
        );
    }
}

/// A model that does not load: said on the log, tried again, and rebooted for as the policy says.
#[test]
#[ignore = "boots an emulated board: `cargo test --test firmware -- --ignored`"]
fn a_corrupt_model_is_reported_and_the_policy_decides() {
    let Some(parts) = or_skip(Parts::get()) else {
        return;
    };
    let board = format!("{BOARD}[policy.program_fails]\ncount = 3\nwithin_s = 60\n");
    let mut running = Running::boot(
        &parts,
        &Setup {
            model: &MODEL[..MODEL.len() / 2],
            ..setup(&board)
        },
    );
    const WHY: &str = "the program ended 3 times within 60 s, last time: the model /model/net.onnx is not an ONNX file";
    running.line("eyelet: the model /model/net.onnx is not an ONNX file");
    running.line("restarting it in 1 s");
    running.line("restarting it in 2 s");
    running.line(&format!("rebooting: {WHY}"));
    running.next_boot(&[]);
    running.line(&format!("last reboot: {WHY}"));
    // A reboot that did not help is not tried again.
    running.line_but("restarting it in 8 s", &["rebooting"]);
}

/// A USB camera that is not there at start, is pulled out for a minute, and sends garbage for more than a thousand frames.
#[test]
#[ignore = "boots an emulated board: `cargo test --test firmware -- --ignored`"]
fn a_late_missing_or_misbehaving_camera_is_waited_for() {
    const NEVER: [&str; 2] = ["init: watchdog:", "init: eyelet "];
    let Some(parts) = or_skip(Parts::get()) else {
        return;
    };
    let board = BOARD
        .replace(
            "width_px = 320\nheight_px = 180",
            "width_px = 640\nheight_px = 480",
        )
        .replace("rate_fps = 60\n", "rate_fps = 30\nformats = [\"mjpeg\"]\n");
    let mut running = Running::boot(
        &parts,
        &Setup {
            modules: &["xhci_pci", "uvcvideo"],
            ..setup(&board)
        },
    );
    running.line("no camera yet");
    std::thread::sleep(Duration::from_secs(20));
    let picture = image::RgbImage::from_fn(640, 480, |x, y| image::Rgb([x as u8, y as u8, 90]));
    let sound = pictures::seen(&picture);
    let camera = running.board.plug_camera(sound.clone());
    running.next_line_but("first class after ", &NEVER);

    running.board.unplug_camera(camera);
    running.next_line_but("camera lost", &NEVER);
    std::thread::sleep(Duration::from_secs(60));
    let camera = running.board.plug_camera(sound.clone());
    running.next_line_but("camera back after 6", &NEVER);

    let mut garbage = sound.clone();
    let mut random = fastrand::Rng::with_seed(6);
    garbage.mjpeg.fill_with(|| random.u8(..));
    camera.show(garbage);
    std::thread::sleep(Duration::from_secs(40));
    camera.show(sound);
    // Counts are logged once a minute: the first may cover only the time of the garbage.
    let first = counts(&running.next_line_but(" frames, ", &NEVER));
    let second = counts(&running.next_line_but(" frames, ", &NEVER));
    // At a pace that emulation keeps when it is busy.
    assert!(second.damaged > 100, "{second:?}");
    assert!(second.frames > first.frames, "{first:?} {second:?}");
}

/// What a line of counts says.
#[derive(Debug)]
struct Counts {
    frames: u64,
    damaged: u64,
}

/// Reads `[   61.234] 600 frames, 9.9 a second; 12 stale, 0 damaged; ...`.
fn counts(line: &str) -> Counts {
    let number = |before: &str, after: &str| {
        let (_, rest) = line.split_once(before).unwrap_or_else(|| panic!("{line}"));
        let number = rest.split(after).next().and_then(|n| n.parse().ok());
        number.unwrap_or_else(|| panic!("{line}"))
    };
    Counts {
        frames: number("] ", " frames, "),
        damaged: number(" stale, ", " damaged"),
    }
}

/// The board's policy may want a reboot for a lost camera.
#[test]
#[ignore = "boots an emulated board: `cargo test --test firmware -- --ignored`"]
fn a_camera_that_is_lost_too_long_reboots_where_the_policy_says_so() {
    let Some(parts) = or_skip(Parts::get()) else {
        return;
    };
    let board = format!("{BOARD}[policy.camera_lost]\ndo = \"reboot\"\nafter_s = 20\n");
    let mut running = Running::boot(
        &parts,
        &Setup {
            modules: &[],
            ..setup(&board)
        },
    );
    running.line("no camera yet");
    running.line_but("rebooting: policy: camera lost for 2", &["init: watchdog:"]);
    running.next_boot(&[]);
    running.line("last reboot: policy: camera lost for 2");
}

/// The board with a display that can be pulled out.
fn with_display_in_socket<'a>(board: &'a str) -> Setup<'a> {
    Setup {
        modules: &[VIVID, "bochs"],
        devices: &DISPLAY_SOCKETS,
        ..setup(board)
    }
}

/// The display goes with its driver, and another one comes: each is logged once, and the job goes on meanwhile.
#[test]
#[ignore = "boots an emulated board: `cargo test --test firmware -- --ignored`"]
fn a_display_that_disappears_is_survived_and_found_again() {
    const NEVER: [&str; 2] = ["init: watchdog:", "init: eyelet "];
    let Some(parts) = or_skip(Parts::get()) else {
        return;
    };
    let board = BOARD.replace("virtio_gpu", "bochs");
    let mut running = Running::boot(&parts, &with_display_in_socket(&board));
    running.board.display = Some("display1");
    running.line("watchdog armed");
    running.line("first class after ");
    running.board.screen(screen::shows_something);

    let from = running.board.log.len();
    running.board.unplug_display();
    const LOST: &str = "display: failed; the serial log continues: ";
    let line = running.next_line_but(LOST, &NEVER);
    assert!(line.contains("cannot write to the display bochs"), "{line}");
    let first = counts(&running.next_line_but(" frames, ", &NEVER)).frames;
    let second = counts(&running.next_line_but(" frames, ", &NEVER)).frames;
    // A minute, at a pace that emulation keeps when it is busy.
    assert!(second > first + 60, "{first} {second}");

    running.board.plug_display();
    running.next_line_but("display: back to normal", &NEVER);
    running.board.screen(screen::shows_something);
    let log = &running.board.log[from..];
    let times = log.iter().filter(|line| line.contains(LOST)).count();
    assert_eq!(times, 1, "tried every 10 s, logged once");
}

/// The board's policy may want a reboot for a lost display.
#[test]
#[ignore = "boots an emulated board: `cargo test --test firmware -- --ignored`"]
fn a_display_that_is_lost_too_long_reboots_where_the_policy_says_so() {
    let Some(parts) = or_skip(Parts::get()) else {
        return;
    };
    let board = format!(
        "{}[policy.display_lost]\ndo = \"reboot\"\nafter_s = 20\n",
        BOARD.replace("virtio_gpu", "bochs")
    );
    let mut running = Running::boot(&parts, &with_display_in_socket(&board));
    running.line("first class after ");
    running.board.unplug_display();
    running.line_but(
        "rebooting: policy: display lost for 2",
        &["init: watchdog:"],
    );
    running.next_boot(&[]);
    running.line("last reboot: policy: display lost for 2");
}
