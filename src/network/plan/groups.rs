//! Which layers become one step.

use crate::network::graph::{Conv, Graph, Layer, Op, TensorId};
use crate::network::run::steps::MAX_KERNEL_ROWS;

/// Expanded activations of at least this many bytes are made in bands of rows instead of whole.
const BAND_FROM_BYTES: usize = 96 << 10;

/// Layers that become one step, by index.
#[derive(Debug, Clone, Copy)]
pub(super) enum Group {
    One(usize),
    Block(Bands),
}

/// Convolution, depthwise and pointwise layers of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bands {
    pub(super) expand: Option<usize>,
    pub(super) depthwise: usize,
    pub(super) project: Option<usize>,
}

impl Bands {
    /// The first layer.
    pub(super) fn first(self) -> usize {
        self.expand.unwrap_or(self.depthwise)
    }

    /// The last layer.
    pub(super) fn last(self) -> usize {
        self.project.unwrap_or(self.depthwise)
    }
}

impl Group {
    /// The layer that determines when the group runs.
    pub(super) fn main(self) -> usize {
        match self {
            Self::One(layer) => layer,
            Self::Block(of) => of.depthwise,
        }
    }

    /// Its layers, in order.
    pub(super) fn layers(self) -> impl Iterator<Item = usize> {
        let layers = match self {
            Self::One(layer) => [None, Some(layer), None],
            Self::Block(of) => [of.expand, Some(of.depthwise), of.project],
        };
        layers.into_iter().flatten()
    }
}

/// A layer's convolution, if it may be fused. One over whole numbers may not: the layers around it need whole tensors.
pub(super) fn conv_of(layer: &Layer) -> Option<&Conv> {
    match &layer.op {
        Op::Conv(conv) if conv.factors.is_none() => Some(conv),
        _ => None,
    }
}

fn takes_bands(conv: &Conv) -> bool {
    conv.depthwise() && conv.window.dh == 1 && conv.window.kh <= MAX_KERNEL_ROWS
}

/// Who reads a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    None,
    /// Only this layer.
    One(usize),
    /// More than one layer, or the outside.
    Many,
}

/// The readers of every tensor.
fn readers(graph: &Graph) -> Vec<Reader> {
    let mut readers = vec![Reader::None; graph.tensors.len()];
    for (i, layer) in graph.layers.iter().enumerate() {
        for input in &layer.inputs {
            let reader = &mut readers[input.0];
            *reader = match *reader {
                Reader::None => Reader::One(i),
                Reader::One(before) if before == i => Reader::One(i),
                _ => Reader::Many,
            };
        }
    }
    for export in &graph.exports {
        readers[export.tensor.0] = Reader::Many;
    }
    readers
}

/// The layers of a graph in groups, in execution order.
pub(super) fn groups(graph: &Graph) -> Vec<Group> {
    let readers = readers(graph);
    let mut all_groups = Vec::new();
    let mut done = vec![false; graph.layers.len()];
    for i in 0..graph.layers.len() {
        if done[i] {
            continue;
        }
        let layer = &graph.layers[i];
        let large = |t: TensorId| graph.tensors[t.0].bytes() >= BAND_FROM_BYTES;
        let next = |i: usize| {
            let output = graph.layers[i].output;
            match readers[output.0] {
                Reader::One(reader) if large(output) => Some(reader),
                _ => None,
            }
        };
        let mut expand = None;
        let mut depthwise = None;
        if let Some(conv) = conv_of(layer) {
            if takes_bands(conv) {
                depthwise = Some(i);
            } else if conv.groups == 1
                && let Some(d) = next(i)
                && conv_of(&graph.layers[d]).is_some_and(takes_bands)
            {
                expand = Some(i);
                depthwise = Some(d);
            }
        }
        let projects = |&p: &usize| conv_of(&graph.layers[p]).is_some_and(Conv::pointwise);
        let project = depthwise.and_then(|d| next(d).filter(projects));
        match depthwise {
            Some(d) if expand.is_some() || project.is_some() => {
                for layer in [expand, depthwise, project].into_iter().flatten() {
                    done[layer] = true;
                }
                all_groups.push(Group::Block(Bands {
                    expand,
                    depthwise: d,
                    project,
                }));
            }
            _ => {
                done[i] = true;
                all_groups.push(Group::One(i));
            }
        }
    }
    all_groups
}
