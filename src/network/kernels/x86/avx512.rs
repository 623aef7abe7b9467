//! Float kernels with AVX-512F: the tile of [`super::avx512vnni_conv`] with fused multiply-adds, and a depthwise loop over 16 channels
//! that keeps the weight vectors of a 3x3 or 5x5 kernel in registers: nine, or 25 beside five sums and the two limits.

use crate::network::kernels::panels::{
    Panel, Panels, even_tiles, float_panels, pack_depthwise_floats,
};
use crate::network::kernels::{Aligned, ConvF32, DepthwiseF32, DepthwiseRow, Pixels, RawF32, Runs};
use std::arch::x86_64::*;
use std::ops::Range;

/// Vectors of 16 channels in the widest panel.
const WIDEST: usize = 4;

/// For each panel: biases, then for each value of the runs a vector of weights per vector of channels.
pub(super) fn panels(runs: &Runs) -> Panels {
    float_panels(runs, 16, WIDEST)
}

/// # Safety
/// The CPU has AVX-512; the contract of `Kernels`.
pub(super) unsafe fn conv(conv: &ConvF32, p: &Pixels, channels: Range<usize>) {
    macro_rules! by_size {
        ($panel:expr, $pixels:expr, $size:expr, $count:expr, $($vectors:literal: $($m:literal)*;)*) => {
            match ($panel.vectors, $size) {
                $($(($vectors, $m) => tiles::<$m, $vectors>(conv, $panel, $pixels, $count),)*)*
                _ => {}
            }
        };
    }
    for panel in panels(&conv.runs).within(channels) {
        let most = [12, 12, 8, 6][panel.vectors - 1];
        // SAFETY: contract (reads, writes), tile by tile.
        unsafe {
            even_tiles(p, panel.first * 4, most, |pixels, size, count| {
                by_size! { &panel, pixels, size, count,
                    1: 1 2 3 4 5 6 7 8 9 10 11 12;
                    2: 1 2 3 4 5 6 7 8 9 10 11 12;
                    3: 1 2 3 4 5 6 7 8;
                    4: 1 2 3 4 5 6;
                }
            });
        }
    }
}

/// # Safety
/// The CPU has AVX-512; `count` times MR pixels as the geometry says.
#[target_feature(enable = "avx512f")]
unsafe fn tiles<const MR: usize, const NV: usize>(
    conv: &ConvF32,
    panel: &Panel,
    p: &Pixels,
    count: usize,
) {
    let low = _mm512_set1_ps(conv.clamp.0);
    let high = _mm512_set1_ps(conv.clamp.1);
    // SAFETY: contract (reads, writes) of MR pixels at a time; the packed panel is biases, then NV vectors per value.
    unsafe {
        let packed = conv.packed.as_ptr().add(panel.offset).cast::<f32>();
        for tile in 0..count {
            let (from, to) = (tile * MR * p.x_pitch, tile * MR * p.y_pitch);
            let mut sums = [[_mm512_setzero_ps(); NV]; MR];
            for v in 0..NV {
                let bias = _mm512_load_ps(packed.add(v * 16));
                for sums in &mut sums {
                    sums[v] = bias;
                }
            }
            let mut w = packed.add(NV * 16);
            for &offset in &conv.runs.offsets {
                let mut x = p.x.add(from + offset);
                for _ in 0..conv.runs.len {
                    let mut weights = [_mm512_setzero_ps(); NV];
                    for (v, weights) in weights.iter_mut().enumerate() {
                        *weights = _mm512_load_ps(w.add(v * 16));
                    }
                    for (m, sums) in sums.iter_mut().enumerate() {
                        let value = _mm512_set1_ps(*x.add(m * p.x_pitch).cast::<f32>());
                        for v in 0..NV {
                            sums[v] = _mm512_fmadd_ps(value, weights[v], sums[v]);
                        }
                    }
                    x = x.add(4);
                    w = w.add(NV * 16);
                }
            }
            for (m, sums) in sums.iter().enumerate() {
                let y = p.y.add(to + m * p.y_pitch).cast::<f32>();
                for (v, &sum) in sums.iter().enumerate() {
                    let limited = _mm512_min_ps(_mm512_max_ps(sum, low), high);
                    let left = panel.channels - v * 16;
                    if left >= 16 {
                        _mm512_storeu_ps(y.add(v * 16), limited);
                    } else {
                        _mm512_mask_storeu_ps(y.add(v * 16), u16::MAX >> (16 - left), limited);
                    }
                }
            }
        }
    }
}

/// Blocks of 16 channels: biases, then a vector per kernel row and column.
pub(super) fn pack_depthwise(row: &DepthwiseRow, raw: &RawF32<'_>) -> Aligned {
    pack_depthwise_floats(row, raw, 16)
}

/// Some channels of one output row.
///
/// # Safety
/// The CPU has AVX-512; the contract of `Kernels`.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn depthwise(
    conv: &DepthwiseF32,
    rows: &[*const u8],
    y: *mut u8,
    channels: Range<usize>,
) {
    let d = &conv.row;
    let per = d.kh * d.kw;
    let usual = d.kh == d.kw && matches!(d.kh, 3 | 5) && d.dilation == 1;
    let low = _mm512_set1_ps(conv.clamp.0);
    let high = _mm512_set1_ps(conv.clamp.1);
    let inner = d.whole_windows();
    for c in channels.step_by(16) {
        let valid = (d.c - c).min(16);
        let mask = u16::MAX >> (16 - valid);
        // SAFETY: contract (reads, writes); reading past the last channel is within the slack.
        unsafe {
            let w = conv
                .packed
                .as_ptr()
                .add(c / 16 * (1 + per) * 64)
                .cast::<f32>();
            let bias = _mm512_load_ps(w);
            let weight = |k: usize| _mm512_load_ps(w.add((1 + k) * 16));
            let finish = |sum: __m512, ox: usize| {
                let limited = _mm512_min_ps(_mm512_max_ps(sum, low), high);
                _mm512_mask_storeu_ps(y.cast::<f32>().add(ox * d.c + c), mask, limited);
            };
            let edge = |ox: usize| {
                let mut sum = bias;
                for (ky, row) in rows.iter().enumerate() {
                    for kx in 0..d.kw {
                        let ix = (ox * d.stride + kx * d.dilation).wrapping_sub(d.left);
                        if ix < d.w_in {
                            let x = _mm512_loadu_ps(row.cast::<f32>().add(ix * d.c + c));
                            sum = _mm512_fmadd_ps(x, weight(ky * d.kw + kx), sum);
                        }
                    }
                }
                finish(sum, ox);
            };
            if !usual {
                let any = Any {
                    row: d,
                    rows,
                    c,
                    bias,
                };
                any.run(inner.clone(), &weight, &finish);
                continue;
            }
            if inner.is_empty() {
                (0..d.w_out).for_each(edge);
                continue;
            }
            (0..inner.start).for_each(edge);
            (inner.end..d.w_out).for_each(edge);
            let inner = inner.clone();
            let start = (inner.start * d.stride - d.left) * d.c + c;
            let steps = (d.c, d.stride * d.c);
            if d.kh == 3 {
                walk::<3>(&weight, bias, rows, start, steps, inner, &finish);
            } else {
                walk::<5>(&weight, bias, rows, start, steps, inner, &finish);
            }
        }
    }
}

/// Outputs whose whole K x K window is in the picture. `steps` are the floats from column to column and from output to output.
///
/// # Safety
/// The CPU has AVX-512; `rows` holds K rows, in each of which every window from `start` can be read.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn walk<const K: usize>(
    weight: &impl Fn(usize) -> __m512,
    bias: __m512,
    rows: &[*const u8],
    start: usize,
    steps: (usize, usize),
    outputs: Range<usize>,
    finish: &impl Fn(__m512, usize),
) {
    // In column order.
    let k: [[__m512; K]; K] =
        std::array::from_fn(|column| std::array::from_fn(|row| weight(row * K + column)));
    // SAFETY: contract (reads): all windows are in the picture; reading past the last channel is within the slack.
    unsafe {
        let mut x: [*const f32; K] = std::array::from_fn(|r| rows[r].cast::<f32>().add(start));
        for ox in outputs {
            // One sum per row, so that no multiply-add waits for the previous one.
            let mut sums: [__m512; K] = std::array::from_fn(|_| _mm512_setzero_ps());
            sums[0] = bias;
            for (column, weights) in k.iter().enumerate() {
                for (row, &weight) in weights.iter().enumerate() {
                    let value = _mm512_loadu_ps(x[row].add(column * steps.0));
                    sums[row] = _mm512_fmadd_ps(value, weight, sums[row]);
                }
            }
            let mut sum = sums[K - 1];
            for &row in sums[..K - 1].iter().rev() {
                sum = _mm512_add_ps(row, sum);
            }
            finish(sum, ox);
            // After the last output it may be past the memory.
            x = x.map(|x| x.wrapping_add(steps.1));
        }
    }
}

/// 16 channels of a row with any window. Several outputs are summed at a time, so that no multiply-add waits for the previous one.
struct Any<'a> {
    row: &'a DepthwiseRow,
    rows: &'a [*const u8],
    c: usize,
    bias: __m512,
}

impl Any<'_> {
    /// Outputs in the picture; the windows of those in `inner` are in it completely.
    ///
    /// # Safety
    /// The CPU has AVX-512; `rows` holds as many rows as the window, of which every float of the channels can be read.
    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn run(
        &self,
        inner: Range<usize>,
        weight: &impl Fn(usize) -> __m512,
        finish: &impl Fn(__m512, usize),
    ) {
        const WHOLE: usize = 8;
        const PARTS: usize = 4;
        let mut ox = 0;
        while ox < self.row.w_out {
            // SAFETY: the caller's promise; the windows of `WHOLE` outputs are in the picture where `inner` has them all.
            unsafe {
                if inner.start <= ox && ox + WHOLE <= inner.end {
                    self.outputs::<WHOLE, true>(ox, weight, finish);
                    ox += WHOLE;
                } else {
                    self.outputs::<PARTS, false>(ox, weight, finish);
                    ox += PARTS;
                }
            }
        }
    }

    /// `N` outputs from `ox` on, as far as there are any.
    ///
    /// # Safety
    /// As for `run`; if `IS_WHOLE`, the windows of all are in the picture.
    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn outputs<const N: usize, const IS_WHOLE: bool>(
        &self,
        ox: usize,
        weight: &impl Fn(usize) -> __m512,
        finish: &impl Fn(__m512, usize),
    ) {
        let d = self.row;
        let mut sums = [self.bias; N];
        for kx in 0..d.kw {
            let columns: [usize; N] = std::array::from_fn(|i| {
                ((ox + i) * d.stride + kx * d.dilation).wrapping_sub(d.left)
            });
            let masks: [__mmask16; N] =
                std::array::from_fn(|i| if columns[i] < d.w_in { u16::MAX } else { 0 });
            for (ky, row) in self.rows.iter().enumerate() {
                let weight = weight(ky * d.kw + kx);
                for i in 0..N {
                    let at = columns[i].wrapping_mul(d.c).wrapping_add(self.c);
                    let x = row.cast::<f32>().wrapping_add(at);
                    // SAFETY: a column in the picture, or nothing is read; past the last channel is within the slack.
                    sums[i] = unsafe {
                        if IS_WHOLE {
                            _mm512_fmadd_ps(_mm512_loadu_ps(x), weight, sums[i])
                        } else {
                            let x = _mm512_maskz_loadu_ps(masks[i], x);
                            _mm512_mask3_fmadd_ps(x, weight, sums[i], masks[i])
                        }
                    };
                }
            }
        }
        for (i, sum) in sums.into_iter().enumerate().take(d.w_out - ox) {
            finish(sum, ox + i);
        }
    }
}
