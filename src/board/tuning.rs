//! How a V4L2 camera is set: its controls by name, the mains that lamps flicker with, and how raw pictures are developed.

use super::RawTuning;
use super::sensor::Sensor;
use crate::limits;
use crate::toml_file::{Scalar, Table};
use std::path::PathBuf;

/// Keys of `[camera.v4l2]` that set the camera itself. Without any of them the driver's own settings stay.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tuning {
    /// The node whose controls are used (`/dev/v4l-subdevN`); `None` is the camera's own.
    pub controls_device: Option<PathBuf>,
    /// What is set before the stream starts, in the order of the file.
    pub controls: Vec<ControlSetting>,
    /// Frequency of the mains, in hertz: 50, 60, or 0 for none; `None` leaves the driver's alone.
    pub mains_hz: Option<u32>,
}

/// One line of `[camera.v4l2.controls]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlSetting {
    /// The control's name, as `eyelet list cameras --controls` prints it.
    pub name: String,
    /// A whole number, a boolean, or the name of a menu's entry.
    pub value: Scalar,
}

/// Black level and white balance.
pub(super) fn raw_tuning(table: &mut Table<'_, '_>, sensor: Option<Sensor>) -> RawTuning {
    let default = RawTuning::default();
    let own = table.integer("black_level", limits::BLACK_LEVEL);
    let own = own.and_then(|level| u16::try_from(level).ok());
    RawTuning {
        black_level: own
            .or_else(|| sensor.and_then(Sensor::black_level))
            .unwrap_or(default.black_level),
        white_balance: table.numbers_of("white_balance", limits::WHITE_GAIN, "red, blue"),
    }
}

/// The keys of `[camera.v4l2]` that are read here.
pub(super) fn tuning(table: &mut Table<'_, '_>) -> Tuning {
    let controls_device = table.text("controls_device");
    if controls_device
        .as_ref()
        .is_some_and(|path| !path.starts_with('/'))
    {
        table.fault(
            "controls_device",
            "needs a whole path like \"/dev/v4l-subdev0\"",
        );
    }
    let mains_hz = table.one_of("mains_hz", [0, 50, 60]);
    let mut controls = Vec::new();
    if let Some(mut inner) = table.table("controls") {
        for name in inner.names_in_order() {
            if name == "power_line_frequency" && mains_hz.is_some() {
                inner.fault(&name, "is what mains_hz sets: leave one of them out");
            }
            if let Some(value) = inner.scalar(&name) {
                controls.push(ControlSetting { name, value });
            }
        }
    }
    Tuning {
        controls_device: controls_device.map(PathBuf::from),
        controls,
        mains_hz,
    }
}
