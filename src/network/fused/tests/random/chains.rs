//! Chains of elementwise and channelwise layers between bytes and bytes.

use super::{Maker, Value, real};

impl Maker {
    /// A few layers, and the result quantised; now and then other layers read what is in between.
    pub(super) fn chain(&mut self, x: &Value) -> Value {
        let mut out = x.clone();
        for _ in 0..self.random.usize(1..4) {
            out = match self.random.u8(..9) {
                0..=2 => self.batch_norm(&out),
                3 => self.by_constant(&out),
                4 => self.prelu(&out),
                5 => self.beside(x, &out),
                6 => self.quantise(&out),
                7 => self.clip(&out),
                _ => self.activation(&out),
            };
            if !self.limits.large && self.random.u8(..12) == 0 {
                self.values.push(out.clone());
            }
        }
        match self.random.u8(..12) {
            0 => out,
            _ => self.quantise(&out),
        }
    }

    /// A sum, difference or product with another function of the same bytes.
    fn beside(&mut self, x: &Value, out: &Value) -> Value {
        let other = self.activation(x);
        let op = ["Add", "Mul", "Sub"][self.random.usize(..3)];
        let name = self.node(op, &[&out.name, &other.name], vec![]);
        real(name, x.dims.clone())
    }
}
