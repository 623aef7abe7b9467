//! LayerNormalization, as one operator or written out as before opset 17: the mean of the last axis, the deviations from it,
//! their squares, the mean of those, plus epsilon, the root, and the quotient.
//!
//! Values between these operators are known only by what they stand for; any other use of them is refused.

use crate::network::graph::{Norm, TensorId};
use crate::network::lower::axes::plain_form;
use crate::network::lower::dims::axis_of;
use crate::network::lower::value::{DecomposedNorm, Intermediate, NORM_ELSEWHERE, Part};
use crate::network::lower::{Activation, DeferredOp, Lower, Lowered, Value};
use crate::network::onnx::attributes::{float, int};
use tract_onnx::pb::NodeProto;

impl Lower {
    pub(crate) fn layer_norm(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = self.input_value(node, 0)?;
        if node
            .output
            .iter()
            .skip(1)
            .any(|o| self.uses.contains_key(o))
        {
            return Err("its mean or deviation is read".into());
        }
        let dims = self.dims_of(&x)?;
        let axis = axis_of(int(node, "axis", -1), dims.len())?;
        let c = dims.last().copied().unwrap_or(0);
        if axis + 1 != dims.len() {
            return Err(format!("is over axes from {axis} on of {dims:?}"));
        }
        let (scale, _) = self.const_floats(node, 1)?;
        let bias = if self.has_input(node, 2) {
            self.const_floats(node, 2)?.0
        } else {
            vec![0.0; c]
        };
        if scale.len() != c || bias.len() != c {
            return Err(format!("{} factors for {c} values", scale.len()));
        }
        let norm = Norm {
            scale,
            bias,
            epsilon: float(node, "epsilon", 1e-5),
        };
        let (id, dims) = self.rows(node, &x)?;
        self.norm_of(node, id, &dims, norm)
    }

    fn norm_of(
        &mut self,
        node: &NodeProto,
        id: TensorId,
        dims: &[usize],
        norm: Norm,
    ) -> Lowered<Value> {
        let (shape, view) = plain_form(dims)?;
        let id = self.reshaped_tensor(id, shape);
        let act = Activation {
            id,
            view,
            real: false,
        };
        Ok(self.deferred(node, DeferredOp::Norm(norm), vec![act], shape, view))
    }

    /// ReduceMean over the last axis with the axis kept: of a value, or of its squared deviations.
    pub(crate) fn mean_of_rows(&mut self, node: &NodeProto, x: &Value) -> Lowered<Value> {
        let rank = match x {
            Value::Intermediate(Intermediate::Norm(of)) => of.axes.dims().len(),
            other => self.dims_of(other)?.len(),
        };
        if self.reduced(node, rank)? != [rank - 1] || int(node, "keepdims", 1) == 0 {
            return Err("not the kept mean of the last axis".into());
        }
        match x {
            Value::Intermediate(Intermediate::Norm(of)) if of.part == Part::Square => {
                Ok(of.next(Part::Variance))
            }
            Value::Intermediate(Intermediate::Norm(_)) => Err(NORM_ELSEWHERE.into()),
            other => {
                let (of, axes) = self.strided(other)?;
                let part = Part::Mean;
                Ok(DecomposedNorm { part, of, axes }.value())
            }
        }
    }

    /// Pow and Sqrt, which are supported only here.
    pub(crate) fn power(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = self.input_value(node, 0)?;
        let root = node.op_type == "Sqrt";
        match x {
            Value::Intermediate(Intermediate::Norm(of))
                if !root && of.part == Part::Off && self.const_scalar(node, 1)? == 2.0 =>
            {
                Ok(of.next(Part::Square))
            }
            Value::Intermediate(Intermediate::Norm(of)) => match of.part {
                Part::Raised(more) if root => Ok(of.next(Part::Deviation(more))),
                _ => Err(NORM_ELSEWHERE.into()),
            },
            _ => Err("there is no fused form of this operator by itself".into()),
        }
    }

    /// Sums, differences, products and quotients with such a value as an operand.
    pub(crate) fn binary_of_norm(
        &mut self,
        node: &NodeProto,
        a: &Value,
        b: &Value,
    ) -> Lowered<Value> {
        match (node.op_type.as_str(), a, b) {
            ("Sub", x, Value::Intermediate(Intermediate::Norm(mean)))
                if mean.part == Part::Mean && self.strided(x)? == (mean.of, mean.axes) =>
            {
                return Ok(mean.next(Part::Off));
            }
            (
                "Mul",
                Value::Intermediate(Intermediate::Norm(off)),
                Value::Intermediate(Intermediate::Norm(same)),
            ) if off == same && off.part == Part::Off => {
                return Ok(off.next(Part::Square));
            }
            ("Add", Value::Intermediate(Intermediate::Norm(variance)), Value::Const(c))
                if variance.part == Part::Variance =>
            {
                if let [more] = c.floats()[..] {
                    return Ok(variance.next(Part::Raised(more)));
                }
            }
            ("Add", Value::Const(_), Value::Intermediate(Intermediate::Norm(_))) => {
                return self.binary_of_norm(node, b, a);
            }
            (
                "Div",
                Value::Intermediate(Intermediate::Norm(off)),
                Value::Intermediate(Intermediate::Norm(by)),
            ) if off.part == Part::Off => {
                if let Part::Deviation(epsilon) = by.part
                    && (off.of, off.axes) == (by.of, by.axes)
                {
                    let (id, dims) = (off.of, off.axes.dims());
                    let c = dims.last().copied().unwrap_or(1);
                    let norm = Norm {
                        scale: vec![1.0; c],
                        bias: vec![0.0; c],
                        epsilon,
                    };
                    let id = self.in_order(node, id, off.axes)?;
                    return self.norm_of(node, id, dims, norm);
                }
            }
            _ => {}
        }
        Err(NORM_ELSEWHERE.into())
    }
}

impl DecomposedNorm {
    fn value(self) -> Value {
        Value::Intermediate(Intermediate::Norm(self))
    }

    fn next(self, part: Part) -> Value {
        Self { part, ..self }.value()
    }
}
