//! A whole convolution, shared by rows, pixels or channels.

use super::{AnyConv, Task};
use crate::network::kernels::{Kernels, Pixels};
use crate::network::run::offset::{Offset, Worker};
use crate::network::run::threads::share;
use crate::network::run::touch::{Touches, Whose, span};
use std::ops::Range;

/// Strides of a convolution's input.
#[derive(Debug)]
pub struct Front {
    /// Bytes from one output row's input to the next.
    pub row_pitch: usize,
    /// Bytes from one output pixel's input to the next.
    pub pixel_pitch: usize,
    /// Bytes from one group's channels to the next.
    pub group_pitch: usize,
}

#[derive(Debug)]
pub struct ConvStep {
    pub x: Offset,
    pub y: Offset,
    pub front: Front,
    /// One per group.
    pub convs: Vec<AnyConv>,
    pub rows: usize,
    pub columns: usize,
    /// Bytes from one output pixel to the next.
    pub y_pixel: usize,
    /// Bytes from one group's output channels to the next.
    pub y_group: usize,
}

/// How the threads of a team divide a layer.
pub(super) enum By {
    Rows,
    Columns,
    /// In groups of this many channels.
    Channels(usize),
}

/// The channels of the pixels that a convolution has just computed.
pub(super) struct Computed {
    /// The first channel of the first pixel.
    pub(super) y: *mut u8,
    /// Bytes from pixel to pixel.
    pub(super) pitch: usize,
    /// Number of pixels.
    pub(super) count: usize,
    /// Which channels of the layer.
    pub(super) channels: Range<usize>,
}

impl ConvStep {
    /// Divides the pixels if there are enough, otherwise the channels.
    fn shared(&self, team: usize) -> By {
        if self.rows >= team * 4 {
            By::Rows
        } else if self.rows == 1 && self.columns >= team * 24 {
            By::Columns
        } else {
            By::Channels(self.convs[0].channel_group())
        }
    }

    /// Channels of the result.
    pub(super) fn channels(&self) -> usize {
        self.convs.iter().map(AnyConv::n).sum()
    }

    /// Runs a worker's share, at most `pixels_most` pixels at a time; calls `after` with each part.
    ///
    /// # Safety
    /// As for [`Task::run`].
    pub(super) unsafe fn each(
        &self,
        worker: &Worker,
        pixels_most: usize,
        mut after: impl FnMut(Computed),
    ) {
        let n = self.convs[0].n();
        let (mut rows, mut columns, mut channels) = (0..self.rows, 0..self.columns, 0..n);
        match self.shared(worker.team) {
            By::Rows => rows = worker.share(self.rows, 1),
            By::Columns => columns = worker.share(self.columns, 12),
            By::Channels(by) => channels = worker.share(n, by),
        }
        if columns.is_empty() || channels.is_empty() {
            rows = 0..0;
        }
        let part = columns.len().clamp(1, pixels_most);
        let f = &self.front;
        for (g, conv) in self.convs.iter().enumerate() {
            for r in rows.clone() {
                for first in columns.clone().step_by(part) {
                    // SAFETY: of the kernels' contract the verifier proves, of what `touches` declares of this worker: reads and
                    // writes (inside), apart, aligned; channels: `shared` divides them by the kernels' groups.
                    unsafe {
                        let x = worker.pointer(self.x + g * f.group_pitch + r * f.row_pitch);
                        let row = r * self.columns * self.y_pixel;
                        let y = worker.pointer(self.y + g * self.y_group + row);
                        let pixels = Pixels {
                            x: x.add(first * f.pixel_pitch),
                            x_pitch: f.pixel_pitch,
                            y: y.add(first * self.y_pixel),
                            y_pitch: self.y_pixel,
                            count: part.min(columns.end - first),
                        };
                        conv.run(&pixels, channels.clone(), worker);
                        after(Computed {
                            y: pixels.y.add(channels.start * conv.elem()),
                            pitch: self.y_pixel,
                            count: pixels.count,
                            channels: g * n + channels.start..g * n + channels.end,
                        });
                    }
                }
            }
        }
    }
}

impl Task for ConvStep {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        vec![&mut self.x, &mut self.y]
    }

    fn touches(&self, to: &mut Touches) {
        let (f, team) = (&self.front, to.team);
        let Some(conv) = self.convs.first() else {
            return to.holds(false, "it has no weights");
        };
        let (n, elem, groups) = (conv.n(), conv.elem(), self.convs.len());
        let alike = |c: &AnyConv| (c.n(), c.elem()) == (n, elem);
        to.holds(self.convs.iter().all(alike), "its groups are not alike");
        // `writes` does not say it of a single pixel, but `AnyConv::run` and what is called after it see from it whether a part has
        // all channels.
        let whole = groups.saturating_mul(n).saturating_mul(elem);
        to.holds(
            self.y_pixel == whole,
            "its pixels are of another size than its channels",
        );
        let reach = self.convs.iter().map(AnyConv::reach).max().unwrap_or(0);
        let pixels = span(
            &[
                (groups, f.group_pitch),
                (self.rows, f.row_pitch),
                (self.columns, f.pixel_pitch),
            ],
            0,
        );
        let input = pixels.saturating_add(reach);
        to.reads_past(Whose::Front, self.x, input, elem);
        for conv in &self.convs {
            conv.steps_by(f, to);
            conv.needs(to);
        }
        let rows = (self.rows, self.columns.saturating_mul(self.y_pixel));
        let columns = (self.columns, self.y_pixel);
        let (groups, channels) = ((groups, self.y_group), (n, elem));
        let output = (Whose::Output, self.y, elem);
        match self.shared(team) {
            By::Rows => to.writes(output, &[rows], &[columns, groups, channels], elem, |id| {
                share(self.rows, 1, id, team)
            }),
            By::Columns => to.writes(output, &[columns], &[rows, groups, channels], elem, |id| {
                share(self.columns, 12, id, team)
            }),
            By::Channels(by) => {
                to.writes(output, &[channels], &[rows, columns, groups], elem, |id| {
                    share(n, by, id, team)
                });
            }
        }
    }

    unsafe fn run(&self, _: &dyn Kernels, worker: &Worker) {
        // SAFETY: the caller's contract is the same.
        unsafe { self.each(worker, usize::MAX, |_| ()) };
    }
}
