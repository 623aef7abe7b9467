//! An island as an operator of tract's plan.

use crate::network::rewrite::ISLAND;
use crate::network::run::Fused;
use std::mem::MaybeUninit;
use std::sync::Mutex;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::expandable::{Expansion, expand};

/// The fused plan in which all islands of a network run, in turn.
pub type Shared = Arc<Mutex<Fused>>;

/// The tensors of one island's node in tract's plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    /// Whether the node's first input is only the signal that it is this island's turn.
    pub turn: bool,
    /// The number of tensors that it reads.
    pub imports: usize,
    /// ONNX shapes of its output tensors, before the signal that the next island may run.
    pub exports: Vec<Vec<usize>>,
}

/// One segment of a fused plan. Inputs: the turn (if [`Ports::turn`] says so), then the imports. Outputs: the exports, then the
/// turn, whose value means nothing: because the next island reads it, tract runs the islands in order.
#[derive(Debug, Clone)]
struct Island {
    segment: usize,
    ports: Ports,
    /// Set by [`attach`].
    fused: Option<Shared>,
    turn: Arc<Tensor>,
}

impl PartialEq for Island {
    fn eq(&self, other: &Self) -> bool {
        let address = |island: &Self| island.fused.as_ref().map(Arc::as_ptr);
        self.segment == other.segment && address(self) == address(other)
    }
}
impl Eq for Island {}

/// Parses an island's node.
pub fn island_from_onnx(
    _: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let island = Island {
        segment: node.get_attr("segment")?,
        ports: Ports {
            turn: false,
            imports: 0,
            exports: Vec::new(),
        },
        fused: None,
        turn: Arc::new(Tensor::zero::<f32>(&[1])?),
    };
    Ok((expand(island), vec![]))
}

/// Gives the islands in a parsed graph their plan.
pub fn attach(model: &mut InferenceModel, fused: &Shared, ports: &[Ports]) -> TractResult<()> {
    for node in model.nodes_mut() {
        if let Some(op) = node.op_as_mut::<Box<dyn Expansion>>()
            && let Some(island) = op.as_any_mut().downcast_mut::<Island>()
        {
            let own = ports.get(island.segment);
            island.ports = own.context("an island that was not planned")?.clone();
            island.fused = Some(Arc::clone(fused));
        }
    }
    Ok(())
}

impl Island {
    fn inputs(&self) -> usize {
        usize::from(self.ports.turn) + self.ports.imports
    }
}

impl Expansion for Island {
    fn name(&self) -> StaticName {
        ISLAND.into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.ports.exports.len() + 1)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, self.inputs())?;
        check_output_arity(outputs, self.ports.exports.len() + 1)?;
        let shapes = self.ports.exports.iter().map(Vec::as_slice);
        for (output, shape) in outputs.iter().zip(shapes.chain([&[1][..]])) {
            s.equals(&output.datum_type, f32::datum_type())?;
            let shape: ShapeFactoid = shape.iter().copied().collect();
            s.equals(&output.shape, shape)?;
        }
        Ok(())
    }

    fn runs_out_of_plan(&self) -> bool {
        false
    }
}

impl Op for Island {
    fn name(&self) -> StaticName {
        ISLAND.into()
    }

    op_as_typed_op!();
}

impl EvalOp for Island {
    // What an island leaves in the arena is part of the run, so it never runs ahead of time as a constant.
    not_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let fused = self.fused.as_ref().context("an island without a plan")?;
        let mut fused = fused
            .lock()
            .map_err(|_| format_err!("an island failed before"))?;
        ensure!(
            inputs.len() == self.inputs(),
            "an island of {} inputs",
            inputs.len()
        );
        let mut read = TVec::new();
        for tensor in &inputs[usize::from(self.ports.turn)..] {
            read.push(tensor.try_as_plain_ram()?);
        }
        let mut imports = TVec::new();
        for view in &read {
            imports.push(view.as_slice::<f32>()?);
        }
        let mut outputs = TVec::new();
        for shape in &self.ports.exports {
            // SAFETY: `run_segment` writes every value before anything reads one; until then they are not floats to the compiler.
            outputs.push(unsafe { Tensor::uninitialized::<f32>(shape)? });
        }
        {
            let mut written = TVec::new();
            for tensor in &mut outputs {
                written.push(tensor.try_as_plain_ram_mut()?);
            }
            let mut exports: TVec<&mut [MaybeUninit<f32>]> = TVec::new();
            for view in &mut written {
                let len = view.len();
                if len == 0 {
                    exports.push(&mut []);
                    continue;
                }
                let values = view.as_ptr_mut::<f32>()?.cast();
                // SAFETY: the tensor has `len` floats and is borrowed exclusively while the slice is in use.
                exports.push(unsafe { std::slice::from_raw_parts_mut(values, len) });
            }
            fused.run_segment(self.segment, &imports, &mut exports);
        }
        let mut outputs: TVec<TValue> = outputs.into_iter().map(IntoTValue::into_tvalue).collect();
        outputs.push(Arc::clone(&self.turn).into_tvalue());
        Ok(outputs)
    }
}

impl TypedOp for Island {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shapes = self.ports.exports.iter().map(Vec::as_slice);
        Ok(shapes.chain([&[1][..]]).map(f32::fact).collect())
    }

    as_op!();
}
