//! A part of a disk that looks like a disk, for the code that reads file systems.

use super::Disk;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

/// The bytes `range` of a disk.
pub struct Window<'a> {
    disk: &'a mut dyn Disk,
    range: Range<u64>,
    at: u64,
}

impl<'a> Window<'a> {
    /// The bytes `range` of `disk`, positioned at their beginning.
    pub fn new(disk: &'a mut dyn Disk, range: Range<u64>) -> Self {
        Self { disk, range, at: 0 }
    }

    /// Seeks the disk to the current position; returns how many of `wanted` bytes are left there.
    fn reach(&mut self, wanted: usize) -> io::Result<usize> {
        let left = (self.range.end - self.range.start).saturating_sub(self.at);
        self.disk
            .seek(SeekFrom::Start(self.range.start + self.at))?;
        Ok(usize::try_from(left).map_or(wanted, |left| left.min(wanted)))
    }
}

impl Read for Window<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reach(buffer.len())?;
        let count = self.disk.read(&mut buffer[..count])?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Write for Window<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.reach(buffer.len())?;
        let count = self.disk.write(&buffer[..count])?;
        self.at += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.disk.sync()
    }
}

impl Seek for Window<'_> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.at = seek_target(position, self.at, || Ok(self.range.end - self.range.start))?;
        Ok(self.at)
    }
}

/// The absolute offset of `position` on a disk that is at byte `at` and has `bytes` bytes.
pub(super) fn seek_target(
    position: SeekFrom,
    at: u64,
    bytes: impl FnOnce() -> io::Result<u64>,
) -> io::Result<u64> {
    let (base, offset) = match position {
        SeekFrom::Start(at) => (at, 0),
        SeekFrom::End(offset) => (bytes()?, offset),
        SeekFrom::Current(offset) => (at, offset),
    };
    let place = base.checked_add_signed(offset);
    place.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
