//! Int8 kernels with AVX-512 VNNI (`vpdpbusd` adds four u8 x i8 products to each 32-bit lane): convolutions are in
//! [`super::avx512vnni_conv`], depthwise ones in [`super::avx512vnni_depthwise`], floats in [`super::avx512`].

use super::{avx512, avx512vnni_conv, avx512vnni_depthwise};
use crate::network::kernels::panels::Panels;
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

impl Kernels for Avx512Vnni {
    fn name(&self) -> &'static str {
        "avx512-vnni"
    }

    fn signed(&self) -> bool {
        false
    }

    fn channel_group(&self, n: usize) -> usize {
        avx512vnni_conv::channel_group(n)
    }

    fn pack_conv_q8(&self, runs: &Runs, raw: &RawQ8<'_>) -> Aligned {
        avx512vnni_conv::pack(runs, raw)
    }

    unsafe fn conv_q8(&self, conv: &ConvQ8, p: &Pixels, channels: Range<usize>, _: *mut u8) {
        // SAFETY: the caller's contract is the same; `self` exists only on a CPU with the instructions.
        unsafe { avx512vnni_conv::run(conv, p, channels) }
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
