//! Chains of elementwise and channelwise layers between bytes and bytes.

use super::{Maker, Value, real};

impl Maker {
    /// A few layers, and the result quantised; now and then other layers read what is in between.
    pub(super) fn chain(&mut self, x: &Value) -> Value {
        let mut made = x.clone();
        for _ in 0..self.random.usize(1..4) {
            made = match self.random.u8(..9) {
                0..=2 => self.batch_norm(&made),
                3 => self.by_constant(&made),
                4 => self.prelu(&made),
                5 => self.beside(x, &made),
                6 => self.quantise(&made),
                7 => self.clip(&made),
                _ => self.activation(&made),
            };
            if !self.limits.large && self.random.u8(..12) == 0 {
                self.values.push(made.clone());
            }
        }
        match self.random.u8(..12) {
            0 => made,
            _ => self.quantise(&made),
        }
    }

    /// A sum or product with another function of the same bytes.
    fn beside(&mut self, x: &Value, made: &Value) -> Value {
        let other = self.activation(x);
        let op = ["Add", "Mul"][self.random.usize(..2)];
        let name = self.node(op, &[&made.name, &other.name], vec![]);
        real(name, x.dims.clone())
    }
}
