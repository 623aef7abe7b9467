//! How long each step of a plan takes.

use super::{Fused, Shared};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A step's times: the least of all rounds, because other programs on the machine only add to them.
#[derive(Debug, Clone, Copy)]
pub struct StepTime {
    /// What the step does. A block of bands is one step.
    pub op: &'static str,
    /// From its start until the last thread has finished; at least what the thread with most work needs.
    pub wall: Duration,
    /// Time that the threads work, added up.
    pub busy: Duration,
}

impl Fused {
    /// The times of each step over `rounds` runs, in execution order; `Row::step` counts them from 0. The scores of these
    /// runs are the same as otherwise; the clock adds some 50 ns per step.
    pub fn profile(&mut self, rounds: usize) -> Vec<StepTime> {
        let (threads, steps) = (self.threads(), self.plan.steps.len());
        let least = |count: usize| -> Vec<AtomicU64> {
            (0..count).map(|_| AtomicU64::new(u64::MAX)).collect()
        };
        let (wall, busy) = (least(steps), least(steps * threads));
        let arena = Shared(self.arena.as_mut_ptr());
        let (plan, kernels) = (&self.plan, self.kernels);
        let note = |least: &AtomicU64, start: Instant| {
            least.fetch_min(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        };
        for _ in 0..rounds {
            self.pool.run(&|id, team| {
                let arena = &arena;
                let worker = plan.worker(arena.0, id, threads);
                team.meet();
                for (at, step) in plan.steps.iter().enumerate() {
                    let start = Instant::now();
                    // SAFETY: the plan is verified for the team's number of threads; the arena is the plan's and exclusively
                    // borrowed; the team meets after each step.
                    unsafe { step.work.run(kernels, &worker) };
                    note(&busy[at * threads + id], start);
                    team.meet();
                    if id == 0 {
                        note(&wall[at], start);
                    }
                }
            });
        }
        let nanoseconds = |least: &AtomicU64| match least.load(Ordering::Relaxed) {
            u64::MAX => 0,
            least => least,
        };
        let busy = busy.chunks(threads.max(1));
        (plan.steps.iter().zip(wall.iter().zip(busy)))
            .map(|(step, (wall, busy))| {
                // The first thread may come late to a step, when another is done with it.
                let most = busy.iter().map(nanoseconds).max().unwrap_or(0);
                StepTime {
                    op: step.work.name(),
                    wall: Duration::from_nanos(nanoseconds(wall).max(most)),
                    busy: Duration::from_nanos(busy.iter().map(nanoseconds).sum()),
                }
            })
            .collect()
    }
}
