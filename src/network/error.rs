//! Why a network cannot be loaded or run, or has no fast plan.

use crate::{Cause, Failure};
use std::path::PathBuf;

/// Why a network cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The file is missing, damaged or not ONNX.
    #[error("the model {path} {why}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// The file holds a network that Eyelet cannot run as `model.toml` (or Eyelet's inspection) describes it.
    #[error("the model {path} {why}", path = path.display())]
    Unsupported {
        /// Which file.
        path: PathBuf,
        /// What does not fit, and what to do.
        why: String,
    },
    /// A run failed or gave scores that are not finite.
    #[error("the network failed on a frame: {0}")]
    Run(String),
}

impl From<NetworkError> for Failure {
    fn from(error: NetworkError) -> Self {
        Failure::new(Cause::Model, error)
    }
}

/// Why a network has no fast plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("node {node:?} ({op}): {why}")]
pub struct NotFused {
    /// The ONNX node; empty when it is about the whole graph.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// Why it is not supported.
    pub why: String,
}

impl NotFused {
    pub(crate) fn whole(why: &str) -> Self {
        Self {
            node: String::new(),
            op: "graph".into(),
            why: why.into(),
        }
    }
}
