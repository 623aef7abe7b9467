//! The loops with the 128-bit instructions of AVX2.

use super::super::avx2::{Avx2, pair};
use super::{ColourTransform, FRACTION_BITS, LIGHT_BITS, Mosaic};
use core::arch::x86_64::*;

impl<const AVX512: bool> Mosaic for Avx2<AVX512> {
    type Samples = __m128i;

    #[inline(always)]
    fn bytes<const N: usize>(self, rows: [&[u8; 16]; N]) -> [__m128i; 2] {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { bytes(rows) }
    }

    #[inline(always)]
    fn words<const N: usize>(self, rows: [&[u8; 32]; N], mask: u16) -> [__m128i; 2] {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { words(rows, mask) }
    }

    #[inline(always)]
    fn packed_10<const N: usize>(self, rows: [&[u8; 20]; N]) -> [__m128i; 2] {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { packed_10(rows) }
    }

    #[inline(always)]
    fn packed_12<const N: usize>(self, rows: [&[u8; 24]; N]) -> [__m128i; 2] {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { packed_12(rows) }
    }

    #[inline(always)]
    fn add(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { _mm_add_epi16(a, b) }
    }

    #[inline(always)]
    fn deinterleave(self, samples: [__m128i; 2]) -> [__m128i; 2] {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { deinterleave(samples) }
    }

    #[inline(always)]
    fn add_pairs(self, [a, b]: [__m128i; 2]) -> __m128i {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { _mm_hadd_epi16(a, b) }
    }

    #[inline(always)]
    fn linear_light(self, sums: [__m128i; 3], transform: &ColourTransform) -> [__m128i; 3] {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { linear_light(sums, transform) }
    }

    #[inline(always)]
    fn words_of(self, samples: __m128i) -> [u64; 2] {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        let words = unsafe { [_mm_cvtsi128_si64(samples), _mm_extract_epi64::<1>(samples)] };
        words.map(i64::cast_unsigned)
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: the reference is valid for 16 bytes, and this load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn bytes<const N: usize>(rows: [&[u8; 16]; N]) -> [__m128i; 2] {
    let zero = _mm_setzero_si128();
    let mut sums = [zero; 2];
    for row in rows {
        let bytes = load(row);
        sums[0] = _mm_add_epi16(sums[0], _mm_unpacklo_epi8(bytes, zero));
        sums[1] = _mm_add_epi16(sums[1], _mm_unpackhi_epi8(bytes, zero));
    }
    sums
}

#[inline]
#[target_feature(enable = "avx2")]
fn words<const N: usize>(rows: [&[u8; 32]; N], mask: u16) -> [__m128i; 2] {
    let mut sums = [_mm_setzero_si128(); 2];
    for row in rows {
        for (sum, half) in sums.iter_mut().zip(row.as_chunks().0) {
            *sum = _mm_add_epi16(*sum, _mm_and_si128(load(half), _mm_set1_epi16(mask as i16)));
        }
    }
    sums
}

#[inline]
#[target_feature(enable = "avx2")]
fn packed_10<const N: usize>(rows: [&[u8; 20]; N]) -> [__m128i; 2] {
    // The low byte of each lane is the one shared by four samples, the high byte the sample's own.
    let places = _mm_setr_epi8(4, 0, 4, 1, 4, 2, 4, 3, 9, 5, 9, 6, 9, 7, 9, 8);
    let masks = _mm_setr_epi16(0x03, 0x0c, 0x30, 0xc0, 0x03, 0x0c, 0x30, 0xc0);
    let factors = _mm_setr_epi16(64, 16, 4, 1, 64, 16, 4, 1);
    let eight = |at: usize, first: i8| {
        let places = _mm_add_epi8(places, _mm_set1_epi8(first));
        let (upper, lower) = packed(rows, at, places, masks);
        let lower = _mm_srli_epi16::<6>(_mm_mullo_epi16(lower, factors));
        _mm_add_epi16(_mm_slli_epi16::<2>(upper), lower)
    };
    [eight(0, 0), eight(4, 6)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn packed_12<const N: usize>(rows: [&[u8; 24]; N]) -> [__m128i; 2] {
    // The low byte of each lane is the one shared by two samples, the high byte the sample's own.
    let places = _mm_setr_epi8(2, 0, 2, 1, 5, 3, 5, 4, 8, 6, 8, 7, 11, 9, 11, 10);
    let masks = _mm_setr_epi16(0x0f, 0xf0, 0x0f, 0xf0, 0x0f, 0xf0, 0x0f, 0xf0);
    let factors = _mm_setr_epi16(16, 1, 16, 1, 16, 1, 16, 1);
    let eight = |at: usize, first: i8| {
        let places = _mm_add_epi8(places, _mm_set1_epi8(first));
        let (upper, lower) = packed(rows, at, places, masks);
        let lower = _mm_srli_epi16::<4>(_mm_mullo_epi16(lower, factors));
        _mm_add_epi16(_mm_slli_epi16::<4>(upper), lower)
    };
    [eight(0, 0), eight(8, 4)]
}

/// Eight samples of `N` rows, whose lower bits are in bytes shared by several samples: the sums of their upper 8 bits, and the
/// sums of their lower bits, not yet shifted from their position in the shared byte (`masks`). Each row has at least 16 bytes
/// from `at` on.
#[inline]
#[target_feature(enable = "avx2")]
fn packed<const N: usize, const BYTES: usize>(
    rows: [&[u8; BYTES]; N],
    at: usize,
    places: __m128i,
    masks: __m128i,
) -> (__m128i, __m128i) {
    let (mut upper, mut lower) = (_mm_setzero_si128(), _mm_setzero_si128());
    for row in rows {
        let bytes = load(row[at..].first_chunk().unwrap_or(&[0; 16])); // it has them
        let lanes = _mm_shuffle_epi8(bytes, places);
        upper = _mm_add_epi16(upper, _mm_srli_epi16::<8>(lanes));
        lower = _mm_add_epi16(lower, _mm_and_si128(lanes, masks));
    }
    (upper, lower)
}

#[inline]
#[target_feature(enable = "avx2")]
fn deinterleave([a, b]: [__m128i; 2]) -> [__m128i; 2] {
    let low = _mm_set1_epi32(0xffff);
    [
        _mm_packus_epi32(_mm_and_si128(a, low), _mm_and_si128(b, low)),
        _mm_packus_epi32(_mm_srli_epi32::<16>(a), _mm_srli_epi32::<16>(b)),
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
fn linear_light(sums: [__m128i; 3], transform: &ColourTransform) -> [__m128i; 3] {
    let part = |c: usize| {
        let sum = _mm_sll_epi16(sums[c], _mm_cvtsi32_si128(transform.up[c] as i32));
        let above = _mm_subs_epu16(sum, _mm_set1_epi16(transform.black[c] as i16));
        let cut = _mm_min_epu16(above, _mm_set1_epi16(transform.white[c] as i16));
        _mm_sll_epi16(cut, _mm_cvtsi32_si128(transform.lift[c] as i32))
    };
    let [a, b, c] = [part(0), part(1), part(2)];
    // The third is paired with a constant one, whose factor rounds the sum.
    let one = _mm_set1_epi16(1);
    let low = [_mm_unpacklo_epi16(a, b), _mm_unpacklo_epi16(c, one)];
    let high = [_mm_unpackhi_epi16(a, b), _mm_unpackhi_epi16(c, one)];
    let half = 1 << (FRACTION_BITS - 1);
    let mixed = |[r, g, b]: [i16; 3]| {
        let sum = |[ab, c]: [__m128i; 2]| {
            let sum = _mm_add_epi32(
                _mm_madd_epi16(ab, pair(r, g)),
                _mm_madd_epi16(c, pair(b, half)),
            );
            _mm_srai_epi32::<{ FRACTION_BITS as i32 }>(sum)
        };
        let light = _mm_packus_epi32(sum(low), sum(high));
        _mm_min_epu16(light, _mm_set1_epi16((1 << LIGHT_BITS) - 1))
    };
    let [r, g, b] = transform.factors;
    [mixed(r), mixed(g), mixed(b)]
}
