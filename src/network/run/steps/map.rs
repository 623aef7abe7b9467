//! Functions of bytes: workers divide the pixels.

use super::Task;
use crate::network::kernels::{Kernels, Map};
use crate::network::run::offset::{Offset, Worker};
use crate::network::run::touch::{Touches, Whose, times};

/// Bytes that are copied, and then changed in place.
const PART_BYTES: usize = 8 << 10;

#[derive(Debug)]
pub struct MapStep {
    pub x: Offset,
    pub y: Offset,
    pub pixels: usize,
    pub map: Map,
}

impl Task for MapStep {
    fn name(&self) -> &'static str {
        "function of bytes"
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.x, &mut self.y]
    }

    fn touches(&self, to: &mut Touches) {
        let c = self.map.channels();
        to.reads(Whose::Input(0), self.x, times(self.pixels, c), 1);
        to.fills_output(self.y, (self.pixels, 1), c, 1);
    }

    unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        let part = worker.share(self.pixels, 1);
        let c = self.map.channels();
        // SAFETY: what `touches` declares of this worker: inside and apart by the verifier.
        let (x, y) = unsafe {
            (
                worker.bytes(self.x + part.start * c, part.len() * c),
                worker.bytes_mut(self.y + part.start * c, part.len() * c),
            )
        };
        let part = (PART_BYTES / c).max(1) * c;
        for (x, y) in x.chunks(part).zip(y.chunks_mut(part)) {
            y.copy_from_slice(x);
            kernels.map_q8(&self.map, 0..c, y);
        }
    }
}
