//! Int8 convolution with NEON, without dot products.
//!
//! A tile of 4 pixels by 16 output channels (or 4 by 8) stays in registers as 32-bit sums. Values come in pairs: a pair of a pixel's
//! bytes, repeated over a vector, is multiplied by vectors of weights that hold the same pair for 8 channels. Products are added in
//! 16 bits as long as they cannot overflow, then `sadalp` adds the two of a pair to the 32-bit sums. (The pairing is XNNPACK's "c2"
//! idea.)
//!
//! How many products fit in 16 bits depends on the weights, which are known when packing: a chain of four if their magnitudes add
//! up to at most 255 (a byte's magnitude is at most 128), of two, or of one. Each step of a panel uses the longest chain that is
//! safe for all of its channels: the sums are exact whatever the activations.

use super::neon_q8_tiles;
use super::neon_q8_tiles::{AHEAD, DOUBLE, Limits, PIXELS, QUAD, SINGLE, Tiles};
use crate::network::kernels::panels::{Panel, Panels};
use crate::network::kernels::{Aligned, ConvQ8, Pixels, RawQ8, Runs};
use std::ops::Range;

/// Vectors of 8 channels in the widest panel.
const WIDEST: usize = 2;

/// A panel is, for each vector of 8 channels: biases (32 bytes), multipliers (32), kinds of steps, weights (16 bytes per pair of
/// values). The biases of all vectors come first, and so on.
struct Layout {
    panels: Panels,
    /// Bytes of kinds of steps, per vector.
    kinds: usize,
}

fn layout(runs: &Runs) -> Layout {
    let pairs = runs.len.div_ceil(2);
    let count = runs.offsets.len();
    // Room for a panel of one vector whose steps are all the shortest.
    let kinds = (count * (pairs + 1)).next_multiple_of(16);
    Layout {
        panels: Panels::new(runs.n, 8, WIDEST, 64 + kinds + count * pairs * 16),
        kinds,
    }
}

/// A range of channels must begin at a multiple of this.
pub(super) fn channel_group(n: usize) -> usize {
    Panels::new(n, 8, WIDEST, 0).group()
}

/// Packs a convolution.
pub(super) fn pack(runs: &Runs, raw: &RawQ8<'_>) -> Aligned {
    let layout = layout(runs);
    let mut packed = Aligned::zeroed(layout.panels.total_bytes() + AHEAD);
    let bytes = packed.bytes_mut();
    let pairs = runs.len.div_ceil(2);
    let count = runs.offsets.len();
    for panel in layout.panels.within(0..runs.n) {
        let v = panel.vectors;
        let weight = |i: usize, run: usize, k: usize| {
            let n = panel.first + i;
            if i < panel.channels && k < runs.len {
                raw.w[(n * count + run) * runs.len + k]
            } else {
                0
            }
        };
        for i in 0..panel.channels {
            let at = panel.offset + i * 4;
            bytes[at..at + 4].copy_from_slice(&raw.bias[panel.first + i].to_ne_bytes());
            let at = at + v * 32;
            bytes[at..at + 4].copy_from_slice(&raw.multiplier[panel.first + i].to_ne_bytes());
        }
        let mut kinds = panel.offset + v * 64;
        let weights = kinds + v * layout.kinds;
        for run in 0..count {
            let mut k = 0;
            while k < runs.len {
                let fits = |chain| {
                    (0..panel.channels).all(|i| fits(chain, |place| weight(i, run, k + place)))
                };
                let left = runs.len - k;
                let kind = if left >= 7 && fits(4) {
                    QUAD
                } else if left >= 3 && fits(2) {
                    DOUBLE
                } else {
                    SINGLE
                };
                bytes[kinds] = kind;
                kinds += 1;
                k += usize::from(kind) * 2;
            }
            kinds += 1;
        }
        for i in 0..v * 8 {
            for run in 0..count {
                for k in 0..pairs * 2 {
                    let pair = run * pairs + k / 2;
                    let at = weights + (pair * v + i / 8) * 16 + i % 8 * 2 + k % 2;
                    bytes[at] = weight(i, run, k) as u8;
                }
            }
        }
    }
    packed
}

/// Whether the products of the first `chain` even weights, and of the odd ones, can be added in 16 bits.
fn fits(chain: usize, weight: impl Fn(usize) -> i8) -> bool {
    [0, 1].iter().all(|odd| {
        let magnitudes = (0..chain).map(|pair| weight(pair * 2 + odd).unsigned_abs());
        magnitudes.map(u32::from).sum::<u32>() <= 255
    })
}

/// # Safety
/// The contract of `Kernels`.
pub(super) unsafe fn conv(conv: &ConvQ8, p: &Pixels, channels: Range<usize>) {
    let layout = layout(&conv.runs);
    let limits = Limits::new(&conv.end);
    let rest = p.count % PIXELS;
    for panel in layout.panels.within(channels) {
        // Full tiles, then one with the rest. In one place, so that the call below is in line.
        for (first, size, count) in [
            (0, PIXELS, p.count / PIXELS),
            (p.count - rest, rest, usize::from(rest > 0)),
        ] {
            // Panels of one vector have tiles of one pixel instead of two or three.
            let (size, count) = match panel.vectors {
                1 if size < PIXELS => (1, size * count),
                _ => (size, count),
            };
            if count == 0 {
                continue;
            }
            // SAFETY: contract (reads, writes): these pixels are some of the caller's.
            unsafe {
                let x = p.x.add(first * p.x_pitch);
                let y = p.y.add(first * p.y_pitch + panel.first);
                let pixels = Pixels { x, y, count, ..*p };
                run_tiles(conv, &layout, &panel, &limits, &pixels, size);
            }
        }
    }
}

/// Computes `p.count` tiles of `size` pixels.
///
/// # Safety
/// The contract of `Kernels` for these pixels.
#[inline(always)]
unsafe fn run_tiles(
    conv: &ConvQ8,
    layout: &Layout,
    panel: &Panel,
    limits: &Limits,
    p: &Pixels,
    size: usize,
) {
    let vectors = panel.vectors;
    let channels = vectors * 8;
    // SAFETY: contract (reads, writes) of these pixels; the packed panel is as `Layout` says.
    unsafe {
        let head = conv.packed.as_ptr().add(panel.offset);
        let kinds = head.add(vectors * 64);
        let mut tiles = Tiles {
            x: p.x,
            x_pitch: p.x_pitch,
            y: p.y,
            y_pitch: p.y_pitch,
            panel: head,
            weights: kinds.add(vectors * layout.kinds),
            count: p.count,
            kinds,
            runs: conv.runs.offsets.len(),
            offsets: conv.runs.offsets.as_ptr(),
            limits,
            tile_pitch: size * p.x_pitch,
        };
        // If the last vector is not full: tile by tile through memory of our own.
        let full = panel.channels == channels;
        let mut bytes = [0; PIXELS * WIDEST * 8];
        if !full {
            (tiles.y, tiles.y_pitch, tiles.count) = (bytes.as_mut_ptr(), channels, 1);
        }
        for tile in 0..if full { 1 } else { p.count } {
            neon_q8_tiles::run(&tiles, limits, size, vectors);
            if full {
                continue;
            }
            for (i, bytes) in bytes.chunks_exact(channels).take(size).enumerate() {
                let y = p.y.add((tile * size + i) * p.y_pitch);
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), y, panel.channels);
            }
            // After the last tile it may be past the memory.
            tiles.x = tiles.x.wrapping_add(tiles.tile_pitch);
        }
    }
}
