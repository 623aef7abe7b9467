//! Borders around element-wise operators: the result of such an operator does not depend on the order of the values, so they
//! cross in our own order and come back in it, and nothing is transposed.

use super::constants::Constants;
use super::parts::{Facts, Partial, Place};
use crate::network::onnx::reads;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::{GraphProto, NodeProto};

/// Element-wise operators with one operand, and those with two if the other operand is one constant.
const ELEMENTWISE: &[&str] = &[
    "Abs",
    "Acos",
    "Acosh",
    "Add",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "Cast",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "DequantizeLinear",
    "Div",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Log",
    "Max",
    "Min",
    "Mish",
    "Mul",
    "Neg",
    "PRelu",
    "Pow",
    "QuantizeLinear",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Sub",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
];

/// Keeps our order of values for exports that only element-wise nodes read, and for the imports that these produce.
pub fn keep_order(partial: &mut Partial, graph: &GraphProto, constants: &Constants, facts: &Facts) {
    let mut readers: HashMap<&str, Vec<&NodeProto>> = HashMap::new();
    for (node, place) in graph.node.iter().zip(&partial.places) {
        if matches!(place, Place::Outside { .. }) {
            for name in reads(node) {
                readers.entry(name).or_default().push(node);
            }
        }
    }
    let outputs: HashSet<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
    let imports = partial.graph.imports.iter();
    let chains = Chains {
        channels_first: imports
            .map(|b| (b.name.as_str(), b.channels_first))
            .collect(),
        partial,
        facts,
        readers,
        constants,
        outputs,
    };
    let mut kept = HashSet::new();
    for export in chains
        .partial
        .graph
        .exports
        .iter()
        .filter(|e| e.channels_first)
    {
        let mut seen = HashSet::new();
        if chains.kept(&export.name, &mut seen) {
            kept.extend(seen.into_iter().map(str::to_owned));
        }
    }
    let borders = &mut partial.graph;
    for border in borders.exports.iter_mut().chain(&mut borders.imports) {
        border.channels_first &= !kept.contains(&border.name);
    }
}

struct Chains<'a> {
    partial: &'a Partial,
    facts: &'a Facts,
    /// The imports, and whether each is in another order outside.
    channels_first: HashMap<&'a str, bool>,
    /// Outside nodes, indexed by the values that they read.
    readers: HashMap<&'a str, Vec<&'a NodeProto>>,
    constants: &'a Constants,
    outputs: HashSet<&'a str>,
}

impl<'a> Chains<'a> {
    /// Whether a value and everything that outside nodes derive from it may be in our order; `seen` collects their names.
    fn kept(&self, name: &'a str, seen: &mut HashSet<&'a str>) -> bool {
        let mut open = vec![name];
        while let Some(name) = open.pop() {
            if self.outputs.contains(name) {
                return false;
            }
            if !seen.insert(name) {
                continue;
            }
            for node in self.readers.get(name).map_or(&[][..], Vec::as_slice) {
                let [result] = &node.output[..] else {
                    return false;
                };
                let import = self.channels_first.get(result.as_str());
                if !self.elementwise(node, name) || import == Some(&false) {
                    return false;
                }
                open.push(result);
            }
        }
        true
    }

    fn elementwise(&self, node: &NodeProto, name: &str) -> bool {
        let dims = |name: &str| self.facts.get(name).map(|f| &f.dims);
        let single = |name: &String| {
            let dims = self.constants.dims(name);
            dims.is_some_and(|d| d.iter().all(|&n| n == 1))
        };
        let mut others = node.input.iter().filter(|i| *i != name && !i.is_empty());
        ELEMENTWISE.contains(&node.op_type.as_str())
            && others.all(single)
            && dims(name).is_some()
            && node.output.first().and_then(|o| dims(o)) == dims(name)
    }
}
