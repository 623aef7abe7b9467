//! What a panel on a board's pins needs on a card: its bus enabled, and the bus's drivers. The names are those of Linux's drivers
//! and of the parameters in Raspberry Pi OS's device trees.

use super::machine::{self, Driver, Job, Needs};
use super::sensor::Parts;
use crate::board::Board;
use crate::show::DisplayConfig;
use crate::show::panel::Bus;

fn is_on_spi(display: &DisplayConfig) -> bool {
    matches!(display.settings().bus(), Some(Bus::Spi(_)))
}

fn is_on_i2c(display: &DisplayConfig) -> bool {
    matches!(display.settings().bus(), Some(Bus::I2c(..)))
}

const fn driver(names: &'static [&'static str]) -> Driver {
    machine::driver(Job::Display, names, "")
}

/// Adds what the board's panels need to the camera's parts.
pub fn add(parts: &mut Parts, board: &Board, needs: &Needs) {
    let Some(pins) = needs.pins else {
        return;
    };
    let mut enable = |parameter: &str, drivers: [Driver; 2]| {
        parts.config.push(format!("dtparam={parameter}=on"));
        parts.drivers.extend(drivers);
    };
    if board.displays.iter().any(is_on_spi) {
        enable("spi", [pins.spi, driver(&["spidev"])]);
    }
    if board.displays.iter().any(is_on_i2c) {
        enable("i2c_arm", [pins.i2c, driver(&["i2c_dev"])]);
    }
}

/// Why a display will not be found on a card with this kernel.
pub fn lack(display: &DisplayConfig, needs: &Needs, of_pi_os: bool) -> Option<String> {
    let is_lacking = is_on_spi(display) && needs.pins.is_some() && !of_pi_os;
    is_lacking.then(|| {
        format!(
            "the display ({display}) needs an SPI device, but this kernel's device trees have none, and no overlay adds one: pass --kernel with Raspberry Pi OS's"
        )
    })
}
