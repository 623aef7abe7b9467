//! `[display.spi]`: the board file's settings for such a panel, with its controller's defaults.

use super::SpiDisplay;
use crate::data_roots::Base;
use crate::limits;
use crate::show::canvas::Orientation;
use crate::show::font::Letters;
use crate::show::layout::Surface;
use crate::show::panel::{Bus, Lines, SpiLink, gpio, must_lie_within, spi_link};
use crate::show::{Depth, Display, DisplayConfig, DisplayError, DisplayKind, Kind, Shape};
use crate::toml_file::{Table, Word};
use std::fmt;

/// See the module's documentation.
pub const KIND: Kind = Kind {
    name: "spi",
    read: |table, _: Base<'_>| config(table).map(DisplayConfig::Spi),
};

/// `[display.spi]`: a colour panel on SPI.
#[derive(Debug, Clone, PartialEq)]
pub struct SpiConfig {
    /// The controller chip.
    pub controller: Controller,
    /// Columns of the panel in its controller's orientation (not the drawing's).
    pub width_px: u32,
    /// Rows, in the same orientation.
    pub height_px: u32,
    /// The panel's first column in the controller's memory, as the address that is sent (CASET).
    pub left_px: u32,
    /// Its first row, as the address that is sent (RASET).
    pub top_px: u32,
    /// How the drawing is turned on the panel.
    pub orientation: Orientation,
    /// Whether the controller inverts colours (INVON), as IPS panels need.
    pub invert: bool,
    /// Whether the panel's subpixels are in the order blue, green, red.
    pub bgr: bool,
    /// The visible part of the panel.
    pub shape: Shape,
    /// SPI connection.
    pub link: SpiLink,
    /// The line of its reset pin.
    pub reset_gpio: Option<u32>,
    /// The line of its backlight: high from the first picture on.
    pub backlight_gpio: Option<u32>,
    /// The GPIO chip of all lines: a path or a label; `None` is the one for the board's header.
    pub gpio_chip: Option<String>,
    /// Exit with an error if it cannot be opened; otherwise continue with only the serial log.
    pub required: bool,
}

/// A colour panel's controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    /// Sitronix ST7789.
    St7789,
    /// Sitronix ST7735 (R, S).
    St7735,
    /// Ilitek ILI9341.
    Ili9341,
    /// Ilitek ILI9488, which takes 18 bits per pixel on SPI.
    Ili9488,
    /// Galaxycore GC9A01, of round panels.
    Gc9a01,
}

impl Word for Controller {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("st7789", Self::St7789),
        ("st7735", Self::St7735),
        ("ili9341", Self::Ili9341),
        ("ili9488", Self::Ili9488),
        ("gc9a01", Self::Gc9a01),
    ];
}

impl Controller {
    /// Columns and rows of its memory (mipidsi 0.10, `FRAMEBUFFER_SIZE`).
    pub fn memory_px(self) -> (u32, u32) {
        match self {
            Self::St7789 | Self::Ili9341 => (240, 320),
            Self::St7735 => (132, 162),
            Self::Ili9488 => (320, 480),
            Self::Gc9a01 => (240, 240),
        }
    }

    /// The panel that it most often drives.
    fn size_px(self) -> (u32, u32) {
        match self {
            Self::St7735 => (128, 160),
            other => other.memory_px(),
        }
    }

    /// Offsets of panels of this size in its memory. 1.14" (135 x 240), 1.69" (240 x 280), 1.9" (170 x 320), 1.47" (172 x 320):
    /// as in TFT_eSPI and Adafruit's ST7735 library. 0.96" (80 x 160): Adafruit's revision B, and Pimoroni. 1.44" (128 x 128):
    /// Linux's `st7735r`.
    fn offset_px(self, size_px: (u32, u32)) -> (u32, u32) {
        match (self, size_px) {
            (Self::St7789, (135, 240)) => (52, 40),
            (Self::St7789, (240, 280)) => (0, 20),
            (Self::St7789, (170, 320)) => (35, 0),
            (Self::St7789, (172, 320)) => (34, 0),
            (Self::St7735, (80, 160)) => (26, 1),
            (Self::St7735, (128, 128)) => (2, 3),
            _ => (0, 0),
        }
    }

    /// Whether its panels are mostly IPS, whose colours must be inverted: as TFT_eSPI and Adafruit's library configure them.
    fn inverts(self, size_px: (u32, u32)) -> bool {
        match self {
            Self::St7789 | Self::Gc9a01 => true,
            Self::St7735 => size_px == (80, 160),
            Self::Ili9341 | Self::Ili9488 => false,
        }
    }

    /// Whether the subpixels of its panels are mostly in the order blue, green, red. From Adafruit's library for ST7789 and 80 x
    /// 160; Linux's `st7735r` for the other ST7735; TFT_eSPI for the rest.
    fn is_bgr(self, size_px: (u32, u32)) -> bool {
        match self {
            Self::St7789 => false,
            Self::St7735 => size_px != (128, 160),
            Self::Ili9341 | Self::Ili9488 | Self::Gc9a01 => true,
        }
    }

    /// A clock that its modules tolerate: Raspberry Pi's overlays for panels with ST7789 and ILI9341 use 32 MHz (`minipitft13`,
    /// `pitft22`), and TFT_eSPI uses 27 to 80 MHz for the GC9A01, and 20 MHz and more for the others. The ST7735's is below the
    /// 16 MHz of Adafruit's Python library.
    fn speed_hz(self) -> u32 {
        match self {
            Self::St7789 | Self::Ili9341 | Self::Gc9a01 => 32_000_000,
            Self::Ili9488 => 20_000_000,
            Self::St7735 => 15_000_000,
        }
    }
}

impl DisplayKind for SpiConfig {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn open(&self, own: Option<&'static Letters>) -> Result<Box<dyn Display>, DisplayError> {
        Ok(Box::new(SpiDisplay::open(self, own)?))
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
            "top_px",
            "invert",
            "bgr",
            "round",
            "speed_hz",
        ]
    }

    fn surface(&self) -> Option<Surface> {
        // An 18-bit display is drawn as a 24-bit one.
        let depth = match self.controller {
            Controller::Ili9488 => Depth::Rgb888,
            _ => Depth::Rgb565,
        };
        let size_px = (self.width_px, self.height_px);
        Some(Surface::turned(size_px, self.orientation.rotation, depth).shaped(self.shape))
    }

    fn lines(&self) -> Lines<'_> {
        let lines = [
            ("dc_gpio", Some(self.link.dc_gpio)),
            ("reset_gpio", self.reset_gpio),
            ("backlight_gpio", self.backlight_gpio),
        ];
        Lines::new(self.gpio_chip.as_ref(), &lines)
    }

    fn bus(&self) -> Option<Bus<'_>> {
        Some(Bus::Spi(&self.link.device))
    }
}

impl fmt::Display for SpiConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SPI panel {}, {}x{} on {}",
            self.controller.word(),
            self.width_px,
            self.height_px,
            self.link.device.display()
        )
    }
}

/// `[display.spi]`
pub(super) fn config(table: &mut Table<'_, '_>) -> Option<SpiConfig> {
    table.must_have(&["controller"]);
    let controller = table.word("controller", Controller::WORDS);
    // Without a controller the other keys are still read, so that their faults are reported.
    let known = controller.unwrap_or(Controller::St7789);
    let usual_px = known.size_px();
    let memory_px = known.memory_px();
    let width_px = table.integer_u32("width_px", limits::DISPLAY_SIDE_PX);
    let height_px = table.integer_u32("height_px", limits::DISPLAY_SIDE_PX);
    let size_px = (
        width_px.unwrap_or(usual_px.0),
        height_px.unwrap_or(usual_px.1),
    );
    let offset_px = known.offset_px(size_px);
    let left_px = table.integer_u32("left_px", limits::PANEL_OFFSET_PX);
    let top_px = table.integer_u32("top_px", limits::PANEL_OFFSET_PX);
    let (left_px, top_px) = (
        left_px.unwrap_or(offset_px.0),
        top_px.unwrap_or(offset_px.1),
    );
    if controller.is_some() {
        let end_px = (size_px.0 + left_px, size_px.1 + top_px);
        must_lie_within(
            table,
            known.word(),
            memory_px,
            end_px,
            ["left_px", "top_px"],
        );
    }
    let is_square = size_px.0 == size_px.1;
    let shape = Shape::read(table, is_square, is_square && known == Controller::Gc9a01);
    let orientation = Orientation::read(table);
    let invert = table.flag("invert").unwrap_or(known.inverts(size_px));
    let bgr = table.flag("bgr").unwrap_or(known.is_bgr(size_px));
    let link = spi_link(table, known.speed_hz());
    let reset_gpio = gpio(table, "reset_gpio");
    let backlight_gpio = gpio(table, "backlight_gpio");
    let gpio_chip = table.text("gpio_chip");
    let required = table.flag("required").unwrap_or(false);
    Some(SpiConfig {
        controller: controller?,
        width_px: size_px.0,
        height_px: size_px.1,
        left_px,
        top_px,
        orientation,
        invert,
        bgr,
        shape,
        link: link?,
        reset_gpio,
        backlight_gpio,
        gpio_chip,
        required,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::toml_file;

    fn spi_of(keys: &str) -> Result<SpiConfig, Vec<String>> {
        toml_file::read("b.toml", keys, config).map_err(|faults| faults.lines)
    }

    #[test]
    fn a_colour_panel_has_the_defaults_of_its_controller_and_size() {
        for (keys, size, offset, invert, bgr, speed_hz) in [
            ("'st7789'", (240, 320), (0, 0), true, false, 32_000_000),
            (
                "'st7789'\nwidth_px = 135\nheight_px = 240",
                (135, 240),
                (52, 40),
                true,
                false,
                32_000_000,
            ),
            ("'st7735'", (128, 160), (0, 0), false, false, 15_000_000),
            (
                "'st7735'\nwidth_px = 80",
                (80, 160),
                (26, 1),
                true,
                true,
                15_000_000,
            ),
            ("'ili9488'", (320, 480), (0, 0), false, true, 20_000_000),
            ("'gc9a01'", (240, 240), (0, 0), true, true, 32_000_000),
        ] {
            let config = spi_of(&format!("dc_gpio = 9\ncontroller = {keys}")).unwrap();
            assert_eq!((config.width_px, config.height_px), size, "{keys}");
            assert_eq!((config.left_px, config.top_px), offset, "{keys}");
            assert_eq!((config.invert, config.bgr), (invert, bgr), "{keys}");
            assert_eq!(config.link.speed_hz, speed_hz, "{keys}");
            assert_eq!(config.shape == Shape::Round, keys == "'gc9a01'");
            let link = config.link;
            assert_eq!(
                (link.dc_gpio, link.spi_mode, link.transfer_bytes),
                (9, 0, None)
            );
            assert_eq!(link.device.to_str(), Some("/dev/spidev0.0"));
        }
    }

    #[test]
    fn implausible_panel_tables_are_refused_with_their_place() {
        assert_eq!(
            spi_of("controller = 'st7789'\nwidth_px = 320\nheight_px = 240\ndc_gpio = 2000")
                .unwrap_err(),
            [
                "b.toml:2:1: width_px: width_px and left_px make 320, and st7789 has 240 columns: give the size of the panel as its controller has it, and turn the drawing by rotate_deg",
                "b.toml:4:1: dc_gpio: is 2000, needs a whole number from 0 to 1023",
            ]
        );
        let missing = spi_of("top_px = 1").unwrap_err();
        assert_eq!(
            missing,
            [
                "b.toml:1:1: controller: is missing",
                "b.toml:1:1: dc_gpio: is missing"
            ]
        );
        let lines = spi_of(
            "controller = 'gc9a01'\ndc_gpio = 9\ntop_px = 1\nspi_mode = 1\ndevice = 'spidev0.0'",
        )
        .unwrap_err();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(
            lines[0].contains("height_px and top_px make 241"),
            "{lines:?}"
        );
        assert!(lines[1].contains("needs 0 or 3") && lines[2].contains("needs an absolute path"));
    }
}
