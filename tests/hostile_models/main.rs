//! Model files that ask for too much, contradict themselves or lie: each is refused with a line that says why, or gives the
//! scores of its plain form, within 5 seconds of the processor and 2 GiB of addresses.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

#[path = "../common/mod.rs"]
mod common;
mod counts;
mod files;
#[allow(dead_code, reason = "each program uses a part")]
#[path = "../common/graph.rs"]
mod graph;
mod lists;
mod meanings;
mod sizes;
mod windows;

use common::{Run, emulated, eyelet};
use graph::Net;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

const MAX_SECONDS: Duration = Duration::from_secs(5);
/// Much more than any run takes on a machine that does other things too.
const HANG: Duration = Duration::from_secs(300);
const MAX_ADDRESSES_KIB: usize = 2 << 20;
const MODEL: i32 = 4;

/// What is right for a model.
#[derive(Clone)]
enum Right {
    /// Refused, with a line that has these words in it, which say that it is refused for the row's reason.
    Refused(&'static [&'static str]),
    /// Refused or run, within the limits. Its scores are not compared.
    Bounded,
    /// The scores of this model.
    Like(Vec<u8>),
}
use Right::{Bounded, Like, Refused};

type Row = (String, Vec<u8>, Right);

fn row(name: impl Into<String>, net: Net, right: Right) -> Row {
    (name.into(), net.bytes(), right)
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Classifies the photo, with no more addresses than the limit.
fn classify(folder: &Path, model: &Path) -> Run {
    let plain = eyelet(folder);
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            &format!(
                "ulimit -v {MAX_ADDRESSES_KIB} && \"$@\"; code=$?; echo TIMES >&2; times >&2; exit $code"
            ),
            "sh",
        ])
        .arg(plain.get_program())
        .args(["classify", "--json", "--model"])
        .args([model.as_os_str(), "photo.png".as_ref()])
        .current_dir(folder);
    for (key, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    let output = command.output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The processor's time that a run says it took, from the shell's `times`; other programs of the machine do not count.
fn processor_time(run: &mut Run) -> Duration {
    let times = run.stderr.rsplit_once("TIMES\n");
    let (rest, times) = times.expect("the shell prints its times");
    // The last line is the children's: user and system, like 0m0.010s.
    let last = times.lines().nth(1).unwrap_or_default().to_owned();
    run.stderr = rest.to_owned();
    let seconds = |word: &str| -> f64 {
        let (minutes, seconds) = word.trim_end_matches('s').split_once('m').unwrap();
        minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
    };
    Duration::from_secs_f64(last.split_whitespace().map(seconds).sum())
}

/// What is wrong with a row, if anything.
fn judge(folder: &Path, number: usize, (name, bytes, right): &Row) -> Option<String> {
    let at = |what: &str, bytes: &[u8]| -> PathBuf {
        let file = folder.join(format!("{number}{what}.onnx"));
        std::fs::write(&file, bytes).unwrap();
        file
    };
    let started = Instant::now();
    let mut run = classify(folder, &at("", bytes));
    let took = processor_time(&mut run);
    assert!(started.elapsed() < HANG, "{name}");
    println!(
        "{name}: {} in {took:.1?}: {}",
        run.code,
        run.stderr.lines().last().unwrap_or("")
    );
    let wrong = |what: &str| Some(format!("{name}: {what}: exit {}, {}", run.code, run.stderr));
    let complaints = run.stderr.lines().filter(|l| l.starts_with("eyelet: "));
    if took > MAX_SECONDS {
        return wrong(&format!("it took {took:?}"));
    }
    if run.code != 0 && (run.code != MODEL || complaints.count() != 1) {
        return wrong("it is not refused in one line");
    }
    // A panic of our own planner is caught, and tract runs or refuses the network.
    if run.stderr.contains("planner panicked") {
        return wrong("our planner panicked");
    }
    match right {
        Refused(_) if run.code == 0 => wrong("it is run"),
        Refused([]) => wrong("the row does not say what for"),
        Refused(words) => words
            .iter()
            .find(|word| !run.stderr.contains(**word))
            .and_then(|word| wrong(&format!("it does not say '{word}'"))),
        Bounded => None,
        Like(plain) => {
            let like = classify(folder, &at("-plain", plain));
            let same = run.code == 0 && top(&run) == top(&like);
            (!same).then(|| wrong("it gives other scores")).flatten()
        }
    }
}

/// Classes and scores, best first.
fn top(run: &Run) -> Option<String> {
    Some(run.json_lines().first()?.get("top")?.to_string())
}

fn check(rows: &[Row]) {
    if emulated() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    image::RgbImage::from_fn(60, 40, |x, y| image::Rgb([x as u8 * 4, y as u8 * 6, 90]))
        .save(folder.path().join("photo.png"))
        .unwrap();
    std::fs::File::create(folder.path().join("zeros"))
        .and_then(|f| f.set_len(256 << 20))
        .unwrap();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut wrong = Vec::new();
        loop {
            let number = next.fetch_add(1, Relaxed);
            let Some(row) = rows.get(number) else {
                return wrong;
            };
            wrong.extend(judge(folder.path(), number, row));
        }
    };
    let wrong = std::thread::scope(|scope| {
        let both = [scope.spawn(work), scope.spawn(work)];
        both.map(|thread| thread.join().unwrap()).concat()
    });
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
}

#[test]
fn sizes_that_wrap_or_reach_outside() {
    check(&sizes::sizes());
}

#[test]
fn windows_that_make_no_sense() {
    check(&windows::windows());
}

#[test]
fn more_scores_than_a_classifier_has() {
    check(&sizes::scores());
}

#[test]
fn constants_that_grow() {
    check(&sizes::constants());
}

#[test]
fn weights_that_are_computed() {
    check(&sizes::computed());
}

#[test]
fn scales_by_channel() {
    check(&sizes::channels());
}

#[test]
fn long_lists_and_names_that_stand_twice() {
    check(&lists::lists());
}

#[test]
fn forms_that_mean_something_else() {
    check(&meanings::meanings());
}

#[test]
fn more_nodes_than_a_network_has() {
    check(&counts::counts());
}

#[test]
fn files_that_lie() {
    check(&files::files());
}
