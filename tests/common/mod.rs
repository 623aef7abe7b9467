//! What several test programs need: the shared reference folder, and how a skipped test says so.
#![allow(dead_code, reason = "each test program uses a part")]

use std::path::{Path, PathBuf};

/// The folder of reference models, photos and scores, which a user's machine need not have.
///
/// `EYELET_SHARED` names it; otherwise it is looked for beside the project. Without it the test says that it is skipped.
pub fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = std::env::var_os("EYELET_SHARED").map_or(beside, PathBuf::from);
    if folder.join("models").is_dir() {
        return Some(folder);
    }
    println!(
        "skipped: the reference models are not at {} (EYELET_SHARED names another place)",
        folder.display()
    );
    None
}

/// The photos that have references.
pub const PHOTOS: [&str; 8] = [
    "cat",
    "chickadee",
    "daisy",
    "dragonfly",
    "hotdog",
    "macaw",
    "military_uniform",
    "packet",
];

/// Little-endian f32 values of a file.
pub fn read_f32(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

/// The index of the largest score.
pub fn argmax(scores: &[f32]) -> usize {
    (0..scores.len())
        .max_by(|&a, &b| scores[a].total_cmp(&scores[b]))
        .expect("there are scores")
}
