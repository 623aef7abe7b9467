//! tract's plan: any ONNX operator that tract supports, in float, on one thread, with islands of our own kernels if there are
//! any.

use super::island::attach;
use super::islands::Islands;
use super::parse::{datum_type, parse, unknown_operator};
use super::squares::square_whole;
use crate::network::graph::sizes::{MAX_VALUES, volume};
use crate::network::onnx::budget::{self, Span};
use crate::spec::{Dtype, Input};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core;
use tract_onnx::tract_core::ops::Downsample;
use tract_onnx::tract_core::ops::array::{Gather, StridedSlice};
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::*;

/// A plan before its first run.
pub struct Planned {
    plan: Arc<TypedSimplePlan>,
    remembers: bool,
    tensor: Arc<Tensor>,
    input: Staging,
    output_dims: Vec<usize>,
    islands: Option<Islands>,
}

/// A runnable plan and its running state.
pub struct TractPlan {
    state: TypedSimpleState,
    /// An operator keeps state from run to run (tract's Scan and GRU do: they treat each run as the next piece of a stream).
    remembers: bool,
    tensor: Arc<Tensor>,
    /// The input: dense, in the model's layout, or encoded by the islands' encoder if they take the picture.
    pub input: Staging,
    /// The output's sizes, with the batch.
    pub output_dims: Vec<usize>,
    /// The output of the last run, as f32.
    pub scores: Vec<f32>,
    /// The parts of the network that our own kernels run.
    pub islands: Option<Islands>,
}

/// The values of the next input tensor. tract keeps the tensor of the last run, so they are written here first.
pub enum Staging {
    /// 32-bit float.
    F32(Vec<f32>),
    /// Bytes.
    U8(Vec<u8>),
}

impl Planned {
    /// Analyses, optimises and consumes a repaired float model with nodes for these islands. The error is tract's own text, or
    /// names an operator that tract does not support.
    pub fn new(
        mut model: ModelProto,
        dtype: Dtype,
        input_shape: &[usize],
        islands: Option<Islands>,
    ) -> TractResult<Self> {
        let count = input_shape.iter().product();
        let mut input = match dtype {
            Dtype::F32 => Staging::F32(vec![0.0; count]),
            Dtype::U8 => Staging::U8(vec![0; count]),
        };
        // If the islands take the picture, tract's own input is one dummy float.
        let (mut dtype, mut input_shape) = (dtype, input_shape);
        if let Some(islands) = islands.as_ref().filter(|i| i.takes_picture) {
            (dtype, input_shape) = (Dtype::F32, &[1]);
            let mut fused = islands.fused.lock().map_err(|_| format_err!("it broke"))?;
            input = match fused.input() {
                Input::F32(values) => Staging::F32(values.to_vec()),
                Input::U8(values) => Staging::U8(values.to_vec()),
            };
        }
        if let Some(why) = unknown_operator(&model) {
            bail!(why);
        }
        let spans = model.graph.as_ref().map_or_else(Vec::new, budget::spans);
        let parsed = parse(&mut model, dtype, input_shape)?;
        let (mut graph, outlets) = (parsed.model, parsed.outlets_by_name);
        // tract has copies of the weights.
        drop(model);
        if let Some(islands) = &islands {
            attach(&mut graph, &islands.fused, &islands.ports)?;
        }
        let datum_type = datum_type(dtype);
        graph.analyse(false)?;
        check_sizes(&graph, &outlets, &spans)?;
        let mut graph = graph.into_typed()?;
        pick_by_index(&mut graph)?;
        square_whole(&mut graph)?;
        let graph = graph.into_optimized()?;
        if let Some(node) = graph.nodes().iter().find(|n| crops(n)) {
            bail!(
                "the node {:?} pads by negative numbers that are computed on the way: export it with a fixed input size, so \
                 that they are constants, or slice there",
                node.name
            );
        }
        let plan = graph.into_runnable()?;
        let outlet = plan.model().output_outlets()?[0];
        let shape = plan
            .model()
            .outlet_fact(outlet)?
            .shape
            .as_concrete()
            .map(<[usize]>::to_vec);
        let shape = shape.context("the output's shape depends on the picture")?;
        small_enough("output", &shape)?;
        let tensor = Arc::new(Tensor::zero_dt(datum_type, input_shape)?);
        let nowhere = EvalContext::out_of_plan();
        let mut ops = plan.model().nodes().iter().map(|n| n.op().state(&nowhere));
        let remembers = ops.any(|state| state.is_ok_and(|s| s.is_some()));
        Ok(Self {
            plan,
            remembers,
            tensor,
            input,
            output_dims: shape,
            islands,
        })
    }
}

/// Refuses a graph with a tensor over the size limit, or a window that does not fit its input.
fn check_sizes(
    graph: &InferenceModel,
    outlets: &HashMap<String, OutletId>,
    spans: &[Span],
) -> TractResult<()> {
    let dims_of = |fact: &InferenceFact| -> Option<Vec<usize>> {
        let dims = fact.shape.concretize()?;
        dims.iter().map(|d| d.to_usize().ok()).collect()
    };
    for span in spans {
        let input = outlets.get(&span.input);
        if let Some(dims) = input.and_then(|&o| dims_of(graph.outlet_fact(o).ok()?)) {
            span.fits(&dims).map_err(|why| format_err!(why))?;
        }
    }
    for node in graph.nodes() {
        for dims in node.outputs.iter().filter_map(|o| dims_of(&o.fact)) {
            small_enough(&node.name, &dims)?;
        }
    }
    Ok(())
}

/// Refuses a tensor over the size limit.
fn small_enough(node: &str, dims: &[usize]) -> TractResult<()> {
    let small = dims.contains(&0) || volume(dims).is_ok();
    ensure!(
        small,
        "the node {node:?} makes a tensor of {dims:?}; {MAX_VALUES} values are the limit"
    );
    Ok(())
}

impl Planned {
    /// Runs it on a frame of zeros: some operators fail only there, and then on every frame.
    pub fn tried(self) -> TractResult<Self> {
        let mut plan = TractPlan::new(self)?;
        plan.run()?;
        Ok(Self {
            plan: Arc::clone(plan.state.plan()),
            remembers: plan.remembers,
            tensor: plan.tensor,
            input: plan.input,
            output_dims: plan.output_dims,
            islands: plan.islands,
        })
    }
}

impl TractPlan {
    /// Ready to run.
    pub fn new(planned: Planned) -> TractResult<Self> {
        Ok(Self {
            state: planned.plan.spawn()?,
            remembers: planned.remembers,
            tensor: planned.tensor,
            input: planned.input,
            scores: vec![0.0; planned.output_dims.iter().product()],
            output_dims: planned.output_dims,
            islands: planned.islands,
        })
    }

    /// Runs the plan on `input`; the result is in `scores`.
    pub fn run(&mut self) -> TractResult<()> {
        match self.islands.as_ref().filter(|i| i.takes_picture) {
            Some(islands) => {
                let fused = islands.fused.lock();
                let mut fused = fused.map_err(|_| format_err!("an island failed before"))?;
                match (fused.input(), &self.input) {
                    (Input::F32(input), Staging::F32(values)) => input.copy_from_slice(values),
                    (Input::U8(input), Staging::U8(values)) => input.copy_from_slice(values),
                    _ => bail!("the picture has a different type from the islands' input"),
                }
            }
            None => {
                let tensor = Arc::make_mut(&mut self.tensor);
                let mut view = tensor.try_as_plain_ram_mut()?;
                match &self.input {
                    Staging::F32(values) => view.as_slice_mut::<f32>()?.copy_from_slice(values),
                    Staging::U8(values) => view.as_slice_mut::<u8>()?.copy_from_slice(values),
                }
            }
        }
        if self.remembers {
            // Pictures are independent of each other.
            self.state = self.state.plan().spawn()?;
        }
        let outputs = self
            .state
            .run(tvec!(Arc::clone(&self.tensor).into_tvalue()))?;
        let scores = outputs[0].cast_to::<f32>()?;
        let scores = scores.try_as_plain_ram()?;
        let scores = scores.as_slice::<f32>()?;
        ensure!(
            scores.len() == self.scores.len(),
            "{} scores came out",
            scores.len()
        );
        self.scores.copy_from_slice(scores);
        Ok(())
    }
}

/// Turns a Slice with steps into a Gather of the same indices: tract would pull it up through a Reshape, and fails there.
fn pick_by_index(graph: &mut TypedModel) -> TractResult<()> {
    for id in 0..graph.nodes().len() {
        let node = graph.node(id);
        if node.op_is::<StridedSlice>()
            && let Some(patch) = node.op.declutter(graph, node)?
        {
            patch.apply(graph)?;
        }
    }
    for id in 0..graph.nodes().len() {
        let node = graph.node(id);
        let Some(steps) = node.op_as::<Downsample>() else {
            continue;
        };
        let shape = &graph.outlet_fact(node.inputs[0])?.shape;
        let len = shape[steps.axis].to_usize()?;
        let step = steps.stride.unsigned_abs();
        let places = steps.modulo..len;
        let places: Vec<i64> = if steps.stride < 0 {
            places.rev().step_by(step).map(|i| i as i64).collect()
        } else {
            places.step_by(step).map(|i| i as i64).collect()
        };
        let mut patch = TypedModelPatch::default();
        let values = patch.tap_model(graph, node.inputs[0])?;
        let places = patch.add_const(format!("{}.places", node.name), tensor1(&places))?;
        let gather = Gather::new(steps.axis);
        let gathered =
            patch.wire_node(format!("{}.gather", node.name), gather, &[values, places])?;
        patch.shunt_outside(graph, id.into(), gathered[0])?;
        patch.apply(graph)?;
    }
    Ok(())
}

/// Whether a node is a Pad with negative sizes, which tract keeps as huge ones and panics on in a run.
fn crops(node: &TypedNode) -> bool {
    const MAX_ROWS: usize = 1 << 30;
    let pad = node.op_as::<tract_core::ops::array::Pad>();
    pad.is_some_and(|p| p.pads.iter().any(|&(a, b)| a.max(b) > MAX_ROWS))
}
