//! The inner loop of matrix products by lane (`fmla`), in assembly for the most frequent tiles: 4 or 5 pixels by 4
//! vectors of output channels. The sums are in v0 to v19, four vectors of weights in v20 to v23, one vector per pixel in v24 to
//! v28, and the loop has only loads, products and the counter.

use std::arch::aarch64::*;
use std::arch::asm;

/// Element type of the products.
pub(super) trait Lanes {
    /// A value of the input and of the weights.
    type Value;
    /// A vector of sums.
    type Sums: Copy;
    /// # Safety
    /// As [`run`].
    unsafe fn five(
        bias: *const Self::Value,
        x: [*const Self::Value; 5],
        w: *const Self::Value,
        count: usize,
    ) -> [[Self::Sums; 4]; 5];
    /// # Safety
    /// As [`run`].
    unsafe fn four(
        bias: *const Self::Value,
        x: [*const Self::Value; 4],
        w: *const Self::Value,
        count: usize,
    ) -> [[Self::Sums; 4]; 4];
}

/// Floats: a step is four values of each pixel.
pub(super) struct Floats;

/// Whether there is a loop for this tile.
pub(super) const fn has(pixels: usize, vectors: usize) -> bool {
    vectors == 4 && (pixels == 4 || pixels == 5)
}

/// Sums of `count` (at least 1) steps of a tile that [`has`] a loop, added to `bias`.
///
/// # Safety
/// `bias` is valid for NV vectors, `x` for 16 bytes per step, `w` for 4 * NV * 16 bytes per step; the CPU has the instructions.
#[inline(always)]
pub(super) unsafe fn run<L: Lanes, const MR: usize, const NV: usize>(
    bias: *const L::Value,
    x: [*const L::Value; MR],
    w: *const L::Value,
    count: usize,
) -> [[L::Sums; NV]; MR] {
    // SAFETY: everything is as large as `run` says. (The remainders are only for the compiler, which sees all sizes here.)
    unsafe {
        if MR == 5 {
            let sums = L::five(bias, std::array::from_fn(|m| x[m % MR]), w, count);
            std::array::from_fn(|m| std::array::from_fn(|v| sums[m % 5][v % 4]))
        } else {
            let sums = L::four(bias, std::array::from_fn(|m| x[m % MR]), w, count);
            std::array::from_fn(|m| std::array::from_fn(|v| sums[m % 4][v % 4]))
        }
    }
}

/// One pixel's four products with lane `$l`.
macro_rules! pixel {
    ($op:literal $ws:literal $xs:literal $l:literal, $x:literal: $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            $op,
            " v",
            $a,
            ".4s, v20.",
            $ws,
            ", v",
            $x,
            ".",
            $xs,
            "[",
            $l,
            "]\n",
            $op,
            " v",
            $b,
            ".4s, v21.",
            $ws,
            ", v",
            $x,
            ".",
            $xs,
            "[",
            $l,
            "]\n",
            $op,
            " v",
            $c,
            ".4s, v22.",
            $ws,
            ", v",
            $x,
            ".",
            $xs,
            "[",
            $l,
            "]\n",
            $op,
            " v",
            $d,
            ".4s, v23.",
            $ws,
            ", v",
            $x,
            ".",
            $xs,
            "[",
            $l,
            "]\n",
        )
    };
}

macro_rules! four_pixels {
    ($op:literal $ws:literal $xs:literal $l:literal) => {
        concat!(
            "ld1 {{v20.16b, v21.16b, v22.16b, v23.16b}}, [{w}], #64\n",
            pixel!($op $ws $xs $l, "24": "0" "1" "2" "3"),
            pixel!($op $ws $xs $l, "25": "4" "5" "6" "7"),
            pixel!($op $ws $xs $l, "26": "8" "9" "10" "11"),
            pixel!($op $ws $xs $l, "27": "12" "13" "14" "15"),
        )
    };
}

macro_rules! five_pixels {
    ($op:literal $ws:literal $xs:literal $l:literal) => {
        concat!(
            four_pixels!($op $ws $xs $l),
            pixel!($op $ws $xs $l, "28": "16" "17" "18" "19"),
        )
    };
}

macro_rules! four_lanes {
    ($pixels:ident $op:literal $ws:literal $xs:literal) => {
        concat!(
            $pixels!($op $ws $xs "0"),
            $pixels!($op $ws $xs "1"),
            $pixels!($op $ws $xs "2"),
            $pixels!($op $ws $xs "3"),
        )
    };
}

macro_rules! lanes {
    ($name:ident, $value:ty, $sums:ty, $feature:literal, $op:literal, $ws:literal, $xs:literal) => {
        impl Lanes for $name {
            type Value = $value;
            type Sums = $sums;

            #[inline(always)]
            unsafe fn five(
                bias: *const $value,
                x: [*const $value; 5],
                w: *const $value,
                count: usize,
            ) -> [[$sums; 4]; 5] {
                // SAFETY: `bias`, `x` and `w` are valid for what is read; the loop only reads memory.
                unsafe {
                    let (s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15, s16, s17, s18, s19);
                    asm!(
                        $feature,
                        "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{bias}]",
                        "ld1 {{v4.16b, v5.16b, v6.16b, v7.16b}}, [{bias}]",
                        "ld1 {{v8.16b, v9.16b, v10.16b, v11.16b}}, [{bias}]",
                        "ld1 {{v12.16b, v13.16b, v14.16b, v15.16b}}, [{bias}]",
                        "ld1 {{v16.16b, v17.16b, v18.16b, v19.16b}}, [{bias}]",
                        "2:",
                        "ldr q24, [{x0}], #16",
                        "ldr q25, [{x1}], #16",
                        "ldr q26, [{x2}], #16",
                        "ldr q27, [{x3}], #16",
                        "ldr q28, [{x4}], #16",
                        "subs {count}, {count}, #1",
                        four_lanes!(five_pixels $op $ws $xs),
                        "b.ne 2b",
                        count = inout(reg) count => _,
                        bias = in(reg) bias,
                        w = inout(reg) w => _,
                        x0 = inout(reg) x[0] => _,
                        x1 = inout(reg) x[1] => _,
                        x2 = inout(reg) x[2] => _,
                        x3 = inout(reg) x[3] => _,
                        x4 = inout(reg) x[4] => _,
                        lateout("v0") s0, lateout("v1") s1,
                        lateout("v2") s2, lateout("v3") s3,
                        lateout("v4") s4, lateout("v5") s5,
                        lateout("v6") s6, lateout("v7") s7,
                        lateout("v8") s8, lateout("v9") s9,
                        lateout("v10") s10, lateout("v11") s11,
                        lateout("v12") s12, lateout("v13") s13,
                        lateout("v14") s14, lateout("v15") s15,
                        lateout("v16") s16, lateout("v17") s17,
                        lateout("v18") s18, lateout("v19") s19,
                        out("v20") _, out("v21") _, out("v22") _, out("v23") _,
                        out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _,
                        options(readonly, nostack),
                    );
                    [[s0, s1, s2, s3], [s4, s5, s6, s7], [s8, s9, s10, s11], [s12, s13, s14, s15], [s16, s17, s18, s19]]
                }
            }

            #[inline(always)]
            unsafe fn four(
                bias: *const $value,
                x: [*const $value; 4],
                w: *const $value,
                count: usize,
            ) -> [[$sums; 4]; 4] {
                // SAFETY: `bias`, `x` and `w` are valid for what is read; the loop only reads memory.
                unsafe {
                    let (s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15);
                    asm!(
                        $feature,
                        "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{bias}]",
                        "ld1 {{v4.16b, v5.16b, v6.16b, v7.16b}}, [{bias}]",
                        "ld1 {{v8.16b, v9.16b, v10.16b, v11.16b}}, [{bias}]",
                        "ld1 {{v12.16b, v13.16b, v14.16b, v15.16b}}, [{bias}]",
                        "2:",
                        "ldr q24, [{x0}], #16",
                        "ldr q25, [{x1}], #16",
                        "ldr q26, [{x2}], #16",
                        "ldr q27, [{x3}], #16",
                        "subs {count}, {count}, #1",
                        four_lanes!(four_pixels $op $ws $xs),
                        "b.ne 2b",
                        count = inout(reg) count => _,
                        bias = in(reg) bias,
                        w = inout(reg) w => _,
                        x0 = inout(reg) x[0] => _,
                        x1 = inout(reg) x[1] => _,
                        x2 = inout(reg) x[2] => _,
                        x3 = inout(reg) x[3] => _,
                        lateout("v0") s0, lateout("v1") s1,
                        lateout("v2") s2, lateout("v3") s3,
                        lateout("v4") s4, lateout("v5") s5,
                        lateout("v6") s6, lateout("v7") s7,
                        lateout("v8") s8, lateout("v9") s9,
                        lateout("v10") s10, lateout("v11") s11,
                        lateout("v12") s12, lateout("v13") s13,
                        lateout("v14") s14, lateout("v15") s15,
                        out("v20") _, out("v21") _, out("v22") _, out("v23") _,
                        out("v24") _, out("v25") _, out("v26") _, out("v27") _,
                        options(readonly, nostack),
                    );
                    [[s0, s1, s2, s3], [s4, s5, s6, s7], [s8, s9, s10, s11], [s12, s13, s14, s15]]
                }
            }
        }
    };
}

lanes!(Floats, f32, float32x4_t, "", "fmla", "4s", "s");
