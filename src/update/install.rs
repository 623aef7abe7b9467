//! A whole update of a card up to its trial: checks, writing the idle slot, and requesting one boot of it.

use super::signature::{Permit, PublicKey};
use super::{
    Chooser, Disk, Label, System, Update, UpdateError, check, fitting, partition, write_slot,
};
use crate::slot::Slot;
use semver::Version;

/// The result of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The slot has the new system. It boots once, at the next start, if the trial is requested.
    Installed {
        /// The slot.
        slot: Slot,
        /// The system.
        label: Label,
        /// The card required a signature, and it was valid.
        is_signed: bool,
    },
    /// The card already runs this system, so no slot was written.
    Same {
        /// The running slot.
        slot: Slot,
        /// The system.
        label: Label,
        /// Another system waited for its trial, which was cancelled.
        cancelled_trial: bool,
    },
}

impl Outcome {
    /// The system: its label passed every check.
    pub fn label(&self) -> &Label {
        match self {
            Self::Installed { label, .. } | Self::Same { label, .. } => label,
        }
    }
}

/// What a board that updates itself adds; nothing for a card in a reader.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// The running system's public key, from a safer source than the card.
    pub key: Option<&'a PublicKey>,
    /// The running slot: after `boot.scr` fell back, it is not the one that boots by default.
    pub running: Option<Slot>,
    /// The caller requests the trial ([`Chooser::try_once`]) once it has recorded which system was written.
    pub defers_trial: bool,
}

/// Writes the system from `update` to the idle slot of `card` and requests a trial at the next start.
///
/// If the running system has a public key, nothing is written unless it signed the whole image.
///
/// # Errors
/// See [`UpdateError`]. The current slot and the running one stay untouched in any case.
pub fn install(
    card: &mut dyn Disk,
    update: &mut Update<'_>,
    options: Options<'_>,
    chooser: Chooser,
) -> Result<Outcome, UpdateError> {
    let image = &mut *update.image;
    let current = chooser.current(card)?;
    let idle = current.other();
    if options.running == Some(idle) {
        return Err(UpdateError::Misfit(format!(
            "its slot {} is the default and did not boot, so slot {} runs and must not be overwritten: write the whole image to the card",
            current.letter(),
            idle.letter()
        )));
    }
    let system = System::in_slot(card, current).map_err(|error| {
        let slot = current.letter();
        UpdateError::Misfit(format!(
            "its current slot, {slot}, has no system that identifies itself ({error}): write the whole image to the card"
        ))
    })?;
    // Refuse the image for these at once, not after reading all of it.
    let first_label = Label::read(image, "the update")?;
    may_run(&first_label, &system, chooser)?;
    let from = partition(image, "the update", idle)?;
    fitting(card, &from, idle)?;

    let key = options.key.or(system.public_key.as_ref());
    let signature = key.map(|key| update.signature.decode(key).map(|it| (key, it)));
    let signature = signature.transpose()?;
    let verifier = signature.as_ref().map(|(key, it)| it.verifier(key));
    let checked = check(image, idle, verifier.transpose()?)?;
    let label = checked.label().clone();
    if label != first_label {
        return Err(UpdateError::Misfit("it changes while being read".into()));
    }
    if let Some(permit) = checked.permit() {
        may_follow(&label, &system, permit)?;
    }
    if label.id == system.id {
        return Ok(Outcome::Same {
            slot: current,
            label,
            cancelled_trial: cancel_waiting_trial(card, chooser)?,
        });
    }
    // An incomplete slot must not boot.
    cancel_waiting_trial(card, chooser)?;
    write_slot(card, image, &checked)?;
    if !options.defers_trial {
        chooser.try_once(card, idle)?;
    }
    Ok(Outcome::Installed {
        slot: idle,
        label,
        is_signed: checked.permit().is_some(),
    })
}

/// Whether the card's machine can run the new system and can request a trial of it.
fn may_run(label: &Label, system: &System, chooser: Chooser) -> Result<(), UpdateError> {
    if label.machine != system.machine {
        return Err(UpdateError::Misfit(format!(
            "it is for {}, and the card is for {}",
            label.machine, system.machine
        )));
    }
    let is_other = label.id != system.id;
    if is_other && chooser == Chooser::PiFirmware && !system.can_ask_pi_firmware() {
        return Err(UpdateError::Misfit(format!(
            "its kernel, {}, cannot ask the Raspberry Pi's firmware for a trial boot; only Raspberry Pi OS's can: write the whole image to the card",
            system.kernel
        )));
    }
    Ok(())
}

/// Whether a system that the key's owner signed may replace the running one.
fn may_follow(label: &Label, system: &System, permit: Permit) -> Result<(), UpdateError> {
    if label.public_key.is_none() {
        return Err(UpdateError::Keyless);
    }
    let is_known_not_older = match (version(&label.version), version(&system.version)) {
        // Build metadata counts too (`1.4.0+2` is newer than `1.4.0+1`), although semver.org's precedence leaves it out.
        (Some(new), Some(running)) => new >= running,
        // We did not make one of the two, so we cannot order the versions.
        _ => label.version == system.version,
    };
    if is_known_not_older || permit.allows_older {
        return Ok(());
    }
    Err(UpdateError::Older {
        new: label.version.clone(),
        running: system.version.clone(),
    })
}

/// A version that can be ordered: those of <https://semver.org>.
pub fn version(text: &str) -> Option<Version> {
    Version::parse(text).ok()
}

/// Cancels the trial of an earlier update that was not tried yet. Returns whether there was one.
fn cancel_waiting_trial(card: &mut dyn Disk, chooser: Chooser) -> Result<bool, UpdateError> {
    let waits = Chooser::waiting(card)?.is_some();
    if waits {
        chooser.try_nothing(card)?;
    }
    Ok(waits)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::update::label::Contents;

    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    fn may_follow(new: &str, running: &str) -> bool {
        let contents = || Contents {
            bytes: 512,
            sha256: "a".repeat(64),
        };
        let label = Label {
            id: "0".repeat(64),
            version: new.to_owned(),
            machine: "virt".to_owned(),
            slots: [contents(), contents()],
            public_key: Some(KEY.parse().unwrap()),
        };
        let system = System {
            id: "1".repeat(64),
            version: running.to_owned(),
            machine: "virt".to_owned(),
            kernel: "6.12".to_owned(),
            public_key: Some(KEY.parse().unwrap()),
        };
        let permit = Permit {
            allows_older: false,
        };
        super::may_follow(&label, &system, permit).is_ok()
    }

    #[test]
    fn an_older_version_is_refused_by_its_build_metadata_too() {
        for (older, newer) in [
            ("1.4.0", "1.4.1"),
            ("1.4.0-rc.1", "1.4.0"),
            ("1.4.0", "1.4.0+1"),
            ("1.4.0+1", "1.4.0+2"),
            ("1.4.0+9", "1.4.0+10"),
        ] {
            assert!(may_follow(newer, older), "{newer} after {older}");
            assert!(!may_follow(older, newer), "{older} after {newer}");
            assert!(may_follow(older, older), "{older} again");
        }
    }
}
