//! The layers of a network: what is computed, free of ONNX names and of any kernel.
//!
//! ```text
//! mod         layers, tensors, the graph
//! sizes       shapes with a checked volume
//! axes        views of tensors of any rank
//! requantise  exact integer arithmetic
//! resize      where a resized picture's values come from
//! dynamic     arithmetic of scales that are recomputed in every run
//! functions   functions of one value
//! tables      functions of a byte
//! ends        which layers make and read each tensor
//! ```
//!
//! Every tensor is one picture (batch 1) in NHWC order. A quantised tensor means `(q - zero) * scale` with `q` in 0..=255 (an
//! ONNX int8 tensor is shifted up by 128); the kernels choose whether `q` is stored unchanged or with its top bit flipped.

pub mod axes;
pub mod dynamic;
pub mod ends;
pub mod functions;
pub mod requantise;
pub mod resize;
pub mod sizes;
pub mod tables;

pub use sizes::{Shape, Sides};
pub use tables::{Tables, Then};

use crate::spec::Dtype;
use axes::Axes;
use resize::Resize;
use std::rc::Rc;

/// Unbounded.
pub const FREE: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

/// Limits that do what `first` and then `second` do. Where they exclude each other, the second decide.
pub fn both_limits(first: (f32, f32), second: (f32, f32)) -> (f32, f32) {
    let within = |limit: f32| limit.max(second.0).min(second.1);
    (within(first.0), within(first.1))
}

/// Index of a tensor in [`Graph::tensors`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub usize);

/// Scale and zero point of a quantised tensor; the zero point is in 0..=255.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quant {
    /// The quantisation step.
    pub scale: f32,
    /// The integer that represents 0.
    pub zero: i32,
}

/// Element type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// 32-bit float.
    F32,
    /// 16-bit float; only the planner (`network::plan`) makes layers of it.
    F16,
    /// One byte per value.
    Q8(Quant),
}

impl Kind {
    /// Bytes per value.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::Q8(_) => 1,
        }
    }
    /// Scale and zero point of bytes.
    pub fn quant(self) -> Option<Quant> {
        match self {
            Self::F32 | Self::F16 => None,
            Self::Q8(quant) => Some(quant),
        }
    }
}

/// A tensor between layers.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// Shape.
    pub shape: Shape,
    /// Element type.
    pub kind: Kind,
}

impl Tensor {
    /// Bytes of the whole tensor.
    pub fn bytes(&self) -> usize {
        self.shape.volume() * self.kind.bytes()
    }
}

/// Kernel size, strides, dilations and padding of a convolution or pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Kernel rows.
    pub kh: usize,
    /// Kernel columns.
    pub kw: usize,
    /// Row stride.
    pub sh: usize,
    /// Column stride.
    pub sw: usize,
    /// Row dilation.
    pub dh: usize,
    /// Column dilation.
    pub dw: usize,
    /// Rows of padding above.
    pub top: usize,
    /// Columns of padding at the left.
    pub left: usize,
    /// Rows of padding below.
    pub bottom: usize,
    /// Columns of padding at the right.
    pub right: usize,
}

impl Window {
    /// One pixel, stride 1, no padding.
    pub const POINT: Self = Self {
        kh: 1,
        kw: 1,
        sh: 1,
        sw: 1,
        dh: 1,
        dw: 1,
        top: 0,
        left: 0,
        bottom: 0,
        right: 0,
    };

    /// Rows and columns of the output for an input of `h` by `w`; `None` when the window does not fit.
    pub fn output(&self, h: usize, w: usize) -> Option<(usize, usize)> {
        let one = |size: usize, before: usize, after: usize, k: usize, d: usize, s: usize| {
            let span = (k.checked_sub(1)?).checked_mul(d)?.checked_add(1)?;
            let padded = size.checked_add(before)?.checked_add(after)?;
            padded.checked_sub(span)?.checked_div(s)?.checked_add(1)
        };
        Some((
            one(h, self.top, self.bottom, self.kh, self.dh, self.sh)?,
            one(w, self.left, self.right, self.kw, self.dw, self.sw)?,
        ))
    }

    /// Whether there is any padding.
    pub fn padded(&self) -> bool {
        [self.top, self.left, self.bottom, self.right] != [0; 4]
    }
}

/// A function of one value, applied after a layer or on its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unary {
    /// Clamp; a limit that is not set is infinite.
    Clamp(f32, f32),
    /// `x * clamp(x / 6 + 0.5, 0, 1)`.
    HardSwish,
    /// `clamp(alpha * x + beta, 0, 1)`.
    HardSigmoid(f32, f32),
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x < 0 ? alpha * x : x`.
    LeakyRelu(f32),
    /// Hyperbolic tangent.
    Tanh,
    /// The error function.
    Erf,
    /// This many times the normal distribution's cumulative function, `(1 + erf(x / sqrt 2)) / 2`: GELU is `x` times it.
    NormalCdf(f32),
}

impl Unary {
    /// The identity.
    pub const NONE: Self = Self::Clamp(FREE.0, FREE.1);
}

/// Weights of a convolution, in the order output channel, kernel row, kernel column, input channel of the group.
#[derive(Debug, Clone, PartialEq)]
pub enum Weights {
    /// Float.
    F32 {
        /// The weights; shared, because a large network has many of them.
        w: Rc<Vec<f32>>,
        /// Folded normalisations, still to be applied to each filter when it is packed.
        steps: Vec<InputStep>,
        /// One per output channel.
        bias: Vec<f32>,
    },
    /// Bytes: the real weight is `(w - zero[n]) * scale[n]`.
    Q8 {
        /// The weights.
        w: Rc<Vec<i8>>,
        /// Zero point of each output channel.
        zero: Vec<i32>,
        /// Scale of each output channel.
        scale: Vec<f32>,
        /// In units of `input scale * scale[n]`; the input's zero point is not folded in yet.
        bias: Vec<i32>,
    },
}

impl Default for Weights {
    fn default() -> Self {
        Self::F32 {
            w: Rc::default(),
            steps: Vec::new(),
            bias: Vec::new(),
        }
    }
}

/// A convolution, or a fully connected layer (a window as large as its input).
#[derive(Debug, Clone, PartialEq)]
pub struct Conv {
    /// Geometry.
    pub window: Window,
    /// Groups; a depthwise convolution has one per input channel.
    pub groups: usize,
    /// Input channels, all groups.
    pub cin: usize,
    /// Output channels, all groups.
    pub cout: usize,
    /// Weights and biases.
    pub weights: Weights,
    /// Limits of the result (in real values); infinite where not set.
    pub clamp: (f32, f32),
    /// For a convolution over [`Op::DynamicQuantise`]'s whole numbers: a factor per output channel. The sums are multiplied by it and by
    /// the scale of the layer's second input, an [`Op::Extremes`], before bias and clamp.
    pub factors: Option<Vec<f32>>,
    /// What is done with the bytes of its result.
    pub then: Option<Then>,
}

impl Conv {
    /// Limits of the raw sums.
    pub fn sums_clamp(&self) -> (f32, f32) {
        if self.factors.is_some() {
            FREE
        } else {
            self.clamp
        }
    }
    /// Applies this convolution's pending steps to `weights`.
    pub fn finish(&self, weights: &mut Weights) {
        let Weights::F32 { w, steps, .. } = weights else {
            return;
        };
        let steps = std::mem::take(steps);
        if steps.is_empty() {
            return;
        }
        let per = self.window.kh * self.window.kw * (self.cin / self.groups);
        for (n, filter) in Rc::make_mut(w).chunks_exact_mut(per).enumerate() {
            // One step over a whole filter at a time, so that the match on the step is not inside the loop over weights.
            for step in &steps {
                for w in &mut *filter {
                    *w = step.of(*w, n);
                }
            }
        }
    }
    /// One filter per channel.
    pub fn depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.cin && self.cout == self.cin
    }
    /// A 1x1 window over all channels, stride 1, no padding.
    pub fn pointwise(&self) -> bool {
        self.window == Window::POINT && self.groups == 1
    }
    /// Multiply-adds for an output of this shape.
    pub fn multiply_adds(&self, output: Shape) -> u64 {
        let each = [self.window.kh, self.window.kw, self.cin / self.groups];
        let each = each.iter().fold(1u64, |n, &f| n.saturating_mul(f as u64));
        each.saturating_mul(output.volume() as u64)
    }
}

/// Mean subtracted, divided by the deviation, then a factor and an addend per channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Norm {
    /// Factor per channel.
    pub scale: Vec<f32>,
    /// Addend per channel.
    pub bias: Vec<f32>,
    /// Added to the variance.
    pub epsilon: f32,
}

/// Each value divided by a power of the squares around it: `x / (bias + alpha / size * sum)^beta`, with the sum over `size` channels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lrn {
    /// Channels of the sum; those that the picture lacks count as 0.
    pub size: usize,
    /// Factor of the sum's mean.
    pub alpha: f32,
    /// The exponent.
    pub beta: f32,
    /// Added before the power is taken.
    pub bias: f32,
}

impl Lrn {
    /// How many of the channels come before the value's own.
    pub fn before(&self) -> usize {
        self.size.saturating_sub(1) / 2
    }
}

/// Matrix products of two tensors, pair by pair. The last two axes are rows and columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    /// The left matrices; the values of a row are contiguous.
    pub a: Axes,
    /// The right matrices.
    pub b: Axes,
    /// The results; the values of a row are contiguous.
    pub y: Axes,
    /// Multiplies all results.
    pub scale: f32,
}

impl Product {
    /// Number of products.
    pub fn count(&self) -> usize {
        self.y.volume() / (self.rows() * self.columns()).max(1)
    }
    /// Rows of a result.
    pub fn rows(&self) -> usize {
        self.y.dims().iter().rev().nth(1).copied().unwrap_or(1)
    }
    /// Columns of a result.
    pub fn columns(&self) -> usize {
        self.y.dims().last().copied().unwrap_or(1)
    }
    /// Columns of a left matrix, which are the rows of a right one.
    pub fn depth(&self) -> usize {
        self.a.dims().last().copied().unwrap_or(1)
    }
}

/// What a layer does. Whether its inputs and output are floats or bytes decides which version runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Convolution.
    Conv(Conv),
    /// Sum of two tensors (the second may be 1x1xC), then clamp.
    Add {
        /// Limits of the result in real values.
        clamp: (f32, f32),
    },
    /// Product of two tensors (the second may be 1x1xC), then clamp.
    Mul {
        /// Limits of the result in real values.
        clamp: (f32, f32),
    },
    /// Average over a window; `true` if padding counts as zeros.
    AveragePool(Window, bool),
    /// Maximum over a window; `true` if padding counts as zeros, else it never wins.
    MaxPool(Window, bool),
    /// `x * a[c] + b[c]`, float.
    Affine {
        /// Factor per channel.
        a: Vec<f32>,
        /// Addend per channel.
        b: Vec<f32>,
    },
    /// `x < 0 ? slope[c] * x : x`, float.
    Slopes(Vec<f32>),
    /// These channels of the input, in this order; any element type.
    Pick(Vec<usize>),
    /// A function of each value; of bytes it becomes tables before planning, as [`Op::Gate`] does.
    Unary(Unary),
    /// Functions of bytes.
    Tables(Tables),
    /// `x * f(x)`, for bytes followed by a clamp. `inner` is the quantisation of `f(x)` if the tensors are bytes.
    Gate {
        /// The function.
        f: Unary,
        /// How `f(x)` is rounded before the product.
        inner: Option<Quant>,
        /// Limits of the result in real values; none for floats.
        clamp: (f32, f32),
    },
    /// Softmax over the channels of each pixel, float.
    Softmax,
    /// LayerNormalization over the channels of each pixel, float.
    Norm(Norm),
    /// Normalisation of each value by the channels around it, float.
    Lrn(Lrn),
    /// Rows and columns copied or blended.
    Resize(Resize),
    /// The same memory with another shape.
    Reshape,
    /// The values at these places of the input, in row-major order; float.
    Move(Axes),
    /// Matrix products of two float tensors.
    Product(Product),
    /// A tensor that is the same in every run, float; it has no inputs.
    Constant(Rc<Vec<f32>>),
    /// Float to bytes.
    Quantise,
    /// Bytes to float.
    Dequantise,
    /// Least and greatest value of a float tensor, from which a DynamicQuantizeLinear's scale and zero point are computed: see
    /// [`dynamic`]. The tensor holds one pair per thread.
    Extremes,
    /// The first input in units of the second one's scale, as whole numbers `q - zero point` stored as floats.
    DynamicQuantise,
    /// Channels concatenated; every input has the output's element type.
    Concat,
    /// From NHWC to NCHW (the shape stays flat).
    ChannelsFirst,
}

/// One layer.
#[derive(Debug, Clone)]
pub struct Layer {
    /// The operator.
    pub op: Op,
    /// What it reads.
    pub inputs: Vec<TensorId>,
    /// What it writes.
    pub output: TensorId,
    /// Name of the ONNX node it comes from.
    pub name: String,
    /// The segment that runs it, see [`Graph`].
    pub segment: usize,
}

/// One operation that an ONNX graph applies to its float input before quantising it, with one value per channel.
#[derive(Debug, Clone, PartialEq)]
pub enum InputStep {
    /// Multiply.
    Mul(Vec<f32>),
    /// Add.
    Add(Vec<f32>),
    /// Subtract.
    Sub(Vec<f32>),
    /// Divide.
    Div(Vec<f32>),
}

impl InputStep {
    /// Applies the step to a value of channel `c`.
    pub fn of(&self, x: f32, c: usize) -> f32 {
        let at = |v: &[f32]| v[if v.len() == 1 { 0 } else { c }];
        match self {
            Self::Mul(v) => x * at(v),
            Self::Add(v) => x + at(v),
            Self::Sub(v) => x - at(v),
            Self::Div(v) => x / at(v),
        }
    }
}

/// How the ONNX graph's input becomes the first tensor.
#[derive(Debug, Clone)]
pub struct GraphInput {
    /// The tensor.
    pub tensor: TensorId,
    /// The ONNX graph's own element type.
    pub dtype: Dtype,
    /// Applied to each value before it is quantised; empty and unused if the tensor has the graph's own type.
    pub steps: Vec<InputStep>,
    /// Whether the steps end in the tensor's quantisation (else values are stored unchanged).
    pub quantised: bool,
}

/// A float tensor that is copied in before a segment or copied out after one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Border {
    /// The ONNX value's name.
    pub name: String,
    /// The tensor.
    pub tensor: TensorId,
    /// Outside the graph its layout is NCHW, not NHWC.
    pub channels_first: bool,
    /// The segment.
    pub segment: usize,
}

/// A network, or the known parts of one.
///
/// A whole network is one segment. If there are unknown operators between known layers, the layers are cut into segments that run
/// one after the other: an earlier segment exports what an unknown operator reads, and a later one imports what it makes. Tensors
/// live across segments, so that a residual sum around an unknown operator stays inside.
#[derive(Debug, Clone)]
pub struct Graph {
    /// All tensors.
    pub tensors: Vec<Tensor>,
    /// Layers in execution order, segment by segment.
    pub layers: Vec<Layer>,
    /// The picture; `None` if the first layers read an import.
    pub input: Option<GraphInput>,
    /// Tensors copied in, apart from the picture.
    pub imports: Vec<Border>,
    /// Tensors copied out; for a whole network the scores, in NHWC order.
    pub exports: Vec<Border>,
}

impl Graph {
    /// Number of segments.
    pub fn segments(&self) -> usize {
        let borders = self.imports.iter().chain(&self.exports);
        let last = borders.map(|b| b.segment).max();
        last.max(self.layers.last().map(|l| l.segment))
            .map_or(0, |s| s + 1)
    }
}
