//! How a convolution's output channels are cut into panels, and its pixels into tiles: shared by the vector kernels.

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

/// Cuts `count` pixels into nearly equal tiles of at most `most`: `(first, size)` of each.
#[cfg(target_arch = "x86_64")]
pub fn tiles(count: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = count.div_ceil(most).max(1);
    (0..tiles).map(move |i| {
        let at = |i: usize| i * count / tiles;
        (at(i), at(i + 1) - at(i))
    })
}
