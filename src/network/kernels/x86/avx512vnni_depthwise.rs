//! Int8 depthwise convolution with AVX-512 VNNI.
//!
//! The bytes of up to four kernel rows are interleaved by unpack instructions, so that one `vpdpbusd` computes a whole kernel column of
//! 16 channels; the pack instructions that narrow the sums undo the order. Each column of a 3x3 kernel is interleaved once and added to
//! the sums of all outputs that use it.
//!
//! A vector holds 64 channels of an output. Where fewer are left, the row is divided into two or four parts of as many outputs, and
//! a vector holds 32 channels of two outputs or 16 of four: one of each part.
//!
//! Packed form: blocks of 64 channels, then one of 32, then of 16 (the last may be partly empty). A block of `width` channels
//! is four vectors of biases, four of multipliers, then for each kernel column and group of four kernel rows four vectors of
//! weights; a vector is `width` bytes. Vector v, 128-bit lane l, 32-bit lane i is channel `16 l + 4 v + i` of the block.

use super::avx512_ending::{Ending, LIMITED, Multiplier, SMALL, kind};
use crate::network::kernels::{Aligned, DepthwiseQ8, DepthwiseRow, RawQ8};
use std::arch::x86_64::*;
use std::mem::MaybeUninit;
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
    let small = kind(conv.sums, &conv.end) == SMALL;
    for (first, width) in blocks(row, channels) {
        let parts = 64 / width;
        // SAFETY: contract (reads, writes); a block's packed bytes begin after those of the `first` channels before it.
        unsafe {
            let job = Job {
                conv,
                rows,
                y: y.add(first),
                first,
                valid: width.min(row.c - first),
                packed: conv.packed.as_ptr().add(first * per),
                part: row.w_out.div_ceil(parts),
            };
            match (parts, small) {
                (1, true) => block::<1, SMALL>(&job),
                (1, false) => block::<1, LIMITED>(&job),
                (2, true) => block::<2, SMALL>(&job),
                (2, false) => block::<2, LIMITED>(&job),
                (_, true) => block::<4, SMALL>(&job),
                (_, false) => block::<4, LIMITED>(&job),
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
    /// Outputs of each part of the row; the last may have fewer.
    part: usize,
}

/// # Safety
/// As `run`; the row is divided into `P` parts.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn block<const P: usize, const KIND: u8>(job: &Job<'_>) {
    let row = &job.conv.row;
    // SAFETY: the caller's contract is the same.
    unsafe {
        match (row.kw, row.kh, row.dilation, row.stride) {
            (3, 3, 1, 1) => three::<1, P, KIND>(job),
            (3, 3, 1, 2) => three::<2, P, KIND>(job),
            _ => any::<P, KIND>(job),
        }
    }
}

impl Job<'_> {
    /// How many outputs exist in every part, with all channels of the block.
    fn whole<const P: usize>(&self) -> usize {
        if self.valid < 64 / P {
            return 0;
        }
        self.part - (P * self.part - self.conv.row.w_out).min(self.part)
    }

    /// Vector `i` of the packed bytes, for every part.
    ///
    /// # Safety
    /// As `run`; the block has that vector.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn packed<const P: usize>(&self, i: usize) -> __m512i {
        // SAFETY: the vector is as long as `width` says.
        unsafe {
            let at = self.packed.add(i * 64 / P);
            match P {
                1 => _mm512_loadu_si512(at.cast()),
                2 => _mm512_broadcast_i64x4(_mm256_loadu_si256(at.cast())),
                _ => _mm512_broadcast_i32x4(_mm_loadu_si128(at.cast())),
            }
        }
    }

    /// The bytes of a kernel row at a column (counted from the padding) of every part; padding outside the picture. INSIDE: all these
    /// columns are in the picture.
    ///
    /// # Safety
    /// As `run`; `from` is one of its rows.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn gather<const P: usize, const INSIDE: bool>(
        &self,
        from: *const u8,
        column: usize,
    ) -> __m512i {
        let row = &self.conv.row;
        let apart = self.part * row.stride;
        // SAFETY: only columns of the picture are read; reading past the last channel is within the slack.
        unsafe {
            if INSIDE {
                let at = from.add((column - row.left) * row.c + self.first);
                let at = |part: usize| at.add(part * apart * row.c);
                let half = |part| _mm256_loadu_si256(at(part).cast());
                let quarter = |part| _mm_loadu_si128(at(part).cast());
                let two = |a, b| {
                    _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(quarter(a)), quarter(b))
                };
                return match P {
                    1 => _mm512_loadu_si512(at(0).cast()),
                    2 => _mm512_inserti64x4::<1>(_mm512_castsi256_si512(half(0)), half(1)),
                    _ => _mm512_inserti64x4::<1>(_mm512_castsi256_si512(two(0, 1)), two(2, 3)),
                };
            }
            let mut all = _mm512_set1_epi8(self.conv.pad as i8);
            for part in 0..P {
                let column = (part * apart + column).wrapping_sub(row.left);
                if column < row.w_in {
                    let lanes = (u16::MAX >> (16 - 16 / P)) << (part * 16 / P);
                    let at = from.add(column * row.c + self.first);
                    let at = at.wrapping_sub(part * 64 / P);
                    all = _mm512_mask_loadu_epi32(all, lanes, at.cast());
                }
            }
            all
        }
    }

    /// The bytes of up to four kernel rows at a column of every part, interleaved.
    ///
    /// # Safety
    /// As `gather`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn column<const P: usize, const INSIDE: bool>(
        &self,
        rows: &[*const u8],
        column: usize,
    ) -> [__m512i; 4] {
        // SAFETY: the caller's contract is the same. Instead of a row that is missing any other will do: its weights are 0.
        unsafe {
            let at = |r: usize| self.gather::<P, INSIDE>(rows[r.min(rows.len() - 1)], column);
            let (a, b, c, d) = (at(0), at(1), at(2), at(3));
            let (ab, cd) = (_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d));
            let (ef, gh) = (_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d));
            [
                _mm512_unpacklo_epi16(ab, cd),
                _mm512_unpackhi_epi16(ab, cd),
                _mm512_unpacklo_epi16(ef, gh),
                _mm512_unpackhi_epi16(ef, gh),
            ]
        }
    }
}

/// How the sums of a block begin and end.
struct Ends<'a, const P: usize, const KIND: u8> {
    job: &'a Job<'a>,
    start: [__m512i; 4],
    multipliers: [Multiplier; 4],
    end: Ending<KIND>,
}

impl<'a, const P: usize, const KIND: u8> Ends<'a, P, KIND> {
    /// # Safety
    /// As `run`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn new(job: &'a Job<'a>) -> Self {
        // SAFETY: the packed block is as the module says.
        unsafe {
            Self {
                job,
                start: std::array::from_fn(|v| Ending::<KIND>::start(job.packed::<P>(v))),
                multipliers: std::array::from_fn(|v| {
                    Ending::<KIND>::multiplier(_mm512_castsi512_ps(job.packed::<P>(4 + v)))
                }),
                end: Ending::new(&job.conv.end),
            }
        }
    }

    /// Stores output `ox` of every part. WHOLE: all these outputs exist, and so do all channels of the block.
    ///
    /// # Safety
    /// As `run`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn finish<const WHOLE: bool>(&self, sums: &[__m512i; 4], ox: usize) {
        let (job, row) = (self.job, &self.job.conv.row);
        let q = std::array::from_fn(|v| self.end.steps(sums[v], self.multipliers[v]));
        let bytes = self.end.bytes(q);
        // SAFETY: contract (writes): only channels and outputs that exist.
        unsafe {
            let at = |part: usize| job.y.add((part * job.part + ox) * row.c);
            if !WHOLE {
                for part in (0..P).filter(|part| part * job.part + ox < row.w_out) {
                    let mask = (u64::MAX >> (64 - job.valid)) << (part * 64 / P);
                    let at = at(part).wrapping_sub(part * 64 / P);
                    _mm512_mask_storeu_epi8(at.cast(), mask, bytes);
                }
                return;
            }
            match P {
                1 => _mm512_storeu_si512(at(0).cast(), bytes),
                2 => {
                    let upper = _mm512_extracti64x4_epi64::<1>(bytes);
                    _mm256_storeu_si256(at(0).cast(), _mm512_castsi512_si256(bytes));
                    _mm256_storeu_si256(at(1).cast(), upper);
                }
                _ => {
                    _mm_storeu_si128(at(0).cast(), _mm512_castsi512_si128(bytes));
                    _mm_storeu_si128(at(1).cast(), _mm512_extracti32x4_epi32::<1>(bytes));
                    _mm_storeu_si128(at(2).cast(), _mm512_extracti32x4_epi32::<2>(bytes));
                    _mm_storeu_si128(at(3).cast(), _mm512_extracti32x4_epi32::<3>(bytes));
                }
            }
        }
    }
}

/// Adds a column of kernel weights times values to the sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn add(sums: &mut [__m512i; 4], x: &[__m512i; 4], weights: &[__m512i; 4]) {
    for v in 0..4 {
        sums[v] = _mm512_dpbusd_epi32(sums[v], x[v], weights[v]);
    }
}

/// A 3x3 kernel, stride S: each column is added to the sums of all outputs that use it.
///
/// # Safety
/// As `block`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn three<const S: usize, const P: usize, const KIND: u8>(job: &Job<'_>) {
    let row = &job.conv.row;
    // Outputs that are whole and whose new columns are in the picture, in every part: their last S ones.
    let last = 2 + (P - 1) * job.part * S;
    let end = (row.w_in + row.left).saturating_sub(last).div_ceil(S);
    let end = end.min(job.whole::<P>());
    let start = row.left.saturating_sub(3 - S).div_ceil(S).min(end);
    // SAFETY: as `block`; `start..end` is as `steps` requires.
    unsafe {
        // Aligns the stack frame, so that each vector that finds no register lies in one cache line.
        std::hint::black_box(&MaybeUninit::<__m512i>::uninit());
        let weights = |k: usize| std::array::from_fn(|v| job.packed::<P>(8 + k * 4 + v));
        let walk = Walk::<P, KIND> {
            ends: Ends::new(job),
            rows: [job.rows[0], job.rows[1], job.rows[2]],
            weights: [weights(0), weights(1), weights(2)],
        };
        let mut sums = [walk.ends.start; 2];
        let [older, newer] = &mut sums;
        for column in 0..3 - S {
            let x = job.column::<P, false>(&walk.rows, column);
            add(older, &x, &walk.weights[column]);
            if column == 1 {
                add(newer, &x, &walk.weights[0]);
            }
        }
        walk.steps::<S, false>(&mut sums, 0..start);
        walk.steps::<S, true>(&mut sums, start..end);
        walk.steps::<S, false>(&mut sums, end..job.part);
    }
}

/// A 3x3 kernel on its way along a row.
struct Walk<'a, const P: usize, const KIND: u8> {
    ends: Ends<'a, P, KIND>,
    rows: [*const u8; 3],
    /// By column.
    weights: [[__m512i; 4]; 3],
}

impl<const P: usize, const KIND: u8> Walk<'_, P, KIND> {
    /// Finishes some outputs. `sums` are those of the next two, the older first.
    ///
    /// # Safety
    /// As `three`; if INSIDE, the last S columns of these outputs are in the picture, in every part, and the outputs are whole.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn steps<const S: usize, const INSIDE: bool>(
        &self,
        sums: &mut [[__m512i; 4]; 2],
        outputs: Range<usize>,
    ) {
        let job = self.ends.job;
        let [first, second, third] = &self.weights;
        let [mut older, mut newer] = *sums;
        for ox in outputs {
            // SAFETY: as `three`.
            unsafe {
                if S == 2 {
                    let x = job.column::<P, INSIDE>(&self.rows, ox * S + 1);
                    add(&mut older, &x, second);
                }
                let x = job.column::<P, INSIDE>(&self.rows, ox * S + 2);
                add(&mut older, &x, third);
                self.ends.finish::<INSIDE>(&older, ox);
                if S == 1 {
                    older = newer;
                    add(&mut older, &x, second);
                }
                newer = self.ends.start;
                add(&mut newer, &x, first);
                if S == 2 {
                    older = newer;
                }
            }
        }
        *sums = [older, newer];
    }
}

/// Any kernel.
///
/// # Safety
/// As `block`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn any<const P: usize, const KIND: u8>(job: &Job<'_>) {
    let row = &job.conv.row;
    // SAFETY: as `block`.
    unsafe {
        let ends = Ends::<P, KIND>::new(job);
        for ox in 0..job.part {
            let mut sums = ends.start;
            let mut at = 8;
            for kx in 0..row.kw {
                let column = ox * row.stride + kx * row.dilation;
                for rows in job.rows.chunks(4) {
                    let x = job.column::<P, false>(rows, column);
                    let weights = std::array::from_fn(|v| job.packed::<P>(at + v));
                    add(&mut sums, &x, &weights);
                    at += 4;
                }
            }
            if ox < job.whole::<P>() {
                ends.finish::<true>(&sums, ox);
            } else {
                ends.finish::<false>(&sums, ox);
            }
        }
    }
}
