//! Formats on the links between the parts of a camera pipeline: the kernel's media bus codes, with the names that `media-ctl`
//! uses.
//!
//! Names and numbers are those of `linux/media-bus-format.h` (`MEDIA_BUS_FMT_*`, without the prefix). A code that is missing from
//! the table is written and read as a number, `0x3042`.

use std::fmt;
use std::str::FromStr;

/// A media bus code: order and width of a sensor's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BusFormat(pub u32);

impl BusFormat {
    /// The known names, for "did you mean".
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }
}

impl fmt::Display for BusFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, code)| *code == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{:#06x}", self.0),
        }
    }
}

impl FromStr for BusFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if let Some(digits) = text.strip_prefix("0x") {
            let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            let code = u32::from_str_radix(digits, 16).ok().filter(|_| plain);
            return code.map(Self).ok_or(());
        }
        let same = |name: &str| name.eq_ignore_ascii_case(text);
        let found = NAMES.iter().find(|(name, _)| same(name));
        found.map(|(_, code)| Self(*code)).ok_or(())
    }
}

/// Sorted by number.
#[rustfmt::skip]
const NAMES: [(&str, u32); 115] = [
    ("RGB444_2X8_PADHI_BE", 0x1001),
    ("RGB444_2X8_PADHI_LE", 0x1002),
    ("RGB555_2X8_PADHI_BE", 0x1003),
    ("RGB555_2X8_PADHI_LE", 0x1004),
    ("BGR565_2X8_BE", 0x1005),
    ("BGR565_2X8_LE", 0x1006),
    ("RGB565_2X8_BE", 0x1007),
    ("RGB565_2X8_LE", 0x1008),
    ("RGB666_1X18", 0x1009),
    ("RGB888_1X24", 0x100a),
    ("RGB888_2X12_BE", 0x100b),
    ("RGB888_2X12_LE", 0x100c),
    ("ARGB8888_1X32", 0x100d),
    ("RBG888_1X24", 0x100e),
    ("RGB888_1X32_PADHI", 0x100f),
    ("BGR888_1X24", 0x1013),
    ("GBR888_1X24", 0x1014),
    ("RGB666_1X24_CPADHI", 0x1015),
    ("RGB444_1X12", 0x1016),
    ("RGB565_1X16", 0x1017),
    ("RGB101010_1X30", 0x1018),
    ("RGB121212_1X36", 0x1019),
    ("RGB161616_1X48", 0x101a),
    ("BGR888_3X8", 0x101b),
    ("RGB888_3X8", 0x101c),
    ("RGB888_3X8_DELTA", 0x101d),
    ("RGB666_1X30_CPADLO", 0x101e),
    ("RGB888_1X30_CPADLO", 0x101f),
    ("RGB666_1X36_CPADLO", 0x1020),
    ("RGB888_1X36_CPADLO", 0x1021),
    ("Y8_1X8", 0x2001),
    ("UYVY8_1_5X8", 0x2002),
    ("VYUY8_1_5X8", 0x2003),
    ("YUYV8_1_5X8", 0x2004),
    ("YVYU8_1_5X8", 0x2005),
    ("UYVY8_2X8", 0x2006),
    ("VYUY8_2X8", 0x2007),
    ("YUYV8_2X8", 0x2008),
    ("YVYU8_2X8", 0x2009),
    ("Y10_1X10", 0x200a),
    ("YUYV10_2X10", 0x200b),
    ("YVYU10_2X10", 0x200c),
    ("YUYV10_1X20", 0x200d),
    ("YVYU10_1X20", 0x200e),
    ("UYVY8_1X16", 0x200f),
    ("VYUY8_1X16", 0x2010),
    ("YUYV8_1X16", 0x2011),
    ("YVYU8_1X16", 0x2012),
    ("Y12_1X12", 0x2013),
    ("YDYUYDYV8_1X16", 0x2014),
    ("UV8_1X8", 0x2015),
    ("YUV10_1X30", 0x2016),
    ("AYUV8_1X32", 0x2017),
    ("UYVY10_2X10", 0x2018),
    ("VYUY10_2X10", 0x2019),
    ("UYVY10_1X20", 0x201a),
    ("VYUY10_1X20", 0x201b),
    ("UYVY12_2X12", 0x201c),
    ("VYUY12_2X12", 0x201d),
    ("YUYV12_2X12", 0x201e),
    ("YVYU12_2X12", 0x201f),
    ("UYVY12_1X24", 0x2020),
    ("VYUY12_1X24", 0x2021),
    ("YUYV12_1X24", 0x2022),
    ("YVYU12_1X24", 0x2023),
    ("VUY8_1X24", 0x2024),
    ("YUV8_1X24", 0x2025),
    ("UYYVYY8_0_5X24", 0x2026),
    ("UYYVYY10_0_5X30", 0x2027),
    ("UYYVYY12_0_5X36", 0x2028),
    ("YUV12_1X36", 0x2029),
    ("YUV16_1X48", 0x202a),
    ("UYYVYY16_0_5X48", 0x202b),
    ("Y10_2X8_PADHI_LE", 0x202c),
    ("Y14_1X14", 0x202d),
    ("Y16_1X16", 0x202e),
    ("SBGGR8_1X8", 0x3001),
    ("SGRBG8_1X8", 0x3002),
    ("SBGGR10_2X8_PADHI_BE", 0x3003),
    ("SBGGR10_2X8_PADHI_LE", 0x3004),
    ("SBGGR10_2X8_PADLO_BE", 0x3005),
    ("SBGGR10_2X8_PADLO_LE", 0x3006),
    ("SBGGR10_1X10", 0x3007),
    ("SBGGR12_1X12", 0x3008),
    ("SGRBG10_DPCM8_1X8", 0x3009),
    ("SGRBG10_1X10", 0x300a),
    ("SBGGR10_DPCM8_1X8", 0x300b),
    ("SGBRG10_DPCM8_1X8", 0x300c),
    ("SRGGB10_DPCM8_1X8", 0x300d),
    ("SGBRG10_1X10", 0x300e),
    ("SRGGB10_1X10", 0x300f),
    ("SGBRG12_1X12", 0x3010),
    ("SGRBG12_1X12", 0x3011),
    ("SRGGB12_1X12", 0x3012),
    ("SGBRG8_1X8", 0x3013),
    ("SRGGB8_1X8", 0x3014),
    ("SBGGR10_ALAW8_1X8", 0x3015),
    ("SGBRG10_ALAW8_1X8", 0x3016),
    ("SGRBG10_ALAW8_1X8", 0x3017),
    ("SRGGB10_ALAW8_1X8", 0x3018),
    ("SBGGR14_1X14", 0x3019),
    ("SGBRG14_1X14", 0x301a),
    ("SGRBG14_1X14", 0x301b),
    ("SRGGB14_1X14", 0x301c),
    ("SBGGR16_1X16", 0x301d),
    ("SGBRG16_1X16", 0x301e),
    ("SGRBG16_1X16", 0x301f),
    ("SRGGB16_1X16", 0x3020),
    ("SBGGR20_1X20", 0x3021),
    ("SGBRG20_1X20", 0x3022),
    ("SGRBG20_1X20", 0x3023),
    ("SRGGB20_1X20", 0x3024),
    ("JPEG_1X8", 0x4001),
    ("S5C_UYVY_JPEG_1X8", 0x5001),
    ("AHSV8888_1X32", 0x6001),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_name_is_one_code_and_reads_back() {
        for pair in NAMES.windows(2) {
            assert!(pair[0].1 < pair[1].1, "{pair:?}");
        }
        for (name, code) in NAMES {
            assert_eq!(name.parse(), Ok(BusFormat(code)));
            assert_eq!(BusFormat(code).to_string(), name);
        }
        assert_eq!("srggb10_1x10".parse(), Ok(BusFormat(0x300f)));
    }

    #[test]
    fn a_code_without_a_name_is_a_number() {
        assert_eq!(BusFormat(0x3042).to_string(), "0x3042");
        assert_eq!("0x3042".parse(), Ok(BusFormat(0x3042)));
        for wrong in ["", "0x", "0x+1", "0x123456789", "SRGGB", "-1"] {
            assert_eq!(wrong.parse::<BusFormat>(), Err(()), "{wrong:?}");
        }
    }
}
