//! Squares of whole numbers: tract makes a product of a value with itself, and its second power, a Square, which it computes of
//! real numbers alone.

use tract_onnx::prelude::*;
use tract_onnx::tract_core;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::math::{Mul, Pow};
use tract_onnx::tract_hir::internal::*;

tract_core::element_wise!(whole_square, WholeSquare,
    [i8, i16, i32, i64, u8, u16, u32, u64] => |_, values| {
        for value in values.iter_mut() {
            *value = value.wrapping_mul(*value);
        }
        Ok(())
    }
);

/// Gives the squares of whole numbers in a graph an operator of their own.
pub fn square_whole(graph: &mut TypedModel) -> TractResult<()> {
    for id in 0..graph.nodes().len() {
        let node = graph.node(id);
        if !is_square(graph, node)? || !is_whole(graph.outlet_fact(node.inputs[0])?) {
            continue;
        }
        let from = &node.inputs[..1];
        TypedModelPatch::replace_single_op(graph, node, from, whole_square())?.apply(graph)?;
    }
    Ok(())
}

fn is_whole(fact: &TypedFact) -> bool {
    let kind = fact.datum_type;
    (kind.is_signed() || kind.is_unsigned()) && !kind.is_quantized()
}

fn is_square(graph: &TypedModel, node: &TypedNode) -> TractResult<bool> {
    let Some(op) = node.op_as::<TypedBinOp>() else {
        return Ok(false);
    };
    if op.0.is::<Mul>() {
        return Ok(node.inputs[0] == node.inputs[1]);
    }
    let exponent = &graph.outlet_fact(node.inputs[1])?.konst;
    let two = exponent
        .as_ref()
        .filter(|e| op.0.is::<Pow>() && e.len() == 1);
    let two = two.map(|e| {
        e.cast_to::<f32>()?
            .try_as_plain_ram()?
            .as_slice::<f32>()
            .map(|e| e[0] == 2.0)
    });
    Ok(two.transpose()?.unwrap_or(false))
}
