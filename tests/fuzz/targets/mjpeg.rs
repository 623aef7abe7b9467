//! One MJPEG frame of a camera: decoded, then prepared for a network.

use super::assert_said;
use eyelet::frame::{Frame, Geometry, PixelFormat};
use eyelet::preprocess::{MjpegError, Mount, Preprocess, PreprocessError};
use eyelet::spec::{Dtype, Encoder, Input, InputSpec, Layout, Resize};
use image::codecs::jpeg::JpegEncoder;
use std::time::Duration;

/// The network's picture.
const SIDE_PX: u32 = 24;
/// The camera's largest picture, each way.
const MAX_PX: u32 = 256;

pub fn run(data: &[u8]) {
    // The camera promises what the first frame header says.
    let is_header = |w: &&[u8]| w[0] == 0xff && (0xc0..=0xc2).contains(&w[1]);
    let (width_px, height_px) = data.windows(9).find(is_header).map_or((16, 16), |w| {
        let number = |at: usize| u32::from(u16::from_be_bytes([w[at], w[at + 1]]));
        (number(7), number(5))
    });
    if width_px > MAX_PX || height_px > MAX_PX {
        return;
    }
    let geometry = Geometry::packed(PixelFormat::Mjpeg, width_px, height_px);
    let Ok(frame) = Frame::new(geometry, data, Duration::ZERO, 0) else {
        return;
    };
    let seen = match prepare(&frame) {
        Ok(seen) => seen,
        Err(error) => return assert_said(&error.to_string()),
    };
    // A picture that is taken is taken whole: nothing of the one before shows through.
    let (mut used, mut tensor) = (preprocess(&geometry), tensor());
    let white = white(width_px, height_px);
    let before = Frame::new(geometry, &white, Duration::ZERO, 0).unwrap();
    used.run(&before, Input::U8(&mut tensor)).unwrap();
    used.run(&frame, Input::U8(&mut tensor)).unwrap();
    assert!(tensor == seen, "a stale part");
}

fn white(width_px: u32, height_px: u32) -> Vec<u8> {
    let mut jpeg = Vec::new();
    let rgb = vec![255; (width_px * height_px * 3) as usize];
    JpegEncoder::new(&mut jpeg)
        .encode(&rgb, width_px, height_px, image::ExtendedColorType::Rgb8)
        .unwrap();
    jpeg
}

/// From a frame to a network's input; any geometry that a frame has is taken. An error is one of the JPEG.
pub fn prepare(frame: &Frame<'_>) -> Result<Vec<u8>, MjpegError> {
    let mut tensor = tensor();
    match preprocess(&frame.geometry).run(frame, Input::U8(&mut tensor)) {
        Ok(()) => Ok(tensor),
        Err(PreprocessError::Mjpeg(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

fn tensor() -> Vec<u8> {
    vec![0; (SIDE_PX * SIDE_PX * 3) as usize]
}

/// Mounted in one way or another.
fn preprocess(geometry: &Geometry) -> Preprocess {
    let mount = Mount {
        rotate_deg: (geometry.width_px % 4) as u16 * 90,
        mirror: geometry.height_px % 2 == 1,
        resize: [None, Some(Resize::Fit), Some(Resize::Stretch)][geometry.width_px as usize % 3],
    };
    let spec = InputSpec::imagenet(Layout::Nchw, Dtype::U8, SIDE_PX, SIDE_PX);
    Preprocess::new(&spec, mount, Encoder::of(&spec))
}
