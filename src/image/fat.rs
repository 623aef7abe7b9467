//! Makes a FAT32 file system in memory from files that are all known beforehand.
//!
//! The same label, serial number, size and files give the same bytes: files are written in path order, and every timestamp is
//! FAT's first day, 1 January 1980.

use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions, format_volume};
use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

/// Bytes per cluster: small enough that 40 MiB have the 65,525 clusters that FAT32 requires.
const CLUSTER_BYTES: u32 = 512;
/// ... and larger where possible, which halves the table that a boot loader walks through.
const LARGE_CLUSTER_BYTES: u32 = 1024;
const LARGE_FROM_BYTES: u64 = 80 << 20;

/// Files by their path in the file system (parts separated by `/`, no leading `/`).
pub type Files = BTreeMap<String, Vec<u8>>;

/// A volume's label and serial number.
#[derive(Debug, Clone, Copy)]
pub struct Name {
    /// Up to 11 capital letters, digits and `-`.
    pub label: &'static str,
    /// The serial number.
    pub serial: u32,
}

/// Whether `files` fit into a volume of `size_bytes`, with a twentieth to spare.
pub fn fits(files: &Files, size_bytes: u64) -> bool {
    let cluster = u64::from(LARGE_CLUSTER_BYTES);
    let used: u64 = files
        .values()
        .map(|file| (file.len() as u64).next_multiple_of(cluster) + cluster)
        .sum();
    used + used / 20 < size_bytes - size_bytes / 20
}

/// A file system of `size_bytes` that contains `files`, up to its last non-zero byte.
///
/// # Errors
/// When the files do not fit, or FAT does not allow a path.
pub fn volume(name: Name, size_bytes: u64, files: &Files) -> io::Result<Vec<u8>> {
    let mut disk = Disk {
        bytes: Vec::new(),
        size_bytes,
        at: 0,
    };
    let mut label = [b' '; 11];
    label[..name.label.len()].copy_from_slice(name.label.as_bytes());
    let cluster_bytes = if size_bytes < LARGE_FROM_BYTES {
        CLUSTER_BYTES
    } else {
        LARGE_CLUSTER_BYTES
    };
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(cluster_bytes)
        .volume_id(name.serial)
        .volume_label(label);
    format_volume(&mut disk, options)?;
    disk.at = 0;
    {
        let volume = FileSystem::new(&mut disk, FsOptions::new())?;
        let root = volume.root_dir();
        for (path, contents) in files {
            for (at, _) in path.match_indices('/') {
                root.create_dir(&path[..at])?;
            }
            let mut file = root.create_file(path)?;
            file.write_all(contents)?;
        }
        drop(root);
        // Counts the free clusters once, so that nobody has to later.
        volume.stats()?;
        volume.unmount()?;
    }
    Ok(disk.bytes)
}

/// A disk in memory that stores only the part that was written; everything after it is zero.
struct Disk {
    bytes: Vec<u8>,
    size_bytes: u64,
    at: u64,
}

impl Disk {
    /// How many of `wanted` bytes there are from the current position to the end, and the current position.
    fn window(&self, wanted: usize) -> (usize, usize) {
        let left = self.size_bytes.saturating_sub(self.at);
        let count = usize::try_from(left).map_or(wanted, |left| left.min(wanted));
        (count, usize::try_from(self.at).unwrap_or(usize::MAX))
    }
}

impl Read for Disk {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (count, at) = self.window(buffer.len());
        let written = self.bytes.get(at..).unwrap_or_default();
        let known = written.len().min(count);
        buffer[..known].copy_from_slice(&written[..known]);
        buffer[known..count].fill(0);
        self.at += count as u64;
        Ok(count)
    }
}

impl Write for Disk {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let (count, at) = self.window(buffer.len());
        let buffer = &buffer[..count];
        let end = at + count;
        if end > self.bytes.len() && buffer.iter().any(|&byte| byte != 0) {
            self.bytes.resize(end, 0);
        }
        // Bytes beyond the stored part are zero already.
        if let Some(kept) = self.bytes.get_mut(at..) {
            let count = kept.len().min(count);
            kept[..count].copy_from_slice(&buffer[..count]);
        }
        self.at += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Disk {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let (base, offset) = match position {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::End(offset) => (self.size_bytes, offset),
            SeekFrom::Current(offset) => (self.at, offset),
        };
        self.at = base
            .checked_add_signed(offset)
            .ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// The files and the label of the file system in `bytes`, which [`volume`] made. (Check one from elsewhere first, with
/// `fat_volume`.)
///
/// # Errors
/// When it is not a FAT file system, or is damaged.
pub fn read(bytes: &mut [u8]) -> io::Result<(String, Files)> {
    let volume = FileSystem::new(Cursor::new(bytes), FsOptions::new())?;
    let mut files = Files::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let entries = match folder.as_str() {
            "" => volume.root_dir(),
            folder => volume.root_dir().open_dir(folder)?,
        };
        for entry in entries.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if name == "." || name == ".." {
                continue;
            }
            let path = match folder.as_str() {
                "" => name,
                folder => format!("{folder}/{name}"),
            };
            if entry.is_dir() {
                folders.push(path);
            } else {
                let mut contents = Vec::new();
                entry.to_file().read_to_end(&mut contents)?;
                files.insert(path, contents);
            }
        }
    }
    Ok((volume.volume_label(), files))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NAME: Name = Name {
        label: "EYELET-TEST",
        serial: 0x1234_abcd,
    };

    fn files() -> Files {
        [
            ("config.txt", vec![b'a'; 3]),
            ("overlays/one.dtbo", vec![7; 1500]),
            ("overlays/two with a long name.dtbo", Vec::new()),
            ("vmlinuz", vec![9; 1 << 20]),
        ]
        .map(|(path, contents)| (path.to_owned(), contents))
        .into()
    }

    #[test]
    fn a_round_trip_keeps_everything_and_gives_the_same_bytes_twice() {
        for mib in [40_usize, 96] {
            let mut one = volume(NAME, (mib as u64) << 20, &files()).unwrap();
            assert!(one.len() < 4 << 20, "zeros after the files are left out");
            assert!(one == volume(NAME, (mib as u64) << 20, &files()).unwrap());
            one.resize(mib << 20, 0);
            let (label, read) = read(&mut one).unwrap();
            assert_eq!(label, "EYELET-TEST");
            assert!(read == files());
            assert_eq!(&one[82..90], b"FAT32   ");
        }
    }

    #[test]
    fn too_much_is_refused() {
        let mut files = files();
        assert!(fits(&files, 40 << 20));
        files.insert("large".into(), vec![1; 40 << 20]);
        assert!(!fits(&files, 40 << 20));
        assert!(volume(NAME, 40 << 20, &files).is_err());
        assert!(read(&mut [0; 4096]).is_err());
    }
}
