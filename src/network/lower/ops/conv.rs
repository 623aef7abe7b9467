//! Convolutions, fully connected layers and the normalisation that is folded into them.

use crate::network::graph::{Conv, FREE, InputStep, Shape, Sides, Weights, Window};
use crate::network::lower::axes::is_plain;
use crate::network::lower::dims::logical;
use crate::network::lower::value::Bias;
use crate::network::lower::{DeferredOp, Lower, Lowered, QuantisedConst, Value, View};
use crate::network::onnx::attributes::{float, int, ints, text};
use crate::network::onnx::constant::{Const, Data};
use std::rc::Rc;
use tract_onnx::pb::NodeProto;

/// The constant operands of a dense layer.
pub(crate) struct Dense<'a> {
    pub(crate) w: &'a Value,
    /// Whether a row of `w` has the weights of one output, rather than those of one input.
    pub(crate) transposed: bool,
    pub(crate) bias: Bias,
}

impl<'a> Dense<'a> {
    /// Of MatMul: weights only, one row per input.
    pub(crate) fn matrix(w: &'a Value) -> Self {
        Self {
            w,
            transposed: false,
            bias: Bias::None,
        }
    }

    /// The numbers of inputs and outputs, from the sizes of `w`.
    pub(crate) fn inputs_and_outputs(&self, dims: &[usize]) -> Lowered<(usize, usize)> {
        match *dims {
            [n, k] if self.transposed => Ok((k, n)),
            [k, n] => Ok((k, n)),
            _ => Err(format!("the second matrix's shape is {dims:?}")),
        }
    }
}

impl Bias {
    pub(crate) fn floats(&self, count: usize) -> Vec<f32> {
        match self {
            Self::None => vec![0.0; count],
            Self::Real(v) => v.clone(),
            Self::Ints(v, s) | Self::Exact(v, s) => {
                v.iter().zip(s).map(|(&v, &s)| v as f32 * s).collect()
            }
        }
    }

    /// In the unit that `unit` gives for each output channel.
    pub(crate) fn ints(&self, count: usize, unit: impl Fn(usize) -> f64) -> Lowered<Vec<i32>> {
        let real = match self {
            Self::Exact(v, _) => return v.iter().map(|&v| small(v)).collect(),
            Self::Ints(v, s) => {
                // The usual case: the bias already has exactly these units, up to the rounding of their product.
                let same = |n: usize| (f64::from(s[n]) / unit(n) - 1.0).abs() < 1e-5;
                if (0..count).all(same) {
                    return v.iter().map(|&v| small(v)).collect();
                }
                v.iter()
                    .zip(s)
                    .map(|(&v, &s)| v as f64 * f64::from(s))
                    .collect()
            }
            Self::Real(v) => v.iter().map(|&v| f64::from(v)).collect(),
            Self::None => vec![0.0; count],
        };
        real.iter()
            .enumerate()
            .map(|(n, v)| {
                let steps = (v / unit(n)).round_ties_even();
                if steps.abs() < 2e9 {
                    Ok(steps as i32)
                } else {
                    Err(format!("the bias of channel {n} does not fit 32 bits"))
                }
            })
            .collect()
    }
}

fn small(v: i64) -> Lowered<i32> {
    i32::try_from(v).map_err(|_| "a bias does not fit 32 bits".into())
}

/// Weights in the order output, kernel row, kernel column, input, before the geometry is known.
pub(crate) enum Source<'a> {
    Real(Rc<Vec<f32>>, Vec<usize>),
    Ints(&'a QuantisedConst),
}

impl Lower {
    pub(crate) fn weights_of<'a>(&self, value: &'a Value) -> Lowered<Source<'a>> {
        match value {
            Value::Const(c) => self.spend(c.len())?,
            Value::Quantised(q) => self.spend(q.ints.len())?,
            _ => {}
        }
        match value {
            Value::Const(c) => Ok(Source::Real(
                match &c.data {
                    Data::F32(v) => v.clone(),
                    _ => Rc::new(c.floats()),
                },
                c.dims.clone(),
            )),
            Value::Quantised(q) if matches!(q.ints.data, Data::I8(_) | Data::U8(_)) => {
                Ok(Source::Ints(q))
            }
            _ => Err("the weights are not constant".into()),
        }
    }

    pub(crate) fn bias_of(&self, node: &NodeProto, at: usize, count: usize) -> Lowered<Bias> {
        if !self.has_input(node, at) {
            return Ok(Bias::None);
        }
        let spread = |s: &[f32]| (0..count).map(|n| s[n.min(s.len() - 1)]).collect();
        let bias = match self.input_value(node, at)? {
            Value::Const(c) if c.len() == 1 && count > 1 => Bias::Real(vec![c.floats()[0]; count]),
            Value::Const(c) => Bias::Real(c.floats()),
            Value::Quantised(q) if q.zero.iter().all(|&z| z == 0) => {
                Bias::Ints(q.ints.ints(), spread(&q.scale))
            }
            Value::Quantised(q) => Bias::Real(q.floats()),
            _ => return Err("the bias is not constant".into()),
        };
        let len = bias.floats(count).len();
        if len != count || matches!(&bias, Bias::Ints(v, _) if v.len() != count) {
            return Err(format!("the bias has {len} values for {count} channels"));
        }
        Ok(bias)
    }

    pub(crate) fn conv(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = self.input_value(node, 0)?;
        let w = self.input_value(node, 1)?;
        let cout = match &w {
            Value::Const(c) => c.dims.first(),
            Value::Quantised(q) => q.ints.dims.first(),
            _ => None,
        };
        let cout = *cout.ok_or("the weights are not constant")?;
        let bias = self.bias_of(node, 2, cout)?;
        self.conv_of(node, x, &w, bias)
    }

    /// A convolution with `node`'s attributes.
    pub(crate) fn conv_of(
        &mut self,
        node: &NodeProto,
        x: Value,
        w: &Value,
        bias: Bias,
    ) -> Lowered<Value> {
        let (x, extra) = match x {
            Value::Padded(inner, pads) => (*inner, pads),
            other => (other, [0; 4]),
        };
        if extra != [0; 4] && self.extent(&x)?.1 != View::Nchw {
            return Err("padding of rows and columns that are other axes here".into());
        }
        let x = self.channels_second(node, x)?;
        let x = self.materialise(&x)?;
        if x.view != View::Nchw {
            return Err("the input is not batch, channels, rows, columns".into());
        }
        let input = self.shape(x.id);
        let source = self.weights_of(w)?;
        let dims = match &source {
            Source::Real(_, dims) => dims.clone(),
            Source::Ints(q) => q.ints.dims.clone(),
        };
        let [cout, per_group, kh, kw] = dims[..] else {
            return Err(format!("the weights' shape is {dims:?}, not four sizes"));
        };
        let groups = usize::try_from(int(node, "group", 1)).unwrap_or(0);
        if groups == 0
            || per_group.checked_mul(groups) != Some(input.c)
            || cout % groups != 0
            || cout == 0
            || kh == 0
            || kw == 0
        {
            return Err(format!(
                "weights {dims:?} in {groups} groups do not fit {} input channels",
                input.c
            ));
        }
        let window = self.window(node, (kh, kw), input, extra)?;
        let (h, w_) = window
            .output(input.h, input.w)
            .ok_or("the kernel is larger than the input")?;
        let order =
            |n: usize, y: usize, x: usize, c: usize| ((n * per_group + c) * kh + y) * kw + x;
        // One pixel or one channel: both orders are the same.
        let same = kh * kw == 1 || per_group == 1;
        let weights = place(&source, 0, (cout, kh, kw, per_group), same, order)?;
        let conv = Conv {
            window,
            groups,
            cin: input.c,
            cout,
            weights,
            clamp: FREE,
            factors: None,
            then: None,
        };
        let shape = Shape::new(h, w_, cout)?;
        Ok(self.deferred(
            node,
            DeferredOp::Conv(conv, bias),
            vec![x],
            shape,
            View::Nchw,
        ))
    }

    /// Strides, dilations and padding of a convolution or pooling node.
    pub(crate) fn window(
        &self,
        node: &NodeProto,
        (kh, kw): (usize, usize),
        input: Shape,
        extra: [usize; 4],
    ) -> Lowered<Window> {
        let list = |name: &str, count: usize, default: usize| -> Lowered<Vec<usize>> {
            let given = ints(node, name).unwrap_or_else(|| vec![default as i64; count]);
            let read: Option<Vec<usize>> = given
                .iter()
                .map(|&v| usize::try_from(v).ok().filter(|&v| v < 1 << 16))
                .collect();
            read.filter(|v| v.len() == count)
                .ok_or_else(|| format!("{name} is {given:?}"))
        };
        let strides = list("strides", 2, 1)?;
        let dilations = list("dilations", 2, 1)?;
        if strides.contains(&0) || dilations.contains(&0) {
            return Err("a stride or dilation is 0".into());
        }
        let mut pads = match text(node, "auto_pad") {
            "" | "NOTSET" => list("pads", 4, 0)?,
            "VALID" => vec![0; 4],
            same @ ("SAME_UPPER" | "SAME_LOWER") => {
                let both = |size: usize, k: usize, s: usize, d: usize| {
                    let span = (k - 1) * d + 1;
                    ((size.div_ceil(s) - 1) * s + span).saturating_sub(size)
                };
                let [top, left, bottom, right] = extra;
                let v = both(input.h + top + bottom, kh, strides[0], dilations[0]);
                let h = both(input.w + left + right, kw, strides[1], dilations[1]);
                let (v0, h0) = if same == "SAME_UPPER" {
                    (v / 2, h / 2)
                } else {
                    (v.div_ceil(2), h.div_ceil(2))
                };
                vec![v0, h0, v - v0, h - h0]
            }
            other => return Err(format!("auto_pad is {other:?}")),
        };
        for (p, e) in pads.iter_mut().zip(extra) {
            *p += e;
        }
        Ok(Window {
            kh,
            kw,
            sh: strides[0],
            sw: strides[1],
            dh: dilations[0],
            dw: dilations[1],
            top: pads[0],
            left: pads[1],
            bottom: pads[2],
            right: pads[3],
        })
    }

    /// Gemm and MatMul: a convolution whose window is the whole input.
    pub(crate) fn fully_connected(&mut self, node: &NodeProto) -> Lowered<Value> {
        let gemm = node.op_type == "Gemm";
        let transposed = gemm && int(node, "transB", 0) != 0;
        if gemm
            && (int(node, "transA", 0) != 0
                || float(node, "alpha", 1.0) != 1.0
                || float(node, "beta", 1.0) != 1.0)
        {
            return Err("transA, alpha or beta is not the default".into());
        }
        let x = self.input_value(node, 0)?;
        let w = self.input_value(node, 1)?;
        let cout = match &w {
            Value::Const(c) => c.dims.clone(),
            Value::Quantised(q) => q.ints.dims.clone(),
            _ => Vec::new(),
        };
        let [k, n] = cout[..] else {
            if gemm || !cout.is_empty() {
                return Err("the second matrix is not a constant of two sizes".into());
            }
            return self.product(node, &x, &w);
        };
        let cout = if transposed { k } else { n };
        let bias = if gemm {
            if self.has_input(node, 2) {
                let dims = match self.input_value(node, 2)? {
                    Value::Const(c) => c.dims.clone(),
                    Value::Quantised(q) => q.ints.dims.clone(),
                    _ => Vec::new(),
                };
                // One per row is broadcast along the other axis.
                let ones = dims.iter().filter(|&&d| d == 1).count();
                if ones < dims.len() && (ones + 1 < dims.len() || dims.last() == Some(&1)) {
                    return Err(format!("adds a matrix of {dims:?}"));
                }
            }
            self.bias_of(node, 2, cout)?
        } else {
            Bias::None
        };
        let of = Dense {
            w: &w,
            transposed,
            bias,
        };
        self.fully_connected_of(node, x, of)
    }

    /// A dense layer over all values of `x`, or over its last axis.
    pub(crate) fn fully_connected_of(
        &mut self,
        node: &NodeProto,
        x: Value,
        of: Dense<'_>,
    ) -> Lowered<Value> {
        let (_, view) = self.extent(&x)?;
        if !matches!(view, View::Flat | View::FlatChw) {
            return self.by_rows(node, &x, of);
        }
        let x = self.materialise(&x)?;
        let input = self.shape(x.id);
        let source = self.weights_of(of.w)?;
        let dims = match &source {
            Source::Real(_, dims) => dims.clone(),
            Source::Ints(q) => q.ints.dims.clone(),
        };
        let (k, n) = of.inputs_and_outputs(&dims)?;
        let Dense {
            transposed, bias, ..
        } = of;
        if k != input.volume() || n == 0 || !matches!(x.view, View::Flat | View::FlatChw) {
            return Err(format!(
                "a matrix {dims:?} does not fit an input of {input}"
            ));
        }
        let Sides { h, w: width, c } = *input;
        let chw = x.view == View::FlatChw;
        let order = |o: usize, row: usize, column: usize, channel: usize| {
            let i = if chw {
                (channel * h + row) * width + column
            } else {
                (row * width + column) * c + channel
            };
            if transposed { o * k + i } else { i * n + o }
        };
        let axis = usize::from(!transposed);
        let same = transposed && (!chw || h * width == 1);
        let weights = place(&source, axis, (n, h, width, c), same, order)?;
        let conv = Conv {
            window: Window {
                kh: h,
                kw: width,
                ..Window::POINT
            },
            groups: 1,
            cin: c,
            cout: n,
            weights,
            clamp: FREE,
            factors: None,
            then: None,
        };
        let shape = Shape::new(1, 1, n)?;
        Ok(self.deferred(
            node,
            DeferredOp::Conv(conv, bias),
            vec![x],
            shape,
            View::Flat,
        ))
    }

    pub(crate) fn batch_norm(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = self.input_value(node, 0)?;
        let [gamma, beta, mean, var] = [1, 2, 3, 4].map(|i| self.const_floats(node, i));
        let (gamma, beta, mean, var) = (gamma?.0, beta?.0, mean?.0, var?.0);
        let epsilon = float(node, "epsilon", 1e-5);
        let (shape, view) = self.extent(&x)?;
        if [&gamma, &beta, &mean, &var]
            .iter()
            .any(|v| v.len() != shape.c)
        {
            return Err(format!("its statistics are not {} channels", shape.c));
        }
        let rows = is_plain(shape, view) && logical(shape, view).len() == 2;
        let elsewhere = matches!(view, View::Nhwc | View::Strided(_)) && !rows;
        if elsewhere || (view == View::FlatChw && shape.pixels() > 1) {
            return Err("the channels are not axis 1".into());
        }
        // ONNX Runtime's order, for the same bits between bytes.
        let a: Vec<f32> = (0..shape.c)
            .map(|c| gamma[c] * (1.0 / (var[c] + epsilon).sqrt()))
            .collect();
        let b: Vec<f32> = (0..shape.c).map(|c| beta[c] - mean[c] * a[c]).collect();
        self.affine(node, x, vec![InputStep::Mul(a), InputStep::Add(b)])
    }
}

/// Weights in our order, from `order(n, row, column, channel)` in theirs, which equals ours if `same`. `axis` is the output
/// channels' axis in theirs.
fn place(
    source: &Source<'_>,
    axis: usize,
    size: (usize, usize, usize, usize),
    same: bool,
    order: impl Fn(usize, usize, usize, usize) -> usize,
) -> Lowered<Weights> {
    let cout = size.0;
    match source {
        Source::Real(values, _) => Ok(Weights::F32 {
            w: if same {
                values.clone()
            } else {
                Rc::new(ordered(values, size, order))
            },
            steps: Vec::new(),
            bias: Vec::new(),
        }),
        Source::Ints(q) => {
            if q.scale.len() != 1 && (q.axis != axis || q.scale.len() != cout) {
                return Err("the weights are quantised along another axis".into());
            }
            let Const { data, .. } = &q.ints;
            let (bytes, shift) = match data {
                Data::I8(v) if same => (v.clone(), 0),
                Data::I8(v) => (Rc::new(ordered(v, size, order)), 0),
                Data::U8(v) => {
                    let moved = v.iter().map(|&v| (v ^ 0x80) as i8).collect::<Vec<_>>();
                    (Rc::new(ordered(&moved, size, order)), 128)
                }
                _ => return Err("the weights are not bytes".into()),
            };
            let at = |n: usize| if q.scale.len() == 1 { 0 } else { n };
            Ok(Weights::Q8 {
                w: bytes,
                zero: (0..cout).map(|n| q.zero[at(n)] - shift).collect(),
                scale: (0..cout).map(|n| q.scale[at(n)]).collect(),
                bias: Vec::new(),
            })
        }
    }
}

fn ordered<T: Copy>(
    values: &[T],
    (cout, kh, kw, cin): (usize, usize, usize, usize),
    order: impl Fn(usize, usize, usize, usize) -> usize,
) -> Vec<T> {
    let mut reordered = Vec::with_capacity(values.len());
    for n in 0..cout {
        for y in 0..kh {
            for x in 0..kw {
                reordered.extend((0..cin).map(|c| values[order(n, y, x, c)]));
            }
        }
    }
    reordered
}
