//! Float depthwise convolution of 3x3 kernels with NEON, strides 1 and 2, in blocks of 4 channels.
//!
//! A tile is up to 8 outputs of one row (stride 2: up to 7), and walks through the channels: each input row's columns are loaded once
//! for the tile, all before their products (see [`super::neon_f32_tile`] for why). A column outside the picture is loaded from zeros.

use super::neon_f32_tile::Limits;
use crate::network::kernels::{DepthwiseF32, DepthwiseRow};
use std::arch::asm;
use std::ops::Range;

/// Whether this is a kernel for [`run`]: 3x3, at most one column outside the picture on each side.
pub(super) fn takes(d: &DepthwiseRow) -> bool {
    let end = d.w_out.saturating_sub(1) * d.stride + 3;
    (d.kh, d.kw, d.dilation) == (3, 3, 1)
        && matches!(d.stride, 1 | 2)
        && d.left <= 1
        && end <= d.w_in + d.left + 1
}

/// Some channels of one output row, a multiple of 4.
///
/// # Safety
/// The contract of `Kernels`; the kernel [`takes`] it.
pub(super) unsafe fn run(
    conv: &DepthwiseF32,
    rows: &[*const u8],
    y: *mut u8,
    channels: Range<usize>,
) {
    let d = &conv.row;
    let row = Row {
        conv,
        x: [rows[0].cast(), rows[1].cast(), rows[2].cast()],
        y: y.cast(),
        channels,
    };
    let most = if d.stride == 1 { 8 } else { 7 };
    // Nearly equal tiles, of two sizes.
    let tiles = d.w_out.div_ceil(most).max(1);
    let (size, longer) = (d.w_out / tiles, d.w_out % tiles);
    // SAFETY: the caller's contract is the same; every aarch64 CPU has NEON.
    unsafe {
        row.tiles(0, size + 1, longer);
        row.tiles(longer * (size + 1), size, tiles - longer);
    }
}

/// An output row.
struct Row<'a> {
    conv: &'a DepthwiseF32,
    x: [*const f32; 3],
    y: *mut f32,
    channels: Range<usize>,
}

impl Row<'_> {
    /// `count` tiles of `size` outputs.
    ///
    /// # Safety
    /// The contract of `Kernels`; those outputs are in the row.
    unsafe fn tiles(&self, first: usize, size: usize, count: usize) {
        macro_rules! by_size {
            ($($stride:literal: $($size:literal)*;)*) => {
                match (self.conv.row.stride, size) {
                    // SAFETY: the caller's contract is the same; every aarch64 CPU has NEON.
                    $($(($stride, $size) => unsafe { self.tiles_of::<$stride, $size>(first, count) },)*)*
                    _ => {}
                }
            };
        }
        by_size! {
            1: 1 2 3 4 5 6 7 8;
            2: 1 2 3 4 5 6 7;
        }
    }

    /// # Safety
    /// As `tiles`, of N outputs.
    #[target_feature(enable = "neon")]
    unsafe fn tiles_of<const S: usize, const N: usize>(&self, first: usize, count: usize)
    where
        Tile<S, N>: Loop<true> + Loop<false>,
    {
        static ZEROS: [f32; 4] = [0.0; 4];
        let d = &self.conv.row;
        let start = self.channels.start;
        let blocks = self.channels.len() / 4;
        let limits = Limits::new(self.conv.clamp);
        // SAFETY: contract (reads, writes); a block is biases, then 9 vectors of weights.
        unsafe {
            let w = self.conv.packed.as_ptr().cast::<f32>().add(start * 10);
            for ox in (first..first + count * N).step_by(N) {
                // The second column, which is in the picture.
                let at = (ox * S + 1 - d.left) * d.c + start;
                let x = self.x.map(|x| x.wrapping_add(at));
                let edge = ([ZEROS.as_ptr(); 3], 0);
                let columns = Columns {
                    x,
                    first: if ox * S >= d.left {
                        (x.map(|x| x.wrapping_sub(d.c)), 16)
                    } else {
                        edge
                    },
                    last: if (ox + N - 1) * S + 2 < d.w_in + d.left {
                        (x.map(|x| x.wrapping_add(d.c * ((N - 1) * S + 1))), 16)
                    } else {
                        edge
                    },
                    pitch: d.c * 4,
                };
                let y = self.y.add(ox * d.c + start);
                if limits.from_zero() {
                    <Tile<S, N> as Loop<true>>::run(&columns, w, y, blocks, &limits);
                } else {
                    <Tile<S, N> as Loop<false>>::run(&columns, w, y, blocks, &limits);
                }
            }
        }
    }
}

/// A tile's columns in three input rows.
struct Columns {
    /// The second columns.
    x: [*const f32; 3],
    /// Bytes from a column to the next, in the output as well.
    pitch: usize,
    /// The first columns, and the bytes from a block of channels to the next.
    first: ([*const f32; 3], usize),
    /// The last columns.
    last: ([*const f32; 3], usize),
}

/// A tile of `N` outputs, stride `S`.
struct Tile<const S: usize, const N: usize>;

/// The loop over the channels; `FROM_ZERO` is that of the limits.
trait Loop<const FROM_ZERO: bool> {
    /// Computes `blocks` (at least 1) blocks of 4 channels.
    ///
    /// # Safety
    /// The columns and the outputs `y` are valid for all blocks; `w` is valid for 10 vectors per block.
    unsafe fn run(columns: &Columns, w: *const f32, y: *mut f32, blocks: usize, limits: &Limits);
}

/// A row's weights.
macro_rules! load_weights {
    ($($at:literal $to:literal)*) => {
        concat!($("ldr q", $to, ", [{w}, #", $at, "]\n",)*)
    };
}

/// Goes to the next block of channels; `y` is one behind.
macro_rules! next {
    () => {
        concat!(
            "add {x0}, {x0}, #16\n",
            "add {x1}, {x1}, #16\n",
            "add {x2}, {x2}, #16\n",
            "add {e0}, {e0}, {e}\n",
            "add {e1}, {e1}, {e}\n",
            "add {e2}, {e2}, {e}\n",
            "add {f0}, {f0}, {f}\n",
            "add {f1}, {f1}, {f}\n",
            "add {f2}, {f2}, {f}\n",
            "add {w}, {w}, #160\n",
            "add {y}, {y}, #16\n",
            "subs {blocks}, {blocks}, #1\n",
        )
    };
}

/// A row's products: kernel columns in turn, so that a sum rests between two of its own.
macro_rules! products {
    ($w0:literal $w1:literal $w2:literal: $(($sum:literal $v0:literal $v1:literal $v2:literal))*) => {
        concat!(
            $("fmla v", $sum, ".4s, v", $v0, ".4s, v", $w0, ".4s\n",)*
            $("fmla v", $sum, ".4s, v", $v1, ".4s, v", $w1, ".4s\n",)*
            $("fmla v", $sum, ".4s, v", $v2, ".4s, v", $w2, ".4s\n",)*
        )
    };
}

/// Limits all sums and stores them.
macro_rules! end {
    ($max:literal $min:literal $low:literal $high:literal: $(($sum:literal $to:literal))*) => {
        concat!(
            $($max, " v", $sum, ".4s, v", $sum, ".4s, v", $low, ".4s\n",)*
            $($min, " v", $sum, ".4s, v", $sum, ".4s, v", $high, ".4s\n",)*
            $("str q", $sum, ", [{y}", $to, "]\n",)*
        )
    };
}

/// Stride 1. Of each output: where it is (and its second column), its sum, its three columns.
macro_rules! one {
    ($from_zero:literal $max:literal $min:literal; $last:literal;
        $(($o:literal $s:literal $v0:literal $v1:literal $v2:literal))*) => {
        impl Loop<$from_zero> for Tile<1, { [$($o),*].len() }> {
            #[inline(always)]
            unsafe fn run(columns: &Columns, w: *const f32, y: *mut f32, blocks: usize, limits: &Limits) {
                let pitch = columns.pitch;
                // SAFETY: the columns and `y` are valid.
                unsafe {
                    asm!(
                        "// small tiles do not use {o1} {o2} {o3} {o4} {o5} {o6} {o7}",
                        "2:",
                        "ldr q9, [{w}]",
                        load_weights!("16" "0" "32" "1" "48" "2"),
                        "ldr q20, [{e0}]",
                        $(concat!("ldr q", $v1, ", [{x0}", $o, "]"),)*
                        concat!("ldr q", $last, ", [{f0}]"),
                        $(concat!("mov v", $s, ".16b, v9.16b"),)*
                        products!("0" "1" "2": $(($s $v0 $v1 $v2))*),
                        load_weights!("64" "3" "80" "4" "96" "5"),
                        "ldr q20, [{e1}]",
                        $(concat!("ldr q", $v1, ", [{x1}", $o, "]"),)*
                        concat!("ldr q", $last, ", [{f1}]"),
                        products!("3" "4" "5": $(($s $v0 $v1 $v2))*),
                        load_weights!("112" "6" "128" "7" "144" "8"),
                        "ldr q20, [{e2}]",
                        $(concat!("ldr q", $v1, ", [{x2}", $o, "]"),)*
                        concat!("ldr q", $last, ", [{f2}]"),
                        next!(),
                        products!("6" "7" "8": $(($s $v0 $v1 $v2))*),
                        end!($max $min "10" "11": $(($s $o))*),
                        "b.ne 2b",
                        x0 = inout(reg) columns.x[0] => _,
                        x1 = inout(reg) columns.x[1] => _,
                        x2 = inout(reg) columns.x[2] => _,
                        e0 = inout(reg) columns.first.0[0] => _,
                        e1 = inout(reg) columns.first.0[1] => _,
                        e2 = inout(reg) columns.first.0[2] => _,
                        e = in(reg) columns.first.1,
                        f0 = inout(reg) columns.last.0[0] => _,
                        f1 = inout(reg) columns.last.0[1] => _,
                        f2 = inout(reg) columns.last.0[2] => _,
                        f = in(reg) columns.last.1,
                        w = inout(reg) w => _,
                        y = inout(reg) y.wrapping_sub(4) => _,
                        blocks = inout(reg) blocks => _,
                        o1 = in(reg) pitch,
                        o2 = in(reg) pitch * 2,
                        o3 = in(reg) pitch * 3,
                        o4 = in(reg) pitch * 4,
                        o5 = in(reg) pitch * 5,
                        o6 = in(reg) pitch * 6,
                        o7 = in(reg) pitch * 7,
                        out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _,
                        out("v5") _, out("v6") _, out("v7") _, out("v8") _,
                        out("v9") _,
                        in("v10") limits.low, in("v11") limits.high,
                        out("v12") _, out("v13") _, out("v14") _, out("v15") _,
                        out("v16") _, out("v17") _, out("v18") _, out("v19") _,
                        out("v20") _, out("v21") _, out("v22") _, out("v23") _, out("v24") _,
                        out("v25") _, out("v26") _, out("v27") _, out("v28") _, out("v29") _,
                        options(nostack),
                    );
                }
            }
        }
    };
}

/// Stride 2. Of each output: where it is, its sum, its three columns, where the second is; and where the third is of all but the last.
macro_rules! two {
    ($from_zero:literal $max:literal $min:literal; $last:literal;
        $(($third:literal $third_at:literal))*;
        $(($o:literal $s:literal $v0:literal $v1:literal $v2:literal $at:literal))*) => {
        impl Loop<$from_zero> for Tile<2, { [$($o),*].len() }> {
            #[inline(always)]
            unsafe fn run(columns: &Columns, w: *const f32, y: *mut f32, blocks: usize, limits: &Limits) {
                let pitch = columns.pitch;
                // SAFETY: the columns, `y`, the bias and the limits are valid.
                unsafe {
                    asm!(
                        "// small tiles do not use {o1} {o2} {o3} {o4} {o5} {o6} {o7} {o8} {o9} {o10} {o11} {o12}",
                        "2:",
                        $(concat!("ldr q", $s, ", [{w}]"),)*
                        load_weights!("16" "0" "32" "1" "48" "2"),
                        "ldr q16, [{e0}]",
                        $(concat!("ldr q", $v1, ", [{x0}", $at, "]"),)*
                        $(concat!("ldr q", $third, ", [{x0}", $third_at, "]"),)*
                        concat!("ldr q", $last, ", [{f0}]"),
                        products!("0" "1" "2": $(($s $v0 $v1 $v2))*),
                        load_weights!("64" "3" "80" "4" "96" "5"),
                        "ldr q16, [{e1}]",
                        $(concat!("ldr q", $v1, ", [{x1}", $at, "]"),)*
                        $(concat!("ldr q", $third, ", [{x1}", $third_at, "]"),)*
                        concat!("ldr q", $last, ", [{f1}]"),
                        products!("3" "4" "5": $(($s $v0 $v1 $v2))*),
                        load_weights!("112" "6" "128" "7" "144" "8"),
                        "ldr q16, [{e2}]",
                        $(concat!("ldr q", $v1, ", [{x2}", $at, "]"),)*
                        $(concat!("ldr q", $third, ", [{x2}", $third_at, "]"),)*
                        concat!("ldr q", $last, ", [{f2}]"),
                        next!(),
                        products!("6" "7" "8": $(($s $v0 $v1 $v2))*),
                        "ldp q16, q17, [{limits}]",
                        end!($max $min "16" "17": $(($s $o))*),
                        "b.ne 2b",
                        x0 = inout(reg) columns.x[0] => _,
                        x1 = inout(reg) columns.x[1] => _,
                        x2 = inout(reg) columns.x[2] => _,
                        e0 = inout(reg) columns.first.0[0] => _,
                        e1 = inout(reg) columns.first.0[1] => _,
                        e2 = inout(reg) columns.first.0[2] => _,
                        e = in(reg) columns.first.1,
                        f0 = inout(reg) columns.last.0[0] => _,
                        f1 = inout(reg) columns.last.0[1] => _,
                        f2 = inout(reg) columns.last.0[2] => _,
                        f = in(reg) columns.last.1,
                        w = inout(reg) w => _,
                        y = inout(reg) y.wrapping_sub(4) => _,
                        blocks = inout(reg) blocks => _,
                        limits = in(reg) limits.pair(),
                        o1 = in(reg) pitch,
                        o2 = in(reg) pitch * 2,
                        o3 = in(reg) pitch * 3,
                        o4 = in(reg) pitch * 4,
                        o5 = in(reg) pitch * 5,
                        o6 = in(reg) pitch * 6,
                        o7 = in(reg) pitch * 7,
                        o8 = in(reg) pitch * 8,
                        o9 = in(reg) pitch * 9,
                        o10 = in(reg) pitch * 10,
                        o11 = in(reg) pitch * 11,
                        o12 = in(reg) pitch * 12,
                        out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _,
                        out("v5") _, out("v6") _, out("v7") _, out("v8") _,
                        out("v9") _, out("v10") _, out("v11") _, out("v12") _,
                        out("v13") _, out("v14") _, out("v15") _, out("v16") _,
                        out("v17") _, out("v18") _, out("v19") _, out("v20") _,
                        out("v21") _, out("v22") _, out("v23") _, out("v24") _, out("v25") _,
                        out("v26") _, out("v27") _, out("v28") _, out("v29") _, out("v30") _,
                        options(nostack),
                    );
                }
            }
        }
    };
}

/// Tiles of the first output, the first two, and so on.
macro_rules! ones {
    ($done:tt) => {};
    ([$($done:tt)*] ($o:literal $s:literal $v0:literal $v1:literal $v2:literal) $($rest:tt)*) => {
        one!(true "smax" "smin"; $v2; $($done)* ($o $s $v0 $v1 $v2));
        one!(false "fmax" "fmin"; $v2; $($done)* ($o $s $v0 $v1 $v2));
        ones!([$($done)* ($o $s $v0 $v1 $v2)] $($rest)*);
    };
}

ones!([]
    ("" "12" "20" "21" "22")
    (", {o1}" "13" "21" "22" "23")
    (", {o2}" "14" "22" "23" "24")
    (", {o3}" "15" "23" "24" "25")
    (", {o4}" "16" "24" "25" "26")
    (", {o5}" "17" "25" "26" "27")
    (", {o6}" "18" "26" "27" "28")
    (", {o7}" "19" "27" "28" "29")
);

macro_rules! twos {
    ($done:tt $thirds:tt) => {};
    ([$($done:tt)*] [$($thirds:tt)*]
        ($o:literal $s:literal $v0:literal $v1:literal $v2:literal $at:literal $third_at:literal) $($rest:tt)*) => {
        two!(true "smax" "smin"; $v2; $($thirds)*; $($done)* ($o $s $v0 $v1 $v2 $at));
        two!(false "fmax" "fmin"; $v2; $($thirds)*; $($done)* ($o $s $v0 $v1 $v2 $at));
        twos!([$($done)* ($o $s $v0 $v1 $v2 $at)] [$($thirds)* ($v2 $third_at)] $($rest)*);
    };
}

twos!([] []
    ("" "9" "16" "17" "18" "" ", {o1}")
    (", {o1}" "10" "18" "19" "20" ", {o2}" ", {o3}")
    (", {o2}" "11" "20" "21" "22" ", {o4}" ", {o5}")
    (", {o3}" "12" "22" "23" "24" ", {o6}" ", {o7}")
    (", {o4}" "13" "24" "25" "26" ", {o8}" ", {o9}")
    (", {o5}" "14" "26" "27" "28" ", {o10}" ", {o11}")
    (", {o6}" "15" "28" "29" "30" ", {o12}" "")
);
