//! Int8 depthwise convolution with AVX2; the approach is described in [`super::avx2`].
//!
//! 16 channels at a time. Two kernel rows are interleaved by unpack instructions into 16-bit pairs, which one `vpmaddwd`
//! multiplies and adds; the last of an odd number of rows is paired with itself one kernel column later, and used by every other
//! kernel column. So a 3x3 kernel takes five such pairs, a 5x5 kernel thirteen.
//!
//! The usual kernels (3x3 and 5x5, stride 1 or 2) walk along the row column by column: a column's pairs are made once, in
//! registers, and added to the sums of all outputs that use the column, at most 5 of them, with weights from memory ([`walk`]).
//! For all other kernels the columns are first laid out in memory and then read by tiles of outputs; there strides, dilations and
//! padding affect only the layout and the addresses ([`lay_out`], [`tile`]).
//!
//! Packed form: blocks of 16 channels (the last may be partly empty), each part two vectors: biases, multipliers, then weight
//! pairs, kernel column by kernel column.

use super::avx2_ending::{Ending, NEAR_BYTES, channel};
use crate::network::kernels::panels::tiles;
use crate::network::kernels::{Aligned, DepthwiseQ8, DepthwiseRow, RawQ8};
use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

/// Outputs of a tile.
const TILE: usize = 6;

/// The pairs of kernel positions that are multiplied together, in packed order: `[(row, column); 2]` each. The second may be
/// outside the kernel.
fn pairs(row: &DepthwiseRow) -> impl Iterator<Item = [(usize, usize); 2]> {
    let (kh, kw) = (row.kh, row.kw);
    (0..kw).flat_map(move |kx| {
        let vertical = (0..kh / 2).map(move |p| [(2 * p, kx), (2 * p + 1, kx)]);
        let across = kh % 2 == 1 && kx % 2 == 0;
        vertical.chain(across.then_some([(kh - 1, kx), (kh - 1, kx + 1)]))
    })
}

/// Packed bytes of a block of 16 channels.
fn block_bytes(row: &DepthwiseRow) -> usize {
    128 + pairs(row).count() * 64
}

/// Packs weights, biases and multipliers.
pub(super) fn pack(row: &DepthwiseRow, raw: &RawQ8<'_>) -> Aligned {
    let block = block_bytes(row);
    let mut packed = Aligned::zeroed(row.c.div_ceil(16) * block);
    let bytes = packed.bytes_mut();
    for (i, bytes) in bytes.chunks_exact_mut(block).enumerate() {
        for (v, lane) in (0..2).flat_map(|v| (0..8).map(move |lane| (v, lane))) {
            let c = i * 16 + channel(2, v, lane);
            if c >= row.c {
                continue;
            }
            let at = v * 32 + lane * 4;
            bytes[at..at + 4].copy_from_slice(&raw.bias[c].to_ne_bytes());
            bytes[at + 64..at + 68].copy_from_slice(&raw.multiplier[c].to_ne_bytes());
            for (pair, taps) in pairs(row).enumerate() {
                for (half, (ky, kx)) in taps.into_iter().enumerate() {
                    if kx < row.kw {
                        let at = at + 128 + pair * 64 + half * 2;
                        let w = i16::from(raw.w[(c * row.kh + ky) * row.kw + kx]);
                        bytes[at..at + 2].copy_from_slice(&w.to_ne_bytes());
                    }
                }
            }
        }
    }
    packed
}

/// Columns under the kernels of `outputs` outputs.
fn columns(row: &DepthwiseRow, outputs: usize) -> usize {
    (outputs - 1) * row.stride + (row.kw - 1) * row.dilation + 1
}

/// How many outputs are laid out at a time: as many as have their columns fit in L1.
fn outputs_at_a_time(row: &DepthwiseRow) -> usize {
    let room = NEAR_BYTES / column_bytes(row);
    1 + room.saturating_sub(columns(row, 1)) / row.stride
}

/// Bytes of a laid-out column.
fn column_bytes(row: &DepthwiseRow) -> usize {
    row.kh.div_ceil(2) * 64
}

/// The kernel's size and stride, if [`walk`] supports it.
fn usual(row: &DepthwiseRow) -> Option<(usize, usize)> {
    let square = row.kh == row.kw && row.dilation == 1;
    (square && matches!((row.kw, row.stride), (3 | 5, 1 | 2))).then_some((row.kw, row.stride))
}

/// Scratch memory for [`run`].
pub(super) fn scratch_bytes(row: &DepthwiseRow) -> usize {
    if usual(row).is_some() {
        return 0;
    }
    columns(row, outputs_at_a_time(row).min(row.w_out)) * column_bytes(row)
}

/// Some channels of one output row.
///
/// # Safety
/// The CPU has AVX2; the contract of `Kernels`, `scratch` as [`scratch_bytes`].
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run(
    conv: &DepthwiseQ8,
    rows: &[*const u8],
    y: *mut u8,
    channels: Range<usize>,
    scratch: *mut u8,
) {
    let row = &conv.row;
    let plain = conv.sums.bounded() && conv.end.plain();
    for c in channels.step_by(16) {
        // SAFETY: contract (reads, writes); reading past the last channel is within the slack; the scratch memory holds the
        // columns of as many outputs as are laid out at a time.
        unsafe {
            let job = Job {
                conv,
                laid: scratch.cast::<__m256i>(),
                packed: conv.packed.as_ptr().add(c / 16 * block_bytes(row)),
                y: y.add(c),
                valid: row.c - c,
            };
            match (usual(row), plain) {
                (Some((3, 1)), true) => walk::<3, 1, true>(&job, rows, c),
                (Some((3, 1)), false) => walk::<3, 1, false>(&job, rows, c),
                (Some((3, _)), true) => walk::<3, 2, true>(&job, rows, c),
                (Some((3, _)), false) => walk::<3, 2, false>(&job, rows, c),
                (Some((_, 1)), true) => walk::<5, 1, true>(&job, rows, c),
                (Some((_, 1)), false) => walk::<5, 1, false>(&job, rows, c),
                (Some(_), true) => walk::<5, 2, true>(&job, rows, c),
                (Some(_), false) => walk::<5, 2, false>(&job, rows, c),
                (None, _) => {
                    for (first, count) in tiles(row.w_out, outputs_at_a_time(row)) {
                        let job = Job {
                            y: job.y.add(first * row.c),
                            ..job
                        };
                        lay_out(&job, rows, c, first * row.stride, columns(row, count));
                        if plain {
                            outputs::<true>(&job, count);
                        } else {
                            outputs::<false>(&job, count);
                        }
                    }
                }
            }
        }
    }
}

/// A block of 16 channels.
struct Job<'a> {
    conv: &'a DepthwiseQ8,
    /// `[column][pair][vector]`
    laid: *mut __m256i,
    /// The block's packed bytes.
    packed: *const u8,
    /// The first output.
    y: *mut u8,
    /// Channels left, from the block's first one.
    valid: usize,
}

/// A whole row of K x K kernels, stride S.
///
/// # Safety
/// As `run`.
#[target_feature(enable = "avx2,fma")]
unsafe fn walk<const K: usize, const S: usize, const PLAIN: bool>(
    job: &Job<'_>,
    rows: &[*const u8],
    c: usize,
) {
    let row = &job.conv.row;
    // Groups of S columns, counted from the padding. An output begins with each, and from group (K - 1) / S on one ends with each, too.
    let groups = row.w_out + (K - 1) / S;
    // Groups whose columns, and the one after them, are in the picture.
    let end = ((row.w_in + row.left - 1) / S).min(groups);
    let start = row.left.div_ceil(S).min(end);
    // SAFETY: contract (reads, writes), as in `run`; `start..end` is as the function requires.
    unsafe {
        let mut sums: Sums = [Packed::new(job).bias; 5];
        // One call each, so that the compiler inlines them.
        for (i, groups) in [0..start, start..end, end..groups].into_iter().enumerate() {
            if i == 1 {
                walk_columns::<K, S, PLAIN, true>(job, rows, c, groups, &mut sums);
            } else {
                walk_columns::<K, S, PLAIN, false>(job, rows, c, groups, &mut sums);
            }
        }
    }
}

/// Sums of the outputs in progress, the newest first.
type Sums = [[__m256i; 2]; 5];

/// # Safety
/// As `walk`; if INSIDE, the columns of these groups, and the one after them, are in the picture.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn walk_columns<const K: usize, const S: usize, const PLAIN: bool, const INSIDE: bool>(
    job: &Job<'_>,
    rows: &[*const u8],
    c: usize,
    groups: Range<usize>,
    sums: &mut Sums,
) {
    let row = &job.conv.row;
    let (channels, w_in, left) = (row.c, row.w_in, row.left);
    let pad = _mm256_set1_epi16(i16::from(job.conv.pad));
    let end = Ending::<PLAIN>::new(&job.conv.end);
    // SAFETY: contract (reads); columns inside the picture are read, at most 15 bytes past its end.
    unsafe {
        let block = Packed::new(job);
        let rows: [*const u8; K] = std::array::from_fn(|ky| rows[ky].add(c));
        let value = |ky: usize, column: usize| {
            let from = column.wrapping_sub(left);
            if INSIDE || from < w_in {
                _mm256_cvtepu8_epi16(_mm_loadu_si128(rows[ky].add(from * channels).cast()))
            } else {
                pad
            }
        };
        let pair = |a, b| [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)];
        // The first pair of weights of kernel column `kx`.
        let weights = |kx: usize| block.weights.add((kx * (K / 2) + kx.div_ceil(2)) * 2);
        if groups.is_empty() {
            return;
        }
        let mut last = value(K - 1, groups.start * S);
        for group in groups {
            for phase in 0..S {
                let column = group * S + phase;
                for p in 0..K / 2 {
                    let two = pair(value(2 * p, column), value(2 * p + 1, column));
                    for (i, kx) in (phase..K).step_by(S).enumerate() {
                        multiply_add(&mut sums[i], &two, weights(kx).add(p * 2));
                    }
                }
                let next = value(K - 1, column + 1);
                if phase % 2 == 0 {
                    let two = pair(last, next);
                    for (i, kx) in (phase..K).step_by(S).enumerate() {
                        if kx % 2 == 0 {
                            multiply_add(&mut sums[i], &two, weights(kx).add(K / 2 * 2));
                        }
                    }
                }
                last = next;
                if phase == 0 && group >= (K - 1) / S {
                    let y = job.y.add((group - (K - 1) / S) * channels);
                    let done = [sums[(K - 1) / S]];
                    end.store_pairs(&done, block.multipliers(), y, channels, job.valid);
                }
            }
            for i in (1..K.div_ceil(S)).rev() {
                sums[i] = sums[i - 1];
            }
            sums[0] = block.bias;
        }
    }
}

/// Lays out `columns` columns, starting at column `first` (counted from the padding), of 16 channels from `c`.
///
/// # Safety
/// As `run`.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn lay_out(job: &Job<'_>, rows: &[*const u8], c: usize, first: usize, columns: usize) {
    let row = &job.conv.row;
    // Columns that need no check whether they, and the ones they are paired with, are in the picture.
    let end = (row.w_in + row.left).saturating_sub(row.dilation + first);
    let end = end.min(columns);
    let start = row.left.saturating_sub(first).min(end);
    // SAFETY: contract (reads), as in `run`; `start..end` is as the function requires.
    unsafe {
        lay_columns::<false>(job, rows, c, first, 0..start);
        lay_columns::<true>(job, rows, c, first, start..end);
        lay_columns::<false>(job, rows, c, first, end..columns);
    }
}

/// # Safety
/// As `lay_out`; if INSIDE, all these columns and the ones they are paired with are in the picture.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn lay_columns<const INSIDE: bool>(
    job: &Job<'_>,
    rows: &[*const u8],
    c: usize,
    first: usize,
    columns: Range<usize>,
) {
    let DepthwiseRow {
        c: channels,
        w_in,
        left,
        dilation,
        stride,
        ..
    } = job.conv.row;
    let pad = _mm256_set1_epi16(i16::from(job.conv.pad));
    let (even, last) = rows.split_at(rows.len() / 2 * 2);
    let deep = rows.len().div_ceil(2);
    for column in columns {
        let from = (first + column).wrapping_sub(left);
        // SAFETY: columns inside the picture are read, at most 15 bytes past its end; the buffer holds all columns.
        unsafe {
            let value = |x: *const u8, from: usize| {
                if INSIDE || from < w_in {
                    _mm256_cvtepu8_epi16(_mm_loadu_si128(x.add(from * channels + c).cast()))
                } else {
                    pad
                }
            };
            let mut to = job.laid.add(column * deep * 2);
            let mut pair = |a: __m256i, b: __m256i| {
                _mm256_store_si256(to, _mm256_unpacklo_epi16(a, b));
                _mm256_store_si256(to.add(1), _mm256_unpackhi_epi16(a, b));
                to = to.add(2);
            };
            for two in even.chunks_exact(2) {
                pair(value(two[0], from), value(two[1], from));
            }
            // Only kernel columns 0, 2, 4 and so on use it.
            if let Some(&x) = last.first()
                && (stride % 2 == 1 || column % 2 == 0)
            {
                pair(value(x, from), value(x, from.wrapping_add(dilation)));
            }
        }
    }
}

/// # Safety
/// As `run`; the columns of `count` outputs are laid out.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn outputs<const PLAIN: bool>(job: &Job<'_>, count: usize) {
    for (at, size) in tiles(count, TILE) {
        // SAFETY: the caller's contract is the same, with `size` outputs.
        unsafe {
            match size {
                1 => tile::<1, PLAIN>(job, at),
                2 => tile::<2, PLAIN>(job, at),
                3 => tile::<3, PLAIN>(job, at),
                4 => tile::<4, PLAIN>(job, at),
                5 => tile::<5, PLAIN>(job, at),
                TILE => tile::<TILE, PLAIN>(job, at),
                _ => {}
            }
        }
    }
}

/// # Safety
/// As `outputs`, for `MR` outputs from `at`.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const MR: usize, const PLAIN: bool>(job: &Job<'_>, at: usize) {
    let row = &job.conv.row;
    let deep = row.kh.div_ceil(2) * 2;
    // SAFETY: the columns of MR outputs are laid out, and contract (writes) their results; the packed block is as the module says.
    unsafe {
        let block = Packed::new(job);
        let mut sums = [block.bias; MR];
        let mut w = block.weights;
        let x = job.laid.add(at * row.stride * deep);
        for kx in 0..row.kw {
            let across = row.kh % 2 == 1 && kx % 2 == 0;
            for pair in 0..row.kh / 2 + usize::from(across) {
                let x = x.add(kx * row.dilation * deep + pair * 2);
                for (m, sums) in sums.iter_mut().enumerate() {
                    let x = x.add(m * row.stride * deep);
                    let two = [_mm256_load_si256(x), _mm256_load_si256(x.add(1))];
                    multiply_add(sums, &two, w);
                }
                w = w.add(2);
            }
        }
        let end = Ending::<PLAIN>::new(&job.conv.end);
        let y = job.y.add(at * row.c);
        end.store_pairs(&sums, block.multipliers(), y, row.c, job.valid);
    }
}

/// The parts of a packed block.
struct Packed {
    bias: [__m256i; 2],
    multipliers: *const f32,
    weights: *const __m256i,
}

impl Packed {
    /// # Safety
    /// As `run`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn new(job: &Job<'_>) -> Self {
        // SAFETY: the packed block is as the module says.
        unsafe {
            let bias = job.packed.cast::<__m256i>();
            Self {
                bias: [_mm256_load_si256(bias), _mm256_load_si256(bias.add(1))],
                multipliers: job.packed.add(64).cast(),
                weights: job.packed.add(128).cast(),
            }
        }
    }

    /// # Safety
    /// As `run`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn multipliers(&self) -> [__m256; 2] {
        // SAFETY: the packed block is as the module says.
        unsafe {
            [
                _mm256_load_ps(self.multipliers),
                _mm256_load_ps(self.multipliers.add(8)),
            ]
        }
    }
}

/// Adds a pair of values of each channel times its weights to the channel's sum. The instructions are in execution order, so that
/// the sums stay in registers: see `multiply_add` of [`super::avx2_conv`].
///
/// # Safety
/// The CPU has AVX2; `weights` is valid for two vectors.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn multiply_add(sums: &mut [__m256i; 2], x: &[__m256i; 2], weights: *const __m256i) {
    // SAFETY: it reads the two vectors that `weights` is valid for.
    unsafe {
        asm!(
            "vpmaddwd {product}, {x0}, [{weights}]",
            "vpaddd {sum0}, {sum0}, {product}",
            "vpmaddwd {product}, {x1}, [{weights} + 32]",
            "vpaddd {sum1}, {sum1}, {product}",
            weights = in(reg) weights,
            x0 = in(ymm_reg) x[0],
            x1 = in(ymm_reg) x[1],
            product = out(ymm_reg) _,
            sum0 = inout(ymm_reg) sums[0],
            sum1 = inout(ymm_reg) sums[1],
            options(nostack, readonly, preserves_flags),
        );
    }
}
