//! With NEON.

use super::super::neon::{Neon, load, transposed};
use super::{Eights, FRACTION_BITS, LANES};
use core::arch::aarch64::*;

impl Eights for Neon {
    type Eight = int16x8_t;

    #[inline(always)]
    fn eight(self, values: &[i16; LANES]) -> int16x8_t {
        load(values)
    }

    #[inline(always)]
    fn plus(self, a: int16x8_t, b: int16x8_t) -> int16x8_t {
        // SAFETY: NEON is part of the target.
        unsafe { vqaddq_s16(a, b) }
    }

    #[inline(always)]
    fn minus(self, a: int16x8_t, b: int16x8_t) -> int16x8_t {
        // SAFETY: NEON is part of the target.
        unsafe { vqsubq_s16(a, b) }
    }

    #[inline(always)]
    fn part_of(self, values: int16x8_t, part: i16) -> int16x8_t {
        // SAFETY: NEON is part of the target.
        unsafe { vqrdmulhq_n_s16(values, part) }
    }

    #[inline(always)]
    fn transposed(self, rows: [int16x8_t; LANES]) -> [int16x8_t; LANES] {
        // SAFETY: NEON is part of the target.
        unsafe { transposed(rows) }
    }

    #[inline(always)]
    fn pixels(self, values: int16x8_t) -> [u8; LANES] {
        let mut bytes = [0; LANES];
        // SAFETY: the array has room for the 8 bytes that are stored; NEON is part of the target.
        unsafe { vst1_u8(bytes.as_mut_ptr(), vqrshrun_n_s16::<FRACTION_BITS>(values)) };
        bytes
    }
}
