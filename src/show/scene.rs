//! What a display shows.

use crate::decide::Verdict;
use crate::failure::Cause;
use crate::limits;
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
    /// Several regions, each with a verdict and picture of its own, in place of `verdict` and `picture`; none is the usual case.
    pub regions: &'a [Region<'a>],
    /// What is the matter with the board, in a few words, while the class is live all the same.
    pub notice: Option<&'a str>,
}

impl Scene<'static> {
    /// A state without a class, a picture or anything else to tell.
    pub const fn in_state(state: State) -> Self {
        Self {
            state,
            verdict: None,
            labels: &[],
            unknown_label: "",
            rate_fps: 0.0,
            picture: None,
            regions: &[],
            notice: None,
        }
    }
}

/// One of several parts of the camera's picture that are classified in turn.
#[derive(Debug, Clone, Copy, Default)]
pub struct Region<'a> {
    /// Its name in the board file.
    pub name: &'a str,
    /// The newest verdict, while it is live.
    pub verdict: Option<&'a Verdict>,
    /// What the network saw of it last, while the verdict is live.
    pub picture: Option<Crop<'a>>,
}

/// The most regions that there are.
pub const REGIONS: usize = limits::REGIONS.most as usize;

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
    /// The program cannot start; the log says why.
    Failed(Cause),
    /// Nothing is classified: the display itself is being looked at.
    Test(TestPicture),
}

/// What a test picture says of its display, beside its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestPicture {
    /// The kind, as in `[display.KIND]`.
    pub kind: &'static str,
    /// `rotate_deg` and `mirror` of the board file, where the kind has them.
    pub turned: Option<(u16, bool)>,
}
