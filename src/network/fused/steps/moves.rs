//! Values that move: those at any places of a tensor, in the order of counting.

use super::{Worker, floats_at};
use crate::network::fused::axes::{Axes, MOST};

/// Rows and columns of a block whose both sides stay in the first cache.
const TILE: usize = 16;

/// A layer that moves values.
#[derive(Debug)]
pub(in super::super) struct Move {
    pub(in super::super) x: usize,
    pub(in super::super) y: usize,
    /// Where they come from.
    pub(in super::super) from: Axes,
}

impl Move {
    /// # Safety
    /// As for `Work::run`.
    pub(super) unsafe fn run(&self, worker: &Worker) {
        let axes = self.from.merged();
        // The last axis with more than one place is moved at once, with the one whose values are neighbours in `x`.
        let last = (0..MOST).rev().find(|&i| axes[i].0 > 1).unwrap_or(0);
        let near = (0..last)
            .find(|&i| axes[i].1 == 1)
            .filter(|_| axes[last].1 != 1);
        let outer = || (0..last).rev().filter(|&i| Some(i) != near);
        let count: usize = outer().map(|i| axes[i].0).product();
        let mut y_stride = [1; MOST];
        for i in (0..last).rev() {
            y_stride[i] = y_stride[i + 1] * axes[i + 1].0;
        }
        let (columns, x_column) = axes[last];
        let (rows, y_row) = near.map_or((1, 0), |i| (axes[i].0, y_stride[i]));
        // Rows of one block are shared where there are few blocks.
        let by_rows = count < worker.team;
        let blocks = if by_rows {
            0..count
        } else {
            worker.share(count, 1)
        };
        let rows = if by_rows {
            worker.share(rows, TILE)
        } else {
            0..rows
        };
        // SAFETY: the planner's offset; the input is only read.
        let x = unsafe { worker.arena.add(self.x).cast::<f32>() };
        for block in blocks {
            let (mut from, mut to, mut at) = (self.from.offset(), 0, block);
            for i in outer() {
                let place = at % axes[i].0;
                at /= axes[i].0;
                from += place * axes[i].1;
                to += place * y_stride[i];
            }
            if by_rows && near.is_none() && worker.id != 0 {
                continue;
            }
            // SAFETY: all places lie in the tensors; other workers have other blocks or other rows.
            unsafe {
                if near.is_none() {
                    let y = floats_at(worker.arena, self.y + to * 4, columns);
                    let x = x.add(from);
                    if x_column == 1 {
                        std::ptr::copy_nonoverlapping(x, y.as_mut_ptr(), columns);
                    } else {
                        for (i, y) in y.iter_mut().enumerate() {
                            *y = *x.add(i * x_column);
                        }
                    }
                    continue;
                }
                let y = worker.arena.add(self.y).cast::<f32>().add(to);
                for r in rows.clone().step_by(TILE) {
                    for c in (0..columns).step_by(TILE) {
                        for r in r..(r + TILE).min(rows.end) {
                            let (x, y) = (x.add(from + r), y.add(r * y_row));
                            for c in c..(c + TILE).min(columns) {
                                *y.add(c) = *x.add(c * x_column);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;
    use crate::network::fused::Understood;
    use crate::network::fused::graph::{Border, Graph, Kind, Layer, Op, Shape, Tensor, TensorId};
    use crate::network::fused::kernels::available;

    /// What a layer makes of tensors of these sizes, with every kernel set and one to three threads.
    pub(in super::super) fn each_run(op: &Op, inputs: &[&[f32]], count: usize) -> Vec<Vec<f32>> {
        let tensor = |c: usize| Tensor {
            shape: Shape::new(1, 1, c).unwrap(),
            kind: Kind::F32,
        };
        let border = |i: usize| Border {
            name: i.to_string(),
            tensor: TensorId(i),
            channels_first: false,
            segment: 0,
        };
        let made = inputs.len();
        let sizes = inputs.iter().map(|x| x.len()).chain([count]);
        let graph = Graph {
            tensors: sizes.map(tensor).collect(),
            layers: vec![Layer {
                op: op.clone(),
                inputs: (0..made).map(TensorId).collect(),
                output: TensorId(made),
                name: "layer".into(),
                segment: 0,
            }],
            input: None,
            imports: (0..made).map(border).collect(),
            exports: vec![border(made)],
        };
        let mut all = Vec::new();
        for kernels in available() {
            for threads in 1..4 {
                let plan = Understood(graph.clone()).plan_with(threads, kernels);
                let mut y = vec![f32::NAN; count];
                plan.unwrap().run_segment(0, inputs, &mut [&mut y]);
                all.push(y);
            }
        }
        all
    }

    /// Axes of these sizes in a random order.
    pub(in super::super) fn random_order(random: &mut fastrand::Rng, dims: &[usize]) -> Axes {
        let mut order: Vec<usize> = (0..dims.len()).collect();
        random.shuffle(&mut order);
        let memory: Vec<usize> = order.iter().map(|&i| dims[i]).collect();
        let mut back = vec![0; order.len()];
        for (to, &from) in order.iter().enumerate() {
            back[from] = to;
        }
        Axes::plain(&memory).unwrap().transposed(&back).unwrap()
    }

    #[test]
    fn every_value_comes_from_its_place_whatever_the_order_and_the_team() {
        let mut random = fastrand::Rng::with_seed(17);
        for turn in 0..60 {
            let rank = random.usize(1..=MOST);
            let most = if rank < 4 { 40 } else { 5 };
            let dims: Vec<usize> = (0..rank).map(|_| random.usize(1..=most)).collect();
            let mut axes = random_order(&mut random, &dims);
            let x: Vec<f32> = (0..axes.volume()).map(|i| i as f32).collect();
            if turn % 3 == 0 {
                let axis = random.usize(..rank);
                let first = random.usize(..dims[axis]);
                let step = random.usize(1..3);
                axes = axes
                    .sliced(axis, first, (dims[axis] - first).div_ceil(step), step)
                    .unwrap();
            }
            let want: Vec<f32> = (0..axes.volume())
                .map(|i| axes.start(i, rank) as f32)
                .collect();
            for y in each_run(&Op::Move(axes), &[&x], axes.volume()) {
                assert_eq!(y, want, "{axes:?}");
            }
        }
    }
}
