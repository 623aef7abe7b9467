//! Runs a model on the stored inputs beside it and compares its scores with the stored outputs.
//!
//! The published models come with folders `test_data_set_0`, `test_data_set_1`, ...; each has `input_0.pb` and `output_0.pb`,
//! ONNX `TensorProto` messages: the input, and the output of the publisher's runtime.

use super::{Model, ModelError};
use crate::named::folder_of;
use crate::network::Network;
use crate::network::error::NetworkError;
use crate::network::onnx::inspect::inspect;
use crate::network::onnx::peek::peek_at;
use crate::network::onnx::{self, half};
use crate::network::rewrite::dequantise::{Quantisation, is_quantised};
use crate::spec::{ChannelOrder, Encoder, Input, InputSpec, Layout, Table};
use prost::Message;
use std::path::{Path, PathBuf};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, TensorProto};

/// Limit on a stored tensor, which is one picture or its scores; a longer file is something else.
const MAX_TENSOR_BYTES: u64 = 256 << 20;

/// How far a stored input may be from a pixel's value and still count as that pixel, for plans that take quantised pixels: a
/// hundredth of the step from one pixel value to the next.
const PIXEL_TOLERANCE: f32 = 0.01;

/// The comparison for one stored input.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// The folder's name, `test_data_set_0`.
    pub data_set: String,
    /// The largest difference of one score.
    pub largest_difference: f32,
    /// The range from the smallest to the largest stored score.
    pub stored_range: f32,
    /// The best class by our scores.
    pub best: usize,
    /// The best class by the stored ones.
    pub stored_best: usize,
}

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A stored tensor is missing, damaged or from another model.
    #[error("{} {why}", path.display())]
    Stored {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The network failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

impl From<VerifyError> for crate::Failure {
    fn from(error: VerifyError) -> Self {
        Self::new(crate::Cause::Model, error)
    }
}

/// Scores of a float network from two runtimes differ because of the order of their sums, and by less than this.
pub const FLOAT_TOLERANCE: f32 = 1e-3;

/// Scores of an 8-bit network come in steps, and runtimes that round differently differ by some of them: over the fifty layers of
/// MobileNet v2, ONNX Runtime's own optimisation levels by up to 7, and ours from its lowest by up to 10. The step is taken as a
/// 255th of the range from the smallest to the largest stored score: it is at least that.
pub const QUANTISED_TOLERANCE_STEPS: f32 = 12.0;

/// Stored scores of a half-precision network were rounded after each layer, to 2^-11 of their size (float16) or 2^-8 (bfloat16).
/// Eyelet runs such a network in float32 without that rounding, so depending on the network's depth they differ by some such
/// steps. This is a fraction of the range from the smallest to the largest stored score: a third of what passes for 8 bits.
pub const HALF_TOLERANCE_SHARE: f32 = 1.0 / 64.0;

/// Probabilities of a network in half precision and in single precision differ by less than this: rounding each layer's results to
/// 11 bits, and some of its sums, changes MobileNet v2's by up to 0.0075.
pub const HALF_PROBABILITY_TOLERANCE: f32 = 0.02;

/// The arithmetic for which a network was made, which determines the tolerance against stored scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// float32.
    Float,
    /// float16 or bfloat16, with this many significant bits.
    Half(u32),
    /// 8-bit integers.
    Quantised,
}

impl std::fmt::Display for Precision {
    /// The reason for its tolerance.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Float => Ok(()),
            Self::Half(bits) => write!(
                f,
                ": the stored scores may be rounded to {bits} significant bits after each layer"
            ),
            Self::Quantised => write!(f, ": twelve steps of 8 bits"),
        }
    }
}

/// What the file says about the stored outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredOutputs {
    /// The arithmetic in which they were computed.
    pub precision: Precision,
    /// Index of the output with the scores.
    pub output: usize,
    /// Whether the scores are integers.
    pub gives_integers: bool,
    /// How those stand for numbers: runtimes store the integers, and Eyelet returns the numbers.
    pub quantisation: Option<Quantisation>,
}

/// What the file says about stored outputs. Checks also that its input has the name that the `model.toml` states, if it states one.
pub fn stored_outputs(
    model: &Model,
    stated_name: Option<&str>,
) -> Result<StoredOutputs, ModelError> {
    let file = model.file.display();
    let output_name = model.output_name.as_deref();
    let outline = peek_at(&model.file, output_name)
        .map_err(|error| ModelError::Network(error.to_string()))?;
    let found = inspect(&outline.graph)
        .map_err(|why| ModelError::Network(format!("the model {file} {why}")))?
        .input_name;
    match stated_name {
        Some(stated) if stated != found => Err(ModelError::Network(format!(
            "the input of {file} is named {found:?}, its {} says {stated:?}: correct [input] name, or it is another file",
            model.toml_name()
        ))),
        _ => {
            let output = outline.graph.output.first().and_then(onnx::shape_of);
            let gives_integers = matches!(output, Some((DataType::Uint8 | DataType::Int8, _)));
            let quantisation = match gives_integers {
                true => Network::output_quantisation(model)
                    .map_err(|error| ModelError::Network(error.to_string()))?,
                false => None,
            };
            Ok(StoredOutputs {
                precision: match outline.before.half_bits {
                    _ if is_quantised(&outline.graph) || is_dynamic(&outline.graph) => {
                        Precision::Quantised
                    }
                    Some(bits) => Precision::Half(bits),
                    None => Precision::Float,
                },
                output: outline.before.output,
                gives_integers,
                quantisation,
            })
        }
    }
}

/// Whether a graph quantises while it runs, as `quantize_dynamic` writes it.
fn is_dynamic(graph: &GraphProto) -> bool {
    let integers = ["DynamicQuantizeLinear", "MatMulInteger", "ConvInteger"];
    let mut operators = graph.node.iter().map(|node| node.op_type.as_str());
    operators.any(|operator| integers.contains(&operator))
}

/// The folders `test_data_set_N` beside `file`, by number.
pub fn data_sets(file: &Path) -> Vec<PathBuf> {
    let mut numbered: Vec<(u32, PathBuf)> = std::fs::read_dir(folder_of(file))
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?;
            let number = name.strip_prefix("test_data_set_")?.parse().ok()?;
            path.is_dir().then_some((number, path))
        })
        .collect();
    numbered.sort();
    numbered.into_iter().map(|(_, path)| path).collect()
}

/// The scores that `network`, which belongs to `model`, gives for the input in the folder `data_set`.
pub fn scores(
    network: &mut Network,
    model: &Model,
    data_set: &Path,
) -> Result<Vec<f32>, VerifyError> {
    let path = data_set.join("input_0.pb");
    let (values, _) = tensor(&path)?;
    let encoder = network.encoder().clone();
    fill(network.input(), &values, &model.input, &encoder)
        .map_err(|why| VerifyError::Stored { path, why })?;
    Ok(network.run()?.to_vec())
}

/// Runs `network`, which belongs to `model`, on the input in the folder `data_set`, and compares with the stored output that
/// `outputs` describes.
pub fn compare(
    network: &mut Network,
    model: &Model,
    data_set: &Path,
    outputs: &StoredOutputs,
) -> Result<Compared, VerifyError> {
    let stored = |path: &Path, why: String| VerifyError::Stored {
        path: path.to_owned(),
        why,
    };
    let second = data_set.join("input_1.pb");
    if second.exists() {
        let why = "is a second input; Eyelet runs networks of one input".to_owned();
        return Err(stored(&second, why));
    }
    let input = data_set.join("input_0.pb");
    let (values, _) = tensor(&input)?;
    let encoder = network.encoder().clone();
    fill(network.input(), &values, &model.input, &encoder).map_err(|why| stored(&input, why))?;
    let output = data_set.join(format!("output_{}.pb", outputs.output));
    let (expected, kind) = tensor(&output)?;
    let expected = numbers(expected, kind, outputs).map_err(|why| stored(&output, why))?;
    let expected = match expected.as_slice() {
        &[score] if model.output.class_count == 2 => model.output.of_one_score(score).to_vec(),
        _ => expected,
    };
    let all = model.output.label_offset + model.output.class_count;
    if expected.len() != all {
        let why = format!("has {} scores, the model has {all}", expected.len());
        return Err(stored(&output, why));
    }
    let expected = &expected[model.output.label_offset..];
    let scores = network.run()?;
    Ok(Compared {
        data_set: data_set
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        largest_difference: largest_difference(scores, expected),
        stored_range: expected.iter().fold(f32::MIN, |a, b| a.max(*b))
            - expected.iter().fold(f32::MAX, |a, b| a.min(*b)),
        best: best(scores),
        stored_best: best(expected),
    })
}

/// The largest difference of one score; NaN if any difference is NaN, which no tolerance accepts.
pub fn largest_difference(scores: &[f32], expected: &[f32]) -> f32 {
    let differences = scores.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |largest, d| match (largest, d) {
        (largest, d) if largest.is_nan() || d <= largest => largest,
        (_, d) => d,
    })
}

impl Compared {
    /// The largest difference that passes if the user states none.
    pub fn usual_tolerance(&self, precision: Precision) -> f32 {
        match precision {
            Precision::Float => FLOAT_TOLERANCE,
            Precision::Half(_) => FLOAT_TOLERANCE.max(self.stored_range * HALF_TOLERANCE_SHARE),
            Precision::Quantised => self.stored_range / 255.0 * QUANTISED_TOLERANCE_STEPS,
        }
    }
}

/// Stored scores as the numbers that Eyelet returns. Floats already are, even if the network outputs integers: whoever stored
/// them dequantised them.
fn numbers(values: Vec<f32>, kind: DataType, outputs: &StoredOutputs) -> Result<Vec<f32>, String> {
    if kind == DataType::Float {
        return Ok(values);
    }
    if !outputs.gives_integers {
        return Err(
            "holds integers, and the network gives floats: it is another network's output"
                .to_owned(),
        );
    }
    let Some(quantisation) = &outputs.quantisation else {
        return Ok(values);
    };
    let reals = values.iter().map(|value| quantisation.real(*value));
    reals.collect::<Option<_>>().ok_or_else(|| {
        "holds integers of several scales, which are not compared: store the output after a DequantizeLinear".to_owned()
    })
}

/// The index of the first of the largest scores.
pub fn best(scores: &[f32]) -> usize {
    let mut best = 0;
    for (index, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = index;
        }
    }
    best
}

/// The values of the float, half-precision or 8-bit tensor in the file at `path`, and their type (float for half precision).
fn tensor(path: &Path) -> Result<(Vec<f32>, DataType), VerifyError> {
    let fault = |why: String| VerifyError::Stored {
        path: path.to_owned(),
        why,
    };
    let unreadable = |error: std::io::Error| fault(format!("cannot be read: {error}"));
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > MAX_TENSOR_BYTES {
        return Err(fault("is not a stored tensor".to_owned()));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let mut tensor = TensorProto::decode(bytes.as_slice())
        .map_err(|_| fault("is no ONNX tensor, or is cut short".to_owned()))?;
    half::tensor_to_float(&mut tensor);
    match DataType::try_from(tensor.data_type) {
        Ok(kind @ (DataType::Float | DataType::Uint8 | DataType::Int8)) => {
            let values = onnx::values_f32(&tensor).map_err(fault)?;
            Ok((values, kind))
        }
        other => Err(fault(format!(
            "holds elements of type {}, needs float32, float16, uint8 or int8",
            other.map_or_else(|_| "unknown".to_owned(), |kind| format!("{kind:?}"))
        ))),
    }
}

/// Writes the stored `values` into the network's input.
fn fill(
    input: Input<'_>,
    values: &[f32],
    spec: &InputSpec,
    encoder: &Encoder,
) -> Result<(), String> {
    let wanted = spec.width_px as usize * spec.height_px as usize * 3;
    // The picture of a greyscale network: the luma of three equal colours is that same value.
    let pixels = spec.width_px as usize * spec.height_px as usize;
    let grey: Vec<f32> = match spec.layout {
        _ if values.len() != pixels => Vec::new(),
        Layout::Nchw => values.repeat(3),
        Layout::Nhwc => values.iter().flat_map(|v| [*v; 3]).collect(),
    };
    let values = if grey.is_empty() { values } else { &grey };
    if values.len() != wanted {
        return Err(format!(
            "has {} values, the model's input has {wanted}",
            values.len()
        ));
    }
    // The plan's axes may be in a different order from the file's, in which the values are stored.
    let channel_and_source = |place: usize| {
        let (pixel, channel) = match encoder.layout {
            Layout::Nchw => (place % pixels, place / pixels),
            Layout::Nhwc => (place / 3, place % 3),
        };
        match spec.layout {
            Layout::Nchw => (channel, channel * pixels + pixel),
            Layout::Nhwc => (channel, pixel * 3 + channel),
        }
    };
    match input {
        Input::F32(places) => {
            for (index, place) in places.iter_mut().enumerate() {
                *place = values[channel_and_source(index).1];
            }
        }
        Input::U8(places) => {
            for (index, byte) in places.iter_mut().enumerate() {
                let (channel, source) = channel_and_source(index);
                let colour = match spec.channels {
                    ChannelOrder::Rgb => channel,
                    ChannelOrder::Bgr => 2 - channel,
                };
                *byte = byte_of(values[source], colour, spec, encoder)?;
            }
        }
    }
    Ok(())
}

/// The plan's encoding of the pixel whose value is `value`: the plan cannot encode a value that no pixel has.
fn byte_of(value: f32, colour: usize, spec: &InputSpec, encoder: &Encoder) -> Result<u8, String> {
    let pixel = (value * spec.std[colour] + spec.mean[colour]) / spec.scale;
    let whole = pixel.round();
    if !(0.0..=255.0).contains(&whole) || (pixel - whole).abs() > PIXEL_TOLERANCE {
        return Err(format!(
            "has the value {value}, which no 8-bit pixel has, and this model runs on pixels"
        ));
    }
    // In range by the check above.
    let whole = whole as u8;
    Ok(match &encoder.table {
        Table::U8(table) => table[colour][usize::from(whole)],
        Table::F32(_) => whole,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::spec::Dtype;

    #[test]
    fn a_nan_among_stored_scores_is_never_within_the_tolerance() {
        assert_eq!(largest_difference(&[1.0, 2.0, 3.0], &[1.5, 2.0, 2.75]), 0.5);
        for at in 0..3 {
            let mut stored = [1.0; 3];
            stored[at] = f32::NAN;
            assert!(largest_difference(&[1.0, 1.0, 9.0], &stored).is_nan());
        }
    }

    #[test]
    fn data_sets_are_taken_by_number() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["test_data_set_10", "test_data_set_2", "test_data_set_x"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("test_data_set_3"), "").unwrap();
        let names: Vec<_> = data_sets(&folder.path().join("net.onnx"))
            .iter()
            .map(|path| path.file_name().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["test_data_set_2", "test_data_set_10"]);
    }

    #[test]
    fn stored_values_become_the_bytes_of_a_plan_that_takes_pixels() {
        let spec = InputSpec {
            channels: ChannelOrder::Bgr,
            ..InputSpec::imagenet(Layout::Nchw, Dtype::F32, 1, 1)
        };
        // The plan's own table: the pixel, inverted.
        let encoder = Encoder {
            table: Table::U8(Box::new(
                [std::array::from_fn(|pixel| 255 - pixel as u8); 3],
            )),
            ..Encoder::of(&spec)
        };
        let value =
            |pixel: f32, colour: usize| (pixel * spec.scale - spec.mean[colour]) / spec.std[colour];
        // Channel 0 is blue.
        let values = [value(1.0, 2), value(255.0, 1), value(0.0, 0)];
        let mut bytes = [0; 3];
        fill(Input::U8(&mut bytes), &values, &spec, &encoder).unwrap();
        assert_eq!(bytes, [254, 0, 255]);
        for odd in [value(1.5, 2), value(256.0, 2), f32::NAN] {
            let values = [odd, values[1], values[2]];
            let error = fill(Input::U8(&mut bytes), &values, &spec, &encoder);
            assert!(error.unwrap_err().contains("no 8-bit pixel"));
        }
        let short = fill(Input::U8(&mut bytes), &values[..2], &spec, &encoder);
        assert_eq!(short.unwrap_err(), "has 2 values, the model's input has 3");
    }
}
