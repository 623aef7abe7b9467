//! The hardware watchdog, `/dev/watchdog`: it resets the board when it is not fed in time.
//!
//! Opening it arms it. It is fed only by [`Watchdog::feed`], never by a timer; [`super::supervisor`] decides who may feed it.
//! Numbers and structures: linux/Documentation/watchdog/watchdog-api.rst.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

/// `_IOR('W', 2, int)`
const WDIOC_GETBOOTSTATUS: u32 = 0x8004_5702;
/// `_IOR('W', 5, int)`
const WDIOC_KEEPALIVE: u32 = 0x8004_5705;
/// `_IOWR('W', 6, int)`
const WDIOC_SETTIMEOUT: u32 = 0xC004_5706;
/// `_IOR('W', 7, int)`
const WDIOC_GETTIMEOUT: u32 = 0x8004_5707;
/// In the boot status: the watchdog has reset the board.
const WDIOF_CARDRESET: i32 = 0x20;

/// An armed watchdog. Dropping it leaves it armed; see [`Watchdog::disarm`].
#[derive(Debug)]
pub struct Watchdog {
    device: File,
    /// It resets the board after this long without being fed.
    pub timeout: Duration,
}

impl Watchdog {
    /// Opens and arms the watchdog at `path`. It gets `timeout`, or keeps its own if that cannot be set (the Raspberry Pi's
    /// allows at most 15 s).
    ///
    /// # Errors
    /// The system's error: there is none, another program has it, or it is no watchdog.
    pub fn open(path: &Path, timeout: Duration) -> io::Result<Self> {
        let device = File::options().write(true).open(path)?;
        let seconds = i32::try_from(timeout.as_secs()).unwrap_or(i32::MAX);
        let set = ask(&device, WDIOC_SETTIMEOUT, seconds)
            .or_else(|_| ask(&device, WDIOC_GETTIMEOUT, 0))?;
        let watchdog = Self {
            device,
            timeout: Duration::from_secs(u64::try_from(set).unwrap_or(0)),
        };
        ask(&watchdog.device, WDIOC_KEEPALIVE, 0)?;
        Ok(watchdog)
    }

    /// Restarts its countdown.
    ///
    /// # Errors
    /// The system's error, when the device is gone.
    pub fn feed(&mut self) -> io::Result<()> {
        ask(&self.device, WDIOC_KEEPALIVE, 0).map(|_| ())
    }

    /// Whether the watchdog reports that it reset the board; not every driver knows.
    pub fn has_reset_the_board(&self) -> bool {
        ask(&self.device, WDIOC_GETBOOTSTATUS, 0).is_ok_and(|status| status & WDIOF_CARDRESET != 0)
    }

    /// Disarms it, for an orderly power-off, if the driver allows that.
    pub fn disarm(mut self) {
        // A driver that stays armed resets the board instead of leaving it off; we cannot change that.
        let _ = self.device.write_all(b"V");
    }
}

/// One ioctl with a number in and out.
fn ask(device: &File, request: u32, value: i32) -> io::Result<i32> {
    let mut value = value;
    // SAFETY: each of the requests above reads or writes one `int` at the pointer, which is valid for both.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), request as _, &raw mut value) };
    if result == 0 {
        Ok(value)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_that_is_no_watchdog_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("watchdog");
        let open = || Watchdog::open(&path, Duration::from_secs(15)).unwrap_err();
        assert_eq!(open().kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, "").unwrap();
        // QEMU's user-mode emulation knows none of these ioctls and returns another error.
        let refusals = [Some(libc::ENOTTY), Some(libc::ENOSYS)];
        assert!(refusals.contains(&open().raw_os_error()));
    }
}
