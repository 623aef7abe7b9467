//! Rewrites operators before anything else sees them: forms that the fast plan or tract 0.23.9 would compute differently from
//! their definition, without an error. A form that cannot be rewritten is refused by name.
//!
//! ```text
//! attention   Attention of vision networks
//! mod         activations, pools and transforms that tract misreads, layers in training mode
//! scope       what is known of the values of a graph and of those around it
//! remainders  Mod
//! norm        BatchNormalization in training mode
//! logarithms  logarithms of sums of exponentials
//! recurrent   RNN, GRU and LSTM that run backwards
//! old         what operators meant in opsets before 7
//! moves       Pad that crops, Resize whose scales give fractional sizes
//! integers    zero points that a file omits, weights quantised in blocks
//! channels    activations quantised with one scale per channel
//! ```
//!
//! What is added to a graph has names that begin with `eyelet/`, which no exporter gives.

mod attention;
mod channels;
mod integers;
mod logarithms;
mod moves;
mod norm;
mod old;
mod recurrent;
mod remainders;
mod scope;

pub use integers::KEEP_TYPE;
pub use norm::in_training;

use crate::network::onnx::attributes::{float, int, ints, of_int, of_ints, text};
use crate::network::onnx::{
    drop_unread_weights, float_tensor, holds_at_most, inner_graphs_mut, int64_tensor, is_standard,
    name_of, read_counts,
};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

/// Rewrites the nodes of a model, including those of subgraphs.
pub fn rewrite(model: &mut ModelProto) -> Result<(), String> {
    let opset = opset(model);
    if standard_opsets(model).any(|version| version != opset) {
        return Err(
            "states two opsets of the standard operators: its file is damaged, export it again"
                .into(),
        );
    }
    let channels_left = Cell::new(channels::MAX_CHANNELS);
    match &mut model.graph {
        Some(outer) => graph(outer, opset, &channels_left, None),
        None => Ok(()),
    }
}

/// The model's opset version of the standard operators.
pub fn opset(model: &ModelProto) -> i64 {
    standard_opsets(model).next().unwrap_or(1)
}

/// The domain of the standard operators has two names.
fn standard_opsets(model: &ModelProto) -> impl Iterator<Item = i64> + '_ {
    let standard = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let own = model.opset_import.iter();
    own.filter(move |o| standard(&o.domain)).map(|o| o.version)
}

/// Rewrites a graph, which may read what is known `around` it.
fn graph(
    graph: &mut GraphProto,
    opset: i64,
    channels_left: &Cell<usize>,
    around: Option<&Forms>,
) -> Result<(), String> {
    let defined = match around {
        Some(_) => scope::defined(graph),
        None => HashSet::new(),
    };
    let nodes = std::mem::take(&mut graph.node);
    let read = read_counts(&nodes, &graph.output);
    let initializers = std::mem::take(&mut graph.initializer);
    let mut forms = Forms {
        opset,
        around,
        defined,
        weights: initializers.iter().map(|t| (t.name.as_str(), t)).collect(),
        read: &read,
        types: integers::types_of(&initializers, &graph.input),
        ranks: graph
            .input
            .iter()
            .filter_map(|i| Some((i.name.clone(), channels::rank_of(i)?)))
            .collect(),
        fixed: HashSet::new(),
        scaled: HashMap::new(),
        loose: HashSet::new(),
        quantisers: HashMap::new(),
        channels_left,
        nodes: Vec::with_capacity(nodes.len()),
        new_constants: Vec::new(),
        folded: false,
    };
    for mut node in nodes {
        for inner in inner_graphs_mut(&mut node) {
            self::graph(inner, opset, channels_left, Some(&forms))?;
        }
        let name = name_of(&node).to_owned();
        let op = node.op_type.clone();
        let before = forms.nodes.len();
        forms
            .node(node)
            .map_err(|why| format!("cannot be run: the node '{name}' ({op}) {why}"))?;
        forms.remember_quantisers(before);
    }
    let Forms {
        mut nodes,
        new_constants,
        mut folded,
        loose,
        ..
    } = forms;
    if !loose.is_empty() {
        channels::tidy(&mut nodes, &graph.output, &loose);
        folded = true;
    }
    graph.node = nodes;
    graph.initializer = initializers;
    graph.initializer.extend(new_constants);
    if folded {
        drop_unread_weights(graph);
    }
    Ok(())
}

/// ONNX Runtime's own operators.
const MICROSOFT: &str = "com.microsoft";
/// Those of them that are the standard ones of the same name.
const SAME_OF_MICROSOFT: [&str; 7] = [
    "DequantizeLinear",
    "Gelu",
    "GridSample",
    "Pad",
    "QuantizeLinear",
    "Range",
    "Trilu",
];

struct Forms<'a> {
    opset: i64,
    /// The enclosing graph, whose values it can read.
    around: Option<&'a Forms<'a>>,
    /// The names that a graph inside of another one has for values of its own.
    defined: HashSet<String>,
    /// Constants of the graph itself, as are all the maps below: [`scope`] asks those around it too.
    weights: HashMap<&'a str, &'a TensorProto>,
    /// How many nodes read a value; one more if the graph outputs it.
    read: &'a HashMap<String, usize>,
    /// Integer types in a quantised graph.
    types: HashMap<String, DataType>,
    /// Numbers of axes, as far as they are known.
    ranks: HashMap<String, usize>,
    /// Values that depend on constants alone.
    fixed: HashSet<String>,
    /// Activations that are another one times a scale per channel.
    scaled: HashMap<String, channels::Scaled>,
    /// Results that may have lost their last reader.
    loose: HashSet<String>,
    /// Where the quantisations and dequantisations are among the nodes, by their results.
    quantisers: HashMap<String, usize>,
    /// Channels' scales that the file's graphs may still read.
    channels_left: &'a Cell<usize>,
    nodes: Vec<NodeProto>,
    new_constants: Vec<TensorProto>,
    /// Some constants have lost a reader.
    folded: bool,
}

impl Forms<'_> {
    fn node(&mut self, mut node: NodeProto) -> Result<(), String> {
        if node.domain == MICROSOFT && SAME_OF_MICROSOFT.contains(&node.op_type.as_str()) {
            node.domain.clear();
        }
        self.integer_types(&mut node)?;
        self.follow(&node);
        match node.op_type.as_str() {
            _ if !is_standard(&node) => {}
            "Attention" => return self.attention(&node),
            "BatchNormalization" if norm::in_training(&node, self.opset) => {
                return self.batch_norm(&node);
            }
            "Dropout" => self.dropout(&mut node)?,
            "Bernoulli" | "Multinomial" | "RandomNormal" | "RandomNormalLike" | "RandomUniform"
            | "RandomUniformLike" => {
                return Err("draws random numbers, so that no two runs would agree: export it after model.eval()".into());
            }
            "Add" | "Div" | "Mul" | "PRelu" | "Pow" | "Sub" if self.opset < 7 => {
                self.broadcast_before_opset_7(&mut node)?;
            }
            op if op.starts_with("Reduce") => {
                self.empty_axes(&mut node)?;
                if node.op_type == "ReduceLogSumExp" && self.log_sum_exp(&node) {
                    return Ok(());
                }
            }
            "LogSoftmax" => {
                self.log_softmax(&node);
                return Ok(());
            }
            "Celu" => return self.celu(&node),
            "Swish" => return self.swish(&node),
            "Mod" => {
                self.computed_dividend(&mut node);
                if int(&node, "fmod", 0) == 0 {
                    self.modulo(node);
                    return Ok(());
                }
            }
            "DFT" if self.opset >= 20 && input(&node, 2).is_empty() => {
                self.transform_axis(&mut node);
            }
            "AveragePool" | "LpPool" | "MaxPool" if is_dilated_same(&node) => {
                return Err(DILATED_SAME.into());
            }
            "RNN" | "GRU" | "LSTM" if self.is_backwards(&node) => {
                self.backwards(node);
                return Ok(());
            }
            "GlobalLpPool" => return self.global_lp_pool(&node),
            "LpPool" if int(&node, "ceil_mode", 0) != 0 => {
                return Err("rounds its size up (ceil_mode = 1), which is not supported: export it with ceil_mode = 0, and with pads \
                            for the last window"
                    .into());
            }
            "LpPool" => return self.lp_pool(&node),
            "Pad" => return self.pad(node),
            "Resize" => return self.resize(node),
            "DequantizeLinear" if int(&node, "block_size", 0) != 0 => {
                return self.blocks(node);
            }
            "QuantizeLinear" | "DequantizeLinear" if self.by_channels(&node) => return Ok(()),
            "Conv" => self.depthwise(&mut node),
            _ => {}
        }
        self.nodes.push(node);
        Ok(())
    }

    /// Dropout does nothing, except in training mode.
    fn dropout(&mut self, node: &mut NodeProto) -> Result<(), String> {
        if input(node, 2).is_empty() {
            return Ok(());
        }
        if self.ints(input(node, 2)) != Some(vec![0]) {
            return Err(
                "drops values at random: it was exported in training mode; export it after model.eval()"
                    .into(),
            );
        }
        node.input.truncate(1);
        Ok(())
    }

    /// An empty list of axes stands for all of them; our planner and tract take it for none.
    fn empty_axes(&mut self, node: &mut NodeProto) -> Result<(), String> {
        let given = self.weight(input(node, 1));
        let listed = ints(node, "axes").is_some_and(|axes| axes.is_empty());
        if !listed && !given.is_some_and(|axes| holds_at_most(axes, 0)) {
            return Ok(());
        }
        if int(node, "noop_with_empty_axes", 0) != 0 {
            return Err("reduces along no axis; export it without that node".into());
        }
        node.input.truncate(1);
        node.attribute.retain(|a| a.name != "axes");
        Ok(())
    }

    /// `Celu(x) = alpha * Elu(x / alpha)`; tract's omits the factor.
    fn celu(&mut self, node: &NodeProto) -> Result<(), String> {
        let alpha = float(node, "alpha", 1.0);
        if !(alpha.is_finite() && alpha > 0.0) {
            return Err(format!("has an alpha of {alpha}; it must be above 0"));
        }
        let out = output(node);
        let (scaled, bent) = (format!("eyelet/{out}.scaled"), format!("eyelet/{out}.elu"));
        let alpha = self.float(&format!("eyelet/{out}.alpha"), &[], vec![alpha]);
        self.push(node, "Div", &[input(node, 0), &alpha], &scaled, vec![]);
        self.push(node, "Elu", &[&scaled], &bent, vec![]);
        self.push(node, "Mul", &[&bent, &alpha], out, vec![]);
        Ok(())
    }

    /// `Swish(x) = x * Sigmoid(alpha * x)`; tract takes alpha as 1.
    fn swish(&mut self, node: &NodeProto) -> Result<(), String> {
        let alpha = float(node, "alpha", 1.0);
        let (x, out) = (input(node, 0), output(node));
        let (scaled, gate) = (format!("eyelet/{out}.scaled"), format!("eyelet/{out}.gate"));
        let mut inner = x;
        if alpha != 1.0 {
            let alpha = self.float(&format!("eyelet/{out}.alpha"), &[], vec![alpha]);
            self.push(node, "Mul", &[x, &alpha], &scaled, vec![]);
            inner = &scaled;
        }
        self.push(node, "Sigmoid", &[inner], &gate, vec![]);
        self.push(node, "Mul", &[x, &gate], out, vec![]);
        Ok(())
    }

    /// The axis of a DFT that states none is the one before the last; tract takes the second.
    fn transform_axis(&mut self, node: &mut NodeProto) {
        let axis = int64_tensor(&format!("eyelet/{}.axis", output(node)), &[], vec![-2]);
        node.input.resize(3, String::new());
        node.input[2] = self.constant(axis);
    }

    /// The norm of each channel. The rank is not known here: the values of a channel are flattened to one row.
    fn global_lp_pool(&mut self, node: &NodeProto) -> Result<(), String> {
        let p = int(node, "p", 2);
        let (x, out) = (input(node, 0), output(node));
        let part = |what: &str| format!("eyelet/{out}.{what}");
        let rows = int64_tensor(&part("rows"), &[3], vec![0, 0, -1]);
        let rows = self.constant(rows);
        self.push(node, "Reshape", &[x, &rows], &part("row"), vec![]);
        self.power(node, &part("row"), p, &part("power"));
        self.reduce(node, "ReduceSum", &part("power"), &[2], &part("sum"));
        self.root(node, &part("sum"), p, &part("norm"));
        self.push(node, "GlobalAveragePool", &[x], &part("like"), vec![]);
        self.push(node, "Shape", &[&part("like")], &part("shape"), vec![]);
        let ins = [part("norm"), part("shape")];
        self.push(node, "Reshape", &[&ins[0], &ins[1]], out, vec![]);
        Ok(())
    }

    /// The norm of each window: from the mean of powers, with padding counted as zeros.
    fn lp_pool(&mut self, node: &NodeProto) -> Result<(), String> {
        let p = int(node, "p", 2);
        let kernel = ints(node, "kernel_shape");
        let taps: i64 = kernel.map_or(1, |sides| sides.iter().product());
        let out = output(node);
        let part = |what: &str| format!("eyelet/{out}.{what}");
        self.power(node, input(node, 0), p, &part("power"));
        let mut attributes = node.attribute.clone();
        attributes.retain(|a| a.name != "p");
        attributes.push(of_int("count_include_pad", 1));
        let mean = part("mean");
        self.push(node, "AveragePool", &[&part("power")], &mean, attributes);
        let taps = self.float(&part("taps"), &[], vec![taps as f32]);
        self.push(node, "Mul", &[&mean, &taps], &part("sum"), vec![]);
        self.root(node, &part("sum"), p, out);
        Ok(())
    }

    /// `|x| ^ p`.
    fn power(&mut self, node: &NodeProto, x: &str, p: i64, out: &str) {
        match p {
            1 => self.push(node, "Abs", &[x], out, vec![]),
            2 => self.push(node, "Mul", &[x, x], out, vec![]),
            _ => {
                let absolute = format!("eyelet/{out}.absolute");
                self.push(node, "Abs", &[x], &absolute, vec![]);
                let p = self.float(&format!("eyelet/{out}.p"), &[], vec![p as f32]);
                self.push(node, "Pow", &[&absolute, &p], out, vec![]);
            }
        }
    }

    /// The `p`-th root of sums of powers.
    fn root(&mut self, node: &NodeProto, x: &str, p: i64, out: &str) {
        match p {
            1 => self.push(node, "Identity", &[x], out, vec![]),
            2 => self.push(node, "Sqrt", &[x], out, vec![]),
            _ => {
                let p = self.float(&format!("eyelet/{out}.root"), &[], vec![1.0 / p as f32]);
                self.push(node, "Pow", &[x, &p], out, vec![]);
            }
        }
    }

    /// A reduction over these axes, which keeps them as size 1.
    fn reduce(&mut self, node: &NodeProto, op: &str, x: &str, axes: &[i64], out: &str) {
        self.reduce_to(node, op, x, Some(axes), 1, out);
    }

    /// A reduction over these axes, or over all.
    fn reduce_to(
        &mut self,
        node: &NodeProto,
        op: &str,
        x: &str,
        axes: Option<&[i64]>,
        keepdims: i64,
        out: &str,
    ) {
        let by_input = self.opset >= if op == "ReduceSum" { 13 } else { 18 };
        let keep = of_int("keepdims", keepdims);
        match axes {
            None => self.push(node, op, &[x], out, vec![keep]),
            Some(axes) if by_input => {
                let axes =
                    int64_tensor(&format!("eyelet/{out}.axes"), &[axes.len()], axes.to_vec());
                let axes = self.constant(axes);
                self.push(node, op, &[x, &axes], out, vec![keep]);
            }
            Some(axes) => {
                let axes = of_ints("axes", axes);
                self.push(node, op, &[x], out, vec![keep, axes]);
            }
        }
    }

    fn float(&mut self, name: &str, dims: &[usize], values: Vec<f32>) -> String {
        self.constant(float_tensor(name, dims, values))
    }

    /// Adds a constant; returns its name.
    fn constant(&mut self, tensor: TensorProto) -> String {
        let name = tensor.name.clone();
        self.new_constants.push(tensor);
        name
    }

    /// Adds a node in place of `like`.
    fn push(
        &mut self,
        like: &NodeProto,
        op: &str,
        inputs: &[&str],
        output: &str,
        attribute: Vec<AttributeProto>,
    ) {
        self.nodes.push(NodeProto {
            name: name_of(like).to_owned(),
            op_type: op.to_owned(),
            input: inputs.iter().map(|&i| i.to_owned()).collect(),
            output: vec![output.to_owned()],
            attribute,
            ..NodeProto::default()
        });
    }
}

const DILATED_SAME: &str = "pads by itself (auto_pad = \"SAME_...\") around a window with dilations, for which ONNX Runtime's padding is not \
                            that of ONNX: export it with pads";

/// Whether a pool with dilations pads by itself.
fn is_dilated_same(node: &NodeProto) -> bool {
    let dilations = ints(node, "dilations").unwrap_or_default();
    text(node, "auto_pad").starts_with("SAME_") && dilations.iter().any(|&d| d > 1)
}

/// The name of input `at`; empty if it is omitted.
fn input(node: &NodeProto, at: usize) -> &str {
    node.input.get(at).map_or("", String::as_str)
}

/// The name of the first result.
fn output(node: &NodeProto) -> &str {
    node.output.first().map_or("", String::as_str)
}
