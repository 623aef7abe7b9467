//! Updating a card that has two slots, from an image that `eyelet image` made. Power may go at any byte of it.
//!
//! ```text
//! check               the image's slot against the digest in its label, and, for a system with a public key, the whole image
//!                     against its signature; nothing is written before that
//! write_slot          the idle slot's partition, copied out of the image and read back; its first block comes last
//! Chooser::try_once   the next boot is the new slot, and the boot after it the old one again
//! Chooser::confirm    the new slot is the one that is booted from now on
//! ```
//!
//! Slots are updated, and nothing else: the boot partition and the data partition stay as they are.
//!
//! # Invariants
//!
//! - The slot that runs is never written.
//! - A slot that is not whole has no boot sector, and nobody is told to boot it before it was read back.
//! - What chooses the slot is a file on the boot partition of less than one sector, overwritten in place: a card writes a
//!   sector or does not. Both slots are whole whenever it changes.
//! - A slot gets a boot sector only if the bytes that were written to it have the digest of a label that was checked. Where a
//!   signature is asked for, it was right for the very bytes that this label was read from ([`check`](mod@check)).

pub mod check;
pub mod chooser;
pub mod install;
pub mod label;
mod read_ahead;
pub mod signature;
pub mod source;
mod system;
mod window;

pub use check::{Checked, check};
pub use chooser::Chooser;
pub use install::{Outcome, install};
pub use label::Label;
pub use signature::{PublicKey, SignatureError, SignatureFile};
pub use source::{Brought, with_image};
pub use system::System;
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
    /// Forgets what is remembered of the disk, so that reading reads the disk itself.
    fn forget(&mut self);
}

impl Disk for std::fs::File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn forget(&mut self) {
        use std::os::fd::AsRawFd;
        // SAFETY: the descriptor is open as long as `self` is; the call takes no memory of ours. What it returns does not
        // matter: without it the check reads from memory what the disk holds all the same.
        unsafe { libc::posix_fadvise(self.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }
}

/// Why a slot was not written. The other slot is as it was.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The image is none that fits the card.
    #[error("the update does not fit this card: {0}")]
    Misfit(String),
    /// The image does not hold what its label says.
    #[error("the update is damaged: slot {} has sha256 {got}, and its label says {want}: fetch or make it anew", slot.letter())]
    Damaged {
        /// Which slot.
        slot: Slot,
        /// Digest of what was read.
        got: String,
        /// Digest of the label.
        want: String,
    },
    /// The card's system has a public key, and the image is not signed as it wants.
    #[error(transparent)]
    Signature(Box<SignatureError>),
    /// The image is older than the system that runs, which has a public key.
    #[error(
        "its version, {new}, is older than the {running} that runs: to go back to it, sign it by `minisign -Sm IMAGE -t {}`",
        signature::ALLOW_OLDER
    )]
    Older {
        /// The version of the image.
        new: String,
        /// The version of the system that runs.
        running: String,
    },
    /// The image has no public key, and the system that runs has one.
    #[error(
        "it has no public key, so the card would take anyone's updates from then on: make it by `eyelet image --public-key`, or write the whole image to the card"
    )]
    Keyless,
    /// Reading or writing failed.
    #[error("the update cannot be read or written: {0}")]
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

impl From<SignatureError> for UpdateError {
    fn from(error: SignatureError) -> Self {
        Self::Signature(Box::new(error))
    }
}

/// Copies the slot of `image` that was [`check()`]ed into the same slot of `card`, which is the idle one, and reads it back.
///
/// Both slots of an image are the same but for the name of the slot.
///
/// # Errors
/// See [`UpdateError`]; after an error the slot has no boot sector, unless the error came before anything was written.
pub fn write_slot(
    card: &mut dyn Disk,
    image: &mut (impl Read + Seek + ?Sized),
    checked: &Checked,
) -> Result<(), UpdateError> {
    let (slot, from) = (checked.slot(), checked.partition());
    let to = fitting(card, &from, slot)?;
    let contents = checked.label().slot(slot);
    let length = contents.bytes;
    let mut hasher = Sha256::new();
    let mut first = Vec::new();
    let mut block = Vec::new();
    // Once: a file on a FAT volume is followed from its beginning for each jump.
    image.seek(SeekFrom::Start(from.start))?;
    for at in (0..length).step_by(BLOCK_BYTES as usize) {
        let count = BLOCK_BYTES.min(length - at);
        block.resize(count as usize, 0);
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
    let got = hex(&hasher.finalize());
    if got != contents.sha256 {
        // Read twice with two results: a stick that fails, or was pulled out and changed. There is no boot sector yet.
        let want = contents.sha256.clone();
        return Err(UpdateError::Damaged { slot, got, want });
    }
    // The tables first and the boot sector last of all.
    let (boot_sector, rest) = first.split_at(first.len().min(mbr::SECTOR_BYTES as usize));
    for (at, bytes) in [(boot_sector.len() as u64, rest), (0, boot_sector)] {
        card.seek(SeekFrom::Start(to.start + at))?;
        card.write_all(bytes)?;
        card.sync()?;
    }
    card.forget();
    let want = got;
    let got = digest(card, to.start..to.start + length)?;
    if got != want {
        let nothing = [0; mbr::SECTOR_BYTES as usize];
        card.seek(SeekFrom::Start(to.start))?;
        card.write_all(&nothing)?;
        card.sync()?;
        return Err(UpdateError::Differs { slot, got, want });
    }
    Ok(())
}

fn digest(disk: &mut (impl Read + Seek + ?Sized), range: Range<u64>) -> io::Result<String> {
    let mut hasher = Sha256::new();
    disk.seek(SeekFrom::Start(range.start))?;
    check::each_block(disk, range.end - range.start, |block| hasher.update(block))?;
    Ok(hex(&hasher.finalize()))
}

/// The bytes of `slot` on the card; as many as `from`, those of the image.
fn fitting(card: &mut dyn Disk, from: &Range<u64>, slot: Slot) -> Result<Range<u64>, UpdateError> {
    let to = partition(card, "the card", slot)?;
    if from.end - from.start != to.end - to.start {
        return Err(UpdateError::Misfit(format!(
            "its slots have {} bytes, the card's have {}: write the whole image to the card",
            from.end - from.start,
            to.end - to.start
        )));
    }
    Ok(to)
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
    let mut sector = Vec::new();
    disk.seek(SeekFrom::Start(0))?;
    (&mut *disk)
        .take(mbr::SECTOR_BYTES)
        .read_to_end(&mut sector)?;
    let disk_bytes = disk.seek(SeekFrom::End(0))?;
    nth_in_table(&sector, disk_bytes, what, number)
}

/// The same of a disk that begins with `sector` and has so many bytes.
fn nth_in_table(
    sector: &[u8],
    disk_bytes: u64,
    what: &str,
    number: usize,
) -> Result<Range<u64>, UpdateError> {
    let table = mbr::partitions(sector)
        .filter(|table| table.len() == 4 && mbr::disk_id(sector) == Some(mbr::EYELET_DISK_ID));
    let table = table.ok_or_else(|| {
        UpdateError::Misfit(format!("{what} is no disk that `eyelet image` made"))
    })?;
    let begins_behind = |end: u64, next: &mbr::Partition| {
        (next.bytes.start >= end && next.bytes.end > next.bytes.start).then_some(next.bytes.end)
    };
    // Whoever writes one partition must not write into another, nor into the label.
    let label_end = label::START_BYTE + label::BYTES as u64;
    if table.iter().try_fold(label_end, begins_behind).is_none() {
        let message = format!("{what} has partitions that overlap: write a whole image to it");
        return Err(UpdateError::Misfit(message));
    }
    let bytes = table[number - 1].bytes.clone();
    if bytes.end > disk_bytes {
        let message = format!("{what} ends before its partition {number} does: it was cut off");
        return Err(UpdateError::Misfit(message));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
