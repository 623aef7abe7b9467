//! A whole depthwise convolution, shared by rows or channels.

use super::conv::{By, Computed};
use super::{AnyDepthwise, MAX_KERNEL_ROWS, Task};
use crate::network::graph::Window;
use crate::network::kernels::{DepthwiseRow, Kernels};
use crate::network::run::offset::{Offset, Worker};
use crate::network::run::threads::share;
use crate::network::run::touch::{Touches, Whose, span};

#[derive(Debug)]
pub struct DepthwiseStep {
    pub x: Offset,
    pub y: Offset,
    /// A row of padding.
    pub padding: Offset,
    pub conv: AnyDepthwise,
    pub window: Window,
    /// Rows of the input.
    pub h_in: usize,
    /// Bytes of a row of the input.
    pub row_bytes: usize,
    /// Rows of the result.
    pub rows: usize,
    /// Bytes of a row of the result.
    pub y_row: usize,
    pub channels: usize,
}

/// Channels of a depthwise layer that a kernel processes at once, see [`Kernels::depthwise_q8`].
const DEPTHWISE_GROUP: usize = 64;

/// Checks that the row is the layer's: windows over `h_in` rows give `rows` rows.
pub(super) fn check_row(
    row: &DepthwiseRow,
    channels: usize,
    window: &Window,
    (h_in, rows): (usize, usize),
    to: &mut Touches,
) {
    let w = window;
    to.holds(row.c == channels, "it has weights of other channels");
    to.holds(
        (1..=MAX_KERNEL_ROWS).contains(&w.kh)
            && row.kh.is_multiple_of(w.kh)
            && row.kh <= 3 * w.kh
            && (row.kw, row.stride, row.dilation, row.left) == (w.kw, w.sw, w.dw, w.left)
            && w.dh > 0
            && w.dw > 0,
        "it has weights of another kernel",
    );
    to.holds(
        w.output(h_in, row.w_in) == Some((rows, row.w_out)),
        "its windows do not fit its input",
    );
}

impl DepthwiseStep {
    /// Divides the rows if there are enough, otherwise the channels.
    fn shared(&self, team: usize) -> By {
        if self.rows >= team * 4 || self.channels < team * DEPTHWISE_GROUP {
            By::Rows
        } else {
            By::Channels(DEPTHWISE_GROUP)
        }
    }

    /// Runs a worker's share row by row; calls `after` with each row.
    ///
    /// # Safety
    /// As for [`Task::run`].
    pub(super) unsafe fn each(&self, worker: &Worker, mut after: impl FnMut(Computed)) {
        let (mut rows, mut channels) = (0..self.rows, 0..self.channels);
        match self.shared(worker.team) {
            By::Channels(by) => channels = worker.share(self.channels, by),
            _ => rows = worker.share(self.rows, 1),
        }
        if channels.is_empty() {
            rows = 0..0;
        }
        let (w, elem) = (&self.window, self.conv.elem());
        let mut inputs = [std::ptr::null(); MAX_KERNEL_ROWS];
        for r in rows {
            // SAFETY: rows inside the input point into it, others to the padding row. Of the kernels' contract the verifier
            // proves, of what `touches` declares of this worker: reads and writes (inside), apart, aligned; channels: `shared`
            // divides them by 64.
            unsafe {
                for (k, input) in inputs[..w.kh].iter_mut().enumerate() {
                    let from = (r * w.sh + k * w.dh).wrapping_sub(w.top);
                    *input = worker.pointer(if from < self.h_in {
                        self.x + from * self.row_bytes
                    } else {
                        self.padding
                    });
                }
                let y = worker.pointer(self.y + r * self.y_row);
                self.conv.run(&inputs[..w.kh], y, channels.clone(), worker);
                let pitch = self.channels * elem;
                after(Computed {
                    y: y.add(channels.start * elem),
                    pitch,
                    count: self.y_row / pitch,
                    channels: channels.clone(),
                });
            }
        }
    }
}

impl Task for DepthwiseStep {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.x, &mut self.padding, &mut self.y]
    }

    fn touches(&self, to: &mut Touches) {
        let (row, elem, team) = (self.conv.row(), self.conv.elem(), to.team);
        let rows = (self.h_in, self.rows);
        check_row(row, self.channels, &self.window, rows, to);
        let pixel = self.channels.saturating_mul(elem);
        // `writes` does not say it of a single row, but pixels are counted with it.
        to.holds(
            self.y_row == row.w_out.saturating_mul(pixel),
            "its rows are of another size than its pixels",
        );
        let line = row.w_in.saturating_mul(pixel);
        let input = span(&[(self.h_in, self.row_bytes)], line);
        to.reads_past(Whose::Input(0), self.x, input, elem);
        to.steps_by(&[self.row_bytes], elem);
        let fill = Whose::Fill(self.conv.pad());
        to.reads_past(fill, self.padding, line as u64, elem);
        to.wants_scratch(self.conv.scratch_bytes());
        let output = (Whose::Output, self.y, elem);
        let (rows, columns) = ((self.rows, self.y_row), (row.w_out, pixel));
        match self.shared(team) {
            By::Channels(by) => {
                let channels = (self.channels, elem);
                to.writes(output, &[channels], &[rows, columns], elem, |id| {
                    share(self.channels, by, id, team)
                });
            }
            _ => to.writes(output, &[rows], &[columns], pixel, |id| {
                share(self.rows, 1, id, team)
            }),
        }
    }

    unsafe fn run(&self, _: &dyn Kernels, worker: &Worker) {
        // SAFETY: the caller's contract is the same.
        unsafe { self.each(worker, |_| ()) };
    }
}
