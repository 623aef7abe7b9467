//! Volumes of each width with each kind of damage: refused, or read to the end; never an endless loop, never a panic.

#![allow(clippy::unwrap_used)]

use super::*;
use fatfs::{FatType, FormatVolumeOptions, format_volume};
use std::io::Cursor;
use std::time::{Duration, Instant};

const WIDTHS: [(FatType, u64); 3] = [
    (FatType::Fat12, 1 << 20),
    (FatType::Fat16, 8 << 20),
    (FatType::Fat32, 40 << 20),
];
/// One long name and one short one.
const NAMES: [&str; 2] = ["eyelet-update.img", "last.log"];
/// How many 512-byte clusters each file has.
const FILE_CLUSTERS: u32 = 20;

/// A volume with both files, and one that nobody opens.
fn volume((kind, bytes): (FatType, u64)) -> Vec<u8> {
    let mut disk = vec![0; bytes as usize];
    let options = FormatVolumeOptions::new()
        .fat_type(kind)
        .bytes_per_cluster(512);
    format_volume(Cursor::new(&mut disk), options).unwrap();
    let volume = FileSystem::new(Cursor::new(&mut disk), FsOptions::new()).unwrap();
    for name in [NAMES[0], NAMES[1], "other.txt"] {
        let mut file = volume.root_dir().create_file(name).unwrap();
        file.write_all(&[7; 512 * FILE_CLUSTERS as usize]).unwrap();
    }
    volume.unmount().unwrap();
    disk
}

/// Sets a cluster's entry in every copy of the table.
fn set_entry(disk: &mut [u8], cluster: u32, value: u32) {
    let word = |at: usize| usize::from(u16::from_le_bytes([disk[at], disk[at + 1]]));
    let short = word(22);
    let sectors = if short == 0 { word(36) } else { short };
    let geometry = Geometry::of(disk[..512].try_into().unwrap(), disk.len() as u64).unwrap();
    let copies = usize::from(disk[16]);
    for copy in 0..copies {
        let start = geometry.table_start as usize + copy * sectors * 512;
        let bit = cluster as usize * geometry.entry_bits as usize;
        let entry = &mut disk[start + bit / 8..];
        match geometry.entry_bits {
            12 => {
                let (shift, mask) = (bit % 8, 0xfff << (bit % 8));
                let old = u16::from_le_bytes([entry[0], entry[1]]);
                let new = old & !mask | (value as u16 & 0xfff) << shift;
                entry[..2].copy_from_slice(&new.to_le_bytes());
            }
            16 => entry[..2].copy_from_slice(&(value as u16).to_le_bytes()),
            _ => entry[..4].copy_from_slice(&value.to_le_bytes()),
        }
    }
}

/// The first clusters of the requested files.
fn first_clusters(disk: &mut [u8]) -> Vec<u32> {
    let mut cursor = Cursor::new(disk);
    let files = Check::of(&mut cursor).unwrap().files(&NAMES).unwrap();
    files.into_iter().map(|(_, cluster)| cluster).collect()
}

fn refusal(disk: &mut [u8]) -> String {
    let began = Instant::now();
    let error = open(Cursor::new(disk), &NAMES).map(|_| ()).unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(60), "{error}");
    error.to_string()
}

#[test]
fn an_intact_volume_of_any_width_is_opened_and_its_files_are_complete() {
    for width in WIDTHS {
        let mut disk = volume(width);
        assert_eq!(first_clusters(&mut disk).len(), 2, "{width:?}");
        let volume = open(Cursor::new(&mut disk), &NAMES).unwrap();
        assert_eq!(volume.fat_type(), width.0);
        for name in NAMES {
            let mut contents = Vec::new();
            let mut file = volume.root_dir().open_file(name).unwrap();
            file.read_to_end(&mut contents).unwrap();
            assert_eq!(contents, [7; 512 * FILE_CLUSTERS as usize], "{width:?}");
        }
    }
}

#[test]
fn circular_stray_and_crossing_chains_are_refused() {
    for width in WIDTHS {
        let sound = volume(width);
        let firsts = first_clusters(&mut sound.clone());
        let (one, other) = (firsts[0], firsts[1]);
        let last = one + FILE_CLUSTERS - 1;
        let cases = [
            (last, one, "a second time"),
            (last, last, "a second time"),
            (last, other, "a second time"),
            (last, 1, "leads to cluster 1, which does not exist"),
            (one, 0xff0, ""),
            (one, 0x0fff_fff0, ""),
        ];
        for (cluster, link, words) in cases {
            let mut disk = sound.clone();
            set_entry(&mut disk, cluster, link);
            if words.is_empty() {
                // Wherever that leads, it must end.
                let _ = open(Cursor::new(&mut disk), &NAMES).map(|_| ());
                continue;
            }
            let text = refusal(&mut disk);
            assert!(text.contains("its FAT volume is damaged"), "{text}");
            assert!(text.contains(words), "{width:?}: {text}");
        }
        // Nobody follows this file's chain.
        let mut disk = sound.clone();
        let third = other + FILE_CLUSTERS;
        set_entry(&mut disk, third, third);
        assert!(open(Cursor::new(&mut disk), &NAMES).is_ok(), "{width:?}");
    }
}

#[test]
fn a_circular_or_endless_root_folder_is_refused() {
    let sound = volume(WIDTHS[2]);
    let mut disk = sound.clone();
    set_entry(&mut disk, 2, 2);
    assert!(refusal(&mut disk).contains("the root folder leads to cluster 2 a second time"));
    // All clusters from 5000 on belong to the folder.
    let mut disk = sound.clone();
    set_entry(&mut disk, 2, 5000);
    for cluster in 5000..10_000 {
        set_entry(&mut disk, cluster, cluster + 1);
    }
    let text = refusal(&mut disk);
    assert!(
        text.contains("the root folder has more than 4096 clusters"),
        "{text}"
    );
    let mut disk = sound;
    disk[44..48].copy_from_slice(&0x1234_5678_u32.to_le_bytes());
    assert!(refusal(&mut disk).contains("which does not exist"));
}

#[test]
fn false_boot_sectors_are_refused_and_distinguished_from_other_data() {
    for width in WIDTHS {
        let sound = volume(width);
        let cases: [(&str, usize, &[u8]); 6] = [
            ("no sector is so long", 11, &[0, 3]),
            ("no cluster has so many sectors", 13, &[3]),
            ("no table", 16, &[0]),
            ("no signature", 510, &[0, 0]),
            ("longer than the disk", 19, &[0, 0]),
            ("no room for the table's own sector", 14, &[0xff, 0xff]),
        ];
        for (number, (what, at, bytes)) in cases.into_iter().enumerate() {
            let mut disk = sound.clone();
            disk[at..at + bytes.len()].copy_from_slice(bytes);
            if what == "longer than the disk" {
                disk[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
            }
            let error = open(Cursor::new(&mut disk), &NAMES)
                .map(|_| ())
                .unwrap_err();
            let kind = if number < 4 {
                io::ErrorKind::Unsupported
            } else {
                io::ErrorKind::InvalidData
            };
            assert_eq!(error.kind(), kind, "{width:?}, {what}: {error}");
        }
    }
    for nothing in [&b""[..], b"short", &[0; 4096], &[0x55; 4096]] {
        let mut disk = nothing.to_vec();
        let error = open(Cursor::new(&mut disk), &NAMES)
            .map(|_| ())
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
    }
}

/// Uses a volume in every way that its users do.
fn use_all(disk: &mut [u8]) -> io::Result<()> {
    let volume = open(Cursor::new(disk), &NAMES)?;
    let root = volume.root_dir();
    for name in NAMES {
        let mut contents = Vec::new();
        let mut file = root.create_file(name)?;
        (&mut file).take(1 << 20).read_to_end(&mut contents)?;
        file.seek(SeekFrom::Start(0))?;
        file.truncate()?;
        file.write_all(&[9; 3000])?;
        file.flush()?;
        drop(file);
        root.remove(name)?;
    }
    drop(root);
    volume.unmount()
}

#[test]
fn random_damage_never_panics_and_never_hangs() {
    let mut random = fastrand::Rng::with_seed(7);
    for width in WIDTHS {
        let sound = volume(width);
        let geometry = Geometry::of(sound[..512].try_into().unwrap(), sound.len() as u64).unwrap();
        let root = match geometry.root {
            Root::Bytes { start, .. } => start,
            Root::Chain(_) => geometry.data_start,
        };
        let (mut refused, mut used) = (0, 0);
        let rounds = if width.0 == FatType::Fat32 { 100 } else { 400 };
        for _ in 0..rounds {
            let mut disk = sound.clone();
            for _ in 0..random.usize(1..8) {
                let start = match random.u8(0..4) {
                    0 => random.u64(11..64),
                    1 => geometry.table_start + random.u64(0..300),
                    2 => root + random.u64(0..256),
                    // FAT32's sector with the count of free clusters.
                    _ => 512 + random.u64(480..500),
                };
                disk[start as usize] = match random.u8(0..3) {
                    0 => random.u8(..),
                    1 => *random.choice(&[0, 1, 0x7f, 0x80, 0xff]).unwrap(),
                    _ => disk[start as usize] ^ 1 << random.u8(0..8),
                };
            }
            let began = Instant::now();
            match use_all(&mut disk) {
                Ok(()) => used += 1,
                Err(_) => refused += 1,
            }
            assert!(began.elapsed() < Duration::from_secs(60));
        }
        assert!(
            refused > 20 && used > 20,
            "{width:?}: {refused} refused, {used} used"
        );
    }
}
