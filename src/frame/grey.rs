//! Grey pictures of more than 8 bits: sensors without colours, infrared and thermal cameras.
//!
//! Names and codes are those of the kernel's documentation of pixel formats, "Luma-Only Formats" (`V4L2_PIX_FMT_Y10` to
//! `V4L2_PIX_FMT_Y12P`). The packed ones lie in memory as MIPI CSI-2 sends them (RAW10, RAW12).

use std::fmt;

/// How the samples of a grey picture lie in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GreyDepth {
    /// 10 bits in the low end of two bytes, the lower byte first.
    Bits10,
    /// 12 bits, likewise.
    Bits12,
    /// Two bytes, the lower one first. The kernel's documentation lets drivers use fewer bits and does not say how many; such a
    /// picture is dark here.
    Bits16,
    /// Four samples in five bytes: the upper eight bits of each, then the lower two of all, the first sample's lowest.
    Packed10,
    /// Two samples in three bytes: the upper eight bits of each, then the lower four of both, the first sample's lowest.
    Packed12,
}

impl GreyDepth {
    /// Every depth.
    pub const ALL: [Self; 5] = [
        Self::Bits10,
        Self::Bits12,
        Self::Bits16,
        Self::Packed10,
        Self::Packed12,
    ];

    /// The kernel's code for the format.
    pub const fn fourcc(self) -> [u8; 4] {
        *match self {
            Self::Bits10 => b"Y10 ",
            Self::Bits12 => b"Y12 ",
            Self::Bits16 => b"Y16 ",
            Self::Packed10 => b"Y10P",
            Self::Packed12 => b"Y12P",
        }
    }

    /// Bits of a sample.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Bits10 | Self::Packed10 => 10,
            Self::Bits12 | Self::Packed12 => 12,
            Self::Bits16 => 16,
        }
    }

    /// Samples and bytes of the smallest part of a row that begins with a byte of its own.
    pub const fn group(self) -> (usize, usize) {
        match self {
            Self::Bits10 | Self::Bits12 | Self::Bits16 => (1, 2),
            Self::Packed10 => (4, 5),
            Self::Packed12 => (2, 3),
        }
    }

    /// Bytes of a row without padding; packed rows end with a whole group.
    pub const fn row_bytes(self, width_px: u32) -> u64 {
        let (samples, bytes) = self.group();
        (width_px as u64).div_ceil(samples as u64) * bytes as u64
    }

    /// The same of sample `x` alone; `None` when the row has no such sample.
    pub fn upper_bits_at(self, row: &[u8], x: usize) -> Option<u8> {
        let (samples, bytes) = self.group();
        let group = row.get(x / samples * bytes..)?.get(..bytes)?;
        let mut grey = [0; 4];
        let grey = &mut grey[..samples];
        self.upper_bits(group, grey);
        Some(grey[x % samples])
    }

    /// The upper eight bits of the samples of a row that begins with `row`, from its first group on, as many as `grey` has room for.
    pub fn upper_bits(self, row: &[u8], grey: &mut [u8]) {
        let (samples, bytes) = self.group();
        match self {
            Self::Bits10 | Self::Bits12 | Self::Bits16 => {
                let shift = self.bits() - 8;
                for (grey, two) in grey.iter_mut().zip(row.as_chunks::<2>().0) {
                    // Bits that a sample does not have are no reason to begin at black again.
                    *grey = (u16::from_le_bytes(*two) >> shift).min(255) as u8;
                }
            }
            Self::Packed10 | Self::Packed12 => {
                let groups = grey.chunks_mut(samples).zip(row.chunks_exact(bytes));
                groups.for_each(|(grey, group)| grey.copy_from_slice(&group[..grey.len()]));
            }
        }
    }
}

impl fmt::Display for GreyDepth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bits10 => "Y10",
            Self::Bits12 => "Y12",
            Self::Bits16 => "Y16",
            Self::Packed10 => "Y10P",
            Self::Packed12 => "Y12P",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_bits_are_where_the_kernel_says() {
        for (depth, row, expected) in [
            // 0x201 of 10 bits, 1023, and one with bits that it does not have.
            (
                GreyDepth::Bits10,
                &[0x01, 0x02, 0xff, 0x03, 0xff, 0xff][..],
                &[0x80, 0xff, 0xff][..],
            ),
            (GreyDepth::Bits12, &[0x34, 0x02, 0xff, 0x0f], &[0x23, 0xff]),
            (GreyDepth::Bits16, &[0x34, 0x12, 0xff, 0xff], &[0x12, 0xff]),
            (
                GreyDepth::Packed10,
                &[1, 2, 3, 4, 0xff, 5, 6, 7, 8, 0xff],
                &[1, 2, 3, 4, 5, 6],
            ),
            (GreyDepth::Packed12, &[1, 2, 0xff, 3, 4, 0xff], &[1, 2, 3]),
        ] {
            let mut grey = vec![0; expected.len()];
            depth.upper_bits(row, &mut grey);
            assert_eq!(grey, expected, "{depth}");
            for (x, &sample) in expected.iter().enumerate() {
                assert_eq!(depth.upper_bits_at(row, x), Some(sample), "{depth}");
            }
            assert_eq!(depth.upper_bits_at(row, 8), None, "{depth}");
        }
    }

    #[test]
    fn rows_are_as_long_as_the_kernels() {
        for (depth, bytes) in GreyDepth::ALL.into_iter().zip([14, 14, 14, 10, 12]) {
            assert_eq!(depth.row_bytes(7), bytes, "{depth}");
        }
    }
}
