//! Constants of one value, or of one per channel, also where a graph computes them from others: exporters leave the square root of a
//! variance in the graph. What a file says about its input and output is in them.

use super::attributes::attribute;
use super::constant::Const;
use super::{behind, initializers, producers};
use std::collections::HashMap;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// The most values that are looked at: one per channel.
const MOST: usize = 3;
/// The longest list of integers that is looked at: one per axis.
const MOST_AXES: usize = 8;
/// Operators between a constant and those that it is computed from.
const DEPTH: usize = 6;

/// The constants of a graph.
pub struct Few<'a> {
    weights: HashMap<&'a str, &'a TensorProto>,
    producers: HashMap<&'a str, &'a NodeProto>,
}

impl<'a> Few<'a> {
    /// The constants of `graph`.
    pub fn of(graph: &'a GraphProto) -> Self {
        Self {
            weights: initializers(graph),
            producers: producers(graph),
        }
    }

    /// The node that makes a value.
    pub fn producer(&self, name: &str) -> Option<&'a NodeProto> {
        self.producers.get(name).copied()
    }

    /// The node that makes a value, before the operators in `passed`.
    pub fn behind(&self, name: &str, passed: &[&str]) -> Option<&'a NodeProto> {
        behind(&self.producers, name, passed)
    }

    /// Whether a value does not depend on the picture, as far as it is easily seen.
    pub fn is_constant(&self, name: &str) -> bool {
        self.weights.contains_key(name) || self.values(name).is_some()
    }

    /// The values of a constant that has one or three.
    pub fn values(&self, name: &str) -> Option<Vec<f32>> {
        self.computed(name, DEPTH)
    }

    /// The same, one value as three.
    pub fn per_channel(&self, name: &str) -> Option<[f32; 3]> {
        match self.values(name)?.as_slice() {
            [one] => Some([*one; 3]),
            values => values.try_into().ok(),
        }
    }

    /// The value of a constant that has one.
    pub fn one(&self, name: &str) -> Option<f32> {
        match self.values(name)?.as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }

    /// The integers of a short constant.
    pub fn list(&self, name: &str) -> Option<Vec<i64>> {
        let stored = self.weights.get(name).map(|tensor| read(tensor, MOST_AXES));
        let values = stored.unwrap_or_else(|| self.values(name))?;
        Some(values.into_iter().map(|value| value as i64).collect())
    }

    /// The number of axes of a constant that is stored.
    pub fn rank(&self, name: &str) -> Option<usize> {
        self.weights.get(name).map(|tensor| tensor.dims.len())
    }

    fn computed(&self, name: &str, depth: usize) -> Option<Vec<f32>> {
        if let Some(tensor) = self.weights.get(name) {
            return stored(tensor);
        }
        let node = self.producer(name)?;
        if node.op_type == "Constant" {
            return stored(attribute(node, "value")?.t.as_ref()?);
        }
        let depth = depth.checked_sub(1)?;
        let input = |at: usize| self.computed(node.input.get(at)?, depth);
        let of_one = |f: fn(f32) -> f32| Some(input(0)?.into_iter().map(f).collect());
        let of_two = |f: fn(f32, f32) -> f32| both(&input(0)?, &input(1)?, f);
        match node.op_type.as_str() {
            "Cast" | "Identity" | "Reshape" | "Squeeze" | "Unsqueeze" => input(0),
            "Abs" => of_one(f32::abs),
            "Exp" => of_one(f32::exp),
            "Log" => of_one(f32::ln),
            "Neg" => of_one(|x| -x),
            "Reciprocal" => of_one(f32::recip),
            "Sqrt" => of_one(f32::sqrt),
            "Add" => of_two(|x, y| x + y),
            "Div" => of_two(|x, y| x / y),
            "Max" => of_two(f32::max),
            "Min" => of_two(f32::min),
            "Mul" => of_two(|x, y| x * y),
            "Pow" => of_two(f32::powf),
            "Sub" => of_two(|x, y| x - y),
            "DequantizeLinear" => {
                let zero = match node.input.get(2).is_some_and(|name| !name.is_empty()) {
                    true => input(2)?,
                    false => vec![0.0],
                };
                let steps = both(&input(0)?, &zero, |x, zero| x - zero)?;
                both(&steps, &input(1)?, |steps, scale| steps * scale)
            }
            _ => None,
        }
    }
}

/// The values of two constants, one of which may stand for three.
fn both(a: &[f32], b: &[f32], f: fn(f32, f32) -> f32) -> Option<Vec<f32>> {
    let pairs = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect();
    match (a, b) {
        ([one], b) => Some(pairs(&vec![*one; b.len()], b)),
        (a, [one]) => Some(pairs(a, &vec![*one; a.len()])),
        (a, b) if a.len() == b.len() => Some(pairs(a, b)),
        _ => None,
    }
}

fn stored(tensor: &TensorProto) -> Option<Vec<f32>> {
    read(tensor, MOST).filter(|values| matches!(values.len(), 1 | MOST))
}

/// The values of a constant that has at most so many.
fn read(tensor: &TensorProto, most: usize) -> Option<Vec<f32>> {
    let lists = [
        tensor.float_data.len(),
        tensor.int32_data.len(),
        tensor.int64_data.len(),
        tensor.double_data.len(),
        // 8 bytes are the largest value.
        tensor.raw_data.len().div_ceil(8),
    ];
    if lists.iter().any(|len| *len > most) {
        return None;
    }
    let values = Const::read(tensor.clone()).ok()?.floats();
    (values.len() <= most).then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::onnx::{float_tensor, test_node, typed_tensor};
    use tract_onnx::pb::tensor_proto::DataType;

    #[test]
    fn constants_of_one_or_three_values_are_computed_and_no_others() {
        let graph = GraphProto {
            node: vec![
                test_node("DequantizeLinear", &["q", "scale", "zero"], &["real"], &[]),
                test_node("Mul", &["real", "three"], &["product"], &[]),
                test_node("Unsqueeze", &["product", "axes"], &["moved"], &[]),
                test_node("Relu", &["three"], &["other"], &[]),
                test_node("Add", &["circle", "scale"], &["circle"], &[]),
            ],
            initializer: vec![
                typed_tensor("q", &[1], DataType::Uint8, vec![130]),
                float_tensor("scale", &[], vec![0.5]),
                typed_tensor("zero", &[], DataType::Uint8, vec![128]),
                float_tensor("three", &[3], vec![1.0, 2.0, 3.0]),
                float_tensor("two", &[2], vec![1.0, 2.0]),
            ],
            ..GraphProto::default()
        };
        let few = Few::of(&graph);
        assert_eq!(few.one("real"), Some(1.0));
        assert_eq!(few.per_channel("real"), Some([1.0; 3]));
        assert_eq!(few.values("moved"), Some(vec![1.0, 2.0, 3.0]));
        for name in ["two", "other", "circle", "nothing"] {
            assert_eq!(few.values(name), None, "{name}");
        }
        assert_eq!(few.one("three"), None);
        assert!(few.is_constant("two") && !few.is_constant("nothing"));
    }
}
