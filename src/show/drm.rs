//! A display with a kernel display driver (DRM/KMS): HDMI, DSI, DisplayPort, and panels whose driver is in the kernel.
//!
//! ```text
//! open: cards -> choice (connector) -> mode -> output (CRTC, two buffers)
//! show: Painter -> pair (rows that changed) -> output (buffer, flip)
//! ```
//!
//! Unlike on a framebuffer, we choose the mode, no half-drawn picture is ever visible, the console cannot draw over it, and a
//! display that is plugged in later or replaced gets its own mode. While it is open no other program can draw on the card.

mod buffer;
mod card;
mod choice;
mod mode;
mod output;
pub mod pair;

pub use ::drm::control::connector::State;
pub use buffer::{RGB565, XRGB8888};
pub use card::{Found, FoundConnector, list};
pub use choice::word;
pub use mode::Timing;

use super::canvas::Orientation;
use super::draw::Painter;
use super::font::Letters;
use super::layout::Surface;
use super::{Depth, Display, DisplayConfig, DisplayError, DisplayKind, Kind, Scene, may_be_same};
use crate::data_roots::Base;
use crate::limits;
use crate::toml_file::Table;
use buffer::Format;
use card::Card;
use mode::Wanted;
use output::{Output, OutputError};
use pair::Pair;
use std::fmt;
use std::io;
use std::time::Instant;

/// See the module's documentation.
pub(super) const KIND: Kind = Kind { name: "drm", read };

/// `[display.drm]`
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DrmConfig {
    /// The connector as listed by `eyelet list displays` (`HDMI-A-1`, `DSI-1`); `None` is the first one with a display.
    pub connector: Option<String>,
    /// Prefix of the driver's name (`vc4`, `virtio_gpu`, `tegra`); `None` is any.
    pub driver: Option<String>,
    /// Width of the mode; `None` means the display's preferred one.
    pub width_px: Option<u32>,
    /// Height of the mode; `None` means the display's preferred one.
    pub height_px: Option<u32>,
    /// Refresh rate of the mode; `None` means the display's preferred one.
    pub rate_hz: Option<u32>,
    /// How the drawing is turned on the panel.
    pub orientation: Orientation,
    /// Exit with an error if there is no such display; otherwise continue with only the serial log.
    pub required: bool,
}

fn read(table: &mut Table<'_, '_>, _: Base<'_>) -> Option<DisplayConfig> {
    Some(DisplayConfig::Drm(DrmConfig {
        connector: table.text("connector"),
        driver: table.text("driver"),
        width_px: table.integer_u32("width_px", limits::DISPLAY_SIDE_PX),
        height_px: table.integer_u32("height_px", limits::DISPLAY_SIDE_PX),
        rate_hz: table.integer_u32("rate_hz", limits::MODE_RATE_HZ),
        orientation: Orientation::read(table),
        required: table.flag("required").unwrap_or(false),
    }))
}

impl DisplayKind for DrmConfig {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn open(&self, own: Option<&'static Letters>) -> Result<Box<dyn Display>, DisplayError> {
        Ok(Box::new(DrmDisplay::open(self, own)?))
    }

    fn is_required(&self) -> bool {
        self.required
    }

    /// It waits until its last picture is visible.
    fn is_slow(&self) -> bool {
        true
    }

    fn orientation(&self) -> Option<Orientation> {
        Some(self.orientation)
    }

    fn setup_keys(&self) -> &'static [&'static str] {
        &["rotate_deg", "mirror", "width_px", "height_px", "rate_hz"]
    }

    fn surface(&self) -> Option<Surface> {
        let size_px = (self.width_px?, self.height_px?);
        Some(Surface::turned(
            size_px,
            self.orientation.rotation,
            Depth::Rgb565,
        ))
    }

    /// The kernel lets only one program at a time set a card's modes, and each of these displays would count as one.
    fn clash(&self, other: &DisplayConfig) -> Option<String> {
        let driver = self.driver.as_deref();
        match other {
            DisplayConfig::Drm(other) => may_be_same(driver, other.driver.as_deref()).then(|| {
                "has two [display.drm] that may be of one card, which only one can use: each needs a `driver` of its own".to_owned()
            }),
            DisplayConfig::Framebuffer(other) => {
                let framebuffer = other.driver.as_deref();
                // The name in `/proc/fb` of what a Raspberry Pi's firmware sets up, until the display's driver takes over.
                let mut of_firmware = ["simple", "BCM2708 FB"].into_iter();
                let is_taken_over = may_be_same(Some("vc4"), driver)
                    && framebuffer.is_some_and(|start| of_firmware.any(|name| name.starts_with(start)));
                (is_taken_over || may_be_same(driver, framebuffer)).then(|| {
                    "has a [display.framebuffer] and a [display.drm] that may be of one card, where only the latter is seen: leave out \
                     one of them, or give each a `driver` of its own"
                        .to_owned()
                })
            }
            _ => None,
        }
    }
}

impl fmt::Display for DrmConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connector = self.connector.as_deref();
        let connector = connector.unwrap_or("the first connector with a display");
        let driver = self.driver.as_deref().unwrap_or("any driver");
        write!(f, "DRM, {connector} of {driver}")?;
        if let (Some(w), Some(h)) = (self.width_px, self.height_px) {
            write!(f, ", {w}x{h}")?;
        }
        self.rate_hz.map_or(Ok(()), |hz| write!(f, " at {hz} Hz"))
    }
}

/// See the module's documentation.
pub struct DrmDisplay {
    painter: Painter,
    pair: Pair,
    output: Output,
    name: String,
    timing: Timing,
    bits: u32,
}

impl DrmDisplay {
    /// Finds the connector, sets the mode and becomes the card's master.
    /// `own` holds the letters of the board's own font file.
    ///
    /// # Errors
    /// [`DisplayError::Absent`] if there is no such connector or nothing is plugged in, [`DisplayError::Unusable`] if it cannot
    /// be drawn on: no permission, another program has it, no such mode.
    pub fn open(config: &DrmConfig, own: Option<&'static Letters>) -> Result<Self, DisplayError> {
        let orientation = config.orientation;
        let (card, info) = find(config)?;
        let name = format!("{info} of {} ({})", card.driver, card.node.display());
        let timings: Vec<Timing> = info.modes().iter().map(Timing::from).collect();
        let wanted = Wanted {
            width_px: config.width_px,
            height_px: config.height_px,
            rate_hz: config.rate_hz,
        };
        let at = mode::chosen(&timings, &wanted).map_err(|reason| {
            DisplayError::Unusable(format!("the display {name} cannot be drawn on: {reason}"))
        })?;
        let timing = timings[at];
        let size_px = (timing.width_px, timing.height_px);
        let (output, format) = Output::open(card, &info, info.modes()[at])
            .map_err(|error| refused(&name, &timing, &error))?;
        let depth = match format {
            Format::Xrgb8888 => Depth::Rgb888,
            Format::Rgb565 => Depth::Rgb565,
        };
        let (width_px, height_px) = orientation.rotation.turn(size_px);
        Ok(Self {
            painter: Painter::with_letters(width_px, height_px, depth, own)?,
            pair: Pair::new(
                size_px,
                output.stride_bytes(),
                format.packing(),
                orientation,
            ),
            output,
            name,
            timing,
            bits: format.bits(),
        })
    }
}

impl Display for DrmDisplay {
    fn describe(&self) -> String {
        let Self {
            name, timing, bits, ..
        } = self;
        format!("DRM {name}, {timing}, {bits} bits")
    }

    fn divide(&mut self, regions: usize) -> Result<(), DisplayError> {
        self.painter.divide(regions)
    }

    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError> {
        let failed = |error: io::Error| {
            DisplayError::Failed(format!(
                "cannot draw on the display {}: {error}; check its cable and driver",
                self.name
            ))
        };
        if !self.output.is_plugged(Instant::now()).map_err(failed)? {
            return Err(DisplayError::Failed(format!(
                "the display {} was unplugged; it is opened again when it is back",
                self.name
            )));
        }
        let canvas = self.painter.draw(scene);
        self.pair.push(canvas, &mut self.output).map_err(failed)
    }
}

/// The card and connector that the board file specifies.
fn find(config: &DrmConfig) -> Result<(Card, ::drm::control::connector::Info), DisplayError> {
    let mut ports = Vec::new();
    let mut outlets = Vec::new();
    let mut cards = Vec::new();
    let mut closed = None;
    for node in card::nodes() {
        let asked = Card::open(&node).and_then(|card| Ok((card.connectors()?, card)));
        match asked {
            Ok((connectors, card)) => {
                for info in connectors {
                    ports.push(card.port(&info));
                    outlets.push((cards.len(), info));
                }
                cards.push(card);
            }
            Err(error) => {
                closed.get_or_insert_with(|| DisplayError::of_opening(&node, &error, GONE));
            }
        }
    }
    let driver = config.driver.as_deref();
    match choice::chosen(&ports, config.connector.as_deref(), driver) {
        Ok(at) => {
            let (card, info) = outlets.swap_remove(at);
            Ok((cards.swap_remove(card), info))
        }
        // It may be on the card that could not be queried.
        Err(reason) => Err(closed.unwrap_or(DisplayError::Absent(reason))),
    }
}

/// What to do about a node that disappeared between being listed and being opened.
const GONE: &str = "check its cable and driver";

fn refused(name: &str, timing: &Timing, error: &OutputError) -> DisplayError {
    DisplayError::Unusable(match error {
        OutputError::Busy(error) => format!(
            "another program has the display {name} ({error}): end it (a desktop: systemctl isolate multi-user.target), or use [display.window] on the desktop"
        ),
        OutputError::Failed(what, error) => format!(
            "cannot use the display {name} with {timing}: could not {what}: {error}; try another mode (width_px, height_px and rate_hz of display.drm)"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn refusals_say_what_to_do() {
        let denied = io::Error::from_raw_os_error(libc::EACCES);
        let error = DisplayError::of_opening(Path::new("/dev/dri/card0"), &denied, GONE);
        assert!(error.to_string().contains("group video"), "{error}");
        let gone = io::Error::from_raw_os_error(libc::ENOENT);
        let error = DisplayError::of_opening(Path::new("/dev/dri/card0"), &gone, GONE);
        assert!(matches!(error, DisplayError::Absent(_)));
        let timing = Timing {
            width_px: 4096,
            height_px: 2160,
            rate_hz: 30,
            is_preferred: true,
            is_interlaced: false,
        };
        let name = "HDMI-A-1 of vc4 (/dev/dri/card0)";
        let busy = OutputError::Busy(io::Error::from_raw_os_error(libc::EBUSY));
        let error = refused(name, &timing, &busy).to_string();
        assert!(
            error.contains(name) && error.contains("another program"),
            "{error}"
        );
        let failed =
            OutputError::Failed("set its mode", io::Error::from_raw_os_error(libc::EINVAL));
        let error = refused(name, &timing, &failed).to_string();
        assert!(
            error.contains("4096 x 2160 pixels at 30 Hz") && error.contains("rate_hz"),
            "{error}"
        );
    }
}
