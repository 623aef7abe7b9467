//! `eyelet flash` from the outside: into a file, and what is not a card. Refusals of real devices are tested in
//! `src/flash/device.rs`, on a made-up `/sys`.

#![allow(clippy::unwrap_used)]

mod common;

use eyelet::image::DISK_ID;
use eyelet::image::mbr::{self, Partition};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

/// The first sector of a disk with four partitions.
fn sector(disk_id: u32) -> [u8; 512] {
    let table = [1, 2, 3, 4].map(|number| Partition {
        bytes: number * MIB..(number + 1) * MIB,
        bootable: number == 1,
    });
    mbr::sector(disk_id, &table)
}

/// A disk of 10 MiB with something in it.
fn image(folder: &Path) -> PathBuf {
    let mut bytes: Vec<u8> = (0..10 * MIB).map(|at| (at / 777) as u8).collect();
    bytes[..512].copy_from_slice(&sector(7));
    let path = folder.join("sd.img");
    fs::write(&path, bytes).unwrap();
    path
}

fn flash(image: &Path, more: &[&str]) -> Output {
    common::eyelet(Path::new("."))
        .arg("flash")
        .arg(image)
        .args(more)
        .output()
        .unwrap()
}

#[test]
fn a_file_gets_every_byte_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path());
    // A new name, an empty file, and a longer image of `eyelet image`, also through a link.
    let at = |name: &str| folder.path().join(name);
    fs::write(at("empty"), "").unwrap();
    let mut older = vec![1; 11 << 20];
    older[..512].copy_from_slice(&sector(DISK_ID));
    fs::write(at("older"), &older).unwrap();
    fs::write(at("linked"), &older).unwrap();
    symlink("linked", at("link")).unwrap();
    for (name, place) in [
        ("new", "new"),
        ("empty", "empty"),
        ("older", "older"),
        ("link", "linked"),
    ] {
        let output = flash(&image, &["--to", at(name).to_str().unwrap()]);
        assert!(output.status.success(), "{output:?}");
        assert!(!at(place).is_symlink());
        assert!(fs::read(at(place)).unwrap() == fs::read(&image).unwrap());
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(
            printed.contains("10485760 bytes written and read back, sha256 "),
            "{printed}"
        );
        let stages = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            stages,
            "writing 10485760 bytes\nreading back 10485760 bytes\n"
        );
    }
    assert!(at("link").is_symlink());
}

#[test]
fn a_file_that_is_no_image_is_not_replaced() {
    const OUTPUT: i32 = 11;
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path());
    let target = folder.path().join("card");
    for contents in [vec![1; 11 << 20], b"something of value".to_vec()] {
        fs::write(&target, &contents).unwrap();
        let output = flash(&image, &["--to", target.to_str().unwrap()]);
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(OUTPUT), "{printed}");
        assert!(
            printed.contains("the existing file is not an image: choose another name"),
            "{printed}"
        );
        assert_eq!(printed.lines().count(), 1, "{printed}");
        assert!(fs::read(&target).unwrap() == contents);
    }
    assert_eq!(common::names_in(folder.path()), ["card", "sd.img"]);
}

#[test]
fn a_file_that_is_interrupted_is_absent() {
    const OUTPUT: i32 = 11;
    if common::emulated() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path());
    // Holes, so that writing takes a while and the image takes no room.
    let file = fs::File::options().write(true).open(&image).unwrap();
    file.set_len(256 << 20).unwrap();
    for (signal, name) in [(libc::SIGTERM, "SIGTERM"), (libc::SIGINT, "SIGINT")] {
        // A program that was faster than the signal is started again.
        let was_caught = (0..10).any(|_| {
            let arguments = ["flash", "sd.img", "--to", "card"];
            let mut child = common::start_eyelet(folder.path(), &arguments);
            let began = Instant::now();
            while child.try_wait().unwrap().is_none() {
                let names = common::names_in(folder.path());
                if names.iter().any(|name| name.starts_with(".eyelet-image")) {
                    common::send_signal(&child, signal);
                    break;
                }
                assert!(began.elapsed() < Duration::from_secs(60));
            }
            let output = child.wait_with_output().unwrap();
            let is_there = fs::remove_file(folder.path().join("card")).is_ok();
            assert_eq!(common::names_in(folder.path()), ["sd.img"], "{name}");
            assert_eq!(output.status.success(), is_there, "{output:?}");
            if is_there {
                return false;
            }
            let message = String::from_utf8(output.stderr).unwrap();
            let words = format!("cannot write card: ended by {name}; the unfinished file was");
            assert!(message.contains(&words), "{message}");
            assert_eq!(output.status.code(), Some(OUTPUT), "{message}");
            true
        });
        assert!(was_caught, "{name} always came too late");
    }
}

#[test]
fn a_target_that_is_no_card_is_refused_in_one_line() {
    const DEVICE: i32 = 13;
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path());
    let text = folder.path().join("text");
    fs::write(&text, "no image").unwrap();
    let text = text.to_str().unwrap();
    let cases: [(&Path, &[&str], &str); 6] = [
        (
            &image,
            &[text],
            "it is not a block device; --to FILE writes a file",
        ),
        (&image, &["/dev/null"], "it is not a block device"),
        (
            &image,
            &["/dev/none"],
            "cannot write /dev/none: No such file",
        ),
        (
            &image,
            &["--to", "/dev/null"],
            "to write a card, pass it without --to",
        ),
        (
            Path::new(text),
            &["--to", "never"],
            "it has no partition table",
        ),
        (
            Path::new("/none.img"),
            &["/dev/null"],
            "image /none.img cannot be used",
        ),
    ];
    for (image, more, message) in cases {
        let output = flash(image, more);
        let printed = String::from_utf8(output.stderr).unwrap();
        assert!(printed.contains(message), "{more:?}: {printed}");
        assert_eq!(printed.lines().count(), 1, "{printed}");
        assert_eq!(output.status.code(), Some(DEVICE), "{printed}");
    }
    assert_eq!(fs::read_to_string(text).unwrap(), "no image");
    assert!(!Path::new("never").exists());
    assert_eq!(flash(&image, &[]).status.code(), Some(2), "no device named");
}

#[test]
fn outputs_that_are_named_twice_or_wrongly_are_neither_destroyed_nor_waited_for() {
    const DEVICE: i32 = 13;
    const OUTPUT: i32 = 11;
    if common::emulated() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let image = image(folder.path());
    let before = fs::read(&image).unwrap();
    symlink("sd.img", at("link.img")).unwrap();
    fs::hard_link(&image, at("hard.img")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    symlink("folder/none/file", at("nowhere")).unwrap();
    symlink("/dev/zero", at("zero")).unwrap();
    let status = Command::new("mkfifo").arg(at("pipe")).status().unwrap();
    assert!(status.success());
    let _socket = UnixListener::bind(at("socket")).unwrap();
    fs::write(at("cut.img"), &before[..4 << 20]).unwrap();
    fs::write(at("empty.img"), "").unwrap();
    fs::write(at("other"), "something of value").unwrap();
    let itself = "is the image itself: choose another file";
    let cases: [(&str, &[&str], i32, &str); 23] = [
        ("sd.img", &["--to", "sd.img"], DEVICE, itself),
        ("sd.img", &["--to", "./folder/../sd.img"], DEVICE, itself),
        ("sd.img", &["--to", "link.img"], DEVICE, itself),
        ("sd.img", &["--to", "hard.img"], DEVICE, itself),
        ("link.img", &["--to", "sd.img"], DEVICE, itself),
        ("hard.img", &["--to", "link.img"], DEVICE, itself),
        ("sd.img", &["--to", "pipe"], DEVICE, "not a file but a pipe"),
        (
            "sd.img",
            &["--to", "socket"],
            DEVICE,
            "not a file but a socket",
        ),
        (
            "sd.img",
            &["--to", "folder"],
            DEVICE,
            "not a file but a folder",
        ),
        (
            "sd.img",
            &["--to", "zero"],
            DEVICE,
            "not a file but a device",
        ),
        (
            "sd.img",
            &["--to", "nowhere"],
            DEVICE,
            "a link that leads nowhere",
        ),
        (
            "sd.img",
            &["--to", "none/card"],
            OUTPUT,
            "cannot write none/card",
        ),
        ("sd.img", &["pipe"], DEVICE, "it is not a block device"),
        ("sd.img", &["folder"], DEVICE, "it is not a block device"),
        ("sd.img", &["sd.img"], DEVICE, "it is not a block device"),
        ("pipe", &["--to", "other"], DEVICE, "not a file but a pipe"),
        (
            "socket",
            &["--to", "other"],
            DEVICE,
            "not a file but a socket",
        ),
        (
            "folder",
            &["--to", "other"],
            DEVICE,
            "not a file but a folder",
        ),
        (
            "zero",
            &["--to", "other"],
            DEVICE,
            "not a file but a device",
        ),
        ("nowhere", &["--to", "other"], DEVICE, "No such file"),
        (
            "empty.img",
            &["--to", "other"],
            DEVICE,
            "it has no partition table",
        ),
        ("cut.img", &["--to", "other"], DEVICE, "it was cut off"),
        (
            "other",
            &["--to", "other"],
            DEVICE,
            "it has no partition table",
        ),
    ];
    for (image, more, code, words) in cases {
        let mut command = common::eyelet(folder.path());
        command.arg("flash").arg(image).args(more);
        let run = common::run_promptly(&command);
        let printed = &run.stderr;
        assert_eq!(run.code, code, "{image} {more:?}: {printed}");
        assert!(printed.contains(words), "{image} {more:?}: {printed}");
        assert_eq!(printed.lines().count(), 1, "{printed}");
        assert!(
            fs::read(at("sd.img")).unwrap() == before,
            "{image} {more:?}"
        );
        let other = fs::read_to_string(at("other")).unwrap();
        assert_eq!(other, "something of value", "{image} {more:?}");
        assert!(!at("folder/none").exists() && !at("none").exists());
    }
}
