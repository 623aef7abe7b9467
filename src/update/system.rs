//! How a system describes itself: the first keys of its bill of materials, `manifest.json`.

use super::signature::PublicKey;
use super::{Disk, UpdateError, Window, label, partition};
use crate::fat_volume;
use crate::slot::Slot;
use serde::Deserialize;
use std::io::{self, Read};

/// Its name in a slot.
const FILE: &str = "manifest.json";
/// No bill of materials is longer.
const LONGEST_BYTES: u64 = 4 << 20;

/// A system, running or in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct System {
    /// As in [`label::Label`].
    pub id: String,
    /// The version for humans.
    pub version: String,
    /// The machine that it is for.
    pub machine: String,
    /// The kernel's release.
    pub kernel: String,
    /// The key that updates must be signed with; `None` if any update is accepted.
    #[serde(default)]
    pub public_key: Option<PublicKey>,
}

impl System {
    /// Parses a bill of materials.
    ///
    /// # Errors
    /// When the text is not a bill of materials.
    pub fn of_manifest(text: &str) -> Result<Self, serde_json::Error> {
        let system: Self = serde_json::from_str(text)?;
        if label::is_digest(&system.id) {
            Ok(system)
        } else {
            Err(serde::de::Error::custom("its id is not a digest"))
        }
    }

    /// The system in `slot` of `card`.
    ///
    /// # Errors
    /// When the slot is incomplete or cannot be read.
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

    /// Whether the kernel can ask the Raspberry Pi's firmware for a trial boot. The Raspberry Pi's own kernels add this
    /// (drivers/firmware/raspberrypi.c there); mainline's driver ignores the argument of a reboot.
    pub fn can_ask_pi_firmware(&self) -> bool {
        self.kernel.contains("rpi") || self.kernel.contains("-v8")
    }
}
