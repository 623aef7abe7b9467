//! The time, as drivers stamp frames with it.

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
