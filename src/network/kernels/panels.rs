//! How a convolution's output channels are divided into panels and its pixels into tiles, and how weights are packed for them; shared
//! by the vector kernels.

use super::half_values::of_f32;
use super::{Aligned, DepthwiseRow, Pixels, RawF32, RawQ8, Runs};
use std::sync::atomic::{AtomicPtr, Ordering};

/// A panel: its first output channel, its vectors of `lanes` channels, and where its packed bytes begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panel {
    /// First output channel.
    pub first: usize,
    /// Number of vectors of output channels.
    pub vectors: usize,
    /// Number of channels (the last vector may be partly empty).
    pub channels: usize,
    /// Offset of its packed bytes.
    pub offset: usize,
}

/// The panels of `n` output channels: all but the last have the same width.
#[derive(Debug, Clone, Copy)]
pub struct Panels {
    n: usize,
    lanes: usize,
    widest: usize,
    /// Packed bytes per vector of channels.
    bytes: usize,
}

impl Panels {
    /// `lanes` channels per vector, at most `limit` vectors per panel, `bytes` packed bytes per vector. Takes the width that fills the
    /// last panel best.
    pub fn new(n: usize, lanes: usize, limit: usize, bytes: usize) -> Self {
        let vectors = n.div_ceil(lanes);
        let widest = (2..=limit)
            .rev()
            .find(|w| vectors.is_multiple_of(*w))
            .unwrap_or(limit.min(vectors.max(1)));
        Self {
            n,
            lanes,
            widest,
            bytes,
        }
    }

    /// The same with the widest panels, even if the last one then is much narrower.
    #[cfg(target_arch = "aarch64")]
    pub fn widened(self, limit: usize) -> Self {
        let widest = limit.min(self.n.div_ceil(self.lanes).max(1));
        Self { widest, ..self }
    }

    /// Channels of a full panel.
    pub fn group(&self) -> usize {
        self.widest * self.lanes
    }

    /// Packed bytes of all panels.
    pub fn total_bytes(&self) -> usize {
        self.n.div_ceil(self.lanes) * self.bytes
    }

    /// The panels that hold `channels`, whose start is a multiple of [`Panels::group`].
    pub fn within(self, channels: std::ops::Range<usize>) -> impl Iterator<Item = Panel> {
        let group = self.group();
        let end = channels.end.min(self.n);
        (channels.start / group..end.div_ceil(group)).map(move |i| {
            let first = i * group;
            let held = group.min(end - first);
            Panel {
                first,
                vectors: held.div_ceil(self.lanes),
                channels: held,
                offset: i * self.widest * self.bytes,
            }
        })
    }
}

/// Panels of int8 convolutions, `lanes` channels per vector: biases, multipliers, then for every `step` values of a run the weights of
/// each channel in turn.
pub fn byte_panels(runs: &Runs, lanes: usize, limit: usize, step: usize) -> Panels {
    let steps = runs.offsets.len() * runs.len.div_ceil(step);
    Panels::new(runs.n, lanes, limit, (8 + steps * step) * lanes)
}

/// Packs an int8 convolution for [`byte_panels`]. `channel(vectors, place)` is the channel packed at `place` of a panel of `vectors`
/// vectors.
pub fn pack_bytes(
    panels: Panels,
    runs: &Runs,
    raw: &RawQ8<'_>,
    step: usize,
    channel: impl Fn(usize, usize) -> usize,
) -> Aligned {
    let mut packed = Aligned::zeroed(panels.total_bytes());
    let bytes = packed.bytes_mut();
    let per = runs.offsets.len() * runs.len;
    for panel in panels.within(0..runs.n) {
        let places = panel.vectors * panels.lanes;
        for place in 0..places {
            let n = panel.first + channel(panel.vectors, place);
            if n >= runs.n {
                continue;
            }
            let at = panel.offset + place * 4;
            bytes[at..at + 4].copy_from_slice(&raw.bias[n].to_ne_bytes());
            let at = at + places * 4;
            bytes[at..at + 4].copy_from_slice(&raw.multiplier[n].to_ne_bytes());
            let at = panel.offset + places * 8 + place * step;
            let mut steps = bytes[at..].chunks_mut(places * step);
            for run in raw.w[n * per..][..per].chunks_exact(runs.len) {
                for values in run.chunks(step) {
                    let Some(to) = steps.next() else { break };
                    for (to, &w) in to.iter_mut().zip(values) {
                        *to = w as u8;
                    }
                }
            }
        }
    }
    packed
}

/// Panels of float convolutions: biases, then for each value of the runs a vector of weights, `lanes` channels per vector.
pub fn float_panels(runs: &Runs, lanes: usize, limit: usize) -> Panels {
    value_panels(runs, lanes, limit, 4)
}

/// The same for values of half precision.
pub fn half_panels(runs: &Runs, lanes: usize, limit: usize) -> Panels {
    value_panels(runs, lanes, limit, 2)
}

fn value_panels(runs: &Runs, lanes: usize, limit: usize, bytes: usize) -> Panels {
    let vectors = 1 + runs.offsets.len() * runs.len;
    Panels::new(runs.n, lanes, limit, vectors * lanes * bytes)
}

/// Packs a float convolution for [`float_panels`].
pub fn pack_floats(panels: Panels, runs: &Runs, raw: &RawF32<'_>) -> Aligned {
    pack_values(panels, runs, raw, f32::to_ne_bytes)
}

/// Packs a float convolution for [`half_panels`].
pub fn pack_halves(panels: Panels, runs: &Runs, raw: &RawF32<'_>) -> Aligned {
    pack_values(panels, runs, raw, |x| of_f32(x).to_ne_bytes())
}

fn pack_values<const N: usize>(
    panels: Panels,
    runs: &Runs,
    raw: &RawF32<'_>,
    of: impl Fn(f32) -> [u8; N],
) -> Aligned {
    let mut packed = Aligned::zeroed(panels.total_bytes());
    let bytes = packed.bytes_mut();
    let per = runs.offsets.len() * runs.len;
    for panel in panels.within(0..runs.n) {
        let row_bytes = panel.vectors * panels.lanes * N;
        let channels = panel.first..panel.first + panel.channels;
        let (biases, rest) = bytes[panel.offset..].split_at_mut(row_bytes);
        for (to, &bias) in biases.chunks_exact_mut(N).zip(&raw.bias[channels]) {
            to.copy_from_slice(&of(bias));
        }
        let w = &raw.w[panel.first * per..];
        for (k, to) in rest.chunks_exact_mut(row_bytes).take(per).enumerate() {
            for (i, to) in to.chunks_exact_mut(N).take(panel.channels).enumerate() {
                to.copy_from_slice(&of(w[i * per + k]));
            }
        }
    }
    packed
}

/// Weights of a float convolution: owned, or packed by a step in every run.
#[derive(Debug)]
pub enum Packed {
    /// Owned.
    Own(Aligned),
    /// In a thread's scratch memory.
    Lent(AtomicPtr<u8>),
}

impl Packed {
    /// The first byte.
    pub fn as_ptr(&self) -> *const u8 {
        match self {
            Self::Own(own) => own.as_ptr(),
            Self::Lent(at) => at.load(Ordering::Relaxed),
        }
    }
    /// Sets where borrowed weights are. Has no effect on owned ones.
    pub fn lend(&self, memory: *mut u8) {
        if let Self::Lent(at) = self {
            at.store(memory, Ordering::Relaxed);
        }
    }
}

/// A matrix in memory: the right operand of a product.
#[derive(Debug, Clone, Copy)]
pub struct Matrix {
    /// Its first value.
    pub values: *const f32,
    /// Values from one row to the next.
    pub row: usize,
    /// Values from one column to the next.
    pub column: usize,
    /// Factor on every value.
    pub factor: f32,
}

/// Packs a matrix for [`float_panels`] as the weights of a convolution without bias: a row per value of its one run, a column per
/// output channel.
///
/// # Safety
/// The matrix's pointer and strides are valid for its size.
pub unsafe fn pack_matrix(panels: Panels, runs: &Runs, matrix: &Matrix, packed: &mut [f32]) {
    /// Rows read before moving to the next column.
    const ROWS: usize = 16;
    let &Matrix {
        values,
        row,
        column,
        factor,
    } = matrix;
    for panel in panels.within(0..runs.n) {
        let width = panel.vectors * panels.lanes;
        let to = &mut packed[panel.offset / 4..][..width * (1 + runs.len)];
        let (biases, to) = to.split_at_mut(width);
        biases.fill(0.0);
        // SAFETY: column `panel.first` is one of the matrix.
        let from = unsafe { values.add(panel.first * column) };
        if column == 1 {
            for (k, to) in to.chunks_exact_mut(width).enumerate() {
                // SAFETY: row `k` holds these channels.
                let from = unsafe { std::slice::from_raw_parts(from.add(k * row), panel.channels) };
                for (to, &from) in to.iter_mut().zip(from) {
                    *to = from * factor;
                }
                to[panel.channels..].fill(0.0);
            }
            continue;
        }
        for (block, to) in to.chunks_mut(width * ROWS).enumerate() {
            for channel in 0..width {
                for (k, to) in to.chunks_exact_mut(width).enumerate() {
                    to[channel] = if channel < panel.channels {
                        let place = (block * ROWS + k) * row + channel * column;
                        // SAFETY: that value is one of the matrix.
                        factor * unsafe { *from.add(place) }
                    } else {
                        0.0
                    };
                }
            }
        }
    }
}

/// Packs a float depthwise convolution: blocks of `lanes` channels, each with its biases, then the block's weights for each kernel row
/// and column.
pub fn pack_depthwise_floats(row: &DepthwiseRow, raw: &RawF32<'_>, lanes: usize) -> Aligned {
    pack_depthwise_values(row, raw, lanes, f32::to_ne_bytes)
}

/// The same for values of half precision.
pub fn pack_depthwise_halves(row: &DepthwiseRow, raw: &RawF32<'_>, lanes: usize) -> Aligned {
    pack_depthwise_values(row, raw, lanes, |x| of_f32(x).to_ne_bytes())
}

fn pack_depthwise_values<const N: usize>(
    row: &DepthwiseRow,
    raw: &RawF32<'_>,
    lanes: usize,
    of: impl Fn(f32) -> [u8; N],
) -> Aligned {
    let per = row.kh * row.kw;
    let mut packed = Aligned::zeroed(row.c.div_ceil(lanes) * (1 + per) * lanes * N);
    let bytes = packed.bytes_mut();
    for c in 0..row.c {
        let at = (c / lanes * (1 + per) * lanes + c % lanes) * N;
        bytes[at..at + N].copy_from_slice(&of(raw.bias[c]));
        for k in 0..per {
            let at = at + (1 + k) * lanes * N;
            bytes[at..at + N].copy_from_slice(&of(raw.w[c * per + k]));
        }
    }
    packed
}

/// Divides `count` pixels into nearly equal tiles of at most `most`: `(first, size)` of each.
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
pub fn tiles(count: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = count.div_ceil(most).max(1);
    // The first tiles take the remaining pixels. One division only: this runs in inner loops.
    let (size, longer) = (count / tiles, count % tiles);
    (0..tiles).map(move |i| (i * size + i.min(longer), size + usize::from(i < longer)))
}

/// Divides pixels into nearly equal tiles of at most `most` and calls `run(pixels, size, count)` for `count` tiles of `size` pixels
/// (`pixels.count` does not apply). `at` is the byte within a pixel's output where the panel's output begins.
///
/// # Safety
/// The pixels satisfy the kernel contract for their geometry.
#[cfg(target_arch = "x86_64")]
pub unsafe fn even_tiles(
    p: &Pixels,
    at: usize,
    most: usize,
    mut run: impl FnMut(&Pixels, usize, usize),
) {
    let all = p.count.div_ceil(most).max(1);
    let (size, longer) = (p.count / all, p.count % all);
    let mut tiles = |first: usize, size: usize, count: usize| {
        if size * count > 0 {
            // SAFETY: pixel `first` is one of the caller's.
            let (x, y) = unsafe { (p.x.add(first * p.x_pitch), p.y.add(first * p.y_pitch + at)) };
            run(&Pixels { x, y, ..*p }, size, count);
        }
    };
    tiles(0, size + 1, longer);
    tiles(longer * (size + 1), size, all - longer);
}

/// Divides pixels into full tiles of `most` and a last one with the rest, and calls `run(pixels, size, count)` for `count` tiles of
/// `size` pixels (`pixels.count` does not apply). `at` is the byte within a pixel's output where the panel's output begins.
///
/// # Safety
/// The pixels satisfy the kernel contract for their geometry.
#[cfg(target_arch = "aarch64")]
pub unsafe fn whole_tiles(
    p: &Pixels,
    at: usize,
    most: usize,
    mut run: impl FnMut(&Pixels, usize, usize),
) {
    let (full, rest) = (p.count / most, p.count % most);
    let mut tiles = |first: usize, size: usize, count: usize| {
        if size * count > 0 {
            // SAFETY: pixel `first` is one of the caller's.
            let (x, y) = unsafe { (p.x.add(first * p.x_pitch), p.y.add(first * p.y_pitch + at)) };
            run(&Pixels { x, y, ..*p }, size, count);
        }
    };
    tiles(0, most, full);
    tiles(full * most, rest, 1);
}
