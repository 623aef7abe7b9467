//! A pipeline from the board file's words to a node that can start: links first, then formats (`formats`).

use super::calls::{Calls, Fault, Pipeline, Wish};
use super::formats::Setup;
use super::graph::Graph;
use super::walk::{Way, walk};
use crate::board::MediaConfig;

/// Sets up the pipeline that ends at `node`.
pub(super) fn set_up(
    calls: &mut impl Calls,
    graph: &mut Graph,
    node: usize,
    wish: &Wish<'_>,
) -> Result<Pipeline, Fault> {
    links_by_hand(calls, graph, wish.by_hand)?;
    let mut by_hand = Vec::new();
    for setting in &wish.by_hand.formats {
        let pad = graph.named(&setting.pad).map_err(Fault::Words)?;
        if graph.entity_at(pad).node.is_some_and(|node| node.is_video) {
            return Err(Fault::Words(format!(
                "`{}` is a video node: its format follows from `formats`, `width_px` and `height_px` of [camera.v4l2]",
                setting.pad
            )));
        }
        by_hand.push((pad, setting));
    }
    let way = match walk(graph, node, wish.sensor) {
        Ok(way) => Some(way),
        Err(_) if !by_hand.is_empty() && wish.sensor.is_none() => None,
        Err(why) => return Err(Fault::NoWay(why)),
    };
    if let Some(way) = &way {
        open_way(calls, graph, way)?;
    }
    let mut setup = Setup::new(calls, graph, node, wish, by_hand);
    match way {
        Some(way) => setup.along(&way),
        None => setup.by_hand_alone(),
    }
}

/// The links that the board file names.
fn links_by_hand(
    calls: &mut impl Calls,
    graph: &mut Graph,
    config: &MediaConfig,
) -> Result<(), Fault> {
    for setting in &config.links {
        let source = graph.named(&setting.source).map_err(Fault::Words)?;
        let sink = graph.named(&setting.sink).map_err(Fault::Words)?;
        let link = graph.link_between(source, sink).map_err(Fault::Words)?;
        if setting.enabled {
            open(calls, graph, link)?;
        } else {
            switch(calls, graph, link, false)?;
        }
    }
    Ok(())
}

/// Enables the links of a way.
fn open_way(calls: &mut impl Calls, graph: &mut Graph, way: &Way) -> Result<(), Fault> {
    for &hop in &way.hops {
        open(calls, graph, hop)?;
    }
    Ok(())
}

/// Enables a link, and disables others that lead into the same pad: a pad takes pictures from one place.
fn open(calls: &mut impl Calls, graph: &mut Graph, link: usize) -> Result<(), Fault> {
    let sink = graph.links[link].sink;
    for rival in 0..graph.links.len() {
        let other = graph.links[rival];
        if other.sink == sink && rival != link && other.enabled && !other.immutable {
            switch(calls, graph, rival, false)?;
        }
    }
    switch(calls, graph, link, true)
}

fn switch(
    calls: &mut impl Calls,
    graph: &mut Graph,
    link: usize,
    enabled: bool,
) -> Result<(), Fault> {
    if graph.links[link].enabled == enabled {
        return Ok(());
    }
    let doing = if enabled { "enable" } else { "disable" };
    let spelt = graph.spelt_link(link);
    if graph.links[link].immutable {
        return Err(Fault::Words(format!(
            "the link {spelt} cannot be switched, and the board file wants to {doing} it"
        )));
    }
    calls
        .setup_link(graph, link, enabled)
        .map_err(|error| Fault::Call(format!("to {doing} the link {spelt}"), error))?;
    graph.links[link].enabled = enabled;
    Ok(())
}

#[cfg(test)]
#[path = "setup_tests.rs"]
mod tests;
