//! Updates on an emulated board: a card booted by U-Boot, a USB stick with a new image, and what becomes of it. One that does
//! the job is kept; one that does not is left; and wherever an update is cut off, the board boots the old system or the new.
//!
//! `cargo test --test update -- --ignored`
//!
//! Needs what `tests/boot` needs for `virt`, without the files of `../shared`. The back end is U-Boot's; that of the Raspberry
//! Pi's firmware runs on no emulator.

#![allow(clippy::unwrap_used)]

mod cut;
#[path = "../emulator/mod.rs"]
mod emulator;
#[allow(dead_code)] // the Raspberry Pi of tests/boot
#[path = "../boot/machine.rs"]
mod machine;
mod signed;

use cut::{CutCard, restore};
use emulator::{alone, or_skip};
use eyelet::image::fat::{self, Files};
use eyelet::slot::Slot;
use eyelet::update::{Chooser, Label, Options, UpdateError, install, with_image};
use machine::{Card, Console, Inputs};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A small network, so that emulation is as fast as the camera.
const MODEL: &str = "tests/fixtures/qdq-whole.onnx";
/// A network whose file is whole, so that `eyelet image` takes it, but which cannot be planned.
const BAD_MODEL: &str = "tests/fixtures/bad-unknown-operator.onnx";
/// From one line that is waited for to the next: U-Boot, the kernel, a slot that is written.
const PATIENCE: Duration = Duration::from_secs(240);

/// The board of the tests: the kernel's virtual camera, slow enough to leave the emulated processor to the update; a short
/// trial.
fn board(camera: &str, more_firmware: &str) -> tempfile::NamedTempFile {
    let text = format!(
        r#"
description = "the update's tests"
tier = "emulation"
model = "mobilenet-v2"
threads = 1
pool_mib = 64
[camera.v4l2]
device = "{camera}"
width_px = 320
height_px = 180
rate_fps = 10
timeout_ms = 2000
[decide]
enter = 0.0
[display.framebuffer]
driver = "virtio_gpu"
[policy]
watchdog_s = 12
start_s = 15
trial_s = 6
[firmware]
machine = "virt"
modules = ["vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x00 no_error_inj=1"]
update_from_sticks = true
{more_firmware}
"#
    );
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    fs::write(file.path(), text).unwrap();
    file
}

fn sound_board() -> tempfile::NamedTempFile {
    board("auto", "")
}

/// An image of a version.
fn image(inputs: &Inputs, board: &tempfile::NamedTempFile, version: &str) -> Card {
    Card::make(inputs, board.path(), &["--version", version])
}

fn inputs() -> Option<Inputs> {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join(MODEL);
    or_skip(Inputs::gather(model))
}

/// USB sticks.
struct Sticks {
    folder: TempDir,
}

impl Sticks {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A FAT volume with `image` in it.
    fn with(&self, image: &Card) -> PathBuf {
        self.with_signed("stick", fs::read(&image.path).unwrap(), None)
    }

    /// A FAT volume of this name with an image and its signature in it.
    fn with_signed(&self, name: &str, image: Vec<u8>, signature: Option<&[u8]>) -> PathBuf {
        let path = self.path(name);
        let name = fat::Name {
            label: "STICK",
            serial: 1,
        };
        let size = 640 << 20;
        let mut files = Files::from([("eyelet-update.img".to_owned(), image)]);
        if let Some(signature) = signature {
            files.insert("eyelet-update.img.minisig".to_owned(), signature.to_owned());
        }
        fs::write(&path, fat::volume(name, size, &files).unwrap()).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(size).unwrap();
        path
    }
}

/// The board with `card`, a watchdog, and these files as USB sticks.
fn boot(inputs: &Inputs, card: &Card, sticks: &[&Path]) -> Console {
    let mut more = ["-device", "i6300esb", "-action", "watchdog=reset"]
        .map(str::to_owned)
        .to_vec();
    for (number, stick) in sticks.iter().enumerate() {
        more.extend([
            "-drive".to_owned(),
            format!(
                "if=none,id=stick{number},format=raw,file={}",
                stick.display()
            ),
            "-device".to_owned(),
            format!("usb-storage,drive=stick{number}"),
        ]);
    }
    let more: Vec<_> = more.iter().map(String::as_str).collect();
    Console::boot_virt(inputs, card, &more)
}

fn sha256(path: &Path) -> [u8; 32] {
    Sha256::digest(fs::read(path).unwrap()).into()
}

/// A stick with a new system: it is installed, tried, kept, and there after another start. A second disk with the very image
/// that is on the card is never taken for the card.
#[test]
#[ignore = "boots an emulated board: `cargo test --test update -- --ignored`"]
fn a_good_update_is_kept() {
    let _alone = alone();
    let Some(inputs) = inputs() else { return };
    let board = sound_board();
    let (card, new) = (image(&inputs, &board, "one"), image(&inputs, &board, "two"));
    let sticks = Sticks::new();
    let stick = sticks.with(&new);
    let twin = sticks.path("twin");
    fs::copy(&card.path, &twin).unwrap();
    let before = [sha256(&stick), sha256(&twin)];

    let mut console = boot(&inputs, &card, &[&twin, &stick]);
    console.wait_for("slot a, system one (", PATIENCE);
    console.wait_for("this system has no public key", PATIENCE);
    console.wait_for("update: writing system two from /dev/sd", PATIENCE);
    console.wait_for("rebooting: update: trying system two in slot b", PATIENCE);
    console.wait_for("slot b on trial, system two (", PATIENCE);
    console.wait_for("last reboot: update: trying system two", PATIENCE);
    console.wait_for("trial passed: frames were finished for 6 s", PATIENCE);
    console.wait_for("is already running", PATIENCE);
    drop(console);
    assert!(card.u_boot_state().starts_with("slot=b\ntrial=\n"));

    let mut console = boot(&inputs, &card, &[&twin, &stick]);
    console.wait_for("slot b, system two (", PATIENCE);
    console.wait_for("first class after ", PATIENCE);
    drop(console);
    assert_eq!(before, [sha256(&stick), sha256(&twin)]);
}

/// A stick with an older system that was left in.
#[test]
#[ignore = "boots an emulated board: `cargo test --test update -- --ignored`"]
fn a_stick_that_was_left_in_does_not_undo_a_later_system() {
    let _alone = alone();
    let Some(inputs) = inputs() else { return };
    let board = sound_board();
    let card = image(&inputs, &board, "one");
    let (one, two) = (image(&inputs, &board, "one"), image(&inputs, &board, "two"));
    let sticks = Sticks::new();
    for (new, name, slot) in [(&two, "two", "b"), (&one, "one", "a")] {
        let stick = sticks.with(new);
        let mut console = boot(&inputs, &card, &[&stick]);
        console.wait_for(&format!("update: writing system {name} from"), PATIENCE);
        console.wait_for(&format!("slot {slot} on trial, system {name} ("), PATIENCE);
        console.wait_for("trial passed", PATIENCE);
        // The record is written before sticks are looked at again.
        console.wait_for("is already running", PATIENCE);
    }
    let stick = sticks.with(&two);
    let mut console = boot(&inputs, &card, &[&stick]);
    console.wait_for("slot a, system one (", PATIENCE);
    console.wait_for("ran on this board before", PATIENCE);
}

/// Boots `card` with `new` on a stick until it is tried, waits for `failure`, and sees that the old system comes back and
/// does not try it again.
fn is_rolled_back(inputs: &Inputs, new: &Card, failure: &str, line_afterwards: &str) {
    let card = image(inputs, &sound_board(), "one");
    let sticks = Sticks::new();
    let stick = sticks.with(new);
    let mut console = boot(inputs, &card, &[&stick]);
    console.wait_for("slot a, system one (", PATIENCE);
    console.wait_for("rebooting: update: trying system two in slot b", PATIENCE);
    console.wait_for("slot b on trial, system two (", PATIENCE);
    console.wait_for(failure, PATIENCE);
    console.wait_for("slot a, system one (", PATIENCE);
    console.wait_for(line_afterwards, PATIENCE);
    console.wait_for("was tried before and failed", PATIENCE);
    console.wait_for(" frames, ", PATIENCE);
    drop(console);
    assert!(card.u_boot_state().starts_with("slot=a\n"));
}

#[test]
#[ignore = "boots an emulated board: `cargo test --test update -- --ignored`"]
fn an_update_whose_model_does_not_load_is_rolled_back() {
    let _alone = alone();
    let Some(mut inputs) = inputs() else { return };
    let bad = Path::new(env!("CARGO_MANIFEST_DIR")).join(BAD_MODEL);
    let sound = std::mem::replace(&mut inputs.model, bad);
    let new = image(&inputs, &sound_board(), "two");
    inputs.model = sound;
    is_rolled_back(
        &inputs,
        &new,
        "rebooting: the slot on trial failed: ",
        "last reboot: the slot on trial failed: ",
    );
}

#[test]
#[ignore = "boots an emulated board: `cargo test --test update -- --ignored`"]
fn an_update_whose_camera_never_gives_a_frame_is_rolled_back() {
    let _alone = alone();
    let Some(inputs) = inputs() else { return };
    let new = image(&inputs, &board("/dev/video7", ""), "two");
    let why = "watchdog: no frame was finished within 15 s";
    is_rolled_back(&inputs, &new, why, &format!("last reboot: {why}"));
}

/// Its kernel finds no first program and panics.
#[test]
#[ignore = "boots an emulated board: `cargo test --test update -- --ignored`"]
fn an_update_whose_kernel_panics_is_rolled_back() {
    let _alone = alone();
    let Some(inputs) = inputs() else { return };
    let wrong = "kernel_arguments = \"rdinit=/nothing panic=1\"";
    let new = image(&inputs, &board("auto", wrong), "two");
    let card = image(&inputs, &sound_board(), "one");
    let sticks = Sticks::new();
    let stick = sticks.with(&new);
    let mut console = boot(&inputs, &card, &[&stick]);
    console.wait_for("rebooting: update: trying system two in slot b", PATIENCE);
    let patience = console.board.patience(PATIENCE);
    loop {
        let line = console.board.line(&patience, "kernel panic").unwrap();
        if line.contains("Kernel panic") {
            break;
        }
    }
    console.wait_for("slot a, system one (", PATIENCE);
    console.wait_for("was tried before and failed", PATIENCE);
}

/// Power is cut at fifty random bytes of an update; the card is booted each time. What boots is the old system or the new one,
/// to the byte, and the update succeeds when it is begun again.
#[test]
#[ignore = "boots an emulated board 50 times: `cargo test --test update -- --ignored`"]
fn power_cut_at_fifty_points_boots_one_of_the_two() {
    const CUTS: usize = 50;
    let _alone = alone();
    let Some(inputs) = inputs() else { return };
    let board = sound_board();
    let (old, new) = (image(&inputs, &board, "one"), image(&inputs, &board, "two"));
    let card = image(&inputs, &board, "one");
    let label = |card: &Card| Label::read(&mut File::open(&card.path).unwrap(), "it").unwrap();
    let labels = [label(&old), label(&new)];

    let whole = CutCard::uncut(&card.path, |card| update(card, &new));
    // The slot's bytes are nearly all of it; what chooses the slot is written behind them.
    let deciding = CutCard::uncut_after_slot(&old.path, &card.path);
    let mut random = fastrand::Rng::with_seed(50);
    let mut cuts: Vec<u64> = (0..CUTS - 15).map(|_| random.u64(..whole)).collect();
    cuts.extend((0..15).map(|_| random.u64(whole - deciding..whole)));
    let began = Instant::now();
    let mut seen = [0; 2];
    for (number, &cut) in (1..).zip(&cuts) {
        restore(&old.path, &card.path);
        let error = CutCard::cut_at(&card.path, cut, |card| update(card, &new)).unwrap_err();
        assert!(error.to_string().contains("power is cut"), "{error}");
        let mut console = boot(&inputs, &card, &[]);
        let line = console.wait_for("init: eyelet ", PATIENCE);
        drop(console);
        let (slot, version) = match () {
            () if line.contains(", slot a, system one (") => (Slot::A, 0),
            () if line.contains(", slot b, system two (") => (Slot::B, 1),
            () if line.contains(", slot b on trial, system two (") => (Slot::B, 1),
            () => panic!("cut at {cut}: {line}"),
        };
        println!(
            "{number} of {CUTS}: cut at {cut} of {whole}: slot {}",
            slot.letter()
        );
        seen[version] += 1;
        let want = labels[version].slot(slot);
        assert_eq!(cut::digest(&card.path, slot, want.bytes), want.sha256);
        cut::check_file_systems(&card.path, slot);
        // Once more, undisturbed.
        let again = CutCard::cut_at(&card.path, u64::MAX, |card| update(card, &new));
        again.unwrap();
        let want = labels[1].slot(Slot::B);
        assert_eq!(cut::digest(&card.path, Slot::B, want.bytes), want.sha256);
    }
    println!(
        "{} times the old system, {} times the new one, in {} s",
        seen[0],
        seen[1],
        began.elapsed().as_secs()
    );
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}

/// A whole update as a board does it: installed, tried, kept.
fn update(card: &mut CutCard, new: &Card) -> Result<(), UpdateError> {
    with_image(&new.path, |brought| {
        install(card, brought, Options::default(), Chooser::UBoot)
    })?;
    Chooser::UBoot.confirm(card, Slot::B)
}

/// Whether there is such a program.
fn has_program(name: &str) -> bool {
    Command::new(name).arg("--help").output().is_ok()
}
