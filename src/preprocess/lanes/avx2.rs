//! The loops with AVX2. Taps are processed in pairs: `vpmaddwd` multiplies two and adds the products.

use super::bt601::{BLACK, GREY, LUMA, SHIFT, U_BLUE, U_GREEN, V_GREEN, V_RED};
use super::{Column, FRACTION_BITS, HORIZONTAL_SHIFT, LANES, Pass, TILE, VERTICAL_SHIFT, Vectors};
use core::arch::x86_64::*;

/// AVX2, on a CPU that has it.
#[derive(Debug, Clone, Copy)]
pub struct Avx2(());

impl Avx2 {
    /// `None` on a CPU without it.
    pub fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    /// Runs all of `pass` as AVX2 code.
    pub fn run(self, pass: impl Pass) {
        #[target_feature(enable = "avx2")]
        fn with_avx2(pass: impl Pass, vectors: Avx2) {
            pass.run(vectors);
        }
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { with_avx2(pass, self) }
    }
}

impl Vectors for Avx2 {
    #[inline(always)]
    fn vertical_tile(
        self,
        rows: &[(&[u8], &[i16]); LANES],
        stride: usize,
        columns: &mut [Column; TILE],
    ) {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { vertical_tile(rows, stride, columns) }
    }

    #[inline(always)]
    fn vertical_tiles(
        self,
        rows: &[(&[u8], &[i16]); LANES],
        stride: usize,
        columns: &mut [[Column; TILE]; 2],
    ) {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { vertical_tiles(rows, stride, columns) }
    }

    #[inline(always)]
    fn rows_of(self, columns: &[[u8; LANES]; LANES]) -> [[u8; LANES]; LANES] {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { rows_of(columns) }
    }

    #[inline(always)]
    fn horizontal<const STEP: usize>(self, columns: &[Column], weights: &[i16]) -> __m128i {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { horizontal::<STEP>(columns, weights) }
    }

    #[inline(always)]
    fn horizontal_twice<const STEP: usize>(
        self,
        columns: [&[Column]; 2],
        weights: &[i16],
    ) -> [__m128i; 2] {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { horizontal_twice::<STEP>(columns, weights) }
    }

    #[inline(always)]
    fn bytes_of(self, values: __m128i) -> [u8; LANES] {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { bytes_of(values) }
    }

    #[inline(always)]
    fn rgb_of_yuv(self, y: __m128i, u: __m128i, v: __m128i) -> [[u8; LANES]; 3] {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { rgb_of_yuv(y, u, v) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load(column: &Column) -> __m128i {
    // SAFETY: the reference is valid for 16 bytes, and this load needs no alignment.
    unsafe { _mm_loadu_si128(column.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_bytes(bytes: &[u8; TILE]) -> __m128i {
    // SAFETY: the reference is valid for 16 bytes, and this load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(column: &mut Column, values: __m128i) {
    // SAFETY: the reference is valid for 16 bytes, and this store needs no alignment.
    unsafe { _mm_storeu_si128(column.as_mut_ptr().cast(), values) }
}

/// Two weights, for `_mm_madd_epi16` with interleaved values.
#[inline]
#[target_feature(enable = "avx2")]
pub fn pair(first: i16, second: i16) -> __m128i {
    _mm_set1_epi32(i32::from(first) & 0xffff | i32::from(second) << 16)
}

/// The first `N` tiles of a row.
#[inline]
#[target_feature(enable = "avx2")]
fn tiles<const N: usize>(bytes: &[u8]) -> [__m128i; N] {
    let (tiles, _) = bytes.as_chunks();
    match tiles.first_chunk::<N>() {
        Some(tiles) => std::array::from_fn(|i| load_bytes(&tiles[i])),
        None => [_mm_setzero_si128(); N], // the caller's rows are all at least as long
    }
}

/// Two weights, for `_mm256_madd_epi16` with interleaved values.
#[inline]
#[target_feature(enable = "avx2")]
fn wide_pair(first: i16, second: i16) -> __m256i {
    _mm256_set1_epi32(i32::from(first) & 0xffff | i32::from(second) << 16)
}

#[inline]
#[target_feature(enable = "avx2")]
fn vertical_tile(rows: &[(&[u8], &[i16]); LANES], stride: usize, columns: &mut [Column; TILE]) {
    let mut filtered = [[_mm_setzero_si128(); LANES]; 2];
    for (lane, (data, weights)) in rows.iter().enumerate() {
        let [[left, right]] = filter(data, stride, weights);
        filtered[0][lane] = left;
        filtered[1][lane] = right;
    }
    store_tile(filtered, columns);
}

#[inline]
#[target_feature(enable = "avx2")]
fn vertical_tiles(
    rows: &[(&[u8], &[i16]); LANES],
    stride: usize,
    columns: &mut [[Column; TILE]; 2],
) {
    let mut filtered = [[[_mm_setzero_si128(); LANES]; 2]; 2];
    for (lane, (data, weights)) in rows.iter().enumerate() {
        let tiles: [[__m128i; 2]; 2] = filter(data, stride, weights);
        for (filtered, halves) in filtered.iter_mut().zip(tiles) {
            for (filtered, half) in filtered.iter_mut().zip(halves) {
                filtered[lane] = half;
            }
        }
    }
    for (filtered, columns) in filtered.into_iter().zip(columns) {
        store_tile(filtered, columns);
    }
}

/// Transposes rows' left and right halves to columns.
#[inline]
#[target_feature(enable = "avx2")]
fn store_tile(filtered: [[__m128i; LANES]; 2], columns: &mut [Column; TILE]) {
    let (left, right) = columns.split_at_mut(LANES);
    for (columns, rows) in [left, right].into_iter().zip(filtered) {
        for (column, values) in columns.iter_mut().zip(transposed(rows)) {
            store(column, values);
        }
    }
}

/// One output row of `N` tiles: bytes 0..8 and 8..16 of each.
#[inline]
#[target_feature(enable = "avx2")]
fn filter<const N: usize>(data: &[u8], stride: usize, weights: &[i16]) -> [[__m128i; 2]; N] {
    let round = _mm256_set1_epi32(1 << (VERTICAL_SHIFT - 1));
    let mut sums = [[round; 2]; N];
    let mut add = |a: [__m128i; N], b: [__m128i; N], first: i16, second: i16| {
        let weights = wide_pair(first, second);
        for (sums, (a, b)) in sums.iter_mut().zip(a.into_iter().zip(b)) {
            let interleaved = [_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)];
            for (sum, bytes) in sums.iter_mut().zip(interleaved) {
                let products = _mm256_madd_epi16(_mm256_cvtepu8_epi16(bytes), weights);
                *sum = _mm256_add_epi32(*sum, products);
            }
        }
    };
    let pairs = weights.chunks_exact(2);
    let odd = pairs.remainder();
    let mut at = 0;
    for weights in pairs {
        let (first, second) = (&data[at..], &data[at + stride..]);
        add(tiles(first), tiles(second), weights[0], weights[1]);
        at += 2 * stride;
    }
    if let [weight] = odd {
        add(tiles(&data[at..]), [_mm_setzero_si128(); N], *weight, 0);
    }
    sums.map(|halves| {
        halves.map(|sum| {
            let values = _mm256_srai_epi32::<VERTICAL_SHIFT>(sum);
            _mm_packs_epi32(
                _mm256_castsi256_si128(values),
                _mm256_extracti128_si256::<1>(values),
            )
        })
    })
}

/// Transposes columns of bytes to rows: pairs of columns, then pairs of pairs, then pairs of fours.
#[inline]
#[target_feature(enable = "avx2")]
fn rows_of(columns: &[[u8; LANES]; LANES]) -> [[u8; LANES]; LANES] {
    let zipped = _mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
    let (twos, _) = columns.as_flattened().as_chunks();
    let [a, b, c, d] = std::array::from_fn(|i| _mm_shuffle_epi8(load_bytes(&twos[i]), zipped));
    let (ab, cd) = (_mm_unpacklo_epi16(a, b), _mm_unpacklo_epi16(c, d));
    let (ab_low, cd_low) = (_mm_unpackhi_epi16(a, b), _mm_unpackhi_epi16(c, d));
    let rows = [
        _mm_unpacklo_epi32(ab, cd),
        _mm_unpackhi_epi32(ab, cd),
        _mm_unpacklo_epi32(ab_low, cd_low),
        _mm_unpackhi_epi32(ab_low, cd_low),
    ];
    std::array::from_fn(|i| {
        let two = rows[i / 2];
        let one = if i % 2 == 0 {
            two
        } else {
            _mm_unpackhi_epi64(two, two)
        };
        _mm_cvtsi128_si64(one).to_le_bytes()
    })
}

/// Transposes rows to columns.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn transposed(r: [__m128i; LANES]) -> [__m128i; LANES] {
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

#[inline]
#[target_feature(enable = "avx2")]
fn horizontal<const STEP: usize>(columns: &[Column], weights: &[i16]) -> __m128i {
    let round = _mm_set1_epi32(1 << (HORIZONTAL_SHIFT - 1));
    let (mut left, mut right) = (round, round);
    let mut add = |a: __m128i, b: __m128i, weights: __m128i| {
        let low = _mm_madd_epi16(_mm_unpacklo_epi16(a, b), weights);
        let high = _mm_madd_epi16(_mm_unpackhi_epi16(a, b), weights);
        left = _mm_add_epi32(left, low);
        right = _mm_add_epi32(right, high);
    };
    let pairs = weights.chunks_exact(2);
    let odd = pairs.remainder();
    let mut at = 0;
    for weights in pairs {
        let (first, second) = (load(&columns[at]), load(&columns[at + STEP]));
        add(first, second, pair(weights[0], weights[1]));
        at += 2 * STEP;
    }
    if let [weight] = odd {
        add(load(&columns[at]), _mm_setzero_si128(), pair(*weight, 0));
    }
    _mm_packs_epi32(
        _mm_srai_epi32::<HORIZONTAL_SHIFT>(left),
        _mm_srai_epi32::<HORIZONTAL_SHIFT>(right),
    )
}

/// Two colours, one in each half of the vectors.
#[inline]
#[target_feature(enable = "avx2")]
fn horizontal_twice<const STEP: usize>([u, v]: [&[Column]; 2], weights: &[i16]) -> [__m128i; 2] {
    let both = |at: usize| _mm256_set_m128i(load(&v[at]), load(&u[at]));
    let mut sums = [_mm256_set1_epi32(1 << (HORIZONTAL_SHIFT - 1)); 2];
    let mut add = |a: __m256i, b: __m256i, weights: __m256i| {
        let interleaved = [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)];
        for (sum, values) in sums.iter_mut().zip(interleaved) {
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(values, weights));
        }
    };
    let pairs = weights.chunks_exact(2);
    let odd = pairs.remainder();
    let mut at = 0;
    for weights in pairs {
        add(both(at), both(at + STEP), wide_pair(weights[0], weights[1]));
        at += 2 * STEP;
    }
    if let [weight] = odd {
        add(both(at), _mm256_setzero_si256(), wide_pair(*weight, 0));
    }
    let [low, high] = sums.map(|sum| _mm256_srai_epi32::<HORIZONTAL_SHIFT>(sum));
    let values = _mm256_packs_epi32(low, high);
    [
        _mm256_castsi256_si128(values),
        _mm256_extracti128_si256::<1>(values),
    ]
}

/// Eight 16-bit values, clamped to bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn narrow(values: __m128i) -> [u8; LANES] {
    _mm_cvtsi128_si64(_mm_packus_epi16(values, values)).to_le_bytes()
}

#[inline]
#[target_feature(enable = "avx2")]
fn bytes_of(values: __m128i) -> [u8; LANES] {
    let half = _mm_set1_epi16(1 << (FRACTION_BITS - 1));
    narrow(_mm_srai_epi16::<FRACTION_BITS>(_mm_add_epi16(values, half)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn rgb_of_yuv(y: __m128i, u: __m128i, v: __m128i) -> [[u8; LANES]; 3] {
    let y = _mm_sub_epi16(y, _mm_set1_epi16(BLACK));
    let u = _mm_sub_epi16(u, _mm_set1_epi16(GREY));
    let v = _mm_sub_epi16(v, _mm_set1_epi16(GREY));
    let products = |a: __m128i, b: __m128i, factors: __m128i| {
        [
            _mm_madd_epi16(_mm_unpacklo_epi16(a, b), factors),
            _mm_madd_epi16(_mm_unpackhi_epi16(a, b), factors),
        ]
    };
    let round = _mm_set1_epi32(1 << (SHIFT - 1));
    let bytes = |sums: [__m128i; 2]| {
        let [low, high] = sums.map(|sum| _mm_srai_epi32::<SHIFT>(_mm_add_epi32(sum, round)));
        narrow(_mm_packs_epi32(low, high))
    };
    let [a0, a1] = products(y, u, pair(LUMA, -U_GREEN));
    let [b0, b1] = products(v, _mm_setzero_si128(), pair(-V_GREEN, 0));
    [
        bytes(products(y, v, pair(LUMA, V_RED))),
        bytes([_mm_add_epi32(a0, b0), _mm_add_epi32(a1, b1)]),
        bytes(products(y, u, pair(LUMA, U_BLUE))),
    ]
}
