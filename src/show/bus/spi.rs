//! SPI through spidev, with a GPIO line that distinguishes commands from data.

use super::gpio::OutputLine;
use super::{Output, Remedy, Wire, cannot_open};
use crate::show::DisplayError;
use crate::show::panel::SpiLink;
use linux_embedded_hal::spidev::{SpiModeFlags, Spidev, SpidevOptions};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};

const REMEDY: Remedy = Remedy {
    prefix: "spidev",
    absent: "switch SPI on (Raspberry Pi: dtparam=spi=on in config.txt, and no overlay that takes the chip select), or set device to the bus and chip select that the panel is wired to",
    group: "spi",
};

/// The most bytes that spidev accepts in one `write`.
const BUFSIZ: &str = "/sys/module/spidev/parameters/bufsiz";

/// Its value unless changed by a kernel parameter.
const USUAL_BUFSIZ: usize = 4096;

/// An open SPI device.
pub struct Port {
    spi: Spidev,
    chunk_bytes: usize,
}

impl Port {
    /// Opens and configures the device.
    ///
    /// # Errors
    /// It does not exist, may not be opened, or rejects the settings.
    pub fn open(link: &SpiLink) -> Result<Self, DisplayError> {
        let node = &link.device;
        let file = OpenOptions::new().read(true).write(true).open(node);
        let file: File = file.map_err(|error| cannot_open(node, &error, REMEDY))?;
        let mut spi = Spidev::new(file);
        let mode = if link.spi_mode == 3 {
            SpiModeFlags::SPI_MODE_3
        } else {
            SpiModeFlags::SPI_MODE_0
        };
        let options = SpidevOptions::new()
            .bits_per_word(8)
            .max_speed_hz(link.speed_hz)
            .mode(mode)
            .build();
        spi.configure(&options).map_err(|error| {
            DisplayError::Unusable(format!(
                "cannot set {} to {} Hz and SPI mode {}: {error}; check that device is an SPI device, and try a smaller speed_hz",
                node.display(),
                link.speed_hz,
                link.spi_mode
            ))
        })?;
        let bufsiz = fs::read_to_string(BUFSIZ).ok();
        Ok(Self {
            spi,
            chunk_bytes: chunk_bytes(bufsiz.as_deref(), link.transfer_bytes),
        })
    }

    /// Combines it with the line of the data/command pin.
    pub fn with_dc(self, dc: OutputLine) -> SpiWire {
        SpiWire {
            port: self,
            dc,
            is_data: None,
        }
    }
}

/// Bytes per transfer: spidev's limit, or less if the board file says so.
fn chunk_bytes(bufsiz: Option<&str>, transfer_bytes: Option<u32>) -> usize {
    let taken = bufsiz
        .and_then(|text| text.trim().parse().ok())
        .filter(|bytes| *bytes > 0)
        .unwrap_or(USUAL_BUFSIZ);
    transfer_bytes.map_or(taken, |bytes| taken.min(bytes as usize))
}

/// A panel's SPI.
pub struct SpiWire {
    port: Port,
    dc: OutputLine,
    /// The level of the data/command pin, once it is known.
    is_data: Option<bool>,
}

impl SpiWire {
    fn send(&mut self, bytes: &[u8], is_data: bool) -> io::Result<()> {
        if self.is_data != Some(is_data) {
            self.dc.set(is_data)?;
            self.is_data = Some(is_data);
        }
        // Between two chunks the chip select goes high, and the controllers continue where they were: Pimoroni's library for the
        // ST7789 sends chunks of 4096 bytes, and Waveshare's examples for e-paper raise it after each byte.
        let mut chunks = bytes.chunks(self.port.chunk_bytes);
        chunks.try_for_each(|chunk| self.port.spi.write_all(chunk))
    }
}

impl Wire for SpiWire {
    fn command(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.send(bytes, false)
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.send(bytes, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(device: &str) -> String {
        let link = SpiLink {
            device: device.into(),
            speed_hz: 1_000_000,
            spi_mode: 0,
            transfer_bytes: None,
            dc_gpio: 25,
        };
        Port::open(&link)
            .err()
            .map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn a_file_that_is_no_spi_device_is_refused_with_advice() {
        let absent = error("/dev/spidev99.7");
        assert!(absent.contains("no /dev/spidev99.7") && absent.contains("dtparam=spi=on"));
        let other = error("/dev/null");
        assert!(
            other.contains("cannot set /dev/null to 1000000 Hz"),
            "{other}"
        );
    }

    #[test]
    fn a_transfer_is_no_longer_than_spidev_takes() {
        assert_eq!(chunk_bytes(Some("4096\n"), None), 4096);
        assert_eq!(chunk_bytes(Some("65536\n"), None), 65_536);
        assert_eq!(chunk_bytes(Some("4096\n"), Some(64)), 64);
        assert_eq!(chunk_bytes(Some("4096\n"), Some(65_536)), 4096);
        assert_eq!(chunk_bytes(Some("0\n"), None), 4096);
        assert_eq!(chunk_bytes(None, None), 4096);
    }
}
