//! Reads an ONNX file without its weights: they are most of the file, and what the file says about its input and output does not
//! depend on them.
//!
//! The messages here are ONNX's with most fields left out; the decoder skips those, and `chunked` does not even read them. Field
//! numbers are those of `onnx.proto`.

use super::repair::Before;
use super::side_files::SideFiles;
use super::{budget, decode, each_tensor, repair};
use crate::memory;
use crate::network::deadline::in_time;
use crate::network::error::NetworkError;
use prost::DecodeError;
use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType, decode_varint};
use std::path::{Path, PathBuf};
use tract_onnx::pb::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, ValueInfoProto,
};

#[derive(Clone, PartialEq, prost::Message)]
struct ModelOutline {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphOutline>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSetIdProto>,
    #[prost(message, repeated, tag = "14")]
    metadata_props: Vec<StringStringEntryProto>,
    #[prost(message, repeated, tag = "25")]
    functions: Vec<FunctionOutline>,
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
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<AttributeOutline>,
    #[prost(string, tag = "7")]
    domain: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AttributeOutline {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(float, tag = "2")]
    f: f32,
    #[prost(int64, tag = "3")]
    i: i64,
    #[prost(message, optional, tag = "5")]
    t: Option<TensorOutline>,
    #[prost(message, optional, tag = "6")]
    g: Option<GraphOutline>,
    #[prost(float, repeated, tag = "7")]
    floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    ints: Vec<i64>,
    #[prost(message, repeated, tag = "10")]
    tensors: Vec<TensorOutline>,
    #[prost(message, repeated, tag = "11")]
    graphs: Vec<GraphOutline>,
    #[prost(string, tag = "21")]
    ref_attr_name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TensorHead {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(message, repeated, tag = "13")]
    external_data: Vec<StringStringEntryProto>,
    #[prost(int32, optional, tag = "14")]
    data_location: Option<i32>,
}

/// A tensor without its values unless they are few, as the constants are by which a graph scales its picture.
#[derive(Debug, Clone, Default, PartialEq)]
struct TensorOutline {
    head: TensorHead,
    /// Little-endian; empty if there are more than [`FEW_BYTES`].
    values: Vec<u8>,
    /// The same for integers that are not stored as bytes.
    integers: Vec<i64>,
}

/// Values with more bytes are weights, and are skipped.
const FEW_BYTES: u64 = 64;

impl prost::Message for TensorOutline {
    fn encode_raw(&self, out: &mut impl BufMut) {
        self.head.encode_raw(out);
    }

    fn encoded_len(&self) -> usize {
        self.head.encoded_len()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        const FLOAT_DATA: u32 = 4;
        const INT64_DATA: u32 = 7;
        const RAW_DATA: u32 = 9;
        let is_data = matches!(tag, FLOAT_DATA | INT64_DATA | RAW_DATA);
        if !is_data || wire_type != WireType::LengthDelimited {
            return self.head.merge_field(tag, wire_type, buf, context);
        }
        let len = decode_varint(buf)?;
        match usize::try_from(len) {
            Ok(len) if len <= buf.remaining() => {
                if len as u64 > FEW_BYTES {
                    buf.advance(len);
                } else if tag == INT64_DATA {
                    let mut few = buf.copy_to_bytes(len);
                    while few.has_remaining() {
                        self.integers.push(decode_varint(&mut few)? as i64);
                    }
                } else {
                    self.values = buf.copy_to_bytes(len).into();
                }
                Ok(())
            }
            // The error for a message that ends too early.
            _ => decode_varint(&mut &[][..]).map(|_| ()),
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct FunctionOutline {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, repeated, tag = "4")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    output: Vec<String>,
    #[prost(string, repeated, tag = "6")]
    attribute: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    node: Vec<NodeOutline>,
    #[prost(message, repeated, tag = "9")]
    opset_import: Vec<OperatorSetIdProto>,
    #[prost(string, optional, tag = "10")]
    domain: Option<String>,
}

/// The result of a peek.
#[derive(Debug, Default)]
pub struct Outline {
    /// The graph, checked and repaired as in [`super::read`], without the values of weights and most attributes.
    pub graph: GraphProto,
    /// What was repaired.
    pub before: Before,
    /// Side files that hold weights: the name in the model, and the path.
    pub side_files: Vec<(String, PathBuf)>,
    /// `metadata_props`: keys and values, in the file's order.
    pub metadata: Vec<(String, String)>,
}

/// Peeks at a file, and checks that its side files exist.
pub fn peek(path: &Path) -> Result<Outline, NetworkError> {
    peek_at(path, None)
}

/// The same where the output with the scores has a stated name.
pub fn peek_at(path: &Path, output: Option<&str>) -> Result<Outline, NetworkError> {
    memory::held_to(path, || outlined(path, output)).map_err(|why| NetworkError::File {
        path: path.to_owned(),
        why,
    })
}

fn outlined(path: &Path, output: Option<&str>) -> Result<Outline, String> {
    let mut model: ModelOutline = decode(path)?;
    let metadata = std::mem::take(&mut model.metadata_props).into_iter();
    let metadata = metadata.map(|entry| (entry.key, entry.value)).collect();
    let mut model = ModelProto::from(model);
    let mut side_files = SideFiles::of(path);
    each_tensor(&mut model, &mut |tensor| side_files.check(tensor))?;
    let side_files = side_files.opened();
    let output = output.map(str::to_owned);
    in_time(0, move || {
        let before = repair::model(&mut model, output.as_deref())?;
        model.graph.iter().try_for_each(budget::check)?;
        Ok(Outline {
            graph: model.graph.unwrap_or_default(),
            before,
            side_files,
            metadata,
        })
    })?
}

fn all<A, B: From<A>>(outlines: Vec<A>) -> Vec<B> {
    outlines.into_iter().map(B::from).collect()
}

impl From<ModelOutline> for ModelProto {
    fn from(outline: ModelOutline) -> Self {
        Self {
            graph: outline.graph.map(GraphProto::from),
            opset_import: outline.opset_import,
            functions: all(outline.functions),
            ..Self::default()
        }
    }
}

impl From<GraphOutline> for GraphProto {
    fn from(outline: GraphOutline) -> Self {
        Self {
            node: all(outline.node),
            initializer: all(outline.initializer),
            input: outline.input,
            output: outline.output,
            ..Self::default()
        }
    }
}

impl From<NodeOutline> for NodeProto {
    fn from(outline: NodeOutline) -> Self {
        Self {
            input: outline.input,
            output: outline.output,
            name: outline.name,
            op_type: outline.op_type,
            attribute: all(outline.attribute),
            domain: outline.domain,
            ..Self::default()
        }
    }
}

impl From<AttributeOutline> for AttributeProto {
    fn from(outline: AttributeOutline) -> Self {
        Self {
            name: outline.name,
            f: outline.f,
            i: outline.i,
            floats: outline.floats,
            ints: outline.ints,
            t: outline.t.map(TensorProto::from),
            g: outline.g.map(GraphProto::from),
            tensors: all(outline.tensors),
            graphs: all(outline.graphs),
            ref_attr_name: outline.ref_attr_name,
            ..Self::default()
        }
    }
}

impl From<TensorOutline> for TensorProto {
    fn from(outline: TensorOutline) -> Self {
        let TensorOutline {
            head,
            values,
            integers,
        } = outline;
        Self {
            dims: head.dims,
            data_type: head.data_type,
            name: head.name,
            external_data: head.external_data,
            data_location: head.data_location,
            raw_data: values,
            int64_data: integers,
            ..Self::default()
        }
    }
}

impl From<FunctionOutline> for FunctionProto {
    fn from(outline: FunctionOutline) -> Self {
        Self {
            name: outline.name,
            input: outline.input,
            output: outline.output,
            attribute: outline.attribute,
            node: all(outline.node),
            opset_import: outline.opset_import,
            domain: outline.domain,
            ..Self::default()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::network::onnx;
    use crate::network::onnx::inspect::inspect;
    use prost::Message;

    #[test]
    fn a_peek_at_every_file_agrees_with_the_whole_file() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "onnx") {
                continue;
            }
            let whole = onnx::read(&path).map(|m| inspect(&m.graph.unwrap()));
            let outline = peek(&path).map(|o| inspect(&o.graph));
            let text = |r: &Result<_, NetworkError>| format!("{r:?}");
            assert_eq!(text(&outline), text(&whole), "{}", path.display());
            count += 1;
        }
        assert!(count > 20, "{count} files");
    }

    #[test]
    fn a_peek_reads_no_weights() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("models/efficientnet-lite0/efficientnet-lite0-int8.onnx");
        let graph = peek(&path).unwrap().graph;
        let file_bytes = usize::try_from(path.metadata().unwrap().len()).unwrap();
        assert!(graph.encoded_len() < file_bytes / 10, "{file_bytes}");
    }

    #[test]
    fn few_values_are_kept_and_lengths_that_lie_are_refused() {
        let of = |raw: usize| {
            let tensor = TensorProto {
                name: "t".into(),
                raw_data: vec![7; raw],
                ..TensorProto::default()
            };
            TensorOutline::decode(&tensor.encode_to_vec()[..]).unwrap()
        };
        assert_eq!(of(64).values, [7; 64]);
        assert!(of(65).values.is_empty());
        assert_eq!(of(65).head.name, "t");
        let integers = |count: usize| {
            let tensor = TensorProto {
                int64_data: vec![-1; count],
                ..TensorProto::default()
            };
            TensorOutline::decode(&tensor.encode_to_vec()[..]).unwrap()
        };
        // A negative number takes ten bytes.
        assert_eq!(integers(6).integers, [-1; 6]);
        assert!(integers(7).integers.is_empty());
        // 127 bytes and 2^63 of raw_data that do not exist.
        for bytes in [
            &[0x4a, 0x7f][..],
            &[0x4a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ] {
            assert!(TensorOutline::decode(bytes).is_err());
        }
    }
}
