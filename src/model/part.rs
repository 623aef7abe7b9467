//! The file of a download in progress: `FILE.part` beside the final `FILE`.
//!
//! Bytes are hashed as they are written. The contents of a `.part` may be right, so they are kept after an interruption and
//! continued the next time; once they are known to be wrong the file is emptied. Only [`Part::finish`] turns it into the model,
//! and only if length and sha256 are the stated ones, by an atomic rename.

use super::find::hex;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Bytes per write.
const CHUNK_BYTES: usize = 1 << 16;

/// A download in progress, locked against a second one.
#[derive(Debug)]
pub struct Part {
    file: File,
    path: PathBuf,
    target: PathBuf,
    hasher: Sha256,
    /// Bytes in the file so far.
    pub length: u64,
    /// Bytes of the whole file.
    pub size: u64,
    sha256: String,
}

/// Why copying stopped.
#[derive(Debug)]
pub enum CopyError {
    /// They could not be read: what was read so far may be right.
    Read(io::Error),
    /// They could not be written (full disk).
    Write(io::Error),
    /// There are more bytes than the whole file has.
    TooLong,
}

impl Part {
    /// Opens or creates the `.part` of `target`, which must have `size` bytes with the digest `sha256`.
    pub fn open(target: &Path, size: u64, sha256: &str) -> io::Result<Self> {
        let mut name = target.as_os_str().to_owned();
        name.push(".part");
        let path = PathBuf::from(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        file.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => io::Error::new(
                io::ErrorKind::WouldBlock,
                "another eyelet is fetching it just now",
            ),
            fs::TryLockError::Error(error) => error,
        })?;
        let mut part = Self {
            file,
            path,
            target: target.to_owned(),
            hasher: Sha256::new(),
            length: 0,
            size,
            sha256: sha256.to_owned(),
        };
        part.hash_what_is_there()?;
        Ok(part)
    }

    fn hash_what_is_there(&mut self) -> io::Result<()> {
        if self.file.metadata()?.len() > self.size {
            return self.empty();
        }
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            match self.file.read(&mut buffer)? {
                0 => return Ok(()),
                count => {
                    self.hasher.update(&buffer[..count]);
                    self.length += count as u64;
                }
            }
        }
    }

    /// Discards the contents.
    pub fn empty(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.hasher = Sha256::new();
        self.length = 0;
        Ok(())
    }

    /// Appends everything from `source`; `progress` gets the length after each write.
    pub fn take_from(
        &mut self,
        source: &mut dyn Read,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), CopyError> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let count = match source.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(CopyError::Read(error)),
            };
            if self.length + count as u64 > self.size {
                return Err(CopyError::TooLong);
            }
            self.file
                .write_all(&buffer[..count])
                .map_err(CopyError::Write)?;
            self.hasher.update(&buffer[..count]);
            self.length += count as u64;
            progress(self.length);
        }
    }

    /// The digest of the contents, if it is not the stated one.
    pub fn wrong_digest(&self) -> Option<String> {
        let digest = hex(&self.hasher.clone().finalize());
        (digest != self.sha256).then_some(digest)
    }

    /// Turns the file into the model: flushes it to the disk, renames it, flushes the folder. Call it when the length is `size`
    /// and [`Self::wrong_digest`] is `None`.
    pub fn finish(self) -> io::Result<()> {
        debug_assert!(self.length == self.size && self.wrong_digest().is_none());
        self.file.sync_all()?;
        fs::rename(&self.path, &self.target)?;
        if let Some(folder) = self.target.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    /// Ends a failed download: an empty file is removed, bytes that may be right stay for the next time.
    pub fn abandon(self) {
        if self.length == 0 {
            // It is empty, so leaving it is harmless.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// sha256 of `abcdef`.
    const DIGEST: &str = "bef57ec7f53a6d40beb640a780a639c83bc29ac8a9816f1fc6c5c6dcd93c4721";

    fn open(target: &Path) -> io::Result<Part> {
        Part::open(target, 6, DIGEST)
    }

    #[test]
    fn a_partial_download_resumes_and_becomes_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("net.onnx");
        let mut part = open(&target).unwrap();
        part.take_from(&mut &b"abc"[..], &mut |_| ()).unwrap();
        part.abandon();
        assert!(!target.exists());
        let mut part = open(&target).unwrap();
        assert_eq!(part.length, 3);
        let mut lengths = Vec::new();
        part.take_from(&mut &b"def"[..], &mut |length| lengths.push(length))
            .unwrap();
        assert_eq!(lengths, [6]);
        assert_eq!(part.wrong_digest(), None);
        part.finish().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"abcdef");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn more_bytes_than_the_file_has_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("net.onnx");
        let mut part = open(&target).unwrap();
        let error = part.take_from(&mut &b"abcdefg"[..], &mut |_| ());
        assert!(matches!(error, Err(CopyError::TooLong)));
        part.abandon();
        // A part longer than the file cannot be part of it.
        fs::write(folder.path().join("net.onnx.part"), "abcdefg").unwrap();
        let part = open(&target).unwrap();
        assert_eq!(part.length, 0);
        part.abandon();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn two_downloads_of_one_file_do_not_mix() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("net.onnx");
        let first = open(&target).unwrap();
        let error = open(&target).unwrap_err().to_string();
        assert_eq!(error, "another eyelet is fetching it just now");
        first.abandon();
        open(&target).unwrap();
    }

    #[test]
    fn a_full_disk_is_a_write_error() {
        // /dev/full accepts no bytes.
        let mut part = Part {
            file: OpenOptions::new().write(true).open("/dev/full").unwrap(),
            path: "unused".into(),
            target: "unused".into(),
            hasher: Sha256::new(),
            length: 0,
            size: 6,
            sha256: DIGEST.into(),
        };
        let error = part.take_from(&mut &b"abc"[..], &mut |_| ());
        assert!(matches!(error, Err(CopyError::Write(_))), "{error:?}");
    }
}
