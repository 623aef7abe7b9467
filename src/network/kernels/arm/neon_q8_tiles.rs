//! Calls the tiles of [`super::neon_q8`], which are in assembly (`neon_q8_tiles.s`): they need every register, and CPUs that execute
//! instructions in order need them in the right one.

use crate::network::graph::requantise::Requantise;
use std::arch::naked_asm;

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
    upper: bool,
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
pub(super) unsafe fn run(tiles: &Tiles, pixels: usize, vectors: usize) {
    // SAFETY: `limits` is valid.
    let upper = unsafe { (*tiles.limits).upper };
    let size = if vectors == 2 {
        pixels - 1
    } else {
        4 + usize::from(pixels == PIXELS)
    };
    // SAFETY: the caller's contract is the same.
    unsafe { assembly(tiles, size + if upper { 6 } else { 0 }) }
}

/// `which` is an entry of the table of branches.
///
/// # Safety
/// As [`run`].
#[unsafe(naked)]
unsafe extern "C" fn assembly(tiles: &Tiles, which: usize) {
    naked_asm!(include_str!("neon_q8_tiles.s"), options(raw))
}
