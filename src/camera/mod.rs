//! Where frames come from.
//!
//! A kind of camera is one file here (or a folder): its settings as board files state them, with their defaults; how it is opened; its
//! [`Camera`]. Beside that file it needs a variant of [`CameraConfig`], which [`CameraConfig::settings`] knows, and a line of `KINDS`.

mod formats;
mod framing;
mod pace;
mod patience;
mod pattern;
mod picture;
mod pipe;
mod sniff;
mod still;
pub mod v4l2;
mod y4m;

pub use patience::SLICE;
pub use pattern::{PatternCamera, PatternConfig};
pub use picture::{
    MAX_PIXELS, Picture, PictureError, Room, decode_stream, read_picture, read_picture_in,
};
pub use pipe::{PipeCamera, PipeConfig};
pub(crate) use still::{ENDINGS, is_picture};
pub use still::{StillCamera, StillConfig};

use crate::data_roots::Base;
use crate::failure::{Cause, Failure};
use crate::frame::{Frame, Geometry, RawTuning};
use crate::toml_file::Table;
use std::fmt;
use std::time::Duration;

/// One camera, of one kind: `[camera.KIND]`.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a program has one of it")]
pub enum CameraConfig {
    /// A V4L2 capture device.
    V4l2(v4l2::V4l2Config),
    /// MJPEG or Y4M on standard input.
    Pipe(PipeConfig),
    /// A drawn test picture.
    Pattern(PatternConfig),
    /// Picture files, one after the other.
    Still(StillConfig),
}

/// Every kind, by which `[camera.KIND]` and `--camera SOURCE` are read. The last one takes any SOURCE.
const KINDS: [&Kind; 4] = [&v4l2::KIND, &pipe::KIND, &pattern::KIND, &still::KIND];

impl CameraConfig {
    /// What its kind states.
    pub fn settings(&self) -> &dyn CameraKind {
        match self {
            Self::V4l2(config) => config,
            Self::Pipe(config) => config,
            Self::Pattern(config) => config,
            Self::Still(config) => config,
        }
    }

    /// Everything that `--camera SOURCE` can be, for the help.
    pub fn sources() -> String {
        KINDS.map(|kind| kind.sources).join(", ")
    }

    /// Reads `[camera]`: the table of one kind.
    pub fn read(top: &mut Table<'_, '_>, base: Base<'_>) -> Option<Self> {
        let (kind, mut table) = top.choice("camera", &KINDS.map(|kind| kind.name))?;
        let kind = KINDS.iter().find(|known| known.name == kind)?;
        (kind.read)(&mut table, base)
    }

    /// The camera that `--camera SOURCE` means on a board that has this one. What `SOURCE` leaves open stays as the board
    /// file says when the kind is the same, and is the kind's default when it is not.
    pub fn replaced_by(&self, source: &str) -> Self {
        let mut kinds = KINDS.iter();
        let replaced = kinds.find_map(|kind| (kind.of_source)(source, self));
        replaced.unwrap_or_else(|| self.clone())
    }
}

impl fmt::Display for CameraConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings().fmt(f)
    }
}

/// How a kind's settings are read.
pub struct Kind {
    /// Its name, as in `[camera.NAME]`.
    name: &'static str,
    /// Reads that table. What it leaves out is the kind's default.
    read: fn(&mut Table<'_, '_>, Base<'_>) -> Option<CameraConfig>,
    /// What `--camera SOURCE` calls it, for the help.
    sources: &'static str,
    /// The settings that `--camera SOURCE` means on a board with this camera; `None`: SOURCE is none of this kind.
    of_source: fn(&str, &CameraConfig) -> Option<CameraConfig>,
}

/// The settings of one kind. Displayed as a person would say them.
pub trait CameraKind: fmt::Display {
    /// Opens the camera.
    ///
    /// # Errors
    /// Why it cannot be used, and what to do.
    fn open(&self) -> Result<Box<dyn Camera>, CameraError>;

    /// How long a frame may take before the stream counts as stalled; `None`: frames are never waited for.
    fn timeout(&self) -> Option<Duration> {
        None
    }

    /// How raw pictures are developed, should there be any.
    fn raw_tuning(&self) -> RawTuning {
        RawTuning::default()
    }

    /// Whether a camera that has ended stays so until the program is started again.
    fn ends_for_good(&self) -> bool {
        false
    }
}

/// A source of frames.
pub trait Camera {
    /// What it is, for people: kind, device, format, size, rate.
    fn describe(&self) -> String;

    /// The geometry of the frames to come (`still` may change it between frames; each [`Frame`] carries its own).
    fn geometry(&self) -> Geometry;

    /// Waits for the newest frame, at most [`SLICE`]; older ones that wait are dropped. Of a camera with a timeout, the call
    /// in which it runs out gives [`CameraError::Timeout`].
    fn next(&mut self) -> Result<Next<'_>, CameraError>;

    /// Counts since the camera was opened.
    fn counts(&self) -> Counts {
        Counts::default()
    }
}

/// What [`Camera::next`] brings.
#[derive(Debug)]
pub enum Next<'a> {
    /// The newest picture.
    Frame(Frame<'a>),
    /// No picture yet; ask again.
    NotYet,
    /// The source has ended (the last still picture, the end of a pipe that brought pictures); no frame will follow.
    End,
}

/// What a camera dropped or could not use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames that were older than the newest one and were dropped.
    pub stale: u64,
    /// Frames that were damaged (short, truncated MJPEG, driver error flag) and were skipped.
    pub damaged: u64,
}

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// No frame came in time. The stream is to be rebuilt: the device loop opens the camera again.
    #[error("no frame from {camera} for {waited:?}{}{}", if .doubt.is_empty() { "" } else { ": " }, .doubt)]
    Timeout {
        /// Which camera.
        camera: String,
        /// How long it was waited for.
        waited: Duration,
        /// What was odd when its stream started, and may be why; empty when nothing was.
        doubt: String,
    },
    /// The device has gone (unplugged, driver removed) or its stream broke; opening it again may help.
    #[error("{camera} is gone: {reason}")]
    Lost {
        /// Which camera.
        camera: String,
        /// The system's words.
        reason: String,
    },
    /// The camera cannot be used as the board file asks; opening it again will not help by itself.
    #[error("{0}")]
    Unusable(String),
    /// Standard input cannot be used, and there is no other one to be opened.
    #[error("{0}")]
    Spent(String),
}

impl From<CameraError> for Failure {
    fn from(error: CameraError) -> Self {
        Self::new(Cause::Camera, error)
    }
}
