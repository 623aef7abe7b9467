//! Int8 convolution with NEON, without dot products.
//!
//! A tile of 4 pixels by 16 output channels (or 8 by 8) stays in registers as 32-bit sums. A step is eight values of a run:
//! `ld4r` loads four pairs of a pixel's bytes, each pair repeated over a vector, and each is multiplied by vectors of weights
//! that hold the same pair for 8 channels. Products are added in 16 bits as long as they cannot overflow, then `sadalp` adds the
//! two of a pair to the 32-bit sums. (The pairing is XNNPACK's "c2" idea.)
//!
//! How many products fit in 16 bits depends on the weights, which are known when packing: a chain of four if their magnitudes add
//! up to at most 255 (a byte's magnitude is at most 128), of two, or of one. Each step of a panel uses the longest chain that is
//! safe for all of its channels: the sums are exact whatever the activations.

use super::neon_end::{ANY, Ending, FULL, UPPER};
use super::{neon_end, neon_q8_steps};
use crate::network::kernels::panels::{Panel, Panels, whole_tiles};
use crate::network::kernels::{Aligned, ConvQ8, Pixels, RawQ8, Runs};
use std::arch::aarch64::*;
use std::ops::Range;

/// Vectors of 8 channels in the widest panel.
const WIDEST: usize = 2;

/// Full steps of 8 values in a run, and the number of pairs after them.
fn steps(runs: &Runs) -> (usize, usize) {
    (runs.len / 8, (runs.len % 8).div_ceil(2))
}

/// A panel is, for each vector of 8 channels: biases (32 bytes), multipliers (32), a chain length per full step (one byte),
/// weights (16 bytes per pair of values). The biases of all vectors come first, and so on.
struct Layout {
    panels: Panels,
    /// Bytes of chain lengths, per vector.
    chains: usize,
}

fn layout(runs: &Runs) -> Layout {
    let (full, pairs) = steps(runs);
    let count = runs.offsets.len();
    let chains = (count * full).next_multiple_of(16);
    let weights = count * (full * 4 + pairs) * 16;
    Layout {
        panels: Panels::new(runs.n, 8, WIDEST, 64 + chains + weights),
        chains,
    }
}

/// A range of channels must begin at a multiple of this.
pub(super) fn channel_group(n: usize) -> usize {
    Panels::new(n, 8, WIDEST, 0).group()
}

/// Packs a convolution.
pub(super) fn pack(runs: &Runs, raw: &RawQ8<'_>) -> Aligned {
    let layout = layout(runs);
    let mut packed = Aligned::zeroed(layout.panels.total_bytes());
    let bytes = packed.bytes_mut();
    let (full, pairs) = steps(runs);
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
        let chains = panel.offset + v * 64;
        for run in 0..count {
            for step in 0..full {
                let channels = 0..panel.channels;
                let longest = channels.map(|i| chain(|k| weight(i, run, step * 8 + k)));
                bytes[chains + run * full + step] = longest.min().unwrap_or(1);
            }
        }
        let weights = chains + v * layout.chains;
        for i in 0..v * 8 {
            for run in 0..count {
                for k in 0..(full * 4 + pairs) * 2 {
                    let pair = run * (full * 4 + pairs) + k / 2;
                    let at = weights + (pair * v + i / 8) * 16 + i % 8 * 2 + k % 2;
                    bytes[at] = weight(i, run, k) as u8;
                }
            }
        }
    }
    packed
}

/// How many products of a step's even weights (and of its odd ones) can be added in 16 bits.
fn chain(weight: impl Fn(usize) -> i8) -> u8 {
    let fits = |taps: &[usize]| {
        let sum: u32 = taps
            .iter()
            .map(|&k| u32::from(weight(k).unsigned_abs()))
            .sum();
        sum <= 255
    };
    let all = |sets: &[&[usize]]| sets.iter().all(|s| fits(s));
    if all(&[&[0, 2, 4, 6], &[1, 3, 5, 7]]) {
        4
    } else if all(&[&[0, 2], &[4, 6], &[1, 3], &[5, 7]]) {
        2
    } else {
        1
    }
}

/// # Safety
/// The contract of `Kernels`.
pub(super) unsafe fn conv(conv: &ConvQ8, p: &Pixels, channels: Range<usize>) {
    let layout = layout(&conv.runs);
    for panel in layout.panels.within(channels) {
        let most = if panel.vectors == 1 { 8 } else { 4 };
        // SAFETY: contract (reads, writes), tile by tile.
        unsafe {
            whole_tiles(p, panel.first, most, |pixels, size, count| {
                run_tiles(conv, &layout, &panel, pixels, size, count);
            });
        }
    }
}

/// # Safety
/// `count` times `size` pixels as the geometry says.
unsafe fn run_tiles(
    conv: &ConvQ8,
    layout: &Layout,
    panel: &Panel,
    p: &Pixels,
    size: usize,
    count: usize,
) {
    macro_rules! by_size {
        ($($vectors:literal: $($size:literal)*;)*) => {
            match (panel.vectors, size) {
                // SAFETY: the caller's contract is the same, with `size` pixels per tile; every aarch64 CPU has NEON.
                $($(($vectors, $size) => unsafe {
                    tiles::<$size, $vectors>(conv, layout, panel, p, count)
                },)*)*
                _ => {}
            }
        };
    }
    by_size! {
        1: 1 2 3 4 5 6 7 8;
        2: 1 2 3 4;
    }
}

/// The products of two vectors' lower halves and of their upper halves, added to `sum` or (first) on their own.
macro_rules! products {
    ($w:expr, $x:expr) => {
        (
            vmull_s8(vget_low_s8($w), vget_low_s8($x)),
            vmull_high_s8($w, $x),
        )
    };
    ($sum:expr, $w:expr, $x:expr) => {
        (
            vmlal_s8($sum.0, vget_low_s8($w), vget_low_s8($x)),
            vmlal_high_s8($sum.1, $w, $x),
        )
    };
}

/// # Safety
/// `count` times MR pixels as the geometry says.
#[target_feature(enable = "neon")]
unsafe fn tiles<const MR: usize, const NV: usize>(
    conv: &ConvQ8,
    layout: &Layout,
    panel: &Panel,
    p: &Pixels,
    count: usize,
) {
    // SAFETY: contract (reads, writes) of `count` times MR pixels; the packed panel is as `Layout` says.
    unsafe {
        let head = conv.packed.as_ptr().add(panel.offset);
        let end = Ending::new(&conv.end);
        let (full, pairs) = steps(&conv.runs);
        for tile in 0..count {
            let mut sums = [[(vdupq_n_s32(0), vdupq_n_s32(0)); NV]; MR];
            for v in 0..NV {
                let bias = vld1q_s32_x2(head.add(v * 32).cast());
                for sums in &mut sums {
                    sums[v] = (bias.0, bias.1);
                }
            }
            let mut chains = head.add(NV * 64);
            let mut w = chains.add(NV * layout.chains).cast::<i8>();
            let tile_x = p.x.add(tile * MR * p.x_pitch);
            for &offset in &conv.runs.offsets {
                let mut x = tile_x.add(offset);
                let mut left = full;
                if MR == 4 && NV == 2 && full > 0 {
                    let mut all: [neon_q8_steps::Sums; 4] =
                        std::array::from_fn(|m| pair_to_four(&sums[m % MR]));
                    let x = std::array::from_fn(|m| x.add(m * p.x_pitch));
                    neon_q8_steps::four_pixels(&mut all, x, w, chains, full);
                    for (sums, all) in sums.iter_mut().zip(&all) {
                        sums[0] = (all[0], all[1]);
                        sums[NV - 1] = (all[2], all[3]);
                    }
                    left = 0;
                    chains = chains.add(full);
                    w = w.add(full * NV * 64);
                }
                x = x.add((full - left) * 8);
                for _ in 0..left {
                    let mut weights = [[vdupq_n_s8(0); NV]; 4];
                    if NV == 2 {
                        for (half, weights) in weights.chunks_exact_mut(2).enumerate() {
                            let l = vld1q_s8_x4(w.add(half * 64));
                            weights[0][0] = l.0;
                            weights[0][NV - 1] = l.1;
                            weights[1][0] = l.2;
                            weights[1][NV - 1] = l.3;
                        }
                    } else {
                        let l = vld1q_s8_x4(w);
                        weights[0][0] = l.0;
                        weights[1][0] = l.1;
                        weights[2][0] = l.2;
                        weights[3][0] = l.3;
                    }
                    macro_rules! pixels {
                        (|$sum:ident, $k:ident, $x:ident| $body:block) => {
                            for (m, sums) in sums.iter_mut().enumerate() {
                                let l = vld4q_dup_s16(x.add(m * p.x_pitch).cast());
                                let $x = [
                                    vreinterpretq_s8_s16(l.0),
                                    vreinterpretq_s8_s16(l.1),
                                    vreinterpretq_s8_s16(l.2),
                                    vreinterpretq_s8_s16(l.3),
                                ];
                                for (v, $sum) in sums.iter_mut().enumerate() {
                                    let $k = [
                                        weights[0][v],
                                        weights[1][v],
                                        weights[2][v],
                                        weights[3][v],
                                    ];
                                    $body
                                }
                            }
                        };
                    }
                    match *chains {
                        4 => pixels!(|sum, k, x| {
                            let t = products!(k[0], x[0]);
                            let t = products!(t, k[1], x[1]);
                            let t = products!(t, k[2], x[2]);
                            let t = products!(t, k[3], x[3]);
                            *sum = (vpadalq_s16(sum.0, t.0), vpadalq_s16(sum.1, t.1));
                        }),
                        2 => pixels!(|sum, k, x| {
                            let t = products!(k[0], x[0]);
                            let t = products!(t, k[1], x[1]);
                            *sum = (vpadalq_s16(sum.0, t.0), vpadalq_s16(sum.1, t.1));
                            let t = products!(k[2], x[2]);
                            let t = products!(t, k[3], x[3]);
                            *sum = (vpadalq_s16(sum.0, t.0), vpadalq_s16(sum.1, t.1));
                        }),
                        _ => pixels!(|sum, k, x| {
                            for i in 0..4 {
                                let t = products!(k[i], x[i]);
                                *sum = (vpadalq_s16(sum.0, t.0), vpadalq_s16(sum.1, t.1));
                            }
                        }),
                    }
                    chains = chains.add(1);
                    x = x.add(8);
                    w = w.add(NV * 64);
                }
                for _ in 0..pairs {
                    for (m, sums) in sums.iter_mut().enumerate() {
                        let pair = x.add(m * p.x_pitch).cast::<i16>().read_unaligned();
                        let pair = vreinterpretq_s8_s16(vdupq_n_s16(pair));
                        for (v, sum) in sums.iter_mut().enumerate() {
                            let t = products!(vld1q_s8(w.add(v * 16)), pair);
                            *sum = (vpadalq_s16(sum.0, t.0), vpadalq_s16(sum.1, t.1));
                        }
                    }
                    x = x.add(2);
                    w = w.add(NV * 16);
                }
            }
            let p = Pixels {
                y: p.y.add(tile * MR * p.y_pitch),
                ..*p
            };
            match end.mode {
                FULL => finish::<MR, NV, FULL>(&end, &sums, head, panel.channels, &p),
                UPPER => finish::<MR, NV, UPPER>(&end, &sums, head, panel.channels, &p),
                _ => finish::<MR, NV, ANY>(&end, &sums, head, panel.channels, &p),
            }
        }
    }
}

/// The 16 sums of a pixel.
#[inline]
#[target_feature(enable = "neon")]
fn pair_to_four<const NV: usize>(sums: &[(int32x4_t, int32x4_t); NV]) -> neon_q8_steps::Sums {
    let (a, b) = (sums[0], sums[NV - 1]);
    [a.0, a.1, b.0, b.1]
}

/// # Safety
/// MR pixels as the geometry says; `head` is the panel.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn finish<const MR: usize, const NV: usize, const MODE: u8>(
    end: &Ending,
    sums: &[[(int32x4_t, int32x4_t); NV]; MR],
    head: *const u8,
    channels: usize,
    p: &Pixels,
) {
    // SAFETY: as in `tiles`.
    unsafe {
        let m = vld1q_f32_x2(head.add(NV * 32).cast());
        if NV == 2 {
            let n = vld1q_f32_x2(head.add(NV * 32 + 32).cast());
            for (i, sums) in sums.iter().enumerate() {
                let (a, b) = (sums[0], sums[NV - 1]);
                let bytes = end.bytes::<MODE>([a.0, a.1, b.0, b.1], [m.0, m.1, n.0, n.1]);
                neon_end::store(p.y.add(i * p.y_pitch), bytes, channels);
            }
        } else {
            for (i, two) in sums.chunks(2).enumerate() {
                let (a, b) = (two[0][0], two[two.len() - 1][0]);
                let bytes = end.bytes::<MODE>([a.0, a.1, b.0, b.1], [m.0, m.1, m.0, m.1]);
                let y = p.y.add(2 * i * p.y_pitch);
                neon_end::store(y, bytes, channels);
                if two.len() == 2 {
                    neon_end::store(y.add(p.y_pitch), vextq_s8::<8>(bytes, bytes), channels);
                }
            }
        }
    }
}
