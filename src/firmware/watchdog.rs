//! The hardware watchdog, `/dev/watchdog`: it resets the board when it is not fed in time.
//!
//! Opening it arms it, so from then on it is kept and fed, whatever its driver does not support: to close it again might leave it
//! armed. It is fed only by [`Watchdog::feed`], never by a timer; [`super::supervisor`] decides who may feed it.
//! Numbers and structures: linux/Documentation/watchdog/watchdog-api.rst.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

/// `_IOR('W', 2, int)`
const WDIOC_GETBOOTSTATUS: u32 = 0x8004_5702;
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
    /// It resets the board after this long without being fed; zero if it does not say.
    pub timeout: Duration,
}

impl Watchdog {
    /// Opens and arms the watchdog at `path`. It gets `timeout`, or keeps its own if that cannot be set (the Raspberry Pi's
    /// allows at most 15 s).
    ///
    /// # Errors
    /// The system's error: there is none, or another program has it; or it is not a device.
    pub fn open(path: &Path, timeout: Duration) -> io::Result<Self> {
        let device = File::options().write(true).open(path)?;
        if !device.metadata()?.file_type().is_char_device() {
            let message = format!("{} is not a watchdog", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let seconds = i32::try_from(timeout.as_secs()).unwrap_or(i32::MAX);
        let set = ask(&device, WDIOC_SETTIMEOUT, seconds)
            .or_else(|_| ask(&device, WDIOC_GETTIMEOUT, 0))
            .unwrap_or(0);
        Ok(Self {
            device,
            timeout: Duration::from_secs(u64::try_from(set).unwrap_or(0)),
        })
    }

    /// Restarts its countdown.
    ///
    /// # Errors
    /// The system's error, when the device is gone.
    pub fn feed(&mut self) -> io::Result<()> {
        // Any byte but a `V`. Not every driver knows the request for it, `WDIOC_KEEPALIVE`.
        self.device.write_all(&[0])
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
        assert_eq!(open().kind(), io::ErrorKind::InvalidInput);
        assert!(std::fs::read(&path).unwrap().is_empty());
    }

    /// Opening has armed it.
    #[test]
    fn a_watchdog_that_refuses_every_request_is_kept_and_fed() {
        let mut watchdog = Watchdog::open(Path::new("/dev/null"), Duration::from_secs(15)).unwrap();
        assert_eq!(watchdog.timeout, Duration::ZERO, "unknown");
        assert!(!watchdog.has_reset_the_board());
        watchdog.feed().unwrap();
        watchdog.disarm();
    }
}
