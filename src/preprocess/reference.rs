//! The same rule written plainly, in floating point, one sample at a time; and the tests that hold the fast one to it.
//!
//! Here the planes really are rotated and mirrored before anything is resized, and nothing is rounded before the end.

#![allow(clippy::unwrap_used)]

use super::{Encoder, Preprocess, PreprocessError, Table};
use crate::board::Mount;
use crate::frame::{Frame, Geometry, PixelFormat};
use crate::model::{ChannelOrder, Dtype, InputSpec, Layout};
use crate::network::Input;
use std::time::Duration;

/// One colour of a picture. Sample (i, j) covers `pitch` pixels from `left + i * pitch`, `top + j * pitch` on.
struct Plane {
    samples: Vec<Vec<f64>>,
    pitch: (f64, f64),
    left: f64,
    top: f64,
    size: (f64, f64),
}

impl Plane {
    fn read(frame: &Frame<'_>, half: (bool, bool), at: impl Fn(usize, usize) -> usize) -> Self {
        let (w, h) = (frame.geometry.width_px, frame.geometry.height_px);
        let count = |n: u32, half: bool| if half { n.div_ceil(2) } else { n } as usize;
        let samples = (0..count(h, half.1))
            .map(|j| {
                (0..count(w, half.0))
                    .map(|i| f64::from(frame.data[at(i, j)]))
                    .collect()
            })
            .collect();
        let pitch = |half: bool| if half { 2.0 } else { 1.0 };
        Self {
            samples,
            pitch: (pitch(half.0), pitch(half.1)),
            left: 0.0,
            top: 0.0,
            size: (f64::from(w), f64::from(h)),
        }
    }

    fn mirrored(mut self) -> Self {
        let covered = self.samples[0].len() as f64 * self.pitch.0;
        self.left = self.size.0 - (self.left + covered);
        self.samples.iter_mut().for_each(|row| row.reverse());
        self
    }

    /// A quarter turn clockwise: the left column, read upwards, becomes the top row.
    fn turned(self) -> Self {
        let (w, h) = (self.samples[0].len(), self.samples.len());
        let samples = (0..w)
            .map(|x| (0..h).rev().map(|y| self.samples[y][x]).collect())
            .collect();
        Self {
            samples,
            pitch: (self.pitch.1, self.pitch.0),
            left: self.size.1 - (self.top + h as f64 * self.pitch.1),
            top: self.left,
            size: (self.size.1, self.size.0),
        }
    }

    /// The filtered value at a point, with `ratio` source pixels a result pixel.
    fn at(&self, x: f64, y: f64, ratio: (f64, f64)) -> f64 {
        let weights = |center: f64, begin: f64, pitch: f64, ratio: f64, count: usize| {
            let center = (center - begin) / pitch;
            let reach = (ratio / pitch).max(1.0);
            let w: Vec<f64> = (0..count)
                .map(|k| (1.0 - (k as f64 + 0.5 - center).abs() / reach).max(0.0))
                .collect();
            let sum: f64 = w.iter().sum();
            if sum > 0.0 {
                return w.iter().map(|w| w / sum).collect::<Vec<_>>();
            }
            let nearest = (center as usize).min(count - 1);
            (0..count)
                .map(|k| if k == nearest { 1.0 } else { 0.0 })
                .collect()
        };
        let wx = weights(x, self.left, self.pitch.0, ratio.0, self.samples[0].len());
        let wy = weights(y, self.top, self.pitch.1, ratio.1, self.samples.len());
        let rows = self.samples.iter().zip(&wy).filter(|(_, w)| **w > 0.0);
        rows.map(|(row, wy)| wy * row.iter().zip(&wx).map(|(v, w)| v * w).sum::<f64>())
            .sum()
    }
}

/// The planes of a frame, in the order R, G, B or Y, U, V, or grey alone.
fn planes(frame: &Frame<'_>) -> Vec<Plane> {
    let stride = frame.geometry.stride_bytes as usize;
    let rows = frame.geometry.height_px as usize;
    let chroma_stride = frame.geometry.chroma_stride_bytes() as usize;
    let (none, wide, both) = ((false, false), (true, false), (true, true));
    let packed =
        |half, step, byte| Plane::read(frame, half, move |i, j| j * stride + i * step + byte);
    let u = stride * rows;
    let v = u + chroma_stride * rows.div_ceil(2);
    match frame.geometry.format {
        PixelFormat::Yuyv => vec![packed(none, 2, 0), packed(wide, 4, 1), packed(wide, 4, 3)],
        PixelFormat::Uyvy => vec![packed(none, 2, 1), packed(wide, 4, 0), packed(wide, 4, 2)],
        PixelFormat::Nv12 => vec![
            packed(none, 1, 0),
            Plane::read(frame, both, |i, j| u + j * chroma_stride + 2 * i),
            Plane::read(frame, both, |i, j| u + j * chroma_stride + 2 * i + 1),
        ],
        PixelFormat::Yu12 => vec![
            packed(none, 1, 0),
            Plane::read(frame, both, |i, j| u + j * chroma_stride + i),
            Plane::read(frame, both, |i, j| v + j * chroma_stride + i),
        ],
        PixelFormat::Rgb24 => vec![packed(none, 3, 0), packed(none, 3, 1), packed(none, 3, 2)],
        PixelFormat::Bgr24 => vec![packed(none, 3, 2), packed(none, 3, 1), packed(none, 3, 0)],
        PixelFormat::Grey => vec![packed(none, 1, 0)],
        PixelFormat::Mjpeg => unreachable!(),
    }
}

/// The crop as packed RGB, unrounded.
fn reference(frame: &Frame<'_>, mount: Mount, spec: &InputSpec) -> Vec<f64> {
    let yuv = matches!(
        frame.geometry.format,
        PixelFormat::Yuyv | PixelFormat::Uyvy | PixelFormat::Nv12 | PixelFormat::Yu12
    );
    let planes: Vec<Plane> = planes(frame)
        .into_iter()
        .map(|plane| {
            let plane = (0..mount.rotate_deg / 90).fold(plane, |plane, _| plane.turned());
            if mount.mirror {
                plane.mirrored()
            } else {
                plane
            }
        })
        .collect();
    let (w, h) = planes[0].size;
    let shorter = f64::from(spec.resize_shorter_px);
    let (cw, ch) = (f64::from(spec.width_px), f64::from(spec.height_px));
    let factor = (shorter / w.min(h)).max(cw / w).max(ch / h);
    let covers = (shorter / w.min(h) * w).round_ties_even() >= cw
        && (shorter / w.min(h) * h).round_ties_even() >= ch;
    let (rw, rh) = if covers && w <= h {
        (shorter, (shorter * h / w).round_ties_even())
    } else if covers {
        ((shorter * w / h).round_ties_even(), shorter)
    } else if cw / w >= ch / h {
        (cw, (factor * h).round_ties_even().max(ch))
    } else {
        ((factor * w).round_ties_even().max(cw), ch)
    };
    let offset = (
        ((rw - cw) / 2.0).round_ties_even(),
        ((rh - ch) / 2.0).round_ties_even(),
    );
    let ratio = (w / rw, h / rh);
    let mut rgb = Vec::new();
    for row in 0..spec.height_px {
        for column in 0..spec.width_px {
            let x = (f64::from(column) + offset.0 + 0.5) * ratio.0;
            let y = (f64::from(row) + offset.1 + 0.5) * ratio.1;
            let value: Vec<f64> = planes.iter().map(|p| p.at(x, y, ratio)).collect();
            if yuv {
                let y = (value[0] - 16.0) * 255.0 / 219.0;
                let (u, v) = (value[1] - 128.0, value[2] - 128.0);
                let c = 255.0 / 224.0;
                let r = y + 1.402 * c * v;
                let g = y - (0.114 * 1.772 * u + 0.299 * 1.402 * v) * c / 0.587;
                let b = y + 1.772 * c * u;
                rgb.extend([r, g, b].map(|x| x.clamp(0.0, 255.0)));
            } else {
                rgb.extend((0..3).map(|c| value[c % value.len()]));
            }
        }
    }
    rgb
}

pub(super) fn spec(width_px: u32, height_px: u32, resize_shorter_px: u32) -> InputSpec {
    InputSpec {
        layout: Layout::Nchw,
        dtype: Dtype::F32,
        width_px,
        height_px,
        channels: ChannelOrder::Rgb,
        scale: 1.0 / 255.0,
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        resize_shorter_px,
    }
}

fn crop_of(frame: &Frame<'_>, mount: Mount, spec: &InputSpec) -> Vec<u8> {
    let mut preprocess = Preprocess::new(spec, mount, Encoder::of(spec));
    let mut tensor = vec![0.0; spec.width_px as usize * spec.height_px as usize * 3];
    preprocess.run(frame, Input::F32(&mut tensor)).unwrap();
    preprocess.crop().rgb.to_vec()
}

/// Largest difference from the reference, in levels.
fn difference(frame: &Frame<'_>, mount: Mount, spec: &InputSpec) -> f64 {
    let fast = crop_of(frame, mount, spec);
    let plain = reference(frame, mount, spec);
    fast.iter()
        .zip(&plain)
        .map(|(&a, &b)| (f64::from(a) - b).abs())
        .fold(0.0, f64::max)
}

const RAW: [PixelFormat; 7] = [
    PixelFormat::Yuyv,
    PixelFormat::Uyvy,
    PixelFormat::Nv12,
    PixelFormat::Yu12,
    PixelFormat::Rgb24,
    PixelFormat::Bgr24,
    PixelFormat::Grey,
];

fn noise(random: &mut fastrand::Rng, geometry: &Geometry) -> Vec<u8> {
    let mut data = vec![0; geometry.picture_bytes().unwrap()];
    // Flat, rough, or black and white: each stresses something else.
    match random.u8(0..3) {
        0 => random.fill(&mut data),
        1 => data.fill(random.u8(..)),
        _ => data.fill_with(|| if random.bool() { 255 } else { 0 }),
    }
    data
}

/// Checks one picture in every mounting.
fn check(random: &mut fastrand::Rng, format: PixelFormat, size: (u32, u32), spec: &InputSpec) {
    let mut geometry = Geometry::packed(format, size.0, size.1);
    if random.bool() {
        geometry.stride_bytes += 2 * random.u32(1..20);
    }
    let data = noise(random, &geometry);
    let frame = Frame::new(geometry, &data, Duration::ZERO, 0).unwrap();
    for rotate_deg in [0, 90, 180, 270] {
        for mirror in [false, true] {
            let mount = Mount { rotate_deg, mirror };
            let worst = difference(&frame, mount, spec);
            assert!(
                worst <= 1.0,
                "{geometry:?} {mount:?} {spec:?}: off by {worst:.2} levels"
            );
        }
    }
}

#[test]
fn every_format_and_mounting_agrees_on_random_shapes() {
    let mut random = fastrand::Rng::with_seed(0x4579_656c_6574);
    for format in RAW {
        for _ in 0..12 {
            let size = (random.u32(1..90), random.u32(1..90));
            let crop = (random.u32(1..40), random.u32(1..40));
            let spec = spec(crop.0, crop.1, random.u32(1..60));
            check(&mut random, format, size, &spec);
        }
    }
}

#[test]
fn extreme_shapes_agree() {
    let mut random = fastrand::Rng::with_seed(2);
    for format in RAW {
        for size in [
            (1, 1),
            (2, 1),
            (1, 3),
            (700, 1),
            (1, 700),
            (3, 500),
            (333, 2),
        ] {
            check(&mut random, format, size, &spec(16, 16, 18));
            check(&mut random, format, size, &spec(21, 9, 5));
        }
    }
}

#[test]
fn the_real_shape_agrees() {
    let mut random = fastrand::Rng::with_seed(3);
    let geometry = Geometry::packed(PixelFormat::Yuyv, 160, 120);
    let mut data = noise(&mut random, &geometry);
    random.fill(&mut data);
    let frame = Frame::new(geometry, &data, Duration::ZERO, 0).unwrap();
    let worst = difference(&frame, Mount::default(), &spec(224, 224, 256));
    assert!(worst <= 1.0, "off by {worst:.2} levels");
    // A strong reduction: 30 rows and columns a pixel.
    let geometry = Geometry::packed(PixelFormat::Rgb24, 640, 480);
    let mut data = vec![0; geometry.picture_bytes().unwrap()];
    random.fill(&mut data);
    let frame = Frame::new(geometry, &data, Duration::ZERO, 0).unwrap();
    let worst = difference(&frame, Mount::default(), &spec(14, 14, 16));
    assert!(worst <= 1.0, "off by {worst:.2} levels");
}

#[test]
fn a_turned_picture_shows_its_corners_where_they_belong() {
    // R G      after 90 degrees clockwise  B R      and mirrored  R B
    // B W                                  W G                    G W
    let data = [255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255];
    let geometry = Geometry::packed(PixelFormat::Rgb24, 2, 2);
    let frame = Frame::new(geometry, &data, Duration::ZERO, 0).unwrap();
    let (r, g, b, w) = ([255, 0, 0], [0, 255, 0], [0, 0, 255], [255; 3]);
    let shown = |rotate_deg, mirror| {
        let crop = crop_of(&frame, Mount { rotate_deg, mirror }, &spec(2, 2, 2));
        crop.chunks(3).map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    assert_eq!(shown(0, false), [r, g, b, w]);
    assert_eq!(shown(90, false), [b, r, w, g]);
    assert_eq!(shown(90, true), [r, b, g, w]);
    assert_eq!(shown(180, false), [w, b, g, r]);
    assert_eq!(shown(270, false), [g, w, r, b]);
}

#[test]
fn bt601_known_colours() {
    for (yuv, rgb) in [
        ([16, 128, 128], [0, 0, 0]),
        ([235, 128, 128], [255, 255, 255]),
        ([81, 90, 240], [254, 0, 0]),
        ([145, 54, 34], [0, 255, 1]),
        ([41, 240, 110], [0, 0, 255]),
        ([0, 0, 0], [0, 136, 0]),
    ] {
        let data = [yuv[0], yuv[1], yuv[0], yuv[2]];
        let geometry = Geometry::packed(PixelFormat::Yuyv, 2, 1);
        let frame = Frame::new(geometry, &data, Duration::ZERO, 0).unwrap();
        assert_eq!(
            crop_of(&frame, Mount::default(), &spec(1, 1, 1)),
            rgb,
            "{yuv:?}"
        );
    }
}

#[test]
fn layouts_orders_and_types_of_the_tensor() {
    let data = [10, 20, 30, 40, 50, 60];
    let geometry = Geometry::packed(PixelFormat::Rgb24, 2, 1);
    let frame = Frame::new(geometry, &data, Duration::ZERO, 0).unwrap();
    let mut s = spec(2, 1, 1);
    s.dtype = Dtype::U8;
    for (layout, channels, expected) in [
        (Layout::Nhwc, ChannelOrder::Rgb, [10, 20, 30, 40, 50, 60]),
        (Layout::Nhwc, ChannelOrder::Bgr, [30, 20, 10, 60, 50, 40]),
        (Layout::Nchw, ChannelOrder::Rgb, [10, 40, 20, 50, 30, 60]),
        (Layout::Nchw, ChannelOrder::Bgr, [30, 60, 20, 50, 10, 40]),
    ] {
        (s.layout, s.channels) = (layout, channels);
        let mut preprocess = Preprocess::new(&s, Mount::default(), Encoder::of(&s));
        let mut tensor = [0; 6];
        preprocess.run(&frame, Input::U8(&mut tensor)).unwrap();
        assert_eq!(tensor, expected, "{layout:?} {channels:?}");
    }
    let s = spec(2, 1, 1);
    let mut preprocess = Preprocess::new(&s, Mount::default(), Encoder::of(&s));
    let mut tensor = [0.0; 6];
    preprocess.run(&frame, Input::F32(&mut tensor)).unwrap();
    let expected = (40.0 / 255.0 - 0.485) / 0.229;
    assert!((tensor[1] - expected).abs() < 1e-6);
    // A plan that takes quantised bytes gets them by its own table.
    let table = Box::new(std::array::from_fn(|c| {
        std::array::from_fn(|i| (i as u8).wrapping_sub(c as u8))
    }));
    let encoder = Encoder {
        layout: Layout::Nchw,
        channels: ChannelOrder::Rgb,
        table: Table::U8(table),
    };
    let mut preprocess = Preprocess::new(&s, Mount::default(), encoder);
    let mut tensor = [0; 6];
    preprocess.run(&frame, Input::U8(&mut tensor)).unwrap();
    assert_eq!(tensor, [10, 40, 19, 49, 28, 58]);
}

#[test]
fn wrong_tensors_and_frames_are_refused() {
    let s = spec(4, 4, 4);
    let mut preprocess = Preprocess::new(&s, Mount::default(), Encoder::of(&s));
    let data = [0; 100];
    let grey = Geometry::packed(PixelFormat::Grey, 10, 10);
    let frame = Frame::new(grey, &data, Duration::ZERO, 0).unwrap();
    let error = preprocess.run(&frame, Input::U8(&mut [0; 48])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the network's input has 48 u8 values, the preprocess makes 48 f32 values"
    );
    assert!(preprocess.run(&frame, Input::F32(&mut [0.0; 47])).is_err());
    let jpeg = Geometry::packed(PixelFormat::Mjpeg, 10, 10);
    assert_eq!(preprocess.prepare(jpeg), Err(PreprocessError::Compressed));
    let nothing = Geometry::packed(PixelFormat::Grey, 0, 10);
    assert!(matches!(
        preprocess.prepare(nothing),
        Err(PreprocessError::Frame(_))
    ));
    // And it works again after that.
    preprocess.run(&frame, Input::F32(&mut [0.0; 48])).unwrap();
}

/// A folder of `../shared`, or why there is none.
fn shared(name: &str) -> Option<std::path::PathBuf> {
    let shared = std::env::var_os("EYELET_SHARED").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        Into::into,
    );
    let folder = shared.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: there is no {}", folder.display());
    None
}

#[test]
fn photos_match_the_stored_crops() {
    let (Some(photos), Some(stored)) = (shared("photos"), shared("reference")) else {
        return;
    };
    let mut names: Vec<_> = std::fs::read_dir(&photos)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "png"))
        .collect();
    names.sort();
    assert!(names.len() >= 8);
    for path in names {
        let photo = image::open(&path).unwrap().to_rgb8();
        let geometry = Geometry::packed(PixelFormat::Rgb24, photo.width(), photo.height());
        let frame = Frame::new(geometry, photo.as_raw(), Duration::ZERO, 0).unwrap();
        let crop = crop_of(&frame, Mount::default(), &spec(224, 224, 256));
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let expected = image::open(stored.join(format!("{name}.224.png")))
            .unwrap()
            .to_rgb8();
        let differences = crop
            .iter()
            .zip(expected.as_raw())
            .map(|(a, b)| a.abs_diff(*b));
        let worst = differences.clone().max().unwrap();
        let mean = differences.map(f64::from).sum::<f64>() / crop.len() as f64;
        println!("{name}: worst {worst}, mean {mean:.3} grey levels");
        assert!(
            worst <= 2 && mean < 0.5,
            "{name}: worst {worst}, mean {mean:.3}"
        );
    }
}
