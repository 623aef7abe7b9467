//! Convolutions, pools and normalisations that refuse a tensor of too few axes, and the operators of [`super::checks`].
//!
//! tract (0.23) looks up the channels and pixels of a shape without a check, and so reads outside of a shape that has fewer axes than
//! the operator needs; or it counts up to an axis that lies before the first one, and never ends. Each such operator is wrapped: it looks at the number of axes whenever tract knows it, before tract does.

use super::checks::{CHECKED, Check};
use crate::network::onnx::attributes::int;
use std::collections::HashMap;
use std::sync::OnceLock;
use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::*;

/// The operators, and the fewest axes that ONNX allows for what they read and write: batch and channels; with a window, at least one
/// axis of pixels.
const MIN_AXES: [(&str, usize); 12] = [
    ("AveragePool", 3),
    ("BatchNormalization", 2),
    ("Conv", 3),
    ("ConvInteger", 3),
    ("ConvTranspose", 3),
    ("GlobalAveragePool", 2),
    ("GlobalLpPool", 2),
    ("GlobalMaxPool", 2),
    ("InstanceNormalization", 2),
    ("LRN", 2),
    ("MaxPool", 3),
    ("QLinearConv", 3),
];

/// Operators that need as many axes as their attribute `axis` says; its default is the last.
const BY_AXIS: [&str; 3] = ["LayerNormalization", "OneHot", "RMSNormalization"];

type Facts = TVec<InferenceFact>;

/// Wraps these operators in tract's register.
pub fn guard(register: &mut OnnxOpRegister) {
    let by_name = MIN_AXES.iter().map(|&(operator, _)| operator);
    for operator in by_name.chain(BY_AXIS).chain(CHECKED) {
        register.insert(operator, guarded);
    }
}

/// tract's own parse of a node.
pub fn tracts(
    context: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    static TRACTS: OnceLock<OnnxOpRegister> = OnceLock::new();
    let register = TRACTS.get_or_init(|| tract_onnx::onnx().op_register);
    let operator = node.op_type.as_str();
    let build = register.0.get(operator);
    let build = build.with_context(|| format!("tract has no operator {operator}"))?;
    build(context, node)
}

/// Parses one of them.
pub fn guarded(
    context: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let operator = node.op_type.as_str();
    let (inner, closures) = tracts(context, node)?;
    let least = MIN_AXES.iter().find(|(name, _)| *name == operator);
    let least_axes = match least {
        Some(&(_, axes)) => axes as i64,
        None if BY_AXIS.contains(&operator) => axes_up_to(int(node, "axis", -1), operator),
        None => 0,
    };
    let check = Check::of(node);
    let ranked = Ranked {
        inner,
        least_axes,
        check,
    };
    Ok((Box::new(ranked), closures))
}

/// The fewest axes that have this one. OneHot counts its axis in a result of one axis more.
fn axes_up_to(axis: i64, operator: &str) -> i64 {
    let own = if axis < 0 {
        axis.saturating_neg()
    } else {
        axis.saturating_add(1)
    };
    own - i64::from(operator == "OneHot")
}

/// An operator of tract's that is only asked about tensors with at least so many axes, and what else it is refused for.
#[derive(Debug, Clone)]
struct Ranked {
    inner: Box<dyn InferenceOp>,
    least_axes: i64,
    check: Option<Check>,
}

impl Ranked {
    /// What is read first and what is written have equally many axes, so that either tells them.
    fn check(&self, inputs: &[&InferenceFact], outputs: &[&InferenceFact]) -> TractResult<()> {
        for fact in inputs.iter().take(1).chain(outputs) {
            if let Some(axes) = fact.shape.rank().concretize() {
                ensure!(
                    axes >= self.least_axes,
                    "{} of a tensor of rank {axes}, where it needs {} or more",
                    self.inner.name(),
                    self.least_axes
                );
            }
        }
        Ok(())
    }
}

impl PartialEq for Ranked {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for Ranked {}

impl Op for Ranked {
    fn name(&self) -> StaticName {
        self.inner.name()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        self.inner.info()
    }

    fn validation(&self) -> Validation {
        self.inner.validation()
    }

    not_a_typed_op!();
}

impl EvalOp for Ranked {
    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.inner.eval(context, inputs)
    }

    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        self.inner.eval_out_of_plan(inputs)
    }
}

impl InferenceOp for Ranked {
    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(Facts, Facts, Facts)> {
        self.check(&inputs, &outputs)?;
        self.inner.infer_facts(inputs, outputs, observed)
    }

    fn observe_outlets(
        &self,
        model: &InferenceModel,
        node: &InferenceNode,
    ) -> TractResult<Vec<OutletId>> {
        self.inner.observe_outlets(model, node)
    }

    fn incorporate(
        &self,
        model: &InferenceModel,
        node: &InferenceNode,
    ) -> TractResult<Option<InferenceModelPatch>> {
        self.inner.incorporate(model, node)
    }

    fn nboutputs(&self) -> TractResult<usize> {
        self.inner.nboutputs()
    }

    fn to_typed(
        &self,
        source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let made = self.inner.to_typed(source, node, target, mapping)?;
        if let Some(check) = &self.check {
            let fact = |outlet: &OutletId| target.outlet_fact(*outlet).cloned();
            let inputs = node.inputs.iter().filter_map(|input| mapping.get(input));
            let inputs = inputs.map(fact).collect::<TractResult<Vec<_>>>()?;
            let result = made.first().context("it has no result")?;
            check.refuse(&inputs, &fact(result)?)?;
        }
        Ok(made)
    }

    as_op!();
}
