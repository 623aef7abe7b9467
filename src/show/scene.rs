//! What a display shows.

use crate::decide::Verdict;
use crate::failure::Cause;
use crate::limits;
use crate::preprocess::Crop;
use crate::show::canvas::Orientation;
use std::time::Duration;

/// Everything that a display shows.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// Whether the verdict is live.
    pub state: State,
    /// The newest verdict; not shown as a class unless `state` is `Live`.
    pub verdict: Option<&'a Verdict>,
    /// One label per class.
    pub labels: &'a [String],
    /// The word for "no class is decided".
    pub unknown_label: &'a str,
    /// Frames per second, over the last window.
    pub rate_fps: f32,
    /// What the network sees, for displays that are large enough.
    pub picture: Option<Crop<'a>>,
    /// Several regions, each with its own verdict and picture, instead of `verdict` and `picture`; usually empty.
    pub regions: &'a [Region<'a>],
    /// What is wrong with the board, in a few words, although the class is live.
    pub notice: Option<&'a str>,
}

impl Scene<'static> {
    /// A state with no class, no picture and nothing else to show.
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

/// The most regions possible.
pub const REGIONS: usize = limits::REGIONS.most as usize;

/// Whether frames are arriving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No frame has come yet.
    Starting,
    /// Frames are arriving.
    Live,
    /// No frame has come for this long; the camera is repeatedly being reopened.
    CameraLost {
        /// Time since the last frame.
        since: Duration,
    },
    /// Frames come, and for this long the network has failed on each.
    NetworkFails {
        /// Time since the last frame that it did not fail on.
        since: Duration,
    },
    /// The program cannot start; the log says why.
    Failed(Cause),
    /// Nothing is classified: the display itself is being tested.
    Test(TestPicture),
}

/// Why there is no class although there was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No usable frame comes.
    Camera,
    /// The network fails on each.
    Network,
}

impl Fault {
    /// In a few words, for displays, log and service manager.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Camera => "camera lost",
            Self::Network => "network fails",
        }
    }

    /// What is shown of it when it has lasted this long.
    pub const fn state(self, since: Duration) -> State {
        match self {
            Self::Camera => State::CameraLost { since },
            Self::Network => State::NetworkFails { since },
        }
    }
}

/// What a test picture says about its display, besides its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestPicture {
    /// The kind, as in `[display.KIND]`.
    pub kind: &'static str,
    /// `rotate_deg` and `mirror` of the board file, if the kind has them.
    pub orientation: Option<Orientation>,
}
