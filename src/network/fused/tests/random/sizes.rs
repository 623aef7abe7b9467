//! LRN, Resize and Sum.

use super::{Maker, Value, of_text, real};
use crate::network::onnx::attributes::{of_float, of_int};

impl Maker {
    pub(super) fn local_norm(&mut self, x: &Value) -> Value {
        let mut attributes = vec![of_int("size", self.random.i64(1..8))];
        attributes.push(of_float("alpha", 0.3));
        if self.random.bool() {
            attributes.push(of_float("beta", [0.5, 0.75, 0.9][self.random.usize(..3)]));
            attributes.push(of_float("bias", 1.5));
        }
        self.with("LRN", x, attributes)
    }

    /// Other rows and columns, by scales or by sizes.
    pub(super) fn resized(&mut self, x: &Value) -> Option<Value> {
        let [one, c, h, w] = x.dims[..] else {
            return None;
        };
        let linear = self.random.bool();
        let by = [1.0, 2.0, 2.0, 0.5, 1.5][self.random.usize(..5)];
        let size = |size: usize| (size as f32 * by) as usize;
        let (to_h, to_w) = (size(h), size(w));
        if to_h == 0 || to_w == 0 || !self.afford(to_h * to_w * c) || to_h.max(to_w) > 40 {
            return None;
        }
        let places = [
            "half_pixel",
            "asymmetric",
            "align_corners",
            "pytorch_half_pixel",
        ];
        let places = places[self.random.usize(..4)];
        let mut attributes = vec![
            of_text("mode", if linear { "linear" } else { "nearest" }),
            of_text("coordinate_transformation_mode", places),
        ];
        if !linear {
            let rules = ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"];
            attributes.push(of_text("nearest_mode", rules[self.random.usize(..4)]));
        }
        // Opset 11 has the regions in any case; tract wants them there, and knows no sizes.
        let old = self.opset < 13;
        let regions = if old {
            self.floats(&[8], [vec![0.0; 4], vec![1.0; 4]].concat())
        } else {
            String::new()
        };
        let name = if !old && self.random.bool() {
            let sizes = self.ints(&[one, c, to_h, to_w].map(|d| d as i64));
            self.node("Resize", &[&x.name, &regions, "", &sizes], attributes)
        } else {
            let scales = self.floats(&[4], vec![1.0, 1.0, by, by]);
            self.node("Resize", &[&x.name, &regions, &scales], attributes)
        };
        Some(real(name, vec![one, c, to_h, to_w]))
    }

    /// A sum of up to four operands, perhaps with a constant.
    pub(super) fn summed(&mut self, x: &Value) -> Option<Value> {
        let mut names = vec![x.name.clone()];
        for _ in 0..self.random.usize(..3) {
            let other = self.other(|v| v.dims == x.dims)?;
            names.push(other.name);
        }
        if self.random.bool() {
            names.push(self.some_floats(&[x.dims[1], 1, 1], -0.5, 0.5));
        }
        let at = self.random.usize(..names.len());
        names.swap(0, at);
        let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
        let name = self.node("Sum", &inputs, vec![]);
        let mut out = real(name, x.dims.clone());
        if self.random.u8(..3) == 0 {
            out = self.with("Relu", &out, vec![]);
        }
        Some(out)
    }
}
