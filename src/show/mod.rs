//! The display: one [`Scene`] drawn with embedded-graphics for whatever size and depth there is; what changed of it is pushed.
//!
//! ```text
//! Scene -> draw::Painter (layout, setting, font, outline, picture) -> canvas::Canvas -> png
//!                                                                                    -> shadow::Shadow -> framebuffer, drm, spi,
//!                                                                                                      oled, epaper
//!                                                                                    -> window
//! ```
//!
//! Another kind of display is one file here that has a [`draw::Painter`] and pushes its canvas through a [`shadow::Shadow`], one variant of
//! [`DisplayConfig`] and one arm of [`open`]. A board may have several displays; one whose pictures take long says so
//! ([`DisplayConfig::is_slow`]) and has a thread of its own ([`apart`]).

pub mod apart;
pub mod bus;
pub mod canvas;
pub mod cells;
pub mod copy;
pub mod draw;
pub mod drm;
pub mod epaper;
pub mod fb_sys;
pub mod font;
pub mod framebuffer;
pub mod layout;
pub mod lettering;
pub mod oled;
pub mod outline;
pub mod picture;
pub mod pixel;
#[cfg(test)]
mod played;
pub mod png;
pub mod ring;
pub mod serial;
pub mod setting;
pub mod shadow;
pub mod spi;
#[cfg(feature = "window")]
pub mod window;
pub mod words;

use crate::Cause;
use crate::board::{Depth, DisplayConfig};
use crate::decide::Verdict;
use crate::limits;
use crate::preprocess::Crop;
use canvas::{Orientation, Rotation};
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// Opens a display. `own` are the letters of the board's own font file.
pub fn open(
    config: &DisplayConfig,
    own: Option<&'static font::Letters>,
) -> Result<Box<dyn Display>, DisplayError> {
    Ok(match config {
        DisplayConfig::Framebuffer(config) => {
            Box::new(framebuffer::FramebufferDisplay::open(config, own)?)
        }
        DisplayConfig::Drm(config) => Box::new(drm::DrmDisplay::open(config, own)?),
        DisplayConfig::Spi(config) => Box::new(spi::SpiDisplay::open(config, own)?),
        DisplayConfig::Oled(config) => Box::new(oled::OledDisplay::open(config, own)?),
        DisplayConfig::Epaper(config) => Box::new(epaper::EpaperDisplay::open(config, own)?),
        #[cfg(feature = "window")]
        DisplayConfig::Window(config) => Box::new(window::WindowDisplay::open(config, own)?),
        #[cfg(not(feature = "window"))]
        DisplayConfig::Window(_) => {
            let why = crate::board::WindowConfig::NOT_BUILT_IN;
            return Err(DisplayError::Unusable(format!("display.window: {why}")));
        }
        DisplayConfig::Png(config) => Box::new(png::PngDisplay::open(config, own)?),
    })
}

/// Opens a display by `open` and divides it among `regions`, where there are several.
pub(crate) fn open_divided(
    open: &apart::Open,
    regions: usize,
) -> Result<Box<dyn Display>, DisplayError> {
    let mut display = open()?;
    if regions > 1 {
        display.divide(regions)?;
    }
    Ok(display)
}

/// A display of this machine. Printed in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// For `[display.framebuffer]`.
    Framebuffer(framebuffer::Found),
    /// For `[display.drm]`.
    Drm(drm::Found),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Framebuffer(found) => found.fmt(f),
            Self::Drm(found) => found.fmt(f),
        }
    }
}

/// The displays of this machine, for `eyelet list displays`. One panel may be there both ways.
pub fn list() -> Vec<Found> {
    let framebuffers = framebuffer::list().into_iter().map(Found::Framebuffer);
    framebuffers
        .chain(drm::list().into_iter().map(Found::Drm))
        .collect()
}

/// How drawings lie on a display of `[display.KIND]`, by its keys.
fn orientation(kind: &str, rotate_deg: u16, mirror: bool) -> Result<Orientation, DisplayError> {
    let rotation = Rotation::from_degrees(rotate_deg).ok_or_else(|| {
        DisplayError::Unusable(format!(
            "display.{kind}.rotate_deg is {rotate_deg}: it must be 0, 90, 180 or 270"
        ))
    })?;
    Ok(Orientation { rotation, mirror })
}

/// A depth's name in a board file.
fn depth_name(depth: Depth) -> &'static str {
    match depth {
        Depth::Mono => "mono",
        Depth::Rgb565 => "rgb565",
        Depth::Rgb888 => "rgb888",
    }
}

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

/// A place where scenes are shown.
pub trait Display {
    /// What it is, for people: kind, driver, size, depth.
    fn describe(&self) -> String;

    /// Draws the scene and pushes what changed. Called when something changed, and at most at the display's rate.
    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError>;

    /// Prepares for scenes of `regions` regions, once before the first one. An error when they have no room.
    fn divide(&mut self, regions: usize) -> Result<(), DisplayError> {
        let _ = regions;
        Ok(())
    }

    /// The newest file that it wrote, for displays that write files.
    fn last_file(&self) -> Option<&Path> {
        None
    }
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
