//! The output of a running board: results and messages wait for their reader only so long.
//!
//! A pipe that nobody reads fills up. A plain write then blocks for as long as the reader likes, and with it the loop, while the
//! display goes on showing the last class. So from [`begin`] on, a result that finds no room in time is an error, and a message
//! is dropped; the next one that finds room says how many were. At a terminal, which a person may have stopped (Ctrl-S), results
//! are dropped like messages: nobody counts on each of them there.

use crate::poll;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The longest that the results of one round of the loop wait for room. With the waits for messages it is shorter than a class
/// is live.
pub(super) const RESULT_WAIT: Duration = Duration::from_secs(2);
/// The longest that a message waits; those that follow a dropped one do not wait at all. A serial line of 115200 baud sends more
/// than a full buffer (4096 bytes) in this time.
const MESSAGE_WAIT: Duration = Duration::from_millis(500);

/// `None` until [`begin`]. One lock for both streams, since they may be one pipe.
static BOARD: Mutex<Option<Board>> = Mutex::new(None);

/// What is known of the readers.
struct Board {
    /// How long results may still wait in this round.
    left: Duration,
    stdout: Reader,
    stderr: Reader,
}

#[derive(Default)]
struct Reader {
    /// Lines dropped since the last one that was written.
    dropped: u64,
    /// Whether the last line was written only in part.
    is_torn: bool,
}

fn board() -> MutexGuard<'static, Option<Board>> {
    // Nobody panics while holding it, and the panic hook itself writes here.
    BOARD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on nothing waits long for a reader.
pub fn begin() {
    *board() = Some(Board {
        left: RESULT_WAIT,
        stdout: Reader::default(),
        stderr: Reader::default(),
    });
}

/// A new round of the loop: its results may wait again.
pub fn begin_round() {
    if let Some(board) = board().as_mut() {
        board.left = RESULT_WAIT;
    }
}

/// Writes a result to standard output; `None` before [`begin`].
pub(super) fn result(line: &[u8]) -> Option<io::Result<()>> {
    let mut board = board();
    let board = board.as_mut()?;
    let stdout = io::stdout();
    if stdout.is_terminal() {
        board.stdout.message(stdout, line, board.left);
        return Some(Ok(()));
    }
    let began = Instant::now();
    let result = board.stdout.write(stdout, line, board.left);
    board.left = board.left.saturating_sub(began.elapsed());
    Some(result)
}

/// Writes a message, or drops it; `None` before [`begin`].
pub(super) fn message(on_stdout: bool, line: &[u8]) -> Option<()> {
    let mut board = board();
    let board = board.as_mut()?;
    match on_stdout {
        true => board.stdout.message(io::stdout(), line, MESSAGE_WAIT),
        false => board.stderr.message(io::stderr(), line, MESSAGE_WAIT),
    }
    Some(())
}

impl Reader {
    fn message(&mut self, stream: impl AsFd, line: &[u8], wait: Duration) {
        if self.dropped > 0 {
            let dropped = self.dropped;
            let notice = format!("{dropped} lines were dropped here: nobody read them\n");
            if self
                .write(&stream, notice.as_bytes(), Duration::ZERO)
                .is_err()
            {
                self.dropped += 1;
                return;
            }
            self.dropped = 0;
        }
        if self.write(&stream, line, wait).is_err() {
            self.dropped += 1;
        }
    }

    fn write(&mut self, stream: impl AsFd, line: &[u8], wait: Duration) -> io::Result<()> {
        if self.is_torn {
            poll::write_within(&stream, b"\n", wait).map_err(|(error, _)| error)?;
            self.is_torn = false;
        }
        poll::write_within(&stream, line, wait).map_err(|(error, written)| {
            self.is_torn = written > 0;
            error
        })
    }
}

/// Where the log goes, line by line; for `env_logger`. A line that cannot be written is lost: the log is not a result, and a board
/// goes on without its serial line.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    /// On standard output instead of standard error.
    pub on_stdout: bool,
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if message(self.on_stdout, line).is_some() {
            return Ok(line.len());
        }
        match self.on_stdout {
            true => io::stdout().lock().write_all(line),
            false => io::stderr().lock().write_all(line),
        }?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Read;

    #[test]
    fn dropped_messages_are_counted_where_the_next_one_is_written() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut messages = Reader::default();
        // One that is too long for the pipe is torn.
        messages.message(&writer, &[b'x'; 1_000_000], MESSAGE_WAIT);
        let began = Instant::now();
        for _ in 0..100 {
            messages.message(&writer, b"lost\n", MESSAGE_WAIT);
        }
        let most = 10 * MESSAGE_WAIT;
        assert!(began.elapsed() < most, "only the first one waits");
        assert_eq!(messages.dropped, 101);
        let mut torn = vec![0; 65536];
        let read = reader.read(&mut torn).unwrap();
        assert!(torn[..read].iter().all(|&byte| byte == b'x'));
        messages.message(&writer, b"again\n", MESSAGE_WAIT);
        messages.message(&writer, b"and again\n", MESSAGE_WAIT);
        drop(writer);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(
            rest.trim_start_matches('x'),
            "\n101 lines were dropped here: nobody read them\nagain\nand again\n"
        );
    }
}
