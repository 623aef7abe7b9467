//! Layers over channels, rows and columns: values with four axes, channels second.

use super::{Maker, Value, of_text, real};
use crate::network::onnx::attributes::{of_int, of_ints};
use tract_onnx::pb::AttributeProto;

/// Geometry of a window, as attributes, and the size of its result.
pub(super) struct Window {
    pub(super) kernel: [usize; 2],
    pub(super) attributes: Vec<AttributeProto>,
    pub(super) out: [usize; 2],
}

impl Maker {
    pub(super) fn picture_layer(&mut self, x: &Value) -> Option<Value> {
        let most = if self.limits.large { 12 } else { 41 };
        let mut kind = self.random.u8(..most);
        if self.limits.large && self.random.bool() {
            kind = 4;
        }
        // Lowering rarely supports moves of bytes.
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
            24 | 25 => self.as_tokens(x),
            26 => Some(self.moved(x)),
            27 => Some(self.prelu(x)),
            28 => Some(self.activation(x)),
            29 => self.residual(x),
            30 => self.concat_rows(x),
            31 => Some(self.soft_channels(x)),
            32 => Some(self.named(x)),
            33 | 34 => crate::network::fused::tests::random::keras::layers(self, x),
            35 => crate::network::fused::tests::random::keras::windows(self, x),
            37 => Some(self.local_norm(x)),
            38 | 39 => self.resized(x),
            40 => self.summed(x),
            _ => {
                let pooled = self.global_pool(x);
                Some(self.flatten(&pooled))
            }
        }
    }

    /// Kernel, strides, dilations, padding; `None` if it does not fit.
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
        let dilations = if self.random.u8(..5) == 0 && !self.limits.large {
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
                // A kernel smaller than its stride needs no padding, which tract does not handle.
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
        let all = |i: usize| size[i] + pads[i] + pads[i + 2];
        if (0..2).any(|i| all(i) < span(i)) {
            return None;
        }
        let mut out = [0, 1].map(|i| (all(i) - span(i)) / strides[i] + 1);
        if pads != [0; 4] || self.random.bool() {
            attributes.push(of_ints("pads", &list(&pads)));
        }
        if pool && self.random.u8(..4) == 0 {
            let left = |i: usize| (all(i) - span(i)) % strides[i];
            // The last window must begin inside the picture.
            let begins = |i: usize| left(i) == 0 || out[i] * strides[i] < size[i] + pads[i];
            if !(begins(0) && begins(1)) {
                return None;
            }
            attributes.push(of_int("ceil_mode", 1));
            out = [0, 1].map(|i| out[i] + usize::from(left(i) > 0));
        }
        Some(Window {
            kernel,
            attributes,
            out,
        })
    }

    /// Any convolution, with what usually follows it.
    fn any_conv(&mut self, x: &Value) -> Option<Value> {
        let out = self.conv(x, None)?;
        Some(self.after(out))
    }

    /// Perhaps a normalisation and an activation.
    fn after(&mut self, mut out: Value) -> Value {
        if self.random.u8(..3) == 0 && out.bytes.is_none() {
            out = self.batch_norm(&out);
        }
        if self.random.bool() {
            out = self.activation(&out);
        }
        out
    }

    /// A convolution to the given number of channels, or to any.
    pub(super) fn conv(&mut self, x: &Value, to: Option<(usize, &[usize], bool)>) -> Option<Value> {
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

    /// Expansion, depthwise, projection, and perhaps a residual sum.
    fn inverted_block(&mut self, x: &Value) -> Option<Value> {
        let wide = self.channels();
        let mut out = x.clone();
        if self.quantised == 100 && out.bytes.is_none() {
            out = self.quantise(&out);
        }
        let expanded = if self.limits.large { 2 } else { 4 };
        if self.random.u8(..expanded) > 0 {
            out = self.conv(&out, Some((wide, &[1, 1, 1, 3], false)))?;
            out = self.clipped(out);
        }
        out = self.conv(&out, Some((0, &[3, 3, 5, 7], true)))?;
        out = self.clipped(out);
        if self.random.u8(..4) > 0 {
            let to = if self.random.bool() {
                x.dims[1]
            } else {
                self.channels()
            };
            out = self.conv(&out, Some((to, &[1], false)))?;
            if out.bytes.is_none() && x.bytes.is_some() {
                out = self.quantise(&out);
            }
            if out.dims == x.dims {
                let name = self.node("Add", &[&out.name, &x.name], vec![]);
                out = real(name, out.dims);
            }
        }
        Some(out)
    }

    /// A clamp, quantised again if its input was made from bytes.
    fn clipped(&mut self, x: Value) -> Value {
        let out = match self.random.u8(..3) {
            0 => x,
            1 => self.with("Relu", &x, vec![]),
            _ => self.clip(&x),
        };
        if self.quantised == 100 && out.bytes.is_none() {
            return self.quantise(&out);
        }
        out
    }

    /// A sum, difference or product with another value of the same shape, or with one value per channel.
    pub(super) fn residual(&mut self, x: &Value) -> Option<Value> {
        let c = x.dims[1];
        let other =
            self.other(|v| v.name != x.name && (v.dims == x.dims || v.dims == [1, c, 1, 1]))?;
        let op = ["Add", "Add", "Mul", "Sub"][self.random.usize(..4)];
        let (mut a, mut b) = (x.clone(), other);
        if self.random.bool() {
            std::mem::swap(&mut a, &mut b);
        }
        let name = self.node(op, &[&a.name, &b.name], vec![]);
        let mut out = real(name, x.dims.clone());
        if self.random.u8(..3) == 0 {
            out = self.with("Relu", &out, vec![]);
        }
        Some(out)
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

    /// The average or maximum of each channel, with the axes kept.
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
        let mut out = self.conv(&pooled, Some((few, &[1], false)))?;
        out = self.with("Relu", &out, vec![]);
        out = self.conv(&out, Some((x.dims[1], &[1], false)))?;
        if out.dims != [1, x.dims[1], 1, 1] {
            return None;
        }
        out = self.with("HardSigmoid", &out, vec![]);
        let name = self.node("Mul", &[&x.name, &out.name], vec![]);
        Some(real(name, x.dims.clone()))
    }
}
