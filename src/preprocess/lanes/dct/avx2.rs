//! With AVX2: halves of its vectors.

use super::super::avx2::Avx2;
use super::{Eights, FRACTION_BITS, LANES};
use core::arch::x86_64::*;

impl<const AVX512: bool> Eights for Avx2<AVX512> {
    type Eight = __m128i;

    #[inline(always)]
    fn eight(self, values: &[i16; LANES]) -> __m128i {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { load(values) }
    }

    #[inline(always)]
    fn plus(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { _mm_adds_epi16(a, b) }
    }

    #[inline(always)]
    fn minus(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { _mm_subs_epi16(a, b) }
    }

    #[inline(always)]
    fn part_of(self, values: __m128i, part: i16) -> __m128i {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { _mm_mulhrs_epi16(values, _mm_set1_epi16(part)) }
    }

    #[inline(always)]
    fn transposed(self, rows: [__m128i; LANES]) -> [__m128i; LANES] {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { transposed(rows) }
    }

    #[inline(always)]
    fn pixels(self, values: __m128i) -> [u8; LANES] {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe {
            // The largest values are cut off, but they are white in any case.
            let half = _mm_set1_epi16(1 << (FRACTION_BITS - 1));
            narrow(_mm_srai_epi16::<FRACTION_BITS>(_mm_adds_epi16(
                values, half,
            )))
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(values: &[i16; LANES]) -> __m128i {
    // SAFETY: the reference is valid for 16 bytes, and this load needs no alignment.
    unsafe { _mm_loadu_si128(values.as_ptr().cast()) }
}

/// Transposes rows to columns.
#[inline]
#[target_feature(enable = "avx2")]
fn transposed(r: [__m128i; LANES]) -> [__m128i; LANES] {
    // Pairs of rows, then pairs of pairs, then pairs of fours: afterwards `i` holds columns 2i and 2i + 1.
    let p = |a, b| [_mm_unpacklo_epi16(a, b), _mm_unpackhi_epi16(a, b)];
    let ([a0, a1], [b0, b1]) = (p(r[0], r[1]), p(r[2], r[3]));
    let ([c0, c1], [d0, d1]) = (p(r[4], r[5]), p(r[6], r[7]));
    let q = |a, b| [_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b)];
    let (top_left, top_right) = (q(a0, b0), q(a1, b1));
    let (bottom_left, bottom_right) = (q(c0, d0), q(c1, d1));
    let s = |a, b| [_mm_unpacklo_epi64(a, b), _mm_unpackhi_epi64(a, b)];
    let [c0, c1] = s(top_left[0], bottom_left[0]);
    let [c2, c3] = s(top_left[1], bottom_left[1]);
    let [c4, c5] = s(top_right[0], bottom_right[0]);
    let [c6, c7] = s(top_right[1], bottom_right[1]);
    [c0, c1, c2, c3, c4, c5, c6, c7]
}

/// Eight 16-bit values, clamped to bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn narrow(values: __m128i) -> [u8; LANES] {
    _mm_cvtsi128_si64(_mm_packus_epi16(values, values)).to_le_bytes()
}
