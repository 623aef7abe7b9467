//! `[display.drm]` on real drivers: virtio's, whose picture is held against our own drawing pixel for pixel, and bochs, whose card can
//! be pulled out.

use super::emulator::qemu::{DISPLAY_PX, DISPLAY_SOCKETS, virt, virt_with_display};
use super::session::{Memory, Session};
use super::{GUEST_MODEL, Scenario, Setting};
use eyelet::board::Board;
use eyelet::board::labelling::Labelling;
use eyelet::camera::{CameraKind, Next, StillConfig};
use eyelet::data_roots::Base;
use eyelet::decide::{Candidate, DecideConfig, Verdict};
use eyelet::model::Model;
use eyelet::preprocess::{Mount, Preprocess};
use eyelet::show::Depth;
use eyelet::show::draw::Painter;
use eyelet::show::{Scene, State};
use eyelet::spec::{Encoder, Input};
use image::{Rgb, RgbImage};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The photo that the board looks at.
const GUEST_PHOTO: &str = "/pictures/photo.png";
/// A usual size of small HDMI panels.
const PANEL_PX: (u32, u32) = (1024, 600);
/// After so many frames of one picture the smoothed probabilities stand still.
const SETTLED: u64 = 30;

/// A board that looks at one photo, with this display.
fn board_file(display: &str) -> String {
    format!(
        "description = \"DRM\"\ntier = \"emulation\"\nmodel = {GUEST_MODEL:?}\nthreads = 2\n\
         [camera.still]\nfiles = [{GUEST_PHOTO:?}]\nframes_each = 1\nrepeat = true\nrate_fps = 5\n{display}"
    )
}

/// The board's work, then whatever the test types lines for.
fn scenario<'a>(setting: &Setting, script: &'a str, board: &str) -> Scenario<'a> {
    let mut photo = std::io::Cursor::new(Vec::new());
    let picture = &setting.photos[0].picture;
    picture
        .write_to(&mut photo, image::ImageFormat::Png)
        .unwrap();
    Scenario {
        modules: &[("bochs", "")],
        script,
        files: vec![
            (GUEST_MODEL.into(), setting.model.clone()),
            (GUEST_PHOTO.into(), photo.into_inner()),
            ("boards/drm.toml".into(), board.to_owned().into_bytes()),
        ],
    }
}

/// The verdict of an event.
fn verdict(event: &Value) -> Verdict {
    let candidate = |value: &Value| Candidate {
        class: value["class"].as_u64().unwrap() as usize,
        probability: value["probability"].as_f64().unwrap() as f32,
    };
    let top = event["top"].as_array().unwrap();
    Verdict {
        decided: event["class"].is_u64().then(|| candidate(event)),
        top: std::array::from_fn(|i| candidate(&top[i])),
        enter: Some(DecideConfig::default().enter),
        changed: false,
    }
}

/// Holds a screen against our own drawing of the same verdict and photo, but for the line with the frame rate.
struct Drawing {
    board: Board,
    model: Model,
    preprocess: Preprocess,
}

impl Drawing {
    fn new(board: &str, photo: &RgbImage) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("photo.png");
        photo.save(&file).unwrap();
        let network = super::shared().unwrap().join(super::MODEL);
        let model = Model::find(network.to_str().unwrap(), None).unwrap();
        let board = Board::parse("drm", "drm.toml", board, Base::Folder(Path::new("/"))).unwrap();
        let still = StillConfig {
            files: vec![file],
            ..StillConfig::default()
        };
        let mut camera = still.open().unwrap();
        let encoder = Encoder::of(&model.input);
        let mut preprocess = Preprocess::new(&model.input, Mount::default(), encoder);
        preprocess.prepare(camera.geometry()).unwrap();
        let Next::Frame(frame) = camera.next().unwrap() else {
            panic!("a frame was expected");
        };
        let mut tensor = vec![0.0; 224 * 224 * 3];
        preprocess.run(&frame, Input::F32(&mut tensor)).unwrap();
        Self {
            board,
            model,
            preprocess,
        }
    }

    fn is_on(&self, screen: &RgbImage, verdict: &Verdict) -> Result<(), String> {
        let (width, height) = screen.dimensions();
        let mut painter = Painter::new(width, height, Depth::Rgb888).unwrap();
        let labelling = Labelling::of(&self.board, &self.model).unwrap();
        let canvas = painter.draw(&Scene {
            state: State::Live,
            verdict: Some(verdict),
            labels: &labelling.shown,
            unknown_label: &self.board.decide.unknown_label,
            rate_fps: 0.0,
            picture: Some(self.preprocess.crop()),
            regions: &[],
            notice: None,
        });
        let drawn = RgbImage::from_fn(width, height, |x, y| Rgb(canvas.pixel(x, y)));
        let rate = painter.layout().status.unwrap();
        let is_rate = |x: u32, y: u32| {
            rate.contains(embedded_graphics::prelude::Point::new(x as i32, y as i32))
        };
        let differs = screen
            .enumerate_pixels()
            .filter(|(x, y, pixel)| !is_rate(*x, *y) && *pixel != drawn.get_pixel(*x, *y));
        match differs.count() {
            0 => Ok(()),
            count => Err(format!("{count} of {width} x {height} pixels differ")),
        }
    }
}

/// The settled verdict.
fn settled(session: &mut Session) -> Verdict {
    let event = session.event("a settled verdict", |name, event| {
        name == "verdict" && event["frame"].as_u64().unwrap() >= SETTLED
    });
    assert!(event["class"].is_u64(), "{event}");
    verdict(&event)
}

/// The next word on the display.
fn trouble(session: &mut Session, words: &str) -> String {
    let event = session.event(words, |name, event| {
        let is_of_display = name == "trouble" && event["part"] == "display";
        is_of_display && event["why"].as_str().unwrap().contains(words)
    });
    event["why"].as_str().unwrap().to_owned()
}

/// The connectors are listed; the picture is ours, pixel for pixel; a pulled cable is reported, and the picture is back with the cable.
#[test]
#[ignore = "boots an emulated board: `cargo test --test board -- --ignored`"]
fn drm_display() {
    let Some(setting) = Setting::prepare() else {
        return;
    };
    let board = board_file("[display.drm]\ndriver = \"virtio_gpu\"\nconnector = \"Virtual-1\"\n");
    let script = format!(
        "eyelet list displays --json\n\
         eyelet run --board-file /boards/drm.toml --model {GUEST_MODEL} --json --every-frame --stats-every 20 &\n\
         status=/sys/class/drm/card0-Virtual-1/status\n\
         read -r _\necho off > $status\n\
         read -r _\necho detect > $status\n\
         read -r _\nkill -TERM $!\nwait\n"
    );
    let scenario = scenario(&setting, &script, &board);
    let mut session = Session::boot_on(virt_with_display(PANEL_PX), &setting.guest, &scenario);
    let listed = session.event("the connector", |_, event| event["connector"].is_string());
    assert_eq!(listed["connector"], "Virtual-1", "{listed}");
    assert_eq!(listed["state"], "connected", "{listed}");
    let size_px = (&listed["width_px"], &listed["height_px"]);
    assert_eq!(size_px, (&PANEL_PX.0.into(), &PANEL_PX.1.into()));
    let start = session.event("start", |name, _| name == "start");
    let display = start["display"].as_str().unwrap();
    assert!(
        display.starts_with("DRM Virtual-1 of virtio_gpu (/dev/dri/card0), 1024 x 600 pixels"),
        "{display}"
    );
    let drawing = Drawing::new(&board, &setting.photos[0].picture);
    let early = session.memory_at(20);
    let verdict = settled(&mut session);
    let screen = session.screen(|screen| drawing.is_on(screen, &verdict));
    assert_eq!(screen.dimensions(), PANEL_PX);
    keep(&screen, "drm-screen");
    let stats = session.event("stats", |name, event| {
        name == "stats" && event["frame"].as_u64() >= Some(60)
    });
    assert_eq!(Memory::of(&stats), early, "{stats}");

    session.board.type_line("");
    let message = trouble(&mut session, "failed");
    assert!(
        message.contains("Virtual-1 of virtio_gpu (/dev/dri/card0) was unplugged"),
        "{message}"
    );
    session.board.type_line("");
    trouble(&mut session, "back to normal");
    session.screen(|screen| drawing.is_on(screen, &verdict));
    session.board.type_line("");
    session.event("end", |name, _| name == "end");
    session.wait_for_power_off();
}

/// A card that is pulled out at work, with the memory that we draw in, is reported; one of another size is found, and gets its own mode.
#[test]
#[ignore = "boots an emulated board: `cargo test --test board -- --ignored`"]
fn drm_card_pulled_out() {
    let Some(setting) = Setting::prepare() else {
        return;
    };
    let board = board_file("[display.drm]\ndriver = \"bochs\"\n");
    let script = format!(
        "eyelet run --board-file /boards/drm.toml --model {GUEST_MODEL} --json --every-frame --stats-every 20 &\n\
         read -r _\nkill -TERM $!\nwait\n"
    );
    let scenario = scenario(&setting, &script, &board);
    let mut machine = virt();
    machine.extend(DISPLAY_SOCKETS.map(Into::into));
    let mut session = Session::boot_on(machine, &setting.guest, &scenario);
    session.board.display = Some("display1");
    let start = session.event("start", |name, _| name == "start");
    let display = start["display"].as_str().unwrap();
    assert!(
        display.contains(" of bochs-drm (/dev/dri/card1), 480 x 320 pixels"),
        "{display}"
    );
    let drawing = Drawing::new(&board, &setting.photos[0].picture);
    let verdict = settled(&mut session);
    let screen = session.screen(|screen| drawing.is_on(screen, &verdict));
    assert_eq!(screen.dimensions(), DISPLAY_PX);

    session.board.unplug_display();
    let message = trouble(&mut session, "failed");
    assert!(
        message.contains("of bochs-drm (/dev/dri/card1)"),
        "{message}"
    );
    session.board.plug_display_of((800, 480));
    trouble(&mut session, "back to normal");
    let screen = session.screen(|screen| drawing.is_on(screen, &verdict));
    assert_eq!(screen.dimensions(), (800, 480));
    session.board.type_line("");
    session.event("end", |name, _| name == "end");
    session.wait_for_power_off();
}

/// Keeps a picture for people.
fn keep(screen: &RgbImage, name: &str) {
    let folder = super::emulator::package_cache();
    fs::create_dir_all(&folder).unwrap();
    screen.save(folder.join(format!("{name}.png"))).unwrap();
}
