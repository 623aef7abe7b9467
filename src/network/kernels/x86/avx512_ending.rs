//! The last step of int8 layers with AVX-512.

use crate::network::graph::requantise::Requantise;
use crate::network::kernels::geometry::Sums;
use std::arch::x86_64::*;

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

/// The bytes of [`Ending::bytes`], those of each of the four vectors.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn one_by_one(bytes: __m512i) -> [__m128i; 4] {
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let bytes = _mm512_permutexvar_epi32(order, bytes);
    [
        _mm512_castsi512_si128(bytes),
        _mm512_extracti32x4_epi32::<1>(bytes),
        _mm512_extracti32x4_epi32::<2>(bytes),
        _mm512_extracti32x4_epi32::<3>(bytes),
    ]
}
