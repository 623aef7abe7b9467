//! `[display.oled]`: the board file's settings for such a panel.

use super::OledDisplay;
use crate::data_roots::Base;
use crate::limits;
use crate::show::canvas::Orientation;
use crate::show::font::Letters;
use crate::show::layout::Surface;
use crate::show::panel::{Bus, Lines, SpiLink, gpio, must_lie_within, node, spi_link};
use crate::show::{Depth, Display, DisplayConfig, DisplayError, DisplayKind, Kind};
use crate::toml_file::{Table, Word};
use std::fmt;
use std::path::PathBuf;

/// See the module's documentation.
pub const KIND: Kind = Kind {
    name: "oled",
    read: |table, _: Base<'_>| config(table).map(DisplayConfig::Oled),
};

/// `[display.oled]`
#[derive(Debug, Clone, PartialEq)]
pub struct OledConfig {
    /// The controller chip.
    pub controller: OledController,
    /// Columns, a multiple of 8.
    pub width_px: u32,
    /// Rows, a multiple of 8.
    pub height_px: u32,
    /// The panel's first column in the controller's memory.
    pub left_px: u32,
    /// How the drawing is turned on the panel.
    pub orientation: Orientation,
    /// Dark letters on a light background.
    pub invert: bool,
    /// Brightness, 0 to 255.
    pub contrast: u8,
    /// Bus connection.
    pub link: OledLink,
    /// The line of its reset pin, if it has one.
    pub reset_gpio: Option<u32>,
    /// The GPIO chip of all lines: a path or a label; `None` is the one for the board's header.
    pub gpio_chip: Option<String>,
    /// Exit with an error if it cannot be opened; otherwise continue with only the serial log.
    pub required: bool,
}

/// The bus of a panel that is sold for either.
#[derive(Debug, Clone, PartialEq)]
pub enum OledLink {
    /// I2C.
    I2c {
        /// `/dev/i2c-N`.
        device: PathBuf,
        /// The panel's address, without the read bit.
        address: u16,
    },
    /// SPI.
    Spi(SpiLink),
}

impl OledLink {
    /// The bus and the panel's address on it.
    pub fn bus(&self) -> Bus<'_> {
        match self {
            Self::I2c { device, address } => Bus::I2c(device, *address),
            Self::Spi(link) => Bus::Spi(&link.device),
        }
    }
}

/// A controller of such panels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OledController {
    /// Solomon Systech SSD1306.
    Ssd1306,
    /// Sino Wealth SH1106.
    Sh1106,
}

impl Word for OledController {
    const WORDS: &'static [(&'static str, Self)] =
        &[("ssd1306", Self::Ssd1306), ("sh1106", Self::Sh1106)];
}

impl OledController {
    /// Columns and rows of its memory (crates ssd1306 0.10 and sh1106 0.5).
    pub fn memory_px(self) -> (u32, u32) {
        match self {
            Self::Ssd1306 => (128, 64),
            Self::Sh1106 => (132, 64),
        }
    }
}

impl DisplayKind for OledConfig {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn open(&self, own: Option<&'static Letters>) -> Result<Box<dyn Display>, DisplayError> {
        Ok(Box::new(OledDisplay::open(self, own)?))
    }

    fn is_required(&self) -> bool {
        self.required
    }

    fn keeps_picture(&self) -> bool {
        true
    }

    fn is_slow(&self) -> bool {
        true
    }

    fn orientation(&self) -> Option<Orientation> {
        Some(self.orientation)
    }

    fn setup_keys(&self) -> &'static [&'static str] {
        &[
            "controller",
            "rotate_deg",
            "mirror",
            "width_px",
            "height_px",
            "left_px",
            "invert",
            "contrast",
        ]
    }

    fn surface(&self) -> Option<Surface> {
        let size_px = (self.width_px, self.height_px);
        Some(Surface::turned(
            size_px,
            self.orientation.rotation,
            Depth::Mono,
        ))
    }

    fn lines(&self) -> Lines<'_> {
        let dc_gpio = match &self.link {
            OledLink::I2c { .. } => None,
            OledLink::Spi(link) => Some(link.dc_gpio),
        };
        let lines = [("dc_gpio", dc_gpio), ("reset_gpio", self.reset_gpio)];
        Lines::new(self.gpio_chip.as_ref(), &lines)
    }

    fn bus(&self) -> Option<Bus<'_>> {
        Some(self.link.bus())
    }
}

impl fmt::Display for OledConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "OLED {}, {}x{} on {}",
            self.controller.word(),
            self.width_px,
            self.height_px,
            self.link.bus().node().display()
        )?;
        match self.link {
            OledLink::I2c { address, .. } => write!(f, ", address {address:#04x}"),
            OledLink::Spi(_) => Ok(()),
        }
    }
}

/// `[display.oled]`
pub(super) fn config(table: &mut Table<'_, '_>) -> Option<OledConfig> {
    let controller = table
        .word("controller", OledController::WORDS)
        .unwrap_or(OledController::Ssd1306);
    let width_px = table.integer_u32("width_px", limits::DISPLAY_SIDE_PX);
    let height_px = table.integer_u32("height_px", limits::DISPLAY_SIDE_PX);
    let (width_px, height_px) = (width_px.unwrap_or(128), height_px.unwrap_or(64));
    for (key, side_px) in [("width_px", width_px), ("height_px", height_px)] {
        if !side_px.is_multiple_of(8) {
            table.fault(key, format_args!("is {side_px}, needs a multiple of 8"));
        }
    }
    let memory_px = controller.memory_px();
    let left_px = table.integer_u32("left_px", limits::PANEL_OFFSET_PX);
    // Small panels are wired to the middle of the controller's columns (u8g2 and ssd1306 0.10: 72 x 40, 64 x 48, 64 x 32).
    let left_px = left_px.unwrap_or(memory_px.0.saturating_sub(width_px) / 2);
    let end_px = (width_px + left_px, height_px);
    must_lie_within(
        table,
        controller.word(),
        memory_px,
        end_px,
        ["left_px", "height_px"],
    );
    let contrast = table.integer("contrast", limits::CONTRAST).unwrap_or(127);
    let orientation = Orientation::read(table);
    let invert = table.flag("invert").unwrap_or(false);
    let link = link(table);
    let reset_gpio = gpio(table, "reset_gpio");
    let gpio_chip = table.text("gpio_chip");
    let required = table.flag("required").unwrap_or(false);
    Some(OledConfig {
        controller,
        width_px,
        height_px,
        left_px,
        orientation,
        invert,
        contrast: u8::try_from(contrast).unwrap_or(u8::MAX),
        link: link?,
        reset_gpio,
        gpio_chip,
        required,
    })
}

fn link(table: &mut Table<'_, '_>) -> Option<OledLink> {
    let is_spi = table.word("bus", &[("i2c", false), ("spi", true)]);
    if is_spi.unwrap_or(false) {
        // As in u8g2 for the SH1106; the SSD1306 would tolerate more.
        return spi_link(table, 4_000_000).map(OledLink::Spi);
    }
    let address = table
        .integer("address", limits::I2C_ADDRESS)
        .unwrap_or(0x3c);
    Some(OledLink::I2c {
        device: node(table, "/dev/i2c-1"),
        address: u16::try_from(address).unwrap_or(u16::MAX),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::toml_file;

    fn read(keys: &str) -> Result<OledConfig, Vec<String>> {
        toml_file::read("b.toml", keys, config).map_err(|faults| faults.lines)
    }

    #[test]
    fn a_table_without_keys_is_the_usual_module() {
        let config = read("").unwrap();
        assert_eq!(
            (config.width_px, config.height_px, config.left_px),
            (128, 64, 0)
        );
        assert_eq!(
            config.to_string(),
            "OLED ssd1306, 128x64 on /dev/i2c-1, address 0x3c"
        );
        assert_eq!(read("controller = 'sh1106'").unwrap().left_px, 2);
        let small = read("width_px = 64\nheight_px = 48\naddress = 0x3d").unwrap();
        assert_eq!(small.left_px, 32);
        assert_eq!(read("width_px = 72\nheight_px = 40").unwrap().left_px, 28);
        assert!(matches!(small.link, OledLink::I2c { address: 0x3d, .. }));
        let spi = read("bus = 'spi'\ndc_gpio = 25").unwrap();
        assert_eq!(spi.to_string(), "OLED ssd1306, 128x64 on /dev/spidev0.0");
    }

    #[test]
    fn implausible_oled_tables_are_refused() {
        let lines =
            read("width_px = 132\nheight_px = 60\ncontrast = 256\ndc_gpio = 3").unwrap_err();
        assert!(
            lines[0].contains("width_px: is 132, needs a multiple of 8"),
            "{lines:?}"
        );
        assert!(
            lines[1].contains("make 132, and ssd1306 has 128 columns"),
            "{lines:?}"
        );
        assert!(
            lines[2].contains("height_px: is 60, needs a multiple of 8"),
            "{lines:?}"
        );
        assert!(lines[3].contains("contrast: is 256"), "{lines:?}");
        assert!(lines[4].contains("dc_gpio: unknown key"), "{lines:?}");
        assert_eq!(lines.len(), 5);
        assert!(read("bus = 'spi'").unwrap_err()[0].contains("dc_gpio: is missing"));
        assert!(read("address = 2").unwrap_err()[0].contains("needs a whole number from 8 to 119"));
    }
}
