//! How many values an operator on constants makes, asked before it makes them.

use crate::network::onnx::constant::{Const, Data};
use std::rc::Rc;
use tract_onnx::pb::NodeProto;

/// The most values that a node may make of these.
pub(super) fn most(node: &NodeProto, inputs: &[Rc<Const>]) -> usize {
    let product = |dims: &mut dyn Iterator<Item = usize>| dims.fold(1, usize::saturating_mul);
    let sizes = |c: &Const| -> Vec<usize> {
        let size = |v| usize::try_from(v).unwrap_or(usize::MAX);
        c.ints().into_iter().map(size).collect()
    };
    let (first, others) = match inputs {
        [first, others @ ..] => (first, others),
        [] => return 0,
    };
    match node.op_type.as_str() {
        "ConstantOfShape" => product(&mut sizes(first).into_iter()),
        "Expand" => others.first().map_or(0, |to| {
            product(&mut together(&first.dims, &sizes(to)).into_iter())
        }),
        "Gather" => others
            .first()
            .map_or(0, |at| first.len().saturating_mul(at.len())),
        "Range" => count_of_range(inputs).unwrap_or(0),
        "Add" | "Div" | "Equal" | "Less" | "Mod" | "Mul" | "Pow" | "Sub" | "Where" => {
            let dims = others
                .iter()
                .fold(first.dims.clone(), |dims, c| together(&dims, &c.dims));
            product(&mut dims.into_iter())
        }
        _ => first.len(),
    }
}

/// How many values a Range makes; `None` if its inputs do not say.
pub(super) fn count_of_range(inputs: &[Rc<Const>]) -> Option<usize> {
    let [start, end, step] = inputs else {
        return None;
    };
    let count = match (&start.data, &end.data, &step.data) {
        (Data::F32(start), Data::F32(end), Data::F32(step)) => {
            match (&start[..], &end[..], &step[..]) {
                (&[start], &[end], &[step]) => f64::from(end - start) / f64::from(step),
                _ => return None,
            }
        }
        (Data::I64(start), Data::I64(end), Data::I64(step)) => {
            match (&start[..], &end[..], &step[..]) {
                (&[start], &[end], &[step]) => end.checked_sub(start)? as f64 / step as f64,
                _ => return None,
            }
        }
        _ => return None,
    };
    // Nothing where it counts away from its end; a step of 0 has no end.
    count.is_finite().then(|| count.ceil().max(0.0) as usize)
}

/// The larger of both sizes along each axis, from the last one on.
fn together(a: &[usize], b: &[usize]) -> Vec<usize> {
    let rank = a.len().max(b.len());
    let size = |dims: &[usize], back: usize| {
        let at = dims.len().checked_sub(back);
        at.map_or(1, |at| dims[at])
    };
    let both = (1..=rank)
        .rev()
        .map(|back| size(a, back).max(size(b, back)));
    both.collect()
}
