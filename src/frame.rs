//! One picture as a camera delivers it: format, geometry, bytes, time. Borrowed from the camera, never copied.
//!
//! A [`Frame`] holds exactly one picture: [`Frame::new`] cuts off extra bytes from the driver and refuses a short picture, so
//! nothing later needs to check. Sizes are computed in 64 bits with every overflow checked, because they come from drivers.

mod bayer;
mod raw;

pub use bayer::{BayerDepth, BayerFormat, BayerOrder};
pub use raw::RawTuning;

use std::fmt;
use std::time::Duration;

/// How a [`Frame`]'s bytes encode pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// 8-bit luma only, full range (FourCC `GREY`).
    Grey,
    /// One JPEG picture per frame (FourCC `MJPG` or `JPEG`).
    Mjpeg,
    /// A sensor's raw mosaic, one colour per pixel.
    Bayer(BayerFormat),
}

/// The shape of a picture in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// How the bytes encode pixels.
    pub format: PixelFormat,
    /// Pixels per row.
    pub width_px: u32,
    /// Rows.
    pub height_px: u32,
    /// Bytes from one row of the first plane to the next (chroma planes follow from it); 0 for MJPEG.
    pub stride_bytes: u32,
}

impl PixelFormat {
    /// Every format except the raw ones, which are [`BayerFormat::ALL`].
    pub const ALL: [Self; 8] = [
        Self::Yuyv,
        Self::Uyvy,
        Self::Nv12,
        Self::Yu12,
        Self::Rgb24,
        Self::Bgr24,
        Self::Grey,
        Self::Mjpeg,
    ];

    /// The kernel's code for the format (`V4L2_PIX_FMT_*`).
    pub const fn fourcc(self) -> [u8; 4] {
        *match self {
            Self::Yuyv => b"YUYV",
            Self::Uyvy => b"UYVY",
            Self::Nv12 => b"NV12",
            Self::Yu12 => b"YU12",
            Self::Rgb24 => b"RGB3",
            Self::Bgr24 => b"BGR3",
            Self::Grey => b"GREY",
            Self::Mjpeg => b"MJPG",
            Self::Bayer(format) => return format.fourcc(),
        }
    }

    /// The format of a kernel code; `JPEG` is MJPEG too (one whole JPEG per frame). `None` if we cannot read it.
    pub fn from_fourcc(fourcc: [u8; 4]) -> Option<Self> {
        if &fourcc == b"JPEG" {
            return Some(Self::Mjpeg);
        }
        let raw = BayerFormat::ALL.into_iter().map(Self::Bayer);
        Self::ALL
            .into_iter()
            .chain(raw)
            .find(|format| format.fourcc() == fourcc)
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yuyv => "YUYV",
            Self::Uyvy => "UYVY",
            Self::Nv12 => "NV12",
            Self::Yu12 => "YU12",
            Self::Rgb24 => "RGB24",
            Self::Bgr24 => "BGR24",
            Self::Grey => "GREY",
            Self::Mjpeg => "MJPEG",
            Self::Bayer(format) => return format.fmt(f),
        })
    }
}

impl Geometry {
    /// A picture without padding between its rows. A size too large for any memory gets the largest stride, which
    /// [`Geometry::picture_bytes`] then refuses.
    pub fn packed(format: PixelFormat, width_px: u32, height_px: u32) -> Self {
        let stride = min_stride_bytes(format, width_px);
        Self {
            format,
            width_px,
            height_px,
            stride_bytes: u32::try_from(stride).unwrap_or(u32::MAX),
        }
    }

    /// The smallest stride that holds a row of the first plane. Odd widths are rounded up to whole pairs if two pixels share
    /// their chroma in that plane (YUYV, UYVY) or in the one that follows with the same stride (NV12).
    pub fn min_stride_bytes(&self) -> u64 {
        min_stride_bytes(self.format, self.width_px)
    }

    /// Bytes from one row of the chroma plane(s) to the next; 0 for formats without such a plane.
    pub fn chroma_stride_bytes(&self) -> u64 {
        let stride = u64::from(self.stride_bytes);
        match self.format {
            PixelFormat::Nv12 => stride,
            PixelFormat::Yu12 => stride.div_ceil(2),
            _ => 0,
        }
    }

    /// Bytes of one picture, padding included; for MJPEG the minimum for any JPEG, whose length varies.
    ///
    /// Excludes the padding after the last row of the last plane: some drivers leave it out.
    pub fn picture_bytes(&self) -> Result<usize, FrameError> {
        if self.width_px == 0 || self.height_px == 0 {
            return Err(FrameError::Empty(*self));
        }
        if self.format == PixelFormat::Mjpeg {
            return Ok(SHORTEST_JPEG_BYTES);
        }
        if u64::from(self.stride_bytes) < self.min_stride_bytes() {
            return Err(FrameError::Stride(*self));
        }
        self.checked_bytes().ok_or(FrameError::TooLarge(*self))
    }

    fn checked_bytes(&self) -> Option<usize> {
        let (stride, rows) = (u64::from(self.stride_bytes), u64::from(self.height_px));
        let chroma_stride = self.chroma_stride_bytes();
        let chroma_width = u64::from(self.width_px).div_ceil(2);
        let chroma_rows = rows.div_ceil(2);
        let bytes = match self.format {
            PixelFormat::Nv12 => stride
                .checked_mul(rows)?
                .checked_add(chroma_stride.checked_mul(chroma_rows - 1)?)?
                .checked_add(2 * chroma_width)?,
            PixelFormat::Yu12 => stride
                .checked_mul(rows)?
                .checked_add(chroma_stride.checked_mul(2 * chroma_rows - 1)?)?
                .checked_add(chroma_width)?,
            _ => stride
                .checked_mul(rows - 1)?
                .checked_add(self.min_stride_bytes())?,
        };
        // A slice is never longer than isize::MAX.
        usize::try_from(bytes)
            .ok()
            .filter(|&bytes| isize::try_from(bytes).is_ok())
    }
}

impl fmt::Display for Geometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}x{}", self.format, self.width_px, self.height_px)
    }
}

/// SOI, an empty scan and EOI: no JPEG is shorter.
const SHORTEST_JPEG_BYTES: usize = 4;

fn min_stride_bytes(format: PixelFormat, width_px: u32) -> u64 {
    let width = u64::from(width_px);
    let pairs = width.div_ceil(2);
    match format {
        PixelFormat::Yuyv | PixelFormat::Uyvy => pairs * 4,
        PixelFormat::Nv12 => pairs * 2,
        PixelFormat::Yu12 | PixelFormat::Grey => width,
        PixelFormat::Rgb24 | PixelFormat::Bgr24 => width * 3,
        PixelFormat::Mjpeg => 0,
        PixelFormat::Bayer(format) => format.depth.row_bytes(width_px),
    }
}

/// One picture, borrowed from the camera. `data` is exactly one picture long (see [`Frame::new`]).
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Format and size of `data`.
    pub geometry: Geometry,
    /// The picture's bytes.
    pub data: &'a [u8],
    /// When the driver captured it, on `CLOCK_MONOTONIC`.
    pub captured_at: Duration,
    /// The camera's own picture count; a gap means pictures dropped before they reached us.
    pub sequence: u64,
}

impl<'a> Frame<'a> {
    /// A frame of exactly one picture: longer data is truncated (except MJPEG, whose length varies), shorter data is refused.
    pub fn new(
        geometry: Geometry,
        data: &'a [u8],
        captured_at: Duration,
        sequence: u64,
    ) -> Result<Self, FrameError> {
        let needed = geometry.picture_bytes()?;
        let data = match geometry.format {
            PixelFormat::Mjpeg if data.len() >= needed => data,
            _ => data.get(..needed).ok_or(FrameError::Short {
                geometry,
                needed,
                got: data.len(),
            })?,
        };
        Ok(Self {
            geometry,
            data,
            captured_at,
            sequence,
        })
    }
}

/// Why bytes are not one picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No pixels at all.
    #[error("a {0} picture has no pixels")]
    Empty(Geometry),
    /// Rows overlap.
    #[error("a {0} picture cannot have rows of {stride} bytes, it needs {least}",
        stride = .0.stride_bytes, least = .0.min_stride_bytes())]
    Stride(Geometry),
    /// More than this machine can address.
    #[error("a {0} picture with rows of {stride} bytes is larger than this machine can address",
        stride = .0.stride_bytes)]
    TooLarge(Geometry),
    /// Fewer bytes than the picture has.
    #[error("a {geometry} picture has {needed} bytes, but only {got} arrived")]
    Short {
        /// What the driver announced.
        geometry: Geometry,
        /// The picture's bytes.
        needed: usize,
        /// The bytes that arrived.
        got: usize,
    },
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn bytes(format: PixelFormat, width_px: u32, height_px: u32) -> usize {
        Geometry::packed(format, width_px, height_px)
            .picture_bytes()
            .unwrap()
    }

    #[test]
    fn picture_sizes_match_the_kernels() {
        assert_eq!(bytes(PixelFormat::Yuyv, 640, 480), 614_400);
        assert_eq!(bytes(PixelFormat::Uyvy, 3, 2), 16);
        assert_eq!(bytes(PixelFormat::Nv12, 640, 480), 460_800);
        assert_eq!(bytes(PixelFormat::Nv12, 3, 3), 4 * 3 + 4 * 2);
        assert_eq!(bytes(PixelFormat::Yu12, 640, 480), 460_800);
        assert_eq!(bytes(PixelFormat::Yu12, 3, 3), 9 + 4 + 4);
        assert_eq!(bytes(PixelFormat::Rgb24, 5, 7), 105);
        assert_eq!(bytes(PixelFormat::Grey, 5, 7), 35);
        // The IMX219's half-size picture, as the Raspberry Pi's receiver stores it.
        let raw = BayerFormat {
            order: BayerOrder::Rggb,
            depth: BayerDepth::Packed10,
        };
        assert_eq!(bytes(PixelFormat::Bayer(raw), 1640, 1232), 2_525_600);
    }

    #[test]
    fn padding_counts_except_after_the_last_row() {
        let mut geometry = Geometry::packed(PixelFormat::Rgb24, 5, 4);
        geometry.stride_bytes = 32;
        assert_eq!(geometry.picture_bytes(), Ok(3 * 32 + 15));
        geometry.stride_bytes = 14;
        assert_eq!(geometry.picture_bytes(), Err(FrameError::Stride(geometry)));
    }

    #[test]
    fn hostile_sizes_are_refused_without_overflow() {
        for format in PixelFormat::ALL {
            let empty = Geometry::packed(format, 0, 1);
            assert_eq!(empty.picture_bytes(), Err(FrameError::Empty(empty)));
        }
        for format in [PixelFormat::Rgb24, PixelFormat::Yuyv] {
            let huge = Geometry::packed(format, u32::MAX, u32::MAX);
            assert!(huge.picture_bytes().is_err(), "{huge}");
        }
        let huge = Geometry {
            format: PixelFormat::Nv12,
            width_px: u32::MAX,
            height_px: u32::MAX,
            stride_bytes: u32::MAX,
        };
        assert!(huge.picture_bytes().is_err());
    }

    #[test]
    fn a_frame_is_one_picture_long() {
        let geometry = Geometry::packed(PixelFormat::Grey, 4, 4);
        let data = [0; 20];
        let frame = Frame::new(geometry, &data, Duration::ZERO, 0).unwrap();
        assert_eq!(frame.data.len(), 16);
        let short = Frame::new(geometry, &data[..15], Duration::ZERO, 0).unwrap_err();
        assert_eq!(
            short.to_string(),
            "a GREY 4x4 picture has 16 bytes, but only 15 arrived"
        );
        let jpeg = Geometry::packed(PixelFormat::Mjpeg, 4, 4);
        assert_eq!(
            Frame::new(jpeg, &data, Duration::ZERO, 0)
                .unwrap()
                .data
                .len(),
            20
        );
        assert!(Frame::new(jpeg, &data[..3], Duration::ZERO, 0).is_err());
    }

    #[test]
    fn fourcc_both_ways() {
        for format in PixelFormat::ALL {
            assert_eq!(PixelFormat::from_fourcc(format.fourcc()), Some(format));
        }
        for format in BayerFormat::ALL.map(PixelFormat::Bayer) {
            assert_eq!(PixelFormat::from_fourcc(format.fourcc()), Some(format));
        }
        assert_eq!(PixelFormat::from_fourcc(*b"JPEG"), Some(PixelFormat::Mjpeg));
        assert_eq!(PixelFormat::from_fourcc(*b"PC1R"), None);
    }
}
