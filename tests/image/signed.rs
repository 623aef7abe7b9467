//! Systems with a public key, from the outside: `eyelet image --public-key` makes them, and `eyelet update` takes what the key's
//! owner signed, by the whole command and image.

use super::Workshop;
use eyelet::slot::Slot;
use eyelet::update::Chooser;
use minisign::KeyPair;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::fs::FileExt;
use std::process::Command;

const MIB: u64 = 1 << 20;
/// A byte of the label: a digit of the version, behind `eyelet-image 1`, the id and their newlines.
const IN_VERSION: u64 = 512 + 15 + 3 + 65 + "version ".len() as u64;
/// Where the boot partition and the slots of a small image begin.
const BOOT: u64 = 4 * MIB;
const SLOT_A: u64 = 48 * MIB;
const SLOT_B: u64 = 240 * MIB;

/// A key of one's own, as files.
fn key(workshop: &Workshop, name: &str) -> KeyPair {
    let pair = KeyPair::generate_unencrypted_keypair().unwrap();
    let text = pair.pk.to_box().unwrap().into_string();
    fs::write(workshop.path(name), text).unwrap();
    pair
}

/// Signs `image` as `minisign -Sm IMAGE -t COMMENT` does.
fn sign(workshop: &Workshop, pair: &KeyPair, image: &str, comment: &str) {
    let file = File::open(workshop.path(image)).unwrap();
    let signature = minisign::sign(Some(&pair.pk), &pair.sk, file, Some(comment), None);
    let text = signature.unwrap().to_string();
    fs::write(workshop.path(&format!("{image}.minisig")), text).unwrap();
}

/// Flips a bit of a file.
fn flip(file: &File, at: u64) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 8], at).unwrap();
}

/// A workshop with a card of version 1.1.0 that has a key, and its owner's key.
fn with_card() -> (Workshop, KeyPair) {
    let workshop = Workshop::new();
    let owner = key(&workshop, "owner.pub");
    let pub_file = workshop.path("owner.pub").display().to_string();
    workshop.version("1.1.0", "card.img", &["--public-key", &pub_file]);
    (workshop, owner)
}

impl Workshop {
    /// An image of this version with the owner's key.
    fn keyed(&self, version: &str, name: &str) {
        let key = self.path("owner.pub").display().to_string();
        self.version(version, name, &["--public-key", &key]);
    }

    fn open(&self, name: &str) -> File {
        let mut options = File::options();
        options.read(true).write(true);
        options.open(self.path(name)).unwrap()
    }

    /// The update is refused with this code and these words, and the card stays as it is.
    fn refuses_signed(&self, image: &str, code: i32, words: &str) {
        let modified = || {
            fs::metadata(self.path("card.img"))
                .unwrap()
                .modified()
                .unwrap()
        };
        let before = modified();
        let (exit, message) = self.update(image, "card.img");
        assert_eq!(exit, code, "{message}");
        assert!(message.contains(words), "{words:?}: {message}");
        assert_eq!(modified(), before, "{message}");
    }
}

#[test]
fn a_card_with_a_key_takes_what_its_owner_signed_and_nothing_else() {
    let (workshop, owner) = with_card();
    let card = fs::read(workshop.path("card.img")).unwrap();
    workshop.keyed("1.2.0", "new.img");
    workshop.refuses_signed("new.img", 12, "there is no new.img.minisig");

    let stranger = key(&workshop, "stranger.pub");
    sign(&workshop, &stranger, "new.img", "timestamp:1");
    workshop.refuses_signed("new.img", 12, "new.img.minisig was made with another key");

    sign(&workshop, &owner, "new.img", "timestamp:1");
    let signature = workshop.path("new.img.minisig");
    let wrong = "new.img.minisig does not match this image";
    for (what, at, code, words) in [
        ("before the partition table", 100, 12, wrong),
        ("partition table", 446 + 14, 13, "partitions that overlap"),
        ("label", IN_VERSION, 12, wrong),
        ("behind the label's text", 4095, 12, wrong),
        ("boot partition", BOOT + 512 * 40, 12, wrong),
        ("the other slot", SLOT_A + 3 * MIB, 12, wrong),
        (
            "kernel",
            SLOT_B + 3 * MIB,
            12,
            "the update is damaged: slot b",
        ),
        ("data partition's end", 512 * MIB - 1, 12, wrong),
    ] {
        println!("{what}");
        flip(&workshop.open("new.img"), at);
        workshop.refuses_signed("new.img", code, words);
        flip(&workshop.open("new.img"), at);
    }
    let text = fs::read_to_string(&signature).unwrap();
    let second = text.find('\n').unwrap() + 1;
    for (what, at, words) in [
        ("kind", second + 1, "is not a minisign signature"),
        ("key's id", second + 8, "was made with another key"),
        ("signature", second + 40, wrong),
        ("trusted comment", text.find("stamp").unwrap(), wrong),
    ] {
        println!("{what}");
        // A flipped bit would not be a digit of base64 for each key; that has a test of its own.
        let digit = if &text[at..=at] == "A" { "B" } else { "A" };
        let mut changed = text.clone();
        changed.replace_range(at..=at, digit);
        fs::write(&signature, changed).unwrap();
        workshop.refuses_signed("new.img", 12, words);
    }
    fs::write(&signature, &text).unwrap();
    let shorter = File::options().write(true).open(&signature).unwrap();
    shorter.set_len(text.len() as u64 / 2).unwrap();
    workshop.refuses_signed("new.img", 12, "is not a minisign signature");
    // A hole; nothing so long is read.
    shorter.set_len(100 << 30).unwrap();
    workshop.refuses_signed("new.img", 12, "is not a minisign signature");
    // What never begins.
    fs::remove_file(&signature).unwrap();
    let status = Command::new("mkfifo").arg(&signature).status().unwrap();
    assert!(status.success());
    workshop.refuses_signed("new.img", 12, "there is no new.img.minisig");
    fs::remove_file(&signature).unwrap();
    // A signature of the owner's, of another file.
    sign(&workshop, &owner, "owner.pub", "timestamp:1");
    fs::rename(workshop.path("owner.pub.minisig"), &signature).unwrap();
    workshop.refuses_signed("new.img", 12, wrong);
    assert!(fs::read(workshop.path("card.img")).unwrap() == card);

    fs::write(&signature, &text).unwrap();
    let (code, message) = workshop.update("new.img", "card.img");
    assert_eq!(code, 0, "{message}");
    assert!(
        message.contains("signed system 1.2.0 is in slot b"),
        "{message}"
    );
    let mut file = workshop.open("card.img");
    assert_eq!(Chooser::waiting(&mut file).unwrap(), Some(Slot::B));
    let mut card = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut card).unwrap();
    let new = fs::read(workshop.path("new.img")).unwrap();
    let slot = SLOT_B as usize..(SLOT_B + 192 * MIB) as usize;
    assert!(card[slot.clone()] == new[slot]);
}

#[test]
fn an_older_system_comes_in_when_its_owner_says_so() {
    let (workshop, owner) = with_card();
    workshop.keyed("1.0.9", "old.img");
    sign(
        &workshop,
        &owner,
        "old.img",
        "timestamp:1\tfile:old.img allow-older",
    );
    workshop.refuses_signed(
        "old.img",
        13,
        "its version, 1.0.9, is older than the running 1.1.0",
    );
    sign(&workshop, &owner, "old.img", "allow-older");
    let (code, message) = workshop.update("old.img", "card.img");
    assert_eq!(code, 0, "{message}");
    assert!(message.contains("signed system 1.0.9"), "{message}");
}

#[test]
fn a_signature_does_not_make_up_for_what_does_not_fit() {
    let (workshop, owner) = with_card();
    // Without a key the board would be open from then on.
    workshop.version("1.2.0", "keyless.img", &[]);
    sign(&workshop, &owner, "keyless.img", "allow-older");
    workshop.refuses_signed("keyless.img", 13, "it has no public key");

    let key = workshop.path("owner.pub").display().to_string();
    let pi = ["--board", "raspberry-pi-3", "--output", "pi.img"];
    let output = workshop.image(&[&pi[..], &["--version", "2.0.0", "--public-key", &key]].concat());
    assert!(output.status.success());
    sign(&workshop, &owner, "pi.img", "timestamp:1");
    workshop.refuses_signed(
        "pi.img",
        13,
        "it is for raspberry-pi-3, and the card is for virt",
    );
}

/// The other way round: a system without a key takes what it took before, a system with one too.
#[test]
fn a_card_without_a_key_is_not_bound_and_gets_one_by_an_update() {
    let workshop = Workshop::new();
    let _owner = key(&workshop, "owner.pub");
    workshop.version("1.0.0", "card.img", &[]);
    workshop.keyed("0.1.0", "new.img");
    fs::write(workshop.path("new.img.minisig"), "whatever this is").unwrap();
    let (code, message) = workshop.update("new.img", "card.img");
    assert_eq!(code, 0, "{message}");
    assert!(message.contains(": system 0.1.0 is in slot b"), "{message}");
    let mut card = workshop.open("card.img");
    Chooser::UBoot.confirm(&mut card, Slot::B).unwrap();
    workshop.version("0.2.0", "next.img", &[]);
    workshop.refuses_signed("next.img", 12, "there is no next.img.minisig");
}

#[test]
fn the_key_is_in_both_manifests_and_in_the_label_and_the_image_is_the_same_each_time() {
    let workshop = Workshop::new();
    let owner = key(&workshop, "owner.pub");
    let key_file = workshop.path("owner.pub").display().to_string();
    let arguments = ["--board", "virt", "--public-key", &key_file];
    let disk = workshop.disk(&arguments);
    let text = owner.pk.to_base64();
    for manifest in [
        disk.file(2, "manifest.json").to_owned(),
        disk.in_initramfs("etc/eyelet/manifest.json"),
    ] {
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(manifest["public_key"], text.as_str());
    }
    let label = String::from_utf8_lossy(&disk.bytes[512..4096]);
    assert!(label.contains(&format!("\npublic-key {text}\n")), "{label}");
    // The comment in the key's file is not a part of the key.
    fs::write(workshop.path("owner.pub"), format!("mine\n{text}\n")).unwrap();
    assert!(workshop.disk(&arguments).bytes == disk.bytes);
    let id = |disk: &super::Disk| {
        let manifest: Value = serde_json::from_str(disk.text(2, "manifest.json")).unwrap();
        manifest["id"].clone()
    };
    let without = workshop.disk(&["--board", "virt"]);
    assert_ne!(id(&without), id(&disk), "another key is another system");
}

#[test]
fn a_key_without_a_version_is_warned_about() {
    let workshop = Workshop::new();
    let _owner = key(&workshop, "owner.pub");
    let key = workshop.path("owner.pub").display().to_string();
    for (more, is_warned) in [
        (&["--public-key", &key][..], true),
        (&["--public-key", &key, "--version", "1.0.0"], false),
        (&[], false),
    ] {
        let board = ["--board", "virt", "--output", "sd.img"];
        let output = workshop.image(&[&board, more].concat());
        assert!(output.status.success(), "{more:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        let warnings = text.lines().filter(|line| line.contains("pass --version"));
        assert_eq!(warnings.count(), usize::from(is_warned), "{text}");
    }
}

#[test]
fn an_older_build_of_a_version_is_older() {
    let (workshop, owner) = with_card();
    workshop.keyed("1.1.0+2", "new.img");
    sign(&workshop, &owner, "new.img", "timestamp:1");
    let (code, message) = workshop.update("new.img", "card.img");
    assert_eq!(code, 0, "{message}");
    Chooser::UBoot
        .confirm(&mut workshop.open("card.img"), Slot::B)
        .unwrap();
    workshop.keyed("1.1.0+1", "old.img");
    sign(&workshop, &owner, "old.img", "timestamp:1");
    workshop.refuses_signed(
        "old.img",
        13,
        "its version, 1.1.0+1, is older than the running 1.1.0+2",
    );
}

#[test]
fn an_invalid_public_key_or_version_makes_no_image() {
    let workshop = Workshop::new();
    let owner = key(&workshop, "owner.pub");
    let secret = owner.sk.to_box(None).unwrap().into_string();
    fs::write(workshop.path("owner.key"), secret).unwrap();
    fs::write(workshop.path("text"), "x\n").unwrap();
    let complaint = |key: &str, version: &str| {
        let key = workshop.path(key).display().to_string();
        let arguments = ["--board", "virt", "--public-key", &key];
        workshop.complaint(&[&arguments[..], &["--version", version]].concat())
    };
    let long = format!("1.0.0-{}", "a".repeat(100));
    for (key, version, words) in [
        ("owner.key", "1.0.0", "it is a secret key"),
        ("text", "1.0.0", "not a minisign public key"),
        ("nothing", "1.0.0", "No such file"),
        ("owner.pub", "summer", "cannot be compared"),
        ("owner.pub", "7.1", "cannot be compared"),
        ("owner.pub", &long, "cannot be compared"),
    ] {
        let (code, message) = complaint(key, version);
        assert_eq!(code, 12, "{message}");
        assert!(message.contains(words), "{message}");
    }
}
