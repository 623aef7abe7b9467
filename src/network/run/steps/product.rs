//! Matrix products of two computed tensors: the right matrix is packed in every run, as a convolution's weights are packed once.

use super::Task;
use crate::network::graph::Product;
use crate::network::graph::axes::Axes;
use crate::network::kernels::panels::{Matrix, Panels, pack_matrix};
use crate::network::kernels::{ConvF32, Kernels, Pixels};
use crate::network::run::offset::{Offset, Worker};
use crate::network::run::threads::share;
use crate::network::run::touch::{Touches, Whose, span};
use std::ops::Range;

/// Rows per thread at a time, unless it takes whole matrices.
const ROWS: usize = 8;

/// A layer of matrix products.
#[derive(Debug)]
pub struct ProductStep {
    pub a: Offset,
    pub b: Offset,
    pub y: Offset,
    pub of: Product,
    /// The kernels that pack a right matrix and multiply by it.
    pub kernels: &'static dyn Kernels,
    /// Per thread: which right matrix is packed in its scratch memory.
    pub convs: Vec<ConvF32>,
}

impl ProductStep {
    /// How a right matrix is packed: as `kernels` see it again when they read it.
    fn panels(&self, conv: &ConvF32) -> Panels {
        self.kernels.float_panels(conv.runs())
    }

    /// A thread's share of the output rows.
    fn part(&self, id: usize, team: usize) -> Range<usize> {
        let (count, rows) = (self.of.count(), self.of.rows());
        if count.is_multiple_of(team) {
            let whole = share(count, 1, id, team);
            whole.start * rows..whole.end * rows
        } else {
            share(count * rows, ROWS, id, team)
        }
    }
}

impl Task for ProductStep {
    fn name(&self) -> &'static str {
        "product of matrices"
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.a, &mut self.b, &mut self.y]
    }

    fn touches(&self, to: &mut Touches) {
        let (of, team) = (&self.of, to.team);
        let (rows, n, depth) = (of.rows(), of.columns(), of.depth());
        let rank = of.y.dims().len();
        if rank < 2 || of.a.dims().len() != rank || of.b.dims().len() != rank {
            return to.holds(false, "its matrices have other axes");
        }
        let batch = rank - 2;
        to.holds(
            self.convs.len() >= team,
            "it has weights for too few threads",
        );
        let fits =
            |c: &ConvF32| c.runs().offsets == [0] && (c.runs().len, c.runs().n) == (depth, n);
        to.holds(
            self.convs.iter().all(fits),
            "it has weights of another size",
        );
        let lent = |c: &ConvF32| !c.has_weights();
        to.holds(self.convs.iter().all(lent), "it has weights of its own");
        // From the first value of a tensor to the end of the last one that is read.
        let values = |m: &Axes, within: &[(usize, usize)], unit: usize| {
            let outer = m.dims()[..batch].iter().zip(m.strides());
            let outer = outer.map(|(&size, &stride)| (size, stride));
            let all: Vec<_> = outer.chain(within.iter().copied()).collect();
            let values = span(&all, unit).saturating_add(m.offset() as u64);
            values.saturating_mul(4)
        };
        let [a, b, y] = [&of.a, &of.b, &of.y].map(|m| m.strides());
        let left = values(&of.a, &[(rows, a[batch])], depth);
        to.reads_past(Whose::Input(0), self.a, left, 4);
        let right = values(&of.b, &[(depth, b[batch]), (n, b[batch + 1])], 1);
        to.reads(Whose::Input(1), self.b, right, 4);
        for conv in &self.convs {
            to.wants_scratch(self.panels(conv).total_bytes());
        }
        let places = of.y.dims()[..=batch].iter().zip(y);
        let places = places.map(|(&size, &stride)| (size, stride.saturating_mul(4)));
        let places: Vec<_> = places.collect();
        let start = self.y.saturating_add(of.y.offset().saturating_mul(4));
        let row = n.saturating_mul(4);
        to.writes((Whose::Output, start, 4), &places, &[], row, |id| {
            self.part(id, team)
        });
    }

    unsafe fn run(&self, _: &dyn Kernels, worker: &Worker) {
        let (of, conv) = (&self.of, &self.convs[worker.id]);
        let (rows, n) = (of.rows(), of.columns());
        let batch = of.y.dims().len() - 2;
        let part = self.part(worker.id, worker.team);
        let panels = self.panels(conv);
        conv.lend(worker.scratch());
        let [a, b, y] = [&of.a, &of.b, &of.y].map(|m| m.strides());
        let mut at = part.start;
        while at < part.end {
            let (matrix, first) = (at / rows, at % rows);
            let taken = (rows - first).min(part.end - at);
            // SAFETY: what `touches` declares of this worker: both matrices and the rows of the result are inside, aligned and
            // apart, and the scratch memory is private and large enough for the panels, by the verifier. In the kernels' contract
            // these are reads, writes, apart, aligned; packed: by `pack_matrix` for the same runs and kernels; channels: all of them.
            unsafe {
                let right = Matrix {
                    values: worker
                        .pointer(self.b)
                        .cast::<f32>()
                        .add(of.b.start(matrix, batch)),
                    row: b[batch],
                    column: b[batch + 1],
                    factor: of.scale,
                };
                let packed = std::slice::from_raw_parts_mut(
                    worker.scratch().cast(),
                    panels.total_bytes() / 4,
                );
                pack_matrix(panels, conv.runs(), &right, packed);
                let x = of.a.start(matrix, batch) + first * a[batch];
                let to = of.y.start(matrix, batch) + first * y[batch];
                let pixels = Pixels {
                    x: worker.pointer(self.a + x * 4),
                    x_pitch: a[batch] * 4,
                    y: worker.pointer(self.y + to * 4),
                    y_pitch: y[batch] * 4,
                    count: taken,
                };
                self.kernels.conv_f32(conv, &pixels, 0..n);
            }
            at += taken;
        }
    }
}
