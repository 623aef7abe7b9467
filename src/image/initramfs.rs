//! The root file system in RAM: a cpio archive in the "newc" format, written without root rights and without the cpio program.
//! Format: linux/Documentation/driver-api/early-userspace/buffer-format.rst.
//!
//! It contains only paths, modes and contents: no times, no users, inode numbers in entry order.

use flate2::{Compression, GzBuilder};
use std::collections::BTreeSet;
use std::io::Write;

/// File types and permissions as in `st_mode`.
const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
const CHARACTER_DEVICE: u32 = 0o020_600;
const LINK: u32 = 0o120_777;

/// gzip's "unknown system": the archive does not record where it was made.
const NO_SYSTEM: u8 = 255;

/// An archive under construction. Paths may start with `/` or not.
#[derive(Debug, Default)]
pub struct Initramfs {
    bytes: Vec<u8>,
    entries: u32,
    folders: BTreeSet<String>,
}

impl Initramfs {
    /// Adds a folder and its parents; does nothing if it exists.
    pub fn folder(&mut self, path: &str) {
        let path = path.trim_matches('/');
        let ends = path.match_indices('/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            if end > 0 && self.folders.insert(path[..end].to_owned()) {
                self.entry(&path[..end], DIRECTORY, (0, 0), &[]);
            }
        }
    }

    /// Adds a program.
    pub fn program(&mut self, path: &str, contents: &[u8]) {
        self.folder_of(path);
        self.entry(path, PROGRAM, (0, 0), contents);
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, contents: &[u8]) {
        self.folder_of(path);
        self.entry(path, FILE, (0, 0), contents);
    }

    /// Adds a character device.
    pub fn device(&mut self, path: &str, major: u32, minor: u32) {
        self.folder_of(path);
        self.entry(path, CHARACTER_DEVICE, (major, minor), &[]);
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.folder_of(path);
        self.entry(path, LINK, (0, 0), target.as_bytes());
    }

    /// The finished archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    /// The finished archive, compressed with gzip, which every kernel can unpack.
    pub fn finish_compressed(self) -> Vec<u8> {
        let mut gzip = GzBuilder::new()
            .mtime(0)
            .operating_system(NO_SYSTEM)
            .write(Vec::new(), Compression::default());
        let archive = self.finish();
        gzip.write_all(&archive)
            .and_then(|()| gzip.finish())
            .expect("writing to a Vec does not fail")
    }

    fn folder_of(&mut self, path: &str) {
        if let Some((folder, _)) = path.trim_start_matches('/').rsplit_once('/') {
            self.folder(folder);
        }
    }

    fn entry(&mut self, path: &str, mode: u32, (major, minor): (u32, u32), contents: &[u8]) {
        let path = path.trim_start_matches('/');
        self.entries += 1;
        let length = |bytes: usize| u32::try_from(bytes).expect("less than 4 GiB");
        let fields = [
            self.entries, // inode
            mode,
            0, // user
            0, // group
            1, // links
            0, // modification time
            length(contents.len()),
            0, // device of the file system
            0,
            major,
            minor,
            length(path.len() + 1),
            0, // checksum: none in this format
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08X}").into_bytes());
        }
        self.bytes.extend(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(contents);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_before_their_contents_and_only_once() {
        let mut archive = Initramfs::default();
        archive.file("/etc/eyelet/board.toml", b"x");
        archive.file("etc/eyelet/modules", b"");
        archive.device("/dev/console", 5, 1);
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes);
        let mut names = Vec::new();
        let mut rest = &text[..];
        while let Some(at) = rest.find("070701") {
            let name = rest[at + 110..].split('\0').next();
            names.extend(name.map(str::to_owned));
            rest = &rest[at + 110..];
        }
        assert_eq!(
            names,
            [
                "etc",
                "etc/eyelet",
                "etc/eyelet/board.toml",
                "etc/eyelet/modules",
                "dev",
                "dev/console",
                "TRAILER!!!"
            ]
        );
        assert_eq!(bytes.len() % 4, 0);
    }

    #[test]
    fn compressing_twice_gives_the_same_bytes() {
        let archive = || {
            let mut archive = Initramfs::default();
            archive.program("/init", b"program");
            archive.finish_compressed()
        };
        assert_eq!(archive(), archive());
        // Magic, deflate, no flags, no time, best unknown, no system.
        assert_eq!(archive()[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    }
}
