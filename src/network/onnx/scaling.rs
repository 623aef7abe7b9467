//! Finds what a network does to its picture before its first layer: exporters put the normalisation into the graph (Keras'
//! `Rescaling` and `Normalization`, a wrapper of `(x - mean) / std` in PyTorch). Pixels normalised beforehand would be normalised
//! twice.

mod apart;

use super::attributes::{attribute, float};
use super::few::Few;
use super::repair::LUMA;
use super::shape_of;
use crate::spec::{ChannelOrder, IMAGENET_MEAN, IMAGENET_STD};
use apart::Part;
use std::ops::Range;
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
        channel_axis: Some(if is_nhwc { 3 } else { 1 }),
        rank: 4,
        channels: 0..3,
        operators: Vec::new(),
    };
    let mut at = input.name.as_str();
    let mut is_unclear = false;
    for _ in 0..MAX_STEPS {
        let readers = readers(graph, at);
        if let Some(pieces) = walk.apart(&readers) {
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
            // Beside a layer, a statistic is a gate's.
            if readers.iter().any(|node| is_arithmetic(node)) {
                walk.operators
                    .extend(statistics.map(|node| node.op_type.as_str()));
                is_unclear |= statistics.is_some();
            }
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

/// The nodes that read the values of a picture, not its shape alone.
fn readers<'a>(graph: &'a GraphProto, of: &str) -> Vec<&'a NodeProto> {
    let reads = |node: &&NodeProto| {
        let op = node.op_type.as_str();
        !matches!(op, "Shape" | "Size") && node.input.iter().any(|input| input == of)
    };
    graph.node.iter().filter(reads).collect()
}

/// Whether it reduces the picture to a statistic: its mean, its largest value.
fn is_statistic(node: &NodeProto) -> bool {
    node.op_type.starts_with("Reduce")
}

/// Whether it computes on each pixel alone, or with a statistic.
fn is_arithmetic(node: &NodeProto) -> bool {
    let op = node.op_type.as_str();
    matches!(op, "Add" | "Clip" | "Mul" | "Sub") || NOT_UNDERSTOOD.contains(&op)
}

/// Operators on single pixels whose effect on their range is not followed.
const NOT_UNDERSTOOD: [&str; 15] = [
    "Abs",
    "Div",
    "Exp",
    "Floor",
    "Log",
    "Max",
    "Min",
    "Mod",
    "Neg",
    "Pow",
    "Reciprocal",
    "Round",
    "Sigmoid",
    "Sqrt",
    "Tanh",
];

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
#[derive(Clone)]
struct Walk<'a> {
    few: &'a Few<'a>,
    factor: [f32; 3],
    offset: [f32; 3],
    /// The largest pixel, where bounds or statistics tell it.
    most: Option<f32>,
    reverses: Option<&'a str>,
    /// `None` where a single channel has none.
    channel_axis: Option<i64>,
    rank: i64,
    /// The channels that the walk is at: all, or one that is apart.
    channels: Range<usize>,
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
            "Cast" | "Identity" | "Resize" | "Pad" | "QuantizeLinear" | "DequantizeLinear" => {
                Step::Passes
            }
            "Squeeze" | "Unsqueeze" | "Transpose" => {
                self.follow_axes(node);
                Step::Passes
            }
            // The luma of a grey network: its weights add up to 1.
            "Conv" if node.input.get(1).is_some_and(|name| name == LUMA) => Step::Passes,
            "Gather" | "Slice" => match self.part(node) {
                Some(Part::All | Part::One(_)) => {
                    self.follow_axes(node);
                    Step::Passes
                }
                Some(Part::Reversed) if self.channels.len() == 3 => self.reversed(node),
                _ => Step::Unclear,
            },
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
            op if NOT_UNDERSTOOD.contains(&op) => Step::Unclear,
            _ => Step::Ends,
        }
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
        for channel in self.channels.clone() {
            let c = operand[channel];
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
        let is_near = |of: &f32| {
            let mut pixels = self.channels.clone().map(|c| self.pixel(most, c));
            pixels.all(|pixel| (pixel - of).abs() < 0.01 * of)
        };
        [255.0, 1.0].into_iter().find(is_near)
    }

    /// A BatchNormalization before all layers, which has learned the mean and the variance of the pixels that it got.
    fn statistics(&mut self, node: &NodeProto) -> Step {
        let input = |at: usize| node.input.get(at).and_then(|n| self.few.per_channel(n));
        let (Some(mean), Some(variance)) = (input(3), input(4)) else {
            return Step::Ends;
        };
        if self.channels.len() < 3 || matches!(self.found(), Found::Most(_)) {
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
            // Nothing follows from bounds that are not a range of pixels.
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
