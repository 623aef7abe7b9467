//! How a V4L2 camera is tuned: its controls by name, the mains frequency at which lamps flicker, and how raw pictures are
//! developed.

use super::sensor::Sensor;
use crate::frame::RawTuning;
use crate::limits;
use crate::toml_file::{Auto, Scalar, Table};
use std::path::PathBuf;

/// Keys of `[camera.v4l2]` that set up the camera itself. Without any of them the driver's own settings stay.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tuning {
    /// The node whose controls are used (`/dev/v4l-subdevN`); `None` means the camera's own.
    pub controls_device: Option<PathBuf>,
    /// Controls to set before the stream starts, in the order of the file.
    pub controls: Vec<ControlSetting>,
    /// Mains frequency in hertz: 50, 60, or 0 for none; `None` leaves the driver's setting.
    pub mains_hz: Option<u32>,
    /// Whether we control a raw sensor's exposure and gain; `None`: if it has the controls and nothing else sets them.
    pub auto_exposure: Option<bool>,
}

/// Controls that `auto_exposure` sets.
const EXPOSURE_CONTROLS: [&str; 3] = ["exposure", "analogue_gain", "gain"];

impl Tuning {
    /// Whether the board file sets this control.
    pub fn names(&self, control: &str) -> bool {
        self.controls.iter().any(|setting| setting.name == control)
    }

    /// Whether we may set exposure and gain, provided there are controls for them.
    pub fn may_expose(&self) -> bool {
        let is_named = || EXPOSURE_CONTROLS.iter().any(|name| self.names(name));
        self.auto_exposure.unwrap_or_else(|| !is_named())
    }
}

/// One line of `[camera.v4l2.controls]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlSetting {
    /// The control's name, as `eyelet list cameras --controls` prints it.
    pub name: String,
    /// An integer, a boolean, or the name of a menu entry.
    pub value: Scalar,
}

/// Black level and white balance.
pub(super) fn raw_tuning(table: &mut Table<'_, '_>, sensor: Option<Sensor>) -> RawTuning {
    let default = sensor.and_then(Sensor::raw_tuning).unwrap_or_default();
    let own = table.integer("black_level", limits::BLACK_LEVEL);
    let own = own.and_then(|level| u16::try_from(level).ok());
    RawTuning {
        black_level: own.unwrap_or(default.black_level),
        white_balance: table.numbers_of("white_balance", limits::WHITE_GAIN, "red, blue"),
        ..default
    }
}

/// The keys of `[camera.v4l2]` that are read here.
pub(super) fn tuning(table: &mut Table<'_, '_>) -> Tuning {
    let controls_device =
        table.whole_path("controls_device", Auto::Refused, "\"/dev/v4l-subdev0\"");
    let mains_hz = table.one_of("mains_hz", [0, 50, 60]);
    let auto_exposure = table.flag("auto_exposure");
    let mut controls = Vec::new();
    if let Some(mut inner) = table.table("controls") {
        for name in inner.names_in_order() {
            if name == "power_line_frequency" && mains_hz.is_some() {
                inner.fault(&name, "is set by mains_hz: remove one of them");
            }
            if auto_exposure == Some(true) && EXPOSURE_CONTROLS.contains(&name.as_str()) {
                inner.fault(&name, "is set by auto_exposure: remove one of them");
            }
            if let Some(value) = inner.scalar(&name) {
                controls.push(ControlSetting { name, value });
            }
        }
    }
    Tuning {
        controls_device,
        controls,
        mains_hz,
        auto_exposure,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::toml_file;

    /// Parses these lines as tuning in `[camera.v4l2]`.
    fn of(lines: &str) -> Result<Tuning, Vec<String>> {
        toml_file::read("t.toml", lines, |table| Some(tuning(table))).map_err(|faults| faults.lines)
    }

    #[test]
    fn exposure_is_ours_unless_the_board_file_sets_it() {
        for (lines, is_ours) in [
            ("", true),
            ("auto_exposure = true", true),
            ("auto_exposure = false", false),
            ("[controls]\nexposure = 100", false),
            ("[controls]\nanalogue_gain = 100", false),
            ("[controls]\nvertical_blanking = 100", true),
            // A webcam's own automatic has the same name, in the table of its controls.
            ("[controls]\nauto_exposure = \"manual mode\"", true),
        ] {
            assert_eq!(of(lines).unwrap().may_expose(), is_ours, "{lines}");
        }
    }

    #[test]
    fn two_settings_of_the_exposure_are_refused() {
        let lines = "auto_exposure = true\n[controls]\nexposure = 100\nanalogue_gain = 3";
        let faults = of(lines).unwrap_err();
        assert_eq!(faults.len(), 2, "{faults:?}");
        for (fault, key) in faults.iter().zip(["exposure", "analogue_gain"]) {
            assert!(
                fault.contains(key) && fault.contains("is set by auto_exposure"),
                "{fault}"
            );
        }
    }
}
