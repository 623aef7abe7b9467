//! Sets up a pipeline from the board file's settings to a node that can start: links first, then formats (`formats`).

use super::calls::{Calls, Fault, Pipeline, Request};
use super::formats::Setup;
use super::graph::Graph;
use super::links::{self, Links};
use super::walk::walk;

/// Sets up the pipeline that ends at `node`. On failure the links are restored.
pub(super) fn set_up(
    calls: &mut impl Calls,
    graph: &mut Graph,
    node: usize,
    request: &Request<'_>,
) -> Result<Pipeline, Fault> {
    let mut switched = Vec::new();
    match attempt(calls, graph, node, request, &mut switched) {
        Ok(pipeline) => Ok(Pipeline {
            switched,
            ..pipeline
        }),
        Err(fault) => {
            links::restore(calls, graph, &mut switched);
            Err(fault)
        }
    }
}

fn attempt(
    calls: &mut impl Calls,
    graph: &mut Graph,
    node: usize,
    request: &Request<'_>,
    switched: &mut Vec<usize>,
) -> Result<Pipeline, Fault> {
    let mut links = Links {
        calls: &mut *calls,
        graph: &mut *graph,
        switched,
    };
    let named = links.by_hand(request.by_hand)?;
    let mut by_hand = Vec::new();
    for setting in &request.by_hand.formats {
        let pad = links.graph.named(&setting.pad).map_err(Fault::Words)?;
        let entity = links.graph.entity_at(pad);
        if entity.node.is_some_and(|node| node.is_video) {
            return Err(Fault::Words(format!(
                "`{}` is a video node: its format follows from `formats`, `width_px` and `height_px` of [camera.v4l2]",
                setting.pad
            )));
        }
        by_hand.push((pad, setting));
    }
    let way = match walk(links.graph, node, request.sensor, &named.off()) {
        Ok(way) => Some(way),
        Err(_) if !by_hand.is_empty() && request.sensor.is_none() => None,
        Err(why) => return Err(Fault::NoWay(why)),
    };
    let Some(way) = way else {
        return Setup::new(calls, graph, node, request, by_hand).by_hand_alone();
    };
    links.open_way(&way)?;
    let branch = links.close_branches(&way, &named)?;
    let mut pipeline = Setup::new(calls, graph, node, request, by_hand).along(&way)?;
    pipeline.warning = pipeline.warning.or(branch);
    Ok(pipeline)
}

#[cfg(test)]
#[path = "setup_tests.rs"]
mod tests;
