//! The fixed pool: after the first frames nothing is mapped, nothing faults, nothing grows; too small is refused.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;

use common::{emulated, fixture, run_eyelet, say_skipped};
use serde_json::Value;
use std::process::Command;

const FIRST: u64 = 20;
const LAST: u64 = 2000;

/// `eyelet run` with a small network and a drawn camera picture, counters reported every 20 frames.
fn arguments() -> Vec<String> {
    let words = [
        "run",
        "--board",
        "host",
        "--camera",
        "pattern",
        "--json",
        "--frames",
        "2000",
        "--stats-every",
        "20",
    ];
    let mut arguments: Vec<String> = words.map(String::from).to_vec();
    arguments.extend([
        "--model".into(),
        fixture("opset13.onnx").display().to_string(),
    ]);
    arguments
}

fn stats_at(lines: &[Value], frame: u64) -> &Value {
    let wanted = |l: &&Value| l["event"] == "stats" && l["frame"] == frame;
    &lines
        .iter()
        .find(wanted)
        .unwrap_or_else(|| panic!("no counters of frame {frame}"))["memory"]
}

#[test]
fn no_page_fault_and_no_growth_after_the_first_frames() {
    if emulated() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for more in [&[][..], &["--every-frame".to_owned()]] {
        let run = run_eyelet(folder.path(), &[&arguments()[..], more].concat());
        assert_eq!(run.code, 0, "{}", run.stderr);
        let lines = run.json_lines();
        let (first, last) = (stats_at(&lines, FIRST), stats_at(&lines, LAST));
        println!("{more:?} frame {FIRST}: {first}\nframe {LAST}: {last}");
        for key in [
            "minor_faults",
            "major_faults",
            "live_bytes",
            "overflow_bytes",
        ] {
            assert_eq!(first[key], last[key], "{more:?} {key}");
        }
        assert_eq!(last["overflow_bytes"], 0);
        assert!(last["pool_bytes"].as_u64().unwrap() > 0);
    }
}

#[test]
fn a_pool_of_no_stated_size_is_as_large_as_the_board_needs() {
    if emulated() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = ["run", "--board", "host", "--json", "--stats-every", "20"].map(String::from);
    let run = run_eyelet(folder.path(), &run);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let lines = run.json_lines();
    let memory = stats_at(&lines, FIRST);
    println!("{memory}");
    let bytes = |key: &str| memory[key].as_u64().unwrap();
    assert_eq!(bytes("overflow_bytes"), 0);
    assert!(bytes("live_bytes") < bytes("pool_bytes"));
    // The shipped network and what draws its display; with the program itself, a third of a small board's memory at most.
    assert!(bytes("pool_bytes") <= 32 << 20, "{memory}");
}

#[test]
fn no_memory_system_call_after_the_first_frames() {
    if emulated() {
        return;
    }
    if Command::new("strace").arg("-V").output().is_err() {
        say_skipped("strace is not installed, so system calls cannot be watched");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let status = Command::new("strace")
        .args([
            "-f",
            "-s",
            "60",
            "-e",
            "trace=mmap,munmap,mremap,brk,madvise,write",
            "-o",
        ])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_eyelet"))
        .args(arguments())
        .current_dir(folder.path())
        .output()
        .unwrap();
    if !status.status.success() && !trace.exists() {
        say_skipped(format_args!(
            "strace may not trace here: {}",
            String::from_utf8_lossy(&status.stderr)
        ));
        return;
    }
    let trace = std::fs::read_to_string(&trace).unwrap();
    // The counters of frame 20 are the first of the run, those of frame 2000 the hundredth.
    let mut reports = 0;
    let mut between = Vec::new();
    for line in trace.lines() {
        if line.contains(r#"\"event\":\"stats\""#) {
            reports += 1;
        } else if (1..LAST / FIRST).contains(&reports) && !line.contains("write(") {
            between.push(line);
        }
    }
    assert_eq!(reports, LAST / FIRST, "counters were reported");
    assert!(
        between.is_empty(),
        "{} calls, the first: {:?}",
        between.len(),
        between.first()
    );
}

#[test]
fn a_pool_that_is_too_small_is_refused_with_the_size_that_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let board = |mib: u64| {
        let text = format!(
            "description = \"test\"\ntier = \"untested\"\nthreads = 1\nmodel = {:?}\npool_mib = {mib}\n\
             [camera.pattern]\nwidth_px = 1920\nheight_px = 1080\n[display.none]\n",
            fixture("opset13.onnx").display().to_string()
        );
        let file = folder.path().join(format!("{mib}.toml"));
        std::fs::write(&file, text).unwrap();
        let run = ["run", "--frames", "30", "--board-file"].map(String::from);
        run_eyelet(
            folder.path(),
            &[run.to_vec(), vec![file.display().to_string()]].concat(),
        )
    };
    let needed = |mib: u64| -> Option<u64> {
        let run = board(mib);
        if run.code == 0 {
            return None;
        }
        assert_eq!(run.code, 7, "{mib} MiB: {}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        let needed = run.stderr.split("pool_mib = ").nth(1);
        let needed = needed.and_then(|rest| rest.split(' ').next());
        let needed = needed.unwrap_or_else(|| panic!("{}", run.stderr));
        Some(needed.parse().unwrap())
    };
    // Right the first time, however small the pool was that asked.
    let first = needed(1).expect("1 MiB is too small");
    for mib in [2, first / 2, first - 2, first - 1] {
        if let Some(named) = needed(mib) {
            assert_eq!(needed(named), None, "{mib} MiB asked for {named}");
        }
    }
    assert_eq!(needed(first), None, "1 MiB asked for {first}");
}
