//! Functions of bytes: after a convolution, in its own step, or on their own.

use super::Planner;
use crate::network::graph::requantise::Requantise;
use crate::network::graph::{Conv, Quant, Tables, TensorId};
use crate::network::kernels::Map;
use crate::network::run::steps::{MapStep, Work};
use std::ops::Range;

impl Planner<'_> {
    /// The quantisation that a convolution itself rounds to.
    pub(super) fn rounded(&self, conv: &Conv, y: TensorId) -> Option<Quant> {
        let then = conv.then.as_ref().map(|then| then.quant);
        then.or(self.quant(y))
    }

    /// How a convolution's sums are requantised.
    pub(super) fn end_of(&self, conv: &Conv, y: TensorId) -> Result<Requantise, String> {
        let quant = self.rounded(conv, y);
        let quant = quant.ok_or("the result is not quantised")?;
        Ok(Requantise::new(quant, conv.clamp, self.kernels.signed()))
    }

    /// The function of the bytes of a convolution's channels `part`.
    pub(super) fn map_of(&self, conv: &Conv, part: Range<usize>) -> Option<Map> {
        let then = conv.then.as_ref()?;
        Some(Map::new(&then.tables, part, self.kernels.signed()))
    }

    /// A function of bytes on its own.
    pub(super) fn tables(&mut self, index: usize, tables: &Tables) {
        let io = self.in_out(index);
        let map = Map::new(tables, 0..io.shape.c, self.kernels.signed());
        self.step_and_row(index, move |at| {
            Work::Map(MapStep {
                x: at.of(io.x[0]),
                y: at.of(io.y),
                pixels: io.shape.pixels(),
                map,
            })
        });
    }
}
