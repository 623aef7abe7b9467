//! I2C by i2c-dev, as OLED controllers take it: each message begins with a byte that says whether commands or data follow.

use super::{Remedy, Wire, cannot_open};
use crate::show::DisplayError;
use linux_embedded_hal::i2cdev::core::I2CDevice;
use linux_embedded_hal::i2cdev::linux::{LinuxI2CDevice, LinuxI2CError};
use std::fs::OpenOptions;
use std::io;
use std::path::Path;

const REMEDY: Remedy = Remedy {
    prefix: "i2c-",
    absent: "switch I2C on (Raspberry Pi: dtparam=i2c_arm=on in config.txt) and load the module i2c-dev, or set device to the bus that the panel is wired to",
    group: "i2c",
};

/// Control bytes (SSD1306 data sheet, 8.1.5.2): only commands follow, only data follow.
const COMMANDS: u8 = 0x00;
const DATA: u8 = 0x40;

/// The most bytes of a message: the control byte, and a page of the widest controller.
const MESSAGE_BYTES: usize = 1 + 132;

/// A panel's I2C. The kernel gives up a transfer after a second (`i2c_adapter.timeout`).
pub struct I2cWire {
    device: LinuxI2CDevice,
    message: Box<[u8]>,
}

impl I2cWire {
    /// Opens the bus.
    ///
    /// # Errors
    /// It is not there, may not be opened, or the address is taken by a driver of the kernel.
    pub fn open(node: &Path, address: u16) -> Result<Self, DisplayError> {
        // By hand first, for the system's own error.
        let file = OpenOptions::new().read(true).write(true).open(node);
        file.map_err(|error| cannot_open(node, &error, REMEDY))?;
        let device = LinuxI2CDevice::new(node, address).map_err(|error| {
            let error = plain(error);
            let path = node.display();
            DisplayError::Unusable(match error.raw_os_error() {
                Some(libc::EBUSY) => format!(
                    "a driver of the kernel holds address {address:#04x} of {path}: take the panel's overlay out of config.txt, or use [display.framebuffer]"
                ),
                _ => format!(
                    "cannot use address {address:#04x} of {path}: {error}; check that device is an I2C bus"
                ),
            })
        })?;
        Ok(Self {
            device,
            message: vec![0; MESSAGE_BYTES].into_boxed_slice(),
        })
    }

    fn send(&mut self, control: u8, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(MESSAGE_BYTES - 1) {
            self.message[0] = control;
            self.message[1..=part.len()].copy_from_slice(part);
            let message = &self.message[..=part.len()];
            self.device.write(message).map_err(plain)?;
        }
        Ok(())
    }
}

impl Wire for I2cWire {
    fn command(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.send(COMMANDS, bytes)
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.send(DATA, bytes)
    }
}

fn plain(error: LinuxI2CError) -> io::Error {
    match error {
        LinuxI2CError::Errno(number) => io::Error::from_raw_os_error(number),
        LinuxI2CError::Io(error) => error,
    }
}

/// Whether nothing has answered: the drivers of buses say so in several ways (Linux, `i2c/fault-codes`).
pub fn is_no_answer(error: &io::Error) -> bool {
    let numbers = [libc::ENXIO, libc::EREMOTEIO, libc::ENODEV, libc::ETIMEDOUT];
    error
        .raw_os_error()
        .is_some_and(|number| numbers.contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_bus_is_refused_with_what_to_do() {
        let told = |node| {
            let opened = I2cWire::open(Path::new(node), 0x3c);
            opened
                .err()
                .map_or_else(String::new, |error| error.to_string())
        };
        let absent = told("/dev/i2c-99");
        assert!(absent.contains("no /dev/i2c-99") && absent.contains("dtparam=i2c_arm=on"));
        let other = told("/dev/null");
        assert!(
            other.starts_with("cannot use address 0x3c of /dev/null"),
            "{other}"
        );
    }
}
