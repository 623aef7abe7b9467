//! A card whose power is cut at a byte.

use super::has_program;
use eyelet::image::mbr;
use eyelet::model::find::hex;
use eyelet::slot::Slot;
use eyelet::update::{Chooser, Disk, UpdateError};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;
use std::process::Command;

/// A card's file that takes so many bytes and then none.
pub struct CutCard {
    file: File,
    bytes_left: u64,
    written: u64,
}

impl CutCard {
    fn open(path: &Path, bytes_left: u64) -> Self {
        let file = File::options().read(true).write(true).open(path).unwrap();
        Self {
            file,
            bytes_left,
            written: 0,
        }
    }

    /// Does `work` to the card until so many bytes are written.
    pub fn cut_at(
        path: &Path,
        bytes: u64,
        work: impl FnOnce(&mut Self) -> Result<(), UpdateError>,
    ) -> Result<(), UpdateError> {
        work(&mut Self::open(path, bytes))
    }

    /// Does all of `work`; how many bytes it writes.
    pub fn uncut(path: &Path, work: impl FnOnce(&mut Self) -> Result<(), UpdateError>) -> u64 {
        let mut card = Self::open(path, u64::MAX);
        work(&mut card).unwrap();
        card.written
    }

    /// How many bytes are written once the slot is whole: the request for a trial, and that it was passed.
    pub fn uncut_after_slot(old: &Path, path: &Path) -> u64 {
        restore(old, path);
        Self::uncut(path, |card| {
            Chooser::UBoot.try_once(card, Slot::B)?;
            Chooser::UBoot.confirm(card, Slot::B)
        })
    }
}

impl Read for CutCard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Write for CutCard {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let left = usize::try_from(self.bytes_left).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        if count == 0 && !buffer.is_empty() {
            return Err(io::Error::other("power is cut"));
        }
        let count = self.file.write(&buffer[..count])?;
        self.bytes_left -= count as u64;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for CutCard {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

impl Disk for CutCard {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn forget(&mut self) {}
}

fn partition(disk: &mut File, number: usize) -> Range<u64> {
    let mut sector = [0; 512];
    disk.rewind().unwrap();
    disk.read_exact(&mut sector).unwrap();
    mbr::partitions(&sector).unwrap()[number - 1].bytes.clone()
}

fn bytes(disk: &mut File, range: Range<u64>) -> Vec<u8> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    disk.seek(SeekFrom::Start(range.start)).unwrap();
    disk.read_exact(&mut bytes).unwrap();
    bytes
}

/// Makes the boot partition and slot B of `to` what they are on `from`.
pub fn restore(from: &Path, to: &Path) {
    let mut from = File::open(from).unwrap();
    let mut to = File::options().write(true).open(to).unwrap();
    for number in [1, Slot::B.partition()] {
        let range = partition(&mut from, number);
        to.seek(SeekFrom::Start(range.start)).unwrap();
        to.write_all(&bytes(&mut from, range)).unwrap();
    }
}

/// Digest of the first `length` bytes of a slot.
pub fn digest(card: &Path, slot: Slot, length: u64) -> String {
    let mut card = File::open(card).unwrap();
    let start = partition(&mut card, slot.partition()).start;
    hex(&Sha256::digest(bytes(&mut card, start..start + length)))
}

/// The file systems of the booted slot and of the data partition are sound, and that of the boot partition at least can be
/// read and repaired (its note of how much is free may be old).
pub fn check_file_systems(card: &Path, slot: Slot) {
    if !has_program("fsck.fat") {
        println!("fsck.fat is not there (apt install dosfstools): file systems are not checked");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volume");
    for (number, is_whole) in [(1, false), (slot.partition(), true), (4, true)] {
        let mut card = File::open(card).unwrap();
        let range = partition(&mut card, number);
        fs::write(&path, bytes(&mut card, range)).unwrap();
        let flag = if is_whole { "-n" } else { "-a" };
        let output = Command::new("fsck.fat")
            .arg(flag)
            .arg(&path)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let sound = match output.status.code() {
            Some(0) => true,
            Some(1) => !is_whole,
            _ => false,
        };
        assert!(sound, "partition {number}: {text}");
    }
}
