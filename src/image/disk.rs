//! Lays out the partitions and writes the disk as a sparse file.

use super::fat::{self, Files, Name};
use super::mbr::{self, Partition, SECTOR_BYTES};
use super::output_file::OutputFile;
use super::{DISK_ID, Partitions};
use crate::model::find::hex;
use crate::update::label::{Contents, Label, START_BYTE};
use sha2::{Digest, Sha256};
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

const MIB: u64 = 1 << 20;
/// Partitions start at multiples of this, which is a multiple of common cards' erase blocks.
const ALIGNMENT_BYTES: u64 = 4 * MIB;
const BOOT_BYTES: u64 = 44 * MIB;
/// Half of a 512 MiB card would be two slots of 256 MiB; this leaves room for the boot partition and data.
const SMALLEST_SLOT_BYTES: u64 = 192 * MIB;
const SMALLEST_DISK_BYTES: u64 = 512 * MIB;
const LARGEST_DISK_BYTES: u64 = 8192 * MIB;
/// Blocks of only zeros become holes in the file.
const BLOCK_BYTES: usize = 64 * 1024;

/// The partitions' labels and serial numbers, which are the same in every image.
const NAMES: [Name; 4] = [
    Name {
        label: "EYELET-BOOT",
        serial: DISK_ID + 1,
    },
    Name {
        label: "EYELET-A",
        serial: DISK_ID + 2,
    },
    Name {
        label: "EYELET-B",
        serial: DISK_ID + 3,
    },
    Name {
        label: "EYELET-DATA",
        serial: DISK_ID + 4,
    },
];

/// Where the partitions are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    partitions: [Range<u64>; 4],
    size_bytes: u64,
}

impl Layout {
    /// The smallest layout whose slots hold `files`; `None` if even the largest does not.
    pub fn for_slots(files: &Files) -> Option<Self> {
        let mut size_bytes = SMALLEST_DISK_BYTES;
        let mut slot_bytes = SMALLEST_SLOT_BYTES;
        while !fat::fits(files, slot_bytes) {
            size_bytes *= 2;
            slot_bytes *= 2;
            if size_bytes > LARGEST_DISK_BYTES {
                return None;
            }
        }
        let boot_end = ALIGNMENT_BYTES + BOOT_BYTES;
        Some(Self {
            partitions: [
                ALIGNMENT_BYTES..boot_end,
                boot_end..boot_end + slot_bytes,
                boot_end + slot_bytes..boot_end + 2 * slot_bytes,
                boot_end + 2 * slot_bytes..size_bytes,
            ],
            size_bytes,
        })
    }

    /// The disk's length.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Label, length and used bytes of each partition.
    pub fn sizes(&self, files: [&Files; 4]) -> [(&'static str, u64, u64); 4] {
        std::array::from_fn(|index| {
            let bytes = &self.partitions[index];
            let used = files[index].values().map(|file| file.len() as u64).sum();
            (NAMES[index].label, bytes.end - bytes.start, used)
        })
    }
}

/// Writes the disk to `output`, through a temporary file beside it.
pub fn write(layout: &Layout, partitions: &Partitions, output: &Path) -> io::Result<()> {
    let mut file = OutputFile::beside(output)?;
    file.set_len(layout.size_bytes)?;
    let table = std::array::from_fn(|index| Partition {
        bytes: layout.partitions[index].clone(),
        bootable: index == 0,
    });
    file.write_all(&mbr::sector(DISK_ID, &table))?;
    let data = Files::new();
    let files = [
        &partitions.boot,
        &partitions.slot_a,
        &partitions.slot_b,
        &data,
    ];
    let mut contents = Vec::new();
    for ((name, bytes), files) in NAMES.into_iter().zip(&layout.partitions).zip(files) {
        let mut volume = fat::volume(name, bytes.end - bytes.start, files)?;
        volume.resize(volume.len().next_multiple_of(SECTOR_BYTES as usize), 0);
        write_sparse(&mut file, bytes.start, &volume)?;
        contents.push(Contents {
            bytes: volume.len() as u64,
            sha256: hex(&Sha256::digest(&volume)),
        });
    }
    let manifest = &partitions.manifest;
    let label = Label {
        id: manifest.id.clone(),
        version: manifest.version.clone(),
        machine: manifest.machine.clone(),
        slots: [contents[1].clone(), contents[2].clone()],
        public_key: manifest.public_key.clone(),
    };
    file.seek(SeekFrom::Start(START_BYTE))?;
    file.write_all(&label.sectors())?;
    file.finish(output)
}

fn write_sparse(file: &mut OutputFile, start: u64, bytes: &[u8]) -> io::Result<()> {
    let mut at = start;
    for block in bytes.chunks(BLOCK_BYTES) {
        if block.iter().any(|&byte| byte != 0) {
            file.seek(SeekFrom::Start(at))?;
            file.write_all(block)?;
        }
        at += block.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_disk_grows_with_the_slots_contents_and_stays_a_power_of_two() {
        let layout = |mib: u64| {
            let contents = vec![0; usize::try_from(mib * MIB).unwrap()];
            Layout::for_slots(&Files::from([("x".to_owned(), contents)]))
        };
        let small = layout(1).unwrap();
        assert_eq!(small.size_bytes, 512 * MIB);
        assert_eq!(small.partitions[3], 432 * MIB..512 * MIB);
        let large = layout(200).unwrap();
        assert_eq!(large.size_bytes, 1024 * MIB);
        for (before, after) in large.partitions.iter().zip(&large.partitions[1..]) {
            assert_eq!(before.end, after.start);
            assert_eq!(before.start % ALIGNMENT_BYTES, 0);
        }
        assert_eq!(large.partitions[3].end, large.size_bytes);
    }
}
