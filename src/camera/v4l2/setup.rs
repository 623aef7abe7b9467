//! What is set before the stream starts: the controls that the board file names, and a raw sensor's rate and exposure.

use super::controls;
use super::exposure::{self, AutoExposure, Light, Plan, Wanted};
use super::faults;
use super::node::Node;
use crate::board::V4l2Config;
use crate::camera::CameraError;
use crate::camera::v4l2::controls::Knobs as _;
use crate::frame::{Geometry, PixelFormat};
use std::path::Path;
use std::time::Duration;

/// What was set, and what is set from now on.
#[derive(Debug)]
pub(super) struct Setup {
    /// Controls that the board file names.
    pub settings: usize,
    /// `None` where the driver (or nobody) sees to exposure.
    pub exposure: Option<AutoExposure<Node>>,
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
            "{} brings {} pictures, of which the camera has set the exposure itself: leave auto_exposure out of the board file, \
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
    let settings = controls::settings(&node.controls(), tuning)
        .map_err(|why| CameraError::Unusable(format!("{} {why}", path.display())))?;
    controls::apply(node, &settings)
        .map_err(|(doing, error)| faults::setting(path, &doing, &error))?;
    let exposure = match light {
        Some(light) => expose(path, node, config, light, interval)?,
        None => None,
    };
    Ok(Setup {
        settings: settings.len(),
        exposure,
    })
}

/// Makes the sensor's rate the one that is asked for, as far as it goes, and its exposure ours.
fn expose(
    path: &Path,
    node: &Node,
    config: &V4l2Config,
    light: Light,
    interval: Duration,
) -> Result<Option<AutoExposure<Node>>, CameraError> {
    let geometry = light.geometry();
    let mut controls = node.controls();
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
        // A grey picture may be a webcam's, which sees to itself.
        Err(_) if geometry.format == PixelFormat::Grey => return Ok(None),
        Err(why) => {
            log::warn!(
                "exposure stays as the driver has it: {} {why}",
                path.display()
            );
            return Ok(None);
        }
    };
    let is_named = config.tuning.names("vertical_blanking");
    let blanking = exposure::blanking(&controls, geometry, config.rate_fps);
    let plan = match blanking.filter(|_| !is_named) {
        None => plan,
        Some((id, lines)) => {
            if let Err(error) = node.set(id, lines) {
                log::warn!(
                    "the driver did not set the control `vertical_blanking` to {lines}: {error}"
                );
            }
            // How long an exposure may be depends on it.
            controls = node.controls();
            Plan::of(&controls, &wanted).unwrap_or(plan)
        }
    };
    let knobs = node
        .again()
        .map_err(|error| faults::opening(path, &error))?;
    Ok(Some(AutoExposure::new(knobs, plan, light)))
}
