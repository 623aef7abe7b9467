//! What is classified: the whole picture, or regions of it in turn, each with its own decision.
//!
//! Frame n is for region n mod count. So a region's verdict is made anew only with every count-th frame, and is live for as
//! many times as long as the one of a whole picture would be.

use super::LIVE_FOR;
use crate::board::Region;
use crate::decide::{Classes, DecideConfig, Decider, Verdict};
use crate::preprocess::Preprocess;
use crate::show::{self, REGIONS};
use crate::spec::OutputSpec;
use std::time::{Duration, Instant};

/// All regions, at least one: the whole picture counts as one without a name.
pub(super) struct Views {
    pub all: Vec<View>,
    /// Whose turn it is.
    turn: usize,
}

/// One region.
pub(super) struct View {
    name: Option<String>,
    decider: Decider,
    /// The newest verdict, and when it was made; `None` before the first one and after a loss of the camera.
    verdict: Option<(Verdict, Instant)>,
}

impl View {
    /// Takes the scores of the region's own frame. Also gives whether there is something to tell: another class, or the first
    /// verdict since the start or since the camera was lost.
    pub fn step(&mut self, scores: &[f32], captured_at: Duration) -> (Verdict, bool) {
        let verdict = self.decider.step(scores, captured_at);
        let is_told = self.verdict.is_none() || verdict.changed;
        self.verdict = Some((verdict, Instant::now()));
        (verdict, is_told)
    }

    /// Its name in the board file.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The newest verdict, however old.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref().map(|(verdict, _)| verdict)
    }

    /// The newest verdict, unless it is older than this.
    fn verdict_within(&self, limit: Duration) -> Option<&Verdict> {
        let (verdict, made_at) = self.verdict.as_ref()?;
        (made_at.elapsed() <= limit).then_some(verdict)
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

    /// The region that the next frame is for. A frame that turns out to be of no use is its turn all the same, so that one bad
    /// region does not keep the others waiting.
    pub fn next_turn(&mut self) -> usize {
        let turn = self.turn;
        self.turn = (turn + 1) % self.all.len();
        turn
    }

    /// All decide by these numbers from now on.
    pub fn follow(&mut self, config: &DecideConfig) {
        for view in &mut self.all {
            view.decider.follow(config.clone());
        }
    }

    /// Nothing that was seen counts any more.
    pub fn forget(&mut self) {
        for view in &mut self.all {
            view.decider.reset();
            view.verdict = None;
        }
    }

    /// What a display shows of each; `preprocess` has their pictures, when frames come.
    pub fn regions<'a>(
        &'a self,
        preprocess: Option<&'a Preprocess>,
    ) -> [show::Region<'a>; REGIONS] {
        let limit = LIVE_FOR * self.all.len() as u32;
        std::array::from_fn(|i| {
            let Some(view) = self.all.get(i) else {
                return show::Region::default();
            };
            let verdict = view.verdict_within(limit);
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
