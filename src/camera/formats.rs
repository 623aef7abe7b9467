//! The words that board files have for pixel formats, and which formats are taken where they name none.

use crate::frame::{BayerDepth, BayerFormat, PixelFormat};

/// Pixel formats of ready pictures that a board file can name; as a default for `formats` they stand best first: those that cost least to
/// convert, with MJPEG after them, because a JPEG has to be decoded.
pub const FORMATS: [(&str, PixelFormat); 8] = [
    ("yuyv", PixelFormat::Yuyv),
    ("uyvy", PixelFormat::Uyvy),
    ("nv12", PixelFormat::Nv12),
    ("yu12", PixelFormat::Yu12),
    ("rgb24", PixelFormat::Rgb24),
    ("bgr24", PixelFormat::Bgr24),
    ("mjpeg", PixelFormat::Mjpeg),
    ("grey", PixelFormat::Grey),
];

/// The same and the raw ones of a sensor, which are taken only when a board file names them or such a sensor.
pub const NAMED_FORMATS: [(&str, PixelFormat); FORMATS.len() + BayerFormat::ALL.len()] = {
    let mut named = [FORMATS[0]; FORMATS.len() + BayerFormat::ALL.len()];
    let mut i = 0;
    while i < named.len() {
        named[i] = if i < FORMATS.len() {
            FORMATS[i]
        } else {
            let format = BayerFormat::ALL[i - FORMATS.len()];
            (format.name(), PixelFormat::Bayer(format))
        };
        i += 1;
    }
    named
};

/// What a raw sensor is asked for: 10 bits, which all of them have, before more, which cost more to read.
const RAW_DEPTHS: [BayerDepth; 5] = [
    BayerDepth::Packed10,
    BayerDepth::Bits10,
    BayerDepth::Packed12,
    BayerDepth::Bits12,
    BayerDepth::Bits8,
];

/// Acceptable formats when the board file says nothing of them.
pub fn default_formats(is_raw: bool) -> Vec<PixelFormat> {
    if !is_raw {
        return FORMATS.map(|(_, format)| format).to_vec();
    }
    let of_depth = |depth| {
        BayerFormat::ALL
            .into_iter()
            .filter(move |format| format.depth == depth)
    };
    let formats = RAW_DEPTHS.into_iter().flat_map(of_depth);
    formats.map(PixelFormat::Bayer).collect()
}
