//! What setting up a pipeline asks of the kernel, what is wished for, and what comes of it.

use super::config::MediaConfig;
use super::graph::Graph;
use super::subdevice::PadFormat;
use crate::camera::v4l2::{BusFormat, FourCc};
use crate::frame::PixelFormat;
use std::io;
use std::time::Duration;

/// What is asked of a media device and of the nodes of its entities. Pads, links and entities by their places in the graph.
pub(super) trait Calls {
    /// Enables or disables a link by its new flags.
    fn setup_link(&mut self, graph: &Graph, link: usize, flags: u32) -> io::Result<()>;
    /// The codes that a pad takes; empty when the driver does not say.
    fn codes(&mut self, graph: &Graph, pad: usize) -> Vec<BusFormat>;
    /// The least and largest sizes of a code; empty when the driver does not say.
    fn sizes(&mut self, graph: &Graph, pad: usize, code: BusFormat) -> Vec<[(u32, u32); 2]>;
    /// What a pad is set to.
    fn format(&mut self, graph: &Graph, pad: usize) -> io::Result<PadFormat>;
    /// Asks for a format; what was taken.
    fn set_format(&mut self, graph: &Graph, pad: usize, ask: PadFormat) -> io::Result<PadFormat>;
    /// Asks for a frame rate; the time between frames that was taken, in seconds as a fraction.
    fn set_frame_rate(
        &mut self,
        graph: &Graph,
        pad: usize,
        rate_fps: u32,
    ) -> io::Result<(u32, u32)>;
    /// The picture formats that a video node makes of a code.
    fn node_formats(&mut self, graph: &Graph, entity: usize, code: BusFormat) -> Vec<FourCc>;
    /// Asks a video node for a format; the size that was taken.
    fn set_node_format(
        &mut self,
        graph: &Graph,
        entity: usize,
        format: FourCc,
        size_px: (u32, u32),
    ) -> io::Result<(u32, u32)>;
}

/// What the board file wants of a pipeline.
pub(super) struct Wish<'a> {
    pub width_px: u32,
    pub height_px: u32,
    /// 0 leaves it alone.
    pub rate_fps: u32,
    /// Best first.
    pub formats: &'a [PixelFormat],
    /// The beginning of the sensor's name.
    pub sensor: Option<&'a str>,
    pub by_hand: &'a MediaConfig,
}

/// A pipeline that is set up.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipeline {
    /// For people.
    pub line: String,
    /// The sensor's place among the entities; `None` when all was set by hand.
    pub sensor: Option<usize>,
    /// What the node makes of it, of the formats that were wished for.
    pub formats: Vec<PixelFormat>,
    pub size_px: (u32, u32),
    /// In words, a branch that takes another format or stays enabled: the pipeline may refuse to start for it.
    pub doubt: Option<String>,
    /// Time between frames; `None` when the sensor does not say.
    pub interval: Option<Duration>,
    /// Links that were switched for it, in that order.
    pub switched: Vec<usize>,
}

/// Why a pipeline is not set up.
#[derive(Debug)]
pub(super) enum Fault {
    /// No sensor leads to the node, in words.
    NoWay(String),
    /// The board file, or the parts among each other, in words.
    Words(String),
    /// A call that failed, and what it was for.
    Call(String, io::Error),
    /// Nothing that is wished for; this is what the node could make.
    NoFormat(Vec<FourCc>),
}

/// Whether two pads carry the same pictures.
pub(super) fn agree(one: &PadFormat, other: &PadFormat) -> bool {
    (one.code, one.width_px, one.height_px) == (other.code, other.width_px, other.height_px)
}

/// A format as `media-ctl` spells it.
pub(super) fn shown(format: &PadFormat) -> String {
    let PadFormat {
        width_px,
        height_px,
        code,
        ..
    } = *format;
    format!("{}/{width_px}x{height_px}", BusFormat(code))
}
