#![allow(clippy::unwrap_used)]

mod encode;
mod refused;

use super::super::placement::{Area, Mount, Placement, Rule};
use super::super::source::AxisTaps;
use super::super::{Preprocess, PreprocessError};
use super::{Decoder, MjpegError, Window};
use crate::basics::cases;
use crate::frame::{Frame, Geometry, PixelFormat};
use crate::jpeg::{self, Walker};
use crate::spec::{ChannelOrder, Dtype, Encoder, Input, InputSpec, Layout, Resize};
use encode::{Encoded, Recipe};
use fastrand::Rng;
use image::codecs::jpeg::JpegEncoder;
use std::time::Duration;

const SAMPLINGS: [&[(u8, u8)]; 9] = [
    &[(1, 1)],
    &[(2, 2)],
    &[(1, 1), (1, 1), (1, 1)],
    &[(2, 1), (1, 1), (1, 1)],
    &[(2, 2), (1, 1), (1, 1)],
    &[(1, 2), (1, 1), (1, 1)],
    &[(4, 1), (1, 1), (1, 1)],
    &[(2, 2), (1, 2), (1, 2)],
    &[(4, 2), (1, 1), (1, 1)],
];

fn recipe(size_px: (usize, usize), sampling: &[(u8, u8)]) -> Recipe {
    Recipe {
        size_px,
        sampling: sampling.to_vec(),
        restart_interval: 0,
        quantiser: 6,
        has_own_codes: false,
        has_tables: true,
    }
}

/// A picture of waves, edges and noise.
fn sample(random: &mut Rng, component: usize, x: usize, y: usize) -> f64 {
    let wave = ((x + 3 * component) as f64 / 5.0).sin() * ((y * y) as f64 / 300.0).cos();
    let edge = if (x / 9 + y / 7).is_multiple_of(3) {
        60.0
    } else {
        0.0
    };
    110.0 + wave * 80.0 + edge + random.f64() * 20.0
}

/// A picture of slow waves, whose chroma is that of the same place in every sampling.
fn smooth(recipe: &Recipe, component: usize, x: usize, y: usize) -> f64 {
    let most = |f: fn(&(u8, u8)) -> u8| recipe.sampling.iter().map(f).max().unwrap();
    let (own_h, own_v) = recipe.sampling[component];
    let place = |at: usize, most: u8, own: u8| (at as f64 + 0.5) * f64::from(most / own);
    let (x, y) = if recipe.sampling.len() == 1 {
        (x as f64, y as f64)
    } else {
        (
            place(x, most(|s| s.0), own_h),
            place(y, most(|s| s.1), own_v),
        )
    };
    let wave = ((x + 20.0 * component as f64) / 25.0).sin() * (y / 21.0).cos();
    128.0 + wave * if component == 0 { 70.0 } else { 30.0 }
}

fn encoded(recipe: &Recipe, seed: u64) -> Encoded {
    let mut random = Rng::with_seed(seed);
    recipe.encode(|component, x, y| sample(&mut random, component, x, y))
}

fn geometry(size_px: (usize, usize)) -> Geometry {
    Geometry::packed(PixelFormat::Mjpeg, size_px.0 as u32, size_px.1 as u32)
}

fn frame(data: &[u8], size_px: (usize, usize)) -> Frame<'_> {
    Frame::new(geometry(size_px), data, Duration::ZERO, 0).unwrap()
}

/// The part of a picture that a network of `input_px` sees of an area, whose taps are of no interest.
fn window(size_px: (usize, usize), input_px: (u32, u32), area: Area) -> Window {
    let rule = Rule {
        mount: Mount::default(),
        resize: Resize::Stretch,
        shorter_px: 1,
        input_px,
    };
    let size_px = (size_px.0 as u32, size_px.1 as u32);
    let placement = Placement::of(&rule, size_px, area).unwrap();
    Window::of(
        &placement,
        &mut AxisTaps::default(),
        &mut AxisTaps::default(),
    )
}

fn whole(size_px: (usize, usize)) -> (Window, Decoder) {
    let window = window(size_px, (size_px.0 as u32, size_px.1 as u32), Area::WHOLE);
    let mut decoder = Decoder::default();
    decoder.make_room(window.bytes());
    (window, decoder)
}

fn decode(jpeg: &[u8], size_px: (usize, usize)) -> Result<Vec<Vec<u8>>, MjpegError> {
    let (window, mut decoder) = whole(size_px);
    decoder.decode(&window, (size_px.0 as u32, size_px.1 as u32), jpeg)?;
    Ok(decoder.planes().map(<[u8]>::to_vec).into())
}

fn spec(input_px: (u32, u32), resize: Resize) -> InputSpec {
    InputSpec {
        layout: Layout::Nhwc,
        dtype: Dtype::U8,
        width_px: input_px.0,
        height_px: input_px.1,
        channels: ChannelOrder::Rgb,
        scale: 1.0,
        mean: [0.0; 3],
        std: [1.0; 3],
        resize,
        resize_shorter_px: input_px.0.min(input_px.1),
        fill: [0; 3],
    }
}

/// What a network sees of a frame.
fn seen(frame: &Frame<'_>, spec: &InputSpec) -> Result<Vec<u8>, PreprocessError> {
    let mut input = vec![0; (spec.width_px * spec.height_px * 3) as usize];
    let mut preprocess = Preprocess::new(spec, Mount::default(), Encoder::of(spec));
    preprocess.run(frame, Input::U8(&mut input))?;
    Ok(input)
}

/// The same by zune-jpeg: all of the picture in RGB.
fn by_zune(data: &[u8], size_px: (usize, usize)) -> Vec<u8> {
    let mut walker = Walker::default();
    walker.advance(data);
    let outline = walker.outline();
    let mut rgb = vec![0; size_px.0 * size_px.1 * 3];
    jpeg::decode(&data[..outline.data_end], outline, &mut rgb).unwrap();
    rgb
}

fn differences(a: &[u8], b: &[u8]) -> (u8, f64) {
    assert_eq!(a.len(), b.len());
    let all = a.iter().zip(b).map(|(a, b)| a.abs_diff(*b));
    let most = all.clone().max().unwrap_or(0);
    (most, all.map(f64::from).sum::<f64>() / a.len() as f64)
}

/// Every sample is what the definition says, at most a good step off.
#[test]
fn samples_are_those_of_the_definition() {
    let mut random = Rng::with_seed(41);
    for turn in 0..90 {
        let sampling = SAMPLINGS[turn % SAMPLINGS.len()];
        let size_px = (random.usize(1..80), random.usize(1..60));
        let recipe = Recipe {
            restart_interval: [0, 0, 1, 3][random.usize(..4)],
            quantiser: [1, 3, 20, 120, 300][random.usize(..5)],
            has_own_codes: turn % 2 == 0,
            ..recipe(size_px, sampling)
        };
        let encoded = encoded(&recipe, turn as u64);
        let planes = decode(&encoded.jpeg, size_px).unwrap();
        for (component, (plane, samples)) in planes.iter().zip(&encoded.planes).enumerate() {
            let most = |f: fn(&(u8, u8)) -> u8| recipe.sampling.iter().map(f).max().unwrap();
            let own = recipe.sampling[component];
            let pitch = usize::from(most(|s| s.0) / own.0);
            // The window is whole blocks of the widest kind.
            let stride = size_px.0.next_multiple_of(32) / pitch;
            for (i, exact) in samples.values.iter().enumerate() {
                let (x, y) = (i % samples.width, i / samples.width);
                let Some(&got) = plane.get(y * stride + x) else {
                    continue;
                };
                let is_needed =
                    x * pitch < size_px.0 && y * usize::from(most(|s| s.1) / own.1) < size_px.1;
                let apart = (exact.clamp(0.0, 255.0) - f64::from(got)).abs();
                assert!(
                    !is_needed || apart < 1.0,
                    "{recipe:?} {component} {x} {y}: {apart}"
                );
            }
        }
    }
}

/// Pictures of another encoder, of each quality, are what zune-jpeg makes of them: grey at most two steps off, and colours, each the
/// sum of two such values, four.
#[test]
fn every_quality_is_decoded_as_by_zune() {
    let mut random = Rng::with_seed(42);
    for quality in 1..=100 {
        let size_px = (random.usize(1..70), random.usize(1..50));
        let is_grey = quality % 4 == 0;
        let channels = if is_grey { 1 } else { 3 };
        let pixels = (0..size_px.0 * size_px.1 * channels).map(|i| {
            let (component, at) = (i % channels, i / channels);
            sample(&mut random, component, at % size_px.0, at / size_px.0) as u8
        });
        let pixels: Vec<u8> = pixels.collect();
        let colour = if is_grey {
            image::ExtendedColorType::L8
        } else {
            image::ExtendedColorType::Rgb8
        };
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, quality)
            .encode(&pixels, size_px.0 as u32, size_px.1 as u32, colour)
            .unwrap();
        let input_px = (size_px.0 as u32, size_px.1 as u32);
        let ours = seen(&frame(&jpeg, size_px), &spec(input_px, Resize::Stretch)).unwrap();
        let (most, mean) = differences(&ours, &by_zune(&jpeg, size_px));
        assert!(
            most <= if is_grey { 2 } else { 4 } && mean < 0.6,
            "quality {quality}: {most}, {mean}"
        );
    }
}

/// Halved chroma is enlarged by the resize; zune-jpeg does it in its own way, so chroma is smooth here.
#[test]
fn every_sampling_has_the_colours_of_zune() {
    for sampling in &SAMPLINGS[..6] {
        for restart_interval in [0, 2] {
            let size_px = (83, 61);
            let recipe = Recipe {
                restart_interval,
                quantiser: 2,
                ..recipe(size_px, sampling)
            };
            let chroma_px = |most: u8, own: u8| f64::from(most / own);
            let (h, v) = sampling[0];
            let encoded = recipe.encode(|component, x, y| {
                let (own_h, own_v) = sampling[component];
                let (x, y) = (
                    x as f64 * chroma_px(h, own_h),
                    y as f64 * chroma_px(v, own_v),
                );
                match component {
                    0 => 120.0 + 40.0 * (x / 3.0).sin() + y / 2.0,
                    1 => 90.0 + x / 2.0,
                    _ => 170.0 - y / 2.0,
                }
            });
            let jpeg = &encoded.jpeg;
            let ours = seen(&frame(jpeg, size_px), &spec((83, 61), Resize::Stretch)).unwrap();
            let (most, mean) = differences(&ours, &by_zune(jpeg, size_px));
            assert!(most <= 3 && mean < 0.6, "{sampling:?}: {most}, {mean}");
        }
    }
}

#[test]
fn missing_huffman_tables_are_the_standards() {
    let recipe = recipe((50, 40), &[(2, 1), (1, 1), (1, 1)]);
    let with_tables = encoded(&recipe, 1).jpeg;
    let mut bare = encoded(
        &Recipe {
            has_tables: false,
            ..recipe.clone()
        },
        1,
    )
    .jpeg;
    assert!(bare.len() + 400 < with_tables.len());
    let expected = decode(&with_tables, recipe.size_px).unwrap();
    assert_eq!(decode(&bare, recipe.size_px).unwrap(), expected);
    bare.extend([0; 100]); // padding after the end, as drivers leave it
    assert_eq!(decode(&bare, recipe.size_px).unwrap(), expected);
}

/// Where the resize shrinks, the blocks are shrunk first: the network sees nearly the same.
#[test]
fn shrunk_blocks_show_the_same() {
    // Some only on an emulated processor.
    for &sampling in &SAMPLINGS[..cases(SAMPLINGS.len())] {
        for (factor, input_px) in [
            (2, (160, 120)),
            (2, (120, 96)),
            (4, (80, 60)),
            (8, (32, 27)),
            (1, (300, 250)),
        ] {
            let size_px = (400, 300);
            let recipe = Recipe {
                quantiser: 3,
                ..recipe(size_px, sampling)
            };
            let encoded = recipe.encode(|component, x, y| smooth(&recipe, component, x, y));
            let spec = spec(input_px, Resize::Stretch);
            let ours = seen(&frame(&encoded.jpeg, size_px), &spec).unwrap();
            let planes = window(size_px, input_px, Area::WHOLE).bytes();
            let most_bytes = 3 * 416 * 320 / (factor * factor);
            assert!(
                planes <= most_bytes && most_bytes < planes * 4,
                "{planes} {most_bytes}"
            );
            // The same by the way of RGB.
            let rgb = by_zune(&encoded.jpeg, size_px);
            let geometry = Geometry::packed(PixelFormat::Rgb24, 400, 300);
            let rgb = Frame::new(geometry, &rgb, Duration::ZERO, 0).unwrap();
            let (most, mean) = differences(&ours, &seen(&rgb, &spec).unwrap());
            assert!(
                most <= 12 && mean < 1.5,
                "{sampling:?} {input_px:?}: {most}, {mean}"
            );
        }
    }
}

/// Each region is decoded for itself, whatever was decoded before, and a camera may change its mind about the sampling.
#[test]
fn regions_are_parts_of_the_whole() {
    let mut random = Rng::with_seed(44);
    let size_px = (150, 110);
    let areas = [
        (0.0, 0.0, 0.4, 0.5),
        (0.3, 0.2, 0.5, 0.6),
        (0.75, 0.7, 0.25, 0.3),
        (0.0, 0.0, 1.0, 1.0),
    ];
    let areas = areas.map(|(left, top, width, height)| Area {
        left,
        top,
        width,
        height,
    });
    let spec = spec((20, 24), Resize::Fit);
    for (rotate_deg, mirror) in [(0, false), (90, true), (180, false), (270, false)] {
        let mount = Mount {
            rotate_deg,
            mirror,
            resize: None,
        };
        let new = || Preprocess::of_areas(&spec, mount, &areas, Encoder::of(&spec));
        let mut used = new();
        for _ in 0..12 {
            let sampling = SAMPLINGS[random.usize(..SAMPLINGS.len())];
            let recipe = recipe(size_px, sampling);
            let jpeg = recipe
                .encode(|component, x, y| smooth(&recipe, component, x, y))
                .jpeg;
            let frame = frame(&jpeg, size_px);
            let index = random.usize(..areas.len());
            let (mut input, mut fresh_input) = ([1; 20 * 24 * 3], [2; 20 * 24 * 3]);
            used.run_area(index, &frame, Input::U8(&mut input)).unwrap();
            new()
                .run_area(index, &frame, Input::U8(&mut fresh_input))
                .unwrap();
            assert_eq!(input, fresh_input);
            // The same by the way of RGB, of which all is decoded.
            let rgb = by_zune(&jpeg, size_px);
            let geometry = Geometry::packed(PixelFormat::Rgb24, 150, 110);
            let rgb = Frame::new(geometry, &rgb, Duration::ZERO, 0).unwrap();
            new()
                .run_area(index, &rgb, Input::U8(&mut fresh_input))
                .unwrap();
            let (_, mean) = differences(&input, &fresh_input);
            assert!(mean < 2.5, "{sampling:?} {index}: {mean}");
        }
    }
}
