//! Copying float tensors into and out of the arena with a team of threads: outside a tensor may be NCHW, in the arena it is NHWC.

use super::offset::{Offset, Worker};
use crate::network::graph::Shape;
use std::mem::MaybeUninit;

/// A float tensor in the arena that is copied in before a segment or copied out after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    pub offset: Offset,
    pub shape: Shape,
    pub channels_first: bool,
}

/// Pixels and channels of a tile: source and destination both fit in L1.
const TILE: usize = 16;

impl Port {
    /// Copies a worker's share of `values` in.
    ///
    /// # Safety
    /// The worker's arena belongs to a verified plan; only workers of the same team touch this tensor, and `values` has as many
    /// values as the shape.
    pub(super) unsafe fn put(&self, worker: &Worker, values: *const f32) {
        let (pixels, c) = (self.shape.pixels(), self.shape.c);
        let part = worker.share(pixels, TILE);
        // SAFETY: the verifier proves of imports: inside, aligned; `share` gives these pixels to no other thread.
        let y = unsafe { worker.floats_mut(self.offset + part.start * c * 4, part.len() * c) };
        // SAFETY: as many values as the shape says, only read.
        let x = unsafe { std::slice::from_raw_parts(values, self.shape.volume()) };
        if self.channels_first {
            to_pixels(&x[part.start..], pixels, c, y);
        } else {
            y.copy_from_slice(&x[part.start * c..part.end * c]);
        }
    }

    /// Copies a worker's share of the tensor out to `values`, which may be uninitialised.
    ///
    /// # Safety
    /// As for [`Port::put`]; nothing else uses `values` during the call.
    pub(super) unsafe fn take(&self, worker: &Worker, values: *mut MaybeUninit<f32>) {
        let (pixels, c) = (self.shape.pixels(), self.shape.c);
        // SAFETY: the verifier proves of exports: inside, defined, aligned; nothing writes it after the last step.
        let x = unsafe { worker.floats(self.offset, pixels * c) };
        let (count, each) = if self.channels_first {
            (c, pixels)
        } else {
            (pixels, c)
        };
        let part = worker.share(count, TILE);
        // SAFETY: as many values as the shape says; `share` gives these channels or pixels to no other thread.
        let y = unsafe {
            let start = values.add(part.start * each);
            std::slice::from_raw_parts_mut(start, part.len() * each)
        };
        if self.channels_first {
            to_channels(&x[part.start..], pixels, c, y);
        } else {
            for (y, &x) in y.iter_mut().zip(&x[part.start * each..part.end * each]) {
                y.write(x);
            }
        }
    }
}

/// `y[pixel * c + channel] = x[channel * pixels + pixel]` for as many pixels as `y` holds.
fn to_pixels(x: &[f32], pixels: usize, c: usize, y: &mut [f32]) {
    for (block, y) in y.chunks_mut(TILE * c).enumerate() {
        let (first, count) = (block * TILE, y.len() / c);
        for from in (0..c).step_by(TILE) {
            for channel in from..(from + TILE).min(c) {
                let row = &x[channel * pixels + first..][..count];
                for (pixel, &value) in row.iter().enumerate() {
                    y[pixel * c + channel] = value;
                }
            }
        }
    }
}

/// `y[channel * pixels + pixel] = x[pixel * c + channel]` for as many channels as `y` holds.
fn to_channels(x: &[f32], pixels: usize, c: usize, y: &mut [MaybeUninit<f32>]) {
    for (block, y) in y.chunks_mut(TILE * pixels).enumerate() {
        let (first, count) = (block * TILE, y.len() / pixels);
        for from in (0..pixels).step_by(TILE) {
            for pixel in from..(from + TILE).min(pixels) {
                let row = &x[pixel * c + first..][..count];
                for (channel, &value) in row.iter().enumerate() {
                    y[channel * pixels + pixel].write(value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::run::Scratch;

    #[test]
    fn what_goes_in_comes_out_whatever_the_size_and_the_team() {
        for (h, w, c) in [(1, 1, 5), (3, 7, 1), (5, 5, 3), (9, 11, 37), (4, 16, 32)] {
            let shape = Shape::new(h, w, c).expect("it is small");
            for channels_first in [false, true] {
                for team in 1..4 {
                    let port = Port {
                        offset: Offset::at_byte(64),
                        shape,
                        channels_first,
                    };
                    let mut arena = vec![0.0f32; 16 + shape.volume()];
                    let values: Vec<f32> = (0..shape.volume()).map(|i| i as f32).collect();
                    let mut out = vec![-1.0; shape.volume()];
                    let scratch = Scratch {
                        at: Offset::at_byte(0),
                        bytes_per_thread: 0,
                    };
                    let arena_at = arena.as_mut_ptr().cast();
                    let workers: Vec<Worker> = (0..team)
                        .map(|id| Worker::new(arena_at, scratch, id, team))
                        .collect();
                    for worker in &workers {
                        // SAFETY: the arena and the values are as large as the port says.
                        unsafe { port.put(worker, values.as_ptr()) };
                    }
                    if channels_first {
                        let (pixel, channel) = (shape.pixels() - 1, c - 1);
                        let stored = arena[16 + pixel * c + channel];
                        assert_eq!(stored, (channel * shape.pixels() + pixel) as f32);
                    } else {
                        assert_eq!(arena[16..], values);
                    }
                    for worker in &workers {
                        // SAFETY: as above.
                        unsafe { port.take(worker, out.as_mut_ptr().cast()) };
                    }
                    assert_eq!(out, values, "{shape} {channels_first} {team}");
                }
            }
        }
    }
}
