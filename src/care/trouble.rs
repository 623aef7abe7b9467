//! One problem that comes and goes: how long it has lasted, and when it was last logged.

use crate::show::serial::Serial;
use std::fmt::Display;
use std::time::{Duration, Instant};

/// A lasting problem is logged again this often.
const AGAIN: Duration = Duration::from_secs(600);
/// A problem that comes and goes is logged at most this often.
const CALM: Duration = Duration::from_secs(30);

/// The state of one problem.
#[derive(Debug, Default)]
pub struct Trouble {
    since: Option<Instant>,
    logged_at: Option<Instant>,
    /// The last log line about it said that it lasts.
    is_logged: bool,
}

impl Trouble {
    /// Records whether the problem exists now.
    pub fn set(&mut self, is_there: bool) {
        match (is_there, self.since) {
            (true, None) => self.since = Some(Instant::now()),
            (false, Some(_)) => self.since = None,
            _ => {}
        }
    }

    /// Whether the problem exists.
    pub fn lasts(&self) -> bool {
        self.since.is_some()
    }

    /// How long it has existed; `None` when it does not.
    pub fn lasted(&self) -> Option<Duration> {
        self.since.map(|since| since.elapsed())
    }

    /// Logs that it has begun, lasts or is over, when a line is due.
    pub fn log(&mut self, serial: &Serial, part: &str, what: &dyn Display) {
        if self.lasts() == self.is_logged && !(self.is_logged && self.is_older_than(AGAIN)) {
            return;
        }
        if self.logged_at.is_some() && !self.is_older_than(CALM) {
            return;
        }
        self.logged_at = Some(Instant::now());
        self.is_logged = self.lasts();
        if self.is_logged {
            serial.trouble(part, &what.to_string());
        } else {
            serial.trouble(part, "back to normal");
        }
    }

    fn is_older_than(&self, age: Duration) -> bool {
        self.logged_at.is_some_and(|at| at.elapsed() >= age)
    }
}
