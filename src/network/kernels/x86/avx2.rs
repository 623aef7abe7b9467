//! Int8 kernels with AVX2, for CPUs without byte dot products; floats are in [`super::avx2_float`].
//!
//! `vpmaddubsw` multiplies bytes but saturates (255 * 127 twice does not fit in 16 bits), so bytes are widened to 16 bits and
//! multiplied by 16-bit weights with `vpmaddwd`, which is exact: 16 multiply-adds per instruction. Each value is widened once for
//! all uses: into a buffer that every output channel then reads ([`super::avx2_conv`]), or in registers, for all outputs that use
//! a column ([`super::avx2_depthwise`]).

use super::{avx2_conv, avx2_depthwise, avx2_float};
use crate::network::kernels::panels::Panels;
use crate::network::kernels::{
    Aligned, BinaryQ8, ConvF32, ConvQ8, DepthwiseF32, DepthwiseQ8, DepthwiseRow, Kernels, Pixels,
    RawF32, RawQ8, Runs, plain,
};
use std::arch::x86_64::*;
use std::ops::Range;

/// The kernels. Only [`Avx2::detect`] hands one out, so a value of this type proves that the CPU has AVX2 and FMA.
#[derive(Debug)]
pub struct Avx2(());

impl Avx2 {
    /// `None` if this CPU lacks the instructions.
    pub fn detect() -> Option<&'static Self> {
        static KERNELS: Avx2 = Avx2(());
        let has_all = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        has_all.then_some(&KERNELS)
    }
}

impl Kernels for Avx2 {
    fn name(&self) -> &'static str {
        "avx2"
    }

    fn signed(&self) -> bool {
        false
    }

    fn channel_group(&self, n: usize) -> usize {
        avx2_conv::channel_group(n)
    }

    fn pack_conv_q8(&self, runs: &Runs, raw: &RawQ8<'_>) -> Aligned {
        avx2_conv::pack(runs, raw)
    }

    fn conv_q8_scratch_bytes(&self, runs: &Runs) -> usize {
        avx2_conv::scratch_bytes(runs)
    }

    unsafe fn conv_q8(&self, conv: &ConvQ8, p: &Pixels, channels: Range<usize>, scratch: *mut u8) {
        // SAFETY: the caller's contract is the same; `self` exists only on a CPU with AVX2 and FMA.
        unsafe { avx2_conv::run(conv, p, channels, scratch) }
    }

    fn pack_depthwise_q8(&self, row: &DepthwiseRow, raw: &RawQ8<'_>) -> Aligned {
        avx2_depthwise::pack(row, raw)
    }

    fn depthwise_q8_scratch_bytes(&self, row: &DepthwiseRow) -> usize {
        avx2_depthwise::scratch_bytes(row)
    }

    unsafe fn depthwise_q8(
        &self,
        conv: &DepthwiseQ8,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
        scratch: *mut u8,
    ) {
        // SAFETY: the caller's contract is the same; `self` exists only on a CPU with AVX2 and FMA.
        unsafe { avx2_depthwise::run(conv, rows, y, channels, scratch) }
    }

    fn float_panels(&self, runs: &Runs) -> Panels {
        avx2_float::panels(runs)
    }

    unsafe fn conv_f32(&self, conv: &ConvF32, p: &Pixels, channels: Range<usize>) {
        // SAFETY: the caller's contract is the same; `self` exists only on a CPU with AVX2 and FMA.
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
        // SAFETY: the caller's contract is the same; `self` exists only on a CPU with AVX2 and FMA.
        unsafe { avx2_float::depthwise(conv, rows, y, channels) }
    }

    fn add_q8(&self, add: &BinaryQ8, a: &[u8], b: &[u8], y: &mut [u8]) {
        // SAFETY: `self` exists only on a CPU with AVX2 and FMA.
        unsafe { add_bytes(add, a, b, y) }
    }

    crate::network::kernels::x86::wider::wider_loops!("avx2,fma");
}

/// The reference's `add_q8`, 8 values at a time; each vector operation is one of its operations.
#[target_feature(enable = "avx2,fma")]
fn add_bytes(add: &BinaryQ8, a: &[u8], b: &[u8], y: &mut [u8]) {
    let whole = y.len().min(a.len()).min(b.len()) / 8 * 8;
    let flip = _mm_set1_epi8(add.flip as i8);
    for i in (0..whole).step_by(8) {
        // SAFETY: 8 values from `i` are inside all three slices.
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
    plain::add_q8(add, &a[whole..], &b[whole..], &mut y[whole..]);
}
