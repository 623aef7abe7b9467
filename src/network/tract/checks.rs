//! Operators that tract computes otherwise than ONNX Runtime for some sizes or values alone: those are refused once they are known.

use crate::network::onnx::attributes::{int, ints, normalised_index, text};
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// What is looked at when an operator's inputs and result are known.
#[derive(Debug, Clone)]
pub enum Check {
    /// Whether a Resize makes one value of an axis: tract takes another place for it.
    OnePixel,
    /// Whether a Resize crops an axis that keeps its size: ONNX Runtime leaves that as it is. The roi has these axes, or all.
    Crop(Option<Vec<i64>>),
    /// Whether indices count from the end: tract panics on a frame.
    Indices,
}

/// The operators that may need a check.
pub const CHECKED: [&str; 3] = ["GatherND", "Resize", "ScatterND"];

impl Check {
    /// The check that a node needs.
    pub fn of(node: &NodeProto) -> Option<Self> {
        if matches!(node.op_type.as_str(), "GatherND" | "ScatterND") {
            return Some(Self::Indices);
        }
        if node.op_type != "Resize" {
            return None;
        }
        let is_wide = text(node, "mode") == "cubic" || int(node, "antialias", 0) != 0;
        match text(node, "coordinate_transformation_mode") {
            "pytorch_half_pixel" if is_wide => Some(Self::OnePixel),
            "tf_crop_and_resize" => Some(Self::Crop(ints(node, "axes"))),
            _ => None,
        }
    }

    /// Refuses what tract would compute otherwise.
    pub fn refuse(&self, inputs: &[TypedFact], result: &TypedFact) -> TractResult<()> {
        let second = || inputs.get(1).context("its second input is missing");
        let from = inputs.first().context("its first input is missing")?;
        let axes: Vec<_> = from.shape.iter().zip(result.shape.iter()).collect();
        match self {
            Self::OnePixel => ensure!(
                axes.iter()
                    .all(|(from, to)| from == to || **to != 1.to_dim()),
                "it interpolates to one pixel by \"pytorch_half_pixel\", of which tract makes another one: export it with \
                 coordinate_transformation_mode = \"half_pixel\""
            ),
            Self::Crop(listed) => {
                let roi = second()?.konst.as_ref();
                let roi = roi
                    .context("it crops by a roi that is computed: export it with a constant one")?;
                let roi = roi.cast_to::<f32>()?;
                let roi = roi.try_as_plain_ram()?.as_slice::<f32>()?;
                let all = || (0..axes.len() as i64).collect();
                let listed = listed.clone().unwrap_or_else(all);
                ensure!(
                    roi.len() == 2 * listed.len(),
                    "a roi of {} values",
                    roi.len()
                );
                let (starts, ends) = roi.split_at(listed.len());
                for ((axis, start), end) in listed.into_iter().zip(starts).zip(ends) {
                    let axis = normalised_index(axis, axes.len()).and_then(|at| axes.get(at));
                    let (from, to) = axis.context("it resizes an axis that is not there")?;
                    ensure!(
                        from != to || (*start, *end) == (0.0, 1.0),
                        "it crops an axis whose size it keeps (\"tf_crop_and_resize\"), which ONNX Runtime does not: export it with a \
                         Slice before it"
                    );
                }
            }
            Self::Indices => {
                let indices = second()?.konst.as_ref().context(
                    "it has computed indices, which could be negative, and that is not supported: export it with constant indices",
                )?;
                let indices = indices.cast_to::<i64>()?;
                ensure!(
                    indices
                        .try_as_plain_ram()?
                        .as_slice::<i64>()?
                        .iter()
                        .all(|&at| at >= 0),
                    "it has negative indices, which are not supported: export it with indices that count from 0"
                );
            }
        }
        Ok(())
    }
}
