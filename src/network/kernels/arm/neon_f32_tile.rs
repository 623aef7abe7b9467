//! The products of a tile in assembly: up to 8 pixels by 8 output channels, or one pixel by 32.
//!
//! What several input channels need is loaded before their products, without writing addresses back: an in-order CPU (Cortex-A53)
//! finishes a load that follows products only after them, so that every change from one to the other costs it some cycles. CPUs
//! that reorder do not mind.

use crate::network::graph::FREE;
use std::arch::aarch64::*;
use std::arch::asm;

/// Sums of `N` pixels, or of `N` panels.
pub(super) type Sums<const N: usize> = [[float32x4_t; 2]; N];

/// Pixels of the largest tile.
pub(super) const LARGEST: usize = 8;

/// Panels that [`add_of_one_pixel`] computes at once.
pub(super) const PANELS: usize = 4;

/// Limits of the sums.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Limits {
    pub(super) low: float32x4_t,
    pub(super) high: float32x4_t,
    /// 0: none; 1: from 0 on; 2: others.
    kind: u32,
}

impl Limits {
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn new((low, high): (f32, f32)) -> Self {
        let kind = match (low, high) {
            FREE => 0,
            // Numbers that are not negative are ordered like integers, which some CPUs compare faster.
            (0.0, _) if high >= 0.0 && low.is_sign_positive() => 1,
            _ => 2,
        };
        let (low, high) = (vdupq_n_f32(low), vdupq_n_f32(high));
        Self { low, high, kind }
    }

    /// Whether they are compared as integers.
    pub(super) fn from_zero(&self) -> bool {
        self.kind == 1
    }
}

/// A tile of `N` pixels.
pub(super) struct Tile<const N: usize>;

/// The loops of a tile.
pub(super) trait Loops<const N: usize> {
    /// Adds the products of `count` values of each pixel, in order.
    ///
    /// # Safety
    /// `x` is valid for `count` values of each pixel, `pitch` bytes apart, `w` for two vectors per value.
    unsafe fn add(sums: &mut Sums<N>, x: *const f32, pitch: usize, w: *const f32, count: usize);

    /// Stores the sums within limits.
    ///
    /// # Safety
    /// `y` is valid for two vectors of each pixel, `pitch` bytes apart.
    unsafe fn store(sums: Sums<N>, y: *mut f32, pitch: usize, limits: Limits);
}

/// Two products for each vector of values: sums of weights `$w0` and `$w1` times lane `$l`.
macro_rules! products {
    ($l:literal $w0:literal $w1:literal: $(($m:literal $p:literal $f:literal $fv:tt $a:literal $av:tt $b:literal $bv:tt))*) => {
        concat!($(
            "fmla v", $a, ".4s, v", $w0, ".4s, v", $f, ".s[", $l, "]\n",
            "fmla v", $b, ".4s, v", $w1, ".4s, v", $f, ".s[", $l, "]\n",
        )*)
    };
}

/// The addresses of the other pixels from `{p0}`.
macro_rules! addresses {
    () => {
        concat!(
            "add {p1}, {p0}, {pitch}\n",
            "add {p2}, {p0}, {pitch}, lsl #1\n",
            "add {p4}, {p0}, {pitch}, lsl #2\n",
            "add {p3}, {p1}, {pitch}, lsl #1\n",
            "add {p5}, {p1}, {pitch}, lsl #2\n",
            "add {p6}, {p2}, {pitch}, lsl #2\n",
            "add {p7}, {p3}, {pitch}, lsl #2\n",
        )
    };
}

/// Puts all sums within the limits.
macro_rules! limit {
    ($max:literal $min:literal: $(($m:literal $p:literal $f:literal $fv:tt $a:literal $av:tt $b:literal $bv:tt))*) => {
        concat!(
            $(
                $max, " v", $a, ".4s, v", $a, ".4s, {low:v}.4s\n",
                $max, " v", $b, ".4s, v", $b, ".4s, {low:v}.4s\n",
            )*
            $(
                $min, " v", $a, ".4s, v", $a, ".4s, {high:v}.4s\n",
                $min, " v", $b, ".4s, v", $b, ".4s, {high:v}.4s\n",
            )*
        )
    };
}

/// A tile of these pixels: number, address, vector of values, vectors of sums.
macro_rules! tile {
    ($(($m:literal $p:literal $f:literal $fv:tt $a:literal $av:tt $b:literal $bv:tt))*) => {
        impl Loops<{ [$($m),*].len() }> for Tile<{ [$($m),*].len() }> {
            #[inline(always)]
            unsafe fn add(
                sums: &mut Sums<{ [$($m),*].len() }>,
                x: *const f32,
                pitch: usize,
                w: *const f32,
                count: usize,
            ) {
                // SAFETY: `x` and `w` are valid for what is read: four values of each pixel at a time, then one; the loops only read
                // memory.
                unsafe {
                    asm!(
                        addresses!(),
                        "cbz {fours}, 3f",
                        "2:",
                        $(concat!("ldr q", $f, ", [{", $p, "}, {at}]"),)*
                        "ldr q16, [{w}]",
                        "ldr q17, [{w}, #16]",
                        "ldr q18, [{w}, #32]",
                        "ldr q19, [{w}, #48]",
                        "ldr q20, [{w}, #64]",
                        "ldr q21, [{w}, #80]",
                        "ldr q22, [{w}, #96]",
                        "ldr q23, [{w}, #112]",
                        "add {at}, {at}, #16",
                        "subs {fours}, {fours}, #1",
                        "add {w}, {w}, #128",
                        products!("0" "16" "17": $(($m $p $f $fv $a $av $b $bv))*),
                        products!("1" "18" "19": $(($m $p $f $fv $a $av $b $bv))*),
                        products!("2" "20" "21": $(($m $p $f $fv $a $av $b $bv))*),
                        products!("3" "22" "23": $(($m $p $f $fv $a $av $b $bv))*),
                        "b.ne 2b",
                        "3:",
                        "cbz {ones}, 5f",
                        "4:",
                        $(concat!("ldr s", $f, ", [{", $p, "}, {at}]"),)*
                        "ldr q16, [{w}]",
                        "ldr q17, [{w}, #16]",
                        "add {at}, {at}, #4",
                        "subs {ones}, {ones}, #1",
                        "add {w}, {w}, #32",
                        products!("0" "16" "17": $(($m $p $f $fv $a $av $b $bv))*),
                        "b.ne 4b",
                        "5:",
                        at = inout(reg) 0usize => _,
                        w = inout(reg) w => _,
                        fours = inout(reg) count / 4 => _,
                        ones = inout(reg) count % 4 => _,
                        pitch = in(reg) pitch,
                        p0 = in(reg) x,
                        p1 = out(reg) _, p2 = out(reg) _, p3 = out(reg) _, p4 = out(reg) _,
                        p5 = out(reg) _, p6 = out(reg) _, p7 = out(reg) _,
                        $(inout($av) sums[$m][0], inout($bv) sums[$m][1], out($fv) _,)*
                        out("v16") _, out("v17") _, out("v18") _, out("v19") _,
                        out("v20") _, out("v21") _, out("v22") _, out("v23") _,
                        options(readonly, nostack),
                    );
                }
            }

            #[inline(always)]
            unsafe fn store(
                sums: Sums<{ [$($m),*].len() }>,
                y: *mut f32,
                pitch: usize,
                limits: Limits,
            ) {
                // SAFETY: `y` is valid for what is written.
                unsafe {
                    asm!(
                        addresses!(),
                        "cbz {kind:w}, 3f",
                        "cmp {kind:w}, #1",
                        "b.eq 2f",
                        limit!("fmax" "fmin": $(($m $p $f $fv $a $av $b $bv))*),
                        "b 3f",
                        "2:",
                        limit!("smax" "smin": $(($m $p $f $fv $a $av $b $bv))*),
                        "3:",
                        $(concat!("stp q", $a, ", q", $b, ", [{", $p, "}]"),)*
                        pitch = in(reg) pitch,
                        low = in(vreg) limits.low,
                        high = in(vreg) limits.high,
                        kind = in(reg) limits.kind,
                        p0 = in(reg) y,
                        p1 = out(reg) _, p2 = out(reg) _, p3 = out(reg) _, p4 = out(reg) _,
                        p5 = out(reg) _, p6 = out(reg) _, p7 = out(reg) _,
                        $(inout($av) sums[$m][0] => _, inout($bv) sums[$m][1] => _,)*
                        options(nostack),
                    );
                }
            }
        }
    };
}

/// Tiles of the first pixel, the first two, and so on.
macro_rules! tiles {
    ($done:tt) => {};
    ([$($done:tt)*] $next:tt $($rest:tt)*) => {
        tile!($($done)* $next);
        tiles!([$($done)* $next] $($rest)*);
    };
}

tiles!([]
    (0 "p0" "24" "v24" "0" "v0" "1" "v1")
    (1 "p1" "25" "v25" "2" "v2" "3" "v3")
    (2 "p2" "26" "v26" "4" "v4" "5" "v5")
    (3 "p3" "27" "v27" "6" "v6" "7" "v7")
    (4 "p4" "28" "v28" "8" "v8" "9" "v9")
    (5 "p5" "29" "v29" "10" "v10" "11" "v11")
    (6 "p6" "30" "v30" "12" "v12" "13" "v13")
    (7 "p7" "31" "v31" "14" "v14" "15" "v15")
);

/// For one value: the weights of four panels, from `$at`.
macro_rules! load_weights {
    ($at:literal: $($w:literal $a:literal $b:literal)*) => {
        concat!($(
            "ldr q", $a, ", [{", $w, "}, #", $at, "]\n",
            "ldr q", $b, ", [{", $w, "}, #", $at, "+16]\n",
        )*)
    };
}

/// The products of one value, lane `$l`, with the weights of four panels.
macro_rules! value {
    ($l:literal: $($sum:literal $w:literal)*) => {
        concat!($("fmla v", $sum, ".4s, v", $w, ".4s, v24.s[", $l, "]\n",)*)
    };
}

/// Adds the products of `count` values of one pixel to the sums of four panels, in order.
///
/// # Safety
/// `x` is valid for `count` values, each of `w` for two vectors per value.
#[inline(always)]
pub(super) unsafe fn add_of_one_pixel(
    sums: &mut Sums<PANELS>,
    x: *const f32,
    w: [*const f32; PANELS],
    count: usize,
) {
    // SAFETY: `x` and `w` are valid for what is read: two values at a time, then one; the loop only reads memory.
    unsafe {
        asm!(
            "cbz {twos}, 3f",
            "2:",
            "ldr d24, [{x}]",
            load_weights!("0": "w0" "8" "9" "w1" "10" "11" "w2" "12" "13" "w3" "14" "15"),
            load_weights!("32": "w0" "16" "17" "w1" "18" "19" "w2" "20" "21" "w3" "22" "23"),
            "add {x}, {x}, #8",
            "add {w0}, {w0}, #64",
            "add {w1}, {w1}, #64",
            "add {w2}, {w2}, #64",
            "add {w3}, {w3}, #64",
            "subs {twos}, {twos}, #1",
            value!("0": "0" "8" "1" "9" "2" "10" "3" "11" "4" "12" "5" "13" "6" "14" "7" "15"),
            value!("1": "0" "16" "1" "17" "2" "18" "3" "19" "4" "20" "5" "21" "6" "22" "7" "23"),
            "b.ne 2b",
            "3:",
            "cbz {one}, 4f",
            "ldr s24, [{x}]",
            load_weights!("0": "w0" "8" "9" "w1" "10" "11" "w2" "12" "13" "w3" "14" "15"),
            value!("0": "0" "8" "1" "9" "2" "10" "3" "11" "4" "12" "5" "13" "6" "14" "7" "15"),
            "4:",
            x = inout(reg) x => _,
            w0 = inout(reg) w[0] => _,
            w1 = inout(reg) w[1] => _,
            w2 = inout(reg) w[2] => _,
            w3 = inout(reg) w[3] => _,
            twos = inout(reg) count / 2 => _,
            one = in(reg) count % 2,
            inout("v0") sums[0][0], inout("v1") sums[0][1],
            inout("v2") sums[1][0], inout("v3") sums[1][1],
            inout("v4") sums[2][0], inout("v5") sums[2][1],
            inout("v6") sums[3][0], inout("v7") sums[3][1],
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            out("v24") _,
            options(readonly, nostack),
        );
    }
}
