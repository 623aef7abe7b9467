//! What a scene says that is worth a refresh of paper.

use super::super::{REGIONS, Scene, State};
use std::time::Duration;

/// The most bytes of a notice that are compared.
const NOTICE_BYTES: usize = 64;

/// What the paper says.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    state: Option<State>,
    /// The class of each region, or of the whole picture: no verdict, none decided, or a class.
    classes: [Option<Option<usize>>; REGIONS],
    notice: [u8; NOTICE_BYTES],
}

impl Default for Standing {
    /// Nothing.
    fn default() -> Self {
        Self {
            state: None,
            classes: [None; REGIONS],
            notice: [0; NOTICE_BYTES],
        }
    }
}

impl Standing {
    /// Takes over what `scene` says; whether it says anything else than before.
    pub fn becomes(&mut self, scene: &Scene<'_>) -> bool {
        let mut new = Self {
            state: Some(coarse(scene).state),
            ..Self::default()
        };
        if scene.state == State::Live {
            let class = |verdict: Option<&crate::decide::Verdict>| {
                verdict.map(|verdict| verdict.decided.map(|best| best.class))
            };
            new.classes[0] = class(scene.verdict);
            for (to, region) in new.classes.iter_mut().zip(scene.regions) {
                *to = class(region.verdict);
            }
            let notice = scene.notice.unwrap_or_default().bytes();
            for (to, byte) in new.notice.iter_mut().zip(notice) {
                *to = byte;
            }
        }
        let differs = *self != new;
        *self = new;
        differs
    }
}

/// The scene with a time since the camera was lost that changes once a minute, and after an hour once an hour.
pub fn coarse<'a>(scene: &Scene<'a>) -> Scene<'a> {
    let state = match scene.state {
        State::CameraLost { since } => {
            let seconds = since.as_secs();
            let step = if seconds < 3600 { 60 } else { 3600 };
            State::CameraLost {
                since: Duration::from_secs(seconds / step * step),
            }
        }
        other => other,
    };
    Scene { state, ..*scene }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::played::{scene, verdict};

    #[test]
    fn paper_changes_with_class_state_and_notice_alone() {
        let mut standing = Standing::default();
        assert!(standing.becomes(&scene(State::Starting, None)));
        assert!(!standing.becomes(&scene(State::Starting, None)));
        let mut undecided = verdict(2, 0.3);
        undecided.decided = None;
        let (cat, surer, other) = (verdict(0, 0.6), verdict(0, 0.9), verdict(1, 0.6));
        assert!(standing.becomes(&scene(State::Live, Some(&cat))));
        assert!(!standing.becomes(&scene(State::Live, Some(&surer))));
        assert!(standing.becomes(&scene(State::Live, Some(&undecided))));
        assert!(standing.becomes(&scene(State::Live, Some(&other))));
        let mut low = scene(State::Live, Some(&other));
        low.notice = Some("low power");
        assert!(standing.becomes(&low));
        assert!(!standing.becomes(&low));
        assert!(standing.becomes(&scene(State::Live, None)));
    }

    #[test]
    fn the_time_since_a_loss_is_told_by_the_minute() {
        let mut standing = Standing::default();
        let mut changes = |seconds: u64| {
            let since = Duration::from_secs(seconds);
            standing.becomes(&scene(State::CameraLost { since }, None))
        };
        let changed: Vec<u64> = (3..9000).filter(|seconds| changes(*seconds)).collect();
        assert_eq!(changed[..3], [3, 60, 120]);
        assert_eq!(changed[59..], [3540, 3600, 7200]);
    }
}
