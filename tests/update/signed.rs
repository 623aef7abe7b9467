//! A system with a public key on the emulated board: sticks are plugged in one after another, signed by stock minisign. Each wrong
//! one is refused for its reason, the right one is taken, tried and kept, and so is an older one that its owner lets in.

use super::{Card, Console, PATIENCE, Sticks, alone, board, boot, inputs};
use crate::emulator::{or_skip, tool};
use eyelet::image::mbr;
use eyelet::slot::Slot;
use eyelet::update::Label;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;

/// Bytes of partition table and label.
const HEAD: usize = 4096;

/// Keys, and what they sign.
struct Keys {
    folder: TempDir,
}

impl Keys {
    fn new(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = Self { folder };
        for name in names {
            let (public, secret) = (keys.public(name), keys.path(&format!("{name}.key")));
            minisign(&["-G", "-W", "-p", &public, "-s", &secret]);
        }
        keys
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn public(&self, name: &str) -> String {
        self.path(&format!("{name}.pub"))
    }

    /// The signature of `contents` by `name`, with these words more for minisign.
    fn sign(&self, name: &str, contents: &[u8], more: &[&str]) -> Vec<u8> {
        let (file, secret) = (self.path("new.img"), self.path(&format!("{name}.key")));
        fs::write(&file, contents).unwrap();
        minisign(&[&["-S", "-s", &secret, "-m", &file], more].concat());
        fs::read(self.path("new.img.minisig")).unwrap()
    }
}

fn minisign(arguments: &[&str]) {
    let mut command = Command::new("minisign");
    command.args(arguments).stdout(Stdio::null());
    assert!(command.status().unwrap().success(), "{arguments:?}");
}

/// An image of a version; with the owner's key, or without one.
fn image(inputs: &super::Inputs, version: &str, key: Option<&str>) -> Vec<u8> {
    let board = board("auto", "");
    let mut more = vec!["--version", version];
    more.extend(key.into_iter().flat_map(|key| ["--public-key", key]));
    let card = Card::make(inputs, board.path(), &more);
    fs::read(&card.path).unwrap()
}

fn with_flipped_bit(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

fn find(bytes: &[u8], words: &str) -> usize {
    let mut windows = bytes.windows(words.len());
    windows
        .position(|window| window == words.as_bytes())
        .unwrap()
}

/// The same image, which says that it is for another machine.
fn for_another_machine(image: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    let mut label = Label::read(&mut Cursor::new(&image[..HEAD]), "it").unwrap();
    label.machine = "raspberry-pi-3".to_owned();
    image[512..HEAD].copy_from_slice(&label.sectors());
    image
}

/// A stick's image and signature, and what the board says of it.
struct Wrong<'a> {
    what: &'static str,
    image: &'a [u8],
    /// A bit of the image that is another one on the stick.
    flipped: Option<usize>,
    signature: Option<Vec<u8>>,
    refusal: &'static str,
}

/// Plugs in sticks.
struct Desk {
    console: Console,
    sticks: Sticks,
    count: u32,
}

impl Desk {
    fn plug(&mut self, image: Vec<u8>, signature: Option<&[u8]>) -> (String, PathBuf) {
        self.count += 1;
        let name = format!("stick{}", self.count);
        let file = self.sticks.with_signed(&name, image, signature);
        self.console.board.plug_stick(&name, &file);
        (name, file)
    }

    fn unplug(&mut self, (name, file): (String, PathBuf)) {
        self.console.board.unplug_stick(&name);
        fs::remove_file(file).unwrap();
    }

    /// The board takes it, tries it and keeps it.
    fn is_taken(&mut self, version: &str, slot: char, image: Vec<u8>, signature: &[u8]) {
        let began = Instant::now();
        let stick = self.plug(image, Some(signature));
        let mut wait = |text: &str| self.console.wait_for(text, PATIENCE);
        wait(&format!(
            "signed system {version} is in slot {slot} and was read back"
        ));
        let seconds = began.elapsed().as_secs_f64();
        println!("{version} is verified and in slot {slot} after {seconds:.1} s");
        wait(&format!("rebooting: update: trying system {version}"));
        wait(&format!("slot {slot} on trial, system {version} ("));
        wait("trial passed");
        wait("is already running");
        self.unplug(stick);
    }
}

fn slot_begin(image: &[u8], slot: Slot) -> usize {
    let partitions = mbr::partitions(image).unwrap();
    partitions[slot.partition() - 1].bytes.start as usize
}

#[test]
#[ignore = "boots an emulated board: `cargo test --test update -- --ignored`"]
fn a_system_with_a_key_takes_signed_sticks_alone() {
    let _alone = alone();
    let Some(inputs) = inputs() else { return };
    let minisign = tool("minisign", "apt install minisign");
    let Some(()) = or_skip(minisign) else { return };
    let keys = Keys::new(&["owner", "stranger"]);
    let owner = keys.public("owner");

    let board_file = board("auto", "");
    let arguments = ["--version", "1.1.0", "--public-key", &owner];
    let card = Card::make(&inputs, board_file.path(), &arguments);
    let new = image(&inputs, "1.2.0", Some(&owner));
    let old = image(&inputs, "1.0.0", Some(&owner));
    let keyless = image(&inputs, "1.3.0", None);
    let foreign = for_another_machine(&new);
    let right = keys.sign("owner", &new, &[]);
    // In the second line, behind the key's number; a letter whose neighbour is one too, so that it stays a signature.
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() && (byte ^ 1).is_ascii_alphabetic();
    let mut places = right.len() / 3..right.len();
    let in_signature = places.find(|&at| is_letter(right[at])).unwrap();
    let wrong = [
        Wrong {
            what: "unsigned",
            image: &new,
            flipped: None,
            signature: None,
            refusal: "there is no eyelet-update.img.minisig",
        },
        Wrong {
            what: "another key",
            image: &new,
            flipped: None,
            signature: Some(keys.sign("stranger", &new, &[])),
            refusal: "was made with another key than this card's",
        },
        Wrong {
            what: "a bit of the label",
            image: &new,
            flipped: Some(512 + find(&new[512..HEAD], "1.2.0")),
            signature: Some(right.clone()),
            refusal: "does not match this image",
        },
        Wrong {
            what: "a bit of the slot that would be written",
            image: &new,
            flipped: Some(slot_begin(&new, Slot::B) + (20 << 20)),
            signature: Some(right.clone()),
            refusal: "the update is damaged: slot b",
        },
        Wrong {
            what: "a bit of the slot that would not be",
            image: &new,
            flipped: Some(slot_begin(&new, Slot::A) + (20 << 20)),
            signature: Some(right.clone()),
            refusal: "does not match this image",
        },
        Wrong {
            what: "a bit of the signature",
            image: &new,
            flipped: None,
            signature: Some(with_flipped_bit(&right, in_signature)),
            refusal: "does not match this image",
        },
        Wrong {
            what: "a bit of the trusted comment",
            image: &new,
            flipped: None,
            signature: Some(with_flipped_bit(&right, find(&right, "timestamp:") + 12)),
            refusal: "does not match this image",
        },
        Wrong {
            what: "half of a signature",
            image: &new,
            flipped: None,
            signature: Some(right[..right.len() / 2].to_vec()),
            refusal: "is not a minisign signature",
        },
        Wrong {
            what: "a signature of another file",
            image: &new,
            flipped: None,
            signature: Some(keys.sign("owner", b"another file", &[])),
            refusal: "does not match this image",
        },
        Wrong {
            what: "minisign's old form",
            image: &new,
            flipped: None,
            signature: Some(keys.sign("owner", &new, &["-l"])),
            refusal: "has minisign's old format",
        },
        Wrong {
            what: "an older version",
            signature: Some(keys.sign("owner", &old, &[])),
            image: &old,
            flipped: None,
            refusal: "its version, 1.0.0, is older than the running 1.1.0",
        },
        Wrong {
            what: "another machine",
            signature: Some(keys.sign("owner", &foreign, &[])),
            image: &foreign,
            flipped: None,
            refusal: "it is for raspberry-pi-3, and the card is for virt",
        },
        Wrong {
            what: "no key in it",
            signature: Some(keys.sign("owner", &keyless, &[])),
            image: &keyless,
            flipped: None,
            refusal: "it has no public key",
        },
    ];
    let before = super::sha256(&card.path);
    let mut desk = Desk {
        console: boot(&inputs, &card, &[]),
        sticks: Sticks::new(),
        count: 0,
    };
    let message = desk.console.wait_for("signed with the key of ", PATIENCE);
    let key = fs::read_to_string(&owner).unwrap();
    assert!(message.ends_with(key.lines().nth(1).unwrap()), "{message}");
    desk.console.wait_for("first class after ", PATIENCE);
    for wrong in wrong {
        let began = Instant::now();
        let image = match wrong.flipped {
            Some(at) => with_flipped_bit(wrong.image, at),
            None => wrong.image.to_vec(),
        };
        let stick = desk.plug(image, wrong.signature.as_deref());
        let message = desk.console.wait_for("no update: ", PATIENCE);
        assert!(message.contains(wrong.refusal), "{}: {message}", wrong.what);
        let seconds = began.elapsed().as_secs_f64();
        println!("refused after {seconds:.1} s: {}", wrong.what);
        desk.unplug(stick);
        is_untouched(&card.path, before, wrong.what);
    }
    desk.is_taken("1.2.0", 'b', new, &right);
    let permit = keys.sign("owner", &old, &["-t", "allow-older"]);
    desk.is_taken("1.0.0", 'a', old, &permit);
    drop(desk);
    assert!(card.u_boot_state().starts_with("slot=a\ntrial=\n"));
}

fn is_untouched(card: &Path, before: [u8; 32], what: &str) {
    assert!(
        super::sha256(card) == before,
        "{what}: the card was written"
    );
}
