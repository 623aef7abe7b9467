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

/// Adds what the board's panels need to the camera's parts.
pub fn add(parts: &mut Parts, board: &Board, needs: &Needs) {
    let Some(pins) = needs.pins else {
        return;
    };
    let mut enable = |parameter: &str, is_on: fn(&DisplayConfig) -> bool, drivers: [Driver; 2]| {
        let panels: Vec<_> = board.displays.iter().filter(|panel| is_on(panel)).collect();
        let job = match panels.iter().any(|panel| panel.settings().is_required()) {
            _ if panels.is_empty() => return,
            true => Job::Panel,
            false => Job::Care,
        };
        parts.config.push(format!("dtparam={parameter}=on"));
        let drivers = drivers.map(|driver| Driver { job, ..driver });
        parts.drivers.extend(drivers);
    };
    let node = |names| machine::driver(Job::Panel, names, "");
    enable("spi", is_on_spi, [pins.spi, node(&["spidev"])]);
    enable("i2c_arm", is_on_i2c, [pins.i2c, node(&["i2c_dev"])]);
}

/// Why a display will not be found on a card with this kernel.
pub fn lack(display: &DisplayConfig, needs: &Needs, of_pi_os: bool) -> Option<String> {
    match display.settings().bus()? {
        _ if needs.pins.is_none() => Some(format!(
            "the display ({display}) needs a bus on the board's pins, but this machine has none: take another display"
        )),
        Bus::Spi(_) if !of_pi_os => Some(format!(
            "the display ({display}) needs an SPI device, but this kernel's device trees have none, and no overlay adds one: pass --kernel with Raspberry Pi OS's"
        )),
        Bus::Spi(_) | Bus::I2c(..) => None,
    }
}
