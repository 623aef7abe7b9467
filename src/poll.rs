//! Asks the kernel whether a stream is ready, waiting at most a given time.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// Waits until `stream` has bytes to read or has ended; returns `false` if neither happened within `wait`.
///
/// # Errors
/// The system's error; [`io::ErrorKind::Interrupted`] when a signal came first.
pub fn readable(stream: impl AsFd, wait: Duration) -> io::Result<bool> {
    Ok(poll(stream, libc::POLLIN, wait)? != 0)
}

/// Whether the reader of `stream` is gone.
pub fn is_reader_gone(stream: impl AsFd) -> bool {
    let gone = libc::POLLERR | libc::POLLHUP;
    poll(stream, 0, Duration::ZERO).is_ok_and(|events| events & gone != 0)
}

/// Which of `events`, errors and hang-ups happened; 0 if none did within `wait`.
fn poll(stream: impl AsFd, events: libc::c_short, wait: Duration) -> io::Result<libc::c_short> {
    // Rounded up, so that we sleep through the last part of a millisecond instead of spinning.
    let wait_ms = i32::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
    let stream = stream.as_fd();
    let mut asked = libc::pollfd {
        fd: stream.as_raw_fd(),
        events,
        revents: 0,
    };
    // SAFETY: `asked` is one valid pollfd, and the call gets a count of one; the descriptor is open while `stream` lives.
    match unsafe { libc::poll(&mut asked, 1, wait_ms) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(asked.revents),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;

    #[test]
    fn a_pipe_reports_bytes_and_a_closed_end() {
        let (reader, mut writer) = io::pipe().unwrap();
        assert!(!readable(&reader, Duration::from_millis(1)).unwrap());
        assert!(!is_reader_gone(&writer));
        writer.write_all(b"x").unwrap();
        assert!(readable(&reader, Duration::ZERO).unwrap());
        drop(reader);
        assert!(is_reader_gone(&writer));
        assert!(!is_reader_gone(tempfile::tempfile().unwrap()));
        let (reader, writer) = io::pipe().unwrap();
        drop(writer);
        assert!(readable(&reader, Duration::ZERO).unwrap());
    }
}
