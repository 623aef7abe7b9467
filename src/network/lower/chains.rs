//! Chains of elementwise and channelwise layers between bytes and bytes, in the finished graph: each is one function of a byte and
//! a channel, so it is computed here for all 256 bytes, and becomes tables.
//!
//! Tables that are a convolution's only reader are done at its end, while its bytes are in the cache; if they only limit the bytes,
//! they become its limits.

use super::gate;
use crate::network::graph::ends::Ends;
use crate::network::graph::requantise::{dequantise, quantise};
use crate::network::graph::{Graph, Kind, Op, Quant, Tables, TensorId, Then, Unary, both_limits};
use std::collections::HashMap;
use std::rc::Rc;

/// Most layers of a chain: each QuantizeLinear at the end of one computes all of them.
const MAX_LAYERS: usize = 64;
/// Most values of all float tensors in a graph's chains, 256 for every channel: more than ten times what MobileNet v2 has.
const MAX_VALUES: usize = 1 << 27;

/// Merges every layer that can be merged with others, without changing any value.
pub(crate) fn merge_layers(graph: &mut Graph) {
    gate::merge(graph);
    into_tables(graph);
    into_makers(graph);
}

/// A float tensor that depends on one tensor of bytes, value by value.
#[derive(Clone)]
struct Traced {
    /// The bytes.
    of: TensorId,
    /// For each byte the value, in all channels or in each.
    values: Rc<Vec<f32>>,
}

impl Traced {
    fn at(&self, channel: usize, q: u8) -> f32 {
        let first = if self.values.len() == 256 {
            0
        } else {
            channel * 256
        };
        self.values[first + usize::from(q)]
    }

    fn is_by_channel(&self) -> bool {
        self.values.len() > 256
    }
}

/// The chain before a QuantizeLinear.
struct Chain<'a> {
    graph: &'a Graph,
    ends: &'a Ends,
    known: HashMap<TensorId, Option<Traced>>,
    /// What is left of the values.
    left: &'a mut usize,
}

impl Chain<'_> {
    fn trace(&mut self, tensor: TensorId) -> Option<Traced> {
        if let Some(known) = self.known.get(&tensor) {
            return known.clone();
        }
        if self.known.len() >= MAX_LAYERS {
            return None;
        }
        self.known.insert(tensor, None);
        let traced = self.trace_new(tensor);
        self.known.insert(tensor, traced.clone());
        traced
    }

    fn trace_new(&mut self, tensor: TensorId) -> Option<Traced> {
        let graph = self.graph;
        let layer = &graph.layers[self.ends.maker(graph, tensor)?];
        let shape = graph.tensors[tensor.0].shape;
        let first = *layer.inputs.first()?;
        if let (Op::Dequantise, Kind::Q8(quant)) = (&layer.op, graph.tensors[first.0].kind) {
            let values = (0..=255).map(|q| dequantise(q, quant)).collect();
            let values = Rc::new(values);
            return Some(Traced { of: first, values });
        }
        if !matches!(
            layer.op,
            Op::Unary(_)
                | Op::Gate { .. }
                | Op::Affine { .. }
                | Op::Slopes(_)
                | Op::Add { .. }
                | Op::Mul { .. }
        ) {
            return None;
        }
        let x = self.trace(first)?;
        let of = x.of;
        *self.left = self.left.checked_sub(256 * shape.c)?;
        let map = |f: &dyn Fn(usize, f32) -> f32, by_channel: bool| {
            let count = if by_channel { shape.c } else { 1 };
            let values = (0..count).flat_map(|c| (0..=255).map(move |q| (c, q)));
            let values = values.map(|(c, q)| f(c, x.at(c, q))).collect();
            Some(Traced {
                of,
                values: Rc::new(values),
            })
        };
        let function = |f: Unary, gate: bool| {
            let mut values = vec![0.0; x.values.len()];
            f.run::<false>(gate, &x.values, &mut values);
            let values = Rc::new(values);
            Some(Traced { of, values })
        };
        match &layer.op {
            Op::Unary(f) => function(*f, false),
            Op::Gate { f, .. } => function(*f, true),
            Op::Affine { a, b } => {
                let one = |v: &[f32]| v.iter().all(|x| *x == v[0]);
                let by_channel = x.is_by_channel() || !one(a) || !one(b);
                map(&|c, x| x * a[c] + b[c], by_channel)
            }
            Op::Slopes(slopes) => map(&|c, x| Unary::LeakyRelu(slopes[c]).of(x), true),
            Op::Add { clamp } | Op::Mul { clamp } => {
                let second = *layer.inputs.get(1)?;
                let y = self.trace(second)?;
                let same = |t: TensorId| graph.tensors[t.0].shape == shape;
                if y.of != of || !same(first) || !same(second) {
                    return None;
                }
                let adds = matches!(layer.op, Op::Add { .. });
                let by_channel = x.is_by_channel() || y.is_by_channel();
                let count = if by_channel { shape.c } else { 1 };
                let values = (0..count).flat_map(|c| (0..=255).map(move |q| (c, q)));
                let value = |(c, q)| {
                    let (x, y) = (x.at(c, q), y.at(c, q));
                    let result = if adds { x + y } else { x * y };
                    result.max(clamp.0).min(clamp.1)
                };
                let values = Rc::new(values.map(value).collect());
                Some(Traced { of, values })
            }
            _ => None,
        }
    }
}

/// Makes tables of the functions of bytes, and of the chains that end in a QuantizeLinear.
fn into_tables(graph: &mut Graph) {
    let ends = Ends::of(graph);
    let quant = |graph: &Graph, tensor: TensorId| match graph.tensors[tensor.0].kind {
        Kind::Q8(quant) => Some(quant),
        Kind::F32 | Kind::F16 => None,
    };
    let (mut any, mut left) = (false, MAX_VALUES);
    for i in 0..graph.layers.len() {
        let layer = &graph.layers[i];
        let (Some(&x), Some(to)) = (layer.inputs.first(), quant(graph, layer.output)) else {
            continue;
        };
        let result = match (&layer.op, quant(graph, x)) {
            (Op::Unary(f), Some(from)) => Some((x, Tables::of_function(*f, from, to))),
            (
                &Op::Gate {
                    f,
                    inner: Some(inner),
                    clamp,
                },
                Some(from),
            ) => Some((x, Tables::of_gate(f, from, inner, to, clamp))),
            (Op::Quantise, None) => chain(graph, &ends, &mut left, x, to),
            _ => None,
        };
        if let Some((x, tables)) = result {
            any |= matches!(layer.op, Op::Quantise);
            let layer = &mut graph.layers[i];
            layer.op = Op::Tables(tables);
            layer.inputs = vec![x];
        }
    }
    if any {
        drop_unread(graph);
    }
}

/// The bytes that a QuantizeLinear's input depends on, and its function of them.
fn chain(
    graph: &Graph,
    ends: &Ends,
    left: &mut usize,
    x: TensorId,
    to: Quant,
) -> Option<(TensorId, Tables)> {
    let mut chain = Chain {
        graph,
        ends,
        known: HashMap::new(),
        left,
    };
    let traced = chain.trace(x)?;
    let channels = graph.tensors[x.0].shape.c;
    let channels = traced.is_by_channel().then_some(channels);
    let tables = Tables::new(channels, |c, q| quantise(traced.at(c, q), to) as u8);
    Some((traced.of, tables))
}

/// Removes the layers whose results nothing reads.
fn drop_unread(graph: &mut Graph) {
    let mut wanted = vec![false; graph.tensors.len()];
    for export in &graph.exports {
        wanted[export.tensor.0] = true;
    }
    for layer in graph.layers.iter().rev() {
        if wanted[layer.output.0] {
            for input in &layer.inputs {
                wanted[input.0] = true;
            }
        }
    }
    graph.layers.retain(|layer| wanted[layer.output.0]);
}

/// Moves tables into the layer that makes the bytes, if nothing else reads these.
fn into_makers(graph: &mut Graph) {
    let mut gone = Vec::new();
    let mut ends = Ends::of(graph);
    for i in 0..graph.layers.len() {
        let Op::Tables(tables) = &graph.layers[i].op else {
            continue;
        };
        let (x, y) = (graph.layers[i].inputs[0], graph.layers[i].output);
        let Some(at) = ends.maker(graph, x) else {
            continue;
        };
        let near = graph.layers[at].segment == graph.layers[i].segment;
        if !near || ends.only_reader(graph, x) != Some(i) {
            continue;
        }
        let (Kind::Q8(from), Kind::Q8(to)) = (graph.tensors[x.0].kind, graph.tensors[y.0].kind)
        else {
            continue;
        };
        let tables = tables.clone();
        let limits = tables.limits(from).filter(|_| from == to);
        let taken = match (&mut graph.layers[at].op, limits) {
            (Op::Conv(conv), Some(limits)) if conv.then.is_none() => {
                conv.clamp = both_limits(conv.clamp, limits);
                true
            }
            (Op::Add { clamp } | Op::Mul { clamp }, Some(limits)) => {
                *clamp = both_limits(*clamp, limits);
                true
            }
            (Op::Conv(conv), _) if conv.factors.is_none() => {
                conv.then = Some(match &conv.then {
                    Some(then) => Then {
                        quant: then.quant,
                        tables: then.tables.then(&tables),
                    },
                    None => Then {
                        quant: from,
                        tables,
                    },
                });
                true
            }
            (Op::Tables(before), _) => {
                *before = before.then(&tables);
                true
            }
            _ => false,
        };
        if taken {
            graph.layers[i].inputs.clear();
            gone.push(i);
            graph.layers[at].output = y;
            ends.changed(graph, at);
        }
    }
    let mut at = 0..graph.layers.len();
    let stays = |at: Option<usize>| at.is_none_or(|i| gone.binary_search(&i).is_err());
    graph.layers.retain(|_| stays(at.next()));
}
