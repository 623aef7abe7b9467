//! A model: a network file and what its numbers mean. `models/NAME/model.toml`, once checked, becomes a [`Model`]; a bare
//! `FILE.onnx` becomes one by looking into the file. Every key stands in `models/README.md`.

mod bare;
#[cfg(feature = "tools")]
pub mod describe;
pub mod facts;
pub mod file;
pub mod find;
pub mod hints;
#[cfg(feature = "tools")]
pub mod import;
pub mod labels;
#[cfg(feature = "tools")]
pub mod part;
#[cfg(feature = "tools")]
pub mod pull;
#[cfg(feature = "tools")]
pub mod rules;
pub mod shipped;
pub mod verify;

pub use facts::Fact;
pub use file::Definition;
pub use find::{Named, is_path};

use crate::failure::{Cause, Failure};
use crate::toml_file::Faults;
use std::path::PathBuf;

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The `model.toml` is wrong: one line a fault.
    #[error(transparent)]
    Faults(#[from] Faults),
    /// No model has this name.
    #[error(
        "there is no model `{name}`{hint} (`eyelet list models` names them; a path ends in .onnx)"
    )]
    UnknownName {
        /// What was asked for.
        name: String,
        /// `, did you mean ...?` or nothing.
        hint: String,
    },
    /// The model has no such variant.
    #[error("model `{model}` has no variant `{variant}`{hint} (it has: {known})")]
    UnknownVariant {
        /// The model's name.
        model: String,
        /// What was asked for.
        variant: String,
        /// `, did you mean ...?` or nothing.
        hint: String,
        /// The variants that it has.
        known: String,
    },
    /// The model is known, its ONNX file is not on this machine.
    #[error("model `{name}` is not on this machine: no {} ({remedy})", looked.display())]
    Missing {
        /// The model's name.
        name: String,
        /// Where the file would have to be.
        looked: PathBuf,
        /// What to do.
        remedy: String,
    },
    /// A file cannot be read.
    #[error("{} cannot be read: {reason}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// The file has another length than its `model.toml` says.
    #[error("{} has {got} bytes, its model.toml says {want}: it is damaged or another file{remedy}", path.display())]
    Size {
        /// Which file.
        path: PathBuf,
        /// Its length.
        got: u64,
        /// The length that it should have.
        want: u64,
        /// What to do, after a semicolon, or nothing.
        remedy: String,
    },
    /// The file has other bytes than its `model.toml` says.
    #[error("{} has sha256 {got}, its model.toml says {want}: it is damaged or another file{remedy}", path.display())]
    Sha256 {
        /// Which file.
        path: PathBuf,
        /// Its digest.
        got: String,
        /// The digest that it should have.
        want: String,
        /// What to do, after a semicolon, or nothing.
        remedy: String,
    },
    /// The labels are no labels, or not as many as the model has classes.
    #[error("labels {source_name}: {reason}")]
    Labels {
        /// The file.
        source_name: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The ONNX file is no network that can be used.
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

/// Everything that is true of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The folder's name under `models/`, or the file's stem.
    pub name: String,
    /// The ONNX file.
    pub file: PathBuf,
    /// What goes in.
    pub input: InputSpec,
    /// What comes out.
    pub output: OutputSpec,
    /// One label a class, `output.class_count` of them.
    pub labels: Vec<String>,
    /// Who says what of this, in the words of `model.toml`.
    pub facts: Vec<Fact>,
}

/// The input tensor, batch 1, and how pixels become its values: `(pixel * scale - mean[c]) / std[c]`, pixel in 0..=255.
#[derive(Debug, Clone, PartialEq)]
pub struct InputSpec {
    /// Order of the axes.
    pub layout: Layout,
    /// Element type.
    pub dtype: Dtype,
    /// Width of the network's picture.
    pub width_px: u32,
    /// Height of the network's picture.
    pub height_px: u32,
    /// Which colour is channel 0.
    pub channels: ChannelOrder,
    /// Factor on the 8-bit pixel (1/255 brings it to 0..=1).
    pub scale: f32,
    /// Taken off after scaling, in the order R, G, B (whatever `channels` says).
    pub mean: [f32; 3],
    /// Divided by after that, R, G, B.
    pub std: [f32; 3],
    /// How the upright picture comes to the network's size.
    pub resize: Resize,
    /// With [`Resize::Crop`] the shorter side of the upright picture is resized to this before the centre crop.
    pub resize_shorter_px: u32,
    /// With [`Resize::Fit`] what the picture leaves free has this colour, R, G, B.
    pub fill: [u8; 3],
}

/// How a picture comes to the size of the network's picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// The middle of it, in its proportions: what is at the rims is not seen.
    Crop,
    /// All of it, in its proportions, centred; the rest is filled with one colour.
    Fit,
    /// All of it, each axis resized on its own.
    Stretch,
}

/// Order of the input's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Layout {
    /// Batch, channel, row, column.
    Nchw,
    /// Batch, row, column, channel.
    Nhwc,
}

/// Element type of the input tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// Unsigned byte: pixels go in as they are (scale, mean and std are 1, 0, 1).
    U8,
}

/// Which colour is channel 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// The scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputSpec {
    /// Whether softmax is still to be done.
    pub kind: OutputKind,
    /// Classes that have a label.
    pub class_count: usize,
    /// Scores before the first class (1 when score 0 is "background").
    pub label_offset: usize,
}

impl OutputSpec {
    /// The scores of both classes of a network that gives one score, that of class 1: its probability, or a logit whose
    /// sigmoid is the probability. (The softmax of 0 and x is the sigmoid of x.)
    pub fn of_one_score(&self, score: f32) -> [f32; 2] {
        match self.kind {
            OutputKind::Logits => [0.0, score],
            OutputKind::Probabilities => [1.0 - score, score],
        }
    }
}

/// What the scores are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// Raw scores; softmax makes probabilities of them.
    Logits,
    /// Probabilities already.
    Probabilities,
}
