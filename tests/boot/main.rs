//! The image itself, booted as a board boots its card: `eyelet image` with real packages, U-Boot from the same distribution,
//! the kernel and the first program out of the image's slot, a camera, a display, the class.
//!
//! `cargo test --test boot -- --ignored`
//!
//! Needs what `tests/board` needs, and the packages u-boot-qemu, u-boot-rpi and raspi-firmware through apt (or the latter's
//! file in `EYELET_RASPI_FIRMWARE`); for `sensor_camera` what `tests/kernel/build-modules` needs, dtc and fdtoverlay. What is missing makes a test say "skipped", unless `CI` or `EYELET_REQUIRE_BOARD` is set.

#![allow(clippy::unwrap_used)]

#[path = "../emulator/mod.rs"]
mod emulator;
mod machine;
mod raspberry_pi;
mod ribbon_camera;
mod sensor_camera;

use emulator::{MODEL, Missing, Photo, alone, or_skip, pictures, screen, shared};
use machine::{Card, Console, Inputs};
use raspberry_pi::{KERNEL_CONSOLE, Model, Pi};
use std::time::Duration;

/// From a sleeping QEMU to a class: U-Boot, the kernel, the model.
const BOOT_PATIENCE: Duration = Duration::from_secs(300);
/// The photos that are shown.
const PHOTOS: [&str; 2] = ["cat", "daisy"];

/// A board's clock goes on while its emulator waits for a processor, and its watchdog would reset it.
const PATIENT: &str = "\n[policy]\nwatchdog_s = 300\nstart_s = 3600\n";

/// A board file of `boards/`, changed where the test needs it, as a file.
fn board_file(name: &str, changes: &[(&str, &str)]) -> tempfile::NamedTempFile {
    let path = format!("{}/boards/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let mut text = std::fs::read_to_string(path).unwrap();
    for (from, into) in changes {
        assert!(text.contains(from), "{name}.toml has no {from:?}");
        text = text.replace(from, into);
    }
    text += PATIENT;
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

/// The virt board: U-Boot, slot A, a USB camera, a virtio display. The second photo shows that classes follow the camera,
/// and the card has the bytes that it had before.
#[test]
#[ignore = "boots an image: `cargo test --test boot -- --ignored`"]
fn virt_boots_its_image_into_the_classifier() {
    let _alone = alone();
    let Some((inputs, photos)) = or_skip(prepare()) else {
        return;
    };
    let board = board_file("virt", &[]);
    let card = Card::make(&inputs, board.path(), &[]);
    let before = card.sha256();
    let mut console = Console::boot_virt(&inputs, &card, &[]);
    let camera = console
        .board
        .plug_camera(pictures::seen(&photos[0].picture));
    console.wait_for("eyelet: slot a", BOOT_PATIENCE);
    console.class(&photos[0].label, BOOT_PATIENCE);
    let first = console.first_class();
    println!("virt: {first}");
    console
        .board
        .screen(|screen| photos[0].is_on(screen, &photos));
    camera.show(pictures::seen(&photos[1].picture));
    console.class(&photos[1].label, BOOT_PATIENCE);
    console
        .board
        .screen(|screen| photos[1].is_on(screen, &photos));
    drop(console);
    drop(camera);
    assert_eq!(
        card.sha256(),
        before,
        "a normal run writes nothing to the card"
    );
}

/// The trial of U-Boot: asked for slot B once, it boots slot B once and slot A after that.
#[test]
#[ignore = "boots an image: `cargo test --test boot -- --ignored`"]
fn a_trial_of_the_other_slot_lasts_one_boot() {
    let _alone = alone();
    let Some((inputs, _)) = or_skip(prepare()) else {
        return;
    };
    let board = board_file("virt", &[]);
    let card = Card::make(&inputs, board.path(), &[]);
    card.set_u_boot_state("slot=a\ntrial=b\n");
    for (slot, line) in [
        (
            "b",
            "eyelet.loader=u-boot eyelet.disk=virtio eyelet.trial=1",
        ),
        ("a", "eyelet.loader=u-boot eyelet.disk=virtio"),
    ] {
        let mut console = Console::boot_virt(&inputs, &card, &[]);
        console.wait_for(&format!("eyelet: slot {slot}"), BOOT_PATIENCE);
        let appended = console.wait_for("append: ", BOOT_PATIENCE);
        let words = format!(" eyelet.slot={slot} {line}");
        assert!(appended.trim_end().ends_with(&words), "{appended}");
        console.wait_for(&format!("slot {slot}"), BOOT_PATIENCE);
    }
    assert_eq!(card.u_boot_state().trim_end_matches(['\n', '\0']), "slot=a");
    // A slot whose kernel is gone is passed over.
    card.break_slot_a();
    let mut console = Console::boot_virt(&inputs, &card, &[]);
    console.wait_for("eyelet: that slot does not boot", BOOT_PATIENCE);
    console.wait_for("eyelet.slot=b", BOOT_PATIENCE);
    console.wait_for("Starting kernel", BOOT_PATIENCE);
}

/// The shell of a board whose file asks for one: what is typed on the serial line is run by root, and a shell that is left is
/// started again, while frames are classified.
#[test]
#[ignore = "boots an image: `cargo test --test boot -- --ignored`"]
fn what_is_typed_on_the_serial_line_is_run_where_the_board_file_asks_for_a_shell() {
    let _alone = alone();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/qdq-whole.onnx");
    let Some(inputs) = or_skip(Inputs::gather(model.into())) else {
        return;
    };
    let Some(busybox) = or_skip(machine::busybox()) else {
        return;
    };
    let vivid = "machine = \"virt\"\nshell = true\nmodules = [\"vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x00\"]";
    let board = board_file("virt", &[("machine = \"virt\"", vivid)]);
    let card = Card::make(
        &inputs,
        board.path(),
        &["--busybox", busybox.to_str().unwrap()],
    );
    let mut console = Console::boot_virt(&inputs, &card, &[]);
    console.wait_for("a shell runs on /dev/ttyAMA0", BOOT_PATIENCE);
    console.first_class();
    let typed = "echo $((6 * 7)) $(cat /proc/1/comm) $(id -u)";
    console.board.type_line(typed);
    console.wait_for("42 init 0", BOOT_PATIENCE);
    console.board.type_line("exit");
    console.wait_for("built-in shell", BOOT_PATIENCE);
    // What is typed before there is a prompt may be lost, and a prompt is not a line that could be waited for.
    for _ in 0..10 {
        console.board.type_line("echo again $((7 * 7))");
        std::thread::sleep(Duration::from_secs(1));
    }
    console.wait_for("again 49", BOOT_PATIENCE);
    console.board.type_line("reboot");
    console.wait_for("rebooting: asked to reboot", BOOT_PATIENCE);
}

/// A Raspberry Pi 3 as far as QEMU has one: its own device tree, its SD card, U-Boot in place of the Pi's firmware, the
/// kernel's virtual camera in place of one on USB, the framebuffer that the firmware would set up.
#[test]
#[ignore = "boots an image: `cargo test --test boot -- --ignored`"]
fn raspberry_pi_3_boots_its_image_into_the_classifier() {
    let _alone = alone();
    let Some((inputs, _)) = or_skip(prepare()) else {
        return;
    };
    let Some(pi) = or_skip(Pi::gather(&inputs, Model::Three)) else {
        return;
    };
    // QEMU's reset controller knows no delay: a watchdog that is armed resets the board at once.
    let vivid = "machine = \"raspberry-pi-3\"\nmodules = [\"vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x00\"]\nwithout_modules = [\"bcm2835_wdt\"]";
    let board = board_file(
        "raspberry-pi-3",
        &[
            ("machine = \"raspberry-pi-3\"", vivid),
            (
                "width_px = 640\nheight_px = 480",
                "width_px = 320\nheight_px = 180",
            ),
        ],
    );
    let card = Card::make(
        &inputs,
        board.path(),
        &["--firmware", pi.firmware.to_str().unwrap()],
    );
    let before = card.sha256();
    let mut console = pi.boot(&card);
    console.wait_for("eyelet: slot a", BOOT_PATIENCE);
    // What vivid shows has no class of ImageNet; that frames are classified and shown is what counts here.
    let first = console.first_class();
    println!("raspberry-pi-3: {first}");
    console.board.screen(screen::shows_something);
    drop(console);
    assert_eq!(
        card.sha256(),
        before,
        "a normal run writes nothing to the card"
    );
}

/// A Raspberry Pi 4 as far as QEMU has one: a photo on the card in place of a camera, whose label and picture are on the
/// framebuffer that the firmware sets up.
#[test]
#[ignore = "boots an image: `cargo test --test boot -- --ignored`"]
fn raspberry_pi_4_boots_its_image_into_the_classifier() {
    let _alone = alone();
    let Some((inputs, photos)) = or_skip(prepare()) else {
        return;
    };
    let Some(pi) = or_skip(Pi::gather(&inputs, Model::Four)) else {
        return;
    };
    // Beside the board file, so that it goes beside it on the card.
    let photo = tempfile::Builder::new().suffix(".png").tempfile().unwrap();
    photos[0].picture.save(photo.path()).unwrap();
    let name = photo.path().file_name().unwrap();
    let still = format!("\n[camera.still]\nfiles = [{name:?}]\nrepeat = true\n\n[display");
    // QEMU's reset controller knows no delay: a watchdog that is armed resets the board at once.
    let machine = format!(
        "machine = \"raspberry-pi-4\"\nkernel_arguments = \"{KERNEL_CONSOLE}\"\nwithout_modules = [\"bcm2835_wdt\"]"
    );
    let board = board_file(
        "raspberry-pi-4",
        &[
            (&camera_of("raspberry-pi-4"), &still),
            ("machine = \"raspberry-pi-4\"", &machine),
        ],
    );
    let card = Card::make(
        &inputs,
        board.path(),
        &["--firmware", pi.firmware.to_str().unwrap()],
    );
    let before = card.sha256();
    let mut console = pi.boot(&card);
    console.wait_for("eyelet: slot a", BOOT_PATIENCE);
    console.class(&photos[0].label, BOOT_PATIENCE);
    // Said before or after the first class, and only where the card's data partition can be read.
    console.expect_line("last reboot: power", BOOT_PATIENCE);
    let first = console.first_class();
    println!("raspberry-pi-4: {first}");
    console
        .board
        .screen(|screen| photos[0].is_on(screen, &photos));
    drop(console);
    assert_eq!(
        card.sha256(),
        before,
        "a normal run writes nothing to the card"
    );
}

/// What a board file of `boards/` says of its camera, to where its display begins.
fn camera_of(name: &str) -> String {
    let path = format!("{}/boards/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    // The heads of the tables, at the beginning of a line.
    let (from, display) = ("\n[camera.", "\n[display");
    let at = text.find(from).unwrap();
    let length = text[at..].find(display).unwrap() + display.len();
    text[at..][..length].to_owned()
}

fn prepare() -> Result<(Inputs, Vec<Photo>), Missing> {
    let shared = shared()?;
    let inputs = Inputs::gather(shared.join(MODEL))?;
    let photos = Photo::load(&shared, &PHOTOS);
    Ok((inputs, photos))
}
