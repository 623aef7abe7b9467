//! A camera behind a media controller: the kernel's virtual one (vimc), whose sensors draw colour bars. Debian's kernels are
//! built without it, so `tests/kernel/build-modules` builds it from Debian's source of the kernel that boots here.

use super::emulator::guest::{Guest, Scenario};
use super::emulator::kernel_modules::kernel_with;
use super::emulator::{MODEL, alone, or_skip, package_cache, shared};
use super::session::Session;
use super::{GUEST_MODEL, VIRTIO};
use image::RgbImage;
use std::fs;

/// The colours of the bars, left to right, as the test pattern generator of the kernel has them (75 % of full, grey first).
const BARS: [[bool; 3]; 8] = [
    [true, true, true],
    [true, true, false],
    [false, true, true],
    [false, true, false],
    [true, false, true],
    [true, false, false],
    [false, false, true],
    [false, false, false],
];

/// The pipeline is found and set up: through debayer and scaler, straight from the sensor in 8 and 10 bits, and with nothing
/// named at all. Pictures come, the bars are on the display, and each way ends in a class.
#[test]
#[ignore = "boots an emulated board: `cargo test --test board -- --ignored`"]
fn media_controller() {
    let alone = alone();
    let gathered = shared().and_then(|shared| {
        let guest = Guest::with_kernel(&kernel_with("vimc", &["vimc"], &[])?, VIRTIO)?;
        Ok((guest, fs::read(shared.join(MODEL)).unwrap()))
    });
    let Some((guest, model)) = or_skip(gathered) else {
        return;
    };
    // The board file's camera, and what the log's `start` says of it.
    let cameras = [
        (
            "converted",
            "device = \"/dev/video2\"\nformats = [\"rgb24\"]\n[camera.v4l2.media]\nsensor = \"Sensor A\"",
            "pipeline Sensor A:0 -> Debayer A:0, Debayer A:1 -> Scaler:0, Scaler:1 -> RGB/YUV Capture:0, RGB888_1X24/640x480",
        ),
        (
            "named",
            "device = \"/dev/video2\"\nformats = [\"rgb24\"]\n[camera.v4l2.media]\ndevice = \"vimc\"\n\
             links = [\"'Debayer B':1 -> 'Scaler':0 [1]\"]\n\
             formats = { \"Sensor B:0\" = \"SBGGR8_1X8/800x600\", \"Scaler:1\" = \"RGB888_1X24/640x480\" }",
            "pipeline Sensor B:0 -> Debayer B:0, Debayer B:1 -> Scaler:0, Scaler:1 -> RGB/YUV Capture:0, RGB888_1X24/640x480",
        ),
        (
            "raw8",
            "device = \"/dev/video0\"\nformats = [\"sbggr8\"]\nblack_level = 0\nwhite_balance = [1, 1]",
            "pipeline Sensor A:0 -> Raw Capture 0:0, SBGGR8_1X8/640x480",
        ),
        (
            "raw10",
            "device = \"/dev/video0\"\nformats = [\"sbggr10\"]\nblack_level = 0\nwhite_balance = [1, 1]\n\
             [camera.v4l2.controls]\nbrightness = 128",
            // The control is the sensor's: the node has none.
            "1 controls set, pipeline Sensor A:0 -> Raw Capture 0:0, SBGGR10_1X10/640x480",
        ),
        (
            "any",
            "device = \"auto\"\nformats = [\"rgb24\"]",
            "pipeline ",
        ),
    ];
    let mut files = vec![(GUEST_MODEL.to_string(), model)];
    let mut script = "wait_for /dev/video2\neyelet list cameras\n".to_string();
    for (name, camera, _) in cameras {
        files.push((
            format!("boards/{name}.toml"),
            board_file(camera).into_bytes(),
        ));
        script += &format!("eyelet run --board-file /boards/{name}.toml --json --frames 30\n");
    }
    let scenario = Scenario {
        modules: &[("vimc", "")],
        script: &script,
        files,
    };
    let mut session = Session::boot(&guest, &scenario);
    let mut label = None;
    for (name, _, pipeline) in cameras {
        let start = session.event("start", |event, _| event == "start");
        let camera = start["camera"].as_str().unwrap();
        assert!(camera.contains(pipeline), "{name}: {camera}");
        let verdict = session.event("a class", |event, verdict| {
            event == "verdict" && verdict["class"].is_number()
        });
        // The same bars, whoever made colours of the sensor's mosaic; scaled from another size they are not quite the same.
        if name != "named" {
            let label = label.get_or_insert_with(|| verdict["label"].clone());
            assert_eq!(verdict["label"], *label, "{name}: {verdict}");
        }
        let screen = session.screen(shows_bars);
        let kept = package_cache().join(format!("media-{name}.png"));
        screen.save(kept).unwrap();
        let end = session.event("end", |event, _| event == "end");
        assert_eq!(end["damaged"], 0, "{name}: {end}");
    }
    session.wait_for_power_off();
    drop(alone);
}

fn board_file(camera: &str) -> String {
    format!(
        "description = \"virtual media controller\"\ntier = \"emulation\"\nmodel = {GUEST_MODEL:?}\nthreads = 2\n\
         [decide]\nenter = 0.02\nleave = 0.01\nframes_in_a_row = 2\n\
         [display.framebuffer]\ndriver = \"virtio_gpu\"\n\
         [camera.v4l2]\nwidth_px = 640\nheight_px = 480\ntimeout_ms = 10000\n{camera}\n"
    )
}

/// Somewhere on the display a row has the colours of the bars in their order, each at least 8 pixels wide, but for bars that
/// the crop to a square takes away at both sides.
fn shows_bars(screen: &RgbImage) -> Result<(), String> {
    let bright = |pixel: &image::Rgb<u8>| pixel.0.map(|value| value > 96);
    let mut best = 0;
    for row in screen.rows() {
        let mut runs: Vec<([bool; 3], u32)> = Vec::new();
        for pixel in row {
            match runs.last_mut() {
                Some((colour, length)) if *colour == bright(pixel) => *length += 1,
                _ => runs.push((bright(pixel), 1)),
            }
        }
        runs.retain(|(_, length)| *length >= 8);
        let colours: Vec<_> = runs.into_iter().map(|(colour, _)| colour).collect();
        // The square in the middle of 4:3 holds the six bars between the outermost.
        let longest = (1..=BARS.len() - 2).rev().find(|&count| {
            let wanted = &BARS[1..=count];
            colours.windows(count).any(|window| window == wanted)
        });
        best = best.max(longest.unwrap_or(0));
    }
    if best == BARS.len() - 2 {
        Ok(())
    } else {
        Err(format!(
            "the display shows {best} of the bars in their order"
        ))
    }
}
