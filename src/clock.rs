//! Clocks: the one that stamps frames, the wall clock, and a thread's CPU time.

use std::fmt::Display;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 2025-01-01: an earlier clock was never set. Most boards have no battery-backed clock and start in 1970.
const SET_SINCE: Duration = Duration::from_secs(1_735_689_600);
/// The year 10000, which RFC 3339 cannot express.
const TOO_LATE: Duration = Duration::from_secs(253_402_300_800);

/// The wall clock in RFC 3339, UTC with milliseconds (`2026-11-28T09:30:00.250Z`); `None` if it was never set.
pub fn utc() -> Option<impl Display> {
    rfc3339(SystemTime::now())
}

fn rfc3339(time: SystemTime) -> Option<impl Display> {
    let since_1970 = time.duration_since(UNIX_EPOCH).ok()?;
    let is_set = (SET_SINCE..TOO_LATE).contains(&since_1970);
    is_set.then(|| humantime::format_rfc3339_millis(time))
}

/// `CLOCK_MONOTONIC` now: it never goes back, and V4L2 timestamps use it.
pub fn now() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the result; the clock exists on every Linux, so the call cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

/// The CPU time of a thread.
#[derive(Debug)]
pub struct ThreadClock(libc::clockid_t);

impl ThreadClock {
    /// The calling thread's clock; `None` if the system has none for it.
    pub fn of_this_thread() -> Option<Self> {
        let mut id = 0;
        // SAFETY: the thread is the caller itself, and `id` is written.
        let failed = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut id) };
        (failed == 0).then_some(Self(id))
    }

    /// How long the thread has run; 0 once it has ended.
    pub fn time(&self) -> Duration {
        let mut at = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `at` is written; the clock of a thread that has ended gives an error and leaves `at` alone.
        unsafe { libc::clock_gettime(self.0, &raw mut at) };
        Duration::new(
            u64::try_from(at.tv_sec).unwrap_or(0),
            u32::try_from(at.tv_nsec).unwrap_or(0),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_given_only_if_it_was_set() {
        for (milliseconds, expected) in [
            (0, None),
            (1_735_689_599_999, None),
            (1_735_689_600_000, Some("2025-01-01T00:00:00.000Z")),
            (1_835_395_199_007, Some("2028-02-28T23:59:59.007Z")),
            (253_402_300_799_999, Some("9999-12-31T23:59:59.999Z")),
            (253_402_300_800_000, None),
        ] {
            let time = UNIX_EPOCH + Duration::from_millis(milliseconds);
            let text = rfc3339(time).map(|time| time.to_string());
            assert_eq!(text.as_deref(), expected, "{milliseconds}");
        }
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert!(rfc3339(before).is_none());
    }
}
