//! From the graph to steps: weights packed, blocks recognised, every tensor and scratch buffer given its place in the arena.

use super::arena::{Need, place};
use super::border::Port;
use super::graph::{Border, Conv, Graph, Kind, Layer, Op, Quant, Shape, Tensor, TensorId, Weights};
use super::kernels::{
    Aligned, BinaryQ8, ConvF32, ConvQ8, DepthwiseF32, DepthwiseQ8, DepthwiseRow, Kernels, RawF32,
    RawQ8, Runs, reference,
};
use super::requantise::{Requantise, quantise};
use super::steps::{
    Add, AnyConv, AnyDepthwise, Average, Block, ConvStep, DepthwiseStep, Front, Pad, Step, Work,
};
use std::ops::Range;

/// Expanded activations of this many bytes or more are made by bands of rows instead of whole.
const BAND_FROM_BYTES: usize = 96 << 10;
/// A band has at least so many pixels, so that the convolution after it works on full tiles.
const BAND_PIXELS: usize = 48;
/// Kernel rows that a depthwise step can take.
pub(super) const MAX_KERNEL_ROWS: usize = 16;

/// One line of what was planned.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The ONNX node's name.
    pub name: String,
    /// What is done.
    pub op: &'static str,
    /// Size of the result.
    pub shape: Shape,
    /// The kernels that do it.
    pub kernel: &'static str,
    /// Multiply-adds.
    pub multiply_adds: u64,
    /// Where the result lies in the arena; `None` when it only ever exists by bands of rows.
    pub arena_offset: Option<usize>,
    /// Bytes of the result.
    pub bytes: usize,
    /// The segment that it belongs to; 0 for a whole network.
    pub segment: usize,
}

/// Steps that run without leaving the arena, what is put in before them and taken out after them.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) steps: Range<usize>,
    pub(super) imports: Vec<Port>,
    pub(super) exports: Vec<Port>,
}

/// Everything ready to run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) segments: Vec<Segment>,
    pub(super) arena_bytes: usize,
    /// Where the picture lies, when there is one.
    pub(super) input_offset: Option<usize>,
    pub(super) rows: Vec<Row>,
    /// Rows of padding, one a distinct padding byte: `(offset, bytes, value)`, filled once.
    pub(super) fills: Vec<(usize, usize, u8)>,
}

/// Layers that become one step.
enum Group {
    One(usize),
    /// Convolution, depthwise, pointwise: indices of layers.
    Block(Option<usize>, usize, Option<usize>),
}

pub(super) struct Planner<'a> {
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
}

/// The plan of a graph, whose weights are taken out of it.
pub(super) fn plan(
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
                Group::One(layer) => {
                    planner.one(layer)?;
                    [Some(layer), None, None]
                }
                Group::Block(expand, depthwise, project) => {
                    planner.block(expand, depthwise, project)?;
                    [expand, Some(depthwise), project]
                }
            };
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

/// The layer that alone reads a tensor.
fn only_reader(graph: &Graph, tensor: TensorId) -> Option<usize> {
    let mut readers = (0..graph.layers.len()).filter(|&i| graph.layers[i].inputs.contains(&tensor));
    let first = readers.next()?;
    let taken = graph.exports.iter().any(|e| e.tensor == tensor);
    (readers.next().is_none() && !taken).then_some(first)
}

fn conv_of(layer: &Layer) -> Option<&Conv> {
    match &layer.op {
        Op::Conv(conv) => Some(conv),
        _ => None,
    }
}

fn takes_bands(conv: &Conv) -> bool {
    conv.depthwise() && conv.window.dh == 1 && conv.window.kh <= MAX_KERNEL_ROWS
}

fn groups(graph: &Graph) -> Vec<Group> {
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
            only_reader(graph, output).filter(|_| large(output))
        };
        let plain = |conv: &Conv| conv.groups == 1;
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
        let project = depthwise.and_then(|d| {
            next(d).filter(|&p| conv_of(&graph.layers[p]).is_some_and(Conv::pointwise))
        });
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

    /// Weights of the convolution that makes a tensor.
    fn weights(&self, id: TensorId) -> Result<&Weights, String> {
        let weights = self.weights[id.0].as_ref();
        weights.ok_or_else(|| "the weights are packed already".into())
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
        let multiply_adds = conv_of(layer).map_or(0, |c| c.multiply_adds(tensor.shape));
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

    /// Folded bias and multipliers of a quantised convolution.
    fn folded(
        &self,
        conv: &Conv,
        x: TensorId,
        y: TensorId,
    ) -> Result<(Vec<i32>, Vec<f32>), String> {
        let Weights::Q8 {
            w,
            zero,
            scale,
            bias,
        } = self.weights(y)?
        else {
            return Err("float weights on bytes".into());
        };
        let (qx, qy) = (self.quant(x), self.quant(y));
        let (Some(qx), Some(qy)) = (qx, qy) else {
            return Err("byte weights on floats".into());
        };
        let per = w.len() / conv.cout;
        let zero_x = self.stored_zero(qx);
        let mut folded = Vec::with_capacity(conv.cout);
        let mut multipliers = Vec::with_capacity(conv.cout);
        for n in 0..conv.cout {
            let sum: i32 = w[n * per..][..per]
                .iter()
                .map(|&w| i32::from(w) - zero[n])
                .fold(0, i32::wrapping_add);
            folded.push(bias[n].wrapping_sub(zero_x.wrapping_mul(sum)));
            let m = qx.scale * scale[n] / qy.scale;
            if !m.is_finite() {
                return Err(format!("the scale of channel {n} makes no sense"));
            }
            multipliers.push(m);
        }
        Ok((folded, multipliers))
    }

    /// Packs group `g` of a convolution whose input has these pitches in bytes.
    fn pack_conv(
        &self,
        layer: &Layer,
        conv: &Conv,
        g: usize,
        row_pitch: usize,
        pixel_pitch: usize,
        w_in: usize,
    ) -> Result<AnyConv, String> {
        let win = &conv.window;
        let (x, y) = (layer.inputs[0], layer.output);
        let per_group = conv.cin / conv.groups;
        let n = conv.cout / conv.groups;
        let (offsets, len): (Vec<usize>, usize) = if conv.groups == 1 && win.dw == 1 {
            if win.dh == 1 && win.kw == w_in {
                (vec![0], win.kh * win.kw * per_group)
            } else {
                let rows = (0..win.kh).map(|y| y * win.dh * row_pitch);
                (rows.collect(), win.kw * per_group)
            }
        } else {
            let taps = (0..win.kh).flat_map(|y| {
                (0..win.kw).map(move |x| y * win.dh * row_pitch + x * win.dw * pixel_pitch)
            });
            (taps.collect(), per_group)
        };
        let runs = Runs { offsets, len, n };
        let per = win.kh * win.kw * per_group;
        let part = g * n..(g + 1) * n;
        match self.weights(y)? {
            Weights::F32 { w, bias } => {
                let raw = RawF32 {
                    w: &w[part.start * per..part.end * per],
                    bias: &bias[part],
                };
                let packed = self.kernels.pack_conv_f32(&runs, &raw);
                let clamp = conv.clamp;
                Ok(AnyConv::F32(
                    ConvF32 {
                        runs,
                        packed,
                        clamp,
                    },
                    self.kernels,
                ))
            }
            Weights::Q8 { w, zero, .. } => {
                let (bias, multiplier) = self.folded(conv, x, y)?;
                let raw = RawQ8 {
                    w: &w[part.start * per..part.end * per],
                    w_zero: &zero[part.clone()],
                    bias: &bias[part.clone()],
                    multiplier: &multiplier[part],
                };
                let kernels = self.kernels_for(&raw);
                let packed = kernels.pack_conv_q8(&runs, &raw);
                let end = self.requantise(y, conv.clamp)?;
                let bounded = raw.bounded();
                Ok(AnyConv::Q8(
                    ConvQ8 {
                        runs,
                        packed,
                        end,
                        bounded,
                    },
                    kernels,
                ))
            }
        }
    }

    fn kernels_for(&self, raw: &RawQ8<'_>) -> &'static dyn Kernels {
        if self.kernels.takes(raw) {
            self.kernels
        } else if self.kernels.signed() {
            &reference::SIGNED
        } else {
            &reference::UNSIGNED
        }
    }

    fn pack_depthwise(&self, layer: &Layer, conv: &Conv) -> Result<AnyDepthwise, String> {
        let (x, y) = (layer.inputs[0], layer.output);
        let win = &conv.window;
        let row = DepthwiseRow {
            c: conv.cin,
            kh: win.kh,
            kw: win.kw,
            stride: win.sw,
            dilation: win.dw,
            left: win.left,
            w_in: self.tensor(x).shape.w,
            w_out: self.tensor(y).shape.w,
        };
        match self.weights(y)? {
            Weights::F32 { w, bias } => {
                let packed = self.kernels.pack_depthwise_f32(&row, &RawF32 { w, bias });
                let clamp = conv.clamp;
                Ok(AnyDepthwise::F32(
                    DepthwiseF32 { row, packed, clamp },
                    self.kernels,
                ))
            }
            Weights::Q8 { w, zero, .. } => {
                let (bias, multiplier) = self.folded(conv, x, y)?;
                let raw = RawQ8 {
                    w,
                    w_zero: zero,
                    bias: &bias,
                    multiplier: &multiplier,
                };
                let kernels = self.kernels_for(&raw);
                let packed = kernels.pack_depthwise_q8(&row, &raw);
                let pad = self.pad_byte(x);
                let end = self.requantise(y, conv.clamp)?;
                Ok(AnyDepthwise::Q8(
                    DepthwiseQ8 {
                        row,
                        pad,
                        packed,
                        end,
                        bounded: raw.bounded(),
                    },
                    kernels,
                ))
            }
        }
    }

    /// A row of padding as wide as `bytes`, shared by all that pad with `value`; a need that lives for ever.
    fn padding_row(&mut self, bytes: usize, value: u8) -> usize {
        if let Some(fill) = self.fills.iter_mut().find(|f| f.2 == value) {
            fill.1 = fill.1.max(bytes);
            let need = fill.0;
            self.needs[need].bytes = self.needs[need].bytes.max(bytes);
            return need;
        }
        let need = self.need(bytes, 0, usize::MAX);
        self.fills.push((need, bytes, value));
        need
    }

    /// How a convolution reads its input: packed weights of every group, and where rows begin. Adds a step that lays out
    /// padding when there is any. Returns the need that it reads and the byte pitches.
    fn front(&mut self, layer: &Layer, conv: &Conv) -> Result<(Front, Vec<AnyConv>), String> {
        let x = layer.inputs[0];
        let input = self.tensor(x).clone();
        let elem = input.kind.bytes();
        let win = conv.window;
        let pixel_pitch = input.shape.c * elem;
        let mut width = input.shape.w;
        let mut source = self.read(x, self.steps.len());
        if win.padded() {
            let rows = input.shape.h + win.top + win.bottom;
            width += win.left + win.right;
            let step = self.steps.len();
            let scratch = self.need(rows * width * pixel_pitch, step, step + 1);
            self.steps.push(Step {
                work: Work::Pad(Pad {
                    x: source,
                    y: scratch,
                    shape: input.shape,
                    elem,
                    window: win,
                    value: self.pad_byte(x),
                }),
            });
            source = scratch;
        }
        let row_pitch = width * pixel_pitch;
        let convs = (0..conv.groups)
            .map(|g| self.pack_conv(layer, conv, g, row_pitch, pixel_pitch, width))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((
            Front {
                x: source,
                row_pitch: row_pitch * win.sh,
                pixel_pitch: pixel_pitch * win.sw,
                group_pitch: conv.cin / conv.groups * elem,
            },
            convs,
        ))
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
                        let end =
                            self.requantise(layer.output, (f32::NEG_INFINITY, f32::INFINITY))?;
                        Some((self.stored_zero(q), ratio, end))
                    }
                    _ => None,
                },
            }),
            Op::MaxPool(window) => Work::Max {
                x: x[0],
                y,
                input: inputs[0],
                output: shape,
                window: *window,
                bytes,
                signed,
            },
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
                (Some(from), Some(to)) => {
                    let mut table = Box::new([0; 256]);
                    for q in 0..=255u8 {
                        let real = f.of(super::requantise::dequantise(q, from));
                        table[usize::from(q ^ flip)] = quantise(real, to) as u8 ^ flip;
                    }
                    Work::Table {
                        x: x[0],
                        y,
                        len: shape.volume(),
                        table,
                    }
                }
                (None, None) => Work::Unary {
                    x: x[0],
                    y,
                    len: shape.volume(),
                    f: *f,
                },
                _ => return Err("a function from bytes to floats".into()),
            },
            Op::Softmax => Work::Softmax {
                x: x[0],
                y,
                pixels: shape.pixels(),
                c: shape.c,
            },
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
                    table[usize::from(q ^ flip)] = super::requantise::dequantise(q, quant);
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
            Op::Conv(_) => unreachable!("convolutions were taken above"),
        };
        let name = work.name();
        self.steps.push(Step { work });
        self.row(index, name, self.kernels.name(), true);
        Ok(())
    }

    fn conv(&mut self, index: usize, conv: &Conv) -> Result<(), String> {
        let layer = &self.graph.layers[index];
        let (front, convs) = self.front(layer, conv)?;
        let step = self.steps.len();
        let y = self.define(layer.output, step);
        let Tensor { shape, kind } = *self.tensor(layer.output);
        let name = convs[0].kernels().name();
        // A pointwise convolution (or a whole-window one) sees all pixels as one row.
        let flat = conv.window == super::graph::Window::POINT;
        let (rows, columns) = if flat {
            (1, shape.pixels())
        } else {
            (shape.h, shape.w)
        };
        self.steps.push(Step {
            work: Work::Conv(ConvStep {
                front,
                convs,
                y,
                rows,
                columns,
                y_pixel: shape.c * kind.bytes(),
                y_group: shape.c / conv.groups * kind.bytes(),
            }),
        });
        let op = match (conv.groups, flat, shape.pixels()) {
            (1, _, 1) => "fully connected",
            (1, true, _) => "pointwise",
            (1, false, _) => "convolution",
            _ => "grouped convolution",
        };
        self.row(index, op, name, true);
        Ok(())
    }

    fn depthwise(&mut self, index: usize, conv: &Conv) -> Result<(), String> {
        let layer = &self.graph.layers[index];
        let step = self.steps.len();
        let x = self.read(layer.inputs[0], step);
        let input = self.tensor(layer.inputs[0]).clone();
        let row_bytes = input.shape.w * input.shape.c * input.kind.bytes();
        let padding = self.padding_row(row_bytes, self.pad_byte(layer.inputs[0]));
        let conv_packed = self.pack_depthwise(layer, conv)?;
        let name = conv_packed.kernels().name();
        let y = self.define(layer.output, step);
        let Tensor { shape, kind } = *self.tensor(layer.output);
        self.steps.push(Step {
            work: Work::Depthwise(DepthwiseStep {
                x,
                y,
                padding,
                conv: conv_packed,
                window: conv.window,
                h_in: input.shape.h,
                row_bytes,
                rows: shape.h,
                y_row: shape.w * shape.c * kind.bytes(),
                channels: shape.c,
            }),
        });
        self.row(index, "depthwise", name, true);
        Ok(())
    }

    fn block(
        &mut self,
        expand: Option<usize>,
        depthwise: usize,
        project: Option<usize>,
    ) -> Result<(), String> {
        let graph = self.graph;
        let dw_layer = &graph.layers[depthwise];
        let dw_conv = conv_of(dw_layer).ok_or("not a convolution")?;
        let mid = self.tensor(dw_layer.inputs[0]).clone();
        let dw_out = self.tensor(dw_layer.output).clone();
        let win = dw_conv.window;
        let row_bytes = mid.shape.w * mid.shape.c * mid.kind.bytes();
        let mut front = None;
        if let Some(e) = expand {
            let layer = &graph.layers[e];
            let conv = conv_of(layer).ok_or("not a convolution")?;
            let (place, mut convs) = self.front(layer, conv)?;
            let packed = convs.pop().ok_or("no groups")?;
            front = Some((place, packed));
        }
        let step = self.steps.len();
        let x = match &front {
            Some((place, _)) => place.x,
            None => self.read(dw_layer.inputs[0], step),
        };
        let padding = self.padding_row(row_bytes, self.pad_byte(dw_layer.inputs[0]));
        let packed = self.pack_depthwise(dw_layer, dw_conv)?;
        let dw_name = packed.kernels().name();
        let dw_row = dw_out.shape.w * dw_out.shape.c * dw_out.kind.bytes();
        let band_rows = if project.is_some() {
            BAND_PIXELS.div_ceil(dw_out.shape.w).min(dw_out.shape.h)
        } else {
            1
        };
        let mut last = None;
        if let Some(p) = project {
            let layer = &graph.layers[p];
            let conv = conv_of(layer).ok_or("not a convolution")?;
            let pitch = dw_out.shape.c * dw_out.kind.bytes();
            last = Some(self.pack_conv(
                layer,
                conv,
                0,
                pitch * dw_out.shape.w,
                pitch,
                dw_out.shape.w,
            )?);
        }
        let ring = expand.map(|_| self.need((row_bytes * win.kh + 64) * self.threads, step, step));
        let band = project.map(|_| self.need((dw_row * band_rows + 64) * self.threads, step, step));
        let out = &graph.layers[project.unwrap_or(depthwise)];
        let y = self.define(out.output, step);
        let Tensor { shape, kind } = *self.tensor(out.output);
        let names = (
            front.as_ref().map(|(_, c)| c.kernels().name()),
            last.as_ref().map(|c| c.kernels().name()),
        );
        self.steps.push(Step {
            work: Work::Block(Box::new(Block {
                x,
                front,
                ring,
                padding,
                depthwise: packed,
                window: win,
                h_in: mid.shape.h,
                w_in: mid.shape.w,
                row_bytes,
                rows: dw_out.shape.h,
                dw_row,
                dw_pixel: dw_out.shape.c * dw_out.kind.bytes(),
                band,
                band_rows,
                channels: dw_out.shape.c,
                project: last,
                y,
                y_row: shape.w * shape.c * kind.bytes(),
                y_pixel: shape.c * kind.bytes(),
                columns: dw_out.shape.w,
            })),
        });
        if let (Some(e), Some(name)) = (expand, names.0) {
            self.row(e, "convolution, by bands", name, false);
        }
        self.row(depthwise, "depthwise, by bands", dw_name, project.is_none());
        if let (Some(p), Some(name)) = (project, names.1) {
            self.row(p, "pointwise, by bands", name, true);
        }
        Ok(())
    }

    /// Places everything and turns the steps' needs into offsets.
    fn finish(mut self, end: usize) -> Result<Plan, String> {
        for need in &mut self.needs {
            need.last = need.last.min(end);
        }
        let (offsets, arena_bytes) = place(&self.needs);
        for step in &mut self.steps {
            step.work.settle(&offsets);
        }
        for row in &mut self.rows {
            row.arena_offset = row.arena_offset.map(|need| offsets[need]);
        }
        for fill in &mut self.fills {
            fill.0 = offsets[fill.0];
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

/// An arena for a plan, with the padding rows filled.
pub(super) fn arena(plan: &Plan) -> Aligned {
    let mut arena = Aligned::zeroed(plan.arena_bytes);
    for &(offset, bytes, value) in &plan.fills {
        arena.bytes_mut()[offset..offset + bytes].fill(value);
    }
    arena
}
