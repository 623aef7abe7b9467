//! What the random networks have covered: operators, layers, kinds of steps. The test fails for a kind of step that none of them
//! covers, and for a new one that is not listed here.

use super::near::Near;
use crate::network::error::NotFused;
use crate::network::graph::resize::Resize;
use crate::network::graph::{Graph, Op, Weights};
use crate::network::run::Fused;
use crate::network::run::steps::{AnyConv, AnyDepthwise, Work};
use crate::spec::Dtype;
use std::collections::BTreeMap;
use tract_onnx::pb::GraphProto;

/// Counts.
#[derive(Debug, Default)]
pub struct Seen {
    networks: u64,
    refusals: BTreeMap<String, u64>,
    operators: BTreeMap<String, u64>,
    layers: BTreeMap<&'static str, u64>,
    steps: BTreeMap<String, u64>,
    plans: u64,
    pub by_tract: u64,
    pub by_islands: u64,
    pub tract_fails: u64,
    /// Values compared; those of them that must have the same bits; those with a wide tolerance.
    values: [u64; 3],
}

/// Every kind of step.
const STEPS: &[&str] = &[
    "padding",
    "convolution of bytes",
    "convolution of floats",
    "convolution of whole numbers",
    "grouped convolution of bytes",
    "grouped convolution of floats",
    "depthwise of bytes",
    "depthwise of floats",
    "depthwise of whole numbers",
    "block of three of bytes",
    "block of three of floats",
    "block without projection of bytes",
    "block without projection of floats",
    "block without expansion of bytes",
    "block without expansion of floats",
    "sum of bytes",
    "sum of floats",
    "product of bytes",
    "product of floats",
    "average of bytes",
    "average of floats",
    "largest of bytes",
    "largest of floats",
    "affine",
    "slopes",
    "channels",
    "function of bytes",
    "convolution with a function of its bytes",
    "depthwise with a function of its bytes",
    "function",
    "gate",
    "softmax",
    "normalisation",
    "local normalisation",
    "nearest of bytes",
    "nearest of floats",
    "linear",
    "move",
    "product of matrices",
    "quantise",
    "dequantise",
    "extremes",
    "whole numbers",
    "concatenate",
    "channels first",
];

/// Every operator that the fast plan knows.
const OPERATORS: &[&str] = &[
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Clip",
    "Concat",
    "Conv",
    "ConvInteger",
    "DequantizeLinear",
    "Div",
    "Dropout",
    "DynamicQuantizeLinear",
    "Erf",
    "Flatten",
    "Gather",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LRN",
    "LayerNormalization",
    "LeakyRelu",
    "MatMul",
    "MatMulInteger",
    "Max",
    "MaxPool",
    "Min",
    "Mul",
    "PRelu",
    "Pad",
    "Pow",
    "QGemm",
    "QLinearAdd",
    "QLinearAveragePool",
    "QLinearConcat",
    "QLinearConv",
    "QLinearGlobalAveragePool",
    "QLinearLeakyRelu",
    "QLinearMatMul",
    "QLinearMul",
    "QLinearSigmoid",
    "QLinearSoftmax",
    "QuantizeLinear",
    "ReduceMean",
    "Relu",
    "Reshape",
    "Resize",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Tanh",
    "Transpose",
    "Unsqueeze",
    "picture of bytes",
];

fn kind(work: &Work) -> String {
    let of_conv = |conv: Option<&AnyConv>| match conv {
        Some(AnyConv::Q8(..)) => "bytes",
        _ => "floats",
    };
    let of_depthwise = |conv: &AnyDepthwise| match conv {
        AnyDepthwise::Q8(..) => "bytes",
        AnyDepthwise::F32(..) | AnyDepthwise::F16(..) => "floats",
    };
    let bytes = |is: bool| if is { "bytes" } else { "floats" };
    match work {
        Work::Pad(_) => "padding".into(),
        Work::Conv(c) if c.convs.len() > 1 => {
            format!("grouped convolution of {}", of_conv(c.convs.first()))
        }
        Work::Conv(c) => format!("convolution of {}", of_conv(c.convs.first())),
        Work::DynamicConv(_) => "convolution of whole numbers".into(),
        Work::Depthwise(d) => format!("depthwise of {}", of_depthwise(&d.conv)),
        Work::DynamicDepthwise(_) => "depthwise of whole numbers".into(),
        Work::Block(b) => {
            let parts = match (b.front.is_some(), b.project.is_some()) {
                (true, true) => "of three",
                (true, false) => "without projection",
                _ => "without expansion",
            };
            format!("block {parts} of {}", of_depthwise(&b.depthwise))
        }
        Work::Sum(s) if s.product => format!("product of {}", bytes(s.q8.is_some())),
        Work::Sum(s) => format!("sum of {}", bytes(s.q8.is_some())),
        Work::Average(a) => format!("average of {}", bytes(a.q8.is_some())),
        Work::Max(m) => format!("largest of {}", bytes(m.pool.bytes.is_some())),
        Work::Affine(_) => "affine".into(),
        Work::Slopes(_) => "slopes".into(),
        Work::Pick(_) => "channels".into(),
        Work::Map(_) => "function of bytes".into(),
        Work::Function(f) if f.gate => "gate".into(),
        Work::Function(_) => "function".into(),
        Work::Softmax(_) => "softmax".into(),
        Work::Norm(_) => "normalisation".into(),
        Work::Lrn(_) => "local normalisation".into(),
        Work::Resize(r) => match r.of {
            Resize::Nearest { .. } => format!("nearest of {}", bytes(r.elem == 1)),
            Resize::Linear { .. } => "linear".into(),
        },
        Work::Move(_) => "move".into(),
        Work::Product(_) => "product of matrices".into(),
        Work::Quantise(_) => "quantise".into(),
        Work::Dequantise(_) => "dequantise".into(),
        Work::Extremes(_) => "extremes".into(),
        Work::DynamicQuantise(_) => "whole numbers".into(),
        Work::Concat(_) => "concatenate".into(),
        Work::ChannelsFirst(_) => "channels first".into(),
    }
}

/// The functions of bytes within a step.
fn maps(work: &Work) -> Vec<&'static str> {
    let conv = |conv: &AnyConv| matches!(conv, AnyConv::Q8(c, _) if c.then().is_some());
    let (convs, depthwise): (Vec<&AnyConv>, Option<&AnyDepthwise>) = match work {
        Work::Conv(c) => (c.convs.iter().collect(), None),
        Work::Depthwise(d) => (vec![], Some(&d.conv)),
        Work::Block(b) => {
            let front = b.front.as_ref().map(|front| &front.1);
            let convs = front.into_iter().chain(&b.project);
            (convs.collect(), Some(&b.depthwise))
        }
        _ => (vec![], None),
    };
    let mut found = Vec::new();
    if convs.into_iter().any(conv) {
        found.push("convolution with a function of its bytes");
    }
    if matches!(depthwise, Some(AnyDepthwise::Q8(d, _)) if d.then().is_some()) {
        found.push("depthwise with a function of its bytes");
    }
    found
}

fn layer(op: &Op) -> &'static str {
    match op {
        Op::Conv(conv) => match (&conv.weights, conv.factors.is_some()) {
            (_, true) => "convolution of whole numbers",
            (Weights::Q8 { .. }, _) => "convolution of bytes",
            (Weights::F32 { .. }, _) => "convolution of floats",
        },
        Op::Add { .. } => "sum",
        Op::Mul { .. } => "product",
        Op::AveragePool(..) => "average",
        Op::MaxPool(..) => "largest",
        Op::Affine { .. } => "affine",
        Op::Slopes(_) => "slopes",
        Op::Pick(_) => "channels",
        Op::Unary(_) => "function",
        Op::Tables(_) => "tables",
        Op::Gate { .. } => "gate",
        Op::Softmax => "softmax",
        Op::Norm(_) => "normalisation",
        Op::Lrn(_) => "local normalisation",
        Op::Resize(_) => "resize",
        Op::Reshape => "reshape",
        Op::Move(_) => "move",
        Op::Product(_) => "product of matrices",
        Op::Constant(_) => "constant",
        Op::Quantise => "quantise",
        Op::Dequantise => "dequantise",
        Op::Extremes => "extremes",
        Op::DynamicQuantise => "whole numbers",
        Op::Concat => "concatenate",
        Op::ChannelsFirst => "channels first",
    }
}

/// A readable listing of a lowered graph: one line per layer.
pub fn listing(graph: &Graph) -> String {
    let tensor = |i: usize| {
        let tensor = &graph.tensors[i];
        format!("t{i} {} {:?}", tensor.shape, tensor.kind)
    };
    let mut lines = Vec::new();
    for l in &graph.layers {
        let inputs: Vec<String> = l.inputs.iter().map(|i| format!("t{}", i.0)).collect();
        let more = match &l.op {
            Op::Conv(c) => format!("{:?} x{} {:?}", c.window, c.groups, c.clamp),
            Op::Constant(_) | Op::Affine { .. } | Op::Slopes(_) | Op::Norm(_) => String::new(),
            op => format!("{op:?}"),
        };
        let output = tensor(l.output.0);
        lines.push(format!(
            "{output} = {}({}) {more}",
            layer(&l.op),
            inputs.join(", ")
        ));
    }
    lines.join("\n")
}

impl Seen {
    /// Counts a network that is not supported.
    pub fn refused(&mut self, why: &NotFused) {
        let mut text = format!("{}: {}", why.op, why.why);
        text.retain(|c| !c.is_ascii_digit());
        *self.refusals.entry(text).or_default() += 1;
    }

    /// Counts a network that is supported.
    pub fn took(&mut self, model: &GraphProto, graph: &Graph) {
        self.networks += 1;
        let mut count = |what: &str| *self.operators.entry(what.to_owned()).or_default() += 1;
        model.node.iter().for_each(|n| count(&n.op_type));
        if graph.input.as_ref().is_some_and(|i| i.dtype == Dtype::U8) {
            count("picture of bytes");
        }
        for l in &graph.layers {
            *self.layers.entry(layer(&l.op)).or_default() += 1;
        }
    }

    /// Counts its plan.
    pub fn planned(&mut self, net: &Fused) {
        self.plans += 1;
        for step in &net.plan.steps {
            *self.steps.entry(kind(&step.work)).or_default() += 1;
            for what in maps(&step.work) {
                *self.steps.entry(what.into()).or_default() += 1;
            }
        }
    }

    /// Counts its results.
    pub fn compared(&mut self, results: &[Vec<Near>]) {
        for result in results {
            let size = result.iter().fold(0.0, |most: f32, x| most.max(x.is.abs()));
            self.values[0] += result.len() as u64;
            self.values[1] += result.iter().filter(|x| x.off == 0.0).count() as u64;
            self.values[2] += result.iter().filter(|x| x.off > 0.02 * size).count() as u64;
        }
    }

    pub fn add(&mut self, other: Self) {
        fn all<K: Ord>(to: &mut BTreeMap<K, u64>, from: BTreeMap<K, u64>) {
            for (key, count) in from {
                *to.entry(key).or_default() += count;
            }
        }
        self.networks += other.networks;
        self.plans += other.plans;
        self.by_tract += other.by_tract;
        self.by_islands += other.by_islands;
        self.tract_fails += other.tract_fails;
        all(&mut self.refusals, other.refusals);
        all(&mut self.operators, other.operators);
        all(&mut self.layers, other.layers);
        all(&mut self.steps, other.steps);
        for (sum, more) in self.values.iter_mut().zip(other.values) {
            *sum += more;
        }
    }

    /// Checks that everything was covered, that most networks were supported, and that the comparisons could fail.
    pub fn check(&self) {
        let missing = |wanted: &[&'static str], there: &BTreeMap<String, u64>| {
            let missing = wanted.iter().filter(|&&w| !there.contains_key(w));
            missing.copied().collect::<Vec<_>>()
        };
        assert_eq!(missing(STEPS, &self.steps), [""; 0], "steps in no network");
        assert_eq!(
            missing(OPERATORS, &self.operators),
            [""; 0],
            "operators in no network"
        );
        let unlisted = self.steps.keys().find(|s| !STEPS.contains(&&s[..]));
        assert_eq!(unlisted, None, "a step that is not listed");
        let refused: u64 = self.refusals.values().sum();
        assert!(
            refused < self.networks / 2,
            "{refused} networks are refused"
        );
        let fails = self.tract_fails;
        assert!(fails <= refused / 10, "tract fails {fails} times");
        assert!(self.by_tract > 0 && self.by_islands > 0, "tract never ran");
        let [values, same, wide] = self.values;
        assert!(
            same > values / 5 && wide < values / 5,
            "{same} and {wide} of {values}"
        );
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [values, same, wide] = self.values;
        writeln!(
            f,
            "{} networks in {} plans; {} also by tract, {} in islands; tract fails {}; {values} values, {same} to the bit, {wide} only \
             nearly",
            self.networks, self.plans, self.by_tract, self.by_islands, self.tract_fails
        )?;
        writeln!(f, "operators {:?}", self.operators)?;
        writeln!(f, "layers {:?}", self.layers)?;
        writeln!(f, "steps {:?}", self.steps)?;
        let mut refusals: Vec<_> = self.refusals.iter().collect();
        refusals.sort_by_key(|r| std::cmp::Reverse(r.1));
        write!(f, "refused")?;
        for (why, count) in refusals.iter().take(40) {
            write!(f, "\n  {count} x {why}")?;
        }
        Ok(())
    }
}
