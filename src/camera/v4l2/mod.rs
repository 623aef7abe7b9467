//! A V4L2 capture device: a USB camera, a frame grabber, an image processor of a board, the kernel's test driver.
//!
//! `media` sets up the parts of a camera that has several, `node` makes the kernel calls, `find` lists the nodes, `negotiate`
//! agrees on format, size and rate, `controls` and `setup` set what the board file names, `ready` has all of this done before
//! the stream starts, `exposure` keeps a raw sensor's pictures at the right brightness, `stream` holds the mapped buffers,
//! `newest` picks the frame, `faults` words the errors.
//! After the first frame nothing is allocated: a frame is borrowed from the buffer that the driver filled, which returns to the
//! driver at the next call.

mod bus;
mod config;
mod controls;
mod exposure;
mod faults;
mod field;
mod find;
mod gone;
mod media;
mod negotiate;
mod newest;
mod node;
mod ready;
pub mod sensor;
mod setup;
mod stream;
mod tuning;

pub use bus::BusFormat;
pub(super) use config::KIND;
pub use config::V4l2Config;
pub use controls::{Control, Kind};
pub use find::{Found, FoundFormat, list};
pub use media::config::{FormatSetting, LinkSetting, MediaConfig, PadName};
pub use negotiate::{FourCc, Sizes};
pub use tuning::{ControlSetting, Tuning};

use crate::camera::patience::Patience;
use crate::camera::{Camera, CameraError, Counts, Next};
use crate::frame::{Frame, Geometry, PixelFormat};
use exposure::AutoExposure;
use negotiate::Agreement;
use newest::{Expected, Queue};
use node::{Identity, Node};
use ready::Ready;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stream::Stream;

/// The frame interval assumed for a driver that does not report one.
const ASSUMED_INTERVAL: Duration = Duration::from_millis(33);

/// An open, streaming camera.
///
/// After [`Camera::next`] has failed the stream is unusable: drop it, then reopen it (a device has only one stream at a time, so
/// the other order finds it busy).
#[derive(Debug)]
pub struct V4l2Camera {
    path: PathBuf,
    description: String,
    geometry: Geometry,
    /// Whether each plane has its own memory.
    has_separate_planes: bool,
    expected: Expected,
    patience: Patience,
    /// Why frames may fail to arrive although the stream has started; empty if there is no reason to think so.
    warning: String,
    stream: Stream,
    /// The buffer that the last frame was borrowed from.
    held: Option<usize>,
    /// Whether `next` has failed: then buffers may be in any state.
    broken: bool,
    counts: Counts,
    sequence: Sequence,
    /// Present for a sensor without its own automatic exposure.
    exposure: Option<AutoExposure<Node>>,
}

impl V4l2Camera {
    /// Opens the camera that the board file names, or the first one that works, and starts its stream.
    ///
    /// # Errors
    /// [`CameraError::Lost`] if the device goes away during the call, otherwise [`CameraError::Unusable`] with what to do. A
    /// device that does not exist is `Unusable` too: the caller knows whether to wait for it.
    pub fn open(config: &V4l2Config) -> Result<Self, CameraError> {
        match &config.device {
            Some(path) => {
                let (node, identity) = screened(path)?;
                Self::start(path, node, &identity, config, false)
            }
            None => Self::open_first(config),
        }
    }

    fn open_first(config: &V4l2Config) -> Result<Self, CameraError> {
        let nodes = find::all_nodes();
        if nodes.is_empty() {
            return Err(CameraError::Unusable(
                "there is no camera (no /dev/video*): plug one in, or load its driver".to_owned(),
            ));
        }
        let (mut cameras, mut others) = (Vec::new(), Vec::new());
        for (round, config) in rounds(config).iter().enumerate() {
            let mut candidates = Vec::new();
            for path in &nodes {
                match screened(path) {
                    Ok((node, identity)) => candidates.push((path, node, identity)),
                    Err(error) if round == 0 => others.push(error),
                    Err(_) => {}
                }
            }
            // A camera that works by itself is preferred to one that has to be set up, unless the board file describes one of the
            // latter.
            let asked_for = media::is_asked_for(config);
            candidates.sort_by_key(|(_, _, identity)| media::needs_one(identity) != asked_for);
            for (path, node, identity) in candidates {
                match Self::start(path, node, &identity, config, false) {
                    Ok(camera) => return Ok(camera),
                    Err(error) => faults::keep_last(&mut cameras, path, error),
                }
            }
        }
        // A fault of a real camera is worth more than the list of nodes that are not cameras.
        Err(faults::none_works(if cameras.is_empty() {
            others
        } else {
            cameras.into_iter().map(|(_, error)| error).collect()
        }))
    }

    fn start(
        path: &Path,
        mut node: Node,
        identity: &Identity,
        config: &V4l2Config,
        has_pipeline: bool,
    ) -> Result<Self, CameraError> {
        let ready = Ready::new(path, &mut node, identity, config, has_pipeline)?;
        let Agreement {
            geometry,
            has_separate_planes,
            ..
        } = ready.agreed;
        let piece_bytes = match has_separate_planes {
            true => geometry.plane_bytes(),
            false => geometry.picture_bytes().map(|whole| [whole, 0, 0]),
        }
        .map_err(|error| CameraError::Unusable(format!("{}: {error}", path.display())))?;
        let stream = match Stream::start(node) {
            Ok(stream) => stream,
            Err((doing, error)) => {
                let may_have_parts = !identity.is_usb();
                let is_unlike = may_have_parts && error.raw_os_error() == Some(libc::EPIPE);
                return match ready.pipeline {
                    Some(own) if is_unlike => Err(faults::mismatched_parts(
                        path,
                        &own.line,
                        own.warning.as_deref(),
                    )),
                    // The driver does not report that its node ends a pipeline: set up the parts after all.
                    None if is_unlike && !has_pipeline => {
                        let (node, identity) = screened(path)?;
                        Self::start(path, node, &identity, config, true).map_err(|why| match why {
                            CameraError::Unusable(why) => {
                                let first = faults::not_started(path, true, doing, &error);
                                CameraError::Unusable(format!("{first}; {why}"))
                            }
                            lost => lost,
                        })
                    }
                    _ => Err(faults::not_started(path, may_have_parts, doing, &error)),
                };
            }
        };
        let description = ready.describe(path, identity, config, stream.buffers());
        let Ready {
            mut pipeline,
            setup,
            interval,
            ..
        } = ready;
        let camera = Self {
            path: path.to_owned(),
            description,
            geometry,
            has_separate_planes,
            expected: Expected {
                format: geometry.format,
                piece_bytes,
                interval: interval.unwrap_or(ASSUMED_INTERVAL),
            },
            patience: Patience::new(config.timeout),
            warning: pipeline
                .as_mut()
                .and_then(|own| own.warning.take())
                .unwrap_or_default(),
            stream,
            held: None,
            broken: false,
            counts: Counts::default(),
            sequence: Sequence::default(),
            exposure: setup.exposure,
        };
        if let Some(own) = pipeline {
            own.keep();
        }
        Ok(camera)
    }

    fn gone(&self, reason: &str) -> CameraError {
        CameraError::Lost {
            camera: self.path.display().to_string(),
            reason: reason.to_owned(),
        }
    }
}

impl Camera for V4l2Camera {
    fn describe(&self) -> String {
        self.description.clone()
    }

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn next(&mut self) -> Result<Next<'_>, CameraError> {
        if self.broken {
            return Err(self.gone("its stream has stopped"));
        }
        // Until the frame is ready, an early return leaves the stream marked as failed.
        self.broken = true;
        let lost = |error| faults::streaming(&self.path, &error);
        if let Some(index) = self.held.take() {
            self.stream.give_back(index).map_err(lost)?;
        }
        let now = self.stream.now();
        let wait = self.patience.slice_end(now).saturating_sub(now);
        let arrived = newest::newest(&mut self.stream, &self.expected, wait, &mut self.counts)
            .map_err(lost)?;
        let Some(filled) = arrived else {
            if self.patience.is_over(self.stream.now()) {
                return Err(CameraError::Timeout {
                    camera: self.path.display().to_string(),
                    waited: self.patience.timeout(),
                    warning: self.warning.clone(),
                });
            }
            self.broken = false;
            return Ok(Next::NotYet);
        };
        self.patience.arrived();
        self.broken = false;
        self.held = Some(filled.index);
        // A driver clock that runs ahead would give negative latencies.
        let now = self.stream.now();
        let captured_at = filled.captured_at.map_or(now, |at| at.min(now));
        let sequence = self.sequence.extend(filled.sequence);
        if let Some(exposure) = &mut self.exposure {
            let age = now.saturating_sub(captured_at);
            exposure.watch(self.stream.pieces(&filled)[0], sequence, age);
        }
        let mut pieces = self.stream.pieces(&filled);
        if self.geometry.format == PixelFormat::Mjpeg {
            pieces[0] = newest::without_padding(pieces[0]);
        }
        let frame = match self.has_separate_planes {
            true => Frame::of_planes(self.geometry, pieces, captured_at, sequence),
            false => Frame::new(self.geometry, pieces[0], captured_at, sequence),
        };
        match frame {
            Ok(frame) => Ok(Next::Frame(frame)),
            // `newest` has checked the length, and no JPEG's start is padding; this cannot happen, and must not panic.
            Err(error) => Err(CameraError::Lost {
                camera: self.path.display().to_string(),
                reason: error.to_string(),
            }),
        }
    }

    fn counts(&self) -> Counts {
        self.counts
    }
}

/// What "auto" asks each node for: first finished pictures, so that a raw sensor is not preferred to a webcam; then everything
/// that is wanted, if that includes raw formats.
fn rounds(config: &V4l2Config) -> Vec<V4l2Config> {
    let is_ready = |format: &PixelFormat| !matches!(format, PixelFormat::Bayer(_));
    let ready: Vec<_> = config.formats.iter().copied().filter(is_ready).collect();
    let mut rounds = vec![config.clone()];
    if !ready.is_empty() && ready.len() < config.formats.len() {
        let first = V4l2Config {
            formats: ready,
            ..config.clone()
        };
        rounds.insert(0, first);
    }
    rounds
}

/// Opens a node if it is a camera.
fn screened(path: &Path) -> Result<(Node, Identity), CameraError> {
    let node = Node::open(path).map_err(|error| faults::opening(path, &error))?;
    let identity = node
        .identity()
        .map_err(|error| faults::identifying(path, &error))?;
    match find::unsuitable(&identity) {
        None => Ok((node, identity)),
        Some(reason) => Err(CameraError::Unusable(format!(
            "{} ({}) cannot be used: {reason}",
            path.display(),
            identity.card
        ))),
    }
}

/// Extends the driver's 32-bit frame counter past its wrap-around. A driver that starts again at 0 (some do when a stream recovers) has
/// gone on by one.
#[derive(Debug, Default)]
struct Sequence {
    last: Option<u32>,
    total: u64,
}

impl Sequence {
    fn extend(&mut self, sequence: u32) -> u64 {
        self.total += match self.last.map(|last| sequence.wrapping_sub(last)) {
            Some(step) if step > u32::MAX / 2 => 1,
            Some(step) => u64::from(step),
            None => u64::from(sequence),
        };
        self.last = Some(sequence);
        self.total
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn config(device: &str) -> V4l2Config {
        V4l2Config {
            device: Some(device.into()),
            width_px: 640,
            height_px: 480,
            rate_fps: 30,
            formats: vec![PixelFormat::Yuyv],
            sensor: None,
            media: None,
            timeout: Duration::from_millis(100),
            tuning: crate::camera::v4l2::Tuning::default(),
            raw: crate::frame::RawTuning::default(),
        }
    }

    #[test]
    fn a_file_that_is_no_camera_is_refused_with_advice() {
        for (device, expected) in [
            ("/dev/video-that-is-not-there", "plug it in"),
            ("/dev/null", "not a video device"),
            ("/dev", "not a video device"),
            ("/dev/null/video0", "plug it in"),
        ] {
            let error = V4l2Camera::open(&config(device)).unwrap_err();
            assert!(matches!(error, CameraError::Unusable(_)), "{error:?}");
            assert!(error.to_string().contains(expected), "{device}: {error}");
        }
    }

    #[test]
    fn a_plain_file_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("video0");
        std::fs::write(&file, "text").unwrap();
        let error = V4l2Camera::open(&config(file.to_str().unwrap())).unwrap_err();
        assert!(error.to_string().contains("not a video device"), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), b"text");
    }

    #[test]
    fn every_node_is_tried_for_finished_pictures_before_any_for_raw_ones() {
        let raw = PixelFormat::from_fourcc(*b"pRAA").unwrap();
        let asked = |formats: &[PixelFormat]| {
            let config = V4l2Config {
                formats: formats.to_vec(),
                ..config("auto")
            };
            let rounds = rounds(&config).into_iter().map(|round| round.formats);
            rounds.collect::<Vec<_>>()
        };
        let ready = PixelFormat::Yuyv;
        assert_eq!(asked(&[ready]), [vec![ready]]);
        assert_eq!(asked(&[raw]), [vec![raw]]);
        assert_eq!(asked(&[raw, ready]), [vec![ready], vec![raw, ready]]);
    }

    #[test]
    fn counts_go_on_past_32_bits() {
        let mut sequence = Sequence::default();
        assert_eq!(sequence.extend(u32::MAX - 1), u64::from(u32::MAX) - 1);
        assert_eq!(sequence.extend(1), u64::from(u32::MAX) + 2);
        assert_eq!(sequence.extend(4), u64::from(u32::MAX) + 5);
    }

    #[test]
    fn a_counter_that_starts_again_is_no_wrap_around() {
        let mut sequence = Sequence::default();
        let counts = [7, 8, 0, 1, 3, 2].map(|count| sequence.extend(count));
        assert_eq!(counts, [7, 8, 9, 10, 12, 13]);
    }
}
