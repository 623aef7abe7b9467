//! What a panel on a board's pins needs on a card: its bus enabled, and the bus's drivers. The names are those of Linux's drivers
//! and of the parameters in Raspberry Pi OS's device trees.

use super::machine::{self, Driver, Job};
use super::sensor::Parts;
use crate::board::Board;
use crate::board::firmware::Machine;
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
pub fn add(parts: &mut Parts, board: &Board, machine: Machine) {
    if machine == Machine::Virt {
        return;
    }
    let is_pi_5 = machine == Machine::RaspberryPi5;
    let mut switch_on = |parameter: &str, drivers: [Driver; 2]| {
        parts.config.push(format!("dtparam={parameter}=on"));
        parts.drivers.extend(drivers);
    };
    if board.displays.iter().any(is_on_spi) {
        let controller = if is_pi_5 {
            &["spi_dw_mmio"]
        } else {
            &["spi_bcm2835"]
        };
        switch_on("spi", [driver(controller), driver(&["spidev"])]);
    }
    if board.displays.iter().any(is_on_i2c) {
        let controller = if is_pi_5 {
            &["i2c_designware_platform"]
        } else {
            &["i2c_bcm2835"]
        };
        switch_on("i2c_arm", [driver(controller), driver(&["i2c_dev"])]);
    }
}

/// Why a display will not be found on a card with this kernel.
pub fn lack(display: &DisplayConfig, machine: Machine, of_pi_os: bool) -> Option<String> {
    let is_lacking = is_on_spi(display) && machine != Machine::Virt && !of_pi_os;
    is_lacking.then(|| {
        format!(
            "the display ({display}) needs an SPI device, but this kernel's device trees have none, and no overlay adds one: pass --kernel with Raspberry Pi OS's"
        )
    })
}
