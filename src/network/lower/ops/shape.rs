//! Operators that only move or rename values.

use crate::network::graph::Shape;
use crate::network::lower::dims::{axis_of, flattened, logical, resolve, squeezed};
use crate::network::lower::{Activation, Lower, Lowered, Value, View};
use crate::network::onnx::attributes::{float, int, ints, text};
use tract_onnx::pb::NodeProto;

impl Lower {
    pub(crate) fn reshape(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = self.input_value(node, 0)?;
        if let Value::Grouped { .. } = &x {
            let dims = self.dims_of(&x)?;
            let target = match ints(node, "shape") {
                Some(shape) => shape,
                None if node.op_type == "Reshape" => self.const_ints(node, 1)?,
                None if node.op_type == "Flatten" => {
                    let wanted = flattened(node, &dims)?;
                    return self.reshaped(node, &x, &wanted);
                }
                None => return self.unsqueezed(node, &x, &dims),
            };
            let zero = int(node, "allowzero", 0) != 0;
            let wanted = resolve(&target, &dims, zero)?;
            return match self.ungroup(node, x.clone(), &wanted) {
                Ok(whole) => Ok(whole),
                Err(_) => self.reshaped(node, &x, &wanted),
            };
        }
        let (shape, view) = self.extent(&x)?;
        let dims = logical(shape, view);
        let wanted = match node.op_type.as_str() {
            "Flatten" => flattened(node, &dims)?.to_vec(),
            "Reshape" => {
                let target = match ints(node, "shape") {
                    Some(shape) => shape,
                    None => self.const_ints(node, 1)?,
                };
                resolve(&target, &dims, int(node, "allowzero", 0) != 0)?
            }
            _ => self.squeezed_dims(node, &dims)?,
        };
        if let Some(grouped) = Self::grouped(&x, shape, view, &wanted) {
            return Ok(grouped);
        }
        match seen_as(&wanted, shape, view) {
            Some(view) => with_view(x, view),
            None => self.reshaped(node, &x, &wanted),
        }
    }

    /// The sizes after Squeeze or Unsqueeze.
    fn squeezed_dims(&self, node: &NodeProto, dims: &[usize]) -> Lowered<Vec<usize>> {
        let mut axes = match ints(node, "axes") {
            Some(axes) => axes,
            None if self.has_input(node, 1) => self.const_ints(node, 1)?,
            None => Vec::new(),
        };
        if node.op_type == "Squeeze" && axes.is_empty() {
            let ones = (0..dims.len() as i64).filter(|&a| dims[a as usize] == 1);
            axes = ones.collect();
        }
        squeezed(&node.op_type, &axes, dims)
    }

    /// Squeeze or Unsqueeze of a value that has no special view.
    fn unsqueezed(&mut self, node: &NodeProto, x: &Value, dims: &[usize]) -> Lowered<Value> {
        let wanted = self.squeezed_dims(node, dims)?;
        self.reshaped(node, x, &wanted)
    }

    pub(crate) fn transpose(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = self.input_value(node, 0)?;
        let perm = ints(node, "perm").unwrap_or_default();
        self.turned(x, &perm)
    }

    fn turned(&mut self, x: Value, perm: &[i64]) -> Lowered<Value> {
        let x = match x {
            Value::Grouped { .. } => {
                return match self.turn_groups(x.clone(), perm) {
                    Ok(turned) => Ok(turned),
                    Err(_) => self.reordered(&x, perm),
                };
            }
            // Padding is along rows and columns: they keep their order if only the channels move.
            Value::Padded(inner, pads) => {
                let (_, view) = self.extent(&inner)?;
                return match (view, perm) {
                    (View::Nchw, [0, 2, 3, 1]) | (View::Nhwc, [0, 3, 1, 2]) => {
                        Ok(Value::Padded(Box::new(self.turned(*inner, perm)?), pads))
                    }
                    _ => Err(format!("the order {perm:?} of what is padded")),
                };
            }
            other => other,
        };
        let (_, view) = self.extent(&x)?;
        let turned = match (view, perm) {
            (View::Strided(_), _) => return self.reordered(&x, perm),
            (v, [0, 1, 2, 3] | [0, 1]) => v,
            (View::Nchw, [0, 2, 3, 1]) => View::Nhwc,
            (View::Nhwc, [0, 3, 1, 2]) => View::Nchw,
            _ => return self.reordered(&x, perm),
        };
        with_view(x, turned)
    }

    pub(crate) fn pad(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = self.input_value(node, 0)?;
        let pads = match ints(node, "pads") {
            Some(pads) => pads,
            None => self.const_ints(node, 1)?,
        };
        if !matches!(text(node, "mode"), "" | "constant") {
            return Err(format!("mode {}", text(node, "mode")));
        }
        if pads.iter().all(|&p| p == 0) {
            return Ok(x);
        }
        if !self.pads_with_zero(node, &x)? {
            return Err("pads with a value other than 0".into());
        }
        let read: Option<Vec<usize>> = pads
            .iter()
            .map(|&p| usize::try_from(p).ok().filter(|&p| p < 1 << 12))
            .collect();
        let mut read = read.ok_or_else(|| format!("pads {pads:?}"))?;
        if self.has_input(node, 3) {
            let axes = self.const_ints(node, 3)?;
            if read.len() != 2 * axes.len() {
                return Err(format!("pads {} axes by {pads:?}", axes.len()));
            }
            let mut all = vec![0; 8];
            for (i, &axis) in axes.iter().enumerate() {
                let axis = axis_of(axis, 4)?;
                if axis > 3 {
                    return Err(format!("axis {axis} of 4"));
                }
                (all[axis], all[4 + axis]) = (read[i], read[axes.len() + i]);
            }
            read = all;
        }
        // What the padding stands for depends on the zero point, which may not change any more.
        if let Value::Activation(act) = &x
            && self.picture(act.id).is_some()
        {
            self.pixels_taken = true;
        }
        let (_, view) = self.extent(&x)?;
        match (view, &read[..]) {
            (View::Nchw, &[0, 0, top, left, 0, 0, bottom, right])
            | (View::Nhwc, &[0, top, left, 0, 0, bottom, right, 0]) => {
                Ok(Value::Padded(Box::new(x), [top, left, bottom, right]))
            }
            _ => Err(format!("pads {pads:?}")),
        }
    }

    /// Whether the value that a Pad puts around `x` stands for 0: for integers that is their zero point.
    fn pads_with_zero(&self, node: &NodeProto, x: &Value) -> Lowered<bool> {
        let integers = match x {
            Value::Activation(act) if !act.real => self.quant(act.id).map(|quant| (act, quant)),
            _ => None,
        };
        let Some((act, quant)) = integers else {
            let value = if self.has_input(node, 2) {
                self.const_scalar(node, 2)?
            } else {
                float(node, "value", 0.0)
            };
            return Ok(value == 0.0);
        };
        let byte = if self.has_input(node, 2) {
            match self.input_value(node, 2)? {
                Value::Const(c) => c.one_byte(),
                _ => None,
            }
        } else {
            // The picture is known to be uint8.
            self.picture(act.id).map(|_| 0)
        };
        Ok(byte == Some(quant.zero))
    }
}

/// The view of a tensor whose ONNX shape becomes `dims`.
fn seen_as(dims: &[usize], shape: Shape, view: View) -> Option<View> {
    if dims == logical(shape, view) {
        return Some(view);
    }
    if matches!(view, View::Strided(_)) {
        return None;
    }
    let flat = match view {
        View::Nchw if shape.pixels() > 1 && shape.c > 1 => View::FlatChw,
        View::FlatChw => View::FlatChw,
        _ => View::Flat,
    };
    match *dims {
        // A value of one axis is broadcast, cut and joined along another one than a row is: it keeps its axis.
        [1, n] if n == shape.volume() => Some(flat),
        [1, c, 1, 1] if c == shape.c && shape.pixels() == 1 => Some(View::Nchw),
        [1, 1, 1, c] if c == shape.c && shape.pixels() == 1 => Some(View::Nhwc),
        [1, c, h, w] if (c, h, w) == (shape.c, shape.h, shape.w) && view == View::FlatChw => {
            Some(View::Nchw)
        }
        _ => None,
    }
}

fn with_view(x: Value, view: View) -> Lowered<Value> {
    match x {
        Value::Activation(act) => Ok(Value::Activation(Activation { view, ..act })),
        Value::Deferred(deferred, _) => Ok(Value::Deferred(deferred, view)),
        _ => Err("a constant where a computed value is needed".into()),
    }
}
