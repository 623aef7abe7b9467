//! Random networks as ONNX models: chains and forks of the operators that the fast plan knows, as real files spell them.
//!
//! ```text
//! mod        names, constants, values with several readers; how a network is assembled
//! pictures   layers over channels, rows and columns
//! sizes      LRN, Resize and Sum
//! functions  functions of each value
//! moves      layers that move values
//! tokens     layers over rows of values: what attention networks do
//! keras      channels-last layers
//! listing    readable listing
//! bytes      quantised layers: QDQ, QLinear, scales recomputed in every run
//! chains     elementwise layers between bytes and bytes
//! ```
//! The seed determines everything: the same seed and limits give the same model. With fewer turns it is the same model cut short.

mod bytes;
mod chains;
mod functions;
mod keras;
mod listing;
mod moves;
mod pictures;
mod sizes;
mod tokens;

pub use listing::listing;

use crate::network::onnx::attributes::{of_int, of_ints, of_text};
use crate::network::onnx::{float_tensor, int64_tensor, typed_tensor, value_info};
use fastrand::Rng;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
};

/// Limits of a network.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Number of turns; each adds one layer or a few that belong together.
    pub turns: usize,
    /// How many times the picture is halved.
    pub halved: u32,
    /// Activations are large enough to be made in bands of rows.
    pub large: bool,
    /// There are unknown operators between the layers.
    pub unknown: bool,
}

/// A random network.
#[derive(Debug, Clone)]
pub struct Network {
    pub model: ModelProto,
    /// Shape of the input in ONNX order.
    pub input: Vec<usize>,
    /// The input is bytes.
    pub pixels: bool,
    /// The last axis of the input is its channels.
    pub channels_last: bool,
    /// It has quantised layers.
    pub quantised: bool,
}

/// A computed value.
#[derive(Debug, Clone)]
struct Value {
    /// The real numbers.
    name: String,
    dims: Vec<usize>,
    /// The bytes that these were dequantised from.
    bytes: Option<Bytes>,
}

/// A quantised value: the names of the bytes, their scale, their zero point.
#[derive(Debug, Clone)]
struct Bytes {
    name: String,
    scale: String,
    zero: String,
    by: f32,
}

/// A network under construction.
struct Maker {
    random: Rng,
    limits: Limits,
    opset: i64,
    /// Percentage of values that are quantised.
    quantised: u32,
    /// Activations are int8, else uint8.
    signed: bool,
    names: usize,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    /// All values that a layer may read, the newest last.
    values: Vec<Value>,
    /// Multiply-adds that are left.
    work: usize,
    any_bytes: bool,
}

/// Channels around the width of vectors.
const CHANNELS: [usize; 20] = [
    1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 48, 64, 72, 96,
];

/// The network of a seed.
pub fn network(seed: u64, limits: Limits) -> Network {
    let mut random = Rng::with_seed(seed);
    let c = [3, 3, 1, 4][random.usize(..4)];
    let (mut h, mut w) = if limits.large {
        (random.usize(56..72), random.usize(56..72))
    } else {
        (random.usize(1..20), random.usize(1..20))
    };
    (h, w) = ((h >> limits.halved).max(1), (w >> limits.halved).max(1));
    let channels_last = random.u8(..4) == 0 && ![1, 3, 4].contains(&h);
    let pixels = random.u8(..5) == 0;
    let input = if channels_last {
        vec![1, h, w, c]
    } else {
        vec![1, c, h, w]
    };
    let opset = [12, 17, 17, 20, 20][random.usize(..5)];
    let some = if limits.large { 100 } else { 0 };
    // Per-channel scales came with opset 13.
    let quantised = [0, some, 50, 100][if opset < 13 { 0 } else { random.usize(..4) }];
    let mut maker = Maker {
        opset,
        quantised,
        signed: random.bool(),
        random,
        limits,
        names: 0,
        nodes: Vec::new(),
        constants: Vec::new(),
        values: Vec::new(),
        work: if limits.large { 16_000_000 } else { 300_000 },
        any_bytes: false,
    };
    maker.begin(pixels, channels_last, [1, c, h, w]);
    for _ in 0..limits.turns {
        maker.turn();
    }
    let output = maker.end();
    let quantised = maker.any_bytes;
    let element = if pixels {
        DataType::Uint8
    } else {
        DataType::Float
    };
    let sizes: Vec<i64> = input.iter().map(|&d| d as i64).collect();
    let set = |domain: &str, version| OperatorSetIdProto {
        domain: domain.to_owned(),
        version,
    };
    let model = ModelProto {
        ir_version: 9,
        opset_import: vec![set("", maker.opset), set("com.microsoft", 1)],
        graph: Some(GraphProto {
            name: format!("random {seed}"),
            node: maker.nodes,
            initializer: maker.constants,
            input: vec![value_info("picture", element as i32, &sizes)],
            output: vec![value_info(
                &output.name,
                DataType::Float as i32,
                &output.dims.iter().map(|&d| d as i64).collect::<Vec<_>>(),
            )],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    };
    Network {
        model,
        input,
        pixels,
        channels_last,
        quantised,
    }
}

impl Maker {
    /// The first values: the picture as floats, channels second.
    fn begin(&mut self, pixels: bool, channels_last: bool, dims: [usize; 4]) {
        let mut name = "picture".to_owned();
        let [one, c, h, w] = dims;
        let mut bytes = None;
        if pixels {
            if self.quantised > 0 {
                // The picture's bytes are used directly as quantised values.
                let by = 1.0 / 64.0;
                let scale = self.floats(&[], vec![by]);
                let zero = self.byte(false, &[], vec![128]);
                let inputs = [&name[..], &scale, &zero];
                let real = self.node("DequantizeLinear", &inputs, vec![]);
                let picture = std::mem::replace(&mut name, real);
                self.any_bytes = true;
                // Its bytes are uint8: int8 layers do not read them.
                if !self.signed && !channels_last {
                    bytes = Some(Bytes {
                        name: picture,
                        scale,
                        zero,
                        by,
                    });
                }
            } else {
                name = self.node("Cast", &[&name], vec![of_int("to", 1)]);
                let by = self.floats(&[], vec![64.0]);
                name = self.node("Div", &[&name, &by], vec![]);
            }
        }
        if channels_last {
            let order = vec![of_ints("perm", &[0, 3, 1, 2])];
            name = self.node("Transpose", &[&name], order);
        } else if self.random.u8(..3) == 0 {
            // Normalised in the graph.
            let mean = self.some_floats(&[c, 1, 1], -0.5, 0.5);
            name = self.node("Sub", &[&name, &mean], vec![]);
            bytes = None;
        }
        let dims = vec![one, c, h, w];
        self.values.push(Value { name, dims, bytes });
    }

    /// Adds one layer, or a few that belong together.
    fn turn(&mut self) {
        for _ in 0..12 {
            let x = self.pick();
            let out = match x.dims.len() {
                4 => self.picture_layer(&x),
                3 => self.token_layer(&x),
                _ => self.flat_layer(&x),
            };
            let Some(mut out) = out else { continue };
            if self.limits.unknown && self.random.u8(..3) == 0 {
                let name = self.node("Neg", &[&out.name], vec![]);
                out = Value {
                    name,
                    bytes: None,
                    ..out
                };
            }
            if out.bytes.is_none() && self.chance(self.quantised) && out.dims.len() != 3 {
                out = self.quantise(&out);
            }
            // The few large networks are for blocks, which chains would thin out.
            let chained = match self.limits.large {
                true => self.names.is_multiple_of(8),
                false => self.chance(33),
            };
            if out.bytes.is_some() && out.dims.len() == 4 && chained {
                out = self.chain(&out);
            }
            self.values.push(out);
            return;
        }
    }

    /// The scores.
    fn end(&mut self) -> Value {
        let mut last = self.values[self.values.len() - 1].clone();
        if last.dims.len() == 4 && self.random.u8(..3) > 0 {
            if self.random.bool() {
                last = self.global_pool(&last);
            }
            last = self.flatten(&last);
            if let Some(scores) = self.fully_connected(&last) {
                last = scores;
            }
        }
        if last.dims.len() == 2 && self.random.u8(..3) == 0 {
            last = self.with("Softmax", &last, vec![of_int("axis", -1)]);
        }
        if last.name == "picture" || self.nodes.is_empty() {
            last = self.with("Relu", &last, vec![]);
        }
        last
    }

    /// A value to continue with: usually the last one, sometimes an older one, which then has several readers.
    fn pick(&mut self) -> Value {
        let last = self.values.len() - 1;
        let back = if self.random.u8(..5) == 0 {
            self.random.usize(..=last.min(3))
        } else {
            0
        };
        self.values[last - back].clone()
    }

    /// Another value that fits, if there is one.
    fn other(&mut self, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        let all: Vec<&Value> = self.values.iter().filter(|v| fits(v)).collect();
        (!all.is_empty()).then(|| all[self.random.usize(..all.len())].clone())
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.u32(..100) < percent
    }

    fn of(&mut self, choice: &[usize]) -> usize {
        choice[self.random.usize(..choice.len())]
    }

    fn channels(&mut self) -> usize {
        if self.limits.large {
            return self.of(&[24, 31, 32, 33]);
        }
        self.of(&CHANNELS)
    }

    /// Takes these multiply-adds off the budget; `false` if they are not left.
    fn afford(&mut self, multiply_adds: usize) -> bool {
        let left = self.work.checked_sub(multiply_adds);
        self.work = left.unwrap_or(self.work);
        left.is_some()
    }

    fn fresh(&mut self, kind: &str) -> String {
        self.names += 1;
        format!("{}{}", kind.to_lowercase(), self.names)
    }

    /// Adds a node with one result and returns its name.
    fn node(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        self.node_of("", op, inputs, attributes)
    }

    fn node_of(
        &mut self,
        domain: &str,
        op: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        let output = self.fresh(op);
        self.nodes.push(NodeProto {
            name: format!("node_{output}"),
            op_type: op.to_owned(),
            domain: domain.to_owned(),
            input: inputs.iter().map(|i| (*i).to_owned()).collect(),
            output: vec![output.clone()],
            attribute: attributes,
            ..NodeProto::default()
        });
        output
    }

    /// Adds a node with several results.
    fn nodes_of(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
        results: usize,
    ) -> Vec<String> {
        self.node(op, inputs, attributes);
        let more: Vec<String> = (1..results).map(|_| self.fresh(op)).collect();
        let node = self.nodes.last_mut().expect("it was added");
        node.output.extend(more);
        node.output.clone()
    }

    /// Adds an operator along these axes, which are an attribute or an input depending on the opset.
    fn along(&mut self, op: &str, x: &str, axes: &[i64], since: i64, keep: bool) -> String {
        let keep = (!keep).then(|| of_int("keepdims", 0));
        let mut attributes: Vec<_> = keep.into_iter().collect();
        if self.opset < since {
            attributes.push(of_ints("axes", axes));
            return self.node(op, &[x], attributes);
        }
        let axes = self.ints(axes);
        self.node(op, &[x, &axes], attributes)
    }

    /// Adds an operator with one input that keeps the shape.
    fn with(&mut self, op: &str, x: &Value, attributes: Vec<AttributeProto>) -> Value {
        let name = self.node(op, &[&x.name], attributes);
        real(name, x.dims.clone())
    }

    fn floats(&mut self, dims: &[usize], values: Vec<f32>) -> String {
        let name = self.fresh("floats");
        self.constants.push(float_tensor(&name, dims, values));
        name
    }

    fn some_floats(&mut self, dims: &[usize], from: f32, to: f32) -> String {
        let values = (0..dims.iter().product::<usize>())
            .map(|_| from + (to - from) * self.random.f32())
            .collect();
        self.floats(dims, values)
    }

    /// Weights that keep values at about the same size, for sums of `terms` terms.
    fn weights(&mut self, dims: &[usize], terms: usize) -> String {
        let size = (3.0 / terms.max(1) as f32).sqrt();
        self.some_floats(dims, -size, size)
    }

    fn ints(&mut self, values: &[i64]) -> String {
        let name = self.fresh("ints");
        let tensor = int64_tensor(&name, &[values.len()], values.to_vec());
        self.constants.push(tensor);
        name
    }

    fn one_int(&mut self, value: i64) -> String {
        let name = self.fresh("int");
        self.constants.push(int64_tensor(&name, &[], vec![value]));
        name
    }

    /// int8 or uint8 constants.
    fn byte(&mut self, signed: bool, dims: &[usize], values: Vec<u8>) -> String {
        let name = self.fresh("bytes");
        let kind = if signed {
            DataType::Int8
        } else {
            DataType::Uint8
        };
        self.constants.push(typed_tensor(&name, dims, kind, values));
        name
    }

    fn int32s(&mut self, values: &[i32]) -> String {
        let name = self.fresh("int32s");
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let tensor = typed_tensor(&name, &[values.len()], DataType::Int32, bytes);
        self.constants.push(tensor);
        name
    }
}

fn real(name: String, dims: Vec<usize>) -> Value {
    Value {
        name,
        dims,
        bytes: None,
    }
}
