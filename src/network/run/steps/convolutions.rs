//! How a team walks over a convolution: padding laid out, whole layers, and blocks of three by bands of rows.

use super::dynamic::NEAR_PIXELS;
use super::{
    Block, ConvStep, DepthwiseStep, MAX_KERNEL_ROWS, Pad, Touches, Whose, Worker, bytes_at,
    bytes_of,
};
use crate::network::graph::Window;
use crate::network::kernels::{DepthwiseRow, Kernels, Pixels, SLACK};
use crate::network::run::threads::share;
use crate::network::run::touch::{span, times};
use std::ops::Range;

impl Pad {
    /// Rows with those of padding, and bytes of a pixel, of a row of the input, and of one with its padding.
    fn sizes(&self) -> (usize, usize, usize, usize) {
        let w = &self.window;
        let pixel = self.shape.c.saturating_mul(self.elem);
        let inner = self.shape.w.saturating_mul(pixel);
        let padded = |size: usize, before, after| size.saturating_add(before).saturating_add(after);
        let columns = padded(self.shape.w, w.left, w.right);
        let rows = padded(self.shape.h, w.top, w.bottom);
        (rows, pixel, inner, columns.saturating_mul(pixel))
    }

    pub(super) fn touches(&self, to: &mut Touches) {
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

    pub(super) unsafe fn run(&self, worker: &Worker) {
        let arena = worker.arena;
        let w = &self.window;
        let (rows, pixel, inner, row) = self.sizes();
        let left = w.left * pixel;
        for r in worker.share(rows, 1) {
            // SAFETY: what `touches` declares of this worker: inside, aligned and apart by the verifier.
            unsafe {
                let y = bytes_at(arena, self.y + r * row, row);
                match r.checked_sub(w.top).filter(|&r| r < self.shape.h) {
                    Some(from) => {
                        y[..left].fill(self.value);
                        y[left..left + inner].copy_from_slice(bytes_of(
                            arena,
                            self.x + from * inner,
                            inner,
                        ));
                        y[left + inner..].fill(self.value);
                    }
                    None => y.fill(self.value),
                }
            }
        }
    }
}

/// What the threads of a team share of a layer.
enum By {
    Rows,
    Columns,
    /// In groups of so many.
    Channels(usize),
}

impl ConvStep {
    /// Enough pixels: share them. Else share the channels.
    fn shared(&self, team: usize) -> By {
        if self.rows >= team * 4 {
            By::Rows
        } else if self.rows == 1 && self.columns >= team * 24 {
            By::Columns
        } else {
            let conv = &self.convs[0];
            By::Channels(conv.kernels().channel_group(conv.n()))
        }
    }

    pub(super) fn touches(&self, to: &mut Touches) {
        let (f, team) = (&self.front, to.team);
        let Some(conv) = self.convs.first() else {
            return to.holds(false, "it has no weights");
        };
        let (n, elem, groups) = (conv.n(), conv.elem(), self.convs.len());
        let alike = |c: &crate::network::run::steps::AnyConv| (c.n(), c.elem()) == (n, elem);
        to.holds(self.convs.iter().all(alike), "its groups are not alike");
        let reach = self.convs.iter().map(|c| c.reach()).max().unwrap_or(0);
        let pixels = span(
            &[
                (groups, f.group_pitch),
                (self.rows, f.row_pitch),
                (self.columns, f.pixel_pitch),
            ],
            0,
        );
        to.reads_past(Whose::Front, f.x, pixels.saturating_add(reach), elem, SLACK);
        for conv in &self.convs {
            conv.steps_by(f, to);
            to.wants_scratch(conv.scratch_bytes());
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
        if let Some(sums) = &self.sums {
            to.holds(elem == 4, "it has sums of bytes");
            sums.touches(self.convs.len() * n, to);
        }
    }

    pub(super) unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        let arena = worker.arena;
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
        // SAFETY: the verifier proves of what `Sums::touches` declares: inside, aligned, and defined by the steps before.
        let mut ending = (self.sums.as_ref()).map(|s| unsafe { s.begin(kernels, worker) });
        // What still has to be done with sums is done while they are near.
        let part = if ending.is_some() {
            NEAR_PIXELS
        } else {
            columns.len().max(1)
        };
        let f = &self.front;
        for (g, conv) in self.convs.iter().enumerate() {
            for r in rows.clone() {
                for first in columns.clone().step_by(part) {
                    // SAFETY: of the kernels' contract the verifier proves, of what `touches` declares of this worker: reads and
                    // writes (inside), apart, aligned; channels: `shared` takes them by the kernels' groups.
                    unsafe {
                        let x = arena.add(f.x + g * f.group_pitch + r * f.row_pitch);
                        let y =
                            arena.add(self.y + g * self.y_group + r * self.columns * self.y_pixel);
                        let pixels = Pixels {
                            x: x.add(first * f.pixel_pitch),
                            x_pitch: f.pixel_pitch,
                            y: y.add(first * self.y_pixel),
                            y_pitch: self.y_pixel,
                            count: part.min(columns.end - first),
                        };
                        conv.run(&pixels, channels.clone(), worker);
                        if let Some(ending) = &mut ending {
                            let y = pixels.y.add(channels.start * 4);
                            let channels = g * n + channels.start..g * n + channels.end;
                            ending.pixels(y, self.y_pixel, pixels.count, channels);
                        }
                    }
                }
            }
        }
        if let Some(ending) = ending {
            // SAFETY: the pair that `Parts::written` declares of this worker: inside, aligned and apart by the verifier.
            unsafe { ending.done(worker) };
        }
    }
}

/// Channels of a depthwise layer that a kernel takes at once, see [`Kernels::depthwise_q8`].
const DEPTHWISE_GROUP: usize = 64;

/// Whether a depthwise kernel's rows are those of its layer: windows over `h_in` rows that give `rows`.
fn check_row(
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
    /// Rows where there are enough of them, else channels.
    fn shared(&self, team: usize) -> By {
        if self.rows >= team * 4 || self.channels < team * DEPTHWISE_GROUP {
            By::Rows
        } else {
            By::Channels(DEPTHWISE_GROUP)
        }
    }

    pub(super) fn touches(&self, to: &mut Touches) {
        let (row, elem, team) = (self.conv.row(), self.conv.elem(), to.team);
        let rows = (self.h_in, self.rows);
        check_row(row, self.channels, &self.window, rows, to);
        let pixel = self.channels.saturating_mul(elem);
        let line = row.w_in.saturating_mul(pixel);
        let input = span(&[(self.h_in, self.row_bytes)], line);
        to.reads_past(Whose::Input(0), self.x, input, elem, SLACK);
        to.steps_by(&[self.row_bytes], elem);
        let fill = Whose::Fill(self.conv.pad());
        to.reads_past(fill, self.padding, line as u64, elem, SLACK);
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
        if let Some(sums) = &self.sums {
            to.holds(elem == 4, "it has sums of bytes");
            sums.touches(self.channels, to);
        }
    }

    pub(super) unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        let arena = worker.arena;
        let (mut rows, mut channels) = (0..self.rows, 0..self.channels);
        match self.shared(worker.team) {
            By::Channels(by) => channels = worker.share(self.channels, by),
            _ => rows = worker.share(self.rows, 1),
        }
        if channels.is_empty() {
            rows = 0..0;
        }
        // SAFETY: the verifier proves of what `Sums::touches` declares: inside, aligned, and defined by the steps before.
        let mut ending = (self.sums.as_ref()).map(|s| unsafe { s.begin(kernels, worker) });
        let w = &self.window;
        let mut inputs = [std::ptr::null(); MAX_KERNEL_ROWS];
        for r in rows {
            // SAFETY: rows within the input come from it, others from the padding row. Of the kernels' contract the verifier
            // proves, of what `touches` declares of this worker: reads and writes (inside), apart, aligned; channels: `shared`
            // takes them by 64.
            unsafe {
                for (k, input) in inputs[..w.kh].iter_mut().enumerate() {
                    let from = (r * w.sh + k * w.dh).wrapping_sub(w.top);
                    *input = if from < self.h_in {
                        arena.add(self.x + from * self.row_bytes)
                    } else {
                        arena.add(self.padding)
                    };
                }
                let y = arena.add(self.y + r * self.y_row);
                self.conv.run(&inputs[..w.kh], y, channels.clone(), worker);
                if let Some(ending) = &mut ending {
                    let (y, pixel) = (y.add(channels.start * 4), self.channels * 4);
                    ending.pixels(y, pixel, self.y_row / pixel, channels.clone());
                }
            }
        }
        if let Some(ending) = ending {
            // SAFETY: the pair that `Parts::written` declares of this worker: inside, aligned and apart by the verifier.
            unsafe { ending.done(worker) };
        }
    }
}

impl Block {
    pub(super) fn touches(&self, to: &mut Touches) {
        let (row, elem, w) = (self.depthwise.row(), self.depthwise.elem(), &self.window);
        check_row(row, self.channels, w, (self.h_in, self.rows), to);
        to.holds(w.dh == 1, "it has gaps between kernel rows");
        to.holds(
            self.rows == 0 || self.band_rows > 0,
            "it has bands without rows",
        );
        to.holds(
            row.w_in == self.w_in && row.w_out == self.columns,
            "it has rows of other columns",
        );
        let pixel = self.channels.saturating_mul(elem);
        let line = row.w_in.saturating_mul(pixel);
        to.wants_scratch(self.depthwise.scratch_bytes());
        to.reads_past(
            Whose::Fill(self.depthwise.pad()),
            self.padding,
            line as u64,
            elem,
            SLACK,
        );
        match (&self.front, self.ring) {
            (Some((front, conv)), Some(ring)) => {
                let pixels = [(self.h_in, front.row_pitch), (self.w_in, front.pixel_pitch)];
                let input = span(&pixels, 0).saturating_add(conv.reach());
                to.reads_past(Whose::Front, self.x, input, conv.elem(), SLACK);
                conv.steps_by(front, to);
                to.wants_scratch(conv.scratch_bytes());
                // The convolution writes what the depthwise one reads.
                to.holds(
                    (conv.n(), conv.elem()) == (self.channels, elem) && self.row_bytes == line,
                    "it expands to other channels",
                );
                let used = times(w.kh, self.row_bytes);
                to.owns("ring", (ring.at, ring.pitch), used, elem, SLACK);
            }
            (None, None) => {
                let input = span(&[(self.h_in, self.row_bytes)], line);
                to.reads_past(Whose::Front, self.x, input, elem, SLACK);
                to.steps_by(&[self.row_bytes], elem);
            }
            _ => to.holds(false, "it has no place for rows, or no need of it"),
        }
        let y_elem = match (&self.project, self.band) {
            (Some(conv), Some(band)) => {
                let runs = conv.runs();
                // The projection reads what the depthwise convolution writes.
                to.holds(
                    conv.elem() == elem
                        && conv.reach() == pixel as u64
                        && runs.offsets.iter().all(|&offset| offset == 0)
                        && self.dw_pixel == pixel
                        && self.dw_row == self.columns.saturating_mul(pixel),
                    "it projects other channels",
                );
                to.holds(
                    conv.n().saturating_mul(elem) == self.y_pixel,
                    "it projects to other channels",
                );
                to.wants_scratch(conv.scratch_bytes());
                let used = times(self.band_rows, self.dw_row);
                to.owns("band", (band.at, band.pitch), used, elem, SLACK);
                conv.elem()
            }
            (None, None) => {
                to.holds(pixel == self.y_pixel, "it makes other channels");
                elem
            }
            _ => {
                to.holds(false, "it has no place for a band, or no need of it");
                elem
            }
        };
        to.holds(
            self.y_row == self.columns.saturating_mul(self.y_pixel),
            "its rows are of another size than its pixels",
        );
        let team = to.team;
        to.writes(
            (Whose::Output, self.y, y_elem),
            &[(self.rows, self.y_row)],
            &[],
            self.y_row,
            |id| self.share(id, team),
        );
    }

    /// A thread's output rows.
    fn share(&self, id: usize, team: usize) -> Range<usize> {
        share(self.rows, 1, id, team)
    }

    pub(super) unsafe fn run(&self, worker: &Worker) {
        let arena = worker.arena;
        let rows = self.share(worker.id, worker.team);
        let w = &self.window;
        // SAFETY: of the kernels' contract the verifier proves, of what `touches` declares of this worker: reads and writes
        // (inside), apart, aligned, ring and band (own); channels: all of them. A ring holds the last `kh` rows, which are those
        // that an output row needs; a band's rows are made before the projection reads them.
        unsafe {
            let ring = self.ring.map(|ring| ring.of(worker));
            let band = self.band.map(|band| band.of(worker));
            let mut next = (rows.start * w.sh).saturating_sub(w.top);
            let mut start = rows.start;
            while start < rows.end {
                let end = (start + self.band_rows).min(rows.end);
                for r in start..end {
                    let last = (r * w.sh + w.kh).saturating_sub(w.top).min(self.h_in);
                    if let (Some((front, conv)), Some(ring)) = (&self.front, ring) {
                        while next < last {
                            let pixels = Pixels {
                                x: arena.add(self.x + next * front.row_pitch),
                                x_pitch: front.pixel_pitch,
                                y: ring.add(next % w.kh * self.row_bytes),
                                y_pitch: self.row_bytes / self.w_in,
                                count: self.w_in,
                            };
                            conv.run(&pixels, 0..conv.n(), worker);
                            next += 1;
                        }
                    }
                    let mut inputs = [std::ptr::null(); MAX_KERNEL_ROWS];
                    for (k, input) in inputs[..w.kh].iter_mut().enumerate() {
                        let from = (r * w.sh + k).wrapping_sub(w.top);
                        *input = if from >= self.h_in {
                            arena.add(self.padding)
                        } else if let Some(ring) = ring {
                            ring.add(from % w.kh * self.row_bytes)
                        } else {
                            arena.add(self.x + from * self.row_bytes)
                        };
                    }
                    let y = match band {
                        Some(band) => band.add((r - start) * self.dw_row),
                        None => arena.add(self.y + r * self.y_row),
                    };
                    self.depthwise
                        .run(&inputs[..w.kh], y, 0..self.channels, worker);
                }
                if let (Some(project), Some(band)) = (&self.project, band) {
                    let pixels = Pixels {
                        x: band,
                        x_pitch: self.dw_pixel,
                        y: arena.add(self.y + start * self.y_row),
                        y_pitch: self.y_pixel,
                        count: (end - start) * self.columns,
                    };
                    project.run(&pixels, 0..project.n(), worker);
                }
                start = end;
            }
        }
    }
}
