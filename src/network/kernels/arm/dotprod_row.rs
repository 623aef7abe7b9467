//! What the loops of depthwise convolution with NEON dot products share: a row's block of 16 channels.

use crate::network::kernels::DepthwiseQ8;
use std::arch::aarch64::*;
use std::arch::asm;

/// Bytes of a block before the weights.
pub(super) const HEAD: usize = 320;

/// A kernel column's inputs for 16 channels, interleaved.
pub(super) type Column = [int8x16_t; 4];

/// 16 channels of a row.
pub(super) struct Block<'a> {
    pub conv: &'a DepthwiseQ8,
    pub rows: &'a [*const u8],
    pub packed: *const u8,
    pub c: usize,
    /// Channels left, from the block's first one.
    pub left: usize,
    pub y: *mut u8,
}

/// `sum + x . w` for 4 channels.
///
/// # Safety
/// The CPU has dot products.
#[inline(always)]
pub(super) unsafe fn dot(mut sum: int32x4_t, x: int8x16_t, w: int8x16_t) -> int32x4_t {
    // SAFETY: the CPU has dot products.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {s:v}.4s, {x:v}.16b, {w:v}.16b",
            s = inout(vreg) sum,
            x = in(vreg) x,
            w = in(vreg) w,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}
