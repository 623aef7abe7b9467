//! A card for a Raspberry Pi's ribbon-cable camera that Linux drives itself (`sensor = "imx219"`), with what Raspberry Pi OS's kernel
//! has and Debian's has not: the drivers of receiver and sensors, built from Debian's source, and the sensor's overlay. No emulator
//! has such a sensor, so the drivers load, find the sensor's node, ask the chip for its name and get no answer.

use super::emulator::device_tree::DeviceTree;
use super::emulator::kernel_modules::kernel_with;
use super::emulator::{Missing, alone, or_skip, tool};
use super::machine::{self, Card, Console, Inputs};
use super::raspberry_pi::{PI_3_TREE, boot_without_u_boot};
use super::{BOOT_PATIENCE, board_file, raspberry_pi};
use eyelet::image::kernel::Kernel;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A small network: there is nothing to classify.
const NETWORK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/qdq-whole.onnx");
/// The sensor's overlay, for the I2C bus of any board.
const OVERLAY: &str = include_str!("imx219.dts");
/// The overlay's name in the kernel's package and on the card.
const OVERLAY_FILE: &str = "overlays/imx219.dtbo";
/// What is built for the kernel; a second sensor's driver beside that of the camera.
const MODULES: [&str; 3] = ["bcm2835-unicam", "imx219", "ov5647"];
const SENSOR: &str = "camera-sensor@10";
const RECEIVER: &str = "/soc/csi@7e801000";
/// How long the shell may take for a command.
const SHELL_PATIENCE: Duration = Duration::from_secs(60);

/// A board, its camera connector's I2C bus by its label, and by its path in the tree.
struct Connector {
    tree: &'static str,
    bus_label: &'static str,
    bus: &'static str,
}

const PI_3: Connector = Connector {
    tree: PI_3_TREE,
    bus_label: "i2c0",
    bus: "/soc/i2c@7e205000",
};
const PI_4: Connector = Connector {
    tree: "bcm2711-rpi-4-b.dtb",
    bus_label: "i2c0_1",
    bus: "/i2c-mux0/i2c@1",
};

/// The card has modules, overlay and the lines of config.txt. The overlay applies to the card's device trees and joins sensor and
/// receiver. Booted with that tree, the drivers are loaded and the sensor's is bound to the node; the board waits for its camera.
#[test]
#[ignore = "boots an image: `cargo test --test boot sensor_camera -- --ignored`"]
fn a_card_for_a_sensor_loads_its_drivers_and_applies_its_overlay() {
    let _alone = alone();
    let Some((mut inputs, [firmware, busybox])) = or_skip(gather()) else {
        return;
    };
    let overlay = compiled(&PI_3);
    let overlays = [(OVERLAY_FILE, overlay.as_slice())];
    let Some(kernel) = or_skip(kernel_with("sensor-modules", &MODULES, &overlays)) else {
        return;
    };
    inputs.kernel = kernel.into();
    // QEMU's reset controller knows no delay: a watchdog that is armed resets the board at once.
    let machine = "machine = \"raspberry-pi-3\"\nshell = true\nmodules = [\"ov5647\"]\nwithout_modules = [\"bcm2835_wdt\"]";
    let board = board_file(
        "raspberry-pi-3",
        &[
            ("[camera.v4l2]", "[camera.v4l2]\nsensor = \"imx219\""),
            // Those of webcams.
            (
                "formats = [\"yuyv\", \"uyvy\", \"nv12\", \"yu12\", \"mjpeg\", \"rgb24\", \"bgr24\", \"grey\"]\n",
                "",
            ),
            ("machine = \"raspberry-pi-3\"", machine),
        ],
    );
    let packages = ["--firmware", firmware.to_str().unwrap()];
    let shell = ["--busybox", busybox.to_str().unwrap()];
    let card = Card::make(&inputs, board.path(), &[packages, shell].concat());
    assert_eq!(card.file(OVERLAY_FILE), overlay);
    let config = String::from_utf8(card.file("config.txt")).unwrap();
    for line in ["camera_auto_detect=0", "dtoverlay=imx219"] {
        assert!(config.lines().any(|there| there == line), "{config}");
    }

    // What the Pi's firmware does before it starts Linux.
    let kernel = Kernel::open(&inputs.kernel).unwrap();
    applied(&PI_4, &kernel.device_trees[PI_4.tree], &compiled(&PI_4));
    let tree = applied(&PI_3, &card.file(PI_3.tree), &overlay);

    let mut console = boot_without_u_boot(&card, &tree);
    console.wait_for(" modules loaded in ", BOOT_PATIENCE);
    console.expect_line("warn no camera yet", BOOT_PATIENCE);
    // The sensor's driver, which has found its node and asks an empty bus.
    console.expect_line("failed to read chip id 219", BOOT_PATIENCE);
    console.expect_line("a shell runs on /dev/ttyS1", BOOT_PATIENCE);
    let loaded = answer(&mut console, "in-kernel", "sed 's/ .*//' /proc/modules");
    for module in MODULES {
        let name = module.replace('-', "_");
        let mut names = loaded.split_whitespace();
        assert!(names.any(|there| there == name), "{name}: {loaded}");
    }
    let node = format!("/proc/device-tree{}/{SENSOR}", PI_3.bus);
    let compatible = answer(&mut console, "in-tree", &format!("cat {node}/compatible"));
    assert_eq!(compatible.trim_end_matches('\0'), "sony,imx219");
}

/// What the image is made of, with the packages of the Pi's firmware and of the shell.
fn gather() -> Result<(Inputs, [PathBuf; 2]), Missing> {
    for name in ["dtc", "fdtoverlay"] {
        tool(name, "apt install device-tree-compiler")?;
    }
    let packages = [raspberry_pi::firmware()?, machine::busybox()?];
    Ok((Inputs::gather(NETWORK.into())?, packages))
}

/// The overlay for a board.
fn compiled(board: &Connector) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let [source, overlay] = ["imx219.dts", "imx219.dtbo"].map(|name| folder.path().join(name));
    let text = OVERLAY.replace("<&CAMERA_BUS>", &format!("<&{}>", board.bus_label));
    fs::write(&source, text).unwrap();
    run(Command::new("dtc")
        .args(["-q", "-@", "-I", "dts", "-O", "dtb", "-o"])
        .args([&overlay, &source]));
    fs::read(overlay).unwrap()
}

/// The board's tree with the overlay in it, which leads from the sensor to the receiver and back.
fn applied(board: &Connector, tree: &[u8], overlay: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let [base, extra, merged] =
        ["base.dtb", "extra.dtbo", "merged.dtb"].map(|name| folder.path().join(name));
    fs::write(&base, tree).unwrap();
    fs::write(&extra, overlay).unwrap();
    run(Command::new("fdtoverlay")
        .arg("-i")
        .arg(base)
        .arg("-o")
        .args([&merged, &extra]));
    let bytes = fs::read(merged).unwrap();
    let mut merged = DeviceTree::read(&bytes);
    let ends = [format!("{}/{SENSOR}", board.bus), RECEIVER.to_owned()];
    let ends = ends.map(|device| {
        let endpoint = merged.node(&format!("{device}/port/endpoint"));
        (endpoint.cell("phandle"), endpoint.cell("remote-endpoint"))
    });
    let [(sensor, to_receiver), (receiver, to_sensor)] = ends;
    assert_eq!(
        (to_receiver, to_sensor),
        (receiver, sensor),
        "{}",
        board.tree
    );
    bytes
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaint}");
}

/// What a command prints, in one line. The quotes tell the answer from the echo of what was typed.
fn answer(console: &mut Console, name: &str, command: &str) -> String {
    let typed = format!("echo \"{name}\": $({command})");
    console.board.type_line(&typed);
    let mark = format!("{name}: ");
    let line = console.wait_for(&mark, SHELL_PATIENCE);
    let (_, text) = line.split_once(&mark).unwrap();
    text.to_owned()
}
