//! Depthwise convolution in half precision with NEON, in blocks of 8 channels: one vector.
//!
//! For 5x5 and 7x7 kernels, one row's weights stay in registers with the sums of up to 7 outputs, and each column is loaded once for
//! all outputs that use it. For 3x3 kernels see [`super::neon_three`]. Sums are of half precision: they have few products.

use super::neon_f16_vectors::{larger, limits, multiply_add, smaller, store};
use super::neon_three;
use crate::network::kernels::panels::tiles;
use crate::network::kernels::{DepthwiseF16, DepthwiseRow};
use std::arch::aarch64::*;
use std::ops::Range;

/// Outputs of a tile of stride 1, and of others.
const TILE: [usize; 2] = [7, 4];

/// Some channels of one output row.
///
/// # Safety
/// The contract of `Half`; the CPU has the instructions.
#[target_feature(enable = "neon,fp16")]
pub(super) unsafe fn run(
    conv: &DepthwiseF16,
    rows: &[*const u8],
    y: *mut u8,
    channels: Range<usize>,
) {
    let d = &conv.row;
    let mut row = Row {
        d,
        limits: limits(conv.clamp),
        packed: conv.packed.as_ptr().cast(),
        rows,
        y: y.cast(),
        channels,
    };
    if neon_three::takes(d) {
        let last = row.channels.end / 8 * 8;
        // SAFETY: contract (reads, writes); reading past the last channel is within the slack.
        unsafe {
            if row.channels.start < last {
                neon_three::run_half(conv, rows, y, row.channels.start..last);
                row.channels.start = last;
            }
            return row.any();
        }
    }
    let square = if d.kh == d.kw && d.dilation == 1 && d.stride <= 2 {
        d.kw
    } else {
        0
    };
    // SAFETY: contract (reads, writes); reading past the last channel is within the slack.
    unsafe {
        match (square, d.stride) {
            (3, 1) => row.walk::<3, 1>(),
            (3, 2) => row.walk::<3, 2>(),
            (5, 1) => row.walk::<5, 1>(),
            (5, 2) => row.walk::<5, 2>(),
            (7, 1) => row.walk::<7, 1>(),
            (7, 2) => row.walk::<7, 2>(),
            _ => row.any(),
        }
    }
}

/// An output row and what it is made of.
struct Row<'a> {
    d: &'a DepthwiseRow,
    limits: [uint16x8_t; 2],
    packed: *const u16,
    rows: &'a [*const u8],
    y: *mut u16,
    channels: Range<usize>,
}

impl Row<'_> {
    /// The packed values of the eight channels from `c`.
    ///
    /// # Safety
    /// `c` is a multiple of eight and one of the channels.
    #[inline(always)]
    unsafe fn block(&self, c: usize) -> *const u16 {
        // SAFETY: the packed blocks are of eight channels each, biases and weights.
        unsafe { self.packed.add(c * (1 + self.d.kh * self.d.kw)) }
    }

    /// Stores one output of the channels from `c`.
    ///
    /// # Safety
    /// As `run`.
    #[inline]
    #[target_feature(enable = "neon,fp16")]
    unsafe fn finish(&self, sum: uint16x8_t, ox: usize, c: usize) {
        // SAFETY: as `run`.
        unsafe {
            let limited = smaller(larger(sum, self.limits[0]), self.limits[1]);
            store(self.y.add(ox * self.d.c + c), limited, self.d.c - c);
        }
    }

    /// Any kernel.
    ///
    /// # Safety
    /// As `run`.
    #[target_feature(enable = "neon,fp16")]
    unsafe fn any(&self) {
        let d = self.d;
        // SAFETY: as `run`.
        unsafe {
            for c in self.channels.clone().step_by(8) {
                let w = self.block(c);
                for ox in 0..d.w_out {
                    let mut sum = vld1q_u16(w);
                    for (ky, row) in self.rows.iter().enumerate() {
                        for kx in 0..d.kw {
                            let ix = (ox * d.stride + kx * d.dilation).wrapping_sub(d.left);
                            if ix < d.w_in {
                                let x = vld1q_u16(row.cast::<u16>().add(ix * d.c + c));
                                let w = vld1q_u16(w.add((1 + ky * d.kw + kx) * 8));
                                sum = multiply_add(sum, x, w);
                            }
                        }
                    }
                    self.finish(sum, ox, c);
                }
            }
        }
    }

    /// All outputs of K x K kernels, stride S, in tiles.
    ///
    /// # Safety
    /// As `run`.
    #[target_feature(enable = "neon,fp16")]
    unsafe fn walk<const K: usize, const S: usize>(&self) {
        let inner = self.d.whole_windows();
        for (ox, size) in tiles(self.d.w_out, TILE[S - 1]) {
            let inside = inner.start <= ox && ox + size <= inner.end;
            macro_rules! of_size {
                ($($size:literal)*) => {
                    match size {
                        // SAFETY: the caller's contract is the same, with `size` outputs.
                        $($size if inside => unsafe { self.tile::<$size, K, S, true>(ox) },
                        // SAFETY: the caller's contract is the same, with `size` outputs.
                        $size => unsafe { self.tile::<$size, K, S, false>(ox) },)*
                        _ => {}
                    }
                };
            }
            of_size!(1 2 3 4 5 6 7);
        }
    }

    /// `MR` outputs from `ox`, of all channels; their windows are in the picture if `INSIDE`. Each column is loaded once for all
    /// outputs that use it.
    ///
    /// # Safety
    /// As `run`.
    #[target_feature(enable = "neon,fp16")]
    unsafe fn tile<const MR: usize, const K: usize, const S: usize, const INSIDE: bool>(
        &self,
        ox: usize,
    ) {
        let (d, first) = (self.d, ox * S);
        let columns = (MR - 1) * S + K;
        // The columns that are in the picture, relative to the first window's first column.
        let real = d.left.saturating_sub(first)..(d.w_in + d.left).saturating_sub(first);
        let missing = |column: usize| !INSIDE && !real.contains(&column);
        // The first of these columns may be before the start of the row.
        let at = first.wrapping_sub(d.left).wrapping_mul(d.c);
        let rows: [*const u16; K] =
            std::array::from_fn(|ky| self.rows[ky].cast::<u16>().wrapping_add(at));
        for c in self.channels.clone().step_by(8) {
            // SAFETY: as `run`; only columns of the picture are read.
            unsafe {
                let w = self.block(c);
                let mut sums = [vld1q_u16(w); MR];
                for (ky, row) in rows.iter().enumerate() {
                    let row = row.wrapping_add(c);
                    let weights: [uint16x8_t; K] =
                        std::array::from_fn(|kx| vld1q_u16(w.add((1 + ky * K + kx) * 8)));
                    // Written out, because the compiler keeps a loop with its branches.
                    macro_rules! columns {
                        ($($column:literal)*) => {
                            $(if $column < columns && !missing($column) {
                                let x = vld1q_u16(row.wrapping_add($column * d.c));
                                for (m, sum) in sums.iter_mut().enumerate() {
                                    if m * S <= $column && $column < m * S + K {
                                        *sum = multiply_add(*sum, x, weights[$column - m * S]);
                                    }
                                }
                            })*
                        };
                    }
                    columns!(0 1 2 3 4 5 6 7 8 9 10 11 12);
                }
                for (m, sum) in sums.into_iter().enumerate() {
                    self.finish(sum, ox + m, c);
                }
            }
        }
    }
}
