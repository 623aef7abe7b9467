//! Calls the tiles of [`super::neon_q8`], which are in assembly (`neon_q8_tiles.s`): they need every register, and CPUs that execute
//! instructions in order need them in the right one.

use crate::network::graph::requantise::Requantise;
use std::arch::asm;

/// The tiles of a call, all of the same size. The assembly knows the fields' places.
#[repr(C)]
pub(super) struct Tiles {
    /// First byte of the first pixel's window.
    pub(super) x: *const u8,
    /// Bytes from pixel to pixel.
    pub(super) x_pitch: usize,
    /// First byte of its output.
    pub(super) y: *mut u8,
    /// Bytes from output to output.
    pub(super) y_pitch: usize,
    /// The panel: biases, then multipliers.
    pub(super) panel: *const u8,
    /// Its weights.
    pub(super) weights: *const u8,
    /// Number of tiles.
    pub(super) count: usize,
    /// Kinds of all steps, with a zero after each run's.
    pub(super) kinds: *const u8,
    /// Number of runs.
    pub(super) runs: usize,
    /// Their offsets.
    pub(super) offsets: *const usize,
    /// How sums end.
    pub(super) limits: *const Limits,
    /// Bytes from tile to tile.
    pub(super) tile_pitch: usize,
}

/// The last step of a layer, in vectors.
#[repr(C, align(16))]
pub(super) struct Limits {
    high: [i8; 16],
    low: [i8; 16],
    zero: [i16; 8],
    /// Zero point -128 and no lower limit but a byte's.
    pub(super) upper: bool,
}

impl Limits {
    pub(super) fn new(end: &Requantise) -> Self {
        let (low, high) = (end.low as i32 + end.zero, end.high as i32 + end.zero);
        Self {
            high: [high as i8; 16],
            low: [low as i8; 16],
            zero: [end.zero as i16; 8],
            upper: end.zero == -128 && low == -128,
        }
    }
}

/// A step of one pair of values.
pub(super) const SINGLE: u8 = 1;
/// A step of two pairs, whose products are added in 16 bits.
pub(super) const DOUBLE: u8 = 2;
/// A step of four pairs, whose products are added in 16 bits.
pub(super) const QUAD: u8 = 4;

/// Bytes behind all panels that are read (without effect).
pub(super) const AHEAD: usize = 64;

/// The most pixels of a tile.
pub(super) const PIXELS: usize = 4;

/// Computes tiles of `pixels` pixels (1 to 4; 1 or 4 if `vectors` is 1) by `vectors` (1 or 2) times 8 channels.
///
/// # Safety
/// The contract of `Kernels` for the pixels of these tiles; the panel is as `neon_q8` packs it, with [`AHEAD`] bytes behind it.
#[inline(always)]
pub(super) unsafe fn run(tiles: &Tiles, limits: &Limits, pixels: usize, vectors: usize) {
    let size = if vectors == 2 {
        pixels - 1
    } else {
        4 + usize::from(pixels == PIXELS)
    };
    let entry = size + if limits.upper { 6 } else { 0 };
    // SAFETY: the caller's contract is the same; `entry` is in the table of branches.
    unsafe {
        asm!(
            include_str!("neon_q8_order.s"),
            include_str!("neon_q8_steps.s"),
            include_str!("neon_q8_tiles.s"),
            inout("x0") tiles => _, inout("x1") entry => _,
            out("x2") _, out("x3") _, out("x4") _, out("x5") _, out("x6") _, out("x7") _, out("x8") _, out("x9") _,
            out("x10") _, out("x11") _, out("x12") _, out("x13") _, out("x14") _, out("x15") _, out("x16") _,
            out("x17") _, out("x20") _, out("x21") _, out("x22") _, out("x23") _, out("x24") _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _,
            out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _,
            out("v22") _, out("v23") _, out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _,
            out("v29") _, out("v30") _, out("v31") _,
            options(raw, nostack),
        );
    }
}
