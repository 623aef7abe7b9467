//! A window on a desktop that imitates a display of any size and depth: for development.

#[cfg(feature = "window")]
mod desktop;

#[cfg(feature = "window")]
pub use desktop::WindowDisplay;

use super::font::Letters;
use super::layout::Surface;
use super::{Depth, Display, DisplayConfig, DisplayError, DisplayKind, Kind};
use crate::data_roots::Base;
use crate::limits;
use crate::toml_file::{Table, Word};
use std::fmt;

/// See the module's documentation.
pub(super) const KIND: Kind = Kind {
    name: "window",
    read,
};

/// The message of a program that was built without windows.
#[cfg(not(feature = "window"))]
const NOT_BUILT_IN: &str = "this program was built without windows: build it with `cargo build --release --features window`, or use [display.png]";

/// `[display.window]`
#[derive(Debug, Clone, PartialEq)]
pub struct WindowConfig {
    /// Width of the imitated display.
    pub width_px: u32,
    /// Height of the imitated display.
    pub height_px: u32,
    /// Each of its pixels is a square of this many pixels in the window: 1, 2, 4 or 8.
    pub scale: u32,
    /// Colour depth to imitate.
    pub depth: Depth,
}

fn read(table: &mut Table<'_, '_>, _: Base<'_>) -> Option<DisplayConfig> {
    #[cfg(not(feature = "window"))]
    table.fault_of_all(NOT_BUILT_IN);
    table.must_have(&["width_px", "height_px"]);
    let width_px = table.integer_u32("width_px", limits::DISPLAY_SIDE_PX);
    let height_px = table.integer_u32("height_px", limits::DISPLAY_SIDE_PX);
    let scale = table.one_of("scale", [1, 2, 4, 8]);
    let depth = table.word("depth", Depth::WORDS);
    Some(DisplayConfig::Window(WindowConfig {
        width_px: width_px?,
        height_px: height_px?,
        scale: scale.unwrap_or(1),
        depth: depth.unwrap_or(Depth::Rgb888),
    }))
}

impl DisplayKind for WindowConfig {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    #[cfg(feature = "window")]
    fn open(&self, own: Option<&'static Letters>) -> Result<Box<dyn Display>, DisplayError> {
        Ok(Box::new(WindowDisplay::open(self, own)?))
    }

    #[cfg(not(feature = "window"))]
    fn open(&self, _: Option<&'static Letters>) -> Result<Box<dyn Display>, DisplayError> {
        let why = format!("display.window: {NOT_BUILT_IN}");
        Err(DisplayError::Unusable(why))
    }

    /// A window is opened to be looked at.
    fn is_required(&self) -> bool {
        true
    }

    fn surface(&self) -> Option<Surface> {
        Some(Surface::new(self.width_px, self.height_px, self.depth))
    }

    fn setup_keys(&self) -> &'static [&'static str] {
        &["width_px", "height_px", "scale", "depth"]
    }
}

impl fmt::Display for WindowConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "window of {}x{}", self.width_px, self.height_px)?;
        match self.scale {
            1 => Ok(()),
            scale => write!(f, ", {scale} times as large"),
        }
    }
}
