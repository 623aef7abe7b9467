//! Finds the path from a sensor to a node: backwards from the node, over links that are enabled or can be.
//!
//! Of several sensors the one that the board file names is chosen; otherwise the one that needs the fewest link changes, and of
//! those the nearest. Each pad is visited once, so the walk ends even if links form a circle.

use super::graph::{Graph, listed};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// One step of a path: a link, as an index into [`Graph::links`].
pub(super) type Hop = usize;

/// A sensor, and the links from it to the node, in the direction of the pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    /// The sensor's index in [`Graph::entities`].
    pub sensor: usize,
    /// At least one.
    pub hops: Vec<Hop>,
}

impl Way {
    /// The path in one line: `imx219 10-0010:0 -> csi2:0, csi2:4 -> rp1-cfe-csi2_ch0:0`.
    pub fn describe(&self, graph: &Graph) -> String {
        let hops: Vec<String> = self.hops.iter().map(|&hop| graph.link_name(hop)).collect();
        hops.join(", ")
    }
}

/// The cost of a path: links that have to be enabled, then links in all.
type Cost = (usize, usize);

/// The path to `node` from a sensor whose name begins with `wanted`, or from any sensor, using none of the links `off`.
///
/// # Errors
/// In words, which sensors there are instead.
pub(super) fn walk(
    graph: &Graph,
    node: usize,
    wanted: Option<&str>,
    off: &[Hop],
) -> Result<Way, String> {
    let mut incoming = vec![Vec::new(); graph.pads.len()];
    for (at, link) in graph.links.iter().enumerate() {
        if (link.enabled || !link.immutable) && !off.contains(&at) {
            incoming[link.sink].push(at);
        }
    }
    // By sink pad: the link by which pictures leave its entity towards the node.
    let mut onward: Vec<Option<Hop>> = vec![None; graph.pads.len()];
    let mut seen = vec![false; graph.pads.len()];
    let mut found: Vec<(Cost, Way)> = Vec::new();
    // Among equal costs, the one found first comes out first.
    let mut order = 0;
    let mut queue = BinaryHeap::new();
    for pad in graph.pads_of(node, false) {
        queue.push(Reverse(((0, 0), order, pad, None)));
        order += 1;
    }
    while let Some(Reverse(((changes, length), _, sink, leaves_by))) = queue.pop() {
        if std::mem::replace(&mut seen[sink], true) {
            continue;
        }
        onward[sink] = leaves_by;
        for &at in &incoming[sink] {
            let link = graph.links[at];
            let cost = (changes + usize::from(!link.enabled), length + 1);
            let entity = graph.pads[link.source].entity;
            if graph.entities[entity].is_sensor {
                let hops = trace(graph, &onward, at);
                let way = Way {
                    sensor: entity,
                    hops,
                };
                match found.iter_mut().find(|(_, way)| way.sensor == entity) {
                    Some(other) if other.0 <= cost => {}
                    Some(other) => *other = (cost, way),
                    None => found.push((cost, way)),
                }
                continue;
            }
            for next in through(graph, link.source) {
                if !seen[next] {
                    queue.push(Reverse((cost, order, next, Some(at))));
                    order += 1;
                }
            }
        }
    }
    choose(graph, node, found, wanted).map_err(|why| match off {
        [] => why,
        off => {
            let off: Vec<_> = off.iter().map(|&link| graph.link_name(link)).collect();
            format!("{why}; the board file disables {}", listed(&off))
        }
    })
}

/// The links from `first` to the node. Each one's sink was reached before its source, so the loop ends.
fn trace(graph: &Graph, onward: &[Option<Hop>], first: Hop) -> Vec<Hop> {
    let mut hops = vec![first];
    let mut at = first;
    while let Some(next) = onward[graph.links[at].sink] {
        hops.push(next);
        at = next;
    }
    hops
}

/// The sink pads whose pictures may leave by a source pad, the likeliest first: if an entity has as many sinks as sources, they
/// usually correspond by number.
fn through(graph: &Graph, source: usize) -> Vec<usize> {
    let entity = graph.pads[source].entity;
    let mut sinks = graph.pads_of(entity, false);
    let sources = graph.pads_of(entity, true);
    if sinks.len() == sources.len()
        && let Some(own) = sources.iter().position(|&pad| pad == source)
    {
        sinks[..=own].rotate_right(1);
    }
    sinks
}

fn choose(
    graph: &Graph,
    node: usize,
    mut found: Vec<(Cost, Way)>,
    wanted: Option<&str>,
) -> Result<Way, String> {
    let node = &graph.entities[node].name;
    let names: Vec<_> = found
        .iter()
        .map(|(_, way)| graph.entities[way.sensor].name.clone())
        .collect();
    if found.is_empty() {
        let sensors = graph.entities.iter().filter(|entity| entity.is_sensor);
        let sensors: Vec<_> = sensors.map(|entity| entity.name.as_str()).collect();
        return Err(format!(
            "no link leads from a sensor to `{node}` (sensors: {})",
            listed(&sensors)
        ));
    }
    if let Some(wanted) = wanted {
        found.retain(|(_, way)| graph.entities[way.sensor].name.starts_with(wanted));
    }
    // The first of those with the lowest cost.
    let least = found.into_iter().min_by_key(|(cost, _)| *cost);
    least.map(|(_, way)| way).ok_or_else(|| {
        format!(
            "no sensor whose name begins with `{}` leads to `{node}` (those that do: {})",
            wanted.unwrap_or_default(),
            listed(&names)
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fake::{Build, rp1_cfe, vimc};
    use super::super::graph::SENSOR;
    use super::*;

    fn way(graph: &Graph, node: &str, wanted: Option<&str>) -> Result<String, String> {
        let mut entities = graph.entities.iter();
        let node = entities.position(|entity| entity.name == node).unwrap();
        walk(graph, node, wanted, &[]).map(|way| way.describe(graph))
    }

    #[test]
    fn the_nearest_sensor_with_the_fewest_changes_is_taken() {
        let mut build = vimc();
        let graph = build.graph();
        assert_eq!(
            way(&graph, "Raw Capture 0", None).unwrap(),
            "Sensor A:0 -> Raw Capture 0:0"
        );
        let near = "RGB/YUV Input:0 -> Scaler:0, Scaler:1 -> RGB/YUV Capture:0";
        assert_eq!(way(&graph, "RGB/YUV Capture", None).unwrap(), near);
        assert_eq!(
            way(&graph, "RGB/YUV Capture", Some("Sensor B")).unwrap(),
            "Sensor B:0 -> Debayer B:0, Debayer B:1 -> Scaler:0, Scaler:1 -> RGB/YUV Capture:0"
        );
        assert_eq!(
            way(&graph, "RGB/YUV Capture", Some("imx")).unwrap_err(),
            "no sensor whose name begins with `imx` leads to `RGB/YUV Capture` (those that do: RGB/YUV Input, Sensor A, Sensor B)"
        );
        // An enabled link is worth a detour.
        build.enable("Debayer A:1 -> Scaler:0");
        assert_eq!(
            way(&build.graph(), "RGB/YUV Capture", None).unwrap(),
            "Sensor A:0 -> Debayer A:0, Debayer A:1 -> Scaler:0, Scaler:1 -> RGB/YUV Capture:0"
        );
    }

    #[test]
    fn pictures_and_not_embedded_data_are_followed_through_a_receiver() {
        let graph = rp1_cfe().graph();
        assert_eq!(
            way(&graph, "rp1-cfe-csi2_ch0", Some("imx219")).unwrap(),
            "imx219 10-0010:0 -> csi2:0, csi2:4 -> rp1-cfe-csi2_ch0:0"
        );
    }

    #[test]
    fn circles_end_and_dead_ends_are_reported() {
        let mut build = Build::default();
        let (a, b) = (build.entity("a", 0), build.entity("b", 0));
        let node = build.entity("node", 0);
        build.entity("far", SENSOR);
        let pads: Vec<_> = [(a, 0, false), (a, 1, true), (b, 0, false), (b, 1, true)]
            .map(|(entity, index, source)| build.pad(entity, index, source))
            .into();
        let into = build.pad(node, 0, false);
        build.link(pads[1], pads[2], 1);
        build.link(pads[3], pads[0], 1);
        build.link(pads[3], into, 0);
        // Immutable and disabled: nobody can use it.
        let off = build.entity("off", SENSOR);
        let out = build.pad(off, 0, true);
        build.link(out, into, 2);
        assert_eq!(
            way(&build.graph(), "node", None).unwrap_err(),
            "no link leads from a sensor to `node` (sensors: far, off)"
        );
    }

    /// Nonsensical topologies: any path that is found is valid.
    #[test]
    fn random_graphs_give_a_way_or_none() {
        let mut random = fastrand::Rng::with_seed(13);
        let mut ways = 0;
        for _ in 0..3000 {
            let graph = Build::random(&mut random).graph();
            for node in 0..graph.entities.len() {
                let Ok(way) = walk(&graph, node, None, &[]) else {
                    continue;
                };
                ways += 1;
                let links: Vec<_> = way.hops.iter().map(|&hop| graph.links[hop]).collect();
                assert_eq!(graph.pads[links[0].source].entity, way.sensor);
                assert_eq!(graph.pads[links[links.len() - 1].sink].entity, node);
                for pair in links.windows(2) {
                    let between = [pair[0].sink, pair[1].source].map(|pad| graph.pads[pad].entity);
                    assert_eq!(between[0], between[1]);
                }
                assert!(links.iter().all(|link| link.enabled || !link.immutable));
                let mut sinks: Vec<_> = links.iter().map(|link| link.sink).collect();
                sinks.sort_unstable();
                sinks.dedup();
                assert_eq!(sinks.len(), links.len(), "a circle");
            }
        }
        assert!(ways > 500, "only {ways} ways");
    }
}
