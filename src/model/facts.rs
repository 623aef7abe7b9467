//! What Eyelet assumes about a model, and the source of each fact: its `model.toml`, the ONNX file itself, or neither, in which
//! case a usual rule applies that can be wrong for it. Facts are in the words of `model.toml`, so that a wrong one can be copied
//! there and corrected.

use super::hints::{Hint, Labels, Pixels};
pub use super::source::Source;
use crate::escaped::Escaped;
use crate::network::onnx::repair::Choice;
use crate::spec::{
    CHANNELS, ChannelOrder, DTYPES, Dtype, InputSpec, KINDS, LAYOUTS, Layout, OutputSpec,
    PRECISIONS, Precision, RESIZES, Resize, quoted,
};
use std::fmt;
use std::path::Path;

/// One key of `model.toml`, with its value as it would be written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// `input.mean`, say.
    pub key: &'static str,
    /// The value as TOML.
    pub value: String,
    /// Its source.
    pub source: Source,
}

impl Fact {
    /// Whether it is a guess.
    pub fn is_assumed(&self) -> bool {
        matches!(self.source, Source::Assumed(_) | Source::Doubtful(_))
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} = {} ({})", self.key, self.value, self.source)
    }
}

/// Description of the rule of the published ImageNet models.
pub const IMAGENET_RULE: &str = "the rule of the published ImageNet models";

/// Description of the borders of a fitted picture.
pub const FILL_RULE: &str = "black, as most tools pad in training";

/// Facts about an input; `source` returns the source of each key.
pub fn of_input(input: &InputSpec, source: impl Fn(&'static str) -> Source) -> Vec<Fact> {
    let mut keys = vec![
        ("input.layout", quoted(&LAYOUTS, input.layout)),
        ("input.width_px", input.width_px.to_string()),
        ("input.height_px", input.height_px.to_string()),
        ("input.channels", quoted(&CHANNELS, input.channels)),
    ];
    if input.dtype == Dtype::F32 {
        keys.extend([
            ("input.scale", number(input.scale)),
            ("input.mean", numbers(input.mean)),
            ("input.std", numbers(input.std)),
        ]);
    } else {
        keys.push(("input.dtype", quoted(&DTYPES, input.dtype)));
    }
    keys.extend(of_resize(input));
    all(keys, source)
}

/// The way of resizing, and the key that specifies it further.
fn of_resize(input: &InputSpec) -> Vec<(&'static str, String)> {
    let mut keys = vec![("input.resize", quoted(&RESIZES, input.resize))];
    match input.resize {
        Resize::Crop => keys.push((
            "input.resize_shorter_px",
            input.resize_shorter_px.to_string(),
        )),
        Resize::Fit => keys.push(("input.fill", format!("{:?}", input.fill))),
        Resize::Stretch => {}
    }
    keys
}

/// Applies a board file's way of resizing to a model's input and its facts.
pub fn resize_by_board(input: &mut InputSpec, facts: &mut Vec<Fact>, resize: Resize) {
    let before = std::mem::replace(&mut input.resize, resize);
    let is_resize = |fact: &Fact| fact.key == "input.resize";
    let Some(at) = facts.iter().position(is_resize) else {
        return;
    };
    let details = ["input.resize_shorter_px", "input.fill"];
    if before == resize {
        facts[at].source = Source::Board;
        return;
    }
    facts.retain(|fact| !details.contains(&fact.key));
    let source = |key: &'static str| match key {
        "input.resize" => Source::Board,
        "input.fill" => Source::Assumed(FILL_RULE),
        _ => Source::Assumed(IMAGENET_RULE),
    };
    let after = facts.split_off(at + 1);
    facts.pop();
    facts.extend(all(of_resize(input), source));
    facts.extend(after);
}

/// A crop that shows the network less of a picture than this is doubtful: 57 % are usual, those of a square.
const SEEN_LEAST: f32 = 0.45;

/// The source of a crop that nobody has stated. A crop of other proportions than the picture's leaves much of it out.
pub fn crop_rule(input: &InputSpec) -> Source {
    let crop = input.width_px as f32 * input.height_px as f32;
    let shorter = input.resize_shorter_px as f32;
    let seen = crop / (shorter * shorter * 4.0 / 3.0);
    match input.resize {
        Resize::Crop if seen < SEEN_LEAST => Source::Doubtful(format!(
            "{IMAGENET_RULE}, by which it sees {:.0} % of a 4:3 picture; \"fit\" or \"stretch\" shows it all",
            seen * 100.0
        )),
        _ => Source::Assumed(IMAGENET_RULE),
    }
}

/// The fact about the output with the scores, where the file has several; `stated` says where its name is stated, if it is.
pub fn of_choice(choice: &Choice, stated: Option<Source>) -> Fact {
    const SHOWN: usize = 8;
    let names = |all: &[String]| {
        let shown = all.iter().take(SHOWN).map(|name| text(name));
        let more = if all.len() > SHOWN { ", ..." } else { "" };
        shown.collect::<Vec<_>>().join(", ") + more
    };
    Fact {
        key: "output.name",
        value: text(&choice.name),
        source: match (stated, choice.possible.len()) {
            (Some(stated), _) => stated,
            (None, 0 | 1) => Source::Graph(format!(
                "of its outputs {} it is the only one that looks like scores",
                names(&choice.all)
            )),
            (None, _) => Source::Doubtful(format!(
                "its outputs {} could all be the scores, and this is the likeliest",
                names(&choice.possible)
            )),
        },
    }
}

/// Facts about an output.
pub fn of_output(output: &OutputSpec, source: impl Fn(&'static str) -> Source) -> Vec<Fact> {
    let keys = vec![
        ("output.kind", quoted(&KINDS, output.kind)),
        ("output.class_count", output.class_count.to_string()),
        ("output.label_offset", output.label_offset.to_string()),
    ];
    all(keys, source)
}

fn all(keys: Vec<(&'static str, String)>, source: impl Fn(&'static str) -> Source) -> Vec<Fact> {
    let fact = |(key, value)| Fact {
        key,
        value,
        source: source(key),
    };
    keys.into_iter().map(fact).collect()
}

/// The precision that is stated, and where, or the default.
pub fn of_precision(stated: Option<(Precision, Source)>) -> Fact {
    let default = || (Precision::default(), Source::Default("for float networks"));
    let (value, source) = stated.unwrap_or_else(default);
    precision(value, source)
}

fn precision(precision: Precision, source: Source) -> Fact {
    Fact {
        key: "precision",
        value: quoted(&PRECISIONS, precision),
        source,
    }
}

/// Replaces the fact about the precision by what a board file says.
pub fn precision_by_board(facts: &mut [Fact], by_board: Precision) {
    for fact in facts.iter_mut().filter(|fact| fact.key == "precision") {
        *fact = precision(by_board, Source::Board);
    }
}

/// The source of the labels: the file that was `asked` for, else the one that is `stated`, and where, else those that were
/// `found`, else the usual ones.
pub fn of_labels(
    asked: Option<&Path>,
    stated: Option<(&str, Source)>,
    found: Option<&Hint<Labels>>,
    usual: &'static str,
) -> Fact {
    const RULE: &str =
        "1000 classes are taken for ImageNet's, others are numbered; --labels FILE names them";
    let (value, source) = match (asked, stated, found) {
        (Some(file), _, _) => (text(&file.display().to_string()), Source::Asked),
        (None, Some((file, source)), _) => (text(file), source),
        (None, None, Some(Hint { value, source })) => {
            let whose = match source {
                Source::Beside(_) => "those beside it",
                _ => "its own",
            };
            let value = value.file.as_deref().map_or(whose.to_owned(), text);
            (value, source.clone())
        }
        (None, None, None) => (usual.to_owned(), Source::Assumed(RULE)),
    };
    Fact {
        key: "labels",
        value,
        source,
    }
}

/// A string as TOML, on one line.
pub fn text(text: &str) -> String {
    // A JSON string without control characters is a TOML string.
    Escaped(serde_json::Value::from(text)).to_string()
}

/// A layout as TOML.
pub fn layout(layout: Layout) -> String {
    quoted(&LAYOUTS, layout)
}

/// A channel order as TOML.
pub fn channels(channels: ChannelOrder) -> String {
    quoted(&CHANNELS, channels)
}

/// An element type as TOML.
pub fn dtype(dtype: Dtype) -> String {
    quoted(&DTYPES, dtype)
}

/// A number that TOML reads as a float.
fn number(value: f32) -> String {
    format!("{value:?}")
}

/// A normalisation as keys of a TOML.
pub fn pixels(pixels: &Pixels) -> String {
    format!(
        "scale = {}, mean = {}, std = {}",
        number(pixels.scale),
        numbers(pixels.mean),
        numbers(pixels.std)
    )
}

fn numbers(values: [f32; 3]) -> String {
    format!("[{}]", values.map(number).join(", "))
}

/// The facts as readable lines, with the keys aligned.
pub fn lines(facts: &[Fact]) -> impl Iterator<Item = String> {
    let wide = |text: &dyn Fn(&Fact) -> usize| facts.iter().map(text).max().unwrap_or(0);
    let key_width = wide(&|fact| fact.key.len());
    let value_width = wide(&|fact| fact.value.len());
    facts.iter().map(move |fact| {
        format!(
            "{:key_width$} = {:value_width$}  {}",
            fact.key, fact.value, fact.source
        )
    })
}
