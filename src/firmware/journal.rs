//! The first program's log: its own lines and everything that the classifier writes, kept in the ring and shown on the console.

use super::ring::Ring;
use crate::clock;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// How much of the log is kept in memory.
const RING_BYTES: usize = 48 << 10;
/// How much of the kernel's log is saved before it.
const KERNEL_BYTES: usize = 16 << 10;

/// The log.
#[derive(Debug)]
pub struct Journal {
    ring: Ring,
    console: Option<File>,
    /// How far the console has got.
    shown: u64,
}

impl Journal {
    /// A log that is shown on the terminal `console`, as fast as that accepts it.
    pub fn new(console: &Path) -> Self {
        let console = File::options()
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(console);
        Self {
            ring: Ring::new(RING_BYTES),
            console: console.ok(),
            shown: 0,
        }
    }

    /// Adds a line from the first program, with the time since kernel start.
    pub fn log(&mut self, line: &str) {
        let now = clock::now().as_secs_f64();
        self.write(format!("[{now:9.3}] init: {line}\n").as_bytes());
    }

    /// Adds the classifier's output.
    pub fn write(&mut self, text: &[u8]) {
        self.ring.write(text);
        self.show();
    }

    /// Writes to the console what it accepts without blocking.
    pub fn show(&mut self) {
        let Some(console) = &mut self.console else {
            return;
        };
        loop {
            let (from, piece) = self.ring.piece(self.shown);
            self.shown = from;
            if piece.is_empty() {
                return;
            }
            match console.write(piece) {
                Ok(taken) if taken > 0 => self.shown += taken as u64,
                // Full or gone: the rest comes later or never.
                _ => return,
            }
        }
    }

    /// The end of the kernel's log, then ours.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut all = kernel_log();
        all.extend(self.ring.to_bytes());
        all
    }
}

fn kernel_log() -> Vec<u8> {
    /// Read the newest messages in the kernel's buffer, without removing them.
    const SYSLOG_ACTION_READ_ALL: libc::c_int = 3;
    let mut buffer = vec![0u8; KERNEL_BYTES];
    // SAFETY: the kernel writes at most the given number of bytes to the buffer, which has as many.
    let length = unsafe {
        libc::klogctl(
            SYSLOG_ACTION_READ_ALL,
            buffer.as_mut_ptr().cast(),
            KERNEL_BYTES as libc::c_int,
        )
    };
    buffer.truncate(usize::try_from(length).unwrap_or(0));
    buffer
}
