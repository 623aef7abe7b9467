//! How long a test waits for an emulated board: by the time that its emulator had. What it waited for a processor, on a machine that
//! does other work meanwhile, is not a fault of the board's and does not count.

use std::fs;
use std::time::{Duration, Instant};

/// A wait that has begun.
pub struct Patience {
    allowed: Duration,
    began: Instant,
    process: u32,
    starved_before: Duration,
}

impl Patience {
    /// Begins a wait for what the emulator of this process number does.
    pub fn begin(process: u32, allowed: Duration) -> Self {
        Self {
            allowed,
            began: Instant::now(),
            process,
            starved_before: starved(process),
        }
    }

    /// Whether the emulator had the time that is allowed.
    pub fn is_over(&self) -> bool {
        let starved = starved(self.process).saturating_sub(self.starved_before);
        self.began.elapsed() > self.allowed + starved
    }
}

/// How long the thread of a process that waited longest for a processor did so: Linux, Documentation/scheduler/sched-stats.rst, the second
/// number of `schedstat`. Nothing where the kernel does not count it, or the process has ended.
fn starved(process: u32) -> Duration {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
        return Duration::ZERO;
    };
    let waited = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().nth(1)?.parse().ok()
    });
    Duration::from_nanos(waited.max().unwrap_or_default())
}
