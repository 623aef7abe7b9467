//! The names that board files use for pixel formats, and the formats accepted by default.

use crate::frame::{BayerDepth, BayerFormat, GreyDepth, PixelFormat};

/// Pixel formats of finished pictures that a board file can name. This is also the default of `formats`, best first: those
/// cheapest to convert, then MJPEG, because a JPEG has to be decoded.
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

/// Formats of more than 8 bits: they cost twice the memory reads and give a network no more detail, so they are used only when a
/// board file names them.
const DEEP_FORMATS: [(&str, PixelFormat); 6] = [
    ("p010", PixelFormat::P010),
    ("y10", PixelFormat::DeepGrey(GreyDepth::Bits10)),
    ("y12", PixelFormat::DeepGrey(GreyDepth::Bits12)),
    ("y16", PixelFormat::DeepGrey(GreyDepth::Bits16)),
    ("y10p", PixelFormat::DeepGrey(GreyDepth::Packed10)),
    ("y12p", PixelFormat::DeepGrey(GreyDepth::Packed12)),
];

/// How many finished formats a board file can name.
const READY: usize = FORMATS.len() + DEEP_FORMATS.len();

/// The same plus the raw ones of sensors, which are used only when a board file names them or such a sensor.
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

/// What a raw sensor is asked for: first 10 bits, which all of them have, then more, which cost more to read.
const RAW_DEPTHS: [BayerDepth; 5] = [
    BayerDepth::Packed10,
    BayerDepth::Bits10,
    BayerDepth::Packed12,
    BayerDepth::Bits12,
    BayerDepth::Bits8,
];

/// Acceptable formats when the board file names none.
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
