//! A readable listing of a random network.

use super::Network;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;

/// The listing: one line per node.
pub fn listing(network: &Network) -> String {
    let graph = network.model.graph.as_ref();
    let graph = graph.expect("it was made with one");
    let mut lines = vec![format!(
        "picture {:?}{}",
        network.input,
        if network.pixels { " of bytes" } else { "" }
    )];
    let operand = |name: &String| {
        let constant = graph.initializer.iter().find(|t| &t.name == name);
        constant.map_or(name.clone(), |t| {
            let count: i64 = t.dims.iter().product();
            let few = if count <= 8 && t.data_type == DataType::Int64 as i32 {
                let words = t.raw_data.chunks_exact(8);
                let values = words.map(|b| i64::from_le_bytes(b.try_into().unwrap_or_default()));
                format!("={:?}", values.collect::<Vec<_>>())
            } else if count == 1 && t.data_type == DataType::Float as i32 {
                let bits = t.raw_data[..].try_into().unwrap_or_default();
                format!("={}", f32::from_le_bytes(bits))
            } else if count == 1 {
                format!("={:?}", t.raw_data)
            } else {
                String::new()
            };
            format!("{:?}{few}", t.dims)
        })
    };
    for node in &graph.node {
        let inputs: Vec<String> = node.input.iter().map(operand).collect();
        let attributes: Vec<String> = node
            .attribute
            .iter()
            .map(|a| match AttributeType::try_from(a.r#type) {
                Ok(AttributeType::Ints) => format!(" {}={:?}", a.name, a.ints),
                Ok(AttributeType::Float) => format!(" {}={}", a.name, a.f),
                Ok(AttributeType::String) => {
                    format!(" {}={}", a.name, String::from_utf8_lossy(&a.s))
                }
                _ => format!(" {}={}", a.name, a.i),
            })
            .collect();
        lines.push(format!(
            "{} = {}({}){}",
            node.output.join(", "),
            node.op_type,
            inputs.join(", "),
            attributes.concat()
        ));
    }
    lines.push(format!("gives {}", graph.output[0].name));
    lines.join("\n")
}
