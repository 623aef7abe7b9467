//! Depthwise convolution of 3x3 kernels with NEON, strides 1 and 2, in blocks of one vector: 4 floats or 8 values of half precision.
//!
//! A tile is up to 8 outputs of one row (stride 2: up to 7), and walks through the channels: each input row's columns are loaded once
//! for the tile, all before their products (see [`super::neon_f32_tile`] for why). A column outside the picture is loaded from zeros.

use super::neon_f32_tile::Limits;
use crate::network::kernels::half_values::of_f32;
use crate::network::kernels::{DepthwiseF16, DepthwiseF32, DepthwiseRow};
use std::arch::aarch64::*;
use std::arch::asm;
use std::ops::Range;

/// Bytes of a vector.
const VECTOR: usize = 16;

/// Values of single precision, limited from 0 on: they are compared as integers.
const FROM_ZERO: u8 = 0;
/// Values of single precision.
const SINGLE: u8 = 1;
/// Values of half precision.
const HALF: u8 = 2;

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
#[target_feature(enable = "neon")]
pub(super) unsafe fn run(
    conv: &DepthwiseF32,
    rows: &[*const u8],
    y: *mut u8,
    channels: Range<usize>,
) {
    let limits = Limits::new(conv.clamp);
    // SAFETY: the caller's contract is the same.
    unsafe {
        let row = Row::new(&conv.row, (conv.packed.as_ptr(), 4), rows, y, channels);
        let pair = [limits.low, limits.high];
        if limits.from_zero() {
            row.all::<FROM_ZERO>(&pair);
        } else {
            row.all::<SINGLE>(&pair);
        }
    }
}

/// The same of half precision, a multiple of 8 channels.
///
/// # Safety
/// As [`run`]; the CPU computes in half precision.
#[target_feature(enable = "neon")]
pub(super) unsafe fn run_half(
    conv: &DepthwiseF16,
    rows: &[*const u8],
    y: *mut u8,
    channels: Range<usize>,
) {
    let limits = [conv.clamp.0, conv.clamp.1];
    let limits = limits.map(|limit| vreinterpretq_f32_u16(vdupq_n_u16(of_f32(limit))));
    // SAFETY: the caller's contract is the same.
    unsafe {
        let row = Row::new(&conv.row, (conv.packed.as_ptr(), 2), rows, y, channels);
        row.all::<HALF>(&limits);
    }
}

/// Some channels of an output row; all sizes are in bytes.
struct Row<'a> {
    d: &'a DepthwiseRow,
    /// From a column to the next.
    pitch: usize,
    x: [*const u8; 3],
    y: *mut u8,
    /// A block is biases, then 9 vectors of weights.
    w: *const u8,
    blocks: usize,
}

impl<'a> Row<'a> {
    /// `packed` are the weights of all channels, and the bytes of a value.
    ///
    /// # Safety
    /// As [`run`].
    unsafe fn new(
        d: &'a DepthwiseRow,
        (packed, elem): (*const u8, usize),
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
    ) -> Self {
        let start = channels.start * elem;
        // SAFETY: contract (reads, writes): the first of these channels.
        unsafe {
            Self {
                d,
                pitch: d.c * elem,
                x: [rows[0].add(start), rows[1].add(start), rows[2].add(start)],
                y: y.add(start),
                w: packed.add(start * 10),
                blocks: channels.len() * elem / VECTOR,
            }
        }
    }

    /// All outputs, in nearly equal tiles of two sizes.
    ///
    /// # Safety
    /// As [`run`], for values of this kind.
    unsafe fn all<const KIND: u8>(&self, limits: &[float32x4_t; 2])
    where
        Self: Sizes<KIND>,
    {
        let tiles = if self.d.stride == 1 {
            self.d.w_out.div_ceil(8)
        } else {
            self.d.w_out.div_ceil(7)
        };
        let tiles = tiles.max(1);
        let (size, longer) = (self.d.w_out / tiles, self.d.w_out % tiles);
        // SAFETY: the caller's contract is the same.
        unsafe {
            self.tiles(limits, 0, size + 1, longer);
            self.tiles(limits, longer * (size + 1), size, tiles - longer);
        }
    }

    /// `count` tiles of N outputs.
    ///
    /// # Safety
    /// As `all`; those outputs are in the row.
    #[target_feature(enable = "neon")]
    unsafe fn tiles_of<const KIND: u8, const S: usize, const N: usize>(
        &self,
        limits: &[float32x4_t; 2],
        first: usize,
        count: usize,
    ) where
        Tile<S, N>: Loop<KIND>,
    {
        static ZEROS: [u32; 4] = [0; 4];
        let (d, pitch) = (self.d, self.pitch);
        let edge = ([ZEROS.as_ptr().cast(); 3], 0);
        for ox in (first..first + count * N).step_by(N) {
            // The second column, which is in the picture.
            let x = self
                .x
                .map(|x| x.wrapping_add((ox * S + 1 - d.left) * pitch));
            let columns = Columns {
                x,
                first: if ox * S >= d.left {
                    (x.map(|x| x.wrapping_sub(pitch)), VECTOR)
                } else {
                    edge
                },
                last: if (ox + N - 1) * S + 2 < d.w_in + d.left {
                    let last = pitch * ((N - 1) * S + 1);
                    (x.map(|x| x.wrapping_add(last)), VECTOR)
                } else {
                    edge
                },
                pitch,
            };
            // SAFETY: contract (reads, writes): these outputs and their columns.
            unsafe {
                let y = self.y.add(ox * pitch);
                <Tile<S, N> as Loop<KIND>>::run(&columns, self.w, y, self.blocks, limits);
            }
        }
    }
}

/// Tiles of any size.
trait Sizes<const KIND: u8> {
    /// `count` tiles of `size` outputs.
    ///
    /// # Safety
    /// As [`Row::tiles_of`].
    unsafe fn tiles(&self, limits: &[float32x4_t; 2], first: usize, size: usize, count: usize);
}

macro_rules! sizes {
    ($($kind:ident)*; $ones:tt $twos:tt) => {$(
        impl Sizes<$kind> for Row<'_> {
            unsafe fn tiles(&self, limits: &[float32x4_t; 2], first: usize, size: usize, count: usize) {
                // SAFETY: the caller's contract is the same; every aarch64 CPU has NEON.
                unsafe { by_size!(self limits first size count $kind: 1 $ones 2 $twos) }
            }
        }
    )*};
}

macro_rules! by_size {
    ($row:ident $limits:ident $first:ident $size:ident $count:ident $kind:ident: $($stride:literal ($($n:literal)*))*) => {
        match ($row.d.stride, $size) {
            $($(($stride, $n) => $row.tiles_of::<$kind, $stride, $n>($limits, $first, $count),)*)*
            _ => {}
        }
    };
}

sizes!(FROM_ZERO SINGLE HALF; (1 2 3 4 5 6 7 8) (1 2 3 4 5 6 7));

/// A tile's columns in three input rows.
struct Columns {
    /// The second columns.
    x: [*const u8; 3],
    /// Bytes from a column to the next, in the output as well.
    pitch: usize,
    /// The first columns, and the bytes from a block of channels to the next.
    first: ([*const u8; 3], usize),
    /// The last columns.
    last: ([*const u8; 3], usize),
}

/// A tile of `N` outputs, stride `S`.
struct Tile<const S: usize, const N: usize>;

/// The loop over the channels.
trait Loop<const KIND: u8> {
    /// Computes `blocks` (at least 1) blocks of channels.
    ///
    /// # Safety
    /// The columns and the outputs `y` are valid for all blocks; `w` is valid for 10 vectors per block.
    unsafe fn run(
        columns: &Columns,
        w: *const u8,
        y: *mut u8,
        blocks: usize,
        limits: &[float32x4_t; 2],
    );
}

/// What the assembler must know.
macro_rules! begin {
    (".4s") => {
        ""
    };
    (".8h") => {
        ".arch_extension fp16"
    };
}

/// The sums' biases: in-order CPUs, for floats, move them faster.
macro_rules! early_biases {
    (".4s": $($sum:literal)*) => { "ldr q9, [{w}]\n" };
    (".8h": $($sum:literal)*) => { concat!($("ldr q", $sum, ", [{w}]\n",)*) };
}
macro_rules! late_biases {
    (".4s": $($sum:literal)*) => { concat!($("mov v", $sum, ".16b, v9.16b\n",)*) };
    (".8h": $($sum:literal)*) => { "" };
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
    ($t:literal $w0:literal $w1:literal $w2:literal: $(($sum:literal $v0:literal $v1:literal $v2:literal))*) => {
        concat!(
            $("fmla v", $sum, $t, ", v", $v0, $t, ", v", $w0, $t, "\n",)*
            $("fmla v", $sum, $t, ", v", $v1, $t, ", v", $w1, $t, "\n",)*
            $("fmla v", $sum, $t, ", v", $v2, $t, ", v", $w2, $t, "\n",)*
        )
    };
}

/// Limits all sums and stores them.
macro_rules! end {
    (".8h" $max:literal $min:literal $low:literal $high:literal: $(($sum:literal $to:literal))*) => {
        concat!(
            $($max, " v", $sum, ".8h, v", $sum, ".8h, v", $low, ".8h\n",)*
            $($min, " v", $sum, ".8h, v", $sum, ".8h, v", $high, ".8h\n",)*
            "mov {at}, {y}\n",
            $("st1 {{v", $sum, ".8h}}, [{at}], {o1}\n",)*
        )
    };
    (".4s" $max:literal $min:literal $low:literal $high:literal: $(($sum:literal $to:literal))*) => {
        concat!(
            $($max, " v", $sum, ".4s, v", $sum, ".4s, v", $low, ".4s\n",)*
            $($min, " v", $sum, ".4s, v", $sum, ".4s, v", $high, ".4s\n",)*
            $("str q", $sum, ", [{y}", $to, "]\n",)*
        )
    };
}

/// Stride 1. Of each output: where it is (and its second column), its sum, its three columns.
macro_rules! one {
    ($kind:ident $t:tt $max:literal $min:literal; $last:literal;
        $(($o:literal $s:literal $v0:literal $v1:literal $v2:literal))*) => {
        impl Loop<$kind> for Tile<1, { [$($o),*].len() }> {
            #[inline(always)]
            unsafe fn run(columns: &Columns, w: *const u8, y: *mut u8, blocks: usize, limits: &[float32x4_t; 2]) {
                let pitch = columns.pitch;
                // SAFETY: the columns and `y` are valid.
                unsafe {
                    asm!(
                        "// small tiles do not use {o1} {o2} {o3} {o4} {o5} {o6} {o7} {at}",
                        begin!($t),
                        "2:",
                        early_biases!($t: $($s)*),
                        load_weights!("16" "0" "32" "1" "48" "2"),
                        "ldr q20, [{e0}]",
                        $(concat!("ldr q", $v1, ", [{x0}", $o, "]"),)*
                        concat!("ldr q", $last, ", [{f0}]"),
                        late_biases!($t: $($s)*),
                        products!($t "0" "1" "2": $(($s $v0 $v1 $v2))*),
                        load_weights!("64" "3" "80" "4" "96" "5"),
                        "ldr q20, [{e1}]",
                        $(concat!("ldr q", $v1, ", [{x1}", $o, "]"),)*
                        concat!("ldr q", $last, ", [{f1}]"),
                        products!($t "3" "4" "5": $(($s $v0 $v1 $v2))*),
                        load_weights!("112" "6" "128" "7" "144" "8"),
                        "ldr q20, [{e2}]",
                        $(concat!("ldr q", $v1, ", [{x2}", $o, "]"),)*
                        concat!("ldr q", $last, ", [{f2}]"),
                        next!(),
                        products!($t "6" "7" "8": $(($s $v0 $v1 $v2))*),
                        end!($t $max $min "10" "11": $(($s $o))*),
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
                        y = inout(reg) y.wrapping_sub(VECTOR) => _,
                        at = out(reg) _,
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
                        in("v10") limits[0], in("v11") limits[1],
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
    ($kind:ident $t:tt $max:literal $min:literal; $last:literal;
        $(($third:literal $third_at:literal))*;
        $(($o:literal $s:literal $v0:literal $v1:literal $v2:literal $at:literal))*) => {
        impl Loop<$kind> for Tile<2, { [$($o),*].len() }> {
            #[inline(always)]
            unsafe fn run(columns: &Columns, w: *const u8, y: *mut u8, blocks: usize, limits: &[float32x4_t; 2]) {
                let pitch = columns.pitch;
                // SAFETY: the columns, `y`, the bias and the limits are valid.
                unsafe {
                    asm!(
                        "// small tiles do not use {o1} {o2} {o3} {o4} {o5} {o6} {o7} {o8} {o9} {o10} {o11} {o12} {at}",
                        begin!($t),
                        "2:",
                        $(concat!("ldr q", $s, ", [{w}]"),)*
                        load_weights!("16" "0" "32" "1" "48" "2"),
                        "ldr q16, [{e0}]",
                        $(concat!("ldr q", $v1, ", [{x0}", $at, "]"),)*
                        $(concat!("ldr q", $third, ", [{x0}", $third_at, "]"),)*
                        concat!("ldr q", $last, ", [{f0}]"),
                        products!($t "0" "1" "2": $(($s $v0 $v1 $v2))*),
                        load_weights!("64" "3" "80" "4" "96" "5"),
                        "ldr q16, [{e1}]",
                        $(concat!("ldr q", $v1, ", [{x1}", $at, "]"),)*
                        $(concat!("ldr q", $third, ", [{x1}", $third_at, "]"),)*
                        concat!("ldr q", $last, ", [{f1}]"),
                        products!($t "3" "4" "5": $(($s $v0 $v1 $v2))*),
                        load_weights!("112" "6" "128" "7" "144" "8"),
                        "ldr q16, [{e2}]",
                        $(concat!("ldr q", $v1, ", [{x2}", $at, "]"),)*
                        $(concat!("ldr q", $third, ", [{x2}", $third_at, "]"),)*
                        concat!("ldr q", $last, ", [{f2}]"),
                        next!(),
                        products!($t "6" "7" "8": $(($s $v0 $v1 $v2))*),
                        "ldp q16, q17, [{limits}]",
                        end!($t $max $min "16" "17": $(($s $o))*),
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
                        y = inout(reg) y.wrapping_sub(VECTOR) => _,
                        at = out(reg) _,
                        blocks = inout(reg) blocks => _,
                        limits = in(reg) limits.as_ptr(),
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
        one!(FROM_ZERO ".4s" "smax" "smin"; $v2; $($done)* ($o $s $v0 $v1 $v2));
        one!(SINGLE ".4s" "fmax" "fmin"; $v2; $($done)* ($o $s $v0 $v1 $v2));
        one!(HALF ".8h" "fmax" "fmin"; $v2; $($done)* ($o $s $v0 $v1 $v2));
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
        two!(FROM_ZERO ".4s" "smax" "smin"; $v2; $($thirds)*; $($done)* ($o $s $v0 $v1 $v2 $at));
        two!(SINGLE ".4s" "fmax" "fmin"; $v2; $($thirds)*; $($done)* ($o $s $v0 $v1 $v2 $at));
        two!(HALF ".8h" "fmax" "fmin"; $v2; $($thirds)*; $($done)* ($o $s $v0 $v1 $v2 $at));
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
