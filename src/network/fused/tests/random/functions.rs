//! Layers that treat all values alike: functions of one value, as one operator or spelled out, normalisations, constants.

use super::{Maker, Value, real};
use crate::network::onnx::attributes::of_float;

impl Maker {
    pub(super) fn clip(&mut self, x: &Value) -> Value {
        let (low, high) = [(0.0, 6.0), (-1.0, 1.0), (0.0, 1.5)][self.random.usize(..3)];
        let (low, high) = (self.floats(&[], vec![low]), self.floats(&[], vec![high]));
        let name = match self.random.u8(..6) {
            0 => self.node("Clip", &[&x.name, &low], vec![]),
            1 => self.node("Clip", &[&x.name, "", &high], vec![]),
            2 => self.node("Min", &[&x.name, &high], vec![]),
            3 => {
                let limited = self.node("Max", &[&low, &x.name], vec![]);
                self.node("Min", &[&limited, &high], vec![])
            }
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
            13 => self.decomposed_hard_swish(x),
            _ => self.decomposed_gelu(x),
        }
    }

    /// `x * f(x)`.
    pub(super) fn gated(&mut self, x: &Value) -> Value {
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
        let mut out = real(name, x.dims.clone());
        if self.random.u8(..4) == 0 {
            out = self.clip(&out);
        }
        out
    }

    /// HardSwish as Keras writes it.
    pub(super) fn decomposed_hard_swish(&mut self, x: &Value) -> Value {
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

    /// GELU as written before opset 20.
    pub(super) fn decomposed_gelu(&mut self, x: &Value) -> Value {
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

    pub(super) fn prelu(&mut self, x: &Value) -> Value {
        let slopes = if self.random.bool() {
            self.some_floats(&[x.dims[1], 1, 1], -0.3, 0.5)
        } else {
            self.floats(&[1], vec![0.2])
        };
        let name = self.node("PRelu", &[&x.name, &slopes], vec![]);
        real(name, x.dims.clone())
    }

    /// A sum, difference, product or quotient with constants.
    pub(super) fn by_constant(&mut self, x: &Value) -> Value {
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
        let turned = op != "Div" && self.random.bool();
        let inputs = if turned {
            [&values[..], &x.name]
        } else {
            [&x.name[..], &values]
        };
        let name = self.node(op, &inputs, vec![]);
        let mut out = real(name, x.dims.clone());
        if self.random.u8(..4) == 0 {
            out = self.with("Relu", &out, vec![]);
        }
        out
    }
}
