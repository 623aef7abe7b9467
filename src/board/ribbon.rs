//! Faults of a board file that show only when its ribbon-cable camera, its formats and its `[firmware]` are looked at together.

use super::Firmware;
use super::config_txt::{overlays, text};
use crate::camera::CameraConfig;
use crate::camera::v4l2::sensor::Sensor;
use crate::frame::PixelFormat;
use crate::toml_file::{Table, Word};

/// Reports all of these as faults of the board file.
pub(super) fn check(top: &Table<'_, '_>, camera: &CameraConfig, firmware: &Firmware) {
    let CameraConfig::V4l2(camera) = camera else {
        return;
    };
    // On another system the cable may lead to an image processor.
    let (Some(sensor), Some(machine)) = (camera.sensor, firmware.machine) else {
        return;
    };
    let named = format!("v4l2.sensor = {:?}", sensor.word());
    if let Some(why) = machine.refuses(sensor) {
        top.fault("camera", format_args!("{named}: {why}"));
        return;
    }
    let mut formats = camera.formats.iter();
    if sensor.is_raw() && !formats.any(|format| matches!(format, PixelFormat::Bayer(_))) {
        top.fault(
            "camera",
            format_args!(
                "{named}: it gives raw pictures only, and v4l2.formats names none: take v4l2.formats out"
            ),
        );
    }
    for line in second_cameras(sensor, &firmware.config_txt) {
        top.fault(
            "firmware",
            format_args!(
                "config_txt names {line:?} beside camera.{named}, which adds all that a card needs: take one of them out"
            ),
        );
    }
}

/// The lines that give the sensor's connector to another camera.
fn second_cameras(sensor: Sensor, lines: &[String]) -> Vec<String> {
    let others = overlays(lines).filter(|(name, parameters)| {
        // `cam0` is a board's other connector.
        is_camera(name)
            && *name != sensor.word()
            && !parameters.split(',').any(|word| word.trim() == "cam0")
    });
    let mut found: Vec<_> = others
        .map(|(name, _)| format!("dtoverlay={name}"))
        .collect();
    if text(lines, "camera_auto_detect") == Some("1") {
        found.push("camera_auto_detect=1".to_owned());
    }
    found
}

/// Whether this overlay is of a camera: they have the names of sensors (`imx477`, `ov9281`), and a few makers'.
fn is_camera(overlay: &str) -> bool {
    let is_numbered = |start: &str| {
        let rest = overlay.strip_prefix(start);
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    is_numbered("imx") || is_numbered("ov") || overlay.starts_with("arducam")
}

#[cfg(test)]
mod tests {
    use crate::board::Board;
    use crate::data_roots::Base;
    use std::path::Path;

    /// The faults of a board with these keys of its camera and its firmware.
    fn faults(camera: &str, firmware: &str) -> String {
        let text = format!(
            "description = 't'\ntier = 'untested'\nmodel = 'm'\nthreads = 1\n[camera.v4l2]\nwidth_px = 64\nheight_px = 48\n{camera}\n\
             [display.none]\n[firmware]\n{firmware}\n"
        );
        let read = Board::parse("t", "t.toml", &text, Base::Folder(Path::new("/b")));
        read.map_or_else(|faults| faults.lines.join("\n"), |_| String::new())
    }

    #[test]
    fn a_camera_that_its_machine_cannot_have_is_a_fault() {
        let pi_4 = "machine = 'raspberry-pi-4'";
        let beside = "beside camera.v4l2.sensor = \"imx219\"";
        for (camera, firmware, expected) in [
            ("sensor = 'firmware'", pi_4, ""),
            (
                "sensor = 'firmware'",
                "machine = 'raspberry-pi-5'",
                "t.toml:5:2: camera: v4l2.sensor = \"firmware\": the firmware of a raspberry-pi-5 does not process frames",
            ),
            (
                "sensor = 'imx219'",
                "machine = 'virt'",
                "the machine virt has no connector",
            ),
            ("sensor = 'imx219'", "", ""),
            ("sensor = 'imx219'", pi_4, ""),
            (
                "sensor = 'imx219'\nformats = ['yuyv', 'mjpeg']",
                pi_4,
                "it gives raw pictures only, and v4l2.formats names none",
            ),
            (
                "sensor = 'imx219'\nformats = ['yuyv', 'srggb10p']",
                pi_4,
                "",
            ),
            ("sensor = 'firmware'\nformats = ['yuyv']", pi_4, ""),
            ("sensor = 'imx219'\nformats = ['yuyv']", "", ""),
            (
                "sensor = 'imx219'",
                "machine = 'raspberry-pi-4'\nconfig_txt = ['dtoverlay=imx477']",
                beside,
            ),
            (
                "sensor = 'imx219'",
                "machine = 'raspberry-pi-4'\nconfig_txt = ['camera_auto_detect=1']",
                "config_txt names \"camera_auto_detect=1\" beside",
            ),
            (
                "sensor = 'imx219'",
                "machine = 'raspberry-pi-5'\nconfig_txt = ['dtoverlay=ov9281,cam0', 'dtoverlay=imx219,cam0', 'camera_auto_detect=0', 'dtoverlay=overclock']",
                "",
            ),
            (
                "",
                "machine = 'raspberry-pi-4'\nconfig_txt = ['dtoverlay=imx477', 'camera_auto_detect=1']",
                "",
            ),
        ] {
            let found = faults(camera, firmware);
            assert!(
                found.contains(expected)
                    && found.lines().count() == usize::from(!expected.is_empty()),
                "{camera} {firmware}\n{found}"
            );
        }
    }
}
