//! Int8 depthwise convolution with NEON dot products, in blocks of 16 channels.
//!
//! `tbl` interleaves the bytes of up to three kernel rows (four in the general loop), so that one `sdot` computes a whole kernel
//! column of 4 channels. Each column is interleaved once, for all outputs that use it.
//!
//! A block is 16 biases, 16 multipliers, then 64 bytes for each kernel column and group of four kernel rows: for each channel in
//! turn, the weights of the four rows.

use super::neon_end;
use super::neon_end::{ANY, Ending, FULL, UPPER};
use crate::network::kernels::{Aligned, DepthwiseQ8, DepthwiseRow, RawQ8};
use std::arch::aarch64::*;
use std::arch::asm;
use std::ops::Range;

/// Groups of four kernel rows.
fn groups(row: &DepthwiseRow) -> usize {
    row.kh.div_ceil(4)
}

fn block_bytes(row: &DepthwiseRow) -> usize {
    128 + row.kw * groups(row) * 64
}

/// Packs weights, biases and multipliers.
pub(super) fn pack(row: &DepthwiseRow, raw: &RawQ8<'_>) -> Aligned {
    let mut packed = Aligned::zeroed(row.c.div_ceil(16) * block_bytes(row));
    let bytes = packed.bytes_mut();
    for c in 0..row.c {
        let at = c / 16 * block_bytes(row) + c % 16 * 4;
        bytes[at..at + 4].copy_from_slice(&raw.bias[c].to_ne_bytes());
        bytes[at + 64..at + 68].copy_from_slice(&raw.multiplier[c].to_ne_bytes());
        for kx in 0..row.kw {
            for ky in 0..row.kh {
                let at = at + 128 + (kx * groups(row) + ky / 4) * 64 + ky % 4;
                bytes[at] = raw.w[(c * row.kh + ky) * row.kw + kx] as u8;
            }
        }
    }
    packed
}

/// The `tbl` indices that interleave four registers, or three (the index of the fourth is out of range and gives 0): for each
/// channel, its byte from every row in turn.
const fn order(rows: usize) -> [u8; 64] {
    let mut order = [255; 64];
    let mut i = 0;
    while i < 64 {
        if i % 4 < rows {
            order[i] = (i % 4 * 16 + i / 4) as u8;
        }
        i += 1;
    }
    order
}

#[repr(align(64))]
struct Order([u8; 64]);
static THREE: Order = Order(order(3));
static FOUR: Order = Order(order(4));

/// # Safety
/// The CPU has dot products; the contract of `Kernels`.
pub(super) unsafe fn run(
    conv: &DepthwiseQ8,
    rows: &[*const u8],
    y: *mut u8,
    channels: Range<usize>,
) {
    let d = &conv.row;
    let usual = d.kh == 3 && d.kw == 3 && d.dilation == 1 && d.stride <= 2;
    for c in channels.step_by(16) {
        // SAFETY: contract (reads, writes); reading past the last channel is within the slack.
        unsafe {
            let block = Block {
                conv,
                rows,
                packed: conv.packed.as_ptr().add(c / 16 * block_bytes(d)),
                c,
                left: d.c - c,
                y: y.add(c),
            };
            let end = Ending::new(&conv.end);
            match (usual, d.stride, end.mode) {
                (true, 1, FULL) => block.three::<1, FULL>(&end),
                (true, 1, UPPER) => block.three::<1, UPPER>(&end),
                (true, 1, _) => block.three::<1, ANY>(&end),
                (true, _, FULL) => block.three::<2, FULL>(&end),
                (true, _, UPPER) => block.three::<2, UPPER>(&end),
                (true, _, _) => block.three::<2, ANY>(&end),
                (false, _, FULL) => block.any::<FULL>(&end),
                (false, _, UPPER) => block.any::<UPPER>(&end),
                (false, _, _) => block.any::<ANY>(&end),
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
}

/// A kernel column's inputs for 16 channels, interleaved; or its weights.
type Column = [int8x16_t; 4];

/// The bytes of three rows at `offset`, interleaved.
///
/// # Safety
/// 16 bytes are readable there.
#[inline(always)]
unsafe fn column(rows: &[*const u8; 3], offset: usize) -> Column {
    // SAFETY: it reads the 16 readable bytes; the assembly only reads memory.
    unsafe {
        let (a, b, c, d);
        asm!(
            "ldr q0, [{r0}, {offset}]",
            "ldr q1, [{r1}, {offset}]",
            "ldr q2, [{r2}, {offset}]",
            "ld1 {{v3.16b, v4.16b, v5.16b, v6.16b}}, [{order}]",
            "tbl {a:v}.16b, {{v0.16b, v1.16b, v2.16b}}, v3.16b",
            "tbl {b:v}.16b, {{v0.16b, v1.16b, v2.16b}}, v4.16b",
            "tbl {c:v}.16b, {{v0.16b, v1.16b, v2.16b}}, v5.16b",
            "tbl {d:v}.16b, {{v0.16b, v1.16b, v2.16b}}, v6.16b",
            r0 = in(reg) rows[0],
            r1 = in(reg) rows[1],
            r2 = in(reg) rows[2],
            offset = in(reg) offset,
            order = in(reg) &raw const THREE,
            a = lateout(vreg) a,
            b = lateout(vreg) b,
            c = lateout(vreg) c,
            d = out(vreg) d,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _,
            options(pure, readonly, nostack, preserves_flags),
        );
        [a, b, c, d]
    }
}

/// `sum + x . w` for 16 channels.
///
/// # Safety
/// The CPU has dot products.
#[inline(always)]
unsafe fn dot(mut sums: [int32x4_t; 4], x: &Column, w: &Column) -> [int32x4_t; 4] {
    for ((sum, x), w) in sums.iter_mut().zip(x).zip(w) {
        // SAFETY: the CPU has dot products.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "sdot {s:v}.4s, {x:v}.16b, {w:v}.16b",
                s = inout(vreg) *sum,
                x = in(vreg) *x,
                w = in(vreg) *w,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
    }
    sums
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

    /// The output of a 3x3 kernel from its three columns.
    ///
    /// # Safety
    /// As `run`.
    #[inline(always)]
    unsafe fn output<const MODE: u8>(
        &self,
        end: &Ending,
        w: &[Column; 3],
        x: [&Column; 3],
        y: *mut u8,
    ) {
        // SAFETY: as `run`.
        unsafe {
            let sums = dot(self.head::<0>(), x[0], &w[0]);
            let sums = dot(sums, x[1], &w[1]);
            self.finish::<MODE>(end, dot(sums, x[2], &w[2]), y);
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
                let mut weights = 128;
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
                        sums = dot(sums, &x, &self.packed(weights));
                        weights += 64;
                    }
                }
                self.finish::<MODE>(end, sums, self.y.add(ox * d.c));
            }
        }
    }

    /// A 3x3 kernel.
    ///
    /// # Safety
    /// As `run`.
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn three<const STRIDE: usize, const MODE: u8>(&self, end: &Ending) {
        let d = &self.conv.row;
        // SAFETY: as `run`; columns that are not checked are below `w_in`.
        unsafe {
            let w = [self.packed(128), self.packed(192), self.packed(256)];
            // The column's offset is added to these pointers.
            let rows: [*const u8; 3] = std::array::from_fn(|r| self.rows[r].add(self.c));
            let pad = {
                let p = u32::from(self.conv.pad) * 0x10101;
                [vreinterpretq_s8_u32(vdupq_n_u32(p)); 4]
            };
            let checked = |i: usize| {
                if i < d.w_in {
                    column(&rows, i * d.c)
                } else {
                    pad
                }
            };
            let w = &w;
            let first = 0usize.wrapping_sub(d.left);
            let mut a = checked(first);
            let mut b = if STRIDE == 1 {
                checked(first.wrapping_add(1))
            } else {
                a
            };
            let mut ox = 0;
            while ox < d.w_out {
                let from = (ox * STRIDE).wrapping_sub(d.left);
                // Several outputs whose new columns are all in the picture: no checks, and each column stays in its registers.
                let new = from.wrapping_add(3 - STRIDE);
                let (ahead, columns) = if STRIDE == 1 { (3, 3) } else { (2, 4) };
                if new < d.w_in && new + columns <= d.w_in && ox + ahead <= d.w_out {
                    let (c_bytes, y) = (d.c, self.y.add(ox * d.c));
                    let start = new * c_bytes;
                    let at = |i: usize| column(&rows, start + i * c_bytes);
                    if STRIDE == 1 {
                        let c = at(0);
                        self.output::<MODE>(end, w, [&a, &b, &c], y);
                        a = at(1);
                        self.output::<MODE>(end, w, [&b, &c, &a], y.add(c_bytes));
                        b = at(2);
                        self.output::<MODE>(end, w, [&c, &a, &b], y.add(2 * c_bytes));
                    } else {
                        b = at(0);
                        let c = at(1);
                        self.output::<MODE>(end, w, [&a, &b, &c], y);
                        b = at(2);
                        a = at(3);
                        self.output::<MODE>(end, w, [&c, &b, &a], y.add(c_bytes));
                    }
                    ox += ahead;
                } else {
                    if STRIDE == 2 {
                        b = checked(from.wrapping_add(1));
                    }
                    let c = checked(from.wrapping_add(2));
                    self.output::<MODE>(end, w, [&a, &b, &c], self.y.add(ox * d.c));
                    if STRIDE == 1 {
                        a = b;
                        b = c;
                    } else {
                        a = c;
                    }
                    ox += 1;
                }
            }
        }
    }
}
