//! Light of a picture's pixels: from bytes as a sensor's driver delivers them to fractions of full scale.

use super::meter;
use crate::frame::RawTuning;
use crate::frame::{BayerFormat, Geometry, GreyDepth, PixelFormat};

/// Computes how bright each pixel of a picture is from its bytes.
#[derive(Debug, Clone, Copy)]
pub(in crate::camera::v4l2) struct Light {
    geometry: Geometry,
    samples: Samples,
    /// The value at black, and the range from there to the largest value.
    black: f32,
    range: f32,
}

/// How the values are packed in a row.
#[derive(Debug, Clone, Copy)]
enum Samples {
    Bytes,
    Grey(GreyDepth),
    Bayer(BayerFormat),
}

impl Light {
    /// `None` for pictures that do not come straight from a sensor: their values are not proportional to light.
    pub fn of(geometry: Geometry, raw: RawTuning) -> Option<Self> {
        // Less than one square of the mosaic cannot be measured.
        if geometry.width_px.min(geometry.height_px) < 2 {
            return None;
        }
        let (samples, bits, black_level) = match geometry.format {
            // Whether the driver has already subtracted the black level is unknown.
            PixelFormat::Grey => (Samples::Bytes, 8, 0),
            // The upper eight bits are precise enough.
            PixelFormat::DeepGrey(depth) => (Samples::Grey(depth), 8, 0),
            PixelFormat::Bayer(bayer) => {
                (Samples::Bayer(bayer), bayer.depth.bits(), raw.black_level)
            }
            _ => return None,
        };
        let full = ((1u32 << bits) - 1) as f32;
        let black = full * f32::from(black_level) / 65536.0;
        Some(Self {
            geometry,
            samples,
            black,
            range: full - black,
        })
    }

    /// The pictures that it is for.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The light of the pixel at `x`, `y`: 0 at black, 1 at the largest value. Pixels outside the bytes are black.
    fn at(&self, bytes: &[u8], x: u32, y: u32) -> f32 {
        let stride = self.geometry.stride_bytes as usize;
        let row = bytes.get(y as usize * stride..).unwrap_or_default();
        let number = match self.samples {
            Samples::Bytes => row.get(x as usize).copied().map(u16::from),
            Samples::Grey(depth) => depth.upper_bits_at(row, x as usize).map(u16::from),
            // The last row may lack its padding.
            Samples::Bayer(bayer) => (row.len() as u64
                >= bayer.depth.row_bytes(self.geometry.width_px))
            .then(|| bayer.row_sample(row, x as usize)),
        };
        number.map_or(0.0, |number| (f32::from(number) - self.black) / self.range)
    }

    pub(super) fn read(&self, bytes: &[u8]) -> meter::Reading {
        let Geometry {
            width_px,
            height_px,
            ..
        } = self.geometry;
        meter::read(width_px, height_px, |x, y| self.at(bytes, x, y))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::frame::BayerDepth;

    #[test]
    fn only_raw_sensor_pictures_are_measured() {
        for format in PixelFormat::ALL {
            let light = Light::of(Geometry::packed(format, 64, 48), RawTuning::default());
            let is_straight = format.is_grey() || matches!(format, PixelFormat::Bayer(_));
            assert_eq!(light.is_some(), is_straight, "{format}");
        }
    }

    #[test]
    fn every_raw_format_has_black_and_white_and_what_lies_between() {
        let raw = RawTuning {
            black_level: 4096,
            ..RawTuning::default()
        };
        for bayer in BayerFormat::ALL {
            let mut geometry = Geometry::packed(PixelFormat::Bayer(bayer), 64, 48);
            geometry.stride_bytes += 7;
            let bytes = geometry.picture_bytes().unwrap();
            let light = Light::of(geometry, raw).unwrap();
            let mean = |byte: u8| light.read(&vec![byte; bytes]).mean;
            assert!((mean(0xff) - 1.0).abs() < 1e-4, "{bayer:?}");
            assert!(
                (mean(0) + 1.0 / 15.0).abs() < 1e-4,
                "{bayer:?}: below black"
            );
            // 0x44 in each byte is 4/15 of the range, except for the bits that unpacked samples do not have.
            let between = match bayer.depth {
                BayerDepth::Bits10 => f32::from(0x44u8) / 1023.0,
                BayerDepth::Bits12 => f32::from(0x444u16) / 4095.0,
                BayerDepth::Bits8 | BayerDepth::Packed10 | BayerDepth::Packed12 => 4.0 / 15.0,
            };
            let wanted = (between - 1.0 / 16.0) / (15.0 / 16.0);
            assert!(
                (mean(0x44) - wanted).abs() < 0.002,
                "{bayer:?}: {}",
                mean(0x44)
            );
            // A truncated picture reads as black and does not panic.
            assert!(light.read(&vec![0xff; bytes / 2]).mean < 0.6);
        }
    }
}
