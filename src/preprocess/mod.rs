//! From a camera's frame to the network's input: colour conversion, crop, antialiased resize, normalisation.
//!
//! ```text
//! frame bytes --vertical taps--> columns of 8 or 16 rows --horizontal taps--> RGB crop --256-entry tables--> tensor
//! ```
//!
//! `placement` decides which part of the frame goes where: crop, fit or stretch, of the whole picture or of a region of it. The
//! resize yields 8-bit RGB (the crop, which the display shows too), and an [`Encoder`] turns each 8-bit value into the input's
//! value by a 256-entry table per channel, or by the straight line that fits a table of bytes. Only the needed part of the frame
//! is read, once (rows shared by two blocks, twice); rotation and mirroring only change indices. The borders of a fitted picture
//! are filled when the tables are built, and never touched again.
//!
//! Colour: YUYV, UYVY, NV12, YU12 and P010 are BT.601, limited range; their planes are resized first, chroma with separate taps
//! (its samples are taken to be centred on the pixels that share them), and converted after that. GREY is full range. Of samples
//! with more than 8 bits the upper eight count (`narrow`). Of an MJPEG frame the part that the network sees is decoded (`mjpeg`), to
//! planes of Y, Cb, Cr in full range that are then resized likewise. A sensor's raw mosaics are developed into small RGB pictures
//! (`develop`), which are then resized like any other.
//!
//! [`Encoder`]: crate::spec::Encoder

mod develop;
mod encode;
mod lanes;
mod line;
mod mjpeg;
mod narrow;
mod pipeline;
mod placement;
#[cfg(test)]
mod reference;
mod resize;
mod source;
mod taps;

pub use mjpeg::MjpegError;
pub use pipeline::{Decoded, Preprocess, PreprocessError};
pub use placement::{Area, Mount};

/// The upright picture that the network sees (cropped, fitted in or stretched), packed 8-bit RGB.
#[derive(Debug, Clone, Copy)]
pub struct Crop<'a> {
    /// Width.
    pub width_px: u32,
    /// Height.
    pub height_px: u32,
    /// `width_px * height_px * 3` bytes.
    pub rgb: &'a [u8],
}
