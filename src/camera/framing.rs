//! Finds pictures in a byte stream: MJPEG (concatenated JPEGs) or Y4M.
//!
//! A [`Framer`] looks at a buffer that starts with the oldest unused byte and says what to do with its front.

use super::PipeConfig;
use super::sniff::foreign;
use super::y4m::{self, FrameLine, Header};
use crate::frame::{Geometry, PixelFormat};
use crate::jpeg::{Progress, Walker};
use std::fmt;
use std::ops::Range;

/// Room for the segments that accompany an MJPEG picture (thumbnail, EXIF).
const SEGMENTS_BYTES: usize = 64 * 1024;

/// This many bytes are enough to identify a stream.
const BEGIN_BYTES: usize = 12;

/// Advice for a stream that cannot be read.
pub(super) const ADVICE: &str =
    "send MJPEG or Y4M, as in rpicam-vid -t 0 --codec mjpeg -o - | eyelet run --camera -";

/// The start of every JPEG: SOI and the first byte of the next marker.
const JPEG_START: [u8; 3] = [0xff, 0xd8, 0xff];

/// What is at the front of the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Not enough data to decide: read more.
    More,
    /// A picture: these bytes of the buffer. Everything up to its end is consumed.
    Picture(Range<usize>, Geometry),
    /// This many bytes are not a picture.
    Skip {
        bytes: usize,
        /// Why, unless they continue the last ones.
        damage: Option<Damage>,
    },
}

/// Why a part of the stream is not a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// A picture larger than the largest one that is accepted.
    TooLarge {
        /// Its width and height.
        size_px: (u32, u32),
        /// The largest width and height.
        most_px: (u32, u32),
    },
    /// Bytes that do not begin like a JPEG.
    NoJpeg,
    /// A JPEG that breaks off or is damaged at this byte.
    Broken(usize),
    /// A JPEG that has not ended after this many bytes.
    Endless(usize),
    /// A JPEG without a width or a height.
    NoSize,
    /// A Y4M frame that does not begin like one.
    NoFrameLine,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { size_px, most_px } => write!(
                f,
                "standard input carries {}x{} pictures, but [camera.pipe] takes at most {}x{}: raise max_width_px and max_height_px in the board file, or send smaller ones",
                size_px.0, size_px.1, most_px.0, most_px.1
            ),
            Self::NoJpeg => f.write_str("what follows the last picture is not a JPEG"),
            Self::Broken(at) => write!(f, "a JPEG is damaged or cut short at byte {at}"),
            Self::Endless(bytes) => write!(
                f,
                "a JPEG does not end within {} KiB, more than a picture of the largest size takes",
                bytes >> 10
            ),
            Self::NoSize => f.write_str("a JPEG has no width or height"),
            Self::NoFrameLine => write!(
                f,
                "a Y4M frame does not begin with a FRAME line of at most {} bytes",
                y4m::LONGEST_FRAME_LINE_BYTES
            ),
        }
    }
}

/// Finds pictures of one kind.
#[derive(Debug)]
pub(super) enum Framer {
    Mjpeg(MjpegFramer),
    Y4m {
        header: Header,
        /// Whether the preceding bytes were not a frame.
        lost: bool,
    },
}

/// What kind of stream it turned out to be.
#[derive(Debug)]
pub(super) enum Detected {
    /// More bytes are needed.
    More,
    /// The kind is known; this many bytes (Y4M's header) are consumed.
    Stream(Framer, usize),
    /// Not readable, and why.
    Unknown(String),
}

/// Identifies a stream by its first bytes. Noise counts as MJPEG that was joined mid-picture.
pub(super) fn detect(data: &[u8], config: &PipeConfig) -> Detected {
    let is_mjpeg = data.starts_with(&JPEG_START);
    if data.len() < BEGIN_BYTES && !is_mjpeg {
        return Detected::More;
    }
    if let Some(what) = foreign(data) {
        return Detected::Unknown(format!("standard input carries {what}: {ADVICE}"));
    }
    let begin = &data[..data.len().min(y4m::MAGIC.len())];
    if !y4m::MAGIC.starts_with(begin) {
        return Detected::Stream(Framer::Mjpeg(MjpegFramer::new(config)), 0);
    }
    let line = &data[..data.len().min(y4m::LONGEST_HEADER_BYTES)];
    let Some(end) = line.iter().position(|&byte| byte == b'\n') else {
        if line.len() < y4m::LONGEST_HEADER_BYTES {
            return Detected::More;
        }
        return Detected::Unknown(format!(
            "standard input carries Y4M whose header line does not end: {ADVICE}"
        ));
    };
    match Header::parse(&line[..end]) {
        Err(reason) => Detected::Unknown(format!(
            "standard input carries Y4M that cannot be read: {reason}"
        )),
        Ok(header) => {
            let Geometry {
                width_px,
                height_px,
                ..
            } = header.geometry();
            if width_px > config.max_width_px || height_px > config.max_height_px {
                return Detected::Unknown(too_large((width_px, height_px), config).to_string());
            }
            let lost = false;
            Detected::Stream(Framer::Y4m { header, lost }, end + 1)
        }
    }
}

fn too_large(size_px: (u32, u32), config: &PipeConfig) -> Damage {
    Damage::TooLarge {
        size_px,
        most_px: (config.max_width_px, config.max_height_px),
    }
}

impl Framer {
    /// Room needed for the largest picture.
    pub fn buffer_bytes(&self) -> Option<usize> {
        match self {
            Self::Mjpeg(mjpeg) => mjpeg.buffer_bytes(),
            Self::Y4m { header, .. } => {
                let unpacked = header.geometry().picture_bytes().ok()?;
                Some(header.buffer_bytes()?.max(unpacked))
            }
        }
    }

    /// The pictures' geometry; for MJPEG the largest one.
    pub fn geometry(&self) -> Geometry {
        match self {
            Self::Mjpeg(mjpeg) => Geometry::packed(
                PixelFormat::Mjpeg,
                mjpeg.config.max_width_px,
                mjpeg.config.max_height_px,
            ),
            Self::Y4m { header, .. } => header.geometry(),
        }
    }

    /// For people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mjpeg(_) => "MJPEG up to",
            Self::Y4m { .. } => "Y4M",
        }
    }

    /// Why the last bytes were not a picture, if known.
    pub fn refusal(&self) -> Option<String> {
        match self {
            Self::Mjpeg(mjpeg) => {
                Some(too_large(mjpeg.refused?, &mjpeg.config).to_string())
            }
            Self::Y4m { lost, .. } => lost.then(|| {
                format!(
                    "standard input carries Y4M whose frames do not begin with a FRAME line of at most {} bytes: {ADVICE}",
                    y4m::LONGEST_FRAME_LINE_BYTES
                )
            }),
        }
    }

    /// What to do with the front of `data`; `full` means that the buffer has no room for more.
    pub fn advance(&mut self, data: &[u8], full: bool) -> Step {
        match self {
            Self::Mjpeg(mjpeg) => mjpeg.advance(data, full),
            Self::Y4m { header, lost } => match header.frame(data) {
                FrameLine::Planes(planes) => {
                    *lost = false;
                    Step::Picture(planes, header.geometry())
                }
                FrameLine::More if !full => Step::More,
                FrameLine::More | FrameLine::None => {
                    let rest = data.get(1..).unwrap_or_default();
                    let bytes = match rest.windows(5).position(|w| w == b"FRAME") {
                        Some(at) => 1 + at,
                        // The last bytes may be the start of the word.
                        None => data.len().saturating_sub(4).max(1),
                    };
                    let is_new = !std::mem::replace(lost, true);
                    let damage = is_new.then_some(Damage::NoFrameLine);
                    Step::Skip { bytes, damage }
                }
            },
        }
    }
}

/// Finds JPEGs.
#[derive(Debug)]
pub(super) struct MjpegFramer {
    config: PipeConfig,
    walker: Walker,
    /// Whether the preceding bytes were not a picture.
    lost: bool,
    /// The last oversized picture.
    refused: Option<(u32, u32)>,
}

impl MjpegFramer {
    fn new(config: &PipeConfig) -> Self {
        Self {
            config: config.clone(),
            walker: Walker::default(),
            lost: false,
            refused: None,
        }
    }

    /// No encoder for live pictures writes more than two bytes per pixel.
    fn buffer_bytes(&self) -> Option<usize> {
        let pixels = u64::from(self.config.max_width_px) * u64::from(self.config.max_height_px);
        usize::try_from(pixels)
            .ok()?
            .checked_mul(2)?
            .checked_add(SEGMENTS_BYTES)
    }

    fn advance(&mut self, data: &[u8], full: bool) -> Step {
        let begin = &data[..data.len().min(JPEG_START.len())];
        if !JPEG_START.starts_with(begin) {
            let start = data.windows(JPEG_START.len()).position(|w| w == JPEG_START);
            // The last two bytes may be the start of a picture.
            let bytes = start.unwrap_or(data.len().saturating_sub(2).max(1));
            let is_new = !std::mem::replace(&mut self.lost, true);
            let damage = is_new.then_some(Damage::NoJpeg);
            return Step::Skip { bytes, damage };
        }
        match self.walker.advance(data) {
            Progress::More if full => {
                let large = self.note_size();
                let endless = Damage::Endless(data.len());
                self.skip(data.len(), true, large.unwrap_or(endless))
            }
            Progress::More => {
                self.note_size();
                Step::More
            }
            Progress::Damaged(at) => self.skip(at.max(2), true, Damage::Broken(at)),
            Progress::Complete(end) => {
                let size = self.walker.outline().size_px.unwrap_or_default();
                let (width_px, height_px) = (u32::from(size.0), u32::from(size.1));
                if let Some(large) = self.note_size() {
                    return self.skip(end, false, large);
                }
                if width_px == 0 || height_px == 0 {
                    return self.skip(end, false, Damage::NoSize);
                }
                (self.walker, self.lost, self.refused) = (Walker::default(), false, None);
                let geometry = Geometry::packed(PixelFormat::Mjpeg, width_px, height_px);
                Step::Picture(0..end, geometry)
            }
        }
    }

    /// If the picture at the front is too large, says so and remembers its size.
    fn note_size(&mut self) -> Option<Damage> {
        let (w, h) = self.walker.outline().size_px?;
        let size_px = (u32::from(w), u32::from(h));
        let large = size_px.0 > self.config.max_width_px || size_px.1 > self.config.max_height_px;
        large.then(|| {
            self.refused = Some(size_px);
            too_large(size_px, &self.config)
        })
    }

    /// Drops the picture at the front; `lost` says whether the bytes after it belong to it too.
    fn skip(&mut self, bytes: usize, lost: bool, damage: Damage) -> Step {
        (self.walker, self.lost) = (Walker::default(), lost);
        let damage = Some(damage);
        Step::Skip { bytes, damage }
    }
}
