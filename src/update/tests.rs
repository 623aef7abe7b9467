//! Updates with a power cut at any byte: afterwards the old system or the new one boots, intact.

#![allow(clippy::unwrap_used)]

use super::label::Contents;
use super::*;
use crate::mbr::Partition;
use fatfs::{FatType, FormatVolumeOptions, format_volume};
use std::io::Cursor;

const MIB: u64 = 1 << 20;
const SLOT_BYTES: u64 = 3 * MIB + 4096;
/// How much of a slot is used.
const USED_BYTES: u64 = 2 * MIB + 512;
const BACKENDS: [Chooser; 2] = [Chooser::UBoot, Chooser::PiFirmware];

/// A card in memory that loses power after a number of written bytes.
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
        let count = buffer
            .len()
            .min(usize::try_from(self.bytes_until_cut).unwrap_or(usize::MAX));
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

    fn forget(&mut self) {}
}

fn ranges() -> [Range<u64>; 4] {
    let boot = MIB..36 * MIB;
    let a = boot.end..boot.end + SLOT_BYTES;
    let b = a.end..a.end + SLOT_BYTES;
    let data = b.end..b.end + 4096;
    [boot, a, b, data]
}

/// A disk whose slots begin with bytes of `version`; their first sector is never zero.
fn disk(version: u8) -> Vec<u8> {
    let ranges = ranges();
    let mut bytes = vec![0; ranges[3].end as usize];
    let table = ranges.clone().map(|bytes| Partition {
        bytes,
        bootable: false,
    });
    bytes[..512].copy_from_slice(&mbr::sector(mbr::EYELET_DISK_ID, &table));
    for (slot, range) in [(b'a', &ranges[1]), (b'b', &ranges[2])] {
        let part = &mut bytes[range.start as usize..(range.start + USED_BYTES) as usize];
        for (at, byte) in part.iter_mut().enumerate() {
            *byte = version ^ slot ^ (at / 511) as u8 | 1;
        }
    }
    let contents = [1, 2].map(|slot| {
        let start = ranges[slot].start as usize;
        Contents {
            bytes: USED_BYTES,
            sha256: hex(&Sha256::digest(&bytes[start..start + USED_BYTES as usize])),
        }
    });
    let label = Label {
        id: version.to_string().repeat(64),
        version: version.to_string(),
        machine: "virt".to_owned(),
        slots: contents,
        public_key: None,
    };
    bytes[512..512 + label::BYTES].copy_from_slice(&label.sectors());
    let boot = &mut bytes[ranges[0].start as usize..ranges[0].end as usize];
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(512);
    format_volume(Cursor::new(boot), options).unwrap();
    let mut card = powered(bytes);
    for backend in BACKENDS {
        backend.confirm(&mut card, Slot::A).unwrap();
    }
    card.memory.into_inner()
}

fn powered(bytes: Vec<u8>) -> Card {
    Card {
        memory: Cursor::new(bytes),
        bytes_until_cut: u64::MAX,
    }
}

/// The used bytes of a slot.
fn slot_of(disk: &[u8], slot: Slot) -> &[u8] {
    let range = &ranges()[slot.partition() - 1];
    &disk[range.start as usize..(range.start + USED_BYTES) as usize]
}

/// The slot that boots, chosen as the boot loader does; a slot without a boot sector is skipped.
fn booted(backend: Chooser, disk: Vec<u8>) -> (Slot, Vec<u8>) {
    let mut card = powered(disk);
    let trial = Chooser::waiting(&mut card).unwrap();
    let slot = trial.unwrap_or(backend.current(&mut card).unwrap());
    let disk = card.memory.into_inner();
    if slot_of(&disk, slot)[..512].iter().any(|&byte| byte != 0) {
        (slot, disk)
    } else {
        (slot.other(), disk)
    }
}

/// A complete update: written, tried, confirmed. The running slot is A.
fn update(backend: Chooser, card: &mut Card, image: &[u8]) -> Result<(), UpdateError> {
    let image = &mut Cursor::new(image);
    let checked = check(image, Slot::B, None)?;
    write_slot(card, image, &checked)?;
    backend.try_once(card, Slot::B)?;
    backend.confirm(card, Slot::B)
}

#[test]
fn power_cut_at_any_byte_leaves_the_old_system_or_the_new_one() {
    let (old, new) = (disk(1), disk(2));
    let mut random = fastrand::Rng::with_seed(50);
    for backend in BACKENDS {
        let mut card = powered(old.clone());
        card.bytes_until_cut = 1 << 40;
        update(backend, &mut card, &new).unwrap();
        let whole = (1 << 40) - card.bytes_until_cut;
        // The last bytes decide, so try all of them, and a sample of those before.
        let last = whole.saturating_sub(60)..=whole;
        let cuts = (0..50).map(|_| random.u64(..whole)).chain(last);
        let mut seen = [0; 2];
        for cut in cuts {
            let mut card = powered(old.clone());
            card.bytes_until_cut = cut;
            let result = update(backend, &mut card, &new);
            assert_eq!(result.is_ok(), cut == whole, "{backend:?} at {cut}");
            let (slot, disk) = booted(backend, card.memory.into_inner());
            assert!(slot_of(&disk, Slot::A) == slot_of(&old, Slot::A));
            if slot == Slot::B {
                assert!(
                    slot_of(&disk, Slot::B) == slot_of(&new, Slot::B),
                    "{backend:?}: a broken slot is booted after a cut at {cut}"
                );
            }
            seen[slot.partition() - 2] += 1;
        }
        assert!(seen[0] >= 40 && seen[1] >= 1, "{backend:?}: {seen:?}");
    }
}

#[test]
fn a_slot_is_tried_once_and_then_confirmed_or_not() {
    for backend in BACKENDS {
        let mut card = powered(disk(1));
        assert_eq!(backend.current(&mut card).unwrap(), Slot::A);
        backend.try_once(&mut card, Slot::B).unwrap();
        assert_eq!(Chooser::waiting(&mut card).unwrap(), Some(Slot::B));
        backend.try_nothing(&mut card).unwrap();
        assert_eq!(Chooser::waiting(&mut card).unwrap(), None);
        backend.try_once(&mut card, Slot::B).unwrap();
        assert_eq!(
            backend.current(&mut card).unwrap(),
            Slot::A,
            "until confirmed"
        );
        backend.confirm(&mut card, Slot::B).unwrap();
        assert_eq!(backend.current(&mut card).unwrap(), Slot::B);
    }
    assert_eq!(Chooser::PiFirmware.reboot_argument(), Some("0 tryboot"));
    assert_eq!(Chooser::UBoot.reboot_argument(), None);
}

#[test]
fn an_image_with_another_layout_a_damaged_one_or_none_is_refused_without_writing() {
    let old = disk(1);
    let mut card = powered(old.clone());
    let mut refused = |image: Vec<u8>| {
        let error = update(Chooser::UBoot, &mut card, &image).unwrap_err();
        assert!(card.memory.get_ref() == &old);
        error.to_string()
    };
    let error = refused(vec![0; 4096]);
    assert!(error.contains("was not made by `eyelet image`"), "{error}");

    let mut other = disk(2);
    let mut table = ranges().map(|bytes| Partition {
        bytes,
        bootable: false,
    });
    table[2].bytes.end -= 512;
    other[..512].copy_from_slice(&mbr::sector(mbr::EYELET_DISK_ID, &table));
    let error = refused(other);
    assert!(error.contains("write the whole image"), "{error}");

    let mut damaged = disk(2);
    damaged[(ranges()[2].start + USED_BYTES - 1) as usize] ^= 1;
    let error = refused(damaged);
    assert!(error.contains("the update is damaged: slot b"), "{error}");

    let mut cut_off = disk(2);
    cut_off.truncate((ranges()[2].start + MIB) as usize);
    let error = refused(cut_off);
    assert!(error.contains("it was cut off"), "{error}");
}

/// A stick that returns other bytes on the second read.
struct ChangingDisk {
    disk: Cursor<Vec<u8>>,
    reads_until_change: u32,
}

impl Read for ChangingDisk {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.disk.read(buffer)?;
        self.reads_until_change = self.reads_until_change.saturating_sub(1);
        if self.reads_until_change == 0 {
            buffer[0] ^= 1;
        }
        Ok(count)
    }
}

impl Seek for ChangingDisk {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.disk.seek(position)
    }
}

/// A key and what it signs.
struct Signer {
    pair: minisign::KeyPair,
    key: PublicKey,
}

impl Signer {
    fn new() -> Self {
        let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        let key = pair.pk.to_base64().parse().unwrap();
        Self { pair, key }
    }

    fn sign(&self, image: &[u8]) -> signature::Signature {
        let (pk, sk) = (&self.pair.pk, &self.pair.sk);
        let signature = minisign::sign(Some(pk), sk, image, Some("a comment"), None).unwrap();
        let file = SignatureFile {
            name: "it.minisig".to_owned(),
            contents: Some(signature.to_string().into_bytes()),
        };
        file.decode(&self.key).unwrap()
    }

    fn check(
        &self,
        image: &mut (impl Read + Seek),
        signature: &signature::Signature,
    ) -> Result<Checked, UpdateError> {
        check(image, Slot::B, Some(signature.verifier(&self.key).unwrap()))
    }
}

/// The stick may return anything after the signature was verified: only signed bytes boot.
#[test]
fn an_image_that_changes_while_it_is_copied_leaves_a_slot_that_is_not_booted() {
    let signer = Signer::new();
    let signature = signer.sign(&disk(2));
    for is_signed in [false, true] {
        let mut stick = ChangingDisk {
            disk: Cursor::new(disk(2)),
            reads_until_change: u32::MAX,
        };
        let mut card = powered(disk(1));
        let checked = if is_signed {
            signer.check(&mut stick, &signature).unwrap()
        } else {
            check(&mut stick, Slot::B, None).unwrap()
        };
        stick.reads_until_change = 2;
        let error = write_slot(&mut card, &mut stick, &checked).unwrap_err();
        assert!(matches!(error, UpdateError::Damaged { .. }), "{error}");
        let disk = card.memory.into_inner();
        assert!(slot_of(&disk, Slot::B)[..512].iter().all(|&byte| byte == 0));
        assert_eq!(booted(Chooser::UBoot, disk).0, Slot::A);
    }
}

/// An image of little more than its head: four partitions of some sectors.
fn tiny_image() -> Vec<u8> {
    let mut at = 4096;
    let table = [512, 1024, 1536, 1024].map(|length| {
        let bytes = at..at + length;
        at += length;
        Partition {
            bytes,
            bootable: false,
        }
    });
    let mut bytes: Vec<u8> = (0..at).map(|at| (at / 7) as u8).collect();
    bytes[..512].copy_from_slice(&mbr::sector(mbr::EYELET_DISK_ID, &table));
    let contents = [1, 2].map(|slot| {
        let range = table[slot].bytes.start as usize..table[slot].bytes.start as usize + 1024;
        Contents {
            bytes: 1024,
            sha256: hex(&Sha256::digest(&bytes[range])),
        }
    });
    let label = Label {
        id: "7".repeat(64),
        version: "1.2.3".to_owned(),
        machine: "virt".to_owned(),
        slots: contents,
        public_key: None,
    };
    bytes[512..4096].copy_from_slice(&label.sectors());
    bytes
}

#[test]
fn one_flipped_bit_anywhere_in_a_signed_image_is_refused() {
    let signer = Signer::new();
    let image = tiny_image();
    let signature = signer.sign(&image);
    let checked = signer.check(&mut Cursor::new(&image), &signature).unwrap();
    assert_eq!(checked.label().version, "1.2.3");
    assert!(checked.permit().is_some_and(|permit| !permit.allows_older));
    let mut random = fastrand::Rng::with_seed(11);
    for at in 0..image.len() {
        let mut damaged = image.clone();
        damaged[at] ^= 1 << random.u8(..8);
        let result = signer.check(&mut Cursor::new(damaged), &signature);
        assert!(result.is_err(), "byte {at}");
    }
    // One byte less or more is refused too.
    for length in (0..image.len()).step_by(97) {
        let result = signer.check(&mut Cursor::new(&image[..length]), &signature);
        assert!(result.is_err(), "{length} bytes");
    }
    let longer = [&image[..], &[0]].concat();
    let error = signer.check(&mut Cursor::new(longer), &signature);
    let error = error.unwrap_err();
    let UpdateError::Signature(error) = error else {
        panic!("{error}");
    };
    assert!(matches!(*error, SignatureError::Wrong { .. }));
}

#[test]
fn the_slots_of_an_image_do_not_overlap_its_label() {
    let mut image = tiny_image();
    // The third entry's first sector.
    image[446 + 2 * 16 + 8..][..4].copy_from_slice(&1u32.to_le_bytes());
    let error = check(&mut Cursor::new(image), Slot::B, None).unwrap_err();
    assert!(matches!(error, UpdateError::Misfit(_)), "{error}");
}

#[test]
fn the_running_slot_is_not_written_when_it_is_not_the_default_one() {
    let old = disk(1);
    let install = |running| {
        let mut card = powered(old.clone());
        let mut image = Cursor::new(disk(2));
        let mut update = Update {
            image: &mut image,
            signature: SignatureFile {
                name: String::new(),
                contents: None,
            },
        };
        let options = Options {
            running,
            ..Options::default()
        };
        let error = install(&mut card, &mut update, options, Chooser::UBoot).unwrap_err();
        assert!(card.memory.get_ref() == &old);
        error.to_string()
    };
    let error = install(Some(Slot::B));
    assert!(
        error.contains("its slot a is the default and did not boot, so slot b runs"),
        "{error}"
    );
    // These go on to what is wrong with this card: its slots are not volumes.
    for running in [None, Some(Slot::A)] {
        let error = install(running);
        assert!(
            error.contains("no system that identifies itself"),
            "{error}"
        );
    }
}
