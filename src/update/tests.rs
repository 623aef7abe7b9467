//! Updates with power cut at any byte: what boots then is the old system or the new one, whole.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::mbr::Partition;
use fatfs::{FatType, FormatVolumeOptions, format_volume};
use std::io::Cursor;

const MIB: u64 = 1 << 20;
const SLOT_BYTES: u64 = 3 * MIB + 4096;
const BACK_ENDS: [Chooser; 2] = [Chooser::UBoot, Chooser::PiFirmware];

/// A card in memory whose power goes after so many written bytes.
struct Card {
    memory: Cursor<Vec<u8>>,
    bytes_until_cut: u64,
}

impl Read for Card {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.memory.read(buffer)
    }
}

impl Write for Card {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.bytes_until_cut as usize);
        if count == 0 && !buffer.is_empty() {
            return Err(io::Error::other("no power"));
        }
        self.bytes_until_cut -= count as u64;
        self.memory.write(&buffer[..count])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Card {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.memory.seek(position)
    }
}

impl Disk for Card {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn ranges() -> [Range<u64>; 4] {
    let boot = MIB..36 * MIB;
    let a = boot.end..boot.end + SLOT_BYTES;
    let b = a.end..a.end + SLOT_BYTES;
    let data = b.end..b.end + 4096;
    [boot, a, b, data]
}

/// A disk whose slots are filled with `version`; their first sector is never zero.
fn disk(version: u8) -> Vec<u8> {
    let ranges = ranges();
    let mut bytes = vec![0; ranges[3].end as usize];
    let table = ranges.clone().map(|bytes| Partition {
        bytes,
        bootable: false,
    });
    bytes[..512].copy_from_slice(&mbr::sector(mbr::EYELET_DISK_ID, &table));
    for (slot, range) in [(b'a', &ranges[1]), (b'b', &ranges[2])] {
        let part = &mut bytes[range.start as usize..range.end as usize];
        for (at, byte) in part.iter_mut().enumerate() {
            *byte = version ^ slot ^ (at / 511) as u8 | 1;
        }
    }
    let boot = &mut bytes[ranges[0].start as usize..ranges[0].end as usize];
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(512);
    format_volume(Cursor::new(boot), options).unwrap();
    let mut card = powered(bytes);
    for back_end in BACK_ENDS {
        back_end.confirm(&mut card, Slot::A).unwrap();
    }
    card.memory.into_inner()
}

fn powered(bytes: Vec<u8>) -> Card {
    Card {
        memory: Cursor::new(bytes),
        bytes_until_cut: u64::MAX,
    }
}

/// The bytes of a slot.
fn slot_of(disk: &[u8], slot: Slot) -> &[u8] {
    let range = &ranges()[slot.partition() - 1];
    &disk[range.start as usize..range.end as usize]
}

/// The slot that boots, as the boot loader chooses; one without a boot sector is passed over.
fn booted(back_end: Chooser, disk: Vec<u8>) -> (Slot, Vec<u8>) {
    let mut card = powered(disk);
    let text = back_end.read(&mut card).unwrap();
    let trial = text
        .lines()
        .find_map(|line| Slot::of_letter(line.strip_prefix("trial=")?));
    let slot = trial.unwrap_or(back_end.current(&mut card).unwrap());
    let disk = card.memory.into_inner();
    if slot_of(&disk, slot)[..512].iter().any(|&byte| byte != 0) {
        (slot, disk)
    } else {
        (slot.other(), disk)
    }
}

/// A whole update: written, tried, confirmed. The running slot is A.
fn update(back_end: Chooser, card: &mut Card, image: &[u8]) -> Result<(), UpdateError> {
    write_slot(card, &mut Cursor::new(image), Slot::B)?;
    back_end.try_once(card, Slot::B)?;
    back_end.confirm(card, Slot::B)
}

#[test]
fn power_cut_at_any_byte_leaves_the_old_system_or_the_new_one() {
    let (old, new) = (disk(1), disk(2));
    let mut random = fastrand::Rng::with_seed(50);
    for back_end in BACK_ENDS {
        let mut card = powered(old.clone());
        card.bytes_until_cut = 1 << 40;
        update(back_end, &mut card, &new).unwrap();
        let whole = (1 << 40) - card.bytes_until_cut;
        // The last bytes are those that decide, so all of them; before that, any.
        let last = whole.saturating_sub(60)..=whole;
        let cuts = (0..50).map(|_| random.u64(..whole)).chain(last);
        let mut seen = [0; 2];
        for cut in cuts {
            let mut card = powered(old.clone());
            card.bytes_until_cut = cut;
            let result = update(back_end, &mut card, &new);
            assert_eq!(result.is_ok(), cut == whole, "{back_end:?} at {cut}");
            let (slot, disk) = booted(back_end, card.memory.into_inner());
            assert!(slot_of(&disk, Slot::A) == slot_of(&old, Slot::A));
            if slot == Slot::B {
                assert!(
                    slot_of(&disk, Slot::B) == slot_of(&new, Slot::B),
                    "{back_end:?}: a broken slot is booted after a cut at {cut}"
                );
            }
            seen[slot.partition() - 2] += 1;
        }
        assert!(seen[0] >= 40 && seen[1] >= 1, "{back_end:?}: {seen:?}");
    }
}

#[test]
fn a_slot_is_tried_once_and_then_confirmed_or_not() {
    for back_end in BACK_ENDS {
        let mut card = powered(disk(1));
        assert_eq!(back_end.current(&mut card).unwrap(), Slot::A);
        back_end.try_once(&mut card, Slot::B).unwrap();
        assert_eq!(
            back_end.current(&mut card).unwrap(),
            Slot::A,
            "until confirmed"
        );
        back_end.confirm(&mut card, Slot::B).unwrap();
        assert_eq!(back_end.current(&mut card).unwrap(), Slot::B);
    }
    assert_eq!(Chooser::PiFirmware.reboot_argument(), Some("0 tryboot"));
    assert_eq!(Chooser::UBoot.reboot_argument(), None);
}

#[test]
fn an_image_of_another_layout_or_none_at_all_is_refused_untouched() {
    let old = disk(1);
    let mut card = powered(old.clone());
    let error = write_slot(&mut card, &mut Cursor::new(vec![0; 4096]), Slot::B).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no disk that `eyelet image` made"),
        "{error}"
    );
    let mut other = disk(2);
    let mut table = ranges().map(|bytes| Partition {
        bytes,
        bootable: false,
    });
    table[2].bytes.end -= 512;
    other[..512].copy_from_slice(&mbr::sector(mbr::EYELET_DISK_ID, &table));
    let error = write_slot(&mut card, &mut Cursor::new(other), Slot::B).unwrap_err();
    assert!(
        error.to_string().contains("write the whole image"),
        "{error}"
    );
    assert!(card.memory.into_inner() == old);
}
