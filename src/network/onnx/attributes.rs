//! Node attributes: lookup by name, and constructors.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto};

/// Finds an attribute by name.
pub fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|a| a.name == name)
}

/// Reads an integer attribute.
pub fn int(node: &NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).map_or(default, |a| a.i)
}

/// Reads a float attribute.
pub fn float(node: &NodeProto, name: &str, default: f32) -> f32 {
    attribute(node, name).map_or(default, |a| a.f)
}

/// Reads a list of integers.
pub fn ints(node: &NodeProto, name: &str) -> Option<Vec<i64>> {
    attribute(node, name).map(|a| a.ints.clone())
}

/// Reads a string attribute.
pub fn text<'a>(node: &'a NodeProto, name: &str) -> &'a str {
    attribute(node, name).map_or("", |a| std::str::from_utf8(&a.s).unwrap_or(""))
}

/// The index from the start for an axis (or another index) of `size`: a negative one counts from the end, -1 is the last. `None` if
/// that is before the first; that it is not behind the last is for the caller to check.
pub fn normalised_index(index: i64, size: usize) -> Option<usize> {
    usize::try_from(from_start(index, size as i64)).ok()
}

/// An index or axis of `size`, counted from the start; out of range as stated.
pub fn from_start(index: i64, size: i64) -> i64 {
    index.saturating_add(if index < 0 { size } else { 0 })
}

/// Makes an attribute with one integer.
pub fn of_int(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Int as i32,
        i,
        ..AttributeProto::default()
    }
}

/// Makes an attribute with a list of integers.
pub fn of_ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Ints as i32,
        ints: ints.to_vec(),
        ..AttributeProto::default()
    }
}

/// Makes an attribute with one float.
pub fn of_float(name: &str, f: f32) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Float as i32,
        f,
        ..AttributeProto::default()
    }
}

/// Makes a string attribute, for tests.
#[cfg(test)]
pub fn of_text(name: &str, text: &str) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::String as i32,
        s: text.as_bytes().to_vec(),
        ..AttributeProto::default()
    }
}
