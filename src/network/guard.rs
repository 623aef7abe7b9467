//! What holds a planner or parser that is not ours to a time: it works in a thread of its own, with a stack for graphs of any depth that
//! the budget lets through, and is given up when it has used up its share of the processor.

use crate::clock::ThreadClock;
use crate::panics::catch_unwind;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Processor time for planning, beside that for weights. Real networks take up to a second on x86-64; the cores of small boards
/// are some ten times as slow.
const PLANNING: Duration = Duration::from_secs(if cfg!(target_arch = "x86_64") { 4 } else { 30 });
/// So many bytes of weights are worth a second more: they are copied and packed.
const WEIGHTS_BYTES_A_SECOND: u64 = 32 << 20;
/// Bytes of stack; pages of it that are not needed are never there. tract's planner calls itself along chains of nodes.
const STACK_BYTES: usize = 64 << 20;
/// How often the clock is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What `plan` makes, if it does so in time; the error says that it did not. It goes on behind the scenes then: whoever gets the
/// error is about to end the program.
pub fn in_time<T: Send + 'static>(
    weights_bytes: u64,
    plan: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let limit = PLANNING + Duration::from_secs(weights_bytes / WEIGHTS_BYTES_A_SECOND);
    run(limit, plan).map_err(|why| match why {
        GivenUp::NoThread(error) => format!("cannot be planned: no thread for it: {error}"),
        GivenUp::Panicked => "cannot be planned: the planner panicked on it".to_owned(),
        GivenUp::Late => format!(
            "cannot be planned in {} seconds of the processor's time, the limit: simplify it (onnxsim), or take a network \
             with fewer nodes that `eyelet explain` leaves to tract",
            limit.as_secs()
        ),
    })
}

/// Why work was given up.
#[derive(Debug)]
pub(crate) enum GivenUp {
    /// There is no thread for it.
    NoThread(std::io::Error),
    /// It panicked.
    Panicked,
    /// It used up its time.
    Late,
}

/// What `plan` makes within this time of the processor. When it does not, it goes on behind the scenes.
pub(crate) fn run<T: Send + 'static>(
    limit: Duration,
    plan: impl FnOnce() -> T + Send + 'static,
) -> Result<T, GivenUp> {
    let (clock_out, clock_in) = mpsc::sync_channel(1);
    let (out, made) = mpsc::sync_channel(1);
    let work = move || {
        let _ = clock_out.send(ThreadClock::of_this_thread());
        // A panic leaves the channel without anything.
        if let Ok(made) = catch_unwind(AssertUnwindSafe(plan)) {
            let _ = out.send(made);
        }
    };
    let thread = std::thread::Builder::new()
        .name("planner".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(work)
        .map_err(GivenUp::NoThread)?;
    let clock = clock_in.recv().ok().flatten();
    loop {
        match made.recv_timeout(LOOK) {
            Ok(made) => {
                // Its stack and what it kept for itself are gone before the next step.
                let _ = thread.join();
                return Ok(made);
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
    fn what_ends_in_time_is_there_and_what_does_not_is_given_up() {
        assert_eq!(in_time(0, || 7), Ok(7));
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
        assert!(in_time::<()>(0, panics).unwrap_err().contains("panicked"));
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
        assert_eq!(in_time(0, deep), Ok(300_000 * 300_001 / 2));
    }
}
