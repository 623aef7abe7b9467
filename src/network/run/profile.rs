//! How long each step of a plan takes.

use super::{Fused, Shared};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A step's time, over all rounds of a profile.
#[derive(Debug, Clone, Copy)]
pub struct StepTime {
    /// What the step does. A block of bands is one step.
    pub op: &'static str,
    /// From its start until the last thread has finished.
    pub wall: Duration,
    /// Time that the threads worked, added up.
    pub busy: Duration,
}

impl Fused {
    /// The time of each step over `rounds` runs, in execution order; [`super::Row::step`] counts them from 0. The scores of these runs
    /// are the same as otherwise; the clock adds some 50 ns per step.
    pub fn profile(&mut self, rounds: usize) -> Vec<StepTime> {
        let team_size = self.threads();
        let nanoseconds = || AtomicU64::new(0);
        let wall: Vec<AtomicU64> = self.plan.steps.iter().map(|_| nanoseconds()).collect();
        let busy: Vec<AtomicU64> = self.plan.steps.iter().map(|_| nanoseconds()).collect();
        let arena = Shared(self.arena.as_mut_ptr());
        let (plan, kernels) = (&self.plan, self.kernels);
        let add = |sum: &AtomicU64, start: Instant| {
            sum.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        };
        for _ in 0..rounds {
            self.pool.run(&|id, team| {
                let arena = &arena;
                let worker = plan.worker(arena.0, id, team_size);
                team.meet();
                for (at, step) in plan.steps.iter().enumerate() {
                    let start = Instant::now();
                    // SAFETY: the plan is verified for the team's number of threads; the arena is the plan's and exclusively
                    // borrowed; the team meets after each step.
                    unsafe { step.work.run(kernels, &worker) };
                    add(&busy[at], start);
                    team.meet();
                    if id == 0 {
                        add(&wall[at], start);
                    }
                }
            });
        }
        let time = |sum: &AtomicU64| Duration::from_nanos(sum.load(Ordering::Relaxed));
        (plan.steps.iter().zip(wall.iter().zip(&busy)))
            .map(|(step, (wall, busy))| StepTime {
                op: step.work.name(),
                wall: time(wall),
                busy: time(busy),
            })
            .collect()
    }
}
