//! Checks a whole image before anything is written: the slot's bytes must match the label and, if a key is required, the
//! signature must match exactly these bytes.
//!
//! A stick can return other bytes when it is read again, so everything used afterwards comes from this one pass: [`Checked`]
//! keeps the label, the partition table and the slot's digest from the label. [`super::write_slot`] reads the slot again and
//! gives it a boot sector only if what it wrote has that digest.

use super::label::{self, Label};
use super::signature::{Permit, Verifier};
use super::{BLOCK_BYTES, UpdateError, nth_in_table};
use crate::model::find::hex;
use crate::slot::Slot;
use sha2::{Digest, Sha256};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;

/// The partition table and the label.
const HEAD_BYTES: usize = label::START_BYTE as usize + label::BYTES;

/// An image that passed the check.
#[derive(Debug)]
pub struct Checked {
    label: Label,
    slot: Slot,
    partition: Range<u64>,
    permit: Option<Permit>,
}

impl Checked {
    /// The label.
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// The checked slot.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The bytes of the slot's partition.
    pub fn partition(&self) -> Range<u64> {
        self.partition.clone()
    }

    /// What the key's owner permits; `None` if no signature was required.
    pub fn permit(&self) -> Option<Permit> {
        self.permit
    }
}

/// Checks `slot` of `image` against the image's label, and the whole image against the signature in `verifier`.
///
/// # Errors
/// The image has no label, is damaged, cannot be read, or does not match its signature.
pub fn check(
    image: &mut (impl Read + Seek + ?Sized),
    slot: Slot,
    mut verifier: Option<Verifier<'_>>,
) -> Result<Checked, UpdateError> {
    let mut head = [0; HEAD_BYTES];
    let image_bytes = image.seek(SeekFrom::End(0))?;
    image.seek(SeekFrom::Start(0))?;
    image.read_exact(&mut head)?;
    let from = nth_in_table(&head, image_bytes, "the update", slot.partition())?;
    let label = Label::read(&mut Cursor::new(&head), "the update")?;
    let contents = label.slot(slot);
    if contents.bytes > from.end - from.start {
        return Err(UpdateError::Misfit(
            "its label states more bytes than its slots hold".to_owned(),
        ));
    }
    let used = from.start..from.start + contents.bytes;
    let mut sha256 = Sha256::new();
    if let Some(verifier) = &mut verifier {
        verifier.update(&head);
        each_block(image, used.start - HEAD_BYTES as u64, |block| {
            verifier.update(block)
        })?;
    } else {
        image.seek(SeekFrom::Start(used.start))?;
    }
    each_block(image, contents.bytes, |block| {
        sha256.update(block);
        if let Some(verifier) = &mut verifier {
            verifier.update(block);
        }
    })?;
    let got = hex(&sha256.finalize());
    if got != contents.sha256 {
        let want = contents.sha256.clone();
        return Err(UpdateError::Damaged { slot, got, want });
    }
    let permit = match verifier {
        Some(verifier) => Some(to_the_end(image, verifier)?),
        None => None,
    };
    Ok(Checked {
        label,
        slot,
        partition: from,
        permit,
    })
}

/// Reads the rest of the image to complete the signature check.
fn to_the_end(
    image: &mut (impl Read + ?Sized),
    mut verifier: Verifier<'_>,
) -> Result<Permit, UpdateError> {
    let mut block = vec![0; BLOCK_BYTES as usize];
    loop {
        match image.read(&mut block) {
            Ok(0) => return Ok(verifier.finish()?),
            Ok(count) => verifier.update(&block[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Calls `work` with the next `length` bytes of `disk`, block by block.
pub(super) fn each_block(
    disk: &mut (impl Read + ?Sized),
    length: u64,
    mut work: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut block = vec![0; BLOCK_BYTES.min(length) as usize];
    for at in (0..length).step_by(BLOCK_BYTES as usize) {
        let block = &mut block[..BLOCK_BYTES.min(length - at) as usize];
        disk.read_exact(block)?;
        work(block);
    }
    Ok(())
}
