//! The loops with AVX2. Taps are processed in pairs: `vpmaddwd` multiplies two and adds the products.

use super::bt601::{BLACK, GREY, LUMA, SHIFT, U_BLUE, U_GREEN, V_GREEN, V_RED};
use super::halves::{HALF, load, store_half};
use super::{
    Column, FRACTION_BITS, HORIZONTAL_SHIFT, LANES, Pass, ROWS, Row, TILE, VERTICAL_SHIFT, Vectors,
    avx512, full_range, in_pairs, reach, two,
};
use core::arch::x86_64::*;

/// AVX2, on a CPU that has it; with `AVX512`, a CPU that also has AVX-512 with VNNI.
#[derive(Debug, Clone, Copy)]
pub struct Avx2<const AVX512: bool>(());

impl Avx2<false> {
    /// `None` on a CPU without it.
    pub fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    /// Runs all of `pass` as AVX2 code.
    pub fn run(self, pass: impl Pass) {
        #[target_feature(enable = "avx2")]
        fn with_avx2(pass: impl Pass, vectors: Avx2<false>) {
            pass.run(vectors);
        }
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { with_avx2(pass, self) }
    }
}

impl Avx2<true> {
    /// `None` on a CPU without it.
    pub fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        has.then_some(Self(()))
    }

    /// Runs all of `pass` as AVX-512 code.
    pub fn run(self, pass: impl Pass) {
        #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
        fn with_avx512(pass: impl Pass, vectors: Avx2<true>) {
            pass.run(vectors);
        }
        // SAFETY: a value of this type exists only on a CPU with these features.
        unsafe { with_avx512(pass, self) }
    }
}

impl<const AVX512: bool> Vectors for Avx2<AVX512> {
    type Values = __m256i;

    #[inline(always)]
    fn vertical_tile(
        self,
        rows: &[Row<'_>; ROWS],
        at: usize,
        stride: usize,
        columns: &mut [Column; TILE],
    ) {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { vertical(rows, at, stride, std::array::from_mut(columns)) }
    }

    #[inline(always)]
    fn vertical_tiles(
        self,
        rows: &[Row<'_>; ROWS],
        at: usize,
        stride: usize,
        columns: &mut [[Column; TILE]; 2],
    ) {
        // SAFETY: a value of this type exists only on a CPU with AVX2, and with AVX-512 if it says so.
        unsafe {
            if AVX512 {
                avx512::vertical(rows, at, stride, columns);
            } else {
                vertical(rows, at, stride, columns);
            }
        }
    }

    #[inline(always)]
    fn rows_of(self, columns: &[[u8; ROWS]; LANES]) -> [[u8; LANES]; ROWS] {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { rows_of(columns) }
    }

    #[inline(always)]
    fn horizontal<const STEP: usize>(self, columns: &[Column], weights: &[i16]) -> __m256i {
        // SAFETY: a value of this type exists only on a CPU with AVX2, and with AVX-512 if it says so.
        unsafe {
            if AVX512 {
                avx512::horizontal::<STEP>(columns, weights)
            } else {
                horizontal::<STEP, 1>([columns], weights)[0]
            }
        }
    }

    #[inline(always)]
    fn horizontal_twice<const STEP: usize>(
        self,
        columns: [&[Column]; 2],
        weights: &[i16],
    ) -> [__m256i; 2] {
        // SAFETY: a value of this type exists only on a CPU with AVX2, and with AVX-512 if it says so.
        unsafe {
            if AVX512 {
                avx512::horizontal_twice::<STEP>(columns, weights)
            } else {
                horizontal::<STEP, 2>(columns, weights)
            }
        }
    }

    #[inline(always)]
    fn bytes_of(self, values: __m256i) -> [u8; ROWS] {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { bytes_of(values) }
    }

    #[inline(always)]
    fn rgb_of_yuv(self, y: __m256i, u: __m256i, v: __m256i) -> [[u8; ROWS]; 3] {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { rgb_of_yuv(y, u, v) }
    }

    #[inline(always)]
    fn rgb_of_full_yuv(self, y: __m256i, u: __m256i, v: __m256i) -> [[u8; ROWS]; 3] {
        // SAFETY: a value of this type exists only on a CPU with AVX2.
        unsafe { rgb_of_full_yuv(y, u, v) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_bytes(bytes: &[u8; TILE]) -> __m128i {
    // SAFETY: the reference is valid for 16 bytes, and this load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// Two weights, for `_mm_madd_epi16` with interleaved values.
#[inline]
#[target_feature(enable = "avx2")]
pub fn pair(first: i16, second: i16) -> __m128i {
    _mm_set1_epi32(two(first, second))
}

/// The same for `_mm256_madd_epi16`.
#[inline]
#[target_feature(enable = "avx2")]
fn wide_pair(first: i16, second: i16) -> __m256i {
    _mm256_set1_epi32(two(first, second))
}

#[inline]
#[target_feature(enable = "avx2")]
fn vertical<const N: usize>(
    rows: &[Row<'_>; ROWS],
    at: usize,
    stride: usize,
    columns: &mut [[Column; TILE]; N],
) {
    // Sums of eight bytes: [tile][half][row], where a row of the upper half of the rows follows one of the lower within each 128 bits.
    let mut filtered = [[[_mm256_setzero_si256(); HALF]; 2]; N];
    for row in 0..HALF {
        let low: [_; N] = filter(rows[row], at, stride);
        let high: [_; N] = filter(rows[row + HALF], at, stride);
        for (filtered, (low, high)) in filtered.iter_mut().zip(low.into_iter().zip(high)) {
            for (filtered, (low, high)) in filtered.iter_mut().zip(low.into_iter().zip(high)) {
                filtered[row] = _mm256_packs_epi32(low, high);
            }
        }
    }
    for (halves, columns) in filtered.into_iter().zip(columns) {
        for (filtered, columns) in halves.into_iter().zip(columns.as_chunks_mut::<8>().0) {
            for (half, rows) in transposed(filtered).into_iter().enumerate() {
                for (i, values) in rows.into_iter().enumerate() {
                    let right = _mm256_extracti128_si256::<1>(values);
                    store_half(&mut columns[i], half, _mm256_castsi256_si128(values));
                    store_half(&mut columns[i + 4], half, right);
                }
            }
        }
    }
}

/// One output row of `N` tiles: sums of bytes 0..8 and 8..16 of each, with [`FRACTION_BITS`].
#[inline]
#[target_feature(enable = "avx2")]
fn filter<const N: usize>((data, weights): Row<'_>, at: usize, stride: usize) -> [[__m256i; 2]; N] {
    let data = &data[at..][..reach(weights, stride, N * TILE)];
    let tiles = |tap: usize| -> [__m128i; N] {
        // SAFETY: the data reaches to the end of the last tile of the last tap, and this load needs no alignment.
        let tile =
            |i| unsafe { _mm_loadu_si128(data.as_ptr().add(tap * stride + i * TILE).cast()) };
        std::array::from_fn(tile)
    };
    let round = _mm256_set1_epi32(1 << (VERTICAL_SHIFT - 1));
    let mut sums = [[round; 2]; N];
    in_pairs(weights, tiles, [_mm_setzero_si128(); N], |a, b, two| {
        let weights = _mm256_set1_epi32(two);
        for (sums, (a, b)) in sums.iter_mut().zip(a.into_iter().zip(b)) {
            let interleaved = [_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)];
            for (sum, bytes) in sums.iter_mut().zip(interleaved) {
                let products = _mm256_madd_epi16(_mm256_cvtepu8_epi16(bytes), weights);
                *sum = _mm256_add_epi32(*sum, products);
            }
        }
    });
    sums.map(|halves| halves.map(|sum| _mm256_srai_epi32::<VERTICAL_SHIFT>(sum)))
}

/// Transposes eight vectors of four values each of two rows to columns: of the first rows of all, and of the second ones, four
/// columns each, within each 128 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn transposed(r: [__m256i; 8]) -> [[__m256i; 4]; 2] {
    // Pairs of rows, then pairs of pairs, then pairs of fours.
    let pairs: [[__m256i; 4]; 2] = [
        std::array::from_fn(|i| _mm256_unpacklo_epi16(r[2 * i], r[2 * i + 1])),
        std::array::from_fn(|i| _mm256_unpackhi_epi16(r[2 * i], r[2 * i + 1])),
    ];
    pairs.map(|[a, b, c, d]| {
        let fours = [
            (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d)),
            (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d)),
        ];
        let [left, right] =
            fours.map(|(a, b)| [_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)]);
        [left[0], left[1], right[0], right[1]]
    })
}

/// Transposes columns of bytes to rows: single bytes of columns four apart, then pairs, then fours of two such.
#[inline]
#[target_feature(enable = "avx2")]
fn rows_of(columns: &[[u8; ROWS]; LANES]) -> [[u8; LANES]; ROWS] {
    let c: [__m128i; LANES] = std::array::from_fn(|i| load_bytes(&columns[i]));
    let zip = |a, b| [_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)];
    let [[a, e], [b, f], [c, g], [d, h]] = std::array::from_fn(|i| zip(c[i], c[i + 4]));
    let mut rows = [[0; LANES]; ROWS];
    let (twos, _) = rows.as_chunks_mut::<2>();
    let (first, last) = twos.split_at_mut(4);
    for (twos, [a, b, c, d]) in [(first, [a, b, c, d]), (last, [e, f, g, h])] {
        let even = zip(a, c);
        let odd = zip(b, d);
        let all = even
            .into_iter()
            .zip(odd)
            .flat_map(|(even, odd)| zip(even, odd));
        for (two, values) in twos.iter_mut().zip(all) {
            // SAFETY: the reference is valid for 16 bytes, and this store needs no alignment.
            unsafe { _mm_storeu_si128(two.as_mut_ptr().cast(), values) }
        }
    }
    rows
}

/// `N` colours with the same weights.
#[inline]
#[target_feature(enable = "avx2")]
fn horizontal<const STEP: usize, const N: usize>(
    columns: [&[Column]; N],
    weights: &[i16],
) -> [__m256i; N] {
    let mut sums = [[_mm256_set1_epi32(1 << (HORIZONTAL_SHIFT - 1)); 2]; N];
    let reach = reach(weights, STEP, 1);
    let columns: [&[Column]; N] = std::array::from_fn(|i| &columns[i][..reach]);
    let at = |tap: usize| -> [__m256i; N] {
        // SAFETY: the columns reach to the last tap.
        std::array::from_fn(|i| load(unsafe { columns[i].get_unchecked(tap * STEP) }))
    };
    in_pairs(weights, at, [_mm256_setzero_si256(); N], |a, b, two| {
        let weights = _mm256_set1_epi32(two);
        for (sums, (a, b)) in sums.iter_mut().zip(a.into_iter().zip(b)) {
            let interleaved = [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)];
            for (sum, values) in sums.iter_mut().zip(interleaved) {
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(values, weights));
            }
        }
    });
    sums.map(|sums| {
        let [low, high] = sums.map(|sum| _mm256_srai_epi32::<HORIZONTAL_SHIFT>(sum));
        _mm256_packs_epi32(low, high)
    })
}

/// Sixteen 16-bit values, clamped to bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn narrow(values: __m256i) -> [u8; ROWS] {
    let (low, high) = (
        _mm256_castsi256_si128(values),
        _mm256_extracti128_si256::<1>(values),
    );
    let mut bytes = [0; ROWS];
    // SAFETY: the array has room for the 16 bytes, and this store needs no alignment.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), _mm_packus_epi16(low, high)) };
    bytes
}

#[inline]
#[target_feature(enable = "avx2")]
fn bytes_of(values: __m256i) -> [u8; ROWS] {
    let half = _mm256_set1_epi16(1 << (FRACTION_BITS - 1));
    narrow(_mm256_srai_epi16::<FRACTION_BITS>(_mm256_add_epi16(
        values, half,
    )))
}

#[inline]
#[target_feature(enable = "avx2")]
fn rgb_of_yuv(y: __m256i, u: __m256i, v: __m256i) -> [[u8; ROWS]; 3] {
    let y = _mm256_sub_epi16(y, _mm256_set1_epi16(BLACK));
    let u = _mm256_sub_epi16(u, _mm256_set1_epi16(GREY));
    let v = _mm256_sub_epi16(v, _mm256_set1_epi16(GREY));
    let interleaved = |a, b| [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)];
    let plus = |sums: [__m256i; 2], values: [__m256i; 2], factors: __m256i| {
        [
            _mm256_add_epi32(sums[0], _mm256_madd_epi16(values[0], factors)),
            _mm256_add_epi32(sums[1], _mm256_madd_epi16(values[1], factors)),
        ]
    };
    let bytes = |sums: [__m256i; 2]| {
        let [low, high] = sums.map(|sum| _mm256_srai_epi32::<SHIFT>(sum));
        narrow(_mm256_packs_epi32(low, high))
    };
    let round = [_mm256_set1_epi32(1 << (SHIFT - 1)); 2];
    let (yu, yv) = (interleaved(y, u), interleaved(y, v));
    let green = plus(round, yu, wide_pair(LUMA, -U_GREEN));
    [
        bytes(plus(round, yv, wide_pair(LUMA, V_RED))),
        bytes(plus(green, yv, wide_pair(0, -V_GREEN))),
        bytes(plus(round, yu, wide_pair(LUMA, U_BLUE))),
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
fn rgb_of_full_yuv(y: __m256i, u: __m256i, v: __m256i) -> [[u8; ROWS]; 3] {
    let rgb = full_range(
        [y, u, v],
        _mm256_set1_epi16(GREY),
        |a, b| _mm256_adds_epi16(a, b),
        |a, b| _mm256_subs_epi16(a, b),
        |values, part| _mm256_mulhrs_epi16(values, _mm256_set1_epi16(part)),
    );
    rgb.map(|colour| bytes_of(colour))
}
