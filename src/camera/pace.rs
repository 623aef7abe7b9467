//! Paces a source that is always ready to its frame rate.

use super::SLICE;
use crate::clock;
use std::time::Duration;

/// Waits so that frames come at a fixed rate.
#[derive(Debug)]
pub(super) struct Pace {
    /// Time between two frames; zero means no pacing.
    interval: Duration,
    due: Option<Duration>,
}

impl Pace {
    /// `rate_fps` frames per second; 0 never waits.
    pub fn new(rate_fps: u32) -> Self {
        Self {
            interval: Duration::from_secs(1)
                .checked_div(rate_fps)
                .unwrap_or_default(),
            due: None,
        }
    }

    /// Waits until the next frame is due, at most [`SLICE`]; returns whether it is. The first one is due at once. A late caller
    /// need not catch up: frames that fell due in the meantime are skipped, as a camera would.
    pub fn is_due(&mut self) -> bool {
        if self.interval.is_zero() {
            return true;
        }
        let now = clock::now();
        let due = match self.due {
            Some(due) if due > now => {
                std::thread::sleep((due - now).min(SLICE));
                if due - now > SLICE {
                    return false;
                }
                due
            }
            _ => now,
        };
        self.due = Some(due + self.interval);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_at_the_rate_and_none_is_made_up() {
        let mut pace = Pace::new(200);
        let begin = clock::now();
        for _ in 0..5 {
            assert!(pace.is_due());
        }
        assert!(clock::now() - begin >= Duration::from_millis(20));
        std::thread::sleep(Duration::from_millis(30));
        let begin = clock::now();
        assert!(pace.is_due(), "late: at once");
        assert!(pace.is_due());
        assert!(clock::now() - begin >= Duration::from_millis(5));
    }

    #[test]
    fn a_long_wait_is_cut_into_slices() {
        let mut pace = Pace::new(1);
        let begin = clock::now();
        assert!(pace.is_due());
        let mut slices = 0;
        while !pace.is_due() {
            slices += 1;
        }
        assert!((1..=9).contains(&slices), "{slices}");
        assert!(clock::now() - begin >= Duration::from_secs(1));
    }
}
