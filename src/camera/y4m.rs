//! YUV4MPEG2 (Y4M): one header line, then frames, each a line that begins with `FRAME` and the planes without padding.
//!
//! 8 bits per sample; 4:2:0 of any siting is used unchanged (YU12), 4:2:2 is packed into YUYV, 4:4:4 is converted to RGB24, mono
//! is GREY. Without `XCOLORRANGE`, colour is limited range and mono is full range, as ffmpeg writes them; the other range is
//! converted to that by a table.

use crate::frame::{Geometry, PixelFormat};
use std::ops::Range;

/// How a Y4M stream begins.
pub(super) const MAGIC: &[u8] = b"YUV4MPEG2 ";

/// The longest accepted header line and `FRAME` line.
pub(super) const LONGEST_HEADER_BYTES: usize = 1024;
pub(super) const LONGEST_FRAME_LINE_BYTES: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sampling {
    Mono,
    Yuv420,
    Yuv422,
    Yuv444,
}

/// The contents of the header line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    width_px: u32,
    height_px: u32,
    sampling: Sampling,
    /// Whether samples have the less usual range for their kind.
    unusual_range: bool,
}

impl Header {
    /// Reads the header line, without its newline.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(line).map_err(|_| "its header is not text".to_string())?;
        let (mut width, mut height, mut colour, mut range) = (0, 0, "420", "");
        for field in text.split(' ').skip(1).filter(|field| !field.is_empty()) {
            let (key, value) = field.split_at_checked(1).unwrap_or(("", field));
            let number = || {
                value
                    .parse::<u32>()
                    .ok()
                    .filter(|n| (1..=65_535).contains(n))
                    .ok_or(format!("its header says {field}, 1 to 65535 was expected"))
            };
            match key {
                "W" => width = number()?,
                "H" => height = number()?,
                "C" => colour = value,
                "X" => range = value.strip_prefix("COLORRANGE=").unwrap_or(range),
                _ => {}
            }
        }
        if width == 0 || height == 0 {
            return Err("its header lacks the size (W and H)".into());
        }
        let sampling = match colour {
            "mono" => Sampling::Mono,
            "420" | "420jpeg" | "420mpeg2" | "420paldv" => Sampling::Yuv420,
            "422" => Sampling::Yuv422,
            "444" => Sampling::Yuv444,
            other => {
                return Err(format!(
                    "its samples are C{other}; only C420, C422, C444 and Cmono are read (ffmpeg: -pix_fmt yuv420p)"
                ));
            }
        };
        let unusual = if sampling == Sampling::Mono {
            "LIMITED"
        } else {
            "FULL"
        };
        Ok(Self {
            width_px: width,
            height_px: height,
            sampling,
            unusual_range: range == unusual,
        })
    }

    /// The geometry of the frames handed out.
    pub fn geometry(&self) -> Geometry {
        let format = match self.sampling {
            Sampling::Mono => PixelFormat::Grey,
            Sampling::Yuv420 => PixelFormat::Yu12,
            Sampling::Yuv422 => PixelFormat::Yuyv,
            Sampling::Yuv444 => PixelFormat::Rgb24,
        };
        Geometry::packed(format, self.width_px, self.height_px)
    }

    /// Width and rows of the luma plane and of each chroma plane.
    fn planes(&self) -> ((usize, usize), (usize, usize)) {
        let (w, h) = (self.width_px as usize, self.height_px as usize);
        let chroma = match self.sampling {
            Sampling::Mono => (0, 0),
            Sampling::Yuv420 => (w.div_ceil(2), h.div_ceil(2)),
            Sampling::Yuv422 => (w.div_ceil(2), h),
            Sampling::Yuv444 => (w, h),
        };
        ((w, h), chroma)
    }

    /// Size of a frame's planes in bytes. Sides are at most 65,535, so this fits 64 bits; `None` if it does not fit a `usize`.
    pub fn payload_bytes(&self) -> Option<usize> {
        let ((w, h), (cw, ch)) = self.planes();
        w.checked_mul(h)?
            .checked_add(cw.checked_mul(ch)?.checked_mul(2)?)
    }

    /// Where the next frame's planes are in `data`, which begins with its `FRAME` line.
    pub fn frame(&self, data: &[u8]) -> FrameLine {
        let line = &data[..data.len().min(LONGEST_FRAME_LINE_BYTES)];
        let begins = line.starts_with(b"FRAME") || b"FRAME".starts_with(line);
        match line.iter().position(|&byte| byte == b'\n') {
            _ if !begins => FrameLine::None,
            Some(end) => {
                let start = end + 1;
                match self.payload_bytes().and_then(|n| n.checked_add(start)) {
                    Some(end) if end <= data.len() => FrameLine::Planes(start..end),
                    _ => FrameLine::More,
                }
            }
            None if line.len() < LONGEST_FRAME_LINE_BYTES => FrameLine::More,
            None => FrameLine::None,
        }
    }

    /// Room needed for one frame with its line.
    pub fn buffer_bytes(&self) -> Option<usize> {
        self.payload_bytes()?.checked_add(LONGEST_FRAME_LINE_BYTES)
    }

    /// Whether frames can be handed out unchanged.
    pub fn as_is(&self) -> bool {
        matches!(self.sampling, Sampling::Mono | Sampling::Yuv420) && !self.unusual_range
    }

    /// Converts a frame's planes to [`Header::geometry`]. `out` has exactly that many bytes.
    pub fn unpack(&self, planes: &[u8], out: &mut [u8]) {
        let ((w, h), (cw, ch)) = self.planes();
        let luma_of = |v: u8| match (self.unusual_range, self.sampling) {
            (false, _) => v,
            (true, Sampling::Mono) => rescale(i32::from(v) - 16, 255, 219, 0),
            (true, _) => rescale(i32::from(v), 219, 255, 16),
        };
        let chroma_of = |v: u8| {
            if self.unusual_range {
                rescale(i32::from(v) - 128, 224, 255, 128)
            } else {
                v
            }
        };
        let (luma, chroma) = planes.split_at(w * h);
        let (u, v) = chroma.split_at(cw * ch);
        match self.sampling {
            Sampling::Mono | Sampling::Yuv420 => {
                let (luma_out, chroma_out) = out.split_at_mut(w * h);
                copy_with(luma, luma_out, luma_of);
                copy_with(chroma, chroma_out, chroma_of);
            }
            Sampling::Yuv422 => {
                let rows = luma
                    .chunks_exact(w)
                    .zip(u.chunks_exact(cw).zip(v.chunks_exact(cw)));
                for (packed, (luma, (u, v))) in out.chunks_exact_mut(cw * 4).zip(rows) {
                    let pairs = luma.chunks(2).zip(u.iter().zip(v));
                    for (four, (pair, (&u, &v))) in packed.chunks_exact_mut(4).zip(pairs) {
                        let (first, last) = (pair[0], pair[pair.len() - 1]);
                        four.copy_from_slice(&[
                            luma_of(first),
                            chroma_of(u),
                            luma_of(last),
                            chroma_of(v),
                        ]);
                    }
                }
            }
            Sampling::Yuv444 => {
                let samples = luma.iter().zip(u.iter().zip(v));
                for (pixel, (&y, (&u, &v))) in out.chunks_exact_mut(3).zip(samples) {
                    pixel.copy_from_slice(&rgb(luma_of(y), chroma_of(u), chroma_of(v)));
                }
            }
        }
    }
}

/// What some bytes begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FrameLine {
    /// A `FRAME` line, followed by all planes.
    Planes(Range<usize>),
    /// Possibly a frame; more bytes are needed.
    More,
    /// No `FRAME` line.
    None,
}

fn copy_with(from: &[u8], to: &mut [u8], f: impl Fn(u8) -> u8) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = f(from);
    }
}

/// `value * to / from + offset`, rounded and clamped to a byte.
fn rescale(value: i32, to: i32, from: i32, offset: i32) -> u8 {
    let half = if value < 0 { -from / 2 } else { from / 2 };
    ((value * to + half) / from + offset).clamp(0, 255) as u8
}

/// BT.601 limited range, in fixed point with 16 fraction bits.
fn rgb(y: u8, u: u8, v: u8) -> [u8; 3] {
    let y = (i32::from(y) - 16) * 76_309 + (1 << 15);
    let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
    let byte = |value: i32| (value >> 16).clamp(0, 255) as u8;
    [
        byte(y + 104_597 * v),
        byte(y - 25_675 * u - 53_279 * v),
        byte(y + 132_201 * u),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn header(text: &str) -> Header {
        Header::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn headers_are_read_and_refused() {
        let h =
            header("YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420jpeg XYSCSS=420JPEG XCOLORRANGE=LIMITED");
        assert_eq!(h.geometry(), Geometry::packed(PixelFormat::Yu12, 640, 480));
        assert!(h.as_is());
        assert_eq!(h.payload_bytes(), Some(460_800));
        assert!(!header("YUV4MPEG2 W2 H2 C420 XCOLORRANGE=FULL").as_is());
        assert!(header("YUV4MPEG2 W2 H2 Cmono XCOLORRANGE=FULL").as_is());
        assert_eq!(header("YUV4MPEG2 W3 H3").payload_bytes(), Some(9 + 4 + 4));
        let refused = |text: &str| Header::parse(text.as_bytes()).unwrap_err();
        assert!(refused("YUV4MPEG2 W640").contains("lacks the size"));
        assert!(refused("YUV4MPEG2 W0 H3").contains("W0"));
        assert!(refused("YUV4MPEG2 W99999999999 H3").contains("1 to 65535"));
        assert!(refused("YUV4MPEG2 W2 H2 C420p10").contains("C420p10"));
        assert!(Header::parse(b"YUV4MPEG2 W2 H2 \xff").is_err());
        assert!(Header::parse("YUV4MPEG2 W2 H2 \u{e4}\u{f6}".as_bytes()).is_ok());
    }

    #[test]
    fn frames_are_found() {
        let h = header("YUV4MPEG2 W2 H2 Cmono");
        assert_eq!(h.frame(b"FRAME\nabcd"), FrameLine::Planes(6..10));
        assert_eq!(h.frame(b"FRAME Ip\nabcdFRAME"), FrameLine::Planes(9..13));
        assert_eq!(h.frame(b"FRAME\nabc"), FrameLine::More);
        assert_eq!(h.frame(b"FRA"), FrameLine::More);
        assert_eq!(h.frame(b"FRXME\nabcd"), FrameLine::None);
        assert_eq!(
            h.frame(&[b"FRAME".as_slice(), &[b' '; 300]].concat()),
            FrameLine::None
        );
    }

    #[test]
    fn wider_chroma_and_ranges_are_brought_to_our_formats() {
        let h = header("YUV4MPEG2 W3 H1 C422");
        let mut out = [0; 8];
        h.unpack(&[1, 2, 3, 10, 11, 20, 21], &mut out);
        assert_eq!(out, [1, 10, 2, 20, 3, 11, 3, 21]);
        let h = header("YUV4MPEG2 W2 H1 C444");
        let mut out = [0; 6];
        h.unpack(&[235, 81, 128, 90, 128, 240], &mut out);
        assert_eq!(out, [255, 255, 255, 254, 0, 0]);
        let h = header("YUV4MPEG2 W2 H2 C420 XCOLORRANGE=FULL");
        let mut out = [0; 6];
        h.unpack(&[0, 255, 128, 1, 0, 255], &mut out);
        assert_eq!(out, [16, 235, 126, 17, 16, 240]);
        let h = header("YUV4MPEG2 W3 H1 Cmono XCOLORRANGE=LIMITED");
        let mut out = [0; 3];
        h.unpack(&[0, 16, 235], &mut out);
        assert_eq!(out, [0, 0, 255]);
    }
}
