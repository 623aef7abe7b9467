//! What is classified: the whole picture, or regions of it in turn, each with its own decision.
//!
//! Frame n is for region n mod count. So a region's verdict is renewed only every count-th frame, and stays live count times as
//! long as a whole picture's would.

use crate::board::Region;
use crate::clock;
use crate::decide::{Classes, DecideConfig, Decider, Verdict};
use crate::preprocess::Preprocess;
use crate::show::{self, REGIONS};
use crate::spec::OutputSpec;
use std::time::Duration;

/// All regions, at least one: the whole picture counts as one without a name.
pub(super) struct Views {
    pub all: Vec<View>,
    /// Index of the region whose turn it is.
    turn: usize,
}

/// One region.
pub(super) struct View {
    name: Option<String>,
    decider: Decider,
    /// The newest verdict, and when its frame was captured; `None` before the first one and after the camera was lost.
    verdict: Option<(Verdict, Duration)>,
}

impl View {
    /// Takes the scores of the region's own frame. Also returns whether there is something to report: a different class, or the
    /// first verdict since the start or since the camera was lost.
    pub fn step(&mut self, scores: &[f32], captured_at: Duration) -> (Verdict, bool) {
        let verdict = self.decider.step(scores, captured_at);
        let is_news = self.verdict.is_none() || verdict.changed;
        self.verdict = Some((verdict, captured_at));
        (verdict, is_news)
    }

    /// Its name in the board file.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The newest verdict, however old.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref().map(|(verdict, _)| verdict)
    }

    /// The newest verdict, unless it is too old.
    fn verdict_within(&self, limit: Duration) -> Option<&Verdict> {
        let (verdict, captured_at) = self.verdict.as_ref()?;
        (clock::now().saturating_sub(*captured_at) <= limit).then_some(verdict)
    }
}

impl Views {
    /// One for each of `regions`, or one for the whole picture.
    pub fn new(
        regions: &[Region],
        config: &DecideConfig,
        classes: &Classes,
        output: OutputSpec,
    ) -> Self {
        let view = |name: Option<&String>| View {
            name: name.cloned(),
            decider: Decider::new(config.clone(), classes.clone(), output),
            verdict: None,
        };
        let mut all: Vec<_> = regions.iter().map(|r| view(r.name.as_ref())).collect();
        if all.is_empty() {
            all.push(view(None));
        }
        Self { all, turn: 0 }
    }

    /// The region whose turn it is.
    pub fn turn(&self) -> usize {
        self.turn
    }

    /// Ends its turn: after each frame that is whole. If only this region cannot use the frame, it does not hold up the others.
    pub fn end_turn(&mut self) {
        self.turn = (self.turn + 1) % self.all.len();
    }

    /// Applies these thresholds, and rules for single classes, to all of them from now on.
    pub fn follow(&mut self, config: &DecideConfig, classes: &Classes) {
        for view in &mut self.all {
            view.decider.follow(config.clone(), classes.clone());
        }
    }

    /// The current rules for single classes.
    pub fn classes(&self) -> Classes {
        let first = self.all.first();
        first.map_or_else(Classes::default, |view| view.decider.classes().clone())
    }

    /// Drops all verdicts and their history.
    pub fn forget(&mut self) {
        for view in &mut self.all {
            view.decider.reset();
            view.verdict = None;
        }
    }

    /// What a display shows of each; `preprocess` has their pictures while frames arrive, and without it there is nothing to show.
    pub fn regions<'a>(
        &'a self,
        preprocess: Option<&'a Preprocess>,
        live_for: Duration,
    ) -> [show::Region<'a>; REGIONS] {
        let limit = live_for * self.all.len() as u32;
        std::array::from_fn(|i| {
            let Some(view) = self.all.get(i) else {
                return show::Region::default();
            };
            let verdict = preprocess.and(view.verdict_within(limit));
            show::Region {
                name: view.name().unwrap_or_default(),
                verdict,
                picture: verdict.and(preprocess).map(|p| p.crop_of_area(i)),
            }
        })
    }
}

/// The regions in words.
pub(crate) fn describe(regions: &[Region]) -> String {
    let words: Vec<_> = regions.iter().map(ToString::to_string).collect();
    let turns = if words.len() > 1 { "; in turn" } else { "" };
    format!("{}{turns}", words.join(", "))
}
