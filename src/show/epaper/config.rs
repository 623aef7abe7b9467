//! `[display.epaper]`: the board file's settings for such a panel.

use super::EpaperDisplay;
use crate::data_roots::Base;
use crate::limits;
use crate::show::canvas::Orientation;
use crate::show::font::Letters;
use crate::show::layout::Surface;
use crate::show::panel::{Bus, Lines, SpiLink, gpio, spi_link};
use crate::show::{Depth, Display, DisplayConfig, DisplayError, DisplayKind, Kind, Refresh};
use crate::toml_file::{Table, Word};
use std::fmt;

/// See the module's documentation.
pub const KIND: Kind = Kind {
    name: "epaper",
    read: |table, _: Base<'_>| config(table).map(DisplayConfig::Epaper),
};

/// `[display.epaper]`
#[derive(Debug, Clone, PartialEq)]
pub struct EpaperConfig {
    /// The module type.
    pub panel: EpaperPanel,
    /// How the drawing is turned on the panel.
    pub orientation: Orientation,
    /// White letters on a black background.
    pub invert: bool,
    /// After this many partial refreshes comes a full one, which removes their ghosting.
    pub full_every: u32,
    /// SPI connection.
    pub link: SpiLink,
    /// The line of its reset pin.
    pub reset_gpio: u32,
    /// The line of its busy pin.
    pub busy_gpio: u32,
    /// The line that switches its supply on, if it has one.
    pub power_gpio: Option<u32>,
    /// The GPIO chip of all lines: a path or a label; `None` is the one for the board's header.
    pub gpio_chip: Option<String>,
    /// Exit with an error if it cannot be opened; otherwise continue with only the serial log.
    pub required: bool,
}

/// A Waveshare module; all have an SSD1680 or a compatible controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpaperPanel {
    /// 2.13", 122 x 250, V3.
    Waveshare2in13V3,
    /// 2.13", 122 x 250, V4.
    Waveshare2in13V4,
    /// 2.9", 128 x 296, V2.
    Waveshare2in9V2,
}

impl Word for EpaperPanel {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("waveshare-2in13-v3", Self::Waveshare2in13V3),
        ("waveshare-2in13-v4", Self::Waveshare2in13V4),
        ("waveshare-2in9-v2", Self::Waveshare2in9V2),
    ];
}

impl EpaperPanel {
    /// Columns (sources) and rows (gates), in portrait orientation.
    pub fn size_px(self) -> (u32, u32) {
        match self {
            Self::Waveshare2in13V3 | Self::Waveshare2in13V4 => (122, 250),
            Self::Waveshare2in9V2 => (128, 296),
        }
    }
}

impl DisplayKind for EpaperConfig {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn open(&self, own: Option<&'static Letters>) -> Result<Box<dyn Display>, DisplayError> {
        Ok(Box::new(EpaperDisplay::open(self, own)?))
    }

    fn is_required(&self) -> bool {
        self.required
    }

    fn is_slow(&self) -> bool {
        true
    }

    fn orientation(&self) -> Option<Orientation> {
        Some(self.orientation)
    }

    fn setup_keys(&self) -> &'static [&'static str] {
        &["rotate_deg", "mirror", "panel", "invert"]
    }

    fn surface(&self) -> Option<Surface> {
        let surface = Surface::turned(self.panel.size_px(), self.orientation.rotation, Depth::Mono);
        Some(surface.refreshed(Refresh::Standing))
    }

    fn lines(&self) -> Lines<'_> {
        let lines = [
            ("dc_gpio", Some(self.link.dc_gpio)),
            ("reset_gpio", Some(self.reset_gpio)),
            ("busy_gpio", Some(self.busy_gpio)),
            ("power_gpio", self.power_gpio),
        ];
        Lines::new(self.gpio_chip.as_ref(), &lines)
    }

    fn bus(&self) -> Option<Bus<'_>> {
        Some(Bus::Spi(&self.link.device))
    }
}

impl fmt::Display for EpaperConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (width_px, height_px) = self.panel.size_px();
        write!(
            f,
            "e-paper {}, {width_px}x{height_px} on {}",
            self.panel.word(),
            self.link.device.display()
        )
    }
}

/// `[display.epaper]`
pub(super) fn config(table: &mut Table<'_, '_>) -> Option<EpaperConfig> {
    table.must_have(&["panel", "reset_gpio", "busy_gpio"]);
    let panel = table.word("panel", EpaperPanel::WORDS);
    let orientation = Orientation::read(table);
    let invert = table.flag("invert").unwrap_or(false);
    let full_every = table.integer_u32("full_every", limits::FULL_EVERY);
    // As in Waveshare's `epdconfig.py`.
    let link = spi_link(table, 4_000_000);
    let reset_gpio = gpio(table, "reset_gpio");
    let busy_gpio = gpio(table, "busy_gpio");
    let power_gpio = gpio(table, "power_gpio");
    let gpio_chip = table.text("gpio_chip");
    let required = table.flag("required").unwrap_or(false);
    Some(EpaperConfig {
        panel: panel?,
        orientation,
        invert,
        full_every: full_every.unwrap_or(20),
        link: link?,
        reset_gpio: reset_gpio?,
        busy_gpio: busy_gpio?,
        power_gpio,
        gpio_chip,
        required,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::toml_file;

    fn read(keys: &str) -> Result<EpaperConfig, Vec<String>> {
        toml_file::read("b.toml", keys, config).map_err(|faults| faults.lines)
    }

    #[test]
    fn an_epaper_names_its_module_and_lines() {
        let keys = "panel = 'waveshare-2in9-v2'\ndc_gpio = 25\nreset_gpio = 17\nbusy_gpio = 24";
        let config = read(keys).unwrap();
        assert_eq!(
            config.to_string(),
            "e-paper waveshare-2in9-v2, 128x296 on /dev/spidev0.0"
        );
        assert_eq!((config.full_every, config.power_gpio), (20, None));
        assert_eq!(config.link.speed_hz, 4_000_000);
    }

    #[test]
    fn missing_and_unknown_keys_are_reported_together() {
        let lines = read("panel = 'waveshare-2in13-v2'\nfull_every = 0").unwrap_err();
        let is_reported = |part: &str| lines.iter().any(|line| line.contains(part));
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert!(is_reported("did you mean `waveshare-2in13-v"), "{lines:?}");
        assert!(is_reported(
            "full_every: is 0, needs a whole number from 1 to 1000"
        ));
        for key in ["dc_gpio", "reset_gpio", "busy_gpio"] {
            assert!(is_reported(&format!("{key}: is missing")), "{lines:?}");
        }
    }
}
