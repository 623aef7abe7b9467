//! Formats along a pipeline: those that the board file names, and for the rest those that sensor, parts and node agree on.
//!
//! A sensor's codes are tried in its driver's order: each is propagated from pad to pad down to the node, and the node reports
//! which picture formats it makes of the result. The board file's order of formats decides among them.

use super::calls::{Calls, Fault, Pipeline, Request, agree, is_like, shown};
use super::config::FormatSetting;
use super::graph::{Graph, listed};
use super::subdevice::PadFormat;
use super::walk::Way;
use crate::camera::v4l2::field::Field;
use crate::camera::v4l2::{BusFormat, FourCc};
use crate::frame::PixelFormat;
use std::collections::HashMap;
use std::time::Duration;

/// Number of ways to set up a pipeline that are tried; the kernel's test driver has about twenty codes.
const MAX_ATTEMPTS: usize = 256;

/// Sets formats.
pub(super) struct Setup<'a, C> {
    pub(super) calls: &'a mut C,
    pub(super) graph: &'a Graph,
    node: usize,
    request: &'a Request<'a>,
    /// Pads that the board file names.
    by_hand: Vec<(usize, &'a FormatSetting)>,
    /// The last format set on each pad.
    pub(super) now: HashMap<usize, PadFormat>,
}

/// One way to set up a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Attempt {
    at_sensor: BusFormat,
    /// What to ask the parts that can convert to make of it; `None`: what they are given.
    converted: Option<BusFormat>,
}

/// The rank of an attempt, the least is the best: whether a side branch disagrees, then the index among the requested formats.
type Rank = (bool, usize);

impl<'a, C: Calls> Setup<'a, C> {
    pub fn new(
        calls: &'a mut C,
        graph: &'a Graph,
        node: usize,
        request: &'a Request<'a>,
        by_hand: Vec<(usize, &'a FormatSetting)>,
    ) -> Self {
        Self {
            calls,
            graph,
            node,
            request,
            by_hand,
            now: HashMap::new(),
        }
    }

    /// Sets what the board file names and finds formats for the rest of a path.
    pub fn along(&mut self, way: &Way) -> Result<Pipeline, Fault> {
        for (pad, _) in self.by_hand.clone() {
            if !self.is_on(way, pad) {
                self.set(pad, PadFormat::default())?.map_err(Fault::Words)?;
            }
        }
        let first = self.graph.links[way.hops[0]].source;
        let mut codes = match self.own(first) {
            Some(own) => vec![own.code],
            None => self.calls.codes(self.graph, first),
        };
        if codes.is_empty() {
            let now = self.calls.format(self.graph, first);
            let doing = || format!("to ask `{}` for its format", self.graph.pad_name(first));
            let now = now.map_err(|error| Fault::Call(doing(), error))?;
            codes.push(BusFormat(now.code));
        }
        let (mut best, mut last, mut count) = (None::<(Rank, Attempt)>, None, 0);
        let (mut offered, mut complaint) = (Vec::new(), None);
        let perfect =
            |best: &Option<(Rank, Attempt)>| best.is_some_and(|(rank, _)| rank == (false, 0));
        'codes: for at_sensor in codes {
            let mut ends = vec![None];
            while let Some(converted) = ends.pop() {
                count += 1;
                if count > MAX_ATTEMPTS || perfect(&best) {
                    break 'codes;
                }
                let attempt = Attempt {
                    at_sensor,
                    converted,
                };
                last = Some(attempt);
                let arrives = match self.attempt(way, attempt)? {
                    Ok(arrives) => arrives,
                    Err(words) => {
                        complaint.get_or_insert(words);
                        continue;
                    }
                };
                let pictures = self.pictures_of(BusFormat(arrives.code));
                if let Some(place) = self.place_of(&pictures) {
                    let rank = (self.side_complaint(way)?.is_some(), place);
                    if best.is_none_or(|(other, _)| rank < other) {
                        best = Some((rank, attempt));
                    }
                }
                if converted.is_none() {
                    ends.extend(self.others(way, arrives.code));
                }
                for code in pictures {
                    if !offered.contains(&code) {
                        offered.push(code);
                    }
                }
            }
        }
        let Some((_, best)) = best else {
            return Err(match complaint {
                Some(words) if offered.is_empty() => Fault::Words(words),
                _ => Fault::NoFormat(offered),
            });
        };
        let arrives = if last == Some(best) {
            self.arrives(way)
        } else {
            self.attempt(way, best)?.map_err(Fault::Words)?
        };
        let warning = self.side_complaint(way)?;
        let interval = self.set_rate(first);
        let way_line = way.describe(self.graph);
        let mut pipeline = self.pipeline(&way_line, arrives)?;
        pipeline.sensor = Some(way.sensor);
        pipeline.warning = warning;
        pipeline.interval = interval;
        Ok(pipeline)
    }

    /// Sets everything that the board file names, in its order; the node takes what its link delivers.
    pub fn by_hand_alone(&mut self) -> Result<Pipeline, Fault> {
        let mut line = Vec::new();
        for (pad, setting) in self.by_hand.clone() {
            self.set(pad, PadFormat::default())?.map_err(Fault::Words)?;
            line.push(format!("{} {}", setting.pad, setting.code));
        }
        let sinks = self.graph.pads_of(self.node, false);
        let mut links = self.graph.links.iter();
        let feeds = links.find(|link| link.enabled && sinks.contains(&link.sink));
        let Some(feeds) = feeds else {
            return Err(Fault::Words(format!(
                "no enabled link leads to `{}`: name one in `links`",
                self.graph.entities[self.node].name
            )));
        };
        let arrives = self
            .calls
            .format(self.graph, feeds.source)
            .map_err(|error| {
                let pad = self.graph.pad_name(feeds.source);
                Fault::Call(format!("to ask `{pad}` for its format"), error)
            })?;
        self.pipeline(&line.join(", "), arrives)
    }

    fn pipeline(&mut self, way: &str, arrives: PadFormat) -> Result<Pipeline, Fault> {
        if !Field(arrives.field).is_whole() {
            return Err(Fault::Words(format!(
                "its parts bring fields, of which each has every second row ({way}, {}): have its source send whole frames",
                shown(&arrives)
            )));
        }
        let pictures = self.pictures_of(BusFormat(arrives.code));
        let is_offered = |format: &PixelFormat| {
            pictures
                .iter()
                .any(|code| PixelFormat::from_fourcc(code.0) == Some(*format))
        };
        let formats: Vec<_> = self
            .request
            .formats
            .iter()
            .copied()
            .filter(is_offered)
            .collect();
        if formats.is_empty() {
            return Err(Fault::NoFormat(pictures));
        }
        Ok(Pipeline {
            line: format!("{way}, {}", shown(&arrives)),
            sensor: None,
            formats,
            size_px: (arrives.width_px, arrives.height_px),
            warning: None,
            interval: None,
            switched: Vec::new(),
        })
    }

    /// Sets every pad of the path, starting at the sensor; returns the format that reaches the node, or in words why the parts
    /// disagree.
    fn attempt(&mut self, way: &Way, attempt: Attempt) -> Result<Result<PadFormat, String>, Fault> {
        let (width_px, height_px) = (self.request.width_px, self.request.height_px);
        let first = self.graph.links[way.hops[0]].source;
        let sizes = self.calls.sizes(self.graph, first, attempt.at_sensor);
        let (sensor_width_px, sensor_height_px) = nearest(&sizes, (width_px, height_px));
        let ask = PadFormat {
            width_px: sensor_width_px,
            height_px: sensor_height_px,
            code: attempt.at_sensor.0,
            field: Field::WHOLE.0,
            ..PadFormat::default()
        };
        let mut brings = match self.set(first, ask)? {
            Ok(taken) if taken.code != attempt.at_sensor.0 => {
                return Ok(Err(self.otherwise(first, &ask, &taken)));
            }
            Ok(taken) => taken,
            Err(words) => return Ok(Err(words)),
        };
        for (at, &hop) in way.hops.iter().enumerate() {
            let Some(&next) = way.hops.get(at + 1) else {
                break;
            };
            let sink = self.graph.links[hop].sink;
            let taken = match self.set(sink, brings)? {
                Ok(taken) => taken,
                Err(words) => return Ok(Err(words)),
            };
            if !agree(&taken, &brings) {
                return Ok(Err(self.otherwise(sink, &brings, &taken)));
            }
            let exit = self.graph.links[next].source;
            let code = match attempt.converted {
                Some(converted) if self.calls.codes(self.graph, exit).contains(&converted) => {
                    converted.0
                }
                _ => taken.code,
            };
            let ask = PadFormat {
                width_px,
                height_px,
                code,
                ..taken
            };
            brings = match self.set(exit, ask)? {
                Ok(taken) => taken,
                Err(words) => return Ok(Err(words)),
            };
        }
        Ok(Ok(brings))
    }

    /// Other codes that parts of the path could make besides `code`; the last one is tried first.
    fn others(&mut self, way: &Way, code: u32) -> Vec<Option<BusFormat>> {
        let mut others = Vec::new();
        for &hop in way.hops[1..].iter().rev() {
            let exit = self.graph.links[hop].source;
            if self.own(exit).is_none() {
                others.extend(self.calls.codes(self.graph, exit).into_iter().rev());
            }
        }
        others.retain(|other| other.0 != code);
        others.into_iter().map(Some).collect()
    }

    /// The format that the last attempt delivers to the node.
    fn arrives(&self, way: &Way) -> PadFormat {
        let exit = self.graph.links[way.hops[way.hops.len() - 1]].source;
        self.now.get(&exit).copied().unwrap_or_default()
    }

    /// Sets one pad to the board file's format for it, or else to `ask`. An outer error ends the setup.
    pub(super) fn set(
        &mut self,
        pad: usize,
        ask: PadFormat,
    ) -> Result<Result<PadFormat, String>, Fault> {
        let own = self.own(pad);
        let ask = own.map_or(ask, |own| PadFormat {
            width_px: own.width_px,
            height_px: own.height_px,
            code: own.code.0,
            field: ask.field.max(Field::WHOLE.0),
            ..ask
        });
        match self.calls.set_format(self.graph, pad, ask) {
            Ok(taken) => {
                self.now.insert(pad, taken);
                if own.is_some() && !is_like(&taken, &ask) {
                    return Err(Fault::Words(self.otherwise(pad, &ask, &taken)));
                }
                Ok(Ok(taken))
            }
            Err(error) => {
                let what = format!("to set `{}` to {}", self.graph.pad_name(pad), shown(&ask));
                match error.raw_os_error() {
                    Some(libc::EINVAL | libc::ERANGE) if own.is_none() => {
                        Ok(Err(format!("a driver refused {what}: {error}")))
                    }
                    _ => Err(Fault::Call(what, error)),
                }
            }
        }
    }

    /// A pad that chose a different format from the request, with what it supports.
    pub(super) fn otherwise(&mut self, pad: usize, ask: &PadFormat, taken: &PadFormat) -> String {
        let codes = self.calls.codes(self.graph, pad);
        let sizes = self.calls.sizes(self.graph, pad, BusFormat(taken.code));
        let codes: Vec<_> = codes.iter().map(ToString::to_string).collect();
        let sizes: Vec<_> = sizes
            .iter()
            .map(|[(w, h), most]| match (w, h) == (&most.0, &most.1) {
                true => format!("{w}x{h}"),
                false => format!("{w}x{h} to {}x{}", most.0, most.1),
            })
            .collect();
        let sizes = if sizes.is_empty() {
            String::new()
        } else {
            format!("; of {}: {}", BusFormat(taken.code), listed(&sizes))
        };
        format!(
            "`{}` takes {} instead of {} (its codes: {}{sizes})",
            self.graph.pad_name(pad),
            shown(taken),
            shown(ask),
            listed(&codes)
        )
    }

    fn set_rate(&mut self, sensor_pad: usize) -> Option<Duration> {
        if self.request.rate_fps == 0 {
            return None;
        }
        // Many sensors lack this call: their rate follows from their blanking controls.
        let taken = self
            .calls
            .set_frame_rate(self.graph, sensor_pad, self.request.rate_fps);
        match taken {
            Ok((numerator, denominator)) if numerator > 0 && denominator > 0 => Some(
                Duration::from_secs_f64(f64::from(numerator) / f64::from(denominator)),
            ),
            _ => None,
        }
    }

    /// The board file's format for a pad.
    fn own(&self, pad: usize) -> Option<&'a FormatSetting> {
        let mut by_hand = self.by_hand.iter();
        by_hand
            .find(|(own, _)| *own == pad)
            .map(|(_, setting)| *setting)
    }

    fn is_on(&self, way: &Way, pad: usize) -> bool {
        let mut links = way.hops.iter().map(|&hop| self.graph.links[hop]);
        links.any(|link| link.source == pad || link.sink == pad)
    }

    fn pictures_of(&mut self, code: BusFormat) -> Vec<FourCc> {
        self.calls.node_formats(self.graph, self.node, code)
    }

    /// The index of the best of these among the requested formats.
    fn place_of(&self, pictures: &[FourCc]) -> Option<usize> {
        let known: Vec<_> = pictures
            .iter()
            .map(|code| PixelFormat::from_fourcc(code.0))
            .collect();
        let mut requested = self.request.formats.iter();
        requested.position(|format| known.contains(&Some(*format)))
    }
}

/// The size to request from a sensor: the smallest that contains the requested one, or else the largest; the requested one if the
/// driver does not list sizes.
fn nearest(sizes: &[[(u32, u32); 2]], requested: (u32, u32)) -> (u32, u32) {
    let area = |(width, height): &(u32, u32)| u64::from(*width) * u64::from(*height);
    let clamped = sizes.iter().map(|&[least, most]| {
        let width = requested.0.min(most.0).max(least.0);
        (width, requested.1.min(most.1).max(least.1))
    });
    let (holding, smaller): (Vec<_>, Vec<_>) =
        clamped.partition(|size| size.0 >= requested.0 && size.1 >= requested.1);
    let smallest = holding.into_iter().min_by_key(area);
    let largest = || smaller.into_iter().max_by_key(area);
    smallest.or_else(largest).unwrap_or(requested)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_size_that_holds_the_requested_one_is_chosen() {
        // Camera Module 2 (imx219).
        let imx219 =
            [(3280, 2464), (1920, 1080), (1640, 1232), (640, 480)].map(|size| [size, size]);
        for (requested, expected) in [
            ((640, 480), (640, 480)),
            ((1280, 960), (1640, 1232)),
            ((1700, 100), (1920, 1080)),
            ((4000, 100), (3280, 2464)),
        ] {
            assert_eq!(nearest(&imx219, requested), expected, "{requested:?}");
        }
        let range = [[(16, 16), (4096, 2160)]];
        assert_eq!(nearest(&range, (640, 480)), (640, 480));
        assert_eq!(nearest(&range, (5000, 8)), (4096, 16));
        assert_eq!(nearest(&[], (640, 480)), (640, 480));
        // A range upside down.
        assert_eq!(nearest(&[[(100, 100), (10, 10)]], (50, 50)), (100, 100));
    }
}
