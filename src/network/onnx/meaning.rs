//! Whether a network's scores are probabilities: walks back from its output over what keeps that meaning to a Softmax or a Sigmoid.

use super::attributes::{attribute, of_int};
use super::few::Few;
use super::{float_tensor, set_elem_type, shape_of};
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
    /// Whether all of them are there.
    is_whole: bool,
}

impl Probabilities {
    fn of(operator: &str, adds_up: bool) -> Self {
        Self {
            operator: operator.to_owned(),
            total: 1.0,
            adds_up,
            is_whole: true,
        }
    }

    fn times(self, factor: f32) -> Self {
        let total = self.total * factor;
        Self { total, ..self }
    }

    /// Whether they add up to their total: those of all classes by a Softmax.
    pub fn adds_up(&self) -> bool {
        self.adds_up && self.is_whole
    }

    /// Whether they are from 0 to 1.
    pub fn is_of_one(&self) -> bool {
        (self.total - 1.0).abs() <= SMALL
    }
}

/// The probabilities that `graph` gives, if it gives some.
pub fn probabilities(graph: &GraphProto) -> Option<Probabilities> {
    probabilities_of(graph, &graph.output.first()?.name)
}

/// The probabilities in the value `name`, if it has some.
pub fn probabilities_of(graph: &GraphProto, name: &str) -> Option<Probabilities> {
    let walk = Walk {
        few: Few::of(graph),
        steps: Cell::new(MAX_STEPS),
    };
    walk.back_from(name)
}

/// Divides percentages, and sums of several Softmax, so that they are probabilities from 0 to 1.
pub fn to_one(graph: &mut GraphProto) {
    let Some(found) = probabilities(graph).filter(|p| p.adds_up && !p.is_of_one()) else {
        return;
    };
    let is_cast = ends_in_cast(graph);
    let (Some(output), true) = (graph.output.first_mut(), found.total > SMALL) else {
        return;
    };
    let kind = shape_of(output).map(|(kind, _)| kind);
    // Integers are whole percents, or bytes; those with a scale of their own are dequantised elsewhere.
    if kind != Some(DataType::Float) && !is_cast {
        return;
    }
    let mut name = std::mem::take(&mut output.name);
    let (of_one, factor) = (format!("{name}/of one"), format!("{name}/to one"));
    output.name.clone_from(&of_one);
    if kind != Some(DataType::Float) {
        set_elem_type(output, DataType::Float);
        let float = format!("{name}/float");
        graph.node.push(NodeProto {
            op_type: "Cast".to_owned(),
            name: float.clone(),
            input: vec![std::mem::replace(&mut name, float.clone())],
            output: vec![float],
            attribute: vec![of_int("to", DataType::Float as i64)],
            ..NodeProto::default()
        });
    }
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

fn ends_in_cast(graph: &GraphProto) -> bool {
    let moves = MOVES.into_iter().filter(|op| *op != "Cast");
    let moves: Vec<&str> = moves.collect();
    let output = graph.output.first();
    let last = output.and_then(|output| Few::of(graph).behind(&output.name, &moves));
    last.is_some_and(|last| last.op_type == "Cast")
}

struct Walk<'a> {
    few: Few<'a>,
    steps: Cell<usize>,
}

impl<'a> Walk<'a> {
    fn back_from(&self, mut name: &'a str) -> Option<Probabilities> {
        let (mut factor, mut is_whole) = (1.0, true);
        loop {
            self.steps.set(self.steps.get().checked_sub(1)?);
            let node = self.few.producer(name)?;
            let found = |operator: &str, adds_up| {
                let found = Probabilities::of(operator, adds_up).times(factor);
                Some(Probabilities { is_whole, ..found })
            };
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
                "Gather" | "Slice" | "Split" => (name, is_whole) = (node.input.first()?, false),
                "Cast" | "Clip" | "DequantizeLinear" | "Dropout" | "Flatten" | "Floor"
                | "Identity" | "QuantizeLinear" | "ReduceMean" | "GlobalAveragePool"
                | "Reshape" | "Round" | "Squeeze" | "Transpose" | "Unsqueeze" => {
                    name = node.input.first()?;
                }
                _ => {
                    let (next, times) = match self.with_constant(node) {
                        Some(next) => next?,
                        None => {
                            let several = self.of_several(node)?.times(factor);
                            let is_whole = is_whole && several.is_whole;
                            return Some(Probabilities {
                                is_whole,
                                ..several
                            });
                        }
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

    /// The sum or mean of probabilities, as of several networks; their product (a class, if there is an object); those of several
    /// heads side by side.
    fn of_several(&self, node: &'a NodeProto) -> Option<Probabilities> {
        let of = |name: &'a String| self.back_from(name);
        let mut all = node.input.iter();
        let first = of(all.next()?)?;
        let mut all = all.map(of);
        let is_near = |total: f32| (total - first.total).abs() <= SMALL * first.total;
        match node.op_type.as_str() {
            "Concat" => {
                let is_same = all.all(|one| one.is_some_and(|one| is_near(one.total)));
                (is_same && node.input.len() > 1).then_some(Probabilities {
                    adds_up: false,
                    ..first
                })
            }
            "Mul" => {
                let total = first.total * all.next()??.total;
                Some(Probabilities {
                    adds_up: false,
                    total,
                    ..first
                })
            }
            "Add" | "Sum" | "Mean" => {
                let mut total = first.total;
                for one in all {
                    total += one.filter(|one| one.adds_up == first.adds_up)?.total;
                }
                if node.op_type == "Mean" {
                    total /= node.input.len() as f32;
                }
                Some(Probabilities { total, ..first })
            }
            _ => None,
        }
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

/// Why the values of `output` are not scores although they are one number per class: `ArgMax` gives the best class alone.
pub fn gives_class_alone(graph: &GraphProto, output: &str) -> Option<String> {
    let last = Few::of(graph).behind(output, &MOVES)?;
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
