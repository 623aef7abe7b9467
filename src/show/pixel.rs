//! Pixel formats of a panel's memory, and the conversion of RGB rows to them.

use std::ops::Range;

/// One colour's bits in a pixel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Field {
    /// Position of its lowest bit.
    pub offset: u32,
    /// Number of bits; 0 if the pixel lacks this colour.
    pub length: u32,
}

impl Field {
    /// An 8-bit value in this field: truncated to fewer bits, or expanded to more.
    fn put(self, value: u8) -> u32 {
        let value = u32::from(value);
        let scaled = match self.length {
            0 => return 0,
            1..=8 => value >> (8 - self.length),
            9..=16 => (value << (self.length - 8)) | (value >> (16 - self.length)),
            _ => return 0,
        };
        scaled << self.offset
    }
}

/// A pixel format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// One bit per pixel.
    Mono {
        /// Whether the leftmost pixel is the byte's highest bit; otherwise its lowest.
        left_is_high: bool,
        /// Whether a set bit is white; otherwise black.
        set_is_white: bool,
    },
    /// One byte per pixel, luma.
    Grey,
    /// Bits of red, green, blue in a little-endian word.
    Fields {
        /// Bytes per pixel, 1..=4.
        bytes: usize,
        /// Red.
        red: Field,
        /// Green.
        green: Field,
        /// Blue.
        blue: Field,
        /// Opacity, all ones if there is such a field.
        opacity: Field,
    },
}

impl Packing {
    /// Number of bytes in a row of this many pixels.
    pub fn row_bytes(self, width_px: usize) -> usize {
        match self {
            Self::Mono { .. } => width_px.div_ceil(8),
            Self::Grey => width_px,
            Self::Fields { bytes, .. } => width_px * bytes,
        }
    }

    /// The number of pixels in this many bytes of a row.
    pub fn pixels_of_bytes(self, bytes: Range<usize>) -> Range<usize> {
        match self {
            Self::Mono { .. } => bytes.start * 8..bytes.end * 8,
            Self::Grey => bytes,
            Self::Fields { bytes: each, .. } => bytes.start / each..bytes.end.div_ceil(each),
        }
    }

    /// Converts a row of packed R, G, B into `out`, which is [`Self::row_bytes`] long.
    pub fn pack(self, rgb: &[u8], out: &mut [u8]) {
        let pixels = rgb.chunks_exact(3);
        match self {
            Self::Mono {
                left_is_high,
                set_is_white,
            } => {
                out.fill(0);
                for (x, pixel) in pixels.enumerate() {
                    if (luma(pixel) >= 128) == set_is_white {
                        out[x / 8] |= if left_is_high {
                            0x80 >> (x % 8)
                        } else {
                            1 << (x % 8)
                        };
                    }
                }
            }
            Self::Grey => {
                for (to, pixel) in out.iter_mut().zip(pixels) {
                    *to = luma(pixel);
                }
            }
            Self::Fields {
                bytes,
                red,
                green,
                blue,
                opacity,
            } => {
                let opaque = opacity.put(255);
                for (to, pixel) in out.chunks_exact_mut(bytes).zip(pixels) {
                    let word =
                        red.put(pixel[0]) | green.put(pixel[1]) | blue.put(pixel[2]) | opaque;
                    to.copy_from_slice(&word.to_le_bytes()[..bytes]);
                }
            }
        }
    }
}

/// BT.601 luma in 8-bit fixed point; white is 255.
pub(super) fn luma(pixel: &[u8]) -> u8 {
    let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
    ((r * 77 + g * 150 + b * 29) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: usize, [red, green, blue, opacity]: [(u32, u32); 4]) -> Packing {
        let field = |(offset, length)| Field { offset, length };
        Packing::Fields {
            bytes,
            red: field(red),
            green: field(green),
            blue: field(blue),
            opacity: field(opacity),
        }
    }

    fn packed(packing: Packing, rgb: &[u8]) -> Vec<u8> {
        let mut out = vec![0xee; packing.row_bytes(rgb.len() / 3)];
        packing.pack(rgb, &mut out);
        out
    }

    /// Red, green, blue, and a mixed colour.
    const RGB: [u8; 12] = [255, 0, 0, 0, 255, 0, 0, 0, 255, 0x12, 0x9a, 0xfe];

    #[test]
    fn words_of_all_widths() {
        let rgb565 = fields(2, [(11, 5), (5, 6), (0, 5), (0, 0)]);
        assert_eq!(
            packed(rgb565, &RGB),
            [0, 0xf8, 0xe0, 0x07, 0x1f, 0, 0xdf, 0x14]
        );
        let bgr565 = fields(2, [(0, 5), (5, 6), (11, 5), (0, 0)]);
        assert_eq!(packed(bgr565, &RGB[..3]), [0x1f, 0]);
        let xrgb1555 = fields(2, [(10, 5), (5, 5), (0, 5), (15, 1)]);
        assert_eq!(packed(xrgb1555, &RGB[..6]), [0, 0xfc, 0xe0, 0x83]);
        let rgb24 = fields(3, [(16, 8), (8, 8), (0, 8), (0, 0)]);
        assert_eq!(packed(rgb24, &RGB[6..]), [255, 0, 0, 0xfe, 0x9a, 0x12]);
        let bgr24 = fields(3, [(0, 8), (8, 8), (16, 8), (0, 0)]);
        assert_eq!(packed(bgr24, &RGB[9..]), [0x12, 0x9a, 0xfe]);
        let xrgb8888 = fields(4, [(16, 8), (8, 8), (0, 8), (0, 0)]);
        assert_eq!(packed(xrgb8888, &RGB[9..]), [0xfe, 0x9a, 0x12, 0]);
        let argb8888 = fields(4, [(16, 8), (8, 8), (0, 8), (24, 8)]);
        assert_eq!(packed(argb8888, &RGB[9..]), [0xfe, 0x9a, 0x12, 0xff]);
        let rgba8888 = fields(4, [(24, 8), (16, 8), (8, 8), (0, 8)]);
        assert_eq!(packed(rgba8888, &RGB[9..]), [0xff, 0xfe, 0x9a, 0x12]);
        let xrgb2101010 = fields(4, [(20, 10), (10, 10), (0, 10), (0, 0)]);
        assert_eq!(
            packed(xrgb2101010, &RGB[..3]),
            (0x3ff_u32 << 20).to_le_bytes()
        );
        let rgb332 = fields(1, [(5, 3), (2, 3), (0, 2), (0, 0)]);
        assert_eq!(packed(rgb332, &RGB), [0xe0, 0x1c, 0x03, 0x13]);
    }

    #[test]
    fn grey_and_mono() {
        let rgb: Vec<u8> = [255, 0, 200, 10, 127, 128, 255, 0, 255]
            .into_iter()
            .flat_map(|v| [v; 3])
            .collect();
        assert_eq!(
            packed(Packing::Grey, &rgb),
            [255, 0, 200, 10, 127, 128, 255, 0, 255]
        );
        for (left_is_high, set_is_white, bytes) in [
            (true, true, [0b1010_0110, 0x80]),
            (false, true, [0b0110_0101, 0x01]),
            (true, false, [0b0101_1001, 0x00]),
        ] {
            let mono = Packing::Mono {
                left_is_high,
                set_is_white,
            };
            assert_eq!(packed(mono, &rgb), bytes);
        }
    }
}
