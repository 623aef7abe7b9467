//! One open `/dev/mediaN` with the subdevices and nodes of its entities: implements [`Calls`] with kernel calls.

use super::super::node::Node;
use super::calls::Calls;
use super::graph::{DeviceNode, Graph};
use super::subdevice::{self, PadFormat};
use super::sys::{self, Info};
use crate::camera::v4l2::negotiate::Driver;
use crate::camera::v4l2::{BusFormat, FourCc};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Where the nodes are.
const DEV: &str = "/dev";

/// The kernel version since which pads report their numbers (`MEDIA_V2_PAD_HAS_INDEX`).
const PADS_HAVE_NUMBERS_SINCE: u32 = 4 << 16 | 19 << 8;

/// Enumerations normally end; a driver that never ends is cut off here.
const MAX_ENTRIES: u32 = 256;

/// An open media device.
#[derive(Debug)]
pub(super) struct Device {
    pub path: PathBuf,
    pub info: Info,
    file: File,
    /// Subdevices and video nodes opened so far, by the entity's index in the graph.
    nodes: HashMap<usize, Node>,
}

/// The media devices of this machine, in numeric order.
pub(super) fn paths() -> Vec<PathBuf> {
    let mut numbers: Vec<u32> = entries("media")
        .filter_map(|path| {
            path.file_name()?
                .to_str()?
                .strip_prefix("media")?
                .parse()
                .ok()
        })
        .collect();
    numbers.sort_unstable();
    let path = |number| Path::new(DEV).join(format!("media{number}"));
    numbers.into_iter().map(path).collect()
}

/// The entries of `/dev` with this prefix.
fn entries(beginning: &'static str) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(DEV).into_iter().flatten().flatten();
    entries
        .filter(move |entry| {
            let name = entry.file_name();
            name.to_str()
                .is_some_and(|name| name.starts_with(beginning))
        })
        .map(|entry| entry.path())
}

/// The device file with this number; names cannot be relied on, because udev chooses them.
pub(super) fn path_of(node: DeviceNode) -> Option<PathBuf> {
    let beginning = if node.is_video { "video" } else { "v4l-subdev" };
    entries(beginning).find(|path| {
        fs::metadata(path).is_ok_and(|about| {
            about.file_type().is_char_device()
                && libc::major(about.rdev()) == node.major
                && libc::minor(about.rdev()) == node.minor
        })
    })
}

impl Device {
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let info = sys::info(&file)?;
        if info.media_version < PADS_HAVE_NUMBERS_SINCE {
            return Err(io::Error::other(
                "its kernel is older than 4.19 and does not number the pads",
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            info,
            file,
            nodes: HashMap::new(),
        })
    }

    /// Its current parts.
    pub fn graph(&self) -> io::Result<Graph> {
        sys::objects(&self.file).map(|objects| Graph::new(&objects))
    }

    /// Closes subdevices and video nodes; they are reopened when needed.
    pub fn close_nodes(&mut self) {
        self.nodes.clear();
    }

    fn subdevice(&mut self, graph: &Graph, pad: usize) -> io::Result<(&Node, u32)> {
        let pad = graph.pads[pad];
        Ok((self.node(graph, pad.entity)?, pad.index.into()))
    }

    fn node(&mut self, graph: &Graph, entity: usize) -> io::Result<&mut Node> {
        match self.nodes.entry(entity) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(place) => {
                let node = Node::open(&path_of_entity(graph, entity)?)?;
                Ok(place.insert(node))
            }
        }
    }
}

/// The device file of an entity.
fn path_of_entity(graph: &Graph, entity: usize) -> io::Result<PathBuf> {
    let entity = &graph.entities[entity];
    entity
        .node
        .and_then(path_of)
        .ok_or_else(|| io::Error::other(format!("`{}` has no device file in {DEV}", entity.name)))
}

impl Calls for Device {
    fn setup_link(&mut self, graph: &Graph, link: usize, flags: u32) -> io::Result<()> {
        let end = |pad: usize| (graph.entity_at(pad).id, graph.pads[pad].index);
        let link = graph.links[link];
        sys::setup_link(&self.file, end(link.source), end(link.sink), flags)
    }

    fn codes(&mut self, graph: &Graph, pad: usize) -> Vec<BusFormat> {
        let Ok((node, index)) = self.subdevice(graph, pad) else {
            return Vec::new();
        };
        let codes = (0..MAX_ENTRIES).map_while(|at| subdevice::bus_code(node, index, at).ok());
        codes.map(BusFormat).collect()
    }

    fn sizes(&mut self, graph: &Graph, pad: usize, code: BusFormat) -> Vec<[(u32, u32); 2]> {
        let Ok((node, index)) = self.subdevice(graph, pad) else {
            return Vec::new();
        };
        let size = |at| subdevice::frame_size(node, index, code.0, at).ok();
        (0..MAX_ENTRIES).map_while(size).collect()
    }

    fn format(&mut self, graph: &Graph, pad: usize) -> io::Result<PadFormat> {
        let (node, index) = self.subdevice(graph, pad)?;
        subdevice::format(node, index)
    }

    fn set_format(&mut self, graph: &Graph, pad: usize, ask: PadFormat) -> io::Result<PadFormat> {
        let (node, index) = self.subdevice(graph, pad)?;
        subdevice::set_format(node, index, ask)
    }

    fn set_frame_rate(
        &mut self,
        graph: &Graph,
        pad: usize,
        rate_fps: u32,
    ) -> io::Result<(u32, u32)> {
        let (node, index) = self.subdevice(graph, pad)?;
        subdevice::set_frame_rate(node, index, rate_fps)
    }

    fn node_formats(&mut self, graph: &Graph, entity: usize, code: BusFormat) -> Vec<FourCc> {
        let node = self.node(graph, entity);
        node.map_or_else(|_| Vec::new(), |node| node.formats_of(code))
    }

    fn set_node_format(
        &mut self,
        graph: &Graph,
        entity: usize,
        format: FourCc,
        (width_px, height_px): (u32, u32),
    ) -> io::Result<(u32, u32)> {
        let accepted = self
            .node(graph, entity)?
            .set_format(format, width_px, height_px)?;
        Ok((accepted.width_px, accepted.height_px))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_media_device_is_refused() {
        assert!(Device::open(Path::new("/dev/null")).is_err());
        assert!(Device::open(Path::new("/dev/media-that-is-not-there")).is_err());
        let nowhere = DeviceNode {
            is_video: true,
            major: 4095,
            minor: 7,
        };
        assert_eq!(path_of(nowhere), None);
    }
}
