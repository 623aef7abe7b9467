//! Int8 convolution with AVX-512 VNNI.
//!
//! A tile of MR pixels by NV vectors of 16 output channels stays in registers (12x2, 8x3 or 6x4 sums of the 32
//! registers). Four input channels of a pixel are broadcast and multiplied by NV packed weight vectors. Activations are read in
//! place. The channel order of the weights undoes the interleaving of the two pack instructions that narrow the sums, so that a
//! pixel's bytes come out in order. (The tile is the usual one of GEMM kernels, as in BLIS and XNNPACK.)

use super::avx512_ending::{Ending, FREE, LIMITED, Multiplier, SMALL, kind, one_by_one};
use super::avx512vnni_narrow;
use crate::network::kernels::panels::{Panel, Panels, byte_panels, even_tiles, pack_bytes};
use crate::network::kernels::{Aligned, ConvQ8, Pixels, RawQ8, Runs};
use std::arch::x86_64::*;
use std::ops::Range;

/// Vectors of 16 channels in the widest panel.
const WIDEST: usize = 4;

/// Values of a window that is short.
const SHORT: usize = 32;

fn panels(runs: &Runs) -> Panels {
    byte_panels(runs, 16, WIDEST, 4)
}

/// The output channel, within a panel of `vectors`, at a given place among its lanes. Of three vectors the last is one by itself.
fn channel(vectors: usize, place: usize) -> usize {
    let (vector, lane) = (place / 16, place % 16);
    match (vectors, vector) {
        (3, 2) => 32 + lane,
        (3, _) => lane / 4 * 8 + vector * 4 + lane % 4,
        _ => lane / 4 * 4 * vectors + vector * 4 + lane % 4,
    }
}

/// Channels of a panel.
pub(super) fn channel_group(n: usize) -> usize {
    Panels::new(n, 16, WIDEST, 0).group()
}

/// Packs a convolution.
pub(super) fn pack(runs: &Runs, raw: &RawQ8<'_>) -> Aligned {
    if avx512vnni_narrow::takes(runs) {
        pack_bytes(panels(runs), runs, raw, 4, avx512vnni_narrow::channel)
    } else {
        pack_bytes(panels(runs), runs, raw, 4, channel)
    }
}

/// Computes output channels `channels` of the pixels.
///
/// # Safety
/// The CPU has AVX-512 with VNNI; the contract of `Kernels`.
pub(super) unsafe fn run(conv: &ConvQ8, p: &Pixels, channels: Range<usize>) {
    let runs = &conv.runs;
    if avx512vnni_narrow::takes(runs) {
        // At most 24 channels are one group of 32, so a range that begins at a multiple of it has all of them, or none.
        debug_assert!(channels.is_empty() || channels == (0..runs.n));
        if !channels.is_empty() {
            // SAFETY: the caller's contract is the same; channels: all of them.
            unsafe { avx512vnni_narrow::run(conv, p) };
        }
        return;
    }
    // A sum of few products is soon complete; then smaller tiles let the CPU end one while it multiplies the next.
    let short = runs.offsets.len() * runs.len <= SHORT;
    for panel in panels(runs).within(channels) {
        let most = if short { [8, 6, 4, 3] } else { [12, 12, 8, 6] }[panel.vectors - 1];
        // SAFETY: contract (reads, writes), tile by tile.
        unsafe {
            even_tiles(p, panel.first, most, |pixels, size, count| {
                run_tiles(conv, &panel, pixels, size, count);
            });
        }
    }
}

/// # Safety
/// The CPU has AVX-512 with VNNI; `count` times `size` pixels as the geometry says.
unsafe fn run_tiles(conv: &ConvQ8, panel: &Panel, t: &Pixels, size: usize, count: usize) {
    let kind = kind(conv.sums, &conv.end);
    macro_rules! by_size {
        ($($vectors:literal: $($size:literal)*;)*) => {
            // SAFETY: the caller's contract is the same, with `count` times `size` pixels.
            unsafe {
                match (panel.vectors, size, kind) {
                    $($(($vectors, $size, SMALL) => tiles::<$size, $vectors, SMALL>(conv, panel, t, count),
                    ($vectors, $size, FREE) => tiles::<$size, $vectors, FREE>(conv, panel, t, count),
                    ($vectors, $size, _) => tiles::<$size, $vectors, LIMITED>(conv, panel, t, count),)*)*
                    _ => {}
                }
            }
        };
    }
    by_size! {
        1: 1 2 3 4 5 6 7 8 9 10 11 12;
        2: 1 2 3 4 5 6 7 8 9 10 11 12;
        3: 1 2 3 4 5 6 7 8;
        4: 1 2 3 4 5 6;
    }
}

/// # Safety
/// The CPU has AVX-512 with VNNI; `count` times MR pixels as the geometry says.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn tiles<const MR: usize, const NV: usize, const KIND: u8>(
    conv: &ConvQ8,
    panel: &Panel,
    t: &Pixels,
    count: usize,
) {
    // SAFETY: contract (reads, writes) of MR pixels at a time; the packed panel is biases, multipliers, then NV vectors per step.
    unsafe {
        let head = conv.packed.as_ptr().add(panel.offset);
        let start = || -> [__m512i; NV] {
            let bias = |v: usize| _mm512_load_si512(head.add(v * 64).cast());
            std::array::from_fn(|v| Ending::<KIND>::start(bias(v)))
        };
        let multipliers = || -> [Multiplier; NV] {
            let m = |v: usize| _mm512_load_ps(head.add((NV + v) * 64).cast());
            std::array::from_fn(|v| Ending::<KIND>::multiplier(m(v)))
        };
        // Kept from tile to tile, if the sums leave registers for them.
        let keep = MR * NV <= 12;
        let kept = (start(), multipliers());
        let end = Ending::<KIND>::new(&conv.end);
        for i in 0..count {
            let t = Pixels {
                x: t.x.add(i * MR * t.x_pitch),
                y: t.y.add(i * MR * t.y_pitch),
                ..*t
            };
            let mut sums = [if keep { kept.0 } else { start() }; MR];
            multiply::<MR, NV, KIND>(conv, head.add(NV * 128), &t, &mut sums);
            let multipliers = if keep { kept.1 } else { multipliers() };
            store(panel.channels, &end, &multipliers, &t, &sums);
        }
    }
}

/// Adds the products of MR pixels. For every KIND on its own, because the compiler inlines what has one call.
///
/// # Safety
/// As `tiles`; `w` are the panel's weights.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn multiply<const MR: usize, const NV: usize, const KIND: u8>(
    conv: &ConvQ8,
    mut w: *const u8,
    t: &Pixels,
    sums: &mut [[__m512i; NV]; MR],
) {
    // SAFETY: contract (reads) of MR pixels; a run's last step reads at most 3 bytes of slack.
    unsafe {
        let steps = conv.runs.len.div_ceil(4);
        for &offset in &conv.runs.offsets {
            let mut x = t.x.add(offset);
            for _ in 0..steps {
                let mut weights = [_mm512_setzero_si512(); NV];
                for (v, weights) in weights.iter_mut().enumerate() {
                    *weights = _mm512_load_si512(w.add(v * 64).cast());
                }
                for (m, sums) in sums.iter_mut().enumerate() {
                    let four = x.add(m * t.x_pitch).cast::<i32>().read_unaligned();
                    let four = _mm512_set1_epi32(four);
                    for v in 0..NV {
                        sums[v] = _mm512_dpbusd_epi32(sums[v], four, weights[v]);
                    }
                }
                x = x.add(4);
                w = w.add(NV * 64);
            }
        }
    }
}

/// Ends and stores MR pixels, as many at a time as fill a vector of bytes.
///
/// # Safety
/// As `tiles`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn store<const MR: usize, const NV: usize, const KIND: u8>(
    channels: usize,
    end: &Ending<KIND>,
    multipliers: &[Multiplier; NV],
    t: &Pixels,
    sums: &[[__m512i; NV]; MR],
) {
    let bytes = |places: [(usize, usize); 4]| {
        end.bytes(places.map(|(m, v)| {
            let v = v.min(NV - 1);
            end.steps(sums[m.min(MR - 1)][v], multipliers[v])
        }))
    };
    // SAFETY: contract (writes): of MR pixels the channels that exist.
    unsafe {
        // 16 channels of up to four pixels, 32 of up to two, 64 of one.
        let fours = |m: usize, v: usize| {
            let four = one_by_one(bytes([(m, v), (m + 1, v), (m + 2, v), (m + 3, v)]));
            for (i, &bytes) in four.iter().enumerate().take(MR - m) {
                let y = t.y.add((m + i) * t.y_pitch + v * 16);
                if channels < (v + 1) * 16 {
                    _mm_mask_storeu_epi8(y.cast(), u16::MAX >> ((v + 1) * 16 - channels), bytes);
                } else {
                    _mm_storeu_si128(y.cast(), bytes);
                }
            }
        };
        let pairs = |m: usize| {
            let order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
            let bytes = bytes([(m, 0), (m, 1), (m + 1, 0), (m + 1, 1)]);
            let bytes = _mm512_permutexvar_epi64(order, bytes);
            let two = [
                _mm512_castsi512_si256(bytes),
                _mm512_extracti64x4_epi64::<1>(bytes),
            ];
            for (i, &bytes) in two.iter().enumerate().take(MR - m) {
                let y = t.y.add((m + i) * t.y_pitch);
                if channels < 32 {
                    _mm256_mask_storeu_epi8(y.cast(), u32::MAX >> (32 - channels), bytes);
                } else {
                    _mm256_storeu_si256(y.cast(), bytes);
                }
            }
        };
        if matches!(NV, 2 | 3) {
            (0..MR).step_by(2).for_each(pairs);
        }
        if matches!(NV, 1 | 3) {
            (0..MR).step_by(4).for_each(|m| fours(m, NV - 1));
        }
        if NV == 4 {
            for m in 0..MR {
                let (y, bytes) = (
                    t.y.add(m * t.y_pitch),
                    bytes([(m, 0), (m, 1), (m, 2), (m, 3)]),
                );
                if channels < 64 {
                    _mm512_mask_storeu_epi8(y.cast(), u64::MAX >> (64 - channels), bytes);
                } else {
                    _mm512_storeu_si512(y.cast(), bytes);
                }
            }
        }
    }
}
