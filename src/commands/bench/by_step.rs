//! `eyelet bench --by-step`: where the network's time goes.

use crate::commands::print_line;
use crate::network::Network;
use crate::network::run::{Row, StepTime};
use crate::{Cause, Failure};
use serde_json::json;

/// A step's measured time beside what it computes.
struct Step {
    op: &'static str,
    /// Its last layer's; the convolution's for a copy with padding, which is a step of its own.
    node: String,
    shape: String,
    multiply_adds: u64,
    /// Milliseconds, the least of all runs.
    wall_ms: f64,
    /// Its part of the network's time, 0 to 1.
    share: f64,
    /// The part of the step in which a thread works, 0 to 1: what is missing, it waits for others.
    busy: f64,
    /// Thousand million multiply-adds per second; `None` for a step without any.
    giga_per_second: Option<f64>,
    /// That over what the same kernels reach in a layer that fits the L1 cache, on as many threads.
    of_best: Option<f64>,
}

/// The steps of a network, measured.
pub struct Steps {
    steps: Vec<Step>,
    /// Thousand million multiply-adds per second that the kernels reach on all threads, in bytes and in floats; only those that the
    /// network uses.
    best: Vec<(&'static str, f64)>,
    threads: usize,
}

impl Steps {
    /// Measures a network over some runs.
    pub fn measure(network: &mut Network, runs: usize) -> Result<Self, Failure> {
        let fused = network.fused_mut().map_err(|why| {
            Failure::new(
                Cause::Model,
                format!(
                    "--by-step measures the steps of a fast plan, and there is none: {why}; `eyelet explain` lists which parts run where"
                ),
            )
        })?;
        let threads = fused.threads();
        let times = fused.profile(runs);
        let rows = fused.explain();
        let uses = |bytes: bool| {
            rows.iter()
                .any(|row| row.multiply_adds > 0 && in_bytes(row) == bytes)
        };
        let best = |bytes: bool| fused.best_rate(bytes) * threads as f64 / 1e9;
        let best: Vec<_> = [(true, "bytes"), (false, "floats")]
            .into_iter()
            .filter(|&(bytes, _)| uses(bytes))
            .map(|(bytes, word)| (word, best(bytes)))
            .collect();
        let all: f64 = times.iter().map(|step| step.wall.as_secs_f64()).sum();
        let of = Measured {
            rows,
            threads,
            all_s: all.max(1e-12),
            best: &best,
        };
        let steps = times.iter().enumerate();
        let steps = steps.map(|(at, time)| of.step(at, time)).collect();
        Ok(Self {
            steps,
            best,
            threads,
        })
    }

    /// Prints the table.
    pub fn print(&self) -> Result<(), Failure> {
        print_line(format_args!(
            "{:<22} {:<16} {:>12} {:>8} {:>7} {:>8} {:>8} {:>6}  node",
            "step", "rows x cols x ch", "mult-adds", "ms", "share", "G/s", "of best", "busy"
        ))?;
        for step in &self.steps {
            let rate = (step.giga_per_second).map_or_else(String::new, |rate| format!("{rate:.1}"));
            let of_best =
                (step.of_best).map_or_else(String::new, |part| format!("{:.0} %", part * 100.0));
            print_line(format_args!(
                "{:<22} {:<16} {:>12} {:>8.3} {:>5.1} % {rate:>8} {of_best:>8} {:>4.0} %  {}",
                step.op,
                step.shape,
                step.multiply_adds,
                step.wall_ms,
                step.share * 100.0,
                step.busy * 100.0,
                step.node
            ))?;
        }
        for (word, best) in &self.best {
            print_line(format_args!(
                "best: {best:.1} billion multiply-adds per second in {word} (G/s), which these kernels reach on {} thread{} \
                 in a layer that fits the L1 cache; busy: the part of a step in which a thread works and does not wait",
                self.threads,
                if self.threads == 1 { "" } else { "s" }
            ))?;
        }
        Ok(())
    }

    /// The table's lines.
    pub fn json(&self) -> serde_json::Value {
        let steps = self.steps.iter().map(|step| {
            json!({
                "op": step.op, "node": step.node, "shape": step.shape, "multiply_adds": step.multiply_adds,
                "wall_ms": step.wall_ms, "share": step.share, "busy": step.busy, "giga_per_second": step.giga_per_second,
                "of_best": step.of_best,
            })
        });
        steps.collect()
    }
}

fn in_bytes(row: &Row) -> bool {
    row.bytes == row.shape.volume()
}

/// What a step's line is made from.
struct Measured<'a> {
    rows: &'a [Row],
    threads: usize,
    /// All steps together.
    all_s: f64,
    /// See [`Steps::best`].
    best: &'a [(&'static str, f64)],
}

impl Measured<'_> {
    fn step(&self, at: usize, time: &StepTime) -> Step {
        let own = || self.rows.iter().filter(move |row| row.step == at);
        // A copy with padding makes no result of its own, and goes before the step that does.
        let last = own()
            .next_back()
            .or(self.rows.iter().find(|row| row.step > at));
        let word = last.map_or("", |row| if in_bytes(row) { "bytes" } else { "floats" });
        let best = self.best.iter().find(|(of, _)| *of == word);
        let multiply_adds = own().map(|row| row.multiply_adds).sum();
        let wall_s = time.wall.as_secs_f64().max(1e-12);
        let giga_per_second = multiply_adds as f64 / wall_s / 1e9;
        let is_product = multiply_adds > 0;
        Step {
            op: time.op,
            node: last.map_or_else(String::new, |row| row.name.clone()),
            shape: own().next_back().map_or_else(String::new, |row| {
                format!("{}x{}x{}", row.shape.h, row.shape.w, row.shape.c)
            }),
            multiply_adds,
            wall_ms: wall_s * 1e3,
            share: wall_s / self.all_s,
            busy: (time.busy.as_secs_f64() / self.threads as f64 / wall_s).min(1.0),
            giga_per_second: is_product.then_some(giga_per_second),
            of_best: (best.filter(|_| is_product)).map(|(_, best)| giga_per_second / best),
        }
    }
}
