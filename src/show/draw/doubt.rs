//! What is shown while no class is decided: the word for that alone is said as large as a class. The best class and its percent stand
//! below it in small letters, with what would be needed; the bar shows the same, with a mark there.

use super::Painter;
use crate::decide::Verdict;
use crate::show::Scene;
use crate::show::font::Face;
use crate::show::layout::{Doubt, Side};
use crate::show::words::{self, Text};
use embedded_graphics::primitives::Rectangle;
use std::fmt::Write;

/// How far the bar is filled, and where its mark stands.
pub(super) fn bar_of(verdict: Option<&Verdict>) -> (f32, Option<f32>) {
    verdict.map_or((0.0, None), |verdict| {
        (verdict.top[0].probability, verdict.enter)
    })
}

impl Painter {
    /// The word for "no class is decided", and the best class below it.
    pub(super) fn undecided(
        &mut self,
        scene: &Scene<'_>,
        verdict: Option<&Verdict>,
        places: Doubt,
        side: Side,
    ) {
        let word = words::legible(scene.unknown_label);
        let verdict = verdict.filter(|_| !self.is_standing());
        let (Some(verdict), Some(guess)) = (verdict, places.guess) else {
            self.label_at(places.whole, word.as_str(), side, self.palette.doubt);
            return;
        };
        self.label_at(places.word, word.as_str(), side, self.palette.doubt);
        self.guess(scene, verdict, (guess, places.face), side);
    }

    /// "best: tabby 42%, needs 50%", or as much of it as fits.
    fn guess(
        &mut self,
        scene: &Scene<'_>,
        verdict: &Verdict,
        (place, face): (Rectangle, Face),
        side: Side,
    ) {
        let best = verdict.top[0];
        let name = words::class_name(scene.labels, best.class);
        let percent = words::percent(best.probability);
        let needed = verdict.enter.filter(|needed| best.probability < *needed);
        // The number is of a class that is the best one, and not, or not yet, sure enough; or that the board file ignores.
        let (kind, short) = match verdict.enter {
            Some(_) => ("best: ", ""),
            None => ("ignored: ", ""),
        };
        let face = face.with(self.own);
        let text = |kind: &str, room_px: u32, with_needed: bool| {
            let mut tail: Text<48> = Text::new();
            // Writing into a `Text` never fails.
            let _ = write!(tail, " {}", percent.as_str());
            if let (true, Some(needed)) = (with_needed, needed) {
                let _ = write!(tail, ", needs {}", words::percent(needed).as_str());
            }
            let taken = face.width_px(kind) + face.width_px(tail.as_str());
            let (kept, ellipsis) = face.shortened(name.as_str(), room_px.saturating_sub(taken));
            let mut text: Text<320> = Text::new();
            let _ = write!(text, "{kind}{kept}{ellipsis}{}", tail.as_str());
            (text, ellipsis.is_empty())
        };
        let mut made = [(kind, true), (kind, false), (short, true)]
            .into_iter()
            .map(|(kind, with_needed)| text(kind, place.size.width, with_needed));
        let (text, _) = made
            .find(|(_, is_whole)| *is_whole)
            .unwrap_or_else(|| text(short, place.size.width, false));
        self.line(place, face, text.as_str(), side, self.palette.quiet);
    }

    /// What paper says at its foot.
    pub(super) fn standing_status(&mut self, scene: &Scene<'_>, place: Rectangle, face: Face) {
        let is_decided = scene
            .verdict
            .is_some_and(|verdict| verdict.decided.is_some());
        if !is_decided && scene.regions.is_empty() {
            let texts = ["no class is sure enough", "not sure enough", "not sure"];
            self.fitting(place, face, &texts, self.palette.quiet);
        }
    }
}
