//! How a team walks over a convolution: padding laid out, whole layers, and blocks of three by bands of rows.

use super::dynamic::NEAR_PIXELS;
use super::{Block, ConvStep, DepthwiseStep, Pad, Worker, bytes_at, bytes_of};
use crate::network::fused::kernels::{Kernels, Pixels};
use crate::network::fused::plan::MAX_KERNEL_ROWS;

impl Pad {
    pub(super) unsafe fn run(&self, worker: &Worker) {
        let arena = worker.arena;
        let w = &self.window;
        let rows = self.shape.h + w.top + w.bottom;
        let pixel = self.shape.c * self.elem;
        let (left, right) = (w.left * pixel, w.right * pixel);
        let inner = self.shape.w * pixel;
        let row = left + inner + right;
        for r in worker.share(rows, 1) {
            // SAFETY: row `r` of the padded tensor is this thread's; the input is only read.
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

impl ConvStep {
    pub(super) unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        let arena = worker.arena;
        let n = self.convs[0].n();
        let group = self.convs[0].kernels().channel_group(n);
        // Enough pixels: share them. Else share the channels.
        let by_rows = self.rows >= worker.team * 4;
        let by_pixels = !by_rows && self.rows == 1 && self.columns >= worker.team * 24;
        let (mut rows, mut columns, mut channels) = (0..self.rows, 0..self.columns, 0..n);
        if by_rows {
            rows = worker.share(self.rows, 1);
        } else if by_pixels {
            columns = worker.share(self.columns, 12);
        } else {
            channels = worker.share(n, group);
        }
        if columns.is_empty() || channels.is_empty() {
            rows = 0..0;
        }
        // SAFETY: what this convolution reads was written by the steps before it.
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
                    // SAFETY: the front's geometry was planned over tensors of the arena.
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
            // SAFETY: this worker's own place.
            unsafe { ending.done(worker) };
        }
    }
}

impl DepthwiseStep {
    pub(super) unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        let arena = worker.arena;
        let group = 64;
        let by_rows = self.rows >= worker.team * 4 || self.channels < worker.team * group;
        let (mut rows, mut channels) = (0..self.rows, 0..self.channels);
        if by_rows {
            rows = worker.share(self.rows, 1);
        } else {
            channels = worker.share(self.channels, group);
        }
        if channels.is_empty() {
            rows = 0..0;
        }
        // SAFETY: what this convolution reads was written by the steps before it.
        let mut ending = (self.sums.as_ref()).map(|s| unsafe { s.begin(kernels, worker) });
        let w = &self.window;
        let mut inputs = [std::ptr::null(); MAX_KERNEL_ROWS];
        for r in rows {
            // SAFETY: rows within the input come from it, others from the padding row, which is as wide.
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
            // SAFETY: this worker's own place.
            unsafe { ending.done(worker) };
        }
    }
}

impl Block {
    pub(super) unsafe fn run(&self, worker: &Worker) {
        let arena = worker.arena;
        let rows = worker.share(self.rows, 1);
        let w = &self.window;
        // SAFETY: ring and band are planned with room for every thread; rows are this thread's; all else is only read.
        unsafe {
            let ring = self
                .ring
                .map(|at| arena.add(at + worker.id * (self.row_bytes * w.kh).next_multiple_of(64)));
            let band = self.band.map(|at| {
                arena.add(at + worker.id * (self.dw_row * self.band_rows).next_multiple_of(64))
            });
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
