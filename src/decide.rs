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

impl Verdict {
    /// The entries of `top` that are classes: a network of fewer than [`TOP`] has no more to list, nor has one whose classes are
    /// merged.
    pub fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        let is_first = |at: usize| {
            let class = self.top[at].class;
            self.top[..at].iter().all(|better| better.class != class)
        };
        let candidates = self.top.iter().enumerate();
        candidates
            .take_while(move |(at, _)| is_first(*at))
            .map(|(_, candidate)| candidate)
    }
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

/// The `K` largest of `probabilities`, best first, without those of classes that are left out; among equals, the lower class. With
/// fewer than `K` classes the last entries repeat the best class, with probability 0.
pub fn top_k<const K: usize>(
    probabilities: &[f32],
    is_left_out: impl Fn(usize) -> bool,
) -> [Candidate; K] {
    const NONE: f32 = -1.0;
    let mut top = [Candidate {
        class: 0,
        probability: NONE,
    }; K];
    for (class, &probability) in probabilities.iter().enumerate() {
        // A number that is none is not larger than any.
        let is_larger = K > 0 && probability > top[K - 1].probability;
        if !is_larger || is_left_out(class) {
            continue;
        }
        let mut place = K - 1;
        while place > 0 && top[place - 1].probability < probability {
            top[place] = top[place - 1];
            place -= 1;
        }
        top[place] = Candidate { class, probability };
    }
    let best = top.first().map_or(0, |best| best.class);
    for free in top.iter_mut().filter(|free| free.probability == NONE) {
        *free = Candidate {
            class: best,
            probability: 0.0,
        };
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

    /// Uses these numbers, and these rules for single classes, from the next frame on.
    pub fn follow(&mut self, config: DecideConfig, classes: Classes) {
        self.config = config;
        self.classes = classes;
    }

    /// The rules for single classes.
    pub fn classes(&self) -> &Classes {
        &self.classes
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
        let top = top_k::<TOP>(&self.smoothed, |class| self.classes.is_merged(class));
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
mod tests;
