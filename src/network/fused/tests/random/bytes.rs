//! Quantised layers: between QuantizeLinear and DequantizeLinear, as QLinear operators, and with scales recomputed in every run.

use super::{Bytes, Maker, Value, real};
use crate::network::onnx::attributes::{of_float, of_int, of_ints};
use tract_onnx::pb::AttributeProto;

impl Maker {
    /// Scale and zero point of activations, as constants.
    fn quantisation(&mut self) -> (String, String, f32) {
        let by = (1.0 + 7.0 * self.random.f32()) / 255.0;
        let scale = self.floats(&[], vec![by]);
        let any = self.random.u8(..);
        let zero = [0, 128, any, any][self.random.usize(..4)];
        let zero = if self.signed { zero ^ 0x80 } else { zero };
        let zero = self.byte(self.signed, &[], vec![zero]);
        (scale, zero, by)
    }

    /// Rounded to bytes and back.
    pub(super) fn quantise(&mut self, x: &Value) -> Value {
        let (scale, zero, by) = self.quantisation();
        let name = self.node("QuantizeLinear", &[&x.name, &scale, &zero], vec![]);
        let bytes = Bytes {
            name,
            scale,
            zero,
            by,
        };
        self.dequantise(bytes, x.dims.clone())
    }

    fn dequantise(&mut self, bytes: Bytes, dims: Vec<usize>) -> Value {
        self.any_bytes = true;
        let inputs = [&bytes.name[..], &bytes.scale, &bytes.zero];
        let name = self.node("DequantizeLinear", &inputs, vec![]);
        Value {
            name,
            dims,
            bytes: Some(bytes),
        }
    }

    /// A value's bytes; quantises it if there are none.
    fn bytes_of(&mut self, x: &Value) -> Bytes {
        match &x.bytes {
            Some(bytes) => bytes.clone(),
            None => self.quantise(x).bytes.expect("it was quantised"),
        }
    }

    /// Byte weights, with scale and zero point per output channel or for all.
    fn byte_weights(&mut self, dims: &[usize], axis: usize, terms: usize) -> [String; 3] {
        let signed = self.signed || self.random.bool();
        let few = self.random.u8(..3) == 0;
        let values: Vec<u8> = (0..dims.iter().product::<usize>())
            .map(|_| {
                let w = if few {
                    [-128, -127, 127][self.random.usize(..3)]
                } else {
                    self.random.i8(..)
                };
                w as u8 ^ if signed { 0 } else { 0x80 }
            })
            .collect();
        let count = if self.random.bool() { dims[axis] } else { 1 };
        let size = if few { 1.0 } else { 1.7 };
        let size = size / 127.0 / (terms.max(1) as f32).sqrt();
        let scales = (0..count)
            .map(|_| size * (0.5 + self.random.f32()))
            .collect();
        let own = self.random.u8(..3) == 0;
        let zeros: Vec<u8> = (0..count)
            .map(|_| {
                let zero = if own { self.random.u8(118..139) } else { 128 };
                zero ^ if signed { 0x80 } else { 0 }
            })
            .collect();
        let each: &[usize] = if count == 1 { &[] } else { &[count] };
        [
            self.byte(signed, dims, values),
            self.floats(each, scales),
            self.byte(signed, each, zeros),
        ]
    }

    /// The scales of a constant that was just added.
    fn scales_of(&self, name: &str, count: usize) -> Vec<f32> {
        let tensor = self.constants.iter().find(|t| t.name == name);
        let raw = tensor.map_or(&[][..], |t| &t.raw_data);
        let words = raw.chunks_exact(4);
        let scales: Vec<f32> = words
            .map(|b| f32::from_le_bytes(b.try_into().expect("four bytes")))
            .collect();
        (0..count)
            .map(|n| scales[n.min(scales.len() - 1)])
            .collect()
    }

    /// A bias in units of input scale times weight scale.
    fn int_bias(&mut self, by: f32, scales: &[f32]) -> String {
        let values: Vec<i32> = scales
            .iter()
            .map(|s| ((self.random.f32() - 0.5) / (by * s)) as i32)
            .collect();
        self.int32s(&values)
    }

    /// A convolution of bytes: as QLinearConv, or between DequantizeLinear and QuantizeLinear.
    pub(super) fn quantised_conv(
        &mut self,
        x: &Value,
        sizes: &[usize],
        attributes: Vec<AttributeProto>,
        dims: Vec<usize>,
    ) -> Value {
        let bytes = self.bytes_of(x);
        let terms = sizes[1..].iter().product();
        let [w, w_scale, w_zero] = self.byte_weights(sizes, 0, terms);
        let scales = self.scales_of(&w_scale, sizes[0]);
        if self.random.u8(..3) == 0 {
            let (scale, zero, by) = self.quantisation();
            let bias = self.int_bias(bytes.by, &scales);
            let x = [&bytes.name, &bytes.scale, &bytes.zero];
            let weights = [&w, &w_scale, &w_zero];
            let out = [&scale, &zero, &bias];
            let out = &out[..self.random.usize(2..4)];
            let inputs: Vec<&str> = x
                .iter()
                .chain(&weights)
                .chain(out)
                .map(|n| n.as_str())
                .collect();
            let name = self.node("QLinearConv", &inputs, attributes);
            let bytes = Bytes {
                name,
                scale,
                zero,
                by,
            };
            return self.dequantise(bytes, dims);
        }
        let along = vec![of_int("axis", 0)];
        let weights = self.node("DequantizeLinear", &[&w, &w_scale, &w_zero], along);
        let mut inputs = vec![x.name.clone(), weights];
        match self.random.u8(..3) {
            0 => {}
            1 => inputs.push(self.some_floats(&[sizes[0]], -0.5, 0.5)),
            _ => {
                let bias = self.int_bias(bytes.by, &scales);
                let units: Vec<f32> = scales.iter().map(|s| s * bytes.by).collect();
                let units = self.floats(&[sizes[0]], units);
                let zeros = self.int32s(&vec![0; sizes[0]]);
                let along = vec![of_int("axis", 0)];
                inputs.push(self.node("DequantizeLinear", &[&bias, &units, &zeros], along));
            }
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let name = self.node("Conv", &inputs, attributes);
        let mut out = real(name, dims);
        // Blocks of large layers need bytes between the layers.
        let kind = if self.limits.large {
            self.random.u8(1..3)
        } else {
            self.random.u8(..6)
        };
        match kind {
            0 => return out,
            1 => out = self.with("Relu", &out, vec![]),
            2 => out = self.clip(&out),
            3 => out = self.activation(&out),
            4 => out = self.batch_norm(&out),
            _ => {}
        }
        self.quantise(&out)
    }

    /// A matrix of bytes.
    pub(super) fn quantised_matrix(&mut self, x: &Value, to: usize) -> Value {
        let from = x.dims[1];
        let turned = self.random.bool();
        let (sizes, axis) = if turned {
            ([to, from], 0)
        } else {
            ([from, to], 1)
        };
        let [w, w_scale, w_zero] = self.byte_weights(&sizes, axis, from);
        let along = vec![of_int("axis", axis as i64)];
        let weights = self.node("DequantizeLinear", &[&w, &w_scale, &w_zero], along);
        let name = if turned {
            let bias = self.some_floats(&[to], -0.5, 0.5);
            let inputs = [&x.name[..], &weights, &bias];
            self.node("Gemm", &inputs, vec![of_int("transB", 1)])
        } else {
            self.node("MatMul", &[&x.name, &weights], vec![])
        };
        let out = real(name, vec![1, to]);
        if self.random.u8(..4) == 0 {
            return out;
        }
        self.quantise(&out)
    }

    /// QGemm or QLinearMatMul.
    pub(super) fn qlinear_matrix(&mut self, x: &Value) -> Option<Value> {
        let (from, to) = (x.dims[1], self.channels());
        if self.quantised == 0 || !self.afford(from * to) {
            return None;
        }
        let bytes = self.bytes_of(x);
        let turned = self.random.bool();
        let (sizes, axis) = if turned {
            ([to, from], 0)
        } else {
            ([from, to], 1)
        };
        let weights = self.byte_weights(&sizes, axis, from);
        let (scale, zero, by) = self.quantisation();
        let x = [&bytes.name, &bytes.scale, &bytes.zero];
        let name = if turned {
            let scales = self.scales_of(&weights[1], to);
            let bias = self.int_bias(bytes.by, &scales);
            let out = [&bias, &scale, &zero];
            let inputs: Vec<&str> = x
                .into_iter()
                .chain(&weights)
                .chain(out)
                .map(String::as_str)
                .collect();
            let turned = vec![of_int("transB", 1)];
            self.node_of("com.microsoft", "QGemm", &inputs, turned)
        } else {
            let out = [&scale, &zero];
            let inputs: Vec<&str> = x
                .into_iter()
                .chain(&weights)
                .chain(out)
                .map(String::as_str)
                .collect();
            self.node("QLinearMatMul", &inputs, vec![])
        };
        let bytes = Bytes {
            name,
            scale,
            zero,
            by,
        };
        Some(self.dequantise(bytes, vec![1, to]))
    }

    /// The QLinear operators of ONNX Runtime over pictures.
    pub(super) fn qlinear_layer(&mut self, x: &Value) -> Option<Value> {
        if self.quantised == 0 {
            return None;
        }
        let mut dims = x.dims.clone();
        let kind = self.random.u8(..8);
        let mut attributes = Vec::new();
        let mut other = None;
        let op = match kind {
            0 | 1 => {
                let c = dims[1];
                let fits = |v: &Value| v.dims == dims || v.dims == [1, c, 1, 1];
                other = Some(self.other(fits)?);
                ["QLinearAdd", "QLinearMul"][usize::from(kind)]
            }
            2 => {
                (dims[2], dims[3]) = (1, 1);
                attributes.push(of_int("channels_last", 0));
                "QLinearGlobalAveragePool"
            }
            3 => {
                let window = self.window(x, &[1, 2, 3], true)?;
                let dilated = |a: &AttributeProto| a.name == "dilations" || a.name == "ceil_mode";
                if window.attributes.iter().any(dilated) {
                    return None;
                }
                (dims[2], dims[3]) = (window.out[0], window.out[1]);
                attributes = window.attributes;
                if self.random.bool() {
                    attributes.push(of_int("count_include_pad", 1));
                }
                "QLinearAveragePool"
            }
            4 => {
                let size = dims[2..].to_vec();
                let fits = |v: &Value| v.dims.len() == 4 && v.dims[2..] == size && v.dims[1] < 100;
                let second = self.other(fits)?;
                dims[1] += second.dims[1];
                other = Some(second);
                attributes.push(of_int("axis", 1));
                "QLinearConcat"
            }
            5 => {
                attributes.push(of_float("alpha", 0.2));
                "QLinearLeakyRelu"
            }
            6 => "QLinearSigmoid",
            _ => {
                attributes.push(of_int("axis", 1));
                attributes.push(of_int("opset", 13));
                "QLinearSoftmax"
            }
        };
        let first = self.bytes_of(x);
        let second = other.map(|o| self.bytes_of(&o));
        let (scale, zero, by) = self.quantisation();
        let of = |b: &Bytes| [b.name.clone(), b.scale.clone(), b.zero.clone()];
        let parts = [&first].into_iter().chain(&second).flat_map(of);
        let out = [scale.clone(), zero.clone()];
        let inputs: Vec<String> = if op == "QLinearConcat" {
            out.into_iter().chain(parts).collect()
        } else {
            parts.chain(out).collect()
        };
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let name = self.node_of("com.microsoft", op, &inputs, attributes);
        let bytes = Bytes {
            name,
            scale,
            zero,
            by,
        };
        Some(self.dequantise(bytes, dims))
    }

    /// DynamicQuantizeLinear, ConvInteger and the scaling of its sums, as quantize_dynamic writes them. The input may have other
    /// readers, also under another name.
    pub(super) fn dynamic_conv(&mut self, x: &Value) -> Option<Value> {
        let c = x.dims[1];
        let mut x = x.clone();
        if self.random.u8(..3) == 0 {
            // A value that is not folded into anything, reshaped.
            let kernel = vec![of_ints("kernel_shape", &[1, 1])];
            x = self.with("MaxPool", &x, kernel);
            let last = vec![of_ints("perm", &[0, 2, 3, 1])];
            let last = self.node("Transpose", &[&x.name], last);
            let tokens = x.dims[2] * x.dims[3];
            let to = self.ints(&[1, tokens as i64, c as i64]);
            let name = self.node("Reshape", &[&last, &to], vec![]);
            self.values.push(real(name, vec![1, tokens, c]));
        }
        let window = self.window(&x, &[1, 1, 3, 5], false)?;
        let (groups, cout) = if self.random.u8(..3) == 0 {
            (c, c)
        } else {
            (1, self.channels())
        };
        let ([kh, kw], [h, w]) = (window.kernel, window.out);
        let terms = kh * kw * c / groups;
        if !self.afford(h * w * cout * terms) {
            return None;
        }
        let mut attributes = window.attributes;
        attributes.push(of_int("group", groups as i64));
        self.any_bytes = true;
        let out = self.nodes_of("DynamicQuantizeLinear", &[&x.name], vec![], 3);
        let sizes = [cout, c / groups, kh, kw];
        let [weights, zero] = self.one_scale(&sizes);
        let inputs = [&out[0][..], &weights, &out[2], &zero];
        let inputs = &inputs[..self.random.usize(3..5)];
        let sums = self.node("ConvInteger", inputs, attributes);
        let factors = match self.random.bool() {
            true => vec![cout, 1, 1],
            false => vec![],
        };
        let name = self.scaled(&sums, &out[1], &factors, terms);
        let name = if self.random.bool() {
            let bias = self.some_floats(&[1, cout, 1, 1], -0.5, 0.5);
            self.node("Add", &[&name, &bias], vec![])
        } else {
            name
        };
        let mut out = real(name, vec![1, cout, h, w]);
        if self.random.bool() {
            out = self.with("Relu", &out, vec![]);
        }
        Some(out)
    }

    /// Weights with a single scale and zero point.
    fn one_scale(&mut self, sizes: &[usize]) -> [String; 2] {
        let signed = self.random.bool();
        let values = (0..sizes.iter().product::<usize>()).map(|_| self.random.u8(..));
        let values: Vec<u8> = values.collect();
        let weights = self.byte(signed, sizes, values);
        let zero = if signed { 0 } else { 128 };
        let zero = self.byte(signed, &[], vec![zero]);
        [weights, zero]
    }

    /// Sums as floats, times both scales.
    fn scaled(&mut self, sums: &str, scale: &str, factors: &[usize], terms: usize) -> String {
        let size = 1.0 / 100.0 / (terms.max(1) as f32).sqrt();
        let own = self.some_floats(factors, 0.5 * size, size);
        let floats = self.node("Cast", &[sums], vec![of_int("to", 1)]);
        let scale = self.node("Mul", &[scale, &own], vec![]);
        self.node("Mul", &[&floats, &scale], vec![])
    }

    /// DynamicQuantizeLinear and MatMulInteger.
    pub(super) fn dynamic_matrix(&mut self, x: &Value) -> Option<Value> {
        let (from, to) = (x.dims[1], self.channels());
        if !self.afford(from * to) {
            return None;
        }
        self.any_bytes = true;
        let out = self.nodes_of("DynamicQuantizeLinear", &[&x.name], vec![], 3);
        let [weights, zero] = self.one_scale(&[from, to]);
        let inputs = [&out[0][..], &weights, &out[2], &zero];
        let sums = self.node("MatMulInteger", &inputs, vec![]);
        let factors = match self.random.bool() {
            true => vec![to],
            false => vec![],
        };
        let name = self.scaled(&sums, &out[1], &factors, from);
        let bias = self.some_floats(&[to], -0.5, 0.5);
        let name = self.node("Add", &[&name, &bias], vec![]);
        Some(real(name, vec![1, to]))
    }
}
