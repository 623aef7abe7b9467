//! Operators on values between the operators of a pattern ([`Intermediate`]).

use crate::network::lower::value::Intermediate;
use crate::network::lower::{Lower, Lowered, Value};
use tract_onnx::pb::NodeProto;

impl Lower {
    /// A sum, difference, product or quotient with such a value as an operand.
    pub(crate) fn binary_of_intermediate(
        &mut self,
        node: &NodeProto,
        a: &Value,
        b: &Value,
    ) -> Lowered<Value> {
        use Intermediate::{Dynamic, Norm};
        match (a, b) {
            (Value::Intermediate(Norm(_)), _) | (_, Value::Intermediate(Norm(_))) => {
                self.binary_of_norm(node, a, b)
            }
            (Value::Intermediate(Dynamic(scale)), other) => self.by_dynamic(node, scale, other, 1),
            (other, Value::Intermediate(Dynamic(scale))) => self.by_dynamic(node, scale, other, 0),
            _ => Err("neither operand is of a pattern".into()),
        }
    }

    /// The segment that must have run before such a value is available.
    pub(crate) fn segment_of_intermediate(&self, value: &Intermediate) -> usize {
        match value {
            Intermediate::Dynamic(value) => self.segment_of_dynamic(value),
            Intermediate::Norm(value) => self.segments[value.of.0],
        }
    }
}
