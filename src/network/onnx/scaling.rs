//! Finds what a network does to its picture before its first layer: exporters put the normalisation into the graph (Keras'
//! `Rescaling` and `Normalization`, a wrapper of `(x - mean) / std` in PyTorch). Pixels normalised beforehand would be normalised
//! twice.

use super::attributes::{attribute, float, int};
use super::few::Few;
use super::repair::LUMA;
use super::shape_of;
use crate::spec::{ChannelOrder, IMAGENET_MEAN, IMAGENET_STD};
use tract_onnx::pb::{GraphProto, NodeProto};

/// Factors (from pixels to the network's values) below this are for pixels in 0..=255: 1/127.5, 1/(255 * 0.229).
const MAX_BYTES_FACTOR: f32 = 0.1;
/// Factors above this are for pixels in 0..=1: 2, 1/0.229. Those in between convert ImageNet's normalisation to another (0.458:
/// torchvision's Inception v3 with `transform_input`), and so need that normalisation first.
const MIN_UNIT_FACTOR: f32 = 1.5;
/// A mean above this is one of pixels in 0..=255.
const MIN_BYTES_MEAN: f32 = 1.5;
/// Means of pixels, whatever their range, are above this.
const MIN_MEAN: f32 = -0.2;
/// A mean that is subtracted without a factor from pixels in 0..=1 is above this.
const MIN_UNIT_MEAN: f32 = 0.2;
/// How far a mean may be from ImageNet's of the same channel, for pixels in 0..=1; red and blue differ by 0.079.
const NEAR_MEAN: f32 = 0.02;

/// Number of operators to look at: a file may hold a chain of thousands, or a cycle.
const MAX_STEPS: usize = 32;

/// Arithmetic at a network's input.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// The largest pixel that it expects: 255 or 1.
    pub pixel_most: f32,
    /// The operators, in readable form: `Mul Add`.
    pub operators: String,
}

/// What the start of a graph says about the pixels that it expects.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Start {
    /// Their range.
    pub scaling: Option<Scaling>,
    /// The operators, if they compute on the picture and nothing follows from them.
    pub unclear: Option<String>,
    /// The order of the channels, by ImageNet's mean of each.
    pub channels: Option<ChannelOrder>,
    /// The operator that reverses the order of the channels.
    pub reverses: Option<String>,
}

/// What the start of `graph` says.
///
/// Counted are additions, subtractions, products and quotients with constants of one value or one per channel, and bounds. A
/// BatchNormalization is learned, for pixels that were normalised before or not: its mean and variance tell.
pub fn of(graph: &GraphProto) -> Start {
    let Some(input) = graph.input.first() else {
        return Start::default();
    };
    let few = Few::of(graph);
    let is_nhwc = matches!(shape_of(input), Some((_, dims)) if dims.get(3) == Some(&Some(3)));
    let mut walk = Walk {
        few: &few,
        factor: [1.0; 3],
        offset: [0.0; 3],
        most: None,
        reverses: None,
        channel_axis: if is_nhwc { 3 } else { 1 },
        operators: Vec::new(),
    };
    let mut at = input.name.as_str();
    let mut is_unclear = false;
    for _ in 0..MAX_STEPS {
        let readers = readers(graph, at);
        if let Some(pieces) = walk.channels_of(&readers) {
            match walk.by_channel(graph, &pieces) {
                Some(joined) => {
                    at = joined;
                    continue;
                }
                None => {
                    walk.operators.push(&readers[0].op_type);
                    is_unclear = true;
                    break;
                }
            }
        }
        let &[node] = readers.as_slice() else {
            let statistics = readers.iter().find(|node| is_statistic(node));
            walk.operators
                .extend(statistics.map(|node| node.op_type.as_str()));
            is_unclear |= statistics.is_some();
            break;
        };
        let step = walk.step(node, at);
        if matches!(step, Step::Counts | Step::Unclear) {
            walk.operators.push(node.op_type.as_str());
        }
        is_unclear = step == Step::Unclear;
        if matches!(step, Step::Ends | Step::Unclear) {
            break;
        }
        let Some(next) = node.output.first() else {
            break;
        };
        at = next;
    }
    walk.start(is_unclear)
}

fn readers<'a>(graph: &'a GraphProto, of: &str) -> Vec<&'a NodeProto> {
    let reads = |node: &&NodeProto| node.input.iter().any(|input| input == of);
    graph.node.iter().filter(reads).collect()
}

/// Whether it reduces the picture to a statistic: its mean, its largest value.
fn is_statistic(node: &NodeProto) -> bool {
    node.op_type.starts_with("Reduce")
}

/// What one operator is to the arithmetic at the input.
#[derive(PartialEq)]
enum Step {
    /// Moves or converts pixels.
    Passes,
    /// A part of the arithmetic.
    Counts,
    /// Computes on pixels in a way that is not understood.
    Unclear,
    /// A layer.
    Ends,
}

/// What the operators so far do to a pixel x of each channel: `x * factor + offset`.
struct Walk<'a> {
    few: &'a Few<'a>,
    factor: [f32; 3],
    offset: [f32; 3],
    /// The largest pixel, where bounds or statistics tell it.
    most: Option<f32>,
    reverses: Option<&'a str>,
    channel_axis: i64,
    operators: Vec<&'a str>,
}

/// What [`Walk`] found out.
enum Found {
    Most(f32),
    /// Nothing but what fits ImageNet's rule.
    Usual,
    Unclear,
}

impl<'a> Walk<'a> {
    fn step(&mut self, node: &'a NodeProto, at: &str) -> Step {
        let is_first = node.input.first().is_some_and(|x| x == at);
        let operand = || {
            let mut others = node.input.iter().filter(|name| *name != at);
            self.few.per_channel(others.next()?)
        };
        match node.op_type.as_str() {
            "Cast" | "Identity" | "Unsqueeze" | "Squeeze" | "Resize" | "Pad" | "QuantizeLinear"
            | "DequantizeLinear" => Step::Passes,
            "Transpose" => {
                let perm = attribute(node, "perm").map_or(&[][..], |a| &a.ints);
                let moved = perm.iter().position(|from| *from == self.channel_axis);
                self.channel_axis = moved.map_or(self.channel_axis, |to| to as i64);
                Step::Passes
            }
            // The luma of a grey network: its weights add up to 1.
            "Conv" if node.input.get(1).is_some_and(|name| name == LUMA) => Step::Passes,
            "Gather" if self.few_are(node, 1, &[0.0]) => Step::Passes,
            "Gather" if self.few_are(node, 1, &[2.0, 1.0, 0.0]) => self.reversed(node),
            "Slice" if self.is_reversal(node) => self.reversed(node),
            "Mul" => self.linear(operand(), |c, factor, offset| (factor * c, offset * c)),
            "Div" if is_first => {
                self.linear(operand(), |c, factor, offset| (factor / c, offset / c))
            }
            "Add" => self.linear(operand(), |c, factor, offset| (factor, offset + c)),
            "Sub" if is_first => self.linear(operand(), |c, factor, offset| (factor, offset - c)),
            "Sub" => self.linear(operand(), |c, factor, offset| (-factor, c - offset)),
            "Clip" => {
                self.most = self.most.or_else(|| self.bound(node));
                Step::Counts
            }
            "BatchNormalization" => self.statistics(node),
            "Abs" | "Div" | "Exp" | "Floor" | "Log" | "Max" | "Min" | "Mod" | "Neg" | "Pow"
            | "Reciprocal" | "Round" | "Sigmoid" | "Sqrt" | "Tanh" => Step::Unclear,
            _ => Step::Ends,
        }
    }

    /// The values that hold one channel each, if all `readers` only split the channels.
    fn channels_of(&self, readers: &[&'a NodeProto]) -> Option<Vec<(usize, &'a str)>> {
        let mut pieces = Vec::new();
        for node in readers {
            let axis = |stated: f32| {
                [self.channel_axis as f32, self.channel_axis as f32 - 4.0].contains(&stated)
            };
            let by_attribute = |otherwise: i64| axis(int(node, "axis", otherwise) as f32);
            let channel = |value: f32| [0, 1, 2].into_iter().find(|c| *c as f32 == value);
            match node.op_type.as_str() {
                "Split" if by_attribute(0) && node.output.len() == 3 => {
                    pieces.extend(node.output.iter().map(String::as_str).enumerate());
                }
                "Gather" if by_attribute(0) => {
                    let taken = self.few.one(node.input.get(1)?)?;
                    pieces.push((channel(taken)?, node.output.first()?));
                }
                "Slice" if axis(self.few.one(node.input.get(3)?)?) => {
                    let (first, end) =
                        (self.few.one(&node.input[1])?, self.few.one(&node.input[2])?);
                    let is_last = first == 2.0 && end > 2.0;
                    let taken = (end - first == 1.0 || is_last).then_some(first)?;
                    pieces.push((channel(taken)?, node.output.first()?));
                }
                _ => return None,
            }
        }
        (pieces.len() > 1).then_some(pieces)
    }

    /// Follows each channel through its own arithmetic to where they are joined again, in the same order or reversed. Returns the value
    /// there; `None` if something else is done.
    fn by_channel(
        &mut self,
        graph: &'a GraphProto,
        pieces: &[(usize, &'a str)],
    ) -> Option<&'a str> {
        let mut joined: Option<&NodeProto> = None;
        let mut order = [None; 3];
        for &(channel, piece) in pieces {
            let mut at = piece;
            let mut steps = 0..MAX_STEPS;
            let end = loop {
                steps.next()?;
                let &[node] = readers(graph, at).as_slice() else {
                    return None;
                };
                if node.op_type == "Concat" {
                    break node;
                }
                let before = (self.factor, self.offset);
                let step = self.step(node, at);
                if !matches!(step, Step::Passes | Step::Counts) {
                    return None;
                }
                for other in (0..3).filter(|c| *c != channel) {
                    (self.factor[other], self.offset[other]) = (before.0[other], before.1[other]);
                }
                let operator = node.op_type.as_str();
                if step == Step::Counts && !self.operators.contains(&operator) {
                    self.operators.push(operator);
                }
                at = node.output.first()?;
            };
            let place = end.input.iter().position(|input| input == at)?;
            *order.get_mut(place)? = Some(channel);
            let same = joined.get_or_insert(end);
            if same.output != end.output {
                return None;
            }
        }
        let joined = joined.filter(|node| node.input.len() == 3)?;
        match order {
            [Some(0), Some(1), Some(2)] => {}
            [Some(2), Some(1), Some(0)] => {
                self.reversed(joined);
            }
            _ => return None,
        }
        joined.output.first().map(String::as_str)
    }

    fn few_are(&self, node: &NodeProto, input: usize, values: &[f32]) -> bool {
        let name = node.input.get(input);
        name.and_then(|name| self.few.values(name)).as_deref() == Some(values)
    }

    /// Whether a Slice takes the channels from the last to the first.
    fn is_reversal(&self, node: &NodeProto) -> bool {
        let axis = self.channel_axis as f32;
        self.few_are(node, 4, &[-1.0])
            && (self.few_are(node, 3, &[axis]) || self.few_are(node, 3, &[axis - 4.0]))
    }

    fn reversed(&mut self, node: &'a NodeProto) -> Step {
        self.reverses = match self.reverses {
            None => Some(node.op_type.as_str()),
            Some(_) => None,
        };
        self.factor.reverse();
        self.offset.reverse();
        Step::Passes
    }

    fn linear(
        &mut self,
        operand: Option<[f32; 3]>,
        change: impl Fn(f32, f32, f32) -> (f32, f32),
    ) -> Step {
        let Some(operand) = operand else {
            return Step::Unclear;
        };
        for (channel, c) in operand.into_iter().enumerate() {
            let (factor, offset) = (self.factor[channel], self.offset[channel]);
            (self.factor[channel], self.offset[channel]) = change(c, factor, offset);
        }
        Step::Counts
    }

    /// The pixel that becomes `value` in a channel.
    fn pixel(&self, value: f32, channel: usize) -> f32 {
        (value - self.offset[channel]) / self.factor[channel]
    }

    /// The largest pixel that a Clip leaves as it is.
    fn bound(&self, node: &NodeProto) -> Option<f32> {
        let most = match node.input.get(2) {
            Some(name) => self.few.one(name)?,
            None => attribute(node, "max")?.f,
        };
        let most = self.pixel(most, 0);
        [255.0, 1.0]
            .into_iter()
            .find(|of| (most - of).abs() < 0.01 * of)
    }

    /// A BatchNormalization before all layers, which has learned the mean and the variance of the pixels that it got.
    fn statistics(&mut self, node: &NodeProto) -> Step {
        let input = |at: usize| node.input.get(at).and_then(|n| self.few.per_channel(n));
        let (Some(mean), Some(variance)) = (input(3), input(4)) else {
            return Step::Ends;
        };
        if matches!(self.found(), Found::Most(_)) {
            return Step::Ends;
        }
        let epsilon = float(node, "epsilon", 1e-5);
        let channels = [0, 1, 2];
        let means = channels.map(|c| self.pixel(mean[c], c));
        let spreads = channels.map(|c| ((variance[c] + epsilon).sqrt() / self.factor[c]).abs());
        let all = |values: [f32; 3], least: f32, most: f32| {
            values.iter().all(|v| (least..=most).contains(v))
        };
        self.most = match () {
            () if all(means, 20.0, 235.0) && all(spreads, 10.0, 128.0) => Some(255.0),
            () if all(means, 0.25, 0.75) && all(spreads, 0.1, 0.45) => Some(1.0),
            () if all(means, -1.0, 1.0) && all(spreads, 0.2, 3.0) => return Step::Ends,
            () => return Step::Unclear,
        };
        Step::Counts
    }

    fn found(&self) -> Found {
        let channels = [0, 1, 2];
        let means = channels.map(|c| self.pixel(0.0, c));
        let factor = self.factor.iter().fold(0.0f32, |most, f| most.max(f.abs()));
        let mean = |fold: fn(f32, f32) -> f32| means.into_iter().reduce(fold).unwrap_or(0.0);
        let near = |values: [f32; 3], of: [f32; 3]| {
            channels
                .iter()
                .all(|&c| (values[c] - of[c]).abs() <= 0.01 + 0.03 * of[c].abs())
        };
        let is_finite = means.iter().chain(&self.factor).all(|v| v.is_finite());
        match self.most {
            Some(most) => Found::Most(most),
            None if !is_finite => Found::Unclear,
            None if factor < MAX_BYTES_FACTOR || mean(f32::max) > MIN_BYTES_MEAN => {
                Found::Most(255.0)
            }
            // From ImageNet's normalisation back to pixels, and to -1..=1.
            None if near(self.factor, IMAGENET_STD) && near(self.offset, IMAGENET_MEAN) => {
                Found::Usual
            }
            None if near(self.factor, channels.map(|c| 2.0 * IMAGENET_STD[c]))
                && near(self.offset, channels.map(|c| 2.0 * IMAGENET_MEAN[c] - 1.0)) =>
            {
                Found::Usual
            }
            None if mean(f32::min) < MIN_MEAN => Found::Unclear,
            None if factor > MIN_UNIT_FACTOR => Found::Most(1.0),
            None if near(self.factor, [1.0; 3]) && near(self.offset, [0.0; 3]) => Found::Usual,
            None if near(self.factor, [1.0; 3]) && mean(f32::min) > MIN_UNIT_MEAN => {
                Found::Most(1.0)
            }
            None => Found::Unclear,
        }
    }

    /// The order of the input's channels, if what is subtracted from each is ImageNet's mean.
    fn channels(&self, most: f32) -> Option<ChannelOrder> {
        let mut means = [0, 1, 2].map(|channel| self.pixel(0.0, channel) / most);
        if self.reverses.is_some() {
            means.reverse();
        }
        let is_imagenet = |means: [f32; 3]| {
            let mut pairs = means.iter().zip(IMAGENET_MEAN);
            pairs.all(|(mean, of)| (mean - of).abs() < NEAR_MEAN)
        };
        let [first, second, third] = means;
        match () {
            () if is_imagenet(means) => Some(ChannelOrder::Rgb),
            () if is_imagenet([third, second, first]) => Some(ChannelOrder::Bgr),
            () => None,
        }
    }

    fn start(self, is_unclear: bool) -> Start {
        let operators = self.operators.join(" ");
        let reverses = self.reverses.map(str::to_owned);
        let found = match self.found() {
            Found::Usual if is_unclear => Found::Unclear,
            // Bounds that are no range of pixels are no arithmetic that anything follows from.
            Found::Usual if self.operators.contains(&"Clip") => Found::Unclear,
            found => found,
        };
        match found {
            _ if operators.is_empty() => Start {
                reverses,
                ..Start::default()
            },
            Found::Most(pixel_most) => Start {
                channels: self.channels(pixel_most),
                scaling: Some(Scaling {
                    pixel_most,
                    operators,
                }),
                unclear: None,
                reverses,
            },
            Found::Usual => Start {
                reverses,
                ..Start::default()
            },
            Found::Unclear => Start {
                unclear: Some(operators),
                reverses,
                ..Start::default()
            },
        }
    }
}

#[cfg(test)]
mod tests;
