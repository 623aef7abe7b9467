//! The usual rules by which pixels become a network's values, for `eyelet model describe`: the scores of a photo under each of
//! them show which rule is the network's.

use super::hints::Pixels;
use super::stated::are_near;
use crate::network::onnx::inspect::Inspected;
use crate::spec::{ChannelOrder, Dtype, IMAGENET_MEAN, IMAGENET_STD, InputSpec};

/// Values of two rules that differ by less are the same: a hundredth of the step from one pixel to the next.
const SAME: f32 = 0.01;

/// A rule: its name, and its input in both channel orders.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Column heading.
    pub name: &'static str,
    /// The input under it.
    pub input: InputSpec,
    /// Whether it is the rule in the description.
    pub is_described: bool,
}

/// The rules that make sense for a network that says `inspected` about itself and is described by `input`.
pub fn plausible(input: &InputSpec, inspected: &Inspected) -> Vec<Rule> {
    let half = Pixels {
        scale: 1.0 / 255.0,
        mean: [0.5; 3],
        std: [0.5; 3],
    };
    let imagenet = Pixels {
        scale: 1.0 / 255.0,
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
    };
    let unit = ("0..1", Pixels::scaled(1.0 / 255.0));
    let bytes = ("0..255", Pixels::scaled(1.0));
    let mut scalings = match &inspected.scaling {
        _ if input.dtype == Dtype::U8 => vec![("bytes", Pixels::scaled(1.0))],
        Some(scaling) if scaling.pixel_most > 1.0 => vec![bytes],
        Some(_) => vec![unit],
        None if inspected.grey => vec![unit, ("-1..1", half), bytes],
        None => vec![("imagenet", imagenet), unit, ("-1..1", half), bytes],
    };
    let own = pixels_of(input);
    if !scalings.iter().any(|(_, pixels)| is_same(pixels, &own)) {
        scalings.insert(0, ("described", own));
    }
    let orders = match inspected.grey {
        true => vec![ChannelOrder::Rgb],
        false => vec![ChannelOrder::Rgb, ChannelOrder::Bgr],
    };
    let rule = |channels: ChannelOrder, (name, pixels): &(&'static str, Pixels)| Rule {
        name,
        input: InputSpec {
            channels,
            scale: pixels.scale,
            mean: pixels.mean,
            std: pixels.std,
            ..input.clone()
        },
        is_described: channels == input.channels && is_same(pixels, &own),
    };
    orders
        .iter()
        .flat_map(|&channels| scalings.iter().map(move |s| rule(channels, s)))
        .collect()
}

fn pixels_of(input: &InputSpec) -> Pixels {
    Pixels {
        scale: input.scale,
        mean: input.mean,
        std: input.std,
    }
}

/// Whether two rules give the same values, however they are written.
fn is_same(one: &Pixels, other: &Pixels) -> bool {
    are_near(one, other, SAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::onnx::scaling::Scaling;
    use crate::spec::{Layout, OutputKind};

    fn names(input: &InputSpec, grey: bool, pixel_most: Option<f32>) -> Vec<String> {
        let inspected = Inspected {
            input_name: "x".into(),
            layout: Layout::Nchw,
            layout_place: "its input's shape and type",
            dtype: input.dtype,
            grey,
            width_px: None,
            height_px: None,
            scaling: pixel_most.map(|pixel_most| Scaling {
                pixel_most,
                operators: "Mul".into(),
            }),
            output_kind: OutputKind::Logits,
            last_operator: None,
            adds_up: false,
            unclear: None,
            channels: None,
            reverses: None,
            choice: None,
            score_count: None,
            metadata: Vec::new(),
        };
        let name = |rule: Rule| {
            let channels = match rule.input.channels {
                ChannelOrder::Rgb => "",
                ChannelOrder::Bgr => " bgr",
            };
            let mark = if rule.is_described { "*" } else { "" };
            format!("{}{channels}{mark}", rule.name)
        };
        plausible(input, &inspected).into_iter().map(name).collect()
    }

    #[test]
    fn only_rules_that_make_sense_are_tried() {
        let usual = InputSpec::imagenet(Layout::Nchw, Dtype::F32, 224, 224);
        let with = |scale: f32, mean: f32, std: f32| InputSpec {
            scale,
            mean: [mean; 3],
            std: [std; 3],
            ..usual.clone()
        };
        let four = ["imagenet*", "0..1", "-1..1", "0..255"];
        let bgr = ["imagenet bgr", "0..1 bgr", "-1..1 bgr", "0..255 bgr"];
        assert_eq!(names(&usual, false, None), [four, bgr].concat());
        // The same rule written differently, and one that is none of them.
        let same = names(&with(1.0 / 127.5, 1.0, 1.0), false, None);
        assert_eq!(same[..4], ["imagenet", "0..1", "-1..1*", "0..255"]);
        let own = names(&with(1.0, 127.0, 128.0), false, None);
        assert_eq!(own[..3], ["described*", "imagenet", "0..1"]);
        assert_eq!(own.len(), 10);
        let grey = names(&with(1.0 / 255.0, 0.0, 1.0), true, None);
        assert_eq!(grey, ["0..1*", "-1..1", "0..255"]);
        // With a graph that normalises, and with bytes, only the order of the channels is open.
        let itself = names(&with(1.0, 0.0, 1.0), false, Some(255.0));
        assert_eq!(itself, ["0..255*", "0..255 bgr"]);
        let bytes = InputSpec::imagenet(Layout::Nhwc, Dtype::U8, 224, 224);
        assert_eq!(names(&bytes, false, None), ["bytes*", "bytes bgr"]);
    }
}
