//! Holds a planner or parser that is not ours to a time: it works in a thread of its own, with a stack for graphs of any depth
//! that the network's budget lets through, and is given up when it has used up its share of the processor.

use crate::clock::ThreadClock;
use crate::panics::catch_unwind;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Bytes of stack; pages of it that are not needed are never there. tract's planner calls itself along chains of nodes.
const STACK_BYTES: usize = 64 << 20;
/// How often the clock is looked at.
const CHECK_PERIOD: Duration = Duration::from_millis(50);

/// Why work was given up.
#[derive(Debug)]
pub enum GivenUp {
    /// There is no thread for it.
    NoThread(std::io::Error),
    /// It panicked.
    Panicked,
    /// It used up its time.
    Late,
}

/// What `plan` makes within this time of the processor. If it takes longer, it continues in the background.
pub fn run<T: Send + 'static>(
    limit: Duration,
    plan: impl FnOnce() -> T + Send + 'static,
) -> Result<T, GivenUp> {
    let (clock_out, clock_in) = mpsc::sync_channel(1);
    let (out, results) = mpsc::sync_channel(1);
    let work = move || {
        let _ = clock_out.send(ThreadClock::of_this_thread());
        // A panic leaves the channel without anything.
        if let Ok(result) = catch_unwind(AssertUnwindSafe(plan)) {
            let _ = out.send(result);
        }
    };
    let thread = std::thread::Builder::new()
        .name("planner".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(work)
        .map_err(GivenUp::NoThread)?;
    let clock = clock_in.recv().ok().flatten();
    loop {
        match results.recv_timeout(CHECK_PERIOD) {
            Ok(result) => {
                // Its stack and what it kept for itself are gone before the next step.
                let _ = thread.join();
                return Ok(result);
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(GivenUp::Panicked);
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if clock.as_ref().is_some_and(|c| c.time() > limit) {
            return Err(GivenUp::Late);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn work_that_ends_in_time_is_returned_and_other_work_is_given_up() {
        let limit = Duration::from_secs(30);
        assert!(matches!(run(limit, || 7), Ok(7)));
        // Waiting is not working.
        let waits = || std::thread::sleep(Duration::from_millis(300));
        assert!(run(Duration::from_millis(100), waits).is_ok());
        static DONE: AtomicBool = AtomicBool::new(false);
        let turns = || {
            while !DONE.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        };
        let why = run(Duration::from_millis(100), turns).unwrap_err();
        DONE.store(true, Ordering::Relaxed);
        assert!(matches!(why, GivenUp::Late), "{why:?}");
        let panics = || panic!("on purpose");
        let why = run::<()>(limit, panics).unwrap_err();
        assert!(matches!(why, GivenUp::Panicked), "{why:?}");
        let deep = || {
            fn sum(n: u64) -> u64 {
                if n == 0 {
                    0
                } else {
                    std::hint::black_box(sum(n - 1)) + n
                }
            }
            sum(300_000)
        };
        assert!(matches!(run(limit, deep), Ok(n) if n == 300_000 * 300_001 / 2));
    }
}
