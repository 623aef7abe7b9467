//! The inner loop of [`super::neon_q8`]'s widest tile, in assembly because it needs every register and a compiler would spill
//! sums to memory: 16 sums (v16 to v31), 8 vectors of weights (v8 to v15), a pixel's four pairs (v0 to v3), four 16-bit sums of
//! products (v4 to v7).

use std::arch::aarch64::*;
use std::arch::asm;

/// 32-bit sums of 16 channels.
pub(super) type Sums = [int32x4_t; 4];

/// One pixel's products of pair `$x` with the weights in `$k` and `$l`; `$op` is `mull` or `mlal`.
macro_rules! products {
    ($op:literal, $k:literal, $l:literal, $x:literal) => {
        concat!(
            "s",
            $op,
            " v4.8h, v",
            $k,
            ".8b, v",
            $x,
            ".8b\n",
            "s",
            $op,
            "2 v5.8h, v",
            $k,
            ".16b, v",
            $x,
            ".16b\n",
            "s",
            $op,
            " v6.8h, v",
            $l,
            ".8b, v",
            $x,
            ".8b\n",
            "s",
            $op,
            "2 v7.8h, v",
            $l,
            ".16b, v",
            $x,
            ".16b\n",
        )
    };
}

/// Adds v4 to v7 to a pixel's sums.
macro_rules! add {
    ($a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "sadalp v",
            $a,
            ".4s, v4.8h\n",
            "sadalp v",
            $b,
            ".4s, v5.8h\n",
            "sadalp v",
            $c,
            ".4s, v6.8h\n",
            "sadalp v",
            $d,
            ".4s, v7.8h\n",
        )
    };
}

macro_rules! load {
    ($p:literal) => {
        concat!("ld4r {{v0.8h, v1.8h, v2.8h, v3.8h}}, [{", $p, "}], #8\n")
    };
}

/// Chains of four products.
macro_rules! by_four {
    ($p:literal $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            load!($p),
            products!("mull", "8", "9", "0"),
            products!("mlal", "10", "11", "1"),
            products!("mlal", "12", "13", "2"),
            products!("mlal", "14", "15", "3"),
            add!($a, $b, $c, $d),
        )
    };
}

/// Chains of two products.
macro_rules! by_two {
    ($p:literal $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            load!($p),
            products!("mull", "8", "9", "0"),
            products!("mlal", "10", "11", "1"),
            add!($a, $b, $c, $d),
            products!("mull", "12", "13", "2"),
            products!("mlal", "14", "15", "3"),
            add!($a, $b, $c, $d),
        )
    };
}

/// Each product on its own.
macro_rules! by_one {
    ($p:literal $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            load!($p),
            products!("mull", "8", "9", "0"),
            add!($a, $b, $c, $d),
            products!("mull", "10", "11", "1"),
            add!($a, $b, $c, $d),
            products!("mull", "12", "13", "2"),
            add!($a, $b, $c, $d),
            products!("mull", "14", "15", "3"),
            add!($a, $b, $c, $d),
        )
    };
}

macro_rules! pixels {
    ($way:ident) => {
        concat!(
            $way!("x0" "16" "17" "18" "19"),
            $way!("x1" "20" "21" "22" "23"),
            $way!("x2" "24" "25" "26" "27"),
            $way!("x3" "28" "29" "30" "31"),
        )
    };
}

/// `count` (at least 1) steps of eight values for four pixels by 16 channels.
///
/// # Safety
/// Each of `x` is valid for `8 * count` bytes, `w` for 128 bytes and `chains` for 1 byte per step.
#[inline]
pub(super) unsafe fn four_pixels(
    sums: &mut [Sums; 4],
    x: [*const u8; 4],
    w: *const i8,
    chains: *const u8,
    count: usize,
) {
    // SAFETY: `x`, `w` and `chains` are valid for what is read; the loop only reads memory.
    unsafe {
        asm!(
            "2:",
            "ldrb {chain:w}, [{chains}], #1",
            "ld1 {{v8.16b, v9.16b, v10.16b, v11.16b}}, [{w}], #64",
            "ld1 {{v12.16b, v13.16b, v14.16b, v15.16b}}, [{w}], #64",
            "subs {count}, {count}, #1",
            "tbz {chain:w}, #2, 3f",
            pixels!(by_four),
            "b.ne 2b",
            "b 5f",
            "3:",
            "tbz {chain:w}, #1, 4f",
            pixels!(by_two),
            "b.ne 2b",
            "b 5f",
            "4:",
            pixels!(by_one),
            "b.ne 2b",
            "5:",
            chain = out(reg) _,
            chains = inout(reg) chains => _,
            w = inout(reg) w => _,
            count = inout(reg) count => _,
            x0 = inout(reg) x[0] => _,
            x1 = inout(reg) x[1] => _,
            x2 = inout(reg) x[2] => _,
            x3 = inout(reg) x[3] => _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            inout("v16") sums[0][0], inout("v17") sums[0][1],
            inout("v18") sums[0][2], inout("v19") sums[0][3],
            inout("v20") sums[1][0], inout("v21") sums[1][1],
            inout("v22") sums[1][2], inout("v23") sums[1][3],
            inout("v24") sums[2][0], inout("v25") sums[2][1],
            inout("v26") sums[2][2], inout("v27") sums[2][3],
            inout("v28") sums[3][0], inout("v29") sums[3][1],
            inout("v30") sums[3][2], inout("v31") sums[3][3],
            options(readonly, nostack),
        );
    }
}
