//! A fixed team of threads that work on one frame together: woken once per frame, kept in step by a barrier, parked between frames.
//! With one thread this costs nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, Thread};

/// Spins before a waiting thread yields its CPU.
const SPINS: u32 = 4000;

/// State shared by all threads.
struct Shared {
    threads: usize,
    /// Frame counter; a change is the signal to work.
    frame: AtomicUsize,
    /// Address of the frame's work, a `&&(dyn Fn(usize, &Team) + Sync)` that outlives the frame.
    work: AtomicUsize,
    /// Number of threads that have finished the frame.
    done: AtomicUsize,
    arrived: AtomicUsize,
    phase: AtomicUsize,
    stop: AtomicBool,
    broken: AtomicBool,
}

/// The team, as a frame's work sees it.
pub struct Team<'a> {
    shared: Option<&'a Shared>,
}

impl Team<'_> {
    /// Number of threads that work on the frame.
    pub fn size(&self) -> usize {
        self.shared.map_or(1, |s| s.threads)
    }

    /// Barrier: returns once every thread of the team has called it.
    pub fn meet(&self) {
        let Some(shared) = self.shared else { return };
        let phase = shared.phase.load(Ordering::Acquire);
        if shared.arrived.fetch_add(1, Ordering::AcqRel) + 1 == shared.threads {
            shared.arrived.store(0, Ordering::Relaxed);
            shared.phase.store(phase.wrapping_add(1), Ordering::Release);
        } else {
            wait(|| {
                shared.phase.load(Ordering::Acquire) != phase
                    || shared.broken.load(Ordering::Acquire)
            });
            assert!(
                !shared.broken.load(Ordering::Acquire),
                "another network thread panicked"
            );
        }
    }
}

fn wait(until: impl Fn() -> bool) {
    let mut spins = 0;
    while !until() {
        spins += 1;
        if spins < SPINS {
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
}

/// The threads.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    wake: Vec<Thread>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({})", self.shared.threads)
    }
}

impl Pool {
    /// `threads` threads, including the caller's; fewer if the system grants fewer.
    pub fn new(threads: usize) -> Self {
        let make = |threads| {
            Arc::new(Shared {
                threads,
                frame: AtomicUsize::new(0),
                work: AtomicUsize::new(0),
                done: AtomicUsize::new(0),
                arrived: AtomicUsize::new(0),
                phase: AtomicUsize::new(0),
                stop: AtomicBool::new(false),
                broken: AtomicBool::new(false),
            })
        };
        let shared = make(threads.max(1));
        let mut workers = Vec::new();
        for id in 1..shared.threads {
            let mine = shared.clone();
            let builder = std::thread::Builder::new()
                .name(format!("network-{id}"))
                .stack_size(256 << 10);
            match builder.spawn(move || serve(&mine, id)) {
                Ok(worker) => workers.push(worker),
                Err(e) => {
                    log::warn!("network: one thread instead of {threads}: {e}");
                    shared.stop.store(true, Ordering::Release);
                    for worker in workers.drain(..) {
                        worker.thread().unpark();
                        let _ = worker.join();
                    }
                    return Self {
                        shared: make(1),
                        workers,
                        wake: Vec::new(),
                    };
                }
            }
        }
        let wake = workers.iter().map(|w| w.thread().clone()).collect();
        Self {
            shared,
            workers,
            wake,
        }
    }

    /// Number of threads, including the caller's.
    pub fn size(&self) -> usize {
        self.shared.threads
    }

    /// Runs `work` on every thread, with the thread's number, and returns when all have finished.
    ///
    /// # Panics
    /// If `work` panics on any thread. The team is then out of step, and every later call panics before it starts.
    pub fn run(&mut self, work: &(dyn Fn(usize, &Team<'_>) + Sync)) {
        if self.workers.is_empty() {
            work(0, &Team { shared: None });
            return;
        }
        let shared = &*self.shared;
        assert!(
            !shared.broken.load(Ordering::Acquire),
            "a network thread panicked in an earlier frame"
        );
        let address: *const &(dyn Fn(usize, &Team<'_>) + Sync) = &work;
        shared.done.store(0, Ordering::Relaxed);
        shared.work.store(address as usize, Ordering::Relaxed);
        shared.frame.fetch_add(1, Ordering::Release);
        for thread in &self.wake {
            thread.unpark();
        }
        let team = Team {
            shared: Some(shared),
        };
        let own = catch_unwind(AssertUnwindSafe(|| work(0, &team)));
        if own.is_err() {
            shared.broken.store(true, Ordering::Release);
        }
        let others = self.workers.len();
        wait(|| shared.done.load(Ordering::Acquire) == others);
        assert!(
            !shared.broken.load(Ordering::Acquire),
            "a network thread panicked"
        );
    }
}

fn serve(shared: &Shared, id: usize) {
    let mut seen = 0;
    loop {
        let mut spins = 0;
        while shared.frame.load(Ordering::Acquire) == seen {
            if shared.stop.load(Ordering::Acquire) {
                return;
            }
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
            } else {
                std::thread::park();
            }
        }
        seen = shared.frame.load(Ordering::Acquire);
        let address =
            shared.work.load(Ordering::Relaxed) as *const &(dyn Fn(usize, &Team<'_>) + Sync);
        // SAFETY: `run` keeps the reference alive until every worker has counted itself in `done`.
        let work = unsafe { *address };
        let team = Team {
            shared: Some(shared),
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| work(id, &team)));
        if outcome.is_err() {
            shared.broken.store(true, Ordering::Release);
        }
        shared.done.fetch_add(1, Ordering::Release);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for thread in &self.wake {
            thread.unpark();
        }
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

/// Part `id` of `of` nearly equal parts of `0..count`; all but the last are multiples of `unit`.
pub fn share(count: usize, unit: usize, id: usize, of: usize) -> std::ops::Range<usize> {
    let units = count.div_ceil(unit);
    // `units * i / of` in a form that cannot wrap.
    let part = |i: usize| units / of * i + units % of * i / of;
    let at = |i: usize| part(i).saturating_mul(unit).min(count);
    at(id)..at(id + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_works_on_every_frame_and_meets_the_others() {
        let mut pool = Pool::new(3);
        let sums = [const { AtomicUsize::new(0) }; 3];
        for frame in 0..200 {
            pool.run(&|id, team| {
                sums[id].fetch_add(1, Ordering::Relaxed);
                team.meet();
                for sum in &sums {
                    assert_eq!(sum.load(Ordering::Relaxed), frame + 1);
                }
                team.meet();
            });
        }
    }

    #[test]
    fn after_a_panic_on_any_thread_nothing_is_run_any_more() {
        for broken in 0..3 {
            let mut pool = Pool::new(3);
            let mut run = |work: &(dyn Fn(usize, &Team<'_>) + Sync)| {
                catch_unwind(AssertUnwindSafe(|| pool.run(work))).is_err()
            };
            assert!(!run(&|_, team| team.meet()));
            assert!(run(&|id, team| {
                team.meet();
                assert!(id != broken, "as the test wants it");
                team.meet();
            }));
            let runs = AtomicUsize::new(0);
            assert!(run(&|_, _| {
                runs.fetch_add(1, Ordering::Relaxed);
            }));
            assert_eq!(runs.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn shares_cover_all_once() {
        for count in 0..40 {
            for unit in 1..5 {
                for of in 1..5 {
                    let all: Vec<usize> = (0..of).flat_map(|i| share(count, unit, i, of)).collect();
                    assert_eq!(all, (0..count).collect::<Vec<_>>());
                }
            }
        }
    }
}
