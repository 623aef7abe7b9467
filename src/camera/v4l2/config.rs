//! `[camera.v4l2]`: the board file's settings for such a camera.

use super::V4l2Camera;
use super::media::config::{MediaConfig, media};
use super::sensor::Sensor;
use super::tuning::{Tuning, raw_tuning, tuning};
use crate::camera::formats::{NAMED_FORMATS, default_formats};
use crate::camera::{Camera, CameraConfig, CameraError, CameraKind, Kind};
use crate::data_roots::Base;
use crate::frame::{BayerFormat, PixelFormat, RawTuning};
use crate::limits;
use crate::toml_file::{Auto, Table, Word};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// See the module's documentation.
pub const KIND: Kind = Kind {
    name: "v4l2",
    read,
    sources: "v4l2 or a /dev/video node",
    of_source,
};

/// `[camera.v4l2]`
#[derive(Debug, Clone, PartialEq)]
pub struct V4l2Config {
    /// `/dev/videoN`, or a link under `/dev/v4l/by-id` or `by-path`; `None` is "auto": the first node that can capture.
    pub device: Option<PathBuf>,
    /// Requested width; the driver may choose the nearest it has.
    pub width_px: u32,
    /// Requested height.
    pub height_px: u32,
    /// Requested frame rate (S_PARM).
    pub rate_fps: u32,
    /// Acceptable formats, best first.
    pub formats: Vec<PixelFormat>,
    /// The ribbon-cable camera, if it is one.
    pub sensor: Option<Sensor>,
    /// How its pipeline is set up, if it has one and the board file says so.
    pub media: Option<Box<MediaConfig>>,
    /// How long a frame may take before the stream counts as stalled.
    pub timeout: Duration,
    /// Its controls.
    pub tuning: Tuning,
    /// How raw pictures are developed.
    pub raw: RawTuning,
}

impl Default for V4l2Config {
    /// Any camera, 640x480 at 30 frames per second, every known format.
    fn default() -> Self {
        Self {
            device: None,
            width_px: 640,
            height_px: 480,
            rate_fps: 30,
            formats: default_formats(false),
            sensor: None,
            media: None,
            timeout: Duration::from_secs(2),
            tuning: Tuning::default(),
            raw: RawTuning::default(),
        }
    }
}

fn read(table: &mut Table<'_, '_>, _: Base<'_>) -> Option<CameraConfig> {
    table.must_have(&["width_px", "height_px"]);
    let default = V4l2Config::default();
    let paths = "\"/dev/video0\" or \"/dev/v4l/by-id/...\"";
    let device = table.whole_path("device", Auto::Allowed, paths);
    let width_px = table.integer_u32("width_px", limits::SIDE_PX);
    let height_px = table.integer_u32("height_px", limits::SIDE_PX);
    let rate_fps = table.integer_u32("rate_fps", limits::CAMERA_RATE_FPS);
    let formats = table.words("formats", &NAMED_FORMATS);
    let sensor = table.word("sensor", Sensor::WORDS);
    let is_raw = sensor.is_some_and(Sensor::is_raw);
    let timeout = table.millis("timeout_ms", limits::CAMERA_TIMEOUT_MS);
    let media = media(table).map(Box::new);
    let tuning = tuning(table);
    let raw = raw_tuning(table, sensor);
    Some(CameraConfig::V4l2(V4l2Config {
        sensor,
        media,
        device,
        width_px: width_px?,
        height_px: height_px?,
        rate_fps: rate_fps.unwrap_or(default.rate_fps),
        formats: formats.unwrap_or_else(|| default_formats(is_raw)),
        timeout: timeout.unwrap_or(default.timeout),
        tuning,
        raw,
    }))
}

/// `v4l2`, or a node.
fn of_source(source: &str, own: &CameraConfig) -> Option<CameraConfig> {
    let is_node = source.starts_with("/dev/");
    if !is_node && source != KIND.name {
        return None;
    }
    let mut config = match own {
        CameraConfig::V4l2(own) => own.clone(),
        _ => V4l2Config::default(),
    };
    if is_node {
        config.device = Some(PathBuf::from(source));
    }
    Some(CameraConfig::V4l2(config))
}

impl CameraKind for V4l2Config {
    fn open(&self) -> Result<Box<dyn Camera>, CameraError> {
        Ok(Box::new(V4l2Camera::open(self)?))
    }

    fn timeout(&self) -> Option<Duration> {
        Some(self.timeout)
    }

    fn raw_tuning(&self) -> RawTuning {
        self.raw
    }
}

impl fmt::Display for V4l2Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("V4L2, ")?;
        match &self.device {
            Some(device) => write!(f, "{}", device.display())?,
            None => f.write_str("the first that can capture")?,
        }
        let (w, h, rate) = (self.width_px, self.height_px, self.rate_fps);
        write!(f, ", {w}x{h} at {rate} frames per second, ")?;
        let is_raw = |format: &&PixelFormat| matches!(format, PixelFormat::Bayer(_));
        // A list of twenty names would not help.
        if self.formats.iter().filter(is_raw).count() == BayerFormat::ALL.len() {
            return f.write_str("raw pictures");
        }
        let names: Vec<String> = self.formats.iter().map(ToString::to_string).collect();
        f.write_str(&names.join(" or "))
    }
}
