//! What a system says of itself: the first keys of its bill of materials, `manifest.json`.

use super::signature::PublicKey;
use super::{Disk, UpdateError, Window, label, partition};
use crate::fat_volume;
use crate::slot::Slot;
use serde::Deserialize;
use std::io::{self, Read};

/// Where a slot has it.
const FILE: &str = "manifest.json";
/// A bill of materials is no longer.
const LONGEST_BYTES: u64 = 4 << 20;

/// A system, running or in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct System {
    /// As in [`label::Label`].
    pub id: String,
    /// What a person calls it.
    pub version: String,
    /// The computer that it is for.
    pub machine: String,
    /// The kernel's release.
    pub kernel: String,
    /// Whose updates it takes; `None`: anyone's.
    #[serde(default)]
    pub public_key: Option<PublicKey>,
}

impl System {
    /// Reads a bill of materials.
    ///
    /// # Errors
    /// When it is none.
    pub fn of_manifest(text: &str) -> Result<Self, serde_json::Error> {
        let system: Self = serde_json::from_str(text)?;
        if label::is_digest(&system.id) {
            Ok(system)
        } else {
            Err(serde::de::Error::custom("its id is no digest"))
        }
    }

    /// The system in `slot` of `card`.
    ///
    /// # Errors
    /// When the slot is not whole, or cannot be read.
    pub fn in_slot(card: &mut dyn Disk, slot: Slot) -> Result<Self, UpdateError> {
        let range = partition(card, "the card", slot)?;
        let volume = fat_volume::open(Window::new(card, range), &[FILE])?;
        let mut text = String::new();
        let file = volume.root_dir().open_file(FILE)?;
        file.take(LONGEST_BYTES).read_to_string(&mut text)?;
        Self::of_manifest(&text).map_err(|error| {
            let slot = slot.letter();
            io::Error::other(format!("{FILE} of slot {slot}: {error}")).into()
        })
    }

    /// Whether the kernel can ask the Raspberry Pi's firmware for a trial. That is a change of the Raspberry Pi's own
    /// kernels (drivers/firmware/raspberrypi.c there); Linux's own driver does not look at the argument of a reboot.
    pub fn can_ask_pi_firmware(&self) -> bool {
        self.kernel.contains("rpi") || self.kernel.contains("-v8")
    }
}
