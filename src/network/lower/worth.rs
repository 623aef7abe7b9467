//! Which groups of known nodes are worth an island: each border costs copies.

use super::partial::Walk;
use super::parts::{Partial, Place};
use tract_onnx::pb::NodeProto;

/// Minimum [`work`] of an island.
const WORTH: usize = 2;

/// How much an operator counts towards an island: a single product of two computed matrices is not enough, since both would have
/// to be copied in.
fn work(node: &NodeProto, computed: impl Fn(&str) -> bool) -> usize {
    match node.op_type.as_str() {
        "MatMul" if node.input.iter().all(|i| computed(i)) => 1,
        "Conv" | "QLinearConv" | "ConvInteger" | "Gemm" | "QGemm" | "MatMul" | "QLinearMatMul"
        | "MatMulInteger" => WORTH,
        _ => 0,
    }
}

impl Walk<'_> {
    /// Inside nodes in connected groups whose work is too little for an island.
    pub(super) fn idle(&self, partial: &Partial) -> Vec<usize> {
        let nodes = &self.graph.node;
        let mut group: Vec<usize> = (0..nodes.len()).collect();
        fn root(group: &mut [usize], mut i: usize) -> usize {
            while group[i] != i {
                group[i] = group[group[i]];
                i = group[i];
            }
            i
        }
        for (i, node) in nodes.iter().enumerate() {
            let Place::Inside(segment) = partial.places[i] else {
                continue;
            };
            for &from in node
                .input
                .iter()
                .filter_map(|n| self.producers.get(n.as_str()))
            {
                if partial.places[from] == Place::Inside(segment) {
                    let (a, b) = (root(&mut group, i), root(&mut group, from));
                    group[a] = b;
                }
            }
        }
        let mut works = vec![0; nodes.len()];
        let inside = |i: usize| matches!(partial.places[i], Place::Inside(_));
        let computed = |name: &str| {
            let producer = self.producers.get(name);
            producer.is_none_or(|&i| partial.places[i] != Place::Folded)
                && !self.constants.contains(name)
        };
        for i in (0..nodes.len()).filter(|&i| inside(i)) {
            works[root(&mut group, i)] += work(&nodes[i], computed);
        }
        let mut idle = Vec::new();
        for i in (0..nodes.len()).filter(|&i| inside(i)) {
            if works[root(&mut group, i)] < WORTH {
                idle.push(i);
            }
        }
        idle
    }
}
