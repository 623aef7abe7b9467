//! Expansion, depthwise and projection fused over bands of rows: the widest activations exist only a few rows at a time.

use super::depthwise::check_row;
use super::{AnyConv, AnyDepthwise, Front, MAX_KERNEL_ROWS, Task};
use crate::network::graph::Window;
use crate::network::kernels::{Kernels, Pixels, SLACK};
use crate::network::run::offset::{Offset, Worker};
use crate::network::run::threads::share;
use crate::network::run::touch::{Touches, Whose, span, times};
use std::ops::Range;

/// Each thread's private memory within a step, one part after the other. Kernels read past what a thread uses, but never what the next
/// thread writes: there is slack between the parts.
#[derive(Debug, Clone, Copy)]
pub struct Slots {
    pub at: Offset,
    /// Bytes from one thread's part to the next.
    pub pitch: usize,
}

impl Slots {
    /// Bytes from part to part if each thread uses `bytes`.
    pub fn pitch_of(bytes: usize) -> usize {
        (bytes + SLACK).next_multiple_of(64)
    }

    /// The worker's part.
    ///
    /// # Safety
    /// The part is inside the arena.
    unsafe fn of(self, worker: &Worker) -> *mut u8 {
        // SAFETY: the caller's contract is the same.
        unsafe { worker.pointer(self.at + worker.id * self.pitch) }
    }
}

#[derive(Debug)]
pub struct Block {
    pub x: Offset,
    /// The convolution that makes the depthwise input; without one that is `x` itself.
    pub front: Option<(Front, AnyConv)>,
    /// Ring of its last [`Block::ring_rows`] rows, per thread.
    pub ring: Option<Slots>,
    pub padding: Offset,
    pub depthwise: AnyDepthwise,
    pub window: Window,
    pub h_in: usize,
    pub w_in: usize,
    pub row_bytes: usize,
    pub rows: usize,
    pub dw_row: usize,
    pub dw_pixel: usize,
    /// Depthwise output rows waiting for the projection, per thread.
    pub band: Option<Slots>,
    /// Output rows made together.
    pub band_rows: usize,
    pub channels: usize,
    pub project: Option<AnyConv>,
    pub y: Offset,
    pub y_row: usize,
    pub y_pixel: usize,
    pub columns: usize,
}

/// Bytes of each pixel that go through the depthwise convolution for all rows of a band before the next: an input row is used by
/// several output rows while it is in the L1 cache.
const NEAR_BYTES: usize = 256;

impl Block {
    /// Rows of the depthwise input that a band of output rows needs.
    pub fn ring_rows(window: &Window, band_rows: usize, h_in: usize) -> usize {
        let apart = band_rows.saturating_sub(1).saturating_mul(window.sh);
        apart.saturating_add(window.kh).min(h_in)
    }

    /// Makes the depthwise input's rows `rows` in the ring, several at a time if the front sees them as one.
    ///
    /// # Safety
    /// As `run`.
    unsafe fn make_front(&self, mut rows: Range<usize>, ring: *mut u8, worker: &Worker) {
        let Some((front, conv)) = &self.front else {
            return;
        };
        let held = Self::ring_rows(&self.window, self.band_rows, self.h_in);
        let even = front.row_pitch == self.w_in * front.pixel_pitch;
        while !rows.is_empty() {
            let place = rows.start % held;
            let count = if even {
                rows.len().min(held - place)
            } else {
                1
            };
            // SAFETY: the caller's contract is the same; the rows are next to each other in the ring.
            unsafe {
                let pixels = Pixels {
                    x: worker.pointer(self.x + rows.start * front.row_pitch),
                    x_pitch: front.pixel_pitch,
                    y: ring.add(place * self.row_bytes),
                    y_pitch: self.row_bytes / self.w_in,
                    count: count * self.w_in,
                };
                conv.run(&pixels, 0..conv.n(), worker);
            }
            rows.start += count;
        }
    }

    /// The depthwise convolution's output row `r` from its input rows; channels `channels`.
    ///
    /// # Safety
    /// As `run`.
    unsafe fn depthwise_row(
        &self,
        r: usize,
        ring: Option<*mut u8>,
        y: *mut u8,
        channels: Range<usize>,
        worker: &Worker,
    ) {
        let w = &self.window;
        let held = Self::ring_rows(w, self.band_rows, self.h_in);
        let mut inputs = [std::ptr::null(); MAX_KERNEL_ROWS];
        // One division only: this runs for every row and part of the channels.
        let mut place = (r * w.sh).saturating_sub(w.top) % held.max(1);
        // SAFETY: the caller's contract is the same.
        unsafe {
            for (k, input) in inputs[..w.kh].iter_mut().enumerate() {
                let from = (r * w.sh + k).wrapping_sub(w.top);
                *input = if from >= self.h_in {
                    worker.pointer(self.padding)
                } else if let Some(ring) = ring {
                    let at = place;
                    place = if at + 1 == held { 0 } else { at + 1 };
                    ring.add(at * self.row_bytes)
                } else {
                    worker.pointer(self.x + from * self.row_bytes)
                };
            }
            self.depthwise.run(&inputs[..w.kh], y, channels, worker);
        }
    }

    /// What it reads to make the depthwise convolution's input, whose pixels have so many bytes, and where it makes it.
    fn touches_front(&self, pixel: usize, to: &mut Touches) {
        let (row, elem, w) = (self.depthwise.row(), self.depthwise.elem(), &self.window);
        let line = row.w_in.saturating_mul(pixel);
        match (&self.front, self.ring) {
            (Some((front, conv)), Some(ring)) => {
                let pixels = [(self.h_in, front.row_pitch), (self.w_in, front.pixel_pitch)];
                let input = span(&pixels, 0).saturating_add(conv.reach());
                to.reads_past(Whose::Front, self.x, input, conv.elem());
                conv.steps_by(front, to);
                conv.needs(to);
                // The convolution writes what the depthwise one reads.
                to.holds(
                    (conv.n(), conv.elem()) == (self.channels, elem) && self.row_bytes == line,
                    "it expands to other channels",
                );
                let held = Self::ring_rows(w, self.band_rows, self.h_in);
                let used = times(held, self.row_bytes);
                to.owns("ring", (ring.at, ring.pitch), used, elem);
            }
            (None, None) => {
                let input = span(&[(self.h_in, self.row_bytes)], line);
                to.reads_past(Whose::Front, self.x, input, elem);
                to.steps_by(&[self.row_bytes], elem);
            }
            _ => to.holds(false, "it has no place for rows, or no need of it"),
        }
    }

    /// What it does with the depthwise convolution's pixels of so many bytes; bytes of a value of the result.
    fn touches_result(&self, pixel: usize, to: &mut Touches) -> usize {
        let elem = self.depthwise.elem();
        match (&self.project, self.band) {
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
                conv.needs(to);
                let used = times(self.band_rows, self.dw_row);
                to.owns("band", (band.at, band.pitch), used, elem);
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
        }
    }

    /// A thread's share of the output rows.
    fn share(&self, id: usize, team: usize) -> Range<usize> {
        share(self.rows, 1, id, team)
    }
}

impl Task for Block {
    fn name(&self) -> &'static str {
        "block"
    }

    fn places(&mut self) -> Vec<&mut Offset> {
        let slots = self.ring.iter_mut().chain(&mut self.band);
        let inputs = [&mut self.x, &mut self.padding].into_iter();
        let inputs = inputs.chain(slots.map(|slots| &mut slots.at));
        inputs.chain([&mut self.y]).collect()
    }

    fn touches(&self, to: &mut Touches) {
        let (row, elem, w) = (self.depthwise.row(), self.depthwise.elem(), &self.window);
        check_row(row, self.channels, w, (self.h_in, self.rows), to);
        to.holds(w.dh == 1, "it has gaps between kernel rows");
        to.holds(
            self.rows == 0 || (1..=self.rows).contains(&self.band_rows),
            "it has bands of no rows, or of more than there are",
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
        );
        self.touches_front(pixel, to);
        let y_elem = self.touches_result(pixel, to);
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

    unsafe fn run(&self, _: &dyn Kernels, worker: &Worker) {
        let rows = self.share(worker.id, worker.team);
        let w = &self.window;
        let near = (NEAR_BYTES / self.depthwise.elem()).max(64);
        // SAFETY: of the kernels' contract the verifier proves, of what `touches` declares of this worker: reads and writes
        // (inside), apart, aligned, ring and band (own); channels: all of them, from multiples of 64. A ring holds the rows that a
        // band's output rows need; a band's rows are made before the projection reads them.
        unsafe {
            let ring = self.ring.map(|ring| ring.of(worker));
            let band = self.band.map(|band| band.of(worker));
            let mut next = (rows.start * w.sh).saturating_sub(w.top);
            let mut start = rows.start;
            while start < rows.end {
                let end = start.saturating_add(self.band_rows).min(rows.end);
                let last = ((end - 1) * w.sh + w.kh).saturating_sub(w.top);
                let last = last.min(self.h_in);
                if let Some(ring) = ring
                    && next < last
                {
                    self.make_front(next..last, ring, worker);
                    next = last;
                }
                // One row takes all channels at once.
                let step = if end - start > 1 { near } else { self.channels };
                for first in (0..self.channels).step_by(step.max(1)) {
                    let channels = first..(first + step).min(self.channels);
                    for r in start..end {
                        let y = match band {
                            Some(band) => band.add((r - start) * self.dw_row),
                            None => worker.pointer(self.y + r * self.y_row),
                        };
                        self.depthwise_row(r, ring, y, channels.clone(), worker);
                    }
                }
                if let (Some(project), Some(band)) = (&self.project, band) {
                    let pixels = Pixels {
                        x: band,
                        x_pitch: self.dw_pixel,
                        y: worker.pointer(self.y + start * self.y_row),
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
