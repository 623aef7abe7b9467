//! One picture as a camera delivers it: format, geometry, bytes, time. Borrowed from the camera, never copied.

use std::time::Duration;

/// How the bytes of a [`Frame`] spell pixels. The names are the kernel's `V4L2_PIX_FMT_*` ones in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PixelFormat {
    /// Packed 4:2:2, bytes Y0 U Y1 V (FourCC `YUYV`).
    Yuyv,
    /// Packed 4:2:2, bytes U Y0 V Y1 (FourCC `UYVY`).
    Uyvy,
    /// Planar 4:2:0, a Y plane, then one plane of interleaved U V (FourCC `NV12`).
    Nv12,
    /// Planar 4:2:0, a Y plane, then a U and a V plane (FourCC `YU12`, also called I420).
    Yu12,
    /// Packed 8-bit R G B (FourCC `RGB3`).
    Rgb24,
    /// Packed 8-bit B G R (FourCC `BGR3`).
    Bgr24,
    /// 8-bit luma alone, full range (FourCC `GREY`).
    Grey,
    /// One JPEG picture a frame (FourCC `MJPG` or `JPEG`).
    Mjpeg,
}

/// The shape of a picture in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// How the bytes spell pixels.
    pub format: PixelFormat,
    /// Pixels a row.
    pub width_px: u32,
    /// Rows.
    pub height_px: u32,
    /// Bytes from one row of the first plane to the next (chroma planes follow from it); 0 for MJPEG.
    pub stride_bytes: u32,
}

/// One picture, borrowed from the camera that took it. `data` is exactly one picture long (see [`Frame::new`]).
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Format and size of `data`.
    pub geometry: Geometry,
    /// The picture's bytes.
    pub data: &'a [u8],
    /// When the driver captured it, on `CLOCK_MONOTONIC`.
    pub captured_at: Duration,
    /// The camera's own count of pictures; a gap means pictures that were dropped before us.
    pub sequence: u64,
}
