//! Matrix products of two tensors: the right matrix is packed in every run, as a convolution's weights are once.

use super::{Worker, floats_at};
use crate::network::fused::graph::Product;
use crate::network::fused::kernels::panels::{Matrix, Panels, pack_matrix};
use crate::network::fused::kernels::{ConvF32, Kernels, Pixels};

/// Rows that a thread takes at once, where it does not take whole matrices.
const ROWS: usize = 8;

/// A layer of such products.
#[derive(Debug)]
pub(in super::super) struct ProductStep {
    pub(in super::super) a: usize,
    pub(in super::super) b: usize,
    pub(in super::super) y: usize,
    pub(in super::super) of: Product,
    /// How a right matrix is packed.
    pub(in super::super) panels: Panels,
    /// For each thread: the right matrix that it has packed in its scratch memory.
    pub(in super::super) convs: Vec<ConvF32>,
}

impl ProductStep {
    /// # Safety
    /// As for `Work::run`.
    pub(super) unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        let (of, conv) = (&self.of, &self.convs[worker.id]);
        let (rows, n) = (of.rows(), of.columns());
        let batch = of.y.dims().len() - 2;
        let count = of.count();
        let part = if count.is_multiple_of(worker.team) {
            let whole = worker.share(count, 1);
            whole.start * rows..whole.end * rows
        } else {
            worker.share(count * rows, ROWS)
        };
        conv.packed.lend(worker.scratch);
        let [a, b, y] = [&of.a, &of.b, &of.y].map(|m| m.strides());
        let mut at = part.start;
        while at < part.end {
            let (matrix, first) = (at / rows, at % rows);
            let taken = (rows - first).min(part.end - at);
            // SAFETY: the planner's offsets; all places lie in the tensors; other workers have other rows, and the planner asked
            // for as much scratch memory as the panels want.
            unsafe {
                let right = Matrix {
                    values: worker
                        .arena
                        .add(self.b)
                        .cast::<f32>()
                        .add(of.b.start(matrix, batch)),
                    row: b[batch],
                    column: b[batch + 1],
                    factor: of.scale,
                };
                let packed = floats_at(worker.scratch, 0, self.panels.total_bytes() / 4);
                pack_matrix(self.panels, &conv.runs, &right, packed);
                let x = of.a.start(matrix, batch) + first * a[batch];
                let to = of.y.start(matrix, batch) + first * y[batch];
                let pixels = Pixels {
                    x: worker.arena.add(self.a + x * 4),
                    x_pitch: a[batch] * 4,
                    y: worker.arena.add(self.y + to * 4),
                    y_pitch: y[batch] * 4,
                    count: taken,
                };
                kernels.conv_f32(conv, &pixels, 0..n);
            }
            at += taken;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::moves::tests::{each_run, random_order};
    use super::*;
    use crate::network::fused::axes::Axes;
    use crate::network::fused::graph::Op;
    use crate::network::fused::tests::near::exact;
    use crate::network::fused::tests::plainest::product;

    /// Axes in a random order, but the last one fastest.
    fn rows_in_order(random: &mut fastrand::Rng, dims: &[usize]) -> Axes {
        let (&last, outer) = dims.split_last().unwrap();
        let order = random_order(random, outer);
        let mut by: Vec<usize> = (0..outer.len()).collect();
        by.sort_by_key(|&i| std::cmp::Reverse((order.strides()[i], order.dims()[i])));
        let memory: Vec<usize> = by.iter().map(|&i| dims[i]).chain([last]).collect();
        let mut back = vec![0; dims.len()];
        for (to, &from) in by.iter().enumerate() {
            back[from] = to;
        }
        back[outer.len()] = outer.len();
        Axes::plain(&memory).unwrap().transposed(&back).unwrap()
    }

    #[test]
    fn products_are_those_of_the_definition_whatever_the_order_and_the_team() {
        let mut random = fastrand::Rng::with_seed(29);
        for turn in 0..60 {
            let batch: Vec<usize> = (0..random.usize(..3)).map(|_| random.usize(1..4)).collect();
            let (m, k, n) = (
                random.usize(1..40),
                random.usize(1..40),
                random.usize(1..40),
            );
            let sizes = |rows: usize, columns: usize| [&batch[..], &[rows, columns]].concat();
            let mut of = Product {
                a: rows_in_order(&mut random, &sizes(m, k)),
                b: random_order(&mut random, &sizes(k, n)),
                y: rows_in_order(&mut random, &sizes(m, n)),
                scale: random.f32() + 0.5,
            };
            let mut floats =
                |count: usize| -> Vec<f32> { (0..count).map(|_| random.f32() - 0.5).collect() };
            let (a, b) = (floats(of.a.volume()), floats(of.b.volume()));
            if turn % 4 == 0 && !batch.is_empty() {
                of.b = of.b.sliced(0, 0, 1, 1).unwrap();
                of.b = of.b.repeated(0, batch[0]).unwrap();
            }
            let values = |x: &[f32]| x.iter().map(|&x| exact(x)).collect();
            let want = product(&of, &values(&a), &values(&b));
            let all = each_run(&Op::Product(of.clone()), &[&a, &b], want.len());
            for (i, y) in all.iter().enumerate() {
                for (&y, want) in y.iter().zip(&want) {
                    assert!(want.takes(y), "{of:?}: {y} {want:?}");
                }
                // Threads do not change a bit.
                assert_eq!(y, &all[i / 3 * 3], "{of:?}");
            }
        }
    }
}
