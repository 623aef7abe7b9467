//! A look at an ONNX file that leaves its weights where they are: they are most of the file, and what the file says of its
//! input and output does not depend on them.
//!
//! The messages here are ONNX's own with most fields left out; the decoder steps over those, and `chunked` does not
//! even read them. Field numbers are those of `onnx.proto`.

use super::NetworkError;
use super::onnx::{check_and_repair, decode};
use std::path::Path;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, ValueInfoProto};

#[derive(Clone, PartialEq, prost::Message)]
struct ModelOutline {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphOutline>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GraphOutline {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeOutline>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorOutline>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NodeOutline {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TensorOutline {
    #[prost(string, tag = "8")]
    name: String,
    #[prost(int32, optional, tag = "14")]
    data_location: Option<i32>,
}

/// The graph in a file, checked and repaired as by [`super::onnx::read`], without attributes and values of weights.
pub fn peek(path: &Path) -> Result<GraphProto, NetworkError> {
    let outline = decode(path).and_then(|model: ModelOutline| {
        let mut graph = model.graph.map(GraphProto::from);
        check_and_repair(graph.as_mut())?;
        Ok(graph.unwrap_or_default())
    });
    outline.map_err(|why| NetworkError::File {
        path: path.to_owned(),
        why,
    })
}

impl From<GraphOutline> for GraphProto {
    fn from(outline: GraphOutline) -> Self {
        let node = outline.node.into_iter().map(|n| NodeProto {
            input: n.input,
            output: n.output,
            op_type: n.op_type,
            ..NodeProto::default()
        });
        let initializer = outline.initializer.into_iter().map(|t| TensorProto {
            name: t.name,
            data_location: t.data_location,
            ..TensorProto::default()
        });
        Self {
            node: node.collect(),
            initializer: initializer.collect(),
            input: outline.input,
            output: outline.output,
            ..Self::default()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::network::inspect::inspect;
    use crate::network::onnx;
    use prost::Message;

    #[test]
    fn a_look_says_of_every_file_what_the_whole_file_says() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let mut looked = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "onnx") {
                continue;
            }
            let whole = onnx::read(&path).map(|m| inspect(&m.graph.unwrap()));
            let outline = peek(&path).map(|g| inspect(&g));
            let text = |r: &Result<_, NetworkError>| format!("{r:?}");
            assert_eq!(text(&outline), text(&whole), "{}", path.display());
            looked += 1;
        }
        assert!(looked > 20, "{looked} files");
    }

    #[test]
    fn a_look_brings_no_weights() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("models/efficientnet-lite0/efficientnet-lite0-int8.onnx");
        let graph = peek(&path).unwrap();
        let file_bytes = usize::try_from(path.metadata().unwrap().len()).unwrap();
        assert!(graph.encoded_len() < file_bytes / 10, "{file_bytes}");
    }
}
