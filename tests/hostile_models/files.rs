//! Files that lie about what is in them, or are small and become large.

use crate::graph::Net;
use crate::{Refused, Row, row};
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{StringStringEntryProto, TensorProto};

/// A protobuf field of bytes.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

/// A field's key and length, without what it should hold.
fn lie(tag: u8, len: u64) -> Vec<u8> {
    let mut bytes = vec![tag << 3 | 2];
    prost::encoding::encode_varint(len, &mut bytes);
    bytes
}

/// Files that lie about what is in them, or are small and become large.
pub fn files() -> Vec<Row> {
    let cut: &'static [&'static str] = &["not an ONNX file"];
    let whole = Net::new().stem().head("c", 8).bytes();
    let graph = |content: &[u8]| field(7, content);
    let mut deep = Vec::new();
    for _ in 0..10_000 {
        // A graph in an attribute of a node.
        deep = field(1, &field(5, &field(6, &deep)));
    }
    let mut rows: Vec<Row> = vec![
        (
            "a graph longer than the file".into(),
            lie(7, 1 << 40),
            Refused(cut),
        ),
        (
            "a length of 2^64 - 1".into(),
            lie(7, u64::MAX),
            Refused(cut),
        ),
        (
            "a node longer than its graph".into(),
            graph(&lie(1, 1 << 31)),
            Refused(cut),
        ),
        (
            "weights longer than all".into(),
            graph(&field(5, &lie(9, 1 << 50))),
            Refused(cut),
        ),
        (
            "graphs 10000 deep".into(),
            graph(&deep),
            Refused(&["deeper"]),
        ),
        (
            "10^6 nodes".into(),
            graph(&field(1, &[]).repeat(1_000_000)),
            Refused(&["nodes"]),
        ),
        (
            "10^6 weights".into(),
            graph(&field(5, &[]).repeat(1_000_000)),
            Refused(&["beside"]),
        ),
        (
            "10^6 attributes".into(),
            graph(&field(1, &field(5, &[]).repeat(1_000_000))),
            Refused(&["attributes"]),
        ),
        (
            "half a file".into(),
            whole[..whole.len() / 2].to_vec(),
            Refused(cut),
        ),
    ];
    let with_weights = |change: &dyn Fn(&mut TensorProto)| {
        let mut net = Net::new().stem().head("c", 8);
        change(&mut net.graph.initializer[0]);
        net
    };
    let outside = |location: &str, offset: &str| {
        let entry = |key: &str, value: &str| StringStringEntryProto {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let entries = vec![entry("location", location), entry("offset", offset)];
        with_weights(&move |t| {
            t.raw_data.clear();
            t.data_location = Some(DataLocation::External as i32);
            t.external_data = entries.clone();
        })
    };
    let weights: &'static [&'static str] = &["weights", "'w'"];
    rows.extend([
        row(
            "more values than a shape",
            with_weights(&|t| t.raw_data.extend([0; 4])),
            Refused(weights),
        ),
        row(
            "fewer values than a shape",
            with_weights(&|t| t.raw_data.truncate(4)),
            Refused(weights),
        ),
        row(
            "half a value",
            with_weights(&|t| t.raw_data.truncate(5)),
            Refused(weights),
        ),
        row(
            "a negative size",
            with_weights(&|t| t.dims[0] = -8),
            Refused(weights),
        ),
        row(
            "sizes that wrap",
            with_weights(&|t| t.dims = vec![1 << 32; 4]),
            Refused(weights),
        ),
        row(
            "sizes that wrap to 0",
            with_weights(&|t| t.dims = vec![0, 1 << 62, 4]),
            Refused(weights),
        ),
        row(
            "a million axes",
            with_weights(&|t| t.dims = vec![1; 1_000_000]),
            Refused(&["axes"]),
        ),
        row(
            "weights outside of a file",
            outside("photo.png", "1000000"),
            Refused(weights),
        ),
        row(
            "weights at 2^64 - 1",
            outside("photo.png", "18446744073709551615"),
            Refused(weights),
        ),
    ]);
    // Each of many tensors names the same bytes.
    let mut shared = Net::new().stem().head("c", 8);
    let mut large = outside("zeros", "0").graph.initializer.remove(0);
    large.dims = vec![1 << 26];
    for i in 0..100 {
        large.name = format!("large {i}");
        shared.graph.initializer.push(large.clone());
    }
    rows.push(row(
        "the same bytes a hundred times",
        shared,
        Refused(&["2048 MiB"]),
    ));
    rows
}
