//! What operators meant in opsets before 7: an operand was broadcast along an axis that the node names.

use super::{Forms, input, output};
use crate::network::onnx::attributes::{attribute, int, normalised_index};
use crate::network::onnx::stated_count;
use tract_onnx::pb::{NodeProto, TensorProto};

impl Forms<'_> {
    /// Gives a constant second operand the axes of size 1 that it needs since opset 7. PRelu's slopes were one per channel.
    pub(super) fn broadcast_before_opset_7(&mut self, node: &mut NodeProto) -> Result<(), String> {
        let slopes = node.op_type == "PRelu";
        let named = attribute(node, "axis").is_some() && int(node, "broadcast", 0) != 0;
        let axis = if slopes { 1 } else { int(node, "axis", 0) };
        let Some(operand) = self.weight(input(node, 1)) else {
            return if named { Err(UNKNOWN.into()) } else { Ok(()) };
        };
        let own = operand.dims.len();
        if !(named || slopes && own == 1 && operand.dims[0] > 1) {
            return Ok(());
        }
        // For a file that names the same operand again and again.
        let left =
            stated_count(operand).and_then(|count| self.channels_left.get().checked_sub(count));
        self.channels_left.set(left.ok_or(UNKNOWN)?);
        let rank = self.rank(input(node, 0)).ok_or(UNKNOWN)?;
        let behind = normalised_index(axis, rank).and_then(|axis| rank.checked_sub(axis + own));
        let behind = behind
            .ok_or_else(|| format!("has an operand of {own} axes from axis {axis} of {rank} on"))?;
        if behind == 0 {
            return Ok(());
        }
        let name = format!("eyelet/{}.operand", output(node));
        let dims = [operand.dims.clone(), vec![1; behind]].concat();
        node.input[1] = self.constant(TensorProto {
            name,
            dims,
            ..operand.clone()
        });
        Ok(())
    }
}

const UNKNOWN: &str = "is broadcast along an axis that it names, as before opset 7, in a form that is not followed: convert it with \
                       onnx.version_converter";
