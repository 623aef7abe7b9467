//! Raspberry Pis as far as QEMU has them: the kernel's own device tree, the card in its slot, U-Boot in place of the Pi's firmware.

use super::emulator::device_tree::DeviceTree;
use super::emulator::{Missing, package_cache};
use super::machine::{Card, Console, Inputs, drive, file_of};
use eyelet::image::apt::Apt;
use eyelet::image::kernel::Kernel;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// Where the framebuffer of QEMU's `raspi4b` lies, in the memory that belongs to the graphics processor (hw/arm/bcm2835_peripherals.c and
/// include/hw/display/bcm2835_fb.h: 1 MiB behind its beginning, 64 MiB below 1 GiB), and its size.
const FRAMEBUFFER_ADDRESS: u32 = 0x3c10_0000;
const FRAMEBUFFER_PX: (u32, u32) = (640, 480);

/// The device tree of a Raspberry Pi 3B, in the kernel's package and on a card.
pub const PI_3_TREE: &str = "bcm2837-rpi-3-b.dtb";

/// A model of which QEMU has a machine.
#[derive(Clone, Copy)]
pub enum Model {
    /// Raspberry Pi 3B, `raspi3b`.
    Three,
    /// Raspberry Pi 4B, `raspi4b`.
    Four,
}

/// What one needs beside what every image is made of.
pub struct Pi {
    pub firmware: PathBuf,
    model: Model,
    folder: TempDir,
}

/// The package of the Pi's firmware.
pub fn firmware() -> Result<PathBuf, Missing> {
    match std::env::var_os("EYELET_RASPI_FIRMWARE") {
        Some(file) => Ok(file.into()),
        None => Apt::new(package_cache())
            .package("raspi-firmware")
            .map_err(|failure| Missing(failure.message)),
    }
}

impl Pi {
    /// Fetches the Pi's firmware and U-Boot, and makes the device tree that QEMU gives to U-Boot.
    pub fn gather(inputs: &Inputs, model: Model) -> Result<Self, Missing> {
        let apt = Apt::new(package_cache());
        let firmware = firmware()?;
        let folder = tempfile::tempdir().unwrap();
        let (u_boot, tree) = match model {
            Model::Three => ("rpi_3", PI_3_TREE),
            Model::Four => ("rpi_4", "bcm2711-rpi-4-b.dtb"),
        };
        let u_boot = format!("usr/lib/u-boot/{u_boot}/u-boot.bin");
        let u_boot = file_of(&apt, "u-boot-rpi:arm64", &u_boot)?;
        fs::write(folder.path().join("u-boot.bin"), u_boot).unwrap();
        let kernel = Kernel::open(&inputs.kernel).unwrap();
        let mut tree = kernel.device_trees[tree].to_vec();
        if matches!(model, Model::Four) {
            tree = as_emulated_pi_4(&tree);
        }
        fs::write(folder.path().join("pi.dtb"), tree).unwrap();
        Ok(Self {
            firmware,
            model,
            folder,
        })
    }

    /// Boots the card.
    pub fn boot(&self, card: &Card) -> Console {
        // Its four cores wait for each other; in one thread they do not wait for this machine's.
        let mut arguments = words(&["-accel", "tcg,thread=single", "-M"]);
        match self.model {
            // The second serial line is the one on the board's pins.
            Model::Three => {
                arguments.extend(words(&["raspi3b", "-serial", "null", "-serial", "stdio"]));
                arguments.extend(["-drive".into(), drive("sd", card)]);
            }
            // U-Boot talks on the second line and Linux on the first (see `KERNEL_CONSOLE`): both come out of one. QEMU's own
            // slot is where a Pi 4 has its WiFi; the card is in the other one, where the board has it.
            Model::Four => {
                arguments.extend(words(&["raspi4b", "-chardev", "stdio,id=line,mux=on"]));
                arguments.extend(words(&[
                    "-serial",
                    "chardev:line",
                    "-serial",
                    "chardev:line",
                ]));
                arguments.extend(["-drive".into(), drive("none,id=card", card)]);
                let slot = "sd-card,drive=card,bus=main-system-bus/generic-sdhci/sd-bus";
                arguments.extend(words(&["-device", slot]));
            }
        }
        for (word, file) in [("-kernel", "u-boot.bin"), ("-dtb", "pi.dtb")] {
            arguments.extend([word.into(), self.folder.path().join(file).into()]);
        }
        Console::boot(&arguments)
    }
}

/// A Raspberry Pi 3 that QEMU starts as the Pi's firmware does: kernel, initramfs and command line of the card's slot A, and this
/// device tree. Without U-Boot, whose reading of the card takes longer than all that follows.
pub fn boot_without_u_boot(card: &Card, tree: &[u8]) -> Console {
    let folder = tempfile::tempdir().unwrap();
    let line = String::from_utf8(card.file("cmdline.txt")).unwrap();
    // Its four cores wait for each other; in one thread they do not wait for this machine's. The second serial line is the one on
    // the board's pins.
    let machine = "-accel tcg,thread=single -M raspi3b -serial null -serial stdio";
    let mut arguments: Vec<OsString> = machine.split(' ').map(Into::into).collect();
    arguments.extend(["-append".into(), line.trim_end().into()]);
    arguments.extend(["-drive".into(), drive("sd", card)]);
    for (word, name, contents) in [
        ("-kernel", "vmlinuz", card.file("vmlinuz")),
        ("-initrd", "initrd.gz", card.file("initrd.gz")),
        ("-dtb", "pi.dtb", tree.to_vec()),
    ] {
        let file = folder.path().join(name);
        fs::write(&file, contents).unwrap();
        arguments.extend([word.into(), file.into()]);
    }
    // QEMU has read the files when its control socket answers.
    Console::boot(&arguments)
}

/// Puts Linux on the large UART: QEMU's small one, when U-Boot has used it before, keeps Linux in its interrupt for ever in every other
/// start of `raspi4b`.
pub const KERNEL_CONSOLE: &str = "console=ttyAMA0,115200";

/// The Pi 4's tree for what QEMU has of a Pi 4, with what the firmware adds.
fn as_emulated_pi_4(tree: &[u8]) -> Vec<u8> {
    let mut tree = DeviceTree::read(tree);
    // HDMI and its clock and interrupts: reading their registers stops Linux.
    let soc = tree.node("/soc").children();
    let mut disabled = 0;
    for node in soc.filter(|node| node.name().contains("@7ef0")) {
        node.disable();
        disabled += 1;
    }
    assert_eq!(disabled, 6, "the clock, the interrupts, two HDMI with I2C");
    // The card's supplies are switched by pins of the firmware, which QEMU has not: without them Linux waits for the card for ever.
    let card = tree.node("/emmc2bus/mmc@7e340000");
    card.remove("vmmc-supply");
    card.remove("vqmmc-supply");
    tree.add_framebuffer(FRAMEBUFFER_ADDRESS, FRAMEBUFFER_PX);
    tree.bytes()
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(Into::into).collect()
}
