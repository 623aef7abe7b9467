//! Applied before the stream starts: the controls that the board file names, and a raw sensor's rate and exposure.

use super::controls::{self, Control, Panel, Refusal};
use super::exposure::{self, AutoExposure, Light, Plan, Wanted};
use super::faults;
use super::node::Node;
use crate::camera::CameraError;
use crate::camera::v4l2::V4l2Config;
use crate::frame::Geometry;
use std::path::Path;
use std::time::Duration;

/// What was set, and what is adjusted from now on.
#[derive(Debug)]
pub(super) struct Setup {
    /// Number of controls that the board file names.
    pub settings: usize,
    /// `None` if the driver (or nobody) controls the exposure.
    pub exposure: Option<AutoExposure<Node>>,
}

impl Panel for Node {
    fn list(&self) -> Vec<Control> {
        self.controls()
    }
}

/// Sets the controls of the camera `node`, or of the node that the board file names for them.
pub(super) fn set_up(
    path: &Path,
    node: &Node,
    config: &V4l2Config,
    geometry: Geometry,
    interval: Duration,
) -> Result<Setup, CameraError> {
    let tuning = &config.tuning;
    let light = Light::of(geometry, config.raw).filter(|_| tuning.may_expose());
    if tuning.auto_exposure == Some(true) && light.is_none() {
        return Err(CameraError::Unusable(format!(
            "{} delivers {} pictures, for which the camera sets the exposure itself: leave auto_exposure out of the board file, \
             or choose a raw format",
            path.display(),
            geometry.format
        )));
    }
    let names_controls = !tuning.controls.is_empty() || tuning.mains_hz.is_some();
    if !names_controls && light.is_none() {
        return Ok(Setup {
            settings: 0,
            exposure: None,
        });
    }
    let other;
    let (path, node) = match &tuning.controls_device {
        Some(device) => {
            other = Node::open(device).map_err(|error| faults::opening(device, &error))?;
            (device.as_path(), &other)
        }
        None => (path, node),
    };
    let settings = controls::set_all(node, tuning).map_err(|refusal| match refusal {
        Refusal::Words(why) => CameraError::Unusable(format!("{} {why}", path.display())),
        Refusal::Call(doing, error) => faults::setting(path, &doing, &error),
    })?;
    let plan = match &light {
        Some(light) => plan(path, node, config, light.geometry(), interval)?,
        None => None,
    };
    let exposure = match plan.zip(light) {
        Some((plan, light)) => {
            let knobs = node
                .again()
                .map_err(|error| faults::opening(path, &error))?;
            Some(AutoExposure::new(knobs, plan, light))
        }
        None => None,
    };
    Ok(Setup { settings, exposure })
}

/// Brings the sensor's rate as close as possible to the requested one, and plans its exposure; `None`: we do not control that.
fn plan(
    path: &Path,
    panel: &impl Panel,
    config: &V4l2Config,
    geometry: Geometry,
    interval: Duration,
) -> Result<Option<Plan>, CameraError> {
    let controls = panel.list();
    let wanted = Wanted {
        geometry,
        known: exposure::known(config.sensor, path),
        mains_hz: config.tuning.mains_hz.unwrap_or(0),
        interval,
    };
    let plan = match Plan::of(&controls, &wanted) {
        Ok(plan) => plan,
        Err(why) if config.tuning.auto_exposure == Some(true) => {
            return Err(CameraError::Unusable(format!(
                "{} {why}, and the board file has auto_exposure = true",
                path.display()
            )));
        }
        // A grey picture may be a webcam's, which adjusts itself.
        Err(_) if geometry.format.is_grey() => return Ok(None),
        Err(why) => {
            log::warn!(
                "exposure stays as the driver has it: {} {why}",
                path.display()
            );
            return Ok(None);
        }
    };
    let blanking = exposure::blanking(&controls, geometry, config.rate_fps);
    let Some((id, lines)) = blanking.filter(|_| !config.tuning.names("vertical_blanking")) else {
        return Ok(Some(plan));
    };
    if let Err(error) = panel.set(id, lines) {
        log::warn!("the driver did not set the control `vertical_blanking` to {lines}: {error}");
    }
    // The longest exposure depends on it.
    Ok(Some(Plan::of(&panel.list(), &wanted).unwrap_or(plan)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::camera::v4l2::controls::Knobs;
    use crate::camera::v4l2::exposure::imx219;
    use crate::camera::v4l2::sensor::Sensor;
    use crate::camera::v4l2::tuning::{ControlSetting, Tuning};
    use crate::frame::{BayerDepth, BayerFormat, BayerOrder, PixelFormat};
    use crate::toml_file::Scalar;
    use std::cell::RefCell;
    use std::io;

    /// A sensor's driver in which the longest exposure follows the blanking, as in the kernel's.
    struct Driver {
        controls: RefCell<Vec<Control>>,
        refuses: bool,
    }

    impl Driver {
        fn new(controls: Vec<Control>) -> Self {
            Self {
                controls: RefCell::new(controls),
                refuses: false,
            }
        }

        fn value(&self, name: &str) -> Option<i64> {
            let controls = self.controls.borrow();
            controls.iter().find(|control| control.name == name)?.value
        }
    }

    impl Knobs for Driver {
        fn set(&self, id: u32, value: i32) -> io::Result<i32> {
            if self.refuses {
                return Err(io::Error::from_raw_os_error(libc::EBUSY));
            }
            let mut controls = self.controls.borrow_mut();
            let control = controls
                .iter_mut()
                .find(|control| control.id == id)
                .unwrap();
            control.value = Some(i64::from(value));
            if control.name == "vertical_blanking" {
                controls[0].most = i64::from(value) + 1232 - 4;
            }
            Ok(value)
        }
    }

    impl Panel for Driver {
        fn list(&self) -> Vec<Control> {
            self.controls.borrow().clone()
        }
    }

    const INTERVAL: Duration = Duration::from_millis(33);

    fn raw() -> Geometry {
        let bayer = BayerFormat {
            order: BayerOrder::Rggb,
            depth: BayerDepth::Packed10,
        };
        Geometry::packed(PixelFormat::Bayer(bayer), 1640, 1232)
    }

    fn config(rate_fps: u32) -> V4l2Config {
        V4l2Config {
            rate_fps,
            sensor: Some(Sensor::Imx219),
            ..V4l2Config::default()
        }
    }

    fn planned(driver: &Driver, config: &V4l2Config, geometry: Geometry) -> Option<String> {
        let path = Path::new("/dev/v4l-subdev-that-is-not-there");
        let plan = plan(path, driver, config, geometry, INTERVAL).unwrap();
        plan.map(|plan| plan.to_string())
    }

    #[test]
    fn a_slower_rate_gives_longer_exposures() {
        for (rate_fps, most_us) in [(30, 33251), (10, 99_924), (5, 199_924)] {
            let driver = Driver::new(imx219());
            let expected = format!("exposure by us, 76 to {most_us} us, gain 1 to 10.7");
            assert_eq!(planned(&driver, &config(rate_fps), raw()), Some(expected));
        }
    }

    #[test]
    fn blanking_that_the_board_file_sets_or_the_driver_refuses_stays() {
        let unchanged = Some("exposure by us, 76 to 33251 us, gain 1 to 10.7".to_owned());
        let driver = Driver::new(imx219());
        let tuning = Tuning {
            controls: vec![ControlSetting {
                name: "vertical_blanking".to_owned(),
                value: Scalar::Whole(531),
            }],
            ..Tuning::default()
        };
        let named = V4l2Config {
            tuning,
            ..config(5)
        };
        assert_eq!(planned(&driver, &named, raw()), unchanged);
        assert_eq!(driver.value("vertical_blanking"), Some(531));

        let refusing = Driver {
            refuses: true,
            ..Driver::new(imx219())
        };
        assert_eq!(planned(&refusing, &config(5), raw()), unchanged);
    }

    /// The longest exposure of the sensor's shortest frame is 1759 lines.
    #[test]
    fn an_exposure_is_checked_by_the_blanking_that_the_board_file_sets() {
        let tuning = |pairs: &[(&str, i64)]| {
            let setting = |&(name, value): &(&str, i64)| ControlSetting {
                name: name.to_owned(),
                value: Scalar::Whole(value),
            };
            Tuning {
                controls: pairs.iter().map(setting).collect(),
                ..Tuning::default()
            }
        };
        let named = [("exposure", 5000), ("vertical_blanking", 4000)];
        for pairs in [named, [named[1], named[0]]] {
            let driver = Driver::new(imx219());
            assert_eq!(controls::set_all(&driver, &tuning(&pairs)).unwrap(), 2);
            assert_eq!(driver.value("exposure"), Some(5000));
            assert_eq!(driver.value("vertical_blanking"), Some(4000));
        }
        for (pairs, expected) in [
            (&named[..1], "`exposure` is 5000, needs"),
            (
                &[("exposure", 5300), named[1]][..],
                "`exposure` is 5300, needs 4 to 5228",
            ),
            (
                &[named[1], ("exposer", 5000)][..],
                "did you mean `exposure`?",
            ),
        ] {
            let driver = Driver::new(imx219());
            match controls::set_all(&driver, &tuning(pairs)).unwrap_err() {
                Refusal::Words(why) => assert!(why.contains(expected), "{why}"),
                other => panic!("{other:?}"),
            }
            let is_wrong_by_name = expected.starts_with("did");
            let blanking = driver.value("vertical_blanking").unwrap();
            assert!(blanking == 531 || !is_wrong_by_name, "{blanking}");
        }
    }

    #[test]
    fn a_camera_without_the_controls_is_left_alone_or_refused() {
        let grey = Geometry::packed(PixelFormat::Grey, 640, 480);
        for geometry in [raw(), grey] {
            let driver = Driver::new(vec![]);
            assert_eq!(planned(&driver, &config(30), geometry), None);
            let mut asked = config(30);
            asked.tuning.auto_exposure = Some(true);
            let path = Path::new("/dev/video7");
            let error = plan(path, &driver, &asked, geometry, INTERVAL).unwrap_err();
            let line = error.to_string();
            assert!(
                line.starts_with("/dev/video7 has no control `exposure`")
                    && line.contains("controls_device"),
                "{line}"
            );
        }
    }
}
