//! A whole update of a card up to its trial: what speaks against it, the idle slot, the request for one boot of it.

use super::{Chooser, Disk, Label, System, UpdateError, check, fitting, write_slot};
use crate::slot::Slot;
use std::io::{Read, Seek};

/// What came of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// This slot has the new system now, and it is booted once, at the next start.
    Installed(Slot, Label),
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

/// Puts the system of `image` into the idle slot of `card` and has it tried at the next start.
///
/// # Errors
/// See [`UpdateError`]. The current slot stays as it is, whatever happens.
pub fn install(
    card: &mut dyn Disk,
    image: &mut (impl Read + Seek + ?Sized),
    chooser: Chooser,
) -> Result<Outcome, UpdateError> {
    let current = chooser.current(card)?;
    let label = Label::read(image, "the update")?;
    let system = System::in_slot(card, current).map_err(|error| {
        let slot = current.letter();
        UpdateError::Misfit(format!(
            "slot {slot}, which it boots, has no system that says what it is ({error}): write the whole image to the card"
        ))
    })?;
    if label.machine != system.machine {
        return Err(UpdateError::Misfit(format!(
            "it is for {}, and the card is for {}",
            label.machine, system.machine
        )));
    }
    if label.id == system.id {
        return Ok(Outcome::Same {
            slot: current,
            label,
            took_back: take_back_waiting(card, chooser)?,
        });
    }
    if chooser == Chooser::PiFirmware && !system.can_ask_pi_firmware() {
        return Err(UpdateError::Misfit(format!(
            "its kernel, {}, cannot ask the Raspberry Pi's firmware for a trial, only Raspberry Pi OS's can: write the whole image to the card",
            system.kernel
        )));
    }
    let idle = current.other();
    let label = check(image, idle)?;
    fitting(card, image, idle)?;
    // What is written now must not be booted before it is whole.
    take_back_waiting(card, chooser)?;
    write_slot(card, image, &label, idle)?;
    chooser.try_once(card, idle)?;
    Ok(Outcome::Installed(idle, label))
}

/// An earlier update that was not tried yet will not be. Whether there was one.
fn take_back_waiting(card: &mut dyn Disk, chooser: Chooser) -> Result<bool, UpdateError> {
    let waits = Chooser::waiting(card)?.is_some();
    if waits {
        chooser.try_nothing(card)?;
    }
    Ok(waits)
}
