//! What an ONNX file says about itself: input layout and size, number of scores, logits or probabilities.

use super::meaning::Probabilities;
use super::repair::{Choice, LUMA};
use super::scaling::{Scaling, Start};
use super::shapes::{score_count, shape_text};
use super::{attributes, budget, meaning, scaling, seems, shape_of};
use crate::limits::INPUT_SIDE_PX;
use crate::spec::{ChannelOrder, Dtype, Layout, OutputKind};
use std::collections::HashSet;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto};

/// What a repaired graph ([`super::read`]) says about its input and output.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspected {
    /// The input tensor's name.
    pub input_name: String,
    /// Order of the input's axes.
    pub layout: Layout,
    /// Where in the file the layout comes from.
    pub layout_place: &'static str,
    /// The input's element type.
    pub dtype: Dtype,
    /// Whether the network was made for greyscale pictures: it gets their luma.
    pub grey: bool,
    /// Width, if the file fixes it.
    pub width_px: Option<u32>,
    /// Height, if the file fixes it.
    pub height_px: Option<u32>,
    /// The scaling that the network applies to its picture before its first layer.
    pub scaling: Option<Scaling>,
    /// The operators that compute on the picture before the first layer, if they do not tell which pixels the network expects.
    pub unclear: Option<String>,
    /// The order of the channels, if the network subtracts ImageNet's mean from each.
    pub channels: Option<ChannelOrder>,
    /// The operator by which the network reverses the order of its channels.
    pub reverses: Option<String>,
    /// Whether the last operator is a softmax.
    pub output_kind: OutputKind,
    /// That operator, if there is one.
    pub last_operator: Option<String>,
    /// Whether it makes all scores add up to 1.
    pub adds_up: bool,
    /// Number of scores, if the file says so.
    pub score_count: Option<usize>,
    /// How its output was chosen, if it has several and the whole file was read.
    pub choice: Option<Choice>,
    /// Other metadata of the file (`metadata_props`), if the whole file was read and not only its graph.
    pub metadata: Vec<(String, String)>,
}

/// Inspects a graph's input and output; the error says why it is not an image classifier that Eyelet can run.
pub fn inspect(graph: &GraphProto) -> Result<Inspected, String> {
    if let Some(why) = seems::no_classifier(graph) {
        return Err(format!(
            "{why}; Eyelet runs classifiers: one score per class"
        ));
    }
    let input = graph.input.first().ok_or("has no input")?;
    let (kind, shape) =
        shape_of(input).ok_or_else(|| format!("does not describe its input '{}'", input.name))?;
    let dtype = match kind {
        DataType::Float => Dtype::F32,
        DataType::Uint8 => Dtype::U8,
        other => {
            return Err(format!(
                "has an input of type {other:?}; Eyelet gives float32 or uint8: export it with one of these"
            ));
        }
    };
    let mut layout_place = "its input's shape and type";
    let (layout, height, width) = match shape.as_slice() {
        [_, Some(3), height, width] => (Layout::Nchw, *height, *width),
        [_, height, width, Some(3)] => (Layout::Nhwc, *height, *width),
        // Exports with all axes open, such as Hugging Face's: the number of channels comes from the first convolution.
        [_, None, height, width] if channels_of_convolution(graph, &input.name) == Some(3) => {
            layout_place = "its first convolution takes three channels";
            (Layout::Nchw, *height, *width)
        }
        _ => {
            return Err(format!(
                "has an input of shape {}; Eyelet gives one RGB picture, 1x3xHxW or 1xHxWx3, or a grey one of one channel \
                 in float32",
                shape_text(&shape)
            ));
        }
    };
    let side = |pixels: Option<usize>| -> Result<Option<u32>, String> {
        match pixels.map(u32::try_from) {
            None => Ok(None),
            Some(Ok(n)) if INPUT_SIDE_PX.check(n.into()).is_some() => Ok(Some(n)),
            Some(_) => Err(format!(
                "has an input of shape {}; {} pixels a side is the limit",
                shape_text(&shape),
                INPUT_SIDE_PX.most
            )),
        }
    };
    let output = graph.output.first().ok_or("has no output")?;
    let score_count = match shape_of(output) {
        Some((_, dims)) => scores_of(&dims, &seems::Signs::of(graph))?,
        None => None,
    };
    budget::scores(score_count.unwrap_or(0))?;
    let probabilities = meaning::probabilities(graph).filter(Probabilities::is_of_one);
    let adds_up = probabilities.as_ref().is_some_and(Probabilities::adds_up);
    let last_operator = probabilities.map(|found| found.operator);
    let Start {
        scaling,
        unclear,
        channels,
        reverses,
    } = scaling::of(graph);
    Ok(Inspected {
        input_name: input.name.clone(),
        layout,
        layout_place,
        dtype,
        grey: graph.initializer.iter().any(|t| t.name == LUMA),
        width_px: side(width)?,
        height_px: side(height)?,
        scaling,
        unclear,
        channels,
        reverses,
        output_kind: match last_operator {
            Some(_) => OutputKind::Probabilities,
            None => OutputKind::Logits,
        },
        last_operator,
        adds_up,
        score_count,
        choice: None,
        metadata: Vec::new(),
    })
}

/// The number of channels that the first convolution of the picture `input` takes, if everything before it keeps the channels.
fn channels_of_convolution(graph: &GraphProto, input: &str) -> Option<i64> {
    const KEEPS_CHANNELS: [&str; 9] = [
        "Add",
        "Cast",
        "DequantizeLinear",
        "Div",
        "Identity",
        "Mul",
        "Pad",
        "QuantizeLinear",
        "Sub",
    ];
    let mut pictures = HashSet::from([input]);
    for node in &graph.node {
        let reads_picture = node
            .input
            .first()
            .is_some_and(|i| pictures.contains(i.as_str()));
        match node.op_type.as_str() {
            "Conv" if reads_picture => {
                let groups = attributes::int(node, "group", 1);
                let weights = node.input.get(1)?;
                let dequantised = |n: &&NodeProto| n.output.first() == Some(weights);
                let source = graph.node.iter().find(dequantised);
                let stored = source.and_then(|n| n.input.first()).unwrap_or(weights);
                let tensor = graph.initializer.iter().find(|t| t.name == *stored)?;
                return tensor.dims.get(1)?.checked_mul(groups);
            }
            operator if reads_picture && KEEPS_CHANNELS.contains(&operator) => {
                pictures.extend(node.output.first().map(String::as_str));
            }
            _ => {}
        }
    }
    None
}

/// The same for the output of a network with these signs; the error also says what seems to produce such an output.
pub fn scores_of(dims: &[Option<usize>], signs: &seems::Signs) -> Result<Option<usize>, String> {
    score_count(dims).map_err(|why| {
        let sizes: Vec<usize> = dims.iter().skip(1).map(|d| d.unwrap_or(2)).collect();
        format!("{why}: {}", seems::of_shape(signs, &sizes))
    })
}
