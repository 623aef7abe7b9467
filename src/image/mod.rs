//! `eyelet image`: one file that is a whole system for a board, made without root and without loop devices.
//!
//! # The disk
//!
//! A partition table (MBR, disk identifier [`DISK_ID`]) and four FAT32 file systems. The size is a power of two, which QEMU
//! wants of an SD card.
//!
//! | partition | label | what is in it |
//! |---|---|---|
//! | 1, bootable | `EYELET-BOOT` | what chooses the slot: the Pi's `autoboot.txt` (and `bootcode.bin`), U-Boot's `boot.scr` and `eyelet.env` |
//! | 2 | `EYELET-A` | slot A: kernel, initramfs, device trees, the Pi's firmware, `config.txt`, `cmdline.txt`, `extlinux.conf`, `manifest.json` |
//! | 3 | `EYELET-B` | slot B, the same |
//! | 4 | `EYELET-DATA` | empty; the only part that a running board may write to |
//!
//! # The initramfs
//!
//! | path | what it is |
//! |---|---|
//! | `/init` | the static aarch64 `eyelet` |
//! | `/etc/eyelet/board.toml` | the board file; `model` and `font` are as they are found in the image |
//! | `/etc/eyelet/modules` | one kernel module a line in load order, `PATH [OPTIONS]` |
//! | `/lib/modules/RELEASE/NAME.ko` | these modules, unpacked |
//! | `/etc/eyelet/font/FILE` | the font that the board file names, and names there now |
//! | `/models/NAME/...` | the model; `/init`'s folder is a data root |
//! | `/etc/eyelet/manifest.json` | the bill of materials |
//! | `/bin/busybox` | where the board file asks for a shell, and else not there |
//! | `/dev /proc /sys /run /tmp /data` | empty but for `/dev/console` and `/dev/null` |
//!
//! On the kernel's command line, `eyelet.slot=a` or `b` tells the running slot, and `eyelet.trial=1` that U-Boot has started
//! it on trial.
//!
//! # Invariants
//!
//! Same inputs, same bytes: no time, no random number and no path of the building machine goes in. The image appears under
//! its name only when it is whole.

pub mod apt;
pub mod boot_files;
mod config;
pub mod deb;
mod disk;
mod drivers;
pub mod fat;
pub mod initramfs;
pub mod kernel;
mod limits;
pub mod machine;
pub mod manifest;
mod model_files;
pub mod modules;
mod panel;
mod pi_firmware;
mod pictures;
mod program;
mod sensor;
mod signals;
mod system;

pub use crate::mbr;
pub use crate::mbr::EYELET_DISK_ID as DISK_ID;
pub use crate::slot::Slot;
pub use deb::Deb;
pub use manifest::Manifest;
pub use program::find as find_program;

use crate::board::Board;
use crate::failure::{Cause, Failure};
use crate::named;
use crate::update::PublicKey;
use disk::Layout;
use fat::Files;
use kernel::Kernel;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// What an image is made of.
pub struct Recipe<'a> {
    /// The board, checked.
    pub board: &'a Board,
    /// The text that it was read from.
    pub board_text: &'a str,
    /// The folder of the board file, for pictures that it names; `None` for a compiled-in board.
    pub board_folder: Option<&'a Path>,
    /// The model: a name or a path.
    pub model: &'a str,
    /// The static aarch64 `eyelet`.
    pub program: &'a Path,
    /// The kernel's packages, one or its parts.
    pub kernel: &'a [Deb],
    /// The packages of the Raspberry Pi's firmware, for boards that need it.
    pub firmware: &'a [Deb],
    /// The package busybox-static, for boards whose file asks for a shell.
    pub busybox: Option<&'a Deb>,
    /// What the image is called in its manifest.
    pub version: &'a str,
    /// Whose updates the system takes; `None`: anyone's.
    pub public_key: Option<&'a PublicKey>,
}

/// An image that was made.
#[derive(Debug)]
pub struct Made {
    /// Its bill of materials.
    pub manifest: Manifest,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// Each partition: label, length in bytes, bytes of the files in it.
    pub partitions: [(&'static str, u64, u64); 4],
    /// What a person should know, one line each.
    pub notes: Vec<String>,
}

/// A fault of a package, or of something else that an image is made of.
fn package_failure(message: impl std::fmt::Display) -> Failure {
    Failure::new(Cause::Package, message)
}

impl From<deb::DebError> for Failure {
    fn from(error: deb::DebError) -> Self {
        package_failure(error)
    }
}

/// The place for an image that is to be put at `output`: where that leads, when it is a link. Nothing is replaced but an
/// empty file or an older image, so an input that is named by mistake stays what it is.
///
/// # Errors
/// Something else is there, or there is no such folder.
pub fn output_place(output: &Path) -> Result<PathBuf, Failure> {
    let shown = output.display();
    let refused = |reason: &dyn std::fmt::Display| {
        Failure::new(Cause::Output, format!("cannot write {shown}: {reason}"))
    };
    let is_device =
        std::fs::metadata(output).is_ok_and(|metadata| metadata.file_type().is_block_device());
    if is_device {
        return Err(refused(&format!(
            "it is a block device; make the image as a file, and `eyelet flash FILE {shown}` writes it"
        )));
    }
    let place = named::output_place(output).map_err(|error| refused(&error))?;
    std::fs::metadata(folder_of(&place)).map_err(|error| refused(&error))?;
    let mut head = Vec::new();
    match named::open_file(&place, u64::MAX) {
        Ok(file) => {
            let head = file.take(mbr::SECTOR_BYTES).read_to_end(&mut head);
            head.map_err(|error| refused(&error))?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(refused(&error)),
    }
    if head.is_empty() || mbr::disk_id(&head) == Some(DISK_ID) {
        return Ok(place);
    }
    Err(refused(
        &"what is there is no image, and is not replaced: name another file, or remove that one",
    ))
}

/// The folder that a file of this path lies in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Makes the image of `recipe` and puts it at `output`.
pub fn make(recipe: &Recipe<'_>, output: &Path) -> Result<Made, Failure> {
    let system = system::gather(recipe)?;
    let partitions = system.partitions();
    let layout = Layout::for_slots(&partitions.slot_a).ok_or_else(|| {
        package_failure("the kernel, the model and the program together are larger than any card")
    })?;
    let written = |error: std::io::Error| {
        Failure::new(
            Cause::Output,
            format!("cannot write {}: {error}", output.display()),
        )
    };
    disk::write(&layout, &partitions, &output_place(output)?).map_err(written)?;
    Ok(Made {
        manifest: partitions.manifest,
        size_bytes: layout.size_bytes(),
        partitions: layout.sizes([
            &partitions.boot,
            &partitions.slot_a,
            &partitions.slot_b,
            &Files::new(),
        ]),
        notes: system.notes,
    })
}

/// The files of each partition.
struct Partitions {
    boot: Files,
    slot_a: Files,
    slot_b: Files,
    manifest: Manifest,
}
