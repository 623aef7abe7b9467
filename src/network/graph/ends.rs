//! Which layers make and read each tensor: looked up, because it is asked of every layer.

use super::{Graph, TensorId};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// The maker and the readers of each tensor.
pub struct Ends {
    maker: Vec<Option<usize>>,
    /// May hold layers that no longer read the tensor; these are removed when they are found.
    readers: Vec<RefCell<BTreeSet<usize>>>,
    /// Whether the tensor is exported, so that something outside reads it.
    taken: Vec<bool>,
}

impl Ends {
    /// Those of all tensors of a graph.
    pub fn of(graph: &Graph) -> Self {
        let count = graph.tensors.len();
        let mut ends = Self {
            maker: vec![None; count],
            readers: vec![RefCell::default(); count],
            taken: vec![false; count],
        };
        for export in &graph.exports {
            ends.taken[export.tensor.0] = true;
        }
        for i in 0..graph.layers.len() {
            ends.changed(graph, i);
        }
        ends
    }

    /// Layer `i` now reads or makes other tensors than before.
    pub fn changed(&mut self, graph: &Graph, i: usize) {
        let layer = &graph.layers[i];
        self.maker[layer.output.0] = Some(i);
        for input in &layer.inputs {
            self.readers[input.0].get_mut().insert(i);
        }
    }

    /// The layer that makes a tensor.
    pub fn maker(&self, graph: &Graph, tensor: TensorId) -> Option<usize> {
        self.maker[tensor.0].filter(|&i| graph.layers[i].output == tensor)
    }

    /// The layer that is the tensor's only reader.
    pub fn only_reader(&self, graph: &Graph, tensor: TensorId) -> Option<usize> {
        let mut readers = self.readers[tensor.0].borrow_mut();
        let mut found = None;
        let mut at = 0;
        while let Some(&reader) = readers.range(at..).next() {
            if !graph.layers[reader].inputs.contains(&tensor) {
                readers.remove(&reader);
            } else if found.replace(reader).is_some() {
                return None;
            }
            at = reader + 1;
        }
        found.filter(|_| !self.taken[tensor.0])
    }
}
