//! What the display shows: reading QEMU's screendump, and finding label and picture in it.

use embedded_graphics::primitives::Rectangle;
use eyelet::decide::{self, Candidate, Verdict};
use eyelet::show::Depth;
use eyelet::show::draw::Painter;
use eyelet::show::{Scene, State};
use image::imageops::{self, FilterType};
use image::{GrayImage, RgbImage};
use std::time::Duration;

/// Parses a binary PPM (P6, 8 bits), the form of QEMU's screendump.
pub fn parse_ppm(bytes: &[u8]) -> Option<RgbImage> {
    let mut fields = Vec::new();
    let mut at = 0;
    while fields.len() < 4 {
        let from = at
            + bytes[at..]
                .iter()
                .position(|byte| !byte.is_ascii_whitespace())?;
        let length = bytes[from..].iter().position(u8::is_ascii_whitespace)?;
        at = from + length;
        fields.push(std::str::from_utf8(&bytes[from..at]).ok()?);
    }
    if (fields[0], fields[3]) != ("P6", "255") {
        return None;
    }
    let pixels = bytes.get(at + 1..)?.to_vec();
    RgbImage::from_raw(fields[1].parse().ok()?, fields[2].parse().ok()?, pixels)
}

/// How alike two pictures of one size are: the correlation of their luma, -1 to 1.
fn likeness(left: &RgbImage, right: &RgbImage) -> f64 {
    assert_eq!(left.dimensions(), right.dimensions());
    let luma = |picture: &RgbImage| -> Vec<f64> {
        let grey: GrayImage = imageops::grayscale(picture);
        let values: Vec<f64> = grey
            .as_raw()
            .iter()
            .map(|&value| f64::from(value))
            .collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.into_iter().map(|value| value - mean).collect()
    };
    let (left, right) = (luma(left), luma(right));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(&left, &right) / (dot(&left, &left) * dot(&right, &right)).sqrt().max(1e-9)
}

/// A part of `screen`, and `picture` scaled to its size: how alike they are.
fn likeness_at(
    screen: &RgbImage,
    (x, y, width, height): (u32, u32, u32, u32),
    picture: &RgbImage,
) -> f64 {
    let part = imageops::crop_imm(screen, x, y, width, height).to_image();
    likeness(
        &part,
        &imageops::resize(picture, width, height, FilterType::Triangle),
    )
}

/// What the display must look like for a class of this name: the library's own drawing gives the label's pixels, the
/// photo the picture's. Percent, list and frame rate change from frame to frame and are not looked at.
pub fn shows(
    screen: &RgbImage,
    label: &str,
    photo: &RgbImage,
    others: &[&RgbImage],
) -> Result<(), String> {
    same_label(screen, State::Live, Some(&certain()), label)?;
    let likeness_of =
        |photo: &RgbImage| likeness_at(screen, picture_place(screen), &seen_by_network(photo));
    let own = likeness_of(photo);
    if own < 0.95 {
        return Err(format!(
            "the picture beside {label:?} is only {own:.3} like the photo"
        ));
    }
    match others
        .iter()
        .map(|other| likeness_of(other))
        .fold(0.0, f64::max)
    {
        other if other > 0.6 => Err(format!(
            "the picture beside {label:?} is also {other:.3} like another photo"
        )),
        _ => Ok(()),
    }
}

/// The display shows a picture of many colours beside text, not a blank screen or the kernel's console.
pub fn shows_something(screen: &RgbImage) -> Result<(), String> {
    let mut colours: Vec<_> = screen.pixels().map(|pixel| pixel.0).collect();
    colours.sort_unstable();
    colours.dedup();
    if colours.len() > 200 {
        Ok(())
    } else {
        Err(format!("the display has {} colours", colours.len()))
    }
}

/// The display must say that the camera is lost, and show none of the photos.
pub fn shows_loss(screen: &RgbImage, photos: &[&RgbImage]) -> Result<(), String> {
    let since = Duration::from_secs(1);
    same_label(screen, State::CameraLost { since }, None, "")?;
    let likeness = photos
        .iter()
        .map(|photo| likeness_at(screen, picture_place(screen), &seen_by_network(photo)))
        .fold(0.0, f64::max);
    if likeness > 0.6 {
        return Err(format!(
            "the lost camera's picture is still there ({likeness:.3} like it)"
        ));
    }
    Ok(())
}

/// What draws on a display of the size of `screen`.
fn painter(screen: &RgbImage) -> Painter {
    let (width, height) = screen.dimensions();
    Painter::new(width, height, Depth::Rgb888).unwrap()
}

/// The verdict that nothing else can be seen than the first class.
pub fn certain() -> Verdict {
    let certain = Candidate {
        class: 0,
        probability: 1.0,
    };
    Verdict {
        decided: Some(certain),
        top: [certain; decide::TOP],
        enter: Some(0.5),
        changed: false,
    }
}

/// What the library draws for a class of this name, without a picture.
pub fn drawing(
    painter: &mut Painter,
    state: State,
    verdict: Option<&Verdict>,
    label: &str,
) -> RgbImage {
    let labels = [label.to_string()];
    let canvas = painter.draw(&Scene {
        state,
        verdict,
        labels: &labels,
        unknown_label: "unknown",
        rate_fps: 0.0,
        picture: None,
        regions: &[],
        notice: None,
    });
    RgbImage::from_fn(canvas.width_px(), canvas.height_px(), |x, y| {
        image::Rgb(canvas.pixel(x, y))
    })
}

/// The pixels of the label's place are those that the library draws.
fn same_label(
    screen: &RgbImage,
    state: State,
    verdict: Option<&Verdict>,
    label: &str,
) -> Result<(), String> {
    let mut painter = painter(screen);
    let drawn = drawing(&mut painter, state, verdict, label);
    let (x, y, width, height) = place(painter.layout().label);
    let part = |picture: &RgbImage| imageops::crop_imm(picture, x, y, width, height).to_image();
    let (seen, drawn) = (part(screen), part(&drawn));
    if seen == drawn || seen == in_16_bits(drawn) {
        Ok(())
    } else {
        Err(format!(
            "the label's place does not read {label:?} in state {state:?}"
        ))
    }
}

/// The picture as a display of 16 bits a pixel (5, 6 and 5) has it, whose lower bits QEMU's screendump leaves zero.
pub fn in_16_bits(mut picture: RgbImage) -> RgbImage {
    for image::Rgb([red, green, blue]) in picture.pixels_mut() {
        *red &= 0xf8;
        *green &= 0xfc;
        *blue &= 0xf8;
    }
    picture
}

fn picture_place(screen: &RgbImage) -> (u32, u32, u32, u32) {
    place(
        painter(screen)
            .layout()
            .picture
            .expect("a display of this size has a picture"),
    )
}

fn place(rectangle: Rectangle) -> (u32, u32, u32, u32) {
    let Rectangle { top_left, size } = rectangle;
    (
        top_left.x as u32,
        top_left.y as u32,
        size.width,
        size.height,
    )
}

/// The part of the camera's picture that reaches the network: with the shorter side at 256, the middle 224 each way.
fn seen_by_network(picture: &RgbImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    let side = width.min(height) * 224 / 256;
    imageops::crop_imm(picture, (width - side) / 2, (height - side) / 2, side, side).to_image()
}
