//! Photos as a camera delivers them: 640x480 in every pixel format that the test uses.

use super::usb_camera::Seen;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{ImageReader, RgbImage};
use std::path::Path;

/// The size of every picture here.
pub const WIDTH_PX: u32 = 640;
pub const HEIGHT_PX: u32 = 480;

/// Reads `file` and makes it a camera's picture: its shorter side becomes 480 pixels, then its middle is cut out or set
/// on grey. The network's centre crop therefore sees the same part as it does of the file.
pub fn as_seen_by_camera(file: &Path) -> RgbImage {
    let photo = ImageReader::open(file)
        .and_then(ImageReader::with_guessed_format)
        .unwrap_or_else(|error| panic!("cannot open {}: {error}", file.display()))
        .decode()
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()))
        .to_rgb8();
    let (width, height) = photo.dimensions();
    let scale = f64::from(HEIGHT_PX) / f64::from(width.min(height));
    let scaled = |side: u32| (f64::from(side) * scale).round() as u32;
    let photo = imageops::resize(
        &photo,
        scaled(width),
        scaled(height),
        FilterType::CatmullRom,
    );
    let mut picture = RgbImage::from_pixel(WIDTH_PX, HEIGHT_PX, image::Rgb([128; 3]));
    let middle = |outer: u32, inner: u32| (i64::from(outer) - i64::from(inner)) / 2;
    imageops::overlay(
        &mut picture,
        &photo,
        middle(WIDTH_PX, photo.width()),
        middle(HEIGHT_PX, photo.height()),
    );
    picture
}

/// The picture in the USB camera's two formats.
pub fn seen(picture: &RgbImage) -> Seen {
    Seen {
        yuyv: yuyv(picture),
        mjpeg: jpeg(picture),
    }
}

fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 92)
        .encode_image(picture)
        .expect("writing to memory does not fail");
    bytes
}

/// Y, Cb, Cr in BT.601 limited range.
fn ycbcr([red, green, blue]: [u8; 3]) -> [f32; 3] {
    let [red, green, blue] = [red, green, blue].map(|value| f32::from(value) / 255.0);
    let luma = 0.299 * red + 0.587 * green + 0.114 * blue;
    [
        16.0 + 219.0 * luma,
        128.0 + 224.0 * (blue - luma) / 1.772,
        128.0 + 224.0 * (red - luma) / 1.402,
    ]
}

/// The mean of a block's chroma, and the luma of each of its pixels.
fn block<const N: usize>(picture: &RgbImage, places: [(u32, u32); N]) -> ([u8; N], [u8; 2]) {
    let values = places.map(|(x, y)| ycbcr(picture.get_pixel(x, y).0));
    let mean = |channel: usize| values.iter().map(|value| value[channel]).sum::<f32>() / N as f32;
    (
        values.map(|value| value[0].round() as u8),
        [1, 2].map(|channel| mean(channel).round() as u8),
    )
}

/// YUYV: two pixels in four bytes.
pub fn yuyv(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::with_capacity((WIDTH_PX * HEIGHT_PX * 2) as usize);
    for y in 0..HEIGHT_PX {
        for x in (0..WIDTH_PX).step_by(2) {
            let ([left, right], [cb, cr]) = block(picture, [(x, y), (x + 1, y)]);
            bytes.extend([left, cb, right, cr]);
        }
    }
    bytes
}

/// NV12: a plane of luma, then a plane of Cb, Cr for every 2x2 pixels.
pub fn nv12(picture: &RgbImage) -> Vec<u8> {
    let mut luma = vec![0; (WIDTH_PX * HEIGHT_PX) as usize];
    let mut chroma = Vec::with_capacity(luma.len() / 2);
    for y in (0..HEIGHT_PX).step_by(2) {
        for x in (0..WIDTH_PX).step_by(2) {
            let places = [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)];
            let (values, pair) = block(picture, places);
            for ((x, y), value) in places.into_iter().zip(values) {
                luma[(y * WIDTH_PX + x) as usize] = value;
            }
            chroma.extend(pair);
        }
    }
    luma.extend(chroma);
    luma
}

/// YU12: a plane of luma, then one of Cb and one of Cr for every 2x2 pixels.
pub fn yu12(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = nv12(picture);
    let chroma = bytes.split_off((WIDTH_PX * HEIGHT_PX) as usize);
    for first in [0, 1] {
        bytes.extend(chroma.iter().skip(first).step_by(2));
    }
    bytes
}

/// RGB24: the bytes as they are.
pub fn rgb24(picture: &RgbImage) -> Vec<u8> {
    picture.as_raw().clone()
}

/// GREY: luma alone, full range, as the V4L2 format has it.
pub fn grey(picture: &RgbImage) -> Vec<u8> {
    picture
        .pixels()
        .map(|pixel| {
            let [luma, _, _] = ycbcr(pixel.0);
            ((luma - 16.0) * 255.0 / 219.0).round() as u8
        })
        .collect()
}

/// Y10: the same of ten bits, in two bytes.
pub fn y10(picture: &RgbImage) -> Vec<u8> {
    let widened = |luma: u8| u16::from(luma) << 2 | u16::from(luma) >> 6;
    let samples = grey(picture).into_iter().map(widened);
    samples.flat_map(u16::to_le_bytes).collect()
}
