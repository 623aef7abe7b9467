//! The sums of a tile with `smmla`, in assembly because it needs every register: up to 2 pairs of pixels by up to 3 vectors of 8
//! output channels.
//!
//! `smmla` multiplies 8 values of two pixels with 8 weights of two channels, which gives four sums: those of the first pixel,
//! then those of the second. The sums of the first pair are in v0 to v11, those of the second in v12 to v23. 16 values of each
//! pixel are loaded at once and zipped by halves, so that v24 and v25 (v26 and v27) hold both pixels' first and second 8 values;
//! the weights of 8 channels pass through v28 to v31.

use std::arch::aarch64::*;
use std::arch::asm;

/// Where a tile's inputs are.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The panel's biases: `NV * 8` 32-bit integers.
    pub bias: *const u8,
    /// The panel's weights: 8 values of each channel, then the next 8, and so on, run by run.
    pub w: *const u8,
    /// The first pixel's first value.
    pub x: *const u8,
    /// Bytes from one pixel to the next.
    pub pitch: usize,
    /// The same for the last pixel of the tile: 0 if that pixel is computed twice because their number is odd.
    pub last_pitch: usize,
    /// The runs' offsets, at least one.
    pub offsets: *const usize,
    /// Number of runs.
    pub runs: usize,
    /// Values of a run in full vectors of 16.
    pub whole: usize,
    /// Groups of 8 values after these, the last possibly partial: 0 to 2.
    pub rest: usize,
}

/// Sums of a pair of pixels: for two channels at a time, those of the first pixel and those of the second.
pub(super) type Pair = [int32x4_t; 12];

/// One `smmla`: a pair of pixels by two channels.
macro_rules! product {
    ($sum:literal $x:literal $w:literal) => {
        concat!("smmla v", $sum, ".4s, v", $x, ".16b, v", $w, ".16b\n")
    };
}

/// 8 values of one or two pairs of pixels by 8 channels.
macro_rules! eight_channels {
    (1 $x:literal $y:literal: $a:literal $b:literal $c:literal $d:literal, $($second:literal)*) => {
        concat!(
            "ld1 {{v28.16b, v29.16b, v30.16b, v31.16b}}, [{w}], #64\n",
            product!($a $x "28"),
            product!($b $x "29"),
            product!($c $x "30"),
            product!($d $x "31"),
        )
    };
    (2 $x:literal $y:literal: $($first:literal)*, $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            eight_channels!(1 $x $y: $($first)*,),
            product!($a $y "28"),
            product!($b $y "29"),
            product!($c $y "30"),
            product!($d $y "31"),
        )
    };
}

/// 8 values of all pixels by all channels.
macro_rules! eight_values {
    ($pairs:tt 1: $x:literal $y:literal) => {
        eight_channels!($pairs $x $y: "0" "1" "2" "3", "12" "13" "14" "15")
    };
    ($pairs:tt 2: $x:literal $y:literal) => {
        concat!(
            eight_values!($pairs 1: $x $y),
            eight_channels!($pairs $x $y: "4" "5" "6" "7", "16" "17" "18" "19"),
        )
    };
    ($pairs:tt 3: $x:literal $y:literal) => {
        concat!(
            eight_values!($pairs 2: $x $y),
            eight_channels!($pairs $x $y: "8" "9" "10" "11", "20" "21" "22" "23"),
        )
    };
}

/// The sums start as the biases: two channels at a time, for both pixels of a pair.
macro_rules! biases {
    (1 1) => {
        "ld4r {{v0.2d, v1.2d, v2.2d, v3.2d}}, [{bias}], #32\n"
    };
    (1 2) => {
        concat!(biases!(1 1), "ld4r {{v4.2d, v5.2d, v6.2d, v7.2d}}, [{bias}], #32\n")
    };
    (1 3) => {
        concat!(biases!(1 2), "ld4r {{v8.2d, v9.2d, v10.2d, v11.2d}}, [{bias}], #32\n")
    };
    (2 1) => {
        concat!("ld4r {{v12.2d, v13.2d, v14.2d, v15.2d}}, [{bias}]\n", biases!(1 1))
    };
    (2 2) => {
        concat!(
            biases!(2 1),
            "ld4r {{v16.2d, v17.2d, v18.2d, v19.2d}}, [{bias}]\n",
            "ld4r {{v4.2d, v5.2d, v6.2d, v7.2d}}, [{bias}], #32\n",
        )
    };
    (2 3) => {
        concat!(
            biases!(2 2),
            "ld4r {{v20.2d, v21.2d, v22.2d, v23.2d}}, [{bias}]\n",
            "ld4r {{v8.2d, v9.2d, v10.2d, v11.2d}}, [{bias}], #32\n",
        )
    };
}

/// The other pixels' addresses, from the first one's. (An assembly comment names the operands that one pair does not need.)
macro_rules! pixels {
    (1) => {
        "add {x1}, {x0}, {last}\n// {x2} {x3} {pitch}\n"
    };
    (2) => {
        "add {x1}, {x0}, {pitch}\nadd {x2}, {x1}, {pitch}\nadd {x3}, {x2}, {last}\n"
    };
}

/// 16 values of each pixel, zipped by pairs.
macro_rules! sixteen_values {
    (1) => {
        concat!(
            "ldr q28, [{x0}, {k}]\n",
            "ldr q29, [{x1}, {k}]\n",
            "zip1 v24.2d, v28.2d, v29.2d\n",
            "zip2 v25.2d, v28.2d, v29.2d\n",
        )
    };
    (2) => {
        concat!(
            "ldr q30, [{x2}, {k}]\n",
            "ldr q31, [{x3}, {k}]\n",
            sixteen_values!(1),
            "zip1 v26.2d, v30.2d, v31.2d\n",
            "zip2 v27.2d, v30.2d, v31.2d\n",
        )
    };
}

macro_rules! sums {
    ($name:ident, $pairs:tt, $vectors:tt) => {
        #[doc = concat!("Sums of ", $pairs, " pairs by ", $vectors, " vectors.")]
        ///
        /// # Safety
        /// The CPU has matrix products; everything is where `Place` says.
        #[inline]
        #[target_feature(enable = "neon,i8mm")]
        unsafe fn $name(p: &Place) -> [Pair; 2] {
            // SAFETY: everything is where `Place` says; the loops only read memory. Sums that they do not compute are not used.
            unsafe {
                let (a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11);
                let (b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11);
                asm!(
                    biases!($pairs $vectors),
                    "2:",
                    "ldr {x0}, [{offsets}], #8",
                    "mov {k}, {whole}",
                    "add {x0}, {x0}, {x}",
                    pixels!($pairs),
                    "cbz {k}, 4f",
                    "3:",
                    sixteen_values!($pairs),
                    "adds {k}, {k}, #16",
                    eight_values!($pairs $vectors: "24" "26"),
                    eight_values!($pairs $vectors: "25" "27"),
                    "b.ne 3b",
                    "4:",
                    "cbz {rest}, 5f",
                    sixteen_values!($pairs),
                    eight_values!($pairs $vectors: "24" "26"),
                    "tbz {rest}, #1, 5f",
                    eight_values!($pairs $vectors: "25" "27"),
                    "5:",
                    "subs {runs}, {runs}, #1",
                    "b.ne 2b",
                    bias = inout(reg) p.bias => _,
                    w = inout(reg) p.w => _,
                    // The end of the last whole vector: the loop counts up to 0 from there.
                    x = in(reg) p.x.wrapping_add(p.whole),
                    whole = in(reg) p.whole.wrapping_neg(),
                    k = out(reg) _,
                    rest = in(reg) p.rest,
                    pitch = in(reg) p.pitch,
                    last = in(reg) p.last_pitch,
                    offsets = inout(reg) p.offsets => _,
                    runs = inout(reg) p.runs => _,
                    x0 = out(reg) _,
                    x1 = out(reg) _,
                    x2 = out(reg) _,
                    x3 = out(reg) _,
                    out("v0") a0, out("v1") a1, out("v2") a2, out("v3") a3,
                    out("v4") a4, out("v5") a5, out("v6") a6, out("v7") a7,
                    out("v8") a8, out("v9") a9, out("v10") a10, out("v11") a11,
                    out("v12") b0, out("v13") b1, out("v14") b2, out("v15") b3,
                    out("v16") b4, out("v17") b5, out("v18") b6, out("v19") b7,
                    out("v20") b8, out("v21") b9, out("v22") b10, out("v23") b11,
                    out("v24") _, out("v25") _, out("v26") _, out("v27") _,
                    out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                    options(readonly, nostack),
                );
                [
                    [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11],
                    [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11],
                ]
            }
        }
    };
}

sums!(one_by_one, 1, 1);
sums!(one_by_two, 1, 2);
sums!(one_by_three, 1, 3);
sums!(two_by_one, 2, 1);
sums!(two_by_two, 2, 2);
sums!(two_by_three, 2, 3);

/// Sums of PAIRS (1 or 2) pairs of pixels by NV (1 to 3) vectors of 8 channels; the rest of the result is undefined.
///
/// # Safety
/// The CPU has matrix products; everything is where [`Place`] says, and the 15 bytes after each run can be read.
#[inline]
#[target_feature(enable = "neon,i8mm")]
pub(super) unsafe fn run<const PAIRS: usize, const NV: usize>(p: &Place) -> [Pair; 2] {
    // SAFETY: the caller's contract is the same.
    unsafe {
        match (PAIRS, NV) {
            (1, 1) => one_by_one(p),
            (1, 2) => one_by_two(p),
            (1, _) => one_by_three(p),
            (_, 1) => two_by_one(p),
            (_, 2) => two_by_two(p),
            (_, _) => two_by_three(p),
        }
    }
}
