//! Finds the scaling that a network applies to its picture before its first layer: exporters put the normalisation into the graph
//! (Keras' `Rescaling` and `Normalization`, a wrapper of `(x - mean) / std` in PyTorch). Pixels normalised beforehand would be
//! normalised twice.

use super::attributes::attribute;
use super::{initializers, producers, values_f32};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, TensorProto};

/// Factors (from pixels to the network's values) below this are for pixels in 0..=255: 1/127.5, 1/(255 * 0.229).
const MAX_BYTES_FACTOR: f32 = 0.1;
/// Factors above this are for pixels in 0..=1: 2, 1/0.229. Those in between convert ImageNet's normalisation to another (0.458:
/// torchvision's Inception v3 with `transform_input`), and so need that normalisation first.
const MIN_UNIT_FACTOR: f32 = 1.5;

/// Number of operators to look at: a file may hold a chain of thousands, or a cycle.
const MAX_STEPS: usize = 32;

/// Arithmetic at a network's input.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// The largest pixel that it expects: 255 or 1.
    pub pixel_most: f32,
    /// The operators, in readable form: `Mul Add`.
    pub operators: String,
}

/// The arithmetic at the start of `graph`, if there is any.
///
/// Counted are additions, subtractions, products and quotients with constants of one value or one per channel. A
/// BatchNormalization is not: it is learned, for pixels that were normalised before.
pub fn of(graph: &GraphProto) -> Option<Scaling> {
    let (weights, producers) = (initializers(graph), producers(graph));
    let constant = |name: &String| {
        let node = producers
            .get(name.as_str())
            .filter(|n| n.op_type == "Constant");
        let value = || attribute(node?, "value")?.t.as_ref();
        few_values(weights.get(name.as_str()).copied().or_else(value)?)
    };
    let mut at = graph.input.first()?.name.as_str();
    let mut factor = 1.0f32;
    let mut operators = Vec::new();
    for _ in 0..MAX_STEPS {
        let mut readers = graph
            .node
            .iter()
            .filter(|node| node.input.iter().any(|input| input == at));
        let (Some(node), None) = (readers.next(), readers.next()) else {
            break;
        };
        let values = node.input.iter().find_map(constant);
        match (node.op_type.as_str(), values) {
            ("Mul", Some(values)) => factor *= largest(&values),
            ("Div", Some(values)) if node.input.first().is_some_and(|x| x == at) => {
                factor /= smallest(&values);
            }
            ("Add" | "Sub", Some(_)) => {}
            ("Cast" | "Identity" | "Transpose" | "Unsqueeze" | "Squeeze", _) => {
                at = node.output.first()?;
                continue;
            }
            _ => break,
        }
        operators.push(node.op_type.as_str());
        at = node.output.first()?;
    }
    let pixel_most = match factor {
        _ if operators.is_empty() || !factor.is_finite() || factor <= 0.0 => return None,
        _ if factor < MAX_BYTES_FACTOR => 255.0,
        _ if factor > MIN_UNIT_FACTOR => 1.0,
        _ => return None,
    };
    Some(Scaling {
        pixel_most,
        operators: operators.join(" "),
    })
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, value| most.max(value.abs()))
}

fn smallest(values: &[f32]) -> f32 {
    values
        .iter()
        .fold(f32::INFINITY, |least, value| least.min(value.abs()))
}

/// The values of a float tensor with one or three.
fn few_values(tensor: &TensorProto) -> Option<Vec<f32>> {
    let count = tensor
        .dims
        .iter()
        .try_fold(1i64, |n, d| n.checked_mul(*d))?;
    let is_float = tensor.data_type == DataType::Float as i32;
    if !is_float || !matches!(count, 1 | 3) {
        return None;
    }
    values_f32(tensor).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tract_onnx::pb::{NodeProto, ValueInfoProto};

    /// A graph that begins with these operators on these constants (no constants: an operator with one input).
    fn begins_with(operators: &[(&str, &[f32])]) -> GraphProto {
        let mut graph = GraphProto::default();
        graph.input.push(ValueInfoProto {
            name: "x0".into(),
            ..ValueInfoProto::default()
        });
        for (at, (op_type, values)) in operators.iter().enumerate() {
            let mut input = vec![format!("x{at}")];
            if !values.is_empty() {
                input.push(format!("c{at}"));
                graph.initializer.push(TensorProto {
                    name: format!("c{at}"),
                    dims: vec![1, values.len() as i64, 1, 1],
                    data_type: DataType::Float as i32,
                    raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
                    ..TensorProto::default()
                });
            }
            graph.node.push(NodeProto {
                op_type: (*op_type).into(),
                input,
                output: vec![format!("x{}", at + 1)],
                ..NodeProto::default()
            });
        }
        graph
    }

    #[test]
    fn the_pixels_that_a_network_wants_are_seen_in_what_it_does_to_them() {
        let of = |operators: &[(&str, &[f32])]| of(&begins_with(operators)).map(|s| s.pixel_most);
        let rescaling: &[(&str, &[f32])] = &[
            ("Cast", &[]),
            ("Mul", &[1.0 / 127.5]),
            ("Add", &[-1.0]),
            ("Conv", &[]),
        ];
        assert_eq!(of(rescaling), Some(255.0));
        let keras: &[(&str, &[f32])] = &[
            ("Mul", &[1.0 / 255.0]),
            ("Sub", &[0.485, 0.456, 0.406]),
            ("Div", &[0.229, 0.224, 0.225]),
        ];
        assert_eq!(of(keras), Some(255.0));
        let wrapped: &[(&str, &[f32])] = &[
            ("Sub", &[0.485, 0.456, 0.406]),
            ("Div", &[0.229, 0.224, 0.225]),
            ("Conv", &[]),
        ];
        assert_eq!(of(wrapped), Some(1.0));
        assert_eq!(of(&[("Mul", &[2.0]), ("Sub", &[1.0])]), Some(1.0));
        // From one normalisation to another.
        let moved: &[(&str, &[f32])] = &[("Mul", &[0.458, 0.448, 0.45]), ("Add", &[-0.03])];
        assert_eq!(of(moved), None);
        // Nothing, a layer first, a learned normalisation, weights.
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("Conv", &[]), ("Mul", &[0.1])]), None);
        assert_eq!(of(&[("BatchNormalization", &[1.0])]), None);
        assert_eq!(of(&[("Mul", &[1.0, 2.0])]), None);
        assert_eq!(of(&[("Mul", &[0.0])]), None);
    }

    #[test]
    fn a_picture_that_two_layers_read_is_none_that_one_of_them_scales() {
        let mut graph = begins_with(&[("Mul", &[1.0 / 255.0])]);
        let mut other = graph.node[0].clone();
        other.output = vec!["y".into()];
        graph.node.push(other);
        assert_eq!(of(&graph), None);
    }
}
