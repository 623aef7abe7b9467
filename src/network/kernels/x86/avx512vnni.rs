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

use super::{avx512, avx512vnni_depthwise};
use crate::network::graph::requantise::Requantise;
use crate::network::kernels::panels::{Panel, Panels, byte_panels, even_tiles, pack_bytes};
use crate::network::kernels::{
    Aligned, BinaryQ8, ConvF32, ConvQ8, DepthwiseF32, DepthwiseQ8, DepthwiseRow, Kernels, Pixels,
    RawF32, RawQ8, Runs, Sums, plain,
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

fn panels(runs: &Runs) -> Panels {
    byte_panels(runs, 16, WIDEST, 4)
}

/// The output channel, within a panel of `vectors`, at a given place among its lanes.
fn channel(vectors: usize, place: usize) -> usize {
    let (vector, lane) = (place / 16, place % 16);
    lane / 4 * 4 * vectors + vector * 4 + lane % 4
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
        for panel in panels(&conv.runs).within(channels) {
            let most = [12, 12, 8, 6][panel.vectors - 1];
            // SAFETY: contract (reads, writes), tile by tile; `self` exists only on a CPU with the instructions.
            unsafe {
                even_tiles(p, panel.first, most, |pixels, size| {
                    run_tile(conv, &panel, pixels, size);
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

/// The reference's `add_q8`, 16 values at a time; each vector operation is one of its operations.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma")]
fn add_bytes(add: &BinaryQ8, a: &[u8], b: &[u8], y: &mut [u8]) {
    let whole = y.len().min(a.len()).min(b.len()) / 16 * 16;
    let flip = _mm_set1_epi8(add.flip as i8);
    let (fixed, ra, rb) = (
        _mm512_set1_ps(add.fixed),
        _mm512_set1_ps(add.a),
        _mm512_set1_ps(add.b),
    );
    let (low, high) = (_mm512_set1_ps(add.end.low), _mm512_set1_ps(add.end.high));
    let zero = _mm_set1_epi8(add.end.zero as i8);
    for i in (0..whole).step_by(16) {
        // SAFETY: 16 values from `i` are inside all three slices.
        unsafe {
            let number = |from: &[u8]| {
                let bytes = _mm_xor_si128(_mm_loadu_si128(from.as_ptr().add(i).cast()), flip);
                _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))
            };
            let sum = _mm512_fmadd_ps(number(b), rb, fixed);
            let sum = _mm512_fmadd_ps(number(a), ra, sum);
            let limited = _mm512_min_ps(_mm512_max_ps(sum, low), high);
            let bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(limited));
            _mm_storeu_si128(y.as_mut_ptr().add(i).cast(), _mm_add_epi8(bytes, zero));
        }
    }
    plain::add_q8(add, &a[whole..], &b[whole..], &mut y[whole..]);
}

/// # Safety
/// The CPU has AVX-512 with VNNI; `size` pixels as the geometry says.
unsafe fn run_tile(conv: &ConvQ8, panel: &Panel, t: &Pixels, size: usize) {
    let kind = kind(conv.sums, &conv.end);
    macro_rules! by_size {
        ($($vectors:literal: $($size:literal)*;)*) => {
            // SAFETY: the caller's contract is the same, with `size` pixels.
            unsafe {
                match (panel.vectors, size, kind) {
                    $($(($vectors, $size, SMALL) => tile::<$size, $vectors, SMALL>(conv, panel, t),
                    ($vectors, $size, FREE) => tile::<$size, $vectors, FREE>(conv, panel, t),
                    ($vectors, $size, _) => tile::<$size, $vectors, LIMITED>(conv, panel, t),)*)*
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
/// The CPU has AVX-512 with VNNI; MR pixels as the geometry says.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn tile<const MR: usize, const NV: usize, const KIND: u8>(
    conv: &ConvQ8,
    panel: &Panel,
    t: &Pixels,
) {
    // SAFETY: contract (reads, writes) of MR pixels; a run's last step reads at most 3 bytes of slack; the packed panel is
    // biases, multipliers, then NV vectors per step.
    unsafe {
        let head = conv.packed.as_ptr().add(panel.offset);
        let mut sums = [[_mm512_setzero_si512(); NV]; MR];
        for v in 0..NV {
            let bias = Ending::<KIND>::start(_mm512_load_si512(head.add(v * 64).cast()));
            for sums in &mut sums {
                sums[v] = bias;
            }
        }
        let mut w = head.add(NV * 128);
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
        let multipliers: [Multiplier; NV] = std::array::from_fn(|v| {
            Ending::<KIND>::multiplier(_mm512_load_ps(head.add(NV * 64 + v * 64).cast()))
        });
        let end = Ending::<KIND>::new(&conv.end);
        // As many pixels at a time as fill a vector of bytes.
        let together = if NV == 3 { 1 } else { 4 / NV };
        let order = match NV {
            1 => _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
            2 => _mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15),
            _ => _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 7, 11, 15),
        };
        let mut first = 0;
        while first < MR {
            let mut q = [_mm512_setzero_si512(); 4];
            for (i, q) in q.iter_mut().enumerate() {
                let (m, v) = (first + i / NV, i % NV);
                if i < together * NV && m < MR {
                    *q = end.steps(sums[m][v], multipliers[v]);
                }
            }
            let mut bytes = end.bytes(q);
            if NV != 4 {
                bytes = _mm512_permutexvar_epi32(order, bytes);
            }
            let y = t.y.add(first * t.y_pitch);
            if panel.channels < NV * 16 {
                let mask = u64::MAX >> (64 - panel.channels);
                for i in 0..together.min(MR - first) {
                    let mask = mask << (i * NV * 16);
                    let y = y.add(i * t.y_pitch).wrapping_sub(i * NV * 16);
                    _mm512_mask_storeu_epi8(y.cast(), mask, bytes);
                }
            } else {
                match NV {
                    1 => {
                        _mm_storeu_si128(y.cast(), _mm512_castsi512_si128(bytes));
                        if first + 1 < MR {
                            let part = _mm512_extracti32x4_epi32::<1>(bytes);
                            _mm_storeu_si128(y.add(t.y_pitch).cast(), part);
                        }
                        if first + 2 < MR {
                            let part = _mm512_extracti32x4_epi32::<2>(bytes);
                            _mm_storeu_si128(y.add(2 * t.y_pitch).cast(), part);
                        }
                        if first + 3 < MR {
                            let part = _mm512_extracti32x4_epi32::<3>(bytes);
                            _mm_storeu_si128(y.add(3 * t.y_pitch).cast(), part);
                        }
                    }
                    2 => {
                        _mm256_storeu_si256(y.cast(), _mm512_castsi512_si256(bytes));
                        if first + 1 < MR {
                            let part = _mm512_extracti64x4_epi64::<1>(bytes);
                            _mm256_storeu_si256(y.add(t.y_pitch).cast(), part);
                        }
                    }
                    3 => {
                        _mm256_storeu_si256(y.cast(), _mm512_castsi512_si256(bytes));
                        let part = _mm512_extracti32x4_epi32::<2>(bytes);
                        _mm_storeu_si128(y.add(32).cast(), part);
                    }
                    _ => _mm512_storeu_si512(y.cast(), bytes),
                }
            }
            first += together;
        }
    }
}

/// What is known of the last step of a quantised layer: its limits are applied.
pub(super) const LIMITED: u8 = 0;
/// Sums are bounded, and there are no limits except a byte's: the saturation of the narrowing instructions is all that is needed.
pub(super) const FREE: u8 = 1;
/// As `FREE`, with zero point 0 and small sums: see [`Ending::steps`].
pub(super) const SMALL: u8 = 2;

/// One of these, for a layer.
pub(super) fn kind(sums: Sums, end: &Requantise) -> u8 {
    match sums {
        Sums::Small if end.plain() => SMALL,
        Sums::Small | Sums::Bounded if end.free() => FREE,
        _ => LIMITED,
    }
}

/// The last step of a quantised layer, in vectors. The lower limit is applied to the bytes: until then the saturating narrowing
/// instructions keep small values small, which gives the same result.
pub(super) struct Ending<const KIND: u8> {
    high: __m512,
    zero: __m512i,
    low: __m512i,
}

/// Multipliers; and what is added to a product.
#[derive(Clone, Copy)]
pub(super) struct Multiplier(__m512, __m512);

/// As a float, `TO_FLOAT + n` is 2^23 + n, if 0 <= n < 2^23.
const TO_FLOAT: i32 = 0x4b00_0000;

impl<const KIND: u8> Ending<KIND> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn new(end: &Requantise) -> Self {
        Self {
            high: _mm512_set1_ps(end.high),
            zero: _mm512_set1_epi16(end.zero as i16),
            low: _mm512_set1_epi8((end.low as i32 + end.zero) as i8),
        }
    }

    /// What a sum begins with, given its bias.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn start(bias: __m512i) -> __m512i {
        if KIND == SMALL {
            _mm512_add_epi32(bias, _mm512_set1_epi32(TO_FLOAT))
        } else {
            bias
        }
    }

    /// For [`Ending::steps`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn multiplier(m: __m512) -> Multiplier {
        Multiplier(m, _mm512_mul_ps(m, _mm512_set1_ps(-8_388_608.0)))
    }

    /// Converts sums to whole steps from the zero point, without the lower limit. Small sums are not converted: taken as floats they
    /// are 2^23 more, and `m * (2^23 + sum) - m * 2^23`, rounded once, is `m * sum` rounded, because `m * 2^23` is exact. A sum
    /// below 0 is not itself as a float, but the result is below 0 or 0 all the same, and ends as 0.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn steps(&self, sums: __m512i, m: Multiplier) -> __m512i {
        if KIND == SMALL {
            return _mm512_cvtps_epi32(_mm512_fmadd_ps(_mm512_castsi512_ps(sums), m.0, m.1));
        }
        let mut steps = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), m.0);
        if KIND == LIMITED {
            steps = _mm512_min_ps(steps, self.high);
        }
        _mm512_cvtps_epi32(steps)
    }

    /// Converts four vectors to bytes; each 128-bit lane holds the lane's values of the four in turn.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn bytes(&self, q: [__m512i; 4]) -> __m512i {
        let a = _mm512_packs_epi32(q[0], q[1]);
        let b = _mm512_packs_epi32(q[2], q[3]);
        if KIND == SMALL {
            return _mm512_packus_epi16(a, b);
        }
        let (a, b) = (
            _mm512_adds_epi16(a, self.zero),
            _mm512_adds_epi16(b, self.zero),
        );
        let bytes = _mm512_packus_epi16(a, b);
        if KIND == LIMITED {
            return _mm512_max_epu8(bytes, self.low);
        }
        bytes
    }
}
