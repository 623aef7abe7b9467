//! Side branches of a pipeline. STREAMON requires both ends of every enabled link to agree, including those of side branches (the
//! kernel's `media_pipeline_start` follows them), so they get the same formats as the main path.

use super::calls::{Calls, Fault, agree, shown};
use super::formats::Setup;
use super::walk::Way;
use crate::camera::v4l2::BusFormat;

impl<C: Calls> Setup<'_, C> {
    /// Passes the path's formats on to everything that leaves it by other enabled links, down to the ends. Returns a description
    /// of the first part that takes a different format or none.
    ///
    /// # Errors
    /// If the device goes away, or if a pad that the board file names does not take the format given there.
    pub(super) fn side_complaint(&mut self, way: &Way) -> Result<Option<String>, Fault> {
        let graph = self.graph;
        let mut open: Vec<usize> = way
            .hops
            .iter()
            .map(|&hop| graph.links[hop].source)
            .collect();
        let mut visited: Vec<usize> = way.hops.iter().map(|&hop| graph.links[hop].sink).collect();
        let mut complaint = None;
        while let Some(source) = open.pop() {
            let Some(brings) = self.now.get(&source).copied() else {
                continue;
            };
            for link in graph
                .links
                .iter()
                .filter(|l| l.enabled && l.source == source)
            {
                if visited.contains(&link.sink) {
                    continue;
                }
                visited.push(link.sink);
                let entity = graph.pads[link.sink].entity;
                if graph.entities[entity]
                    .node
                    .is_some_and(|node| node.is_video)
                {
                    let size_px = (brings.width_px, brings.height_px);
                    let formats = self
                        .calls
                        .node_formats(graph, entity, BusFormat(brings.code));
                    let taken = formats
                        .first()
                        .map(|&code| self.calls.set_node_format(graph, entity, code, size_px));
                    if !matches!(taken, Some(Ok(size)) if size == size_px) {
                        complaint.get_or_insert_with(|| {
                            let name = &graph.entities[entity].name;
                            format!("`{name}`, a branch, does not take {}", shown(&brings))
                        });
                    }
                    continue;
                }
                match self.set(link.sink, brings) {
                    Ok(Ok(taken)) if agree(&taken, &brings) => {}
                    Ok(Ok(taken)) => {
                        complaint.get_or_insert(self.otherwise(link.sink, &brings, &taken));
                    }
                    Ok(Err(words)) => {
                        complaint.get_or_insert(words);
                    }
                    // In use, without a device file, or broken: the pictures need not pass through here.
                    Err(Fault::Call(doing, error))
                        if error.raw_os_error() != Some(libc::ENODEV) =>
                    {
                        complaint.get_or_insert_with(|| {
                            format!("a driver refused {doing}, a branch: {error}")
                        });
                    }
                    Err(fault) => return Err(fault),
                }
                for exit in graph.pads_of(entity, true) {
                    if let Ok(now) = self.calls.format(graph, exit) {
                        self.now.insert(exit, now);
                        open.push(exit);
                    }
                }
            }
        }
        Ok(complaint)
    }
}
