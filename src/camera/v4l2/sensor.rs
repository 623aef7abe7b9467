//! `sensor` of `[camera.v4l2]`: which ribbon-cable (CSI) camera a Raspberry Pi has. `eyelet image` installs what it needs.

use crate::frame::RawTuning;
use crate::toml_file::Word;

/// A ribbon-cable camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sensor {
    /// Any that the Raspberry Pi's own firmware supports (modules v1, v2, HQ): the firmware produces the pictures, on a Zero 2 W,
    /// 3 or 4.
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

impl Word for Sensor {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("firmware", Self::Firmware),
        ("imx219", Self::Imx219),
        ("imx477", Self::Imx477),
        ("imx708", Self::Imx708),
        ("ov5647", Self::Ov5647),
    ];
}

impl Sensor {
    /// Whether it delivers raw pictures, through its own driver and a pipeline that has to be set up.
    pub fn is_raw(self) -> bool {
        self != Self::Firmware
    }

    /// How its raw pictures are developed; `None`: it delivers finished pictures.
    ///
    /// Black levels are from the data sheets (64 of 1024 for Sony's, 16 of 1024 for the OV5647). Lights (from about 2500 to about
    /// 7500 K) and matrix (at about 4600 K) are rounded from the Raspberry Pi makers' measurements: `rpi.awb` and `rpi.ccm` of
    /// `src/ipa/rpi/vc4/data` in their libcamera.
    pub fn raw_tuning(self) -> Option<RawTuning> {
        let (black_level, lights, matrix) = match self {
            Self::Firmware => return None,
            Self::Imx219 => (
                4096,
                [[0.93, 0.36], [0.46, 0.78]],
                [
                    [2.18, -0.71, -0.47],
                    [-0.70, 2.76, -1.06],
                    [-0.25, -0.72, 1.97],
                ],
            ),
            Self::Imx477 => (
                4096,
                [[0.60, 0.31], [0.30, 0.73]],
                [
                    [2.15, -0.98, -0.17],
                    [-0.38, 2.15, -0.77],
                    [-0.10, -0.54, 1.64],
                ],
            ),
            Self::Imx708 => (
                4096,
                [[0.87, 0.26], [0.37, 0.69]],
                [
                    [1.53, -0.35, -0.18],
                    [-0.28, 1.67, -0.39],
                    [0.02, -0.57, 1.55],
                ],
            ),
            Self::Ov5647 => (
                1024,
                [[1.03, 0.45], [0.63, 0.95]],
                [
                    [2.01, -0.51, -0.50],
                    [-0.52, 2.01, -0.49],
                    [-0.10, -0.67, 1.77],
                ],
            ),
        };
        Some(RawTuning {
            black_level,
            white_balance: None,
            lights: Some(lights),
            matrix,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_keep_grey_and_lights_go_from_warm_to_cool() {
        for &(name, sensor) in Sensor::WORDS {
            let Some(tuning) = sensor.raw_tuning() else {
                assert_eq!(name, "firmware");
                continue;
            };
            for row in tuning.matrix {
                let sum: f32 = row.iter().sum();
                assert!((sum - 1.0).abs() < 1e-5, "{name}: {row:?}");
            }
            let [warm, cool] = tuning.lights.unwrap_or_default();
            assert!(warm[0] > cool[0] && warm[1] < cool[1], "{name}");
        }
    }

    #[test]
    fn the_description_of_raw_pictures_names_the_keys() {
        let unknown = RawTuning::default().to_string();
        assert_eq!(
            unknown,
            "black_level 4096, white_balance measured, colours of no known sensor"
        );
        let known = Sensor::Ov5647.raw_tuning().unwrap_or_default();
        let fixed = RawTuning {
            white_balance: Some([1.5, 2.0]),
            ..known
        };
        assert_eq!(fixed.to_string(), "black_level 1024, white_balance 1.5 2");
    }
}
