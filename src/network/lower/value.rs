//! What ONNX values stand for while a graph is lowered.

use super::intermediate::Intermediate;
use super::ops::conv::{Bias, conv_with_steps};
use super::ops::norm::norm_with_steps;
use super::ops::tokens::product_with_steps;
use crate::network::graph::axes::Axes;
use crate::network::graph::{
    Conv, InputStep, Norm, Product, Shape, TensorId, Unary, Window, both_limits,
};
use crate::network::onnx::constant::Const;
use std::cell::RefCell;
use std::rc::Rc;

/// Most steps in a row that are folded into one layer: each addition recomputes all of them.
pub(super) const MAX_STEPS: usize = 64;

/// How the axes of the ONNX value map to our rows, columns, channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// 1, C, H, W.
    Nchw,
    /// 1, H, W, C.
    Nhwc,
    /// 1, N with N in our own order.
    Flat,
    /// 1, N with N in the order channels, rows, columns.
    FlatChw,
    /// Any axes, in the order in which the tensor stores them.
    Strided(Axes),
}

/// A computed tensor as an ONNX value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Activation {
    pub(super) id: TensorId,
    pub(super) view: View,
    /// The tensor holds bytes, and the value is the real numbers that they stand for (after DequantizeLinear).
    pub(super) real: bool,
}

/// Weights as ONNX gives them: real values, or integers with scale and zero point along one axis.
#[derive(Debug, Clone)]
pub(super) struct QuantisedConst {
    pub(super) ints: Const,
    pub(super) scale: Vec<f32>,
    pub(super) zero: Vec<i32>,
    pub(super) axis: usize,
}

impl QuantisedConst {
    pub(super) fn floats(&self) -> Vec<f32> {
        let inner: usize = self.ints.dims.iter().skip(self.axis + 1).product();
        let along = self.scale.len();
        let values = self.ints.ints();
        let at = |i: usize| {
            if along == 1 {
                0
            } else {
                i / inner.max(1) % along
            }
        };
        values
            .iter()
            .enumerate()
            .map(|(i, &v)| (v - i64::from(self.zero[at(i)])) as f32 * self.scale[at(i)])
            .collect()
    }
}

/// What an ONNX value stands for.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Const(Rc<Const>),
    Quantised(Rc<QuantisedConst>),
    Activation(Activation),
    Deferred(Rc<Deferred>, View),
    /// Zero padding that a convolution will absorb.
    Padded(Box<Value>, [usize; 4]),
    /// 1xCxHxW viewed as 1xGx(C/G)xHxW; `turned` if groups and members were exchanged after that.
    Grouped {
        inner: Box<Value>,
        groups: usize,
        turned: bool,
    },
    /// A value between the operators of a pattern.
    Intermediate(Intermediate),
    /// An optional output that we do not compute.
    Absent,
}

/// A float layer that is not yet emitted.
#[derive(Debug)]
pub(super) struct Deferred {
    pub(super) op: DeferredOp,
    pub(super) inputs: Vec<Activation>,
    pub(super) shape: Shape,
    pub(super) name: String,
    pub(super) emitted: RefCell<Option<Activation>>,
}

impl Deferred {
    /// The same layer with another operator.
    pub(super) fn with_op(&self, op: DeferredOp, view: View) -> Value {
        let same = Self {
            op,
            inputs: self.inputs.clone(),
            shape: self.shape,
            name: self.name.clone(),
            emitted: RefCell::new(None),
        };
        Value::Deferred(Rc::new(same), view)
    }

    /// Whether it is still to be emitted.
    pub(super) fn is_pending(&self) -> bool {
        self.emitted.borrow().is_none()
    }
}

/// The operator of such a layer.
#[derive(Debug, Clone)]
pub(super) enum DeferredOp {
    /// Weights and bias are kept in the source form, float or quantised; `graph::Conv::weights` is F32 or Q8 accordingly.
    Conv(Conv, Bias),
    Add((f32, f32)),
    Mul((f32, f32)),
    Average(Window, bool),
    Unary(Unary),
    /// LeakyRelu with a slope per channel.
    Slopes(Vec<f32>),
    Affine(Vec<InputStep>),
    Product(Product),
    Norm(Norm),
    Concat,
}

impl DeferredOp {
    /// The same operator with steps per channel folded in, if it can absorb them.
    pub(super) fn with_steps(&self, steps: &[InputStep]) -> Option<Self> {
        match self {
            Self::Conv(conv, bias) => conv_with_steps(conv, bias, steps),
            Self::Product(product) => product_with_steps(product, steps),
            Self::Norm(norm) => Some(norm_with_steps(norm, steps)),
            Self::Affine(before) if before.len() < MAX_STEPS => {
                Some(Self::Affine([before, steps].concat()))
            }
            _ => None,
        }
    }

    /// The same operator with limits of its result, if it has any.
    pub(super) fn with_limits(&self, limits: (f32, f32)) -> Option<Self> {
        Some(match self {
            Self::Conv(conv, bias) => {
                let mut conv = conv.clone();
                conv.clamp = both_limits(conv.clamp, limits);
                Self::Conv(conv, bias.clone())
            }
            Self::Add(clamp) => Self::Add(both_limits(*clamp, limits)),
            Self::Mul(clamp) => Self::Mul(both_limits(*clamp, limits)),
            Self::Unary(Unary::Clamp(low, high)) => {
                let (low, high) = both_limits((*low, *high), limits);
                Self::Unary(Unary::Clamp(low, high))
            }
            _ => return None,
        })
    }
}
