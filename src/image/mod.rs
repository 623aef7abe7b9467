//! `eyelet image`: makes a whole system for a board as one file, without root rights and without loop devices.
//!
//! # The disk
//!
//! A partition table (MBR, disk identifier [`DISK_ID`]) and four FAT32 file systems. The size is a power of two, as QEMU requires
//! for an SD card.
//!
//! | partition | label | contents |
//! |---|---|---|
//! | 1, bootable | `EYELET-BOOT` | files that choose the slot: the Pi's `autoboot.txt` (and `bootcode.bin`), U-Boot's `boot.scr` and `eyelet.env` |
//! | 2 | `EYELET-A` | slot A: kernel, initramfs, device trees, the Pi's firmware, `config.txt`, `cmdline.txt`, `extlinux.conf`, `manifest.json` |
//! | 3 | `EYELET-B` | slot B, the same |
//! | 4 | `EYELET-DATA` | empty; the only part that a running board may write to |
//!
//! # The initramfs
//!
//! | path | contents |
//! |---|---|
//! | `/init` | the static aarch64 `eyelet` |
//! | `/etc/eyelet/board.toml` | the board file, with `model` and `font` changed to their paths in the image |
//! | `/etc/eyelet/modules` | one kernel module per line in load order, `PATH [OPTIONS]` |
//! | `/lib/modules/RELEASE/NAME.ko` | these modules, unpacked |
//! | `/etc/eyelet/font/FILE` | the font that the board file names |
//! | `/models/NAME/...` | the model; `/init`'s folder is a data root |
//! | `/etc/eyelet/manifest.json` | the bill of materials |
//! | `/bin/busybox` | only if the board file asks for a shell |
//! | `/dev /proc /sys /run /tmp /data` | empty but for `/dev/console` and `/dev/null` |
//!
//! On the kernel's command line, `eyelet.slot=a` or `b` names the running slot, and `eyelet.trial=1` means that U-Boot started it
//! on trial.
//!
//! # Invariants
//!
//! The same inputs give the same bytes: the image contains no time, random number or path of the build machine. It appears under
//! its name only when complete.

pub mod apt;
mod board_text;
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
mod output_file;
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
pub use drivers::check_left_out;
pub use manifest::Manifest;
pub use output_file::OutputFile;
pub use program::find as find_program;

use crate::board::Board;
use crate::failure::{Cause, Failure};
use crate::named;
use crate::update::PublicKey;
use disk::Layout;
use fat::Files;
use kernel::Kernel;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// The inputs of an image.
pub struct Recipe<'a> {
    /// The board, checked.
    pub board: &'a Board,
    /// The text of its file.
    pub board_text: &'a str,
    /// The board file's folder, for pictures that it names; `None` for a built-in board.
    pub board_folder: Option<&'a Path>,
    /// The model: a name or a path.
    pub model: &'a str,
    /// The static aarch64 `eyelet`.
    pub program: &'a Path,
    /// The kernel's packages: one, or its parts.
    pub kernel: &'a [Deb],
    /// The packages of the Raspberry Pi's firmware, for boards that need it.
    pub firmware: &'a [Deb],
    /// The package busybox-static, for boards whose file asks for a shell.
    pub busybox: Option<&'a Deb>,
    /// The image's version in its manifest.
    pub version: &'a str,
    /// The key that updates must be signed with; `None` if any update is accepted.
    pub public_key: Option<&'a PublicKey>,
}

/// A finished image.
#[derive(Debug)]
pub struct BuiltImage {
    /// Its bill of materials.
    pub manifest: Manifest,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// Each partition: label, length in bytes, bytes of the files in it.
    pub partitions: [(&'static str, u64, u64); 4],
    /// Notes for the user, one line each.
    pub notes: Vec<String>,
}

/// The failure for a faulty package or other input of an image.
fn package_failure(message: impl std::fmt::Display) -> Failure {
    Failure::new(Cause::Package, message)
}

impl From<deb::DebError> for Failure {
    fn from(error: deb::DebError) -> Self {
        package_failure(error)
    }
}

/// Where an image for `output` will be written; see [`replaceable`].
///
/// # Errors
/// Something else is there, or the folder does not exist.
pub fn output_place(output: &Path) -> Result<PathBuf, Failure> {
    let shown = output.display();
    let refused = |reason: &dyn std::fmt::Display| {
        Failure::new(Cause::Output, format!("cannot write {shown}: {reason}"))
    };
    let is_device =
        std::fs::metadata(output).is_ok_and(|metadata| metadata.file_type().is_block_device());
    if is_device {
        return Err(refused(&format!(
            "it is a block device; write the image to a file first, then run `eyelet flash FILE {shown}`"
        )));
    }
    replaceable(output).map_err(|error| refused(&error))
}

/// Where an image named `path` may be written: the link's target, if it is a link. Replaces only an empty file or an older
/// image, so an input that is named by mistake survives.
///
/// # Errors
/// `InvalidInput`: it is not a file. `AlreadyExists`: it is a file of another kind. Otherwise the system's error, above all when
/// the folder does not exist.
pub fn replaceable(path: &Path) -> io::Result<PathBuf> {
    let place = named::output_place(path)?;
    std::fs::metadata(named::folder_of(&place))?;
    let mut head = Vec::new();
    match named::open_file(&place, u64::MAX) {
        Ok(file) => file.take(mbr::SECTOR_BYTES).read_to_end(&mut head)?,
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    if head.is_empty() || mbr::disk_id(&head) == Some(DISK_ID) {
        return Ok(place);
    }
    Err(io::Error::new(
        ErrorKind::AlreadyExists,
        "the existing file is not an image: choose another name, or remove that file",
    ))
}

/// Makes the image of `recipe` and writes it to `output`.
pub fn make(recipe: &Recipe<'_>, output: &Path) -> Result<BuiltImage, Failure> {
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
    Ok(BuiltImage {
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
