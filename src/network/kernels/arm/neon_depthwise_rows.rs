//! Calls the rows of [`super::neon_depthwise`]'s 3x3 kernels, which are in assembly (`neon_depthwise_rows.s`): they need every
//! register, and CPUs that execute instructions in order need them in the right one.

use super::neon_q8_tiles::Limits;
use std::arch::asm;

/// A row's outputs of 16 channels. The assembly knows the fields' places.
#[repr(C)]
struct Row {
    /// The first output's window: a column's three values, then the next column's.
    window: [[*const u8; 3]; 3],
    /// The block of `neon_depthwise`.
    block: *const u8,
    limits: *const Limits,
    /// How often the next column is in the picture, and how often it is padding after that; outputs in all.
    inside: usize,
    outside: usize,
    padding: *const u8,
    /// Bytes from the next column of an output to that of the output after it.
    step: usize,
    /// Bytes from a column to the one after it.
    pitch: usize,
    /// One output before the first.
    y: *mut u8,
    y_pitch: usize,
    /// The column that the second output needs first.
    next: [*const u8; 3],
}

/// Where a row's inputs are and its outputs go, from the channels of this block.
pub(super) struct Place {
    /// First byte of each input row.
    pub(super) rows: [*const u8; 3],
    /// Columns of the picture, and those of padding before them (at most 2).
    pub(super) columns: usize,
    pub(super) left: usize,
    /// Outputs.
    pub(super) count: usize,
    /// Bytes from pixel to pixel, of inputs and outputs.
    pub(super) pitch: usize,
    /// First output.
    pub(super) y: *mut u8,
}

/// Computes 16 channels of a row of a 3x3 kernel with stride 1 or 2 whose pairs of products fit in 16 bits, and returns the number
/// of outputs made: all, or with stride 2 those before the first one whose last column is not in the picture.
///
/// # Safety
/// The contract of `Kernels`; the block is as `neon_depthwise` packs it.
#[inline(always)]
pub(super) unsafe fn run(
    place: &Place,
    stride: usize,
    block: *const u8,
    limits: &Limits,
    pad: u8,
) -> usize {
    let padding = [pad; 16];
    let &Place {
        rows,
        columns,
        left,
        count,
        pitch,
        y,
    } = place;
    let column = |i: usize| {
        // A column left of the picture has a large number.
        let i = i.wrapping_sub(left);
        rows.map(|row| {
            if i < columns {
                // SAFETY: the column is in the picture.
                unsafe { row.add(i * pitch) }
            } else {
                padding.as_ptr()
            }
        })
    };
    // After the first output, how many have their new columns in the picture.
    let inside = ((columns + left).saturating_sub(3) / stride).min(count - 1);
    let outputs = if stride == 1 { count } else { inside + 1 };
    let mut row = Row {
        window: [column(0), column(1), column(2)],
        block,
        limits,
        inside,
        outside: outputs - inside,
        padding: padding.as_ptr(),
        step: stride * pitch,
        pitch,
        y: y.wrapping_sub(pitch),
        y_pitch: pitch,
        next: column(3),
    };
    if inside == 0 {
        (row.inside, row.outside) = (1, outputs - 1);
        row.pitch = 0;
        row.next = [padding.as_ptr(); 3];
    }
    let which = (stride - 1) * 2 + usize::from(limits.upper);
    // SAFETY: the caller's contract is the same; all columns are in the picture or padding.
    unsafe {
        asm!(
            include_str!("neon_depthwise_rows.s"),
            inout("x0") &raw const row => _, inout("x1") which => _,
            out("x2") _, out("x3") _, out("x4") _, out("x5") _, out("x6") _, out("x7") _, out("x8") _, out("x9") _,
            out("x10") _, out("x11") _, out("x12") _, out("x13") _, out("x14") _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _,
            out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _,
            out("v22") _, out("v23") _, out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _,
            out("v29") _, out("v30") _, out("v31") _,
            options(raw, nostack),
        );
    }
    outputs
}
