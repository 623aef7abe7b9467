//! A plain floating-point implementation: the whole mosaic, one sample at a time; and the tests that compare the fast one with
//! it.

#![allow(clippy::unwrap_used)]

use super::Cell;
use crate::frame::{BayerFormat, Frame, Geometry, PixelFormat, RawTuning};
use crate::preprocess::{Area, Mount, Preprocess, PreprocessError};
use crate::spec::{ChannelOrder, Dtype, Encoder, Input, InputSpec, Layout, Resize};
use std::time::Duration;

/// sRGB's curve, from linear light.
fn srgb(light: f64) -> f64 {
    let light = light.clamp(0.0, 1.0);
    if light <= 0.003_130_8 {
        light * 12.92
    } else {
        1.055 * light.powf(1.0 / 2.4) - 0.055
    }
}

/// The whole developed picture, packed RGB.
fn developed(
    format: BayerFormat,
    frame: &Frame<'_>,
    side_px: usize,
    black: f64,
    gains: [f64; 3],
    matrix: [[f32; 3]; 3],
) -> (Geometry, Vec<u8>) {
    let geometry = frame.geometry;
    let stride = geometry.stride_bytes as usize;
    let (width, height) = (
        geometry.width_px as usize / 4 * 4 / side_px,
        geometry.height_px as usize / side_px,
    );
    let full = f64::from((1_u32 << format.depth.bits()) - 1);
    let mut rgb = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let (mut sums, mut counts) = ([0.0; 3], [0.0; 3]);
            for dy in 0..side_px {
                for dx in 0..side_px {
                    let (x, y) = (x * side_px + dx, y * side_px + dy);
                    let row = &frame.data[y * stride..];
                    let colour = format.order.colour_at(x, y);
                    sums[colour] += f64::from(format.row_sample(row, x)) / full;
                    counts[colour] += 1.0;
                }
            }
            let lights = [0, 1, 2].map(|c| {
                let light = (sums[c] / counts[c] - black) / (1.0 - black) * gains[c];
                light.clamp(0.0, 1.0)
            });
            for row in matrix {
                let light: f64 = lights.iter().zip(row).map(|(a, b)| a * f64::from(b)).sum();
                rgb.push((srgb(light) * 255.0).round() as u8);
            }
        }
    }
    let packed = Geometry::packed(PixelFormat::Rgb24, width as u32, height as u32);
    (packed, rgb)
}

/// As sensors have them.
const MATRIX: [[f32; 3]; 3] = [[2.2, -0.7, -0.5], [-0.7, 2.7, -1.0], [-0.2, -0.7, 1.9]];

fn spec(width_px: u32, height_px: u32, resize: Resize) -> InputSpec {
    InputSpec {
        layout: Layout::Nhwc,
        dtype: Dtype::U8,
        width_px,
        height_px,
        channels: ChannelOrder::Rgb,
        scale: 1.0,
        mean: [0.0; 3],
        std: [1.0; 3],
        resize,
        resize_shorter_px: width_px.max(height_px),
        fill: [10, 20, 30],
    }
}

fn crop_of(preprocess: &mut Preprocess, frame: &Frame<'_>, spec: &InputSpec) -> Vec<u8> {
    let mut tensor = vec![0; spec.width_px as usize * spec.height_px as usize * 3];
    preprocess.run(frame, Input::U8(&mut tensor)).unwrap();
    tensor
}

/// Checks one random picture against both cell sizes; returns which one was used.
fn check(random: &mut fastrand::Rng, format: BayerFormat, spec: &InputSpec) -> Cell {
    let size = (random.u32(32..120), random.u32(32..120));
    let mut geometry = Geometry::packed(PixelFormat::Bayer(format), size.0, size.1);
    geometry.stride_bytes += random.u32(0..30);
    let mut data = vec![0; geometry.picture_bytes().unwrap()];
    match random.u8(0..3) {
        0 => random.fill(&mut data),
        1 => data.fill(random.u8(..)),
        _ => data.fill_with(|| if random.bool() { 255 } else { 0 }),
    }
    let frame = Frame::new(geometry, &data, Duration::ZERO, 0).unwrap();
    let tuning = RawTuning {
        black_level: random.u16(0..8000),
        white_balance: Some([random.f32() * 2.0 + 0.5, random.f32() * 2.0 + 0.5]),
        matrix: if random.bool() {
            MATRIX
        } else {
            RawTuning::default().matrix
        },
        ..RawTuning::default()
    };
    let gains = tuning.white_balance.unwrap().map(f64::from);
    let least = gains[0].min(gains[1]).min(1.0);
    let gains = [gains[0] / least, 1.0 / least, gains[1] / least];
    let black = f64::from(tuning.black_level) / 65536.0;
    let (left, top) = (random.f32() * 0.5, random.f32() * 0.5);
    let area = if random.bool() {
        Area::WHOLE
    } else {
        Area {
            left,
            top,
            width: 0.5,
            height: 0.5,
        }
    };
    let mount = Mount {
        rotate_deg: 90 * random.u16(0..4),
        mirror: random.bool(),
        resize: None,
    };
    let areas = [area];
    let new = || Preprocess::of_areas(spec, mount, &areas, Encoder::of(spec));
    let fast = crop_of(&mut new().with_raw_tuning(tuning), &frame, spec);
    let off = |side_px: usize| {
        let (geometry, rgb) = developed(format, &frame, side_px, black, gains, tuning.matrix);
        let frame = Frame::new(geometry, &rgb, Duration::ZERO, 0).unwrap();
        let mut preprocess = new();
        if preprocess.prepare(geometry).is_err() {
            return u8::MAX; // the region is too small in the smaller picture
        }
        let plain = crop_of(&mut preprocess, &frame, spec);
        let both = fast.iter().zip(&plain);
        both.map(|(a, b)| a.abs_diff(*b)).max().unwrap()
    };
    let (two, four) = (off(2), off(4));
    let best = two.min(four);
    assert!(
        best <= 1,
        "{geometry} {area:?} {mount:?} {tuning:?}: off by {two} or {four} levels"
    );
    if two < four { Cell::Two } else { Cell::Four }
}

#[test]
fn every_format_and_mounting_agrees_on_random_shapes() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut seen = [0; 2];
    for format in BayerFormat::ALL {
        for resize in [Resize::Crop, Resize::Fit, Resize::Stretch] {
            for _ in 0..6 {
                let spec = spec(random.u32(4..30), random.u32(4..30), resize);
                let cell = check(&mut random, format, &spec);
                seen[usize::from(cell == Cell::Four)] += 1;
            }
        }
    }
    assert!(seen.into_iter().all(|count| count > 50), "{seen:?}");
}

#[test]
fn the_coarsest_cells_that_leave_enough_pixels_are_taken() {
    let raw = PixelFormat::Bayer(BayerFormat::ALL[0]);
    let input = spec(224, 224, Resize::Crop);
    for (size, area, cell) in [
        ((1640, 1232), Area::WHOLE, Cell::Four),
        ((1280, 720), Area::WHOLE, Cell::Two),
        ((896, 896), Area::WHOLE, Cell::Four),
        ((895, 895), Area::WHOLE, Cell::Two),
        ((640, 480), Area::WHOLE, Cell::Two),
        ((4, 4), Area::WHOLE, Cell::Two),
    ] {
        let mut preprocess =
            Preprocess::of_areas(&input, Mount::default(), &[area], Encoder::of(&input));
        let geometry = Geometry::packed(raw, size.0, size.1);
        preprocess.prepare(geometry).unwrap();
        assert_eq!(preprocess.cell(0), Some(cell), "{size:?}");
    }
    let mut preprocess = Preprocess::new(&input, Mount::default(), Encoder::of(&input));
    for size in [(3, 100), (100, 3)] {
        let geometry = Geometry::packed(raw, size.0, size.1);
        let error = preprocess.prepare(geometry).unwrap_err();
        assert_eq!(error, PreprocessError::Mosaic(geometry));
    }
}

/// Regions share one developer, and a frame's white is measured once, whichever region runs.
#[test]
fn regions_are_developed_alike_and_a_new_geometry_starts_over() {
    let mut random = fastrand::Rng::with_seed(8);
    let format = BayerFormat::ALL[13];
    let input = spec(20, 20, Resize::Stretch);
    let half = |left| Area {
        left,
        top: 0.0,
        width: 0.5,
        height: 1.0,
    };
    let areas = [half(0.0), half(0.5)];
    let mut both = Preprocess::of_areas(&input, Mount::default(), &areas, Encoder::of(&input));
    let mut tensor = vec![0; 20 * 20 * 3];
    for size in [(160, 80), (88, 90)] {
        let geometry = Geometry::packed(PixelFormat::Bayer(format), size.0, size.1);
        let mut data = vec![0; geometry.picture_bytes().unwrap()];
        random.fill(&mut data);
        let frame = Frame::new(geometry, &data, Duration::ZERO, 1).unwrap();
        for index in [1, 0, 1] {
            both.run_area(index, &frame, Input::U8(&mut tensor))
                .unwrap();
            let area = areas[index];
            let mut alone =
                Preprocess::of_areas(&input, Mount::default(), &[area], Encoder::of(&input));
            assert_eq!(tensor, crop_of(&mut alone, &frame, &input));
        }
    }
}
