//! An emulated board whose first program is Eyelet itself: kernel, an initramfs with nothing but Eyelet and its files, a
//! disk whose fourth partition is the data partition, a watchdog that resets the machine.

use super::guest_packages::GuestPackages;
use super::initramfs::{Initramfs, Modules};
use super::missing::Missing;
use super::programs::{arm_programs, target_folder, tool};
use super::qemu::{self, Board, Machine};
use super::usb_camera::{Mode, Seen, UsbCamera};
use eyelet::firmware::data::{DISK_ID, Data};
use serde_json::{Value, json};
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long the serial log may be silent.
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
    packages: GuestPackages,
    modules: Modules,
    eyelet: Vec<u8>,
    _alone: MutexGuard<'static, ()>,
}

impl Parts {
    /// Looks for the tools, fetches the packages and builds the program. One test at a time has them.
    pub fn get() -> Result<Self, Missing> {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        tool(qemu::PROGRAM, "apt install qemu-system-arm")?;
        let packages = GuestPackages::get(&target_folder().join("board"))?;
        let modules =
            Modules::under(&packages.modules).map_err(|error| Missing(error.to_string()))?;
        let [eyelet, _] = arm_programs()?;
        Ok(Self {
            packages,
            modules,
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
    /// More words for the kernel.
    pub kernel_words: &'a str,
    /// Changes the bytes of the data partition, which is a sound, empty volume.
    pub damage: fn(&mut [u8]),
}

/// The running board.
pub struct Running {
    pub board: Board,
    folder: TempDir,
    plugged: u32,
    /// Where in the log this boot begins.
    boot_at: usize,
}

impl Running {
    pub fn boot(parts: &Parts, setup: &Setup<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let initramfs = folder.path().join("initramfs");
        fs::write(&initramfs, archive(parts, setup)).unwrap();
        let disk = disk(folder.path(), setup.damage);
        let drive = format!("file={},format=raw,if=none,id=disk", disk.display());
        let devices = [
            "-device",
            "qemu-xhci",
            "-device",
            "i6300esb",
            "-action",
            "watchdog=reset",
            "-drive",
            &drive,
            "-device",
            "virtio-blk-pci,drive=disk",
        ];
        let machine = Machine {
            kernel: &parts.packages.kernel,
            initramfs: &initramfs,
            folder: folder.path(),
            devices: devices.map(Into::into).to_vec(),
            display_px: (480, 320),
            kernel_words: setup.kernel_words,
            restarts: true,
        };
        Self {
            board: Board::start(&machine).unwrap(),
            folder,
            plugged: 0,
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
        loop {
            while at == self.board.log.len() {
                let deadline = Instant::now() + PATIENCE;
                if self
                    .board
                    .line(deadline, &format!("line with {text:?}"))
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

    /// Plugs in a USB camera.
    pub fn plug_camera(&mut self, seen: Seen) -> UsbCamera {
        self.plugged += 1;
        let (chardev, device) = (
            format!("cable{}", self.plugged),
            format!("camera{}", self.plugged),
        );
        let socket = self.folder.path().join(&chardev);
        let mode = Mode {
            width_px: 640,
            height_px: 480,
            rate_fps: 30,
        };
        let camera = UsbCamera::listen(&socket, mode, seen).unwrap();
        let address = json!({"type": "unix", "data": {"path": socket}});
        let backend = json!({"type": "socket", "data": {"addr": address, "server": false}});
        let add = json!({"id": chardev, "backend": backend});
        self.board.command("chardev-add", add).unwrap();
        let add = json!({"driver": "usb-redir", "id": device, "chardev": chardev});
        self.board.command("device_add", add).unwrap();
        camera
    }

    /// Pulls its cable.
    pub fn unplug_camera(&mut self, camera: UsbCamera) {
        camera.unplug();
        let device = json!({"id": format!("camera{}", self.plugged)});
        self.board.command("device_del", device).unwrap();
    }
}

fn archive(parts: &Parts, setup: &Setup<'_>) -> Vec<u8> {
    let mut archive = Initramfs::default();
    for folder in [
        "dev",
        "proc",
        "sys",
        "run",
        "tmp",
        "etc",
        "etc/eyelet",
        "lib",
        "lib/modules",
        "model",
    ] {
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
    let name = |module: &str| module.split(' ').next().unwrap_or_default().to_owned();
    let names: Vec<String> = wanted.iter().map(|module| name(module)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut list = String::new();
    for (module, contents) in parts.modules.in_load_order(&names).unwrap() {
        archive.file(&format!("lib/modules/{module}.ko"), &contents);
        let with_options = wanted.iter().find(|wanted| name(wanted) == module);
        let options = with_options.and_then(|wanted| wanted.split_once(' '));
        list += &format!(
            "/lib/modules/{module}.ko {}\n",
            options.map_or("", |(_, options)| options)
        );
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
