//! Where frames come from.
//!
//! Each kind of camera is one file here (or a folder): its board-file settings with their defaults, the code that opens it, and
//! its [`Camera`]. Besides that file it needs a variant of [`CameraConfig`], an arm in [`CameraConfig::settings`], and a line in
//! `KINDS`.

mod formats;
mod framing;
mod others;
mod pace;
mod patience;
mod pattern;
mod picture;
mod pipe;
mod sniff;
mod still;
pub mod v4l2;
mod y4m;

pub use framing::Damage;
pub(crate) use others::{Others, is_hidden};
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
    /// Picture files, one after another.
    Still(StillConfig),
}

/// Every kind, in the order in which `[camera.KIND]` and `--camera SOURCE` are matched. The last one accepts any SOURCE.
const KINDS: [&Kind; 4] = [&v4l2::KIND, &pipe::KIND, &pattern::KIND, &still::KIND];

impl CameraConfig {
    /// The settings of its kind.
    pub fn settings(&self) -> &dyn CameraKind {
        match self {
            Self::V4l2(config) => config,
            Self::Pipe(config) => config,
            Self::Pattern(config) => config,
            Self::Still(config) => config,
        }
    }

    /// All forms of `--camera SOURCE`, for the help.
    pub fn sources() -> String {
        KINDS.map(|kind| kind.sources).join(", ")
    }

    /// Reads `[camera]`: the table of exactly one kind.
    pub fn read(top: &mut Table<'_, '_>, base: Base<'_>) -> Option<Self> {
        let (kind, mut table) = top.choice("camera", &KINDS.map(|kind| kind.name))?;
        let kind = KINDS.iter().find(|known| known.name == kind)?;
        (kind.read)(&mut table, base)
    }

    /// The camera that `--camera SOURCE` selects on a board with this one. Whatever `SOURCE` leaves open keeps the board file's
    /// value if the kind is the same, and otherwise gets the kind's default.
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

/// How to read a kind's settings.
pub struct Kind {
    /// Its name, as in `[camera.NAME]`.
    name: &'static str,
    /// Reads that table, with the kind's defaults for missing keys.
    read: fn(&mut Table<'_, '_>, Base<'_>) -> Option<CameraConfig>,
    /// Its form of `--camera SOURCE`, for the help.
    sources: &'static str,
    /// The settings that `--camera SOURCE` selects on a board with this camera; `None`: SOURCE is not of this kind.
    of_source: fn(&str, &CameraConfig) -> Option<CameraConfig>,
}

/// The settings of one kind. `Display` describes them for people.
pub trait CameraKind: fmt::Display {
    /// Opens the camera.
    ///
    /// # Errors
    /// Why it cannot be used, and what to do about it; [`CameraError::NotYet`] if it has to be opened again at once, after a look at
    /// clocks and signals.
    fn open(&self) -> Result<Box<dyn Camera>, CameraError>;

    /// Checks what can be checked without hardware: files that the settings name.
    ///
    /// # Errors
    /// As for [`CameraKind::open`].
    fn check(&self) -> Result<(), CameraError> {
        Ok(())
    }

    /// How long a frame may take before the stream counts as stalled; `None`: frames are always ready.
    fn timeout(&self) -> Option<Duration> {
        None
    }

    /// How raw pictures are developed, if there are any.
    fn raw_tuning(&self) -> RawTuning {
        RawTuning::default()
    }

    /// Whether a camera that has ended stays ended until the program restarts.
    fn ends_for_good(&self) -> bool {
        false
    }
}

/// A source of frames.
pub trait Camera {
    /// Description for people: kind, device, format, size, rate.
    fn describe(&self) -> String;

    /// The geometry of the frames to come (`still` may change it between frames; each [`Frame`] carries its own).
    fn geometry(&self) -> Geometry;

    /// Waits for the newest frame, at most [`SLICE`]; older frames are dropped. If the camera has a timeout, the call in which it
    /// expires returns [`CameraError::Timeout`].
    fn next(&mut self) -> Result<Next<'_>, CameraError>;

    /// What was wrong with the data in which the last calls of [`Camera::next`] found no frame, unless it was returned before.
    fn damage(&mut self) -> Option<Damage> {
        None
    }

    /// Counts since the camera was opened.
    fn counts(&self) -> Counts {
        Counts::default()
    }
}

/// The result of [`Camera::next`].
#[derive(Debug)]
pub enum Next<'a> {
    /// The newest picture.
    Frame(Frame<'a>),
    /// No picture yet; ask again.
    NotYet,
    /// The source has ended (after the last still picture, or at the end of a pipe that delivered pictures); no more frames
    /// follow.
    End,
}

/// Frames that a camera dropped or could not use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames dropped because a newer one was ready.
    pub stale: u64,
    /// Damaged frames that were skipped (short, truncated MJPEG, driver error flag).
    pub damaged: u64,
}

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// While a camera is being opened: it sends nothing yet, and its timeout has not expired.
    #[error("no picture has come yet")]
    NotYet,
    /// No frame came in time. The stream has to be rebuilt: the device loop reopens the camera.
    #[error("no frame from {camera} for {waited:?}{}{}", if .warning.is_empty() { "" } else { ": " }, .warning)]
    Timeout {
        /// Which camera.
        camera: String,
        /// How long the wait was.
        waited: Duration,
        /// Anything odd seen when its stream started, which may be the reason; otherwise empty.
        warning: String,
    },
    /// The device is gone (unplugged, driver removed) or its stream broke; reopening it may help.
    #[error("{camera} is gone: {reason}")]
    Lost {
        /// Which camera.
        camera: String,
        /// The operating system's error text.
        reason: String,
    },
    /// The camera cannot be used as the board file asks; reopening it alone will not help.
    #[error("{0}")]
    Unusable(String),
    /// Standard input cannot be used, and there is only one.
    #[error("{0}")]
    Spent(String),
}

impl From<CameraError> for Failure {
    fn from(error: CameraError) -> Self {
        Self::new(Cause::Camera, error)
    }
}
