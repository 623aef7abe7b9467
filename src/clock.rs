//! The time, as drivers stamp frames with it, and the processor's, that threads have used.

use std::time::Duration;

/// `CLOCK_MONOTONIC` now: never set back, the clock of V4L2 timestamps.
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

/// The processor time of a thread.
#[derive(Debug)]
pub struct ThreadClock(libc::clockid_t);

impl ThreadClock {
    /// Of the thread that asks; `None` where the system has none for it.
    pub fn of_this_thread() -> Option<Self> {
        let mut id = 0;
        // SAFETY: the thread is the caller itself, and `id` is written.
        let failed = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut id) };
        (failed == 0).then_some(Self(id))
    }

    /// How long the thread has worked; 0 once it has ended.
    pub fn time(&self) -> Duration {
        let mut at = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `at` is written; a clock whose thread has ended is an error, which leaves it.
        unsafe { libc::clock_gettime(self.0, &raw mut at) };
        Duration::new(
            u64::try_from(at.tv_sec).unwrap_or(0),
            u32::try_from(at.tv_nsec).unwrap_or(0),
        )
    }
}
