//! A disk's partition table in the old format (MBR), which the Raspberry Pi's boot code and U-Boot read.
//!
//! Sectors have 512 bytes. The cylinder/head/sector fields stay unset: nothing has used them for decades.

use std::ops::Range;

/// The disk identifier of every disk that `eyelet image` makes: `Eyel` in ASCII. PARTUUIDs are `4579656c-01` to `-04`.
pub const EYELET_DISK_ID: u32 = 0x4579_656c;
/// Bytes per sector.
pub const SECTOR_BYTES: u64 = 512;

/// A partition with a FAT32 file system, addressed by sector numbers (type 0x0c).
const FAT32_LBA: u8 = 0x0c;
const BOOTABLE: u8 = 0x80;

/// One of the four partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The partition's bytes on the disk; both ends are on sector boundaries.
    pub bytes: Range<u64>,
    /// Whether boot loaders try this one first.
    pub bootable: bool,
}

/// The first sector of a disk with `partitions` and the identifier `disk_id` (Linux derives PARTUUIDs from it).
///
/// # Panics
/// When a partition is not aligned to sectors or ends past 2 TiB: the caller chooses the layout.
pub fn sector(disk_id: u32, partitions: &[Partition; 4]) -> [u8; SECTOR_BYTES as usize] {
    let mut sector = [0; SECTOR_BYTES as usize];
    sector[440..444].copy_from_slice(&disk_id.to_le_bytes());
    for (entry, partition) in sector[446..510].chunks_exact_mut(16).zip(partitions) {
        let sectors = |bytes: u64| {
            assert_eq!(
                bytes % SECTOR_BYTES,
                0,
                "{partition:?} is aligned to sectors"
            );
            u32::try_from(bytes / SECTOR_BYTES).expect("a disk of less than 2 TiB")
        };
        entry[0] = if partition.bootable { BOOTABLE } else { 0 };
        // "Not expressible in cylinders", as other tools write it.
        entry[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
        entry[4] = FAT32_LBA;
        entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
        entry[8..12].copy_from_slice(&sectors(partition.bytes.start).to_le_bytes());
        let length = partition.bytes.end - partition.bytes.start;
        entry[12..16].copy_from_slice(&sectors(length).to_le_bytes());
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// The disk identifier in a disk's first sector.
pub fn disk_id(sector: &[u8]) -> Option<u32> {
    let bytes = sector.get(440..444)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// The bytes of each partition, from a disk's first sector; `None` if that is not a partition table.
pub fn partitions(sector: &[u8]) -> Option<Vec<Partition>> {
    if sector.get(510..512)? != [0x55, 0xaa] {
        return None;
    }
    let number = |entry: &[u8], at: usize| {
        let bytes = [entry[at], entry[at + 1], entry[at + 2], entry[at + 3]];
        u64::from(u32::from_le_bytes(bytes)) * SECTOR_BYTES
    };
    Some(
        sector[446..510]
            .chunks_exact(16)
            .filter(|entry| entry[4] != 0)
            .map(|entry| Partition {
                bytes: number(entry, 8)..number(entry, 8) + number(entry, 12),
                bootable: entry[0] == BOOTABLE,
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_table_survives_a_round_trip() {
        const MIB: u64 = 1 << 20;
        let table = [(4, 48), (48, 240), (240, 432), (432, 512)].map(|(from, to)| Partition {
            bytes: from * MIB..to * MIB,
            bootable: from == 4,
        });
        let sector = sector(0x1234_5678, &table);
        assert_eq!(partitions(&sector).unwrap(), table);
        // The first entry, byte by byte: 4 MiB is sector 0x2000, 44 MiB are 0x16000 sectors.
        let entry = [
            0x80, 0xfe, 0xff, 0xff, 0x0c, 0xfe, 0xff, 0xff, 0, 0x20, 0, 0, 0, 0x60, 1, 0,
        ];
        assert_eq!(sector[446..462], entry);
        assert_eq!(sector[440..444], [0x78, 0x56, 0x34, 0x12]);
        assert_eq!(partitions(&[0; 512]), None);
        assert_eq!(partitions(&[]), None);
    }
}
