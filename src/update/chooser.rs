//! Which slot boots next: one interface, two back ends.
//!
//! | | Raspberry Pi's firmware | U-Boot (in emulation) |
//! |---|---|---|
//! | current slot | `boot_partition` under `[all]` of `autoboot.txt` | `slot=` of `eyelet.env` |
//! | trial | the reboot is asked for with the argument `0 tryboot`; the file stays | `trial=` of the same file; U-Boot empties it before it boots |
//! | confirmed | `autoboot.txt` names the other slot | `slot=` names the other slot |
//!
//! Both files lie on the boot partition and are shorter than a sector, and are overwritten in place.

use super::{Disk, UpdateError, Window, nth_partition};
use crate::slot::Slot;
use fatfs::{FileSystem, FsOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Pi: which partition boots.
pub const AUTOBOOT: &str = "autoboot.txt";
/// U-Boot: the slot that boots, and the one that is to be tried once.
pub const U_BOOT_STATE: &str = "eyelet.env";
/// Files are filled up with newlines to this length, so that they are overwritten in place and within one sector.
const FILE_BYTES: usize = 96;
/// The boot partition, counted from 1.
const BOOT_PARTITION: usize = 1;

/// A back end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chooser {
    /// The Raspberry Pi's firmware.
    PiFirmware,
    /// U-Boot with our `boot.scr`.
    UBoot,
}

impl Chooser {
    /// What `current` being the current slot looks like in the back end's file, and nothing on trial.
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

    /// The slot that `card` boots when nothing is on trial; slot A when the file does not say.
    pub fn current(self, card: &mut dyn Disk) -> Result<Slot, UpdateError> {
        let text = self.read(card)?;
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.map(|value| value.trim_matches(['\0', ' ', '\r']))
        };
        let slot = match self {
            // The first one is that of [all].
            Self::PiFirmware => value("boot_partition=").and_then(|number| {
                [Slot::A, Slot::B]
                    .into_iter()
                    .find(|slot| slot.partition().to_string() == number)
            }),
            Self::UBoot => value("slot=").and_then(Slot::of_letter),
        };
        Ok(slot.unwrap_or(Slot::A))
    }

    /// Has `slot` booted once, at the next boot. On the Pi the reboot itself asks for that: [`Self::reboot_argument`].
    pub fn try_once(self, card: &mut dyn Disk, slot: Slot) -> Result<(), UpdateError> {
        match self {
            Self::PiFirmware => Ok(()),
            Self::UBoot => self.write(card, &self.text_with_trial(slot.other(), Some(slot))),
        }
    }

    /// Makes `slot` the one that is booted from now on.
    pub fn confirm(self, card: &mut dyn Disk, slot: Slot) -> Result<(), UpdateError> {
        self.write(card, &self.text(slot))
    }

    /// What `reboot(2)` is to be given with `LINUX_REBOOT_CMD_RESTART2` for a boot on trial.
    pub fn reboot_argument(self) -> Option<&'static str> {
        match self {
            Self::PiFirmware => Some("0 tryboot"),
            Self::UBoot => None,
        }
    }

    pub(super) fn read(self, card: &mut dyn Disk) -> Result<String, UpdateError> {
        let range = nth_partition(card, "the card", BOOT_PARTITION)?;
        let volume = FileSystem::new(Window::new(card, range), FsOptions::new())?;
        let mut bytes = Vec::new();
        match volume.root_dir().open_file(self.file()) {
            Ok(file) => file.take(4096).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error.into()),
        };
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn write(self, card: &mut dyn Disk, text: &str) -> Result<(), UpdateError> {
        let range = nth_partition(card, "the card", BOOT_PARTITION)?;
        {
            let volume = FileSystem::new(Window::new(card, range), FsOptions::new())?;
            let root = volume.root_dir();
            // Not truncated: its cluster stays, and with it the length, when that is the same.
            let mut file = root.create_file(self.file())?;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_say_what_the_boot_loaders_read() {
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
