//! Where a `model.toml` contradicts what the ONNX file's metadata or a file beside it says: it takes precedence, and the log says so.

use super::facts::{self, Source};
use super::hints::{Hint, Hints, Pixels};
use crate::network::onnx::inspect::Inspected;
use crate::spec::{Dtype, InputSpec};

/// Values that differ by less than so many steps from one pixel to the next contradict nothing: means are rounded in many ways.
const NEAR_STEPS: f32 = 2.0;

/// What contradicts `input`, as the file `toml` states it for the network that says `inspected` about itself: one line each.
pub fn contradictions(
    input: &InputSpec,
    toml: &str,
    hints: &Hints<'_>,
    inspected: &Inspected,
) -> Vec<String> {
    let line = |own: &str, other: &str, source: &Source| {
        format!(
            "with its {toml} it gets {own}, and it would be {other} otherwise ({source}): if the classes are wrong, state that in \
             [input]"
        )
    };
    let preparation = hints.preparation();
    let own = Pixels {
        scale: input.scale,
        mean: input.mean,
        std: input.std,
    };
    let takes_values = input.dtype == Dtype::F32 && inspected.scaling.is_none() && !inspected.grey;
    let pixels = preparation.pixels.filter(|_| takes_values);
    let pixels = pixels.filter(|hint| !are_near(&own, &hint.value, NEAR_STEPS));
    let channels = preparation.channels.filter(|hint| {
        inspected.channels.is_none() && !inspected.grey && hint.value != input.channels
    });
    let pixels = pixels
        .map(|Hint { value, source }| line(&facts::pixels(&own), &facts::pixels(&value), &source));
    let channels = channels.map(|Hint { value, source }| {
        let key = |value| format!("channels = {}", facts::channels(value));
        line(&key(input.channels), &key(value), &source)
    });
    pixels.into_iter().chain(channels).collect()
}

/// Whether two rules give values that differ by less than so many steps from one pixel to the next, however they are written.
pub fn are_near(one: &Pixels, other: &Pixels, steps: f32) -> bool {
    (0..3).all(|colour| {
        let value =
            |rule: &Pixels, pixel: f32| (pixel * rule.scale - rule.mean[colour]) / rule.std[colour];
        let step = one.scale / one.std[colour];
        [0.0, 255.0]
            .iter()
            .all(|&pixel| (value(one, pixel) - value(other, pixel)).abs() < steps * step)
    })
}
