//! Numbers of half precision (IEEE 754 binary16), stored as `u16`: 11 of their 16 bits are significant.

/// The largest finite number.
pub const MAX: f32 = 65504.0;

/// Values that are converted at once, for what is computed in single precision.
pub const AT_ONCE: usize = 64;

/// The number with these bits.
pub fn to_f32(h: u16) -> f32 {
    /// 2^112, the ratio of the two formats' smallest normal numbers.
    const RATIO: f32 = f32::from_bits(0x7780_0000);
    let sign = u32::from(h & 0x8000) << 16;
    let bits = u32::from(h & 0x7fff) << 13;
    let size = if h & 0x7c00 == 0x7c00 {
        f32::from_bits(bits | 0x7f80_0000)
    } else {
        // Exact, for subnormal numbers too.
        f32::from_bits(bits) * RATIO
    };
    f32::from_bits(size.to_bits() | sign)
}

/// The nearest number, of two the even one; infinity from 65520.
pub fn of_f32(x: f32) -> u16 {
    let sign = (x.to_bits() >> 16) as u16 & 0x8000;
    let bits = x.to_bits() & 0x7fff_ffff;
    let size = if bits > 0x7f80_0000 {
        0x7e00
    } else if bits >= 0x477f_f000 {
        0x7c00
    } else if bits < 0x3880_0000 {
        // Below 2^-14. Floats from 0.5 have steps of 2^-24, as have these numbers.
        (f32::from_bits(bits) + 0.5).to_bits() - 0x3f00_0000
    } else {
        (bits - 0x3800_0000 + 0xfff + (bits >> 13 & 1)) >> 13
    };
    sign | size as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back_and_others_become_the_nearest() {
        for bits in 0..=u16::MAX {
            let number = to_f32(bits);
            if number.is_nan() {
                assert_eq!(of_f32(number) & 0x7fff, 0x7e00);
                continue;
            }
            assert_eq!(of_f32(number), bits);
            let next = to_f32(bits.wrapping_add(1));
            if bits & 0x7fff >= 0x7bff || next.is_nan() {
                continue;
            }
            // Exactly between two numbers the even one is taken.
            let middle = (number + next) / 2.0;
            let even = bits + (bits & 1);
            assert_eq!(of_f32(middle), even, "{middle}");
            let towards = |to: f32| {
                f32::from_bits(if to.abs() > middle.abs() {
                    middle.to_bits() + 1
                } else {
                    middle.to_bits() - 1
                })
            };
            assert_eq!(of_f32(towards(next)), bits + 1);
            assert_eq!(of_f32(towards(number)), bits);
        }
        assert_eq!(
            (to_f32(0x3c00), to_f32(0xc000), to_f32(0x7bff)),
            (1.0, -2.0, MAX)
        );
        assert_eq!(
            (to_f32(0x0001), to_f32(0x3555)),
            (5.960_464_5e-8, 0.333_251_95)
        );
        assert_eq!(
            (of_f32(65519.9), of_f32(65520.0), of_f32(-1e30)),
            (0x7bff, 0x7c00, 0xfc00)
        );
        assert_eq!((of_f32(0.0), of_f32(-0.0), of_f32(1e-30)), (0, 0x8000, 0));
    }
}
