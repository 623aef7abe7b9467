//! An emulated Raspberry Pi 3B that runs a script: the kernel's own device tree, no card, the program with its shipped network and a photo.

use super::emulator::device_tree::{DeviceTree, Node};
use super::emulator::guest::{Guest, Scenario};
use super::emulator::kernel_modules::kernel_with;
use super::emulator::qemu::Board;
use super::emulator::{Missing, alone, target_folder};
use super::trace::{DATA_COMMAND, TRACED_BYTES};
use image::RgbImage;
use std::fs;
use std::path::Path;
use std::sync::MutexGuard;
use std::time::Duration;
use tempfile::TempDir;

/// How long the serial log may be silent: a network in emulation.
const PATIENCE: Duration = Duration::from_secs(400);

/// The beginning of each board file: what is seen and by which network.
pub const BOARD: &str = r#"
description = "a panel's tests"
tier = "emulation"
model = "efficientnet-lite0"
threads = 4
[camera.still]
files = ["/pictures/cat.jpg"]
repeat = true
"#;

/// Where the program looks for its network in the guest.
const HOME: &str = "eyelet";

/// What is fetched or built once. One test at a time has it.
pub struct Pi {
    guest: Guest,
    _alone: MutexGuard<'static, ()>,
}

/// What one boot is.
pub struct Run<'a> {
    /// Kernel modules with their parameters.
    pub modules: &'a [(&'a str, &'a str)],
    /// Changes the device tree.
    pub change: fn(&mut DeviceTree),
    /// More words for QEMU.
    pub devices: &'a [&'a str],
    /// Board files by name.
    pub boards: &'a [(&'a str, &'a str)],
    /// What the board does.
    pub script: &'a str,
}

/// A running board.
pub struct Running {
    pub board: Board,
    _folder: TempDir,
}

impl Pi {
    /// Looks for the tools, fetches the packages, builds the program.
    pub fn prepare() -> Result<Self, Missing> {
        let alone = alone();
        Ok(Self {
            guest: Guest::prepare(&[])?,
            _alone: alone,
        })
    }

    /// The same with the drivers of these panels in the kernel.
    pub fn prepare_with(drivers: &[&str]) -> Result<Self, Missing> {
        let alone = alone();
        let kernel = kernel_with("panel-modules", drivers, &[])?;
        Ok(Self {
            guest: Guest::with_kernel(&kernel, &[])?,
            _alone: alone,
        })
    }

    /// Boots it.
    pub fn boot(&self, run: &Run<'_>) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        let (kernel, initramfs, tree) = (path("kernel"), path("initramfs"), path("pi.dtb"));
        self.guest.write_kernel(&kernel);
        let source = Path::new(env!("CARGO_MANIFEST_DIR"));
        let photo = fs::read(source.join("boards/photos/cat.jpg")).unwrap();
        let mut files = vec![("pictures/cat.jpg".to_owned(), photo)];
        for name in ["efficientnet-lite0-int8.onnx", "model.toml", "labels.txt"] {
            let file = format!("models/efficientnet-lite0/{name}");
            files.push((
                format!("{HOME}/{file}"),
                fs::read(source.join(file)).unwrap(),
            ));
        }
        for (name, text) in run.boards {
            files.push((format!("boards/{name}.toml"), text.as_bytes().to_vec()));
        }
        let scenario = Scenario {
            modules: run.modules,
            script: &format!("export EYELET_HOME=/{HOME}\n{}", run.script),
            files,
        };
        self.guest.write_initramfs(&scenario, &initramfs);
        let own = &self.guest.kernel.device_trees["bcm2837-rpi-3-b.dtb"];
        let mut changed = DeviceTree::read(own);
        (run.change)(&mut changed);
        fs::write(&tree, changed.bytes()).unwrap();

        // Its four cores wait for each other; in one thread they do not wait for this machine's.
        let line = "console=ttyAMA0,115200 loglevel=4 panic=-1";
        let words = [
            "-accel",
            "tcg,thread=single",
            "-M",
            "raspi3b",
            "-serial",
            "stdio",
        ];
        let mut arguments: Vec<_> = words.map(Into::into).into();
        arguments.extend(["-append", line].map(Into::into));
        for (word, file) in [("-kernel", kernel), ("-initrd", initramfs), ("-dtb", tree)] {
            arguments.extend([word.into(), file.into()]);
        }
        arguments.extend(run.devices.iter().map(Into::into));
        Running {
            board: Board::start(folder.path(), &arguments).unwrap(),
            _folder: folder,
        }
    }
}

impl Running {
    /// The next line of the serial log with `text` in it.
    ///
    /// # Panics
    /// When none comes in time, the machine ends, or the script or the program fails.
    pub fn wait_for(&mut self, text: &str) {
        self.lines_before(text);
    }

    /// The lines before that one.
    ///
    /// # Panics
    /// As of [`Self::wait_for`].
    pub fn lines_before(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let patience = self.board.patience(PATIENCE);
            let Some(line) = self.board.line(&patience, text) else {
                panic!(
                    "the machine ended before {text:?}; {}",
                    self.board.last_lines()
                );
            };
            let line = line.to_owned();
            if line.contains(text) {
                return lines;
            }
            let fault = [
                "guest: no ",
                "guest: cannot",
                "guest: done",
                "eyelet: ",
                "Kernel panic",
            ];
            assert!(
                !fault.iter().any(|fault| line.starts_with(fault)),
                "{}",
                self.board.last_lines()
            );
            lines.push(line);
        }
    }
}

/// A device for user space.
pub fn add_spidev(tree: &mut DeviceTree) {
    // A name on which the kernel's own list has spidev (drivers/spi/spidev.c).
    add_to_spi(tree, "spidev@0", "rohm,dh2228fv");
}

/// A panel with an ILI9341 that the kernel's `fb_ili9341` drives, 64 bytes at a time (drivers/staging/fbtft/fbtft-core.c).
pub fn add_ili9341(tree: &mut DeviceTree) {
    let gpio = tree.node("/soc/gpio@7e200000").cell("phandle");
    let panel = add_to_spi(tree, "panel@0", "ilitek,ili9341");
    panel.set_cells("dc-gpios", &[gpio, DATA_COMMAND, 0]);
    panel.set_cells("buswidth", &[8]);
    panel.set_cells("txbuflen", &[TRACED_BYTES]);
    panel.set("bgr", &[]);
}

/// A device on the first chip select of SPI 0, and no DMA there: QEMU has none for SPI, and a longer transfer would hang.
fn add_to_spi<'a>(tree: &'a mut DeviceTree, name: &str, compatible: &str) -> &'a mut Node {
    let spi = tree.node("/soc/spi@7e204000");
    spi.remove("dmas");
    spi.remove("dma-names");
    spi.enable();
    // Children of `spi` that the board does not have would take the chip select.
    spi.clear();
    let device = spi.add(name);
    device.set_text("compatible", compatible);
    device.set_cells("reg", &[0]);
    device.set_cells("spi-max-frequency", &[32_000_000]);
    device
}

/// Keeps what a panel showed beside the build, for people to look at.
pub fn keep(picture: &RgbImage, name: &str) {
    let file = target_folder().join(format!("board/panel-{name}.png"));
    picture.save(&file).unwrap();
    println!("what the panel shows: {}", file.display());
}

/// Base64 as RFC 4648 has it, with line breaks.
///
/// # Panics
/// When it is none.
pub fn decode_base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=')
    {
        let value = ALPHABET.iter().position(|letter| *letter == byte);
        bits = bits << 6 | value.expect("a letter of base64") as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    bytes
}
