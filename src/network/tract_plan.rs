//! The plan that tract makes: any ONNX operator that tract knows, in float, on one thread.

use super::dequantise::STEP;
use crate::model::Dtype;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{ModelProto, NodeProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_core;
use tract_onnx::tract_hir::internal::*;

tract_core::element_wise!(quantisation_step, QuantisationStep { scale: f32, low: f32, high: f32 },
    [f32] => |op, values| {
        // Adding and taking off 1.5 * 2^23 rounds to an integer, half to even, for |x| < 2^22; low and high are far below that
        // for the 8-bit types.
        const ROUND: f32 = 12_582_912.0;
        for value in values.iter_mut() {
            let steps = (*value / op.scale).clamp(op.low, op.high);
            *value = ((steps + ROUND) - ROUND) * op.scale;
        }
        Ok(())
    }
);

/// A runnable plan and its running state.
pub struct TractPlan {
    state: TypedSimpleState,
    tensor: Arc<Tensor>,
    /// What goes in: dense, in the model's layout.
    pub input: Staging,
    /// What came out of the last run, as f32.
    pub scores: Vec<f32>,
}

/// The values of the next input tensor. tract keeps the tensor of the last run, so it is written here first.
pub enum Staging {
    /// 32-bit float.
    F32(Vec<f32>),
    /// Bytes.
    U8(Vec<u8>),
}

impl TractPlan {
    /// Analyses and optimises a repaired, float model. The error is tract's own words.
    pub fn new(model: &mut ModelProto, dtype: Dtype, input_shape: &[usize]) -> TractResult<Self> {
        name_nodes(model);
        let count = input_shape.iter().product();
        let (datum_type, input) = match dtype {
            Dtype::F32 => (f32::datum_type(), Staging::F32(vec![0.0; count])),
            Dtype::U8 => (u8::datum_type(), Staging::U8(vec![0; count])),
        };
        let mut onnx = tract_onnx::onnx()
            .with_ignore_output_shapes(true)
            .with_ignore_output_types(true);
        onnx.ignore_value_info = true;
        onnx.op_register.insert(STEP, step_from_onnx);
        let mut graph = onnx.model_for_proto_model(&*model)?;
        graph.set_input_fact(0, InferenceFact::dt_shape(datum_type, input_shape))?;
        let plan = graph.into_optimized()?.into_runnable()?;
        let outlet = plan.model().output_outlets()?[0];
        let shape = plan
            .model()
            .outlet_fact(outlet)?
            .shape
            .as_concrete()
            .map(<[usize]>::to_vec);
        let shape = shape.context("the output's shape depends on the picture")?;
        let tensor = Arc::new(Tensor::zero_dt(datum_type, input_shape)?);
        Ok(Self {
            state: plan.spawn()?,
            tensor,
            input,
            scores: vec![0.0; shape.iter().product()],
        })
    }

    /// Runs the plan on `input`; the result is in `scores`.
    pub fn run(&mut self) -> TractResult<()> {
        let tensor = Arc::make_mut(&mut self.tensor);
        let mut view = tensor.try_as_plain_ram_mut()?;
        match &self.input {
            Staging::F32(values) => view.as_slice_mut::<f32>()?.copy_from_slice(values),
            Staging::U8(values) => view.as_slice_mut::<u8>()?.copy_from_slice(values),
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

fn step_from_onnx(
    _: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let op = quantisation_step(
        node.get_attr("scale")?,
        node.get_attr("low")?,
        node.get_attr("high")?,
    );
    Ok((op.into_hir(), vec![]))
}

/// tract wants a name of its own for each node, weights included; in a file only the values' names must differ.
fn name_nodes(model: &mut ModelProto) {
    for node in model
        .graph
        .iter_mut()
        .flat_map(|graph| graph.node.iter_mut())
    {
        node.name = format!("{} -> {}", node.op_type, node.output.join(", "));
    }
}
