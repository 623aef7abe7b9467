//! The label of an image: what its slots contain, and the digests of their bytes.
//!
//! It is stored in the sectors after the partition table, outside any partition: lines of text, padded with zeros.
//!
//! ```text
//! eyelet-image 1
//! id SHA256               identifies the system; also in /etc/eyelet/manifest.json of the running system
//! version TEXT
//! machine raspberry-pi-3
//! slot-a BYTES SHA256     number of bytes used from the slot's beginning, and their digest
//! slot-b BYTES SHA256
//! public-key BASE64       optional: a system with it accepts only updates that this key signed
//! ```
//!
//! The digests detect a damaged image. They do not prove who made it: whoever can write an image can write its label, and we read
//! it before any signature is verified ([`super::signature`]), so its contents are untrusted. Its length is limited, its texts
//! hold no control characters, and before verification we use it only to refuse the image.

use super::UpdateError;
use super::signature::PublicKey;
use crate::mbr::SECTOR_BYTES;
use crate::slot::Slot;
use std::io::{Read, Seek, SeekFrom};

/// Where the label begins on the disk.
pub const START_BYTE: u64 = SECTOR_BYTES;
/// The label's length.
pub const BYTES: usize = 7 * SECTOR_BYTES as usize;
/// A longer version is truncated.
pub const VERSION_CHARACTERS: usize = 100;
const FIRST_LINE: &str = "eyelet-image 1";

/// The label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// 64 hexadecimal digits, unique to this system.
    pub id: String,
    /// The version for humans.
    pub version: String,
    /// The machine that the system is for.
    pub machine: String,
    /// The contents of slots A and B.
    pub slots: [Contents; 2],
    /// The key that updates must be signed with.
    pub public_key: Option<PublicKey>,
}

/// The contents of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Number of bytes used from its beginning; whole sectors.
    pub bytes: u64,
    /// Their digest.
    pub sha256: String,
}

impl Label {
    /// The label's sectors.
    pub fn sectors(&self) -> [u8; BYTES] {
        let version: Vec<_> = self.version.split_whitespace().collect();
        let version: String = version.join(" ").chars().take(VERSION_CHARACTERS).collect();
        let slot = |slot: Slot| {
            let contents = self.slot(slot);
            format!(
                "slot-{} {} {}\n",
                slot.letter(),
                contents.bytes,
                contents.sha256
            )
        };
        let key = self.public_key.as_ref();
        let key = key.map_or_else(String::new, |key| format!("public-key {key}\n"));
        let text = format!(
            "{FIRST_LINE}\nid {}\nversion {version}\nmachine {}\n{}{}{key}",
            self.id,
            self.machine,
            slot(Slot::A),
            slot(Slot::B)
        );
        let mut sectors = [0; BYTES];
        sectors[..text.len()].copy_from_slice(text.as_bytes());
        sectors
    }

    /// Reads a disk's label; `what` names the disk in the error.
    ///
    /// # Errors
    /// When the disk cannot be read or has no valid label.
    pub fn read(disk: &mut (impl Read + Seek + ?Sized), what: &str) -> Result<Self, UpdateError> {
        let mut sectors = [0; BYTES];
        disk.seek(SeekFrom::Start(START_BYTE))?;
        disk.read_exact(&mut sectors)?;
        let text = String::from_utf8_lossy(&sectors);
        Self::parse(text.trim_end_matches('\0')).ok_or_else(|| {
            UpdateError::Misfit(format!(
                "{what} has no label, or a damaged one: make the image again with `eyelet image`"
            ))
        })
    }

    /// The contents of `slot`.
    pub fn slot(&self, slot: Slot) -> &Contents {
        match slot {
            Slot::A => &self.slots[0],
            Slot::B => &self.slots[1],
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ');
        // They are shown to people.
        let is_text = |text: &&str| !text.contains(char::is_control);
        let id = value("id").filter(|id| is_digest(id))?.to_owned();
        let version = value("version").filter(is_text)?.to_owned();
        let machine = value("machine").filter(is_text)?.to_owned();
        let slots = [
            Contents::parse(value("slot-a")?)?,
            Contents::parse(value("slot-b")?)?,
        ];
        // Later versions may add lines.
        let public_key = match lines
            .next()
            .and_then(|line| line.strip_prefix("public-key "))
        {
            Some(key) => Some(key.parse().ok()?),
            None => None,
        };
        Some(Self {
            id,
            version,
            machine,
            slots,
            public_key,
        })
    }
}

impl Contents {
    fn parse(text: &str) -> Option<Self> {
        let (bytes, sha256) = text.split_once(' ')?;
        let bytes: u64 = bytes.parse().ok()?;
        let is_sound = bytes > 0 && bytes.is_multiple_of(SECTOR_BYTES) && is_digest(sha256);
        is_sound.then(|| Self {
            bytes,
            sha256: sha256.to_owned(),
        })
    }
}

/// Whether this is a sha256 in our form.
pub fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Cursor;

    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    fn label() -> Label {
        let contents = |digit: &str| Contents {
            bytes: 1024,
            sha256: digit.repeat(64),
        };
        Label {
            id: "0".repeat(64),
            version: "7.1 beta".into(),
            machine: "virt".into(),
            slots: [contents("a"), contents("b")],
            public_key: Some(KEY.parse().unwrap()),
        }
    }

    #[test]
    fn a_label_survives_a_round_trip_and_a_damaged_one_is_refused() {
        let mut disk = vec![0; SECTOR_BYTES as usize];
        disk.extend(label().sectors());
        assert_eq!(Label::read(&mut Cursor::new(&disk), "x").unwrap(), label());
        let words = [FIRST_LINE, "id ", "000", "slot-a", "aaa", "slot-b", "bbb"];
        for word in words.into_iter().chain([KEY]) {
            let mut damaged = disk.clone();
            let at = damaged
                .windows(word.len())
                .position(|w| w == word.as_bytes());
            damaged[at.unwrap()] = b'?';
            let read = Label::read(&mut Cursor::new(&damaged), "it");
            assert!(read.is_err(), "{word}: {read:?}");
        }
        // A terminal escape sequence.
        for word in ["7.1", "virt"] {
            let mut damaged = disk.clone();
            let at = damaged
                .windows(word.len())
                .position(|w| w == word.as_bytes());
            damaged[at.unwrap()] = 0x1b;
            Label::read(&mut Cursor::new(&damaged), "it").unwrap_err();
        }
        let nothing = vec![0; disk.len()];
        let error = Label::read(&mut Cursor::new(nothing), "it").unwrap_err();
        assert!(error.to_string().contains("it has no label"), "{error}");
    }

    #[test]
    fn a_version_is_one_line_of_limited_length() {
        let long = Label {
            version: format!("a\nslot-a 0 0\t{}", "b".repeat(5000)),
            ..label()
        };
        let mut disk = vec![0; SECTOR_BYTES as usize];
        disk.extend(long.sectors());
        let read = Label::read(&mut Cursor::new(&disk), "x").unwrap();
        assert!(read.version.starts_with("a slot-a 0 0 bbb"), "{read:?}");
        assert_eq!(read.version.len(), VERSION_CHARACTERS);
        assert_eq!(read.slots, label().slots);
    }
}
