//! What is reported of problems that last or come again: enough to see them, and not each time.

use crate::show::serial::Serial;
use std::time::{Duration, Instant};

/// The same problem is reported at most this often.
const TROUBLE_PERIOD: Duration = Duration::from_secs(10);

/// Reports a problem at once, and repeats of the same kind only at intervals, with the number suppressed in between.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    last: Option<(&'static str, Instant)>,
    suppressed: u64,
}

impl Trouble {
    pub fn report(&mut self, serial: &Serial, part: &'static str, why: &dyn std::fmt::Display) {
        if self
            .last
            .is_some_and(|(last, at)| last == part && at.elapsed() < TROUBLE_PERIOD)
        {
            self.suppressed += 1;
            return;
        }
        let more = if self.suppressed > 0 {
            format!(" ({} more before)", self.suppressed)
        } else {
            String::new()
        };
        serial.trouble(part, &format!("{why}{more}"));
        self.last = Some((part, Instant::now()));
        self.suppressed = 0;
    }
}

/// Why there is no camera. One reason may follow another: it was pulled out, and what is plugged in now has no suitable format.
#[derive(Debug, Default)]
pub(super) struct Reason {
    last: Option<(String, Instant)>,
}

impl Reason {
    /// Whether to report `why`: it differs from what was reported last, or that was long ago.
    pub fn is_due(&mut self, why: &str) -> bool {
        let is_known =
            |(last, at): &(String, Instant)| last == why && at.elapsed() < TROUBLE_PERIOD;
        if self.last.as_ref().is_some_and(is_known) {
            return false;
        }
        self.last = Some((why.to_owned(), Instant::now()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_due_when_it_changes_and_after_a_while() {
        let mut reason = Reason::default();
        assert!(reason.is_due("unplugged") && !reason.is_due("unplugged"));
        assert!(reason.is_due("no format") && !reason.is_due("no format"));
        assert!(reason.is_due("unplugged"));
        if let Some((_, at)) = &mut reason.last
            && let Some(before) = at.checked_sub(TROUBLE_PERIOD)
        {
            *at = before;
            assert!(reason.is_due("unplugged") && !reason.is_due("unplugged"));
        }
    }
}
