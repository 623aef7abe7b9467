//! One picture as a camera delivers it: format, geometry, bytes, time. Borrowed from the camera, never copied.
//!
//! The planes of a picture lie one behind the other, or each in its own memory (the kernel's multi-planar devices).
//!
//! A [`Frame`] holds exactly one picture: [`Frame::new`] cuts off extra bytes from the driver and refuses a short picture, so
//! nothing later needs to check. Sizes are computed in 64 bits with every overflow checked, because they come from drivers.

mod bayer;
mod grey;
mod raw;

pub use bayer::{BayerDepth, BayerFormat, BayerOrder};
pub use grey::GreyDepth;
pub use raw::RawTuning;

use std::fmt;
use std::ops::Range;
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
    /// As [`Self::Nv12`] with 10 bits per sample, in the high bits of two bytes, low byte first (FourCC `P010`).
    P010,
    /// Luma only, full range, of more than 8 bits.
    DeepGrey(GreyDepth),
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
    /// Bytes from one row of the first plane to the next (those of chroma planes follow from it); 0 for MJPEG.
    pub stride_bytes: u32,
}

impl PixelFormat {
    /// Every format except the raw ones, which are [`BayerFormat::ALL`].
    pub const ALL: [Self; 14] = [
        Self::Yuyv,
        Self::Uyvy,
        Self::Nv12,
        Self::Yu12,
        Self::Rgb24,
        Self::Bgr24,
        Self::Grey,
        Self::Mjpeg,
        Self::P010,
        Self::DeepGrey(GreyDepth::Bits16),
        Self::DeepGrey(GreyDepth::Bits12),
        Self::DeepGrey(GreyDepth::Bits10),
        Self::DeepGrey(GreyDepth::Packed12),
        Self::DeepGrey(GreyDepth::Packed10),
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
            Self::P010 => b"P010",
            Self::DeepGrey(depth) => return depth.fourcc(),
            Self::Bayer(format) => return format.fourcc(),
        }
    }

    /// The format of a kernel code. `JPEG` is MJPEG too (one whole JPEG per frame); `NM12` and `YM12` are NV12 and YU12 with each
    /// plane in its own memory. `None` if we cannot read it.
    pub fn from_fourcc(fourcc: [u8; 4]) -> Option<Self> {
        match &fourcc {
            b"JPEG" => return Some(Self::Mjpeg),
            b"NM12" => return Some(Self::Nv12),
            b"YM12" => return Some(Self::Yu12),
            _ => {}
        }
        let raw = BayerFormat::ALL.into_iter().map(Self::Bayer);
        Self::ALL
            .into_iter()
            .chain(raw)
            .find(|format| format.fourcc() == fourcc)
    }

    /// Whether its samples have more than 8 bits.
    pub const fn is_deep(self) -> bool {
        match self {
            Self::P010 | Self::DeepGrey(_) => true,
            Self::Bayer(format) => format.depth.bits() > 8,
            _ => false,
        }
    }

    /// Whether it is luma alone.
    pub const fn is_grey(self) -> bool {
        matches!(self, Self::Grey | Self::DeepGrey(_))
    }

    /// How many planes it has: one, or luma and one or two of chroma.
    pub const fn planes(self) -> usize {
        match self {
            Self::Nv12 | Self::P010 => 2,
            Self::Yu12 => 3,
            _ => 1,
        }
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
            Self::P010 => "P010",
            Self::DeepGrey(depth) => return depth.fmt(f),
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
            PixelFormat::Nv12 | PixelFormat::P010 => stride,
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
        let planes = self.plane_ranges().ok_or(FrameError::TooLarge(*self))?;
        Ok(planes[self.format.planes() - 1].end)
    }

    /// Bytes of each plane alone, the padding after its last row left out; 0 for planes that the format does not have. As
    /// [`Self::picture_bytes`], of which they are parts.
    pub fn plane_bytes(&self) -> Result<[usize; 3], FrameError> {
        let whole = self.picture_bytes()?;
        if self.format == PixelFormat::Mjpeg {
            return Ok([whole, 0, 0]);
        }
        let planes = self.plane_ranges().ok_or(FrameError::TooLarge(*self))?;
        Ok(planes.map(|plane| plane.len()))
    }

    /// Where the bytes of each plane lie when the planes follow each other; empty for planes that the format does not have.
    /// `None`: no memory holds them.
    fn plane_ranges(&self) -> Option<[Range<usize>; 3]> {
        let (stride, rows) = (u64::from(self.stride_bytes), u64::from(self.height_px));
        let chroma_stride = self.chroma_stride_bytes();
        let chroma_rows = rows.div_ceil(2);
        let chroma_row = match self.format {
            PixelFormat::Yu12 => u64::from(self.width_px).div_ceil(2),
            _ => self.min_stride_bytes(),
        };
        let luma = self.min_stride_bytes();
        let mut planes = [const { 0..0 }; 3];
        for (i, plane) in planes.iter_mut().enumerate().take(self.format.planes()) {
            let (start, stride, rows, row) = match i as u64 {
                0 => (0, stride, rows, luma),
                chroma => {
                    let before = chroma_stride.checked_mul(chroma_rows * (chroma - 1))?;
                    let start = stride.checked_mul(rows)?.checked_add(before)?;
                    (start, chroma_stride, chroma_rows, chroma_row)
                }
            };
            let bytes = stride.checked_mul(rows.checked_sub(1)?)?.checked_add(row)?;
            let end = usize::try_from(start.checked_add(bytes)?).ok()?;
            // A slice is never longer than isize::MAX.
            isize::try_from(end).ok()?;
            *plane = end - usize::try_from(bytes).ok()?..end;
        }
        Some(planes)
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
        PixelFormat::P010 => pairs * 4,
        PixelFormat::DeepGrey(depth) => depth.row_bytes(width_px),
        PixelFormat::Yu12 | PixelFormat::Grey => width,
        PixelFormat::Rgb24 | PixelFormat::Bgr24 => width * 3,
        PixelFormat::Mjpeg => 0,
        PixelFormat::Bayer(format) => format.depth.row_bytes(width_px),
    }
}

/// One picture, borrowed from the camera. `data` is exactly one picture long (see [`Frame::new`]), or its first plane
/// ([`Frame::of_planes`]).
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Format and size of `data`.
    pub geometry: Geometry,
    /// The picture's bytes; of one whose planes lie apart the luma's.
    pub data: &'a [u8],
    /// The planes of chroma, as far as the format has them.
    chroma: [&'a [u8]; 2],
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
        let chroma = match geometry.format.planes() {
            1 => None,
            _ => geometry.plane_ranges(),
        };
        Ok(Self {
            geometry,
            data,
            chroma: chroma.map_or_else(Default::default, |[_, u, v]| [&data[u], &data[v]]),
            captured_at,
            sequence,
        })
    }

    /// The same of planes that each have memory of their own; those that the format does not have are not looked at.
    pub fn of_planes(
        geometry: Geometry,
        [luma, u, v]: [&'a [u8]; 3],
        captured_at: Duration,
        sequence: u64,
    ) -> Result<Self, FrameError> {
        if geometry.format.planes() == 1 {
            return Self::new(geometry, luma, captured_at, sequence);
        }
        let needed = geometry.plane_bytes()?;
        let cut = |data: &'a [u8], needed| {
            data.get(..needed).ok_or(FrameError::Short {
                geometry,
                needed,
                got: data.len(),
            })
        };
        Ok(Self {
            geometry,
            data: cut(luma, needed[0])?,
            chroma: [cut(u, needed[1])?, cut(v, needed[2])?],
            captured_at,
            sequence,
        })
    }

    /// Its planes; those that the format does not have are empty. The first goes on with the others where they follow it.
    pub fn planes(&self) -> [&'a [u8]; 3] {
        let [u, v] = self.chroma;
        [self.data, u, v]
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
        assert_eq!(bytes(PixelFormat::P010, 640, 480), 921_600);
        assert_eq!(bytes(PixelFormat::P010, 3, 3), 8 * 3 + 8 * 2);
        let packed = PixelFormat::DeepGrey(GreyDepth::Packed10);
        assert_eq!(bytes(packed, 1280, 800), 1_280_000);
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
    fn planes_lie_behind_each_other_or_apart() {
        for format in PixelFormat::ALL {
            let mut geometry = Geometry::packed(format, 5, 3);
            geometry.stride_bytes += 4;
            let data: Vec<u8> = (0..geometry.picture_bytes().unwrap() as u8 + 9).collect();
            let frame = Frame::new(geometry, &data, Duration::ZERO, 0).unwrap();
            let planes = frame.planes();
            if format == PixelFormat::Mjpeg {
                assert_eq!(planes, [&data[..], &[], &[]]);
                continue;
            }
            let needed = geometry.plane_bytes().unwrap();
            assert_eq!(
                planes.iter().filter(|p| !p.is_empty()).count(),
                format.planes()
            );
            for (plane, &needed) in planes.iter().zip(&needed).skip(1) {
                assert_eq!(plane.len(), needed, "{format}");
            }
            // A driver's planes are longer than they need be.
            let apart = planes.map(|plane| [plane, &[77; 9]].concat());
            let slices = [0, 1, 2].map(|i| &apart[i][..]);
            let frame = Frame::of_planes(geometry, slices, Duration::ZERO, 0).unwrap();
            let cut = frame.planes();
            assert_eq!(cut.map(<[u8]>::len), needed, "{format}");
            for (cut, whole) in cut.iter().zip(planes) {
                assert_eq!(*cut, &whole[..cut.len()], "{format}");
            }
            for i in 0..format.planes() {
                let mut short = slices;
                short[i] = &short[i][..needed[i] - 1];
                let error = Frame::of_planes(geometry, short, Duration::ZERO, 0).unwrap_err();
                assert!(matches!(error, FrameError::Short { .. }), "{format} {i}");
            }
        }
        // Luma with its padding, two rows of u, two of v.
        let mut geometry = Geometry::packed(PixelFormat::Yu12, 4, 4);
        geometry.stride_bytes = 6;
        let data: Vec<u8> = (0..35).collect();
        let frame = Frame::new(geometry, &data, Duration::ZERO, 0).unwrap();
        assert_eq!(frame.planes()[1..], [&data[24..29], &data[30..35]]);
    }

    #[test]
    fn fourcc_both_ways() {
        for format in PixelFormat::ALL {
            assert_eq!(PixelFormat::from_fourcc(format.fourcc()), Some(format));
        }
        for format in BayerFormat::ALL.map(PixelFormat::Bayer) {
            assert_eq!(PixelFormat::from_fourcc(format.fourcc()), Some(format));
        }
        for (code, format) in [
            (b"JPEG", PixelFormat::Mjpeg),
            (b"NM12", PixelFormat::Nv12),
            (b"YM12", PixelFormat::Yu12),
        ] {
            assert_eq!(PixelFormat::from_fourcc(*code), Some(format));
        }
        assert_eq!(PixelFormat::from_fourcc(*b"PC1R"), None);
    }
}
