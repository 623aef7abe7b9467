//! Counts the parts of an ONNX file before it is read into memory. A two-byte message becomes a structure of hundreds of bytes,
//! so a small file could demand any amount of memory, and nested messages any depth of stack.
//!
//! The walk follows the fields of `onnx.proto` that hold messages, and skips all others.

use super::budget::{MAX_DEPTH, MAX_NODES, MAX_WEIGHTS_BYTES};
use prost::bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint};
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto, ValueInfoProto};

/// Nodes in a file. `Constant` nodes count too, though they become weights later.
const MAX_FILE_NODES: usize = 4 * MAX_NODES;
/// Inputs, results or attributes of one node or function of a file. The budget names the node if there are less.
const MAX_FILE_ENDS: usize = 4096;
/// Bytes in memory of everything but weights. Names, shapes and the traces left by exporters take some tens of MiB.
const MAX_BESIDE_BYTES: u64 = 256 << 20;

/// A message type, which determines its fields.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    Function,
    Training,
    Value,
    Type,
    TensorType,
    Shape,
    /// Quantisation annotations of tensors.
    Annotation,
    /// Names and numbers only: nothing nested.
    Leaf,
}

/// The kind of a field.
enum Field {
    Message(Kind),
    /// Bytes that are kept as bytes.
    Bytes,
    /// Numbers, and the factor by which they may grow in memory: a one-byte varint may become eight bytes.
    Numbers(u64),
}

fn field(kind: Kind, tag: u32) -> Field {
    use Field::{Bytes, Message, Numbers};
    match (kind, tag) {
        (Kind::Model, 7) | (Kind::Attribute, 6 | 11) | (Kind::Training, 1 | 2) => {
            Message(Kind::Graph)
        }
        (Kind::Model, 20) => Message(Kind::Training),
        (Kind::Model, 25) => Message(Kind::Function),
        (Kind::Graph, 1) | (Kind::Function, 7) => Message(Kind::Node),
        (Kind::Graph, 5) | (Kind::Attribute, 5 | 10) | (Kind::SparseTensor, 1 | 2) => {
            Message(Kind::Tensor)
        }
        (Kind::Graph, 15) | (Kind::Attribute, 22 | 23) => Message(Kind::SparseTensor),
        (Kind::Node, 5) | (Kind::Function, 11) => Message(Kind::Attribute),
        (Kind::Tensor, 9) => Bytes,
        (Kind::Tensor, 4 | 10) | (Kind::Attribute, 7) => Numbers(1),
        (Kind::Tensor, 5) => Numbers(4),
        (Kind::Tensor, 1 | 7 | 11) | (Kind::Attribute, 8) => Numbers(8),
        (Kind::Graph, 11..=13) => Message(Kind::Value),
        (Kind::Value, 2) | (Kind::Attribute, 15) => Message(Kind::Type),
        (Kind::Type, 1) => Message(Kind::TensorType),
        (Kind::TensorType, 2) => Message(Kind::Shape),
        (Kind::Graph, 14) => Message(Kind::Annotation),
        (Kind::Model, 8 | 14)
        | (Kind::Annotation, 2)
        | (Kind::Tensor, 13)
        | (Kind::Training, 3 | 4)
        | (Kind::Function, 9)
        | (Kind::Shape, 1) => Message(Kind::Leaf),
        _ => Bytes,
    }
}

/// The totals so far.
#[derive(Debug, Default)]
pub struct Census {
    nodes: usize,
    /// Bytes in memory of the weights' values.
    pub weights_bytes: u64,
    beside_bytes: u64,
}

/// Counts the parts of a message in a file of `len` bytes; the error says what there is too much of.
pub fn take(buf: &mut impl Buf) -> Result<Census, String> {
    let mut census = Census::default();
    let len = buf.remaining();
    census.message(buf, Kind::Model, len, 0)?;
    Ok(census)
}

const DAMAGED: &str = "is not an ONNX file, or is cut short; export or fetch it again";

impl Census {
    /// A message of `len` bytes, nested in `depth` graphs.
    fn message(
        &mut self,
        buf: &mut impl Buf,
        kind: Kind,
        len: usize,
        mut depth: usize,
    ) -> Result<(), String> {
        self.take_in(kind)?;
        depth += usize::from(kind == Kind::Graph);
        if depth > MAX_DEPTH + 1 {
            return Err(format!(
                "has graphs inside of graphs, deeper than {MAX_DEPTH}; export it without branches"
            ));
        }
        let end = buf.remaining().checked_sub(len).ok_or(DAMAGED)?;
        let mut ends = [0; 12];
        while buf.remaining() > end {
            let (tag, wire) = decode_key(buf).map_err(|_| DAMAGED)?;
            match wire {
                WireType::Varint => {
                    decode_varint(buf).map_err(|_| DAMAGED)?;
                    self.beside(8)?;
                }
                WireType::ThirtyTwoBit => self.step(buf, 4, end, 8)?,
                WireType::SixtyFourBit => self.step(buf, 8, end, 8)?,
                WireType::LengthDelimited => {
                    let len = decode_varint(buf).map_err(|_| DAMAGED)?;
                    let len = usize::try_from(len).map_err(|_| DAMAGED)?;
                    if buf
                        .remaining()
                        .checked_sub(len)
                        .is_none_or(|left| left < end)
                    {
                        return Err(DAMAGED.into());
                    }
                    if let (Kind::Node | Kind::Function, Some(count)) =
                        (kind, ends.get_mut(tag as usize))
                    {
                        *count += 1;
                        let nodes = kind == Kind::Function && tag == 7;
                        if *count > MAX_FILE_ENDS && !nodes {
                            return Err(format!(
                                "has a node or function of more than {MAX_FILE_ENDS} inputs, results or attributes; export it again"
                            ));
                        }
                    }
                    match field(kind, tag) {
                        Field::Message(inner) => self.message(buf, inner, len, depth)?,
                        Field::Numbers(times) => {
                            self.weights(times.saturating_mul(len as u64))?;
                            buf.advance(len);
                        }
                        Field::Bytes if kind == Kind::Tensor && tag == 9 => {
                            self.weights(len as u64)?;
                            buf.advance(len);
                        }
                        Field::Bytes => {
                            self.beside(size_of::<String>() as u64 + len as u64)?;
                            buf.advance(len);
                        }
                    }
                }
                WireType::StartGroup | WireType::EndGroup => return Err(DAMAGED.into()),
            }
        }
        if buf.remaining() < end {
            return Err(DAMAGED.into());
        }
        Ok(())
    }

    /// Skips a number of `len` bytes that takes `held` bytes in memory.
    fn step(
        &mut self,
        buf: &mut impl Buf,
        len: usize,
        end: usize,
        held: u64,
    ) -> Result<(), String> {
        if buf
            .remaining()
            .checked_sub(len)
            .is_none_or(|left| left < end)
        {
            return Err(DAMAGED.into());
        }
        buf.advance(len);
        self.beside(held)
    }

    fn take_in(&mut self, kind: Kind) -> Result<(), String> {
        if kind == Kind::Node {
            self.nodes += 1;
            if self.nodes > MAX_FILE_NODES {
                return Err(format!(
                    "has more than {MAX_FILE_NODES} nodes; simplify it (onnxsim), or export it again"
                ));
            }
        }
        let held = match kind {
            Kind::Node => size_of::<NodeProto>(),
            Kind::Attribute => size_of::<AttributeProto>(),
            Kind::Tensor | Kind::SparseTensor => size_of::<TensorProto>(),
            _ => size_of::<ValueInfoProto>(),
        };
        // A growing list may have twice the capacity that its contents need.
        self.beside(2 * held as u64)
    }

    fn beside(&mut self, bytes: u64) -> Result<(), String> {
        self.beside_bytes += bytes;
        if self.beside_bytes <= MAX_BESIDE_BYTES {
            return Ok(());
        }
        Err(format!(
            "has more than {} MiB of nodes, names and shapes besides its weights; simplify it (onnxsim), or export it again",
            MAX_BESIDE_BYTES >> 20
        ))
    }

    fn weights(&mut self, bytes: u64) -> Result<(), String> {
        self.weights_bytes = self.weights_bytes.saturating_add(bytes);
        if self.weights_bytes <= MAX_WEIGHTS_BYTES {
            return Ok(());
        }
        Err(format!(
            "has weights of more than {} MiB, the limit; quantise it, or take a smaller network",
            MAX_WEIGHTS_BYTES >> 20
        ))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use prost::Message;
    use tract_onnx::pb::{GraphProto, ModelProto};

    fn of_graph(graph: GraphProto) -> Result<Census, String> {
        let model = ModelProto {
            graph: Some(graph),
            ..ModelProto::default()
        };
        take(&mut &model.encode_to_vec()[..])
    }

    /// A graph inside a node inside a graph, `depth` levels deep.
    fn nested(depth: usize) -> GraphProto {
        let mut graph = GraphProto::default();
        for _ in 0..depth {
            let attribute = AttributeProto {
                g: Some(graph),
                ..AttributeProto::default()
            };
            let node = NodeProto {
                attribute: vec![attribute],
                ..NodeProto::default()
            };
            graph = GraphProto {
                node: vec![node],
                ..GraphProto::default()
            };
        }
        graph
    }

    #[test]
    fn weights_are_counted_as_they_lie_in_memory() {
        let weights = TensorProto {
            raw_data: vec![0; 1000],
            int64_data: vec![1; 50],
            ..TensorProto::default()
        };
        let graph = GraphProto {
            initializer: vec![weights],
            ..GraphProto::default()
        };
        assert_eq!(of_graph(graph).unwrap().weights_bytes, 1000 + 8 * 50);
    }

    #[test]
    fn a_small_file_that_would_be_large_or_deep_is_refused() {
        let nodes = |count| GraphProto {
            node: vec![NodeProto::default(); count],
            ..GraphProto::default()
        };
        assert_eq!(of_graph(nodes(1000)).unwrap().nodes, 1000);
        assert!(
            of_graph(nodes(MAX_FILE_NODES + 1))
                .unwrap_err()
                .contains("nodes")
        );
        let tensors = GraphProto {
            initializer: vec![TensorProto::default(); 1 << 20],
            ..GraphProto::default()
        };
        assert!(of_graph(tensors).unwrap_err().contains("beside"));
        assert!(of_graph(nested(MAX_DEPTH)).is_ok());
        assert!(
            of_graph(nested(MAX_DEPTH + 1))
                .unwrap_err()
                .contains("deeper")
        );
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        // A graph that claims to be longer than the file, and a node longer than its graph.
        for bytes in [&[0x3a, 0x7f][..], &[0x3a, 0x02, 0x0a, 0x05, 0, 0, 0, 0, 0]] {
            assert_eq!(take(&mut &bytes[..]).unwrap_err(), DAMAGED);
        }
        // 2^63 bytes of weights.
        let huge = [
            0x3a, 0x0a, 0x2a, 0x0a, 0x4a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
        ];
        assert_eq!(take(&mut &huge[..]).unwrap_err(), DAMAGED);
    }
}
