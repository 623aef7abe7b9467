//! Sorts nodes topologically. ONNX requires that of a file, but not every tool complies (the converter to half precision puts its
//! Cast of the input last).

use super::reads;
use std::collections::{BTreeSet, HashMap, HashSet};
use tract_onnx::pb::{GraphProto, NodeProto};

/// Moves nodes after those whose results they read, with as few moves as possible. Nodes in a cycle stay where they are.
pub fn put(graph: &mut GraphProto) {
    let readers = match before_its_time(&graph.node) {
        Some(readers) => readers,
        None => return,
    };
    let mut waits_for: Vec<usize> = vec![0; graph.node.len()];
    for reader in readers.iter().flatten() {
        waits_for[*reader] += 1;
    }
    let free = |n: &usize| waits_for[*n] == 0;
    let mut ready: BTreeSet<usize> = (0..graph.node.len()).filter(free).collect();
    let mut order = Vec::with_capacity(graph.node.len());
    while let Some(node) = ready.pop_first() {
        order.push(node);
        for &reader in &readers[node] {
            waits_for[reader] -= 1;
            if waits_for[reader] == 0 {
                ready.insert(reader);
            }
        }
    }
    if order.len() < graph.node.len() {
        return;
    }
    let mut nodes: Vec<NodeProto> = std::mem::take(&mut graph.node);
    graph.node = order
        .into_iter()
        .map(|node| std::mem::take(&mut nodes[node]))
        .collect();
}

/// The readers of each node's results, each listed once; `None` if every node already comes after those that it reads.
fn before_its_time(nodes: &[NodeProto]) -> Option<Vec<Vec<usize>>> {
    let mut makers = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        makers.extend(node.output.iter().map(|name| (name.as_str(), at)));
    }
    let mut readers = vec![Vec::new(); nodes.len()];
    let mut is_sorted = true;
    for (at, node) in nodes.iter().enumerate() {
        let read = reads(node);
        let producers: HashSet<usize> =
            read.iter().filter_map(|r| makers.get(r).copied()).collect();
        for maker in producers {
            is_sorted &= maker < at;
            readers[maker].push(at);
        }
    }
    (!is_sorted).then_some(readers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(reads: &[&str], makes: &str) -> NodeProto {
        NodeProto {
            input: reads.iter().map(|&r| r.to_owned()).collect(),
            output: vec![makes.to_owned()],
            ..NodeProto::default()
        }
    }

    fn ordered(nodes: Vec<NodeProto>) -> Vec<String> {
        let mut graph = GraphProto {
            node: nodes,
            ..GraphProto::default()
        };
        put(&mut graph);
        let sorted = graph.node.into_iter().map(|mut n| n.output.remove(0));
        sorted.collect()
    }

    #[test]
    fn nodes_follow_what_they_read_and_else_stay() {
        let late = vec![
            node(&["cast"], "a"),
            node(&["a", "a"], "b"),
            node(&["x"], "other"),
            node(&["b", "other"], "c"),
            node(&["x"], "cast"),
        ];
        assert_eq!(ordered(late), ["other", "cast", "a", "b", "c"]);
        let right = vec![node(&["x"], "b"), node(&["x"], "a"), node(&["a", "b"], "c")];
        assert_eq!(ordered(right), ["b", "a", "c"]);
    }

    #[test]
    fn a_circle_is_left_to_whoever_refuses_it() {
        let circle = vec![node(&["b"], "a"), node(&["a"], "b"), node(&["x", "c"], "c")];
        assert_eq!(ordered(circle), ["a", "b", "c"]);
    }

    #[test]
    fn a_long_chain_backwards_is_turned_at_once() {
        let name = |n: usize| n.to_string();
        let chain = (0..100_000).rev();
        let chain = chain.map(|n| node(&[&name(n)], &name(n + 1)));
        let sorted = ordered(chain.collect());
        assert_eq!(
            (sorted[0].as_str(), sorted[99_999].as_str()),
            ("1", "100000")
        );
    }
}
