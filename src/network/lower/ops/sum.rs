//! Sums of any number of operands.

use crate::network::graph::FREE;
use crate::network::lower::{DeferredOp, Lower, Lowered, Value};
use tract_onnx::pb::NodeProto;

impl Lower {
    /// Sum: the computed operands one after the other, then the constants.
    pub(crate) fn sum(&mut self, node: &NodeProto) -> Lowered<Value> {
        let add = NodeProto {
            op_type: "Add".into(),
            ..node.clone()
        };
        let mut total = None;
        let mut constants = Vec::new();
        for at in 0..node.input.len() {
            let value = self.input_value(node, at)?;
            total = match (total, value) {
                (before, Value::Const(_) | Value::Quantised(_)) => {
                    constants.push(at);
                    before
                }
                (None, first) => Some((at, first)),
                (Some((from, before)), value) => {
                    let sum = self.binary_of(&add, &before, &value, DeferredOp::Add(FREE))?;
                    Some((from, sum))
                }
            };
        }
        let (from, mut total) = total.ok_or("no operand is computed")?;
        for at in constants {
            let (values, dims) = self.const_floats(node, at)?;
            // Its first input says whether another node reads the value that the constant is added to.
            let mut add = add.clone();
            add.input.swap(0, from);
            total = self.with_constant(&add, total, values, &dims)?;
        }
        Ok(total)
    }
}
