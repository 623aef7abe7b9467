//! Made-up media devices for tests: topologies as the kernel lists them, and drivers that answer as real ones do.

use super::calls::Calls;
use super::graph::{Graph, SENSOR};
use super::subdevice::PadFormat;
use super::sys::{Objects, RawEntity, RawInterface, RawLink, RawPad};
use crate::camera::v4l2::{BusFormat, FourCc};
use fastrand::Rng;
use std::collections::HashMap;
use std::io;

/// `MEDIA_ENT_F_IO_V4L`
const NODE: u32 = 0x0001_0001;

/// A topology under construction. Ids count upwards over all kinds of objects.
#[derive(Debug, Clone, Default)]
pub struct Build {
    objects: Objects,
    last_id: u32,
}

impl Build {
    fn id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    pub fn entity(&mut self, name: &str, function: u32) -> u32 {
        let id = self.id();
        let mut field = [0; 64];
        field[..name.len()].copy_from_slice(name.as_bytes());
        self.objects.entities.push(RawEntity {
            id,
            name: field,
            function,
            flags: 0,
            reserved: [0; 5],
        });
        id
    }

    /// A `/dev/videoN` with one sink pad, and its interface.
    fn node(&mut self, name: &str, minor: u32) -> u32 {
        self.node_with(name, minor, false)
    }

    fn node_with(&mut self, name: &str, minor: u32, is_source: bool) -> u32 {
        let entity = self.entity(name, NODE);
        let id = self.id();
        self.objects.interfaces.push(RawInterface {
            id,
            kind: 0x200,
            flags: 0,
            reserved: [0; 9],
            major: 81,
            minor,
            rest: [0; 14],
        });
        self.link(id, entity, 1 << 28);
        self.pad(entity, 0, is_source)
    }

    pub fn pad(&mut self, entity_id: u32, index: u32, is_source: bool) -> u32 {
        let id = self.id();
        self.objects.pads.push(RawPad {
            id,
            entity_id,
            flags: if is_source { 2 } else { 1 },
            index,
            ..RawPad::default()
        });
        id
    }

    pub fn link(&mut self, source_id: u32, sink_id: u32, flags: u32) {
        let id = self.id();
        self.objects.links.push(RawLink {
            id,
            source_id,
            sink_id,
            flags,
            ..RawLink::default()
        });
    }

    /// Enables the link with this notation.
    pub fn enable(&mut self, link: &str) {
        self.flag(link, 1);
    }

    /// Adds `MEDIA_LNK_FL_*` to the link with this notation.
    pub fn flag(&mut self, link: &str, flags: u32) {
        let graph = self.graph();
        let at = (0..graph.links.len()).find(|&at| graph.link_name(at) == link);
        let at = at.unwrap_or_else(|| panic!("no link {link}"));
        let data = self
            .objects
            .links
            .iter_mut()
            .filter(|link| link.flags >> 28 == 0);
        data.into_iter().nth(at).expect("as many").flags |= flags;
    }

    pub fn graph(&self) -> Graph {
        Graph::new(&self.objects)
    }

    /// Nonsense: ids that repeat or lead nowhere, circles, links from sinks, pads without entity.
    pub fn random(random: &mut Rng) -> Self {
        let mut build = Self::default();
        let most = random.u32(1..60);
        for _ in 0..random.u32(0..12) {
            let function = if random.u8(0..4) == 0 {
                SENSOR
            } else {
                random.u32(..)
            };
            build.entity("entity", function);
            build.objects.entities.last_mut().expect("one").id = random.u32(0..12);
        }
        for _ in 0..random.u32(0..30) {
            let (entity, index) = (random.u32(0..12), random.u32(0..4));
            build.pad(entity, index, random.bool());
            let pad = build.objects.pads.last_mut().expect("one");
            pad.id = random.u32(0..most);
            if random.u8(0..10) == 0 {
                (pad.flags, pad.index) = (random.u32(0..4), random.u32(..));
            }
        }
        for _ in 0..random.u32(0..60) {
            let (mut source, mut sink) = (random.u32(0..most), random.u32(0..most));
            if random.u8(0..4) > 0 {
                let pads = &build.objects.pads;
                let mut end = |flags: u32| {
                    let pads: Vec<_> = pads.iter().filter(|pad| pad.flags == flags).collect();
                    random.choice(pads).map(|pad| pad.id)
                };
                (source, sink) = (end(2).unwrap_or(source), end(1).unwrap_or(sink));
            }
            let kind = if random.u8(0..8) == 0 {
                random.u32(..)
            } else {
                0
            };
            build.link(source, sink, kind | random.u32(0..4));
        }
        build
    }
}

/// The kernel's virtual media controller driver in Linux 6.12.
pub fn vimc() -> Build {
    let mut build = Build::default();
    let mut sensor = |name: &str| {
        let entity = build.entity(name, SENSOR);
        build.pad(entity, 0, true)
    };
    let (a, b) = (sensor("Sensor A"), sensor("Sensor B"));
    let input = sensor("RGB/YUV Input");
    let mut two = |name: &str| {
        let entity = build.entity(name, 0x4002);
        (build.pad(entity, 0, false), build.pad(entity, 1, true))
    };
    let (debayer_a, debayer_b, scaler) = (two("Debayer A"), two("Debayer B"), two("Scaler"));
    let raw_0 = build.node("Raw Capture 0", 0);
    let raw_1 = build.node("Raw Capture 1", 1);
    let rgb = build.node("RGB/YUV Capture", 2);
    for (source, sink) in [(a, debayer_a.0), (a, raw_0), (b, debayer_b.0), (b, raw_1)] {
        build.link(source, sink, 3);
    }
    build.link(input, scaler.0, 0);
    build.link(debayer_a.1, scaler.0, 0);
    build.link(debayer_b.1, scaler.0, 0);
    build.link(scaler.1, rgb, 3);
    build
}

/// A Raspberry Pi 5's receiver with a Camera Module 2, as kernel 6.6 lists it: pictures over channel 0, embedded data over 1.
/// Picture channels also lead to the front end, which expects its settings from a node.
pub fn rp1_cfe() -> Build {
    let mut build = Build::default();
    let csi2 = build.entity("csi2", 0x5002);
    let sinks: Vec<_> = (0..4).map(|at| build.pad(csi2, at, false)).collect();
    let sources: Vec<_> = (4..8).map(|at| build.pad(csi2, at, true)).collect();
    for (at, source) in (0..4).zip(&sources) {
        let node = build.node(&format!("rp1-cfe-csi2_ch{at}"), at);
        build.link(*source, node, 0);
    }
    let sensor = build.entity("imx219 10-0010", SENSOR);
    let pictures = build.pad(sensor, 0, true);
    let embedded = build.pad(sensor, 1, true);
    let front_end = build.entity("pisp-fe", 0x4009);
    let stream = build.pad(front_end, 0, false);
    let settings = build.pad(front_end, 1, false);
    for at in [0, 2, 3] {
        build.link(sources[at], stream, 0);
    }
    for (at, name) in (4..).zip(["fe_image0", "fe_image1", "fe_stats"]) {
        let node = build.node(&format!("rp1-cfe-{name}"), at);
        let out = build.pad(front_end, at - 2, true);
        build.link(out, node, 0);
    }
    let node = build.node_with("rp1-cfe-fe_config", 7, true);
    build.link(node, settings, 0);
    // The wrong one first.
    build.link(embedded, sinks[1], 3);
    build.link(pictures, sinks[0], 3);
    build
}

/// How one entity handles formats.
#[derive(Debug, Clone)]
pub struct Part {
    /// Codes that its sinks take (for a sensor or receiver, its sources too), the default first.
    pub takes: Vec<u32>,
    /// The codes that its sources deliver, if different.
    pub makes: Option<Vec<u32>>,
    /// Supported sizes; empty means any, except for a scaler's sink.
    pub sizes: Vec<(u32, u32)>,
    /// Whether its source may have a different size from its sink.
    pub scales: bool,
    /// The field (`V4L2_FIELD_*`) that its pads settle on; `None`: the requested one.
    pub field: Option<u32>,
}

impl Part {
    pub fn of(takes: &[u32]) -> Self {
        Self {
            takes: takes.to_vec(),
            makes: None,
            sizes: Vec::new(),
            scales: false,
            field: None,
        }
    }
}

/// A media device that remembers its settings.
pub struct Fake {
    pub graph: Graph,
    /// By the entity's name; an entity without an entry accepts everything.
    pub parts: HashMap<String, Part>,
    /// A node's formats by code.
    pub node_formats: Vec<(u32, [u8; 4])>,
    /// Each pad's current format.
    pub now: HashMap<usize, PadFormat>,
    pub nodes_now: HashMap<usize, (FourCc, u32, u32)>,
    pub links_set: Vec<String>,
    /// Links over which another program is streaming.
    pub busy: Vec<String>,
    /// By the entity's name: the error with which its driver refuses a format.
    pub refuses: HashMap<String, i32>,
    pub calls: usize,
    /// The call with this number fails with ENODEV.
    pub dies_at: usize,
}

impl Fake {
    pub fn new(build: &Build) -> Self {
        Self {
            graph: build.graph(),
            parts: HashMap::new(),
            node_formats: Vec::new(),
            now: HashMap::new(),
            nodes_now: HashMap::new(),
            links_set: Vec::new(),
            busy: Vec::new(),
            refuses: HashMap::new(),
            calls: 0,
            dies_at: usize::MAX,
        }
    }

    fn part(&self, pad: usize) -> Part {
        let name = &self.graph.entity_at(pad).name;
        self.parts
            .get(name)
            .cloned()
            .unwrap_or_else(|| Part::of(&[]))
    }

    fn count(&mut self) -> io::Result<()> {
        self.calls += 1;
        if self.calls >= self.dies_at {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        Ok(())
    }

    /// Whether the two ends of each enabled link agree, as STREAMON requires.
    pub fn disagreements(&self) -> Vec<String> {
        let links = self.graph.links.iter().enumerate();
        links
            .filter(|(_, link)| {
                let ends = [link.source, link.sink].map(|pad| self.now.get(&pad));
                let sink = self.graph.pads[link.sink].entity;
                let node = self.nodes_now.get(&sink);
                link.enabled
                    && match (ends, node) {
                        ([Some(source), _], Some(node)) => {
                            (source.width_px, source.height_px) != (node.1, node.2)
                        }
                        ([Some(source), Some(sink)], None) => source != sink,
                        _ => false,
                    }
            })
            .map(|(at, _)| self.graph.link_name(at))
            .collect()
    }

    /// The nodes for which rp1-cfe holds back the stream of `node`: those with an enabled link, of which no other is streaming.
    pub fn held_by(&self, node: &str) -> Vec<&str> {
        let enabled = self.graph.links.iter().filter(|link| link.enabled);
        let ends = enabled.flat_map(|link| [link.source, link.sink]);
        let ends = ends.map(|pad| self.graph.entity_at(pad));
        ends.filter(|entity| entity.node.is_some_and(|node| node.is_video))
            .map(|entity| entity.name.as_str())
            .filter(|name| *name != node)
            .collect()
    }
}

impl Calls for Fake {
    /// As the kernel's `__media_entity_setup_link`: only one flag may differ.
    fn setup_link(&mut self, graph: &Graph, link: usize, flags: u32) -> io::Result<()> {
        self.count()?;
        let own = self.graph.links[link];
        let enabled = flags & 1 != 0;
        if (own.flags ^ flags) & !1 != 0 || own.immutable {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let name = graph.link_name(link);
        if self.busy.contains(&name) {
            return Err(io::Error::from_raw_os_error(libc::EBUSY));
        }
        let off = if enabled { "" } else { " off" };
        self.links_set.push(format!("{name}{off}"));
        self.graph.links[link].enabled = enabled;
        Ok(())
    }

    fn codes(&mut self, _: &Graph, pad: usize) -> Vec<BusFormat> {
        self.calls += 1;
        let part = self.part(pad);
        let codes = match part.makes {
            Some(makes) if self.graph.pads[pad].is_source => makes,
            _ => part.takes,
        };
        codes.into_iter().map(BusFormat).collect()
    }

    fn sizes(&mut self, _: &Graph, pad: usize, _: BusFormat) -> Vec<[(u32, u32); 2]> {
        self.calls += 1;
        let sizes = self.part(pad).sizes;
        sizes.into_iter().map(|size| [size, size]).collect()
    }

    fn format(&mut self, _: &Graph, pad: usize) -> io::Result<PadFormat> {
        self.count()?;
        Ok(self.now.get(&pad).copied().unwrap_or_default())
    }

    fn set_format(&mut self, _: &Graph, pad: usize, ask: PadFormat) -> io::Result<PadFormat> {
        self.count()?;
        if let Some(&errno) = self.refuses.get(&self.graph.entity_at(pad).name) {
            return Err(io::Error::from_raw_os_error(errno));
        }
        let part = self.part(pad);
        let codes: Vec<u32> = self
            .codes(&Graph::default(), pad)
            .into_iter()
            .map(|c| c.0)
            .collect();
        let mut taken = ask;
        taken.field = part.field.unwrap_or(ask.field);
        if !codes.is_empty() && !codes.contains(&ask.code) {
            taken.code = codes[0];
        }
        let Graph { pads, .. } = &self.graph;
        let entity = pads[pad].entity;
        let sinks = self.graph.pads_of(entity, false);
        let sink = sinks.first().and_then(|sink| self.now.get(sink));
        match sink {
            Some(sink) if pads[pad].is_source && !part.scales => {
                (taken.width_px, taken.height_px) = (sink.width_px, sink.height_px);
            }
            _ => {}
        }
        if !part.sizes.is_empty() && !part.sizes.contains(&(taken.width_px, taken.height_px)) {
            (taken.width_px, taken.height_px) = part.sizes[0];
        }
        self.now.insert(pad, taken);
        Ok(taken)
    }

    fn set_frame_rate(&mut self, _: &Graph, _: usize, rate_fps: u32) -> io::Result<(u32, u32)> {
        self.count()?;
        Ok((1, rate_fps))
    }

    fn node_formats(&mut self, _: &Graph, _: usize, code: BusFormat) -> Vec<FourCc> {
        self.calls += 1;
        let formats = self.node_formats.iter().filter(|(own, _)| *own == code.0);
        formats.map(|(_, fourcc)| FourCc(*fourcc)).collect()
    }

    fn set_node_format(
        &mut self,
        _: &Graph,
        entity: usize,
        format: FourCc,
        (width_px, height_px): (u32, u32),
    ) -> io::Result<(u32, u32)> {
        self.count()?;
        self.nodes_now.insert(entity, (format, width_px, height_px));
        Ok((width_px, height_px))
    }
}
