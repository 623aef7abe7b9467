//! Min and Max with constants: limits, as TensorFlow's converters write ReLU6.

use crate::network::graph::{FREE, Unary};
use crate::network::lower::{Lower, Lowered, Value};
use tract_onnx::pb::NodeProto;

impl Lower {
    /// Min or Max of a computed value and constants of one value.
    pub(crate) fn min_or_max(&mut self, node: &NodeProto) -> Lowered<Value> {
        let is_min = node.op_type == "Min";
        let (mut low, mut high) = FREE;
        let mut computed = None;
        for at in 0..node.input.len() {
            let value = self.input_value(node, at)?;
            if matches!(value, Value::Const(_) | Value::Quantised(_)) {
                let limit = self.const_scalar(node, at)?;
                if limit.is_nan() {
                    return Err("a limit is not a number".into());
                }
                if is_min {
                    high = high.min(limit);
                } else {
                    low = low.max(limit);
                }
            } else if computed.replace((at, value)).is_some() {
                return Err("more than one operand is computed".into());
            }
        }
        let (at, x) = computed.ok_or("no operand is computed")?;
        let mut turned = node.clone();
        turned.input.swap(0, at);
        self.function_of(&turned, x, Unary::Clamp(low, high))
    }
}
