//! Asks the kernel whether a stream is ready, waiting at most a given time, and writes no more than it is ready for.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

/// A pipe that is ready has room for as much; sockets have room for more.
const PIPE_BYTES: usize = libc::PIPE_BUF;
/// A terminal that is ready has room for 256 bytes, and makes two of a line end.
const TERMINAL_BYTES: usize = 128;

/// Waits until `stream` has bytes to read or has ended; returns `false` if neither happened within `wait`.
///
/// # Errors
/// The system's error; [`io::ErrorKind::Interrupted`] when a signal came first.
pub fn readable(stream: impl AsFd, wait: Duration) -> io::Result<bool> {
    Ok(poll(stream, libc::POLLIN, wait)? != 0)
}

/// Waits until one of `streams` has bytes to read or has ended, at most `wait`; returns for each whether its writer is gone.
///
/// # Errors
/// As for [`readable`].
pub fn any_readable<const N: usize>(
    streams: [Option<BorrowedFd<'_>>; N],
    wait: Duration,
) -> io::Result<[bool; N]> {
    let happened = poll_all(streams, libc::POLLIN, wait)?;
    Ok(happened.map(|events| events & libc::POLLHUP != 0))
}

/// Whether the reader of `stream` is gone.
pub fn is_reader_gone(stream: impl AsFd) -> bool {
    let gone = libc::POLLERR | libc::POLLHUP;
    poll(stream, 0, Duration::ZERO).is_ok_and(|events| events & gone != 0)
}

/// Writes all of `bytes`, waiting for room at most `wait` in all. The stream stays blocking: that flag belongs to the open file,
/// which others share. So it must not be written to elsewhere at the same time: what one finds room for the other may fill.
///
/// # Errors
/// The system's error, [`io::ErrorKind::TimedOut`] when there was no room in time; and how many bytes were written.
pub fn write_within(
    stream: impl AsFd,
    bytes: &[u8],
    wait: Duration,
) -> Result<(), (io::Error, usize)> {
    let stream = stream.as_fd();
    let at_once = match stream.is_terminal() {
        true => TERMINAL_BYTES,
        false => PIPE_BYTES,
    };
    let deadline = Instant::now() + wait;
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        let left = deadline.saturating_duration_since(Instant::now());
        let done = match poll(stream, libc::POLLOUT, left) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => write(stream, &rest[..rest.len().min(at_once)]),
            Err(error) => Err(error),
        };
        match done {
            Ok(0) => return Err((io::ErrorKind::WriteZero.into(), written)),
            Ok(count) => written += count,
            // A signal; or someone else has made the open file non-blocking.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) =>
            {
                if left.is_zero() {
                    return Err((io::ErrorKind::TimedOut.into(), written));
                }
            }
            Err(error) => return Err((error, written)),
        }
    }
    Ok(())
}

fn write(stream: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the bytes are readable for the length given, and the descriptor is open while `stream` lives.
    let written = unsafe { libc::write(stream.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(written).map_err(|_| io::Error::last_os_error())
}

/// Which of `events`, errors and hang-ups happened; 0 if none did within `wait`.
fn poll(stream: impl AsFd, events: libc::c_short, wait: Duration) -> io::Result<libc::c_short> {
    let [happened] = poll_all([Some(stream.as_fd())], events, wait)?;
    Ok(happened)
}

/// The same for several streams, until something happened to one of them.
fn poll_all<const N: usize>(
    streams: [Option<BorrowedFd<'_>>; N],
    events: libc::c_short,
    wait: Duration,
) -> io::Result<[libc::c_short; N]> {
    // Rounded up, so that we sleep through the last part of a millisecond instead of spinning.
    let wait_ms = i32::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
    let mut asked = streams.map(|stream| libc::pollfd {
        // The kernel passes over a negative one.
        fd: stream.map_or(-1, |stream| stream.as_raw_fd()),
        events,
        revents: 0,
    });
    // SAFETY: `asked` are `N` valid pollfd, and the call gets that count; the descriptors are open while `streams` lives.
    match unsafe { libc::poll(asked.as_mut_ptr(), N as libc::nfds_t, wait_ms) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(asked.map(|asked| asked.revents)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::{Read, Seek, Write};

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

    #[test]
    fn several_pipes_are_waited_for_and_one_may_be_missing() {
        let (silent, _writer) = io::pipe().unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        let ask = |wait| any_readable([Some(silent.as_fd()), None, Some(reader.as_fd())], wait);
        let wait = Duration::from_millis(20);
        let began = Instant::now();
        assert_eq!(ask(wait).unwrap(), [false; 3]);
        assert!(began.elapsed() >= wait);
        writer.write_all(b"x").unwrap();
        let long = Duration::from_secs(60);
        assert_eq!(ask(long).unwrap(), [false; 3]);
        drop(writer);
        assert_eq!(ask(long).unwrap(), [false, false, true]);
        assert!(began.elapsed() < long);
    }

    #[test]
    fn a_writer_waits_for_room_only_so_long() {
        let (mut reader, writer) = io::pipe().unwrap();
        let wait = Duration::from_millis(100);
        // More than a pipe holds.
        let bytes: Vec<u8> = (0..1_000_000).map(|n| (n % 251) as u8).collect();
        let began = Instant::now();
        let (error, written) = write_within(&writer, &bytes, wait).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!((wait..Duration::from_secs(20)).contains(&began.elapsed()));
        let began = Instant::now();
        let (error, more) = write_within(&writer, &bytes, Duration::ZERO).unwrap_err();
        assert_eq!((error.kind(), more), (io::ErrorKind::TimedOut, 0));
        assert!(began.elapsed() < Duration::from_secs(5));
        // What was written is the beginning, and a reader that comes late gets the rest.
        let mut read = vec![0; written];
        reader.read_exact(&mut read).unwrap();
        assert!(read == bytes[..written]);
        std::thread::scope(|scope| {
            let rest = scope.spawn(|| {
                let mut read = vec![0; bytes.len()];
                reader.read_exact(&mut read).map(|()| read)
            });
            write_within(&writer, &bytes, Duration::from_secs(20)).unwrap();
            assert!(rest.join().unwrap().unwrap() == bytes);
        });
        drop(reader);
        let (error, _) = write_within(&writer, b"x", wait).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        let mut file = tempfile::tempfile().unwrap();
        write_within(&file, &bytes, Duration::ZERO).unwrap();
        file.seek(io::SeekFrom::Start(0)).unwrap();
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert!(read == bytes);
    }
}
