//! `sensor` of `[camera.v4l2]`: which ribbon-cable (CSI) camera a Raspberry Pi has. `eyelet image` puts in place what it needs.

/// A ribbon-cable camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sensor {
    /// Any that the Raspberry Pi's own firmware knows (modules v1, v2, HQ): the firmware makes the pictures, on a Zero 2 W, 3 or 4.
    Firmware,
    /// Sony IMX219: Camera Module 2. Raw pictures.
    Imx219,
    /// Sony IMX477: HQ camera. Raw pictures.
    Imx477,
    /// Sony IMX708: Camera Module 3. Raw pictures.
    Imx708,
    /// OmniVision OV5647: Camera Module 1. Raw pictures.
    Ov5647,
}

impl Sensor {
    /// Each by the name that a board file has for it.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("firmware", Self::Firmware),
        ("imx219", Self::Imx219),
        ("imx477", Self::Imx477),
        ("imx708", Self::Imx708),
        ("ov5647", Self::Ov5647),
    ];

    /// What a sample has without any light, of 65536 for a full one, whatever its bits: 64 of 1024 for Sony's sensors (IMX219 data
    /// sheet, "black level"; the IMX477's 256 of 4096 is the same), 16 of 1024 for the OV5647 (register 0x4009 as its driver
    /// leaves it). `None`: its pictures are not raw.
    pub fn black_level(self) -> Option<u16> {
        match self {
            Self::Firmware => None,
            Self::Imx219 | Self::Imx477 | Self::Imx708 => Some(4096),
            Self::Ov5647 => Some(1024),
        }
    }

    /// Its name in a board file.
    pub fn name(self) -> &'static str {
        let named = Self::NAMES.iter().find(|(_, sensor)| *sensor == self);
        named.map_or("", |(name, _)| name)
    }
}
