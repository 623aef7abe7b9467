//! Frames from the camera to the tensor: ready pictures, raw ones, JPEGs, regions.

use crate::{allocations, verdict_for};
use eyelet::camera::{Camera, CameraKind, Next, PatternConfig, StillConfig};
use eyelet::frame::{BayerFormat, Frame, Geometry, PixelFormat};
use eyelet::preprocess::{Area, Mount, Preprocess};
use eyelet::show::draw::Painter;
use eyelet::show::{Depth, Region, Scene, State};
use eyelet::spec::{Dtype, Encoder, Input, InputSpec, Layout, Resize};
use std::time::Duration;

fn spec() -> InputSpec {
    InputSpec::imagenet(Layout::Nchw, Dtype::F32, 224, 224)
}

fn mjpeg(width_px: u32, height_px: u32) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(width_px, height_px, |x, y| {
        image::Rgb([(x / 3) as u8, (y / 2) as u8, (x + y) as u8])
    });
    let mut jpeg = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut jpeg, image::ImageFormat::Jpeg)
        .unwrap();
    jpeg.into_inner()
}

/// A drawn picture of this format.
fn pattern(format: PixelFormat) -> Box<dyn Camera> {
    let config = PatternConfig {
        width_px: 640,
        height_px: 480,
        format,
        rate_fps: 0,
    };
    config.open().unwrap()
}

#[test]
fn frames_allocate_nothing() {
    let mut preprocess = Preprocess::new(&spec(), Mount::default(), Encoder::of(&spec()));
    let mut tensor = vec![0.0; 224 * 224 * 3];
    let mut cameras: Vec<Box<dyn Camera>> = PixelFormat::ALL
        .into_iter()
        .filter(|format| *format != PixelFormat::Mjpeg && !format.is_deep())
        .map(pattern)
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.png");
    image::RgbImage::new(300, 200).save(&file).unwrap();
    cameras.push(
        StillConfig {
            files: vec![file],
            frames_each: 1000,
            repeat: false,
            rate_fps: 0,
        }
        .open()
        .unwrap(),
    );
    for camera in &mut cameras {
        preprocess.prepare(camera.geometry()).unwrap();
        let (count, _) = allocations(|| {
            for _ in 0..20 {
                let Next::Frame(frame) = camera.next().unwrap() else {
                    panic!("a frame was expected");
                };
                preprocess.run(&frame, Input::F32(&mut tensor)).unwrap();
            }
        });
        assert_eq!(count, 0, "{}", camera.describe());
    }
}

/// Those with halved chroma and without, with tables of their own, and with a sampling that changes from one to the next.
#[test]
fn jpegs_allocate_nothing() {
    let photo = concat!(env!("CARGO_MANIFEST_DIR"), "/boards/photos/cat.jpg");
    let halved = std::fs::read(photo).unwrap();
    let (width_px, height_px) = image::image_dimensions(photo).unwrap();
    let whole = mjpeg(width_px, height_px);
    let geometry = Geometry::packed(PixelFormat::Mjpeg, width_px, height_px);
    let areas = [
        Area::WHOLE,
        Area {
            left: 0.5,
            ..Area::WHOLE
        },
    ]
    .map(|area| Area {
        width: 1.0 - area.left,
        ..area
    });
    let mut preprocess =
        Preprocess::of_areas(&spec(), Mount::default(), &areas, Encoder::of(&spec()));
    let mut tensor = vec![0.0; 224 * 224 * 3];
    preprocess.prepare(geometry).unwrap();
    let (count, _) = allocations(|| {
        for jpeg in [&halved, &whole, &halved, &halved, &whole] {
            let frame = Frame::new(geometry, jpeg, Duration::ZERO, 0).unwrap();
            for area in 0..areas.len() {
                preprocess
                    .run_area(area, &frame, Input::F32(&mut tensor))
                    .unwrap();
            }
        }
    });
    assert_eq!(count, 0);
}

/// White is measured and followed in each frame.
#[test]
fn raw_frames_allocate_nothing() {
    let mut preprocess = Preprocess::new(&spec(), Mount::default(), Encoder::of(&spec()));
    let mut tensor = vec![0.0; 224 * 224 * 3];
    for format in BayerFormat::ALL {
        for (width_px, height_px) in [(1640, 1232), (640, 480)] {
            let geometry = Geometry::packed(PixelFormat::Bayer(format), width_px, height_px);
            let mut data = vec![0; geometry.picture_bytes().unwrap()];
            preprocess.prepare(geometry).unwrap();
            let (count, _) = allocations(|| {
                for sequence in 0..3 {
                    let bytes = data.iter_mut().enumerate();
                    bytes.for_each(|(i, byte)| *byte = (i * 7 + i / 900 * sequence) as u8);
                    let frame =
                        Frame::new(geometry, &data, Duration::ZERO, sequence as u64).unwrap();
                    preprocess.run(&frame, Input::F32(&mut tensor)).unwrap();
                }
            });
            assert_eq!(count, 0, "{geometry}");
        }
    }
}

/// Several regions in turn, and the display that they share.
#[test]
fn regions_allocate_nothing() {
    let mut camera = pattern(PixelFormat::Yuyv);
    let areas = [0.0, 0.3, 0.5].map(|left| Area {
        left,
        top: 0.25,
        width: 0.4,
        height: 0.75,
    });
    let mount = Mount {
        resize: Some(Resize::Fit),
        ..Mount::default()
    };
    let mut preprocess = Preprocess::of_areas(&spec(), mount, &areas, Encoder::of(&spec()));
    let mut tensor = vec![0.0; 224 * 224 * 3];
    preprocess.prepare(camera.geometry()).unwrap();
    let mut painter = Painter::new(480, 320, Depth::Rgb565).unwrap();
    painter.divide(areas.len()).unwrap();
    let labels = ["tabby".to_owned()];
    let mut frame = |turn: usize| {
        let Next::Frame(frame) = camera.next().unwrap() else {
            panic!("a frame was expected");
        };
        let input = Input::F32(&mut tensor);
        preprocess.run_area(turn % 3, &frame, input).unwrap();
        let verdict = verdict_for(0);
        let region = |i| Region {
            name: "left",
            verdict: Some(&verdict),
            picture: Some(preprocess.crop_of_area(i)),
        };
        painter.draw(&Scene {
            state: State::Live,
            verdict: None,
            labels: &labels,
            unknown_label: "unknown",
            rate_fps: 9.0,
            picture: None,
            regions: &[region(0), region(1), region(2)],
            notice: None,
        });
    };
    // The pen and the scalers have their buffers after the first drawing.
    frame(0);
    let (count, _) = allocations(|| (1..20).for_each(&mut frame));
    assert_eq!(count, 0);
}
