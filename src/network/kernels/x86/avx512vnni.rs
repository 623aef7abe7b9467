//! Int8 kernels with AVX-512 VNNI (`vpdpbusd` adds four u8 x i8 products to each 32-bit lane); floats are in [`super::avx512`].
//!
//! Convolution: a tile of MR pixels by NV vectors of 16 output channels stays in registers (12x2, 8x3 or 6x4 sums of the 32
//! registers). Four input channels of a pixel are broadcast and multiplied by NV packed weight vectors. Activations are read in
//! place. The channel order of the weights undoes the interleaving of the two pack instructions that narrow the sums, so that a
//! pixel's bytes come out in order. (The tile is the usual one of GEMM kernels, as in BLIS and XNNPACK.)
//!
//! Depthwise: the bytes of up to four kernel rows are interleaved by unpack instructions, so that one `vpdpbusd` computes a whole
//! kernel column of 16 channels; a column's interleaved bytes are kept for all outputs of the row that use it. Again the pack
//! instructions undo the order of the unpack instructions.

use super::avx512_ending::{Ending, FREE, LIMITED, Multiplier, SMALL, kind, one_by_one};
use super::{avx512, avx512vnni_depthwise};
use crate::network::kernels::panels::{Panel, Panels, byte_panels, even_tiles, pack_bytes};
use crate::network::kernels::{
    Aligned, BinaryQ8, ConvF32, ConvQ8, DepthwiseF32, DepthwiseQ8, DepthwiseRow, Kernels, Pixels,
    RawF32, RawQ8, Runs, plain,
};
use std::arch::x86_64::*;
use std::ops::Range;

/// The kernels. Only [`Avx512Vnni::detect`] hands one out, so a value of this type proves that the CPU has all the instructions.
#[derive(Debug)]
pub struct Avx512Vnni(());

impl Avx512Vnni {
    /// `None` if this CPU lacks the instructions.
    pub fn detect() -> Option<&'static Self> {
        static KERNELS: Avx512Vnni = Avx512Vnni(());
        let has_all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("fma");
        has_all.then_some(&KERNELS)
    }
}

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

impl Kernels for Avx512Vnni {
    fn name(&self) -> &'static str {
        "avx512-vnni"
    }

    fn signed(&self) -> bool {
        false
    }

    fn channel_group(&self, n: usize) -> usize {
        Panels::new(n, 16, WIDEST, 0).group()
    }

    fn pack_conv_q8(&self, runs: &Runs, raw: &RawQ8<'_>) -> Aligned {
        pack_bytes(panels(runs), runs, raw, 4, channel)
    }

    unsafe fn conv_q8(&self, conv: &ConvQ8, p: &Pixels, channels: Range<usize>, _: *mut u8) {
        let runs = &conv.runs;
        // A sum of few products is soon complete; then smaller tiles let the CPU end one while it multiplies the next.
        let short = runs.offsets.len() * runs.len <= SHORT;
        for panel in panels(runs).within(channels) {
            let most = if short { [8, 6, 4, 3] } else { [12, 12, 8, 6] }[panel.vectors - 1];
            // SAFETY: contract (reads, writes), tile by tile; `self` exists only on a CPU with the instructions.
            unsafe {
                even_tiles(p, panel.first, most, |pixels, size, count| {
                    run_tiles(conv, &panel, pixels, size, count);
                });
            }
        }
    }

    fn pack_depthwise_q8(&self, row: &DepthwiseRow, raw: &RawQ8<'_>) -> Aligned {
        avx512vnni_depthwise::pack(row, raw)
    }

    unsafe fn depthwise_q8(
        &self,
        conv: &DepthwiseQ8,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
        _: *mut u8,
    ) {
        // SAFETY: the caller's contract is the same; `self` exists only on a CPU with the instructions.
        unsafe { avx512vnni_depthwise::run(conv, rows, y, channels) }
    }

    fn float_panels(&self, runs: &Runs) -> Panels {
        avx512::panels(runs)
    }

    unsafe fn conv_f32(&self, conv: &ConvF32, p: &Pixels, channels: Range<usize>) {
        // SAFETY: the caller's contract is the same; `self` exists only on a CPU with the instructions.
        unsafe { avx512::conv(conv, p, channels) }
    }

    fn pack_depthwise_f32(&self, row: &DepthwiseRow, raw: &RawF32<'_>) -> Aligned {
        avx512::pack_depthwise(row, raw)
    }

    unsafe fn depthwise_f32(
        &self,
        conv: &DepthwiseF32,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
    ) {
        // SAFETY: the caller's contract is the same; `self` exists only on a CPU with the instructions.
        unsafe { avx512::depthwise(conv, rows, y, channels) }
    }

    fn add_q8(&self, add: &BinaryQ8, a: &[u8], b: &[u8], y: &mut [u8]) {
        // SAFETY: `self` exists only on a CPU with the instructions.
        unsafe { add_bytes(add, a, b, y) }
    }

    crate::network::kernels::x86::wider::wider_loops!("avx512f,avx512bw,avx512vl,avx512dq,fma");
}

/// The reference's `add_q8`; each vector operation is one of its operations. 64 values at a time if there are no limits except a
/// byte's, which saturation applies, and 16 otherwise.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma")]
fn add_bytes(add: &BinaryQ8, a: &[u8], b: &[u8], y: &mut [u8]) {
    let len = y.len().min(a.len()).min(b.len());
    let flip = _mm_set1_epi8(add.flip as i8);
    let (fixed, ra, rb) = (
        _mm512_set1_ps(add.fixed),
        _mm512_set1_ps(add.a),
        _mm512_set1_ps(add.b),
    );
    // SAFETY: 16 values from `i` are inside both slices.
    let sum = |i: usize| unsafe {
        let number = |from: &[u8]| {
            let bytes = _mm_xor_si128(_mm_loadu_si128(from.as_ptr().add(i).cast()), flip);
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))
        };
        let sum = _mm512_fmadd_ps(number(b), rb, fixed);
        _mm512_fmadd_ps(number(a), ra, sum)
    };
    let largest = 128.0 * (add.a.abs() + add.b.abs()) + add.fixed.abs();
    let free = (add.end.low, add.end.high) == (-128.0, 127.0) && largest < 2e9;
    let (done, whole) = (if free { len / 64 * 64 } else { 0 }, len / 16 * 16);
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let zero = _mm512_set1_epi8(add.end.zero as i8);
    for i in (0..done).step_by(64) {
        let q: [__m512i; 4] = std::array::from_fn(|v| _mm512_cvtps_epi32(sum(i + v * 16)));
        let words = (
            _mm512_packs_epi32(q[0], q[1]),
            _mm512_packs_epi32(q[2], q[3]),
        );
        let bytes = _mm512_permutexvar_epi32(order, _mm512_packs_epi16(words.0, words.1));
        // SAFETY: 64 values from `i` are inside the slice.
        unsafe {
            let y = y.as_mut_ptr().add(i);
            _mm512_storeu_si512(y.cast(), _mm512_add_epi8(bytes, zero));
        }
    }
    let (low, high) = (_mm512_set1_ps(add.end.low), _mm512_set1_ps(add.end.high));
    let zero = _mm512_castsi512_si128(zero);
    for i in (done..whole).step_by(16) {
        let limited = _mm512_min_ps(_mm512_max_ps(sum(i), low), high);
        let bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(limited));
        // SAFETY: 16 values from `i` are inside the slice.
        unsafe { _mm_storeu_si128(y.as_mut_ptr().add(i).cast(), _mm_add_epi8(bytes, zero)) };
    }
    plain::add_q8(add, &a[whole..], &b[whole..], &mut y[whole..]);
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
