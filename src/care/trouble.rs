//! One problem that comes and goes: how long it has lasted, and when it was last logged.

use crate::show::serial::Serial;
use std::fmt::Display;
use std::time::{Duration, Instant};

/// A lasting problem is logged again this often.
const AGAIN: Duration = Duration::from_secs(600);
/// A problem that comes and goes is logged at most this often. That a logged one is over is logged at once.
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
        let is_over = self.is_logged && !self.lasts();
        if !is_over && self.logged_at.is_some() && !self.is_older_than(CALM) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_logged_problem_is_logged_at_once_and_its_return_after_a_while() {
        let serial = Serial::new(false, Instant::now(), "unknown");
        let mut trouble = Trouble::default();
        let mut turns = |is_there| {
            trouble.set(is_there);
            trouble.log(&serial, "display", &"torn");
            (trouble.is_logged, trouble.logged_at)
        };
        let (is_logged, began_at) = turns(true);
        assert!(is_logged);
        let (is_logged, ended_at) = turns(false);
        assert!(!is_logged && ended_at > began_at, "over, and told so");
        for is_there in [true, false, true] {
            assert_eq!(turns(is_there), (false, ended_at), "it flickers");
        }
        // It lasts.
        trouble.logged_at = Instant::now().checked_sub(CALM);
        if trouble.logged_at.is_some() {
            trouble.log(&serial, "display", &"torn");
            assert!(trouble.is_logged);
        }
    }
}
