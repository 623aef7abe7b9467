//! The values of a tensor in a file, with every length checked.

use super::{float_tensor, int64_tensor, typed_tensor};
use crate::network::graph::sizes::MAX_VALUES;
use std::rc::Rc;
use tract_onnx::pb::{TensorProto, tensor_proto::DataType};

/// Element type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// float32.
    F32,
    /// int64.
    I64,
    /// int32.
    I32,
    /// bool.
    Bool,
    /// Any other.
    Other,
}

/// Values of a constant.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// float32 (and float64, rounded).
    F32(Rc<Vec<f32>>),
    /// int64 and int32.
    I64(Vec<i64>),
    /// int8.
    I8(Rc<Vec<i8>>),
    /// uint8 and bool.
    U8(Rc<Vec<u8>>),
}

/// A constant tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Const {
    /// Shape; empty for a scalar.
    pub dims: Vec<usize>,
    /// Values, as many as the shape says.
    pub data: Data,
}

impl Const {
    /// The number of values.
    pub fn len(&self) -> usize {
        match &self.data {
            Data::F32(v) => v.len(),
            Data::I64(v) => v.len(),
            Data::I8(v) => v.len(),
            Data::U8(v) => v.len(),
        }
    }

    /// One byte in the encoding of [`Quant`](crate::network::graph::Quant): int8 counts from -128.
    pub fn one_byte(&self) -> Option<i32> {
        match &self.data {
            Data::I8(v) if v.len() == 1 => Some(i32::from(v[0]) + 128),
            Data::U8(v) if v.len() == 1 => Some(i32::from(v[0])),
            _ => None,
        }
    }

    /// As integers (floats are truncated).
    pub fn ints(&self) -> Vec<i64> {
        match &self.data {
            Data::F32(v) => v.iter().map(|&x| x as i64).collect(),
            Data::I64(v) => v.clone(),
            Data::I8(v) => v.iter().map(|&x| i64::from(x)).collect(),
            Data::U8(v) => v.iter().map(|&x| i64::from(x)).collect(),
        }
    }

    /// As floats.
    pub fn floats(&self) -> Vec<f32> {
        match &self.data {
            Data::F32(v) => v.to_vec(),
            _ => self.ints().iter().map(|&x| x as f32).collect(),
        }
    }

    /// Reads an ONNX tensor, without copying its bytes where possible; the error says what is wrong with it.
    pub fn read(t: TensorProto) -> Result<Self, String> {
        if t.data_location.unwrap_or(0) != 0 {
            return Err("its values are stored in another file".into());
        }
        let dims = t
            .dims
            .iter()
            .map(|&d| usize::try_from(d).map_err(|_| format!("has a negative size {d}")))
            .collect::<Result<Vec<_>, _>>()?;
        let count = dims
            .iter()
            .try_fold(1usize, |n, &d| n.checked_mul(d))
            .filter(|&n| n <= MAX_VALUES)
            .ok_or("is too large")?;
        let raw = t.raw_data;
        let narrow = |bits: u32| -> Vec<i64> {
            let shift = 64 - bits;
            t.int32_data
                .iter()
                .map(|&x| (i64::from(x) << shift) >> shift)
                .collect()
        };
        let data = match DataType::try_from(t.data_type) {
            Ok(DataType::Float) if raw.is_empty() => Data::F32(Rc::new(t.float_data)),
            Ok(DataType::Float) => Data::F32(Rc::new(words(&raw, f32::from_le_bytes))),
            Ok(DataType::Double) if raw.is_empty() => {
                Data::F32(Rc::new(t.double_data.iter().map(|&x| x as f32).collect()))
            }
            Ok(DataType::Double) => {
                Data::F32(Rc::new(words(&raw, |b| f64::from_le_bytes(b) as f32)))
            }
            Ok(DataType::Int64) if raw.is_empty() => Data::I64(t.int64_data),
            Ok(DataType::Int64) => Data::I64(words(&raw, i64::from_le_bytes)),
            Ok(DataType::Int32) if raw.is_empty() => Data::I64(narrow(32)),
            Ok(DataType::Int32) => Data::I64(words(&raw, |b| i64::from(i32::from_le_bytes(b)))),
            Ok(DataType::Int8) if raw.is_empty() => {
                Data::I8(Rc::new(narrow(8).iter().map(|&x| x as i8).collect()))
            }
            Ok(DataType::Int8) => Data::I8(Rc::new(raw.into_iter().map(|b| b as i8).collect())),
            Ok(DataType::Uint8 | DataType::Bool) if raw.is_empty() => {
                Data::U8(Rc::new(t.int32_data.iter().map(|&x| x as u8).collect()))
            }
            Ok(DataType::Uint8 | DataType::Bool) => Data::U8(Rc::new(raw)),
            _ => return Err(format!("has element type {}", t.data_type)),
        };
        let constant = Self { dims, data };
        if constant.len() != count {
            return Err(format!(
                "holds {} values instead of {count}",
                constant.len()
            ));
        }
        Ok(constant)
    }

    /// As an ONNX tensor of this type, since some variants stand for several types.
    pub fn tensor(&self, name: &str, element: Option<Element>) -> TensorProto {
        let dims = &self.dims;
        let bytes = |values: Vec<u8>, kind| typed_tensor(name, dims, kind, values);
        match (&self.data, element) {
            (Data::F32(values), _) => float_tensor(name, dims, values.to_vec()),
            (Data::I64(values), Some(Element::I32)) => {
                let values = values.iter().flat_map(|&v| (v as i32).to_le_bytes());
                bytes(values.collect(), DataType::Int32)
            }
            (Data::I64(values), _) => int64_tensor(name, dims, values.clone()),
            (Data::I8(values), _) => {
                bytes(values.iter().map(|&v| v as u8).collect(), DataType::Int8)
            }
            (Data::U8(values), Some(Element::Bool)) => bytes(values.to_vec(), DataType::Bool),
            (Data::U8(values), _) => bytes(values.to_vec(), DataType::Uint8),
        }
    }
}

fn words<const N: usize, T>(raw: &[u8], of: impl Fn([u8; N]) -> T) -> Vec<T> {
    raw.as_chunks().0.iter().map(|&word| of(word)).collect()
}
