//! The kernel calls that setting up a pipeline needs, what is requested, and the result.

use super::config::MediaConfig;
use super::graph::Graph;
use super::subdevice::PadFormat;
use crate::camera::v4l2::field::Field;
use crate::camera::v4l2::{BusFormat, FourCc};
use crate::frame::PixelFormat;
use std::io;
use std::time::Duration;

/// Calls on a media device and on the nodes of its entities. Pads, links and entities are given by their indices in the graph.
pub(super) trait Calls {
    /// Enables or disables a link through its new flags.
    fn setup_link(&mut self, graph: &Graph, link: usize, flags: u32) -> io::Result<()>;
    /// The codes that a pad accepts; empty if the driver does not say.
    fn codes(&mut self, graph: &Graph, pad: usize) -> Vec<BusFormat>;
    /// The smallest and largest sizes of a code; empty if the driver does not say.
    fn sizes(&mut self, graph: &Graph, pad: usize, code: BusFormat) -> Vec<[(u32, u32); 2]>;
    /// A pad's current format.
    fn format(&mut self, graph: &Graph, pad: usize) -> io::Result<PadFormat>;
    /// Requests a format; returns the one the driver chose.
    fn set_format(&mut self, graph: &Graph, pad: usize, ask: PadFormat) -> io::Result<PadFormat>;
    /// Requests a frame rate; returns the resulting frame interval, in seconds as a fraction.
    fn set_frame_rate(
        &mut self,
        graph: &Graph,
        pad: usize,
        rate_fps: u32,
    ) -> io::Result<(u32, u32)>;
    /// The picture formats that a video node makes of a code.
    fn node_formats(&mut self, graph: &Graph, entity: usize, code: BusFormat) -> Vec<FourCc>;
    /// Requests a format of a video node; returns the size it chose.
    fn set_node_format(
        &mut self,
        graph: &Graph,
        entity: usize,
        format: FourCc,
        size_px: (u32, u32),
    ) -> io::Result<(u32, u32)>;
}

/// What the board file requests of a pipeline.
pub(super) struct Request<'a> {
    pub width_px: u32,
    pub height_px: u32,
    /// 0 leaves the rate alone.
    pub rate_fps: u32,
    /// Best first.
    pub formats: &'a [PixelFormat],
    /// Prefix of the sensor's name.
    pub sensor: Option<&'a str>,
    pub by_hand: &'a MediaConfig,
}

/// A pipeline that has been set up.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipeline {
    /// For people.
    pub line: String,
    /// The sensor's index among the entities; `None` if everything was set up by hand.
    pub sensor: Option<usize>,
    /// Which of the requested formats the node makes of it.
    pub formats: Vec<PixelFormat>,
    pub size_px: (u32, u32),
    /// Describes a branch that takes another format or stays enabled: the pipeline may fail to start because of it.
    pub warning: Option<String>,
    /// Frame interval; `None` if the sensor does not report it.
    pub interval: Option<Duration>,
    /// Links that were switched for it, in order.
    pub switched: Vec<usize>,
}

/// Why a pipeline was not set up.
#[derive(Debug)]
pub(super) enum Fault {
    /// No sensor leads to the node; in words.
    NoWay(String),
    /// The board file is wrong or the parts disagree; in words.
    Words(String),
    /// A call that failed, and what it was for.
    Call(String, io::Error),
    /// None of the requested formats; this is what the node could make.
    NoFormat(Vec<FourCc>),
}

/// Whether two pads have the same code and size.
pub(super) fn is_like(one: &PadFormat, other: &PadFormat) -> bool {
    (one.code, one.width_px, one.height_px) == (other.code, other.width_px, other.height_px)
}

/// Whether a pad has taken what the pad before it brings.
pub(super) fn agree(taken: &PadFormat, brings: &PadFormat) -> bool {
    is_like(taken, brings) && Field(brings.field).is_taken_by(Field(taken.field))
}

/// A format in the notation of `media-ctl`; its field only if it is not that of a camera.
pub(super) fn shown(format: &PadFormat) -> String {
    let PadFormat {
        width_px,
        height_px,
        code,
        field,
        ..
    } = *format;
    let field = match field {
        0 | 1 => String::new(),
        field => format!(" field:{}", Field(field)),
    };
    format!("{}/{width_px}x{height_px}{field}", BusFormat(code))
}
