//! Int8 depthwise convolution with NEON, without dot products, in blocks of 16 channels.
//!
//! The products of two taps are added in 16 bits, then to the 32-bit sums. A 3x3 kernel's nine weight vectors and nine input
//! vectors stay in registers ([`super::neon_depthwise_rows`]); each output loads only the columns that its left neighbour did not
//! use. In other square kernels, the rows of each column are processed in pairs. Two products overflow 16 bits only if both weights
//! are -128: such blocks (no usual quantiser makes them) take the path for any kernel, which adds each product in 32 bits.
//!
//! A block is 16 biases, 16 multipliers, then 16 weights for each kernel row and column; and whether one of them is -128, in 16 bytes.

use super::neon_depthwise_rows::Place;
use super::neon_end::{ANY, Ending, FULL, UPPER};
use super::neon_q8_tiles::Limits;
use super::{neon_depthwise_rows, neon_end};
use crate::network::kernels::{Aligned, DepthwiseQ8, DepthwiseRow, RawQ8};
use std::arch::aarch64::*;
use std::ops::Range;

fn block_bytes(row: &DepthwiseRow) -> usize {
    128 + row.kh * row.kw * 16 + 16
}

/// Packs weights, biases and multipliers.
pub(super) fn pack(row: &DepthwiseRow, raw: &RawQ8<'_>) -> Aligned {
    let per = row.kh * row.kw;
    let mut packed = Aligned::zeroed(row.c.div_ceil(16) * block_bytes(row));
    let bytes = packed.bytes_mut();
    for c in 0..row.c {
        let start = c / 16 * block_bytes(row);
        let at = start + c % 16 * 4;
        bytes[at..at + 4].copy_from_slice(&raw.bias[c].to_ne_bytes());
        bytes[at + 64..at + 68].copy_from_slice(&raw.multiplier[c].to_ne_bytes());
        for k in 0..per {
            bytes[start + 128 + k * 16 + c % 16] = raw.w[c * per + k] as u8;
            if raw.w[c * per + k] == -128 {
                bytes[start + 128 + per * 16] = 1;
            }
        }
    }
    packed
}

/// # Safety
/// The contract of `Kernels`.
pub(super) unsafe fn run(
    conv: &DepthwiseQ8,
    rows: &[*const u8],
    y: *mut u8,
    channels: Range<usize>,
) {
    let d = &conv.row;
    let square = if d.kh == d.kw && d.dilation == 1 {
        d.kw
    } else {
        0
    };
    let in_assembly = square == 3 && matches!(d.stride, 1 | 2) && d.left <= 2;
    let (end, limits) = (&conv.end, Limits::new(&conv.end));
    for c in channels.step_by(16) {
        // SAFETY: contract (reads, writes); reading past the last channel is within the slack; every aarch64 CPU has NEON.
        unsafe {
            let packed = conv.packed.as_ptr().add(c / 16 * block_bytes(d));
            let (left, y) = (d.c - c, y.add(c));
            let pairs_fit = *packed.add(block_bytes(d) - 16) == 0;
            let mut from = 0;
            if in_assembly && pairs_fit && left >= 16 {
                let place = Place {
                    rows: [rows[0].add(c), rows[1].add(c), rows[2].add(c)],
                    columns: d.w_in,
                    left: d.left,
                    count: d.w_out,
                    pitch: d.c,
                    y,
                };
                from = neon_depthwise_rows::run(&place, d.stride, packed, &limits, conv.pad);
                if from == d.w_out {
                    continue;
                }
            }
            let block = Block {
                conv,
                rows,
                packed,
                c,
                left,
                y,
                from,
            };
            let end = Ending::new(end);
            let square = if pairs_fit { square } else { 0 };
            match end.mode {
                FULL => block.row::<FULL>(&end, square),
                UPPER => block.row::<UPPER>(&end, square),
                _ => block.row::<ANY>(&end, square),
            }
        }
    }
}

/// 16 channels of a row.
struct Block<'a> {
    conv: &'a DepthwiseQ8,
    rows: &'a [*const u8],
    packed: *const u8,
    c: usize,
    /// Channels left, from the block's first one.
    left: usize,
    y: *mut u8,
    /// The first output to compute.
    from: usize,
}

/// 32-bit sums of 16 channels.
type Sums = [int32x4_t; 4];

/// `sums + products` for 16 channels.
macro_rules! widen {
    ($sums:expr, $low:expr, $high:expr) => {
        [
            vaddw_s16($sums[0], vget_low_s16($low)),
            vaddw_high_s16($sums[1], $low),
            vaddw_s16($sums[2], vget_low_s16($high)),
            vaddw_high_s16($sums[3], $high),
        ]
    };
}

impl Block<'_> {
    /// # Safety
    /// As `run`.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn weight(&self, k: usize) -> int8x16_t {
        // SAFETY: as `run`.
        unsafe { vld1q_s8(self.packed.add(128 + k * 16).cast()) }
    }

    /// Computes the row; `square` is K for a K x K kernel whose pairs of products fit in 16 bits, else 0.
    ///
    /// # Safety
    /// As `run`.
    #[target_feature(enable = "neon")]
    unsafe fn row<const MODE: u8>(&self, end: &Ending, square: usize) {
        // SAFETY: as `run`.
        unsafe {
            match square {
                3 => self.by_columns::<3, MODE>(end),
                5 => self.by_columns::<5, MODE>(end),
                7 => self.by_columns::<7, MODE>(end),
                _ => self.any::<MODE>(end),
            }
        }
    }

    /// The 16 bytes at row `r`, column `column`; padding outside the picture.
    ///
    /// # Safety
    /// As `run`.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn at(&self, r: usize, column: usize) -> int8x16_t {
        let d = &self.conv.row;
        if column < d.w_in {
            // SAFETY: as `run`.
            unsafe { vld1q_s8(self.rows[r].add(column * d.c + self.c).cast()) }
        } else {
            vdupq_n_s8(self.conv.pad as i8)
        }
    }

    /// # Safety
    /// As `run`.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn finish<const MODE: u8>(&self, end: &Ending, sums: Sums, y: *mut u8) {
        // SAFETY: as `run`.
        unsafe {
            let m = vld1q_f32_x4(self.packed.add(64).cast());
            let bytes = end.bytes::<MODE>(sums, [m.0, m.1, m.2, m.3]);
            if self.left >= 16 {
                vst1q_s8(y.cast(), bytes);
            } else {
                neon_end::store(y, bytes, self.left);
            }
        }
    }

    /// Any kernel, any weights.
    ///
    /// # Safety
    /// As `run`.
    #[target_feature(enable = "neon")]
    unsafe fn any<const MODE: u8>(&self, end: &Ending) {
        let d = &self.conv.row;
        // SAFETY: as `run`.
        unsafe {
            for ox in self.from..d.w_out {
                let bias = vld1q_s32_x4(self.packed.cast());
                let mut sums = [bias.0, bias.1, bias.2, bias.3];
                for r in 0..d.kh {
                    for kx in 0..d.kw {
                        let column = (ox * d.stride + kx * d.dilation).wrapping_sub(d.left);
                        let (x, w) = (self.at(r, column), self.weight(r * d.kw + kx));
                        let low = vmull_s8(vget_low_s8(x), vget_low_s8(w));
                        sums = widen!(sums, low, vmull_high_s8(x, w));
                    }
                }
                self.finish::<MODE>(end, sums, self.y.add(ox * d.c));
            }
        }
    }

    /// A K x K kernel, K odd, whose pairs of products fit in 16 bits.
    ///
    /// # Safety
    /// As `run`.
    #[target_feature(enable = "neon")]
    unsafe fn by_columns<const K: usize, const MODE: u8>(&self, end: &Ending) {
        let d = &self.conv.row;
        for ox in self.from..d.w_out {
            let first = (ox * d.stride).wrapping_sub(d.left);
            let inside = first < d.w_in && first + K <= d.w_in;
            // SAFETY: as `run`; columns that are not checked are in the picture.
            unsafe {
                let bias = vld1q_s32_x4(self.packed.cast());
                let sums = [bias.0, bias.1, bias.2, bias.3];
                let sums = if inside {
                    let at = first * d.c + self.c;
                    let value = |r: usize, kx| vld1q_s8(self.rows[r].add(at + kx * d.c).cast());
                    self.window::<K>(sums, value)
                } else {
                    self.window::<K>(sums, |r, kx| self.at(r, first.wrapping_add(kx)))
                };
                self.finish::<MODE>(end, sums, self.y.add(ox * d.c));
            }
        }
    }

    /// `sums` plus all products of a window whose value at row `r` and column `kx` is `value(r, kx)`.
    ///
    /// # Safety
    /// As `run`.
    #[inline(always)]
    unsafe fn window<const K: usize>(
        &self,
        mut sums: Sums,
        value: impl Fn(usize, usize) -> int8x16_t,
    ) -> Sums {
        // SAFETY: as `run`.
        unsafe {
            let tap = |r: usize, kx: usize| (value(r, kx), self.weight(r * K + kx));
            let two = |sums: Sums, (x, w): (_, _), (x2, w2): (_, _)| -> Sums {
                let low = vmull_s8(vget_low_s8(x), vget_low_s8(w));
                let low = vmlal_s8(low, vget_low_s8(x2), vget_low_s8(w2));
                let high = vmlal_high_s8(vmull_high_s8(x, w), x2, w2);
                widen!(sums, low, high)
            };
            for kx in 0..K {
                for r in (0..K - 1).step_by(2) {
                    sums = two(sums, tap(r, kx), tap(r + 1, kx));
                }
            }
            // The last row is left over.
            for kx in (0..K - 1).step_by(2) {
                sums = two(sums, tap(K - 1, kx), tap(K - 1, kx + 1));
            }
            let (x, w) = tap(K - 1, K - 1);
            let low = vmull_s8(vget_low_s8(x), vget_low_s8(w));
            widen!(sums, low, vmull_high_s8(x, w))
        }
    }
}
