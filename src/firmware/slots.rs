//! The card's slots as the first program uses them: each operation in a separate process (`eyelet slots`, `eyelet update`) with a
//! time limit.

use super::card::Disk;
use super::child;
use crate::slot::Slot;
use crate::update::{Chooser, PublicKey};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time limit for reading a volume or writing one sector.
const PATIENCE: Duration = Duration::from_secs(4);
/// How many times a trial that passed is confirmed if the card is slow or refuses, and the pause before each repetition.
const CONFIRM_TRIES: u32 = 3;
const CONFIRM_PAUSE: Duration = Duration::from_secs(3);
/// Time limit for writing a slot: a slow stick, a slow card.
const INSTALL_PATIENCE: Duration = Duration::from_secs(900);

/// The card that the board booted from, the slot, and its boot loader.
#[derive(Debug, Clone)]
pub struct Slots {
    /// This program.
    pub program: PathBuf,
    /// The card.
    pub card: Disk,
    /// The running slot.
    pub slot: Slot,
    /// What chose the slot.
    pub loader: Chooser,
    /// The key that updates must be signed with; `None` if any update is accepted.
    pub public_key: Option<PublicKey>,
}

/// An update on a stick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// As in [`crate::update::Label`].
    pub id: String,
    /// The version for humans.
    pub version: String,
}

/// An update that was written to a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The id in the label that was checked, which is what the slot holds.
    pub id: String,
    /// The command's message.
    pub message: String,
}

impl Slots {
    /// The slot that boots when nothing is on trial, and the one that waits for its trial.
    ///
    /// # Errors
    /// Why the card cannot be read.
    pub fn current(&self) -> Result<(Slot, Option<Slot>), String> {
        let output = self.ask(&["current"], &[])?;
        let mut slots = output.lines().map(Slot::of_letter);
        match (slots.next().flatten(), slots.next().flatten()) {
            (Some(current), waiting) => Ok((current, waiting)),
            _ => Err(format!("{}: no slot is named", self.card.device.display())),
        }
    }

    /// Makes the running slot the default. One slow answer of the card must not cost a trial that passed, so it is tried again.
    ///
    /// # Errors
    /// Why the card cannot be written.
    pub fn confirm(&self) -> Result<(), String> {
        let slot = self.slot.letter().to_string();
        persist(CONFIRM_PAUSE, || {
            self.ask(&["confirm"], &["--slot", &slot]).map(|_| ())
        })
    }

    /// Cancels a pending trial.
    ///
    /// # Errors
    /// Why the card cannot be written.
    pub fn try_nothing(&self) -> Result<(), String> {
        self.ask(&["try-nothing"], &[]).map(|_| ())
    }

    /// Boots the other slot once, at the next start.
    ///
    /// # Errors
    /// Why the card cannot be written.
    pub fn try_other(&self) -> Result<(), String> {
        let slot = self.slot.other().letter().to_string();
        self.ask(&["try-once"], &["--slot", &slot]).map(|_| ())
    }

    /// Writes the update on `stick` to the other slot, without requesting its trial.
    ///
    /// # Errors
    /// Why it failed.
    pub fn install(&self, stick: &Path) -> Result<Installed, String> {
        let running = self.slot.letter().to_string();
        let mut arguments = vec![
            OsStr::new("update"),
            stick.as_os_str(),
            self.card.device.as_os_str(),
            "--loader".as_ref(),
            self.loader.name().as_ref(),
            "--running".as_ref(),
            running.as_ref(),
            "--defer-trial".as_ref(),
        ];
        // The running system is in memory; a card may lose a bit.
        let key = self.public_key.as_ref().map(PublicKey::to_string);
        if let Some(key) = &key {
            arguments.extend([OsStr::new("--public-key"), key.as_ref()]);
        }
        let what = format!("update from {}", stick.display());
        let output = child::run(&self.program, &arguments, &[], INSTALL_PATIENCE, &what)?;
        let (id, message) = output
            .trim()
            .split_once('\n')
            .ok_or_else(|| format!("{what}: the command did not say what it wrote"))?;
        Ok(Installed {
            id: id.to_owned(),
            message: message.to_owned(),
        })
    }

    /// The update on `stick`, a disk or partition.
    ///
    /// # Errors
    /// Why the stick cannot be read, or what is wrong with the update.
    pub fn find(&self, stick: &Path) -> Result<Option<Found>, String> {
        let arguments = [OsStr::new("slots"), "find".as_ref(), stick.as_os_str()];
        let what = stick.display().to_string();
        let output = child::run(&self.program, &arguments, &[], PATIENCE, &what)?;
        Ok(output.trim().split_once(' ').map(|(id, version)| Found {
            id: id.to_owned(),
            version: version.to_owned(),
        }))
    }

    fn ask(&self, what: &[&str], more: &[&str]) -> Result<String, String> {
        let mut arguments = vec![OsStr::new("slots")];
        arguments.extend(what.iter().map(OsStr::new));
        arguments.push(self.card.device.as_os_str());
        arguments.extend(["--loader", self.loader.name()].map(OsStr::new));
        arguments.extend(more.iter().map(OsStr::new));
        let what = self.card.device.display().to_string();
        Ok(child::run(&self.program, &arguments, &[], PATIENCE, &what)?)
    }
}

/// Does something until it succeeds, [`CONFIRM_TRIES`] times at most, with `pause` in between; returns the last error.
fn persist(pause: Duration, mut attempt: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    let mut result = attempt();
    for _ in 1..CONFIRM_TRIES {
        if result.is_ok() {
            break;
        }
        std::thread::sleep(pause);
        result = attempt();
    }
    result.map_err(|why| format!("{why} (tried {CONFIRM_TRIES} times)"))
}

/// The id of the system in `slot` of `disk`.
///
/// # Errors
/// Why the slot cannot be read.
pub fn id_in(program: &Path, disk: &Disk, slot: Slot) -> Result<String, String> {
    let slot = slot.letter().to_string();
    let arguments = [
        OsStr::new("slots"),
        "id".as_ref(),
        disk.device.as_os_str(),
        "--slot".as_ref(),
        slot.as_ref(),
    ];
    let what = disk.device.display().to_string();
    let id = child::run(program, &arguments, &[], PATIENCE, &what)?;
    Ok(id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::firmware::card::Kind;
    use crate::firmware::fake::Program;

    /// Slots of a card that does not exist; `program` answers for it.
    fn slots(program: &Program) -> Slots {
        Slots {
            program: program.path.clone(),
            card: Disk {
                name: "mmcblk0".to_owned(),
                device: "/dev/mmcblk0".into(),
                kind: Kind::Mmc,
            },
            slot: Slot::B,
            loader: Chooser::UBoot,
            public_key: None,
        }
    }

    #[test]
    fn a_passed_trial_is_confirmed_once() {
        let program = Program::new("");
        slots(&program).confirm().unwrap();
        let confirms = "slots confirm /dev/mmcblk0 --loader u-boot --slot b";
        assert_eq!(program.commands(), [confirms]);
    }

    #[test]
    fn a_card_that_is_slow_once_does_not_cost_a_trial() {
        for (refusals, tries) in [(0, 1), (1, 2), (2, 3)] {
            let mut count = 0;
            let result = persist(Duration::ZERO, || {
                count += 1;
                match count <= refusals {
                    true => Err("no answer within 4 s".to_owned()),
                    false => Ok(()),
                }
            });
            assert_eq!((result, count), (Ok(()), tries));
        }
        let mut count = 0;
        let result = persist(Duration::ZERO, || {
            count += 1;
            Err(format!("refusal {count}"))
        });
        assert_eq!(result.unwrap_err(), "refusal 3 (tried 3 times)");
    }
}
