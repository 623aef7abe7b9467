//! Int8 depthwise convolution with NEON dot products, in blocks of 16 channels.
//!
//! The bytes of up to four kernel rows are interleaved, so that one `sdot` computes a whole kernel column of 4 channels. The usual
//! kernels are in [`super::dotprod_three`] and [`super::dotprod_five`].
//!
//! First come the ways to end. A block is 16 biases, 16 multipliers, 16 shifted biases, multipliers and shifts, then 64 bytes for each kernel column and
//! group of four kernel rows: for each channel in turn, the weights of the four rows.

use super::dotprod_end::{Channels, End, Ways, for_way};
use super::dotprod_five;
use super::dotprod_row::{Block, Column, HEAD, dot};
use super::dotprod_three::{self, Place, column};
use super::neon_end;
use super::neon_end::{ANY as GENERAL, Ending, FULL, UPPER};
use crate::network::kernels::{Aligned, DepthwiseQ8, DepthwiseRow, RawQ8};
use std::arch::aarch64::*;
use std::arch::asm;
use std::ops::Range;

/// Groups of four kernel rows.
fn groups(row: &DepthwiseRow) -> usize {
    row.kh.div_ceil(4)
}

fn block_bytes(row: &DepthwiseRow) -> usize {
    HEAD + row.kw * groups(row) * 64
}

/// Packs weights, biases and multipliers.
pub(super) fn pack(row: &DepthwiseRow, raw: &RawQ8<'_>) -> Aligned {
    let mut packed = Aligned::zeroed(Ways::BYTES + row.c.div_ceil(16) * block_bytes(row));
    let bytes = packed.bytes_mut();
    let channels = Channels::pack(raw, bytes);
    let bytes = &mut bytes[Ways::BYTES..];
    for c in 0..row.c {
        let at = c / 16 * block_bytes(row) + c % 16 * 4;
        bytes[at..at + 4].copy_from_slice(&raw.bias[c].to_ne_bytes());
        bytes[at + 64..at + 68].copy_from_slice(&raw.multiplier[c].to_ne_bytes());
        for (part, of) in channels.of(c).iter().enumerate() {
            bytes[at + 128 + part * 64..][..4].copy_from_slice(of);
        }
        for kx in 0..row.kw {
            for ky in 0..row.kh {
                let at = at + HEAD + (kx * groups(row) + ky / 4) * 64 + ky % 4;
                bytes[at] = raw.w[(c * row.kh + ky) * row.kw + kx] as u8;
            }
        }
    }
    packed
}

/// The `tbl` indices that interleave four registers: for each channel, its byte from every row in turn.
const fn order() -> [u8; 64] {
    let mut order = [0; 64];
    let mut i = 0;
    while i < 64 {
        order[i] = (i % 4 * 16 + i / 4) as u8;
        i += 1;
    }
    order
}

#[repr(align(64))]
struct Order([u8; 64]);
static FOUR: Order = Order(order());

/// # Safety
/// The CPU has dot products; the contract of `Kernels`.
pub(super) unsafe fn run(
    conv: &DepthwiseQ8,
    rows: &[*const u8],
    y: *mut u8,
    channels: Range<usize>,
) {
    let d = &conv.row;
    // SAFETY: contract (reads, writes); reading past the last channel is within the slack.
    unsafe {
        let way = Ways::read(conv.packed.as_ptr(), &conv.end);
        let blocks = conv.packed.as_ptr().add(Ways::BYTES);
        let of = |c: usize| Block {
            conv,
            rows,
            packed: blocks.add(c / 16 * block_bytes(d)),
            c,
            left: d.c - c,
            y: y.add(c),
        };
        let blocks = channels.step_by(16).map(of);
        let five = dotprod_five::takes(d);
        match (Three::of(d), d.stride) {
            (Some(three), 1) => for_way!(way, WAY => three.run::<1, WAY>(conv, blocks)),
            (Some(three), _) => for_way!(way, WAY => three.run::<2, WAY>(conv, blocks)),
            (None, 1) if five => {
                for_way!(way, WAY => dotprod_five::run::<1, WAY>(blocks, &conv.end));
            }
            (None, _) if five => {
                for_way!(way, WAY => dotprod_five::run::<2, WAY>(blocks, &conv.end));
            }
            (None, _) => {
                let end = Ending::new(&conv.end);
                for block in blocks {
                    match end.mode {
                        FULL => block.any::<FULL>(&end),
                        UPPER => block.any::<UPPER>(&end),
                        _ => block.any::<GENERAL>(&end),
                    }
                }
            }
        }
    }
}

/// How [`dotprod_three`] computes a row.
struct Three {
    /// The first column that it loads itself.
    first: usize,
    /// Outputs whose new columns are all in the picture.
    count: usize,
    /// Other outputs after them.
    extra: usize,
}

impl Three {
    /// `None` if it cannot.
    fn of(d: &DepthwiseRow) -> Option<Self> {
        if d.kh != 3 || d.kw != 3 || d.dilation != 1 || d.stride > 2 {
            return None;
        }
        let first = (3 - d.stride).checked_sub(d.left)?;
        let count = d.w_in.checked_sub(first)? / d.stride;
        let count = count.min(d.w_out);
        let extra = d.w_out - count;
        (count > 0 && (d.stride == 1 || extra < 2)).then_some(Self {
            first,
            count,
            extra,
        })
    }

    /// # Safety
    /// As the function `run`.
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn run<'a, const STRIDE: usize, const WAY: u8>(
        &self,
        conv: &DepthwiseQ8,
        blocks: impl Iterator<Item = Block<'a>>,
    ) {
        /// Bytes of a column of padding.
        const EDGE: usize = 32;
        let d = &conv.row;
        let end = End::new::<WAY>(&conv.end);
        let pad = [vdupq_n_s8(conv.pad as i8); 4];
        let mut edge = [[[conv.pad; EDGE]; 2]; 3];
        // SAFETY: as `run`: columns below `w_in` are in the picture. The edge has as many columns as are new.
        unsafe {
            for block in blocks {
                let at = |i: usize| std::array::from_fn(|r| block.rows[r].add(i * d.c + block.c));
                // Columns `first - 2` and `first - 1`; none is behind the picture, whose column `first` exists.
                let columns: [Column; 2] = match (STRIDE, self.first) {
                    (1, 1) => [pad, column(at(0))],
                    (1, 2) => [column(at(0)), column(at(1))],
                    (2, 1) => [column(at(0)), pad],
                    _ => [pad, pad],
                };
                let next = self.first + self.count * STRIDE;
                if self.extra > 0 && next < d.w_in {
                    for (edge, from) in edge.iter_mut().zip(at(next)) {
                        edge[0][..16].copy_from_slice(&*from.cast::<[u8; 16]>());
                    }
                }
                let place = Place {
                    packed: block.packed,
                    columns,
                    rows: at(self.first),
                    step: d.c,
                    y: block.y,
                    count: self.count,
                    extra: self.extra,
                    edge: std::array::from_fn(|r| edge[r].as_ptr().cast()),
                    edge_step: if STRIDE == 1 { 0 } else { EDGE },
                    left: block.left,
                };
                dotprod_three::run::<WAY, STRIDE>(&place, &end);
            }
        }
    }
}

impl Block<'_> {
    /// Four vectors at `offset` of the packed block.
    ///
    /// # Safety
    /// As `run`.
    #[inline(always)]
    unsafe fn packed(&self, offset: usize) -> Column {
        // SAFETY: as `run`.
        unsafe {
            let l = vld1q_s8_x4(self.packed.add(offset).cast());
            [l.0, l.1, l.2, l.3]
        }
    }

    /// Biases (at 0) or multipliers (at 64), reloaded each time: keeping them would take registers that the columns need.
    ///
    /// # Safety
    /// As `run`.
    #[inline(always)]
    unsafe fn head<const OFFSET: usize>(&self) -> [int32x4_t; 4] {
        // SAFETY: as `run`.
        unsafe {
            let (a, b, c, d);
            asm!(
                "ldp {a:q}, {b:q}, [{p}, {o}]",
                "ldp {c:q}, {d:q}, [{p}, {o} + 32]",
                p = in(reg) self.packed,
                o = const OFFSET,
                a = out(vreg) a,
                b = out(vreg) b,
                c = lateout(vreg) c,
                d = lateout(vreg) d,
                options(pure, readonly, nostack, preserves_flags),
            );
            [a, b, c, d]
        }
    }

    /// # Safety
    /// As `run`.
    #[inline(always)]
    unsafe fn finish<const MODE: u8>(&self, end: &Ending, sums: [int32x4_t; 4], y: *mut u8) {
        // SAFETY: as `run`.
        unsafe {
            let m = self.head::<64>().map(|m| vreinterpretq_f32_s32(m));
            let bytes = end.bytes::<MODE>(sums, m);
            if self.left >= 16 {
                vst1q_s8(y.cast(), bytes);
            } else {
                neon_end::store(y, bytes, self.left);
            }
        }
    }

    /// Any kernel.
    ///
    /// # Safety
    /// As `run`.
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn any<const MODE: u8>(&self, end: &Ending) {
        let d = &self.conv.row;
        // SAFETY: as `run`.
        unsafe {
            let pad = vdupq_n_s8(self.conv.pad as i8);
            let order = vld1q_u8_x4(FOUR.0.as_ptr());
            for ox in 0..d.w_out {
                let mut sums = self.head::<0>();
                let mut weights = HEAD;
                for kx in 0..d.kw {
                    let column = (ox * d.stride + kx * d.dilation).wrapping_sub(d.left);
                    for rows in self.rows.chunks(4) {
                        let at = |r: usize| match rows.get(r) {
                            Some(row) if column < d.w_in => {
                                vld1q_s8(row.add(column * d.c + self.c).cast())
                            }
                            _ => pad,
                        };
                        let table = int8x16x4_t(at(0), at(1), at(2), at(3));
                        let x = [
                            vqtbl4q_s8(table, order.0),
                            vqtbl4q_s8(table, order.1),
                            vqtbl4q_s8(table, order.2),
                            vqtbl4q_s8(table, order.3),
                        ];
                        for ((sum, x), w) in sums.iter_mut().zip(x).zip(self.packed(weights)) {
                            *sum = dot(*sum, x, w);
                        }
                        weights += 64;
                    }
                }
                self.finish::<MODE>(end, sums, self.y.add(ox * d.c));
            }
        }
    }
}
