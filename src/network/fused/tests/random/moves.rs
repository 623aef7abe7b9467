//! Layers that move values, or only reshape them.

use super::{Maker, Value, real};
use crate::network::onnx::attributes::{of_int, of_ints};

impl Maker {
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

    pub(super) fn concat(&mut self, x: &Value) -> Option<Value> {
        let size = x.dims[2..].to_vec();
        let other = self.other(|v| v.dims.len() == 4 && v.dims[2..] == size && v.dims[1] < 100)?;
        let c = x.dims[1] + other.dims[1];
        let name = self.node("Concat", &[&x.name, &other.name], vec![of_int("axis", 1)]);
        Some(real(name, vec![1, c, size[0], size[1]]))
    }

    /// Concatenates along rows or columns, sometimes with a constant.
    pub(super) fn concat_rows(&mut self, x: &Value) -> Option<Value> {
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

    /// Splits the channels; one part is returned, another can be read later.
    pub(super) fn split(&mut self, x: &Value) -> Option<Value> {
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
    pub(super) fn sliced(&mut self, x: &Value) -> Value {
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

    pub(super) fn shuffle(&mut self, x: &Value) -> Option<Value> {
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

    /// Zero padding, then a convolution or pooling.
    pub(super) fn padded(&mut self, x: &Value) -> Option<Value> {
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

    /// Axes transposed or reshaped, with the channels still second.
    pub(super) fn moved(&mut self, x: &Value) -> Value {
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
                // As another framework writes it, and back.
                let to = vec![of_ints("perm", &[0, 2, 3, 1])];
                let last = self.node("Transpose", &[&x.name], to);
                let act = self.node("Relu", &[&last], vec![]);
                let back = vec![of_ints("perm", &[0, 3, 1, 2])];
                let name = self.node("Transpose", &[&act], back);
                real(name, x.dims.clone())
            }
        }
    }

    pub(super) fn soft_channels(&mut self, x: &Value) -> Value {
        let axis = [1, -1][self.random.usize(..2)];
        self.with("Softmax", x, vec![of_int("axis", axis)])
    }

    /// Operators that do nothing.
    pub(super) fn named(&mut self, x: &Value) -> Value {
        let op = ["Identity", "Dropout"][self.random.usize(..2)];
        self.with(op, x, vec![])
    }
}
