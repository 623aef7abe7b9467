//! What the tests of this folder share with the unit tests in `src`: how a test that cannot run here says so, where the reference
//! models are, and what is in a folder.

#![allow(dead_code, reason = "each test program uses a part")]

use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Where the reference models and photos are to be had.
pub const MODELS_ORIGIN: &str = "they are the developers' files, not published: MobileNet v2 of TensorFlow Lite as ONNX, with ONNX Runtime's scores of eight photos; EYELET_SHARED names their folder";

/// Says "skipped: why" in one line, past the harness, which keeps what a passed test prints to itself.
pub fn say_skipped(why: impl Display) {
    let why = why.to_string().replace('\n', " ");
    // One call, so that lines of two tests do not mix. A closed standard error is no reason to fail.
    let _ = std::io::stderr()
        .lock()
        .write_all(format!("skipped: {why}\n").as_bytes());
}

/// How many of `count` cases to run: all, or a few on an emulated processor, which takes a hundred times as long.
pub fn cases(count: usize) -> usize {
    let runner = format!(
        "CARGO_TARGET_{}_UNKNOWN_LINUX_GNU_RUNNER",
        std::env::consts::ARCH.to_uppercase()
    );
    let emulated = cfg!(not(target_arch = "x86_64")) && std::env::var_os(runner).is_some();
    if emulated { count.div_ceil(40) } else { count }
}

/// The project's folder, from whichever of its packages.
pub fn project_folder() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = package.ancestors();
    let project = folders.find(|folder| folder.join("Cross.toml").exists());
    project.unwrap_or(package)
}

/// Where the folder of reference models, photos and scores would be: what `EYELET_SHARED` names, or beside the project.
pub fn shared_folder() -> PathBuf {
    let beside = project_folder().join("../shared");
    std::env::var_os("EYELET_SHARED").map_or(beside, PathBuf::from)
}

/// That folder, which a user's machine need not have. Without it the test says that it is skipped.
pub fn shared() -> Option<PathBuf> {
    let folder = shared_folder();
    if folder.join("models").is_dir() {
        return Some(folder);
    }
    say_skipped(format_args!(
        "the reference models are not at {} ({MODELS_ORIGIN})",
        folder.display()
    ));
    None
}

/// The names in a folder, in order.
///
/// # Panics
/// When the folder cannot be read.
pub fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("a folder that is not changed now").file_name())
        .map(|name| name.into_string().expect("names of tests are UTF-8"))
        .collect();
    names.sort();
    names
}
