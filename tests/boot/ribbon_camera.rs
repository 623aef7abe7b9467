//! Cards for a Raspberry Pi's ribbon-cable camera, as far as emulation goes: no emulator has such a camera. Drivers load in their
//! order, their messages are logged, and the board waits for its camera.

use super::emulator::{alone, or_skip};
use super::machine::{Card, Inputs};
use super::raspberry_pi::{self, PI_3_TREE, boot_without_u_boot};
use super::{BOOT_PATIENCE, board_file};

/// A small network: there is nothing to classify.
const NETWORK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/qdq-whole.onnx");

/// `sensor = "firmware"`: the kernel's driver asks the firmware for its camera, gets no answer (there is no firmware), and Eyelet
/// says that there is no camera and opens it again and again.
#[test]
#[ignore = "boots an image: `cargo test --test boot -- --ignored`"]
fn a_card_for_the_firmwares_camera_loads_its_drivers_and_waits() {
    let _alone = alone();
    let Some(inputs) = or_skip(Inputs::gather(NETWORK.into())) else {
        return;
    };
    let Some(firmware) = or_skip(raspberry_pi::firmware()) else {
        return;
    };
    // QEMU's reset controller knows no delay: a watchdog that is armed resets the board at once.
    let machine = "machine = \"raspberry-pi-3\"\nwithout_modules = [\"bcm2835_wdt\"]";
    let policy = "[policy.camera_lost]\ndo = \"reboot\"\nafter_s = 20\n\n[firmware]";
    let board = board_file(
        "raspberry-pi-3",
        &[
            ("[camera.v4l2]", "[camera.v4l2]\nsensor = \"firmware\""),
            ("[firmware]", policy),
            ("machine = \"raspberry-pi-3\"", machine),
        ],
    );
    let card = Card::make(
        &inputs,
        board.path(),
        &["--firmware", firmware.to_str().unwrap()],
    );
    let mut console = boot_without_u_boot(&card, &card.file(PI_3_TREE));
    // The kernel's own words: the camera's driver has called the one below it, which finds no firmware.
    console.wait_for(
        "bcm2835_mmal_vchiq: Failed to initialise VCHI instance",
        BOOT_PATIENCE,
    );
    console.expect_line("warn no camera yet: there is no camera", BOOT_PATIENCE);
    console.expect_line(" modules loaded in ", BOOT_PATIENCE);
    console.wait_for("rebooting: policy: camera lost for 2", BOOT_PATIENCE);
}
