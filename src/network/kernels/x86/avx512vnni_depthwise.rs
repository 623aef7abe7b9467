//! Int8 depthwise convolution with AVX-512 VNNI; the approach is described in [`super::avx512vnni`].
//!
//! Packed form: blocks of 64 channels, then one of 32, then of 16 (the last may be partly empty). A block of `width` channels
//! is four vectors of biases, four of multipliers, then for each kernel column and group of four kernel rows four vectors of
//! weights; a vector is `width` bytes. Vector v, 128-bit lane l, 32-bit lane i is channel `16 l + 4 v + i` of the block.

use super::avx512vnni::Ending;
use crate::network::kernels::{Aligned, DepthwiseQ8, DepthwiseRow, RawQ8};
use std::arch::x86_64::*;
use std::ops::Range;

/// Width of the block that begins `left` channels before the end.
fn width(left: usize) -> usize {
    match left {
        48.. => 64,
        17.. => 32,
        _ => 16,
    }
}

/// Groups of four kernel rows.
fn groups(row: &DepthwiseRow) -> usize {
    row.kh.div_ceil(4)
}

/// Packed bytes of a block per channel.
fn bytes_per_channel(row: &DepthwiseRow) -> usize {
    8 + row.kw * groups(row) * 4
}

/// `(first channel, width)` of every block; `channels` begins at a multiple of 64.
fn blocks(row: &DepthwiseRow, channels: Range<usize>) -> impl Iterator<Item = (usize, usize)> {
    let end = channels.end.min(row.c);
    let mut at = channels.start;
    std::iter::from_fn(move || {
        let left = end.checked_sub(at).filter(|&l| l > 0)?;
        let block = (at, width(left));
        at += block.1;
        Some(block)
    })
}

/// Packs weights, biases and multipliers.
pub(super) fn pack(row: &DepthwiseRow, raw: &RawQ8<'_>) -> Aligned {
    let g = groups(row);
    let per = bytes_per_channel(row);
    let mut packed = Aligned::zeroed((row.c + 64) * per);
    let bytes = packed.bytes_mut();
    for (first, width) in blocks(row, 0..row.c) {
        let start = first * per;
        for vector in 0..4 {
            for lane in 0..width / 4 {
                let c = first + lane / 4 * 16 + vector * 4 + lane % 4;
                if c >= row.c {
                    continue;
                }
                let at = start + vector * width + lane * 4;
                bytes[at..at + 4].copy_from_slice(&raw.bias[c].to_ne_bytes());
                let at = at + 4 * width;
                bytes[at..at + 4].copy_from_slice(&raw.multiplier[c].to_ne_bytes());
                let at = at + 4 * width;
                for kx in 0..row.kw {
                    for ky in 0..row.kh {
                        let at = at + (kx * g + ky / 4) * 4 * width + ky % 4;
                        bytes[at] = raw.w[(c * row.kh + ky) * row.kw + kx] as u8;
                    }
                }
            }
        }
    }
    packed
}

/// Some channels of one output row.
///
/// # Safety
/// The CPU has AVX-512 with VNNI; the contract of `Kernels`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) unsafe fn run(
    conv: &DepthwiseQ8,
    rows: &[*const u8],
    y: *mut u8,
    channels: Range<usize>,
) {
    let row = &conv.row;
    let per = bytes_per_channel(row);
    let usual = row.kw == 3 && row.kh == 3 && row.dilation == 1;
    for (first, width) in blocks(row, channels) {
        // SAFETY: contract (reads, writes); a block's packed bytes begin after those of the `first` channels before it.
        unsafe {
            let job = Job {
                conv,
                rows,
                y: y.add(first),
                first,
                valid: width.min(row.c - first),
                packed: conv.packed.as_ptr().add(first * per),
                plain: conv.bounded && conv.end.plain(),
            };
            match (width, usual, row.stride) {
                (64, true, 1) => rolling64::<1>(&job),
                (64, true, 2) => rolling64::<2>(&job),
                (64, ..) => any64(&job),
                (32, true, 1) => rolling32::<1>(&job),
                (32, true, 2) => rolling32::<2>(&job),
                (32, ..) => any32(&job),
                (_, true, 1) => rolling16::<1>(&job),
                (_, true, 2) => rolling16::<2>(&job),
                _ => any16(&job),
            }
        }
    }
}

/// One block of channels of one row.
struct Job<'a> {
    conv: &'a DepthwiseQ8,
    rows: &'a [*const u8],
    y: *mut u8,
    first: usize,
    valid: usize,
    packed: *const u8,
    plain: bool,
}

/// The loops for one block width, given its vector type and instructions.
macro_rules! width {
    ($column:ident, $rolling:ident, $any:ident, $finish:ident, $v:ty, $bytes:literal, $zero:ident, $load:ident, $splat:ident,
     $lo8:ident, $hi8:ident, $lo16:ident, $hi16:ident, $dot:ident) => {
        /// The bytes of up to four rows at an input column, interleaved; padding outside the picture.
        ///
        /// # Safety
        /// As `run`.
        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
        unsafe fn $column(job: &Job<'_>, rows: &[*const u8], column: usize, pad: $v) -> [$v; 4] {
            let row = &job.conv.row;
            if column >= row.w_in {
                return [pad; 4];
            }
            // SAFETY: the column is in the picture; reading past the last channel is within the slack.
            unsafe {
                let at = column * row.c + job.first;
                let load = |r: usize| match rows.get(r) {
                    Some(row) => $load(row.add(at).cast()),
                    None => $zero(),
                };
                let (a, b, c, d) = (load(0), load(1), load(2), load(3));
                let (ab, cd) = ($lo8(a, b), $lo8(c, d));
                let (ef, gh) = ($hi8(a, b), $hi8(c, d));
                [$lo16(ab, cd), $hi16(ab, cd), $lo16(ef, gh), $hi16(ef, gh)]
            }
        }

        /// A 3x3 kernel; its columns are kept from output to output.
        ///
        /// # Safety
        /// As `run`.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
        unsafe fn $rolling<const STRIDE: usize>(job: &Job<'_>) {
            let row = &job.conv.row;
            // SAFETY: as `run`.
            unsafe {
                let pad = $splat(job.conv.pad as i8);
                let rows = [job.rows[0], job.rows[1], job.rows[2]];
                let at = |i: usize| $load(job.packed.add(i * $bytes).cast());
                let w: [[$v; 4]; 3] =
                    std::array::from_fn(|k| std::array::from_fn(|v| at(8 + k * 4 + v)));
                let bias: [$v; 4] = std::array::from_fn(at);
                let mut a = $column(job, &rows, 0usize.wrapping_sub(row.left), pad);
                let mut b = [pad; 4];
                if STRIDE == 1 {
                    b = $column(job, &rows, 1usize.wrapping_sub(row.left), pad);
                }
                for ox in 0..row.w_out {
                    let from = (ox * STRIDE).wrapping_sub(row.left);
                    if STRIDE == 2 {
                        b = $column(job, &rows, from.wrapping_add(1), pad);
                    }
                    let c = $column(job, &rows, from.wrapping_add(2), pad);
                    let mut sums = bias;
                    for v in 0..4 {
                        sums[v] = $dot(sums[v], a[v], w[0][v]);
                        sums[v] = $dot(sums[v], b[v], w[1][v]);
                        sums[v] = $dot(sums[v], c[v], w[2][v]);
                    }
                    $finish(job, sums, ox);
                    if STRIDE == 1 {
                        a = b;
                        b = c;
                    } else {
                        a = c;
                    }
                }
            }
        }

        /// Any kernel.
        ///
        /// # Safety
        /// As `run`.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
        unsafe fn $any(job: &Job<'_>) {
            let row = &job.conv.row;
            // SAFETY: as `run`.
            unsafe {
                let pad = $splat(job.conv.pad as i8);
                let at = |i: usize| $load(job.packed.add(i * $bytes).cast());
                for ox in 0..row.w_out {
                    let mut sums: [$v; 4] = std::array::from_fn(at);
                    let mut weights = 8;
                    for kx in 0..row.kw {
                        let from = (ox * row.stride + kx * row.dilation).wrapping_sub(row.left);
                        for rows in job.rows.chunks(4) {
                            let x = $column(job, rows, from, pad);
                            for v in 0..4 {
                                sums[v] = $dot(sums[v], x[v], at(weights + v));
                            }
                            weights += 4;
                        }
                    }
                    $finish(job, sums, ox);
                }
            }
        }
    };
}

width!(
    column64,
    rolling64,
    any64,
    finish64,
    __m512i,
    64,
    _mm512_setzero_si512,
    _mm512_loadu_si512,
    _mm512_set1_epi8,
    _mm512_unpacklo_epi8,
    _mm512_unpackhi_epi8,
    _mm512_unpacklo_epi16,
    _mm512_unpackhi_epi16,
    _mm512_dpbusd_epi32
);
width!(
    column32,
    rolling32,
    any32,
    finish32,
    __m256i,
    32,
    _mm256_setzero_si256,
    _mm256_loadu_si256,
    _mm256_set1_epi8,
    _mm256_unpacklo_epi8,
    _mm256_unpackhi_epi8,
    _mm256_unpacklo_epi16,
    _mm256_unpackhi_epi16,
    _mm256_dpbusd_epi32
);
width!(
    column16,
    rolling16,
    any16,
    finish16,
    __m128i,
    16,
    _mm_setzero_si128,
    _mm_loadu_si128,
    _mm_set1_epi8,
    _mm_unpacklo_epi8,
    _mm_unpackhi_epi8,
    _mm_unpacklo_epi16,
    _mm_unpackhi_epi16,
    _mm_dpbusd_epi32
);

/// # Safety
/// As `run`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn finish64(job: &Job<'_>, sums: [__m512i; 4], ox: usize) {
    // SAFETY: as `run`.
    unsafe {
        if job.plain {
            finish64_as::<true>(job, sums, ox);
        } else {
            finish64_as::<false>(job, sums, ox);
        }
    }
}

/// # Safety
/// As `run`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn finish64_as<const PLAIN: bool>(job: &Job<'_>, sums: [__m512i; 4], ox: usize) {
    // SAFETY: as `run`.
    unsafe {
        let end = Ending::<PLAIN>::new(&job.conv.end);
        let m = |v: usize| _mm512_loadu_ps(job.packed.add((4 + v) * 64).cast());
        let q = std::array::from_fn(|v| end.steps(sums[v], m(v)));
        let y = job.y.add(ox * job.conv.row.c).cast::<i8>();
        if job.valid == 64 {
            _mm512_storeu_si512(y.cast(), end.bytes(q));
        } else {
            _mm512_mask_storeu_epi8(y, u64::MAX >> (64 - job.valid), end.bytes(q));
        }
    }
}

/// # Safety
/// As `run`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn finish32(job: &Job<'_>, sums: [__m256i; 4], ox: usize) {
    // SAFETY: as `run`.
    unsafe {
        let end = &job.conv.end;
        let high = _mm256_set1_ps(end.high);
        let zero = _mm256_set1_epi16(end.zero as i16);
        let low = _mm256_set1_epi8((end.low as i32 + end.zero) as i8);
        let q: [__m256i; 4] = std::array::from_fn(|v| {
            let m = _mm256_loadu_ps(job.packed.add((4 + v) * 32).cast());
            let steps = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[v]), m);
            _mm256_cvtps_epi32(_mm256_min_ps(steps, high))
        });
        let a = _mm256_adds_epi16(_mm256_packs_epi32(q[0], q[1]), zero);
        let b = _mm256_adds_epi16(_mm256_packs_epi32(q[2], q[3]), zero);
        let bytes = _mm256_max_epu8(_mm256_packus_epi16(a, b), low);
        let y = job.y.add(ox * job.conv.row.c).cast();
        _mm256_mask_storeu_epi8(y, u32::MAX >> (32 - job.valid), bytes);
    }
}

/// # Safety
/// As `run`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn finish16(job: &Job<'_>, sums: [__m128i; 4], ox: usize) {
    // SAFETY: as `run`.
    unsafe {
        let end = &job.conv.end;
        let high = _mm_set1_ps(end.high);
        let zero = _mm_set1_epi16(end.zero as i16);
        let low = _mm_set1_epi8((end.low as i32 + end.zero) as i8);
        let q: [__m128i; 4] = std::array::from_fn(|v| {
            let m = _mm_loadu_ps(job.packed.add((4 + v) * 16).cast());
            let steps = _mm_mul_ps(_mm_cvtepi32_ps(sums[v]), m);
            _mm_cvtps_epi32(_mm_min_ps(steps, high))
        });
        let a = _mm_adds_epi16(_mm_packs_epi32(q[0], q[1]), zero);
        let b = _mm_adds_epi16(_mm_packs_epi32(q[2], q[3]), zero);
        let bytes = _mm_max_epu8(_mm_packus_epi16(a, b), low);
        let y = job.y.add(ox * job.conv.row.c).cast();
        _mm_mask_storeu_epi8(y, u16::MAX >> (16 - job.valid), bytes);
    }
}
