//! Scenes for the tests of displays.

use super::{Scene, State};
use crate::decide::{Candidate, Verdict};
use embedded_hal::delay::DelayNs;
use std::sync::LazyLock;

/// Labels of [`verdict`]'s classes.
pub static LABELS: LazyLock<Vec<String>> = LazyLock::new(|| {
    [
        "Egyptian cat",
        "Staffordshire bullterrier",
        "espresso",
        "tripod",
        "rocket",
    ]
    .map(str::to_owned)
    .to_vec()
});

/// A decided class of [`LABELS`].
pub fn verdict(class: usize, probability: f32) -> Verdict {
    let best = Candidate { class, probability };
    let rest = Candidate {
        class: (class + 1) % LABELS.len(),
        probability: (1.0 - probability) / 4.0,
    };
    Verdict {
        decided: Some(best),
        top: [best, rest, rest, rest, rest],
        enter: Some(0.5),
        changed: false,
    }
}

/// A scene without a picture of the camera.
pub fn scene(state: State, verdict: Option<&Verdict>) -> Scene<'_> {
    Scene {
        state,
        verdict,
        labels: &LABELS,
        unknown_label: "unknown",
        rate_fps: 12.0,
        picture: None,
        regions: &[],
        notice: None,
    }
}

/// Simulated panels need no time.
pub struct NoDelay;

impl DelayNs for NoDelay {
    fn delay_ns(&mut self, _: u32) {}
}
