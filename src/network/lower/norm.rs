//! LayerNormalization, as one operator or spelt out as before opset 17: the mean of the last axis, what lies beside it, its
//! square, the mean of that, a small number more, the root, and the quotient.
//!
//! Values between these operators are known only by what they stand for; anything else that is done with them is not understood.

use super::axes::plain_form;
use super::shape::axis_of;
use super::{Act, LazyOp, Lower, Made, TensorId, Val};
use crate::network::graph::axes::Axes;
use crate::network::graph::{InputStep, Norm};
use crate::network::onnx::attributes::{float, int};
use tract_onnx::pb::NodeProto;

/// Where such a value is read that only stands for something between these operators.
pub(super) const ELSEWHERE: &str =
    "a mean of the last axis in another place than LayerNormalization has it";

/// Between the operators of a LayerNormalization.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Part {
    /// The mean of each row.
    Mean,
    /// Rows less their mean.
    Off,
    /// The square of that.
    Square,
    /// The mean of the square.
    Variance,
    /// With this more.
    Raised(f32),
    /// The root of that.
    Deviation(f32),
}

/// A value of a LayerNormalization that is spelt out: what it is, the tensor of rows, and where the values' axes lie in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spelt {
    part: Part,
    pub(super) of: TensorId,
    axes: Axes,
}

impl Lower {
    pub(super) fn layer_norm(&mut self, node: &NodeProto) -> Made<Val> {
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

    fn norm_of(&mut self, node: &NodeProto, id: TensorId, dims: &[usize], norm: Norm) -> Made<Val> {
        let (shape, view) = plain_form(dims)?;
        let id = self.reshaped_tensor(id, shape);
        let act = Act {
            id,
            view,
            real: false,
        };
        Ok(self.lazy(node, LazyOp::Norm(norm), vec![act], shape, view))
    }

    /// ReduceMean over the last axis, kept: of a value, or of the square of what lies beside its mean.
    pub(super) fn mean_of_rows(&mut self, node: &NodeProto, x: &Val) -> Made<Val> {
        let rank = match x {
            Val::Spelt(of) => of.axes.dims().len(),
            other => self.dims_of(other)?.len(),
        };
        if self.reduced(node, rank)? != [rank - 1] || int(node, "keepdims", 1) == 0 {
            return Err("not the kept mean of the last axis".into());
        }
        match x {
            Val::Spelt(of) if of.part == Part::Square => Ok(of.next(Part::Variance)),
            Val::Spelt(_) => Err(ELSEWHERE.into()),
            other => {
                let (of, axes) = self.strided(other)?;
                let part = Part::Mean;
                Ok(Val::Spelt(Spelt { part, of, axes }))
            }
        }
    }

    /// Pow and Sqrt, which are known here alone.
    pub(super) fn power(&mut self, node: &NodeProto) -> Made<Val> {
        let x = self.input_value(node, 0)?;
        let root = node.op_type == "Sqrt";
        match x {
            Val::Spelt(of)
                if !root && of.part == Part::Off && self.const_scalar(node, 1)? == 2.0 =>
            {
                Ok(of.next(Part::Square))
            }
            Val::Spelt(of) => match of.part {
                Part::Raised(more) if root => Ok(of.next(Part::Deviation(more))),
                _ => Err(ELSEWHERE.into()),
            },
            _ => Err("there is no fused form of this operator by itself".into()),
        }
    }

    /// Sums, differences, products and quotients of which an operand is such a value.
    pub(super) fn binary_spelt(&mut self, node: &NodeProto, a: &Val, b: &Val) -> Made<Val> {
        match (node.op_type.as_str(), a, b) {
            ("Sub", x, Val::Spelt(mean))
                if mean.part == Part::Mean && self.strided(x)? == (mean.of, mean.axes) =>
            {
                return Ok(mean.next(Part::Off));
            }
            ("Mul", Val::Spelt(off), Val::Spelt(same)) if off == same && off.part == Part::Off => {
                return Ok(off.next(Part::Square));
            }
            ("Add", Val::Spelt(variance), Val::Const(c)) if variance.part == Part::Variance => {
                if let [more] = c.floats()[..] {
                    return Ok(variance.next(Part::Raised(more)));
                }
            }
            ("Add", Val::Const(_), Val::Spelt(_)) => return self.binary_spelt(node, b, a),
            ("Div", Val::Spelt(off), Val::Spelt(by)) if off.part == Part::Off => {
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
        Err(ELSEWHERE.into())
    }
}

impl Spelt {
    fn next(self, part: Part) -> Val {
        Val::Spelt(Self { part, ..self })
    }
}

/// Takes factors and addends, one or one a channel, into a normalisation.
pub(super) fn fold(norm: &mut Norm, steps: &[InputStep]) {
    for (c, (scale, bias)) in norm.scale.iter_mut().zip(&mut norm.bias).enumerate() {
        for step in steps {
            if matches!(step, InputStep::Mul(_) | InputStep::Div(_)) {
                *scale = step.of(*scale, c);
            }
            *bias = step.of(*bias, c);
        }
    }
}
