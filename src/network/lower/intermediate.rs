//! Values that only stand for something between the operators of a pattern. Any other use of one is refused.

use super::ops::dynamic::{self, Dynamic};
use super::ops::norm::{self, DecomposedNorm};
use super::walk::Lower;
use super::{Lowered, Value};
use tract_onnx::pb::NodeProto;

/// Such a value.
#[derive(Debug, Clone)]
pub(super) enum Intermediate {
    /// Of a quantisation whose scale is recomputed in every run.
    Dynamic(Dynamic),
    /// Of a LayerNormalization that is written out as its parts.
    Norm(DecomposedNorm),
}

impl Intermediate {
    /// Why it cannot be read elsewhere.
    pub(super) fn elsewhere(&self) -> &'static str {
        match self {
            Self::Dynamic(_) => dynamic::ELSEWHERE,
            Self::Norm(_) => norm::ELSEWHERE,
        }
    }

    /// Cast to float.
    pub(super) fn into_float(self) -> Lowered<Value> {
        match self {
            Self::Dynamic(value) => value.into_float(),
            // It is already float.
            Self::Norm(_) => Ok(Value::Intermediate(self)),
        }
    }
}

impl Lower {
    /// A sum, difference, product or quotient with such a value as an operand.
    pub(super) fn binary_of_intermediate(
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
    pub(super) fn segment_of_intermediate(&self, value: &Intermediate) -> usize {
        match value {
            Intermediate::Dynamic(value) => self.segment_of_dynamic(value),
            Intermediate::Norm(value) => self.segments[value.of.0],
        }
    }
}
