//! Days of a board in minutes: a hundred thousand frames of the shipped photos through the shipped network, on this machine.
//!
//! `cargo test --release --test soak -- --ignored`
//!
//! Memory stays flat to the byte, no page is faulted in, the counters agree with each other, and a frame takes as long at the
//! end as at the beginning.

#![allow(clippy::unwrap_used)]

mod common;

use common::{emulated, eyelet};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

const FRAMES: u64 = 100_000;
const EVERY: u64 = 500;
/// What came before is the start.
const WARM: u64 = 1000;
/// The time of the last tenth may be so many times that of the first tenth; this machine does other work too.
const DRIFT: f64 = 1.5;

const BOARD: &str = r#"
description = "soak"
tier = "hardware"
model = "efficientnet-lite0"
threads = 1
pool_mib = 64
[camera.still]
files = [FOLDER]
frames_each = 10
repeat = true
[display.none]
"#;

#[test]
#[ignore = "takes minutes: `cargo test --release --test soak -- --ignored`"]
fn a_hundred_thousand_frames_change_nothing() {
    if emulated() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let board = folder.path().join("soak.toml");
    let photos = concat!(env!("CARGO_MANIFEST_DIR"), "/boards/photos");
    std::fs::write(&board, BOARD.replace("FOLDER", &format!("{photos:?}"))).unwrap();
    let started = Instant::now();
    let mut child = eyelet(folder.path())
        .args(["run", "--json", "--board-file"])
        .arg(&board)
        .args([
            "--frames",
            &FRAMES.to_string(),
            "--stats-every",
            &EVERY.to_string(),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut stats: Vec<Value> = Vec::new();
    let mut verdicts = 0;
    for line in lines {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        match event["event"].as_str().unwrap() {
            "stats" | "end" => {
                let frame = event["frame"].as_u64().unwrap();
                if frame.is_multiple_of(10_000) {
                    println!(
                        "{frame} frames after {:.0} s: {}",
                        started.elapsed().as_secs_f64(),
                        event["memory"]
                    );
                }
                stats.push(event);
            }
            "verdict" => verdicts += 1,
            "start" => {}
            other => panic!("{other}: {event}"),
        }
    }
    assert!(child.wait().unwrap().success());

    // Counters: each is reported when due, none is lost, and nothing was dropped or damaged.
    assert_eq!(stats.len() as u64, FRAMES / EVERY + 1);
    for (n, event) in stats.iter().take((FRAMES / EVERY) as usize).enumerate() {
        assert_eq!(event["frame"].as_u64(), Some((n as u64 + 1) * EVERY));
    }
    let end = stats.last().unwrap();
    assert_eq!(end["frame"].as_u64(), Some(FRAMES));
    assert_eq!((&end["stale"], &end["damaged"]), (&0.into(), &0.into()));
    // Each photo's ten frames are enough for a new class, so there is at least one change for each round of photos.
    assert!(verdicts > 1000, "{verdicts} changes of class");

    // Memory: to the byte, and to the page.
    let warm: Vec<&Value> = stats
        .iter()
        .filter(|event| event["frame"].as_u64() >= Some(WARM))
        .collect();
    for key in [
        "live_bytes",
        "overflow_bytes",
        "major_faults",
        "minor_faults",
        "peak_rss_kib",
    ] {
        let (first, last) = (&warm[0]["memory"][key], &end["memory"][key]);
        assert_eq!(first, last, "{key} at frame {WARM} and at the end");
    }

    // Drift: medians of the network's time, over the quietest windows of the first and of the last tenth. Other work on this
    // machine slows some windows down; what drifts slows all of them down.
    let tenth = warm.len() / 10;
    let quiet = |events: &[&Value]| {
        let mut times: Vec<f64> = events
            .iter()
            .map(|event| event["stage_ms"]["infer"]["p50"].as_f64().unwrap())
            .collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 10]
    };
    let (first, last) = (quiet(&warm[..tenth]), quiet(&warm[warm.len() - tenth..]));
    println!(
        "{FRAMES} frames in {:.0} s; network {first:.2} ms at first, {last:.2} ms at last",
        started.elapsed().as_secs_f64()
    );
    assert!(last < first * DRIFT, "{first} ms became {last} ms");
}
