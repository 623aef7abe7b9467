//! What a program of libFuzzer's has besides its targets.

use crate::targets::{Target, seeds};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};
use std::path::Path;
use std::sync::{Mutex, OnceLock};

/// The target that is fuzzed.
static TARGET: OnceLock<&Target> = OnceLock::new();
/// The last panic, of whichever thread.
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// Takes the one of `targets` that `EYELET_FUZZ_TARGET` names. With a folder in `EYELET_FUZZ_SEEDS` its seeds are written there,
/// and that is all.
pub fn init(targets: &'static [Target]) {
    let name = std::env::var("EYELET_FUZZ_TARGET").unwrap_or_default();
    let Some(found) = targets.iter().find(|target| target.name == name) else {
        let names: Vec<_> = targets.iter().map(|target| target.name).collect();
        eprintln!("EYELET_FUZZ_TARGET is to be one of {}", names.join(" "));
        std::process::exit(2);
    };
    if let Some(folder) = std::env::var_os("EYELET_FUZZ_SEEDS") {
        for (number, seed) in seeds::of(found.name).iter().enumerate() {
            let file = Path::new(&folder).join(format!("seed-{number}"));
            std::fs::write(file, seed).unwrap();
        }
        std::process::exit(0);
    }
    let _ = TARGET.set(found);
    set_hook(Box::new(note));
}

/// Runs the target. A panic that comes to here ends the process, which is how libFuzzer is told of it.
pub fn run(data: &[u8]) {
    let Some(target) = TARGET.get() else { return };
    if catch_unwind(AssertUnwindSafe(|| (target.run)(data))).is_err() {
        eprintln!("{}", LAST_PANIC.lock().unwrap());
        std::process::abort();
    }
}

/// Panics that the program itself catches are not findings where they are a dependency's, and are where they are ours.
fn note(panic: &PanicHookInfo<'_>) {
    let file = panic.location().map_or("", |location| location.file());
    let is_dependency = file.contains("/registry/") || file.contains("/rustc/");
    if is_dependency || file.contains("targets/") {
        *LAST_PANIC.lock().unwrap() = panic.to_string();
        return;
    }
    eprintln!("{panic}\n{}", std::backtrace::Backtrace::force_capture());
    std::process::abort();
}
