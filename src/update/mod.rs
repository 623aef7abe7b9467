//! Updating a card that has two slots, from an image that `eyelet image` made. Power may go at any byte of it.
//!
//! ```text
//! write_slot      the idle slot's partition, copied out of the image and read back; its first block comes last
//! Chooser::try_once   the next boot is the new slot, and the boot after it the old one again
//! Chooser::confirm    the new slot is the one that is booted from now on
//! ```
//!
//! # Invariants
//!
//! - The slot that runs is never written.
//! - A slot that is not whole has no boot sector, and nobody is told to boot it before it was read back.
//! - What chooses the slot is a file on the boot partition of less than one sector, overwritten in place: a card writes a
//!   sector or does not. Both slots are whole whenever it changes.

pub mod chooser;
mod window;

pub use chooser::Chooser;
pub use window::Window;

use crate::mbr;
use crate::model::find::hex;
use crate::slot::Slot;
use sha2::{Digest, Sha256};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

/// Bytes a read or write.
const BLOCK_BYTES: u64 = 1 << 20;

/// A card or an image: a disk that can be read and written anywhere.
pub trait Disk: Read + Write + Seek {
    /// Returns when everything written is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

impl Disk for std::fs::File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Why a slot was not written. The other slot is as it was.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The image is none that fits the card.
    #[error("the update does not fit this card: {0}")]
    Misfit(String),
    /// Reading or writing failed.
    #[error("the update cannot be written: {0}")]
    Io(#[from] io::Error),
    /// The card gives back other bytes than it was given.
    #[error("slot {} does not hold what was written (sha256 {got}, not {want}): the card is worn out", slot.letter())]
    Differs {
        /// Which slot.
        slot: Slot,
        /// Digest of what was read back.
        got: String,
        /// Digest of what was written.
        want: String,
    },
}

/// Copies `slot` of `image` into `slot` of `card`, reads it back, and gives its sha256.
///
/// `slot` is the idle one. Both slots of an image are the same but for the name of the slot.
///
/// # Errors
/// See [`UpdateError`]; after an error the slot has no boot sector, unless the error came before anything was written.
pub fn write_slot(
    card: &mut dyn Disk,
    image: &mut (impl Read + Seek + ?Sized),
    slot: Slot,
) -> Result<String, UpdateError> {
    let from = partition(image, "the update", slot)?;
    let to = partition(card, "the card", slot)?;
    if from.end - from.start != to.end - to.start {
        return Err(UpdateError::Misfit(format!(
            "its slots have {} bytes, the card's have {}: write the whole image to the card",
            from.end - from.start,
            to.end - to.start
        )));
    }
    let length = to.end - to.start;
    let mut hasher = Sha256::new();
    let mut first = Vec::new();
    let mut block = Vec::new();
    for at in (0..length).step_by(BLOCK_BYTES as usize) {
        let count = BLOCK_BYTES.min(length - at);
        block.resize(count as usize, 0);
        image.seek(SeekFrom::Start(from.start + at))?;
        image.read_exact(&mut block)?;
        hasher.update(&block);
        if at == 0 {
            first.clone_from(&block);
            block.fill(0);
        }
        card.seek(SeekFrom::Start(to.start + at))?;
        card.write_all(&block)?;
        if at == 0 {
            // Nothing behind it may change while the old boot sector is there.
            card.sync()?;
        }
    }
    card.sync()?;
    // The tables first and the boot sector last of all.
    let (boot_sector, rest) = first.split_at(first.len().min(mbr::SECTOR_BYTES as usize));
    for (at, bytes) in [(boot_sector.len() as u64, rest), (0, boot_sector)] {
        card.seek(SeekFrom::Start(to.start + at))?;
        card.write_all(bytes)?;
        card.sync()?;
    }
    let want = hex(&hasher.finalize());
    let mut hasher = Sha256::new();
    card.seek(SeekFrom::Start(to.start))?;
    for at in (0..length).step_by(BLOCK_BYTES as usize) {
        block.resize(BLOCK_BYTES.min(length - at) as usize, 0);
        card.read_exact(&mut block)?;
        hasher.update(&block);
    }
    let got = hex(&hasher.finalize());
    if got != want {
        let nothing = [0; mbr::SECTOR_BYTES as usize];
        card.seek(SeekFrom::Start(to.start))?;
        card.write_all(&nothing)?;
        card.sync()?;
        return Err(UpdateError::Differs { slot, got, want });
    }
    Ok(want)
}

/// The bytes of a slot's partition; the disk must be one of ours.
fn partition(
    disk: &mut (impl Read + Seek + ?Sized),
    what: &str,
    slot: Slot,
) -> Result<Range<u64>, UpdateError> {
    nth_partition(disk, what, slot.partition())
}

/// The bytes of the partition `number`, counted from 1.
fn nth_partition(
    disk: &mut (impl Read + Seek + ?Sized),
    what: &str,
    number: usize,
) -> Result<Range<u64>, UpdateError> {
    let mut sector = [0; mbr::SECTOR_BYTES as usize];
    disk.seek(SeekFrom::Start(0))?;
    disk.read_exact(&mut sector)?;
    let table = mbr::partitions(&sector)
        .filter(|table| table.len() == 4 && mbr::disk_id(&sector) == Some(mbr::EYELET_DISK_ID));
    let table = table.ok_or_else(|| {
        UpdateError::Misfit(format!("{what} is no disk that `eyelet image` made"))
    })?;
    Ok(table[number - 1].bytes.clone())
}

#[cfg(test)]
mod tests;
