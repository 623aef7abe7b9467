//! I2C through i2c-dev, in the form OLED controllers expect: each message begins with a byte that says whether commands or data
//! follow.

use super::{Remedy, Wire, cannot_open};
use crate::show::DisplayError;
use linux_embedded_hal::i2cdev::core::I2CDevice;
use linux_embedded_hal::i2cdev::linux::{LinuxI2CDevice, LinuxI2CError};
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::time::Duration;

const REMEDY: Remedy = Remedy {
    prefix: "i2c-",
    absent: "switch I2C on (Raspberry Pi: dtparam=i2c_arm=on in config.txt) and load the module i2c-dev, or set device to the bus that the panel is wired to",
    group: "i2c",
};

/// Control bytes, as sent by Linux's `ssd1307fb`: one command byte follows, or only data follows.
const COMMAND: u8 = 0x80;
const DATA: u8 = 0x40;

/// The longest message: the control byte, and a page of the widest controller.
const MESSAGE_BYTES: usize = 1 + 132;

/// How many times a refused message is sent again, and the pause before each.
const AGAIN: u32 = 2;
const AGAIN_PAUSE: Duration = Duration::from_millis(1);

/// A panel's I2C device. The kernel aborts a transfer after a second unless the bus driver says otherwise
/// (`i2c_adapter.timeout`).
pub struct I2cWire {
    device: LinuxI2CDevice,
    message: Box<[u8]>,
}

impl I2cWire {
    /// Opens the bus.
    ///
    /// # Errors
    /// It does not exist, may not be opened, or a kernel driver uses the address.
    pub fn open(node: &Path, address: u16) -> Result<Self, DisplayError> {
        // Opened by hand first, to get the system's own error.
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

    fn send(&mut self, bytes: usize) -> io::Result<()> {
        self.device.write(&self.message[..bytes]).map_err(plain)
    }
}

/// Builds a message with a command; returns its length.
fn put_command(message: &mut [u8], bytes: &[u8]) -> usize {
    for (pair, byte) in message.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[COMMAND, *byte]);
    }
    2 * bytes.len()
}

/// Builds a message with data; returns its length.
fn put_data(message: &mut [u8], bytes: &[u8]) -> usize {
    message[0] = DATA;
    message[1..=bytes.len()].copy_from_slice(bytes);
    1 + bytes.len()
}

impl Wire for I2cWire {
    fn command(&mut self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(MESSAGE_BYTES / 2) {
            let bytes = put_command(&mut self.message, part);
            self.send(bytes)?;
        }
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(MESSAGE_BYTES - 1) {
            let bytes = put_data(&mut self.message, part);
            self.send(bytes)?;
        }
        Ok(())
    }
}

fn plain(error: LinuxI2CError) -> io::Error {
    match error {
        LinuxI2CError::Errno(number) => io::Error::from_raw_os_error(number),
        LinuxI2CError::Io(error) => error,
    }
}

/// Sends something, and sends it again if it was not acknowledged: one disturbed bit is no reason to set up the panel again. What
/// is sent must not depend on how much of it has arrived before.
///
/// # Errors
/// Those of the bus.
pub fn insist(mut send: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let is_refusal = |error: &io::Error| {
        // No acknowledgement, or another master spoke (`i2c/fault-codes.rst`). A bus that hangs has cost a second already.
        matches!(
            error.raw_os_error(),
            Some(libc::ENXIO | libc::EREMOTEIO | libc::EAGAIN)
        )
    };
    let mut result = send();
    for _ in 0..AGAIN {
        match &result {
            Err(error) if is_refusal(error) => {}
            _ => break,
        }
        std::thread::sleep(AGAIN_PAUSE);
        result = send();
    }
    result
}

/// Whether nothing answered: bus drivers report that in several ways (Linux's `i2c/fault-codes.rst`; EREMOTEIO is the one of
/// `i2c-bcm2835`).
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
    fn messages_are_framed_as_the_controllers_take_them() {
        let mut message = [0xee; MESSAGE_BYTES];
        let bytes = put_command(&mut message, &[0xb3, 0x04, 0x12]);
        assert_eq!(message[..bytes], [0x80, 0xb3, 0x80, 0x04, 0x80, 0x12]);
        let bytes = put_data(&mut message, &[1, 2, 3]);
        assert_eq!(message[..bytes], [0x40, 1, 2, 3]);
        assert_eq!(put_data(&mut message, &[7; 132]), MESSAGE_BYTES);
        assert_eq!(put_command(&mut message, &[7; 66]), 132);
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_twice_more() {
        let sent = |errors: &[i32]| {
            let mut count = 0;
            let result = insist(|| {
                count += 1;
                let error = errors.get(count - 1);
                error.map_or(Ok(()), |number| Err(io::Error::from_raw_os_error(*number)))
            });
            (count, result.err().and_then(|error| error.raw_os_error()))
        };
        const NAK: i32 = libc::EREMOTEIO;
        assert_eq!(sent(&[]), (1, None));
        assert_eq!(sent(&[NAK, libc::ENXIO]), (3, None));
        assert_eq!(sent(&[NAK, NAK, NAK, NAK]), (3, Some(NAK)));
        assert_eq!(sent(&[libc::ETIMEDOUT]), (1, Some(libc::ETIMEDOUT)));
    }

    #[test]
    fn a_file_that_is_no_bus_is_refused_with_advice() {
        let refusal = |node| {
            let opened = I2cWire::open(Path::new(node), 0x3c);
            opened
                .err()
                .map_or_else(String::new, |error| error.to_string())
        };
        let absent = refusal("/dev/i2c-99");
        assert!(absent.contains("no /dev/i2c-99") && absent.contains("dtparam=i2c_arm=on"));
        let other = refusal("/dev/null");
        assert!(
            other.starts_with("cannot use address 0x3c of /dev/null"),
            "{other}"
        );
    }
}
