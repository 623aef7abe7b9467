//! What is fuzzed: one function a kind of input, from the bytes that a stranger brings to the last thing that is done with
//! them. A function returns for every input, and panics where a promise is broken.
//!
//! A program of `tests/fuzz/src/bin` runs one of them under libFuzzer, `tests/corpus.rs` runs each on its corpus.
#![allow(dead_code, reason = "each program uses a part")]
#![allow(
    clippy::unwrap_used,
    reason = "what the target itself needs may fail loudly"
)]

mod beside;
mod card;
mod fat_data;
mod font;
mod memory_disk;
mod mjpeg;
mod onnx;
mod pipe;
pub mod seeds;
mod still;
mod text;
mod update;

use std::io::Write;
use tempfile::NamedTempFile;

/// A target.
pub struct Target {
    /// Also its folder below `tests/fuzz/corpus`.
    pub name: &'static str,
    /// What is done with one input.
    pub run: fn(&[u8]),
}

/// What reads bytes and text; what is cheap a run comes first.
pub const PARSERS: [Target; 15] = [
    target("command_line", text::command_line),
    target("labels", text::labels),
    target("manifest", text::manifest),
    target("board_toml", text::board_toml),
    target("model_toml", text::model_toml),
    target("beside", beside::run),
    target("font", font::run),
    target("update", update::run),
    target("signature", update::signature),
    target("stick", update::stick),
    target("card", card::run),
    target("fat_data", fat_data::run),
    target("pipe", pipe::run),
    target("mjpeg", mjpeg::run),
    target("still", still::run),
];

/// What plans and runs networks. A program without it is a tenth as large, and so is the time that libFuzzer takes a run to
/// look at what was covered.
pub const NETWORKS: [Target; 1] = [target("onnx", onnx::run)];

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// A file that begins with `data` and has at least `least_bytes`; zeros follow.
fn file_of(data: &[u8], suffix: &str, least_bytes: u64) -> NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(suffix).tempfile().unwrap();
    file.write_all(data).unwrap();
    if (data.len() as u64) < least_bytes {
        file.as_file().set_len(least_bytes).unwrap();
    }
    file
}

/// An error says something; whoever prints it escapes control characters.
fn assert_said(message: &str) {
    assert!(!message.trim().is_empty(), "an empty message");
}
