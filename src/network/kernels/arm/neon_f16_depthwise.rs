//! Depthwise convolution in half precision with NEON, in blocks of 8 channels: one vector.
//!
//! A 3x3 kernel's weights stay in registers with the sums of up to 6 outputs, a larger square one's row by row; each column is loaded
//! once for all outputs that use it. Sums are of half precision: they have few products.

use super::neon_f16_vectors::{larger, limits, multiply_add, smaller, store};
use crate::network::kernels::panels::tiles;
use crate::network::kernels::{DepthwiseF16, DepthwiseRow};
use std::arch::aarch64::*;
use std::ops::Range;

/// Outputs of a tile of stride 1, and of others.
const TILE: [usize; 2] = [7, 4];

/// Columns of a tile's windows that are not in the picture: none.
const INSIDE: u8 = 0;
/// The first column.
const FIRST: u8 = 1;
/// The last column.
const LAST: u8 = 2;
/// The first and the last.
const BOTH: u8 = FIRST + LAST;
/// Any: each is tested.
const ANY: u8 = 4;

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
    let row = Row {
        d,
        limits: limits(conv.clamp),
        packed: conv.packed.as_ptr().cast(),
        rows,
        y: y.cast(),
        channels,
    };
    let square = if d.kh == d.kw && d.dilation == 1 && d.stride <= 2 {
        d.kw
    } else {
        0
    };
    // SAFETY: contract (reads, writes); reading past the last channel is within the slack.
    unsafe {
        match (square, d.stride) {
            (3, 1) => row.three::<1>(),
            (3, 2) => row.three::<2>(),
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
                        $($size if inside => unsafe { self.tile::<$size, K, S, INSIDE>(ox) },
                        // SAFETY: the caller's contract is the same, with `size` outputs.
                        $size => unsafe { self.tile::<$size, K, S, ANY>(ox) },)*
                        _ => {}
                    }
                };
            }
            of_size!(1 2 3 4 5 6 7);
        }
    }

    /// The same for 3x3 kernels with a column of padding or none at each side.
    ///
    /// # Safety
    /// As `run`.
    #[target_feature(enable = "neon,fp16")]
    unsafe fn three<const S: usize>(&self) {
        let d = self.d;
        let end = ((d.w_out - 1) * S + 3).saturating_sub(d.left);
        if d.left > 1 || end > d.w_in + 1 {
            // SAFETY: the caller's contract is the same.
            return unsafe { self.walk::<3, S>() };
        }
        for (ox, size) in tiles(d.w_out, TILE[S - 1]) {
            let first = if ox == 0 && d.left == 1 { FIRST } else { 0 };
            let last = if ox + size == d.w_out && end > d.w_in {
                LAST
            } else {
                0
            };
            macro_rules! of_size {
                ($($size:literal)*) => {
                    match (size, first + last) {
                        $(
                            // SAFETY: the caller's contract is the same; the columns said to be missing are.
                            ($size, INSIDE) => unsafe { self.tile::<$size, 3, S, INSIDE>(ox) },
                            // SAFETY: as above.
                            ($size, FIRST) => unsafe { self.tile::<$size, 3, S, FIRST>(ox) },
                            // SAFETY: as above.
                            ($size, LAST) => unsafe { self.tile::<$size, 3, S, LAST>(ox) },
                            // SAFETY: as above.
                            ($size, _) => unsafe { self.tile::<$size, 3, S, BOTH>(ox) },
                        )*
                        _ => {}
                    }
                };
            }
            of_size!(1 2 3 4 5 6 7);
        }
    }

    /// `MR` outputs from `ox`, of all channels; `MISSING` says which columns of their windows are not in the picture. Each column is
    /// loaded once for all outputs that use it.
    ///
    /// # Safety
    /// As `run`.
    #[target_feature(enable = "neon,fp16")]
    unsafe fn tile<const MR: usize, const K: usize, const S: usize, const MISSING: u8>(
        &self,
        ox: usize,
    ) {
        let (d, first) = (self.d, ox * S);
        let columns = (MR - 1) * S + K;
        // The columns that are in the picture, relative to the first window's first column.
        let real = d.left.saturating_sub(first)..(d.w_in + d.left).saturating_sub(first);
        let missing = |column: usize| match MISSING {
            ANY => !real.contains(&column),
            of => of & FIRST != 0 && column == 0 || of & LAST != 0 && column + 1 == columns,
        };
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
