//! Cameras whose parts are devices of their own: sensor, receiver and node, joined by the kernel's media controller.
//!
//! Such a node delivers no pictures until the links have been enabled and each part's format has been set. `device` makes the
//! kernel calls, `graph` knows the parts, `walk` finds the path from sensor to node, `links` switches its links, `formats`
//! negotiates the formats on them, `branches` those on the side branches, and `setup` does all of that; settings in
//! `[camera.v4l2.media]` take precedence in each. Then the node is negotiated with like any other.

mod branches;
mod calls;
pub(super) mod config;
mod device;
#[cfg(test)]
mod fake;
mod formats;
mod graph;
mod links;
mod setup;
mod subdevice;
mod sys;
mod walk;

use super::faults;
use super::negotiate::Disagreement;
use super::node::{Identity, Node};
use super::sensor::Sensor;
use crate::camera::CameraError;
use crate::camera::v4l2::V4l2Config;
use crate::toml_file::Word;
use calls::{Fault, Request};
use config::MediaConfig;
use device::Device;
use graph::{Graph, listed};
use links::Undo;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use v4l::v4l_sys as sys_v4l;

/// A pipeline that has been set up, and what to request from its node.
#[derive(Debug)]
pub(super) struct Prepared {
    /// What the board file requests, as far as the pipeline can meet them: its size, its formats, the sensor's controls.
    pub config: V4l2Config,
    /// For people.
    pub line: String,
    /// Why it may fail to start, or start and deliver no picture.
    pub warning: Option<String>,
    /// Frame interval; `None` if the sensor does not report it.
    pub interval: Option<Duration>,
    /// Dropping this without [`Self::keep`] restores the links.
    undo: Undo<Device>,
}

impl Prepared {
    /// The stream has started: the links stay.
    pub fn keep(self) {
        self.undo.keep();
    }
}

/// A node's media device.
struct Place {
    device: Device,
    graph: Graph,
    /// The node's entity.
    node: usize,
}

/// Sets up the pipeline of a node that needs one: because its driver says so, the board file does, or the caller knows (`must`).
///
/// # Errors
/// As [`super::V4l2Camera::open`].
pub(super) fn prepare(
    path: &Path,
    node: &Node,
    identity: &Identity,
    config: &V4l2Config,
    must: bool,
) -> Result<Option<Prepared>, CameraError> {
    if !(needs_one(identity) || must || config.media.is_some()) {
        return Ok(None);
    }
    let nothing = MediaConfig::default();
    let by_hand = config.media.as_deref().unwrap_or(&nothing);
    // The board file does not ask for it, and the node may have been set up by another program.
    let is_optional = config.media.is_none() && config.device.is_some();
    let mut place = match find(node, by_hand.device.as_deref()) {
        Ok(place) => place,
        Err(why) if is_optional => {
            log::warn!("{}: {why}; its pipeline is used unchanged", path.display());
            return Ok(None);
        }
        Err(why) => return Err(unusable(path, &why)),
    };
    let sensor = config.sensor.filter(|sensor| sensor.is_raw());
    let request = Request {
        width_px: config.width_px,
        height_px: config.height_px,
        rate_fps: config.rate_fps,
        formats: &config.formats,
        sensor: by_hand.sensor.as_deref().or(sensor.map(Sensor::word)),
        by_hand,
    };
    let Place {
        device,
        graph,
        node,
    } = &mut place;
    let pipeline = match setup::set_up(device, graph, *node, &request) {
        Ok(pipeline) => pipeline,
        Err(Fault::NoWay(why)) if is_optional && request.sensor.is_none() => {
            log::warn!("{}: {why}; its pipeline is used unchanged", path.display());
            return Ok(None);
        }
        Err(Fault::NoWay(why) | Fault::Words(why)) => {
            return Err(unusable(
                path,
                &format!("{} ({why})", device.path.display()),
            ));
        }
        Err(Fault::Call(doing, error)) => {
            return Err(faults::in_pipeline(path, &device.path, &doing, &error));
        }
        Err(Fault::NoFormat(offered)) => {
            let why = Disagreement::of_offered(offered, &config.formats);
            return Err(faults::disagreement(path, config, why));
        }
    };
    let mut config = config.clone();
    (config.width_px, config.height_px) = pipeline.size_px;
    config.formats = pipeline.formats;
    if config.tuning.controls_device.is_none() {
        config.tuning.controls_device = sensor_path(graph, pipeline.sensor);
    }
    let Place {
        device: mut calls,
        graph,
        ..
    } = place;
    calls.close_nodes();
    Ok(Some(Prepared {
        config,
        line: pipeline.line,
        warning: pipeline.warning,
        interval: pipeline.interval,
        undo: Undo {
            calls,
            graph,
            switched: pipeline.switched,
        },
    }))
}

/// The path of a node's pictures in one line, and the sensor's device; or in words, why there is none. Changes nothing.
pub(super) fn describe(
    node: &Node,
    identity: &Identity,
) -> Option<Result<(String, Option<PathBuf>), String>> {
    needs_one(identity).then(|| {
        let Place { graph, node, .. } = find(node, None)?;
        let way = walk::walk(&graph, node, None, &[])?;
        Ok((way.describe(&graph), sensor_path(&graph, Some(way.sensor))))
    })
}

/// Whether a node's driver leaves the pipeline setup to user space.
pub(super) fn needs_one(identity: &Identity) -> bool {
    identity.caps & sys_v4l::V4L2_CAP_IO_MC != 0
}

/// Whether the board file asks for a pipeline, which makes a node with one the likelier camera.
pub(super) fn is_asked_for(config: &V4l2Config) -> bool {
    config.media.is_some() || config.sensor.is_some_and(Sensor::is_raw)
}

fn sensor_path(graph: &Graph, sensor: Option<usize>) -> Option<PathBuf> {
    graph.entities[sensor?].node.and_then(device::path_of)
}

fn unusable(path: &Path, why: &str) -> CameraError {
    CameraError::Unusable(format!(
        "the pipeline of {} cannot be set up: {why}",
        path.display()
    ))
}

/// The media device that a node belongs to, among those with this path, driver or model.
fn find(node: &Node, wanted: Option<&str>) -> Result<Place, String> {
    let numbers = node.device_numbers().map_err(|error| error.to_string())?;
    let mut others = Vec::new();
    for path in device::paths() {
        let shown = path.display().to_string();
        let opened = Device::open(&path).and_then(|device| {
            let graph = device.graph()?;
            Ok((device, graph))
        });
        match opened {
            Ok((device, graph)) => {
                let names = [
                    &shown,
                    &device.info.driver,
                    &device.info.model,
                    &device.info.bus,
                ];
                let is_wanted = wanted.is_none_or(|wanted| names.iter().any(|n| *n == wanted));
                match graph.entity_of(numbers.0, numbers.1) {
                    Some(node) if is_wanted => {
                        return Ok(Place {
                            device,
                            graph,
                            node,
                        });
                    }
                    Some(_) => {
                        others.push(format!("{shown} ({}) has the node", device.info.driver))
                    }
                    None => others.push(format!("{shown} ({})", device.info.driver)),
                }
            }
            Err(error) => others.push(format!("{shown}: {}", explained(&error))),
        }
    }
    let which = wanted.map_or_else(String::new, |wanted| format!("called `{wanted}` "));
    Err(format!(
        "no media device {which}has the node (there are: {})",
        listed(&others)
    ))
}

fn explained(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            format!("{error}: add the user to the group video and log in again")
        }
        _ => error.to_string(),
    }
}
