//! A pipeline's links: those that the board file names, those of the path, and others by which pictures would leave it.
//!
//! A receiver may wait until every node with an enabled link streams (Raspberry Pi's rp1-cfe, `cfe_start_streaming`: "Streaming
//! on hold"), so a link that another program or an earlier attempt of ours left enabled blocks a pipeline's first picture. Hence
//! links that leave the path are disabled, and links that were switched in vain are switched back.

use super::calls::{Calls, Fault};
use super::config::MediaConfig;
use super::graph::{Graph, Link};
use super::walk::Way;
use std::collections::HashMap;

/// Switches links.
pub(super) struct Links<'a, C> {
    pub calls: &'a mut C,
    pub graph: &'a mut Graph,
    /// Those that were switched, in order.
    pub switched: &'a mut Vec<usize>,
}

/// Links that the board file names, and whether to enable them; the last entry for each counts.
#[derive(Debug, Default)]
pub(super) struct Named(HashMap<usize, bool>);

impl Named {
    /// Those that must stay disabled.
    pub fn off(&self) -> Vec<usize> {
        let mut off: Vec<_> = self.0.iter().filter(|link| !link.1).map(|l| *l.0).collect();
        off.sort_unstable();
        off
    }
}

impl<C: Calls> Links<'_, C> {
    /// Switches the links that the board file names, and returns them.
    pub fn by_hand(&mut self, config: &MediaConfig) -> Result<Named, Fault> {
        let mut named = Named::default();
        for setting in &config.links {
            let source = self.graph.named(&setting.source).map_err(Fault::Words)?;
            let sink = self.graph.named(&setting.sink).map_err(Fault::Words)?;
            let found = self.graph.link_between(source, sink);
            let link = found.map_err(Fault::Words)?;
            if setting.enabled {
                self.open(link)?;
            } else {
                self.switch(link, false)?;
            }
            named.0.insert(link, setting.enabled);
        }
        Ok(named)
    }

    /// Enables the links of a path.
    pub fn open_way(&mut self, way: &Way) -> Result<(), Fault> {
        for &hop in &way.hops {
            self.open(hop)?;
        }
        Ok(())
    }

    /// Disables the links by which pictures would leave the path, and those of the parts they would reach, except for the board
    /// file's. Returns a description of the first that stays enabled: another program may be streaming over it.
    pub fn close_branches(&mut self, way: &Way, by_hand: &Named) -> Result<Option<String>, Fault> {
        let mut warning = None;
        for link in branches(self.graph, way) {
            if by_hand.0.contains_key(&link) {
                continue;
            }
            match self.switch(link, false) {
                Err(Fault::Call(_, error)) if error.raw_os_error() != Some(libc::ENODEV) => {
                    let link_name = self.graph.link_name(link);
                    let why = match error.raw_os_error() {
                        Some(libc::EBUSY) => {
                            "another program streams over it; if no picture comes, end that".into()
                        }
                        _ => error.to_string(),
                    };
                    let words = format!("the link {link_name}, a branch, stays enabled: {why}");
                    log::warn!("{words}");
                    warning.get_or_insert(words);
                }
                other => other?,
            }
        }
        Ok(warning)
    }

    /// Enables a link, and disables others that lead to the same pad: a pad takes pictures from one source.
    fn open(&mut self, link: usize) -> Result<(), Fault> {
        let sink = self.graph.links[link].sink;
        for rival in 0..self.graph.links.len() {
            let other = self.graph.links[rival];
            if other.sink == sink && rival != link && other.enabled && !other.immutable {
                self.switch(rival, false)?;
            }
        }
        self.switch(link, true)
    }

    fn switch(&mut self, link: usize, enabled: bool) -> Result<(), Fault> {
        if self.graph.links[link].enabled == enabled {
            return Ok(());
        }
        let doing = if enabled { "enable" } else { "disable" };
        let link_name = self.graph.link_name(link);
        if self.graph.links[link].immutable {
            return Err(Fault::Words(format!(
                "the link {link_name} cannot be switched, and the board file wants to {doing} it"
            )));
        }
        let flags = self.graph.links[link].switched_to(enabled);
        self.calls
            .setup_link(self.graph, link, flags)
            .map_err(|error| Fault::Call(format!("to {doing} the link {link_name}"), error))?;
        self.graph.links[link].enabled = enabled;
        self.switched.push(link);
        Ok(())
    }
}

/// Links that are enabled, can be disabled, and leave the path or belong to parts that the path leads to or could lead to. Parts
/// fed by another sensor belong to another camera and are left alone.
fn branches(graph: &Graph, way: &Way) -> Vec<usize> {
    let (source, sink) = (
        |link: &Link| graph.pads[link.source].entity,
        |link: &Link| graph.pads[link.sink].entity,
    );
    let mut own = vec![false; graph.entities.len()];
    for &hop in &way.hops {
        own[source(&graph.links[hop])] = true;
        own[sink(&graph.links[hop])] = true;
    }
    let others = (0..graph.entities.len())
        .filter(|&at| graph.entities[at].is_sensor && at != way.sensor)
        .collect();
    let others = downstream(graph, others, |link| link.enabled);
    let ours = (0..graph.entities.len()).filter(|&at| own[at]).collect();
    let reached = downstream(graph, ours, |link| {
        (link.enabled || !link.immutable) && !others[sink(link)]
    });
    let is_branch = |entity: usize| reached[entity] && !own[entity];
    (0..graph.links.len())
        .filter(|at| {
            let link = &graph.links[*at];
            let is_near = own[source(link)] || is_branch(source(link)) || is_branch(sink(link));
            link.enabled && !link.immutable && !way.hops.contains(at) && is_near
        })
        .collect()
}

/// Per entity: whether it is one of these, or reachable from them over links that are followed.
fn downstream(graph: &Graph, mut open: Vec<usize>, follows: impl Fn(&Link) -> bool) -> Vec<bool> {
    let mut reached = vec![false; graph.entities.len()];
    while let Some(entity) = open.pop() {
        if std::mem::replace(&mut reached[entity], true) {
            continue;
        }
        let leaving = graph
            .links
            .iter()
            .filter(|link| graph.pads[link.source].entity == entity && follows(link));
        open.extend(leaving.map(|link| graph.pads[link.sink].entity));
    }
    reached
}

/// Switches links back, last one first. Failures are skipped.
pub(super) fn restore(calls: &mut impl Calls, graph: &mut Graph, switched: &mut Vec<usize>) {
    while let Some(link) = switched.pop() {
        let enabled = !graph.links[link].enabled;
        let flags = graph.links[link].switched_to(enabled);
        match calls.setup_link(graph, link, flags) {
            Ok(()) => graph.links[link].enabled = enabled,
            // Nothing is left to switch.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => switched.clear(),
            Err(error) => log::warn!(
                "the link {} is not switched back: {error}",
                graph.link_name(link)
            ),
        }
    }
}

/// Switches a pipeline's links back when it is dropped, because it did not start after all.
#[derive(Debug)]
pub(super) struct Undo<C: Calls> {
    pub calls: C,
    pub graph: Graph,
    pub switched: Vec<usize>,
}

impl<C: Calls> Undo<C> {
    /// The pipeline is running: keep its links.
    pub fn keep(mut self) {
        self.switched.clear();
    }

    fn undo(&mut self) {
        restore(&mut self.calls, &mut self.graph, &mut self.switched);
    }
}

impl<C: Calls> Drop for Undo<C> {
    fn drop(&mut self) {
        self.undo();
    }
}

#[cfg(test)]
#[path = "links_tests.rs"]
mod tests;
