//! The loops with AVX-512 and VNNI: `vpdpwssd` multiplies two taps and adds both products to the sum. What is not here is as in `avx2`.

use super::halves::{HALF, load, store_half};
use super::{Column, HORIZONTAL_SHIFT, ROWS, Row, TILE, VERTICAL_SHIFT, in_pairs, reach};
use core::arch::x86_64::*;

#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
pub fn vertical(
    rows: &[Row<'_>; ROWS],
    at: usize,
    stride: usize,
    columns: &mut [[Column; TILE]; 2],
) {
    // Sums of sixteen bytes: [row][part], where a row of the upper half of the rows follows one of the lower within each 128 bits.
    let filtered: [[__m512i; 2]; HALF] = std::array::from_fn(|row| {
        let low = filter(rows[row], at, stride);
        let high = filter(rows[row + HALF], at, stride);
        [
            _mm512_packs_epi32(low[0], high[0]),
            _mm512_packs_epi32(low[1], high[1]),
        ]
    });
    let columns = columns.as_flattened_mut();
    for part in 0..2 {
        let filtered = filtered.map(|row| row[part]);
        for (half, rows) in transposed(filtered).into_iter().enumerate() {
            for (i, values) in rows.into_iter().enumerate() {
                let fours = [
                    _mm512_castsi512_si128(values),
                    _mm512_extracti32x4_epi32::<1>(values),
                    _mm512_extracti32x4_epi32::<2>(values),
                    _mm512_extracti32x4_epi32::<3>(values),
                ];
                // Bytes 0..8 and 16..24 are in the first part, the others in the second.
                for (at, values) in [0, 4, TILE, TILE + 4].into_iter().zip(fours) {
                    store_half(&mut columns[at + 8 * part + i], half, values);
                }
            }
        }
    }
}

/// One output row of two tiles: sums of bytes 0..8 and 16..24, of bytes 8..16 and 24..32.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
fn filter((data, weights): Row<'_>, at: usize, stride: usize) -> [__m512i; 2] {
    let data = &data[at..][..reach(weights, stride, 2 * TILE)];
    // SAFETY: the data reaches to the end of both tiles of the last tap, and this load needs no alignment.
    let tiles = |tap: usize| unsafe { _mm256_loadu_si256(data.as_ptr().add(tap * stride).cast()) };
    let mut sums = [_mm512_set1_epi32(1 << (VERTICAL_SHIFT - 1)); 2];
    in_pairs(weights, tiles, _mm256_setzero_si256(), |a, b, two| {
        let weights = _mm512_set1_epi32(two);
        let interleaved = [_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)];
        for (sum, bytes) in sums.iter_mut().zip(interleaved) {
            *sum = _mm512_dpwssd_epi32(*sum, _mm512_cvtepu8_epi16(bytes), weights);
        }
    });
    sums.map(|sum| _mm512_srai_epi32::<{ VERTICAL_SHIFT as u32 }>(sum))
}

/// As in `avx2`, on twice as many columns.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn transposed(r: [__m512i; HALF]) -> [[__m512i; 4]; 2] {
    let pairs: [[__m512i; 4]; 2] = [
        std::array::from_fn(|i| _mm512_unpacklo_epi16(r[2 * i], r[2 * i + 1])),
        std::array::from_fn(|i| _mm512_unpackhi_epi16(r[2 * i], r[2 * i + 1])),
    ];
    pairs.map(|[a, b, c, d]| {
        let fours = [
            (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d)),
            (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d)),
        ];
        let [left, right] =
            fours.map(|(a, b)| [_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b)]);
        [left[0], left[1], right[0], right[1]]
    })
}

#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
pub fn horizontal<const STEP: usize>(columns: &[Column], weights: &[i16]) -> __m256i {
    let mut sums = [_mm256_set1_epi32(1 << (HORIZONTAL_SHIFT - 1)); 2];
    let columns = &columns[..reach(weights, STEP, 1)];
    // SAFETY: the columns reach to the last tap.
    let at = |tap: usize| load(unsafe { columns.get_unchecked(tap * STEP) });
    in_pairs(weights, at, _mm256_setzero_si256(), |a, b, two| {
        let weights = _mm256_set1_epi32(two);
        let interleaved = [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)];
        for (sum, values) in sums.iter_mut().zip(interleaved) {
            *sum = _mm256_dpwssd_epi32(*sum, values, weights);
        }
    });
    let [low, high] = sums.map(|sum| _mm256_srai_epi32::<HORIZONTAL_SHIFT>(sum));
    _mm256_packs_epi32(low, high)
}

/// Two colours, one in each half of the vectors.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
pub fn horizontal_twice<const STEP: usize>(
    [u, v]: [&[Column]; 2],
    weights: &[i16],
) -> [__m256i; 2] {
    let reach = reach(weights, STEP, 1);
    let (u, v) = (&u[..reach], &v[..reach]);
    let both = |tap: usize| {
        // SAFETY: both reach to the last tap.
        let (u, v) = unsafe { (u.get_unchecked(tap * STEP), v.get_unchecked(tap * STEP)) };
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(load(u)), load(v))
    };
    let mut sums = [_mm512_set1_epi32(1 << (HORIZONTAL_SHIFT - 1)); 2];
    in_pairs(weights, both, _mm512_setzero_si512(), |a, b, two| {
        let weights = _mm512_set1_epi32(two);
        let interleaved = [_mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b)];
        for (sum, values) in sums.iter_mut().zip(interleaved) {
            *sum = _mm512_dpwssd_epi32(*sum, values, weights);
        }
    });
    let [low, high] = sums.map(|sum| _mm512_srai_epi32::<{ HORIZONTAL_SHIFT as u32 }>(sum));
    let values = _mm512_packs_epi32(low, high);
    [
        _mm512_castsi512_si256(values),
        _mm512_extracti64x4_epi64::<1>(values),
    ]
}
