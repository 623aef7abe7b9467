//! Finds pictures in a stream of bytes: MJPEG (JPEGs one after the other) or Y4M.
//!
//! A [`Framer`] looks at a buffer whose front is the oldest byte that is not used yet, and says what to do with that front.

use super::PipeConfig;
use super::sniff::foreign;
use super::y4m::{self, FrameLine, Header};
use crate::frame::{Geometry, PixelFormat};
use crate::jpeg::{Progress, Walker};
use std::ops::Range;

/// Room for the segments around an MJPEG picture (thumbnail, EXIF).
const SEGMENTS_BYTES: usize = 64 * 1024;

/// So many bytes tell for certain how a stream begins.
const BEGIN_BYTES: usize = 12;

/// What to do about a stream that cannot be read.
pub(super) const ADVICE: &str =
    "send MJPEG or Y4M, as in rpicam-vid -t 0 --codec mjpeg -o - | eyelet run --camera -";

/// How every JPEG begins: SOI and the first byte of the next marker.
const JPEG_START: [u8; 3] = [0xff, 0xd8, 0xff];

/// What stands at the front of the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Not enough to say: read on.
    More,
    /// A picture: these bytes of the buffer. All bytes up to its end are used up.
    Picture(Range<usize>, Geometry),
    /// This many bytes are no picture.
    Skip {
        bytes: usize,
        /// Whether this is a new fault, or more of the last one.
        new_fault: bool,
    },
}

/// Finds pictures of one kind.
#[derive(Debug)]
pub(super) enum Framer {
    Mjpeg(MjpegFramer),
    Y4m {
        header: Header,
        /// Whether the bytes before were no frame.
        lost: bool,
    },
}

/// What a stream turned out to be.
#[derive(Debug)]
pub(super) enum Detected {
    /// More bytes must come.
    More,
    /// This many bytes (Y4M's header) are used up.
    Stream(Framer, usize),
    /// Nothing that can be read, and why.
    Unknown(String),
}

/// Tells the kind of a stream by its first bytes. Noise counts as MJPEG that was joined in the middle.
pub(super) fn detect(data: &[u8], config: &PipeConfig) -> Detected {
    let is_mjpeg = data.starts_with(&JPEG_START);
    if data.len() < BEGIN_BYTES && !is_mjpeg {
        return Detected::More;
    }
    if let Some(what) = foreign(data) {
        return Detected::Unknown(format!("standard input brings {what}: {ADVICE}"));
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
            "standard input brings Y4M whose header line has no end: {ADVICE}"
        ));
    };
    match Header::parse(&line[..end]) {
        Err(reason) => Detected::Unknown(format!(
            "standard input brings Y4M that cannot be read: {reason}"
        )),
        Ok(header) => {
            let Geometry {
                width_px,
                height_px,
                ..
            } = header.geometry();
            if width_px > config.max_width_px || height_px > config.max_height_px {
                return Detected::Unknown(too_large(width_px, height_px, config));
            }
            let lost = false;
            Detected::Stream(Framer::Y4m { header, lost }, end + 1)
        }
    }
}

fn too_large(width_px: u32, height_px: u32, config: &PipeConfig) -> String {
    format!(
        "standard input brings {width_px}x{height_px} pictures, [camera.pipe] takes {}x{}: raise max_width_px and max_height_px in the board file, or send smaller ones",
        config.max_width_px, config.max_height_px
    )
}

impl Framer {
    /// Room that the longest picture needs.
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

    /// Why the last bytes were no picture, where that is known.
    pub fn refusal(&self) -> Option<String> {
        match self {
            Self::Mjpeg(mjpeg) => {
                let (w, h) = mjpeg.refused?;
                Some(too_large(w, h, &mjpeg.config))
            }
            Self::Y4m { lost, .. } => lost.then(|| {
                format!(
                    "standard input brings Y4M whose frames do not begin with a line FRAME of {} bytes at the most: {ADVICE}",
                    y4m::LONGEST_FRAME_LINE_BYTES
                )
            }),
        }
    }

    /// What to do with the front of `data`; `full` says that the buffer has no room for more.
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
                        // The last bytes may be the beginning of the word.
                        None => data.len().saturating_sub(4).max(1),
                    };
                    let new_fault = !std::mem::replace(lost, true);
                    Step::Skip { bytes, new_fault }
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
    /// Whether the bytes before were no picture.
    lost: bool,
    /// The last picture that was too large.
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

    /// No encoder for live pictures writes more than two bytes a pixel.
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
            // The last two bytes may be the beginning of a picture.
            let bytes = start.unwrap_or(data.len().saturating_sub(2).max(1));
            let new_fault = !std::mem::replace(&mut self.lost, true);
            return Step::Skip { bytes, new_fault };
        }
        match self.walker.advance(data) {
            Progress::More if full => {
                self.note_size();
                self.skip(data.len(), true)
            }
            Progress::More => {
                self.note_size();
                Step::More
            }
            Progress::Damaged(at) => self.skip(at.max(2), true),
            Progress::Complete(end) => {
                let size = self.walker.outline().size_px.unwrap_or_default();
                let (width_px, height_px) = (u32::from(size.0), u32::from(size.1));
                let large = self.note_size();
                if large || width_px == 0 || height_px == 0 {
                    return self.skip(end, false);
                }
                (self.walker, self.lost, self.refused) = (Walker::default(), false, None);
                let geometry = Geometry::packed(PixelFormat::Mjpeg, width_px, height_px);
                Step::Picture(0..end, geometry)
            }
        }
    }

    /// Whether the picture at the front is too large; remembers its size if so.
    fn note_size(&mut self) -> bool {
        let Some((w, h)) = self.walker.outline().size_px else {
            return false;
        };
        let (w, h) = (u32::from(w), u32::from(h));
        let large = w > self.config.max_width_px || h > self.config.max_height_px;
        if large {
            self.refused = Some((w, h));
        }
        large
    }

    /// Gives up the picture at the front; `lost` says whether the bytes after it belong to it too.
    fn skip(&mut self, bytes: usize, lost: bool) -> Step {
        (self.walker, self.lost) = (Walker::default(), lost);
        Step::Skip {
            bytes,
            new_fault: true,
        }
    }
}
