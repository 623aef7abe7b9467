//! A whole update of a card up to its trial: what speaks against it, the idle slot, the request for one boot of it.

use super::signature::{Permit, PublicKey};
use super::{
    Brought, Chooser, Disk, Label, System, UpdateError, check, fitting, partition, write_slot,
};
use crate::slot::Slot;
use semver::Version;

/// What came of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// This slot has the new system now, and it is booted once, at the next start.
    Installed {
        /// The slot.
        slot: Slot,
        /// The system.
        label: Label,
        /// The card asked for a signature, and it was right.
        is_signed: bool,
    },
    /// The card runs this very system, so no slot was written.
    Same {
        /// The slot that runs.
        slot: Slot,
        /// The system.
        label: Label,
        /// Another one waited for its trial, and does not any more.
        took_back: bool,
    },
}

/// Puts the system that was `brought` into the idle slot of `card` and has it tried at the next start.
///
/// Where the system that runs has a public key, nothing is written unless the whole image was signed by it. `key` is that of
/// the running system, where it is known better than from the card.
///
/// # Errors
/// See [`UpdateError`]. The current slot stays as it is, whatever happens.
pub fn install(
    card: &mut dyn Disk,
    brought: &mut Brought<'_>,
    key: Option<&PublicKey>,
    chooser: Chooser,
) -> Result<Outcome, UpdateError> {
    let image = &mut *brought.image;
    let current = chooser.current(card)?;
    let idle = current.other();
    let system = System::in_slot(card, current).map_err(|error| {
        let slot = current.letter();
        UpdateError::Misfit(format!(
            "slot {slot}, which it boots, has no system that says what it is ({error}): write the whole image to the card"
        ))
    })?;
    // The image is refused for these at once, rather than after all of it was read.
    let first_said = Label::read(image, "the update")?;
    may_run(&first_said, &system, chooser)?;
    let from = partition(image, "the update", idle)?;
    fitting(card, &from, idle)?;

    let key = key.or(system.public_key.as_ref());
    let signature = key.map(|key| brought.signature.decode(key).map(|it| (key, it)));
    let signature = signature.transpose()?;
    let verifier = signature.as_ref().map(|(key, it)| it.verifier(key));
    let checked = check(image, idle, verifier.transpose()?)?;
    let label = checked.label().clone();
    if label != first_said {
        return Err(UpdateError::Misfit("it changes while it is read".into()));
    }
    if let Some(permit) = checked.permit() {
        may_follow(&label, &system, permit)?;
    }
    if label.id == system.id {
        return Ok(Outcome::Same {
            slot: current,
            label,
            took_back: take_back_waiting(card, chooser)?,
        });
    }
    // What is written now must not be booted before it is whole.
    take_back_waiting(card, chooser)?;
    write_slot(card, image, &checked)?;
    chooser.try_once(card, idle)?;
    Ok(Outcome::Installed {
        slot: idle,
        label,
        is_signed: checked.permit().is_some(),
    })
}

/// Whether the card's computer can run the new system, and can be asked for a trial of it.
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
            "its kernel, {}, cannot ask the Raspberry Pi's firmware for a trial, only Raspberry Pi OS's can: write the whole image to the card",
            system.kernel
        )));
    }
    Ok(())
}

/// Whether a system that the key's owner signed may take the place of the one that runs.
fn may_follow(label: &Label, system: &System, permit: Permit) -> Result<(), UpdateError> {
    if label.public_key.is_none() {
        return Err(UpdateError::Keyless);
    }
    let is_known_not_older = match (version(&label.version), version(&system.version)) {
        (Some(new), Some(running)) => new.cmp_precedence(&running).is_ge(),
        // One of the two was not made by us: we refuse to put a key beside such a version.
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

/// A version that can be told to be older or newer than another: those of <https://semver.org>.
pub fn version(text: &str) -> Option<Version> {
    Version::parse(text).ok()
}

/// An earlier update that was not tried yet will not be. Whether there was one.
fn take_back_waiting(card: &mut dyn Disk, chooser: Chooser) -> Result<bool, UpdateError> {
    let waits = Chooser::waiting(card)?.is_some();
    if waits {
        chooser.try_nothing(card)?;
    }
    Ok(waits)
}
