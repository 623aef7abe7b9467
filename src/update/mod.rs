//! Updates a card with two slots from an image that `eyelet image` made. Power may fail at any byte.
//!
//! ```text
//! check               compares the image's slot with the digest in its label and, for a system with a public key, verifies
//!                     the signature of the whole image; nothing is written before that
//! write_slot          copies the idle slot's partition out of the image and reads it back; its first block is written last
//! Chooser::try_once   the next boot is the new slot, and the boot after it the old one again
//! Chooser::confirm    the new slot boots by default from now on
//! ```
//!
//! Only slots are updated: the boot partition and the data partition stay as they are.
//!
//! # Invariants
//!
//! - The running slot is never written.
//! - An incomplete slot has no boot sector, and no boot loader is told to boot a slot before it was read back.
//! - The slot is chosen by a file of less than one sector on the boot partition, overwritten in place: a card writes a sector
//!   completely or not at all. Both slots are complete whenever this file changes.
//! - A slot gets a boot sector only if the bytes written to it match the digest in a checked label. Where a signature is
//!   required, it was verified over the very bytes that this label was read from ([`check`](mod@check)).

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
pub use install::{Options, Outcome, install};
pub use label::Label;
pub use signature::{PublicKey, SignatureError, SignatureFile};
pub use source::{Update, with_image};
pub use system::System;
pub use window::Window;

use crate::mbr;
use crate::model::find::hex;
use crate::slot::Slot;
use sha2::{Digest, Sha256};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

/// Bytes per read or write.
const BLOCK_BYTES: u64 = 1 << 20;

/// A card or an image: a disk with random access.
pub trait Disk: Read + Write + Seek {
    /// Returns when everything written is on the disk.
    fn sync(&mut self) -> io::Result<()>;
    /// Drops cached data, so that reads come from the disk itself.
    fn forget(&mut self);
}

impl Disk for std::fs::File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn forget(&mut self) {
        use std::os::fd::AsRawFd;
        // SAFETY: the descriptor is open as long as `self` lives; the call takes no memory of ours. We ignore the result: without
        // it the check may read the cache, which has what the disk should hold.
        unsafe { libc::posix_fadvise(self.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }
}

/// Why a slot was not written. The other slot is untouched.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The image does not fit the card.
    #[error("the update does not fit this card: {0}")]
    Misfit(String),
    /// The image's contents do not match its label.
    #[error("the update is damaged: slot {} has sha256 {got}, and its label says {want}: download or create it again", slot.letter())]
    Damaged {
        /// Which slot.
        slot: Slot,
        /// Digest of the bytes read.
        got: String,
        /// Digest in the label.
        want: String,
    },
    /// The card's system has a public key, and the image has no signature that it accepts.
    #[error(transparent)]
    Signature(Box<SignatureError>),
    /// The image is older than the running system, which has a public key.
    #[error(
        "its version, {new}, is older than the running {running}: to go back to it, sign it with `minisign -Sm IMAGE -t {}`",
        signature::ALLOW_OLDER
    )]
    Older {
        /// The image's version.
        new: String,
        /// The running system's version.
        running: String,
    },
    /// The image has no public key, but the running system has one.
    #[error(
        "it has no public key, so the card would accept anyone's updates from then on: make it with `eyelet image --public-key`, or write the whole image to the card"
    )]
    Keyless,
    /// Reading or writing failed.
    #[error("the update cannot be read or written: {0}")]
    Io(#[from] io::Error),
    /// The card returns other bytes than were written.
    #[error("slot {} does not hold what was written (sha256 {got}, not {want}): the card is worn out", slot.letter())]
    Differs {
        /// Which slot.
        slot: Slot,
        /// Digest of the bytes read back.
        got: String,
        /// Digest of the bytes written.
        want: String,
    },
}

impl From<SignatureError> for UpdateError {
    fn from(error: SignatureError) -> Self {
        Self::Signature(Box::new(error))
    }
}

/// Copies the slot of `image` that passed [`check()`] to the same slot of `card`, which must be the idle one, and reads it back.
///
/// An image's two slots differ only in the slot's name.
///
/// # Errors
/// See [`UpdateError`]. After an error the slot has no boot sector, unless the error came before anything was written.
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
    // Only once: on a FAT volume each seek follows the file from its beginning.
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
            // Nothing after it may change while the old boot sector is there.
            card.sync()?;
        }
    }
    card.sync()?;
    let got = hex(&hasher.finalize());
    if got != contents.sha256 {
        // Two reads gave different results: a faulty stick, or one that was unplugged and changed. There is no boot sector yet.
        let want = contents.sha256.clone();
        return Err(UpdateError::Damaged { slot, got, want });
    }
    // The tables first and the boot sector last.
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

/// The bytes of `slot` on the card; it must be as long as `from`, the image's slot.
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

/// The same for a disk that starts with `sector` and has `disk_bytes` bytes.
fn nth_in_table(
    sector: &[u8],
    disk_bytes: u64,
    what: &str,
    number: usize,
) -> Result<Range<u64>, UpdateError> {
    let table = mbr::partitions(sector)
        .filter(|table| table.len() == 4 && mbr::disk_id(sector) == Some(mbr::EYELET_DISK_ID));
    let table = table
        .ok_or_else(|| UpdateError::Misfit(format!("{what} was not made by `eyelet image`")))?;
    let begins_behind = |end: u64, next: &mbr::Partition| {
        (next.bytes.start >= end && next.bytes.end > next.bytes.start).then_some(next.bytes.end)
    };
    // Writing one partition must not write into another, nor into the label.
    let label_end = label::START_BYTE + label::BYTES as u64;
    if table.iter().try_fold(label_end, begins_behind).is_none() {
        let message = format!("{what} has partitions that overlap: write a whole image to it");
        return Err(UpdateError::Misfit(message));
    }
    let bytes = table[number - 1].bytes.clone();
    if bytes.end > disk_bytes {
        let message =
            format!("{what} ends before the end of its partition {number}: it was cut off");
        return Err(UpdateError::Misfit(message));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
