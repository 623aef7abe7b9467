//! The display: one [`Scene`] drawn with embedded-graphics for whatever size and depth there is, pushed whole.

pub mod serial;

use crate::board::DisplayConfig;
use crate::decide::Verdict;
use crate::preprocess::Crop;
use std::time::Duration;

/// Everything that a display shows.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// Whether the verdict is live.
    pub state: State,
    /// The newest verdict; not shown as a class unless `state` is `Live`.
    pub verdict: Option<&'a Verdict>,
    /// One label a class.
    pub labels: &'a [String],
    /// The word for "no class is decided".
    pub unknown_label: &'a str,
    /// Frames a second, over the last window.
    pub rate_fps: f32,
    /// What the network sees, for displays that are large enough.
    pub picture: Option<Crop<'a>>,
}

/// Whether frames come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No frame has come yet.
    Starting,
    /// Frames come.
    Live,
    /// No frame has come for this long; the camera is being opened again and again.
    CameraLost {
        /// Since the last frame.
        since: Duration,
    },
}

/// A place where scenes are shown.
pub trait Display {
    /// What it is, for people: kind, driver, size, depth.
    fn describe(&self) -> String;

    /// Draws the scene and pushes the whole picture. Called when something changed, and at most at the display's rate.
    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError>;
}

/// Why a scene is not shown.
#[derive(Debug, thiserror::Error)]
pub enum DisplayError {
    /// There is no such display.
    #[error("{0}")]
    Absent(String),
    /// It is there and cannot be used: another size, no permission.
    #[error("{0}")]
    Unusable(String),
    /// It was there, and failed (full disk, device gone).
    #[error("{0}")]
    Failed(String),
}

/// Opens the display that the board file names; none for `[display.none]`.
pub fn open(config: &DisplayConfig) -> Result<Option<Box<dyn Display>>, DisplayError> {
    match config {
        DisplayConfig::None => Ok(None),
        other => Err(DisplayError::Absent(format!(
            "{other}: this kind of display is not built in yet"
        ))),
    }
}
