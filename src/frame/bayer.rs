//! Raw pictures of an image sensor: one colour per pixel, in a 2x2 mosaic (Bayer), at the sensor's own depth.
//!
//! Names and codes follow the kernel's documentation of pixel formats, "Raw Bayer Formats", and `videodev2.h`
//! (`V4L2_PIX_FMT_SRGGB8` to `V4L2_PIX_FMT_SBGGR12P`). The packed formats have the layout of MIPI CSI-2 (RAW10, RAW12).

use std::fmt;

/// The colours of the first two pixels of the first two rows, row by row. Mosaics repeat every two pixels and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BayerOrder {
    /// Red, green; green, blue.
    Rggb,
    /// Green, red; blue, green.
    Grbg,
    /// Green, blue; red, green.
    Gbrg,
    /// Blue, green; green, red.
    Bggr,
}

/// How the samples of a raw picture are stored in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BayerDepth {
    /// One byte per sample.
    Bits8,
    /// 10 bits in the low end of two bytes, the lower byte first.
    Bits10,
    /// 12 bits in the low end of two bytes, the lower byte first.
    Bits12,
    /// Four samples of 10 bits in five bytes: the upper eight bits of each, then the lower two of all, the first sample's lowest.
    Packed10,
    /// Two samples of 12 bits in three bytes: the upper eight bits of each, then the lower four of both, the first sample's lowest.
    Packed12,
}

/// A raw format: colour order and depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BayerFormat {
    /// The order of the colours.
    pub order: BayerOrder,
    /// How samples are stored.
    pub depth: BayerDepth,
}

impl BayerOrder {
    /// Every order.
    pub const ALL: [Self; 4] = [Self::Rggb, Self::Grbg, Self::Gbrg, Self::Bggr];

    /// Column and row, each 0 or 1, of the red pixel in the 2x2 mosaic; blue is diagonally opposite, the others are green.
    pub const fn red_at(self) -> (usize, usize) {
        match self {
            Self::Rggb => (0, 0),
            Self::Grbg => (1, 0),
            Self::Gbrg => (0, 1),
            Self::Bggr => (1, 1),
        }
    }

    /// 0 for red, 1 for green, 2 for blue: the colour of the pixel in this column and row.
    pub const fn colour_at(self, x_px: usize, y_px: usize) -> usize {
        let (red_x, red_y) = self.red_at();
        // Counts how many of the two coordinates match red's.
        2 - ((x_px % 2 == red_x) as usize + (y_px % 2 == red_y) as usize)
    }
}

impl BayerDepth {
    /// Every depth.
    pub const ALL: [Self; 5] = [
        Self::Bits8,
        Self::Bits10,
        Self::Bits12,
        Self::Packed10,
        Self::Packed12,
    ];

    /// Bits per sample.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Bits8 => 8,
            Self::Bits10 | Self::Packed10 => 10,
            Self::Bits12 | Self::Packed12 => 12,
        }
    }

    /// Bytes of a row without padding; packed rows end with a complete group.
    pub const fn row_bytes(self, width_px: u32) -> u64 {
        let width = width_px as u64;
        match self {
            Self::Bits8 => width,
            Self::Bits10 | Self::Bits12 => width * 2,
            Self::Packed10 => width.div_ceil(4) * 5,
            Self::Packed12 => width.div_ceil(2) * 3,
        }
    }
}

impl BayerFormat {
    /// Every format.
    pub const ALL: [Self; 20] = {
        let first = Self {
            order: BayerOrder::Rggb,
            depth: BayerDepth::Bits8,
        };
        let mut all = [first; 20];
        let mut i = 0;
        while i < all.len() {
            all[i] = Self {
                order: BayerOrder::ALL[i % 4],
                depth: BayerDepth::ALL[i / 4],
            };
            i += 1;
        }
        all
    };

    /// The kernel's code for the format (`V4L2_PIX_FMT_S*` in `videodev2.h`).
    pub const fn fourcc(self) -> [u8; 4] {
        use BayerDepth::{Bits8, Bits10, Bits12, Packed10, Packed12};
        use BayerOrder::{Bggr, Gbrg, Grbg, Rggb};
        *match (self.depth, self.order) {
            (Bits8, Rggb) => b"RGGB",
            (Bits8, Grbg) => b"GRBG",
            (Bits8, Gbrg) => b"GBRG",
            (Bits8, Bggr) => b"BA81",
            (Bits10, Rggb) => b"RG10",
            (Bits10, Grbg) => b"BA10",
            (Bits10, Gbrg) => b"GB10",
            (Bits10, Bggr) => b"BG10",
            (Bits12, Rggb) => b"RG12",
            (Bits12, Grbg) => b"BA12",
            (Bits12, Gbrg) => b"GB12",
            (Bits12, Bggr) => b"BG12",
            (Packed10, Rggb) => b"pRAA",
            (Packed10, Grbg) => b"pgAA",
            (Packed10, Gbrg) => b"pGAA",
            (Packed10, Bggr) => b"pBAA",
            (Packed12, Rggb) => b"pRCC",
            (Packed12, Grbg) => b"pgCC",
            (Packed12, Gbrg) => b"pGCC",
            (Packed12, Bggr) => b"pBCC",
        }
    }

    /// The kernel's name in lower case, as a board file has it: `srggb10p`.
    pub const fn name(self) -> &'static str {
        use BayerDepth::{Bits8, Bits10, Bits12, Packed10, Packed12};
        use BayerOrder::{Bggr, Gbrg, Grbg, Rggb};
        match (self.depth, self.order) {
            (Bits8, Rggb) => "srggb8",
            (Bits8, Grbg) => "sgrbg8",
            (Bits8, Gbrg) => "sgbrg8",
            (Bits8, Bggr) => "sbggr8",
            (Bits10, Rggb) => "srggb10",
            (Bits10, Grbg) => "sgrbg10",
            (Bits10, Gbrg) => "sgbrg10",
            (Bits10, Bggr) => "sbggr10",
            (Bits12, Rggb) => "srggb12",
            (Bits12, Grbg) => "sgrbg12",
            (Bits12, Gbrg) => "sgbrg12",
            (Bits12, Bggr) => "sbggr12",
            (Packed10, Rggb) => "srggb10p",
            (Packed10, Grbg) => "sgrbg10p",
            (Packed10, Gbrg) => "sgbrg10p",
            (Packed10, Bggr) => "sbggr10p",
            (Packed12, Rggb) => "srggb12p",
            (Packed12, Grbg) => "sgrbg12p",
            (Packed12, Gbrg) => "sgbrg12p",
            (Packed12, Bggr) => "sbggr12p",
        }
    }

    /// Sample `x_px` of a row, `0..1 << bits`. For single samples; whole rows have faster ways.
    ///
    /// # Panics
    /// When the row is too short.
    #[inline]
    pub fn row_sample(self, row: &[u8], x_px: usize) -> u16 {
        let byte = |at: usize| u16::from(row[at]);
        match self.depth {
            BayerDepth::Bits8 => byte(x_px),
            // Whatever a driver leaves in the unused bits is not light.
            BayerDepth::Bits10 | BayerDepth::Bits12 => {
                let bits = byte(2 * x_px) | byte(2 * x_px + 1) << 8;
                bits & ((1 << self.depth.bits()) - 1)
            }
            BayerDepth::Packed10 => {
                let (group, i) = (x_px / 4 * 5, x_px % 4);
                byte(group + i) << 2 | byte(group + 4) >> (2 * i) & 3
            }
            BayerDepth::Packed12 => {
                let (group, i) = (x_px / 2 * 3, x_px % 2);
                byte(group + i) << 4 | byte(group + 2) >> (4 * i) & 15
            }
        }
    }
}

impl fmt::Display for BayerFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let upper = |c: char| c.to_ascii_uppercase();
        self.name()
            .chars()
            .try_for_each(|c| fmt::Write::write_char(f, upper(c)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_codes_and_orders_are_the_kernels() {
        for format in BayerFormat::ALL {
            let others = BayerFormat::ALL.iter().filter(|other| **other != format);
            assert!(others.clone().all(|o| o.fourcc() != format.fourcc()));
            assert!(others.clone().all(|o| o.name() != format.name()));
            // SRGGB10P: order, bits, packed or not.
            let colours: String = [(0, 0), (1, 0), (0, 1), (1, 1)]
                .map(|(x, y)| ["R", "G", "B"][format.order.colour_at(x, y)])
                .concat();
            let packed = matches!(format.depth, BayerDepth::Packed10 | BayerDepth::Packed12);
            let packed = if packed { "P" } else { "" };
            let bits = format.depth.bits();
            assert_eq!(format.to_string(), format!("S{colours}{bits}{packed}"));
        }
    }

    #[test]
    fn samples_are_where_the_kernels_documentation_puts_them() {
        let format = |depth| BayerFormat {
            order: BayerOrder::Bggr,
            depth,
        };
        let all = |depth, row: &[u8], count| {
            let samples = (0..count).map(|x_px| format(depth).row_sample(row, x_px));
            samples.collect::<Vec<_>>()
        };
        let row = [0x11, 0x22, 0x33, 0x44, 0b11_10_01_00, 0xff, 0, 0x80, 1, 2];
        assert_eq!(
            all(BayerDepth::Packed10, &row, 6),
            [0x44, 0x89, 0xce, 0x113, 0x3fe, 0]
        );
        assert_eq!(
            all(BayerDepth::Packed12, &row[2..], 4),
            [0x334, 0x44e, 0xff0, 0x008]
        );
        assert_eq!(all(BayerDepth::Bits8, &row, 2), [0x11, 0x22]);
        assert_eq!(all(BayerDepth::Bits10, &row, 2), [0x211, 0x033]);
        assert_eq!(all(BayerDepth::Bits12, &row, 2), [0x211, 0x433]);
    }

    #[test]
    fn rows_end_with_a_complete_group() {
        let bytes = |width_px| BayerDepth::ALL.map(|depth| depth.row_bytes(width_px));
        assert_eq!(bytes(1640), [1640, 3280, 3280, 2050, 2460]);
        assert_eq!(bytes(5), [5, 10, 10, 10, 9]);
        assert_eq!(BayerDepth::Packed10.row_bytes(u32::MAX), 5_368_709_120);
    }
}
