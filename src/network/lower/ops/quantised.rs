//! QuantizeLinear, DequantizeLinear and the QLinear operators, which are read as dequantise, float operator, quantise.

use super::conv::Dense;
use crate::network::graph::{FREE, Kind, Quant};
use crate::network::lower::value::Bias;
use crate::network::lower::{
    Activation, DeferredOp, Lower, Lowered, PIXELS, QuantisedConst, Value,
};
use crate::network::onnx::attributes::{float, int, normalised_index};
use crate::network::onnx::constant::{Const, Data};
use crate::spec::Dtype;
use std::rc::Rc;
use tract_onnx::pb::NodeProto;

impl Lower {
    /// Scale and zero point of a whole tensor, from two inputs of a node.
    fn quant_at(&self, node: &NodeProto, scale: usize, zero: usize) -> Lowered<Quant> {
        let scale = self.const_scalar(node, scale)?;
        if !(scale.is_finite() && scale > 0.0) {
            return Err(format!("a scale of {scale}"));
        }
        let zero = if self.has_input(node, zero) {
            match self.input_value(node, zero)? {
                Value::Const(c) => c.one_byte().ok_or("a zero point is not one byte")?,
                _ => return Err("a zero point is not constant".into()),
            }
        } else {
            0
        };
        Ok(Quant { scale, zero })
    }

    /// The real values of integers.
    fn dequantised(&mut self, value: Value, quant: Quant) -> Lowered<Value> {
        match value {
            Value::Padded(inner, pads) => {
                // The padding stands for 0 under the zero point that it was written with.
                let same =
                    matches!(*inner, Value::Activation(act) if self.quant(act.id) == Some(quant));
                if !same {
                    return Err("reads padded integers with another meaning".into());
                }
                let inner = self.dequantised(*inner, quant)?;
                Ok(Value::Padded(Box::new(inner), pads))
            }
            Value::Grouped {
                inner,
                groups,
                turned,
            } => Ok(Value::Grouped {
                inner: Box::new(self.dequantised(*inner, quant)?),
                groups,
                turned,
            }),
            Value::Activation(act) if !act.real => {
                let picture = self.picture(act.id);
                let pixels = picture.is_some_and(|i| i.dtype == Dtype::U8 && !i.quantised);
                let untouched = pixels && !self.pixels_taken;
                let kind = &mut self.tensors[act.id.0].kind;
                match kind {
                    Kind::Q8(own) if *own == quant => self.pixels_taken |= pixels,
                    Kind::Q8(own) if untouched && *own == PIXELS => *own = quant,
                    Kind::Q8(own) => {
                        return Err(format!(
                            "reads with scale {} and zero point {} what was written with {} and {}",
                            quant.scale, quant.zero, own.scale, own.zero
                        ));
                    }
                    Kind::F32 | Kind::F16 => return Err("dequantises floats".into()),
                }
                Ok(Value::Activation(Activation { real: true, ..act }))
            }
            _ => Err("dequantises a value that is not quantised".into()),
        }
    }

    /// A constant's integers with the scales of input `scale` along `axis`, and the zero points of the next input.
    fn quantised_const(
        &self,
        node: &NodeProto,
        ints: &Const,
        scale: usize,
        axis: i64,
    ) -> Lowered<QuantisedConst> {
        let zero = scale + 1;
        let (scale, _) = self.const_floats(node, scale)?;
        let axis = normalised_index(axis, ints.dims.len()).unwrap_or(0);
        if scale.len() != 1 && ints.dims.get(axis) != Some(&scale.len()) {
            return Err(format!("{} scales along axis {axis}", scale.len()));
        }
        if scale.iter().any(|s| !(s.is_finite() && *s >= 0.0)) {
            return Err("a scale of the weights is not a number".into());
        }
        let mut zeros = vec![0; scale.len()];
        if self.has_input(node, zero) {
            let given = self.const_ints(node, zero)?;
            if given.len() != scale.len() && given.len() != 1 {
                return Err("zero points and scales differ in number".into());
            }
            for (i, z) in zeros.iter_mut().enumerate() {
                *z = given[i.min(given.len() - 1)] as i32;
            }
        }
        Ok(QuantisedConst {
            ints: ints.clone(),
            scale,
            zero: zeros,
            axis,
        })
    }

    pub(crate) fn quantize_linear(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = self.input_value(node, 0)?;
        match &x {
            Value::Const(c) => self.quantise_const(node, c),
            Value::Padded(inner, pads) => {
                let quant = self.quant_at(node, 1, 2)?;
                let act = self.quantise_value(inner, quant)?;
                Ok(Value::Padded(Box::new(Value::Activation(act)), *pads))
            }
            Value::Grouped {
                inner,
                groups,
                turned,
            } => {
                let quant = self.quant_at(node, 1, 2)?;
                let inner = Box::new(Value::Activation(self.quantise_value(inner, quant)?));
                let (groups, turned) = (*groups, *turned);
                Ok(Value::Grouped {
                    inner,
                    groups,
                    turned,
                })
            }
            _ => {
                let quant = self.quant_at(node, 1, 2)?;
                Ok(Value::Activation(self.quantise_value(&x, quant)?))
            }
        }
    }

    /// Float weights that the graph itself quantises.
    fn quantise_const(&self, node: &NodeProto, c: &Const) -> Lowered<Value> {
        let axis = int(node, "axis", 1);
        let q = self.quantised_const(node, c, 1, axis)?;
        let signed = self.has_input(node, 2)
            && matches!(self.input_value(node, 2)?, Value::Const(z) if matches!(z.data, Data::I8(_)));
        let inner: usize = c.dims.iter().skip(q.axis + 1).product();
        let at = |i: usize| {
            if q.scale.len() == 1 {
                0
            } else {
                i / inner.max(1) % q.scale.len()
            }
        };
        let (low, high) = if signed { (-128, 127) } else { (0, 255) };
        let ints = c.floats().into_iter().enumerate().map(|(i, v)| {
            let steps = (v / q.scale[at(i)]).round_ties_even().clamp(-1e6, 1e6);
            (steps as i32 + q.zero[at(i)]).clamp(low, high)
        });
        let data = if signed {
            Data::I8(Rc::new(ints.map(|v| v as i8).collect()))
        } else {
            Data::U8(Rc::new(ints.map(|v| v as u8).collect()))
        };
        Ok(Value::Const(Rc::new(Const {
            dims: c.dims.clone(),
            data,
        })))
    }

    pub(crate) fn dequantize_linear(&mut self, node: &NodeProto) -> Lowered<Value> {
        match self.input_value(node, 0)? {
            Value::Const(c) => {
                let q = self.quantised_const(node, &c, 1, int(node, "axis", 1))?;
                Ok(Value::Quantised(Rc::new(q)))
            }
            value => {
                let quant = self.quant_at(node, 1, 2)?;
                self.dequantised(value, quant)
            }
        }
    }

    /// Real values of the integers at input `at`, with scale and zero point at `at + 1` and `at + 2`.
    fn real(&mut self, node: &NodeProto, at: usize) -> Lowered<Value> {
        let value = self.input_value(node, at)?;
        if let Value::Const(c) = &value {
            let q = self.quantised_const(node, c, at + 1, 0)?;
            return Ok(Value::Quantised(Rc::new(q)));
        }
        let quant = self.quant_at(node, at + 1, at + 2)?;
        self.dequantised(value, quant)
    }

    /// Constant weights at input `at`, followed by scale and zero point.
    fn real_const(&self, node: &NodeProto, at: usize, axis: i64) -> Lowered<Rc<QuantisedConst>> {
        match self.input_value(node, at)? {
            Value::Const(c) => Ok(Rc::new(self.quantised_const(node, &c, at + 1, axis)?)),
            _ => Err("the weights are not constant".into()),
        }
    }

    /// A bias in units of input scale times weight scale.
    fn exact_bias(
        &self,
        node: &NodeProto,
        at: usize,
        w: &QuantisedConst,
        n: usize,
    ) -> Lowered<Bias> {
        if !self.has_input(node, at) {
            return Ok(Bias::None);
        }
        let x_scale = self.const_scalar(node, 1)?;
        let ints = self.const_ints(node, at)?;
        if ints.len() != n {
            return Err(format!(
                "the bias has {} values for {n} channels",
                ints.len()
            ));
        }
        let scale = (0..n)
            .map(|n| x_scale * w.scale[n.min(w.scale.len() - 1)])
            .collect();
        Ok(Bias::Exact(ints, scale))
    }

    fn quantised_again(&mut self, node: &NodeProto, value: &Value, at: usize) -> Lowered<Value> {
        let quant = self.quant_at(node, at, at + 1)?;
        Ok(Value::Activation(self.quantise_value(value, quant)?))
    }

    pub(crate) fn qlinear_conv(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = self.real(node, 0)?;
        let w = self.real_const(node, 3, 0)?;
        let cout = w.ints.dims.first().copied().unwrap_or(0);
        let bias = self.exact_bias(node, 8, &w, cout)?;
        let y = self.conv_of(node, x, &Value::Quantised(w), bias)?;
        self.quantised_again(node, &y, 6)
    }

    pub(crate) fn qlinear_matmul(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = self.real(node, 0)?;
        let w = self.real_const(node, 3, 1)?;
        let y = self.fully_connected_of(node, x, Dense::matrix(&Value::Quantised(w)))?;
        self.quantised_again(node, &y, 6)
    }

    pub(crate) fn qgemm(&mut self, node: &NodeProto) -> Lowered<Value> {
        if int(node, "transA", 0) != 0 || float(node, "alpha", 1.0) != 1.0 {
            return Err("transA or alpha is not the default".into());
        }
        let transposed = int(node, "transB", 0) != 0;
        let x = self.real(node, 0)?;
        let axis = usize::from(!transposed);
        let w = self.real_const(node, 3, axis as i64)?;
        let cout = w.ints.dims.get(axis).copied().unwrap_or(0);
        let bias = self.exact_bias(node, 6, &w, cout)?;
        let of = Dense {
            w: &Value::Quantised(w),
            transposed,
            bias,
        };
        let y = self.fully_connected_of(node, x, of)?;
        if self.has_input(node, 7) {
            self.quantised_again(node, &y, 7)
        } else {
            Ok(y)
        }
    }

    pub(crate) fn qlinear_binary(&mut self, node: &NodeProto) -> Lowered<Value> {
        let (a, b) = (self.real(node, 0)?, self.real(node, 3)?);
        let op = match node.op_type.as_str() {
            "QLinearAdd" => DeferredOp::Add(FREE),
            _ => DeferredOp::Mul(FREE),
        };
        let y = match (a, b) {
            (x, Value::Quantised(q)) | (Value::Quantised(q), x) => {
                self.with_constant(node, x, q.floats(), &q.ints.dims)?
            }
            (a, b) => self.binary_of(node, &a, &b, op)?,
        };
        self.quantised_again(node, &y, 6)
    }

    pub(crate) fn qlinear_pool(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = self.real(node, 0)?;
        let y = self.pool_of(node, &x)?;
        self.quantised_again(node, &y, 3)
    }

    pub(crate) fn qlinear_softmax(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = self.real(node, 0)?;
        let y = self.softmax_of(node, &x)?;
        self.quantised_again(node, &y, 3)
    }

    pub(crate) fn qlinear_unary(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = self.real(node, 0)?;
        let y = self.unary_of(node, x)?;
        self.quantised_again(node, &y, 3)
    }

    pub(crate) fn qlinear_concat(&mut self, node: &NodeProto) -> Lowered<Value> {
        let mut parts = Vec::new();
        for at in (2..node.input.len()).step_by(3) {
            parts.push(self.real(node, at)?);
        }
        let y = self.concat_of(node, &parts, int(node, "axis", 1))?;
        self.quantised_again(node, &y, 0)
    }
}
