//! The display: one [`Scene`] drawn with embedded-graphics for any size and depth; only changes are pushed.
//!
//! ```text
//! Scene -> draw::Painter (layout, setting, font, outline, picture) -> canvas::Canvas -> png
//!                                                                                    -> shadow::Shadow -> framebuffer, drm, spi,
//!                                                                                                      oled, epaper
//!                                                                                    -> window
//! ```
//!
//! Each kind of display is one file here (or a folder): its board-file settings with their defaults, the code that opens it, and
//! its [`Display`], which has a [`draw::Painter`] and pushes its canvas through a [`shadow::Shadow`]. Besides that file it needs
//! a variant of [`DisplayConfig`], an arm in [`DisplayConfig::settings`], and a line in `KINDS`. A board may have several
//! displays; one whose pictures take long says so ([`DisplayKind::is_slow`]) and gets its own thread ([`threaded`]).

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
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod hostile;
pub mod layout;
pub mod lettering;
pub mod oled;
pub mod outline;
pub mod panel;
pub mod picture;
pub mod pixel;
#[cfg(test)]
mod played;
pub mod png;
pub mod ring;
mod scene;
pub mod serial;
pub mod setting;
pub mod shadow;
pub mod spi;
pub mod threaded;
pub mod window;
pub mod words;

pub use canvas::Depth;
pub use drm::DrmConfig;
pub use epaper::{EpaperConfig, EpaperPanel};
pub use framebuffer::FramebufferConfig;
pub use layout::{Refresh, Shape};
pub use oled::{OledConfig, OledController, OledLink};
pub use png::PngConfig;
pub use scene::{Fault, REGIONS, Region, Scene, State, TestPicture};
pub use spi::{Controller, SpiConfig};
pub use window::WindowConfig;

use crate::data_roots::Base;
use crate::failure::{Cause, Failure};
use crate::limits;
use crate::toml_file::Table;
use canvas::Orientation;
use layout::Surface;
use panel::{Bus, Lines};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// One display, of one kind: `[display.KIND]`. A board has up to [`crate::limits::DISPLAYS`] of them.
#[derive(Debug, Clone, PartialEq)]
pub enum DisplayConfig {
    /// A Linux framebuffer.
    Framebuffer(FramebufferConfig),
    /// A display with a kernel display driver, whose mode we choose.
    Drm(DrmConfig),
    /// A colour panel on SPI.
    Spi(SpiConfig),
    /// A small monochrome panel.
    Oled(OledConfig),
    /// E-paper.
    Epaper(EpaperConfig),
    /// PNG files: what a display of that size would show.
    Png(PngConfig),
    /// A window on a desktop.
    Window(WindowConfig),
}

/// Every kind, by the name in `[display.KIND]`.
const KINDS: [&Kind; 7] = [
    &framebuffer::KIND,
    &drm::KIND,
    &spi::KIND,
    &oled::KIND,
    &epaper::KIND,
    &png::KIND,
    &window::KIND,
];

/// `[display.none]` must be alone and is not a display.
const NONE: &str = "none";

/// How to read a kind's settings.
pub struct Kind {
    /// Its name, as in `[display.NAME]`.
    name: &'static str,
    /// Reads that table, with the kind's defaults for missing keys.
    read: fn(&mut Table<'_, '_>, Base<'_>) -> Option<DisplayConfig>,
}

/// The settings of one kind. `Display` describes them for people.
pub trait DisplayKind: fmt::Display {
    /// Its kind, as in `[display.KIND]`.
    fn kind(&self) -> &'static str;

    /// Opens the display. `own` holds the letters of the board's own font file.
    ///
    /// # Errors
    /// It does not exist or cannot be used, and what to do.
    fn open(&self, own: Option<&'static font::Letters>) -> Result<Box<dyn Display>, DisplayError>;

    /// Whether the board must not run without this display. A screen or panel may be missing unless its table says otherwise.
    fn is_required(&self) -> bool;

    /// Whether a picture takes longer than a frame may wait, so that the display gets its own thread. Memory and files are fast;
    /// a panel on a serial bus, or one that moves ink, is not.
    fn is_slow(&self) -> bool {
        false
    }

    /// Whether its last picture stays when the program ends by itself or is killed, and another replaces it in a moment: not the
    /// seconds of paper.
    fn keeps_picture(&self) -> bool {
        false
    }

    /// `rotate_deg` and `mirror`, if the kind has them.
    fn orientation(&self) -> Option<Orientation> {
        None
    }

    /// The keys that change what its test picture looks like.
    fn setup_keys(&self) -> &'static [&'static str];

    /// Why this display and the other cannot be used together: they are the same device.
    fn clash(&self, other: &DisplayConfig) -> Option<String> {
        let _ = other;
        None
    }

    /// The drawing surface, if the table defines it: the size of other displays comes from their driver.
    fn surface(&self) -> Option<Surface>;

    /// The GPIO lines that it uses.
    fn lines(&self) -> Lines<'_> {
        Lines::default()
    }

    /// What a panel is wired to; `None` for displays that do not use the board's pins.
    fn bus(&self) -> Option<Bus<'_>> {
        None
    }
}

impl DisplayConfig {
    /// The settings of its kind.
    pub fn settings(&self) -> &dyn DisplayKind {
        match self {
            Self::Framebuffer(config) => config,
            Self::Drm(config) => config,
            Self::Spi(config) => config,
            Self::Oled(config) => config,
            Self::Epaper(config) => config,
            Self::Png(config) => config,
            Self::Window(config) => config,
        }
    }

    /// Reads `[display]`: the tables of all displays in the order of the file, and `font`, a font file.
    pub fn read_all(top: &mut Table<'_, '_>, base: Base<'_>) -> (Vec<Self>, Option<PathBuf>) {
        let mut font = None;
        let mut names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
        names.push(NONE);
        let chosen = top.choices("display", &names, |outer| {
            font = outer.text("font").map(|path| base.input(&path));
        });
        let count = chosen.len();
        if count > 1 && chosen.iter().any(|(kind, _)| *kind == NONE) {
            top.fault(
                "display",
                "has [display.none] beside another one: [display.none] is for a board without a display, and stands alone",
            );
        }
        let most = limits::DISPLAYS.most;
        if count as u64 > most {
            top.fault(
                "display",
                format_args!("has {count} displays, needs at most {most}"),
            );
        }
        let mut displays: Vec<Self> = Vec::with_capacity(count);
        for (name, mut table) in chosen {
            let kind = KINDS.iter().find(|kind| kind.name == name);
            displays.extend(kind.and_then(|kind| (kind.read)(&mut table, base)));
        }
        for (i, display) in displays.iter().enumerate() {
            if let Some(why) = displays[..i].iter().find_map(|other| other.clash(display)) {
                top.fault("display", why);
            }
        }
        (displays, font)
    }

    fn clash(&self, other: &Self) -> Option<String> {
        let either = self.settings().clash(other);
        either.or_else(|| other.settings().clash(self)).or_else(|| {
            let bus = self.settings().bus()?;
            (other.settings().bus() == Some(bus)).then(|| {
                format!(
                    "has two panels on {}: each needs a `device` of its own, or on I2C an `address`",
                    bus.node().display()
                )
            })
        })
    }

    /// The name of each of `displays` in logs and messages: `display` if it is the only one, with its kind if there are others,
    /// and with a number if there are others of its kind: `display spi 2`.
    pub fn names(displays: &[Self]) -> Vec<String> {
        let kinds: Vec<_> = displays
            .iter()
            .map(|display| display.settings().kind())
            .collect();
        let name = |(i, kind): (usize, &&'static str)| {
            let alike = |kinds: &[&str]| kinds.iter().filter(|other| *other == kind).count();
            match (displays.len(), alike(&kinds)) {
                (1, _) => "display".to_owned(),
                (_, 1) => format!("display {kind}"),
                _ => format!("display {kind} {}", alike(&kinds[..=i])),
            }
        };
        kinds.iter().enumerate().map(name).collect()
    }
}

impl fmt::Display for DisplayConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings().fmt(f)
    }
}

/// Whether two driver-name prefixes can match the same driver.
fn may_be_same(one: Option<&str>, other: Option<&str>) -> bool {
    let [one, other] = [one, other].map(Option::unwrap_or_default);
    one.starts_with(other) || other.starts_with(one)
}

/// Something that scenes are shown on.
pub trait Display {
    /// Description for people: kind, driver, size, depth.
    fn describe(&self) -> String;

    /// Draws the scene and pushes what changed. Called when something changed, and at most at the display's rate.
    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError>;

    /// Prepares for scenes of `regions` regions, once before the first one. An error if they do not fit.
    fn divide(&mut self, regions: usize) -> Result<(), DisplayError> {
        let _ = regions;
        Ok(())
    }

    /// The newest file, for displays that write files.
    fn last_file(&self) -> Option<&Path> {
        None
    }
}

/// Why a scene was not shown.
#[derive(Debug, thiserror::Error)]
pub enum DisplayError {
    /// The display does not exist.
    #[error("{0}")]
    Absent(String),
    /// It exists but cannot be used: wrong size, no permission.
    #[error("{0}")]
    Unusable(String),
    /// It worked, and then failed (full disk, device gone).
    #[error("{0}")]
    Failed(String),
}

impl DisplayError {
    /// Why a display's node cannot be opened; `absent` says what to do if there is none.
    fn of_opening(node: &Path, error: &io::Error, absent: &str) -> Self {
        let why = format!("cannot open the display {}: {error}", node.display());
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Unusable(format!(
                "{why}; add the user to the group video (usermod -aG video USER) and log in again"
            )),
            io::ErrorKind::NotFound => Self::Absent(format!("{why}; {absent}")),
            _ => Self::Unusable(why),
        }
    }
}

impl From<DisplayError> for Failure {
    fn from(error: DisplayError) -> Self {
        Self::new(Cause::Display, error)
    }
}

/// Opens a display with `open` and divides it among `regions`, if there are several.
pub(crate) fn open_divided(
    open: &threaded::Open,
    regions: usize,
) -> Result<Box<dyn Display>, DisplayError> {
    let mut display = open()?;
    if regions > 1 {
        display.divide(regions)?;
    }
    Ok(display)
}

/// A display of this machine. Displayed on one line.
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

/// The displays of this machine, for `eyelet list displays`. One panel may be listed both ways.
pub fn list() -> Vec<Found> {
    let framebuffers = framebuffer::list().into_iter().map(Found::Framebuffer);
    framebuffers
        .chain(drm::list().into_iter().map(Found::Drm))
        .collect()
}
