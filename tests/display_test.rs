//! `eyelet display-test` as somebody runs it who sets up a panel.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;

use common::{eyelet, run_eyelet, send_signal};
use eyelet::show::Depth;
use eyelet::show::draw::Painter;
use eyelet::show::{Scene, State, TestPicture};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const BOARD: &str = "description = \"t\"\ntier = \"untested\"\nmodel = \"m\"\nthreads = 1\n[camera.pattern]\nwidth_px = 64\nheight_px = 48\n";

fn png(folder: &str, width_px: u32, height_px: u32, depth: &str) -> String {
    format!(
        "[[display.png]]\nfolder = \"{folder}\"\nwidth_px = {width_px}\nheight_px = {height_px}\ndepth = \"{depth}\"\n"
    )
}

fn write_board(folder: &Path, displays: &str) {
    std::fs::write(folder.join("b.toml"), format!("{BOARD}{displays}")).unwrap();
}

const TEST: [&str; 5] = ["display-test", "--board-file", "b.toml", "--seconds", "0"];

#[test]
fn each_display_shows_its_picture_and_says_what_to_look_for() {
    let folder = tempfile::tempdir().unwrap();
    let displays = png("small", 128, 64, "mono") + &png("large", 480, 320, "rgb888");
    write_board(folder.path(), &displays);
    let run = run_eyelet(folder.path(), &TEST);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{}", run.stdout);
    for words in [
        "display png 1: PNG files in small, 128 x 64 pixels, mono",
        "display png 2: PNG files in large, 480 x 320 pixels, rgb888",
        "the arrow points up",
        "; else width_px, height_px\n",
        "R is red and B is blue (C cyan, Y yellow)\n",
        "these keys of [display.png] in the board file fix it",
    ] {
        assert!(
            run.stdout.contains(words),
            "{words} is not in {}",
            run.stdout
        );
    }
    let drawn = image::open(folder.path().join("large/001.png")).unwrap();
    let kind = "png";
    let mut painter = Painter::new(480, 320, Depth::Rgb888).unwrap();
    let orientation = None;
    let test = TestPicture { kind, orientation };
    let canvas = painter.draw(&Scene::in_state(State::Test(test)));
    let rows: Vec<u8> = (0..320).flat_map(|y| canvas.row(y).to_vec()).collect();
    assert_eq!(drawn.to_rgb8().into_raw(), rows);
    let small = image::open(folder.path().join("small/001.png")).unwrap();
    assert_eq!((small.width(), small.height()), (128, 64));
}

#[test]
fn a_display_that_fails_is_an_error_and_keeps_no_other_from_its_picture() {
    let folder = tempfile::tempdir().unwrap();
    let absent = "[display.framebuffer]\ndriver = \"no such driver\"\nrotate_deg = 90\n";
    write_board(
        folder.path(),
        &(absent.to_owned() + &png("p", 480, 320, "rgb565")),
    );
    let run = run_eyelet(folder.path(), &TEST);
    assert_eq!(run.code, 6, "{}", run.stdout);
    assert!(
        run.stderr
            .contains("eyelet: display framebuffer: no framebuffer"),
        "{}",
        run.stderr
    );
    assert!(folder.path().join("p/001.png").is_file());

    write_board(folder.path(), absent);
    let run = run_eyelet(folder.path(), &TEST);
    assert_eq!(run.code, 6, "{}", run.stdout);
    assert!(
        run.stderr.contains("eyelet: no framebuffer"),
        "{}",
        run.stderr
    );

    write_board(folder.path(), "[display.none]\n");
    let run = run_eyelet(folder.path(), &TEST);
    assert_eq!(run.code, 6);
    assert_eq!(
        run.stderr.trim(),
        "eyelet: board b has no display to test: its file has [display.none]; add a table [display.KIND] to the file, or choose \
         another board (--board, --board-file)"
    );
}

#[test]
fn a_signal_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    write_board(folder.path(), &png("p", 128, 64, "mono"));
    let mut child = eyelet(folder.path())
        .args(&TEST[..3])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines.next().expect("it goes on").unwrap().contains("arrow") {}
    send_signal(&child, libc::SIGINT);
    let began = Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}
