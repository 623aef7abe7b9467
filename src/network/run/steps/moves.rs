//! Data movement: a tensor seen along other axes, copied to a dense one.

use super::Task;
use crate::network::graph::axes::{Axes, MAX_RANK};
use crate::network::kernels::Kernels;
use crate::network::run::offset::{Offset, Worker};
use crate::network::run::threads::share;
use crate::network::run::touch::{Touches, Whose, alone, span};
use std::ops::Range;

/// Rows and columns of a block: source and destination both fit in L1.
const TILE: usize = 16;

/// A layer that only moves values.
#[derive(Debug)]
pub struct Move {
    pub x: Offset,
    pub y: Offset,
    /// Where the values come from.
    pub from: Axes,
}

/// The copy order: blocks of rows and columns.
struct Order {
    /// Size of each axis, and its stride in `x`.
    axes: [(usize, usize); MAX_RANK],
    /// The same in `y`.
    y_stride: [usize; MAX_RANK],
    /// The axis of the columns: the last one with more than one place.
    last: usize,
    /// The axis of the rows: the contiguous one in `x`, if the columns are not contiguous there. Otherwise a block is one row.
    near: Option<usize>,
}

impl Order {
    /// The other axes, fastest first; one block per index.
    fn outer(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        (0..self.last).rev().filter(|&i| Some(i) != self.near)
    }

    fn blocks(&self) -> usize {
        self.outer().map(|i| self.axes[i].0).product()
    }

    fn rows(&self) -> usize {
        self.near.map_or(1, |i| self.axes[i].0)
    }

    /// The rows of one block are divided if there are few blocks.
    fn by_rows(&self, team: usize) -> bool {
        self.blocks() < team
    }

    /// A thread's blocks, and its rows of each.
    fn part(&self, id: usize, team: usize) -> (Range<usize>, Range<usize>) {
        let (blocks, rows) = (self.blocks(), self.rows());
        match (self.by_rows(team), self.near) {
            (true, Some(_)) => (0..blocks, share(rows, TILE, id, team)),
            (true, None) => (0..blocks, alone(id)),
            (false, _) => (share(blocks, 1, id, team), 0..rows),
        }
    }
}

impl Move {
    fn order(&self) -> Order {
        let axes = self.from.merged();
        let last = (0..MAX_RANK).rev().find(|&i| axes[i].0 > 1).unwrap_or(0);
        let mut y_stride = [1; MAX_RANK];
        for i in (0..last).rev() {
            y_stride[i] = y_stride[i + 1] * axes[i + 1].0;
        }
        let near = (0..last)
            .find(|&i| axes[i].1 == 1)
            .filter(|_| axes[last].1 != 1);
        Order {
            axes,
            y_stride,
            last,
            near,
        }
    }
}

impl Task for Move {
    fn name(&self) -> &'static str {
        "move"
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.x, &mut self.y]
    }

    fn touches(&self, to: &mut Touches) {
        let (order, team) = (self.order(), to.team);
        let from = self.from.dims().iter().copied();
        let from: Vec<_> = from.zip(self.from.strides().iter().copied()).collect();
        let values = span(&from, 1).saturating_add(self.from.offset() as u64);
        to.reads(Whose::Input(0), self.x, values.saturating_mul(4), 4);
        let in_y = |i: usize| (order.axes[i].0, order.y_stride[i].saturating_mul(4));
        let blocks: Vec<_> = order.outer().rev().map(in_y).collect();
        let rows = order.near.map_or((1, 0), in_y);
        let columns = (order.axes[order.last].0, 4);
        let output = (Whose::Output, self.y, 4);
        if order.by_rows(team) {
            let each = [&blocks[..], &[columns]].concat();
            to.writes(output, &[rows], &each, 4, |id| order.part(id, team).1);
        } else {
            to.writes(output, &blocks, &[rows, columns], 4, |id| {
                order.part(id, team).0
            });
        }
    }

    unsafe fn run(&self, _: &dyn Kernels, worker: &Worker) {
        let order = self.order();
        let Order {
            axes,
            y_stride,
            last,
            near,
        } = order;
        let (columns, x_column) = axes[last];
        let y_row = near.map_or(0, |i| y_stride[i]);
        let (blocks, rows) = order.part(worker.id, worker.team);
        // SAFETY: the verifier proves of what `touches` declares to be read: inside, aligned, and not written during the step (apart).
        let x = unsafe { worker.pointer(self.x).cast::<f32>() };
        for block in blocks {
            let (mut from, mut to, mut at) = (self.from.offset(), 0, block);
            for i in order.outer() {
                let place = at % axes[i].0;
                at /= axes[i].0;
                from += place * axes[i].1;
                to += place * y_stride[i];
            }
            if rows.is_empty() {
                continue;
            }
            // SAFETY: as above for `x`; what is written is what `touches` declares of this worker: inside, aligned and apart by the
            // verifier.
            unsafe {
                if near.is_none() {
                    let y = worker.floats_mut(self.y + to * 4, columns);
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
                let y = worker.pointer(self.y).cast::<f32>().add(to);
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
