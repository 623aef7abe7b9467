//! The inner loop of half-precision convolutions, in assembly, for tiles of pixels by vectors of 8 output channels. A tile's input is
//! in v0 and up, one vector per pixel (a lane of `fmla .8h` must be one of v0 to v15); its sums follow; the weights of one input
//! channel are in the last registers. A vector of weights is loaded as soon as the last one in its register is used, which is long
//! before it is needed.

//!
//! A tile ends with the next one's first sums, so that they are loaded while this one's are limited.

use std::arch::asm;

/// What one tile or several neighbouring ones work on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    /// Tiles; of several, every pixel has the same sums so far, and none is left out.
    pub(super) tiles: usize,
    /// The first pixel's sums so far, a vector per vector of channels. Those of one pixel past the last are read too.
    pub(super) from: *const u16,
    /// Bytes from one pixel's to the next one's; 0 for several tiles.
    pub(super) from_pitch: usize,
    /// The first pixel's input.
    pub(super) x: *const u8,
    /// Bytes from pixel to pixel.
    pub(super) x_pitch: usize,
    /// Pixels from this one on are read where this one is.
    pub(super) last: usize,
    /// Runs of input channels, at least 1.
    pub(super) runs: usize,
    /// Bytes from run to run.
    pub(super) run_pitch: usize,
    /// A vector of weights per input channel of each run and vector of channels.
    pub(super) w: *const u16,
    /// Input channels of a run.
    pub(super) count: usize,
    /// Where the first pixel's sums go.
    pub(super) y: *mut u8,
    /// Bytes from pixel to pixel.
    pub(super) y_pitch: usize,
    /// Whether what is there is added.
    pub(super) more: bool,
    /// Least and most of what is stored, if there are any.
    pub(super) limits: Option<[[u16; 8]; 2]>,
}

/// Bits of how a tile ends: what is there is added; there are no limits.
const MORE: u32 = 1;
const FREE: u32 = 2;

impl Job {
    /// The input of pixel `m`.
    fn pixel(&self, m: usize) -> *const u8 {
        self.x.wrapping_add(m.min(self.last) * self.x_pitch)
    }

    /// Bytes that a pointer to a pixel goes through a run.
    fn walked(&self) -> usize {
        self.count / 8 * 16
    }

    /// From where a tile of `pixels` leaves a pixel to the next tile's.
    fn ahead(&self, pixels: usize) -> usize {
        let walked = (self.runs - 1)
            .wrapping_mul(self.run_pitch)
            .wrapping_add(self.walked());
        (pixels * self.x_pitch).wrapping_sub(walked)
    }

    /// How it ends.
    fn end(&self) -> u32 {
        let more = if self.more { MORE } else { 0 };
        more | if self.limits.is_none() { FREE } else { 0 }
    }
}

/// One input channel's products of all pixels with one vector of weights.
macro_rules! products {
    ($lane:literal $w:literal: $($sum:literal $x:literal)*) => {
        concat!($("fmla v", $sum, ".8h, v", $w, ".8h, v", $x, ".h[", $lane, "]\n",)*)
    };
}

/// Products of 5 pixels by 4 vectors.
macro_rules! five {
    ($lane:literal 0) => { products!($lane "28": "5" "0" "9" "1" "13" "2" "17" "3" "21" "4") };
    ($lane:literal 1) => { products!($lane "29": "6" "0" "10" "1" "14" "2" "18" "3" "22" "4") };
    ($lane:literal 2) => { products!($lane "30": "7" "0" "11" "1" "15" "2" "19" "3" "23" "4") };
    ($lane:literal 3) => { products!($lane "31": "8" "0" "12" "1" "16" "2" "20" "3" "24" "4") };
}

/// Products of 4 pixels by 4 vectors.
macro_rules! four {
    ($lane:literal 0) => { products!($lane "28": "5" "0" "9" "1" "13" "2" "17" "3") };
    ($lane:literal 1) => { products!($lane "29": "6" "0" "10" "1" "14" "2" "18" "3") };
    ($lane:literal 2) => { products!($lane "30": "7" "0" "11" "1" "15" "2" "19" "3") };
    ($lane:literal 3) => { products!($lane "31": "8" "0" "12" "1" "16" "2" "20" "3") };
}

/// Products of 1 pixel by 4 vectors.
macro_rules! one {
    ($lane:literal 0) => { products!($lane "28": "5" "0") };
    ($lane:literal 1) => { products!($lane "29": "6" "0") };
    ($lane:literal 2) => { products!($lane "30": "7" "0") };
    ($lane:literal 3) => { products!($lane "31": "8" "0") };
}

/// Products of 7 pixels by 3 vectors.
macro_rules! seven {
    ($lane:literal 0) => { products!($lane "29": "7" "0" "10" "1" "13" "2" "16" "3" "19" "4" "22" "5" "25" "6") };
    ($lane:literal 1) => { products!($lane "30": "8" "0" "11" "1" "14" "2" "17" "3" "20" "4" "23" "5" "26" "6") };
    ($lane:literal 2) => { products!($lane "31": "9" "0" "12" "1" "15" "2" "18" "3" "21" "4" "24" "5" "27" "6") };
}

/// Products of 6 pixels by 3 vectors.
macro_rules! six {
    ($lane:literal 0) => { products!($lane "29": "7" "0" "10" "1" "13" "2" "16" "3" "19" "4" "22" "5") };
    ($lane:literal 1) => { products!($lane "30": "8" "0" "11" "1" "14" "2" "17" "3" "20" "4" "23" "5") };
    ($lane:literal 2) => { products!($lane "31": "9" "0" "12" "1" "15" "2" "18" "3" "21" "4" "24" "5") };
}

/// Products of 8 pixels by 2 vectors.
macro_rules! eight {
    ($lane:literal 0) => { products!($lane "30": "8" "0" "10" "1" "12" "2" "14" "3" "16" "4" "18" "5" "20" "6" "22" "7") };
    ($lane:literal 1) => { products!($lane "31": "9" "0" "11" "1" "13" "2" "15" "3" "17" "4" "19" "5" "21" "6" "23" "7") };
}

/// Products of 8 pixels by 1 vector.
macro_rules! narrow {
    ($lane:literal 0) => { products!($lane "31": "8" "0" "9" "1" "10" "2" "11" "3" "12" "4" "13" "5" "14" "6" "15" "7") };
}

/// All products of one input channel; each vector of weights is then replaced by that of the next channel.
macro_rules! lane {
    ($shape:ident $vectors:literal $lane:literal: $($v:tt $w:literal)*) => {
        concat!($(
            $shape!($lane $v),
            "ldr q", $w, ", [{w}, #((", $lane, " + 1) * ", $vectors, " + ", $v, ") * 16]\n",
        )*)
    };
}

/// The same for the last of eight.
macro_rules! last_lane {
    ($shape:ident $lane:literal: $($v:tt $w:literal)*) => {
        concat!($($shape!($lane $v),)*)
    };
}

/// One of the channels that are left, after which there may be no other.
macro_rules! rest {
    ($shape:ident $vectors:literal $lane:literal: $($v:tt $w:literal)*) => {
        concat!(
            $("ldr q", $w, ", [{w}], #16\n",)*
            $($shape!($lane $v),)*
            "subs {count}, {count}, #1\n",
            "b.eq 4f\n",
        )
    };
}

/// `$name` runs a tile: `$x` are the registers of its pixels, `$sums` those of their sums.
macro_rules! tile {
    ($(#[$doc:meta])* $name:ident, $shape:ident, $vectors:literal, $weights:tt, $($x:literal $pointer:ident $sums:tt)*) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The CPU has the instructions; the job's pointers are valid for so many pixels and vectors. Of every pixel up to 14 bytes
        /// past its input are read, and do not count.
        pub(super) unsafe fn $name(job: &Job) {
            // SAFETY: the caller's contract: what is read and written is as large as it says.
            unsafe {
                asm!(
                    ".arch_extension fp16",
                    $(start!($sums),)*
                    "5:",
                    "mov {w}, {all_w}",
                    "mov {runs}, {all_runs}",
                    "6:",
                    "mov {count}, {all_count}",
                    "cbz {count}, 3f",
                    "2:",
                    $(concat!("ldr q", $x, ", [{", stringify!($pointer), "}], #16"),)*
                    loads!($weights),
                    with_weights!(lane, $shape $vectors "0", $weights),
                    with_weights!(lane, $shape $vectors "1", $weights),
                    with_weights!(lane, $shape $vectors "2", $weights),
                    with_weights!(lane, $shape $vectors "3", $weights),
                    with_weights!(lane, $shape $vectors "4", $weights),
                    with_weights!(lane, $shape $vectors "5", $weights),
                    with_weights!(lane, $shape $vectors "6", $weights),
                    with_weights!(last_lane, $shape "7", $weights),
                    concat!("add {w}, {w}, #(", $vectors, " * 128)"),
                    "subs {count}, {count}, #1",
                    "b.ne 2b",
                    "cbz {tail}, 7f",
                    // Channels that are left of the run, then the next run.
                    "3:",
                    "mov {count}, {all_rest}",
                    "cbz {count}, 4f",
                    $(concat!("ldr q", $x, ", [{", stringify!($pointer), "}]"),)*
                    with_weights!(rest, $shape $vectors "0", $weights),
                    with_weights!(rest, $shape $vectors "1", $weights),
                    with_weights!(rest, $shape $vectors "2", $weights),
                    with_weights!(rest, $shape $vectors "3", $weights),
                    with_weights!(rest, $shape $vectors "4", $weights),
                    with_weights!(rest, $shape $vectors "5", $weights),
                    with_weights!(rest, $shape $vectors "6", $weights),
                    "4:",
                    "subs {runs}, {runs}, #1",
                    "b.eq 7f",
                    $(concat!("add {", stringify!($pointer), "}, {", stringify!($pointer), "}, {to_run}"),)*
                    "b 6b",
                    "7:",
                    "cbnz {end:w}, 22f",
                    "23:",
                    "ldp q0, q1, [{limits}]",
                    $(limit!($sums),)*
                    $(end!($sums),)*
                    $(concat!("add {", stringify!($pointer), "}, {", stringify!($pointer), "}, {ahead}"),)*
                    "subs {tiles}, {tiles}, #1",
                    "b.ne 5b",
                    "b 9f",
                    "22:",
                    "tbz {end:w}, #0, 8f",
                    "mov {count}, {y}",
                    $(more!($sums $weights),)*
                    "tbz {end:w}, #1, 23b",
                    "8:",
                    $(end!($sums),)*
                    $(concat!("add {", stringify!($pointer), "}, {", stringify!($pointer), "}, {ahead}"),)*
                    "subs {tiles}, {tiles}, #1",
                    "b.ne 5b",
                    "9:",
                    from = inout(reg) job.from => _,
                    from_pitch = in(reg) job.from_pitch,
                    y = inout(reg) job.y => _,
                    y_pitch = in(reg) job.y_pitch,
                    tiles = inout(reg) job.tiles => _,
                    all_w = in(reg) job.w,
                    all_runs = in(reg) job.runs,
                    all_count = in(reg) job.count / 8,
                    all_rest = in(reg) job.count % 8,
                    tail = in(reg) (job.runs - 1) | (job.count % 8),
                    to_run = in(reg) job.run_pitch.wrapping_sub(job.walked()),
                    ahead = in(reg) job.ahead([$($x),*].len()),
                    w = out(reg) _,
                    runs = out(reg) _,
                    count = out(reg) _,
                    end = in(reg) job.end(),
                    limits = in(reg) job.limits.as_ref().map_or(std::ptr::null(), |pair| pair.as_ptr()),
                    $($pointer = inout(reg) job.pixel($x) => _,)*
                    out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
                    out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _,
                    out("v13") _, out("v14") _, out("v15") _, out("v16") _, out("v17") _, out("v18") _,
                    out("v19") _, out("v20") _, out("v21") _, out("v22") _, out("v23") _, out("v24") _,
                    out("v25") _, out("v26") _, out("v27") _, out("v28") _, out("v29") _, out("v30") _,
                    out("v31") _,
                    options(nostack),
                );
            }
        }
    };
}

/// `$do` with a shape's weight registers.
macro_rules! with_weights {
    ($do:ident, $shape:ident $vectors:literal $lane:literal, ($($v:tt $w:literal)*)) => {
        $do!($shape $vectors $lane: $($v $w)*)
    };
    ($do:ident, $shape:ident $lane:literal, ($($v:tt $w:literal)*)) => {
        $do!($shape $lane: $($v $w)*)
    };
}

/// Loads a channel's weights.
macro_rules! loads {
    (($($v:tt $w:literal)*)) => {
        concat!($("ldr q", $w, ", [{w}, #(", $v, " * 16)]\n",)*)
    };
}

/// Loads a pixel's sums.
macro_rules! start {
    (($first:literal $($sum:literal)*)) => {
        concat!("ld1 {{v", $first, ".8h", $(", v", $sum, ".8h",)* "}}, [{from}], {from_pitch}\n")
    };
}

/// Puts a pixel's sums within the limits.
macro_rules! limit {
    (($($sum:literal)*)) => {
        concat!(
            $("fmax v", $sum, ".8h, v", $sum, ".8h, v0.8h\n",)*
            $("fmin v", $sum, ".8h, v", $sum, ".8h, v1.8h\n",)*
        )
    };
}

/// Adds what is there, from `{count}` on, to a pixel's sums; the weights' registers are free.
macro_rules! more {
    (($first_sum:literal $($sum:literal)*) ($first_v:tt $first:literal $($v:tt $w:literal)*)) => {
        concat!(
            "ld1 {{v", $first, ".8h", $(", v", $w, ".8h",)* "}}, [{count}], {y_pitch}\n",
            "fadd v", $first_sum, ".8h, v", $first_sum, ".8h, v", $first, ".8h\n",
            $("fadd v", $sum, ".8h, v", $sum, ".8h, v", $w, ".8h\n",)*
        )
    };
}

/// Stores a pixel's sums, and loads those of the next tile.
macro_rules! end {
    (($first:literal $($sum:literal)*)) => {
        concat!(
            "st1 {{v", $first, ".8h", $(", v", $sum, ".8h",)* "}}, [{y}], {y_pitch}\n",
            "ld1 {{v", $first, ".8h", $(", v", $sum, ".8h",)* "}}, [{from}]\n",
        )
    };
}

tile! {
    /// 5 pixels by 4 vectors.
    tile_5x4, five, "4", (0 "28" 1 "29" 2 "30" 3 "31"),
    0 x0 ("5" "6" "7" "8")
    1 x1 ("9" "10" "11" "12")
    2 x2 ("13" "14" "15" "16")
    3 x3 ("17" "18" "19" "20")
    4 x4 ("21" "22" "23" "24")
}
tile! {
    /// 4 pixels by 4 vectors.
    tile_4x4, four, "4", (0 "28" 1 "29" 2 "30" 3 "31"),
    0 x0 ("5" "6" "7" "8")
    1 x1 ("9" "10" "11" "12")
    2 x2 ("13" "14" "15" "16")
    3 x3 ("17" "18" "19" "20")
}
tile! {
    /// 1 pixel by 4 vectors.
    tile_1x4, one, "4", (0 "28" 1 "29" 2 "30" 3 "31"),
    0 x0 ("5" "6" "7" "8")
}
tile! {
    /// 7 pixels by 3 vectors.
    tile_7x3, seven, "3", (0 "29" 1 "30" 2 "31"),
    0 x0 ("7" "8" "9")
    1 x1 ("10" "11" "12")
    2 x2 ("13" "14" "15")
    3 x3 ("16" "17" "18")
    4 x4 ("19" "20" "21")
    5 x5 ("22" "23" "24")
    6 x6 ("25" "26" "27")
}
tile! {
    /// 6 pixels by 3 vectors.
    tile_6x3, six, "3", (0 "29" 1 "30" 2 "31"),
    0 x0 ("7" "8" "9")
    1 x1 ("10" "11" "12")
    2 x2 ("13" "14" "15")
    3 x3 ("16" "17" "18")
    4 x4 ("19" "20" "21")
    5 x5 ("22" "23" "24")
}
tile! {
    /// 8 pixels by 2 vectors.
    tile_8x2, eight, "2", (0 "30" 1 "31"),
    0 x0 ("8" "9")
    1 x1 ("10" "11")
    2 x2 ("12" "13")
    3 x3 ("14" "15")
    4 x4 ("16" "17")
    5 x5 ("18" "19")
    6 x6 ("20" "21")
    7 x7 ("22" "23")
}
tile! {
    /// 8 pixels by 1 vector.
    tile_8x1, narrow, "1", (0 "31"),
    0 x0 ("8")
    1 x1 ("9")
    2 x2 ("10")
    3 x3 ("11")
    4 x4 ("12")
    5 x5 ("13")
    6 x6 ("14")
    7 x7 ("15")
}
