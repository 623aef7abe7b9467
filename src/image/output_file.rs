//! A file that appears under its name only when it is complete, whatever signal arrives until then.

use super::signals::HeldBack;
use crate::named::folder_of;
use crate::update::Disk;
use std::fs::Permissions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::NamedTempFile;

/// A file in the making, which is removed unless it is finished. While it exists, the signals that end a program become errors
/// of the next read or write.
pub struct OutputFile {
    // Dropped first: the signals are held back until the file is removed.
    temporary: NamedTempFile,
    signals: HeldBack,
}

impl OutputFile {
    /// Begins a file that will be at `place`, under a temporary name in the same folder.
    ///
    /// # Errors
    /// The system's error.
    pub fn beside(place: &Path) -> io::Result<Self> {
        let signals = HeldBack::new()?;
        let temporary = tempfile::Builder::new()
            .prefix(".eyelet-image")
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(folder_of(place))?;
        Ok(Self { temporary, signals })
    }

    /// Makes it this long; what was not written is zero.
    ///
    /// # Errors
    /// The system's error.
    pub fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        self.temporary.as_file().set_len(bytes)
    }

    /// Puts the file at `place`, once all of it is on the disk.
    ///
    /// # Errors
    /// The system's error, or a signal arrived.
    pub fn finish(self, place: &Path) -> io::Result<()> {
        self.temporary.as_file().sync_all()?;
        self.signals.check()?;
        self.temporary.persist(place)?;
        Ok(())
    }
}

impl Read for OutputFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.signals.check()?;
        self.temporary.read(buffer)
    }
}

impl Write for OutputFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.signals.check()?;
        self.temporary.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.flush()
    }
}

impl Seek for OutputFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.temporary.seek(position)
    }
}

impl Disk for OutputFile {
    fn sync(&mut self) -> io::Result<()> {
        self.temporary.as_file_mut().sync()
    }

    fn forget(&mut self) {
        self.temporary.as_file_mut().forget();
    }
}
