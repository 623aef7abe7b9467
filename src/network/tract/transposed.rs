//! ConvTranspose that states the size of its result (`output_shape`), or pads by itself to the input's size times its stride
//! (`auto_pad`): tract computes another padding. It is computed here as ONNX Runtime does, once the size of the input is known.

use super::ranks::guarded;
use crate::network::onnx::attributes::{int, ints, of_ints, text};
use crate::network::onnx::budget::MAX_SIDE;
use std::sync::LazyLock;
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{ModelProto, NodeProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::expandable::{Expansion, expand};

/// Parses a ConvTranspose.
pub fn conv_transpose(
    context: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let size = ints(node, "output_shape").unwrap_or_default();
    if size.is_empty() && !text(node, "auto_pad").starts_with("SAME_") {
        return guarded(context, node);
    }
    let sides = 1..=MAX_SIDE as i64;
    ensure!(
        size.iter().all(|side| sides.contains(side)),
        "an output_shape of {size:?}"
    );
    let node = node.clone();
    Ok((expand(Stated { node, size }), vec![]))
}

#[derive(Debug, Clone)]
struct Stated {
    node: NodeProto,
    /// Empty if it pads by itself.
    size: Vec<i64>,
}

impl Stated {
    /// The same node with padding, for an input and weights of these shapes, and the sides of its result.
    fn padded(&self, x: &[usize], w: &[usize]) -> TractResult<(NodeProto, Vec<usize>)> {
        ensure!(
            x.len() == w.len() && x.len() > 2,
            "an input of rank {} and weights of rank {}",
            x.len(),
            w.len()
        );
        let axes = x.len() - 2;
        ensure!(
            self.size.is_empty() || self.size.len() == axes,
            "an output_shape of {} sides for a tensor of rank {}",
            self.size.len(),
            x.len()
        );
        let list = |name: &str, default: i64| {
            let own = ints(&self.node, name).filter(|list| list.len() == axes);
            own.unwrap_or_else(|| vec![default; axes])
        };
        let (strides, dilations) = (list("strides", 1), list("dilations", 1));
        let (mut before, mut after) = (vec![0; axes], vec![0; axes]);
        let mut more = list("output_padding", 0);
        for (list, least) in [(&strides, 1), (&dilations, 1), (&more, 0)] {
            let sides = least..=MAX_SIDE as i64;
            ensure!(list.iter().all(|n| sides.contains(n)), "a step of {list:?}");
        }
        ensure!(!x.contains(&0) && !w.contains(&0), "an empty tensor");
        let mut result = Vec::new();
        for at in 0..axes {
            let (from, taps) = (x[at + 2] as i64, w[at + 2] as i64);
            let window = (taps - 1) * dilations[at] + 1;
            let whole = strides[at] * (from - 1) + more[at] + window;
            let size = self.size.get(at).copied();
            let total = whole - size.unwrap_or(from * strides[at]);
            // ONNX Runtime adds nothing behind where it pads by itself.
            more[at] += size.map_or(0, |_| (-total).max(0));
            result.push(size.unwrap_or(whole - total.max(0)) as usize);
            let (half, rest) = (total.max(0) / 2, total.max(0) - total.max(0) / 2);
            (before[at], after[at]) = if text(&self.node, "auto_pad") == "SAME_UPPER" {
                (half, rest)
            } else {
                (rest, half)
            };
        }
        let mut node = self.node.clone();
        let replaced = ["auto_pad", "output_padding", "output_shape", "pads"];
        node.attribute
            .retain(|a| !replaced.contains(&a.name.as_str()));
        node.attribute.push(of_ints("output_padding", &more));
        node.attribute
            .push(of_ints("pads", &[before, after].concat()));
        Ok((node, result))
    }
}

const DYNAMIC: &str = "its input's size depends on the picture";

fn concrete(shape: &[TDim]) -> Option<TVec<usize>> {
    shape.iter().map(|d| d.to_usize().ok()).collect()
}

impl Expansion for Stated {
    fn name(&self) -> StaticName {
        "ConvTranspose".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        ensure!((2..=3).contains(&inputs.len()), "{} inputs", inputs.len());
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.equals(&inputs[0].datum_type, &inputs[1].datum_type)?;
        s.equals(&inputs[0].rank, &inputs[1].rank)?;
        s.equals(&inputs[0].rank, &outputs[0].rank)?;
        s.given_2(&inputs[0].shape, &inputs[1].shape, move |s, x, w| {
            let (Some(own), Some(weights)) = (concrete(&x), concrete(&w)) else {
                bail!("{DYNAMIC}");
            };
            let (_, sides) = self.padded(&own, &weights)?;
            let group = int(&self.node, "group", 1) as usize;
            let mut shape: TVec<TDim> = tvec!(x[0].clone(), w[1].clone() * group);
            shape.extend(sides.iter().map(TDim::from));
            s.equals(&outputs[0].shape, shape)
        })
    }

    fn wire(
        &self,
        prefix: &str,
        target: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        static TRACTS: LazyLock<Onnx> = LazyLock::new(tract_onnx::onnx);
        let shape = |outlet: OutletId| -> TractResult<TVec<usize>> {
            let shape = concrete(&target.outlet_fact(outlet)?.shape);
            shape.context(DYNAMIC)
        };
        let (node, _) = self.padded(&shape(inputs[0])?, &shape(inputs[1])?)?;
        let context = ParsingContext {
            onnx_operator_set_version: 11,
            framework: &TRACTS,
            model: &ModelProto::default(),
            parent_graphs: Vec::new(),
            model_dir: None,
            template: InferenceModel::default(),
        };
        let build = TRACTS.op_register.0.get("ConvTranspose");
        let build = build.context("tract has no ConvTranspose")?;
        let (op, _) = build(&context, &node)?;
        let op = op.as_op().downcast_ref::<Box<dyn Expansion>>();
        let op = op.context("a ConvTranspose of another kind")?;
        op.wire(prefix, target, inputs)
    }
}
