//! Weights that a file computes in its graph from constants become constants before anything else looks at the graph: NFNet and
//! BiT standardise theirs so. What only moves values (Reshape, Transpose, ...) is followed on the way, but stays a node where its
//! result is read: every planner knows it, and many names may share one tensor.
//!
//! What a file may ask for is limited by the size of its own weights; what lies beyond stays in the graph as it is.

use super::fold::{COMPUTES, LEADS, fold, shape_of};
use super::growth::most;
use crate::network::onnx::constant::{Const, Data};
use crate::network::onnx::{attributes, budget, inner_graphs, is_standard, read_counts, reads};
use crate::network::rewrite::forms;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

/// For each value of the file's own weights: values that may be read and made. NFNet, by PyTorch's dynamo exporter, takes 16.
const WORK: usize = 32;
/// For each of them: values that may be kept at a time.
const KEPT: usize = 4;
/// Values for which a file of small weights may ask too: 4 million.
const SMALL: usize = 1 << 22;

/// Computes the constants of a model; the error says what one of them makes impossible.
pub fn settle(model: &mut ModelProto) -> Result<(), String> {
    let opset = forms::opset(model);
    let Some(graph) = model.graph.as_mut() else {
        return Ok(());
    };
    let plan = Plan::of(graph, opset);
    if !plan.makes.contains(&true) {
        return Ok(());
    }
    let mut settle = Settle::new(graph, opset);
    for (at, (&needed, &makes)) in plan.needed.iter().zip(&plan.makes).enumerate() {
        if needed {
            settle.node(at, makes);
        }
    }
    if !settle.put_back() {
        return Ok(());
    }
    // Weights that were not known when the file was checked.
    budget::check(graph)
}

/// The type of a constant.
#[derive(Clone, Copy, PartialEq)]
enum Type {
    Float,
    Byte,
    /// 64-bit integers.
    Whole,
    /// Truth values, and types that are computed as another one.
    Other,
}

/// The nodes that depend on constants alone.
struct Plan {
    /// Their results are to become constants.
    makes: Vec<bool>,
    /// Those, and what they depend on.
    needed: Vec<bool>,
}

impl Plan {
    fn of(graph: &GraphProto, opset: i64) -> Self {
        let output: HashSet<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
        let mut fixed: HashMap<&str, Type> = HashMap::new();
        for tensor in &graph.initializer {
            match DataType::try_from(tensor.data_type) {
                Ok(DataType::Float) => fixed.insert(&tensor.name, Type::Float),
                Ok(DataType::Int64) => fixed.insert(&tensor.name, Type::Whole),
                Ok(DataType::Int8 | DataType::Uint8) => fixed.insert(&tensor.name, Type::Byte),
                _ => None,
            };
        }
        let mut makes = vec![false; graph.node.len()];
        let mut follows = vec![false; graph.node.len()];
        for (at, node) in graph.node.iter().enumerate() {
            let op = node.op_type.as_str();
            let (computes, leads) = (COMPUTES.contains(&op), LEADS.contains(&op));
            let Some(result) = node.output.first().filter(|_| computes || leads) else {
                continue;
            };
            let read = inputs(node, opset);
            let known = read.iter().map(|name| fixed.get(name.as_str()).copied());
            let Some(types) = known.collect::<Option<Vec<Type>>>() else {
                continue;
            };
            // A name that exists is a file's fault: whose value it is depends on the reader.
            let fresh = !fixed.contains_key(result.as_str()) && !output.contains(result.as_str());
            if !is_standard(node)
                || !fresh
                || read.is_empty()
                || inner_graphs(node).next().is_some()
            {
                continue;
            }
            let of = match op {
                "Cast" if attributes::int(node, "to", 0) == 1 => Type::Float,
                "ConstantOfShape" => type_of_value(node),
                "Shape" => Type::Whole,
                "Cast" if attributes::int(node, "to", 0) == 7 => Type::Whole,
                "Cast" | "Equal" | "Less" => Type::Other,
                "Where" => types.get(1).copied().unwrap_or(Type::Other),
                _ => types[0],
            };
            fixed.insert(result, of);
            follows[at] = true;
            makes[at] = match of {
                Type::Float => computes,
                Type::Byte => op == "Clip",
                Type::Whole => op == "Range",
                Type::Other => false,
            };
        }
        let mut needed = makes.clone();
        let mut names: HashSet<&str> = HashSet::new();
        for (at, node) in graph.node.iter().enumerate().rev() {
            let read = node
                .output
                .first()
                .is_some_and(|o| names.contains(o.as_str()));
            needed[at] |= follows[at] && read;
            if needed[at] {
                names.extend(inputs(node, opset).iter().map(String::as_str));
            }
        }
        Self { makes, needed }
    }
}

/// The type of what a ConstantOfShape repeats.
fn type_of_value(node: &NodeProto) -> Type {
    let value = attributes::attribute(node, "value").and_then(|a| a.t.as_ref());
    match value.map(|t| DataType::try_from(t.data_type)) {
        None | Some(Ok(DataType::Float)) => Type::Float,
        Some(Ok(DataType::Int64)) => Type::Whole,
        Some(Ok(DataType::Int8 | DataType::Uint8)) => Type::Byte,
        Some(_) => Type::Other,
    }
}

/// The inputs on which a node's result depends: in training mode, a normalisation does not read the file's statistics.
fn inputs(node: &NodeProto, opset: i64) -> &[String] {
    if node.op_type == "BatchNormalization" && forms::in_training(node, opset) {
        return node.input.get(..3).unwrap_or_default();
    }
    &node.input
}

struct Settle<'a> {
    opset: i64,
    graph: &'a mut GraphProto,
    /// Where each constant of the file is.
    weights: HashMap<String, usize>,
    /// The nodes that computed values, by the names of these.
    makers: HashMap<String, usize>,
    /// Computed values that something reads.
    computed: HashMap<String, Rc<Const>>,
    /// Those of them that are to become constants, in order.
    results: Vec<String>,
    /// The number of readers of each value.
    readers: HashMap<String, usize>,
    /// Nodes that are not needed any more.
    gone: Vec<bool>,
    work_left: usize,
    kept: usize,
    kept_most: usize,
}

impl<'a> Settle<'a> {
    fn new(graph: &'a mut GraphProto, opset: i64) -> Self {
        let weights = graph.initializer.iter().enumerate();
        let weights = weights.map(|(at, t)| (t.name.clone(), at)).collect();
        let readers = read_counts(&graph.node, &graph.output);
        let values = graph.initializer.iter().map(count);
        let values = values.fold(0, usize::saturating_add);
        Self {
            opset,
            weights,
            makers: HashMap::new(),
            computed: HashMap::new(),
            results: Vec::new(),
            readers,
            gone: vec![false; graph.node.len()],
            graph,
            work_left: values.saturating_mul(WORK).saturating_add(SMALL),
            kept: 0,
            kept_most: values.saturating_mul(KEPT).saturating_add(SMALL),
        }
    }

    /// Computes a node, if that is possible within the limits.
    fn node(&mut self, at: usize, makes: bool) {
        let node = &self.graph.node[at];
        let statistics = node.output.iter().skip(1);
        if statistics.clone().any(|o| self.readers.contains_key(o)) {
            return;
        }
        let Some(result) = node.output.first().cloned() else {
            return;
        };
        let gives_whole = node.op_type == "Range";
        let Some(computed) = self.compute(at) else {
            return;
        };
        let kept = self.kept.saturating_add(computed.len());
        let is_whole = matches!(computed.data, Data::I64(_));
        if kept > self.kept_most || (makes && is_whole && !gives_whole) {
            return;
        }
        self.kept = kept;
        self.computed.insert(result.clone(), Rc::new(computed));
        self.makers.insert(result.clone(), at);
        if makes {
            self.results.push(result);
            self.remove(at);
        }
    }

    fn compute(&mut self, at: usize) -> Option<Const> {
        let node = &self.graph.node[at];
        let names = inputs(node, self.opset);
        if node.op_type == "Shape" {
            let dims = match self.computed.get(&names[0]) {
                Some(computed) => computed.dims.clone(),
                None => {
                    let tensor = &self.graph.initializer[*self.weights.get(&names[0])?];
                    let size = |&d: &i64| usize::try_from(d).ok();
                    tensor.dims.iter().map(size).collect::<Option<_>>()?
                }
            };
            return shape_of(node, &dims).ok();
        }
        let mut read: Vec<Rc<Const>> = Vec::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            let before = names[..at].iter().position(|n| n == name);
            read.push(match (before, self.computed.get(name)) {
                (Some(before), _) => Rc::clone(&read[before]),
                (None, Some(made)) => Rc::clone(made),
                (None, None) => {
                    let tensor = &self.graph.initializer[*self.weights.get(name)?];
                    self.work_left = self.work_left.checked_sub(count(tensor))?;
                    Rc::new(Const::read(tensor.clone()).ok()?)
                }
            });
        }
        let most = most(node, &read);
        // The only two that take much longer than reading a value.
        let each = match node.op_type.as_str() {
            "Exp" | "Pow" => 8,
            _ => 1,
        };
        let made = most.saturating_mul(each);
        let all = read.iter().fold(made, |n, c| n.saturating_add(c.len()));
        self.work_left = self.work_left.checked_sub(all)?;
        fold(node, &read, self.opset).ok()?
    }

    /// Removes a node, and what nothing else reads.
    fn remove(&mut self, at: usize) {
        let mut open = vec![at];
        while let Some(at) = open.pop() {
            self.gone[at] = true;
            for name in reads(&self.graph.node[at]) {
                let Some(left) = self.readers.get_mut(name) else {
                    continue;
                };
                *left = left.saturating_sub(1);
                if *left > 0 {
                    continue;
                }
                if let Some(computed) = self.computed.remove(name) {
                    self.kept -= computed.len();
                    let maker = self.makers.get(name).filter(|m| !self.gone[**m]);
                    open.extend(maker);
                } else if let Some(&weight) = self.weights.get(name) {
                    self.graph.initializer[weight] = TensorProto::default();
                }
            }
        }
    }

    /// Makes the results constants of the graph; whether there are any.
    fn put_back(mut self) -> bool {
        if self.results.is_empty() {
            return false;
        }
        let readers = &self.readers;
        let read = |name: &String| readers.get(name).is_some_and(|&left| left > 0);
        self.graph.initializer.retain(|t| read(&t.name));
        for name in self.results {
            if let Some(computed) = self.computed.remove(&name) {
                self.graph.initializer.push(computed.tensor(&name, None));
            }
        }
        let mut gone = self.gone.into_iter();
        self.graph.node.retain(|_| gone.next() != Some(true));
        true
    }
}

/// About as many values as a tensor of floats holds.
fn count(tensor: &TensorProto) -> usize {
    let lists = tensor.float_data.len() + tensor.int64_data.len();
    tensor.raw_data.len() / 4 + lists
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::network::onnx::attributes::{of_int, of_ints};
    use crate::network::onnx::{float_tensor, int64_tensor, test_node, value_info, values_f32};
    use tract_onnx::pb::AttributeProto;

    fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
        test_node(op, inputs, &[output], &attribute)
    }

    fn settled(nodes: Vec<NodeProto>, weights: Vec<TensorProto>) -> GraphProto {
        let output = nodes.last().unwrap().output[0].clone();
        let graph = GraphProto {
            node: nodes,
            initializer: weights,
            output: vec![value_info(&output, 1, &[1])],
            ..GraphProto::default()
        };
        let mut model = ModelProto {
            graph: Some(graph),
            ..ModelProto::default()
        };
        settle(&mut model).unwrap();
        model.graph.unwrap()
    }

    fn ops(graph: &GraphProto) -> Vec<&str> {
        graph.node.iter().map(|n| n.op_type.as_str()).collect()
    }

    fn names(graph: &GraphProto) -> Vec<&str> {
        graph.initializer.iter().map(|t| t.name.as_str()).collect()
    }

    #[test]
    fn weights_are_computed_and_what_they_were_computed_from_goes() {
        let weights = vec![
            float_tensor("w", &[2, 3, 1, 1], vec![1., 2., 3., 4., 6., 8.]),
            int64_tensor("rows", &[3], vec![1, 2, -1]),
            int64_tensor("back", &[4], vec![2, 3, 1, 1]),
            float_tensor("two", &[], vec![2.]),
        ];
        let over = || vec![of_ints("axes", &[2]), of_int("keepdims", 1)];
        let graph = settled(
            vec![
                node("Reshape", &["w", "rows"], "r", vec![]),
                node("ReduceMean", &["r"], "m", over()),
                node("Sub", &["r", "m"], "o", vec![]),
                node("Mul", &["o", "two"], "s", vec![]),
                node("Reshape", &["s", "back"], "k", vec![]),
                node("Conv", &["x", "k"], "y", vec![]),
                node("Mul", &["y", "two"], "z", vec![]),
            ],
            weights,
        );
        assert_eq!(ops(&graph), ["Reshape", "Conv", "Mul"]);
        assert_eq!(names(&graph), ["back", "two", "s"]);
        let computed = graph.initializer.last().unwrap();
        assert_eq!(computed.dims, [1, 2, 3]);
        assert_eq!(values_f32(computed).unwrap(), [-2., 0., 2., -4., 0., 4.]);
    }

    #[test]
    fn every_move_that_can_be_computed_leads_to_what_is() {
        let weights = vec![
            float_tensor("w", &[2], vec![1., 2.]),
            int64_tensor("axis", &[1], vec![1]),
            int64_tensor("from", &[], vec![3]),
            int64_tensor("to", &[], vec![1]),
            int64_tensor("by", &[], vec![-1]),
        ];
        let graph = settled(
            vec![
                node("Unsqueeze", &["w", "axis"], "u", vec![]),
                node("Mul", &["u", "u"], "m", vec![]),
                node("Range", &["from", "to", "by"], "r", vec![]),
                node("Gather", &["x", "r"], "g", vec![]),
                node("Add", &["g", "m"], "y", vec![]),
            ],
            weights,
        );
        assert_eq!(ops(&graph), ["Gather", "Add"]);
        assert_eq!(names(&graph), ["m", "r"]);
        assert_eq!(values_f32(&graph.initializer[0]).unwrap(), [1., 4.]);
        assert_eq!(graph.initializer[0].dims, [2, 1]);
        let range = Const::read(graph.initializer[1].clone()).unwrap();
        assert_eq!((range.dims.clone(), range.ints()), (vec![2], vec![3, 2]));
        assert_eq!(graph.initializer[1].data_type, DataType::Int64 as i32);
    }

    #[test]
    fn what_is_read_elsewhere_moved_or_random_stays() {
        let weights = || {
            vec![
                float_tensor("w", &[2], vec![1., 2.]),
                int64_tensor("n", &[1], vec![2]),
            ]
        };
        // Moves alone, whole numbers, and the scores themselves.
        for nodes in [
            vec![
                node("Identity", &["w"], "i", vec![]),
                node("Add", &["x", "i"], "y", vec![]),
            ],
            vec![
                node("Mul", &["n", "n"], "m", vec![]),
                node("Reshape", &["x", "m"], "y", vec![]),
            ],
            vec![node("Add", &["w", "w"], "y", vec![])],
            vec![
                node("RandomNormalLike", &["w"], "r", vec![]),
                node("Mul", &["r", "w"], "y", vec![]),
            ],
        ] {
            let before = ops(&GraphProto {
                node: nodes.clone(),
                ..GraphProto::default()
            })
            .join(" ");
            let graph = settled(nodes, weights());
            assert_eq!(ops(&graph).join(" "), before);
            assert_eq!(names(&graph), ["w", "n"]);
        }
        // A name that exists already, and sizes that do not fit, are left to those who refuse them.
        let graph = settled(
            vec![
                node("Add", &["w", "w"], "w", vec![]),
                node("Mul", &["x", "w"], "y", vec![]),
            ],
            weights(),
        );
        assert_eq!(ops(&graph), ["Add", "Mul"]);
        let three = float_tensor("three", &[3], vec![0.; 3]);
        let graph = settled(
            vec![
                node("Add", &["w", "three"], "a", vec![]),
                node("Mul", &["x", "a"], "y", vec![]),
            ],
            [weights(), vec![three]].concat(),
        );
        assert_eq!(ops(&graph), ["Add", "Mul"]);
    }

    #[test]
    fn a_small_file_does_not_get_much_memory_or_time() {
        let weights = || {
            vec![
                float_tensor("p", &[1000, 1], vec![1.; 1000]),
                float_tensor("q", &[1, 1000], vec![1.; 1000]),
                int64_tensor("huge", &[2], vec![1 << 31, 1 << 31]),
            ]
        };
        // A million products each, all of them read.
        let mut nodes = Vec::new();
        for at in 0..500 {
            nodes.push(node("Mul", &["p", "q"], &format!("m{at}"), vec![]));
        }
        for at in 0..500 {
            let product = format!("m{at}");
            nodes.push(node("MatMul", &["x", &product], &format!("y{at}"), vec![]));
        }
        let graph = settled(nodes, weights());
        let computed: usize = graph.initializer.iter().map(count).sum();
        assert!(computed <= SMALL + 2 * KEPT * 2000, "{computed}");
        assert!(ops(&graph).contains(&"Mul"));
        // Read by nothing but the next: kept no longer than needed, but not computed without end either.
        let mut nodes = vec![node("Mul", &["p", "q"], "m0", vec![])];
        for at in 0..500 {
            let (from, to) = (format!("m{at}"), format!("m{}", at + 1));
            nodes.push(node("Mul", &[&from, "p"], &to, vec![]));
        }
        nodes.push(node("MatMul", &["x", "m500"], "y", vec![]));
        let left = ops(&settled(nodes, weights())).len();
        assert!((490..=501).contains(&left), "{left}");
        let graph = settled(
            vec![
                node("Expand", &["p", "huge"], "e", vec![]),
                node("Sqrt", &["e"], "s", vec![]),
                node("MatMul", &["x", "s"], "y", vec![]),
            ],
            weights(),
        );
        assert_eq!(ops(&graph), ["Expand", "Sqrt", "MatMul"]);
    }
}
