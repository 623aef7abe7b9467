//! Signals that end a program, held back while a file is half written, so that it does not stay behind.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Holds signals back as long as it lives. A second one ends the program all the same.
pub struct HeldBack {
    /// The first that came.
    came: Arc<AtomicUsize>,
    ends_at_once: Arc<AtomicBool>,
}

impl HeldBack {
    /// Holds back what ends a program: from the keyboard, from another program, from the end of a terminal. Writing past a
    /// limit for files is an error of the writing then, and no end either.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Self> {
        let held = Self {
            came: Arc::default(),
            ends_at_once: Arc::default(),
        };
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            flag::register_conditional_default(signal, Arc::clone(&held.ends_at_once))?;
            flag::register(signal, Arc::clone(&held.ends_at_once))?;
            flag::register_usize(signal, Arc::clone(&held.came), signal as usize)?;
        }
        flag::register(SIGXFSZ, Arc::<AtomicBool>::default())?;
        Ok(held)
    }

    /// Fails when one came.
    ///
    /// # Errors
    /// It says which.
    pub fn check(&self) -> io::Result<()> {
        let signal = self.came.load(Ordering::SeqCst);
        let name = i32::try_from(signal)
            .ok()
            .and_then(signal_hook::low_level::signal_name);
        match name {
            None => Ok(()),
            Some(name) => Err(io::Error::other(format!(
                "ended by {name}, nothing is left of it"
            ))),
        }
    }
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        self.ends_at_once.store(true, Ordering::SeqCst);
    }
}
