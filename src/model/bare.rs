//! A bare `FILE.onnx` as a [`Model`]: what it says about itself, what the files beside it say, and the usual rules for the rest.

use super::facts::{self, Fact, Source};
use super::file::USUAL_SIDE_PX;
use super::hints::{Hint, Hints, Labels, Pixels, Resized};
use super::usual_labels::{IMAGENET_CLASSES, usual_labels, usual_labels_name};
use super::{Model, ModelError, labels as label_file, own_toml_name};
use crate::data_roots::DataRoots;
use crate::network::Network;
use crate::network::onnx::inspect::Inspected;
use crate::spec::{ChannelOrder, Dtype, InputSpec, OutputKind, OutputSpec, Precision, Resize};
use std::path::Path;

impl Model {
    /// The model in the file `path`, which says `inspected` about itself. What neither it nor a file beside it says is assumed:
    /// pixels are normalised as for the published ImageNet models, 1001 scores are 1000 classes after a "background", and 1000
    /// classes without labels are ImageNet's.
    pub fn of_onnx(
        path: &Path,
        inspected: &Inspected,
        labels: Option<&Path>,
        roots: &DataRoots,
    ) -> Result<Self, ModelError> {
        let hints = Hints::of(path, &inspected.metadata);
        let prepared = prepared(&hints, inspected);
        let mut facts = facts::of_input(&prepared.input, |key| prepared.source(key, inspected));
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let model = |labels: Vec<String>, label_offset, facts| Self {
            facts,
            name: name.clone().into_owned(),
            file: path.to_owned(),
            input: prepared.input.clone(),
            output: OutputSpec {
                kind: inspected.output_kind,
                class_count: labels.len(),
                label_offset,
            },
            output_name: None,
            precision: Precision::Single,
            labels,
        };
        let score_count = match (inspected.score_count, labels) {
            (Some(count), _) => count,
            (None, Some(file)) => label_file::load_all(file)?.len(),
            // Known once the shapes of all earlier values are known.
            (None, None) => Network::count_scores(&model(Vec::new(), 0, facts.clone()))
                .map_err(|error| ModelError::Network(error.to_string()))?,
        };
        let score_count = classes_of_scores(path, score_count, inspected.output_kind)?;
        let Classes {
            labels: own,
            label_offset,
            found,
        } = classes(&hints, score_count, labels, roots)?;
        let output = model(own.clone(), label_offset, Vec::new()).output;
        let choice = inspected.choice.as_ref();
        facts.extend(choice.map(|choice| facts::of_choice(choice, None)));
        facts.extend(facts_of_output(&output, inspected));
        facts.push(facts::of_precision(None));
        facts.push(facts::of_labels(
            labels,
            None,
            found.as_ref(),
            usual_labels_name(output.class_count),
        ));
        Ok(Self {
            facts,
            ..model(own, label_offset, Vec::new())
        })
    }
}

/// One score tells two classes apart.
fn classes_of_scores(path: &Path, scores: usize, kind: OutputKind) -> Result<usize, ModelError> {
    match (scores, kind) {
        (1, OutputKind::Probabilities) => Ok(2),
        (1, OutputKind::Logits) => Err(ModelError::Network(format!(
            "the model {} gives one score and no probability (no Sigmoid at its end): if the sigmoid of it is the \
             probability of class 1, say so in a {} beside it ([output] kind = \"logits\", class_count = 2); if it is a \
             measure of something, it is not a classifier",
            path.display(),
            own_toml_name(path)
        ))),
        (count, _) => Ok(count),
    }
}

/// The classes of a network.
struct Classes {
    labels: Vec<String>,
    label_offset: usize,
    /// Labels that were found without being asked for.
    found: Option<Hint<Labels>>,
}

fn classes(
    hints: &Hints<'_>,
    score_count: usize,
    asked: Option<&Path>,
    roots: &DataRoots,
) -> Result<Classes, ModelError> {
    let background = usize::from(score_count == IMAGENET_CLASSES + 1);
    let all = |labels: Vec<String>, found| Classes {
        label_offset: score_count - labels.len(),
        labels,
        found,
    };
    // A network with 1001 real classes comes with 1001 labels.
    if let Some(file) = asked {
        let labels = label_file::load(file, score_count);
        return Ok(match labels {
            Err(_) if background == 1 => all(label_file::load(file, score_count - 1)?, None),
            labels => all(labels?, None),
        });
    }
    let counts = [score_count, score_count - background];
    let counts = &counts[..=background];
    if let Some(found) = hints.labels(counts) {
        return Ok(all(found.value.labels.clone(), Some(found)));
    }
    Ok(all(usual_labels(score_count - background, roots)?, None))
}

/// The input as the ONNX file, its metadata and the files beside it describe it, and the source of each of its facts.
pub(super) struct Prepared {
    pub input: InputSpec,
    size: Source,
    pixels: Source,
    channels: Source,
    resize: Source,
}

pub(super) fn prepared(hints: &Hints<'_>, inspected: &Inspected) -> Prepared {
    let rule = || Source::Assumed(facts::IMAGENET_RULE);
    let preparation = hints.preparation();
    let (usual, size) = match preparation.size_px {
        Some(Hint { value, source }) => (value, source),
        None => (
            [USUAL_SIDE_PX; 2],
            Source::Assumed("the file leaves it open"),
        ),
    };
    let width_px = inspected.width_px.unwrap_or(usual[0]);
    let height_px = inspected.height_px.unwrap_or(usual[1]);
    let mut input = InputSpec::imagenet(inspected.layout, inspected.dtype, width_px, height_px);
    let (pixels, pixels_source) = match (&inspected.scaling, preparation.pixels) {
        // A network that normalises its picture itself takes it unchanged.
        (Some(scaling), _) => {
            let place = format!("it normalises its picture itself ({})", scaling.operators);
            let pixels = Pixels::scaled(scaling.pixel_most / 255.0);
            (Some(pixels), Source::Graph(place))
        }
        (None, Some(hint)) if !inspected.grey || hint.value.is_grey() => {
            (Some(hint.value), hint.source)
        }
        // There is no usual mean and deviation for greyscale pictures.
        _ if inspected.grey => {
            let pixels = Pixels::scaled(1.0 / 255.0);
            let rule = "grey pictures from 0 to 1";
            (Some(pixels), doubtful(rule, inspected))
        }
        _ => (None, doubtful(facts::IMAGENET_RULE, inspected)),
    };
    if let Some(Pixels { scale, mean, std }) = pixels.filter(|_| inspected.dtype == Dtype::F32) {
        input = InputSpec {
            scale,
            mean,
            std,
            ..input
        };
    }
    let channels = match channels(inspected, preparation.channels) {
        Some(Hint { value, source }) => {
            input.channels = value;
            source
        }
        None => rule(),
    };
    let longer_px = width_px.max(height_px);
    let resize = match preparation.resize {
        Some(Hint { value, source }) => match value {
            Resized::Stretched => {
                input.resize = Resize::Stretch;
                source
            }
            Resized::ShorterToSide => {
                input.resize_shorter_px = longer_px;
                source
            }
            Resized::Shorter(px) if px >= longer_px => {
                input.resize_shorter_px = px;
                source
            }
            Resized::Shorter(_) => rule(),
        },
        None => rule(),
    };
    Prepared {
        input,
        size,
        pixels: pixels_source,
        channels,
        resize,
    }
}

/// The source of pixels that are normalised by a usual rule.
fn doubtful(rule: &'static str, inspected: &Inspected) -> Source {
    match &inspected.unclear {
        None => Source::Assumed(rule),
        Some(operators) => Source::Doubtful(format!(
            "{rule}, although the network computes on its picture first ({operators}), and which pixels it expects does not follow \
             from that"
        )),
    }
}

/// The order of the channels, if the network, its metadata or a file beside it tells.
fn channels(inspected: &Inspected, hint: Option<Hint<ChannelOrder>>) -> Option<Hint<ChannelOrder>> {
    if inspected.grey {
        return None;
    }
    let reverses = inspected.reverses.as_ref();
    if let Some(value) = inspected.channels {
        let reversal = reverses.map_or(String::new(), |operator| {
            format!("reverses its channels ({operator}) and ")
        });
        let source = Source::Graph(format!("it {reversal}subtracts ImageNet's mean of each"));
        return Some(Hint { value, source });
    }
    hint.or_else(|| {
        let source = format!(
            "{}, although the network reverses its channels ({})",
            facts::IMAGENET_RULE,
            reverses?
        );
        Some(Hint {
            value: ChannelOrder::Rgb,
            source: Source::Doubtful(source),
        })
    })
}

impl Prepared {
    /// The source of one of its keys.
    pub fn source(&self, key: &str, inspected: &Inspected) -> Source {
        let graph = |place: &str| Source::Graph(place.to_owned());
        match key {
            "input.layout" => graph(inspected.layout_place),
            "input.dtype" => graph("its input's shape and type"),
            "input.width_px" if inspected.width_px.is_some() => graph("its input's shape"),
            "input.height_px" if inspected.height_px.is_some() => graph("its input's shape"),
            "input.width_px" | "input.height_px" => self.size.clone(),
            "input.scale" | "input.mean" | "input.std" => self.pixels.clone(),
            "input.channels" if self.input.channels == ChannelOrder::Rgb && inspected.grey => {
                Source::Assumed("it makes no difference for grey pictures")
            }
            "input.channels" => self.channels.clone(),
            "input.resize" if self.resize == Source::Assumed(facts::IMAGENET_RULE) => {
                facts::crop_rule(&self.input)
            }
            "input.resize" | "input.resize_shorter_px" => self.resize.clone(),
            _ => Source::Assumed(facts::IMAGENET_RULE),
        }
    }
}

pub(super) fn facts_of_output(output: &OutputSpec, inspected: &Inspected) -> Vec<Fact> {
    let shape = || Source::Graph("its output's shape".to_owned());
    facts::of_output(output, |key| match key {
        "output.kind" => match &inspected.last_operator {
            Some(operator) => Source::Graph(format!("it ends in {operator}")),
            None => Source::Assumed("it ends in no Softmax or Sigmoid"),
        },
        "output.class_count" => shape(),
        _ if output.label_offset == 1 => {
            Source::Assumed("1001 scores are 1000 classes after a background")
        }
        _ => shape(),
    })
}
