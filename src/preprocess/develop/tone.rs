//! From sums of samples to sRGB: black level, white balance and the sensor's colour matrix in linear light, then the tone curve.
//!
//! Uses only integers, and rebuilds no table when the gains change: they are part of the matrix.

use crate::preprocess::lanes::{
    ColourTransform, LANES, LIGHT_BITS, LIGHT_FRACTION_BITS, Mosaic, SUM_BITS,
};

/// Levels of linear light, which are the indices of the curve. A step in the dark, where the curve is steepest, is less than half
/// an output level.
const LIGHTS: usize = 1 << LIGHT_BITS;

/// For sums of this many samples of each colour.
#[derive(Debug)]
pub(super) struct Tones {
    /// sRGB of linear light.
    curve: [u8; LIGHTS],
    transform: ColourTransform,
    scales: [Scale; 3],
    matrix: [[f32; 3]; 3],
}

/// How a sum of `SUM_BITS` is interpreted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    /// The sum of black.
    pub black: f64,
    /// The range from there to the full sum.
    pub range: f64,
    /// Left shift of the sum.
    pub up: u32,
}

impl Scale {
    /// For sums of `count` samples of `bits` bits; `black` is a fraction of a full sample.
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
    /// Scales, gains and the columns of the matrix are in the order of the sums; the rows of the matrix are for red, green and
    /// blue of the result, and each sums to 1.
    pub fn new(scales: [Scale; 3], matrix: [[f32; 3]; 3], gains: [f32; 3]) -> Self {
        let transform = ColourTransform {
            up: scales.map(|scale| scale.up),
            black: scales.map(|scale| scale.black.round() as u16),
            ..ColourTransform::default()
        };
        let mut tones = Self {
            curve: curve(),
            transform,
            scales,
            matrix,
        };
        tones.set(gains);
        tones
    }

    /// Changes the gains, each at least 1.
    pub fn set(&mut self, gains: [f32; 3]) {
        let transform = &mut self.transform;
        let one = (LIGHTS - 1) as f64 * f64::from(1_u32 << LIGHT_FRACTION_BITS);
        for (c, (scale, gain)) in self.scales.iter().zip(gains).enumerate() {
            let white = scale.range / f64::from(gain);
            transform.white[c] = white.round() as u16;
            transform.lift[c] = SUM_BITS - transform.white[c].max(1).ilog2() - 1;
            let lifted = white * f64::from(1_u32 << transform.lift[c]);
            for (factors, parts) in transform.factors.iter_mut().zip(self.matrix) {
                factors[c] = (f64::from(parts[c]) / lifted * one).round() as i16;
            }
        }
    }

    /// Eight pixels' R, G, B from their three sums.
    #[inline(always)]
    pub fn pixels<V: Mosaic>(&self, vectors: V, sums: [V::Samples; 3]) -> [[u8; 3]; LANES] {
        let light = vectors.linear_light(sums, &self.transform);
        let light = light.map(|light| vectors.words_of(light));
        std::array::from_fn(|i| {
            // Always less than `LIGHTS`, which the compiler cannot know.
            light.map(|words| self.curve[(words[i / 4] >> (16 * (i % 4))) as usize % LIGHTS])
        })
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
    use crate::preprocess::lanes::Plain;

    /// One pixel.
    fn pixel(tones: &Tones, sums: [u16; 3]) -> [u8; 3] {
        tones.pixels(Plain, sums.map(|sum| [sum; LANES]))[0]
    }

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
                    let full = ((1 << bits) - 1) * count as u16;
                    assert_eq!(pixel(&tones, [full; 3]), [255; 3], "{gains:?}");
                    assert_eq!(pixel(&tones, [0; 3]), [0; 3], "{gains:?}");
                    let dark = (f64::from(full) * f64::from(black)).round() as u16;
                    let noise = pixel(&tones, [dark; 3]);
                    assert!(noise.into_iter().all(|v| v < 30), "{noise:?}");
                    // No sum overflows, which would panic here.
                    for corner in 0..8 {
                        pixel(&tones, [0, 1, 2].map(|c| full * (corner >> c & 1)));
                    }
                }
            }
        }
    }

    #[test]
    fn known_light_has_the_standards_values() {
        let tones = Tones::new([Scale::of(12, 1, 0.0); 3], PLAIN, [1.0, 2.0, 4.0]);
        // 18 % grey is 118, a quarter 137, half 188.
        assert_eq!(pixel(&tones, [737, 1024, 512]), [118, 188, 188]);
        assert_eq!(pixel(&tones, [1024, 512, 256]), [137, 137, 137]);
        // Grey stays grey under a matrix.
        let tones = Tones::new([Scale::of(12, 1, 0.0); 3], SENSOR, [1.0, 2.0, 4.0]);
        assert_eq!(pixel(&tones, [1024, 512, 256]), [137, 137, 137]);
    }
}
