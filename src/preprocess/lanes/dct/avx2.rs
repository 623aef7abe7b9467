//! With AVX2: halves of its vectors.

use super::super::avx2::{Avx2, load, narrow, transposed};
use super::{Eights, FRACTION_BITS, LANES};
use core::arch::x86_64::*;

impl Eights for Avx2 {
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
