//! What a panel on a board's pins needs on a card: its bus enabled, and the bus's drivers. The names are those of Linux's drivers
//! and of the parameters in Raspberry Pi OS's device trees.

use super::machine::{self, Driver, Job};
use super::sensor::Parts;
use crate::board::firmware::Machine;
use crate::board::panel::oled::OledLink;
use crate::board::{Board, DisplayConfig};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bus {
    Spi,
    I2c,
}

fn bus(display: &DisplayConfig) -> Option<Bus> {
    match display {
        DisplayConfig::Spi(_) | DisplayConfig::Epaper(_) => Some(Bus::Spi),
        DisplayConfig::Oled(oled) => Some(match oled.link {
            OledLink::Spi(_) => Bus::Spi,
            OledLink::I2c { .. } => Bus::I2c,
        }),
        _ => None,
    }
}

const fn driver(names: &'static [&'static str]) -> Driver {
    machine::driver(Job::Display, names, "")
}

/// Adds what the board's panels need to the camera's parts.
pub fn add(parts: &mut Parts, board: &Board, machine: Machine) {
    if machine == Machine::Virt {
        return;
    }
    let is_pi_5 = machine == Machine::RaspberryPi5;
    for wanted in [Bus::Spi, Bus::I2c] {
        if board
            .displays
            .iter()
            .all(|display| bus(display) != Some(wanted))
        {
            continue;
        }
        let (parameter, drivers) = match wanted {
            Bus::Spi if is_pi_5 => ("spi", [driver(&["spi_dw_mmio"]), driver(&["spidev"])]),
            Bus::Spi => ("spi", [driver(&["spi_bcm2835"]), driver(&["spidev"])]),
            Bus::I2c if is_pi_5 => (
                "i2c_arm",
                [driver(&["i2c_designware_platform"]), driver(&["i2c_dev"])],
            ),
            Bus::I2c => ("i2c_arm", [driver(&["i2c_bcm2835"]), driver(&["i2c_dev"])]),
        };
        parts.config.push(format!("dtparam={parameter}=on"));
        parts.drivers.extend(drivers);
    }
}

/// Why a display will not be found on a card with this kernel.
pub fn lack(display: &DisplayConfig, machine: Machine, of_pi_os: bool) -> Option<String> {
    let is_lacking = bus(display) == Some(Bus::Spi) && machine != Machine::Virt && !of_pi_os;
    is_lacking.then(|| {
        format!(
            "the display ({display}) needs an SPI device, but this kernel's device trees have none, and no overlay adds one: pass --kernel with Raspberry Pi OS's"
        )
    })
}
