//! Int8 convolution with AVX2; the approach is described in [`super::avx2`].
//!
//! The windows of a block of pixels are widened to 16 bits, with each window's runs concatenated, so that all runs together are
//! padded only once. The panels of output channels are then computed over that block one after the other, in tiles of up to 6
//! pixels by two vectors of 8 channels (or 12 by one): 12 of the 16 registers are sums. A step takes four values of a pixel: two
//! pairs, each broadcast by its load and multiplied by a vector of weight pairs. Weights are widened when loaded: in memory they
//! stay bytes, which halves their size and traffic, and a tile widens them once for all its pixels.
//!
//! Packed form of a panel: biases, multipliers, then for each pair of values 16 bytes of weight pairs per 8 channels.

use super::avx2_ending::{Ending, NEAR_BYTES, channel, store};
use crate::network::kernels::panels::{Panel, Panels, tiles};
use crate::network::kernels::{Aligned, ConvQ8, Pixels, RawQ8, Runs};
use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

/// Vectors of 8 channels in the widest panel.
const WIDEST: usize = 2;

/// Output channels of a full panel.
pub(super) fn channel_group(n: usize) -> usize {
    Panels::new(n, 8, WIDEST, 0).group()
}

/// Steps of four values.
fn steps(runs: &Runs) -> usize {
    (runs.offsets.len() * runs.len).div_ceil(4)
}

fn panels(runs: &Runs) -> Panels {
    Panels::new(runs.n, 8, WIDEST, 64 + steps(runs) * 32)
}

/// Packs weights, biases and multipliers.
pub(super) fn pack(runs: &Runs, raw: &RawQ8<'_>) -> Aligned {
    let panels = panels(runs);
    let mut packed = Aligned::zeroed(panels.total_bytes());
    let bytes = packed.bytes_mut();
    let per = runs.offsets.len() * runs.len;
    for panel in panels.within(0..runs.n) {
        let nv = panel.vectors;
        for (v, lane) in (0..nv).flat_map(|v| (0..8).map(move |lane| (v, lane))) {
            let n = panel.first + channel(nv, v, lane);
            if n >= runs.n {
                continue;
            }
            let at = panel.offset + v * 32 + lane * 4;
            bytes[at..at + 4].copy_from_slice(&raw.bias[n].to_ne_bytes());
            let at = at + nv * 32;
            bytes[at..at + 4].copy_from_slice(&raw.multiplier[n].to_ne_bytes());
            let at = panel.offset + nv * 64 + v * 16 + lane * 2;
            let mut places = bytes[at..].chunks_mut(nv * 16);
            let (pairs, odd) = raw.w[n * per..][..per].as_chunks::<2>();
            for (pair, to) in pairs.iter().zip(&mut places) {
                to[..2].copy_from_slice(&pair.map(|w| w as u8));
            }
            if let ([w], Some(to)) = (odd, places.next()) {
                to[0] = *w as u8;
            }
        }
    }
    packed
}

/// Bytes of widened values if no whole tile fits in L1: room for one window of nearly any layer.
const FAR_BYTES: usize = 64 << 10;

/// Widened windows: the pitch from pixel to pixel in values, and how many pixels are widened at a time.
fn wide(runs: &Runs) -> (usize, usize) {
    // Whole vectors are stored, so the last run takes more than its length.
    let pitch = (runs.offsets.len() - 1) * runs.len + runs.len.next_multiple_of(16);
    let pitch = pitch.next_multiple_of(16);
    // Whole tiles, in L1 if any fits.
    let near = NEAR_BYTES / (pitch * 2) / 12 * 12;
    (pitch, near.max((FAR_BYTES / (pitch * 2)).clamp(1, 12)))
}

/// Scratch memory for [`run`].
pub(super) fn scratch_bytes(runs: &Runs) -> usize {
    let (pitch, pixels) = wide(runs);
    pitch * pixels * 2
}

/// Some channels of some pixels.
///
/// # Safety
/// The CPU has AVX2; the contract of `Kernels`, `scratch` as [`scratch_bytes`].
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run(conv: &ConvQ8, p: &Pixels, channels: Range<usize>, scratch: *mut u8) {
    let runs = &conv.runs;
    let (pitch, most) = wide(runs);
    let wide = scratch.cast::<i16>();
    for (start, count) in tiles(p.count, most) {
        // SAFETY: contract (reads, writes), from pixel `start`; the buffer holds `most` pixels of `pitch` values.
        unsafe {
            let x = p.x.add(start * p.x_pitch);
            widen(runs, x, p.x_pitch, wide, pitch, count);
            let block = Block {
                x: wide,
                x_pitch: pitch,
                y: p.y.add(start * p.y_pitch),
                y_pitch: p.y_pitch,
            };
            for panel in panels(runs).within(channels.clone()) {
                let most = [12, 6][panel.vectors - 1];
                for (first, size) in tiles(count, most) {
                    run_tile(conv, &panel, &block.from(first, panel.first), size);
                }
            }
        }
    }
}

/// The windows of `count` pixels, widened to 16 bits per value.
///
/// # Safety
/// The CPU has AVX2; reading 15 bytes past a run is within the slack; `to` holds `count` times `pitch` values.
#[target_feature(enable = "avx2")]
unsafe fn widen(
    runs: &Runs,
    x: *const u8,
    x_pitch: usize,
    to: *mut i16,
    pitch: usize,
    count: usize,
) {
    for m in 0..count {
        if runs.offsets.len() > 1 {
            // The values that the last run leaves unwritten up to the pitch.
            // SAFETY: the last 16 values of pixel `m`: the buffer holds `count` times `pitch`.
            unsafe {
                let end = to.add((m + 1) * pitch - 16);
                _mm256_storeu_si256(end.cast(), _mm256_setzero_si256());
            }
        }
        for (r, &offset) in runs.offsets.iter().enumerate() {
            for i in (0..runs.len).step_by(16) {
                // SAFETY: contract (reads): 16 bytes from any value of the run end within the slack; the buffer holds `count`
                // times `pitch`.
                unsafe {
                    let bytes = _mm_loadu_si128(x.add(m * x_pitch + offset + i).cast());
                    let to = to.add(m * pitch + r * runs.len + i);
                    _mm256_storeu_si256(to.cast(), _mm256_cvtepu8_epi16(bytes));
                }
            }
        }
    }
}

/// Widened pixels, and where their results go. Pitches are in values.
#[derive(Clone, Copy)]
struct Block {
    x: *const i16,
    x_pitch: usize,
    y: *mut u8,
    y_pitch: usize,
}

impl Block {
    /// The block from pixel `first`, with results from channel `channel`.
    ///
    /// # Safety
    /// That pixel and that channel exist.
    unsafe fn from(&self, first: usize, channel: usize) -> Self {
        // SAFETY: that pixel and that channel exist, so both stay in their memory.
        unsafe {
            Self {
                x: self.x.add(first * self.x_pitch),
                y: self.y.add(first * self.y_pitch + channel),
                ..*self
            }
        }
    }
}

/// # Safety
/// The CPU has AVX2; `size` pixels as the geometry says.
unsafe fn run_tile(conv: &ConvQ8, panel: &Panel, block: &Block, size: usize) {
    let plain = conv.sums.bounded() && conv.end.plain();
    macro_rules! by_size {
        ($($vectors:literal: $($size:literal)*;)*) => {
            match (panel.vectors, size) {
                // SAFETY: the caller's contract is the same, with `size` pixels.
                $($(($vectors, $size) if plain => unsafe { tile::<$size, $vectors, true>(conv, panel, block) },
                // SAFETY: the caller's contract is the same, with `size` pixels.
                ($vectors, $size) => unsafe { tile::<$size, $vectors, false>(conv, panel, block) },)*)*
                _ => {}
            }
        };
    }
    by_size! {
        1: 1 2 3 4 5 6 7 8 9 10 11 12;
        2: 1 2 3 4 5 6;
    }
}

/// 16 weights, widened to 16 bits.
///
/// # Safety
/// The CPU has AVX2; `w` is valid for 16 bytes.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn widened(w: *const __m128i) -> __m256i {
    let wide;
    // SAFETY: it reads the 16 bytes that `w` is valid for.
    unsafe {
        asm!(
            "vpmovsxbw {wide}, [{w}]",
            w = in(reg) w,
            wide = lateout(ymm_reg) wide,
            options(nostack, readonly, preserves_flags),
        );
    }
    wide
}

/// Adds a pair of a pixel's values times the weights to the pixel's sums. Here and in [`widened`] the instructions are in
/// execution order: the compiler would fetch the next weights while these are in use, for which no register is left, and keep a
/// sum in memory instead, which every step then waits for (a fifth of the time on Zen 3).
///
/// # Safety
/// The CPU has AVX2; `x` is valid for two values.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn multiply_add<const NV: usize>(
    sums: &mut [__m256i; NV],
    x: *const i16,
    weights: &[__m256i; NV],
) {
    let (last, first) = (NV - 1, 0);
    // SAFETY: it reads the two values that `x` is valid for.
    unsafe {
        if NV == 1 {
            asm!(
                "vpbroadcastd {two}, [{x}]",
                "vpmaddwd {two}, {two}, {w}",
                "vpaddd {sum}, {sum}, {two}",
                x = in(reg) x,
                w = in(ymm_reg) weights[first],
                two = out(ymm_reg) _,
                sum = inout(ymm_reg) sums[first],
                options(nostack, readonly, preserves_flags),
            );
        } else {
            asm!(
                "vpbroadcastd {two}, [{x}]",
                "vpmaddwd {product}, {two}, {w0}",
                "vpmaddwd {two}, {two}, {w1}",
                "vpaddd {sum0}, {sum0}, {product}",
                "vpaddd {sum1}, {sum1}, {two}",
                x = in(reg) x,
                w0 = in(ymm_reg) weights[first],
                w1 = in(ymm_reg) weights[last],
                two = out(ymm_reg) _,
                product = out(ymm_reg) _,
                sum0 = inout(ymm_reg) sums[first],
                sum1 = inout(ymm_reg) sums[last],
                options(nostack, readonly, preserves_flags),
            );
        }
    }
}

/// # Safety
/// The CPU has AVX2; MR pixels as the geometry says.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const MR: usize, const NV: usize, const PLAIN: bool>(
    conv: &ConvQ8,
    panel: &Panel,
    block: &Block,
) {
    // SAFETY: the block holds MR widened pixels, and contract (writes) their results; the packed panel is as the module says.
    unsafe {
        let head = conv.packed.as_ptr().add(panel.offset);
        let mut sums = [[_mm256_setzero_si256(); NV]; MR];
        for v in 0..NV {
            let bias = _mm256_load_si256(head.add(v * 32).cast());
            for sums in &mut sums {
                sums[v] = bias;
            }
        }
        let mut w = head.add(NV * 64).cast::<__m128i>();
        let mut x = block.x;
        for _ in 0..steps(&conv.runs) {
            for pair in 0..2 {
                let w = w.add(pair * NV);
                let weights: [__m256i; NV] = std::array::from_fn(|v| widened(w.add(v)));
                for (m, sums) in sums.iter_mut().enumerate() {
                    multiply_add(sums, x.add(m * block.x_pitch + pair * 2), &weights);
                }
            }
            x = x.add(4);
            w = w.add(NV * 2);
        }
        let end = Ending::<PLAIN>::new(&conv.end);
        let multiplier = |v: usize| _mm256_load_ps(head.add(NV * 32 + v * 32).cast());
        if NV == 2 {
            let pairs: [[__m256i; 2]; MR] = std::array::from_fn(|m| [sums[m][0], sums[m][NV - 1]]);
            let multipliers = [multiplier(0), multiplier(NV - 1)];
            end.store_pairs(&pairs, multipliers, block.y, block.y_pitch, panel.channels);
            return;
        }
        // Four pixels of 8 channels at a time.
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        for first in (0..MR).step_by(4) {
            let four = std::array::from_fn(|i| sums[(first + i).min(MR - 1)][0]);
            let bytes = end.bytes(four, [multiplier(0); 4]);
            let bytes = _mm256_permutevar8x32_epi32(bytes, order);
            let halves = [
                _mm256_castsi256_si128(bytes),
                _mm256_extracti128_si256::<1>(bytes),
            ];
            for i in 0..4.min(MR - first) {
                let mut bytes = halves[i / 2];
                if i % 2 == 1 {
                    bytes = _mm_unpackhi_epi64(bytes, bytes);
                }
                store(
                    block.y.add((first + i) * block.y_pitch),
                    bytes,
                    panel.channels,
                );
            }
        }
    }
}
