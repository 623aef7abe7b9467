//! An emulated board whose first program is Eyelet itself: kernel, an initramfs with nothing but Eyelet and its files, a
//! disk whose fourth partition is the data partition, a watchdog that resets the machine.

use super::emulator::qemu::{self, Board, virt};
use super::emulator::{Missing, alone, arm_programs, package_cache, tool};
use eyelet::firmware::data::Data;
use eyelet::image::DISK_ID;
use eyelet::image::apt::Apt;
use eyelet::image::initramfs::Initramfs;
use eyelet::image::kernel::Kernel;
use eyelet::image::modules::canonical;
use serde_json::{Value, json};
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;
use std::time::Duration;
use tempfile::TempDir;

/// How long a line may be waited for.
const PATIENCE: Duration = Duration::from_secs(240);
/// The first program's first line.
const START: &str = "init: eyelet ";
const DATA_START: u64 = 1 << 20;
const DATA_BYTES: u64 = 16 << 20;
/// The kernel's virtual camera, which needs no cable.
pub const VIVID: &str =
    "vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x00 no_error_inj=1";

/// What is fetched or built once.
pub struct Parts {
    kernel: Kernel,
    eyelet: Vec<u8>,
    _alone: MutexGuard<'static, ()>,
}

impl Parts {
    /// Looks for the tools, fetches the packages and builds the program. One test at a time has them.
    pub fn get() -> Result<Self, Missing> {
        let alone = alone();
        tool(qemu::PROGRAM, "apt install qemu-system-arm")?;
        let kernel = Apt::new(package_cache()).kernel(None);
        let kernel = kernel.map_err(|failure| Missing(failure.message))?;
        let kernel = Kernel::open(&kernel);
        let [eyelet, _] = arm_programs()?;
        Ok(Self {
            kernel: kernel.map_err(|error| Missing(error.to_string()))?,
            eyelet: fs::read(eyelet).unwrap(),
            _alone: alone,
        })
    }
}

/// What one board has.
pub struct Setup<'a> {
    /// Modules with options, beyond those of bus, display, watchdog and disk.
    pub modules: &'a [&'a str],
    /// The board file.
    pub board: &'a str,
    /// The network.
    pub model: &'a [u8],
    /// More words for QEMU.
    pub devices: &'a [&'a str],
    /// More words for the kernel.
    pub kernel_words: &'a str,
    /// Changes the bytes of the data partition, which is a sound, empty volume.
    pub damage: fn(&mut [u8]),
}

/// The running board.
pub struct Running {
    pub board: Board,
    folder: TempDir,
    /// Where in the log this boot begins.
    boot_at: usize,
}

impl Running {
    pub fn boot(parts: &Parts, setup: &Setup<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        let (kernel, initramfs) = (path("kernel"), path("initramfs"));
        fs::write(&kernel, &parts.kernel.image).unwrap();
        fs::write(&initramfs, archive(parts, setup)).unwrap();
        let disk = disk(folder.path(), setup.damage);
        let drive = format!("file={},format=raw,if=none,id=disk", disk.display());
        let line = format!(
            "console=ttyAMA0 loglevel=4 vt.global_cursor_default=0 panic=-1 {}",
            setup.kernel_words
        );
        let mut arguments = virt();
        arguments.extend(["-kernel".into(), kernel.into()]);
        arguments.extend(["-initrd".into(), initramfs.into()]);
        arguments.extend(
            [
                "-append",
                &line,
                "-device",
                "i6300esb",
                "-action",
                "watchdog=reset",
                "-drive",
                &drive,
                "-device",
                "virtio-blk-pci,drive=disk",
            ]
            .map(Into::into),
        );
        arguments.extend(setup.devices.iter().map(Into::into));
        Self {
            board: Board::start(folder.path(), &arguments).unwrap(),
            folder,
            boot_at: 0,
        }
    }

    /// Waits until this boot's part of the serial log has a line with `text`; it may have come already. A line with any of
    /// `never` may not come before.
    ///
    /// # Panics
    /// When it does not come in time, or one of `never` does.
    pub fn line_but(&mut self, text: &str, never: &[&str]) -> String {
        let mut at = self.boot_at;
        let patience = self.board.patience(PATIENCE);
        loop {
            while at == self.board.log.len() {
                if self
                    .board
                    .line(&patience, &format!("line with {text:?}"))
                    .is_none()
                {
                    panic!(
                        "the machine ended before {text:?}; {}",
                        self.board.last_lines()
                    );
                }
            }
            let line = &self.board.log[at];
            if line.contains(text) {
                return line.clone();
            }
            let bad = never
                .iter()
                .chain(&["Kernel panic"])
                .find(|never| line.contains(**never));
            assert!(bad.is_none(), "{line}, before {text:?}");
            at += 1;
        }
    }

    /// The same with nothing forbidden.
    pub fn line(&mut self, text: &str) -> String {
        self.line_but(text, &[])
    }

    /// The same from now on: a line that has come already does not count.
    pub fn next_line_but(&mut self, text: &str, never: &[&str]) -> String {
        let boot_at = std::mem::replace(&mut self.boot_at, self.board.log.len());
        let line = self.line_but(text, never);
        self.boot_at = boot_at;
        line
    }

    /// Waits until the machine has started again; none of `never` may come before. What is waited for from now on is to come
    /// in the new boot.
    pub fn next_boot(&mut self, never: &[&str]) {
        self.next_line_but(START, never);
        self.boot_at = self.board.log.len();
    }

    /// Bytes and operations that were written to the disk since the machine was switched on.
    pub fn written(&mut self) -> (u64, u64) {
        let stats = self.board.command("query-blockstats", json!({})).unwrap();
        let sum = |key: &str| {
            let devices = stats.as_array().unwrap().iter();
            devices
                .map(|device: &Value| device["stats"][key].as_u64().unwrap())
                .sum()
        };
        (sum("wr_bytes"), sum("wr_operations"))
    }

    /// The data partition as the disk has it now.
    pub fn data(&self) -> Data {
        let disk = fs::read(self.folder.path().join("disk")).unwrap();
        let copy = self.folder.path().join("data");
        fs::write(
            &copy,
            &disk[DATA_START as usize..(DATA_START + DATA_BYTES) as usize],
        )
        .unwrap();
        Data::open(&copy).unwrap()
    }
}

fn archive(parts: &Parts, setup: &Setup<'_>) -> Vec<u8> {
    let mut archive = Initramfs::default();
    for folder in ["dev", "proc", "sys", "run", "tmp"] {
        archive.folder(folder);
    }
    archive.device("dev/console", 5, 1);
    archive.device("dev/null", 1, 3);
    archive.program("init", &parts.eyelet);
    archive.file("etc/eyelet/board.toml", setup.board.as_bytes());
    archive.file("model/net.onnx", setup.model);
    let wanted: Vec<&str> = ["virtio_pci", "virtio_gpu"]
        .into_iter()
        .chain(setup.modules.iter().copied())
        .chain(["i6300esb", "virtio_blk"])
        .collect();
    let name = |module: &str| canonical(module.split(' ').next().unwrap_or_default());
    let names: Vec<String> = wanted.iter().map(|module| name(module)).collect();
    let mut list = String::new();
    let modules = parts
        .kernel
        .modules
        .in_load_order(names.iter().map(String::as_str));
    for module in modules.unwrap() {
        let path = format!("lib/modules/{}.ko", module.name);
        archive.file(&path, &module.contents);
        let with_options = wanted.iter().find(|wanted| name(wanted) == module.name);
        let options = with_options.and_then(|wanted| wanted.split_once(' '));
        list += &format!("/{path} {}\n", options.map_or("", |(_, options)| options));
    }
    archive.file("etc/eyelet/modules", list.as_bytes());
    archive.finish()
}

/// A disk with our signature and a fourth partition.
fn disk(folder: &Path, damage: fn(&mut [u8])) -> PathBuf {
    let volume = folder.join("volume");
    fs::File::create(&volume)
        .unwrap()
        .set_len(DATA_BYTES)
        .unwrap();
    Data::open(&volume).unwrap().format().unwrap();
    let mut volume = fs::read(&volume).unwrap();
    damage(&mut volume);

    let mut sector = [0; 512];
    sector[440..444].copy_from_slice(&DISK_ID.to_le_bytes());
    let entry = &mut sector[446 + 3 * 16..446 + 4 * 16];
    entry[4] = 0x0C;
    entry[8..12].copy_from_slice(&u32::to_le_bytes((DATA_START / 512) as u32));
    entry[12..16].copy_from_slice(&u32::to_le_bytes((DATA_BYTES / 512) as u32));
    sector[510..].copy_from_slice(&[0x55, 0xAA]);
    let path = folder.join("disk");
    let mut disk = fs::File::create(&path).unwrap();
    disk.set_len(DATA_START + DATA_BYTES).unwrap();
    disk.write_all(&sector).unwrap();
    disk.seek(SeekFrom::Start(DATA_START)).unwrap();
    disk.write_all(&volume).unwrap();
    path
}
