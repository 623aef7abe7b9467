//! The graph that tract gets: one node per island in place of the nodes that run in it.

use crate::network::lower::{Constants, Facts, Partial, Place};
use crate::network::onnx::attributes::of_int;
use crate::network::onnx::{reads, value_info};
use crate::network::rewrite::ISLAND;
use crate::network::tract::island::Ports;
use std::collections::HashSet;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

/// The graph with its islands and the constants that it still reads, and the islands' tensors. The graph's input is a dummy
/// tensor of one value if the picture goes into the fused plan.
pub fn rewrite(
    model: &ModelProto,
    partial: &Partial,
    constants: Constants,
    facts: &Facts,
) -> Result<(ModelProto, Vec<Ports>), String> {
    let graph = model.graph.as_ref().ok_or("the file has no graph")?;
    let picture = partial.graph.input.is_some();
    let [input] = &graph.input[..] else {
        return Err("the graph has more than one input".into());
    };
    let mut nodes = Vec::new();
    for &i in &partial.constant_nodes {
        nodes.push(graph.node[i].clone());
    }
    let mut ports = Vec::new();
    for island in 0..=partial.graph.segments() {
        for (node, place) in graph.node.iter().zip(&partial.places) {
            if matches!(place, Place::Outside { after, .. } if *after == island) {
                nodes.push(node.clone());
            }
        }
        if island < partial.graph.segments() {
            let turn = match island {
                0 => picture.then(|| input.name.clone()),
                _ => Some(turn_after(island - 1)),
            };
            let (node, port) = island_node(island, turn, partial, facts)?;
            nodes.push(node);
            ports.push(port);
        }
    }
    let read: HashSet<&str> = nodes.iter().flat_map(reads).collect();
    complete(&nodes, graph, partial, &constants)?;
    let mut initializer = constants.back(Some(&read));
    for (name, constant) in &partial.constants {
        let element = facts.get(name).map(|f| f.element);
        initializer.push(constant.tensor(name, element));
    }
    let input = if picture {
        value_info(&input.name, DataType::Float as i32, &[1])
    } else {
        input.clone()
    };
    let graph = GraphProto {
        name: graph.name.clone(),
        node: nodes,
        initializer,
        input: vec![input],
        output: graph.output.iter().take(1).cloned().collect(),
        ..GraphProto::default()
    };
    let model = ModelProto {
        ir_version: model.ir_version,
        opset_import: model.opset_import.clone(),
        graph: Some(graph),
        ..ModelProto::default()
    };
    Ok((model, ports))
}

/// Checks that every value that is read exists: tract panics on a graph with gaps.
fn complete(
    nodes: &[NodeProto],
    graph: &GraphProto,
    partial: &Partial,
    constants: &Constants,
) -> Result<(), String> {
    let mut available: HashSet<&str> = partial.constants.keys().map(String::as_str).collect();
    available.extend(graph.input.iter().map(|i| i.name.as_str()));
    for node in nodes {
        let gap = reads(node)
            .into_iter()
            .find(|i| !available.contains(i) && !constants.contains(i));
        if let Some(gap) = gap {
            return Err(format!("nothing makes {gap:?} before it is read"));
        }
        available.extend(node.output.iter().map(String::as_str));
    }
    let output = graph.output.first().map_or("", |o| o.name.as_str());
    if available.contains(output) {
        Ok(())
    } else {
        Err(format!("nothing makes the output {output:?}"))
    }
}

/// The value that signals that an island has run.
fn turn_after(island: usize) -> String {
    format!("eyelet island {island} has run")
}

fn island_node(
    island: usize,
    turn: Option<String>,
    partial: &Partial,
    facts: &Facts,
) -> Result<(NodeProto, Ports), String> {
    let own = |b: &&_| -> bool {
        let b: &crate::network::graph::Border = b;
        b.segment == island
    };
    let imports = partial.graph.imports.iter().filter(own);
    let imports: Vec<String> = imports.map(|b| b.name.clone()).collect();
    let exports = partial.graph.exports.iter().filter(own);
    let mut output: Vec<String> = exports.map(|b| b.name.clone()).collect();
    let shape = |name: &String| {
        let fact = facts.get(name).map(|f| f.dims.clone());
        fact.ok_or_else(|| format!("the shape of {name:?} is not known"))
    };
    let port = Ports {
        turn: turn.is_some(),
        imports: imports.len(),
        exports: output.iter().map(shape).collect::<Result<_, _>>()?,
    };
    output.push(turn_after(island));
    let segment = of_int("segment", island as i64);
    let node = NodeProto {
        name: format!("island {island}"),
        op_type: ISLAND.into(),
        input: turn.into_iter().chain(imports).collect(),
        output,
        attribute: vec![segment],
        ..NodeProto::default()
    };
    Ok((node, port))
}

/// The product of these, saturated.
fn product(factors: impl Iterator<Item = u64>) -> u64 {
    factors.fold(1, u64::saturating_mul)
}

/// Multiply-adds of an outside convolution or matrix product; 0 for other operators, and if shapes are not known.
pub fn multiply_adds(node: &NodeProto, facts: &Facts, weights: &Constants) -> u64 {
    let volume = |name: Option<&String>| -> Option<u64> {
        let dims = &facts.get(name?)?.dims;
        Some(product(dims.iter().map(|&d| d as u64)))
    };
    let out = || volume(node.output.first()).unwrap_or(0);
    let op = node.op_type.as_str();
    let at = match op {
        "QLinearConv" | "QLinearMatMul" | "QGemm" => 3,
        "Conv" | "ConvInteger" | "ConvTranspose" | "Gemm" | "MatMul" | "MatMulInteger" => 1,
        _ => return 0,
    };
    let known = node.input.get(at).and_then(|n| weights.dims(n));
    let dims: Vec<u64> = match known {
        Some(dims) => dims.iter().map(|&d| d.max(0) as u64).collect(),
        None => match node.input.get(at).and_then(|n| facts.get(n)) {
            Some(fact) => fact.dims.iter().map(|&d| d as u64).collect(),
            None => return 0,
        },
    };
    let inner: u64 = match (op, &dims[..]) {
        ("Conv" | "ConvInteger" | "QLinearConv", [_, rest @ ..]) => product(rest.iter().copied()),
        ("ConvTranspose", [_, rest @ ..]) => {
            let taps = product(rest.iter().copied());
            return volume(node.input.first()).unwrap_or(0).saturating_mul(taps);
        }
        ("Gemm" | "QGemm", &[k, n]) => {
            let turned = node
                .attribute
                .iter()
                .any(|a| a.name == "transB" && a.i != 0);
            if turned { n } else { k }
        }
        (_, [.., k, _]) => *k,
        _ => 0,
    };
    out().saturating_mul(inner)
}
