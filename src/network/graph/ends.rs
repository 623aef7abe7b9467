//! Which layers make and read each tensor: asked of every layer, so it is looked up and not searched for.

use super::{Graph, TensorId};

/// The maker and the readers of each tensor.
pub(crate) struct Ends {
    maker: Vec<Option<usize>>,
    /// In ascending order; those that read it no more may be among them.
    readers: Vec<Vec<usize>>,
    /// It is taken out of the graph.
    taken: Vec<bool>,
}

impl Ends {
    /// Of all tensors of a graph.
    pub(crate) fn of(graph: &Graph) -> Self {
        let count = graph.tensors.len();
        let mut ends = Self {
            maker: vec![None; count],
            readers: vec![Vec::new(); count],
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

    /// Layer `i` reads or makes others than before.
    pub(crate) fn changed(&mut self, graph: &Graph, i: usize) {
        let layer = &graph.layers[i];
        self.maker[layer.output.0] = Some(i);
        for input in &layer.inputs {
            let readers = &mut self.readers[input.0];
            let at = readers.partition_point(|&r| r < i);
            if readers.get(at) != Some(&i) {
                readers.insert(at, i);
            }
        }
    }

    /// The layer that makes a tensor.
    pub(crate) fn maker(&self, graph: &Graph, tensor: TensorId) -> Option<usize> {
        self.maker[tensor.0].filter(|&i| graph.layers[i].output == tensor)
    }

    /// The layer that alone reads a tensor.
    pub(crate) fn only_reader(&self, graph: &Graph, tensor: TensorId) -> Option<usize> {
        let readers = self.readers[tensor.0].iter().copied();
        let mut readers = readers.filter(|&i| graph.layers[i].inputs.contains(&tensor));
        let first = readers.next()?;
        (readers.next().is_none() && !self.taken[tensor.0]).then_some(first)
    }
}
