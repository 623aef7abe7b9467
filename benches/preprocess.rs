//! Preprocessing time of a frame, on one core: camera bytes to the 224x224 f32 tensor. For comparison, the same with the `image`
//! crate: whole-picture resize with its triangle filter, crop, conversion.
//!
//! `cargo bench --bench preprocess`
//!
//! For `benches/estimate-cycles`, the program itself takes a camera's frames through the preprocessing without any clock:
//! `preprocess --frames COUNT FOURCC WIDTHxHEIGHT`, or `preprocess --frames COUNT FILE.jpg` for a JPEG of a camera.

#![allow(clippy::unwrap_used, missing_docs)]

use criterion::{Criterion, criterion_group};
use eyelet::frame::RawTuning;
use eyelet::frame::{Frame, Geometry, PixelFormat};
use eyelet::preprocess::{Mount, Preprocess};
use eyelet::spec::{Dtype, Encoder, Input, InputSpec, Layout};
use image::GenericImageView;
use image::imageops::{self, FilterType};
use std::hint::black_box;
use std::time::Duration;

fn spec() -> InputSpec {
    InputSpec::imagenet(Layout::Nchw, Dtype::F32, 224, 224)
}

/// A picture that is neither uniform nor noise.
fn picture(width_px: u32, height_px: u32) -> image::RgbImage {
    image::RgbImage::from_fn(width_px, height_px, |x, y| {
        image::Rgb([(x / 3) as u8, (y / 2) as u8, (x * y / 64) as u8])
    })
}

fn raw(c: &mut Criterion) {
    for (width_px, height_px) in [(640, 480), (1920, 1080)] {
        let mut group = c.benchmark_group(format!("{width_px}x{height_px}"));
        for format in PixelFormat::ALL {
            if format == PixelFormat::Mjpeg {
                continue;
            }
            for rotate_deg in [0, 90] {
                let mount = Mount {
                    rotate_deg,
                    mirror: false,
                    resize: None,
                };
                let geometry = Geometry::packed(format, width_px, height_px);
                let mut data = vec![0; geometry.picture_bytes().unwrap()];
                fastrand::Rng::with_seed(1).fill(&mut data);
                let frame = Frame::new(geometry, &data, Duration::ZERO, 0).unwrap();
                let mut preprocess = Preprocess::new(&spec(), mount, Encoder::of(&spec()));
                let mut tensor = vec![0.0; 224 * 224 * 3];
                group.bench_function(format!("{format} turned by {rotate_deg}"), |b| {
                    b.iter(|| {
                        let input = Input::F32(black_box(&mut tensor));
                        preprocess.run(black_box(&frame), input).unwrap();
                    });
                });
            }
        }
        let source = picture(width_px, height_px);
        let Encoder { table, .. } = Encoder::of(&spec());
        let eyelet::spec::Table::F32(table) = table else {
            panic!("the input is f32");
        };
        let mut tensor = vec![0.0; 224 * 224 * 3];
        group.bench_function("RGB24 by the image crate", |b| {
            b.iter(|| {
                let width = 256 * width_px / height_px;
                let small = imageops::resize(black_box(&source), width, 256, FilterType::Triangle);
                let crop = imageops::crop_imm(&small, (width - 224) / 2, 16, 224, 224);
                for (x, y, pixel) in crop.pixels() {
                    for (c, value) in pixel.0.into_iter().enumerate() {
                        let at = c * 224 * 224 + (y * 224 + x) as usize;
                        tensor[at] = table[c][usize::from(value)];
                    }
                }
                black_box(&mut tensor);
            });
        });
        group.finish();
    }
}

/// A camera's frame, and its way into the input of an int8 network: MJPEG is decoded, raw pictures are developed with a sensor's
/// colour matrix.
struct Camera {
    geometry: Geometry,
    bytes: Vec<u8>,
    preprocess: Preprocess,
    tensor: Vec<u8>,
    sequence: u64,
}

impl Camera {
    fn new(fourcc: [u8; 4], width_px: u32, height_px: u32) -> Self {
        let format = PixelFormat::from_fourcc(fourcc).unwrap();
        let geometry = Geometry::packed(format, width_px, height_px);
        let bytes = if format == PixelFormat::Mjpeg {
            let mut jpeg = std::io::Cursor::new(Vec::new());
            let picture = picture(width_px, height_px);
            picture
                .write_to(&mut jpeg, image::ImageFormat::Jpeg)
                .unwrap();
            jpeg.into_inner()
        } else {
            let mut bytes = vec![0; geometry.picture_bytes().unwrap()];
            fastrand::Rng::with_seed(1).fill(&mut bytes);
            bytes
        };
        Self::with(geometry, bytes)
    }

    fn of_jpeg(file: &str) -> Self {
        let (width_px, height_px) = image::image_dimensions(file).unwrap();
        let geometry = Geometry::packed(PixelFormat::Mjpeg, width_px, height_px);
        Self::with(geometry, std::fs::read(file).unwrap())
    }

    fn with(geometry: Geometry, bytes: Vec<u8>) -> Self {
        let spec = InputSpec::imagenet(Layout::Nhwc, Dtype::U8, 224, 224);
        let tuning = RawTuning {
            matrix: [
                [2.18, -0.71, -0.47],
                [-0.70, 2.76, -1.06],
                [-0.25, -0.72, 1.97],
            ],
            ..RawTuning::default()
        };
        Self {
            geometry,
            bytes,
            preprocess: Preprocess::new(&spec, Mount::default(), Encoder::of(&spec))
                .with_raw_tuning(tuning),
            tensor: vec![0; 224 * 224 * 3],
            sequence: 0,
        }
    }

    fn frame(&mut self) {
        self.sequence += 1;
        let bytes = black_box(&self.bytes);
        let frame = Frame::new(self.geometry, bytes, Duration::ZERO, self.sequence).unwrap();
        let input = Input::U8(black_box(&mut self.tensor));
        self.preprocess.run(&frame, input).unwrap();
    }
}

/// What cameras usually deliver: the IMX219 at half its size, developed in cells of 4x4; a smaller raw picture, in cells of 2x2;
/// webcams.
fn cameras(c: &mut Criterion) {
    for (fourcc, width_px, height_px) in [
        (b"pRAA", 1640, 1232),
        (b"RGGB", 1280, 720),
        (b"YUYV", 640, 480),
        (b"MJPG", 640, 480),
    ] {
        let mut camera = Camera::new(*fourcc, width_px, height_px);
        let format = camera.geometry.format;
        c.bench_function(
            &format!("int8 input/{width_px}x{height_px} {format}"),
            |b| {
                b.iter(|| camera.frame());
            },
        );
    }
}

criterion_group!(benches, raw, cameras);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let camera = match args.get(1..) {
        Some([flag, count, file]) if flag == "--frames" => Some((count, Camera::of_jpeg(file))),
        Some([flag, count, fourcc, size]) if flag == "--frames" => {
            let (width, height) = size.split_once('x').unwrap();
            let fourcc = fourcc.as_bytes().try_into().unwrap();
            let camera = Camera::new(fourcc, width.parse().unwrap(), height.parse().unwrap());
            Some((count, camera))
        }
        _ => None,
    };
    if let Some((count, mut camera)) = camera {
        (0..count.parse().unwrap()).for_each(|_: u32| camera.frame());
        return;
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
