//! The card that is booted, and the machine that boots it.

use super::emulator::qemu::{self, Board, virt};
use super::emulator::{Missing, arm_programs, package_cache, tool};
use eyelet::image::apt::Apt;
use eyelet::image::fat::{self, Files};
use eyelet::image::{Deb, mbr};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What images are made of, and what boots them.
pub struct Inputs {
    eyelet: PathBuf,
    pub kernel: Vec<PathBuf>,
    pub model: PathBuf,
    u_boot: TempDir,
}

impl Inputs {
    /// Looks for the tools, fetches the packages, builds the aarch64 program.
    pub fn gather(model: PathBuf) -> Result<Self, Missing> {
        tool(qemu::PROGRAM, "apt install qemu-system-arm")?;
        let apt = Apt::new(package_cache());
        let u_boot = tempfile::tempdir().unwrap();
        let file = file_of(&apt, "u-boot-qemu", "usr/lib/u-boot/qemu_arm64/u-boot.bin")?;
        fs::write(u_boot.path().join("u-boot.bin"), file).unwrap();
        let [eyelet, _] = arm_programs()?;
        Ok(Self {
            eyelet,
            kernel: apt
                .kernel(None)
                .map_err(|failure| Missing(failure.message))?,
            model,
            u_boot,
        })
    }
}

/// The package of the shell.
pub fn busybox() -> Result<PathBuf, Missing> {
    let package = Apt::new(package_cache()).package("busybox-static:arm64");
    package.map_err(|failure| Missing(failure.message))
}

/// The file at `path` of a package.
pub fn file_of(apt: &Apt, package: &str, path: &str) -> Result<Vec<u8>, Missing> {
    let deb = apt
        .package(package)
        .map_err(|failure| Missing(failure.message))?;
    Deb::open(&deb)
        .and_then(|deb| deb.file(path))
        .map_err(|error| Missing(error.to_string()))
}

/// An image, as the card in the board.
pub struct Card {
    _folder: TempDir,
    pub path: PathBuf,
}

impl Card {
    /// Makes an image with `eyelet image`.
    pub fn make(inputs: &Inputs, board_file: &Path, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sd.img");
        let start = Instant::now();
        let output = Command::new(env!("CARGO_BIN_EXE_eyelet"))
            .arg("image")
            .arg("--board-file")
            .arg(board_file)
            .arg("--output")
            .arg(&path)
            .arg("--program")
            .arg(&inputs.eyelet)
            .args(
                inputs
                    .kernel
                    .iter()
                    .flat_map(|part| ["--kernel".as_ref(), part.as_os_str()]),
            )
            .arg("--model")
            .arg(&inputs.model)
            .args(more)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        println!("image made in {:.1} s", start.elapsed().as_secs_f64());
        Self {
            _folder: folder,
            path,
        }
    }

    /// Digest of all of its bytes.
    pub fn sha256(&self) -> String {
        let digest = Sha256::digest(fs::read(&self.path).unwrap());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What U-Boot's file on the boot partition says.
    pub fn u_boot_state(&self) -> String {
        let mut bytes = fs::read(&self.path).unwrap();
        let partition = &mbr::partitions(&bytes).unwrap()[0].bytes;
        let range = partition.start as usize..partition.end as usize;
        let (_, files) = fat::read(&mut bytes[range]).unwrap();
        String::from_utf8(files["eyelet.env"].clone()).unwrap()
    }

    /// Writes that file.
    pub fn set_u_boot_state(&self, text: &str) {
        self.change(1, |files| {
            files.insert("eyelet.env".into(), text.into());
        });
    }

    /// A file of slot A.
    pub fn file(&self, name: &str) -> Vec<u8> {
        let mut bytes = fs::read(&self.path).unwrap();
        let partition = &mbr::partitions(&bytes).unwrap()[1].bytes;
        let range = partition.start as usize..partition.end as usize;
        let (_, mut files) = fat::read(&mut bytes[range]).unwrap();
        let file = files.remove(name);
        file.unwrap_or_else(|| panic!("slot A has no {name}: {:?}", files.keys()))
    }

    /// Takes the kernel out of slot A.
    pub fn break_slot_a(&self) {
        self.change(2, |files| {
            files.remove("vmlinuz").unwrap();
        });
    }

    /// Recreates a partition with other files.
    fn change(&self, number: usize, change: impl FnOnce(&mut Files)) {
        let mut bytes = fs::read(&self.path).unwrap();
        let partition = mbr::partitions(&bytes).unwrap()[number - 1].bytes.clone();
        let range = partition.start as usize..partition.end as usize;
        let (_, mut files) = fat::read(&mut bytes[range.clone()]).unwrap();
        change(&mut files);
        let name = fat::Name {
            label: "EYELET-TEST",
            serial: 1,
        };
        let mut volume = fat::volume(name, partition.end - partition.start, &files).unwrap();
        volume.resize(range.len(), 0);
        bytes[range].copy_from_slice(&volume);
        fs::write(&self.path, bytes).unwrap();
    }
}

/// A running machine, and what it says on its serial line.
pub struct Console {
    pub board: Board,
    first_class: Option<String>,
    _folder: TempDir,
}

impl Console {
    /// QEMU's `virt` with the card as a virtio disk.
    pub fn boot_virt(inputs: &Inputs, card: &Card, more: &[&str]) -> Self {
        let mut arguments = virt();
        arguments.extend([
            "-bios".into(),
            inputs.u_boot.path().join("u-boot.bin").into(),
            "-drive".into(),
            drive("none,id=card", card),
        ]);
        arguments.extend(["-device", "virtio-blk-pci,drive=card"].map(OsString::from));
        arguments.extend(more.iter().map(OsString::from));
        Self::boot(&arguments)
    }

    /// A machine of QEMU's with a serial line on standard output.
    pub fn boot(arguments: &[OsString]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            board: Board::start(folder.path(), arguments).unwrap(),
            first_class: None,
            _folder: folder,
        }
    }

    /// The next line that has `text` in it.
    ///
    /// # Panics
    /// When none comes in time, or the machine ends.
    pub fn wait_for(&mut self, text: &str, patience: Duration) -> String {
        let patience = self.board.patience(patience);
        loop {
            let Some(line) = self.board.line(&patience, text) else {
                panic!(
                    "the machine ended before {text:?}; {}",
                    self.board.last_lines()
                );
            };
            let line = line.to_owned();
            assert!(
                !line.contains("Kernel panic"),
                "{}",
                self.board.last_lines()
            );
            if line.contains("first class after ") {
                self.first_class = Some(line.clone());
            }
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The same for a line that may have come already.
    pub fn expect_line(&mut self, text: &str, patience: Duration) {
        if !self.board.log.iter().any(|line| line.contains(text)) {
            self.wait_for(text, patience);
        }
    }

    /// Waits until a frame's class is `label`.
    pub fn class(&mut self, label: &str, patience: Duration) -> String {
        self.wait_for(&format!(": {label} "), patience)
    }

    /// How long it took from the kernel's start to the first class, with its parts.
    pub fn first_class(&mut self) -> String {
        let line = match self.first_class.take() {
            Some(line) => line,
            None => self.wait_for("first class after ", Duration::from_secs(300)),
        };
        let at = line.find("first class after ").unwrap();
        line[at..].to_owned()
    }
}

/// QEMU's word for the card's file.
pub fn drive(interface: &str, card: &Card) -> OsString {
    let mut drive = OsString::from(format!("if={interface},format=raw,file="));
    drive.push(&card.path);
    drive
}
