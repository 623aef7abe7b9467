//! `[display.window]` on an X server without a screen: `cargo test --features window --test window`. Needs Xvfb (`apt install xvfb`,
//! and libx11-6 and libxcursor1); without it the test says "skipped".

#![allow(clippy::unwrap_used)]

#[path = "common/basics.rs"]
mod basics;

use basics::say_skipped;
use eyelet::show::canvas::Canvas;
use eyelet::show::draw::Painter;
use eyelet::show::window::WindowDisplay;
use eyelet::show::{Depth, WindowConfig};
use eyelet::show::{Display, DisplayError, Scene, State};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const CONFIG: WindowConfig = WindowConfig {
    width_px: 240,
    height_px: 135,
    scale: 2,
    depth: Depth::Rgb565,
};

const SCENE: Scene<'static> = Scene::in_state(State::CameraLost {
    since: Duration::from_secs(7),
});

/// A process that ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Fails only when it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The window's own process, for [`a_window_shows_the_drawing_enlarged`]: X is found by the environment.
#[test]
#[ignore = "is started by another test"]
fn window() {
    let mut display = WindowDisplay::open(&CONFIG, None).unwrap();
    assert_eq!(
        display.describe(),
        "window, 240 x 135 pixels, rgb565, 2 times as large"
    );
    loop {
        display.show(&SCENE).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_window_shows_the_drawing_enlarged() {
    let folder = tempfile::tempdir().unwrap();
    let server = Command::new("Xvfb")
        .args(["-displayfd", "1", "-nolisten", "tcp"])
        .args(["-screen", "0", "800x600x24", "-fbdir"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(server) = server else {
        say_skipped("there is no Xvfb (apt install xvfb)");
        return;
    };
    let mut server = Ended(server);
    let mut number = String::new();
    let output = server.0.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut number).unwrap();
    let window = Command::new(std::env::current_exe().unwrap())
        .args(["window", "--exact", "--ignored", "--nocapture"])
        .env("DISPLAY", format!(":{}", number.trim()))
        .stderr(Stdio::piped())
        .spawn();
    let mut window = Ended(window.unwrap());
    let mut painter = Painter::new(CONFIG.width_px, CONFIG.height_px, CONFIG.depth).unwrap();
    let canvas = painter.draw(&SCENE);
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(complaint) = shows(&folder.path().join("Xvfb_screen0"), canvas) {
        if window.0.try_wait().unwrap().is_some() || Instant::now() > deadline {
            window.0.kill().unwrap();
            let mut output = String::new();
            let mut stderr = window.0.stderr.take().unwrap();
            stderr.read_to_string(&mut output).unwrap();
            panic!("{complaint}; {output}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Whether the X server's screen, a file in XWD's form (`X11/XWDFile.h`), has the canvas somewhere, each pixel a square.
fn shows(file: &Path, canvas: &Canvas) -> Result<(), String> {
    let bytes = std::fs::read(file).map_err(|error| error.to_string())?;
    let number = |at: usize| -> usize {
        let word = bytes[at * 4..][..4].try_into().unwrap();
        u32::from_be_bytes(word) as usize
    };
    let (header, colours, stride_bytes) = (number(0), number(19), number(12));
    let (width, height) = (number(4), number(5));
    let is_little = number(7) == 0;
    let pixel = |x: usize, y: usize| -> [u8; 3] {
        let at = header + colours * 12 + y * stride_bytes + x * 4;
        match [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]] {
            [b, g, r, _] if is_little => [r, g, b],
            [_, r, g, b] => [r, g, b],
        }
    };
    let scale = CONFIG.scale as usize;
    let (wide, high) = (
        CONFIG.width_px as usize * scale,
        CONFIG.height_px as usize * scale,
    );
    // The X server's own ground is black, the drawing's is not.
    let place = (0..width * height).find(|at| pixel(at % width, at / width) != [0; 3]);
    let (left, top) = place.map_or((0, 0), |at| (at % width, at / width));
    if left + wide > width || top + high > height {
        return Err(format!("the window lies at {left}, {top}"));
    }
    // 5-6-5 bits, with the high bits again below them.
    let shown = |[r, g, b]: [u8; 3]| [r & 0xf8 | r >> 5, g & 0xfc | g >> 6, b & 0xf8 | b >> 5];
    let differs = (0..wide * high).filter(|at| {
        let (x, y) = (at % wide, at / wide);
        let drawn = canvas.pixel((x / scale) as u32, (y / scale) as u32);
        pixel(left + x, top + y) != shown(drawn)
    });
    match differs.count() {
        0 => Ok(()),
        count => Err(format!(
            "{count} of {wide} x {high} pixels differ, at {left}, {top}"
        )),
    }
}

#[test]
fn without_a_desktop_the_error_says_so() {
    if std::env::var_os("DISPLAY").is_some() {
        say_skipped("there is a desktop");
        return;
    }
    let error = WindowDisplay::open(&CONFIG, None).map(|_| ()).unwrap_err();
    assert!(matches!(error, DisplayError::Unusable(_)));
    assert!(error.to_string().contains("DISPLAY is not set"), "{error}");
}
