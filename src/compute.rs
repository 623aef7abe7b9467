//! What is computed in each frame: a package of its own, so that only it is built for speed in one unit of code, and it is not compiled
//! again when the rest changes. It knows no file, no device and no ONNX.
//!
//! The files stand where a reader of the whole expects them; `lib.rs` and `network/mod.rs` give them the same names there.

pub mod frame;
pub mod jpeg;
pub mod limits;
pub mod preprocess;
pub mod spec;

#[allow(missing_docs, reason = "pub only for the eyelet package")]
#[path = "network/graph/mod.rs"]
pub mod graph;
#[allow(missing_docs, reason = "as graph")]
#[path = "network/kernels/mod.rs"]
pub mod kernels;
#[allow(missing_docs, reason = "as graph")]
#[path = "network/run/mod.rs"]
pub mod run;

/// Their names in the program.
pub mod network {
    pub use crate::{graph, kernels, run};
}

#[cfg(test)]
#[path = "../tests/common/basics.rs"]
mod basics;
