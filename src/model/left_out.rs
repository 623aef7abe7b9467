//! What holds for the keys that a `model.toml` leaves out.

use super::facts::{self, Source};
use super::{ModelError, Named, bare};
use crate::network::onnx::inspect::Inspected;
use crate::spec::{InputSpec, OutputKind, OutputSpec};

/// The keys that a `model.toml` leaves out, and what the ONNX file says of the kind of its scores if that is one of them.
pub(super) struct LeftOut<'d> {
    keys: &'d [&'static str],
    input: &'d InputSpec,
    /// The name of the `model.toml`.
    toml: &'d str,
    kind: Option<(OutputKind, Source)>,
}

impl<'d> LeftOut<'d> {
    /// For a network that says `inspected` about itself.
    ///
    /// # Errors
    /// The kind is left out, and the file is no classifier that could tell it.
    pub fn of(named: &'d Named, inspected: &Result<Inspected, String>) -> Result<Self, ModelError> {
        let keys = named.definition.left_out.as_slice();
        let kind = match keys.contains(&"output.kind") {
            true => Some(kind_of(inspected.as_ref())?),
            false => None,
        };
        Ok(Self {
            keys,
            input: &named.definition.input,
            toml: &named.toml,
            kind,
        })
    }

    /// The output, of which the `model.toml` says `stated`.
    pub fn output(&self, stated: OutputSpec) -> OutputSpec {
        OutputSpec {
            kind: self.kind.as_ref().map_or(stated.kind, |(kind, _)| *kind),
            ..stated
        }
    }

    /// The source of what is not left out.
    pub fn stated(&self) -> Source {
        Source::Stated(self.toml.to_owned())
    }

    /// The source of a key of input or output.
    pub fn source(&self, key: &'static str) -> Source {
        match (key, &self.kind) {
            _ if !self.keys.contains(&key) => self.stated(),
            ("output.kind", Some((_, source))) => source.clone(),
            ("output.label_offset", _) => Source::Assumed("score 0 is a class"),
            ("input.resize", _) => facts::crop_rule(self.input),
            ("input.fill", _) => Source::Assumed(facts::FILL_RULE),
            _ => Source::Assumed(facts::IMAGENET_RULE),
        }
    }
}

/// The kind of the scores as for a network without a `model.toml`, and its source.
fn kind_of(inspected: Result<&Inspected, &String>) -> Result<(OutputKind, Source), ModelError> {
    let inspected = inspected.map_err(|why| ModelError::Network(why.clone()))?;
    let kind = inspected.output_kind;
    let output = OutputSpec {
        kind,
        class_count: 0,
        label_offset: 0,
    };
    let facts = bare::facts_of_output(&output, inspected);
    let of_kind = facts.into_iter().find(|fact| fact.key == "output.kind");
    let source = of_kind.map(|fact| fact.source);
    Ok((kind, source.unwrap_or(Source::Assumed(""))))
}
