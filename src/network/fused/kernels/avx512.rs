//! Floats by AVX-512F: the tile of [`super::avx512vnni`] with fused multiply-adds, and a depthwise loop over 16 channels that
//! holds a 3x3 kernel's nine weight vectors in registers.

use super::panels::{Panel, Panels, even_tiles, float_panels, pack_depthwise_floats, pack_floats};
use super::{Aligned, ConvF32, DepthwiseF32, DepthwiseRow, Pixels, RawF32, Runs};
use std::arch::x86_64::*;
use std::ops::Range;

/// Vectors of 16 channels in the widest panel.
const WIDEST: usize = 4;

fn panels(runs: &Runs) -> Panels {
    float_panels(runs, 16, WIDEST)
}

/// Panel by panel: biases, then for each value of the runs a vector of weights for each 16 channels.
pub(super) fn pack_conv(runs: &Runs, raw: &RawF32<'_>) -> Aligned {
    pack_floats(panels(runs), runs, raw)
}

/// # Safety
/// AVX-512; pointers as the geometry says.
pub(super) unsafe fn conv(conv: &ConvF32, p: &Pixels, channels: Range<usize>) {
    macro_rules! by_size {
        ($panel:expr, $pixels:expr, $size:expr, $($vectors:literal: $($m:literal)*;)*) => {
            match ($panel.vectors, $size) {
                $($(($vectors, $m) => tile::<$m, $vectors>(conv, $panel, $pixels),)*)*
                _ => {}
            }
        };
    }
    for panel in panels(&conv.runs).within(channels) {
        let most = [12, 12, 8, 6][panel.vectors - 1];
        // SAFETY: the caller's promise.
        unsafe {
            even_tiles(p, panel.first * 4, most, |pixels, size| {
                by_size! { &panel, pixels, size,
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
/// AVX-512; MR pixels as the geometry says.
#[target_feature(enable = "avx512f")]
unsafe fn tile<const MR: usize, const NV: usize>(conv: &ConvF32, panel: &Panel, p: &Pixels) {
    // SAFETY: the caller's promise; the packed panel is biases, then NV vectors a value.
    unsafe {
        let mut w = conv.packed.as_ptr().add(panel.offset).cast::<f32>();
        let mut sums = [[_mm512_setzero_ps(); NV]; MR];
        for v in 0..NV {
            let bias = _mm512_load_ps(w.add(v * 16));
            for sums in &mut sums {
                sums[v] = bias;
            }
        }
        w = w.add(NV * 16);
        for &offset in &conv.runs.offsets {
            let mut x = p.x.add(offset);
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
        let low = _mm512_set1_ps(conv.clamp.0);
        let high = _mm512_set1_ps(conv.clamp.1);
        for (m, sums) in sums.iter().enumerate() {
            let y = p.y.add(m * p.y_pitch).cast::<f32>();
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

/// Blocks of 16 channels: biases, then a vector for each kernel row and column.
pub(super) fn pack_depthwise(row: &DepthwiseRow, raw: &RawF32<'_>) -> Aligned {
    pack_depthwise_floats(row, raw, 16)
}

/// One output row, some channels.
///
/// # Safety
/// AVX-512; pointers as the geometry says.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn depthwise(
    conv: &DepthwiseF32,
    rows: &[*const u8],
    y: *mut u8,
    channels: Range<usize>,
) {
    let d = &conv.row;
    let per = d.kh * d.kw;
    let usual = d.kh == 3 && d.kw == 3 && d.dilation == 1;
    let low = _mm512_set1_ps(conv.clamp.0);
    let high = _mm512_set1_ps(conv.clamp.1);
    // Outputs whose whole window lies in the picture.
    let span = (d.kw - 1) * d.dilation + 1;
    let inner = d.left.div_ceil(d.stride)
        ..((d.w_in + d.left + d.stride).saturating_sub(span) / d.stride).min(d.w_out);
    for c in channels.step_by(16) {
        let valid = (d.c - c).min(16);
        let mask = u16::MAX >> (16 - valid);
        // SAFETY: the caller's promise; reading past the last channel is within the slack.
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
            if !usual || inner.is_empty() {
                (0..d.w_out).for_each(edge);
                continue;
            }
            (0..inner.start).for_each(edge);
            (inner.end..d.w_out).for_each(edge);
            let k: [__m512; 9] = std::array::from_fn(weight);
            let start = (inner.start * d.stride - d.left) * d.c + c;
            let mut x: [*const f32; 3] = std::array::from_fn(|r| rows[r].cast::<f32>().add(start));
            for ox in inner.clone() {
                let at = |r: usize, i: usize| _mm512_loadu_ps(x[r].add(i * d.c));
                // Three sums, so that no multiply-add waits for the one before.
                let mut a = _mm512_fmadd_ps(at(0, 0), k[0], bias);
                let mut b = _mm512_mul_ps(at(1, 0), k[3]);
                let mut e = _mm512_mul_ps(at(2, 0), k[6]);
                a = _mm512_fmadd_ps(at(0, 1), k[1], a);
                b = _mm512_fmadd_ps(at(1, 1), k[4], b);
                e = _mm512_fmadd_ps(at(2, 1), k[7], e);
                a = _mm512_fmadd_ps(at(0, 2), k[2], a);
                b = _mm512_fmadd_ps(at(1, 2), k[5], b);
                e = _mm512_fmadd_ps(at(2, 2), k[8], e);
                finish(_mm512_add_ps(a, _mm512_add_ps(b, e)), ox);
                x = x.map(|x| x.add(d.stride * d.c));
            }
        }
    }
}
