//! How a test that cannot run here says so.

#![allow(dead_code, reason = "each test program uses a part")]

use std::fmt::Display;
use std::io::Write;

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
