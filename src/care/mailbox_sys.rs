//! Queries the Raspberry Pi's firmware through `/dev/vcio` of Raspberry Pi OS's kernels. There is one question: `GET_THROTTLED`.
//!
//! The message format is the firmware's property interface (Raspberry Pi documentation, "mailbox property interface"; the tag is
//! in the kernel's `soc/bcm2835/raspberrypi-firmware.h`); the ioctl is the one of `drivers/char/broadcom/vcio.c`. The kernel
//! waits at most one second for the firmware.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// `_IOWR(100, 0, char *)`: the size of a pointer is part of the number.
const PROPERTY: u32 = 3 << 30 | (size_of::<*mut u8>() as u32) << 16 | 100 << 8;

const GET_THROTTLED: u32 = 0x0003_0046;

/// Set in the second word of an answered message, and in the tag's own state word.
const ANSWERED: u32 = 1 << 31;

/// Words of a message: its length in bytes, state; tag, buffer size and value length in bytes, value; end.
const WORDS: usize = 7;

/// The open device.
#[derive(Debug)]
pub struct Mailbox {
    file: File,
}

impl Mailbox {
    /// Opens the device.
    ///
    /// # Errors
    /// The system's error when the device does not exist or we may not open it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)?;
        Ok(Self { file })
    }

    /// The firmware's flags for power and heat: bit 0 undervoltage now, bits 1 to 3 throttled now, the same from bit 16 on for
    /// the past.
    ///
    /// # Errors
    /// The system's error; `InvalidData` when the firmware does not know the question.
    pub fn throttled(&self) -> io::Result<u32> {
        let mut message = question();
        // SAFETY: the kernel reads the length from the first word and copies that many bytes from and to the array, which is that
        // long (tested below) and lives for the call.
        let answer =
            unsafe { libc::ioctl(self.file.as_raw_fd(), PROPERTY as _, message.as_mut_ptr()) };
        if answer == -1 {
            return Err(io::Error::last_os_error());
        }
        value(&message).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// The value 0 only asks; set bits would clear the flags of the past, which the kernel's own driver reads.
fn question() -> [u32; WORDS] {
    let length = (WORDS * size_of::<u32>()) as u32;
    [length, 0, GET_THROTTLED, 4, 0, 0, 0]
}

/// The value in a message that the firmware has answered.
fn value(message: &[u32; WORDS]) -> Option<u32> {
    let [_, state, tag, _, length, value, _] = *message;
    let is_answered = state == ANSWERED && tag == GET_THROTTLED && length == ANSWERED | 4;
    is_answered.then_some(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_question_is_as_long_as_it_says_and_clears_nothing() {
        let question = question();
        assert_eq!(question[0] as usize, size_of_val(&question));
        assert_eq!(question[5], 0);
        // As in the kernel's header for 64 and for 32 bits.
        let expected = match size_of::<usize>() {
            8 => 0xC008_6400,
            _ => 0xC004_6400,
        };
        assert_eq!(PROPERTY, expected);
    }

    #[test]
    fn only_an_answer_to_the_question_counts() {
        let answer = [28, ANSWERED, GET_THROTTLED, 4, ANSWERED | 4, 0x0005_0005, 0];
        assert_eq!(value(&answer), Some(0x0005_0005));
        assert_eq!(value(&question()), None);
        for (at, word) in [(1, 0), (1, ANSWERED | 1), (2, 0), (4, 4), (4, ANSWERED)] {
            let mut other = answer;
            other[at] = word;
            assert_eq!(value(&other), None, "word {at} is {word:#x}");
        }
    }

    #[test]
    fn a_file_that_is_no_mailbox_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Mailbox::open(&folder.path().join("vcio")).is_err());
        let file = tempfile::NamedTempFile::new().unwrap();
        let mailbox = Mailbox::open(file.path()).unwrap();
        let errno = mailbox.throttled().unwrap_err().raw_os_error();
        // User-mode emulation does not pass such an ioctl on and returns ENOSYS.
        assert!(
            matches!(errno, Some(libc::ENOTTY | libc::ENOSYS)),
            "{errno:?}"
        );
    }
}
