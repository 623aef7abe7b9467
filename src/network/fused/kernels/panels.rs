//! How a convolution's output channels are cut into panels, and its pixels into tiles, and how float weights are packed for
//! them: shared by the vector kernels.

use super::{Aligned, DepthwiseRow, RawF32, Runs};

/// A panel: `first` output channel, `vectors` of `lanes` channels each, and where its packed bytes begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panel {
    /// First output channel.
    pub first: usize,
    /// Vectors of output channels.
    pub vectors: usize,
    /// Channels that exist (the last vector may be partly empty).
    pub channels: usize,
    /// Offset of its packed bytes.
    pub offset: usize,
}

/// The cut of `n` output channels: all panels but the last have the same width.
#[derive(Debug, Clone, Copy)]
pub struct Panels {
    n: usize,
    lanes: usize,
    widest: usize,
    /// Packed bytes of each vector of channels.
    bytes: usize,
}

impl Panels {
    /// `lanes` channels a vector, at most `limit` vectors a panel, `bytes` packed bytes a vector. The width that leaves the
    /// last panel fullest.
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

    /// Channels of a full panel.
    pub fn group(&self) -> usize {
        self.widest * self.lanes
    }

    /// Packed bytes of all.
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

/// Panels of float convolutions: biases, then for each value of the runs a vector of weights, `lanes` channels a vector.
pub fn float_panels(runs: &Runs, lanes: usize, limit: usize) -> Panels {
    let vectors = 1 + runs.offsets.len() * runs.len;
    Panels::new(runs.n, lanes, limit, vectors * lanes * 4)
}

/// Packs a float convolution for [`float_panels`].
pub fn pack_floats(panels: Panels, runs: &Runs, raw: &RawF32<'_>) -> Aligned {
    let mut packed = Aligned::zeroed(panels.total_bytes());
    let bytes = packed.bytes_mut();
    let per = runs.offsets.len() * runs.len;
    for panel in panels.within(0..runs.n) {
        let row_bytes = panel.vectors * panels.lanes * 4;
        let channels = panel.first..panel.first + panel.channels;
        let (biases, rest) = bytes[panel.offset..].split_at_mut(row_bytes);
        for (to, bias) in biases.chunks_exact_mut(4).zip(&raw.bias[channels]) {
            to.copy_from_slice(&bias.to_ne_bytes());
        }
        let w = &raw.w[panel.first * per..];
        for (k, to) in rest.chunks_exact_mut(row_bytes).take(per).enumerate() {
            for (i, to) in to.chunks_exact_mut(4).take(panel.channels).enumerate() {
                to.copy_from_slice(&w[i * per + k].to_ne_bytes());
            }
        }
    }
    packed
}

/// Packs a float depthwise convolution: blocks of `lanes` channels, each its biases, then for each kernel row and column the
/// block's weights.
pub fn pack_depthwise_floats(row: &DepthwiseRow, raw: &RawF32<'_>, lanes: usize) -> Aligned {
    let per = row.kh * row.kw;
    let mut packed = Aligned::zeroed(row.c.div_ceil(lanes) * (1 + per) * lanes * 4);
    let bytes = packed.bytes_mut();
    for c in 0..row.c {
        let at = (c / lanes * (1 + per) * lanes + c % lanes) * 4;
        bytes[at..at + 4].copy_from_slice(&raw.bias[c].to_ne_bytes());
        for k in 0..per {
            let at = at + (1 + k) * lanes * 4;
            bytes[at..at + 4].copy_from_slice(&raw.w[c * per + k].to_ne_bytes());
        }
    }
    packed
}

/// Cuts `count` pixels into nearly equal tiles of at most `most`: `(first, size)` of each.
#[cfg(target_arch = "x86_64")]
pub fn tiles(count: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = count.div_ceil(most).max(1);
    (0..tiles).map(move |i| {
        let at = |i: usize| i * count / tiles;
        (at(i), at(i + 1) - at(i))
    })
}
