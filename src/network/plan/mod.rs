//! From the graph to steps: weights packed, blocks recognised, every tensor and scratch buffer given its place in the arena.

pub(crate) mod arena;
mod convolutions;
mod dynamic;
mod product;
pub(crate) mod verify;

use super::graph::requantise::{Requantise, quantise};
use super::graph::{
    Border, Conv, FREE, Graph, Kind, Layer, Op, Quant, Shape, Tensor, TensorId, Unary, Weights,
};
use super::kernels::max_pool::MaxPool;
use super::kernels::{BinaryQ8, Kernels};
use super::run::border::Port;
use super::run::steps::{Add, Average, MAX_KERNEL_ROWS, MaxPoolStep, Move, Step, Work};
use super::run::{Plan, Row, Segment};
use arena::{ARENA_BYTES_MOST, Need, place};
use std::ops::Range;

/// Expanded activations of this many bytes or more are made by bands of rows instead of whole.
const BAND_FROM_BYTES: usize = 96 << 10;
/// A band has at least so many pixels, so that the convolution after it works on full tiles.
const BAND_PIXELS: usize = 48;
/// Layers that become one step.
enum Group {
    One(usize),
    /// Convolution, depthwise, pointwise: indices of layers.
    Block(Option<usize>, usize, Option<usize>),
}

pub(crate) struct Planner<'a> {
    graph: &'a Graph,
    /// Weights of the convolution that makes each tensor. They go when they are packed.
    weights: Vec<Option<Weights>>,
    kernels: &'static dyn Kernels,
    threads: usize,
    needs: Vec<Need>,
    tensor_need: Vec<Option<usize>>,
    steps: Vec<Step>,
    segments: Vec<Range<usize>>,
    rows: Vec<Row>,
    fills: Vec<(usize, usize, u8)>,
    constants: Vec<(usize, Vec<f32>)>,
    /// The most scratch memory that a kernel wants.
    scratch_bytes: usize,
}

/// The plan of a graph, whose weights are taken out of it.
pub(crate) fn plan(
    graph: &mut Graph,
    kernels: &'static dyn Kernels,
    threads: usize,
) -> Result<Plan, String> {
    let mut weights = vec![None; graph.tensors.len()];
    for layer in &mut graph.layers {
        if let Op::Conv(conv) = &mut layer.op {
            weights[layer.output.0] = Some(std::mem::take(&mut conv.weights));
        }
    }
    let graph = &*graph;
    let groups = groups(graph);
    let mut planner = Planner {
        graph,
        weights,
        kernels,
        threads,
        needs: Vec::new(),
        tensor_need: vec![None; graph.tensors.len()],
        steps: Vec::new(),
        segments: Vec::new(),
        rows: Vec::new(),
        fills: Vec::new(),
        constants: Vec::new(),
        scratch_bytes: 0,
    };
    // The input is kept for the whole run, so that a second run without a new picture gives the same.
    if let Some(input) = &graph.input {
        planner.define(input.tensor, 0);
    }
    let mut groups = groups.iter().peekable();
    for segment in 0..graph.segments() {
        let first = planner.steps.len();
        for import in graph.imports.iter().filter(|b| b.segment == segment) {
            planner.define(import.tensor, first);
        }
        let of = |group: &Group| match *group {
            Group::One(layer) | Group::Block(_, layer, _) => graph.layers[layer].segment,
        };
        while let Some(group) = groups.next_if(|group| of(group) == segment) {
            let layers = match *group {
                Group::One(layer) => [Some(layer), None, None],
                Group::Block(expand, depthwise, project) => [expand, Some(depthwise), project],
            };
            for layer in layers.into_iter().flatten().map(|i| &graph.layers[i]) {
                if let (Op::Conv(conv), Some(weights)) =
                    (&layer.op, &mut planner.weights[layer.output.0])
                {
                    conv.finish(weights);
                }
            }
            match *group {
                Group::One(layer) => planner.one(layer)?,
                Group::Block(expand, depthwise, project) => {
                    planner.block(expand, depthwise, project)?;
                }
            }
            for layer in layers.into_iter().flatten() {
                planner.weights[graph.layers[layer].output.0] = None;
            }
        }
        let end = planner.steps.len();
        for export in graph.exports.iter().filter(|b| b.segment == segment) {
            planner.read(export.tensor, end.saturating_sub(1).max(first));
        }
        planner.segments.push(first..end);
    }
    let end = planner.steps.len();
    if let Some(input) = &graph.input {
        planner.read(input.tensor, end);
    }
    planner.finish(end)
}

/// A function of each stored byte, as the stored byte.
fn table(f: Unary, from: Quant, to: Quant, flip: u8) -> Box<[u8; 256]> {
    let mut table = Box::new([0; 256]);
    for q in 0..=255u8 {
        let real = f.of(crate::network::graph::requantise::dequantise(q, from));
        table[usize::from(q ^ flip)] = quantise(real, to) as u8 ^ flip;
    }
    table
}

fn conv_of(layer: &Layer) -> Option<&Conv> {
    match &layer.op {
        Op::Conv(conv) => Some(conv),
        _ => None,
    }
}

/// A convolution over whole numbers stands alone: what comes before it and after it needs whole tensors.
fn takes_bands(conv: &Conv) -> bool {
    conv.factors.is_none()
        && conv.depthwise()
        && conv.window.dh == 1
        && conv.window.kh <= MAX_KERNEL_ROWS
}

/// Where a tensor is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    None,
    /// By this layer alone.
    One(usize),
    /// By more than one, or outside.
    Many,
}

/// The readers of every tensor.
fn readers(graph: &Graph) -> Vec<Reader> {
    let mut readers = vec![Reader::None; graph.tensors.len()];
    for (i, layer) in graph.layers.iter().enumerate() {
        for input in &layer.inputs {
            let reader = &mut readers[input.0];
            *reader = match *reader {
                Reader::None => Reader::One(i),
                Reader::One(before) if before == i => Reader::One(i),
                _ => Reader::Many,
            };
        }
    }
    for export in &graph.exports {
        readers[export.tensor.0] = Reader::Many;
    }
    readers
}

fn groups(graph: &Graph) -> Vec<Group> {
    let readers = readers(graph);
    let mut made = Vec::new();
    let mut done = vec![false; graph.layers.len()];
    for i in 0..graph.layers.len() {
        if done[i] {
            continue;
        }
        let layer = &graph.layers[i];
        let large = |t: TensorId| graph.tensors[t.0].bytes() >= BAND_FROM_BYTES;
        let next = |i: usize| {
            let output = graph.layers[i].output;
            match readers[output.0] {
                Reader::One(reader) if large(output) => Some(reader),
                _ => None,
            }
        };
        let plain = |conv: &Conv| conv.groups == 1 && conv.factors.is_none();
        let projects = |conv: &Conv| conv.pointwise() && conv.factors.is_none();
        let mut expand = None;
        let mut depthwise = None;
        if let Some(conv) = conv_of(layer) {
            if takes_bands(conv) {
                depthwise = Some(i);
            } else if plain(conv)
                && let Some(d) = next(i)
                && conv_of(&graph.layers[d]).is_some_and(takes_bands)
            {
                expand = Some(i);
                depthwise = Some(d);
            }
        }
        let project = depthwise
            .and_then(|d| next(d).filter(|&p| conv_of(&graph.layers[p]).is_some_and(projects)));
        match depthwise {
            Some(d) if expand.is_some() || project.is_some() => {
                for layer in [expand, depthwise, project].into_iter().flatten() {
                    done[layer] = true;
                }
                made.push(Group::Block(expand, d, project));
            }
            _ => {
                done[i] = true;
                made.push(Group::One(i));
            }
        }
    }
    made
}

impl Planner<'_> {
    /// Bytes that live from step `first` to step `last`.
    fn need(&mut self, bytes: usize, first: usize, last: usize) -> usize {
        self.needs.push(Need { bytes, first, last });
        self.needs.len() - 1
    }

    fn define(&mut self, tensor: TensorId, step: usize) -> usize {
        let bytes = self.graph.tensors[tensor.0].bytes();
        let need = self.need(bytes, step, step);
        self.tensor_need[tensor.0] = Some(need);
        need
    }

    fn read(&mut self, tensor: TensorId, step: usize) -> usize {
        let need = self.tensor_need[tensor.0].expect("layers stand in the order of running");
        self.needs[need].last = self.needs[need].last.max(step);
        need
    }

    fn tensor(&self, id: TensorId) -> &Tensor {
        &self.graph.tensors[id.0]
    }

    fn quant(&self, id: TensorId) -> Option<Quant> {
        match self.tensor(id).kind {
            Kind::Q8(quant) => Some(quant),
            Kind::F32 => None,
        }
    }

    /// Zero point as bytes are stored.
    fn stored_zero(&self, quant: Quant) -> i32 {
        quant.zero - if self.kernels.signed() { 128 } else { 0 }
    }

    /// The byte that pads a tensor.
    fn pad_byte(&self, id: TensorId) -> u8 {
        self.quant(id).map_or(0, |q| self.stored_zero(q) as u8)
    }

    fn requantise(&self, id: TensorId, clamp: (f32, f32)) -> Result<Requantise, String> {
        let quant = self.quant(id).ok_or("the result is not quantised")?;
        Ok(Requantise::new(quant, clamp, self.kernels.signed()))
    }

    fn row(&mut self, layer: usize, op: &'static str, kernel: &'static str, whole: bool) {
        let layer = &self.graph.layers[layer];
        let (segment, tensor) = (layer.segment, self.tensor(layer.output));
        let multiply_adds = match &layer.op {
            Op::Conv(conv) => conv.multiply_adds(tensor.shape),
            Op::Product(of) => (of.y.volume() * of.depth()) as u64,
            _ => 0,
        };
        self.rows.push(Row {
            name: layer.name.clone(),
            op,
            shape: tensor.shape,
            kernel,
            multiply_adds,
            // The need's number for now; `finish` makes an offset of it.
            arena_offset: self.tensor_need[layer.output.0].filter(|_| whole),
            bytes: tensor.bytes(),
            segment,
        });
    }

    fn one(&mut self, index: usize) -> Result<(), String> {
        let graph = self.graph;
        let layer = &graph.layers[index];
        let inputs: Vec<Shape> = layer.inputs.iter().map(|&i| self.tensor(i).shape).collect();
        let shape = self.tensor(layer.output).shape;
        let bytes = self.quant(layer.output).is_some();
        if let Op::Conv(conv) = &layer.op {
            return if conv.depthwise() && conv.window.kh <= MAX_KERNEL_ROWS {
                self.depthwise(index, conv)
            } else {
                self.conv(index, conv)
            };
        }
        let step = self.steps.len();
        match &layer.op {
            Op::Extremes | Op::Round => return self.dynamic(index),
            Op::Reshape => {
                self.tensor_need[layer.output.0] = Some(self.read(layer.inputs[0], step));
                return Ok(());
            }
            Op::Constant(values) => {
                // It stays from one run to the next.
                let bytes = self.tensor(layer.output).bytes();
                let need = self.need(bytes, 0, usize::MAX);
                self.tensor_need[layer.output.0] = Some(need);
                self.constants.push((need, values.to_vec()));
                return Ok(());
            }
            _ => {}
        }
        let x: Vec<usize> = layer.inputs.iter().map(|&i| self.read(i, step)).collect();
        let y = self.define(layer.output, step);
        let qx: Vec<Option<Quant>> = layer.inputs.iter().map(|&i| self.quant(i)).collect();
        let signed = self.kernels.signed();
        let flip = if signed { 0x80 } else { 0 };
        let work = match &layer.op {
            Op::Add { clamp } | Op::Mul { clamp } => {
                let product = matches!(layer.op, Op::Mul { .. });
                let q8 = match (qx[0], qx[1], self.quant(layer.output)) {
                    (Some(a), Some(b), Some(y)) => {
                        let terms = if product {
                            BinaryQ8::product
                        } else {
                            BinaryQ8::sum
                        };
                        Some(terms(a, b, y, *clamp, signed))
                    }
                    (None, None, None) => None,
                    _ => return Err("operands of different kinds".into()),
                };
                let (len, period) = (shape.volume(), inputs[1].volume());
                Work::Add(Add {
                    a: x[0],
                    b: x[1],
                    y,
                    len,
                    period,
                    product,
                    q8,
                    clamp: *clamp,
                })
            }
            Op::AveragePool(window, pads) => Work::Average(Average {
                x: x[0],
                y,
                input: inputs[0],
                output: shape,
                window: *window,
                count_pads: *pads,
                q8: match (qx[0], bytes) {
                    (Some(q), true) => {
                        let scale = self.quant(layer.output).map_or(1.0, |q| q.scale);
                        let ratio = f64::from(q.scale) / f64::from(scale);
                        let end = self.requantise(layer.output, FREE)?;
                        Some((self.stored_zero(q), ratio, end))
                    }
                    _ => None,
                },
            }),
            Op::MaxPool(window, zeros) => Work::Max(MaxPoolStep {
                x: x[0],
                y,
                pool: MaxPool {
                    input: inputs[0],
                    output: shape,
                    window: *window,
                    zeros: *zeros,
                    bytes: bytes.then(|| (flip, self.pad_byte(layer.inputs[0]))),
                },
            }),
            Op::Affine { a, b } => Work::Affine {
                x: x[0],
                y,
                pixels: shape.pixels(),
                a: a.clone(),
                b: b.clone(),
            },
            Op::Slopes(slopes) => Work::Slopes {
                x: x[0],
                y,
                pixels: shape.pixels(),
                slopes: slopes.clone(),
            },
            Op::Pick(from) => {
                let elem = self.tensor(layer.output).kind.bytes();
                Work::Pick {
                    x: x[0],
                    y,
                    pixels: shape.pixels(),
                    x_pixel: inputs[0].c * elem,
                    runs: runs_of(from, elem),
                }
            }
            Op::Unary(f) => match (qx[0], self.quant(layer.output)) {
                (Some(from), Some(to)) => Work::Table {
                    x: x[0],
                    y,
                    len: shape.volume(),
                    table: table(*f, from, to, flip),
                },
                (None, None) => Work::Unary {
                    x: x[0],
                    y,
                    len: shape.volume(),
                    f: *f,
                    gate: false,
                },
                _ => return Err("a function from bytes to floats".into()),
            },
            Op::Gate { f, inner, clamp } => match (qx[0], *inner, self.quant(layer.output)) {
                (Some(from), Some(inner), Some(to)) => {
                    let all: [u8; 256] = std::array::from_fn(|q| q as u8);
                    let functions = table(*f, from, inner, flip);
                    let product = BinaryQ8::product(from, inner, to, *clamp, signed);
                    let mut table = Box::new([0; 256]);
                    crate::network::kernels::plain::mul_q8(
                        &product,
                        &all,
                        &functions[..],
                        &mut table[..],
                    );
                    Work::Table {
                        x: x[0],
                        y,
                        len: shape.volume(),
                        table,
                    }
                }
                (None, None, None) => Work::Unary {
                    x: x[0],
                    y,
                    len: shape.volume(),
                    f: *f,
                    gate: true,
                },
                _ => return Err("operands of different kinds".into()),
            },
            Op::Softmax => Work::Softmax {
                x: x[0],
                y,
                pixels: shape.pixels(),
                c: shape.c,
            },
            Op::Norm(norm) => Work::Norm {
                x: x[0],
                y,
                pixels: shape.pixels(),
                norm: norm.clone(),
            },
            Op::Move(from) => Work::Move(Move {
                x: x[0],
                y,
                from: *from,
            }),
            Op::Product(of) => self.product(of, [x[0], x[1], y]),
            Op::Quantise => Work::Quantise {
                x: x[0],
                y,
                len: shape.volume(),
                quant: self
                    .quant(layer.output)
                    .ok_or("the result is not quantised")?,
                flip,
            },
            Op::Dequantise => {
                let quant = qx[0].ok_or("dequantises floats")?;
                let mut table = Box::new([0.0; 256]);
                for q in 0..=255u8 {
                    table[usize::from(q ^ flip)] =
                        crate::network::graph::requantise::dequantise(q, quant);
                }
                Work::Dequantise {
                    x: x[0],
                    y,
                    len: shape.volume(),
                    table,
                }
            }
            Op::Concat => {
                let elem = self.tensor(layer.output).kind.bytes();
                Work::Concat {
                    parts: x
                        .iter()
                        .zip(&inputs)
                        .map(|(&x, s)| (x, s.c * elem))
                        .collect(),
                    y,
                    pixels: shape.pixels(),
                }
            }
            Op::ChannelsFirst => Work::ChannelsFirst { x: x[0], y, shape },
            Op::Conv(_) | Op::Extremes | Op::Round | Op::Reshape | Op::Constant(_) => {
                unreachable!("these were taken above")
            }
        };
        let name = work.name();
        self.steps.push(Step {
            work,
            layers: (index, index),
        });
        self.row(index, name, self.kernels.name(), true);
        Ok(())
    }

    /// Places everything and turns the steps' needs into offsets.
    fn finish(mut self, end: usize) -> Result<Plan, String> {
        let scratch_bytes = self.scratch_bytes.next_multiple_of(64);
        let scratch = (scratch_bytes > 0)
            .then(|| self.need(scratch_bytes.saturating_mul(self.threads), 0, end));
        for need in &mut self.needs {
            need.last = need.last.min(end);
        }
        let (offsets, arena_bytes) = place(&self.needs);
        if arena_bytes > ARENA_BYTES_MOST {
            let most = ARENA_BYTES_MOST >> 20;
            return Err(format!(
                "its activations need more than {most} MiB at once, the limit: take a smaller picture or network"
            ));
        }
        for step in &mut self.steps {
            step.work.settle(&offsets);
        }
        for row in &mut self.rows {
            row.arena_offset = row.arena_offset.map(|need| offsets[need]);
        }
        for fill in &mut self.fills {
            fill.0 = offsets[fill.0];
        }
        for constant in &mut self.constants {
            constant.0 = offsets[constant.0];
        }
        let at = |id: TensorId| {
            self.tensor_need[id.0]
                .map(|need| offsets[need])
                .ok_or("a tensor has no place")
        };
        let port = |border: &Border| {
            Ok(Port {
                offset: at(border.tensor)?,
                shape: self.graph.tensors[border.tensor.0].shape,
                channels_first: border.channels_first,
            })
        };
        let ports = |borders: &[Border], segment: usize| -> Result<Vec<Port>, String> {
            let own = borders.iter().filter(|b| b.segment == segment);
            own.map(port).collect()
        };
        let mut segments = Vec::new();
        for (i, steps) in self.segments.iter().enumerate() {
            segments.push(Segment {
                steps: steps.clone(),
                imports: ports(&self.graph.imports, i)?,
                exports: ports(&self.graph.exports, i)?,
            });
        }
        let input = self.graph.input.as_ref();
        Ok(Plan {
            arena_bytes,
            segments,
            input_offset: input.map(|i| at(i.tensor)).transpose()?,
            steps: self.steps,
            rows: self.rows,
            fills: self.fills,
            constants: self.constants,
            scratch: (scratch.map_or(0, |need| offsets[need]), scratch_bytes),
        })
    }
}

/// Channels that are picked, as runs of bytes of a pixel: where each begins and how long it is.
fn runs_of(from: &[usize], elem: usize) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &channel in from {
        let at = channel * elem;
        match runs.last_mut() {
            Some((start, len)) if *start + *len == at => *len += elem,
            _ => runs.push((at, elem)),
        }
    }
    runs
}
