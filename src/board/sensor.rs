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

    /// Its name in a board file.
    pub fn name(self) -> &'static str {
        let named = Self::NAMES.iter().find(|(_, sensor)| *sensor == self);
        named.map_or("", |(name, _)| name)
    }
}
