//! Where a picture's channels are taken apart, normalised one by one and joined again.

use super::{MAX_STEPS, Step, Walk, readers};
use crate::network::onnx::attributes::{attribute, from_start, int, ints};
use tract_onnx::pb::{GraphProto, NodeProto};

/// The channels that an operator takes of a picture.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    /// All of them, in their order.
    All,
    Reversed,
    One(usize),
    /// Each as a value of its own.
    Each,
    /// Others, or unknown ones.
    Some,
}

/// One channel's value.
pub(super) struct Piece<'a> {
    channel: usize,
    value: &'a str,
    /// The operator that takes it.
    node: &'a NodeProto,
}

impl<'a> Walk<'a> {
    /// The channels, if all `readers` of a picture take parts of it and one takes them apart; none if that is not understood.
    pub(super) fn apart(&self, readers: &[&'a NodeProto]) -> Option<Vec<Piece<'a>>> {
        let parts = readers.iter().map(|node| self.part(node));
        let parts = parts.collect::<Option<Vec<_>>>()?;
        let is_whole = |part: &Part| matches!(part, Part::All | Part::Reversed);
        if parts.iter().all(is_whole) || matches!(parts[..], [Part::One(_)]) {
            return None;
        }
        let mut pieces = Vec::new();
        for (part, node) in parts.into_iter().zip(readers) {
            let channels = match part {
                Part::One(channel) => channel..channel + 1,
                Part::Each => 0..3,
                Part::All | Part::Reversed | Part::Some => return Some(Vec::new()),
            };
            let of = channels.zip(&node.output);
            pieces.extend(of.map(|(channel, value)| Piece {
                channel,
                value,
                node,
            }));
        }
        Some(pieces)
    }

    /// What a Gather, Slice or Split takes of the channels.
    pub(super) fn part(&self, node: &NodeProto) -> Option<Part> {
        let is_of_channels = |axis: i64| Some(self.axis(axis)) == self.channel_axis;
        Some(match node.op_type.as_str() {
            "Gather" | "Split" if !is_of_channels(int(node, "axis", 0)) => Part::All,
            "Split" if node.output.len() == 3 => Part::Each,
            "Gather" => match self.list(node, 1, "").as_deref() {
                Some(&[channel]) => one(from_start(channel, 3)),
                Some([2, 1, 0]) => Part::Reversed,
                Some([0, 1, 2]) => Part::All,
                _ => Part::Some,
            },
            "Slice" => {
                let all_axes = || (0..self.rank).collect();
                let is_stated = |at: usize| node.input.get(at).is_some_and(|name| !name.is_empty());
                let axes = self.list(node, 3, "axes");
                let axes: Vec<i64> = match axes {
                    None if is_stated(3) => return Some(Part::Some),
                    axes => axes.unwrap_or_else(all_axes),
                };
                let at = axes.iter().position(|&axis| is_of_channels(axis));
                let Some(at) = at else {
                    return Some(Part::All);
                };
                let number = |input: usize, name: &str| {
                    let list = self.list(node, input, name);
                    list.and_then(|list| list.get(at).copied())
                };
                let step = if is_stated(4) { number(4, "") } else { Some(1) };
                match (number(1, "starts"), number(2, "ends"), step) {
                    (Some(start), Some(end), Some(1)) => {
                        let place = |stated| from_start(stated, 3).clamp(0, 3);
                        let (first, end) = (place(start), place(end));
                        match end - first {
                            3 => Part::All,
                            1 => one(first),
                            _ => Part::Some,
                        }
                    }
                    (Some(start), Some(end), Some(-1)) if from_start(start, 3) >= 2 && end < -3 => {
                        Part::Reversed
                    }
                    _ => Part::Some,
                }
            }
            "Split" => Part::Some,
            _ => return None,
        })
    }

    /// Follows each channel through its own arithmetic to where they are joined again. Returns the value there; `None` if something
    /// else is done, and nothing is changed then.
    pub(super) fn by_channel(
        &mut self,
        graph: &'a GraphProto,
        pieces: &[Piece<'a>],
    ) -> Option<&'a str> {
        let before = self.clone();
        let joined = self.joined(graph, pieces);
        if joined.is_none() {
            *self = before;
        }
        joined
    }

    fn joined(&mut self, graph: &'a GraphProto, pieces: &[Piece<'a>]) -> Option<&'a str> {
        let whole = (self.channel_axis, self.rank);
        let mut joined: Option<&NodeProto> = None;
        let mut order = [None; 3];
        for &Piece {
            channel,
            value,
            node,
        } in pieces
        {
            (self.channel_axis, self.rank) = whole;
            self.channels = channel..channel + 1;
            self.follow_axes(node);
            let mut at = value;
            let mut steps = 0..MAX_STEPS;
            let end = loop {
                steps.next()?;
                let &[node] = readers(graph, at).as_slice() else {
                    return None;
                };
                if node.op_type == "Concat" {
                    break node;
                }
                let step = self.step(node, at);
                if !matches!(step, Step::Passes | Step::Counts) {
                    return None;
                }
                let operator = node.op_type.as_str();
                if step == Step::Counts && !self.operators.contains(&operator) {
                    self.operators.push(operator);
                }
                at = node.output.first()?;
            };
            if Some(self.axis(int(end, "axis", 1))) != self.channel_axis {
                return None;
            }
            let place = end.input.iter().position(|input| input == at)?;
            *order.get_mut(place)? = Some(channel);
            let same = joined.get_or_insert(end);
            if same.output != end.output {
                return None;
            }
        }
        self.channels = 0..3;
        let joined = joined.filter(|node| node.input.len() == 3)?;
        let [Some(first), Some(second), Some(third)] = order else {
            return None;
        };
        match [first, second, third] {
            [0, 1, 2] => {}
            [2, 1, 0] => {
                self.reversed(joined);
            }
            order => {
                (self.factor, self.offset) =
                    (order.map(|c| self.factor[c]), order.map(|c| self.offset[c]));
            }
        }
        joined.output.first().map(String::as_str)
    }

    /// Where the channels' axis is behind an operator that adds, removes or moves axes.
    pub(super) fn follow_axes(&mut self, node: &NodeProto) {
        match node.op_type.as_str() {
            "Gather" if self.few.rank(node.input.get(1).map_or("", |name| name)) == Some(0) => {
                self.remove(&[int(node, "axis", 0)]);
            }
            "Squeeze" => self.remove(&self.list(node, 1, "axes").unwrap_or_default()),
            "Unsqueeze" => {
                let axes = self.list(node, 1, "axes").unwrap_or_default();
                self.rank += axes.len() as i64;
                let mut axes: Vec<i64> = axes.into_iter().map(|axis| self.axis(axis)).collect();
                axes.sort_unstable();
                for axis in axes {
                    self.channel_axis = Some(match self.channel_axis {
                        Some(own) => own.saturating_add(i64::from(axis <= own)),
                        None => axis,
                    });
                }
            }
            "Transpose" => {
                let perm = attribute(node, "perm").map_or(&[][..], |a| &a.ints);
                let to = perm
                    .iter()
                    .position(|from| Some(*from) == self.channel_axis);
                self.channel_axis = to.map_or(self.channel_axis, |to| Some(to as i64));
            }
            _ => {}
        }
    }

    fn remove(&mut self, axes: &[i64]) {
        let axes: Vec<i64> = axes.iter().map(|&axis| self.axis(axis)).collect();
        self.rank -= axes.len() as i64;
        let own = self.channel_axis.filter(|own| !axes.contains(own));
        let before = |own: i64| axes.iter().filter(|axis| **axis < own).count() as i64;
        self.channel_axis = own.map(|own| own - before(own));
    }

    /// The axis that a number stands for.
    fn axis(&self, stated: i64) -> i64 {
        from_start(stated, self.rank)
    }

    /// A list of integers that a node has as an input, or as an attribute before later opsets.
    fn list(&self, node: &NodeProto, input: usize, name: &str) -> Option<Vec<i64>> {
        match node.input.get(input).filter(|name| !name.is_empty()) {
            Some(name) => self.few.list(name),
            None => ints(node, name),
        }
    }
}

fn one(channel: i64) -> Part {
    match channel {
        0..3 => Part::One(channel as usize),
        _ => Part::Some,
    }
}
