//! Depthwise convolution of bytes by AVX2; the idea stands in [`super::avx2`].
//!
//! 16 channels at a time. The columns of the input rows are laid out once for all outputs that use them: two kernel rows are
//! interleaved by unpack instructions into 16-bit pairs, which one `vpmaddwd` multiplies and adds; the last of an odd number of
//! rows is paired with itself, one kernel column on, and used by every other kernel column. So a 3x3 kernel takes five such
//! pairs. Strides, dilations and padding matter only to the laying out and to the addresses. Tiles of up to 6 outputs share
//! each weight.
//!
//! Packed form: blocks of 16 channels (the last may be partly empty), two vectors of each: biases, multipliers, then weight
//! pairs, kernel column by kernel column.

use super::avx2::{Ending, NEAR_BYTES, channel};
use super::panels::tiles;
use super::{Aligned, DepthwiseQ8, DepthwiseRow, RawQ8};
use std::arch::x86_64::*;
use std::ops::Range;

/// Outputs of a tile.
const TILE: usize = 6;

/// The pairs of kernel positions that are multiplied together, in packed order: `[(row, column); 2]` each. The second may lie
/// outside of the kernel.
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

/// Columns under the kernels of so many outputs.
fn columns(row: &DepthwiseRow, outputs: usize) -> usize {
    (outputs - 1) * row.stride + (row.kw - 1) * row.dilation + 1
}

/// How many outputs are laid out at a time: as many as the near memory holds the columns of.
fn outputs_at_a_time(row: &DepthwiseRow) -> usize {
    let room = NEAR_BYTES / column_bytes(row);
    1 + room.saturating_sub(columns(row, 1)) / row.stride
}

/// Bytes of a column that is laid out.
fn column_bytes(row: &DepthwiseRow) -> usize {
    row.kh.div_ceil(2) * 64
}

/// Scratch memory for [`run`].
pub(super) fn scratch_bytes(row: &DepthwiseRow) -> usize {
    columns(row, outputs_at_a_time(row).min(row.w_out)) * column_bytes(row)
}

/// One output row, some channels.
///
/// # Safety
/// AVX2; pointers as the geometry says, `scratch` as [`scratch_bytes`].
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run(
    conv: &DepthwiseQ8,
    rows: &[*const u8],
    y: *mut u8,
    channels: Range<usize>,
    scratch: *mut u8,
) {
    let row = &conv.row;
    let most = outputs_at_a_time(row);
    let laid = scratch.cast::<__m256i>();
    let plain = conv.bounded && conv.end.plain();
    let usual = row.kh == 3 && row.kw == 3;
    for c in channels.step_by(16) {
        for (start, count) in tiles(row.w_out, most) {
            // SAFETY: the caller's promise; reading past the last channel is within the slack; the buffer holds the columns
            // of `most` outputs.
            unsafe {
                let job = Job {
                    conv,
                    laid,
                    packed: conv.packed.as_ptr().add(c / 16 * block_bytes(row)),
                    y: y.add(start * row.c + c),
                    valid: row.c - c,
                };
                let first = start * row.stride;
                if usual {
                    lay_out(
                        &job,
                        &[rows[0], rows[1], rows[2]],
                        c,
                        first,
                        columns(row, count),
                    );
                } else {
                    lay_out(&job, rows, c, first, columns(row, count));
                }
                for (at, size) in tiles(count, TILE) {
                    match (usual, plain) {
                        (true, true) => run_tile::<3, 3, true>(&job, at, size),
                        (true, false) => run_tile::<3, 3, false>(&job, at, size),
                        (false, true) => run_tile::<0, 0, true>(&job, at, size),
                        (false, false) => run_tile::<0, 0, false>(&job, at, size),
                    }
                }
            }
        }
    }
}

/// A block of 16 channels and a part of the row.
struct Job<'a> {
    conv: &'a DepthwiseQ8,
    /// `[column][pair][vector]`
    laid: *mut __m256i,
    /// The block's packed bytes.
    packed: *const u8,
    /// The part's first output.
    y: *mut u8,
    /// Channels from the block's first one on.
    valid: usize,
}

/// Lays out `columns` columns from column `first` (counted from the padding) of 16 channels from `c` on.
///
/// # Safety
/// As `run`.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn lay_out(job: &Job<'_>, rows: &[*const u8], c: usize, first: usize, columns: usize) {
    let row = &job.conv.row;
    // Those that need no look whether they, and the ones that they are paired with, lie in the picture.
    let end = (row.w_in + row.left).saturating_sub(row.dilation + first);
    let end = end.min(columns);
    let start = row.left.saturating_sub(first).min(end);
    // SAFETY: the caller's promise; `start..end` is as the function wants it.
    unsafe {
        lay_columns::<false>(job, rows, c, first, 0..start);
        lay_columns::<true>(job, rows, c, first, start..end);
        lay_columns::<false>(job, rows, c, first, end..columns);
    }
}

/// # Safety
/// As `lay_out`; if INSIDE, all these columns and the ones that they are paired with lie in the picture.
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
        // SAFETY: columns inside of the picture are read, at most 15 bytes past its end; the buffer holds all columns.
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
/// As `run`; `size` outputs from `at` on are laid out. KH and KW are the kernel's size, or 0.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_tile<const KH: usize, const KW: usize, const PLAIN: bool>(
    job: &Job<'_>,
    at: usize,
    size: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match size {
            1 => tile::<1, KH, KW, PLAIN>(job, at),
            2 => tile::<2, KH, KW, PLAIN>(job, at),
            3 => tile::<3, KH, KW, PLAIN>(job, at),
            4 => tile::<4, KH, KW, PLAIN>(job, at),
            5 => tile::<5, KH, KW, PLAIN>(job, at),
            TILE => tile::<TILE, KH, KW, PLAIN>(job, at),
            _ => {}
        }
    }
}

/// # Safety
/// As `run_tile`.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const MR: usize, const KH: usize, const KW: usize, const PLAIN: bool>(
    job: &Job<'_>,
    at: usize,
) {
    let row = &job.conv.row;
    let (kh, kw) = if KH == 0 { (row.kh, row.kw) } else { (KH, KW) };
    let deep = kh.div_ceil(2) * 2;
    // SAFETY: the caller's promise; the packed block is as the module says.
    unsafe {
        let head = job.packed;
        let bias = |v: usize| _mm256_load_si256(head.add(v * 32).cast());
        let mut sums = [[bias(0), bias(1)]; MR];
        let mut w = head.add(128).cast::<__m256i>();
        let x = job.laid.add(at * row.stride * deep);
        for kx in 0..kw {
            let across = kh % 2 == 1 && kx % 2 == 0;
            for pair in 0..kh / 2 + usize::from(across) {
                let weights = [_mm256_load_si256(w), _mm256_load_si256(w.add(1))];
                let x = x.add(kx * row.dilation * deep + pair * 2);
                for (m, sums) in sums.iter_mut().enumerate() {
                    for v in 0..2 {
                        let two = _mm256_load_si256(x.add(m * row.stride * deep + v));
                        sums[v] = _mm256_add_epi32(sums[v], _mm256_madd_epi16(two, weights[v]));
                    }
                }
                w = w.add(2);
            }
        }
        let end = Ending::<PLAIN>::new(&job.conv.end);
        let multiplier = |v: usize| _mm256_load_ps(head.add(64 + v * 32).cast());
        let y = job.y.add(at * row.c);
        end.store_pairs(&sums, [multiplier(0), multiplier(1)], y, row.c, job.valid);
    }
}
