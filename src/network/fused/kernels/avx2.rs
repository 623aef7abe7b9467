//! Bytes by AVX2 (`vpmaddwd` on values widened to 16 bits: exact, where `vpmaddubsw` would saturate); floats by [`super::avx2_float`].
//!
//! Convolution: a tile of up to 4 pixels by up to 2 vectors of 8 output channels. Four input bytes of a pixel are broadcast and
//! split by a mask and a shift into the 16-bit pairs (0, 2) and (1, 3), each of which meets a vector of weight pairs. Depthwise:
//! 16 channels, two taps at a time, interleaved by unpack instructions. Weights are packed in the order that the narrowing pack
//! instructions undo.

use super::avx2_float;
use super::panels::{Panel, Panels, tiles};
use super::{
    Aligned, BinaryQ8, ConvF32, ConvQ8, DepthwiseF32, DepthwiseQ8, DepthwiseRow, Kernels, Pixels,
    RawF32, RawQ8, Runs, reference,
};
use crate::network::fused::requantise::Requantise;
use std::arch::x86_64::*;
use std::ops::Range;

/// The kernels.
#[derive(Debug)]
pub struct Avx2;

impl Avx2 {
    /// Whether this CPU has what they need.
    pub fn runs_here() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }
}

fn panels(runs: &Runs) -> Panels {
    // Biases, multipliers, and two vectors of weight pairs each four values of a run.
    let steps = runs.offsets.len() * runs.len.div_ceil(4);
    Panels::new(runs.n, 8, 2, 64 + steps * 64)
}

/// The output channel, within a panel of `vectors`, of a vector's lane.
fn channel(vectors: usize, vector: usize, lane: usize) -> usize {
    lane / 4 * 4 * vectors + vector * 4 + lane % 4
}

impl Kernels for Avx2 {
    fn name(&self) -> &'static str {
        "avx2"
    }

    fn signed(&self) -> bool {
        false
    }

    fn channel_group(&self, n: usize) -> usize {
        Panels::new(n, 8, 2, 0).group()
    }

    fn pack_conv_q8(&self, runs: &Runs, raw: &RawQ8<'_>) -> Aligned {
        let panels = panels(runs);
        let mut packed = Aligned::zeroed(panels.total_bytes());
        let bytes = packed.bytes_mut();
        let (count, len) = (runs.offsets.len(), runs.len);
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
                let at = panel.offset + nv * 64 + v * 64 + lane * 4;
                for (run, i) in (0..count).flat_map(|r| (0..len).map(move |i| (r, i))) {
                    let step = run * len.div_ceil(4) + i / 4;
                    let at = at + step * nv * 64 + i % 2 * 32 + i % 4 / 2 * 2;
                    let w = i16::from(raw.w[(n * count + run) * len + i]);
                    bytes[at..at + 2].copy_from_slice(&w.to_ne_bytes());
                }
            }
        }
        packed
    }

    unsafe fn conv_q8(&self, conv: &ConvQ8, p: &Pixels, channels: Range<usize>) {
        for panel in panels(&conv.runs).within(channels) {
            for (first, size) in tiles(p.count, 4) {
                // SAFETY: the caller's promise; `available` saw that this CPU has the instructions.
                unsafe {
                    let t = Pixels {
                        x: p.x.add(first * p.x_pitch),
                        y: p.y.add(first * p.y_pitch + panel.first),
                        ..*p
                    };
                    match (panel.vectors, size) {
                        (1, 1) => tile::<1, 1>(conv, &panel, &t),
                        (1, 2) => tile::<2, 1>(conv, &panel, &t),
                        (1, 3) => tile::<3, 1>(conv, &panel, &t),
                        (1, 4) => tile::<4, 1>(conv, &panel, &t),
                        (2, 1) => tile::<1, 2>(conv, &panel, &t),
                        (2, 2) => tile::<2, 2>(conv, &panel, &t),
                        (2, 3) => tile::<3, 2>(conv, &panel, &t),
                        (2, 4) => tile::<4, 2>(conv, &panel, &t),
                        _ => {}
                    }
                }
            }
        }
    }

    fn pack_depthwise_q8(&self, row: &DepthwiseRow, raw: &RawQ8<'_>) -> Aligned {
        let taps = row.kh * row.kw;
        let block = block_bytes(row);
        let mut packed = Aligned::zeroed(row.c.div_ceil(16) * block);
        let bytes = packed.bytes_mut();
        for c in 0..row.c {
            // Vector 0 holds channels 0..4 and 8..12, vector 1 the others, as unpacking leaves them.
            let (v, lane) = (c % 8 / 4, c % 16 / 8 * 4 + c % 4);
            let at = c / 16 * block + v * 32 + lane * 4;
            bytes[at..at + 4].copy_from_slice(&raw.bias[c].to_ne_bytes());
            bytes[at + 64..at + 68].copy_from_slice(&raw.multiplier[c].to_ne_bytes());
            for tap in 0..taps {
                let at = at + 128 + tap / 2 * 64 + tap % 2 * 2;
                let w = i16::from(raw.w[c * taps + tap]);
                bytes[at..at + 2].copy_from_slice(&w.to_ne_bytes());
            }
        }
        packed
    }

    unsafe fn depthwise_q8(
        &self,
        conv: &DepthwiseQ8,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
    ) {
        // SAFETY: the caller's promise; `available` saw that this CPU has the instructions.
        unsafe { depthwise(conv, rows, y, channels) }
    }

    fn pack_conv_f32(&self, runs: &Runs, raw: &RawF32<'_>) -> Aligned {
        avx2_float::pack_conv(runs, raw)
    }

    unsafe fn conv_f32(&self, conv: &ConvF32, p: &Pixels, channels: Range<usize>) {
        // SAFETY: the caller's promise; `available` saw that this CPU has the instructions.
        unsafe { avx2_float::conv(conv, p, channels) }
    }

    fn pack_depthwise_f32(&self, row: &DepthwiseRow, raw: &RawF32<'_>) -> Aligned {
        avx2_float::pack_depthwise(row, raw)
    }

    unsafe fn depthwise_f32(
        &self,
        conv: &DepthwiseF32,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
    ) {
        // SAFETY: the caller's promise; `available` saw that this CPU has the instructions.
        unsafe { avx2_float::depthwise(conv, rows, y, channels) }
    }

    fn add_q8(&self, add: &BinaryQ8, a: &[u8], b: &[u8], y: &mut [u8]) {
        // SAFETY: `available` saw that this CPU has the instructions.
        unsafe { add_bytes(add, a, b, y) }
    }

    fn average_q8(&self, x: &[u8], c: usize, zero: i32, m: f32, end: &Requantise, y: &mut [u8]) {
        // SAFETY: `available` saw that this CPU has the instructions.
        unsafe { average_q8(x, c, zero, m, end, y) }
    }
}

/// The reference's loop, compiled for wider vectors.
#[target_feature(enable = "avx2,fma")]
fn average_q8(x: &[u8], c: usize, zero: i32, m: f32, end: &Requantise, y: &mut [u8]) {
    reference::average_q8(x, c, false, zero, m, end, y);
}

/// The reference's `add_q8` by 8 values; every vector step is one of its steps.
#[target_feature(enable = "avx2,fma")]
fn add_bytes(add: &BinaryQ8, a: &[u8], b: &[u8], y: &mut [u8]) {
    let whole = y.len().min(a.len()).min(b.len()) / 8 * 8;
    let flip = _mm_set1_epi8(add.flip as i8);
    for i in (0..whole).step_by(8) {
        // SAFETY: 8 values from `i` on are inside all three slices.
        unsafe {
            let number = |from: &[u8]| {
                let bytes = _mm_xor_si128(_mm_loadl_epi64(from.as_ptr().add(i).cast()), flip);
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))
            };
            let (ra, rb) = (_mm256_set1_ps(add.a), _mm256_set1_ps(add.b));
            let sum = _mm256_fmadd_ps(number(b), rb, _mm256_set1_ps(add.fixed));
            let sum = _mm256_fmadd_ps(number(a), ra, sum);
            let limited = _mm256_max_ps(sum, _mm256_set1_ps(add.end.low));
            let limited = _mm256_min_ps(limited, _mm256_set1_ps(add.end.high));
            let steps = _mm256_cvtps_epi32(limited);
            let steps = _mm256_add_epi32(steps, _mm256_set1_epi32(add.end.zero & 0xff));
            let steps = _mm256_and_si256(steps, _mm256_set1_epi32(0xff));
            let words = _mm256_packs_epi32(steps, steps);
            let bytes = _mm256_packus_epi16(words, words);
            let low = _mm256_castsi256_si128(bytes);
            let both = _mm_unpacklo_epi32(low, _mm256_extracti128_si256::<1>(bytes));
            _mm_storel_epi64(y.as_mut_ptr().add(i).cast(), both);
        }
    }
    reference::add_q8(add, &a[whole..], &b[whole..], &mut y[whole..]);
}

/// Sums to 16 bytes: each 128-bit lane of the result's low half holds four of `a`, then four of `b`.
///
/// # Safety
/// AVX2.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn finish(end: &Requantise, sums: [__m256i; 2], multipliers: [__m256; 2]) -> __m128i {
    let high = _mm256_set1_ps(end.high);
    let steps = |v: usize| {
        let steps = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[v]), multipliers[v]);
        _mm256_cvtps_epi32(_mm256_min_ps(steps, high))
    };
    let words = _mm256_packs_epi32(steps(0), steps(1));
    let words = _mm256_adds_epi16(words, _mm256_set1_epi16(end.zero as i16));
    let bytes = _mm256_packus_epi16(words, words);
    let bytes = _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b1000>(bytes));
    _mm_max_epu8(bytes, _mm_set1_epi8((end.low as i32 + end.zero) as i8))
}

/// Stores the first `valid` of 16 bytes.
///
/// # Safety
/// `y` is good for them.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store(y: *mut u8, bytes: __m128i, valid: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if valid >= 16 {
            _mm_storeu_si128(y.cast(), bytes);
        } else {
            let mut all = [0u8; 16];
            _mm_storeu_si128(all.as_mut_ptr().cast(), bytes);
            std::ptr::copy_nonoverlapping(all.as_ptr(), y, valid);
        }
    }
}

/// # Safety
/// AVX2; MR pixels as the geometry says.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const MR: usize, const NV: usize>(conv: &ConvQ8, panel: &Panel, p: &Pixels) {
    // SAFETY: the caller's promise; the packed panel is biases, multipliers, then two vectors a step and NV.
    unsafe {
        let head = conv.packed.as_ptr().add(panel.offset);
        let mut sums = [[_mm256_setzero_si256(); NV]; MR];
        for v in 0..NV {
            let bias = _mm256_load_si256(head.add(v * 32).cast());
            for sums in &mut sums {
                sums[v] = bias;
            }
        }
        let mut w = head.add(NV * 64);
        let mask = _mm256_set1_epi16(0xff);
        for &offset in &conv.runs.offsets {
            let mut x = p.x.add(offset);
            for _ in 0..conv.runs.len.div_ceil(4) {
                let at = |v: usize, odd: usize| _mm256_load_si256(w.add(v * 64 + odd * 32).cast());
                for (m, sums) in sums.iter_mut().enumerate() {
                    let four = x.add(m * p.x_pitch).cast::<i32>().read_unaligned();
                    let four = _mm256_set1_epi32(four);
                    let even = _mm256_and_si256(four, mask);
                    let odd = _mm256_srli_epi16::<8>(four);
                    for (v, sum) in sums.iter_mut().enumerate() {
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(even, at(v, 0)));
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(odd, at(v, 1)));
                    }
                }
                x = x.add(4);
                w = w.add(NV * 64);
            }
        }
        let multiplier = |v: usize| _mm256_load_ps(head.add(NV * 32 + v * 32).cast());
        for (m, sums) in sums.iter().enumerate() {
            let (second, multipliers) = if NV == 2 {
                (sums[1], [multiplier(0), multiplier(1)])
            } else {
                (sums[0], [multiplier(0); 2])
            };
            let mut bytes = finish(&conv.end, [sums[0], second], multipliers);
            if NV == 1 {
                // Four of the first, four of the second lane: what lies between are copies.
                bytes = _mm_shuffle_epi32::<0b1000>(bytes);
            }
            store(p.y.add(m * p.y_pitch), bytes, panel.channels);
        }
    }
}

/// Packed bytes of a block of 16 channels.
fn block_bytes(row: &DepthwiseRow) -> usize {
    128 + (row.kh * row.kw).div_ceil(2) * 64
}

/// # Safety
/// AVX2; pointers as the geometry says.
#[target_feature(enable = "avx2,fma")]
unsafe fn depthwise(conv: &DepthwiseQ8, rows: &[*const u8], y: *mut u8, channels: Range<usize>) {
    let d = &conv.row;
    let taps = d.kh * d.kw;
    let pad = _mm256_set1_epi16(i16::from(conv.pad));
    for c in channels.step_by(16) {
        // SAFETY: the caller's promise; reading past the last channel is within the slack.
        unsafe {
            let head = conv.packed.as_ptr().add(c / 16 * block_bytes(d));
            let at = |i: usize| _mm256_load_si256(head.add(i * 32).cast());
            let multiplier = |v: usize| _mm256_load_ps(head.add(64 + v * 32).cast());
            for ox in 0..d.w_out {
                let value = |tap: usize| {
                    let from = (ox * d.stride + tap % d.kw * d.dilation).wrapping_sub(d.left);
                    if from < d.w_in {
                        let x = rows[tap / d.kw].add(from * d.c + c);
                        _mm256_cvtepu8_epi16(_mm_loadu_si128(x.cast()))
                    } else {
                        pad
                    }
                };
                let mut sums = [at(0), at(1)];
                for pair in 0..taps.div_ceil(2) {
                    let a = value(pair * 2);
                    let b = if pair * 2 + 1 < taps {
                        value(pair * 2 + 1)
                    } else {
                        _mm256_setzero_si256()
                    };
                    let low = _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), at(4 + pair * 2));
                    let high = _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), at(5 + pair * 2));
                    sums[0] = _mm256_add_epi32(sums[0], low);
                    sums[1] = _mm256_add_epi32(sums[1], high);
                }
                let bytes = finish(&conv.end, sums, [multiplier(0), multiplier(1)]);
                store(y.add(ox * d.c + c), bytes, d.c - c);
            }
        }
    }
}
