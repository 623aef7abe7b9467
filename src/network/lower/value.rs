//! What ONNX values stand for while a graph is lowered.

use super::Lowered;
use crate::network::graph::axes::Axes;
use crate::network::graph::{Conv, InputStep, Norm, Product, Shape, TensorId, Unary, Window};
use crate::network::onnx::constant::Const;
use std::cell::RefCell;
use std::rc::Rc;

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

/// The bias of a deferred convolution.
#[derive(Debug, Clone)]
pub(crate) enum Bias {
    None,
    Real(Vec<f32>),
    /// Integers; a value is `ints[n] * scale[n]`.
    Ints(Vec<i64>, Vec<f32>),
    /// Integers in units of input scale times weight scale, as in QLinearConv.
    Exact(Vec<i64>, Vec<f32>),
}

/// A value that only stands for something between the operators of a pattern. Any other use of one is refused.
#[derive(Debug, Clone)]
pub(super) enum Intermediate {
    /// Of a quantisation whose scale is recomputed in every run.
    Dynamic(Dynamic),
    /// Of a LayerNormalization that is written out as its parts.
    Norm(DecomposedNorm),
}

impl Intermediate {
    /// Why it cannot be read elsewhere.
    pub(super) fn elsewhere(&self) -> &'static str {
        match self {
            Self::Dynamic(_) => DYNAMIC_ELSEWHERE,
            Self::Norm(_) => NORM_ELSEWHERE,
        }
    }

    /// Cast to float.
    pub(super) fn into_float(self) -> Lowered<Value> {
        match self {
            Self::Dynamic(value) => value.into_float(),
            // It is already float.
            Self::Norm(_) => Ok(Value::Intermediate(self)),
        }
    }
}

/// The error for reading such a value outside the pattern.
pub(super) const DYNAMIC_ELSEWHERE: &str =
    "what a DynamicQuantizeLinear made, in another place than quantize_dynamic has it";

/// A value that depends on a DynamicQuantizeLinear; its scale and zero point are identified by the tensor of extremes.
#[derive(Debug, Clone)]
pub(crate) enum Dynamic {
    /// The integers; the tensor holds them without their zero point.
    Integers(Activation, TensorId),
    /// The scale.
    Scale(TensorId),
    /// The scale times constants with this shape.
    Scales(TensorId, Rc<Vec<f32>>, Vec<usize>),
    /// The zero point.
    Zero(TensorId),
    /// Sums of products with the integers, before they are cast to floats.
    Sums(Box<Value>),
}

/// The error for reading such a value outside the pattern.
pub(super) const NORM_ELSEWHERE: &str =
    "a mean of the last axis in another place than LayerNormalization has it";

/// The stages between the operators of a LayerNormalization.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Part {
    /// The mean of each row.
    Mean,
    /// Rows minus their mean.
    Off,
    /// The squares of those.
    Square,
    /// The mean of the squares.
    Variance,
    /// That mean plus this epsilon.
    Raised(f32),
    /// The root of that.
    Deviation(f32),
}

/// A value of a written-out LayerNormalization: its stage, the tensor of rows, and the order of the value's axes in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct DecomposedNorm {
    pub(crate) part: Part,
    pub(crate) of: TensorId,
    pub(crate) axes: Axes,
}
