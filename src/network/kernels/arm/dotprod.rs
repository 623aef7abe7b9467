//! Int8 convolutions with NEON dot products (`sdot`, on Cortex-A55, A76 and later: adds four i8 products to each 32-bit lane).
//!
//! Convolution: a tile of MR pixels by NV vectors of 4 output channels stays in registers (4x4 sums of the 32 registers: that keeps
//! the pipes busy with products, and leaves registers for the end, see [`super::dotprod_end`]). 16 values of each pixel are loaded at
//! once; four of them at a time, selected by lane, are multiplied by NV vectors of weights.
//!
//! Stable Rust has no intrinsics for these instructions, so each is a single line of inline assembly; the compiler does the rest.

use super::dotprod_end::{Channels, End, POSITIVE, Ways, for_way};
use super::neon::{ByteLoops, Neon};
use super::neon_end::{fresh, store_vectors};
use super::{dotprod_depthwise, neon_end};
use crate::network::kernels::panels::{Panels, byte_panels, pack_bytes, whole_tiles};
use crate::network::kernels::{Aligned, ConvQ8, DepthwiseQ8, DepthwiseRow, Pixels, RawQ8, Runs};
use std::arch::aarch64::*;
use std::arch::asm;
use std::ops::Range;

/// The int8 convolutions. Only [`DotProduct::detect`] hands one out, so a value of this type proves that the CPU has dot
/// products.
#[derive(Debug)]
pub struct DotProduct(());

impl DotProduct {
    /// `None` if this CPU lacks the instructions.
    pub fn detect() -> Option<&'static Neon<Self>> {
        static KERNELS: Neon<DotProduct> = Neon::new(DotProduct(()));
        std::arch::is_aarch64_feature_detected!("dotprod").then_some(&KERNELS)
    }
}

/// Vectors of 4 channels in the widest panel.
const WIDEST: usize = 4;
/// Pixels of a tile.
const PIXELS: usize = 4;

fn panels(runs: &Runs) -> Panels {
    byte_panels(runs, 4, WIDEST, 4).widened(WIDEST)
}

impl ByteLoops for DotProduct {
    const NAME: &'static str = "neon-dotprod";

    fn channel_group(n: usize) -> usize {
        Panels::new(n, 4, WIDEST, 0).widened(WIDEST).group()
    }

    fn pack_conv(runs: &Runs, raw: &RawQ8<'_>) -> Aligned {
        pack(runs, raw)
    }

    unsafe fn conv(conv: &ConvQ8, p: &Pixels, channels: Range<usize>) {
        // SAFETY: the caller's contract is the same, which includes the instructions.
        unsafe {
            let ways = conv.packed.as_ptr().add(panels(&conv.runs).total_bytes());
            for_way!(Ways::read(ways, &conv.end), WAY => run_panels::<WAY>(conv, p, channels));
        }
    }

    fn pack_depthwise(row: &DepthwiseRow, raw: &RawQ8<'_>) -> Aligned {
        dotprod_depthwise::pack(row, raw)
    }

    unsafe fn depthwise(
        conv: &DepthwiseQ8,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
    ) {
        // SAFETY: the caller's contract is the same, which includes the instructions.
        unsafe { dotprod_depthwise::run(conv, rows, y, channels) }
    }
}

/// Packs panels; behind them come the ways to end, and for each panel in turn its [`Channels`]: shifted biases, multipliers, shifts.
fn pack(runs: &Runs, raw: &RawQ8<'_>) -> Aligned {
    let panels = panels(runs);
    let mut packed = pack_bytes(panels, runs, raw, 4, |_, place| place);
    let whole = panels.total_bytes();
    let mut all = Aligned::zeroed(whole + Ways::BYTES + runs.n.next_multiple_of(4) * 12);
    let bytes = all.bytes_mut();
    bytes[..whole].copy_from_slice(&packed.bytes_mut()[..whole]);
    let channels = Channels::pack(raw, &mut bytes[whole..]);
    for panel in panels.within(0..runs.n) {
        let to = &mut bytes[whole + Ways::BYTES + panel.first * 12..];
        for i in 0..panel.channels {
            for (part, of) in channels.of(panel.first + i).iter().enumerate() {
                to[(part * panel.vectors * 4 + i) * 4..][..4].copy_from_slice(of);
            }
        }
    }
    all
}

/// # Safety
/// The CPU has dot products; the contract of `Kernels`.
unsafe fn run_panels<const WAY: u8>(conv: &ConvQ8, p: &Pixels, channels: Range<usize>) {
    let runs = &conv.runs;
    let panels = panels(runs);
    let channels = channels.start..channels.end.min(runs.n);
    let wide = channels.start + channels.len() / panels.group() * panels.group();
    // SAFETY: every aarch64 CPU has NEON.
    let end = unsafe { End::new::<WAY>(&conv.end) };
    for of in [channels.start..wide, wide..channels.end] {
        let Some(first) = panels.within(of.clone()).next() else {
            continue;
        };
        // SAFETY: contract (reads, writes), tile by tile, which includes the instructions; the packed bytes are as `pack` says.
        unsafe {
            let packed = conv.packed.as_ptr();
            let strip = Strip {
                conv,
                end: &end,
                panels: of.len().div_ceil(first.vectors * 4),
                channels: first.channels,
                packed: packed.add(first.offset),
                shifted: packed.add(panels.total_bytes() + Ways::BYTES + first.first * 12),
            };
            let all = first.channels == first.vectors * 4;
            let most = if all { PIXELS } else { PIXELS / 2 };
            whole_tiles(p, first.first, most, |pixels, size, count| {
                let size = (first.vectors, size);
                if !all {
                    run_tiles::<WAY, PART>(&strip, pixels, size, count);
                } else if runs.offsets.len() == 1 && runs.len >= 16 {
                    run_tiles::<WAY, ONE>(&strip, pixels, size, count);
                } else {
                    run_tiles::<WAY, MANY>(&strip, pixels, size, count);
                }
            });
        }
    }
}

/// One run of at least 16 values; the panels are full.
const ONE: u8 = 0;
/// Any runs; the panels are full.
const MANY: u8 = 1;
/// Any runs; the panel's last vector has fewer than 4 channels.
const PART: u8 = 2;

/// Neighbouring panels of the same width.
struct Strip<'a> {
    conv: &'a ConvQ8,
    end: &'a End,
    /// How many.
    panels: usize,
    /// Channels of each.
    channels: usize,
    /// Of each panel in turn biases, multipliers, weights.
    packed: *const u8,
    /// Of each panel in turn shifted biases, multipliers, shifts.
    shifted: *const u8,
}

/// # Safety
/// The CPU has dot products; `count` times as many pixels as the geometry says.
unsafe fn run_tiles<const WAY: u8, const KIND: u8>(
    strip: &Strip<'_>,
    p: &Pixels,
    (vectors, pixels): (usize, usize),
    count: usize,
) {
    macro_rules! by_size {
        ($($vectors:literal: $($size:literal)*;)*) => {
            match (vectors, pixels) {
                // SAFETY: the caller's contract is the same, with `size` pixels per tile.
                $($(($vectors, $size) => unsafe { tiles::<$size, $vectors, WAY, KIND>(strip, p, count) },)*)*
                _ => {}
            }
        };
    }
    if KIND == PART {
        by_size! {
            1: 1 2;
            2: 1 2;
            3: 1 2;
            4: 1 2;
        }
    } else {
        by_size! {
            1: 1 2 3 4;
            2: 1 2 3 4;
            3: 1 2 3 4;
            4: 1 2 3 4;
        }
    }
}

/// The next NV vectors.
///
/// # Safety
/// `w` is valid for them.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn vectors<const NV: usize>(w: *const i8) -> [int8x16_t; NV] {
    // SAFETY: it reads the NV vectors that `w` is valid for.
    unsafe {
        let mut all = [vdupq_n_s8(0); NV];
        for (i, v) in all.iter_mut().enumerate() {
            *v = vld1q_s8(w.add(i * 16));
        }
        all
    }
}

/// Adds the products of lane `$lane` of each pixel, four values, with the next NV vectors of weights. A macro, because the lane is
/// part of the instruction's text.
macro_rules! add_products {
    ($nv:ident, $sums:ident, $values:ident, $w:ident, $lane:literal) => {
        let weights = vectors::<$nv>($w.add($lane * $nv * 16));
        for (sums, &values) in $sums.iter_mut().zip(&$values) {
            for (sum, &weights) in sums.iter_mut().zip(&weights) {
                asm!(
                    concat!("sdot {s:v}.4s, {w:v}.16b, {x:v}.4b[", $lane, "]"),
                    s = inout(vreg) *sum,
                    w = in(vreg) weights,
                    x = in(vreg) values,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
        }
    };
}

/// # Safety
/// The CPU has dot products; `count` times MR pixels as the geometry says.
#[target_feature(enable = "neon,dotprod")]
unsafe fn tiles<const MR: usize, const NV: usize, const WAY: u8, const KIND: u8>(
    strip: &Strip<'_>,
    p: &Pixels,
    count: usize,
) {
    let &Strip { conv, end, .. } = strip;
    let runs = conv.runs.offsets.as_slice();
    if runs.is_empty() {
        return;
    }
    let whole = conv.runs.len / 16 * 16;
    let rest = (conv.runs.len % 16).div_ceil(4);
    let quads = runs.len() * conv.runs.len.div_ceil(4);
    // SAFETY: contract (reads, writes) of `count` times MR pixels; a run's last load reads at most 15 bytes of slack; the packed
    // panel is as `pack` says.
    unsafe {
        for panel in 0..strip.panels {
            let packed = strip.packed.add(panel * (NV * 32 + quads * NV * 16));
            let shifted = strip.shifted.add(panel * NV * 48);
            let (bias, shifts) = if WAY == POSITIVE {
                (shifted, shifted.add(NV * 32))
            } else {
                (packed, packed)
            };
            let multipliers = bias.add(NV * 16);
            for tile in 0..count {
                let first = p.x.add(tile * MR * p.x_pitch);
                let mut sums = [[vdupq_n_s32(0); NV]; MR];
                for sums in &mut sums {
                    *sums = fresh::<NV>(bias);
                }
                let mut w = packed.add(NV * 32).cast::<i8>();
                let mut run = 0;
                loop {
                    let first = first.add(*runs.get_unchecked(run));
                    let x: [*const i8; MR] =
                        std::array::from_fn(|m| first.add(m * p.x_pitch).cast());
                    let mut k = 0;
                    while KIND == ONE || k < whole {
                        let values = x.map(|x| vld1q_s8(x.add(k)));
                        add_products!(NV, sums, values, w, 0);
                        add_products!(NV, sums, values, w, 1);
                        add_products!(NV, sums, values, w, 2);
                        add_products!(NV, sums, values, w, 3);
                        k += 16;
                        w = w.add(NV * 64);
                        if KIND == ONE && k == whole {
                            break;
                        }
                    }
                    if rest > 0 {
                        let values = x.map(|x| vld1q_s8(x.add(whole)));
                        add_products!(NV, sums, values, w, 0);
                        if rest > 1 {
                            add_products!(NV, sums, values, w, 1);
                        }
                        if rest > 2 {
                            add_products!(NV, sums, values, w, 2);
                        }
                        if rest > 3 {
                            add_products!(NV, sums, values, w, 3);
                        }
                        w = w.add(rest * NV * 16);
                    }
                    run += 1;
                    if KIND == ONE || run == runs.len() {
                        break;
                    }
                }
                let y = p.y.add(tile * MR * p.y_pitch + panel * NV * 4);
                let m = fresh::<NV>(multipliers).map(|m| vreinterpretq_f32_s32(m));
                for (i, &sums) in sums.iter().enumerate() {
                    let bytes = end.bytes::<WAY, NV>(sums, m, shifts);
                    let y = y.add(i * p.y_pitch);
                    if KIND == PART {
                        neon_end::store(y, bytes, strip.channels);
                    } else {
                        store_vectors::<NV>(y, bytes);
                    }
                }
            }
        }
    }
}
