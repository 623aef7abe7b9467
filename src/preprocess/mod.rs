//! From a camera's frame to the network's input: colour conversion, crop, antialiased resize, normalisation.
//!
//! ```text
//! frame bytes --vertical taps--> columns of 8 rows --horizontal taps--> RGB crop --256-entry tables--> tensor
//! ```
//!
//! Which part of the frame goes where is `placement`'s: crop, fit or stretch, of the whole picture or of a region of it.
//! The resize yields 8-bit RGB (the crop, which the display shows too), and an [`Encoder`] turns each 8-bit value into the
//! input's value by a 256-entry table a channel, or by the straight line that a table of bytes is. Only the part of the frame
//! that is needed is read, once (rows that two blocks share, twice); rotation and mirror are a choice of indices. What a fitted
//! picture leaves free is filled when the tables are built, and never touched again.
//!
//! Colour: YUYV, UYVY, NV12 and YU12 are BT.601, limited range; their planes are resized first, chroma with taps of its own
//! (its samples taken to sit in the middle of the pixels that share them), and converted after that. GREY is full range.
//! MJPEG is decoded before ([`MjpegDecoder`]). Raw mosaics of a sensor are developed into small RGB pictures (`develop`), which
//! are then resized as others are.

mod develop;
mod encode;
mod lanes;
mod line;
mod mjpeg;
mod pipeline;
mod placement;
#[cfg(test)]
mod reference;
mod source;
mod taps;

pub use mjpeg::{MjpegDecoder, MjpegError};
pub use pipeline::{Preprocess, PreprocessError};

use crate::model::{ChannelOrder, InputSpec, Layout};

/// How an 8-bit pixel value becomes a value of the input tensor: one table a colour, in the order R, G, B.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoder {
    /// Order of the tensor's axes.
    pub layout: Layout,
    /// Which colour is channel 0 of the tensor.
    pub channels: ChannelOrder,
    /// The values.
    pub table: Table,
}

/// The 256 values of each colour (R, G, B).
#[derive(Debug, Clone, PartialEq)]
pub enum Table {
    /// For an `Input::F32`.
    F32(Box<[[f32; 256]; 3]>),
    /// For an `Input::U8`: pixels as they are, or quantised values (an i8 value by its bits).
    U8(Box<[[u8; 256]; 3]>),
}

impl Encoder {
    /// The encoder that a model's input asks for: `(pixel * scale - mean[c]) / std[c]`, or the pixel itself for bytes.
    pub fn of(input: &InputSpec) -> Self {
        let table = match input.dtype {
            crate::model::Dtype::F32 => {
                let mut table = Box::new([[0.0; 256]; 3]);
                for (c, values) in table.iter_mut().enumerate() {
                    for (pixel, value) in values.iter_mut().enumerate() {
                        *value = (pixel as f32 * input.scale - input.mean[c]) / input.std[c];
                    }
                }
                Table::F32(table)
            }
            crate::model::Dtype::U8 => {
                Table::U8(Box::new([std::array::from_fn(|pixel| pixel as u8); 3]))
            }
        };
        Self {
            layout: input.layout,
            channels: input.channels,
            table,
        }
    }
}

/// The upright picture that the network sees (a crop, or one that is fitted in or stretched), packed 8-bit RGB.
#[derive(Debug, Clone, Copy)]
pub struct Crop<'a> {
    /// Width.
    pub width_px: u32,
    /// Height.
    pub height_px: u32,
    /// `width_px * height_px * 3` bytes.
    pub rgb: &'a [u8],
}
