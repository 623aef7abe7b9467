//! The serial log: one line per change, for people; or versioned JSON lines, for programs (`--json`).
//!
//! Lines for people are `log` records, so `RUST_LOG` filters them; if their reader goes away the board continues, and lines that
//! cannot be written are dropped. JSON lines are results: once one cannot be written, [`Serial::check`] says so, and the run
//! ends.

use crate::camera::Counts;
use crate::decide::Verdict;
use crate::output::{self, JSON_VERSION, print_line};
use crate::show::Fault;
use crate::stats::{STAGES, Stage, StageTimes, Stats};
use crate::{Failure, clock, memory};
use serde_json::{Map, Value, json};
use std::cell::{Cell, OnceCell};
use std::time::{Duration, Instant};

/// How often to check whether JSON lines still have a reader.
const CHECK_PERIOD: Duration = Duration::from_secs(1);

/// The writer of the serial log.
#[derive(Debug)]
pub struct Serial {
    json: bool,
    every_frame: bool,
    started: Instant,
    unknown_label: String,
    /// Why the last JSON line was not written.
    failure: OnceCell<Failure>,
    /// When that was last checked.
    checked_at: Cell<Instant>,
}

impl Serial {
    /// Times are relative to `started`.
    pub fn new(json: bool, started: Instant, unknown_label: &str) -> Self {
        Self {
            json,
            every_frame: false,
            started,
            unknown_label: unknown_label.to_owned(),
            failure: OnceCell::new(),
            checked_at: Cell::new(started),
        }
    }

    /// Reports each frame's verdict, not only changes.
    pub fn of_every_frame(self, every_frame: bool) -> Self {
        Self {
            every_frame,
            ..self
        }
    }

    /// Whether to report a verdict although it has not changed.
    pub fn reports_every_frame(&self) -> bool {
        self.every_frame
    }

    /// Whether JSON lines can be written, judged by the last one or by a check at most a second ago: lines may be a minute apart.
    ///
    /// # Errors
    /// [`crate::Cause::Output`] if one could not be written, or its reader is gone.
    pub fn check(&self) -> Result<(), Failure> {
        if let Some(why) = self.failure.get() {
            return Err(why.clone());
        }
        if self.json && self.checked_at.get().elapsed() > CHECK_PERIOD {
            self.checked_at.set(Instant::now());
            output::check_reader()?;
        }
        Ok(())
    }

    /// The running configuration, once at start.
    pub fn start(&self, parts: &[(&str, String)], memory: impl Iterator<Item = String>) {
        if self.json {
            let parts = parts
                .iter()
                .map(|(k, v)| ((*k).to_owned(), json!(v)))
                .collect();
            self.line("start", parts);
            return;
        }
        for (part, what) in parts {
            log::info!("{part}: {what}");
        }
        memory.for_each(|line| log::info!("{line}"));
    }

    /// The decided class has changed, or every frame is reported; with the region, if there are several.
    pub fn verdict(
        &self,
        frame: u64,
        region: Option<&str>,
        verdict: &Verdict,
        labels: &[String],
        times: &StageTimes,
    ) {
        let shown = verdict.decided.unwrap_or(verdict.top[0]);
        let label = match verdict.decided {
            Some(candidate) => labels[candidate.class].as_str(),
            None => &self.unknown_label,
        };
        if self.json {
            let class = verdict.decided.map(|c| c.class);
            let top: Vec<Value> = verdict
                .candidates()
                .map(|c| json!({"class": c.class, "label": labels[c.class], "probability": c.probability}))
                .collect();
            let mut event = Map::new();
            event.insert("frame".into(), json!(frame));
            if let Some(region) = region {
                event.insert("region".into(), json!(region));
            }
            event.insert("class".into(), json!(class));
            event.insert("label".into(), json!(label));
            event.insert("probability".into(), json!(shown.probability));
            event.insert("changed".into(), json!(verdict.changed));
            event.insert("top".into(), Value::Array(top));
            event.insert("stage_ms".into(), stage_ms(|stage| json!(times.ms(stage))));
            self.line("verdict", event);
            return;
        }
        let stages = Stages(times);
        let (region, colon) = region.map_or(("", ""), |region| (region, ": "));
        let percent = shown.probability * 100.0;
        if verdict.decided.is_none() {
            // The number belongs to the best class, which is not sure enough, or not yet.
            let best = &labels[shown.class];
            log::info!(
                "frame {frame}: {region}{colon}{label} (best: {best} {percent:.1}%) ({stages})"
            );
            return;
        }
        log::info!("frame {frame}: {region}{colon}{label} {percent:.1}% ({stages})");
    }

    /// Frames have stopped arriving, or being classified.
    pub fn lost(&self, fault: Fault, why: &str) {
        let words = fault.words();
        if self.json {
            let why = match fault {
                Fault::Camera => json!(why),
                Fault::Network => json!(format!("{words}: {why}")),
            };
            self.line("camera_lost", Map::from_iter([("why".to_owned(), why)]));
            return;
        }
        let doing = match fault {
            Fault::Camera => "; trying until it is back",
            Fault::Network => "",
        };
        log::warn!("{words}: {why}{doing}");
    }

    /// Frames are being classified again after this long.
    pub fn back(&self, fault: Fault, camera: &str, after: Duration) {
        if self.json {
            let event = [
                ("camera", json!(camera)),
                ("after_s", json!(after.as_secs_f32())),
            ];
            self.line(
                "camera_back",
                event.map(|(k, v)| (k.to_owned(), v)).into_iter().collect(),
            );
        } else {
            let seconds = after.as_secs_f32();
            match fault {
                Fault::Camera => log::info!("camera back after {seconds:.1} s: {camera}"),
                Fault::Network => log::info!("the network works again after {seconds:.1} s"),
            }
        }
    }

    /// Something went wrong and the loop continues.
    pub fn trouble(&self, part: &str, why: &str) {
        if self.json {
            let event = [("part", json!(part)), ("why", json!(why))];
            self.line(
                "trouble",
                event.map(|(k, v)| (k.to_owned(), v)).into_iter().collect(),
            );
        } else {
            log::warn!("{part}: {why}");
        }
    }

    /// Percentiles, counters and memory, periodically and at the end (`event` "stats" or "end").
    pub fn stats(&self, event: &str, stats: &mut Stats, counts: Counts) {
        let usage = memory::usage();
        let (minor, major) = memory::page_faults();
        if self.json {
            let mut line = Map::new();
            line.insert("frame".into(), json!(stats.frames()));
            line.insert("rate_fps".into(), json!(stats.rate_fps()));
            line.insert("stale".into(), json!(counts.stale));
            line.insert("damaged".into(), json!(counts.damaged));
            line.insert(
                "stage_ms".into(),
                stage_ms(|stage| json!(stats.percentiles(stage))),
            );
            let memory = json!({
                "pool_bytes": usage.pool_bytes, "live_bytes": usage.live_bytes, "peak_bytes": usage.peak_bytes,
                "overflow_bytes": usage.overflow_peak_bytes,
                "minor_faults": minor, "major_faults": major, "peak_rss_kib": memory::peak_rss_kib(),
            });
            line.insert("memory".into(), memory);
            self.line(event, line);
            return;
        }
        log::info!(
            "{} frames, {:.1} a second; {} stale, {} damaged; {} KiB of the pool in use, {minor}+{major} page faults",
            stats.frames(),
            stats.rate_fps(),
            counts.stale,
            counts.damaged,
            usage.live_bytes / 1024
        );
        if event == "end" {
            log::info!("{:<12} {:>8} {:>8} {:>8}", "ms", "p50", "p90", "p99");
            for stage in STAGES {
                let p = stats.percentiles(stage);
                log::info!(
                    "{:<12} {:>8.2} {:>8.2} {:>8.2}",
                    stage.name(),
                    p.p50,
                    p.p90,
                    p.p99
                );
            }
        }
    }

    fn line(&self, event: &str, rest: Map<String, Value>) {
        let mut line = Map::new();
        line.insert("v".into(), json!(JSON_VERSION));
        line.insert("event".into(), json!(event));
        line.insert("t_s".into(), json!(self.started.elapsed().as_secs_f64()));
        let time = clock::utc().map(|time| time.to_string());
        line.insert("time".into(), json!(time));
        line.extend(rest);
        if self.failure.get().is_none()
            && let Err(failure) = print_line(Value::Object(line))
        {
            let _ = self.failure.set(failure);
        }
    }
}

fn stage_ms(mut value: impl FnMut(Stage) -> Value) -> Value {
    Value::Object(
        STAGES
            .iter()
            .map(|&stage| (stage.name().to_owned(), value(stage)))
            .collect(),
    )
}

struct Stages<'a>(&'a StageTimes);

impl std::fmt::Display for Stages<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for stage in STAGES {
            let gap = if stage == Stage::Camera { "" } else { ", " };
            write!(f, "{gap}{} {:.1}", stage.name(), self.0.ms(stage))?;
        }
        f.write_str(" ms")
    }
}
