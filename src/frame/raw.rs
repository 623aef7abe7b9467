//! What a sensor's raw pictures are taken for.

use std::fmt;

/// How a sensor's raw pictures become colours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawTuning {
    /// What a sample has without any light, of 65536 for a full one, whatever its bits.
    pub black_level: u16,
    /// Gains of red and blue against green; `None` follows the picture.
    pub white_balance: Option<[f32; 2]>,
    /// Red : green and blue : green of something grey in the warmest and the coolest light, where the sensor is known.
    pub lights: Option<[[f32; 2]; 2]>,
    /// Red, green and blue of sRGB, in linear light, as parts of the sensor's three colours after white balance.
    pub matrix: [[f32; 3]; 3],
}

impl Default for RawTuning {
    /// A pedestal of a sixteenth, as Sony's sensors have; white follows the picture; colours as they come.
    fn default() -> Self {
        Self {
            black_level: 4096,
            white_balance: None,
            lights: None,
            matrix: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        }
    }
}

impl fmt::Display for RawTuning {
    /// What raw pictures are taken for, with the keys that change it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "black_level {}", self.black_level)?;
        match self.white_balance {
            Some([red, blue]) => write!(f, ", white_balance {red} {blue}")?,
            None => f.write_str(", white_balance measured")?,
        }
        match self.lights {
            Some(_) => Ok(()),
            None => f.write_str(", colours of no known sensor"),
        }
    }
}
