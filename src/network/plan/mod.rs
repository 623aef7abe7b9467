//! From graph to steps: weights packed, blocks recognised, every tensor and scratch buffer placed in the arena.
//!
//! ```text
//! mod           the planner, and the order of planning
//! groups        which layers become one step
//! arena         how long memory is needed, and its offset
//! pack          weights of convolutions
//! convolutions  convolutions, their padding, and blocks of up to three of them over bands of rows
//! half          a graph of floats as one of half precision
//! layers        the other layers of convolutional networks
//! maps          functions of bytes
//! pictures      LocalResponseNormalization and resized pictures
//! transformer   matrix products, moves, LayerNormalization and Softmax
//! dynamic       quantisation whose scale is recomputed in every run
//! verify        the proof of a plan, before it runs
//! ```
//! During planning a step refers to its memory by [`Need`]s; it is built once each of these has its [`Offset`].

mod arena;
mod convolutions;
mod dynamic;
mod groups;
pub(crate) mod half;
mod layers;
mod maps;
mod pack;
mod pictures;
mod transformer;
pub(crate) mod verify;

use super::graph::requantise::Requantise;
use super::graph::{Border, Graph, Kind, Op, Quant, Shape, Tensor, TensorId, Weights};
use super::kernels::{Half, Kernels};
use super::run::border::Port;
use super::run::offset::Offset;
use super::run::steps::{MAX_KERNEL_ROWS, Step, Work};
use super::run::{Fill, Plan, Row, Scratch, Segment};
use arena::{Need, Needs, Places};
use groups::{Group, groups};
use std::ops::Range;

/// A step whose offsets are not known yet.
struct Unplaced<'a> {
    work: Box<dyn FnOnce(&Places) -> Work + 'a>,
    /// As of [`Step`].
    layers: (usize, usize),
}

/// A row of the plan's listing whose offset is not known yet.
struct UnplacedRow {
    row: Row,
    /// The result's memory; `None` if it exists only as bands of rows.
    place: Option<Need>,
}

/// State of the planner.
struct Planner<'a> {
    graph: &'a Graph,
    /// Weights of the convolution that makes each tensor; dropped once packed.
    weights: Vec<Option<Weights>>,
    kernels: &'static dyn Kernels,
    threads: usize,
    needs: Needs,
    tensor_need: Vec<Option<Need>>,
    steps: Vec<Unplaced<'a>>,
    segments: Vec<Range<usize>>,
    rows: Vec<UnplacedRow>,
    fills: Vec<Fill<Need>>,
    constants: Vec<(Need, Vec<f32>)>,
    /// The most scratch memory that any kernel needs.
    scratch_bytes: usize,
    dynamic: dynamic::Asked,
}

/// What a layer reads and makes in its step.
struct InOut {
    x: Vec<Need>,
    y: Need,
    /// Shapes of the inputs.
    inputs: Vec<Shape>,
    /// Quantisations of the inputs, and of the result.
    from: Vec<Option<Quant>>,
    to: Option<Quant>,
    /// Shape of the result.
    shape: Shape,
    /// Bytes of a value of the result.
    elem: usize,
}

/// Plans a graph and takes its weights out of it.
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
    let mut planner = Planner {
        graph,
        weights,
        kernels,
        threads,
        needs: Needs::default(),
        tensor_need: vec![None; graph.tensors.len()],
        steps: Vec::new(),
        segments: Vec::new(),
        rows: Vec::new(),
        fills: Vec::new(),
        constants: Vec::new(),
        scratch_bytes: 0,
        dynamic: dynamic::Asked::of(graph),
    };
    // The input lives for the whole run, so that a second run without a new picture gives the same result.
    if let Some(input) = &graph.input {
        planner.define(input.tensor, 0);
    }
    let mut groups = groups(graph).into_iter().peekable();
    for segment in 0..graph.segments() {
        let first = planner.steps.len();
        for import in graph.imports.iter().filter(|b| b.segment == segment) {
            planner.define(import.tensor, first);
        }
        let belongs = |group: &Group| graph.layers[group.main()].segment == segment;
        while let Some(group) = groups.next_if(belongs) {
            planner.group(group)?;
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

impl<'a> Planner<'a> {
    /// Adds memory for a tensor, alive from the step that makes it.
    fn define(&mut self, tensor: TensorId, step: usize) -> Need {
        let bytes = self.graph.tensors[tensor.0].bytes();
        let need = self.needs.add(bytes, step, step);
        self.tensor_need[tensor.0] = Some(need);
        need
    }

    /// A tensor's memory, kept alive up to the step that reads it.
    fn read(&mut self, tensor: TensorId, step: usize) -> Need {
        let need = self.tensor_need[tensor.0].expect("layers are in execution order");
        self.needs.last_until(need, step);
        need
    }

    fn tensor(&self, id: TensorId) -> &'a Tensor {
        &self.graph.tensors[id.0]
    }

    fn quant(&self, id: TensorId) -> Option<Quant> {
        self.tensor(id).kind.quant()
    }

    /// The loops over a tensor's values, if they are of half precision.
    fn half(&self, id: TensorId) -> Result<Option<&'static dyn Half>, String> {
        let half = || self.kernels.half().ok_or("no kernels for half precision");
        let needed = self.tensor(id).kind == Kind::F16;
        Ok(needed.then(half).transpose()?)
    }

    /// Zero point in the range of the stored bytes.
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

    /// What a layer reads and makes in the next step.
    fn in_out(&mut self, index: usize) -> InOut {
        let layer = &self.graph.layers[index];
        let step = self.steps.len();
        InOut {
            x: layer.inputs.iter().map(|&i| self.read(i, step)).collect(),
            y: self.define(layer.output, step),
            inputs: layer.inputs.iter().map(|&i| self.tensor(i).shape).collect(),
            from: layer.inputs.iter().map(|&i| self.quant(i)).collect(),
            to: self.quant(layer.output),
            shape: self.tensor(layer.output).shape,
            elem: self.tensor(layer.output).kind.bytes(),
        }
    }

    /// Adds a step for these layers, built once offsets are known.
    fn step(&mut self, layers: (usize, usize), work: impl FnOnce(&Places) -> Work + 'a) {
        let work = Box::new(work);
        self.steps.push(Unplaced { work, layers });
    }

    /// Adds a step for one layer, and a row with the step's name.
    fn step_and_row(&mut self, index: usize, work: impl FnOnce(&Places) -> Work + 'a) {
        self.step((index, index), work);
        self.row(index, "", self.kernels.name(), true);
    }

    /// Adds a row for a result of the last step, with the step's name if `op` is empty; `whole` if the entire result is in the arena
    /// at once.
    fn row(&mut self, layer: usize, op: &'static str, kernel: &'static str, whole: bool) {
        let layer = &self.graph.layers[layer];
        let (segment, tensor) = (layer.segment, self.tensor(layer.output));
        let multiply_adds = match &layer.op {
            Op::Conv(conv) => conv.multiply_adds(tensor.shape),
            Op::Product(of) => (of.y.volume() * of.depth()) as u64,
            _ => 0,
        };
        self.rows.push(UnplacedRow {
            row: Row {
                name: layer.name.clone(),
                op,
                shape: tensor.shape,
                kernel,
                multiply_adds,
                arena_offset: None,
                bytes: tensor.bytes(),
                segment,
                step: self.steps.len().saturating_sub(1),
            },
            place: self.tensor_need[layer.output.0].filter(|_| whole),
        });
    }

    /// Plans a group of layers and drops their weights once packed.
    fn group(&mut self, group: Group) -> Result<(), String> {
        let graph = self.graph;
        for layer in group.layers().map(|i| &graph.layers[i]) {
            if let (Op::Conv(conv), Some(weights)) = (&layer.op, &mut self.weights[layer.output.0])
            {
                conv.finish(weights);
            }
        }
        match group {
            Group::One(layer) => self.one(layer)?,
            Group::Block(bands) => self.block(bands)?,
        }
        for layer in group.layers() {
            self.weights[graph.layers[layer].output.0] = None;
        }
        Ok(())
    }

    /// Plans a single layer.
    fn one(&mut self, index: usize) -> Result<(), String> {
        let graph = self.graph;
        match &graph.layers[index].op {
            Op::Conv(conv) if conv.factors.is_some() => self.dynamic_conv(index, conv)?,
            Op::Conv(conv) if conv.depthwise() && conv.window.kh <= MAX_KERNEL_ROWS => {
                self.depthwise(index, conv)?;
            }
            Op::Conv(conv) => self.conv(index, conv)?,
            Op::Add { clamp } => self.sum(index, *clamp, false)?,
            Op::Mul { clamp } => self.sum(index, *clamp, true)?,
            Op::AveragePool(window, pads) => self.average(index, *window, *pads)?,
            Op::MaxPool(window, zeros) => self.max_pool(index, *window, *zeros)?,
            Op::Affine { a, b } => self.affine(index, a, b),
            Op::Slopes(slopes) => self.slopes(index, slopes),
            Op::Pick(from) => self.pick(index, from),
            Op::Unary(f) => self.function(index, *f, false)?,
            Op::Gate { f, .. } => self.function(index, *f, true)?,
            Op::Tables(tables) => self.tables(index, tables),
            Op::Softmax => self.softmax(index),
            Op::Norm(norm) => self.norm(index, norm),
            Op::Lrn(of) => self.lrn(index, *of),
            Op::Resize(of) => self.resize(index, of),
            Op::Reshape => self.reshape(index),
            Op::Move(from) => self.moves(index, *from),
            Op::Product(of) => self.product(index, of),
            Op::Constant(values) => self.constant(index, values),
            Op::Quantise => self.quantise(index)?,
            Op::Dequantise => self.dequantise(index)?,
            Op::Extremes => self.extremes(index),
            Op::DynamicQuantise => self.dynamic_quantise(index),
            Op::Concat => self.concat(index),
            Op::ChannelsFirst => self.channels_first(index),
        }
        Ok(())
    }

    /// Places everything, then builds the steps.
    fn finish(mut self, end: usize) -> Result<Plan, String> {
        let scratch_bytes = self.scratch_bytes.next_multiple_of(64);
        let scratch = (scratch_bytes > 0).then(|| {
            let all = scratch_bytes.saturating_mul(self.threads);
            self.needs.add(all, 0, end)
        });
        let places = std::mem::take(&mut self.needs).place(end)?;
        let step = |step: Unplaced<'_>| Step {
            work: (step.work)(&places),
            layers: step.layers,
        };
        let steps: Vec<Step> = std::mem::take(&mut self.steps)
            .into_iter()
            .map(step)
            .collect();
        let row = |row: UnplacedRow| Row {
            op: match row.row.op {
                "" => steps[row.row.step].work.name(),
                op => op,
            },
            arena_offset: row.place.map(|need| places.of(need).byte()),
            ..row.row
        };
        let rows = std::mem::take(&mut self.rows).into_iter().map(row);
        let input = self.graph.input.as_ref();
        let input = input.and_then(|input| self.tensor_need[input.tensor.0]);
        Ok(Plan {
            arena_bytes: places.bytes,
            segments: self.placed_segments(&places)?,
            input_offset: input.map(|need| places.of(need)),
            rows: rows.collect(),
            fills: (self.fills.iter())
                .map(|&Fill { at, bytes, byte }| Fill {
                    at: places.of(at),
                    bytes,
                    byte,
                })
                .collect(),
            constants: (std::mem::take(&mut self.constants).into_iter())
                .map(|(need, values)| (places.of(need), values))
                .collect(),
            scratch: Scratch {
                at: scratch.map_or(Offset::at_byte(0), |need| places.of(need)),
                bytes_per_thread: scratch_bytes,
            },
            steps,
        })
    }

    fn placed_segments(&self, places: &Places) -> Result<Vec<Segment>, String> {
        let port = |border: &Border| {
            let need = self.tensor_need[border.tensor.0].ok_or("a tensor has no place")?;
            Ok(Port {
                offset: places.of(need),
                shape: self.graph.tensors[border.tensor.0].shape,
                channels_first: border.channels_first,
            })
        };
        let ports = |borders: &[Border], segment: usize| -> Result<Vec<Port>, String> {
            let own = borders.iter().filter(|b| b.segment == segment);
            own.map(port).collect()
        };
        let segments = self.segments.iter().enumerate().map(|(i, steps)| {
            Ok(Segment {
                steps: steps.clone(),
                imports: ports(&self.graph.imports, i)?,
                exports: ports(&self.graph.exports, i)?,
            })
        });
        segments.collect()
    }
}
