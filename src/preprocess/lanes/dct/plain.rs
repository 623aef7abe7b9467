//! In plain Rust: the reference for the others.

use super::super::plain::Plain;
use super::{Eights, FRACTION_BITS, LANES};

type Eight = [i16; LANES];

impl Eights for Plain {
    type Eight = Eight;

    #[inline(always)]
    fn eight(self, values: &[i16; LANES]) -> Eight {
        *values
    }

    #[inline(always)]
    fn plus(self, a: Eight, b: Eight) -> Eight {
        std::array::from_fn(|i| a[i].saturating_add(b[i]))
    }

    #[inline(always)]
    fn minus(self, a: Eight, b: Eight) -> Eight {
        std::array::from_fn(|i| a[i].saturating_sub(b[i]))
    }

    #[inline(always)]
    fn part_of(self, values: Eight, part: i16) -> Eight {
        values.map(|value| ((i32::from(value) * i32::from(part) + (1 << 14)) >> 15) as i16)
    }

    #[inline(always)]
    fn transposed(self, rows: [Eight; LANES]) -> [Eight; LANES] {
        std::array::from_fn(|x| rows.map(|row| row[x]))
    }

    #[inline(always)]
    fn pixels(self, values: Eight) -> [u8; LANES] {
        const HALF: i32 = 1 << (FRACTION_BITS - 1);
        values.map(|value| ((i32::from(value) + HALF) >> FRACTION_BITS).clamp(0, 255) as u8)
    }
}
