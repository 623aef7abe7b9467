//! Converts half precision (float16, bfloat16) to float32 while a model is read.
//!
//! Every half-precision number is a float32 number, and every operator that takes one type takes the other, so the graph keeps
//! its nodes; it only rounds less between them. Our kernels and tract's are for float32.

use super::{each_graph, tensors_of};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, ValueInfoProto, type_proto};
use tract_onnx::prelude::f16;

/// Attributes that name the type of a result or of intermediate arithmetic.
const TYPE_ATTRIBUTES: [&str; 6] = [
    "to",
    "dtype",
    "output_dtype",
    "output_datatype",
    "stash_type",
    "softmax_precision",
];

/// Significand bits of a half-precision type, including the hidden one; `None` for other types.
fn significant_bits(data_type: i32) -> Option<u32> {
    match DataType::try_from(data_type) {
        Ok(DataType::Float16) => Some(11),
        Ok(DataType::Bfloat16) => Some(8),
        _ => None,
    }
}

/// Converts everything of half precision in a graph to float32; returns the significand bits of the coarsest such type.
pub fn to_float(graph: &mut GraphProto) -> Option<u32> {
    let mut coarsest: Option<u32> = None;
    let mut found = |data_type: i32| {
        let bits = significant_bits(data_type);
        coarsest = coarsest.into_iter().chain(bits).min();
        bits.is_some()
    };
    each_graph(graph, &mut |graph| {
        let values = graph.input.iter_mut().chain(&mut graph.output);
        for value in values.chain(&mut graph.value_info) {
            if let Some(elem_type) = elem_type(value).filter(|t| found(**t)) {
                *elem_type = DataType::Float as i32;
            }
        }
        for tensor in tensors_of(graph) {
            if found(tensor.data_type) {
                tensor_to_float(tensor);
            }
        }
        for attribute in graph.node.iter_mut().flat_map(type_attributes) {
            if i32::try_from(*attribute).is_ok_and(&mut found) {
                *attribute = i64::from(DataType::Float as i32);
            }
        }
    });
    coarsest
}

fn elem_type(value: &mut ValueInfoProto) -> Option<&mut i32> {
    let type_proto::Value::TensorType(tensor) = value.r#type.as_mut()?.value.as_mut()?;
    Some(&mut tensor.elem_type)
}

fn type_attributes(node: &mut NodeProto) -> impl Iterator<Item = &mut i64> {
    let attributes = node.attribute.iter_mut();
    attributes
        .filter(|a| TYPE_ATTRIBUTES.contains(&a.name.as_str()))
        .map(|a| &mut a.i)
}

/// Converts a tensor to float32 if it is of half precision.
pub fn tensor_to_float(tensor: &mut TensorProto) {
    let widen: fn(u16) -> f32 = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float16) => f16_to_f32,
        Ok(DataType::Bfloat16) => |bits| f32::from_bits(u32::from(bits) << 16),
        _ => return,
    };
    let raw = std::mem::take(&mut tensor.raw_data);
    let words = std::mem::take(&mut tensor.int32_data);
    let (pairs, _) = raw.as_chunks();
    let pairs = pairs.iter().map(|&pair| u16::from_le_bytes(pair));
    // Without raw bytes the numbers are in the low halves of 32-bit words.
    let low_halves = words.iter().map(|&word| word as u16);
    let mut wide = Vec::with_capacity((raw.len() / 2 + words.len()) * 4);
    for bits in pairs.chain(low_halves) {
        wide.extend_from_slice(&widen(bits).to_le_bytes());
    }
    tensor.raw_data = wide;
    tensor.data_type = DataType::Float as i32;
}

fn f16_to_f32(bits: u16) -> f32 {
    f16::from_bits(bits).to_f32()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_widens_to_the_same_number() {
        for (bits, value) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x7bff, 65504.0),
            (0x0400, 6.103_515_6e-5),
            (0x0001, 5.960_464_5e-8),
            (0x8200, -3.051_757_8e-5),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(f16_to_f32(bits), value, "{bits:#x}");
        }
        assert!(f16_to_f32(0x7e00).is_nan());
        assert!(f16_to_f32(0x8000).is_sign_negative());
    }

    #[test]
    fn a_tensor_widens_from_bytes_and_from_words() {
        let of = |data_type: DataType, raw_data: Vec<u8>, int32_data: Vec<i32>| TensorProto {
            dims: vec![2],
            data_type: data_type as i32,
            raw_data,
            int32_data,
            ..TensorProto::default()
        };
        let (half, brain) = (DataType::Float16, DataType::Bfloat16);
        for mut tensor in [
            of(half, vec![0x00, 0x3c, 0x00, 0xc0], vec![]),
            of(half, vec![], vec![0x3c00, 0xc000]),
            of(brain, vec![0x80, 0x3f, 0x00, 0xc0], vec![]),
        ] {
            tensor_to_float(&mut tensor);
            assert_eq!(tensor.data_type, DataType::Float as i32);
            let values = crate::network::onnx::values_f32(&tensor);
            assert_eq!(values, Ok(vec![1.0, -2.0]));
        }
    }
}
