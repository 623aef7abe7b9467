//! Parses a float model with tract and operators of our own: the step of a quantisation, an island, and a Softplus.

use super::casts::whole_cast;
use super::honoured::not_honoured;
use super::island::island_from_onnx;
use super::ranks::guard;
use super::transposed::conv_transpose;
use crate::network::onnx::{each_graph, inner_graphs, name_of};
use crate::network::rewrite::forms::opset;
use crate::network::rewrite::{ISLAND, STEP};
use crate::spec::Dtype;
use tract_onnx::model::{ParseResult, ParsingContext};
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::{Onnx, tract_core};

tract_core::element_wise!(quantisation_step, QuantisationStep { scale: f32, low: f32, high: f32 },
    [f32] => |op, values| {
        // Adding and subtracting 1.5 * 2^23 rounds to an integer, half to even, for |x| < 2^22; low and high are far below that
        // for the 8-bit types.
        const ROUND: f32 = 12_582_912.0;
        for value in values.iter_mut() {
            let steps = (*value / op.scale).clamp(op.low, op.high);
            *value = ((steps + ROUND) - ROUND) * op.scale;
        }
        Ok(())
    }
);

// `max(x, 0) + ln(1 + exp(-|x|))`: tract's own `ln(1 + exp(x))` is infinite from 89 on.
tract_core::element_wise!(finite_softplus, FiniteSoftplus,
    [f32] => |_, values| {
        for value in values.iter_mut() {
            *value = value.max(0.0) + (-value.abs()).exp().ln_1p();
        }
        Ok(())
    }
);

/// ONNX Runtime's own operators that tract computes. Those that are standard ones are rewritten as such, see `forms`.
const OF_MICROSOFT: [&str; 8] = [
    "BiasGelu",
    "FastGelu",
    "GatherBlockQuantized",
    "MatMulNBits",
    "QuickGelu",
    "RotaryEmbedding",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
];

/// tract's name of an element type.
pub fn datum_type(dtype: Dtype) -> DatumType {
    match dtype {
        Dtype::F32 => f32::datum_type(),
        Dtype::U8 => u8::datum_type(),
    }
}

/// The ONNX parser, with our own operators.
fn reader() -> Onnx {
    let mut onnx = tract_onnx::onnx()
        .with_ignore_output_shapes(true)
        .with_ignore_output_types(true);
    onnx.ignore_value_info = true;
    onnx.op_register.insert(STEP, step_from_onnx);
    onnx.op_register.insert(ISLAND, island_from_onnx);
    let softplus = |_: &ParsingContext, _: &NodeProto| Ok((finite_softplus().into_hir(), vec![]));
    onnx.op_register.insert("Softplus", softplus);
    guard(&mut onnx.op_register);
    onnx.op_register.insert("ConvTranspose", conv_transpose);
    onnx.op_register.insert("Cast", whole_cast);
    onnx
}

/// The error for the first operator that tract does not support, or would compute differently, subgraphs included.
pub fn unknown_operator(model: &ModelProto) -> Option<String> {
    let known = reader().op_register.0;
    let opset = opset(model);
    let mut graphs: Vec<&GraphProto> = model.graph.iter().collect();
    while let Some(graph) = graphs.pop() {
        for node in &graph.node {
            let op = node.op_type.as_str();
            // tract does not look at the domain: another one's operator would be computed as the standard one of that name.
            let in_domain = match node.domain.as_str() {
                "" | "ai.onnx" | "ai.onnx.ml" => true,
                "com.microsoft" => OF_MICROSOFT.contains(&op),
                _ => false,
            };
            if !known.contains_key(op) || !in_domain {
                return Some(refusal(node));
            }
            if let Some(why) = not_honoured(node, opset) {
                return Some(why);
            }
            graphs.extend(inner_graphs(node));
        }
    }
    None
}

fn refusal(node: &NodeProto) -> String {
    let what_to_do = match node.op_type.as_str() {
        "Loop" => {
            "export it with its turns written out: traced instead of scripted, with a fixed input size"
        }
        "Upsample" => {
            "it is of opset 9 and before; export with opset 11 or later, where it is a Resize"
        }
        _ if node.domain.starts_with("com.microsoft") => {
            "ONNX Runtime writes it when it optimises a model; take the file from before that"
        }
        _ => "export it with that part in standard operators, or in another opset",
    };
    let domain = match node.domain.as_str() {
        "" | "ai.onnx" => String::new(),
        domain => format!(" of {domain}"),
    };
    format!(
        "unknown operator {}{domain} (node {:?}): {what_to_do}",
        node.op_type,
        name_of(node)
    )
}

/// tract's parse of a float model whose input has this type and shape.
pub fn parse(
    model: &mut ModelProto,
    dtype: Dtype,
    input_shape: &[usize],
) -> TractResult<ParseResult> {
    name_nodes(model);
    let mut parsed = reader().parse(model, None)?;
    ensure!(
        parsed.unresolved_inputs.is_empty(),
        "nothing makes {:?}",
        parsed.unresolved_inputs
    );
    let fact = InferenceFact::dt_shape(datum_type(dtype), input_shape);
    parsed.model.set_input_fact(0, fact)?;
    Ok(parsed)
}

/// tract's chain of causes on one line.
pub fn one_line(error: &TractError) -> String {
    let text = format!("{error:#}")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    // The sum of an Attention's scores and its mask.
    if text.contains(".masked\" Add") && text.contains("F32 and Bool") {
        return "an Attention has a boolean mask that is computed, which is not supported: export it with a float mask (0 and \
                -inf), or in opset 22 or before, where attention is written out"
            .to_owned();
    }
    let cut = text.char_indices().nth(300).map_or(text.len(), |(i, _)| i);
    text[..cut].to_owned()
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

/// Renames all nodes: tract requires unique node names, weights included; in a file only the values' names must differ.
fn name_nodes(model: &mut ModelProto) {
    let mut in_graph = |graph: &mut GraphProto| {
        for node in &mut graph.node {
            // What a rewrite adds is named after the file's node too.
            let is_added = node.output.iter().any(|name| name.starts_with("eyelet/"));
            let of = match is_added {
                true => format!(" of {}", node.name),
                false => String::new(),
            };
            node.name = format!("{}{of} -> {}", node.op_type, node.output.join(", "));
        }
    };
    if let Some(graph) = &mut model.graph {
        each_graph(graph, &mut in_graph);
    }
}
