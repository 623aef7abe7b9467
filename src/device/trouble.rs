//! What is reported of problems that last or come again: enough to see them, and not each time.

use crate::show::serial::Serial;
use std::time::{Duration, Instant};

/// The same problem is reported at most this often.
const TROUBLE_PERIOD: Duration = Duration::from_secs(10);

/// Reports a problem at once, and repeats of the same kind only at intervals, with the number suppressed in between.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// One per kind reported so far; there are a few.
    kinds: Vec<Reported>,
}

#[derive(Debug)]
struct Reported {
    part: &'static str,
    at: Instant,
    suppressed: u64,
}

impl Trouble {
    pub fn report(&mut self, serial: &Serial, part: &'static str, why: &dyn std::fmt::Display) {
        match self.due(part) {
            None => {}
            Some(0) => serial.trouble(part, &why.to_string()),
            Some(more) => serial.trouble(part, &format!("{why} ({more} more before)")),
        }
    }

    /// How many of this kind were suppressed since the last report, if another one is due.
    fn due(&mut self, part: &'static str) -> Option<u64> {
        let now = Instant::now();
        match self.kinds.iter_mut().find(|kind| kind.part == part) {
            Some(kind) if now - kind.at < TROUBLE_PERIOD => {
                kind.suppressed += 1;
                None
            }
            Some(kind) => {
                kind.at = now;
                Some(std::mem::take(&mut kind.suppressed))
            }
            None => {
                self.kinds.push(Reported {
                    part,
                    at: now,
                    suppressed: 0,
                });
                Some(0)
            }
        }
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
    fn kinds_that_alternate_are_each_due_after_a_while() {
        let mut trouble = Trouble::default();
        for turn in 0..5 {
            for part in ["frame skipped", "class not shown"] {
                assert_eq!(trouble.due(part), (turn == 0).then_some(0), "{part}");
            }
        }
        if let Some(before) = trouble.kinds[0].at.checked_sub(TROUBLE_PERIOD) {
            trouble.kinds[0].at = before;
            assert_eq!(trouble.due("frame skipped"), Some(4));
            assert_eq!(trouble.due("frame skipped"), None);
            assert_eq!(trouble.due("class not shown"), None);
        }
    }

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
