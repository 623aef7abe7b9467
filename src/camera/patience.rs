//! How long a camera waits for its next picture: in slices, one per call of [`Camera::next`](super::Camera::next), up to the
//! board file's timeout.

use std::time::Duration;

/// The longest that one call of [`Camera::next`](super::Camera::next) waits, so that the device loop can attend to its clocks and
/// signals.
pub const SLICE: Duration = Duration::from_millis(100);

/// The wait for one picture. Times are those of `CLOCK_MONOTONIC`.
#[derive(Debug)]
pub(super) struct Patience {
    timeout: Duration,
    /// When the wait for the next picture ends; `None` before it has begun.
    deadline: Option<Duration>,
}

impl Patience {
    /// Waits at most `timeout` for a picture.
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            deadline: None,
        }
    }

    /// The timeout.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The deadline of this call. The wait for a picture begins with the first call.
    pub fn slice_end(&mut self, now: Duration) -> Duration {
        let deadline = *self
            .deadline
            .get_or_insert(now.saturating_add(self.timeout));
        deadline.min(now + SLICE)
    }

    /// Whether the timeout has expired.
    pub fn is_over(&self, now: Duration) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// The picture came: the next wait starts from zero.
    pub fn arrived(&mut self) {
        self.deadline = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(250);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_wait_is_cut_into_slices_and_ends_at_the_timeout() {
        let mut patience = Patience::new(TIMEOUT);
        assert!(!patience.is_over(ms(9999)), "not begun");
        for (now, end) in [(1000, 1100), (1100, 1200), (1200, 1250)] {
            assert_eq!(patience.slice_end(ms(now)), ms(end));
            assert_eq!(patience.is_over(ms(end)), end == 1250);
        }
        // A late caller has waited long enough.
        assert_eq!(patience.slice_end(ms(1400)), ms(1250));
        assert!(patience.is_over(ms(1400)));
    }

    #[test]
    fn each_picture_has_a_timeout_of_its_own() {
        let mut patience = Patience::new(TIMEOUT);
        patience.slice_end(ms(1000));
        patience.arrived();
        // Time spent on the picture does not count.
        assert_eq!(patience.slice_end(ms(5000)), ms(5100));
        assert!(!patience.is_over(ms(5249)));
        assert!(patience.is_over(ms(5250)));
    }
}
