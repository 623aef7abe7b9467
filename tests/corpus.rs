//! Replays the corpus of the fuzz targets (`tests/fuzz`): all that fuzzing found worth keeping, each input again in every test
//! run, without a fuzzer. A file that fails here is to be given to `.ci/fuzz TARGET FILE`, which says more.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

#[path = "fuzz/targets/mod.rs"]
mod targets;

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use targets::{NETWORKS, PARSERS, Target, seeds};

/// No input takes longer, on a busy machine and without optimisation of all crates; other processors may be emulated.
const PATIENCE: Duration = Duration::from_secs(if cfg!(target_arch = "x86_64") {
    20
} else {
    200
});

/// The inputs of a target and what they are called: its seeds, and what fuzzing found.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let seeds = seeds::of(target).into_iter().enumerate();
    let seeds = seeds.map(|(number, seed)| (format!("seed {number} of {target}"), seed));
    // Git keeps no empty folder: a target whose seeds cover all has none.
    let mut found: Vec<_> = std::fs::read_dir(corpus().join(target))
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    found.sort();
    seeds.chain(found).collect()
}

fn all() -> impl Iterator<Item = &'static Target> {
    PARSERS.iter().chain(&NETWORKS)
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

/// Runs a target on all of its inputs; the names of those that broke a promise.
fn replay(target: &Target) -> Vec<String> {
    let inputs = inputs(target.name);
    let (run, (begin, began)) = (target.run, channel());
    let worker = std::thread::spawn(move || {
        let mut faults = Vec::new();
        for (name, data) in inputs {
            begin.send(name.clone()).unwrap();
            if catch_unwind(|| run(&data)).is_err() {
                faults.push(name);
            }
        }
        faults
    });
    let mut at = String::new();
    loop {
        match began.recv_timeout(PATIENCE) {
            Ok(name) => at = name,
            Err(RecvTimeoutError::Disconnected) => break worker.join().unwrap(),
            Err(RecvTimeoutError::Timeout) => panic!("{at} hangs"),
        }
    }
}

#[test]
fn every_input_of_the_corpus_is_refused_or_right() {
    let wanted = std::env::var("EYELET_FUZZ_TARGET").ok();
    let is_wanted = |target: &&Target| wanted.as_ref().is_none_or(|name| name == target.name);
    let faults: Vec<_> = all().filter(is_wanted).flat_map(replay).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_folder_of_the_corpus_has_a_target() {
    for entry in std::fs::read_dir(corpus()).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(all().any(|t| name == *t.name), "{name:?}");
    }
}
