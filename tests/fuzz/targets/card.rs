//! A card: which slot boots, and what is in the slots. The input is the card from its first sector on.

use super::memory_disk::MemoryDisk;
use eyelet::mbr;
use eyelet::slot::Slot;
use eyelet::update::{Chooser, System};

/// Zeros are put behind the input up to here.
const CARD_BYTES: usize = 96 << 10;

pub fn run(data: &[u8]) {
    let mut card = MemoryDisk::new(data, CARD_BYTES);
    for slot in [Slot::A, Slot::B] {
        if let Ok(system) = System::in_slot(&mut card, slot) {
            assert_eq!(system.id.len(), 64);
        }
    }
    let before = card.bytes().to_vec();
    let _ = Chooser::of_card(&mut card);
    for chooser in [Chooser::PiFirmware, Chooser::UBoot] {
        let _ = chooser.current(&mut card);
        let _ = Chooser::waiting(&mut card);
        assert!(card.bytes() == before, "reading wrote");
    }
    for chooser in [Chooser::PiFirmware, Chooser::UBoot] {
        if chooser.try_once(&mut card, Slot::B).is_ok() {
            let waiting = Chooser::waiting(&mut card).unwrap();
            assert_eq!(waiting, Some(Slot::B));
        }
        if chooser.try_nothing(&mut card).is_ok() {
            assert_eq!(Chooser::waiting(&mut card).unwrap(), None);
        }
        if chooser.confirm(&mut card, Slot::B).is_ok() {
            assert_eq!(chooser.current(&mut card).unwrap(), Slot::B);
        }
    }
    // Whatever the boot partition's volume says of itself, nothing outside of the partition is written.
    let boot = mbr::partitions(&before[..512])
        .and_then(|table| table.first().map(|boot| boot.bytes.clone()));
    let outside = |at: usize| {
        !boot
            .as_ref()
            .is_some_and(|boot| boot.contains(&(at as u64)))
    };
    let changed = before.iter().zip(card.bytes()).position(|(a, b)| a != b);
    if let Some(at) = changed {
        assert!(!outside(at), "byte {at} is not of the boot partition");
    }
    let changed = before.iter().zip(card.bytes()).rposition(|(a, b)| a != b);
    if let Some(at) = changed {
        assert!(!outside(at), "byte {at} is not of the boot partition");
    }
}
