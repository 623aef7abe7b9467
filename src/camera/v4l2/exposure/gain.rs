//! What the values of a sensor's `analogue_gain` control mean. Each maker has its own formula, and no driver reports it.
//!
//! Sources: the formulas are in the data sheets (Sony's "analogue gain setting", OmniVision's AGC registers), checked against
//! libcamera's `CameraSensorHelper` classes and the Raspberry Pi's `CamHelper` classes; the delays are from the latter.

use crate::camera::v4l2::sensor::Sensor;
use crate::toml_file::Word;

/// Converts a gain code to a factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::camera::v4l2) enum Law {
    /// Factor = `full` / (`full` - code): most Sony sensors.
    Reciprocal {
        /// The code of infinite gain.
        full: u32,
    },
    /// Factor = code / `one`: OmniVision's.
    Linear {
        /// The code of factor 1.
        one: u32,
    },
    /// Tenths of a decibel: Sony's global-shutter sensors.
    Decibels,
}

impl Law {
    /// The factor of a code; `None` for an invalid one.
    pub fn factor(self, code: i64) -> Option<f64> {
        let code = code as f64;
        let factor = match self {
            Self::Reciprocal { full } => f64::from(full) / (f64::from(full) - code),
            Self::Linear { one } => code / f64::from(one),
            Self::Decibels => 10f64.powf(code / 200.0),
        };
        (factor.is_finite() && factor > 0.0).then_some(factor)
    }

    /// The code nearest to a factor, which must be above 0.
    pub fn code(self, factor: f64) -> i64 {
        let code = match self {
            Self::Reciprocal { full } => f64::from(full) - f64::from(full) / factor,
            Self::Linear { one } => f64::from(one) * factor,
            Self::Decibels => 200.0 * factor.log10(),
        };
        code.round() as i64
    }
}

/// What we need to know about a sensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::camera::v4l2) struct Known {
    pub law: Law,
    /// A new exposure or gain (the later of the two) takes effect this many frames after the one that the sensor is exposing.
    pub delay_frames: u64,
}

/// By prefix of the sensor's name.
const SENSORS: [(&str, Known); 5] = [
    ("imx219", known(Law::Reciprocal { full: 256 })),
    ("imx296", known(Law::Decibels)),
    ("imx477", known(Law::Reciprocal { full: 1024 })),
    ("imx708", known(Law::Reciprocal { full: 1024 })),
    ("ov5647", known(Law::Linear { one: 16 })),
];

/// Two frames is what the Raspberry Pi's helpers use for each of these; longer delays are learnt while running.
pub(super) const USUAL_DELAY_FRAMES: u64 = 2;

const fn known(law: Law) -> Known {
    Known {
        law,
        delay_frames: USUAL_DELAY_FRAMES,
    }
}

/// What is known about the sensor that the board file names, or else about the one whose subdevice has this name ("imx219
/// 10-0010").
pub(super) fn of(sensor: Option<Sensor>, subdevice: &str) -> Option<Known> {
    let name = match sensor {
        Some(sensor) => sensor.word(),
        None => subdevice.trim(),
    };
    let mut sensors = SENSORS.iter();
    let found = sensors.find(|(known, _)| {
        let rest = name.strip_prefix(known);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
    });
    found.map(|(_, known)| *known)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The limits of the ranges in the kernel's drivers, and the largest gain in the data sheets.
    #[test]
    fn codes_mean_what_the_data_sheets_say() {
        for (name, code, factor) in [
            ("imx219", 0, 1.0),
            ("imx219", 128, 2.0),
            ("imx219", 232, 10.67),
            ("imx477", 978, 22.26),
            ("imx708", 960, 16.0),
            ("ov5647", 16, 1.0),
            ("ov5647", 1023, 63.94),
            ("imx296", 480, 251.19),
        ] {
            let law = of(None, name).unwrap().law;
            let found = law.factor(code).unwrap();
            assert!(
                (found / factor - 1.0).abs() < 1e-3,
                "{name} {code}: {found}"
            );
            assert_eq!(law.code(found), code, "{name}");
        }
        assert_eq!(Law::Reciprocal { full: 256 }.factor(256), None);
        assert_eq!(Law::Reciprocal { full: 256 }.factor(300), None);
        assert_eq!(Law::Linear { one: 16 }.factor(0), None);
    }

    #[test]
    fn a_sensor_is_known_by_the_board_file_or_by_its_subdevice() {
        let imx219 = of(None, "imx219");
        assert!(imx219.is_some());
        for name in ["imx219 10-0010", " imx219", "imx219_noir 4-0010"] {
            assert_eq!(of(None, name), imx219, "{name}");
        }
        assert_eq!(of(Some(Sensor::Imx219), "unicam-image"), imx219);
        assert_eq!(of(Some(Sensor::Firmware), "imx219"), None);
        for name in ["", "unicam-image", "imx2190", "ov56470 1-0036", "vivid"] {
            assert_eq!(of(None, name), None, "{name}");
        }
        for &(_, sensor) in Sensor::WORDS {
            assert_eq!(of(Some(sensor), "").is_some(), sensor != Sensor::Firmware);
        }
    }
}
