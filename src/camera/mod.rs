//! Where frames come from. One file a kind; [`open`] picks the one that the board file names.

mod framing;
mod pace;
mod pattern;
mod picture;
mod pipe;
mod sniff;
mod still;
pub mod v4l2;
mod y4m;

pub use pattern::PatternCamera;
pub use picture::{
    MAX_PIXELS, Picture, PictureError, Room, decode_stream, read_picture, read_picture_in,
};
pub use pipe::PipeCamera;
pub use still::StillCamera;
pub(crate) use still::{ENDINGS, is_picture};

use crate::board::CameraConfig;
use crate::frame::{Frame, Geometry};
use std::time::Duration;

/// Opens the camera that the board file names.
pub fn open(config: &CameraConfig) -> Result<Box<dyn Camera>, CameraError> {
    match config {
        CameraConfig::Still(still) => Ok(Box::new(StillCamera::open(still)?)),
        CameraConfig::V4l2(v4l2) => Ok(Box::new(v4l2::V4l2Camera::open(v4l2)?)),
        CameraConfig::Pipe(pipe) => Ok(Box::new(PipeCamera::open(pipe)?)),
        CameraConfig::Pattern(pattern) => Ok(Box::new(PatternCamera::open(pattern)?)),
    }
}

/// A source of frames.
pub trait Camera {
    /// What it is, for people: kind, device, format, size, rate.
    fn describe(&self) -> String;

    /// The geometry of the frames to come (`still` may change it between frames; each [`Frame`] carries its own).
    fn geometry(&self) -> Geometry;

    /// Waits for the newest frame, at most the camera's timeout; older ones that wait are dropped.
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
    /// No frame came in time. The stream is to be rebuilt: the device loop calls [`open`] again.
    #[error("no frame from {camera} for {waited:?}")]
    Timeout {
        /// Which camera.
        camera: String,
        /// How long it was waited for.
        waited: Duration,
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
