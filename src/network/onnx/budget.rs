//! Limits on what a model may ask for, and the check that enforces them on a graph before any planner sees it. Each limit is far
//! above what image classifiers need; `models/README.md` lists them with their reasons.
//!
//! ```text
//! here        nodes, their inputs, windows, padding, weights that contradict a window, scores
//! census      the parts of a file, counted before it is read into memory
//! sizes       sizes of tensors (`graph::sizes`)
//! fold        folded constants (`lower::fold`)
//! arena       all activations together (`plan::arena`)
//! tract       sizes of tensors that tract makes (`tract::plan`)
//! time        of all that follows once a file's bytes are in memory (`deadline`)
//! ```

use super::attributes::{attribute, int, ints, text};
use super::constant::Const;
use super::{holds_at_most, inner_graphs, name_of};
use crate::network::graph::sizes::{MAX_VALUES, volume};
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// Nodes of a graph, subgraphs included, once functions are inlined. The largest classifiers have some thousands.
pub const MAX_NODES: usize = 16_384;
/// Inputs, or outputs, of one node. The widest Concat of a DenseNet has 65.
pub const MAX_ENDS: usize = 512;
/// Outputs of a graph. The one with the scores is searched for among them.
pub const MAX_OUTPUTS: usize = 64;
/// Axes of a tensor. Window attention uses 6 to 8.
pub const MAX_AXES: usize = 16;
/// Numbers in a list of sizes or axes; two per axis for padding.
pub const MAX_LIST: usize = 2 * MAX_AXES;
/// Largest kernel size, stride, dilation or padding along an axis: the longest side that a picture may have.
pub const MAX_SIDE: usize = 4096;
/// Groups of a convolution. The widest depthwise ones have some thousands.
pub const MAX_GROUPS: i64 = 16_384;
/// Scores: the largest `class_count` of a `model.toml`.
pub const MAX_SCORES: usize = 100_000;
/// Bytes of a model's weights in memory: the most that a protobuf message can hold.
pub const MAX_WEIGHTS_BYTES: u64 = 2 << 30;
/// Nesting depth of subgraphs.
pub const MAX_DEPTH: usize = 16;

/// Checks a repaired graph; the error names the node, what it asks for and the limit.
pub fn check(graph: &GraphProto) -> Result<(), String> {
    let mut left = MAX_NODES;
    Scope::of(graph, None).graph(0, &mut left)
}

/// Refuses more scores than the limit.
pub fn scores(count: usize) -> Result<(), String> {
    if count <= MAX_SCORES {
        return Ok(());
    }
    Err(format!(
        "gives {count} scores; {MAX_SCORES} is the limit: a classifier gives one score per class, 1xN"
    ))
}

/// A node's window, which must fit in its input.
pub struct Span {
    node: String,
    /// The input's name; the window covers its last axes.
    pub input: String,
    /// Per axis: size of the window, and padding of both sides together.
    sides: Vec<(i64, i64)>,
}

/// The windows of a checked graph that have explicit padding.
pub fn spans(graph: &GraphProto) -> Vec<Span> {
    let scope = Scope::of(graph, None);
    graph.node.iter().filter_map(|n| scope.span(n)).collect()
}

impl Span {
    /// Refuses an input of these sizes if the window is larger: tract would compute with part of the window.
    pub fn fits(&self, dims: &[usize]) -> Result<(), String> {
        let sizes = dims.iter().rev().zip(self.sides.iter().rev());
        for (&size, &(places, pads)) in sizes {
            let size = i64::try_from(size).unwrap_or(i64::MAX);
            if size.saturating_add(pads) < places {
                return Err(format!(
                    "the node '{}' has a window of {places} places on {size} and {pads} of padding: give it a larger picture",
                    self.node
                ));
            }
        }
        Ok(())
    }
}

/// A graph and what is known of its values.
struct Scope<'a> {
    graph: &'a GraphProto,
    weights: HashMap<&'a str, &'a TensorProto>,
    makers: HashMap<&'a str, &'a NodeProto>,
    /// The enclosing graph, whose values it can read.
    around: Option<&'a Scope<'a>>,
}

impl<'a> Scope<'a> {
    fn of(graph: &'a GraphProto, around: Option<&'a Scope<'a>>) -> Self {
        Self {
            graph,
            weights: crate::network::onnx::initializers(graph),
            makers: crate::network::onnx::producers(graph),
            around,
        }
    }

    fn graph(&self, depth: usize, left: &mut usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!(
                "has graphs inside of graphs, deeper than {MAX_DEPTH}; export it without branches"
            ));
        }
        for tensor in &self.graph.initializer {
            weights(tensor).map_err(|why| format!("has weights '{}' {why}", tensor.name))?;
        }
        if self.weights.contains_key("") {
            return Err("has weights without a name; export it again".into());
        }
        let inputs = self.graph.input.iter().map(|i| i.name.as_str());
        let mut names: HashSet<&str> = self.weights.keys().copied().chain(inputs).collect();
        for node in &self.graph.node {
            *left = left.checked_sub(1).ok_or_else(|| {
                format!(
                    "has more than {MAX_NODES} nodes, those of its functions included; simplify it (onnxsim), or export it again"
                )
            })?;
            self.node(node).map_err(|why| {
                let (name, operator) = (name_of(node), &node.op_type);
                format!("cannot be run: the node '{name}' ({operator}) {why}")
            })?;
            let results = node.output.iter().filter(|o| !o.is_empty());
            if let Some(twice) = results.into_iter().find(|o| !names.insert(o)) {
                return Err(format!(
                    "has two values named '{twice}': its file is damaged, export it again"
                ));
            }
            for inner in inner_graphs(node) {
                Scope::of(inner, Some(self)).graph(depth + 1, left)?;
            }
        }
        Ok(())
    }

    fn node(&self, node: &NodeProto) -> Result<(), String> {
        for (what, count) in [("inputs", node.input.len()), ("results", node.output.len())] {
            if count > MAX_ENDS {
                return Err(format!("has {count} {what}; {MAX_ENDS} is the limit"));
            }
        }
        let lists = ["axes", "pads", "perm", "shape"];
        let mut lists = node
            .attribute
            .iter()
            .filter(|a| lists.contains(&a.name.as_str()));
        if let Some(long) = lists.find(|a| a.ints.len() > MAX_LIST) {
            return Err(format!(
                "has {} numbers in its {}; {MAX_LIST} is the limit",
                long.ints.len(),
                long.name
            ));
        }
        for tensor in node
            .attribute
            .iter()
            .flat_map(|a| a.t.iter().chain(&a.tensors))
        {
            weights(tensor).map_err(|why| format!("has a constant {why}"))?;
        }
        match (node.domain.as_str(), node.op_type.as_str()) {
            ("" | "ai.onnx" | "com.microsoft", op) => match op {
                "Conv" | "ConvInteger" | "ConvTranspose" | "DeformConv" | "FusedConv" => {
                    self.convolution(node, 1)
                }
                "QLinearConv" => self.convolution(node, 3),
                "AveragePool" | "LpPool" | "MaxPool" | "MaxUnpool" | "QLinearAveragePool" => {
                    window(node, None)
                }
                "LRN" => match int(node, "size", 0) {
                    1.. => Ok(()),
                    size => Err(format!(
                        "has a size of {size}; 1 channel is the least: its file is damaged, export it again"
                    )),
                },
                "Pad" => self.pad(node),
                "Transpose" => order(node),
                "ConstantOfShape" => self.sizes(node, 0),
                "Expand" | "OneHot" | "Reshape" | "Tile" => self.sizes(node, 1),
                "Range" => self.range(node),
                "Resize" | "Upsample" => self.scales(node),
                "Slice" => (1..5).try_for_each(|at| self.values(node, at).map(drop)),
                "Squeeze" | "Unsqueeze" => self.values(node, 1).map(drop),
                _ if op.starts_with("Reduce") => self.values(node, 1).map(drop),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// A convolution whose weights are input `at`.
    fn convolution(&self, node: &NodeProto, at: usize) -> Result<(), String> {
        let groups = int(node, "group", 1);
        if !(1..=MAX_GROUPS).contains(&groups) {
            return Err(format!(
                "has a group of {groups}; 1 to {MAX_GROUPS} can be run"
            ));
        }
        let Some(dims) = node.input.get(at).and_then(|name| self.dims(name, 4)) else {
            return window(node, None);
        };
        let ([first, _, sides @ ..], true) = (dims, dims.iter().all(|&d| d > 0)) else {
            return Err(format!("has weights of {}", shape_text(dims)));
        };
        if let Some(kernel) = ints(node, "kernel_shape")
            && !kernel.is_empty()
            && kernel != sides
        {
            return Err(format!(
                "says kernel_shape {}, and its weights are {}: its file is damaged, export it again",
                shape_text(&kernel),
                shape_text(dims)
            ));
        }
        // Output channels, or input channels for ConvTranspose.
        if first % groups != 0 {
            return Err(format!(
                "has weights of {}, which {groups} groups do not divide",
                shape_text(dims)
            ));
        }
        window(node, Some(sides))
    }

    fn span(&self, node: &NodeProto) -> Option<Span> {
        let weights = match node.op_type.as_str() {
            "Conv" => self.dims(node.input.get(1)?, 4),
            "AveragePool" | "LpPool" | "MaxPool" => None,
            _ => return None,
        };
        if !matches!(text(node, "auto_pad"), "" | "NOTSET" | "VALID") {
            return None;
        }
        let own = ints(node, "kernel_shape").filter(|k| !k.is_empty());
        let kernel = own.or_else(|| Some(weights?.get(2..)?.to_vec()))?;
        let pads = ints(node, "pads").unwrap_or_default();
        let dilations = ints(node, "dilations").unwrap_or_default();
        let sides = kernel.iter().enumerate().map(|(i, &k)| {
            let at = |list: &[i64], i: usize, default| list.get(i).copied().unwrap_or(default);
            let both = at(&pads, i, 0) + at(&pads, i + kernel.len(), 0);
            ((k - 1) * at(&dilations, i, 1) + 1, both)
        });
        Some(Span {
            node: name_of(node).to_owned(),
            input: node.input.first()?.clone(),
            sides: sides.collect(),
        })
    }

    fn pad(&self, node: &NodeProto) -> Result<(), String> {
        let pads = match ints(node, "pads") {
            Some(pads) => Some(pads),
            None => self.values(node, 1)?,
        };
        let far = |p: &&i64| p.unsigned_abs() > MAX_SIDE as u64;
        match pads.iter().flatten().find(far) {
            Some(p) => Err(format!("pads by {p}; {MAX_SIDE} is the limit")),
            None => Ok(()),
        }
    }

    /// A result's constant sizes, or factors of them, from input `at`.
    fn sizes(&self, node: &NodeProto, at: usize) -> Result<(), String> {
        let own = ints(node, "shape").filter(|sizes| !sizes.is_empty());
        let sizes = match own {
            Some(sizes) => Some(sizes),
            None => self.values(node, at)?,
        };
        let Some(sizes) = sizes else {
            return Ok(());
        };
        // 0 and -1 stand for sizes that are determined elsewhere.
        let mut all = sizes.iter().map(|&d| d.max(1));
        let all = all.try_fold(1i64, i64::checked_mul);
        if all.is_some_and(|n| n <= MAX_VALUES as i64) {
            return Ok(());
        }
        Err(format!(
            "makes a tensor of {}; {MAX_VALUES} values are the limit",
            shape_text(&sizes)
        ))
    }

    fn range(&self, node: &NodeProto) -> Result<(), String> {
        let one = |at: usize| {
            let tensor = self.weight(node.input.get(at)?)?;
            let one = holds_at_most(tensor, 1).then(|| Const::read(tensor.clone()));
            let read = one?.ok()?;
            read.floats().first().copied()
        };
        let (Some(start), Some(end), Some(step)) = (one(0), one(1), one(2)) else {
            return Ok(());
        };
        let count = (end - start) / step;
        if count <= MAX_VALUES as f32 {
            return Ok(());
        }
        Err(format!(
            "counts from {start} to {end} by {step}; {MAX_VALUES} values are the limit"
        ))
    }

    /// Scales of a Resize. Whether its result is too large is checked once its input is known.
    fn scales(&self, node: &NodeProto) -> Result<(), String> {
        let of_attribute = attribute(node, "scales").map(|a| a.floats.clone());
        // After the region of interest since opset 11.
        let at = if node.input.len() > 2 { 2 } else { 1 };
        let tensor = node.input.get(at).and_then(|name| self.weight(name));
        if let Some(long) = tensor.filter(|t| !holds_at_most(t, MAX_LIST)) {
            return Err(format!(
                "has scales of {}; {MAX_LIST} are the limit",
                shape_text(&long.dims)
            ));
        }
        let of_input = tensor
            .filter(|t| t.data_type == DataType::Float as i32)
            .and_then(|t| crate::network::onnx::values_f32(t).ok());
        let scales = of_attribute.into_iter().chain(of_input).flatten();
        for scale in scales {
            if !(scale > 0.0 && scale <= MAX_SIDE as f32) {
                return Err(format!(
                    "scales by {scale}; it must be above 0, and {MAX_SIDE} is the limit"
                ));
            }
        }
        Ok(())
    }

    /// A constant of this graph or an enclosing one.
    fn weight(&self, name: &str) -> Option<&'a TensorProto> {
        let own = self.weights.get(name).copied();
        own.or_else(|| self.around.and_then(|around| around.weight(name)))
    }

    /// The shape of a constant, even if it is quantised; `steps` bounds the search in a file with a cycle.
    fn dims(&self, name: &str, steps: usize) -> Option<&'a [i64]> {
        if let Some(tensor) = self.weight(name) {
            return Some(&tensor.dims);
        }
        let node = self.makers.get(name)?;
        let same = ["Cast", "DequantizeLinear", "Identity", "QuantizeLinear"];
        if steps == 0 || !same.contains(&node.op_type.as_str()) {
            return None;
        }
        self.dims(node.input.first()?, steps - 1)
    }

    /// The sizes in a constant that is input `at`; the error says that they are too many.
    fn values(&self, node: &NodeProto, at: usize) -> Result<Option<Vec<i64>>, String> {
        let Some(tensor) = node.input.get(at).and_then(|name| self.weight(name)) else {
            return Ok(None);
        };
        if !holds_at_most(tensor, MAX_LIST) {
            return Err(format!(
                "has a list of {} sizes; {MAX_LIST} are the limit",
                shape_text(&tensor.dims)
            ));
        }
        let read = Const::read(tensor.clone());
        Ok(read.ok().map(|read| read.ints()))
    }
}

/// Kernel, strides, dilations and padding; `sides` are the kernel's size if the weights give it.
fn window(node: &NodeProto, sides: Option<&[i64]>) -> Result<(), String> {
    let lists = [
        ("kernel_shape", 1, 1),
        ("strides", 1, 1),
        ("dilations", 1, 1),
        ("pads", 0, 2),
        ("output_padding", 0, 1),
    ];
    let kernel = ints(node, "kernel_shape");
    let taps = sides.or(kernel.as_deref()).unwrap_or_default();
    let taps = taps.iter().try_fold(1i64, |n, &d| n.checked_mul(d));
    if taps.is_none_or(|n| n > MAX_VALUES as i64) {
        return Err("has a kernel of more values than a tensor may have".into());
    }
    let rank = sides.or(kernel.as_deref()).map(<[i64]>::len);
    let most = MAX_SIDE as i64;
    for (name, least, each) in lists {
        let own = ints(node, name);
        let list = match (name, sides) {
            ("kernel_shape", Some(sides)) => Some(sides),
            _ => own.as_deref(),
        };
        let Some(list) = list.filter(|l| !l.is_empty()) else {
            continue;
        };
        if let Some(value) = list.iter().find(|v| !(least..=most).contains(v)) {
            return Err(format!(
                "has {value} among its {name}; {least} to {most} can be run"
            ));
        }
        // A window without explicit sizes covers the whole input, or has computed weights.
        if rank.is_some_and(|rank| list.len() != rank * each) {
            return Err(format!(
                "has {} {name} for a kernel of {} sides",
                list.len(),
                rank.unwrap_or(0)
            ));
        }
    }
    Ok(())
}

/// A Transpose moves each axis once: tract makes huge tensors of other lists.
fn order(node: &NodeProto) -> Result<(), String> {
    let perm = ints(node, "perm").unwrap_or_default();
    let mut axes = perm.clone();
    axes.sort_unstable();
    if axes.iter().copied().eq(0..perm.len() as i64) {
        return Ok(());
    }
    Err(format!(
        "has a perm of {perm:?}, which is not a permutation of its axes: its file is damaged, export it again"
    ))
}

/// A constant with as many values as its shape says.
fn weights(tensor: &TensorProto) -> Result<(), String> {
    let dims = &tensor.dims;
    if dims.len() > MAX_AXES {
        return Err(format!("of {} axes; {MAX_AXES} is the limit", dims.len()));
    }
    let sizes: Option<Vec<usize>> = dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    // An empty axis counts as one, so that no partial product of the shape wraps either.
    let all = sizes.and_then(|sizes| {
        let least_one: Vec<usize> = sizes.iter().map(|&d| d.max(1)).collect();
        let all = volume(&least_one).ok()?;
        Some(if sizes.contains(&0) { 0 } else { all })
    });
    let count =
        all.ok_or_else(|| format!("of {} values; {MAX_VALUES} is the limit", shape_text(dims)))?;
    let (each, bits) = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) => (tensor.float_data.len(), 32),
        Ok(DataType::Double) => (tensor.double_data.len(), 64),
        Ok(DataType::Int64) => (tensor.int64_data.len(), 64),
        Ok(DataType::Int32) => (tensor.int32_data.len(), 32),
        Ok(DataType::Int8 | DataType::Uint8 | DataType::Bool) => (tensor.int32_data.len(), 8),
        // Rare types are checked where they are read.
        _ => return Ok(()),
    };
    let raw = tensor.raw_data.len();
    let held = if raw > 0 { raw / (bits / 8) } else { each };
    // A tensor without values is an outline, or is refused when it is read.
    let outline = raw == 0 && each == 0;
    if (held == count && raw.is_multiple_of(bits / 8)) || outline {
        return Ok(());
    }
    Err(format!(
        "that hold {held} values where their shape asks for {count}; export it again"
    ))
}

fn shape_text(dims: &[i64]) -> String {
    let dims: Vec<String> = dims.iter().map(i64::to_string).collect();
    dims.join("x")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::network::onnx::attributes::of_ints;
    use crate::network::onnx::test_node;

    #[test]
    fn a_transpose_moves_each_axis_once() {
        let check = |perm: &[i64]| {
            let order = of_ints("perm", perm);
            super::check(&GraphProto {
                node: vec![test_node("Transpose", &["x"], &["y"], &[order])],
                ..GraphProto::default()
            })
        };
        check(&[0, 2, 3, 1]).unwrap();
        check(&[]).unwrap();
        for perm in [[0, 1, 1, 2], [0, 2, 2, 3], [0, 1, 2, 77], [-1, 0, 1, 2]] {
            let why = check(&perm).unwrap_err();
            assert!(
                why.contains("the node 'y' (Transpose) has a perm of"),
                "{why}"
            );
        }
    }
}
