//! An image that is to update a card, and a stick that may hold one. The input is the stick from its first sector on, or of the
//! image what comes before its partitions and then what is in its slot B: all else of it is zeros.

use super::memory_disk::{MemoryDisk, table, volume};
use super::{assert_said, file_of};
use eyelet::mbr;
use eyelet::slot::Slot;
use eyelet::update::{
    Chooser, Label, Options, Outcome, PublicKey, SignatureFile, Update, UpdateError, check,
    install, with_image,
};
use sha2::{Digest, Sha256};
use std::io::Cursor;
use std::ops::Range;
use std::sync::OnceLock;

const KIB: usize = 1 << 10;
/// A slot of the card.
const SLOT_BYTES: usize = 12 * KIB;
const BOOT: Range<usize> = 4 * KIB..20 * KIB;
const SLOT_A: Range<usize> = BOOT.end..BOOT.end + SLOT_BYTES;
const SLOT_B: Range<usize> = SLOT_A.end..SLOT_A.end + SLOT_BYTES;
/// That of `tests/fixtures/minisign`, whose secret key was thrown away.
const KEY: &str = "RWQaFxSFOGOShZuPiP879JPSg2F3Ehdxqz6O6zCkwDrWbHq+sLZ6i/oo";
/// Zeros are put behind the input up to here.
const IMAGE_BYTES: usize = 64 * KIB;

pub fn run(data: &[u8]) {
    let mut image = image(data);
    // No mutation finds the digest that it asks for, so the label gets it.
    if let Err(UpdateError::Damaged { got, want, .. }) =
        check(&mut Cursor::new(&image), Slot::B, None)
        && let Some(at) = image.windows(64).position(|w| w == want.as_bytes())
    {
        image[at..at + 64].copy_from_slice(got.as_bytes());
    }
    for chooser in [Chooser::PiFirmware, Chooser::UBoot] {
        let old = card();
        let mut card = MemoryDisk::new(old, 0);
        let outcome = install(
            &mut card,
            &mut update(&mut Cursor::new(&image), data),
            Options::default(),
            chooser,
        );
        let new = card.bytes();
        assert!(new[..BOOT.start] == old[..BOOT.start], "the table");
        assert!(new[SLOT_A] == old[SLOT_A], "the slot that runs");
        match outcome {
            Ok(Outcome::Installed {
                slot,
                label,
                is_signed,
            }) => {
                assert_eq!((slot, is_signed), (Slot::B, false));
                let contents = label.slot(slot);
                let written = &new[SLOT_B][..contents.bytes as usize];
                let digest: String = Sha256::digest(written)
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                assert_eq!(digest, contents.sha256.to_lowercase());
                assert_eq!(Chooser::waiting(&mut card).unwrap(), Some(slot));
            }
            Ok(Outcome::Same { .. }) => assert!(new[SLOT_B] == old[SLOT_B]),
            Err(error) => {
                assert_said(&error.to_string());
                let no_boot_sector = new[SLOT_B][..512].iter().all(|&byte| byte == 0);
                assert!(new[SLOT_B] == old[SLOT_B] || no_boot_sector);
                assert_eq!(Chooser::waiting(&mut card).unwrap(), None);
            }
        }
        // Nobody can sign for a card with a key, so nothing is written to it.
        let mut card = MemoryDisk::new(old, 0);
        let key = key();
        let mut image = Cursor::new(&image);
        let outcome = install(
            &mut card,
            &mut update(&mut image, data),
            Options {
                key: Some(&key),
                ..Options::default()
            },
            chooser,
        );
        assert_said(&outcome.unwrap_err().to_string());
        assert!(card.bytes() == old, "an update that nobody signed");
    }
}

fn key() -> PublicKey {
    KEY.parse().unwrap()
}

/// The input is its own signature, too.
fn update<'a>(image: &'a mut Cursor<&Vec<u8>>, data: &[u8]) -> Update<'a> {
    let signature = SignatureFile {
        name: "new.img.minisig".to_owned(),
        contents: Some(data.to_owned()),
    };
    Update { image, signature }
}

/// A file beside an image that may be its signature.
pub fn signature(data: &[u8]) {
    let nothing = Vec::new();
    let mut nothing = Cursor::new(&nothing);
    let key = key();
    match update(&mut nothing, data).signature.decode(&key) {
        Ok(signature) => {
            let error = match signature.verifier(&key) {
                Ok(mut verifier) => {
                    verifier.update(b"another image");
                    verifier.finish().unwrap_err()
                }
                Err(error) => error,
            };
            assert_said(&error.to_string());
        }
        Err(error) => assert_said(&error.to_string()),
    }
    // The key's own reader, with the same bytes.
    if let Ok(key) = PublicKey::of_file(&String::from_utf8_lossy(data)) {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
}

fn image(data: &[u8]) -> Vec<u8> {
    let (begin, contents) = data.split_at(data.len().min(BOOT.start));
    let mut image = begin.to_vec();
    image.resize(IMAGE_BYTES.max(data.len()), 0);
    let slot_b = mbr::partitions(&image).and_then(|table| table.get(2).cloned());
    let at = slot_b.map_or(0, |slot_b| slot_b.bytes.start as usize);
    let place = image
        .get_mut(at..)
        .and_then(|rest| rest.get_mut(..contents.len()));
    if let Some(place) = place {
        place.copy_from_slice(contents);
    }
    image
}

/// A card that runs slot A.
fn card() -> &'static [u8] {
    static CARD: OnceLock<Vec<u8>> = OnceLock::new();
    CARD.get_or_init(|| {
        let ranges = [BOOT, SLOT_A, SLOT_B, SLOT_B.end..SLOT_B.end + 4 * KIB];
        let ranges = ranges.map(|range| range.start as u64..range.end as u64);
        let system = format!(
            r#"{{"id": "{}", "version": "1", "machine": "virt", "kernel": "6.12-v8"}}"#,
            "1".repeat(64)
        );
        let boot = volume(
            BOOT.len(),
            &[
                ("autoboot.txt", Chooser::PiFirmware.text(Slot::A).as_bytes()),
                ("eyelet.env", Chooser::UBoot.text(Slot::A).as_bytes()),
            ],
        );
        let slot = volume(SLOT_BYTES, &[("manifest.json", system.as_bytes())]);
        let label = vec![0; BOOT.start - 512];
        [
            &table(ranges)[..],
            &label,
            &boot,
            &slot,
            &slot,
            &[0; 4 * KIB],
        ]
        .concat()
    })
}

pub fn stick(data: &[u8]) {
    let file = file_of(data, ".stick", IMAGE_BYTES as u64);
    let read = with_image(file.path(), |update| {
        let label = Label::read(update.image, "the update")?;
        for slot in [Slot::A, Slot::B] {
            check(update.image, slot, None)?;
        }
        let _ = update.signature.decode(&key());
        Ok(label)
    });
    match read {
        Ok(label) => {
            assert!(label.slots.iter().all(|slot| slot.bytes > 0));
            assert!(!label.version.contains(char::is_control));
        }
        Err(error) => assert_said(&error.to_string()),
    }
}
