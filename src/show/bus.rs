//! The buses of panels that no driver of the kernel shows: spidev, i2c-dev and the lines of GPIO chips. What cannot be opened says
//! what switches it on.
//!
//! Bytes go out by plain `write`: the SPI and I2C devices of linux-embedded-hal allocate with each transfer, and the frame path
//! must not. What a panel sees of a bus are the traits here, so that tests put a played panel in its place.

pub mod gpio;
pub mod i2c;
pub mod spi;

use super::DisplayError;
use embedded_hal::delay::DelayNs;
use std::fs;
use std::io;
use std::path::Path;

/// The way to a panel's controller: bytes that are commands, and bytes that are their parameters or pixels.
pub trait Wire: Send {
    /// Sends a command.
    ///
    /// # Errors
    /// Those of the bus. What the controller has taken is not known then.
    fn command(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Sends what belongs to the last command.
    ///
    /// # Errors
    /// As for a command.
    fn data(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// A pin that the board drives.
pub trait Output: Send {
    /// Drives it high or low.
    ///
    /// # Errors
    /// Those of the GPIO chip.
    fn set(&mut self, high: bool) -> io::Result<()>;
}

/// A pin that the panel drives.
pub trait Input: Send {
    /// Whether it is high.
    ///
    /// # Errors
    /// Those of the GPIO chip.
    fn is_high(&mut self) -> io::Result<bool>;
}

/// Everything that a panel's module is wired to.
pub struct Wiring {
    /// Commands and data.
    pub wire: Box<dyn Wire>,
    /// The reset pin, low while it resets.
    pub reset: Option<Box<dyn Output>>,
    /// The backlight, dark until the first picture.
    pub backlight: Option<Box<dyn Output>>,
    /// Waits.
    pub delay: Box<dyn DelayNs + Send>,
}

impl Wiring {
    /// Resets the controller, where its reset pin is wired: low for 2 ms, then a wait of `settle_ms`. Waveshare's e-paper boards
    /// switch their supply by this pin, and need it as short as that (its examples; GxEPD2's README).
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

/// What switches a kind of node on.
#[derive(Debug, Clone, Copy)]
struct Remedy {
    /// How the names of such nodes in `/dev` begin.
    prefix: &'static str,
    /// What a node lacks that is not there.
    absent: &'static str,
    /// Who may open them.
    group: &'static str,
}

/// A node that cannot be opened, with what to do.
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

/// A panel that does not take what sets it up.
pub(super) fn cannot_set_up(name: &str, error: &io::Error) -> String {
    format!("cannot set the display {name} up: {error}; check its wiring and power")
}

/// A panel that was set up and takes nothing more.
pub(super) fn cannot_write(name: &str, error: &io::Error) -> DisplayError {
    DisplayError::Failed(format!(
        "cannot write to the display {name}: {error}; check its wiring and power"
    ))
}

/// The nodes of `/dev` whose names begin so, in order.
fn nodes(prefix: &str) -> Vec<String> {
    let entries = fs::read_dir("/dev").into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .map(|name| format!("/dev/{name}"))
        .collect();
    // By length first: gpiochip2 is before gpiochip10.
    names.sort_by_key(|name| (name.len(), name.clone()));
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex, PoisonError};

    /// A pin and a clock that write down what happens.
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
    fn a_node_that_cannot_be_opened_says_what_to_do() {
        let remedy = Remedy {
            prefix: "no-such-node",
            absent: "switch it on",
            group: "spi",
        };
        let told = |kind: io::ErrorKind| {
            cannot_open(Path::new("/dev/spidev9.9"), &kind.into(), remedy).to_string()
        };
        assert_eq!(
            told(io::ErrorKind::NotFound),
            "there is no /dev/spidev9.9 for the display (there is none of its kind): switch it on"
        );
        assert!(told(io::ErrorKind::PermissionDenied).contains("usermod -aG spi USER"));
        assert!(told(io::ErrorKind::InvalidInput).starts_with("cannot open /dev/spidev9.9"));
        assert!(nodes("nul").contains(&"/dev/null".to_owned()));
    }
}
