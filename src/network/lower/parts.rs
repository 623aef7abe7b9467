//! The parts of a network that are known, and what is known about the rest.

use crate::network::graph::{Graph, Quant};
use crate::network::onnx::constant::{Const, Element};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What is known about an ONNX value outside, after dequantisation.
#[derive(Debug, Clone)]
pub struct Fact {
    /// Its ONNX shape.
    pub dims: Vec<usize>,
    /// Element type.
    pub element: Element,
    /// In the file it is bytes with this quantisation; outside it is the real numbers that they stand for.
    pub quant: Option<Quant>,
    /// The values, if they are whole numbers that do not depend on the picture.
    pub value: Option<Vec<i64>>,
}

/// Facts by value name.
pub type Facts = HashMap<String, Fact>;

/// Where a node of the ONNX graph runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// By our own kernels, in this segment.
    Inside(usize),
    /// Nowhere: its result is constant.
    Folded,
    /// Outside our kernels.
    Outside {
        /// Number of segments that must have run before it.
        after: usize,
        /// Why it is not fused.
        why: String,
    },
    /// Nowhere: nothing needs its result.
    Unused,
}

/// The known parts of a graph.
#[derive(Debug)]
pub struct Partial {
    /// Their layers, in segments.
    pub graph: Graph,
    /// One per ONNX node.
    pub places: Vec<Place>,
    /// Folded nodes that make quantised constants read by outside nodes.
    pub constant_nodes: BTreeSet<usize>,
    /// Constants made by folded nodes and read by outside nodes.
    pub constants: BTreeMap<String, Const>,
}
