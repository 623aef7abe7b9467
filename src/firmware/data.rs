//! The data partition: the one place on the card that a running board ever writes, and only when something went wrong.
//!
//! It is a FAT volume, the fourth partition of the disk whose MBR has the signature [`DISK_ID`]. It is read and written
//! through its block device and never mounted, so in normal running nothing of it is touched. A volume that cannot be used
//! is made anew, empty. What is done here is done by a process of its own (`eyelet keep`), because a damaged volume may
//! lead whoever reads it anywhere; the first program gives it a time and then makes the volume anew.
//!
//! | file | what |
//! |---|---|
//! | `reboot.txt` | why the board is about to reboot; deleted at the next start, when it was told |
//! | `last.log` | the log until then, at most [`LOG_BYTES`] |

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The MBR's disk signature of every image that `eyelet image` makes ("eyel").
pub const DISK_ID: u32 = 0x4579_656c;
/// The data partition's number.
pub const NUMBER: u32 = 4;
/// The log is kept up to this size.
pub const LOG_BYTES: usize = 64 << 10;
/// A reason is one line, so no longer than this.
const REASON_BYTES: u64 = 1000;

const REASON: &str = "reboot.txt";
const LOG: &str = "last.log";
const LABEL: [u8; 11] = *b"EYELET-DATA";

/// The data partition's device, looked for among the disks of `sys` (`/sys`) with nodes in `dev` (`/dev`).
pub fn find(sys: &Path, dev: &Path) -> Option<PathBuf> {
    let disks = std::fs::read_dir(sys.join("block")).ok()?;
    for disk in disks.flatten() {
        let name = disk.file_name().to_string_lossy().into_owned();
        if !has_our_signature(&dev.join(&name)) {
            continue;
        }
        // The kernel puts a `p` between a name that ends in a digit and the number.
        let gap = if name.ends_with(|c: char| c.is_ascii_digit()) {
            "p"
        } else {
            ""
        };
        let partition = format!("{name}{gap}{NUMBER}");
        if disk.path().join(&partition).is_dir() {
            return Some(dev.join(partition));
        }
    }
    None
}

fn has_our_signature(disk: &Path) -> bool {
    let mut sector = [0; 512];
    let read = File::open(disk).and_then(|mut file| file.read_exact(&mut sector));
    read.is_ok() && sector[510..] == [0x55, 0xAA] && sector[440..444] == DISK_ID.to_le_bytes()
}

/// An open data partition.
#[derive(Debug)]
pub struct Data {
    device: File,
}

impl Data {
    /// Opens the block device (or image file) `device`.
    ///
    /// # Errors
    /// The system's.
    pub fn open(device: &Path) -> io::Result<Self> {
        let device = File::options().read(true).write(true).open(device)?;
        Ok(Self { device })
    }

    /// The reason that was kept for the last reboot. Nothing is written.
    ///
    /// # Errors
    /// The volume cannot be used.
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

    /// Keeps `reason` and the end of `log`.
    ///
    /// # Errors
    /// The volume cannot be used, or is full.
    pub fn keep(&self, reason: &str, log: &[u8]) -> io::Result<()> {
        let volume = self.volume()?;
        let root = volume.root_dir();
        let end = &log[log.len().saturating_sub(LOG_BYTES)..];
        // The reason comes last: where it is, the log is whole.
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

    /// Forgets the reason; the log stays.
    ///
    /// # Errors
    /// The volume cannot be used.
    pub fn forget(&self) -> io::Result<()> {
        let volume = self.volume()?;
        match volume.root_dir().remove(REASON) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        volume.unmount()?;
        self.device.sync_all()
    }

    /// Makes the volume anew, empty.
    ///
    /// # Errors
    /// The system's, or the device is too small for a volume.
    pub fn format(&self) -> io::Result<()> {
        let mut device = self.device.try_clone()?;
        let bytes = device.seek(SeekFrom::End(0))?;
        // An old volume's traces must not outlive it: its tables are at the beginning.
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
        let mut device = self.device.try_clone()?;
        device.rewind()?;
        FileSystem::new(device, FsOptions::new().update_accessed_date(false))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn image(folder: &Path, bytes: u64) -> PathBuf {
        let path = folder.join("data.img");
        File::create(&path).unwrap().set_len(bytes).unwrap();
        path
    }

    #[test]
    fn a_reason_and_the_end_of_the_log_are_kept_until_they_are_told() {
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
    fn the_partition_is_found_by_the_disks_signature() {
        let folder = tempfile::tempdir().unwrap();
        let (sys, dev) = (folder.path().join("sys"), folder.path().join("dev"));
        std::fs::create_dir_all(&dev).unwrap();
        let disk = |name: &str, id: u32, partition: &str| {
            std::fs::create_dir_all(sys.join("block").join(name).join(partition)).unwrap();
            let mut sector = [0; 512];
            sector[440..444].copy_from_slice(&id.to_le_bytes());
            sector[510..].copy_from_slice(&[0x55, 0xAA]);
            std::fs::write(dev.join(name), sector).unwrap();
        };
        assert_eq!(find(&sys, &dev), None);
        disk("sda", 1, "sda4");
        std::fs::create_dir_all(sys.join("block/ram0")).unwrap();
        assert_eq!(find(&sys, &dev), None);
        disk("mmcblk0", DISK_ID, "mmcblk0p3");
        assert_eq!(find(&sys, &dev), None, "it has no fourth partition");
        disk("mmcblk0", DISK_ID, "mmcblk0p4");
        assert_eq!(find(&sys, &dev), Some(dev.join("mmcblk0p4")));
        std::fs::remove_file(dev.join("mmcblk0")).unwrap();
        disk("vda", DISK_ID, "vda4");
        assert_eq!(find(&sys, &dev), Some(dev.join("vda4")));
    }
}
