//! The data partition: the only place on the card that a running board ever writes, and only when something went wrong.
//!
//! It is a FAT volume, the fourth partition of the disk whose MBR has our signature ([`super::card`]). We read and write it
//! through its block device and never mount it, so normal running does not touch it. An unusable volume is formatted again. All
//! of this runs in a separate process (`eyelet keep`), because reading a damaged volume may never end; the first program sets a
//! time limit and then formats the volume.
//!
//! | file | contents |
//! |---|---|
//! | `reboot.txt` | why the board is about to reboot; deleted at the next start, once logged |
//! | `last.log` | the log until then, at most [`LOG_BYTES`] |
//! | `tried.txt` | the ids of the last [`TRIED`] systems that were put into the idle slot from a stick and tried |

use crate::{fat_volume, mbr, named};
use fatfs::{FileSystem, FormatVolumeOptions};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// The data partition's number.
pub const NUMBER: u32 = 4;
/// The log is saved up to this size.
pub const LOG_BYTES: usize = 64 << 10;
/// A reason is one line, so it is no longer than this.
const REASON_BYTES: u64 = 1000;

/// How many tried systems are remembered.
pub const TRIED: usize = 16;

const TRIED_FILE: &str = "tried.txt";
const REASON: &str = "reboot.txt";
const LOG: &str = "last.log";
const LABEL: [u8; 11] = *b"EYELET-DATA";

/// An open data partition.
#[derive(Debug)]
pub struct Data {
    device: File,
}

impl Data {
    /// Opens the block device (or image file) `device`.
    ///
    /// # Errors
    /// The system's error; or the device is a whole card, which formatting would destroy.
    pub fn open(device: &Path) -> io::Result<Self> {
        let mut device = named::open_disk_to_write(device)?;
        let mut sector = [0; mbr::SECTOR_BYTES as usize];
        let is_disk = device.read_exact(&mut sector).is_ok()
            && mbr::disk_id(&sector) == Some(mbr::EYELET_DISK_ID);
        if is_disk {
            let message = "it is a whole card, not a data partition";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(Self { device })
    }

    /// The saved reason for the last reboot. Writes nothing.
    ///
    /// # Errors
    /// The volume is unusable.
    pub fn reason(&self) -> io::Result<Option<String>> {
        let volume = self.volume()?;
        let mut text = String::new();
        match volume.root_dir().open_file(REASON) {
            Ok(file) => file.take(REASON_BYTES).read_to_string(&mut text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(
            text.lines().next().unwrap_or_default().trim().to_owned(),
        ))
    }

    /// Saves `reason` and the end of `log`.
    ///
    /// # Errors
    /// The volume is unusable or full.
    pub fn keep(&self, reason: &str, log: &[u8]) -> io::Result<()> {
        let volume = self.volume()?;
        let root = volume.root_dir();
        let end = &log[log.len().saturating_sub(LOG_BYTES)..];
        // The reason is written last: where it exists, the log is complete.
        for (name, contents) in [(LOG, end), (REASON, reason.as_bytes())] {
            let mut file = root.create_file(name)?;
            file.truncate()?;
            file.write_all(contents)?;
            file.flush()?;
        }
        drop(root);
        volume.unmount()?;
        self.device.sync_all()
    }

    /// Deletes the reason; the log stays.
    ///
    /// # Errors
    /// The volume is unusable.
    pub fn forget(&self) -> io::Result<()> {
        let volume = self.volume()?;
        match volume.root_dir().remove(REASON) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        volume.unmount()?;
        self.device.sync_all()
    }

    /// The ids of the systems that were tried, newest last.
    ///
    /// # Errors
    /// The volume is unusable.
    pub fn tried(&self) -> io::Result<Vec<String>> {
        let volume = self.volume()?;
        let mut text = String::new();
        match volume.root_dir().open_file(TRIED_FILE) {
            Ok(file) => file.take(LOG_BYTES as u64).read_to_string(&mut text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Records that the system `id` was tried.
    ///
    /// # Errors
    /// The volume is unusable or full.
    pub fn note_tried(&self, id: &str) -> io::Result<()> {
        let mut ids = self.tried()?;
        ids.retain(|known| known != id);
        ids.push(id.to_owned());
        let newest = &ids[ids.len().saturating_sub(TRIED)..];
        let volume = self.volume()?;
        {
            let root = volume.root_dir();
            let mut file = root.create_file(TRIED_FILE)?;
            file.truncate()?;
            file.write_all(newest.join("\n").as_bytes())?;
            file.flush()?;
        }
        volume.unmount()?;
        self.device.sync_all()
    }

    /// Formats the volume: it is empty afterwards.
    ///
    /// # Errors
    /// The system's error, or the device is too small for a volume.
    pub fn format(&self) -> io::Result<()> {
        let mut device = self.device.try_clone()?;
        let bytes = device.seek(SeekFrom::End(0))?;
        // No trace of an old volume may survive: its tables are at the beginning.
        device.rewind()?;
        let blank = vec![0; usize::try_from(bytes.min(1 << 20)).unwrap_or(0)];
        device.write_all(&blank)?;
        device.rewind()?;
        let sectors = u32::try_from(bytes / 512).unwrap_or(u32::MAX);
        let options = FormatVolumeOptions::new()
            .volume_label(LABEL)
            .total_sectors(sectors);
        fatfs::format_volume(&mut device, options)?;
        self.device.sync_all()
    }

    fn volume(&self) -> io::Result<FileSystem<File>> {
        // Checked on opening, not when a reason must be saved: following a corrupt table then would take the time that is left.
        fat_volume::open(self.device.try_clone()?, &[REASON, LOG, TRIED_FILE])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::path::PathBuf;

    fn image(folder: &Path, bytes: u64) -> PathBuf {
        let path = folder.join("data.img");
        File::create(&path).unwrap().set_len(bytes).unwrap();
        path
    }

    #[test]
    fn a_reason_and_the_end_of_the_log_are_kept_until_they_are_logged() {
        let folder = tempfile::tempdir().unwrap();
        let path = image(folder.path(), 8 << 20);
        let data = Data::open(&path).unwrap();
        assert!(data.reason().is_err(), "zeros are no volume");
        data.format().unwrap();
        assert_eq!(data.reason().unwrap(), None);
        for round in 0..3 {
            let log = vec![b'0' + round; LOG_BYTES + 5000];
            let reason = format!("watchdog: no finished frame for {round} s");
            data.keep(&reason, &log).unwrap();
            let again = Data::open(&path).unwrap();
            assert_eq!(again.reason().unwrap(), Some(reason));
            let volume = again.volume().unwrap();
            let mut kept = Vec::new();
            let mut file = volume.root_dir().open_file(LOG).unwrap();
            file.read_to_end(&mut kept).unwrap();
            assert_eq!(kept, log[..LOG_BYTES]);
        }
        data.forget().unwrap();
        data.forget().unwrap();
        assert_eq!(data.reason().unwrap(), None);
    }

    #[test]
    fn garbage_behind_a_valid_boot_sector_is_no_volume() {
        let folder = tempfile::tempdir().unwrap();
        let path = image(folder.path(), 16 << 20);
        let data = Data::open(&path).unwrap();
        data.format().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        fastrand::Rng::with_seed(5).fill(&mut bytes[512..]);
        std::fs::write(&path, bytes).unwrap();
        let data = Data::open(&path).unwrap();
        let error = data.reason().unwrap_err();
        assert!(
            error.to_string().contains("table has no valid beginning"),
            "{error}"
        );
        data.format().unwrap();
        data.keep("power", b"log\n").unwrap();
        assert_eq!(data.reason().unwrap().as_deref(), Some("power"));
    }

    #[test]
    fn reading_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = image(folder.path(), 8 << 20);
        let data = Data::open(&path).unwrap();
        data.format().unwrap();
        data.keep("power", b"log\n").unwrap();
        let before = std::fs::read(&path).unwrap();
        assert_eq!(data.reason().unwrap().as_deref(), Some("power"));
        assert!(before == std::fs::read(&path).unwrap());
        let read_only = Data {
            device: File::open(&path).unwrap(),
        };
        assert_eq!(read_only.reason().unwrap().as_deref(), Some("power"));
    }

    #[test]
    fn the_newest_tried_systems_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = image(folder.path(), 8 << 20);
        let data = Data::open(&path).unwrap();
        data.format().unwrap();
        assert!(data.tried().unwrap().is_empty());
        for n in 0..TRIED + 5 {
            data.note_tried(&format!("id{n}")).unwrap();
            data.note_tried("again").unwrap();
        }
        data.keep("power", b"log\n").unwrap();
        let tried = Data::open(&path).unwrap().tried().unwrap();
        assert_eq!(tried.len(), TRIED);
        assert_eq!(tried[TRIED - 2..], ["id20", "again"]);
    }
}
