//! Layers over rows of values, as in attention networks, and over single vectors.

use super::{Maker, Value, real};
use crate::network::onnx::attributes::{of_float, of_int, of_ints};

impl Maker {
    pub(super) fn token_layer(&mut self, x: &Value) -> Option<Value> {
        match self.random.u8(..16) {
            0 | 1 => Some(self.layer_norm(x)),
            2 | 3 => self.by_matrix(x),
            4..=6 => self.attention(x),
            7 => Some(self.activation(x)),
            8 | 9 => self.token_residual(x),
            10 => Some(self.with("Softmax", x, vec![of_int("axis", -1)])),
            11 => Some(self.token_mean(x)),
            12 => Some(self.by_token_constant(x)),
            13 => Some(self.some_tokens(x)),
            14 => Some(self.with_class_token(x)),
            _ => self.as_picture(x),
        }
    }

    pub(super) fn flat_layer(&mut self, x: &Value) -> Option<Value> {
        match self.random.u8(..9) {
            0..=2 => self.fully_connected(x),
            3 => Some(self.activation(x)),
            4 => self.flat_residual(x),
            5 => self.dynamic_matrix(x),
            6 => self.qlinear_matrix(x),
            7 => Some(self.with("Softmax", x, vec![of_int("axis", 1)])),
            _ => {
                let name = self.along("Unsqueeze", &x.name, &[2, 3], 13, true);
                Some(real(name, vec![1, x.dims[1], 1, 1]))
            }
        }
    }

    /// Pixels as tokens: the last axis is their channels, or their positions.
    pub(super) fn as_tokens(&mut self, x: &Value) -> Option<Value> {
        let [_, c, h, w] = x.dims[..] else {
            return None;
        };
        if h * w > 200 {
            return None;
        }
        let order = vec![of_ints("perm", &[0, 2, 1])];
        Some(match self.random.u8(..4) {
            0 => {
                let last = vec![of_ints("perm", &[0, 2, 3, 1])];
                let last = self.node("Transpose", &[&x.name], last);
                let to = self.ints(&[1, -1, c as i64]);
                let name = self.node("Reshape", &[&last, &to], vec![]);
                real(name, vec![1, h * w, c])
            }
            1 => {
                let to = self.ints(&[1, c as i64, -1]);
                let name = self.node("Reshape", &[&x.name, &to], vec![]);
                real(name, vec![1, c, h * w])
            }
            _ => {
                let to = self.ints(&[0, c as i64, (h * w) as i64]);
                let rows = self.node("Reshape", &[&x.name, &to], vec![]);
                let name = self.node("Transpose", &[&rows], order);
                real(name, vec![1, h * w, c])
            }
        })
    }

    /// Tokens as pixels.
    fn as_picture(&mut self, x: &Value) -> Option<Value> {
        let [_, t, c] = x.dims[..] else {
            return None;
        };
        let w = (1..=t).rev().find(|&w| t.is_multiple_of(w) && w * w <= t)?;
        let h = t / w;
        let list = |v: &[usize]| v.iter().map(|&v| v as i64).collect::<Vec<_>>();
        let name = if self.random.bool() {
            let order = vec![of_ints("perm", &[0, 2, 1])];
            let rows = self.node("Transpose", &[&x.name], order);
            let to = self.ints(&list(&[1, c, h, w]));
            self.node("Reshape", &[&rows, &to], vec![])
        } else {
            let to = self.ints(&list(&[1, h, w, c]));
            let last = self.node("Reshape", &[&x.name, &to], vec![]);
            self.node("Transpose", &[&last], vec![of_ints("perm", &[0, 3, 1, 2])])
        };
        Some(real(name, vec![1, c, h, w]))
    }

    pub(super) fn layer_norm(&mut self, x: &Value) -> Value {
        let c = x.dims[x.dims.len() - 1];
        let scale = self.some_floats(&[c], 0.5, 1.5);
        let bias = self.some_floats(&[c], -0.5, 0.5);
        if self.opset > 16 && self.random.bool() {
            let inputs = [&x.name[..], &scale, &bias];
            let inputs = &inputs[..self.random.usize(2..4)];
            let epsilon = vec![of_int("axis", -1), of_float("epsilon", 1e-3)];
            let name = self.node("LayerNormalization", inputs, epsilon);
            return real(name, x.dims.clone());
        }
        let mean = self.last_mean(&x.name);
        let off = self.node("Sub", &[&x.name, &mean], vec![]);
        let square = if self.random.bool() {
            let two = self.floats(&[], vec![2.0]);
            self.node("Pow", &[&off, &two], vec![])
        } else {
            self.node("Mul", &[&off, &off], vec![])
        };
        let variance = self.last_mean(&square);
        let epsilon = self.floats(&[], vec![1e-3]);
        let raised = self.node("Add", &[&variance, &epsilon], vec![]);
        let deviation = self.node("Sqrt", &[&raised], vec![]);
        let normal = self.node("Div", &[&off, &deviation], vec![]);
        let scaled = self.node("Mul", &[&normal, &scale], vec![]);
        let name = self.node("Add", &[&scaled, &bias], vec![]);
        real(name, x.dims.clone())
    }

    fn last_mean(&mut self, x: &str) -> String {
        self.along("ReduceMean", x, &[-1], 18, true)
    }

    /// MatMul with constant weights over the last axis, and what may follow it.
    fn by_matrix(&mut self, x: &Value) -> Option<Value> {
        let to = self.channels();
        let mut out = self.linear(x, to)?;
        if self.random.bool() {
            out = self.activation(&out);
        }
        Some(out)
    }

    pub(super) fn linear(&mut self, x: &Value, to: usize) -> Option<Value> {
        let c = x.dims[x.dims.len() - 1];
        if !self.afford(x.dims.iter().product::<usize>() * to) {
            return None;
        }
        let weights = self.weights(&[c, to], c);
        let mut name = self.node("MatMul", &[&x.name, &weights], vec![]);
        if self.random.u8(..3) > 0 {
            let bias = self.some_floats(&[to], -0.5, 0.5);
            let turned = self.random.bool();
            let inputs = if turned {
                [&bias[..], &name]
            } else {
                [&name[..], &bias]
            };
            name = self.node("Add", &inputs, vec![]);
        }
        let mut dims = x.dims.clone();
        dims.pop();
        dims.push(to);
        Some(real(name, dims))
    }

    /// Multi-head attention.
    fn attention(&mut self, x: &Value) -> Option<Value> {
        let [_, t, c] = x.dims[..] else {
            return None;
        };
        let heads = self.of(&[1, 2, 3, 4]);
        if !c.is_multiple_of(heads) || !self.afford(2 * t * t * c) {
            return None;
        }
        let d = c / heads;
        let list = |v: &[usize]| v.iter().map(|&v| v as i64).collect::<Vec<_>>();
        let (mut q, mut k, v);
        if self.random.bool() {
            let all = self.linear(x, 3 * c)?;
            let to = self.ints(&list(&[1, t, 3, heads, d]));
            let apart = self.node("Reshape", &[&all.name, &to], vec![]);
            let order = vec![of_ints("perm", &[2, 0, 3, 1, 4])];
            let parts = self.node("Transpose", &[&apart], order);
            let part = |maker: &mut Self, i: i64| {
                let i = maker.one_int(i);
                maker.node("Gather", &[&parts, &i], vec![of_int("axis", 0)])
            };
            [q, k, v] = [0, 1, 2].map(|i| part(self, i));
            k = self.node("Transpose", &[&k], vec![of_ints("perm", &[0, 1, 3, 2])]);
        } else {
            let mut part = |order: &[i64]| {
                let all = self.linear(x, c)?;
                let to = self.ints(&list(&[1, t, heads, d]));
                let apart = self.node("Reshape", &[&all.name, &to], vec![]);
                Some(self.node("Transpose", &[&apart], vec![of_ints("perm", order)]))
            };
            q = part(&[0, 2, 1, 3])?;
            k = part(&[0, 2, 3, 1])?;
            v = part(&[0, 2, 1, 3])?;
        }
        let scale = self.floats(&[], vec![1.0 / (d as f32).sqrt()]);
        let before = self.random.bool();
        if before {
            q = self.node("Mul", &[&q, &scale], vec![]);
        }
        let mut scores = self.node("MatMul", &[&q, &k], vec![]);
        if !before {
            scores = self.node("Mul", &[&scores, &scale], vec![]);
        }
        if self.random.u8(..3) == 0 {
            let dims = if self.random.bool() {
                vec![1, heads, t, t]
            } else {
                vec![t, t]
            };
            let mask = self.some_floats(&dims, -2.0, 2.0);
            scores = self.node("Add", &[&scores, &mask], vec![]);
        }
        let soft = self.node("Softmax", &[&scores], vec![of_int("axis", -1)]);
        let seen = self.node("MatMul", &[&soft, &v], vec![]);
        let order = vec![of_ints("perm", &[0, 2, 1, 3])];
        let beside = self.node("Transpose", &[&seen], order);
        let to = self.ints(&list(&[1, t, c]));
        let name = self.node("Reshape", &[&beside, &to], vec![]);
        let out = real(name, vec![1, t, c]);
        if self.random.bool() {
            let out = self.linear(&out, c)?;
            let name = self.node("Add", &[&out.name, &x.name], vec![]);
            return Some(real(name, x.dims.clone()));
        }
        Some(out)
    }

    /// A sum, difference or product with another value of as many tokens, or with one token for all.
    fn token_residual(&mut self, x: &Value) -> Option<Value> {
        let dims = x.dims.clone();
        let one = [1, 1, dims[2]];
        let other = self.other(|v| v.name != x.name && (v.dims == dims || v.dims == one))?;
        let op = ["Add", "Add", "Mul", "Sub"][self.random.usize(..4)];
        let name = self.node(op, &[&x.name, &other.name], vec![]);
        Some(real(name, dims))
    }

    fn token_mean(&mut self, x: &Value) -> Value {
        let kept = self.random.bool();
        let name = self.along("ReduceMean", &x.name, &[1], 18, kept);
        let c = x.dims[2];
        real(name, if kept { vec![1, 1, c] } else { vec![1, c] })
    }

    fn by_token_constant(&mut self, x: &Value) -> Value {
        let [_, t, c] = x.dims[..] else {
            return x.clone();
        };
        let dims = match self.random.u8(..4) {
            0 => vec![],
            1 => vec![1, t, c],
            2 => vec![t, 1],
            _ => vec![c],
        };
        let op = ["Add", "Sub", "Mul"][self.random.usize(..3)];
        let values = self.some_floats(&dims, 0.5, 1.5);
        let name = self.node(op, &[&x.name, &values], vec![]);
        real(name, x.dims.clone())
    }

    /// Some of the tokens, or some of their values; or a single token.
    fn some_tokens(&mut self, x: &Value) -> Value {
        let axis = self.random.usize(1..3);
        let size = x.dims[axis];
        let first = self.random.usize(..size);
        let mut dims = x.dims.clone();
        if axis == 1 && self.random.bool() {
            let one = self.one_int(first as i64);
            let name = self.node("Gather", &[&x.name, &one], vec![of_int("axis", 1)]);
            return real(name, vec![1, dims[2]]);
        }
        let step = self.of(&[1, 1, 2]);
        dims[axis] = (size - first).div_ceil(step);
        let lists = [first as i64, size as i64, axis as i64, step as i64];
        let lists = lists.map(|v| self.ints(&[v]));
        let inputs: Vec<&str> = [&x.name]
            .into_iter()
            .chain(&lists)
            .map(String::as_str)
            .collect();
        let name = self.node("Slice", &inputs, vec![]);
        real(name, dims)
    }

    /// A constant token in front of the others.
    fn with_class_token(&mut self, x: &Value) -> Value {
        let [_, t, c] = x.dims[..] else {
            return x.clone();
        };
        let token = self.some_floats(&[1, 1, c], -1.0, 1.0);
        let name = self.node("Concat", &[&token, &x.name], vec![of_int("axis", 1)]);
        real(name, vec![1, t + 1, c])
    }

    pub(super) fn fully_connected(&mut self, x: &Value) -> Option<Value> {
        let from = x.dims[1];
        let to = self.channels();
        if !self.afford(from * to) {
            return None;
        }
        if x.bytes.is_some() {
            return Some(self.quantised_matrix(x, to));
        }
        let name = if self.random.bool() {
            let weights = self.weights(&[to, from], from);
            let bias = self.some_floats(&[to], -0.5, 0.5);
            let inputs = [&x.name[..], &weights, &bias];
            self.node("Gemm", &inputs, vec![of_int("transB", 1)])
        } else {
            let weights = self.weights(&[from, to], from);
            let name = self.node("MatMul", &[&x.name, &weights], vec![]);
            let bias = self.some_floats(&[to], -0.5, 0.5);
            self.node("Add", &[&name, &bias], vec![])
        };
        let mut out = real(name, vec![1, to]);
        if self.random.bool() {
            out = self.activation(&out);
        }
        Some(out)
    }

    fn flat_residual(&mut self, x: &Value) -> Option<Value> {
        let other = self.other(|v| v.name != x.name && v.dims == x.dims)?;
        let n = x.dims[1];
        Some(if self.random.bool() {
            let name = self.node("Add", &[&x.name, &other.name], vec![]);
            real(name, vec![1, n])
        } else {
            let axis = vec![of_int("axis", 1)];
            let name = self.node("Concat", &[&x.name, &other.name], axis);
            real(name, vec![1, 2 * n])
        })
    }
}
