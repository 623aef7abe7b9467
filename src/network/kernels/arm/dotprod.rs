//! Int8 convolutions with NEON dot products (`sdot`, on Cortex-A55, A76 and later: adds four i8 products to each 32-bit lane).
//!
//! Convolution: a tile of MR pixels by NV vectors of 4 output channels stays in registers (5x4 sums of the 32 registers). 16
//! values of each pixel are loaded at once; four of them at a time, selected by lane, are multiplied by NV vectors of weights.
//!
//! Stable Rust has no intrinsics for these instructions, so each is a single line of inline assembly; the compiler does the rest.

use super::neon::{ByteLoops, Neon};
use super::neon_end::{ANY, Ending, FULL, UPPER};
use super::neon_lanes::Bytes;
use super::{dotprod_depthwise, neon_end, neon_lanes};
use crate::network::kernels::panels::{Panel, Panels, byte_panels, pack_bytes, whole_tiles};
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

fn panels(runs: &Runs) -> Panels {
    byte_panels(runs, 4, WIDEST, 4)
}

impl ByteLoops for DotProduct {
    const NAME: &'static str = "neon-dotprod";

    fn channel_group(n: usize) -> usize {
        Panels::new(n, 4, WIDEST, 0).group()
    }

    fn pack_conv(runs: &Runs, raw: &RawQ8<'_>) -> Aligned {
        pack_bytes(panels(runs), runs, raw, 4, |_, place| place)
    }

    unsafe fn conv(conv: &ConvQ8, p: &Pixels, channels: Range<usize>) {
        for panel in panels(&conv.runs).within(channels) {
            let most = [8, 8, 4, 5][panel.vectors - 1];
            // SAFETY: contract (reads, writes), tile by tile, which includes the instructions.
            unsafe {
                whole_tiles(p, panel.first, most, |pixels, size, count| {
                    run_tiles(conv, &panel, pixels, size, count);
                });
            }
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

/// # Safety
/// The CPU has dot products; `count` times `size` pixels as the geometry says.
unsafe fn run_tiles(conv: &ConvQ8, panel: &Panel, p: &Pixels, size: usize, count: usize) {
    macro_rules! by_size {
        ($($vectors:literal: $($size:literal)*;)*) => {
            match (panel.vectors, size) {
                // SAFETY: the caller's contract is the same, with `size` pixels per tile.
                $($(($vectors, $size) => unsafe { tiles::<$size, $vectors>(conv, panel, p, count) },)*)*
                _ => {}
            }
        };
    }
    by_size! {
        1: 1 2 3 4 5 6 7 8;
        2: 1 2 3 4 5 6 7 8;
        3: 1 2 3 4 5 6 7;
        4: 1 2 3 4 5;
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

/// # Safety
/// The CPU has dot products; `count` times MR pixels as the geometry says.
#[target_feature(enable = "neon,dotprod")]
unsafe fn tiles<const MR: usize, const NV: usize>(
    conv: &ConvQ8,
    panel: &Panel,
    p: &Pixels,
    count: usize,
) {
    // SAFETY: contract (reads, writes) of `count` times MR pixels; a run's last load reads at most 15 bytes of slack; the packed
    // panel is as `byte_panels` says.
    unsafe {
        let head = conv.packed.as_ptr().add(panel.offset);
        let whole = conv.runs.len / 16 * 16;
        let rest = (conv.runs.len % 16).div_ceil(4);
        let end = Ending::new(&conv.end);
        // Lane `$lane` of each pixel: four values.
        macro_rules! four {
            ($sums:ident, $values:ident, $w:ident, $lane:literal) => {
                let weights = vectors::<NV>($w.add($lane * NV * 16));
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
        // The last values of a run, fewer than 16.
        macro_rules! last {
            ($sums:ident, $x:ident, $w:ident) => {
                if rest > 0 {
                    let values = $x.map(|x| vld1q_s8(x.add(whole)));
                    four!($sums, values, $w, 0);
                    if rest > 1 {
                        four!($sums, values, $w, 1);
                    }
                    if rest > 2 {
                        four!($sums, values, $w, 2);
                    }
                    if rest > 3 {
                        four!($sums, values, $w, 3);
                    }
                }
            };
        }
        let w = head.add(NV * 32).cast::<i8>();
        let looped = neon_lanes::has(MR, NV) && whole > 0 && conv.runs.offsets.len() == 1;
        for tile in 0..count {
            let first = p.x.add(tile * MR * p.x_pitch);
            let y = p.y.add(tile * MR * p.y_pitch);
            let p = Pixels { y, ..*p };
            let at = |offset: usize| -> [*const i8; MR] {
                std::array::from_fn(|m| first.add(offset + m * p.x_pitch).cast())
            };
            macro_rules! end {
                ($sums:ident) => {
                    match end.mode {
                        FULL => finish::<MR, NV, FULL>(&end, &$sums, head, panel.channels, &p),
                        UPPER => finish::<MR, NV, UPPER>(&end, &$sums, head, panel.channels, &p),
                        _ => finish::<MR, NV, ANY>(&end, &$sums, head, panel.channels, &p),
                    }
                };
            }
            if looped {
                let x = at(conv.runs.offsets[0]);
                let mut sums = neon_lanes::run::<Bytes, MR, NV>(head.cast(), x, w, whole / 16);
                let w = w.add(whole * NV * 4);
                last!(sums, x, w);
                end!(sums);
                continue;
            }
            let mut sums = [vectors::<NV>(head.cast()).map(|v| vreinterpretq_s32_s8(v)); MR];
            let mut w = w;
            for &offset in &conv.runs.offsets {
                let x = at(offset);
                let mut k = 0;
                while k < whole {
                    let values = x.map(|x| vld1q_s8(x.add(k)));
                    four!(sums, values, w, 0);
                    four!(sums, values, w, 1);
                    four!(sums, values, w, 2);
                    four!(sums, values, w, 3);
                    k += 16;
                    w = w.add(NV * 64);
                }
                last!(sums, x, w);
                w = w.add(rest * NV * 16);
            }
            end!(sums);
        }
    }
}

/// # Safety
/// The CPU has dot products; MR pixels as the geometry says; `head` is the panel.
#[inline(always)]
unsafe fn finish<const MR: usize, const NV: usize, const MODE: u8>(
    end: &Ending,
    sums: &[[int32x4_t; NV]; MR],
    head: *const u8,
    channels: usize,
    p: &Pixels,
) {
    // SAFETY: as in `tiles`.
    unsafe {
        let of = |i: usize| i.min(NV - 1);
        let m: [float32x4_t; 4] =
            std::array::from_fn(|i| vld1q_f32(head.add(NV * 16 + of(i) * 16).cast()));
        for (i, sums) in sums.iter().enumerate() {
            let four = std::array::from_fn(|i| sums[of(i)]);
            let bytes = end.bytes::<MODE>(four, m);
            neon_end::store(p.y.add(i * p.y_pitch), bytes, channels);
        }
    }
}
