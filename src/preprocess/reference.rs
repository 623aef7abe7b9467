//! A plain floating-point implementation of the same rule, one sample at a time, and the tests that compare the fast one with it.
//!
//! Here the planes really are rotated and mirrored before anything is resized, and nothing is rounded before the end.

#![allow(clippy::unwrap_used)]

use super::{Area, Mount, Preprocess, PreprocessError};
use crate::basics;
use crate::frame::{BayerDepth, BayerFormat, Frame, Geometry, PixelFormat};
use crate::spec::{ChannelOrder, Dtype, Encoder, Input, InputSpec, Layout, Resize, Table};
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

    /// The filtered value at a point, with `ratio` source pixels per result pixel, from only those samples that overlap `area`
    /// (left, top, right, bottom).
    fn at(&self, x: f64, y: f64, ratio: (f64, f64), area: [f64; 4]) -> f64 {
        type Span = (f64, f64);
        let weights = |center: f64, begin: f64, pitch: f64, ratio: f64, count: usize, own: Span| {
            let center = (center - begin) / pitch;
            let reach = (ratio / pitch).max(1.0);
            let is_own = |k: usize| {
                let start = begin + k as f64 * pitch;
                start + pitch > own.0 && start < own.1
            };
            let weight = |k: usize| (1.0 - (k as f64 + 0.5 - center).abs() / reach).max(0.0);
            let w: Vec<f64> = (0..count)
                .map(|k| if is_own(k) { weight(k) } else { 0.0 })
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
        let ([left, top, right, bottom], wide) = (area, self.samples[0].len());
        let wx = weights(x, self.left, self.pitch.0, ratio.0, wide, (left, right));
        let high = self.samples.len();
        let wy = weights(y, self.top, self.pitch.1, ratio.1, high, (top, bottom));
        let rows = self.samples.iter().zip(&wy).filter(|(_, w)| **w > 0.0);
        rows.map(|(row, wy)| wy * row.iter().zip(&wx).map(|(v, w)| v * w).sum::<f64>())
            .sum()
    }
}

/// The planes of a frame, in the order R, G, B or Y, U, V, or only grey.
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
        // Compared with other references, by the tests of `narrow` and `develop`.
        _ => unreachable!(),
    }
}

/// A picture's size after the resize, and where it starts in the network's picture (below 0: the part that is cut off).
fn resized((w, h): (f64, f64), resize: Resize, spec: &InputSpec) -> ((f64, f64), (f64, f64)) {
    let (cw, ch) = (f64::from(spec.width_px), f64::from(spec.height_px));
    if resize == Resize::Stretch {
        return ((cw, ch), (0.0, 0.0));
    }
    if resize == Resize::Fit {
        let size = if cw / w <= ch / h {
            (cw, (cw * h / w).round_ties_even().max(1.0))
        } else {
            ((ch * w / h).round_ties_even().max(1.0), ch)
        };
        let start = |whole: f64, part: f64| ((whole - part) / 2.0).round_ties_even();
        return (size, (start(cw, size.0), start(ch, size.1)));
    }
    let shorter = f64::from(spec.resize_shorter_px);
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
    let start = |whole: f64, part: f64| -((whole - part) / 2.0).round_ties_even();
    ((rw, rh), (start(rw, cw), start(rh, ch)))
}

/// The network's picture as packed RGB, unrounded.
fn reference(frame: &Frame<'_>, mount: Mount, area: Area, spec: &InputSpec) -> Vec<f64> {
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
    let (whole_w, whole_h) = planes[0].size;
    let edge = |part: f32, length: f32, whole: f64| {
        let start = (f64::from(part) * whole).round();
        let end = ((f64::from(part) + f64::from(length)) * whole).round();
        (start, end.min(whole))
    };
    let (left, right) = edge(area.left, area.width, whole_w);
    let (top, bottom) = edge(area.top, area.height, whole_h);
    let (w, h) = (right - left, bottom - top);
    let resize = mount.resize.unwrap_or(spec.resize);
    let (size, start) = resized((w, h), resize, spec);
    let ratio = (w / size.0, h / size.1);
    let mut rgb = Vec::new();
    for row in 0..spec.height_px {
        for column in 0..spec.width_px {
            let x = f64::from(column) - start.0 + 0.5;
            let y = f64::from(row) - start.1 + 0.5;
            if x < 0.0 || y < 0.0 || x > size.0 || y > size.1 {
                rgb.extend(spec.fill.map(f64::from));
                continue;
            }
            let (x, y) = (left + x * ratio.0, top + y * ratio.1);
            let sides = [left, top, right, bottom];
            let value: Vec<f64> = planes.iter().map(|p| p.at(x, y, ratio, sides)).collect();
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
        resize: Resize::Crop,
        resize_shorter_px,
        fill: [200, 100, 50],
    }
}

fn crop_of(frame: &Frame<'_>, mount: Mount, spec: &InputSpec) -> Vec<u8> {
    crop_of_area(frame, mount, Area::WHOLE, spec)
}

fn crop_of_area(frame: &Frame<'_>, mount: Mount, area: Area, spec: &InputSpec) -> Vec<u8> {
    let mut preprocess = Preprocess::of_areas(spec, mount, &[area], Encoder::of(spec));
    let mut tensor = vec![0.0; spec.width_px as usize * spec.height_px as usize * 3];
    preprocess.run(frame, Input::F32(&mut tensor)).unwrap();
    preprocess.crop().rgb.to_vec()
}

/// Largest difference from the reference, in levels.
fn difference(frame: &Frame<'_>, mount: Mount, area: Area, spec: &InputSpec) -> f64 {
    let fast = crop_of_area(frame, mount, area, spec);
    let plain = reference(frame, mount, area, spec);
    fast.iter()
        .zip(&plain)
        .map(|(&a, &b)| (f64::from(a) - b).abs())
        .fold(0.0, f64::max)
}

fn mount(rotate_deg: u16, mirror: bool) -> Mount {
    Mount {
        rotate_deg,
        mirror,
        resize: None,
    }
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
    // Flat, random, or black and white: each stresses something else.
    match random.u8(0..3) {
        0 => random.fill(&mut data),
        1 => data.fill(random.u8(..)),
        _ => data.fill_with(|| if random.bool() { 255 } else { 0 }),
    }
    data
}

/// Checks one picture in every mounting.
fn check(random: &mut fastrand::Rng, format: PixelFormat, size: (u32, u32), spec: &InputSpec) {
    check_area(random, format, size, Area::WHOLE, spec);
}

/// The same for a region of it.
fn check_area(
    random: &mut fastrand::Rng,
    format: PixelFormat,
    size: (u32, u32),
    area: Area,
    spec: &InputSpec,
) {
    let mut geometry = Geometry::packed(format, size.0, size.1);
    if random.bool() {
        geometry.stride_bytes += 2 * random.u32(1..20);
    }
    let data = noise(random, &geometry);
    let frame = Frame::new(geometry, &data, Duration::ZERO, 0).unwrap();
    for rotate_deg in [0, 90, 180, 270] {
        for mirror in [false, true] {
            let mount = mount(rotate_deg, mirror);
            let worst = difference(&frame, mount, area, spec);
            assert!(
                worst <= 1.0,
                "{geometry:?} {mount:?} {area:?} {spec:?}: off by {worst:.2} levels"
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
fn fitted_and_stretched_pictures_agree_on_random_shapes() {
    let mut random = fastrand::Rng::with_seed(4);
    for format in RAW {
        for resize in [Resize::Fit, Resize::Stretch] {
            for _ in 0..5 {
                let size = (random.u32(1..90), random.u32(1..90));
                let input = (random.u32(1..45), random.u32(1..30));
                let spec = InputSpec {
                    resize,
                    ..spec(input.0, input.1, 50)
                };
                check(&mut random, format, size, &spec);
            }
        }
    }
}

#[test]
fn regions_agree_on_random_shapes() {
    let mut random = fastrand::Rng::with_seed(5);
    for format in RAW {
        for resize in [Resize::Crop, Resize::Fit, Resize::Stretch] {
            for _ in 0..3 {
                let size = (random.u32(30..90), random.u32(30..90));
                let (left, top) = (random.f32() * 0.5, random.f32() * 0.5);
                let part = |random: &mut fastrand::Rng, start: f32| {
                    0.35 + random.f32() * (1.0 - start - 0.35)
                };
                let area = Area {
                    left,
                    top,
                    width: part(&mut random, left),
                    height: part(&mut random, top),
                };
                let spec = InputSpec {
                    resize,
                    ..spec(random.u32(1..35), random.u32(1..35), random.u32(1..50))
                };
                check_area(&mut random, format, size, area, &spec);
            }
        }
    }
}

/// The board's way of resizing takes precedence over the model's, areas do not disturb each other, and borders stay filled from
/// frame to frame.
#[test]
fn areas_are_run_in_any_order_with_one_set_of_tables_each() {
    let mut random = fastrand::Rng::with_seed(6);
    let (left, right) = (0.0, 0.5);
    let areas = [left, right].map(|left| Area {
        left,
        top: 0.0,
        width: 0.5,
        height: 1.0,
    });
    let s = spec(24, 10, 12);
    let mount = Mount {
        resize: Some(Resize::Fit),
        ..Mount::default()
    };
    let mut preprocess = Preprocess::of_areas(&s, mount, &areas, Encoder::of(&s));
    let mut tensor = vec![0.0; 24 * 10 * 3];
    for size in [(40, 30), (64, 48)] {
        let geometry = Geometry::packed(PixelFormat::Yuyv, size.0, size.1);
        for index in [1, 0, 0, 1, 1] {
            let data = noise(&mut random, &geometry);
            let frame = Frame::new(geometry, &data, Duration::ZERO, 0).unwrap();
            let input = Input::F32(&mut tensor);
            preprocess.run_area(index, &frame, input).unwrap();
            let alone = crop_of_area(&frame, mount, areas[index], &s);
            assert_eq!(preprocess.crop_of_area(index).rgb, alone);
            assert_eq!(alone[..3], s.fill, "a border is filled");
        }
    }
    // In a small picture the areas are too small: an error, without harm to later frames.
    let small = Geometry::packed(PixelFormat::Grey, 15, 30);
    let data = vec![7; 15 * 30];
    let frame = Frame::new(small, &data, Duration::ZERO, 0).unwrap();
    let error = preprocess
        .run_area(1, &frame, Input::F32(&mut tensor))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("has 7x30 pixels of a picture of 15x30"),
        "{error}"
    );
    preprocess
        .run_area(0, &frame, Input::F32(&mut tensor))
        .unwrap();
    // For a raw picture both sizes are reported: the one requested from the camera, and the one that counts.
    let format = BayerFormat {
        depth: BayerDepth::Bits8,
        ..BayerFormat::ALL[0]
    };
    let raw = Geometry::packed(PixelFormat::Bayer(format), 30, 60);
    let error = preprocess.prepare(raw).unwrap_err().to_string();
    assert!(
        error.contains("has 7x30 pixels of a picture of 30x60 (raw, 14x30 once it is developed)"),
        "{error}"
    );
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
    let worst = difference(&frame, Mount::default(), Area::WHOLE, &spec(224, 224, 256));
    assert!(worst <= 1.0, "off by {worst:.2} levels");
    // A strong reduction: 30 rows and columns per pixel.
    let geometry = Geometry::packed(PixelFormat::Rgb24, 640, 480);
    let mut data = vec![0; geometry.picture_bytes().unwrap()];
    random.fill(&mut data);
    let frame = Frame::new(geometry, &data, Duration::ZERO, 0).unwrap();
    let worst = difference(&frame, Mount::default(), Area::WHOLE, &spec(14, 14, 16));
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
        let crop = crop_of(&frame, mount(rotate_deg, mirror), &spec(2, 2, 2));
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
    let jpeg = Geometry::packed(PixelFormat::Mjpeg, 65536, 10);
    assert!(matches!(
        preprocess.prepare(jpeg),
        Err(PreprocessError::Frame(_))
    ));
    let nothing = Geometry::packed(PixelFormat::Grey, 0, 10);
    assert!(matches!(
        preprocess.prepare(nothing),
        Err(PreprocessError::Frame(_))
    ));
    // And it works again after that.
    preprocess.run(&frame, Input::F32(&mut [0.0; 48])).unwrap();
}

#[test]
fn photos_match_the_stored_crops() {
    let Some(shared) = basics::shared() else {
        return;
    };
    let mut names = basics::names_in(&shared.join("photos"));
    names.retain(|name| name.ends_with(".png"));
    assert!(names.len() >= 8);
    for file in names {
        let photo = image::open(shared.join("photos").join(&file))
            .unwrap()
            .to_rgb8();
        let geometry = Geometry::packed(PixelFormat::Rgb24, photo.width(), photo.height());
        let frame = Frame::new(geometry, photo.as_raw(), Duration::ZERO, 0).unwrap();
        let crop = crop_of(&frame, Mount::default(), &spec(224, 224, 256));
        let name = file.trim_end_matches(".png");
        let expected = image::open(shared.join(format!("reference/{name}.224.png")))
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
