//! The data partition: the only place on the card that a running board ever writes, and only when something went wrong.
//!
//! It is a FAT volume, the fourth partition of the disk whose MBR has our signature ([`super::card`]). We read and write it
//! through its block device and never mount it, so normal running does not touch it. Only an unusable volume is formatted again,
//! or one with a sector that cannot be read. What was written is read back from the card.
//! All of this runs in a separate process (`eyelet keep`) with a time limit, because reading a damaged volume may never end.
//!
//! | file | contents |
//! |---|---|
//! | `reboot.txt` | why the board is about to reboot; deleted at the next start, once logged |
//! | `last.log` | the log until then, at most [`LOG_BYTES`] |
//! | `tried.txt` | the ids of the last [`TRIED`] systems that were tried from a stick; one that passed has `passed ` before it |

use crate::{fat_volume, mbr, named};
use fatfs::{FileSystem, FormatVolumeOptions};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// The data partition's number.
pub const NUMBER: u32 = 4;
/// The log is saved up to this size.
pub const LOG_BYTES: usize = 64 << 10;
/// A reason is one line, cut to this length.
const REASON_BYTES: usize = 1000;

/// How many tried systems are remembered.
pub const TRIED: usize = 16;
/// An id has 64 characters. A damaged record may hold anything, and what is longer is not an id.
const LONGEST_LINE_BYTES: usize = 128;

/// Formatting first writes zeros over at least so much of the volume's beginning, where its tables and its few files are.
const BLANK_BYTES: u64 = 1 << 20;
/// The search for a bad sector ends after this time: the whole command has a limit.
const SEARCH_PATIENCE: Duration = Duration::from_secs(2);
/// What the kernel reads and writes at once.
const PAGE_BYTES: u64 = 4096;
/// The kind of error of a card that drops what is written.
const DROPPED: io::ErrorKind = io::ErrorKind::ReadOnlyFilesystem;

const TRIED_FILE: &str = "tried.txt";
/// Before the id of a system that passed its trial.
pub const PASSED: &str = "passed ";
const REASON: &str = "reboot.txt";
const LOG: &str = "last.log";
const LABEL: [u8; 11] = *b"EYELET-DATA";

/// An open data partition.
#[derive(Debug)]
pub struct Data {
    device: File,
}

impl Data {
    /// Opens the block device (or image file) `device`.
    ///
    /// # Errors
    /// The system's error; or the device is a whole card, which formatting would destroy.
    pub fn open(device: &Path) -> io::Result<Self> {
        let mut device = named::open_disk_to_write(device)?;
        let mut sector = [0; mbr::SECTOR_BYTES as usize];
        let is_disk = device.read_exact(&mut sector).is_ok()
            && mbr::disk_id(&sector) == Some(mbr::EYELET_DISK_ID);
        if is_disk {
            let message = "it is a whole card, not a data partition";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(Self { device })
    }

    /// The saved reason for the last reboot, even if a power cut left only a part of it. Writes nothing.
    ///
    /// # Errors
    /// The volume is unusable.
    pub fn reason(&self) -> io::Result<Option<String>> {
        let text = read(&self.volume()?, REASON, REASON_BYTES)?;
        Ok(text.map(|text| one_line(text.lines().next().unwrap_or_default())))
    }

    /// Saves `reason` and the end of `log`.
    ///
    /// # Errors
    /// The volume is unusable or full, or the card does not keep what is written.
    pub fn keep(&self, reason: &str, log: &[u8]) -> io::Result<()> {
        let volume = self.volume()?;
        let root = volume.root_dir();
        let end = &log[log.len().saturating_sub(LOG_BYTES)..];
        // The reason is written last: where it exists, the log is complete.
        let reason = one_line(reason);
        for (name, contents) in [(LOG, end), (REASON, reason.as_bytes())] {
            let mut file = root.create_file(name)?;
            file.truncate()?;
            file.write_all(contents)?;
            file.flush()?;
        }
        drop(root);
        self.finish(volume)?;
        self.check_kept(Some(&reason))
    }

    /// Deletes the reason; the log stays.
    ///
    /// # Errors
    /// The volume is unusable.
    pub fn forget(&self) -> io::Result<()> {
        let volume = self.volume()?;
        match volume.root_dir().remove(REASON) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.finish(volume)?;
        self.check_kept(None)
    }

    /// The record of systems that were tried, newest last: an id, after [`PASSED`] if it passed its trial.
    ///
    /// # Errors
    /// The volume is unusable.
    pub fn tried(&self) -> io::Result<Vec<String>> {
        tried(&self.volume()?)
    }

    /// Records that the system `id` was tried.
    ///
    /// # Errors
    /// The volume is unusable or full, or the card does not keep what is written.
    pub fn note_tried(&self, id: &str) -> io::Result<()> {
        let mut ids = self.tried()?;
        ids.retain(|known| known.strip_prefix(PASSED).unwrap_or(known) != id);
        ids.push(id.to_owned());
        self.write_tried(&ids)
    }

    /// Records that the system `id` passed its trial. Writes nothing if it is not among those that were tried.
    ///
    /// # Errors
    /// The volume is unusable.
    pub fn note_passed(&self, id: &str) -> io::Result<()> {
        let mut ids = self.tried()?;
        let Some(known) = ids.iter_mut().find(|known| *known == id) else {
            return Ok(());
        };
        known.insert_str(0, PASSED);
        self.write_tried(&ids)
    }

    fn write_tried(&self, ids: &[String]) -> io::Result<()> {
        let newest = &ids[ids.len().saturating_sub(TRIED)..];
        let volume = self.volume()?;
        {
            let root = volume.root_dir();
            let mut file = root.create_file(TRIED_FILE)?;
            file.truncate()?;
            file.write_all(newest.join("\n").as_bytes())?;
            file.flush()?;
        }
        self.finish(volume)?;
        match self.tried()? == newest {
            true => Ok(()),
            false => Err(dropped()),
        }
    }

    /// Writes what is left, and has what is read next come from the card, not from memory.
    fn finish(&self, volume: FileSystem<File>) -> io::Result<()> {
        volume.unmount()?;
        self.device.sync_all()?;
        self.forget_cache();
        Ok(())
    }

    fn forget_cache(&self) {
        // SAFETY: the call takes no pointers. If it is refused, what is read next may come from memory, and nothing else changes.
        unsafe {
            libc::posix_fadvise(self.device.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED);
        }
    }

    /// Whether the card holds `reason`. A worn-out card may accept writes, and drop them.
    fn check_kept(&self, reason: Option<&str>) -> io::Result<()> {
        match self.reason()?.as_deref() == reason {
            true => Ok(()),
            false => Err(dropped()),
        }
    }

    /// Whether an operation failed because of what the volume holds, or because some of it cannot be read, so that formatting
    /// helps. It does not help after other errors of the system, as for a disk that does not answer, and not if the card drops what
    /// is written.
    pub fn is_unusable(&self, error: &io::Error) -> bool {
        match (error.raw_os_error(), error.kind()) {
            (Some(libc::EIO), _) => self.has_bad_sector().unwrap_or(false),
            (Some(_), _) | (_, io::ErrorKind::OutOfMemory | DROPPED) => false,
            (None, _) => true,
        }
    }

    /// Whether some of what formatting writes anew cannot be read, on a card that answers otherwise.
    fn has_bad_sector(&self) -> io::Result<bool> {
        self.forget_cache();
        let mut device = &self.device;
        let bytes = device.seek(SeekFrom::End(0))?;
        let until = Instant::now() + SEARCH_PATIENCE;
        let read = |at: u64, page: &mut [u8]| match Instant::now() < until {
            true => self.device.read_at(page, at).map(|_| ()),
            false => Err(io::ErrorKind::TimedOut.into()),
        };
        Ok(is_partly_unreadable(bytes, formatted_bytes(bytes)?, read))
    }

    /// Formats the volume: it is empty afterwards, except for the record of tried systems if that can still be read.
    ///
    /// # Errors
    /// The system's error, or the device is too small for a volume.
    pub fn format(&self) -> io::Result<()> {
        // The damage may be in another file.
        let tried = fat_volume::open(self.device.try_clone()?, &[TRIED_FILE])
            .and_then(|volume| tried(&volume))
            .unwrap_or_default();
        let mut device = self.device.try_clone()?;
        let bytes = device.seek(SeekFrom::End(0))?;
        // No trace of an old volume may survive: its tables are at the beginning. Whole pages, because a part of one with a bad
        // sector cannot be written.
        device.rewind()?;
        io::copy(
            &mut io::repeat(0).take(formatted_bytes(bytes)?),
            &mut device,
        )?;
        device.rewind()?;
        fatfs::format_volume(&mut device, format_of(bytes))?;
        self.device.sync_all()?;
        if tried.is_empty() {
            return Ok(());
        }
        self.write_tried(&tried)
    }

    fn volume(&self) -> io::Result<FileSystem<File>> {
        // Checked on opening, not when a reason must be saved: following a corrupt table then would take the time that is left.
        fat_volume::open(self.device.try_clone()?, &[REASON, LOG, TRIED_FILE])
    }
}

fn dropped() -> io::Error {
    let message = "the card did not keep what was written: replace it";
    io::Error::new(DROPPED, message)
}

/// How a device of `bytes` is formatted.
fn format_of(bytes: u64) -> FormatVolumeOptions {
    let sectors = u32::try_from(bytes / 512).unwrap_or(u32::MAX);
    FormatVolumeOptions::new()
        .volume_label(LABEL)
        .total_sectors(sectors)
}

/// How much of the beginning of a device of `bytes` formatting writes anew, in whole pages if it has them.
fn formatted_bytes(bytes: u64) -> io::Result<u64> {
    if bytes <= BLANK_BYTES {
        return Ok(bytes);
    }
    let mut reach = Reach::default();
    fatfs::format_volume(&mut reach, format_of(bytes))?;
    let pages = reach.end.max(BLANK_BYTES).div_ceil(PAGE_BYTES);
    Ok(bytes.min(pages * PAGE_BYTES))
}

/// An endless device of zeros that only notes how far it is written.
#[derive(Default)]
struct Reach {
    at: u64,
    end: u64,
}

impl Read for Reach {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        to.fill(0);
        self.at += to.len() as u64;
        Ok(to.len())
    }
}

impl Write for Reach {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.at += bytes.len() as u64;
        self.end = self.end.max(self.at);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Reach {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(_) => None,
        };
        self.at = place.ok_or(io::ErrorKind::Unsupported)?;
        Ok(self.at)
    }
}

/// Whether `read` fails for some of the `formatted` bytes that formatting writes anew on a device of `bytes`, and not for all: then the
/// card answers, and a sector has gone bad. Writing whole pages needs no reading, and a card replaces a bad sector that is written.
fn is_partly_unreadable(
    bytes: u64,
    formatted: u64,
    read: impl Fn(u64, &mut [u8]) -> io::Result<()>,
) -> bool {
    let is_bad = |at: u64| {
        let mut page = [0; PAGE_BYTES as usize];
        read(at, &mut page).is_err_and(|error| error.raw_os_error() == Some(libc::EIO))
    };
    let pages = bytes / PAGE_BYTES;
    let page = |number: u64| number * PAGE_BYTES;
    // A dead card is not asked for each page: every answer may take a second.
    let answers = |number: &u64| !is_bad(page(*number));
    let does_answer = [0, pages / 2, pages.saturating_sub(1)].iter().any(answers);
    does_answer && (0..pages.min(formatted / PAGE_BYTES)).any(|number| is_bad(page(number)))
}

/// `reason` as it is saved: without line ends and other control characters, and not cut within a character.
fn one_line(reason: &str) -> String {
    let end = reason.floor_char_boundary(REASON_BYTES);
    reason[..end]
        .replace(char::is_control, " ")
        .trim()
        .to_owned()
}

/// The beginning of a file, at most `limit` bytes; `None` if it does not exist.
fn read(volume: &FileSystem<File>, name: &str, limit: usize) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    match volume.root_dir().open_file(name) {
        Ok(file) => file.take(limit as u64).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn tried(volume: &FileSystem<File>) -> io::Result<Vec<String>> {
    let text = read(volume, TRIED_FILE, LOG_BYTES)?.unwrap_or_default();
    let lines = text.lines().filter(|line| line.len() <= LONGEST_LINE_BYTES);
    Ok(lines.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::path::PathBuf;

    fn image(folder: &Path, bytes: u64) -> PathBuf {
        let path = folder.join("data.img");
        File::create(&path).unwrap().set_len(bytes).unwrap();
        path
    }

    #[test]
    fn a_reason_and_the_end_of_the_log_are_kept_until_they_are_logged() {
        let folder = tempfile::tempdir().unwrap();
        let path = image(folder.path(), 8 << 20);
        let data = Data::open(&path).unwrap();
        assert!(data.reason().is_err(), "zeros are not a volume");
        data.format().unwrap();
        assert_eq!(data.reason().unwrap(), None);
        for round in 0..3 {
            let log = vec![b'0' + round; LOG_BYTES + 5000];
            let reason = format!("watchdog: no finished frame for {round} s");
            data.keep(&reason, &log).unwrap();
            let again = Data::open(&path).unwrap();
            assert_eq!(again.reason().unwrap(), Some(reason));
            let volume = again.volume().unwrap();
            let mut kept = Vec::new();
            let mut file = volume.root_dir().open_file(LOG).unwrap();
            file.read_to_end(&mut kept).unwrap();
            assert_eq!(kept, log[..LOG_BYTES]);
        }
        data.forget().unwrap();
        data.forget().unwrap();
        assert_eq!(data.reason().unwrap(), None);
    }

    #[test]
    fn garbage_behind_a_valid_boot_sector_is_no_volume() {
        let folder = tempfile::tempdir().unwrap();
        let path = image(folder.path(), 16 << 20);
        let data = Data::open(&path).unwrap();
        data.format().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        fastrand::Rng::with_seed(5).fill(&mut bytes[512..]);
        std::fs::write(&path, bytes).unwrap();
        let data = Data::open(&path).unwrap();
        let error = data.reason().unwrap_err();
        assert!(
            error.to_string().contains("table has no valid beginning"),
            "{error}"
        );
        data.format().unwrap();
        data.keep("power", b"log\n").unwrap();
        assert_eq!(data.reason().unwrap().as_deref(), Some("power"));
    }

    #[test]
    fn a_long_reason_is_cut_between_letters_and_what_a_power_cut_left_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = image(folder.path(), 8 << 20);
        let data = Data::open(&path).unwrap();
        data.format().unwrap();
        let cut = "x".repeat(REASON_BYTES - 1);
        data.keep(&format!("{cut}\u{b0}C"), b"log\n").unwrap();
        assert_eq!(data.reason().unwrap(), Some(cut));
        data.keep("one\nline\0", b"log\n").unwrap();
        assert_eq!(data.reason().unwrap().as_deref(), Some("one line"));
        let volume = data.volume().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let mut file = volume.root_dir().create_file(name).unwrap();
            file.truncate().unwrap();
            file.write_all(bytes).unwrap();
        };
        write(REASON, b"power \xff\xc2");
        let long = "x".repeat(LOG_BYTES);
        write(TRIED_FILE, &[b"id1\n\xc2\n", long.as_bytes()].concat());
        volume.unmount().unwrap();
        let torn = data.reason().unwrap().unwrap();
        assert!(torn.starts_with("power"), "{torn}");
        data.note_tried("id2").unwrap();
        let tried = data.tried().unwrap();
        assert_eq!((tried[0].as_str(), tried[2].as_str()), ("id1", "id2"));
    }

    #[test]
    fn formatting_keeps_the_record_of_tried_systems_where_it_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = image(folder.path(), 8 << 20);
        let data = Data::open(&path).unwrap();
        data.format().unwrap();
        data.note_tried("id1").unwrap();
        data.note_tried("id2").unwrap();
        data.keep("power", b"log\n").unwrap();
        data.format().unwrap();
        assert_eq!(data.reason().unwrap(), None);
        assert_eq!(data.tried().unwrap(), ["id1", "id2"]);
        data.note_passed("id1").unwrap();
        assert_eq!(data.tried().unwrap(), ["passed id1", "id2"]);
        let before = std::fs::read(&path).unwrap();
        data.note_passed("id1").unwrap();
        assert!(before == std::fs::read(&path).unwrap(), "noted already");
        std::fs::write(&path, vec![0xff; 8 << 20]).unwrap();
        data.format().unwrap();
        assert!(data.tried().unwrap().is_empty());
    }

    /// A card that drops writes holds what it held before.
    #[test]
    fn what_a_card_does_not_keep_is_not_saved_and_formatting_does_not_help() {
        let folder = tempfile::tempdir().unwrap();
        let path = image(folder.path(), 8 << 20);
        let data = Data::open(&path).unwrap();
        data.format().unwrap();
        data.keep("old", b"log\n").unwrap();
        assert!(data.check_kept(Some("old")).is_ok());
        for reason in [Some("new"), None] {
            let error = data.check_kept(reason).unwrap_err();
            assert!(error.to_string().contains("did not keep"), "{error}");
            assert!(!data.is_unusable(&error));
        }
        data.forget().unwrap();
        assert!(data.check_kept(Some("old")).is_err());
        // What is written is what can be read: without line ends, cut, trimmed.
        data.keep(&format!(" two\nlines {}", "x".repeat(2000)), b"")
            .unwrap();
        data.keep("", b"").unwrap();
    }

    #[test]
    fn a_bad_sector_is_a_reason_to_format_and_a_dead_card_is_none() {
        const BYTES: u64 = 8 << 20;
        let bad = |is_bad: fn(u64) -> bool| {
            let formatted = formatted_bytes(BYTES).unwrap();
            is_partly_unreadable(BYTES, formatted, |at, _| match is_bad(at / PAGE_BYTES) {
                true => Err(io::Error::from_raw_os_error(libc::EIO)),
                false => Ok(()),
            })
        };
        assert!(!bad(|_| false), "what failed was a write");
        assert!(bad(|page| page == 0) && bad(|page| page == 255) && bad(|page| page < 2000));
        assert!(!bad(|page| page == 256), "formatting does not write it");
        assert!(!bad(|_| true), "dead");
        let is_partly = |bytes| is_partly_unreadable(bytes, bytes, |_, _| Ok(()));
        assert!(!is_partly(0) && !is_partly(512));
        let folder = tempfile::tempdir().unwrap();
        let data = Data::open(&image(folder.path(), BYTES)).unwrap();
        let error = |number| data.is_unusable(&io::Error::from_raw_os_error(number));
        assert!(!error(libc::EIO) && !error(libc::ENOSPC));
        assert!(data.is_unusable(&data.reason().unwrap_err()));
    }

    /// Large volumes have tables of many MiB.
    #[test]
    fn all_that_formatting_writes_is_searched_and_written_in_whole_pages() {
        const BYTES: u64 = 16 << 30;
        let formatted = formatted_bytes(BYTES).unwrap();
        assert!((4 << 20..64 << 20).contains(&formatted), "{formatted}");
        assert!(formatted.is_multiple_of(PAGE_BYTES));
        for (page, expected) in [
            (300, true),
            (formatted / PAGE_BYTES - 1, true),
            (formatted / PAGE_BYTES, false),
        ] {
            let is_bad =
                is_partly_unreadable(BYTES, formatted, |at, _| match at == page * PAGE_BYTES {
                    true => Err(io::Error::from_raw_os_error(libc::EIO)),
                    false => Ok(()),
                });
            assert_eq!(is_bad, expected, "{page}");
        }
        // What the formatter writes is as much, and the old tables are gone.
        let folder = tempfile::tempdir().unwrap();
        let path = image(folder.path(), BYTES);
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(&vec![0xff; usize::try_from(formatted).unwrap()], 0)
            .unwrap();
        let data = Data::open(&path).unwrap();
        data.format().unwrap();
        data.keep("power", b"log\n").unwrap();
        assert_eq!(data.reason().unwrap().as_deref(), Some("power"));
        assert_eq!(formatted_bytes(8 << 20).unwrap(), BLANK_BYTES);
        assert_eq!(formatted_bytes(512).unwrap(), 512);
    }

    #[test]
    fn reading_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = image(folder.path(), 8 << 20);
        let data = Data::open(&path).unwrap();
        data.format().unwrap();
        data.keep("power", b"log\n").unwrap();
        let before = std::fs::read(&path).unwrap();
        assert_eq!(data.reason().unwrap().as_deref(), Some("power"));
        assert!(before == std::fs::read(&path).unwrap());
        let read_only = Data {
            device: File::open(&path).unwrap(),
        };
        assert_eq!(read_only.reason().unwrap().as_deref(), Some("power"));
    }

    #[test]
    fn the_newest_tried_systems_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = image(folder.path(), 8 << 20);
        let data = Data::open(&path).unwrap();
        data.format().unwrap();
        assert!(data.tried().unwrap().is_empty());
        for n in 0..TRIED + 5 {
            data.note_tried(&format!("id{n}")).unwrap();
            data.note_tried("again").unwrap();
        }
        data.keep("power", b"log\n").unwrap();
        let tried = Data::open(&path).unwrap().tried().unwrap();
        assert_eq!(tried.len(), TRIED);
        assert_eq!(tried[TRIED - 2..], ["id20", "again"]);
    }
}
