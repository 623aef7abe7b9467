//! The card's slots as the first program uses them: each operation in a separate process (`eyelet slots`, `eyelet update`) with a
//! time limit.

use super::card::Disk;
use super::child::{self, Failed};
use crate::slot::Slot;
use crate::update::{Chooser, PublicKey};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time limit for reading a volume or writing one sector.
const PATIENCE: Duration = Duration::from_secs(4);
/// How a trial that passed is confirmed.
const CONFIRM: Persistence = Persistence {
    tries: 3,
    pause: Duration::from_secs(3),
    patience: Duration::from_secs(30),
};
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

/// How often something is tried if the card is slow or refuses.
#[derive(Clone, Copy)]
struct Persistence {
    /// At most so many times. A try that must wait for an earlier command does not count.
    tries: u32,
    /// The pause before each repetition.
    pause: Duration,
    /// None begins later than this.
    patience: Duration,
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
        CONFIRM.persist(|| self.ask(&["confirm"], &["--slot", &slot]))
    }

    /// Cancels a pending trial.
    ///
    /// # Errors
    /// Why the card cannot be written.
    pub fn try_nothing(&self) -> Result<(), String> {
        self.ask(&["try-nothing"], &[])?;
        Ok(())
    }

    /// Boots the other slot once, at the next start.
    ///
    /// # Errors
    /// Why the card cannot be written.
    pub fn try_other(&self) -> Result<(), String> {
        let slot = self.slot.other().letter().to_string();
        self.ask(&["try-once"], &["--slot", &slot])?;
        Ok(())
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

    fn ask(&self, what: &[&str], more: &[&str]) -> Result<String, Failed> {
        let mut arguments = vec![OsStr::new("slots")];
        arguments.extend(what.iter().map(OsStr::new));
        arguments.push(self.card.device.as_os_str());
        arguments.extend(["--loader", self.loader.name()].map(OsStr::new));
        arguments.extend(more.iter().map(OsStr::new));
        let what = self.card.device.display().to_string();
        child::run(&self.program, &arguments, &[], PATIENCE, &what)
    }
}

impl Persistence {
    /// Does something until it succeeds; returns the last error.
    fn persist(self, mut attempt: impl FnMut() -> Result<String, Failed>) -> Result<(), String> {
        let began = Instant::now();
        let mut tries = 0;
        loop {
            let failed = match attempt() {
                Ok(_) => return Ok(()),
                Err(failed) => failed,
            };
            if !failed.must_wait() {
                tries += 1;
            }
            if tries >= self.tries || began.elapsed() + self.pause > self.patience {
                return Err(format!("{} (tried {tries} times)", failed.message));
            }
            std::thread::sleep(self.pause);
        }
    }
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
        let at_once = Persistence {
            pause: Duration::ZERO,
            ..CONFIRM
        };
        for (refusals, tries) in [(0, 1), (1, 2), (2, 3)] {
            let mut count = 0;
            let result = at_once.persist(|| {
                count += 1;
                match count <= refusals {
                    true => Err(Failed::new("no answer within 4 s".to_owned(), None)),
                    false => Ok(String::new()),
                }
            });
            assert_eq!((result, count), (Ok(()), tries));
        }
        let mut count = 0;
        let result = at_once.persist(|| {
            count += 1;
            Err(Failed::new(format!("refusal {count}"), None))
        });
        assert_eq!(result.unwrap_err(), "refusal 3 (tried 3 times)");
    }

    /// The first command was killed, and lives on until the card has answered it.
    #[test]
    fn a_card_that_is_slow_for_long_is_waited_for_but_not_for_ever() {
        let patient = Persistence {
            pause: Duration::from_millis(1),
            ..CONFIRM
        };
        let slow = || Failed::new("no answer within 4 s".to_owned(), None);
        let mut count = 0;
        let result = patient.persist(|| {
            count += 1;
            match count {
                1 => Err(slow()),
                2..20 => Err(Failed::that_must_wait("busy".to_owned())),
                _ => Ok(String::new()),
            }
        });
        assert_eq!((result, count), (Ok(()), 20));
        let short = Persistence {
            patience: Duration::from_millis(30),
            ..patient
        };
        let began = Instant::now();
        let busy = || Err(Failed::that_must_wait("busy".to_owned()));
        let why = short.persist(busy).unwrap_err();
        assert_eq!(why, "busy (tried 0 times)");
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}
