//! Who says what holds for a model.

use std::fmt;

/// The source of a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The model's TOML file, which has this name.
    Stated(String),
    /// The ONNX file, and where in it.
    Graph(String),
    /// A file beside the ONNX file, and what in it.
    Beside(String),
    /// The command line.
    Asked,
    /// The board file, which takes precedence over the model.
    Board,
    /// No source: the rule that applies instead.
    Assumed(&'static str),
    /// The same, with what makes it doubtful for this network.
    Doubtful(String),
    /// A setting that is left out, so no guess about the network; and where it has an effect.
    Default(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stated(name) => write!(out, "its {name} says so"),
            Self::Graph(place) => write!(out, "the ONNX file says so: {place}"),
            Self::Beside(place) => write!(out, "a file beside it says so: {place}"),
            Self::Asked => out.write_str("the command line says so"),
            Self::Board => out.write_str("the board file says so"),
            Self::Assumed(rule) => write!(out, "assumed: {rule}"),
            Self::Doubtful(rule) => write!(out, "assumed: {rule}"),
            Self::Default(scope) => write!(out, "the default, {scope}"),
        }
    }
}
