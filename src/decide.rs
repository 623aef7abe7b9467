//! From scores to a verdict: softmax, moving average, top-k, and a decision that does not flicker.
//!
//! A class is decided when it was the best one in `frames_in_a_row` frames, its smoothed probability is at least `enter`, and the
//! previous class was held for at least `hold`. It stays decided while its smoothed probability is at least `leave`. While no
//! class is decided the verdict is "unknown". Single classes may have their own rules, be ignored or be merged ([`Classes`]);
//! while an ignored class is the best one, none is decided. Nothing here allocates after [`Decider::new`].

mod classes;
mod config;

pub use classes::Classes;
pub use config::{ClassRule, ClassRules, DecideConfig};

use crate::spec::{OutputKind, OutputSpec};
use std::time::Duration;

/// One class and its probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Index into the labels, `0..class_count` (any label offset is already subtracted).
    pub class: usize,
    /// Softmax probability, 0..=1.
    pub probability: f32,
}

/// How many candidates a verdict carries.
pub const TOP: usize = 5;

/// The decision for the newest frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// The decided class after smoothing and hysteresis; `None` is "unknown".
    pub decided: Option<Candidate>,
    /// The best candidates (smoothed), best first.
    pub top: [Candidate; TOP],
    /// The probability at which the best one of `top` becomes decided; `None` for an ignored class, which never does.
    pub enter: Option<f32>,
    /// Whether `decided`'s class differs from the previous verdict's.
    pub changed: bool,
}

/// Turns scores into probabilities, in place: `exp(s - max) / sum`.
pub fn softmax(scores: &mut [f32]) {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - max).exp();
        sum += *score;
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// The `K` largest of `probabilities`, best first; among equals, the lower class. With fewer than `K` classes the last entries
/// are class 0 with probability 0.
pub fn top_k<const K: usize>(probabilities: &[f32]) -> [Candidate; K] {
    let mut top = [Candidate {
        class: 0,
        probability: 0.0,
    }; K];
    for (class, &probability) in probabilities.iter().enumerate() {
        if K == 0 || probability <= top[K - 1].probability {
            continue;
        }
        let mut place = K - 1;
        while place > 0 && top[place - 1].probability < probability {
            top[place] = top[place - 1];
            place -= 1;
        }
        top[place] = Candidate { class, probability };
    }
    top
}

/// The `count` best classes of one picture's scores, best first.
pub fn best(scores: &[f32], kind: OutputKind, count: usize) -> Vec<Candidate> {
    let mut probabilities = scores.to_vec();
    if kind == OutputKind::Logits {
        softmax(&mut probabilities);
    }
    let by_class = probabilities.into_iter().enumerate();
    let mut best: Vec<_> = by_class
        .map(|(class, probability)| Candidate { class, probability })
        .collect();
    best.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    best.truncate(count);
    best
}

/// Follows the scores frame by frame.
#[derive(Debug)]
pub struct Decider {
    config: DecideConfig,
    classes: Classes,
    kind: OutputKind,
    newest: Vec<f32>,
    smoothed: Vec<f32>,
    has_history: bool,
    best_class: usize,
    best_for_frames: u32,
    decided: Option<usize>,
    decided_at: Duration,
}

impl Decider {
    /// For a network with this output; `classes` holds the rules for single classes, resolved for that network's labels.
    pub fn new(config: DecideConfig, classes: Classes, output: OutputSpec) -> Self {
        Self {
            config,
            classes,
            kind: output.kind,
            newest: vec![0.0; output.class_count],
            smoothed: vec![0.0; output.class_count],
            has_history: false,
            best_class: 0,
            best_for_frames: 0,
            decided: None,
            decided_at: Duration::ZERO,
        }
    }

    /// Uses these numbers from the next frame on. The rules for single classes stay.
    pub fn follow(&mut self, config: DecideConfig) {
        self.config = config;
    }

    /// Forgets all frames: the next one stands alone. Called when the camera was lost, so that nothing stale counts.
    pub fn reset(&mut self) {
        self.has_history = false;
        self.best_for_frames = 0;
        self.decided = None;
    }

    /// Processes one frame's scores (`class_count` of them) at the time `now` of any monotonic clock.
    pub fn step(&mut self, scores: &[f32], now: Duration) -> Verdict {
        self.newest.copy_from_slice(scores);
        if self.kind == OutputKind::Logits {
            softmax(&mut self.newest);
        }
        self.classes.merge(&mut self.newest);
        if self.has_history {
            let weight = self.config.ema_weight;
            for (old, new) in self.smoothed.iter_mut().zip(&self.newest) {
                *old += weight * (new - *old);
            }
        } else {
            self.smoothed.copy_from_slice(&self.newest);
            self.has_history = true;
        }
        let top = top_k::<TOP>(&self.smoothed);
        let before = self.decided;
        self.decide(top[0], now);
        let decided = self.decided.map(|class| Candidate {
            class,
            probability: self.smoothed[class],
        });
        Verdict {
            decided,
            top,
            enter: (!self.classes.is_ignored(top[0].class)).then(|| self.rule(top[0].class).enter),
            changed: before != self.decided,
        }
    }

    fn decide(&mut self, best: Candidate, now: Duration) {
        if self.best_for_frames > 0 && best.class == self.best_class {
            self.best_for_frames = self.best_for_frames.saturating_add(1);
        } else {
            self.best_class = best.class;
            self.best_for_frames = 1;
        }
        let decided = self.decided.map(|class| (class, self.rule(class)));
        let decided_for = now.saturating_sub(self.decided_at);
        if decided.is_some_and(|(_, rule)| decided_for < rule.hold) {
            return;
        }
        let rule = self.rule(best.class);
        let may_enter = self.best_for_frames >= rule.frames_in_a_row
            && best.probability >= rule.enter
            && !self.classes.is_ignored(best.class);
        match decided {
            Some((class, rule)) if class == best.class && best.probability >= rule.leave => {}
            _ if may_enter => {
                self.decided = Some(best.class);
                self.decided_at = now;
            }
            Some((class, rule)) if self.smoothed[class] >= rule.leave => {}
            _ => self.decided = None,
        }
    }

    fn rule(&self, class: usize) -> ClassRule {
        self.classes.rule(class).unwrap_or(self.config.rule())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> DecideConfig {
        DecideConfig {
            ema_weight: 1.0,
            enter: 0.5,
            leave: 0.3,
            frames_in_a_row: 1,
            hold: Duration::ZERO,
            unknown_label: "unknown".into(),
            classes: ClassRules::default(),
        }
    }

    const OUTPUT: OutputSpec = OutputSpec {
        kind: OutputKind::Probabilities,
        class_count: 3,
        label_offset: 0,
    };

    /// Steps through frames of probabilities, one per millisecond; returns the decided classes.
    fn run(config: DecideConfig, frames: &[[f32; 3]]) -> Vec<Option<usize>> {
        run_with(config, Classes::default(), frames)
    }

    fn run_with(config: DecideConfig, classes: Classes, frames: &[[f32; 3]]) -> Vec<Option<usize>> {
        let mut decider = Decider::new(config, classes, OUTPUT);
        let step = |(i, frame): (usize, &[f32; 3])| {
            decider
                .step(frame, Duration::from_millis(i as u64))
                .decided
                .map(|c| c.class)
        };
        frames.iter().enumerate().map(step).collect()
    }

    #[test]
    fn softmax_sums_to_one_and_handles_large_scores() {
        let mut scores = [1000.0, 1001.0, -1000.0];
        softmax(&mut scores);
        assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((scores[1] / scores[0] - std::f32::consts::E).abs() < 1e-3);
        assert_eq!(scores[2], 0.0);
    }

    #[test]
    fn top_k_is_the_head_of_a_sort() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200 {
            let scores: Vec<f32> = (0..random.usize(5..50))
                .map(|_| random.u8(1..20).into())
                .collect();
            let mut sorted: Vec<usize> = (0..scores.len()).collect();
            sorted.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
            let top = top_k::<5>(&scores);
            assert_eq!(top.map(|c| c.class).to_vec(), sorted[..5]);
        }
    }

    #[test]
    fn a_verdict_carries_the_threshold_of_its_best_class() {
        let labels = ["a", "b", "c"].map(str::to_owned);
        let rules = ClassRules {
            rules: vec![(
                "b".into(),
                ClassRule {
                    enter: 0.9,
                    ..config().rule()
                },
            )],
            ignore: vec!["c".into()],
            ..ClassRules::default()
        };
        let classes = Classes::resolve(&rules, &labels).expect("each name is a label");
        let mut decider = Decider::new(config(), classes, OUTPUT);
        let mut enter = |frame: [f32; 3]| decider.step(&frame, Duration::ZERO).enter;
        assert_eq!(enter([0.4, 0.3, 0.3]), Some(0.5));
        assert_eq!(enter([0.2, 0.6, 0.2]), Some(0.9));
        assert_eq!(enter([0.1, 0.1, 0.8]), None);
    }

    #[test]
    fn enter_and_leave_are_two_thresholds() {
        let frames = [
            [0.4, 0.3, 0.3],
            [0.6, 0.2, 0.2],
            [0.4, 0.3, 0.3],
            [0.25, 0.4, 0.35],
            [0.3, 0.6, 0.1],
        ];
        assert_eq!(
            run(config(), &frames),
            [None, Some(0), Some(0), None, Some(1)]
        );
    }

    #[test]
    fn a_decided_class_yields_to_a_better_one() {
        assert_eq!(
            run(config(), &[[0.9, 0.1, 0.0], [0.4, 0.55, 0.05]]),
            [Some(0), Some(1)]
        );
    }

    #[test]
    fn a_class_must_be_best_some_frames_in_a_row() {
        let config = DecideConfig {
            frames_in_a_row: 3,
            ..config()
        };
        let (a, b) = ([0.9, 0.1, 0.0], [0.1, 0.9, 0.0]);
        assert_eq!(
            run(config, &[a, a, b, a, a, a]),
            [None, None, None, None, None, Some(0)]
        );
    }

    #[test]
    fn a_decided_class_is_held() {
        let config = DecideConfig {
            hold: Duration::from_millis(3),
            ..config()
        };
        let (a, b) = ([0.9, 0.1, 0.0], [0.0, 1.0, 0.0]);
        assert_eq!(
            run(config, &[a, b, b, b, b]),
            [Some(0), Some(0), Some(0), Some(1), Some(1)]
        );
    }

    #[test]
    fn the_average_smooths() {
        let config = DecideConfig {
            ema_weight: 0.25,
            ..config()
        };
        let (a, b) = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]);
        assert_eq!(
            run(config, &[a, b, b, b]),
            [Some(0), Some(0), Some(0), Some(1)]
        );
    }

    #[test]
    fn nothing_stale_counts_after_a_reset() {
        let mut decider = Decider::new(
            DecideConfig {
                ema_weight: 0.1,
                ..config()
            },
            Classes::default(),
            OUTPUT,
        );
        decider.step(&[1.0, 0.0, 0.0], Duration::ZERO);
        decider.reset();
        let verdict = decider.step(&[0.0, 1.0, 0.0], Duration::ZERO);
        assert_eq!(
            verdict.decided,
            Some(Candidate {
                class: 1,
                probability: 1.0
            })
        );
    }

    /// Rules for classes labelled a, b and c.
    fn resolved(rules: &ClassRules) -> Classes {
        Classes::resolve(rules, &["a", "b", "c"].map(str::to_owned)).expect("the names are right")
    }

    #[test]
    fn a_class_can_have_its_own_thresholds() {
        let rule = ClassRule {
            enter: 0.8,
            leave: 0.7,
            frames_in_a_row: 2,
            hold: Duration::from_millis(2),
        };
        let rules = ClassRules {
            rules: vec![("b".into(), rule)],
            ..ClassRules::default()
        };
        let b = |p: f32| [1.0 - p, p, 0.0];
        // Entered at the second frame, held for two milliseconds, left below 0.7; class a uses the common 0.5 and 0.3.
        let frames = [b(0.9), b(0.85), b(0.6), b(0.6), b(0.6), b(0.2)];
        let decided = run_with(config(), resolved(&rules), &frames);
        assert_eq!(decided, [None, Some(1), Some(1), None, None, Some(0)]);
    }

    #[test]
    fn an_ignored_class_is_never_decided_and_blocks_others_while_best() {
        let rules = ClassRules {
            ignore: vec!["a".into()],
            ..ClassRules::default()
        };
        let low = DecideConfig {
            enter: 0.2,
            leave: 0.15,
            ..config()
        };
        let frames = [
            [0.9, 0.1, 0.0],
            [0.6, 0.4, 0.0],
            [0.4, 0.6, 0.0],
            [0.8, 0.2, 0.0],
            [0.9, 0.1, 0.0],
        ];
        let decided = run_with(low, resolved(&rules), &frames);
        assert_eq!(decided, [None, None, Some(1), Some(1), None]);
    }

    #[test]
    fn merged_classes_are_decided_by_their_sum() {
        let rules = ClassRules {
            merge: vec![("bc".into(), vec!["c".into(), "b".into()])],
            ..ClassRules::default()
        };
        let mut decider = Decider::new(config(), resolved(&rules), OUTPUT);
        let verdict = decider.step(&[0.4, 0.25, 0.35], Duration::ZERO);
        let sum = Candidate {
            class: 2,
            probability: 0.6,
        };
        assert_eq!(verdict.decided, Some(sum));
        assert_eq!(verdict.top.map(|c| c.class)[..2], [2, 0]);
        assert!(verdict.top[2..].iter().all(|c| c.probability == 0.0));
    }

    #[test]
    fn a_change_is_reported_once() {
        let mut decider = Decider::new(config(), Classes::default(), OUTPUT);
        let changed: Vec<bool> = (0..3)
            .map(|_| decider.step(&[0.9, 0.1, 0.0], Duration::ZERO).changed)
            .collect();
        assert_eq!(changed, [true, false, false]);
    }
}
