//! Photos as sensors would deliver them, in every raw format, through the network: they keep their class. The shipped photos and
//! network on any machine, the reference photos and MobileNet v2 where they are.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;
#[path = "common/mosaic.rs"]
mod mosaic;

use common::{PHOTOS, argmax, emulated, read_f32, shared, tree_file};
use eyelet::board::Board;
use eyelet::camera::CameraConfig;
use eyelet::frame::RawTuning;
use eyelet::frame::{BayerDepth, BayerFormat, BayerOrder, Frame, Geometry, PixelFormat};
use eyelet::model::Model;
use eyelet::network::Network;
use eyelet::preprocess::Mount;
use eyelet::preprocess::Preprocess;
use eyelet::spec::InputSpec;
use image::RgbImage;
use mosaic::Sensor;
use std::path::Path;
use std::time::Duration;

/// The network, and the photos at twice their size with their classes. A mosaic has half of a picture's pixels each way.
struct Desk {
    input: InputSpec,
    network: Network,
    photos: Vec<(&'static str, RgbImage, u64)>,
}

impl Desk {
    /// All that this machine has.
    fn all() -> Vec<Self> {
        if emulated() {
            return Vec::new();
        }
        [
            Some(Self::shipped()),
            shared().map(|shared| Self::mobilenet(&shared)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn shipped() -> Self {
        let folder = tree_file("models/efficientnet-lite0");
        let photo = |name: &'static str| {
            let scores = read_f32(&folder.join(format!("reference/{name}.logits.f32")));
            let photo = tree_file(&format!("boards/photos/{name}.jpg"));
            (name, doubled(&photo), argmax(&scores) as u64)
        };
        let photos = ["cat", "espresso", "rocket", "tripod"].map(photo);
        Self::of(
            &folder.join("efficientnet-lite0-int8.onnx"),
            photos.to_vec(),
        )
    }

    fn mobilenet(shared: &Path) -> Self {
        let expected = std::fs::read_to_string(shared.join("reference/expected.json")).unwrap();
        let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
        let photo = |name: &'static str| {
            let photo = doubled(&shared.join(format!("photos/{name}.png")));
            let class = expected[name]["qop"][0]["class"].as_u64().unwrap();
            (name, photo, class)
        };
        let file = shared.join("models/mobilenetv2-1.0-int8.onnx");
        Self::of(&file, PHOTOS.map(photo).to_vec())
    }

    fn of(file: &Path, photos: Vec<(&'static str, RgbImage, u64)>) -> Self {
        let model = Model::find(file.to_str().unwrap(), None).unwrap();
        Self {
            network: Network::load(&model, 1).unwrap(),
            input: model.input,
            photos,
        }
    }

    /// The photos that this sensor makes another class of.
    fn lost(&mut self, sensor: &Sensor, tuning: RawTuning) -> Vec<String> {
        let Self {
            input,
            network,
            photos,
        } = self;
        let mut lost = Vec::new();
        for (name, photo, class) in photos {
            let mut class_of = |geometry: Geometry, data: &[u8], tuning: RawTuning| {
                let frame = Frame::new(geometry, data, Duration::ZERO, 0).unwrap();
                let encoder = network.encoder().clone();
                let mut preprocess =
                    Preprocess::new(input, Mount::default(), encoder).with_raw_tuning(tuning);
                preprocess.run(&frame, network.input()).unwrap();
                argmax(network.run().unwrap()) as u64
            };
            let (geometry, data) = sensor.mosaic(photo);
            let got = class_of(geometry, &data, tuning);
            if got == *class {
                continue;
            }
            if (*name, got) == (TIED_PHOTO, TIED_CLASS) {
                let plain = halved(photo);
                let geometry = Geometry::packed(PixelFormat::Rgb24, plain.width(), plain.height());
                if class_of(geometry, plain.as_raw(), tuning) == TIED_CLASS {
                    continue;
                }
            }
            let format = PixelFormat::Bayer(sensor.format);
            let mut words = format!("{name} in {format}: {got}, not {class}");
            if sensor.noise > 0.0 {
                let [red, _, blue] = sensor.response;
                let known_white = RawTuning {
                    white_balance: Some([1.0 / red, 1.0 / blue]),
                    ..tuning
                };
                let noiseless = Sensor {
                    noise: 0.0,
                    ..*sensor
                };
                let alone = [
                    class_of(geometry, &data, known_white),
                    class_of(geometry, &noiseless.mosaic(photo).1, tuning),
                ];
                if (*name, got) == (FRAGILE_PHOTO, FRAGILE_CLASS) && alone == [*class; 2] {
                    continue;
                }
                words += &format!("; {alone:?} with known white, without noise");
            }
            lost.push(words);
        }
        lost
    }
}

/// A photo at twice its size.
fn doubled(file: &Path) -> RgbImage {
    let photo = image::open(file).unwrap();
    let (width, height) = (2 * photo.width(), 2 * photo.height());
    let photo = photo.resize_exact(width, height, image::imageops::FilterType::Triangle);
    photo.to_rgb8()
}

/// The photo that twice its size and back makes another class of, and which: its scores for dragonfly (319) and damselfly (320)
/// are then equal. Excused only while the network makes the same of it as plain RGB, halved as developing halves it.
const TIED_PHOTO: &str = "dragonfly";
const TIED_CLASS: u64 = 320;

/// The one photo of which measured white and noise together may make another class, and which: before a blue wall, a uniform's
/// cap (to the network a mortarboard, 667) above its coat (an academic gown, 400). White that is measured takes the wall for
/// greyer than it is, which makes the rest yellow; the two classes are then close, and noise can turn them. Plain RGB with that
/// noise keeps its class. So this is excused only where the very same mosaic keeps it with known white, and without noise.
const FRAGILE_PHOTO: &str = "military_uniform";
const FRAGILE_CLASS: u64 = 400;

/// Each 2x2 added in linear light (nearly: a power of 2.2), all three colours of all four pixels.
fn halved(photo: &RgbImage) -> RgbImage {
    RgbImage::from_fn(photo.width() / 2, photo.height() / 2, |x, y| {
        let pixel = |i: u32| photo.get_pixel(2 * x + i % 2, 2 * y + i / 2).0;
        image::Rgb(std::array::from_fn(|c| {
            let light = |i| (f32::from(pixel(i)[c]) / 255.0).powf(2.2);
            let mean = (0..4).map(light).sum::<f32>() / 4.0;
            (mean.powf(1.0 / 2.2) * 255.0).round() as u8
        }))
    })
}

#[test]
fn photos_keep_their_class_in_every_raw_format() {
    let mut desks = Desk::all();
    let mut lost = Vec::new();
    for order in BayerOrder::ALL {
        for depth in BayerDepth::ALL {
            let sensor = Sensor {
                format: BayerFormat { order, depth },
                black: 0.0625,
                response: [0.55, 1.0, 0.62],
                mixing: mosaic::PURE,
                noise: 0.0,
            };
            for desk in &mut desks {
                lost.extend(desk.lost(&sensor, RawTuning::default()));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

/// What a board file with `sensor` makes of pictures of that sensor: its black level, colours that bleed into each other as its
/// matrix says, and light of a warm evening, with noise; but for [`FRAGILE_PHOTO`].
#[test]
fn photos_keep_their_class_through_each_sensor() {
    let mut desks = Desk::all();
    let mut lost = Vec::new();
    for name in ["imx219", "imx477", "imx708", "ov5647"] {
        let text = format!(
            "description = \"d\"\ntier = \"untested\"\nmodel = \"m\"\nthreads = 1\npool_mib = 32\n[camera.v4l2]\n\
             width_px = 1640\nheight_px = 1232\nsensor = \"{name}\"\n[display.none]\n"
        );
        let base = eyelet::data_roots::Base::Folder(std::path::Path::new(""));
        let board = Board::parse("b", "b.toml", &text, base).unwrap();
        let CameraConfig::V4l2(v4l2) = &board.camera else {
            panic!("a V4L2 camera was asked for");
        };
        let PixelFormat::Bayer(format) = v4l2.formats[0] else {
            panic!("{name} wants {:?}", v4l2.formats);
        };
        let tuning = board.camera.settings().raw_tuning();
        let [warm, cool] = tuning.lights.unwrap();
        let between = |c: usize| warm[c].powf(0.4) * cool[c].powf(0.6);
        let sensor = Sensor {
            format,
            black: f32::from(tuning.black_level) / 65536.0,
            response: [between(0), 1.0, between(1)],
            mixing: mosaic::inverse(tuning.matrix),
            noise: 0.01,
        };
        for desk in &mut desks {
            let of_sensor = desk.lost(&sensor, tuning);
            lost.extend(of_sensor.iter().map(|photo| format!("{name}: {photo}")));
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}
