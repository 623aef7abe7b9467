//! Raw pictures made of photos: what a sensor of a given response and black level would have delivered.

#![allow(dead_code, reason = "each of the tests uses a part of it")]

use eyelet::frame::{BayerDepth, BayerFormat, Geometry, PixelFormat};

/// A made-up sensor.
#[derive(Debug, Clone, Copy)]
pub struct Sensor {
    pub format: BayerFormat,
    /// Black level as a part of a full sample.
    pub black: f32,
    /// What it makes of equal light in red, green and blue; the reverse of the white balance's gains.
    pub response: [f32; 3],
    /// What each of its colours takes of the light of red, green and blue; rows add up to 1.
    pub mixing: [[f32; 3]; 3],
    /// Samples are off by up to so much, as a part of a full sample.
    pub noise: f32,
}

/// Colours that are those of sRGB.
pub const PURE: [[f32; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

impl Sensor {
    /// A pixel of the mosaic for each of the photo's, rows padded to 32 bytes as the Raspberry Pi's receiver does.
    pub fn mosaic(&self, photo: &image::RgbImage) -> (Geometry, Vec<u8>) {
        let (width, height) = photo.dimensions();
        let mut geometry = Geometry::packed(PixelFormat::Bayer(self.format), width, height);
        geometry.stride_bytes = geometry.stride_bytes.next_multiple_of(32);
        let light: Vec<f32> = (0..256_u16)
            .map(|value| linear(f32::from(value) / 255.0))
            .collect();
        let full = f32::from((1_u16 << self.format.depth.bits()) - 1);
        let mut random = fastrand::Rng::with_seed(1);
        let mut data = vec![0; geometry.stride_bytes as usize * height as usize];
        for (y, row) in data.chunks_mut(geometry.stride_bytes as usize).enumerate() {
            for x in 0..width as usize {
                let colour = self.format.order.colour_at(x, y);
                let pixel = photo.get_pixel(x as u32, y as u32).0;
                let parts = pixel.iter().zip(self.mixing[colour]);
                let light: f32 = parts
                    .map(|(&value, part)| part * light[usize::from(value)])
                    .sum();
                let light = light * self.response[colour];
                let noise = (random.f32() * 2.0 - 1.0) * self.noise;
                let sample = (self.black + (1.0 - self.black) * light + noise).clamp(0.0, 1.0);
                put(self.format.depth, row, x, (sample * full).round() as u16);
            }
        }
        (geometry, data)
    }
}

/// Linear light of an sRGB value.
fn linear(value: f32) -> f32 {
    if value <= 0.040_45 {
        value / 12.92
    } else {
        ((value + 0.055) / 1.055).powf(2.4)
    }
}

/// The mixing that a sensor's matrix undoes.
pub fn inverse(m: [[f32; 3]; 3]) -> [[f32; 3]; 3] {
    // By cofactors.
    let minor = |row: usize, column: usize| {
        let at = |r: usize, c: usize| m[(row + r) % 3][(column + c) % 3];
        at(1, 1) * at(2, 2) - at(1, 2) * at(2, 1)
    };
    let whole: f32 = (0..3).map(|c| m[0][c] * minor(0, c)).sum();
    std::array::from_fn(|row| std::array::from_fn(|column| minor(column, row) / whole))
}

/// Puts sample `x` in its place in a row of zeros.
fn put(depth: BayerDepth, row: &mut [u8], x: usize, sample: u16) {
    let [low, high] = sample.to_le_bytes();
    match depth {
        BayerDepth::Bits8 => row[x] = low,
        BayerDepth::Bits10 | BayerDepth::Bits12 => {
            row[2 * x..2 * x + 2].copy_from_slice(&[low, high])
        }
        BayerDepth::Packed10 => {
            let (group, i) = (x / 4 * 5, x % 4);
            row[group + i] = (sample >> 2) as u8;
            row[group + 4] |= (sample as u8 & 3) << (2 * i);
        }
        BayerDepth::Packed12 => {
            let (group, i) = (x / 2 * 3, x % 2);
            row[group + i] = (sample >> 4) as u8;
            row[group + 2] |= (sample as u8 & 15) << (4 * i);
        }
    }
}
