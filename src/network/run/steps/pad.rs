//! A padded copy of a tensor, for convolutions whose windows reach across its edges.

use super::Task;
use crate::network::graph::{Shape, Window};
use crate::network::kernels::Kernels;
use crate::network::run::offset::{Offset, Worker};
use crate::network::run::threads::share;
use crate::network::run::touch::{Touches, Whose, times};

#[derive(Debug)]
pub struct Pad {
    pub x: Offset,
    pub y: Offset,
    pub shape: Shape,
    /// Bytes of a value.
    pub elem: usize,
    /// Whose padding it is.
    pub window: Window,
    /// The padding byte.
    pub value: u8,
}

impl Pad {
    /// Rows including padding, and bytes per pixel, per input row, and per padded row.
    fn sizes(&self) -> (usize, usize, usize, usize) {
        let w = &self.window;
        let pixel = self.shape.c.saturating_mul(self.elem);
        let inner = self.shape.w.saturating_mul(pixel);
        let padded = |size: usize, before, after| size.saturating_add(before).saturating_add(after);
        let columns = padded(self.shape.w, w.left, w.right);
        let rows = padded(self.shape.h, w.top, w.bottom);
        (rows, pixel, inner, columns.saturating_mul(pixel))
    }
}

impl Task for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.x, &mut self.y]
    }

    fn touches(&self, to: &mut Touches) {
        let (rows, _, inner, row) = self.sizes();
        let team = to.team;
        to.reads(
            Whose::Input(0),
            self.x,
            times(self.shape.h, inner),
            self.elem,
        );
        to.writes(
            (Whose::Padded, self.y, self.elem),
            &[(rows, row)],
            &[],
            row,
            |id| share(rows, 1, id, team),
        );
    }

    unsafe fn run(&self, _: &dyn Kernels, worker: &Worker) {
        let w = &self.window;
        let (rows, pixel, inner, row) = self.sizes();
        let left = w.left * pixel;
        for r in worker.share(rows, 1) {
            // SAFETY: what `touches` declares of this worker: inside, aligned and apart by the verifier.
            unsafe {
                let y = worker.bytes_mut(self.y + r * row, row);
                match r.checked_sub(w.top).filter(|&r| r < self.shape.h) {
                    Some(from) => {
                        y[..left].fill(self.value);
                        let x = worker.bytes(self.x + from * inner, inner);
                        y[left..left + inner].copy_from_slice(x);
                        y[left + inner..].fill(self.value);
                    }
                    None => y.fill(self.value),
                }
            }
        }
    }
}
