//! The emulated board: QEMU's `virt` machine with a USB camera, a virtio-gpu display and a serial line, running Debian's
//! arm64 kernel and the static aarch64 `eyelet` as a real board would. Real drivers, real photos, real MobileNet v2.
//!
//! `cargo test --test board -- --ignored`
//!
//! Needs qemu-system-aarch64, an ARM toolchain (see `.cargo/config.toml`), apt for the guest's kernel, and the model and
//! photos of `../shared` (or `EYELET_SHARED`). Without them a test says "skipped", unless `CI` or `EYELET_REQUIRE_BOARD`
//! is set. `EYELET_AARCH64` may name a folder with the ARM programs, which are built otherwise.

#![allow(clippy::unwrap_used)]

mod drm;
#[path = "../emulator/mod.rs"]
mod emulator;
mod media;
#[path = "../common/mosaic.rs"]
mod mosaic;
mod session;

use emulator::guest::{Guest, Scenario};
use emulator::usb_camera::StreamFormat;
use emulator::{MODEL, Missing, Photo, alone, or_skip, pictures, screen, shared};
use eyelet::frame::{BayerDepth, BayerFormat, BayerOrder};
use image::RgbImage;
use mosaic::Sensor;
use session::{Memory, Session};
use std::fs;
use std::sync::MutexGuard;

/// The photos that are shown.
const PHOTOS: [&str; 4] = ["cat", "macaw", "daisy", "chickadee"];
/// Where the model lies in the guest.
const GUEST_MODEL: &str = "/model/mobilenetv2.onnx";

/// The drivers of the machine's display.
const VIRTIO: &[&str] = &["virtio_pci", "virtio_gpu"];

/// What the tests stand on.
struct Setting {
    guest: Guest,
    photos: Vec<Photo>,
    model: Vec<u8>,
    _alone: MutexGuard<'static, ()>,
}

impl Setting {
    /// `None` after "skipped: why" when something is missing.
    fn prepare() -> Option<Self> {
        let alone = alone();
        or_skip(Self::gather(alone))
    }

    fn gather(alone: MutexGuard<'static, ()>) -> Result<Self, Missing> {
        let shared = shared()?;
        Ok(Self {
            guest: Guest::prepare(VIRTIO)?,
            photos: Photo::load(&shared, &PHOTOS),
            model: fs::read(shared.join(MODEL)).unwrap(),
            _alone: alone,
        })
    }
}

/// A USB camera: every photo gives its label on log and display; nothing grows in 300 frames; the camera may be pulled
/// out and plugged in again.
#[test]
#[ignore = "boots an emulated board: `cargo test --test board -- --ignored`"]
fn usb_camera() {
    const FLAT_FROM: u64 = 40;
    const FLAT_TO: u64 = 300;
    let Some(Setting {
        guest,
        photos,
        model,
        _alone,
    }) = Setting::prepare()
    else {
        return;
    };
    let seen: Vec<_> = photos
        .iter()
        .map(|photo| pictures::seen(&photo.picture))
        .collect();
    let mut session = Session::boot(
        &guest,
        &Scenario {
            modules: &[("xhci_pci", ""), ("uvcvideo", "")],
            // The board is known by its device tree; the rest is the board file `virt`.
            script: &format!(
                "wait_for /dev/video0\neyelet run --json --stats-every 20 --frames 340 --model {GUEST_MODEL}\n"
            ),
            files: vec![(GUEST_MODEL.into(), model)],
        },
    );
    let camera = session.plug_camera(seen[0].clone());
    let start = session.event("start", |name, _| name == "start");
    assert!(
        start["board"].as_str().unwrap().starts_with("virt "),
        "{start}"
    );

    for (photo, seen) in photos.iter().zip(&seen) {
        camera.show(seen.clone());
        session.label(&photo.label);
        session.screen(|screen| photo.is_on(screen, &photos));
    }
    assert_eq!(
        camera.format(),
        StreamFormat::Mjpeg,
        "the board file wants it first"
    );
    let (early, late) = (session.memory_at(FLAT_FROM), session.memory_at(FLAT_TO));
    assert_eq!(early, late, "memory at frames {FLAT_FROM} and {FLAT_TO}");

    session.unplug_camera(camera);
    session.event("camera_lost", |name, _| name == "camera_lost");
    let pictures: Vec<_> = photos.iter().map(|photo| &photo.picture).collect();
    session.screen(|screen| screen::shows_loss(screen, &pictures));
    let camera = session.plug_camera(seen[0].clone());
    session.event("camera_back", |name, event| {
        assert_ne!(name, "verdict", "a class without a camera: {event}");
        name == "camera_back"
    });
    session.label(&photos[0].label);
    session.screen(|screen| photos[0].is_on(screen, &photos));
    let end = session.event("end", |name, _| name == "end");
    assert_eq!(end["damaged"], 0, "{end}");
    session.wait_for_power_off();
    drop(camera);
}

/// Controls of the virtual driver that the board file sets, and their values then.
const CONTROLS: [(&str, &str, i64); 5] = [
    ("contrast", "100", 100),
    ("gain_automatic", "false", 0),
    ("gain", "77", 77),
    ("menu", "\"menu item 4\"", 4),
    ("boolean", "false", 0),
];

/// The kernel's virtual video driver delivers a photo in each ready pixel format, and takes controls by name.
#[test]
#[ignore = "boots an emulated board: `cargo test --test board -- --ignored`"]
fn pixel_formats() {
    let Some(setting) = Setting::prepare() else {
        return;
    };
    let formats: [Ready; 4] = [
        ("yuyv", b"YUYV", pictures::yuyv),
        ("nv12", b"NV12", pictures::nv12),
        ("rgb24", b"RGB3", pictures::rgb24),
        ("grey", b"GREY", pictures::grey),
    ];
    let controls: Vec<_> = CONTROLS
        .iter()
        .map(|(name, value, _)| format!("{name} = {value}"))
        .collect();
    let controls = format!("controls = {{ {} }}", controls.join(", "));
    let deliveries = deliveries(&formats, &setting.photos, &controls);
    let refused = board_file("formats = [\"yuyv\"]\ncontrols = { contrast = 256 }");
    let afterwards = Afterwards {
        files: vec![("boards/refused.toml".into(), refused.into_bytes())],
        script: "eyelet list cameras --json\n\
            eyelet run --board-file /boards/refused.toml 2>&1 | while read -r line; do echo \"refused: $line\"; done\n",
    };
    let mut session = deliver(&setting, &deliveries, 1, afterwards);
    let camera = session.event("the camera's controls", |_, line| {
        line["camera"] == "/dev/video0"
    });
    for (name, _, value) in CONTROLS {
        let mut controls = camera["controls"].as_array().unwrap().iter();
        let control = controls.find(|control| control["name"] == name).unwrap();
        assert_eq!(control["value"], value, "{control}");
    }
    let why = session.line("refused: ", "contrast");
    assert!(
        why.contains("its control `contrast` is 256, needs 0 to 255"),
        "{why}"
    );
    session.wait_for_power_off();
}

/// The same driver as a multi-planar device: pictures in one piece of memory, which begins before the picture (YUYV) or not, of 8
/// bits and of 10. (Planes in pieces of their own are left to the tests with fakes.)
#[test]
#[ignore = "boots an emulated board: `cargo test --test board -- --ignored`"]
fn multi_planar_formats() {
    let Some(setting) = Setting::prepare() else {
        return;
    };
    let formats: [Ready; 4] = [
        // In one piece: vivid offers that before NM12 and YM12, and joins its nodes only if both have the same format.
        ("nv12", b"NV12", pictures::nv12),
        ("yuyv", b"YUYV", pictures::yuyv),
        ("yu12", b"YU12", pictures::yu12),
        ("y10", b"Y10 ", pictures::y10),
    ];
    let deliveries = deliveries(&formats, &setting.photos, "");
    deliver(&setting, &deliveries, 2, Afterwards::default()).wait_for_power_off();
}

/// It delivers photos as a sensor's mosaic: every order of the colours, and every depth that it has (none is packed).
#[test]
#[ignore = "boots an emulated board: `cargo test --test board -- --ignored`"]
fn raw_formats() {
    use BayerDepth::{Bits8, Bits10, Bits12};
    use BayerOrder::{Bggr, Gbrg, Grbg, Rggb};
    let Some(setting) = Setting::prepare() else {
        return;
    };
    // Not the chickadee: developed to half of 640x480 it gets 47 %, and 50 are needed.
    let [cat, macaw, daisy, _] = &setting.photos[..] else {
        panic!("there are four photos");
    };
    let formats = [
        (Rggb, Bits8, cat),
        (Bggr, Bits10, macaw),
        (Gbrg, Bits12, daisy),
        (Grbg, Bits10, cat),
    ];
    let deliveries = formats.map(|(order, depth, photo)| {
        let format = BayerFormat { order, depth };
        // A sensor that sees as sRGB has it, so that developing gives the photo back.
        let sensor = Sensor {
            format,
            black: 0.0,
            response: [1.0; 3],
            mixing: mosaic::PURE,
            noise: 0.0,
        };
        let name = format.name();
        Delivery {
            name,
            fourcc: format.fourcc(),
            photo,
            bytes: sensor.mosaic(&photo.picture).1,
            camera: format!("formats = [{name:?}]\nblack_level = 0\nwhite_balance = [1, 1]"),
        }
    });
    deliver(&setting, &deliveries, 1, Afterwards::default()).wait_for_power_off();
}

/// What the guest does when all photos were delivered.
#[derive(Default)]
struct Afterwards {
    files: Vec<(String, Vec<u8>)>,
    script: &'static str,
}

/// A photo that the virtual video driver delivers.
struct Delivery<'a> {
    /// The pixel format's name in the board file, and in the log's `start`.
    name: &'a str,
    /// V4L2's.
    fourcc: [u8; 4],
    photo: &'a Photo,
    /// The photo in that format.
    bytes: Vec<u8>,
    /// What the board file says of the format.
    camera: String,
}

/// A ready pixel format: its name in the board file, V4L2's, and how a photo is made into it.
type Ready = (&'static str, &'static [u8; 4], fn(&RgbImage) -> Vec<u8>);

/// A photo in each of these formats, with further `keys` of the camera's table.
fn deliveries<'a>(formats: &[Ready], photos: &'a [Photo], keys: &str) -> Vec<Delivery<'a>> {
    let formats = formats.iter().zip(photos);
    let delivery = |(&(name, fourcc, convert), photo): (&Ready, &'a Photo)| Delivery {
        name,
        fourcc: *fourcc,
        photo,
        bytes: convert(&photo.picture),
        camera: format!("formats = [{name:?}]\n{keys}"),
    };
    formats.map(delivery).collect()
}

/// Each picture through the virtual driver (vivid) and a run of its own: its label on log and display, nothing damaged, and no
/// memory that grows. `multiplanar` is the driver's own word: 1, a plain device; 2, a multi-planar one.
fn deliver(
    setting: &Setting,
    deliveries: &[Delivery<'_>],
    multiplanar: u8,
    afterwards: Afterwards,
) -> Session {
    const FLAT_FROM: u64 = 20;
    let parameters = format!(
        "n_devs=1 node_types=0x101 num_inputs=2 input_types=0x0c num_outputs=1 output_types=0x01 multiplanar={multiplanar}"
    );
    let mut files = vec![(GUEST_MODEL.to_string(), setting.model.clone())];
    let mut script = "wait_for /dev/video0\n".to_string();
    for delivery in deliveries {
        let name = delivery.name;
        let fourcc = str::from_utf8(&delivery.fourcc).unwrap();
        let board = board_file(&delivery.camera).into_bytes();
        files.push((format!("pictures/{name}"), delivery.bytes.clone()));
        files.push((format!("boards/{name}.toml"), board));
        script += &format!(
            "vivid_feed '{fourcc}' 640 480 /pictures/{name} &\n\
             eyelet run --board-file /boards/{name}.toml --json --stats-every 10 --frames 40\n\
             kill $!\n\
             wait\n"
        );
    }
    script += afterwards.script;
    files.extend(afterwards.files);
    let scenario = Scenario {
        modules: &[("vivid", &parameters)],
        script: &script,
        files,
    };
    let mut session = Session::boot(&setting.guest, &scenario);
    for &Delivery { name, photo, .. } in deliveries {
        let start = session.event("start", |event, _| event == "start");
        let camera = start["camera"].as_str().unwrap().to_lowercase();
        assert!(camera.contains(name), "asked for {name}: {start}");
        session.label(&photo.label);
        session.screen(|screen| photo.is_on(screen, &setting.photos));
        let end = session.event("end", |event, _| event == "end");
        let early = session.memory_at(FLAT_FROM);
        assert_eq!(
            early,
            Memory::of(&end),
            "{name}: memory at frame {FLAT_FROM} and at the end"
        );
        session.forget_stats();
        assert_eq!(end["damaged"], 0, "{end}");
    }
    session
}

/// The board `virt` with these lines in place of its pixel formats.
fn board_file(camera: &str) -> String {
    let virt = include_str!("../../boards/virt.toml");
    let formats = virt
        .lines()
        .find(|line| line.starts_with("formats = "))
        .unwrap();
    virt.replace(formats, camera)
        .replace("\"mobilenet-v2@12-int8\"", &format!("{GUEST_MODEL:?}"))
}
