//! A disk of a fixed size in memory, and small FAT volumes for it.

use eyelet::mbr::{self, Partition};
use eyelet::update::Disk;
use fatfs::{FileSystem, FormatVolumeOptions, FsOptions, format_volume};
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::ops::Range;

pub struct MemoryDisk(pub Cursor<Box<[u8]>>);

impl MemoryDisk {
    /// A disk that begins with `data` and has at least `least_bytes`; zeros follow.
    pub fn new(data: &[u8], least_bytes: usize) -> Self {
        let mut bytes = data.to_vec();
        bytes.resize(data.len().max(least_bytes), 0);
        Self(Cursor::new(bytes.into()))
    }

    pub fn bytes(&self) -> &[u8] {
        self.0.get_ref()
    }
}

impl Read for MemoryDisk {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for MemoryDisk {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for MemoryDisk {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.0.seek(position)
    }
}

impl Disk for MemoryDisk {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn forget(&mut self) {}
}

/// A FAT volume of `size_bytes` with these files.
pub fn volume(size_bytes: usize, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; size_bytes];
    let options = FormatVolumeOptions::new()
        .fats(1)
        .max_root_dir_entries(16)
        .volume_label(*b"EYELET-FUZZ");
    format_volume(Cursor::new(&mut bytes[..]), options).unwrap();
    let volume = FileSystem::new(Cursor::new(&mut bytes[..]), FsOptions::new()).unwrap();
    for (name, contents) in files {
        let mut file = volume.root_dir().create_file(name).unwrap();
        file.write_all(contents).unwrap();
    }
    volume.unmount().unwrap();
    bytes
}

/// The first sector of a disk of ours with these partitions: boot, slot A, slot B, data.
pub fn table(partitions: [Range<u64>; 4]) -> [u8; 512] {
    let partitions = partitions.map(|bytes| Partition {
        bytes,
        bootable: false,
    });
    mbr::sector(mbr::EYELET_DISK_ID, &partitions)
}
