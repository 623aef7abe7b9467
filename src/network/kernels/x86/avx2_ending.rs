//! The last step of int8 layers with AVX2, and what its convolutions share.

use crate::network::graph::requantise::Requantise;
use std::arch::x86_64::*;

/// Bytes that widened values may take, so that they stay in L1.
pub(super) const NEAR_BYTES: usize = 24 << 10;

/// The last step of a quantised layer, in vectors. The lower limit is applied to the bytes: until then the saturating narrowing
/// instructions keep small values small, which gives the same result. PLAIN: zero point 0, no limits except a byte's, and sums
/// that cannot overflow; then saturation is all that is needed.
pub(super) struct Ending<const PLAIN: bool> {
    high: __m256,
    zero: __m256i,
    low: __m256i,
}

impl<const PLAIN: bool> Ending<PLAIN> {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn new(end: &Requantise) -> Self {
        Self {
            high: _mm256_set1_ps(end.high),
            zero: _mm256_set1_epi16(end.zero as i16),
            low: _mm256_set1_epi8((end.low as i32 + end.zero) as i8),
        }
    }

    /// Converts four vectors of sums to bytes; each 128-bit lane holds the lane's values of the four in turn.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn bytes(&self, sums: [__m256i; 4], multipliers: [__m256; 4]) -> __m256i {
        let steps = |v: usize| {
            let mut steps = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[v]), multipliers[v]);
            if !PLAIN {
                steps = _mm256_min_ps(steps, self.high);
            }
            _mm256_cvtps_epi32(steps)
        };
        let a = _mm256_packs_epi32(steps(0), steps(1));
        let b = _mm256_packs_epi32(steps(2), steps(3));
        if PLAIN {
            return _mm256_packus_epi16(a, b);
        }
        let (a, b) = (
            _mm256_adds_epi16(a, self.zero),
            _mm256_adds_epi16(b, self.zero),
        );
        _mm256_max_epu8(_mm256_packus_epi16(a, b), self.low)
    }

    /// Finishes `MR` pixels of two vectors of sums each, whose lanes are the channels given by [`channel`]`(2, ..)`, and stores
    /// the first `valid` bytes of each.
    ///
    /// # Safety
    /// `y` is valid for `MR` pixels, `y_pitch` bytes apart.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn store_pairs<const MR: usize>(
        &self,
        sums: &[[__m256i; 2]; MR],
        multipliers: [__m256; 2],
        y: *mut u8,
        y_pitch: usize,
        valid: usize,
    ) {
        let [m0, m1] = multipliers;
        for first in (0..MR).step_by(2) {
            let second = (first + 1).min(MR - 1);
            let four = [
                sums[first][0],
                sums[first][1],
                sums[second][0],
                sums[second][1],
            ];
            let bytes = self.bytes(four, [m0, m1, m0, m1]);
            let bytes = _mm256_permute4x64_epi64::<0b11_01_10_00>(bytes);
            // SAFETY: `y` is valid for `valid` bytes of each of the MR pixels.
            unsafe {
                store(y.add(first * y_pitch), _mm256_castsi256_si128(bytes), valid);
                if first + 1 < MR {
                    let upper = _mm256_extracti128_si256::<1>(bytes);
                    store(y.add(second * y_pitch), upper, valid);
                }
            }
        }
    }
}

/// The output channel, within a panel of `vectors`, of a vector's lane: the narrowing instructions restore the order.
pub(super) fn channel(vectors: usize, vector: usize, lane: usize) -> usize {
    lane / 4 * 4 * vectors + vector * 4 + lane % 4
}

/// Stores the first `valid` of 16 bytes.
///
/// # Safety
/// `y` is valid for them.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn store(mut y: *mut u8, mut bytes: __m128i, valid: usize) {
    // SAFETY: each part is stored only if `valid` includes it.
    unsafe {
        if valid >= 16 {
            _mm_storeu_si128(y.cast(), bytes);
            return;
        }
        if valid & 8 != 0 {
            _mm_storel_epi64(y.cast(), bytes);
            bytes = _mm_unpackhi_epi64(bytes, bytes);
            y = y.add(8);
        }
        if valid & 4 != 0 {
            y.cast::<i32>().write_unaligned(_mm_cvtsi128_si32(bytes));
            bytes = _mm_srli_si128::<4>(bytes);
            y = y.add(4);
        }
        let last = _mm_cvtsi128_si32(bytes);
        if valid & 2 != 0 {
            y.cast::<u16>().write_unaligned(last as u16);
            y = y.add(2);
        }
        if valid & 1 != 0 {
            *y = (last >> ((valid & 2) * 8)) as u8;
        }
    }
}
