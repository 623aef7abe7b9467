//! Labels that are too long for their rows and begin alike: they are cut where they would become equal.

use super::super::font::Face;
use super::super::words::Label;

/// Of the width, this part is for what tells the labels apart; the rest for how they begin.
const TELLING: f32 = 0.7;

/// The pieces of a row's text, one after the other.
pub(super) type Pieces<'t> = [&'t str; 4];

/// The text of row `at`, in at most `width_px`. If a row that is shortened as usual would look like another one, its middle is left
/// out instead (`Schr…M3` and `Schr…M4`, not twice `Schraube,…`).
pub(super) fn pieces(face: Face, names: &[Label], at: usize, width_px: u32) -> Pieces<'_> {
    let Some(name) = names.get(at).map(Label::as_str) else {
        return [""; 4];
    };
    let (kept, ellipsis) = face.shortened(name, width_px);
    let usual = [kept, ellipsis, "", ""];
    if ellipsis.is_empty() {
        return usual;
    }
    let others = names.iter().enumerate().filter(|(other, _)| *other != at);
    let alike = others.filter_map(|(_, other)| {
        let other = other.as_str();
        let is_alike = other != name && face.shortened(other, width_px) == (kept, ellipsis);
        is_alike.then(|| common(name, other))
    });
    let Some(same) = alike.max() else {
        return usual;
    };
    // From the word on in which they differ.
    let (before, _) = name.split_at(same);
    let word = before
        .rfind([' ', '-', '_', '/'])
        .map_or(same, |space| space + 1);
    let room = width_px as f32 - face.width_px(ellipsis) as f32;
    let word = match face.width_px(&name[word..same]) as f32 > room * TELLING / 2.0 {
        true => same,
        false => word,
    };
    let (end, cut) = face.shortened(&name[word..], (room * TELLING) as u32);
    let left = room - (face.width_px(end) + face.width_px(cut)) as f32;
    let begin = face.prefix(&name[..word], left);
    [begin, ellipsis, end, cut]
}

/// Bytes that two texts have in common at their beginning.
fn common(one: &str, other: &str) -> usize {
    let mut pairs = one.char_indices().zip(other.chars());
    let end = one.len().min(other.len());
    let differs = pairs.find(|((_, a), b)| a != b);
    differs.map_or(end, |((at, _), _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::Depth;
    use crate::show::words::legible;

    #[test]
    fn labels_that_would_be_cut_alike_are_told_apart() {
        let face = Face::of_height(18, Depth::Rgb565);
        for (labels, told_apart) in [
            (&["Schraube, M3", "Schraube, M4", "Mutter"][..], true),
            (
                &[
                    "Schraube, M3 verzinkt",
                    "Schraube, M4 verzinkt",
                    "Schraube, M4 blank",
                ],
                true,
            ),
            (
                &["screw, stainless steel", "screw, stainless steel, bent"],
                true,
            ),
            (&["golden retriever dog", "Labrador retriever"], false),
            (&["sidewinder, horned", "sidewinder, horned"], false),
        ] {
            let names: Vec<Label> = labels.iter().map(|label| legible(label)).collect();
            let width_px = face.width_px("Schraube, M");
            let shown: Vec<String> = (0..names.len())
                .map(|at| pieces(face, &names, at, width_px).concat())
                .collect();
            for text in &shown {
                assert!(face.width_px(text) <= width_px, "{text}");
            }
            let mut different = shown.clone();
            different.sort();
            different.dedup();
            let are_equal = labels[0] == labels[1];
            assert_eq!(different.len() == shown.len(), !are_equal, "{shown:?}");
            let usual = |at: usize| {
                let (kept, ellipsis) = face.shortened(names[at].as_str(), width_px);
                format!("{kept}{ellipsis}")
            };
            let is_told_apart = (0..names.len()).any(|at| shown[at] != usual(at));
            assert_eq!(is_told_apart, told_apart, "{shown:?}");
        }
    }
}
