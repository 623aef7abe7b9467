//! A device that is set up, before its stream starts.

use super::exposure::AutoExposure;
use super::negotiate::{self, Agreement};
use super::node::{Identity, Node};
use super::setup::{self, Setup};
use super::{ASSUMED_INTERVAL, V4l2Config, faults, media};
use crate::camera::CameraError;
use crate::frame::PixelFormat;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// What a device agreed to, before its stream starts.
pub(super) struct Ready {
    /// The parts of a camera that has several.
    pub pipeline: Option<media::Prepared>,
    pub agreed: Agreement,
    pub setup: Setup,
    /// The frame interval, if anyone knows it.
    pub interval: Option<Duration>,
}

impl Ready {
    /// Negotiates with a device, and sets what the board file names.
    pub fn new(
        path: &Path,
        node: &mut Node,
        identity: &Identity,
        config: &V4l2Config,
        has_pipeline: bool,
    ) -> Result<Self, CameraError> {
        let mut are_controls_set = false;
        loop {
            let pipeline = media::prepare(path, node, identity, config, has_pipeline)?;
            let config = pipeline.as_ref().map_or(config, |own| &own.config);
            let agreed = negotiate::negotiate(node, config)
                .map_err(|why| faults::disagreement(path, config, why))?;
            let by_pipeline = pipeline.as_ref().and_then(|own| own.interval);
            let known = by_pipeline.or(agreed.interval);
            let interval = known.unwrap_or(ASSUMED_INTERVAL);
            let setup = setup::set_up(path, node, config, agreed.geometry, interval)?;
            if agreed.is_interlaced && !are_controls_set {
                log::warn!(
                    "{}: its pictures are interlaced, so what moves has a comb's edge; have its source send whole frames",
                    path.display()
                );
            }
            // Flipping a sensor changes its colour order: once that is set, everything is negotiated again.
            let is_raw = matches!(agreed.geometry.format, PixelFormat::Bayer(_));
            if are_controls_set || !is_raw || setup.settings == 0 {
                // Behind a media controller the sensor knows the rate, the node does not.
                let by_sensor = setup.exposure.as_ref().and_then(AutoExposure::interval);
                return Ok(Self {
                    pipeline,
                    agreed,
                    setup,
                    interval: known.or(by_sensor),
                });
            }
            are_controls_set = true;
        }
    }

    /// The camera in one line.
    pub fn describe(
        &self,
        path: &Path,
        identity: &Identity,
        config: &V4l2Config,
        buffers: usize,
    ) -> String {
        let geometry = self.agreed.geometry;
        let mut line = format!("v4l2 {} ({}), {geometry}", path.display(), identity.card);
        // Writing to a string cannot fail.
        let _ = match self.interval {
            Some(interval) => write!(line, " at {} fps", Rate(interval)),
            None => write!(line, " at the driver's rate"),
        };
        let _ = write!(line, ", {buffers} buffers");
        if self.setup.settings != 0 {
            let _ = write!(line, ", {} controls set", self.setup.settings);
        }
        if let Some(exposure) = &self.setup.exposure {
            let _ = write!(line, ", {exposure}");
        }
        if let Some(own) = &self.pipeline {
            let _ = write!(line, ", pipeline {}", own.line);
        }
        if matches!(geometry.format, PixelFormat::Bayer(_)) {
            let _ = write!(line, ", raw: {}", config.raw);
        }
        line
    }
}

/// The frames per second of an interval, without insignificant digits: 30, 29.97, 7.5.
struct Rate(Duration);

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rate_fps = (100.0 / self.0.as_secs_f64().max(1e-9)).round() / 100.0;
        write!(f, "{rate_fps}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_print_as_people_write_them() {
        let rates = [
            (1.0 / 30.0, "30"),
            (1001.0 / 30000.0, "29.97"),
            (2.0 / 15.0, "7.5"),
        ];
        for (seconds, expected) in rates {
            assert_eq!(Rate(Duration::from_secs_f64(seconds)).to_string(), expected);
        }
    }
}
