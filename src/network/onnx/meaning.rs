//! Whether a network's scores are probabilities: walks back from its output over what keeps that meaning to a Softmax or a Sigmoid.

use super::attributes::attribute;
use super::few::Few;
use super::{float_tensor, shape_of};
use std::cell::Cell;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto};

/// Number of operators to look at: a file may hold a chain of thousands, a cycle, or sums of sums.
const MAX_STEPS: usize = 256;
/// Exporters add so much against a logarithm of 0.
const SMALL: f32 = 1e-3;

/// Operators that only move values.
const MOVES: [&str; 6] = [
    "Cast",
    "Flatten",
    "Identity",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
];

/// Scores that are probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct Probabilities {
    /// The operators that make them: `Softmax`.
    pub operator: String,
    /// What a Softmax's add up to: 100 for percentages.
    pub total: f32,
    /// Whether they are probabilities of classes that exclude each other.
    adds_up: bool,
}

impl Probabilities {
    fn of(operator: &str, adds_up: bool) -> Self {
        Self {
            operator: operator.to_owned(),
            total: 1.0,
            adds_up,
        }
    }

    fn times(self, factor: f32) -> Self {
        let total = self.total * factor;
        Self { total, ..self }
    }

    /// Whether they are from 0 to 1.
    pub fn is_of_one(&self) -> bool {
        (self.total - 1.0).abs() <= SMALL
    }
}

/// The probabilities that `graph` gives, if it gives some.
pub fn probabilities(graph: &GraphProto) -> Option<Probabilities> {
    let walk = Walk {
        few: Few::of(graph),
        steps: Cell::new(MAX_STEPS),
    };
    walk.back_from(&graph.output.first()?.name)
}

/// Divides percentages, and sums of several Softmax, so that they are probabilities from 0 to 1.
pub fn to_one(graph: &mut GraphProto) {
    let Some(found) = probabilities(graph).filter(|p| p.adds_up && !p.is_of_one()) else {
        return;
    };
    let (Some(output), true) = (graph.output.first_mut(), found.total > SMALL) else {
        return;
    };
    if !matches!(shape_of(output), Some((DataType::Float, _))) {
        return;
    }
    let name = std::mem::take(&mut output.name);
    let (of_one, factor) = (format!("{name}/of one"), format!("{name}/to one"));
    output.name.clone_from(&of_one);
    graph
        .initializer
        .push(float_tensor(&factor, &[1], vec![found.total.recip()]));
    graph.node.push(NodeProto {
        op_type: "Mul".to_owned(),
        name: of_one.clone(),
        input: vec![name, factor],
        output: vec![of_one],
        ..NodeProto::default()
    });
}

struct Walk<'a> {
    few: Few<'a>,
    steps: Cell<usize>,
}

impl<'a> Walk<'a> {
    fn back_from(&self, mut name: &'a str) -> Option<Probabilities> {
        let mut factor = 1.0;
        loop {
            self.steps.set(self.steps.get().checked_sub(1)?);
            let node = self.few.producer(name)?;
            let found =
                |operator: &str, adds_up| Some(Probabilities::of(operator, adds_up).times(factor));
            match node.op_type.as_str() {
                operator @ ("Softmax" | "QLinearSoftmax") => return found(operator, true),
                operator @ ("Sigmoid" | "QLinearSigmoid" | "HardSigmoid") => {
                    return found(operator, false);
                }
                "Div" if self.is_share(node) => return found("Exp ReduceSum Div", true),
                "Exp" => {
                    let log = self.few.behind(node.input.first()?, &MOVES)?;
                    return (log.op_type == "LogSoftmax").then(|| found("LogSoftmax Exp", true))?;
                }
                "Cast" | "Clip" | "DequantizeLinear" | "Dropout" | "Flatten" | "Identity"
                | "QuantizeLinear" | "ReduceMean" | "GlobalAveragePool" | "Reshape" | "Slice"
                | "Squeeze" | "Transpose" | "Unsqueeze" => name = node.input.first()?,
                _ => {
                    let (next, times) = match self.with_constant(node) {
                        Some(next) => next?,
                        None => return Some(self.of_several(node)?.times(factor)),
                    };
                    (name, factor) = (next, factor * times);
                }
            }
        }
    }

    /// The other operand of a sum or product with one constant, and the factor on it: `Some(None)` if it keeps no probabilities.
    #[allow(
        clippy::option_option,
        reason = "no constant, or one that ends the walk"
    )]
    fn with_constant(&self, node: &'a NodeProto) -> Option<Option<(&'a str, f32)>> {
        let [x, y] = node.input.as_slice() else {
            return None;
        };
        let (x, y) = (x.as_str(), y.as_str());
        let (other, constant, is_second) = match (self.few.is_constant(x), self.few.is_constant(y))
        {
            (false, true) => (x, y, true),
            (true, false) => (y, x, false),
            _ => return None,
        };
        let value = self.few.one(constant);
        Some(value.and_then(|value| match node.op_type.as_str() {
            "Mul" if value > 0.0 => Some((other, value)),
            "Div" if is_second && value > 0.0 => Some((other, value.recip())),
            "Add" if value.abs() <= SMALL => Some((other, 1.0)),
            "Sub" if is_second && value.abs() <= SMALL => Some((other, 1.0)),
            "Max" | "Min" => Some((other, 1.0)),
            _ => None,
        }))
    }

    /// The sum or mean of probabilities, as of several networks.
    fn of_several(&self, node: &'a NodeProto) -> Option<Probabilities> {
        let is_mean = node.op_type == "Mean";
        if !is_mean && !matches!(node.op_type.as_str(), "Add" | "Sum") {
            return None;
        }
        let mut all = node.input.iter().map(|name| self.back_from(name));
        let first = all.next()??;
        let mut total = first.total;
        for one in all {
            total += one.filter(|one| one.adds_up == first.adds_up)?.total;
        }
        if is_mean {
            total /= node.input.len() as f32;
        }
        Some(Probabilities { total, ..first })
    }

    /// Whether a quotient is a value's share of the sum of all: a Softmax written out.
    fn is_share(&self, node: &'a NodeProto) -> bool {
        const NOT_NEGATIVE: [&str; 5] = ["Exp", "Relu", "Sigmoid", "Softmax", "Softplus"];
        let [part, whole] = node.input.as_slice() else {
            return false;
        };
        let is_part = |name: &String| self.few.producer(name);
        let Some(made) = is_part(part).filter(|n| NOT_NEGATIVE.contains(&n.op_type.as_str()))
        else {
            return false;
        };
        let mut at = whole;
        // The sum may be kept above 0.
        for _ in 0..4 {
            let Some(node) = self.few.producer(at) else {
                return false;
            };
            match node.op_type.as_str() {
                "ReduceSum" | "ReduceL1" => {
                    return node.input.first() == made.output.first();
                }
                "Add" | "Clip" | "Expand" | "Max" | "Unsqueeze" => {}
                _ => return false,
            }
            let Some(next) = node.input.first() else {
                return false;
            };
            at = next;
        }
        false
    }
}

/// Why the scores are no scores although they are one number per class: `ArgMax` gives the best class alone.
pub fn gives_class_alone(graph: &GraphProto) -> Option<String> {
    let last = Few::of(graph).behind(&graph.output.first()?.name, &MOVES)?;
    let operator = last.op_type.as_str();
    let given = match operator {
        "ArgMax" | "ArgMin" => "the number of the class",
        "TopK" if attribute(last, "axis").is_none_or(|a| a.i != 0) => "its best classes alone",
        _ => return None,
    };
    Some(format!(
        "gives {given} ({operator}) and not one score per class: export it without {operator}"
    ))
}
