//! Float kernels with AVX2 and FMA: tiles of up to 6 pixels by up to 2 vectors of 8 output channels (12 of the 16 registers are
//! sums); depthwise over 8 channels.

use crate::network::kernels::panels::{Panel, Panels, float_panels, pack_depthwise_floats, tiles};
use crate::network::kernels::{Aligned, ConvF32, DepthwiseF32, DepthwiseRow, Pixels, RawF32, Runs};
use std::arch::x86_64::*;
use std::ops::Range;

/// For each panel: biases, then for each value of the runs a vector of weights per vector of channels.
pub(super) fn panels(runs: &Runs) -> Panels {
    float_panels(runs, 8, 2)
}

/// # Safety
/// The CPU has AVX2 and FMA; the contract of `Kernels`.
pub(super) unsafe fn conv(conv: &ConvF32, p: &Pixels, channels: Range<usize>) {
    for panel in panels(&conv.runs).within(channels) {
        for (first, size) in tiles(p.count, 6) {
            // SAFETY: contract (reads, writes), from pixel `first`.
            unsafe {
                let t = Pixels {
                    x: p.x.add(first * p.x_pitch),
                    y: p.y.add(first * p.y_pitch + panel.first * 4),
                    ..*p
                };
                match (panel.vectors, size) {
                    (1, 1) => tile::<1, 1>(conv, &panel, &t),
                    (1, 2) => tile::<2, 1>(conv, &panel, &t),
                    (1, 3) => tile::<3, 1>(conv, &panel, &t),
                    (1, 4) => tile::<4, 1>(conv, &panel, &t),
                    (1, 5) => tile::<5, 1>(conv, &panel, &t),
                    (1, 6) => tile::<6, 1>(conv, &panel, &t),
                    (2, 1) => tile::<1, 2>(conv, &panel, &t),
                    (2, 2) => tile::<2, 2>(conv, &panel, &t),
                    (2, 3) => tile::<3, 2>(conv, &panel, &t),
                    (2, 4) => tile::<4, 2>(conv, &panel, &t),
                    (2, 5) => tile::<5, 2>(conv, &panel, &t),
                    (2, 6) => tile::<6, 2>(conv, &panel, &t),
                    _ => {}
                }
            }
        }
    }
}

/// Stores the first `valid` of 8 floats.
///
/// # Safety
/// `y` is valid for them.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store(y: *mut f32, values: __m256, valid: usize) {
    // SAFETY: each float is stored only if `valid` includes it.
    unsafe {
        if valid >= 8 {
            _mm256_storeu_ps(y, values);
        } else {
            let mut all = [0f32; 8];
            _mm256_storeu_ps(all.as_mut_ptr(), values);
            std::ptr::copy_nonoverlapping(all.as_ptr(), y, valid);
        }
    }
}

/// # Safety
/// The CPU has AVX2 and FMA; MR pixels as the geometry says.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const MR: usize, const NV: usize>(conv: &ConvF32, panel: &Panel, p: &Pixels) {
    // SAFETY: contract (reads, writes) of MR pixels; the packed panel is biases, then NV vectors per value.
    unsafe {
        let mut w = conv.packed.as_ptr().add(panel.offset).cast::<f32>();
        let mut sums = [[_mm256_setzero_ps(); NV]; MR];
        for v in 0..NV {
            let bias = _mm256_load_ps(w.add(v * 8));
            for sums in &mut sums {
                sums[v] = bias;
            }
        }
        w = w.add(NV * 8);
        for &offset in &conv.runs.offsets {
            let mut x = p.x.add(offset);
            for _ in 0..conv.runs.len {
                let mut weights = [_mm256_setzero_ps(); NV];
                for (v, weights) in weights.iter_mut().enumerate() {
                    *weights = _mm256_load_ps(w.add(v * 8));
                }
                for (m, sums) in sums.iter_mut().enumerate() {
                    let value = _mm256_set1_ps(*x.add(m * p.x_pitch).cast::<f32>());
                    for v in 0..NV {
                        sums[v] = _mm256_fmadd_ps(value, weights[v], sums[v]);
                    }
                }
                x = x.add(4);
                w = w.add(NV * 8);
            }
        }
        let low = _mm256_set1_ps(conv.clamp.0);
        let high = _mm256_set1_ps(conv.clamp.1);
        for (m, sums) in sums.iter().enumerate() {
            let y = p.y.add(m * p.y_pitch).cast::<f32>();
            for (v, &sum) in sums.iter().enumerate() {
                let limited = _mm256_min_ps(_mm256_max_ps(sum, low), high);
                store(y.add(v * 8), limited, panel.channels - v * 8);
            }
        }
    }
}

/// Blocks of 8 channels: biases, then a vector per kernel row and column.
pub(super) fn pack_depthwise(row: &DepthwiseRow, raw: &RawF32<'_>) -> Aligned {
    pack_depthwise_floats(row, raw, 8)
}

/// Some channels of one output row: the usual kernels (3x3, 5x5 and 7x7, stride 1 or 2) with [`walk`], all others tap by tap.
///
/// # Safety
/// The CPU has AVX2 and FMA; the contract of `Kernels`.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn depthwise(
    conv: &DepthwiseF32,
    rows: &[*const u8],
    y: *mut u8,
    channels: Range<usize>,
) {
    let d = &conv.row;
    let block = (1 + d.kh * d.kw) * 8;
    let inner = d.whole_windows();
    let square = if d.kh == d.kw && d.dilation == 1 && d.stride <= 2 {
        d.kw
    } else {
        0
    };
    // 3x3 leaves registers for 16 channels at a time, which fill whole cache lines.
    let most = if square == 3 { 16 } else { 8 };
    let mut c = channels.start;
    while c < channels.end {
        let wide = most == 16 && channels.end - c > 8;
        // SAFETY: contract (reads, writes); reading past the last channel is within the slack.
        unsafe {
            let w = conv.packed.as_ptr().cast::<f32>().add(c / 8 * block);
            let job = DepthwiseJob {
                d,
                rows,
                c,
                inner: &inner,
                w,
                block,
                clamp: conv.clamp,
                y: y.cast::<f32>().add(c),
                valid: d.c - c,
            };
            match (square, d.stride) {
                (3, 1) if wide => walk::<3, 1, 2>(&job),
                (3, 2) if wide => walk::<3, 2, 2>(&job),
                (3, 1) => walk::<3, 1, 1>(&job),
                (3, 2) => walk::<3, 2, 1>(&job),
                (5, 1) => walk::<5, 1, 1>(&job),
                (5, 2) => walk::<5, 2, 1>(&job),
                (7, 1) => walk::<7, 1, 1>(&job),
                (7, 2) => walk::<7, 2, 1>(&job),
                _ => {
                    for ox in 0..d.w_out {
                        tap_by_tap(&job, ox);
                    }
                }
            }
        }
        c += if wide { 16 } else { 8 };
    }
}

/// One or two vectors of 8 channels of a depthwise row.
struct DepthwiseJob<'a> {
    d: &'a DepthwiseRow,
    rows: &'a [*const u8],
    /// The first channel.
    c: usize,
    /// Outputs whose whole window is in the picture.
    inner: &'a Range<usize>,
    /// For each vector: biases, then weights by kernel row and column.
    w: *const f32,
    /// Floats in `w` per vector.
    block: usize,
    clamp: (f32, f32),
    /// The first output's channels.
    y: *mut f32,
    /// Channels left, from the first one.
    valid: usize,
}

impl DepthwiseJob<'_> {
    /// # Safety
    /// The CPU has AVX2 and FMA; output `ox` exists, and so does its vector `v`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn finish(&self, sum: __m256, ox: usize, v: usize) {
        let low = _mm256_set1_ps(self.clamp.0);
        let high = _mm256_set1_ps(self.clamp.1);
        let limited = _mm256_min_ps(_mm256_max_ps(sum, low), high);
        // SAFETY: contract (writes): output `ox` and vector `v` exist, and `store` writes only channels that exist.
        unsafe {
            let y = self.y.add(ox * self.d.c + v * 8);
            store(y, limited, self.valid - v * 8);
        }
    }
}

/// One output of one vector; its window may extend outside the picture.
///
/// # Safety
/// As `depthwise`.
#[target_feature(enable = "avx2,fma")]
unsafe fn tap_by_tap(job: &DepthwiseJob<'_>, ox: usize) {
    let d = job.d;
    // SAFETY: contract (reads); only columns of the picture are read.
    unsafe {
        let mut sum = _mm256_load_ps(job.w);
        for kx in 0..d.kw {
            let ix = (ox * d.stride + kx * d.dilation).wrapping_sub(d.left);
            if ix >= d.w_in {
                continue;
            }
            for (ky, row) in job.rows.iter().enumerate() {
                let x = _mm256_loadu_ps(row.cast::<f32>().add(ix * d.c + job.c));
                let k = _mm256_load_ps(job.w.add((1 + ky * d.kw + kx) * 8));
                sum = _mm256_fmadd_ps(x, k, sum);
            }
        }
        job.finish(sum, ox, 0);
    }
}

/// Independent sums of a tile: enough to keep two multiply-add units of latency 4 busy.
const SUMS: usize = 8;

/// All outputs of K x K kernels, stride S, `NV` vectors of channels, in tiles.
///
/// # Safety
/// As `depthwise`.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn walk<const K: usize, const S: usize, const NV: usize>(job: &DepthwiseJob<'_>) {
    // The weights of a kernel row are in registers too.
    let most = (SUMS / NV).min(14 - K * NV);
    for (ox, size) in tiles(job.d.w_out, most) {
        let inside = job.inner.start <= ox && ox + size <= job.inner.end;
        macro_rules! of_size {
            ($($size:literal)*) => {
                match size {
                    // SAFETY: the caller's contract is the same, with `size` outputs.
                    $($size if inside => unsafe { tile_of_columns::<$size, NV, K, S, true>(job, ox) },
                    // SAFETY: the caller's contract is the same, with `size` outputs.
                    $size => unsafe { tile_of_columns::<$size, NV, K, S, false>(job, ox) },)*
                    _ => {}
                }
            };
        }
        if NV == 1 {
            of_size!(1 2 3 4 5 6 7 8);
        } else {
            of_size!(1 2 3 4);
        }
    }
}

/// `MR` outputs from `ox`; their windows are in the picture if `INSIDE`. Each column is loaded once for all outputs that use it.
///
/// # Safety
/// As `depthwise`.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_of_columns<
    const MR: usize,
    const NV: usize,
    const K: usize,
    const S: usize,
    const INSIDE: bool,
>(
    job: &DepthwiseJob<'_>,
    ox: usize,
) {
    let (d, first) = (job.d, ox * S);
    // The columns that are in the picture, relative to the first window's first column.
    let real = d.left.saturating_sub(first)..(d.w_in + d.left).saturating_sub(first);
    // The first of these columns may be before the start of the row.
    let at = first
        .wrapping_sub(d.left)
        .wrapping_mul(d.c)
        .wrapping_add(job.c);
    // SAFETY: contract (reads); only columns of the picture are read.
    unsafe {
        let bias: [__m256; NV] = std::array::from_fn(|v| _mm256_load_ps(job.w.add(v * job.block)));
        let mut sums = [bias; MR];
        for ky in 0..K {
            let row = job.rows[ky].cast::<f32>().wrapping_add(at);
            let w = job.w.add((1 + ky * K) * 8);
            let weights: [[__m256; NV]; K] = std::array::from_fn(|kx| {
                std::array::from_fn(|v| _mm256_load_ps(w.add(v * job.block + kx * 8)))
            });
            for column in 0..(MR - 1) * S + K {
                if !INSIDE && !real.contains(&column) {
                    continue;
                }
                for v in 0..NV {
                    let x = _mm256_loadu_ps(row.wrapping_add(column * d.c + v * 8));
                    for (m, sums) in sums.iter_mut().enumerate() {
                        if m * S <= column && column < m * S + K {
                            sums[v] = _mm256_fmadd_ps(x, weights[column - m * S][v], sums[v]);
                        }
                    }
                }
            }
        }
        for (m, sums) in sums.into_iter().enumerate() {
            for (v, sum) in sums.into_iter().enumerate() {
                job.finish(sum, ox + m, v);
            }
        }
    }
}
