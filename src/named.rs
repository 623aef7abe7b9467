//! Opens, in one guarded way, files that a user, a board file or a model names.
//!
//! A name may lead anywhere: to a pipe that nobody writes to, to `/dev/zero`, to another name of a file that is about to be
//! overwritten. So we check what a name leads to before opening it (opening a device may already have an effect) and again once
//! it is open; nothing here blocks; and a file that is too long is refused before a byte is read.
//!
//! Errors of kind `InvalidInput` mean that a name leads to the wrong thing; all others come from the system.

use crate::built_in;
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

/// Opens the file at `path` for reading, if it has at most `most_bytes`.
///
/// # Errors
/// It is not a regular file, is longer, or cannot be opened.
pub fn open_file(path: &Path, most_bytes: u64) -> io::Result<File> {
    let file = open(path, OpenOptions::new().read(true), 0, Wanted::File)?;
    check_length(file.metadata()?.len(), most_bytes)?;
    Ok(file)
}

/// Reads the file at `path`, which may be built in, if it has at most `most_bytes`.
///
/// # Errors
/// It is not a regular file, is longer, cannot be read, or there is no memory for it.
pub fn read_file(path: &Path, most_bytes: u64) -> io::Result<Vec<u8>> {
    if let Some(bytes) = built_in::read(path) {
        check_length(bytes.len() as u64, most_bytes)?;
        return Ok(bytes.to_vec());
    }
    let file = open_file(path, most_bytes)?;
    let expected = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(expected)
        .map_err(|_| ErrorKind::OutOfMemory)?;
    // Files in /proc have no length, and other files may grow.
    file.take(most_bytes + 1).read_to_end(&mut bytes)?;
    check_length(bytes.len() as u64, most_bytes)?;
    Ok(bytes)
}

/// The folder of this file: `.` for a bare name.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Opens a disk (a block device, or a disk image file) for reading.
///
/// # Errors
/// It is neither, or cannot be opened.
pub fn open_disk(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().read(true), 0, Wanted::Disk)
}

/// Opens a disk for reading and writing, even if others have it open.
///
/// # Errors
/// It is neither a device nor a file, or cannot be opened.
pub fn open_disk_to_write(path: &Path) -> io::Result<File> {
    let options = &mut OpenOptions::new();
    open(path, options.read(true).write(true), 0, Wanted::Disk)
}

/// Opens a disk for reading and writing. A device is refused while something else has exclusive use of it or a part of it: above
/// all, while it is mounted.
///
/// # Errors
/// It is neither a device nor a file, is in use, or cannot be opened.
pub fn open_disk_alone(path: &Path) -> io::Result<File> {
    let options = &mut OpenOptions::new();
    // For a file the flag has no effect.
    open(
        path,
        options.read(true).write(true),
        libc::O_EXCL,
        Wanted::Disk,
    )
}

/// Opens a character device for reading.
///
/// # Errors
/// It is something else, or cannot be opened.
pub fn open_device(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().read(true), 0, Wanted::Device)
}

/// Where a file named `path` would be written: the link's target, if it is a link. An existing target must be a regular file.
///
/// # Errors
/// It is something else, or cannot be examined.
#[cfg_attr(
    not(feature = "tools"),
    allow(
        dead_code,
        reason = "only a developer's machine makes and writes images"
    )
)]
pub fn output_place(path: &Path) -> io::Result<PathBuf> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(error),
        Ok(_) => {
            let place = path.canonicalize().map_err(|error| match error.kind() {
                ErrorKind::NotFound => wrong("it is a link that leads nowhere"),
                _ => error,
            })?;
            check_kind(std::fs::metadata(&place)?.file_type(), Wanted::File)?;
            Ok(place)
        }
    }
}

/// Fails when `one` and `other` lead to the same file or, under any names, to the same disk or parts of it.
///
/// # Errors
/// They do. A name that leads nowhere is no error here: opening it will report that.
pub fn check_apart(one: &Path, other: &Path) -> io::Result<()> {
    let (Ok(one), Ok(other)) = (std::fs::metadata(one), std::fs::metadata(other)) else {
        return Ok(());
    };
    if is_same(&one, &other) {
        return Err(wrong("both names lead to the same file or disk"));
    }
    Ok(())
}

/// Whether these are the same file, or the same disk or parts of it.
pub fn is_same(one: &Metadata, other: &Metadata) -> bool {
    match (disk_folder(one), disk_folder(other)) {
        (Some(one), Some(other)) => one == other,
        _ => (one.dev(), one.ino()) == (other.dev(), other.ino()),
    }
}

/// The kernel's folder of the whole disk for a block device, which may be a partition.
fn disk_folder(metadata: &Metadata) -> Option<PathBuf> {
    if !metadata.file_type().is_block_device() {
        return None;
    }
    let number = metadata.rdev();
    let name = format!("{}:{}", libc::major(number), libc::minor(number));
    let folder = Path::new("/sys/dev/block").join(name);
    let folder = folder.canonicalize().unwrap_or(folder);
    match folder.parent() {
        Some(disk) if folder.join("partition").exists() => Some(disk.to_owned()),
        _ => Some(folder),
    }
}

/// What a name must lead to.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// A regular file.
    File,
    /// A regular file or a block device.
    Disk,
    /// A character device.
    Device,
}

fn open(path: &Path, options: &mut OpenOptions, flags: i32, wanted: Wanted) -> io::Result<File> {
    let kind = std::fs::metadata(path)?.file_type();
    check_kind(kind, wanted)?;
    // It may have become a pipe since then, which must not block us. (Not for block devices: there the flag would open a drive
    // without a medium.)
    let patience = if kind.is_block_device() {
        0
    } else {
        libc::O_NONBLOCK
    };
    let file = options.custom_flags(flags | patience).open(path)?;
    check_kind(file.metadata()?.file_type(), wanted)?;
    Ok(file)
}

fn check_kind(kind: FileType, wanted: Wanted) -> io::Result<()> {
    let (is_wanted, name) = match wanted {
        Wanted::File => (kind.is_file(), "file"),
        Wanted::Disk => (kind.is_file() || kind.is_block_device(), "file"),
        Wanted::Device => (kind.is_char_device(), "character device"),
    };
    if is_wanted {
        return Ok(());
    }
    let found = if kind.is_file() {
        "file"
    } else if kind.is_dir() {
        "folder"
    } else if kind.is_fifo() {
        "pipe"
    } else if kind.is_socket() {
        "socket"
    } else if kind.is_block_device() {
        "block device"
    } else {
        "device"
    };
    Err(wrong(&format!("it is not a {name} but a {found}")))
}

fn check_length(bytes: u64, most_bytes: u64) -> io::Result<()> {
    if bytes <= most_bytes {
        return Ok(());
    }
    let limit = if most_bytes < MIB {
        format!("{most_bytes} bytes")
    } else {
        format!("{} MiB", most_bytes / MIB)
    };
    let message = format!("it is longer than {limit}, the maximum here");
    Err(io::Error::new(ErrorKind::InvalidInput, message))
}

fn wrong(message: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    #[test]
    fn only_the_wanted_kind_is_opened_and_nothing_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "twelve bytes").unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        assert!(
            Command::new("mkfifo")
                .arg(at("pipe"))
                .status()
                .unwrap()
                .success()
        );
        let _socket = UnixListener::bind(at("socket")).unwrap();
        symlink("file", at("link")).unwrap();
        symlink("gone", at("nowhere")).unwrap();
        symlink("pipe", at("link to a pipe")).unwrap();
        symlink("/dev/zero", at("link to a device")).unwrap();
        for (name, words) in [
            ("folder", "not a file but a folder"),
            ("pipe", "not a file but a pipe"),
            ("socket", "not a file but a socket"),
            ("link to a pipe", "not a file but a pipe"),
            ("link to a device", "not a file but a device"),
            ("nowhere", ""),
        ] {
            let path = at(name);
            let mut errors = vec![
                read_file(&path, 100).unwrap_err(),
                open_disk(&path).unwrap_err(),
                open_disk_to_write(&path).unwrap_err(),
                open_disk_alone(&path).unwrap_err(),
                output_place(&path).unwrap_err(),
            ];
            if name == "nowhere" {
                let creating = errors.split_off(4);
                assert!(
                    errors.iter().all(|e| e.kind() == ErrorKind::NotFound),
                    "{errors:?}"
                );
                assert!(
                    creating
                        .iter()
                        .all(|e| e.to_string().contains("leads nowhere")),
                    "{creating:?}"
                );
            } else {
                assert!(
                    errors.iter().all(|e| e.kind() == ErrorKind::InvalidInput),
                    "{errors:?}"
                );
                assert!(
                    errors.iter().all(|e| e.to_string().contains(words)),
                    "{name}: {errors:?}"
                );
            }
        }
        for name in ["file", "link"] {
            assert_eq!(read_file(&at(name), 12).unwrap(), b"twelve bytes");
            assert!(open_disk(&at(name)).is_ok() && open_disk_alone(&at(name)).is_ok());
            assert_eq!(
                output_place(&at(name)).unwrap(),
                at("file").canonicalize().unwrap()
            );
        }
        for (name, kind) in [("file", "file"), ("link to a pipe", "pipe")] {
            let error = open_device(&at(name)).unwrap_err().to_string();
            assert_eq!(error, format!("it is not a character device but a {kind}"));
        }
        assert!(open_device(&at("link to a device")).is_ok());
        assert_eq!(output_place(&at("new")).unwrap(), at("new"));
        assert_eq!(
            read_file(&at("new"), 1).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }

    #[test]
    fn no_more_is_read_than_requested() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("huge");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let error = read_file(&path, 8 * MIB).unwrap_err();
        assert!(error.to_string().contains("longer than 8 MiB"), "{error}");
        // Its length reads as 0, but it is longer than 10 bytes.
        let error = read_file(Path::new("/proc/self/maps"), 10).unwrap_err();
        assert!(
            error.to_string().contains("longer than 10 bytes"),
            "{error}"
        );
    }

    #[test]
    fn the_same_file_is_recognised_under_every_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("one"), "1").unwrap();
        std::fs::write(at("two"), "1").unwrap();
        symlink("one", at("link")).unwrap();
        std::fs::hard_link(at("one"), at("hard")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        for other in ["one", "link", "hard", "folder/../one"] {
            assert!(check_apart(&at("one"), &at(other)).is_err(), "{other}");
        }
        for other in ["two", "gone"] {
            assert!(check_apart(&at("one"), &at(other)).is_ok(), "{other}");
        }
    }
}
