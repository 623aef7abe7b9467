//! Which slot boots next: one interface, two backends.
//!
//! | | Raspberry Pi's firmware | U-Boot (in emulation) |
//! |---|---|---|
//! | current slot | `boot_partition` under `[all]` of `autoboot.txt` | `slot=` of `eyelet.env` |
//! | trial | requested by `trial=` in `eyelet.env`: the current slot's first program clears it and reboots with the argument `0 tryboot`; `autoboot.txt` stays the same | `trial=` in `eyelet.env`; U-Boot clears it before it boots |
//! | confirmed | `autoboot.txt` names the other slot | `slot=` names the other slot |
//!
//! Both files are on the boot partition, shorter than a sector, and overwritten in place. A Raspberry Pi's card has both; its
//! firmware reads only `autoboot.txt`, and U-Boot, which replaces it in emulation, only `eyelet.env`.

use super::{Disk, UpdateError, Window, nth_partition};
use crate::fat_volume;
use crate::slot::Slot;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::str::FromStr;

/// Raspberry Pi: which partition boots.
pub const AUTOBOOT: &str = "autoboot.txt";
/// U-Boot: the default slot, and the one to try once.
pub const U_BOOT_STATE: &str = "eyelet.env";
/// The files whose clusters are checked on the boot partition: both, because writing one must not change the other.
const FILES: [&str; 2] = [AUTOBOOT, U_BOOT_STATE];
/// Files are padded with newlines to this length, so that they are overwritten in place and within one sector.
const FILE_BYTES: usize = 96;
/// The boot partition, counted from 1.
const BOOT_PARTITION: usize = 1;

/// A backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chooser {
    /// The Raspberry Pi's firmware.
    PiFirmware,
    /// U-Boot with our `boot.scr`.
    UBoot,
}

impl Chooser {
    /// The contents of the backend's file when `current` is the current slot and nothing is on trial.
    pub fn text(self, current: Slot) -> String {
        self.text_with_trial(current, None)
    }

    fn text_with_trial(self, current: Slot, trial: Option<Slot>) -> String {
        let mut text = match self {
            Self::PiFirmware => format!(
                "[all]\ntryboot_a_b=1\nboot_partition={}\n[tryboot]\nboot_partition={}\n",
                current.partition(),
                current.other().partition()
            ),
            Self::UBoot => {
                let trial = trial.map_or_else(String::new, |slot| slot.letter().to_string());
                format!("slot={}\ntrial={trial}\n", current.letter())
            }
        };
        while text.len() < FILE_BYTES {
            text.push('\n');
        }
        text
    }

    fn file(self) -> &'static str {
        match self {
            Self::PiFirmware => AUTOBOOT,
            Self::UBoot => U_BOOT_STATE,
        }
    }

    /// The backend's name on the kernel's command line and on ours.
    pub fn name(self) -> &'static str {
        match self {
            Self::PiFirmware => "pi",
            Self::UBoot => "u-boot",
        }
    }

    /// The backend that `card`'s own board uses.
    ///
    /// # Errors
    /// When we did not make the card, or it cannot be read.
    pub fn of_card(card: &mut dyn Disk) -> Result<Self, UpdateError> {
        Ok(match read(card, AUTOBOOT)? {
            Some(_) => Self::PiFirmware,
            None => Self::UBoot,
        })
    }

    /// The slot that `card` boots when nothing is on trial; slot A if the file does not say.
    ///
    /// # Errors
    /// When we did not make the card, or it cannot be read.
    pub fn current(self, card: &mut dyn Disk) -> Result<Slot, UpdateError> {
        let text = read(card, self.file())?.unwrap_or_default();
        let slot = match self {
            // The first one is under [all].
            Self::PiFirmware => value(&text, "boot_partition=").and_then(|number| {
                [Slot::A, Slot::B]
                    .into_iter()
                    .find(|slot| slot.partition().to_string() == number)
            }),
            Self::UBoot => value(&text, "slot=").and_then(Slot::of_letter),
        };
        Ok(slot.unwrap_or(Slot::A))
    }

    /// The slot that waits for its trial.
    ///
    /// # Errors
    /// When we did not make the card, or it cannot be read.
    pub fn waiting(card: &mut dyn Disk) -> Result<Option<Slot>, UpdateError> {
        let text = read(card, U_BOOT_STATE)?.unwrap_or_default();
        Ok(value(&text, "trial=").and_then(Slot::of_letter))
    }

    /// Boots `slot` once, at the next boot (on the Pi via the current slot).
    ///
    /// # Errors
    /// When we did not make the card, or it cannot be written.
    pub fn try_once(self, card: &mut dyn Disk, slot: Slot) -> Result<(), UpdateError> {
        let text = Self::UBoot.text_with_trial(slot.other(), Some(slot));
        write(card, U_BOOT_STATE, &text)
    }

    /// Cancels a pending trial.
    ///
    /// # Errors
    /// When we did not make the card, or it cannot be written.
    pub fn try_nothing(self, card: &mut dyn Disk) -> Result<(), UpdateError> {
        let current = self.current(card)?;
        write(card, U_BOOT_STATE, &Self::UBoot.text(current))
    }

    /// Makes `slot` the default.
    ///
    /// # Errors
    /// When we did not make the card, or it cannot be written.
    pub fn confirm(self, card: &mut dyn Disk, slot: Slot) -> Result<(), UpdateError> {
        write(card, self.file(), &self.text(slot))
    }

    /// The argument for `reboot(2)` with `LINUX_REBOOT_CMD_RESTART2` that requests a trial boot.
    pub fn reboot_argument(self) -> Option<&'static str> {
        match self {
            Self::PiFirmware => Some("0 tryboot"),
            Self::UBoot => None,
        }
    }
}

impl FromStr for Chooser {
    type Err = String;

    /// The backend called `name`, as [`Chooser::name`] has it.
    fn from_str(name: &str) -> Result<Self, String> {
        [Self::PiFirmware, Self::UBoot]
            .into_iter()
            .find(|chooser| chooser.name() == name)
            .ok_or_else(|| "pi or u-boot".to_owned())
    }
}

/// The value of the first line that begins with `key`.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.map(|value| value.trim_matches(['\0', ' ', '\r']))
}

/// Reads a file on the boot partition; `None` if it does not exist.
fn read(card: &mut dyn Disk, name: &str) -> Result<Option<String>, UpdateError> {
    let range = nth_partition(card, "the card", BOOT_PARTITION)?;
    let volume = fat_volume::open(Window::new(card, range), &FILES)?;
    let mut bytes = Vec::new();
    match volume.root_dir().open_file(name) {
        Ok(file) => file.take(4096).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn write(card: &mut dyn Disk, name: &str, text: &str) -> Result<(), UpdateError> {
    let range = nth_partition(card, "the card", BOOT_PARTITION)?;
    {
        let volume = fat_volume::open(Window::new(card, range), &FILES)?;
        let root = volume.root_dir();
        // Not truncated: the file keeps its cluster, and its length if that is unchanged.
        let mut file = root.create_file(name)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())?;
        file.flush()?;
        drop(file);
        drop(root);
        volume.unmount()?;
    }
    card.sync()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_have_the_form_that_the_boot_loaders_read() {
        let autoboot = Chooser::PiFirmware.text(Slot::B);
        assert_eq!(
            autoboot.trim_end(),
            "[all]\ntryboot_a_b=1\nboot_partition=3\n[tryboot]\nboot_partition=2"
        );
        let state = Chooser::UBoot.text_with_trial(Slot::A, Some(Slot::B));
        assert_eq!(state.trim_end(), "slot=a\ntrial=b");
        assert_eq!(Chooser::UBoot.text(Slot::B).trim_end(), "slot=b\ntrial=");
        assert_eq!((autoboot.len(), state.len()), (FILE_BYTES, FILE_BYTES));
    }
}
