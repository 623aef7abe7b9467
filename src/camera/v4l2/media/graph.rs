//! The structure of a media device: entities with pads, links between pads, and the device nodes that represent entities.
//!
//! Built from the kernel's lists, leaving out anything inconsistent: a pad without an entity, and a link from a sink or to a pad
//! that does not exist. So all indices in a [`Graph`] are valid.

use super::super::node::text;
use super::config::PadName;
use super::sys::{Objects, RawInterface};
use crate::camera::v4l2::faults::first_of;
use crate::toml_file::did_you_mean;
use std::collections::HashMap;

/// `MEDIA_ENT_F_CAM_SENSOR`
pub(super) const SENSOR: u32 = 0x0002_0001;

const PAD_SINK: u32 = 1;
const PAD_SOURCE: u32 = 1 << 1;
const LINK_ENABLED: u32 = 1;
const LINK_IMMUTABLE: u32 = 1 << 1;
const LINK_KIND: u32 = 0xf << 28;
const LINK_TO_INTERFACE: u32 = 1 << 28;
/// `MEDIA_INTF_T_V4L_VIDEO`
const INTERFACE_VIDEO: u32 = 0x200;
/// `MEDIA_INTF_T_V4L_SUBDEV`
const INTERFACE_SUBDEVICE: u32 = 0x203;

/// A sensor, a receiver, an image processor, a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entity {
    pub id: u32,
    pub name: String,
    pub is_sensor: bool,
    /// Pads, as indices into [`Graph::pads`], in numeric order.
    pub pads: Vec<usize>,
    pub node: Option<DeviceNode>,
}

/// The device node that represents an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeviceNode {
    /// Whether it is a `/dev/videoN`; otherwise a subdevice, `/dev/v4l-subdevN`.
    pub is_video: bool,
    pub major: u32,
    pub minor: u32,
}

impl Entity {
    /// The first video node or subdevice of an entity represents it.
    fn add_node(&mut self, interface: &RawInterface) {
        let is_video = interface.kind == INTERFACE_VIDEO;
        if is_video || interface.kind == INTERFACE_SUBDEVICE {
            self.node.get_or_insert(DeviceNode {
                is_video,
                major: interface.major,
                minor: interface.minor,
            });
        }
    }
}

/// Where links attach to an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pad {
    /// Its entity's index in [`Graph::entities`].
    pub entity: usize,
    pub index: u16,
    pub is_source: bool,
}

/// From a source to a sink, as indices into [`Graph::pads`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub source: usize,
    pub sink: usize,
    pub enabled: bool,
    pub immutable: bool,
    /// As in the kernel: `MEDIA_LNK_FL_*`.
    pub flags: u32,
}

impl Link {
    /// The flags with which to switch it: the kernel accepts only the link's own flags apart from the one being switched
    /// (`MEDIA_IOC_SETUP_LINK`, for links that can be switched while streaming).
    pub fn switched_to(&self, enabled: bool) -> u32 {
        self.flags & !LINK_ENABLED | if enabled { LINK_ENABLED } else { 0 }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Graph {
    pub entities: Vec<Entity>,
    pub pads: Vec<Pad>,
    pub links: Vec<Link>,
}

impl Graph {
    /// The consistent part of the kernel's lists.
    pub fn new(objects: &Objects) -> Self {
        let mut graph = Self::default();
        let mut entities = HashMap::new();
        for raw in &objects.entities {
            entities.entry(raw.id).or_insert_with(|| {
                graph.entities.push(Entity {
                    id: raw.id,
                    name: text(&raw.name),
                    is_sensor: raw.function == SENSOR,
                    pads: Vec::new(),
                    node: None,
                });
                graph.entities.len() - 1
            });
        }
        let mut pads = HashMap::new();
        for raw in &objects.pads {
            let (Some(&entity), Ok(index)) =
                (entities.get(&raw.entity_id), u16::try_from(raw.index))
            else {
                continue;
            };
            let is_source = match raw.flags & (PAD_SINK | PAD_SOURCE) {
                PAD_SINK => false,
                PAD_SOURCE => true,
                _ => continue,
            };
            if pads.contains_key(&raw.id) || graph.pad(entity, index).is_some() {
                continue;
            }
            pads.insert(raw.id, graph.pads.len());
            graph.entities[entity].pads.push(graph.pads.len());
            graph.pads.push(Pad {
                entity,
                index,
                is_source,
            });
        }
        for entity in &mut graph.entities {
            entity.pads.sort_by_key(|&pad| graph.pads[pad].index);
        }
        for raw in &objects.links {
            match raw.flags & LINK_KIND {
                0 => {
                    let ends = (pads.get(&raw.source_id), pads.get(&raw.sink_id));
                    if let (Some(&source), Some(&sink)) = ends {
                        graph.add_link(source, sink, raw.flags);
                    }
                }
                LINK_TO_INTERFACE => {
                    let mut interfaces = objects.interfaces.iter();
                    let interface = interfaces.find(|interface| interface.id == raw.source_id);
                    if let (Some(interface), Some(&entity)) =
                        (interface, entities.get(&raw.sink_id))
                    {
                        graph.entities[entity].add_node(interface);
                    }
                }
                _ => {}
            }
        }
        graph
    }

    /// Adds a link between two pads if it leads from a source to a sink.
    fn add_link(&mut self, source: usize, sink: usize, flags: u32) {
        if self.pads[source].is_source && !self.pads[sink].is_source {
            self.links.push(Link {
                source,
                sink,
                enabled: flags & LINK_ENABLED != 0,
                immutable: flags & LINK_IMMUTABLE != 0,
                flags,
            });
        }
    }

    /// The entity that a `/dev/videoN` represents.
    pub fn entity_of(&self, major: u32, minor: u32) -> Option<usize> {
        let node = DeviceNode {
            is_video: true,
            major,
            minor,
        };
        self.entities
            .iter()
            .position(|entity| entity.node == Some(node))
    }

    /// The pad with this number.
    pub fn pad(&self, entity: usize, index: u16) -> Option<usize> {
        let mut pads = self.entities[entity].pads.iter().copied();
        pads.find(|&pad| self.pads[pad].index == index)
    }

    /// Pads of one direction, in numeric order.
    pub fn pads_of(&self, entity: usize, is_source: bool) -> Vec<usize> {
        let pads = self.entities[entity].pads.iter().copied();
        pads.filter(|&pad| self.pads[pad].is_source == is_source)
            .collect()
    }

    /// The entity that a pad belongs to.
    pub fn entity_at(&self, pad: usize) -> &Entity {
        &self.entities[self.pads[pad].entity]
    }

    /// A pad, for people: `imx219 10-0010:0`.
    pub fn pad_name(&self, pad: usize) -> String {
        format!("{}:{}", self.entity_at(pad).name, self.pads[pad].index)
    }

    /// A link, for people.
    pub fn link_name(&self, link: usize) -> String {
        let link = self.links[link];
        format!(
            "{} -> {}",
            self.pad_name(link.source),
            self.pad_name(link.sink)
        )
    }

    /// The pad with this name, or what exists instead.
    pub fn named(&self, name: &PadName) -> Result<usize, String> {
        let same = |entity: &Entity| entity.name == name.entity;
        let Some(entity) = self.entities.iter().position(same) else {
            let names: Vec<_> = self.entities.iter().map(|e| e.name.as_str()).collect();
            let near = did_you_mean(&name.entity, names.iter().copied());
            return Err(format!(
                "there is no entity `{}`{near} (there are {})",
                name.entity,
                listed(&names)
            ));
        };
        let index = u16::try_from(name.index).ok();
        index
            .and_then(|index| self.pad(entity, index))
            .ok_or_else(|| {
                let pads: Vec<String> = self.entities[entity]
                    .pads
                    .iter()
                    .map(|&pad| match self.pads[pad] {
                        Pad {
                            index,
                            is_source: true,
                            ..
                        } => format!("{index} (source)"),
                        Pad { index, .. } => format!("{index} (sink)"),
                    })
                    .collect();
                format!(
                    "`{}` has no pad {}, its pads are {}",
                    name.entity,
                    name.index,
                    listed(&pads)
                )
            })
    }

    /// The link between two pads, or which links exist instead.
    pub fn link_between(&self, source: usize, sink: usize) -> Result<usize, String> {
        let mut links = self.links.iter();
        let found = links.position(|link| (link.source, link.sink) == (source, sink));
        found.ok_or_else(|| {
            let ends = [self.pads[source].entity, self.pads[sink].entity];
            let near: Vec<String> = (0..self.links.len())
                .filter(|&at| {
                    let Link { source, sink, .. } = self.links[at];
                    self.pads[source].entity == ends[0] || self.pads[sink].entity == ends[1]
                })
                .map(|at| self.link_name(at))
                .collect();
            format!(
                "there is no link {} -> {} (their entities have {})",
                self.pad_name(source),
                self.pad_name(sink),
                listed(&near)
            )
        })
    }
}

/// A list for a message, truncated if it is long.
pub(super) fn listed<T: AsRef<str>>(names: &[T]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let names = names.iter().map(AsRef::as_ref);
    first_of(names, 24, |more| format!("{more} more")).join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fake::Build;
    use super::*;

    #[test]
    fn inconsistent_objects_are_left_out() {
        let mut build = Build::default();
        let sensor = build.entity("sensor", SENSOR);
        let node = build.entity("node", 0x10001);
        let out = build.pad(sensor, 0, true);
        let into = build.pad(node, 0, false);
        build.link(out, into, 1);
        let whole = build.graph();
        assert_eq!((whole.pads.len(), whole.links.len()), (2, 1));

        let mut odd = build.clone();
        odd.pad(999, 0, true);
        odd.pad(sensor, 0, false);
        odd.link(into, out, 1);
        odd.link(out, 998, 1);
        odd.link(997, into, 1);
        odd.link(out, into, 2 << 28);
        odd.link(996, sensor, 1 << 28);
        assert_eq!(odd.graph(), whole);
    }

    #[test]
    fn missing_objects_are_reported_with_those_that_exist() {
        let mut build = Build::default();
        let sensor = build.entity("imx219 10-0010", SENSOR);
        let receiver = build.entity("csi2", 0);
        let out = build.pad(sensor, 0, true);
        let into = build.pad(receiver, 0, false);
        let on = build.pad(receiver, 4, true);
        build.link(out, into, 0);
        let _ = on;
        let graph = build.graph();
        let name = |entity: &str, index| PadName {
            entity: entity.to_owned(),
            index,
        };
        assert_eq!(graph.named(&name("csi2", 4)), Ok(2));
        assert_eq!(
            graph.named(&name("imx219", 0)).unwrap_err(),
            "there is no entity `imx219`, did you mean `imx219 10-0010`? (there are imx219 10-0010, csi2)"
        );
        assert_eq!(
            graph.named(&name("csi2", 70_000)).unwrap_err(),
            "`csi2` has no pad 70000, its pads are 0 (sink), 4 (source)"
        );
        assert_eq!(
            graph.link_between(2, 1).unwrap_err(),
            "there is no link csi2:4 -> csi2:0 (their entities have imx219 10-0010:0 -> csi2:0)"
        );
    }

    #[test]
    fn long_lists_are_truncated() {
        assert!(listed(&["x"; 30]).ends_with("x, 6 more"));
        assert_eq!(listed::<&str>(&[]), "none");
    }
}
