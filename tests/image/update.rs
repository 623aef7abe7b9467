//! `eyelet update` from the outside: the idle slot of a card's file is written from an image, and marked for its trial; what
//! is wrong with an image or a card is said, and nothing is written.

use super::{Disk, Workshop, common};
use eyelet::image::fat::{self, Files};
use eyelet::slot::Slot;
use eyelet::update::{Chooser, System};
use std::fs;
use std::path::Path;

impl Workshop {
    /// An image of this version, as a file of this name.
    pub fn version(&self, version: &str, name: &str, more: &[&str]) {
        let output = ["--board", "virt", "--version", version, "--output", name];
        let output = self.image(&[&output, more].concat());
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{message}");
    }

    /// Runs `eyelet update`: its exit code, and the one line that it prints.
    pub(super) fn update(&self, image: &str, card: &str) -> (i32, String) {
        let output = common::eyelet(self.folder.path())
            .args(["update", image, card])
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        (output.status.code().unwrap(), text)
    }

    /// The versions in the slots, the one that boots, and the one that waits.
    fn state(&self, card: &str) -> ([Option<String>; 2], Slot, Option<Slot>) {
        let mut file = fs::File::options()
            .read(true)
            .write(true)
            .open(self.path(card))
            .unwrap();
        let versions = [Slot::A, Slot::B].map(|slot| {
            let system = System::in_slot(&mut file, slot);
            system.ok().map(|system| system.version)
        });
        let current = Chooser::UBoot.current(&mut file).unwrap();
        (versions, current, Chooser::waiting(&mut file).unwrap())
    }
}

fn versions(a: &str, b: &str) -> [Option<String>; 2] {
    [Some(a.to_owned()), Some(b.to_owned())]
}

fn copy(workshop: &Workshop, from: &str, to: &str) {
    fs::copy(workshop.path(from), workshop.path(to)).unwrap();
}

#[test]
fn the_idle_slot_gets_the_new_system_and_waits_for_its_trial() {
    let workshop = Workshop::new();
    workshop.version("1", "one.img", &[]);
    workshop.version("2", "two.img", &[]);
    copy(&workshop, "one.img", "card.img");
    let (code, message) = workshop.update("two.img", "card.img");
    assert_eq!(code, 0, "{message}");
    assert!(message.starts_with("card.img: system 2 is in slot b and was read back, sha256 "));
    assert_eq!(
        workshop.state("card.img"),
        (versions("1", "2"), Slot::A, Some(Slot::B))
    );
    // The slot is, to the byte, that of the image, and everything else but the mark is as it was.
    let (card, two) = (
        Disk::read(&workshop.path("card.img")),
        Disk::read(&workshop.path("two.img")),
    );
    assert!(card.partitions[2] == two.partitions[2]);
    let one = Disk::read(&workshop.path("one.img"));
    assert!(card.partitions[1] == one.partitions[1]);

    // Once more: an update that was not tried yet is replaced by another.
    workshop.version("3", "three.img", &[]);
    let (code, message) = workshop.update("three.img", "card.img");
    assert_eq!(code, 0, "{message}");
    assert_eq!(
        workshop.state("card.img"),
        (versions("1", "3"), Slot::A, Some(Slot::B))
    );
    // Confirmed by the board: from then on the other slot is the idle one.
    let mut file = fs::File::options()
        .read(true)
        .write(true)
        .open(workshop.path("card.img"))
        .unwrap();
    Chooser::UBoot.confirm(&mut file, Slot::B).unwrap();
    let (code, message) = workshop.update("three.img", "card.img");
    assert_eq!(code, 0, "{message}");
    assert!(message.contains("slot b already has this system, 3; nothing was written"));
    let (code, message) = workshop.update("two.img", "card.img");
    assert_eq!(code, 0, "{message}");
    assert_eq!(
        workshop.state("card.img"),
        (versions("2", "3"), Slot::B, Some(Slot::A))
    );
    // Whoever wants the running system does not want the one that waits.
    let (code, message) = workshop.update("three.img", "card.img");
    assert_eq!(code, 0, "{message}");
    assert!(
        message.contains("slot b already has this system, 3; the pending trial of the other slot"),
        "{message}"
    );
    assert_eq!(
        workshop.state("card.img"),
        (versions("2", "3"), Slot::B, None)
    );
}

/// The steps of a board that updates itself from a stick.
#[test]
fn the_running_slot_is_not_written_and_a_trial_may_be_requested_separately() {
    let workshop = Workshop::new();
    workshop.version("1", "card.img", &[]);
    workshop.version("2", "two.img", &[]);
    let run = |arguments: &[&str]| {
        let output = common::eyelet(workshop.folder.path())
            .args(arguments)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let update = |running| {
        let update = ["update", "two.img", "card.img", "--loader", "u-boot"];
        run(&[&update[..], &["--running", running, "--defer-trial"]].concat())
    };
    // `boot.scr` fell back: slot A is the default, and B runs.
    let before = fs::read(workshop.path("card.img")).unwrap();
    let (code, message) = update("b");
    assert_eq!(code, Some(13), "{message}");
    assert!(message.contains("must not be overwritten"), "{message}");
    assert!(fs::read(workshop.path("card.img")).unwrap() == before);

    let (code, message) = update("a");
    assert_eq!(code, Some(0), "{message}");
    let (id, message) = message.split_once('\n').unwrap();
    let manifest = Disk::read(&workshop.path("two.img"));
    assert!(manifest.text(2, "manifest.json").contains(id), "{id}");
    assert!(message.contains("system 2 is in slot b"), "{message}");
    let written = versions("1", "2");
    assert_eq!(workshop.state("card.img"), (written.clone(), Slot::A, None));
    let try_once = ["slots", "try-once", "card.img", "--loader", "u-boot"];
    let (code, message) = run(&[&try_once[..], &["--slot", "b"]].concat());
    assert_eq!((code, &*message), (Some(0), ""));
    assert_eq!(
        workshop.state("card.img"),
        (written, Slot::A, Some(Slot::B))
    );
}

#[test]
fn a_stick_with_the_image_as_a_file_is_as_good_as_the_image() {
    let workshop = Workshop::new();
    workshop.version("1", "card.img", &[]);
    workshop.version("2", "two.img", &[]);
    stick(&workshop.path("stick.img"), &workshop.path("two.img"));
    let before = fs::read(workshop.path("stick.img")).unwrap();
    let (code, message) = workshop.update("stick.img", "card.img");
    assert_eq!(code, 0, "{message}");
    assert_eq!(workshop.state("card.img").0, versions("1", "2"));
    let after = fs::read(workshop.path("stick.img")).unwrap();
    assert!(before == after, "a stick is only read");
}

/// A FAT volume with `image` as eyelet-update.img.
pub fn stick(path: &Path, image: &Path) {
    let name = fat::Name {
        label: "STICK",
        serial: 1,
    };
    let size = 640 << 20;
    let files = Files::from([("eyelet-update.img".to_owned(), fs::read(image).unwrap())]);
    let volume = fat::volume(name, size, &files).unwrap();
    fs::write(path, volume).unwrap();
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(size)
        .unwrap();
}

#[test]
fn an_unusable_update_is_reported_and_nothing_is_written() {
    let workshop = Workshop::new();
    workshop.version("1", "card.img", &[]);
    workshop.version("2", "two.img", &[]);
    let before = fs::read(workshop.path("card.img")).unwrap();
    let refused = |image: &str, code: i32, words: &str| {
        let (exit, message) = workshop.update(image, "card.img");
        assert_eq!(exit, code, "{message}");
        assert!(message.contains(words), "{message}");
        assert!(fs::read(workshop.path("card.img")).unwrap() == before);
    };
    refused("none.img", 12, "No such file");
    fs::write(workshop.path("text"), vec![b'x'; 4096]).unwrap();
    refused(
        "text",
        12,
        "neither an image nor a FAT volume with eyelet-update.img",
    );

    let mut damaged = fs::read(workshop.path("two.img")).unwrap();
    damaged[(4 + 44 + 192 + 1) << 20] ^= 1;
    fs::write(workshop.path("damaged.img"), &damaged).unwrap();
    refused("damaged.img", 12, "the update is damaged: slot b");
    damaged[512..1024].fill(0);
    fs::write(workshop.path("damaged.img"), &damaged).unwrap();
    refused("damaged.img", 13, "has no label");

    let other = workshop.image(&["--board", "raspberry-pi-3", "--output", "pi.img"]);
    assert!(other.status.success());
    refused(
        "pi.img",
        13,
        "it is for raspberry-pi-3, and the card is for virt",
    );

    // A Raspberry Pi's kernel that is not of Raspberry Pi OS cannot ask for a trial, so none is prepared.
    let newer = [
        "--board",
        "raspberry-pi-3",
        "--version",
        "9",
        "--output",
        "pi9.img",
    ];
    assert!(workshop.image(&newer).status.success());
    let (code, message) = workshop.update("pi9.img", "pi.img");
    assert_eq!(code, 13, "{message}");
    assert!(message.contains("only Raspberry Pi OS's can"), "{message}");

    let (code, message) = workshop.update("two.img", "text");
    assert_eq!(code, 13, "{message}");
    assert!(
        message.contains("was not made by `eyelet image`"),
        "{message}"
    );
}
