//! The inner loop of the matrix products by lane (`fmla` and `sdot`), in assembly for the tiles that run most: 4 or 5 pixels by
//! 4 vectors of output channels. It has the sums in v0 to v19, four vectors of weights in v20 to v23, a vector of each pixel
//! in v24 to v28, and no instruction but loads, products and the count.

use std::arch::aarch64::*;
use std::arch::asm;

/// What is multiplied.
pub(super) trait Lanes {
    /// A vector of sums.
    type Sums: Copy;
    /// # Safety
    /// As [`run`].
    unsafe fn five(
        sums: [[Self::Sums; 4]; 5],
        x: [*const u8; 5],
        w: *const u8,
        n: usize,
    ) -> [[Self::Sums; 4]; 5];
    /// # Safety
    /// As [`run`].
    unsafe fn four(
        sums: [[Self::Sums; 4]; 4],
        x: [*const u8; 4],
        w: *const u8,
        n: usize,
    ) -> [[Self::Sums; 4]; 4];
}

/// Floats: a step is four values of each pixel.
pub(super) struct Floats;
/// Bytes by `sdot`: a step is sixteen values of each pixel.
pub(super) struct Bytes;

/// Runs `count` steps when there is a loop for this tile. Returns how many were run: `count` or 0.
///
/// # Safety
/// `x` is good for 16 bytes a step, `w` for 4 * NV * 16; the CPU has the instructions.
#[inline(always)]
pub(super) unsafe fn run<L: Lanes, const MR: usize, const NV: usize>(
    sums: &mut [[L::Sums; NV]; MR],
    x: [*const u8; MR],
    w: *const u8,
    count: usize,
) -> usize {
    if NV != 4 || count == 0 {
        return 0;
    }
    // SAFETY: the caller's promise.
    unsafe {
        match MR {
            5 => {
                let all = std::array::from_fn(|m| std::array::from_fn(|v| sums[m % MR][v % NV]));
                let all = L::five(all, std::array::from_fn(|m| x[m % MR]), w, count);
                for (sums, all) in sums.iter_mut().zip(&all) {
                    sums.copy_from_slice(&all[..NV]);
                }
                count
            }
            4 => {
                let all = std::array::from_fn(|m| std::array::from_fn(|v| sums[m % MR][v % NV]));
                let all = L::four(all, std::array::from_fn(|m| x[m % MR]), w, count);
                for (sums, all) in sums.iter_mut().zip(&all) {
                    sums.copy_from_slice(&all[..NV]);
                }
                count
            }
            _ => 0,
        }
    }
}

/// One pixel's four products of lane `$l`.
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
    ($name:ident, $sums:ty, $feature:literal, $op:literal, $ws:literal, $xs:literal) => {
        impl Lanes for $name {
            type Sums = $sums;

            #[inline(always)]
            unsafe fn five(
                mut s: [[$sums; 4]; 5],
                x: [*const u8; 5],
                w: *const u8,
                n: usize,
            ) -> [[$sums; 4]; 5] {
                // SAFETY: the caller's promise; the loop only reads memory.
                unsafe {
                    asm!(
                        $feature,
                        "2:",
                        "ldr q24, [{x0}], #16",
                        "ldr q25, [{x1}], #16",
                        "ldr q26, [{x2}], #16",
                        "ldr q27, [{x3}], #16",
                        "ldr q28, [{x4}], #16",
                        "subs {n}, {n}, #1",
                        four_lanes!(five_pixels $op $ws $xs),
                        "b.ne 2b",
                        n = inout(reg) n => _,
                        w = inout(reg) w => _,
                        x0 = inout(reg) x[0] => _,
                        x1 = inout(reg) x[1] => _,
                        x2 = inout(reg) x[2] => _,
                        x3 = inout(reg) x[3] => _,
                        x4 = inout(reg) x[4] => _,
                        inout("v0") s[0][0], inout("v1") s[0][1],
                        inout("v2") s[0][2], inout("v3") s[0][3],
                        inout("v4") s[1][0], inout("v5") s[1][1],
                        inout("v6") s[1][2], inout("v7") s[1][3],
                        inout("v8") s[2][0], inout("v9") s[2][1],
                        inout("v10") s[2][2], inout("v11") s[2][3],
                        inout("v12") s[3][0], inout("v13") s[3][1],
                        inout("v14") s[3][2], inout("v15") s[3][3],
                        inout("v16") s[4][0], inout("v17") s[4][1],
                        inout("v18") s[4][2], inout("v19") s[4][3],
                        out("v20") _, out("v21") _, out("v22") _, out("v23") _,
                        out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _,
                        options(readonly, nostack),
                    );
                }
                s
            }

            #[inline(always)]
            unsafe fn four(
                mut s: [[$sums; 4]; 4],
                x: [*const u8; 4],
                w: *const u8,
                n: usize,
            ) -> [[$sums; 4]; 4] {
                // SAFETY: the caller's promise; the loop only reads memory.
                unsafe {
                    asm!(
                        $feature,
                        "2:",
                        "ldr q24, [{x0}], #16",
                        "ldr q25, [{x1}], #16",
                        "ldr q26, [{x2}], #16",
                        "ldr q27, [{x3}], #16",
                        "subs {n}, {n}, #1",
                        four_lanes!(four_pixels $op $ws $xs),
                        "b.ne 2b",
                        n = inout(reg) n => _,
                        w = inout(reg) w => _,
                        x0 = inout(reg) x[0] => _,
                        x1 = inout(reg) x[1] => _,
                        x2 = inout(reg) x[2] => _,
                        x3 = inout(reg) x[3] => _,
                        inout("v0") s[0][0], inout("v1") s[0][1],
                        inout("v2") s[0][2], inout("v3") s[0][3],
                        inout("v4") s[1][0], inout("v5") s[1][1],
                        inout("v6") s[1][2], inout("v7") s[1][3],
                        inout("v8") s[2][0], inout("v9") s[2][1],
                        inout("v10") s[2][2], inout("v11") s[2][3],
                        inout("v12") s[3][0], inout("v13") s[3][1],
                        inout("v14") s[3][2], inout("v15") s[3][3],
                        out("v20") _, out("v21") _, out("v22") _, out("v23") _,
                        out("v24") _, out("v25") _, out("v26") _, out("v27") _,
                        options(readonly, nostack),
                    );
                }
                s
            }
        }
    };
}

lanes!(Floats, float32x4_t, "", "fmla", "4s", "s");
lanes!(
    Bytes,
    int32x4_t,
    ".arch_extension dotprod",
    "sdot",
    "16b",
    "4b"
);
