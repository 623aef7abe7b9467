//! Quantised values that a file describes incompletely: omitted zero points whose type is not uint8, and weights quantised in
//! blocks.

use super::{Forms, input, output};
use crate::network::onnx::attributes::{int, normalised_index};
use crate::network::onnx::constant::Const;
use crate::network::onnx::{float_tensor, typed_tensor, values_f32};
use std::collections::HashMap;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{NodeProto, TensorProto, ValueInfoProto, type_proto};

/// Operators that move values without computing with them: their results have the type of their first input. (Pad adds its own
/// value.)
pub const KEEP_TYPE: &[&str] = &[
    "Concat",
    "Flatten",
    "Gather",
    "Identity",
    "MaxPool",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// The types of a graph's constants and inputs.
pub(super) fn types_of(
    weights: &[TensorProto],
    inputs: &[ValueInfoProto],
) -> HashMap<String, DataType> {
    let of = |kind: i32| DataType::try_from(kind).ok();
    let mut types: HashMap<String, DataType> = weights
        .iter()
        .filter_map(|t| Some((t.name.clone(), of(t.data_type)?)))
        .collect();
    for input in inputs {
        let value = input.r#type.as_ref().and_then(|t| t.value.as_ref());
        if let Some(type_proto::Value::TensorType(t)) = value
            && let Some(kind) = of(t.elem_type)
        {
            types.insert(input.name.clone(), kind);
        }
    }
    types
}

/// Shape and values of a tensor of whole numbers.
pub(super) fn whole_numbers(tensor: &TensorProto) -> Option<(Vec<usize>, Vec<i64>)> {
    let read = Const::read(tensor.clone()).ok()?;
    let ints = read.ints();
    Some((read.dims, ints))
}

/// For a quantised operator, the inputs whose zero points follow scales, and its result's zero point.
fn places(node: &NodeProto) -> (Vec<(usize, usize)>, Option<usize>) {
    let op = node.op_type.as_str();
    match op {
        "QLinearConcat" => {
            let parts = (2..node.input.len()).step_by(3);
            (parts.map(|i| (i, i + 2)).collect(), Some(1))
        }
        "QLinearConv" | "QLinearMatMul" | "QLinearAdd" | "QLinearMul" => {
            (vec![(0, 2), (3, 5)], Some(7))
        }
        "QGemm" => (vec![(0, 2), (3, 5)], (node.input.len() > 7).then_some(8)),
        _ if op.starts_with("QLinear") => (vec![(0, 2)], Some(4)),
        "DequantizeLinear" => (vec![(0, 2)], None),
        _ => (Vec::new(), None),
    }
}

impl Forms<'_> {
    /// Tracks the types of quantised values, and writes out omitted zero points: they are 0 in the values' type, which later
    /// steps take for uint8.
    pub(super) fn integer_types(&mut self, node: &mut NodeProto) -> Result<(), String> {
        // PyTorch's exporter casts bytes to bytes.
        let same = self.kind(input(node, 0));
        if node.op_type == "Cast" && same.is_some_and(|t| int(node, "to", 0) == t as i64) {
            node.op_type = "Identity".into();
            node.attribute.clear();
        }
        if node.op_type == "Pad" || KEEP_TYPE.contains(&node.op_type.as_str()) {
            if let Some(kind) = self.kind(input(node, 0)) {
                let results = node.output.iter().cloned();
                self.types.extend(results.map(|result| (result, kind)));
            }
            return Ok(());
        }
        if node.op_type == "QuantizeLinear" {
            return self.quantize_linear(node);
        }
        if int(node, "output_dtype", 1) > 1 {
            return Err(
                "gives numbers of a type other than float32, which Eyelet does not support".into(),
            );
        }
        let (operands, result) = places(node);
        let first = operands
            .first()
            .and_then(|&(x, _)| self.kind(input(node, x)));
        for (x, zero_point) in operands {
            // For constants it is 0 whatever their type.
            let computed = self.weight(input(node, x)).is_none();
            if let Some(kind) = self.kind(input(node, x)).filter(|_| computed) {
                self.write_out(node, zero_point, kind);
            }
        }
        if let Some(at) = result {
            if let Some(kind) = first {
                self.write_out(node, at, kind);
            }
            let kind = self.kind(input(node, at)).or(first);
            if let Some(kind) = kind {
                self.types.insert(output(node).to_owned(), kind);
            }
        }
        Ok(())
    }

    fn quantize_linear(&mut self, node: &mut NodeProto) -> Result<(), String> {
        if int(node, "precision", 1) > 1 {
            return Err(
                "divides in a precision other than float32, which Eyelet does not support".into(),
            );
        }
        if int(node, "block_size", 0) != 0 {
            return Err(
                "quantises in blocks, which Eyelet does not support; quantise it per tensor or per channel"
                    .into(),
            );
        }
        let kind = match self.kind(input(node, 2)) {
            Some(kind) => kind,
            None => match i32::try_from(int(node, "output_dtype", 0)) {
                Ok(0) | Err(_) => DataType::Uint8,
                Ok(kind) => DataType::try_from(kind).map_err(|_| format!("gives type {kind}"))?,
            },
        };
        self.write_out(node, 2, kind);
        node.attribute.retain(|a| a.name != "output_dtype");
        self.types.insert(output(node).to_owned(), kind);
        Ok(())
    }

    /// Writes out the zero point at input `at` if it is omitted; for uint8 that is not needed.
    fn write_out(&mut self, node: &mut NodeProto, at: usize, kind: DataType) {
        if !input(node, at).is_empty() {
            return;
        }
        let bytes = match kind {
            DataType::Int8 => 1,
            DataType::Int16 | DataType::Uint16 => 2,
            DataType::Int32 => 4,
            _ => return,
        };
        let name = format!("eyelet/{}.zero_point.{at}", output(node));
        self.types.insert(name.clone(), kind);
        if node.input.len() <= at {
            node.input.resize(at + 1, String::new());
        }
        node.input[at] = self.constant(typed_tensor(&name, &[], kind, vec![0; bytes]));
    }

    /// Constant weights with a scale per block of values along an axis, as real numbers.
    pub(super) fn blocks(&mut self, node: NodeProto) -> Result<(), String> {
        let unknown = || {
            "is quantised in blocks, which Eyelet supports only for constants of int8 and uint8"
                .to_owned()
        };
        let bytes = [DataType::Int8 as i32, DataType::Uint8 as i32];
        let at = |i: usize| self.weight(input(&node, i));
        let tensor = at(0)
            .filter(|t| bytes.contains(&t.data_type))
            .ok_or_else(unknown)?;
        let scales = at(1).ok_or_else(unknown)?;
        let zeros = match input(&node, 2) {
            "" => None,
            _ => Some(values_f32(at(2).ok_or_else(unknown)?)?),
        };
        let size = |d: &i64| usize::try_from(*d).unwrap_or(0);
        let dims: Vec<usize> = tensor.dims.iter().map(size).collect();
        let blocks: Vec<usize> = scales.dims.iter().map(size).collect();
        let axis = normalised_index(int(&node, "axis", 1), dims.len())
            .filter(|&a| a < dims.len())
            .ok_or("has an axis that its weights do not have")?;
        let block = usize::try_from(int(&node, "block_size", 0)).unwrap_or(0);
        let fits = |a: usize| match a == axis {
            true => block > 0 && blocks[a] == dims[a].div_ceil(block),
            false => blocks[a] == dims[a],
        };
        let scales = values_f32(scales)?;
        let same = zeros.as_ref().is_none_or(|z| z.len() == scales.len());
        if blocks.len() != dims.len() || !(0..dims.len()).all(fits) || !same {
            return Err(format!(
                "has scales of shape {blocks:?} for blocks of {block} in {dims:?}"
            ));
        }
        let mut values = values_f32(tensor)?;
        let inner: usize = dims[axis + 1..].iter().product();
        for (i, v) in values.iter_mut().enumerate() {
            let (outer, along) = (i / inner / dims[axis], i / inner % dims[axis]);
            let of = (outer * blocks[axis] + along / block) * inner + i % inner;
            *v = (*v - zeros.as_ref().map_or(0.0, |z| z[of])) * scales[of];
        }
        let real = float_tensor(output(&node), &dims, values);
        self.types.insert(real.name.clone(), DataType::Float);
        self.new_constants.push(real);
        self.folded = true;
        Ok(())
    }
}
