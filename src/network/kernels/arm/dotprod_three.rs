//! Rows of a 3x3 depthwise convolution with NEON dot products, in assembly because they need every register: 16 channels at a time.
//!
//! A kernel column's inputs are interleaved: for each channel its bytes of the three rows and a fourth that has weight 0, so that one
//! `sdot` multiplies the column of 4 channels. Two rows are zipped, then `tbl` adds the third; `tbl` of two registers is fast
//! everywhere, that of three is not on a Cortex-A76. Three columns stay in v0 to v11 and take turns; two columns of weights are in v12
//! to v19. The third and all that the end needs are loaded when they are needed: loads have pipes of their own.

use super::dotprod_end::{ANY, End, FREE, POSITIVE};
use super::dotprod_row::{Column, HEAD};
use std::arch::aarch64::*;
use std::arch::asm;

/// Where a row's inputs and outputs are.
pub(super) struct Place {
    /// The packed block, see [`super::dotprod_depthwise`].
    pub packed: *const u8,
    /// The columns before the first new one: two, or one if the stride is 2.
    pub columns: [Column; 2],
    /// The first new column.
    pub rows: [*const u8; 3],
    /// Bytes from one column to the next, of inputs and outputs.
    pub step: usize,
    pub y: *mut u8,
    /// Outputs from there, at least 1.
    pub count: usize,
    /// Outputs after these, whose new columns are not all in the picture.
    pub extra: usize,
    /// The first of those columns.
    pub edge: [*const u8; 3],
    /// Bytes from one of them to the next.
    pub edge_step: usize,
    /// Channels, if there are fewer than 16.
    pub left: usize,
}

#[repr(align(16))]
struct Order([u8; 16]);
/// The `tbl` indices that append a row's byte to each of four (the next four) zipped pairs.
static ORDER: [Order; 2] = [
    Order([0, 1, 16, 0, 2, 3, 17, 0, 4, 5, 18, 0, 6, 7, 19, 0]),
    Order([8, 9, 20, 0, 10, 11, 21, 0, 12, 13, 22, 0, 14, 15, 23, 0]),
];

/// The bytes of three rows, interleaved.
///
/// # Safety
/// 24 bytes are readable in each.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn column(rows: [*const u8; 3]) -> Column {
    // SAFETY: it reads the readable bytes.
    unsafe {
        let [low, high] = [0, 1].map(|i| vld1q_u8(ORDER[i].0.as_ptr()));
        let (a, b) = (vld1q_s8(rows[0].cast()), vld1q_s8(rows[1].cast()));
        let first = int8x16x2_t(vzip1q_s8(a, b), vld1q_s8(rows[2].cast()));
        let second = int8x16x2_t(vzip2q_s8(a, b), vld1q_s8(rows[2].add(8).cast()));
        [
            vqtbl2q_s8(first, low),
            vqtbl2q_s8(first, high),
            vqtbl2q_s8(second, low),
            vqtbl2q_s8(second, high),
        ]
    }
}

/// Loads the next column into four registers.
macro_rules! column {
    ($a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            "ld1 {{v20.16b}}, [{r0}], {rs}\n",
            "ld1 {{v21.16b}}, [{r1}], {rs}\n",
            "ldr q25, [{r2}]\n",
            "ldr q27, [{r2}, #8]\n",
            "add {r2}, {r2}, {rs}\n",
            "zip1 v24.16b, v20.16b, v21.16b\n",
            "zip2 v26.16b, v20.16b, v21.16b\n",
            "tbl v",
            $a,
            ".16b, {{v24.16b, v25.16b}}, v28.16b\n",
            "tbl v",
            $b,
            ".16b, {{v24.16b, v25.16b}}, v29.16b\n",
            "tbl v",
            $c,
            ".16b, {{v26.16b, v27.16b}}, v28.16b\n",
            "tbl v",
            $d,
            ".16b, {{v26.16b, v27.16b}}, v29.16b\n",
        )
    };
}

/// A column's products.
macro_rules! dot {
    ($a:literal $b:literal $c:literal $d:literal, $w:literal $x:literal $y:literal $z:literal) => {
        concat!(
            "sdot v20.4s, v",
            $a,
            ".16b, v",
            $w,
            ".16b\n",
            "sdot v21.4s, v",
            $b,
            ".16b, v",
            $x,
            ".16b\n",
            "sdot v22.4s, v",
            $c,
            ".16b, v",
            $y,
            ".16b\n",
            "sdot v23.4s, v",
            $d,
            ".16b, v",
            $z,
            ".16b\n",
        )
    };
}

/// From the sums to bytes in v24, see [`super::dotprod_end`].
macro_rules! end {
    (POSITIVE) => {
        concat!(
            "ldp q24, q25, [{p}, {bias} + 128]\n",
            "ldp q26, q27, [{p}, {bias} + 64]\n",
            "fmla v24.4s, v20.4s, v26.4s\n",
            "fmla v25.4s, v21.4s, v27.4s\n",
            "ldp q20, q21, [{p}, {bias} + 160]\n",
            "ldp q26, q27, [{p}, {bias} + 96]\n",
            "fmla v20.4s, v22.4s, v26.4s\n",
            "fmla v21.4s, v23.4s, v27.4s\n",
            "fadd v24.4s, v24.4s, v30.4s\n",
            "fadd v25.4s, v25.4s, v30.4s\n",
            "fadd v20.4s, v20.4s, v30.4s\n",
            "fadd v21.4s, v21.4s, v30.4s\n",
            "uzp1 v24.8h, v24.8h, v25.8h\n",
            "uzp1 v20.8h, v20.8h, v21.8h\n",
            "sqxtn v24.8b, v24.8h\n",
            "sqxtn2 v24.16b, v20.8h\n",
            "smin v24.16b, v24.16b, v31.16b\n",
        )
    };
    (FREE) => {
        concat!(
            end!(steps),
            "fadd v24.4s, v24.4s, v30.4s\n",
            "fadd v25.4s, v25.4s, v30.4s\n",
            "fadd v26.4s, v26.4s, v30.4s\n",
            "fadd v27.4s, v27.4s, v30.4s\n",
            "uzp1 v24.8h, v24.8h, v25.8h\n",
            "uzp1 v26.8h, v26.8h, v27.8h\n",
            "add v24.8h, v24.8h, v31.8h\n",
            "add v26.8h, v26.8h, v31.8h\n",
            "sqxtn v24.8b, v24.8h\n",
            "sqxtn2 v24.16b, v26.8h\n",
        )
    };
    (ANY) => {
        concat!(
            end!(steps),
            "fcvtns v24.4s, v24.4s\n",
            "fcvtns v25.4s, v25.4s\n",
            "fcvtns v26.4s, v26.4s\n",
            "fcvtns v27.4s, v27.4s\n",
            "sqxtn v24.4h, v24.4s\n",
            "sqxtn2 v24.8h, v25.4s\n",
            "sqxtn v26.4h, v26.4s\n",
            "sqxtn2 v26.8h, v27.4s\n",
            "ldp q20, q21, [{limits}]\n",
            "sqadd v24.8h, v24.8h, v31.8h\n",
            "sqadd v26.8h, v26.8h, v31.8h\n",
            "sqxtn v24.8b, v24.8h\n",
            "sqxtn2 v24.16b, v26.8h\n",
            "smax v24.16b, v24.16b, v20.16b\n",
            "smin v24.16b, v24.16b, v21.16b\n",
        )
    };
    (steps) => {
        concat!(
            "scvtf v20.4s, v20.4s\n",
            "scvtf v21.4s, v21.4s\n",
            "scvtf v22.4s, v22.4s\n",
            "scvtf v23.4s, v23.4s\n",
            "ldp q24, q25, [{p}, {bias} + 64]\n",
            "ldp q26, q27, [{p}, {bias} + 96]\n",
            "fmul v24.4s, v20.4s, v24.4s\n",
            "fmul v25.4s, v21.4s, v25.4s\n",
            "fmul v26.4s, v22.4s, v26.4s\n",
            "fmul v27.4s, v23.4s, v27.4s\n",
        )
    };
}

/// Stores v24.
macro_rules! store {
    (ALL) => {
        "st1 {{v24.16b}}, [{y}], {step}\n"
    };
    (PART) => {
        concat!(
            "mov {to}, {y}\n",
            "add {y}, {y}, {step}\n",
            "tbz {left}, #3, 6f\n",
            "st1 {{v24.8b}}, [{to}], #8\n",
            "ext v24.16b, v24.16b, v24.16b, #8\n",
            "6:\n",
            "tbz {left}, #2, 6f\n",
            "st1 {{v24.s}}[0], [{to}], #4\n",
            "ext v24.16b, v24.16b, v24.16b, #4\n",
            "6:\n",
            "tbz {left}, #1, 6f\n",
            "st1 {{v24.h}}[0], [{to}], #2\n",
            "ext v24.16b, v24.16b, v24.16b, #2\n",
            "6:\n",
            "tbz {left}, #0, 6f\n",
            "st1 {{v24.b}}[0], [{to}]\n",
            "6:\n",
        )
    };
}

/// An output from its three columns.
macro_rules! output {
    ($way:ident $size:ident: $($a:literal)*, $($b:literal)*, $($c:literal)*) => {
        concat!(
            "ldp q20, q21, [{p}, {bias}]\n",
            "ldp q22, q23, [{p}, {bias} + 32]\n",
            "ldp q24, q25, [{p}, {w} + 128]\n",
            "ldp q26, q27, [{p}, {w} + 160]\n",
            dot!($($a)*, "12" "13" "14" "15"),
            dot!($($b)*, "16" "17" "18" "19"),
            dot!($($c)*, "24" "25" "26" "27"),
            end!($way),
            store!($size),
            "subs {n}, {n}, #1\n",
        )
    };
}

/// Continues with the extra outputs, or leaves.
macro_rules! turn {
    () => {
        concat!(
            "cbz {extra}, 9f\n",
            "mov {n}, {extra}\n",
            "mov {extra}, xzr\n",
            "mov {r0}, {e0}\n",
            "mov {r1}, {e1}\n",
            "mov {r2}, {e2}\n",
            "mov {rs}, {es}\n",
        )
    };
}

/// All outputs.
macro_rules! outputs {
    (1 $way:ident $size:ident) => {
        concat!(
            "2:\n",
            column!("8" "9" "10" "11"),
            output!($way $size: "0" "1" "2" "3", "4" "5" "6" "7", "8" "9" "10" "11"),
            "b.ne 3f\n",
            turn!(),
            "3:\n",
            column!("0" "1" "2" "3"),
            output!($way $size: "4" "5" "6" "7", "8" "9" "10" "11", "0" "1" "2" "3"),
            "b.ne 4f\n",
            turn!(),
            "4:\n",
            column!("4" "5" "6" "7"),
            output!($way $size: "8" "9" "10" "11", "0" "1" "2" "3", "4" "5" "6" "7"),
            "b.ne 2b\n",
            turn!(),
            "b 2b\n",
            "9:\n",
        )
    };
    (2 $way:ident $size:ident) => {
        concat!(
            "2:\n",
            column!("4" "5" "6" "7"),
            column!("8" "9" "10" "11"),
            output!($way $size: "0" "1" "2" "3", "4" "5" "6" "7", "8" "9" "10" "11"),
            "b.ne 3f\n",
            turn!(),
            "3:\n",
            column!("4" "5" "6" "7"),
            column!("0" "1" "2" "3"),
            output!($way $size: "8" "9" "10" "11", "4" "5" "6" "7", "0" "1" "2" "3"),
            "b.ne 2b\n",
            turn!(),
            "b 2b\n",
            "9:\n",
        )
    };
}

macro_rules! rows {
    ($name:ident: $stride:tt $way:ident $size:ident) => {
        #[doc = concat!("Stride ", $stride, ", ", stringify!($way), ", ", stringify!($size), " channels.")]
        ///
        /// # Safety
        /// The CPU has dot products; everything is where `Place` says.
        #[target_feature(enable = "neon,dotprod")]
        unsafe fn $name(p: &Place, end: &End) {
            let [a, b] = p.columns;
            // SAFETY: everything is where `Place` says.
            unsafe {
                asm!(
                    ".arch_extension dotprod",
                    "ldp q12, q13, [{p}, {w}]",
                    "ldp q14, q15, [{p}, {w} + 32]",
                    "ldp q16, q17, [{p}, {w} + 64]",
                    "ldp q18, q19, [{p}, {w} + 96]",
                    outputs!($stride $way $size),
                    "// {limits} {left} {to}",
                    p = in(reg) p.packed,
                    w = const HEAD,
                    bias = const if $way == POSITIVE { 128 } else { 0 },
                    r0 = inout(reg) p.rows[0] => _,
                    r1 = inout(reg) p.rows[1] => _,
                    r2 = inout(reg) p.rows[2] => _,
                    rs = inout(reg) p.step => _,
                    y = inout(reg) p.y => _,
                    step = in(reg) p.step,
                    n = inout(reg) p.count => _,
                    extra = inout(reg) p.extra => _,
                    e0 = in(reg) p.edge[0],
                    e1 = in(reg) p.edge[1],
                    e2 = in(reg) p.edge[2],
                    es = in(reg) p.edge_step,
                    limits = in(reg) &raw const end.limits,
                    left = in(reg) p.left,
                    to = out(reg) _,
                    inout("v0") a[0] => _, inout("v1") a[1] => _, inout("v2") a[2] => _, inout("v3") a[3] => _,
                    inout("v4") b[0] => _, inout("v5") b[1] => _, inout("v6") b[2] => _, inout("v7") b[3] => _,
                    out("v8") _, out("v9") _, out("v10") _, out("v11") _,
                    out("v12") _, out("v13") _, out("v14") _, out("v15") _,
                    out("v16") _, out("v17") _, out("v18") _, out("v19") _,
                    out("v20") _, out("v21") _, out("v22") _, out("v23") _,
                    out("v24") _, out("v25") _, out("v26") _, out("v27") _,
                    in("v28") vld1q_u8(ORDER[0].0.as_ptr()), in("v29") vld1q_u8(ORDER[1].0.as_ptr()),
                    in("v30") end.round, in("v31") if $way == POSITIVE { end.high } else { vreinterpretq_s8_s16(end.zero) },
                    options(nostack),
                );
            }
        }
    };
}

rows!(positive: 1 POSITIVE ALL);
rows!(positive_part: 1 POSITIVE PART);
rows!(free: 1 FREE ALL);
rows!(free_part: 1 FREE PART);
rows!(any: 1 ANY ALL);
rows!(any_part: 1 ANY PART);
rows!(positive_two: 2 POSITIVE ALL);
rows!(positive_two_part: 2 POSITIVE PART);
rows!(free_two: 2 FREE ALL);
rows!(free_two_part: 2 FREE PART);
rows!(any_two: 2 ANY ALL);
rows!(any_two_part: 2 ANY PART);

/// The outputs of a row, for up to 16 channels.
///
/// # Safety
/// The CPU has dot products; everything is where [`Place`] says, and the 8 bytes after each column of 16 bytes can be read.
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn run<const WAY: u8, const STRIDE: usize>(p: &Place, end: &End) {
    // SAFETY: the caller's contract is the same.
    unsafe {
        match (STRIDE, WAY, p.left < 16) {
            (1, POSITIVE, false) => positive(p, end),
            (1, POSITIVE, true) => positive_part(p, end),
            (1, FREE, false) => free(p, end),
            (1, FREE, true) => free_part(p, end),
            (1, _, false) => any(p, end),
            (1, _, true) => any_part(p, end),
            (_, POSITIVE, false) => positive_two(p, end),
            (_, POSITIVE, true) => positive_two_part(p, end),
            (_, FREE, false) => free_two(p, end),
            (_, FREE, true) => free_two_part(p, end),
            (_, _, false) => any_two(p, end),
            (_, _, true) => any_two_part(p, end),
        }
    }
}
