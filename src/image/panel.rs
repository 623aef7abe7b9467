//! What a panel on a board's pins needs on a card: its bus enabled, and the bus's drivers. The names are those of Linux's drivers
//! and of the parameters in Raspberry Pi OS's device trees.

use super::machine::{self, Driver, Job, Needs, Pins};
use super::sensor::Parts;
use crate::board::Board;
use crate::board::config_txt::{overlays, values};
use crate::show::DisplayConfig;
use crate::show::panel::Bus;

/// Adds what the board's panels need to the camera's parts.
pub fn add(parts: &mut Parts, board: &Board, needs: &Needs) {
    let Some(pins) = needs.pins else {
        return;
    };
    let mut enable =
        |parameter: &str, node: &'static [&'static str], is_on: fn(Bus<'_>) -> bool| {
            let panels: Vec<(Bus<'_>, bool)> = (board.displays.iter())
                .map(|display| display.settings())
                .filter_map(|panel| Some((panel.bus()?, panel.is_required())))
                .filter(|(bus, _)| is_on(*bus))
                .collect();
            let job = match panels.iter().any(|(_, is_required)| *is_required) {
                _ if panels.is_empty() => return,
                true => Job::Panel,
                false => Job::Care,
            };
            if panels
                .iter()
                .any(|(bus, _)| start_of_overlay(*bus).is_none())
            {
                parts.config.push(format!("dtparam={parameter}=on"));
            }
            let mut drivers: Vec<Driver> = Vec::new();
            for driver in panels.iter().map(|(bus, _)| driver_of(*bus, pins)) {
                if drivers.iter().all(|there| there.names != driver.names) {
                    drivers.push(driver);
                }
            }
            drivers.push(machine::driver(job, node, ""));
            let drivers = drivers.into_iter().map(|driver| Driver { job, ..driver });
            parts.drivers.extend(drivers);
        };
    enable("spi", SPI_NODE, |bus| matches!(bus, Bus::Spi(_)));
    enable("i2c_arm", I2C_NODE, |bus| matches!(bus, Bus::I2c(..)));
}

/// The driver of SPI's nodes in `/dev`.
pub const SPI_NODE: &[&str] = &["spidev"];
/// The driver of I2C's.
pub const I2C_NODE: &[&str] = &["i2c_dev"];

fn driver_of(bus: Bus<'_>, pins: &Pins) -> Driver {
    match (bus, number(bus)) {
        (Bus::I2c(..), _) => pins.i2c,
        (Bus::Spi(_), Some(1 | 2)) => pins.spi_1_and_2,
        (Bus::Spi(_), _) => pins.spi,
    }
}

/// The number in the name of the bus's node, if it has the usual one.
fn number(bus: Bus<'_>) -> Option<u32> {
    let node = bus.node().to_str()?;
    let number = match bus {
        Bus::Spi(_) => node.strip_prefix("/dev/spidev")?.split('.').next()?,
        Bus::I2c(..) => node.strip_prefix("/dev/i2c-")?,
    };
    number.parse().ok()
}

/// What the name of the overlay that enables this bus begins with; `None` for those that a parameter enables (SPI 0, I2C 1) and those
/// that are not on the header: higher numbers are displays' and cameras'.
fn start_of_overlay(bus: Bus<'_>) -> Option<String> {
    match (bus, number(bus)?) {
        (Bus::Spi(_), number @ 1..=6) => Some(format!("spi{number}-")),
        (Bus::I2c(..), number @ (0 | 2..=6)) => Some(format!("i2c{number}")),
        _ => None,
    }
}

/// Whether a board's own lines of `config.txt` enable this bus.
fn is_enabled(bus: Bus<'_>, lines: &[String]) -> bool {
    let Some(start) = start_of_overlay(bus) else {
        return true;
    };
    let by_overlay = overlays(lines).any(|(name, parameters)| {
        // Any two pins as a bus, by software.
        let is_ours = |word: &str| {
            let bus_number = word.trim().strip_prefix("bus=");
            bus_number.and_then(|number| number.parse().ok()) == number(bus)
        };
        name.starts_with(&start)
            || (matches!(bus, Bus::I2c(..))
                && name == "i2c-gpio"
                && parameters.split(',').any(is_ours))
    });
    let by_parameter = || {
        let mut words = values(lines, "dtparam").flat_map(|value| value.split(','));
        words.any(|word| matches!(word.trim(), "i2c_vc=on" | "i2c0=on"))
    };
    by_overlay || (start == "i2c0" && by_parameter())
}

/// Why a display will not be found on a card with this kernel and these lines of the board's own in `config.txt`.
pub fn lack(
    display: &DisplayConfig,
    needs: &Needs,
    of_pi_os: bool,
    lines: &[String],
) -> Option<String> {
    let bus = display.settings().bus()?;
    match bus {
        _ if needs.pins.is_none() => Some(format!(
            "the display ({display}) needs a bus on the board's pins, but this machine has none: take another display"
        )),
        Bus::Spi(_) if !of_pi_os => Some(format!(
            "the display ({display}) needs an SPI device, but this kernel's device trees have none, and no overlay adds one: pass --kernel with Raspberry Pi OS's"
        )),
        // Mainline's device trees have other I2C buses enabled than Raspberry Pi OS's.
        _ if !of_pi_os || is_enabled(bus, lines) => None,
        _ => {
            let (node, start) = (bus.node().display(), start_of_overlay(bus)?);
            Some(format!(
                "the display ({display}) needs {node}, which nothing enables: add its overlay to config_txt (\"dtoverlay={start}...\"), or connect it to {}",
                match bus {
                    Bus::Spi(_) => "/dev/spidev0.0",
                    Bus::I2c(..) => "/dev/i2c-1",
                }
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn another_bus_is_enabled_by_its_own_overlay() {
        let spi = |node| Bus::Spi(Path::new(node));
        let i2c = |node| Bus::I2c(Path::new(node), 0x3c);
        for (bus, lines, expected) in [
            (spi("/dev/spidev0.0"), "", true),
            (spi("/dev/spidev0.1"), "", true),
            (spi("/dev/my-panel"), "", true),
            (spi("/dev/spidev1.0"), "", false),
            (spi("/dev/spidev1.0"), "dtparam=spi=on", false),
            (spi("/dev/spidev1.0"), "dtoverlay=spi2-1cs", false),
            (spi("/dev/spidev1.2"), "dtoverlay=spi1-3cs,cs0_pin=5", true),
            (i2c("/dev/i2c-1"), "", true),
            (i2c("/dev/i2c-22"), "", true),
            (i2c("/dev/i2c-0"), "", false),
            (i2c("/dev/i2c-0"), "dtparam=i2c_arm=on", false),
            (i2c("/dev/i2c-0"), "dtparam=spi=on,i2c_vc=on", true),
            (i2c("/dev/i2c-3"), "dtparam=i2c_vc=on", false),
            (i2c("/dev/i2c-3"), "dtoverlay=i2c3-pi5", true),
            (i2c("/dev/i2c-3"), "dtoverlay=i2c-gpio,bus=4", false),
            (i2c("/dev/i2c-4"), "dtoverlay=i2c-gpio,bus=4", true),
        ] {
            let lines = [lines.to_owned()];
            assert_eq!(is_enabled(bus, &lines), expected, "{bus:?}, {lines:?}");
        }
    }
}
