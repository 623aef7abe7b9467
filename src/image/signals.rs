//! Delays terminating signals while a file is half written, so that it is not left behind.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Delays signals as long as it lives. A second signal still ends the program.
pub struct HeldBack {
    /// The first signal that arrived.
    received: Arc<AtomicUsize>,
    ends_at_once: Arc<AtomicBool>,
}

impl HeldBack {
    /// Delays the signals that end a program: from the keyboard, from another program, from a closing terminal. Exceeding the
    /// file size limit then becomes a write error instead of a signal.
    ///
    /// # Errors
    /// The system's error.
    pub fn new() -> io::Result<Self> {
        let held = Self {
            received: Arc::default(),
            ends_at_once: Arc::default(),
        };
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            flag::register_conditional_default(signal, Arc::clone(&held.ends_at_once))?;
            flag::register(signal, Arc::clone(&held.ends_at_once))?;
            flag::register_usize(signal, Arc::clone(&held.received), signal as usize)?;
        }
        flag::register(SIGXFSZ, Arc::<AtomicBool>::default())?;
        Ok(held)
    }

    /// Fails if a signal arrived.
    ///
    /// # Errors
    /// The error names the signal.
    pub fn check(&self) -> io::Result<()> {
        let signal = self.received.load(Ordering::SeqCst);
        let name = i32::try_from(signal)
            .ok()
            .and_then(signal_hook::low_level::signal_name);
        match name {
            None => Ok(()),
            Some(name) => Err(io::Error::other(format!(
                "ended by {name}; the unfinished file was removed"
            ))),
        }
    }
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        self.ends_at_once.store(true, Ordering::SeqCst);
    }
}
