//! A table of 256 bytes with NEON's `tbl`, 16 bytes at a time: four tables of 64, each of which leaves the bytes alone that are not
//! in its range.

use crate::network::graph::tables::Table;
use std::arch::aarch64::*;

/// # Safety
/// The CPU has NEON.
#[target_feature(enable = "neon")]
pub(super) unsafe fn look_up(table: &Table, y: &mut [u8]) {
    // SAFETY: 64 bytes from each quarter of the table.
    let quarters: [uint8x16x4_t; 4] =
        std::array::from_fn(|i| unsafe { vld1q_u8_x4(table.as_ptr().add(64 * i)) });
    let next = vdupq_n_u8(64);
    let (whole, rest) = y.as_chunks_mut::<16>();
    for y in whole {
        // SAFETY: 16 bytes.
        unsafe {
            let x = vld1q_u8(y.as_ptr());
            let mut found = vqtbl4q_u8(quarters[0], x);
            let x = vsubq_u8(x, next);
            found = vqtbx4q_u8(found, quarters[1], x);
            let x = vsubq_u8(x, next);
            found = vqtbx4q_u8(found, quarters[2], x);
            let x = vsubq_u8(x, next);
            found = vqtbx4q_u8(found, quarters[3], x);
            vst1q_u8(y.as_mut_ptr(), found);
        }
    }
    rest.iter_mut().for_each(|y| *y = table[usize::from(*y)]);
}
