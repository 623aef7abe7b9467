//! A model: a network file and what its numbers mean. `models/NAME/model.toml`, once checked, becomes a [`Model`]; a bare
//! `FILE.onnx` becomes one by inspecting the file. `models/README.md` documents every key.

mod bare;
#[cfg(feature = "tools")]
pub mod describe;
mod digest;
pub mod facts;
pub mod file;
pub mod find;
pub mod hints;
#[cfg(feature = "tools")]
pub mod import;
mod inspected;
pub mod labels;
mod left_out;
mod names;
#[cfg(feature = "tools")]
pub mod part;
#[cfg(feature = "tools")]
pub mod pull;
#[cfg(feature = "tools")]
pub mod rules;
pub mod shipped;
pub mod source;
mod stated;
mod usual_labels;
pub mod verify;

pub use facts::Fact;
pub use file::Definition;
pub use find::{Named, is_path};

use crate::failure::{Cause, Failure};
use crate::spec::{InputSpec, NetworkSpec, OutputSpec, Precision};
use crate::toml_file::Faults;
use source::Source;
use std::path::{Path, PathBuf};

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The `model.toml` is wrong: one line per fault.
    #[error(transparent)]
    Faults(#[from] Faults),
    /// No model has this name.
    #[error(
        "there is no model `{name}`{hint} (`eyelet list models` names them; a path ends in .onnx)"
    )]
    UnknownName {
        /// The name as given.
        name: String,
        /// `, did you mean ...?` or nothing.
        hint: String,
    },
    /// The model has no such variant.
    #[error("model `{model}` has no variant `{variant}`{hint} (it has: {known})")]
    UnknownVariant {
        /// The model's name.
        model: String,
        /// The variant as given.
        variant: String,
        /// `, did you mean ...?` or nothing.
        hint: String,
        /// The variants that it has.
        known: String,
    },
    /// The model is known, but its ONNX file is not on this machine.
    #[error("model `{name}` is not on this machine: no {} ({remedy})", expected_at.display())]
    Missing {
        /// The model's name.
        name: String,
        /// Where the file would have to be.
        expected_at: PathBuf,
        /// What to do.
        remedy: String,
    },
    /// A file cannot be read.
    #[error("{} cannot be read: {reason}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// The operating system's error.
        reason: String,
    },
    /// The file's length differs from the one in its `model.toml`.
    #[error("{} has {got} bytes, its {toml} says {want}: it is damaged or another file{remedy}", path.display())]
    Size {
        /// Which file.
        path: PathBuf,
        /// Its length.
        got: u64,
        /// The length that it should have.
        want: u64,
        /// The name of the file that says so.
        toml: String,
        /// What to do, after a semicolon, or nothing.
        remedy: String,
    },
    /// The file's digest differs from the one in its `model.toml`.
    #[error("{} has sha256 {got}, its {toml} says {want}: it is damaged or another file{remedy}", path.display())]
    Sha256 {
        /// Which file.
        path: PathBuf,
        /// Its digest.
        got: String,
        /// The digest that it should have.
        want: String,
        /// The name of the file that says so.
        toml: String,
        /// What to do, after a semicolon, or nothing.
        remedy: String,
    },
    /// The labels are not valid labels, or not as many as the model has classes.
    #[error("labels {source_name}: {reason}")]
    Labels {
        /// The file.
        source_name: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The ONNX file is not a usable network.
    #[error("{0}")]
    Network(String),
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Faults(faults) => Self::of_lines(Cause::Model, &faults.lines),
            error => Self::new(Cause::Model, error),
        }
    }
}

/// Everything known about a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The folder's name under `models/`, or the file's stem.
    pub name: String,
    /// The ONNX file.
    pub file: PathBuf,
    /// The input.
    pub input: InputSpec,
    /// The output.
    pub output: OutputSpec,
    /// The name of the output with the scores, if it is stated.
    pub output_name: Option<String>,
    /// In which precision it runs if it is a float network.
    pub precision: Precision,
    /// One label per class, `output.class_count` of them.
    pub labels: Vec<String>,
    /// The source of each of these, in the words of `model.toml`.
    pub facts: Vec<Fact>,
}

impl Model {
    /// The name of the file that describes it, or would: its `model.toml`, or `FILE.toml` for `FILE.onnx`.
    pub fn toml_name(&self) -> String {
        let stated = self.facts.iter().find_map(|fact| match &fact.source {
            Source::Stated(name) => Some(name.clone()),
            _ => None,
        });
        stated.unwrap_or_else(|| own_toml_name(&self.file))
    }
}

/// The name of the TOML that describes this network and no other.
pub(crate) fn own_toml_name(network: &Path) -> String {
    let own = network.with_extension("toml");
    own.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

impl From<&Model> for NetworkSpec {
    fn from(model: &Model) -> Self {
        let is_guess = |keys: &[&str]| {
            let mut facts = model.facts.iter();
            facts.any(|fact| keys.contains(&fact.key) && fact.is_assumed())
        };
        Self {
            name: model.name.clone(),
            file: model.file.clone(),
            input: model.input.clone(),
            output: model.output,
            is_size_assumed: is_guess(&["input.width_px", "input.height_px"]),
            is_scale_assumed: is_guess(&["input.scale", "input.mean", "input.std"]),
            output_name: model.output_name.clone(),
            toml: model.toml_name(),
            precision: model.precision,
        }
    }
}
