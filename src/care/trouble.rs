//! One trouble that comes and goes: since when it lasts, and when it was told.

use crate::show::serial::Serial;
use std::fmt::Display;
use std::time::{Duration, Instant};

/// A trouble that lasts is told again this often.
const AGAIN: Duration = Duration::from_secs(600);
/// One that comes and goes is told this often at the most.
const CALM: Duration = Duration::from_secs(30);

/// Whether one trouble lasts.
#[derive(Debug, Default)]
pub struct Trouble {
    since: Option<Instant>,
    told_at: Option<Instant>,
    /// The log's last word on it was that it lasts.
    is_told: bool,
}

impl Trouble {
    /// It is there, or not.
    pub fn set(&mut self, is_there: bool) {
        match (is_there, self.since) {
            (true, None) => self.since = Some(Instant::now()),
            (false, Some(_)) => self.since = None,
            _ => {}
        }
    }

    /// Whether it is there.
    pub fn lasts(&self) -> bool {
        self.since.is_some()
    }

    /// For how long it has been there; `None` when it is not.
    pub fn lasted(&self) -> Option<Duration> {
        self.since.map(|since| since.elapsed())
    }

    /// Tells on the log that it has begun, lasts or is over, when that is due.
    pub fn tell(&mut self, serial: &Serial, part: &str, what: &dyn Display) {
        if self.lasts() == self.is_told && !(self.is_told && self.is_older_than(AGAIN)) {
            return;
        }
        if self.told_at.is_some() && !self.is_older_than(CALM) {
            return;
        }
        self.told_at = Some(Instant::now());
        self.is_told = self.lasts();
        if self.is_told {
            serial.trouble(part, &what.to_string());
        } else {
            serial.trouble(part, "well again");
        }
    }

    fn is_older_than(&self, age: Duration) -> bool {
        self.told_at.is_some_and(|at| at.elapsed() >= age)
    }
}
