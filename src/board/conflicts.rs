//! Faults of a board file that show only when its displays are looked at together: a GPIO line used for two pins, and sizes that
//! no layout fits. Two displays on one device are found where displays are read.

use super::config_txt::overlays;
use super::{Firmware, Region};
use crate::show::DisplayConfig;
use crate::show::cells::Cells;
use crate::show::panel::{Bus, HEADER_CHIPS, Lines};
use crate::toml_file::Table;

/// Reports all of these as faults of the board file.
pub(super) fn check(
    top: &Table<'_, '_>,
    displays: &[DisplayConfig],
    regions: &[Region],
    header: Option<&Header<'_>>,
) {
    let names = DisplayConfig::names(displays);
    for (i, display) in displays.iter().enumerate() {
        let Some(surface) = display.settings().surface() else {
            continue;
        };
        if let Some(fault) = surface.fault() {
            let (name, width_px, height_px) = (&names[i], surface.width_px, surface.height_px);
            top.fault(
                "display",
                format_args!(
                    "{name} of {width_px} x {height_px} pixels cannot be drawn on: {fault}"
                ),
            );
        } else if regions.len() > 1 && Cells::on(&surface, regions.len()).is_none() {
            top.fault("mount", Cells::no_room(&surface, regions.len()));
        }
    }
    lines(top, displays, &names, header);
}

/// The Raspberry Pi's 40-pin header, on which the buses use fixed GPIO lines.
pub(super) struct Header<'a> {
    config_txt: &'a [String],
}

impl<'a> Header<'a> {
    /// This board's header, if it is known to have one.
    pub(super) fn of(firmware: &'a Firmware, device_tree_models: &[String]) -> Option<Self> {
        let mut models = device_tree_models.iter();
        let is_pi = firmware
            .machine
            .is_some_and(|machine| machine.is_raspberry_pi())
            || models.any(|model| model.starts_with("Raspberry Pi"));
        is_pi.then_some(Self {
            config_txt: &firmware.config_txt,
        })
    }

    /// The lines that a bus claims itself. Not SPI's MISO, which no panel needs: Pimoroni's boards use it for a pin of the panel.
    fn lines_of(&self, bus: Bus<'_>) -> &'static [(&'static str, u32)] {
        match bus.node().to_str() {
            // Overlays of this kind move the chip selects or drop them.
            Some("/dev/spidev0.0" | "/dev/spidev0.1") => match self.overlay("spi0-") {
                Some(_) => &SPI_0[..2],
                None => &SPI_0,
            },
            Some("/dev/spidev1.0" | "/dev/spidev1.1" | "/dev/spidev1.2") => {
                match self.overlay("spi1-") {
                    Some(("spi1-1cs", "")) => &SPI_1[..3],
                    Some(("spi1-2cs", "")) => &SPI_1[..4],
                    Some(("spi1-3cs", "")) => &SPI_1,
                    // Parameters may move them.
                    _ => &SPI_1[..2],
                }
            }
            Some("/dev/i2c-1") => &[("SDA", 2), ("SCL", 3)],
            _ => &[],
        }
    }

    /// The overlay whose name begins so, with its parameters.
    fn overlay(&self, start: &str) -> Option<(&'a str, &'a str)> {
        overlays(self.config_txt).find(|(name, _)| name.starts_with(start))
    }
}

/// Lines of SPI 0; the bus claims both chip selects, whichever of them a panel is on.
const SPI_0: [(&str, u32); 4] = [
    ("MOSI", 10),
    ("SCLK", 11),
    ("chip select 0", 8),
    ("chip select 1", 7),
];

/// Lines of SPI 1; how many chip selects it has is up to its overlay.
const SPI_1: [(&str, u32); 5] = [
    ("MOSI", 20),
    ("SCLK", 21),
    ("chip select 0", 18),
    ("chip select 1", 17),
    ("chip select 2", 16),
];

/// A line of a GPIO chip, and what uses it.
struct Taken<'a> {
    chip: Option<&'a str>,
    line: u32,
    by: String,
}

/// No line can be two pins: the kernel hands it out only once.
fn lines(
    top: &Table<'_, '_>,
    displays: &[DisplayConfig],
    names: &[String],
    header: Option<&Header<'_>>,
) {
    let mut all: Vec<Taken<'_>> = Vec::new();
    let buses = displays
        .iter()
        .filter_map(|display| display.settings().bus());
    for bus in buses {
        for &(pin, line) in header.map_or(&[][..], |header| header.lines_of(bus)) {
            let by = format!("{pin} of {}", bus.node().display());
            all.push(Taken {
                chip: None,
                line,
                by,
            });
        }
    }
    for (display, name) in displays.iter().zip(names) {
        let Lines { chip, lines } = display.settings().lines();
        for (key, line) in lines {
            let by = format!("{key} of {name}");
            let mut others = all.iter();
            if let Some(other) =
                others.find(|other| other.line == line && is_one_chip(other.chip, chip))
            {
                top.fault(
                    "display",
                    format_args!("has GPIO line {line} twice, as {} and as {by}: each pin needs a line of its own", other.by),
                );
            } else {
                all.push(Taken { chip, line, by });
            }
        }
    }
}

/// Whether both are known to be the same chip. A path and a label for the same chip are not recognised.
fn is_one_chip(one: Option<&str>, other: Option<&str>) -> bool {
    let is_header = |chip: Option<&str>| chip.is_none_or(|chip| HEADER_CHIPS.contains(&chip));
    one == other || (is_header(one) && is_header(other))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::board::Board;
    use crate::data_roots::Base;
    use std::path::Path;

    /// The faults of a board with these tables.
    fn faults(tables: &str) -> String {
        let text = format!(
            "description = 't'\ntier = 'untested'\nmodel = 'm'\nthreads = 1\n[camera.pattern]\nwidth_px = 64\nheight_px = 48\n{tables}"
        );
        let read = Board::parse("t", "t.toml", &text, Base::Folder(Path::new("/b")));
        read.map_or_else(|faults| faults.lines.join("\n"), |_| String::new())
    }

    const SPI: &str = "[[display.spi]]\ncontroller = 'st7789'\n";
    const PI: &str = "[firmware]\nmachine = 'raspberry-pi-4'\n";
    const PAPER: &str = "[display.epaper]\npanel = 'waveshare-2in9-v2'\n";

    #[test]
    fn no_gpio_line_is_two_pins() {
        for (tables, expected) in [
            (
                format!("{SPI}dc_gpio = 25\nreset_gpio = 25\n"),
                "has GPIO line 25 twice, as dc_gpio of display and as reset_gpio of display: each pin needs a line of its own",
            ),
            (
                format!("{SPI}dc_gpio = 25\nbacklight_gpio = 25\n"),
                "as dc_gpio of display and as backlight_gpio of display",
            ),
            (
                format!("{PAPER}dc_gpio = 25\nreset_gpio = 17\nbusy_gpio = 24\npower_gpio = 24\n"),
                "as busy_gpio of display and as power_gpio of display",
            ),
            (
                format!("{SPI}dc_gpio = 25\n{SPI}dc_gpio = 25\ndevice = '/dev/spidev0.1'\n"),
                "as dc_gpio of display spi 1 and as dc_gpio of display spi 2",
            ),
            (
                format!(
                    "{SPI}dc_gpio = 25\ngpio_chip = 'pinctrl-rp1'\n[display.oled]\nreset_gpio = 25\n"
                ),
                "as dc_gpio of display spi and as reset_gpio of display oled",
            ),
            (
                format!(
                    "{SPI}dc_gpio = 25\ngpio_chip = '/dev/gpiochip3'\n[display.oled]\nreset_gpio = 25\n"
                ),
                "",
            ),
            (
                format!("{SPI}dc_gpio = 8\n{PI}"),
                "has GPIO line 8 twice, as chip select 0 of /dev/spidev0.0 and as dc_gpio of display",
            ),
            (
                format!("{SPI}dc_gpio = 9\nreset_gpio = 7\ndevice = '/dev/spidev0.0'\n{PI}"),
                "as chip select 1 of /dev/spidev0.0 and as reset_gpio",
            ),
            (
                format!(
                    "{SPI}dc_gpio = 9\nreset_gpio = 7\n{PI}config_txt = ['dtoverlay=spi0-1cs']\n"
                ),
                "",
            ),
            (
                format!("{SPI}dc_gpio = 10\n{PI}config_txt = ['dtoverlay=spi0-1cs']\n"),
                "as MOSI of /dev/spidev0.0 and as dc_gpio",
            ),
            (
                format!("[display.oled]\nreset_gpio = 3\n{PI}"),
                "as SCL of /dev/i2c-1 and as reset_gpio of display",
            ),
            // The lines of another machine's buses are not known, nor those of another bus.
            (format!("{SPI}dc_gpio = 8\n"), ""),
            (
                format!("{SPI}dc_gpio = 8\ndevice = '/dev/spidev1.0'\n{PI}"),
                "",
            ),
            (
                format!("{SPI}dc_gpio = 20\ndevice = '/dev/spidev1.0'\n{PI}"),
                "has GPIO line 20 twice, as MOSI of /dev/spidev1.0 and as dc_gpio of display",
            ),
            (
                format!(
                    "{SPI}dc_gpio = 17\nreset_gpio = 18\ndevice = '/dev/spidev1.0'\n{PI}config_txt = ['dtoverlay=spi1-1cs']\n"
                ),
                "has GPIO line 18 twice, as chip select 0 of /dev/spidev1.0 and as reset_gpio of display",
            ),
            (
                format!(
                    "{SPI}dc_gpio = 16\ndevice = '/dev/spidev1.2'\n{PI}config_txt = ['dtoverlay=spi1-3cs']\n"
                ),
                "as chip select 2 of /dev/spidev1.2 and as dc_gpio",
            ),
            (
                format!(
                    "{SPI}dc_gpio = 18\ndevice = '/dev/spidev1.0'\n{PI}config_txt = ['dtoverlay=spi1-1cs,cs0_pin=24']\n"
                ),
                "",
            ),
            (
                format!(
                    "{SPI}dc_gpio = 25\nreset_gpio = 27\nbacklight_gpio = 24\n[display.oled]\nreset_gpio = 22\n{PI}"
                ),
                "",
            ),
        ] {
            let found = faults(&tables);
            assert!(
                found.contains(expected)
                    && found.lines().count() == usize::from(!expected.is_empty()),
                "{tables}\n{found}"
            );
        }
    }

    #[test]
    fn no_device_is_two_displays() {
        let same_card = "has a [display.framebuffer] and a [display.drm] that may be of one card";
        for (tables, expected) in [
            ("[display.framebuffer]\n[display.drm]\n", same_card),
            (
                "[display.framebuffer]\n[display.drm]\ndriver = 'vc4'\n",
                same_card,
            ),
            (
                "[display.framebuffer]\ndriver = 'vc4'\n[display.drm]\n",
                same_card,
            ),
            (
                "[display.drm]\ndriver = 'vc4'\n[display.framebuffer]\ndriver = 'vc4drmfb'\n",
                same_card,
            ),
            (
                "[display.framebuffer]\ndriver = 'simple'\n[display.drm]\ndriver = 'vc4'\n",
                same_card,
            ),
            (
                "[display.framebuffer]\ndriver = 'simple'\n[display.drm]\ndriver = 'udl'\n",
                "",
            ),
            (
                "[display.framebuffer]\ndriver = 'fb_ili9341'\n[display.drm]\ndriver = 'vc4'\n",
                "",
            ),
            (
                "[[display.framebuffer]]\n[[display.framebuffer]]\n",
                "has two framebuffers that may be the same one",
            ),
            (
                "[[display.drm]]\nconnector = 'HDMI-A-1'\n[[display.drm]]\nconnector = 'HDMI-A-1'\n",
                "has two [display.drm] that may be of one card",
            ),
            (
                "[[display.oled]]\n[[display.oled]]\n",
                "has two panels on /dev/i2c-1",
            ),
            ("[[display.oled]]\n[[display.oled]]\naddress = 0x3d\n", ""),
            (
                "[display.oled]\nbus = 'spi'\ndc_gpio = 5\n[display.spi]\ncontroller = 'gc9a01'\ndc_gpio = 6\n",
                "has two panels on /dev/spidev0.0",
            ),
            (
                "[[display.png]]\nfolder = 'f'\nwidth_px = 99\nheight_px = 99\n[[display.png]]\nfolder = 'f/'\nwidth_px = 64\nheight_px = 64\n",
                "has two [display.png] that write to /b/f",
            ),
        ] {
            let found = faults(tables);
            assert!(
                found.contains(expected)
                    && found.lines().count() == usize::from(!expected.is_empty()),
                "{tables}\n{found}"
            );
        }
    }

    #[test]
    fn a_size_that_no_layout_takes_is_refused_with_the_smallest_that_one_does() {
        let png = |width_px: u32, height_px: u32, keys: &str| {
            format!(
                "[display.png]\nfolder = 'f'\nwidth_px = {width_px}\nheight_px = {height_px}\n{keys}\n"
            )
        };
        let regions = |count: usize| {
            let all: String = (0..count)
                .map(|i| format!("r{i} = [0, 0, 1, 1]\n"))
                .collect();
            format!("[mount.regions]\n{all}")
        };
        for (tables, expected) in [
            (
                png(31, 64, ""),
                "width_px: is 31, needs a whole number from 32 to 8192",
            ),
            (png(32, 32, ""), ""),
            (
                png(95, 95, "round = true"),
                "display of 95 x 95 pixels cannot be drawn on: a round one needs 96 or more",
            ),
            (png(96, 96, "round = true"), ""),
            (
                "[display.framebuffer]\nheight_px = 16\n".to_owned(),
                "height_px: is 16, needs a whole number from 32",
            ),
            (
                "[display.oled]\nheight_px = 16\n".to_owned(),
                "height_px: is 16, needs a whole number from 32",
            ),
            (
                format!("{}{}", png(128, 32, "depth = 'mono'"), regions(8)),
                "mount: a display of 128 x 32 pixels has no room for 8 regions (one of 128 x 64 has): take fewer",
            ),
            (
                format!("{}{}", png(128, 64, "depth = 'mono'"), regions(8)),
                "",
            ),
            // Too narrow, whatever the height.
            (
                format!("{}{}", png(64, 64, "depth = 'mono'"), regions(2)),
                "no room for 2 regions (one of 96 x 64 has)",
            ),
            (
                format!("{}{}", png(96, 96, "round = true"), regions(4)),
                "no room for 4 regions (one of 136 x 136 has)",
            ),
            (
                format!("[display.oled]\nrotate_deg = 90\n{}", regions(2)),
                "a display of 64 x 128 pixels has no room",
            ),
            (
                format!(
                    "[display.framebuffer]\nwidth_px = 64\nheight_px = 64\n{}",
                    regions(2)
                ),
                "a display of 64 x 64 pixels has no room",
            ),
            // The size that the driver reports is not known yet.
            (format!("[display.framebuffer]\n{}", regions(8)), ""),
        ] {
            let found = faults(&tables);
            assert!(
                found.contains(expected)
                    && found.lines().count() == usize::from(!expected.is_empty()),
                "{tables}\n{found}"
            );
        }
    }
}
