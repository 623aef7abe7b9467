//! Layers over channels, rows and columns: values of four axes, channels second.

use super::{Maker, Value, of_text, real};
use crate::network::attributes::{of_float, of_int, of_ints};
use tract_onnx::pb::AttributeProto;

/// Geometry of a window, as attributes, and the size of its result.
pub(super) struct Window {
    pub(super) kernel: [usize; 2],
    pub(super) attributes: Vec<AttributeProto>,
    pub(super) out: [usize; 2],
}

impl Maker {
    pub(super) fn picture_layer(&mut self, x: &Value) -> Option<Value> {
        let most = if self.limits.large { 12 } else { 37 };
        let mut kind = self.random.u8(..most);
        if self.limits.large && self.random.bool() {
            kind = 4;
        }
        // Bytes are rarely followed along other axes.
        if x.bytes.is_some() && matches!(kind, 24..=26 | 30 | 33..=35) && self.random.u8(..4) > 0 {
            return None;
        }
        match kind {
            0..=3 => self.any_conv(x),
            4..=6 => self.inverted_block(x),
            7 | 8 => Some(self.activation(x)),
            9 => self.residual(x),
            10 | 11 => self.dynamic_conv(x),
            12 | 13 => self.pool(x),
            14 => self.squeeze_excite(x),
            15 | 16 => self.qlinear_layer(x),
            17 => self.concat(x),
            18 => self.split(x),
            19 => Some(self.sliced(x)),
            20 => self.shuffle(x),
            21 => Some(self.by_constant(x)),
            22 => Some(self.batch_norm(x)),
            23 => self.padded(x),
            24 | 25 => self.to_tokens(x),
            26 => Some(self.moved(x)),
            27 => Some(self.prelu(x)),
            28 => Some(self.activation(x)),
            29 => self.residual(x),
            30 => self.concat_rows(x),
            31 => Some(self.soft_channels(x)),
            32 => Some(self.named(x)),
            33 | 34 => super::keras::layers(self, x),
            35 => super::keras::windows(self, x),
            _ => {
                let pooled = self.global_pool(x);
                Some(self.flatten(&pooled))
            }
        }
    }

    /// Kernel, strides, dilations, padding; `None` where it does not fit.
    pub(super) fn window(&mut self, x: &Value, kernels: &[usize], pool: bool) -> Option<Window> {
        let size = [x.dims[2], x.dims[3]];
        let k = self.of(kernels);
        let kernel = if self.random.u8(..4) == 0 {
            [k, self.of(kernels)]
        } else {
            [k, k]
        };
        let strides = if self.limits.large && self.random.u8(..5) > 0 {
            [1, 1]
        } else if self.random.u8(..5) == 0 {
            [self.of(&[1, 2, 3]), self.of(&[1, 2, 3])]
        } else {
            [self.of(&[1, 1, 2]); 2]
        };
        let dilations = if self.random.u8(..5) == 0 {
            [self.of(&[1, 2]), self.of(&[1, 2, 3])]
        } else {
            [1, 1]
        };
        let list = |v: &[usize]| v.iter().map(|&v| v as i64).collect::<Vec<_>>();
        let span = |i: usize| (kernel[i] - 1) * dilations[i] + 1;
        let mut attributes = vec![of_ints("kernel_shape", &list(&kernel))];
        if strides != [1, 1] || self.random.bool() {
            attributes.push(of_ints("strides", &list(&strides)));
        }
        if dilations != [1, 1] {
            attributes.push(of_ints("dilations", &list(&dilations)));
        }
        let mut pads = [0; 4];
        match self.random.u8(..6) {
            0 => {}
            1 => {
                for (i, pad) in pads.iter_mut().enumerate() {
                    *pad = self.random.usize(..kernel[i % 2]);
                }
            }
            2 => {
                let auto = if self.random.bool() {
                    "SAME_UPPER"
                } else {
                    "SAME_LOWER"
                };
                // A kernel smaller than its stride needs nothing around it, which tract does not see.
                let fits = (0..2).all(|i| span(i) >= strides[i]);
                if !fits || dilations != [1, 1] {
                    return None;
                }
                attributes.push(of_text("auto_pad", auto));
                let out = [0, 1].map(|i| size[i].div_ceil(strides[i]));
                return Some(Window {
                    kernel,
                    attributes,
                    out,
                });
            }
            _ => pads = [0, 1, 2, 3].map(|i| (span(i % 2) - 1) / 2),
        }
        if pool && (0..4).any(|i| pads[i] >= kernel[i % 2]) {
            return None;
        }
        let mut out = [0; 2];
        for i in 0..2 {
            let all = size[i] + pads[i] + pads[i + 2];
            out[i] = all.checked_sub(span(i))? / strides[i] + 1;
        }
        if pads != [0; 4] || self.random.bool() {
            attributes.push(of_ints("pads", &list(&pads)));
        }
        if pool && self.random.u8(..4) == 0 {
            let left = |i: usize| (size[i] + pads[i] + pads[i + 2] - span(i)) % strides[i];
            // The last window must begin inside of the picture.
            let begins = |i: usize| left(i) == 0 || out[i] * strides[i] < size[i] + pads[i];
            if !(begins(0) && begins(1)) {
                return None;
            }
            attributes.push(of_int("ceil_mode", 1));
            for i in 0..2 {
                out[i] += usize::from(left(i) > 0);
            }
        }
        Some(Window {
            kernel,
            attributes,
            out,
        })
    }

    /// Any convolution, with what usually follows it.
    fn any_conv(&mut self, x: &Value) -> Option<Value> {
        let made = self.conv(x, None)?;
        Some(self.after(made))
    }

    /// A normalisation and an activation, or not.
    fn after(&mut self, mut made: Value) -> Value {
        if self.random.u8(..3) == 0 && made.bytes.is_none() {
            made = self.batch_norm(&made);
        }
        if self.random.bool() {
            made = self.activation(&made);
        }
        made
    }

    /// A convolution to so many channels, or to any number of them.
    fn conv(&mut self, x: &Value, to: Option<(usize, &[usize], bool)>) -> Option<Value> {
        let c = x.dims[1];
        let kernels = to.map_or(&[1, 1, 2, 3, 3, 3, 5, 7][..], |t| t.1);
        let window = self.window(x, kernels, false)?;
        let depthwise = to.map_or_else(|| self.random.u8(..3) == 0, |t| t.2);
        let (groups, cout) = if depthwise {
            (c, c)
        } else if to.is_none() && self.random.u8(..5) == 0 {
            let groups = self.of(&[2, 3, 4, 8]);
            if !c.is_multiple_of(groups) {
                return None;
            }
            (groups, groups * self.of(&[1, 2, 3, 5, 8, 16, 17]))
        } else {
            (1, to.map_or_else(|| self.channels(), |t| t.0))
        };
        let [kh, kw] = window.kernel;
        let [h, w] = window.out;
        let terms = kh * kw * (c / groups);
        if !self.afford(h * w * cout * terms) {
            return None;
        }
        let mut attributes = window.attributes;
        if groups > 1 || self.random.bool() {
            attributes.push(of_int("group", groups as i64));
        }
        let dims = vec![1, cout, h, w];
        let sizes = [cout, c / groups, kh, kw];
        if x.bytes.is_some() {
            return Some(self.quantised_conv(x, &sizes, attributes, dims));
        }
        let weights = self.weights(&sizes, terms);
        let name = if self.random.u8(..3) > 0 {
            let bias = self.some_floats(&[cout], -0.5, 0.5);
            self.node("Conv", &[&x.name, &weights, &bias], attributes)
        } else {
            self.node("Conv", &[&x.name, &weights], attributes)
        };
        Some(real(name, dims))
    }

    /// Expansion, depthwise, projection, and perhaps the input on top.
    fn inverted_block(&mut self, x: &Value) -> Option<Value> {
        let wide = self.channels();
        let mut made = x.clone();
        if self.quantised == 100 && made.bytes.is_none() {
            made = self.quantise(&made);
        }
        if self.random.u8(..4) > 0 {
            made = self.conv(&made, Some((wide, &[1, 1, 1, 3], false)))?;
            made = self.clipped(made);
        }
        made = self.conv(&made, Some((0, &[3, 3, 5, 7], true)))?;
        made = self.clipped(made);
        if self.random.u8(..4) > 0 {
            let to = if self.random.bool() {
                x.dims[1]
            } else {
                self.channels()
            };
            made = self.conv(&made, Some((to, &[1], false)))?;
            if made.bytes.is_none() && x.bytes.is_some() {
                made = self.quantise(&made);
            }
            if made.dims == x.dims {
                let name = self.node("Add", &[&made.name, &x.name], vec![]);
                made = real(name, made.dims);
            }
        }
        Some(made)
    }

    /// Limits, and bytes again where it was made of bytes.
    fn clipped(&mut self, x: Value) -> Value {
        let made = match self.random.u8(..3) {
            0 => x,
            1 => self.with("Relu", &x, vec![]),
            _ => self.clip(&x),
        };
        if self.quantised == 100 && made.bytes.is_none() {
            return self.quantise(&made);
        }
        made
    }

    pub(super) fn clip(&mut self, x: &Value) -> Value {
        let (low, high) = [(0.0, 6.0), (-1.0, 1.0), (0.0, 1.5)][self.random.usize(..3)];
        let (low, high) = (self.floats(&[], vec![low]), self.floats(&[], vec![high]));
        let name = match self.random.u8(..4) {
            0 => self.node("Clip", &[&x.name, &low], vec![]),
            1 => self.node("Clip", &[&x.name, "", &high], vec![]),
            _ => self.node("Clip", &[&x.name, &low, &high], vec![]),
        };
        real(name, x.dims.clone())
    }

    pub(super) fn activation(&mut self, x: &Value) -> Value {
        match self.random.u8(..16) {
            0 | 1 => self.with("Relu", x, vec![]),
            2 | 3 => self.clip(x),
            4 if self.opset > 13 => self.with("HardSwish", x, vec![]),
            5 => {
                let slopes = vec![of_float("alpha", 0.25), of_float("beta", 0.4)];
                self.with("HardSigmoid", x, slopes)
            }
            6 => self.with("Sigmoid", x, vec![]),
            7 => self.with("LeakyRelu", x, vec![of_float("alpha", 0.3)]),
            8 => self.with("Tanh", x, vec![]),
            9 => self.with("Erf", x, vec![]),
            10 if self.opset == 20 => self.with("Gelu", x, vec![]),
            11 | 12 => self.gated(x),
            13 => self.spelt_hard_swish(x),
            _ => self.spelt_gelu(x),
        }
    }

    /// `x * f(x)`.
    fn gated(&mut self, x: &Value) -> Value {
        let slopes = || vec![of_float("alpha", 1.0 / 6.0), of_float("beta", 0.5)];
        let mut gate = match self.random.u8(..3) {
            0 => self.with("Sigmoid", x, vec![]),
            1 => self.with("Tanh", x, vec![]),
            _ => self.with("HardSigmoid", x, slopes()),
        };
        if x.bytes.is_some() && self.random.bool() {
            gate = self.quantise(&gate);
        }
        let turned = self.random.bool();
        let (a, b) = if turned { (&gate, x) } else { (x, &gate) };
        let name = self.node("Mul", &[&a.name, &b.name], vec![]);
        let mut made = real(name, x.dims.clone());
        if self.random.u8(..4) == 0 {
            made = self.clip(&made);
        }
        made
    }

    /// HardSwish as Keras has it.
    fn spelt_hard_swish(&mut self, x: &Value) -> Value {
        let [three, zero, six] = [3.0, 0.0, 6.0].map(|v| self.floats(&[], vec![v]));
        let moved = self.node("Add", &[&x.name, &three], vec![]);
        let limited = self.node("Clip", &[&moved, &zero, &six], vec![]);
        let name = if self.random.bool() {
            let gate = self.node("Div", &[&limited, &six], vec![]);
            self.node("Mul", &[&x.name, &gate], vec![])
        } else {
            let product = self.node("Mul", &[&x.name, &limited], vec![]);
            self.node("Div", &[&product, &six], vec![])
        };
        real(name, x.dims.clone())
    }

    /// GELU as before opset 20.
    fn spelt_gelu(&mut self, x: &Value) -> Value {
        let [root, one, half] =
            [std::f32::consts::SQRT_2, 1.0, 0.5].map(|v| self.floats(&[], vec![v]));
        let scaled = self.node("Div", &[&x.name, &root], vec![]);
        let erf = self.node("Erf", &[&scaled], vec![]);
        let sum = self.node("Add", &[&erf, &one], vec![]);
        let name = if self.random.bool() {
            let product = self.node("Mul", &[&x.name, &sum], vec![]);
            self.node("Mul", &[&product, &half], vec![])
        } else {
            let halved = self.node("Mul", &[&x.name, &half], vec![]);
            self.node("Mul", &[&halved, &sum], vec![])
        };
        real(name, x.dims.clone())
    }

    pub(super) fn batch_norm(&mut self, x: &Value) -> Value {
        let c = x.dims[1];
        let scale = self.some_floats(&[c], 0.5, 1.5);
        let bias = self.some_floats(&[c], -0.5, 0.5);
        let mean = self.some_floats(&[c], -0.5, 0.5);
        let variance = self.some_floats(&[c], 0.5, 1.5);
        let inputs = [&x.name[..], &scale, &bias, &mean, &variance];
        let name = self.node("BatchNormalization", &inputs, vec![]);
        real(name, x.dims.clone())
    }

    fn prelu(&mut self, x: &Value) -> Value {
        let slopes = if self.random.bool() {
            self.some_floats(&[x.dims[1], 1, 1], -0.3, 0.5)
        } else {
            self.floats(&[1], vec![0.2])
        };
        let name = self.node("PRelu", &[&x.name, &slopes], vec![]);
        real(name, x.dims.clone())
    }

    /// A sum, difference, product or quotient with constants.
    fn by_constant(&mut self, x: &Value) -> Value {
        let op = ["Add", "Sub", "Mul", "Div"][self.random.usize(..4)];
        let [_, c, h, w] = x.dims[..] else {
            return x.clone();
        };
        let dims = match self.random.u8(..5) {
            0 => vec![],
            1 => vec![1],
            2 => vec![1, c, 1, 1],
            3 if op != "Div" => vec![c, h, w],
            _ => vec![c, 1, 1],
        };
        let values = self.some_floats(&dims, 0.5, 1.5);
        let turned = matches!(op, "Add" | "Mul") && self.random.bool();
        let inputs = if turned {
            [&values[..], &x.name]
        } else {
            [&x.name[..], &values]
        };
        let name = self.node(op, &inputs, vec![]);
        let mut made = real(name, x.dims.clone());
        if self.random.u8(..4) == 0 {
            made = self.with("Relu", &made, vec![]);
        }
        made
    }

    /// A sum or product with another value of the same size, or of one value a channel.
    fn residual(&mut self, x: &Value) -> Option<Value> {
        let c = x.dims[1];
        let other =
            self.other(|v| v.name != x.name && (v.dims == x.dims || v.dims == [1, c, 1, 1]))?;
        let op = if self.random.u8(..4) == 0 {
            "Mul"
        } else {
            "Add"
        };
        let (mut a, mut b) = (x.clone(), other);
        if self.random.bool() {
            std::mem::swap(&mut a, &mut b);
        }
        let name = self.node(op, &[&a.name, &b.name], vec![]);
        let mut made = real(name, x.dims.clone());
        if self.random.u8(..3) == 0 {
            made = self.with("Relu", &made, vec![]);
        }
        Some(made)
    }

    fn pool(&mut self, x: &Value) -> Option<Value> {
        let window = self.window(x, &[1, 2, 3, 3, 5], true)?;
        let [h, w] = window.out;
        let mut attributes = window.attributes;
        let dilated = attributes.iter().any(|a| a.name == "dilations");
        let up = attributes.iter().any(|a| a.name == "ceil_mode");
        let op = if self.random.bool() || (dilated && self.opset < 19) {
            "MaxPool"
        } else {
            if !up && self.random.bool() {
                attributes.push(of_int("count_include_pad", 1));
            }
            "AveragePool"
        };
        let name = self.node(op, &[&x.name], attributes);
        Some(real(name, vec![1, x.dims[1], h, w]))
    }

    /// The average or the largest of each channel, with its axes kept.
    pub(super) fn global_pool(&mut self, x: &Value) -> Value {
        let dims = vec![1, x.dims[1], 1, 1];
        let name = match self.random.u8(..4) {
            0 => self.along("ReduceMean", &x.name, &[2, 3], 18, true),
            1 => self.node("GlobalMaxPool", &[&x.name], vec![]),
            _ => self.node("GlobalAveragePool", &[&x.name], vec![]),
        };
        real(name, dims)
    }

    fn squeeze_excite(&mut self, x: &Value) -> Option<Value> {
        let pooled = self.global_pool(x);
        let few = self.of(&[1, 4, 8]);
        let mut made = self.conv(&pooled, Some((few, &[1], false)))?;
        made = self.with("Relu", &made, vec![]);
        made = self.conv(&made, Some((x.dims[1], &[1], false)))?;
        if made.dims != [1, x.dims[1], 1, 1] {
            return None;
        }
        made = self.with("HardSigmoid", &made, vec![]);
        let name = self.node("Mul", &[&x.name, &made.name], vec![]);
        Some(real(name, x.dims.clone()))
    }

    pub(super) fn flatten(&mut self, x: &Value) -> Value {
        let all: usize = x.dims.iter().product();
        let dims = vec![1, all];
        let name = match self.random.u8(..4) {
            0 => {
                let to = self.ints(&[1, -1]);
                self.node("Reshape", &[&x.name, &to], vec![])
            }
            1 if x.dims[2..] == [1, 1] => self.along("Squeeze", &x.name, &[2, 3], 13, true),
            _ => self.node("Flatten", &[&x.name], vec![]),
        };
        real(name, dims)
    }

    fn concat(&mut self, x: &Value) -> Option<Value> {
        let size = x.dims[2..].to_vec();
        let other = self.other(|v| v.dims.len() == 4 && v.dims[2..] == size && v.dims[1] < 100)?;
        let c = x.dims[1] + other.dims[1];
        let name = self.node("Concat", &[&x.name, &other.name], vec![of_int("axis", 1)]);
        Some(real(name, vec![1, c, size[0], size[1]]))
    }

    /// Along rows or columns, with a constant now and then.
    fn concat_rows(&mut self, x: &Value) -> Option<Value> {
        let axis = 2 + self.random.usize(..2);
        let mut dims = x.dims.clone();
        let other = if self.random.bool() {
            let mut size = x.dims.clone();
            size[axis] = 1;
            dims[axis] += 1;
            self.some_floats(&size, -1.0, 1.0)
        } else {
            dims[axis] *= 2;
            x.name.clone()
        };
        let name = self.node(
            "Concat",
            &[&x.name, &other],
            vec![of_int("axis", axis as i64)],
        );
        Some(real(name, dims))
    }

    /// Parts of the channels; one of them goes on, another one is there to be read later.
    fn split(&mut self, x: &Value) -> Option<Value> {
        let c = x.dims[1];
        if c < 2 {
            return None;
        }
        let first = self.random.usize(1..c);
        let sizes = [first as i64, (c - first) as i64];
        let mut axis = vec![of_int("axis", 1)];
        let names = if self.opset < 13 {
            axis.push(of_ints("split", &sizes));
            self.nodes_of("Split", &[&x.name], axis, 2)
        } else {
            let sizes = self.ints(&sizes);
            self.nodes_of("Split", &[&x.name, &sizes], axis, 2)
        };
        let part = |i: usize, c: usize| {
            let mut dims = x.dims.clone();
            dims[1] = c;
            real(names[i].clone(), dims)
        };
        self.values.push(part(1, c - first));
        Some(part(0, first))
    }

    /// Some channels, rows or columns.
    fn sliced(&mut self, x: &Value) -> Value {
        let axes = if x.bytes.is_some() { 2 } else { 4 };
        let axis = [1, 1, 2, 3][self.random.usize(..axes)];
        let size = x.dims[axis];
        let first = self.random.usize(..size);
        let step = if x.bytes.is_some() {
            1
        } else {
            self.of(&[1, 1, 2])
        };
        let mut dims = x.dims.clone();
        if self.random.u8(..3) == 0 && axis == 1 {
            let picked: Vec<i64> = (0..self.random.usize(1..=size.min(20)))
                .map(|_| self.random.usize(..size) as i64)
                .collect();
            dims[1] = picked.len();
            let picked = self.ints(&picked);
            let name = self.node("Gather", &[&x.name, &picked], vec![of_int("axis", 1)]);
            return real(name, dims);
        }
        dims[axis] = (size - first).div_ceil(step);
        let lists = [first as i64, i64::MAX, axis as i64, step as i64];
        let lists = lists.map(|v| self.ints(&[v]));
        let inputs: Vec<&str> = [&x.name]
            .into_iter()
            .chain(&lists)
            .map(String::as_str)
            .collect();
        let name = self.node("Slice", &inputs, vec![]);
        real(name, dims)
    }

    fn shuffle(&mut self, x: &Value) -> Option<Value> {
        let [_, c, h, w] = x.dims[..] else {
            return None;
        };
        let groups = self.of(&[2, 3, 4]);
        if !c.is_multiple_of(groups) {
            return None;
        }
        let list = |v: &[usize]| v.iter().map(|&v| v as i64).collect::<Vec<_>>();
        let apart = self.ints(&list(&[1, groups, c / groups, h, w]));
        let back = self.ints(&list(&x.dims));
        let apart = self.node("Reshape", &[&x.name, &apart], vec![]);
        let order = vec![of_ints("perm", &[0, 2, 1, 3, 4])];
        let turned = self.node("Transpose", &[&apart], order);
        let name = self.node("Reshape", &[&turned, &back], vec![]);
        Some(real(name, x.dims.clone()))
    }

    /// Zeros around it, and a convolution or pooling of that.
    fn padded(&mut self, x: &Value) -> Option<Value> {
        let pads: [usize; 4] = std::array::from_fn(|_| self.random.usize(..3));
        let mut dims = x.dims.clone();
        dims[2] += pads[0] + pads[2];
        dims[3] += pads[1] + pads[3];
        let [top, left, bottom, right] = pads.map(|p| p as i64);
        let list = self.ints(&[0, 0, top, left, 0, 0, bottom, right]);
        let name = if self.random.bool() {
            let zero = self.floats(&[], vec![0.0]);
            self.node("Pad", &[&x.name, &list, &zero], vec![])
        } else {
            self.node("Pad", &[&x.name, &list], vec![])
        };
        let mut padded = real(name, dims);
        if x.bytes.is_some() && self.random.bool() {
            padded = self.quantise(&padded);
        }
        if self.random.u8(..3) > 0 {
            return self.conv(&padded, None);
        }
        let size = self.of(&[2, 3]);
        let pads_fit = pads.iter().all(|&p| p < size);
        let fits = padded.dims[2] >= size && padded.dims[3] >= size;
        if !pads_fit || !fits {
            return None;
        }
        let op = ["MaxPool", "AveragePool"][self.random.usize(..2)];
        let kernel = vec![of_ints("kernel_shape", &[size as i64; 2])];
        let name = self.node(op, &[&padded.name], kernel);
        let of = |i: usize| padded.dims[i] - size + 1;
        Some(real(name, vec![1, x.dims[1], of(2), of(3)]))
    }

    /// Axes in another order or counted otherwise, the channels still second.
    fn moved(&mut self, x: &Value) -> Value {
        let [_, c, h, w] = x.dims[..] else {
            return x.clone();
        };
        match self.random.u8(..4) {
            0 => {
                let name = self.node(
                    "Transpose",
                    &[&x.name],
                    vec![of_ints("perm", &[0, 1, 3, 2])],
                );
                real(name, vec![1, c, w, h])
            }
            1 => {
                let to = self.ints(&[1, c as i64, 1, -1]);
                let name = self.node("Reshape", &[&x.name, &to], vec![]);
                real(name, vec![1, c, 1, h * w])
            }
            2 => {
                // Channels become rows.
                let name = self.node(
                    "Transpose",
                    &[&x.name],
                    vec![of_ints("perm", &[0, 2, 1, 3])],
                );
                real(name, vec![1, h, c, w])
            }
            _ => {
                // As another framework has it, and back.
                let to = vec![of_ints("perm", &[0, 2, 3, 1])];
                let last = self.node("Transpose", &[&x.name], to);
                let act = self.node("Relu", &[&last], vec![]);
                let back = vec![of_ints("perm", &[0, 3, 1, 2])];
                let name = self.node("Transpose", &[&act], back);
                real(name, x.dims.clone())
            }
        }
    }

    fn soft_channels(&mut self, x: &Value) -> Value {
        let axis = [1, -1][self.random.usize(..2)];
        self.with("Softmax", x, vec![of_int("axis", axis)])
    }

    /// Operators that do nothing.
    fn named(&mut self, x: &Value) -> Value {
        let op = ["Identity", "Dropout"][self.random.usize(..2)];
        self.with(op, x, vec![])
    }
}
