//! What holds for the keys that a `model.toml` leaves out: what the ONNX file and the files beside it say, as for a network without a
//! `model.toml`, and the usual rules for the rest.

use super::bare::{self, Prepared};
use super::facts::{self, Source};
use super::hints::Hints;
use super::{ModelError, Named};
use crate::network::onnx::inspect::Inspected;
use crate::spec::{Dtype, InputSpec, OutputKind, OutputSpec, Resize};

/// Keys that belong together: if one of them is stated, the others are not taken from elsewhere.
const PIXELS: [&str; 3] = ["input.scale", "input.mean", "input.std"];

/// The keys that a `model.toml` leaves out, and what holds for them.
pub(super) struct LeftOut<'d> {
    named: &'d Named,
    /// If the ONNX file can be inspected: what it says about itself, completed by the size that the `model.toml` states, and the
    /// input that follows.
    said: Option<(Inspected, Prepared)>,
    kind: Option<(OutputKind, Source)>,
}

impl<'d> LeftOut<'d> {
    /// For a network that says `inspected` about itself, with the `hints` of the files beside it.
    ///
    /// # Errors
    /// The kind is left out, and the file is not a classifier that could state it.
    pub fn of(
        named: &'d Named,
        hints: &Hints<'_>,
        inspected: &Result<Inspected, String>,
    ) -> Result<Self, ModelError> {
        let kind = match named.definition.left_out.contains(&"output.kind") {
            true => Some(kind_of(inspected.as_ref())?),
            false => None,
        };
        let (stated, open) = (&named.definition.input, &named.definition.left_out);
        let said = inspected.as_ref().ok().map(|file| {
            let mut file = file.clone();
            if !open.contains(&"input.width_px") {
                file.width_px.get_or_insert(stated.width_px);
            }
            if !open.contains(&"input.height_px") {
                file.height_px.get_or_insert(stated.height_px);
            }
            let prepared = bare::prepared(hints, &file);
            (file, prepared)
        });
        Ok(Self { named, said, kind })
    }

    fn is_open(&self, key: &str) -> bool {
        self.named.definition.left_out.contains(&key)
    }

    fn are_open(&self, keys: &[&str]) -> bool {
        keys.iter().all(|key| self.is_open(key))
    }

    /// Whether the file decides on a key that is left out.
    fn is_by_file(&self, key: &str) -> bool {
        match key {
            key if PIXELS.contains(&key) => self.are_open(&PIXELS),
            // Bytes have no scale: whoever states one has floats.
            "input.dtype" => self.is_open(key) && self.are_open(&PIXELS),
            "input.resize" => self.are_open(&["input.resize", "input.resize_shorter_px"]),
            "input.resize_shorter_px" => {
                let is_crop = |(_, said): &(_, Prepared)| said.input.resize == Resize::Crop;
                self.is_open(key) && self.said.as_ref().is_some_and(is_crop)
            }
            "input.fill" => false,
            key => self.is_open(key),
        }
    }

    /// The input.
    ///
    /// # Errors
    /// The picture would be resized to less than its crop, or bytes would be scaled.
    pub fn input(&self) -> Result<InputSpec, ModelError> {
        let stated = self.named.definition.input.clone();
        let Some((_, Prepared { input: said, .. })) = &self.said else {
            return Ok(stated);
        };
        self.check_bytes(said)?;
        let mut input = stated;
        let by_file = |key| self.is_by_file(key);
        if by_file("input.layout") {
            input.layout = said.layout;
        }
        if by_file("input.dtype") {
            input.dtype = said.dtype;
        }
        if by_file("input.width_px") {
            input.width_px = said.width_px;
        }
        if by_file("input.height_px") {
            input.height_px = said.height_px;
        }
        if by_file("input.channels") {
            input.channels = said.channels;
        }
        if by_file("input.mean") {
            (input.scale, input.mean, input.std) = (said.scale, said.mean, said.std);
        }
        if by_file("input.resize") {
            input.resize = said.resize;
        }
        let longer_px = input.width_px.max(input.height_px);
        if self.is_open("input.resize_shorter_px") {
            let usual =
                InputSpec::imagenet(input.layout, input.dtype, input.width_px, input.height_px);
            let said_px = by_file("input.resize_shorter_px").then_some(said.resize_shorter_px);
            let said_px = said_px.filter(|px| *px >= longer_px);
            input.resize_shorter_px = said_px.unwrap_or(usual.resize_shorter_px);
        }
        if input.resize == Resize::Crop && input.resize_shorter_px < longer_px {
            return Err(ModelError::Network(format!(
                "the model {} takes pictures of {}x{} pixels, and its {} says resize_shorter_px = {}: correct it to at least \
                 {longer_px}, since the crop is cut out of the resized picture",
                self.named.full_name(),
                input.width_px,
                input.height_px,
                self.named.toml,
                input.resize_shorter_px
            )));
        }
        Ok(input)
    }

    /// Bytes have no scale: whoever states one without a type has forgotten that.
    fn check_bytes(&self, said: &InputSpec) -> Result<(), ModelError> {
        let is_open = self.is_open("input.dtype") && !self.is_by_file("input.dtype");
        if said.dtype != Dtype::U8 || !is_open {
            return Ok(());
        }
        let stated = PIXELS.into_iter().filter(|key| !self.is_open(key));
        let stated = stated.filter_map(|key| key.strip_prefix("input."));
        Err(ModelError::Network(format!(
            "the model {} takes the bytes of a picture as they are (uint8), and its {} states what is for floats: take {} out of [input]",
            self.named.full_name(),
            self.named.toml,
            stated.collect::<Vec<_>>().join(" and ")
        )))
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
        Source::Stated(self.named.toml.clone())
    }

    /// The source of a key of input or output.
    pub fn source(&self, key: &'static str) -> Source {
        match (key, &self.kind, &self.said) {
            _ if !self.is_open(key) => self.stated(),
            ("output.kind", Some((_, source)), _) => source.clone(),
            ("output.label_offset", ..) => Source::Assumed("score 0 is a class"),
            ("input.fill", ..) => Source::Assumed(facts::FILL_RULE),
            (key, _, Some((file, said))) if self.is_by_file(key) => said.source(key, file),
            ("input.resize", ..) => facts::crop_rule(&self.named.definition.input),
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
