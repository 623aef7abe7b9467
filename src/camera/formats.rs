//! The words that board files have for pixel formats, and which formats are taken where they name none.

use crate::frame::{BayerDepth, BayerFormat, GreyDepth, PixelFormat};

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

/// Formats of more than 8 bits: they cost twice the memory reads and show a network nothing more, so they are taken only when a board
/// file names them.
const DEEP_FORMATS: [(&str, PixelFormat); 6] = [
    ("p010", PixelFormat::P010),
    ("y10", PixelFormat::DeepGrey(GreyDepth::Bits10)),
    ("y12", PixelFormat::DeepGrey(GreyDepth::Bits12)),
    ("y16", PixelFormat::DeepGrey(GreyDepth::Bits16)),
    ("y10p", PixelFormat::DeepGrey(GreyDepth::Packed10)),
    ("y12p", PixelFormat::DeepGrey(GreyDepth::Packed12)),
];

/// How many ready formats a board file can name.
const READY: usize = FORMATS.len() + DEEP_FORMATS.len();

/// The same and the raw ones of a sensor, which are taken only when a board file names them or such a sensor.
pub const NAMED_FORMATS: [(&str, PixelFormat); READY + BayerFormat::ALL.len()] = {
    let mut named = [FORMATS[0]; READY + BayerFormat::ALL.len()];
    let mut i = 0;
    while i < named.len() {
        named[i] = if i < FORMATS.len() {
            FORMATS[i]
        } else if i < READY {
            DEEP_FORMATS[i - FORMATS.len()]
        } else {
            let format = BayerFormat::ALL[i - READY];
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
