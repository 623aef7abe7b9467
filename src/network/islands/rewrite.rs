//! The graph that tract gets: one node for each island in place of the nodes that run in it.

use super::{ISLAND, Ports};
use crate::network::fused::{Const, Data, Element, Facts, Partial, Place};
use crate::network::onnx::{float_tensor, int64_tensor, typed_tensor};
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto,
    attribute_proto, tensor_shape_proto, type_proto,
};

/// The graph with its islands, and their tensors. The graph's input is a tensor of one value without meaning when the picture
/// goes into the fused plan.
pub fn rewrite(
    model: &ModelProto,
    partial: &Partial,
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
    let read: HashSet<&str> = nodes
        .iter()
        .flat_map(|n| &n.input)
        .map(String::as_str)
        .collect();
    complete(&nodes, graph, partial)?;
    let used = |t: &&TensorProto| read.contains(t.name.as_str());
    let mut initializer: Vec<_> = graph.initializer.iter().filter(used).cloned().collect();
    for (name, constant) in &partial.constants {
        let element = facts.get(name).map(|f| f.element);
        initializer.push(tensor_of(name, constant, element));
    }
    let input = if picture {
        one_value(&input.name)
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

/// Checks that everything that is read is there: tract panics on a graph with gaps.
fn complete(nodes: &[NodeProto], graph: &GraphProto, partial: &Partial) -> Result<(), String> {
    let mut made: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    made.extend(partial.constants.keys().map(String::as_str));
    made.extend(graph.input.iter().map(|i| i.name.as_str()));
    for node in nodes {
        let gap = node
            .input
            .iter()
            .find(|i| !i.is_empty() && !made.contains(i.as_str()));
        if let Some(gap) = gap {
            return Err(format!("nothing makes {gap:?} before it is read"));
        }
        made.extend(node.output.iter().map(String::as_str));
    }
    let output = graph.output.first().map_or("", |o| o.name.as_str());
    if made.contains(output) {
        Ok(())
    } else {
        Err(format!("nothing makes the output {output:?}"))
    }
}

/// The value that says that an island has run.
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
        let b: &crate::network::fused::Border = b;
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
    let segment = AttributeProto {
        name: "segment".into(),
        r#type: attribute_proto::AttributeType::Int as i32,
        i: island as i64,
        ..AttributeProto::default()
    };
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

fn one_value(name: &str) -> ValueInfoProto {
    let one = tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(1)),
        ..Default::default()
    };
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(tract_onnx::pb::TensorShapeProto { dim: vec![one] }),
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn tensor_of(name: &str, constant: &Const, element: Option<Element>) -> TensorProto {
    let dims = &constant.dims;
    let bytes = |values: Vec<u8>, kind| typed_tensor(name, dims, kind, values);
    match (&constant.data, element) {
        (Data::F32(values), _) => float_tensor(name, dims, values.to_vec()),
        (Data::I64(values), Some(Element::I32)) => {
            let values = values.iter().flat_map(|&v| (v as i32).to_le_bytes());
            bytes(values.collect(), DataType::Int32)
        }
        (Data::I64(values), _) => int64_tensor(name, dims, values.clone()),
        (Data::I8(values), _) => bytes(values.iter().map(|&v| v as u8).collect(), DataType::Int8),
        (Data::U8(values), Some(Element::Bool)) => bytes(values.to_vec(), DataType::Bool),
        (Data::U8(values), _) => bytes(values.to_vec(), DataType::Uint8),
    }
}

/// Shapes of the initialisers.
pub fn weight_shapes(model: &ModelProto) -> HashMap<&str, &[i64]> {
    let weights = model.graph.iter().flat_map(|g| &g.initializer);
    weights.map(|t| (t.name.as_str(), &t.dims[..])).collect()
}

/// Multiply-adds of a convolution or matrix product outside; 0 for others and where shapes are not known.
pub fn multiply_adds(node: &NodeProto, facts: &Facts, weights: &HashMap<&str, &[i64]>) -> u64 {
    let volume = |name: Option<&String>| -> Option<u64> {
        let dims = &facts.get(name?)?.dims;
        Some(dims.iter().product::<usize>() as u64)
    };
    let out = || volume(node.output.first()).unwrap_or(0);
    let op = node.op_type.as_str();
    let at = match op {
        "QLinearConv" | "QLinearMatMul" | "QGemm" => 3,
        "Conv" | "ConvInteger" | "ConvTranspose" | "Gemm" | "MatMul" | "MatMulInteger" => 1,
        _ => return 0,
    };
    let known = node.input.get(at).and_then(|n| weights.get(n.as_str()));
    let dims: Vec<u64> = match known {
        Some(dims) => dims.iter().map(|&d| d.max(0) as u64).collect(),
        None => match node.input.get(at).and_then(|n| facts.get(n)) {
            Some(fact) => fact.dims.iter().map(|&d| d as u64).collect(),
            None => return 0,
        },
    };
    let inner: u64 = match (op, &dims[..]) {
        ("Conv" | "ConvInteger" | "QLinearConv", [_, rest @ ..]) => rest.iter().product(),
        ("ConvTranspose", [_, rest @ ..]) => {
            let taps: u64 = rest.iter().product();
            return volume(node.input.first()).unwrap_or(0) * taps;
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
    out() * inner
}
