//! From sums of samples to sRGB: black level, white balance and the sensor's colour matrix in linear light, then the tone curve.
//!
//! Nothing but whole numbers, and nothing to fill anew when the gains change: they are a part of the matrix.

/// Bits of linear light, an index of the curve. A step in the dark, where the curve is steepest, is less than half a level.
const LIGHT_BITS: u32 = 13;
const LIGHTS: usize = 1 << LIGHT_BITS;
/// Sums are shifted up to so many bits, so that what is taken from them and cut of them is exact enough.
const SUM_BITS: u32 = 15;
/// Fraction bits of the factors.
const FRACTION_BITS: u32 = 13;

/// For sums of so many samples of each colour.
#[derive(Debug)]
pub(super) struct Tones {
    /// sRGB of linear light.
    curve: [u8; LIGHTS],
    /// How far the sums are shifted up.
    up: [u32; 3],
    /// What is then taken from them.
    black: [i32; 3],
    /// Sums without black are cut here, which is white, so that what is clipped in the sensor keeps no colour.
    white: [i32; 3],
    /// For red, green and blue of the result: the factors of the three sums.
    factors: [[i32; 3]; 3],
    scales: [Scale; 3],
    matrix: [[f32; 3]; 3],
}

/// What a sum of `SUM_BITS` means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    /// The sum without light.
    pub black: f64,
    /// From there to the full sum.
    pub range: f64,
    /// How far the sum is shifted up.
    pub up: u32,
}

impl Scale {
    /// For sums of `count` samples of `bits` bits; `black` is a part of a full sample.
    pub fn of(bits: u32, count: u32, black: f32) -> Self {
        let up = SUM_BITS - bits - count.ilog2();
        let full = f64::from((((1 << bits) - 1) * count) << up);
        let black = full * f64::from(black);
        Self {
            black,
            range: full - black,
            up,
        }
    }
}

impl Tones {
    /// For sums of these scales in the order R, G, B, and a sensor's matrix, whose rows add up to 1.
    pub fn new(scales: [Scale; 3], matrix: [[f32; 3]; 3], gains: [f32; 3]) -> Self {
        let mut tones = Self {
            curve: curve(),
            up: scales.map(|scale| scale.up),
            black: scales.map(|scale| scale.black.round() as i32),
            white: [0; 3],
            factors: [[0; 3]; 3],
            scales,
            matrix,
        };
        tones.set(gains);
        tones
    }

    /// Changes the gains, each at least 1.
    pub fn set(&mut self, gains: [f32; 3]) {
        let one = (LIGHTS - 1) as f64 * f64::from(1_u32 << FRACTION_BITS);
        for (c, (scale, gain)) in self.scales.iter().zip(gains).enumerate() {
            self.white[c] = (scale.range / f64::from(gain)).round() as i32;
        }
        for (row, result) in self.matrix.iter().enumerate() {
            for (c, (part, gain)) in result.iter().zip(gains).enumerate() {
                let factor = f64::from(*part) * f64::from(gain) / self.scales[c].range * one;
                self.factors[row][c] = factor.round() as i32;
            }
        }
    }

    /// A pixel's R, G, B from its three sums.
    #[inline(always)]
    pub fn pixel(&self, sums: [i32; 3]) -> [u8; 3] {
        // At most white, so that the products fit 32 bits.
        let light = |c: usize| {
            let light = (sums[c] << self.up[c]) - self.black[c];
            light.min(self.white[c]).max(0)
        };
        let light = [light(0), light(1), light(2)];
        let value = |row: usize| {
            let [r, g, b] = self.factors[row];
            let half = 1 << (FRACTION_BITS - 1);
            let sum = half + light[0] * r + light[1] * g + light[2] * b;
            self.curve[(sum >> FRACTION_BITS).clamp(0, LIGHTS as i32 - 1) as usize]
        };
        [value(0), value(1), value(2)]
    }
}

/// sRGB values of linear light (IEC 61966-2-1).
fn curve() -> [u8; LIGHTS] {
    std::array::from_fn(|i| {
        let light = i as f64 / (LIGHTS - 1) as f64;
        let value = if light <= 0.003_130_8 {
            light * 12.92
        } else {
            1.055 * light.powf(1.0 / 2.4) - 0.055
        };
        (value * 255.0).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: [[f32; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    const SENSOR: [[f32; 3]; 3] = [
        [2.18, -0.71, -0.47],
        [-0.7, 2.76, -1.06],
        [-0.25, -0.72, 1.97],
    ];

    #[test]
    fn full_is_white_and_black_is_black_under_all_gains() {
        for (bits, count, black) in [(8, 1, 0.0), (10, 4, 0.0625), (12, 8, 0.25), (12, 1, 0.02)] {
            for matrix in [PLAIN, SENSOR] {
                for gains in [
                    [1.0; 3],
                    [1.0, 1.7, 4.0],
                    [16.0, 1.0, 2.0],
                    [1.0, 4.0, 32.0],
                ] {
                    let scale = Scale::of(bits, count, black);
                    let tones = Tones::new([scale; 3], matrix, gains);
                    let full = ((1 << bits) - 1) * count as i32;
                    assert_eq!(tones.pixel([full; 3]), [255; 3], "{gains:?}");
                    assert_eq!(tones.pixel([0; 3]), [0; 3], "{gains:?}");
                    let dark = (f64::from(full) * f64::from(black)).round() as i32;
                    let noise = tones.pixel([dark; 3]);
                    assert!(noise.into_iter().all(|v| v < 30), "{noise:?}");
                    // No mixture overflows, which would panic here.
                    for corner in 0..8 {
                        tones.pixel([0, 1, 2].map(|c| full * (corner >> c & 1)));
                    }
                }
            }
        }
    }

    #[test]
    fn known_light_has_the_standards_values() {
        let tones = Tones::new([Scale::of(12, 1, 0.0); 3], PLAIN, [1.0, 2.0, 4.0]);
        // 18 % grey is 118, a quarter 137, half 188.
        assert_eq!(tones.pixel([737, 1024, 512]), [118, 188, 188]);
        assert_eq!(tones.pixel([1024, 512, 256]), [137, 137, 137]);
        // Grey stays grey under a matrix.
        let tones = Tones::new([Scale::of(12, 1, 0.0); 3], SENSOR, [1.0, 2.0, 4.0]);
        assert_eq!(tones.pixel([1024, 512, 256]), [137, 137, 137]);
    }
}
