//! What is shown while no class is decided: the word for that, as large as a class on its own. The best class and its percent are
//! below it in small letters, with the percent it would need; the bar shows the same, with a mark at that percent.

use super::Painter;
use crate::decide::Verdict;
use crate::show::Scene;
use crate::show::font::Face;
use crate::show::layout::{Side, Undecided};
use crate::show::words::{self, Text};
use embedded_graphics::primitives::Rectangle;

/// How far the bar is filled, and where its mark is.
pub(super) fn bar_of(verdict: Option<&Verdict>) -> (f32, Option<f32>) {
    verdict.map_or((0.0, None), |verdict| {
        (verdict.top[0].probability, verdict.enter)
    })
}

/// "best: tabby 42%, needs 50%", or as much of it as fits into `width_px`. The percent is always included: it belongs to the
/// named class, which is the best one but is not sure enough, or not yet, or is ignored by the board file.
fn guess_of(verdict: &Verdict, name: &str, face: Face, width_px: u32) -> Text<320> {
    let percent = words::percent(verdict.top[0].probability);
    // One above its threshold has not been the best for long enough.
    let needed = verdict.enter.map(words::percent).filter(|needed| {
        let is_short = verdict.enter > Some(verdict.top[0].probability);
        is_short && *needed != percent
    });
    let with_needed: Text<48> = match needed {
        Some(needed) => words::written(format_args!(
            " {}, needs {}",
            percent.as_str(),
            needed.as_str()
        )),
        None => words::written(format_args!(" {}", percent.as_str())),
    };
    let alone: Text<48> = words::written(format_args!(" {}", percent.as_str()));
    let (long, short) = match verdict.enter {
        Some(_) => ("best: ", ""),
        None => ("ignored: ", "ignored: "),
    };
    let forms = [(long, with_needed), (long, alone), (short, alone)];
    let mut room_px = 0;
    for (kind, tail) in forms {
        let taken_px = face.width_px(kind) + face.width_px(tail.as_str());
        room_px = width_px.saturating_sub(taken_px);
        if face.width_px(name) <= room_px {
            return words::written(format_args!("{kind}{name}{}", tail.as_str()));
        }
    }
    let (kept, ellipsis) = face.shortened(name, room_px);
    words::written(format_args!("{short}{kept}{ellipsis}{}", alone.as_str()))
}

impl Painter {
    /// The word for "no class is decided", and the best class below it.
    pub(super) fn undecided(
        &mut self,
        scene: &Scene<'_>,
        verdict: Option<&Verdict>,
        places: Undecided,
        side: Side,
    ) {
        let word = words::legible(scene.unknown_label);
        let verdict = verdict.filter(|_| !self.is_standing());
        let (Some(verdict), Some(guess)) = (verdict, places.guess) else {
            self.label_at(places.whole, word.as_str(), side, self.palette.warning);
            return;
        };
        self.label_at(places.word, word.as_str(), side, self.palette.warning);
        let face = places.face.with(self.own);
        let name = words::class_name(scene.labels, verdict.top[0].class);
        let text = guess_of(verdict, name.as_str(), face, guess.size.width);
        self.line(guess, face, text.as_str(), side, self.palette.quiet);
    }

    /// The line at the bottom of paper.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::{Candidate, TOP};
    use crate::show::Depth;

    fn verdict(probability: f32, enter: Option<f32>) -> Verdict {
        let best = Candidate {
            class: 0,
            probability,
        };
        Verdict {
            decided: None,
            top: [best; TOP],
            enter,
            changed: false,
        }
    }

    /// In letters that are all 6 px wide.
    fn guess(probability: f32, enter: Option<f32>, name: &str, letters: u32) -> String {
        let face = Face::of_height(10, Depth::Mono);
        assert_eq!(face.width_px("abc"), 18);
        let text = guess_of(&verdict(probability, enter), name, face, letters * 6);
        text.as_str().to_owned()
    }

    #[test]
    fn the_best_class_is_named_with_its_threshold_if_there_is_room() {
        let cases = [
            (30, "best: tiger cat 42%, needs 50%"),
            (29, "best: tiger cat 42%"),
            (18, "tiger cat 42%"),
            (12, "tiger.. 42%"),
            (3, " 42%"),
        ];
        for (letters, wanted) in cases {
            let line = guess(0.42, Some(0.5), "tiger cat", letters);
            assert_eq!(line.trim_start_matches('.'), wanted, "{letters}");
        }
        // Above the threshold, or so close below it that the rounded numbers are equal.
        for probability in [0.7, 0.5, 0.498] {
            let line = guess(probability, Some(0.5), "tabby", 40);
            assert!(
                line.starts_with("best: tabby") && !line.contains("needs"),
                "{line}"
            );
        }
        assert_eq!(guess(0.91, None, "tabby", 40), "ignored: tabby 91%");
        assert_eq!(guess(0.91, None, "tiger cat", 20), "ignored: tiger.. 91%");
        assert_eq!(guess(f32::NAN, Some(0.5), "tabby", 40), "best: tabby 0%");
    }
}
