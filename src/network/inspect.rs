//! What an ONNX file says of itself: input layout and size, how many scores, logits or probabilities.

use super::budget;
use super::onnx::{producers, shape_of};
use super::repair::LUMA;
use crate::model::{Dtype, Layout, OutputKind};
use tract_onnx::pb::GraphProto;
use tract_onnx::pb::tensor_proto::DataType;

/// What a repaired graph ([`super::onnx::read`]) says of its input and output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// The input tensor's name.
    pub input_name: String,
    /// Order of the input's axes.
    pub layout: Layout,
    /// The input's element type.
    pub dtype: Dtype,
    /// Whether the network was made for grey pictures: it sees their luma.
    pub grey: bool,
    /// Width, where the file fixes it.
    pub width_px: Option<u32>,
    /// Height, where the file fixes it.
    pub height_px: Option<u32>,
    /// Whether the last operator is a softmax.
    pub output_kind: OutputKind,
    /// How many scores, where the file says so.
    pub score_count: Option<usize>,
}

/// Looks at a graph's input and output; the error says why it is no picture classifier that Eyelet can run.
pub fn inspect(graph: &GraphProto) -> Result<Inspected, String> {
    let input = graph.input.first().ok_or("has no input")?;
    let (kind, shape) =
        shape_of(input).ok_or_else(|| format!("says nothing of its input '{}'", input.name))?;
    let dtype = match kind {
        DataType::Float => Dtype::F32,
        DataType::Uint8 => Dtype::U8,
        other => {
            return Err(format!(
                "has an input of type {other:?}; Eyelet gives float32 or uint8: export it with one of these"
            ));
        }
    };
    let (layout, height, width) = match shape.as_slice() {
        [_, Some(3), height, width] => (Layout::Nchw, *height, *width),
        [_, height, width, Some(3)] => (Layout::Nhwc, *height, *width),
        _ => {
            return Err(format!(
                "has an input of shape {}; Eyelet gives one RGB picture, 1x3xHxW or 1xHxWx3, or a grey one of one channel \
                 in float32",
                spelled(&shape)
            ));
        }
    };
    let side = |pixels: Option<usize>| -> Result<Option<u32>, String> {
        match pixels.map(u32::try_from) {
            None => Ok(None),
            Some(Ok(n @ 1..=4096)) => Ok(Some(n)),
            Some(_) => Err(format!(
                "has an input of shape {}; 4096 pixels a side is the limit",
                spelled(&shape)
            )),
        }
    };
    let output = graph.output.first().ok_or("has no output")?;
    let score_count = match shape_of(output) {
        Some((_, dims)) => score_count(&dims)?,
        None => None,
    };
    budget::scores(score_count.unwrap_or(0))?;
    Ok(Inspected {
        input_name: input.name.clone(),
        layout,
        dtype,
        grey: graph.initializer.iter().any(|t| t.name == LUMA),
        width_px: side(width)?,
        height_px: side(height)?,
        output_kind: output_kind(graph),
        score_count,
    })
}

/// The number of scores of an output of shape 1xN, 1xNx1x1 or 1x1x1xN; `None` where the file leaves it open, 1 for a network
/// of two classes.
pub fn score_count(dims: &[Option<usize>]) -> Result<Option<usize>, String> {
    let without_batch = dims.get(1..).unwrap_or_default();
    let without_batch = if dims.len() == 1 { dims } else { without_batch };
    let mut wide = without_batch.iter().filter(|d| **d != Some(1));
    match (wide.next(), wide.next()) {
        (None, _) => Ok(Some(1)),
        (Some(n), None) => Ok(*n),
        (Some(_), Some(_)) if dims.contains(&None) => Ok(None),
        _ => Err(format!(
            "gives an output of shape {}; a classifier gives one score a class, 1xN",
            spelled(dims)
        )),
    }
}

/// A shape as people write it.
pub fn spelled(dims: &[Option<usize>]) -> String {
    let dims: Vec<_> = dims
        .iter()
        .map(|d| d.map_or("?".to_owned(), |n| n.to_string()))
        .collect();
    dims.join("x")
}

/// Walks back from the output over operators that do not change what the scores are.
fn output_kind(graph: &GraphProto) -> OutputKind {
    let producers = producers(graph);
    let mut name = graph.output.first().map_or("", |o| o.name.as_str());
    // A graph is acyclic, but a file may lie.
    for _ in 0..graph.node.len() {
        let Some(node) = producers.get(name) else {
            break;
        };
        match node.op_type.as_str() {
            "Softmax" | "QLinearSoftmax" | "Sigmoid" | "QLinearSigmoid" => {
                return OutputKind::Probabilities;
            }
            "Cast" | "DequantizeLinear" | "Flatten" | "Identity" | "QuantizeLinear" | "Reshape"
            | "Squeeze" | "Unsqueeze" => name = node.input.first().map_or("", String::as_str),
            _ => break,
        }
    }
    OutputKind::Logits
}
