//! The buses of panels that no kernel driver handles: spidev, i2c-dev and the lines of GPIO chips. The error for a node that
//! cannot be opened says what enables it.
//!
//! Bytes are sent by plain `write`: the SPI and I2C devices of linux-embedded-hal allocate with each transfer, which is not
//! allowed in the frame path. A panel sees its bus only through the traits here, so tests can substitute a simulated panel.

pub mod gpio;
pub mod i2c;
pub mod spi;

use super::DisplayError;
use embedded_hal::delay::DelayNs;
use std::fs;
use std::io;
use std::path::Path;

/// The connection to a panel's controller: bytes are either commands, or parameters and pixels.
pub trait Wire: Send {
    /// Sends a command.
    ///
    /// # Errors
    /// Those of the bus. What the controller has received is then unknown.
    fn command(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Sends data that belongs to the last command.
    ///
    /// # Errors
    /// As for a command.
    fn data(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// An output pin of the board.
pub trait Output: Send {
    /// Drives it high or low.
    ///
    /// # Errors
    /// Those of the GPIO chip.
    fn set(&mut self, high: bool) -> io::Result<()>;
}

/// An input pin of the board, driven by the panel.
pub trait Input: Send {
    /// Whether it is high.
    ///
    /// # Errors
    /// Those of the GPIO chip.
    fn is_high(&mut self) -> io::Result<bool>;
}

/// Everything that a panel module is wired to.
pub struct Wiring {
    /// Commands and data.
    pub wire: Box<dyn Wire>,
    /// The reset pin, active low.
    pub reset: Option<Box<dyn Output>>,
    /// The backlight, off until the first picture.
    pub backlight: Option<Box<dyn Output>>,
    /// Waits.
    pub delay: Box<dyn DelayNs + Send>,
}

impl Wiring {
    /// Resets the controller if its reset pin is wired: low for 2 ms, then a wait of `settle_ms`. Waveshare's e-paper boards
    /// switch their supply with this pin and need the pulse this short (its examples; GxEPD2's README).
    ///
    /// # Errors
    /// Those of the GPIO chip.
    pub fn reset(&mut self, settle_ms: u32) -> io::Result<()> {
        let Some(reset) = &mut self.reset else {
            return Ok(());
        };
        reset.set(false)?;
        self.delay.delay_ms(2);
        reset.set(true)?;
        self.delay.delay_ms(settle_ms);
        Ok(())
    }
}

/// What enables a kind of device node.
#[derive(Debug, Clone, Copy)]
struct Remedy {
    /// Prefix of such nodes' names in `/dev`.
    prefix: &'static str,
    /// Why a node may be missing.
    absent: &'static str,
    /// Who may open them.
    group: &'static str,
}

/// The error for a node that cannot be opened, with what to do.
fn cannot_open(node: &Path, error: &io::Error, remedy: Remedy) -> DisplayError {
    let path = node.display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            let there = nodes(remedy.prefix);
            let there = if there.is_empty() {
                "none of its kind".to_owned()
            } else {
                there.join(", ")
            };
            DisplayError::Absent(format!(
                "there is no {path} for the display (there is {there}): {}",
                remedy.absent
            ))
        }
        io::ErrorKind::PermissionDenied => DisplayError::Unusable(format!(
            "cannot open {path} for the display: {error}; add the user to the group {0} (usermod -aG {0} USER) and log in again",
            remedy.group
        )),
        _ => DisplayError::Unusable(format!("cannot open {path} for the display: {error}")),
    }
}

/// The error for a panel that rejects its setup.
pub(super) fn cannot_set_up(name: &str, error: &io::Error) -> String {
    format!("cannot set up the display {name}: {error}; check its wiring and power")
}

/// The error for a panel that was set up but rejects what follows.
pub(super) fn cannot_write(name: &str, error: &io::Error) -> DisplayError {
    DisplayError::Failed(format!(
        "cannot write to the display {name}: {error}; check its wiring and power"
    ))
}

/// The nodes of `/dev` with this prefix, in order.
fn nodes(prefix: &str) -> Vec<String> {
    let entries = fs::read_dir("/dev").into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .map(|name| format!("/dev/{name}"))
        .collect();
    // Shorter names first: gpiochip2 comes before gpiochip10.
    names.sort_by_key(|name| (name.len(), name.clone()));
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex, PoisonError};

    /// A pin and a clock that record what happens.
    #[derive(Clone, Default)]
    struct Notes(Arc<Mutex<Vec<String>>>);

    impl Notes {
        fn add(&self, note: String) {
            let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            notes.push(note);
        }
    }

    impl Output for Notes {
        fn set(&mut self, high: bool) -> io::Result<()> {
            self.add(if high { "high" } else { "low" }.to_owned());
            Ok(())
        }
    }

    impl DelayNs for Notes {
        fn delay_ns(&mut self, ns: u32) {
            self.add(format!("{ns} ns"));
        }

        fn delay_ms(&mut self, ms: u32) {
            self.add(format!("{ms} ms"));
        }
    }

    impl Wire for Notes {
        fn command(&mut self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn data(&mut self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reset_is_too_short_to_switch_a_board_off() {
        let notes = Notes::default();
        let mut wiring = Wiring {
            wire: Box::new(notes.clone()),
            reset: Some(Box::new(notes.clone())),
            backlight: None,
            delay: Box::new(notes.clone()),
        };
        assert!(wiring.reset(20).is_ok());
        let noted = notes.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(noted[..], ["low", "2 ms", "high", "20 ms"]);
    }

    #[test]
    fn a_node_that_cannot_be_opened_is_reported_with_advice() {
        let remedy = Remedy {
            prefix: "no-such-node",
            absent: "switch it on",
            group: "spi",
        };
        let message = |kind: io::ErrorKind| {
            cannot_open(Path::new("/dev/spidev9.9"), &kind.into(), remedy).to_string()
        };
        assert_eq!(
            message(io::ErrorKind::NotFound),
            "there is no /dev/spidev9.9 for the display (there is none of its kind): switch it on"
        );
        assert!(message(io::ErrorKind::PermissionDenied).contains("usermod -aG spi USER"));
        assert!(message(io::ErrorKind::InvalidInput).starts_with("cannot open /dev/spidev9.9"));
        assert!(nodes("nul").contains(&"/dev/null".to_owned()));
    }
}
