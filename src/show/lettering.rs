//! Checks whether the labels can be shown: reads the board's own font file at start for the letters that the labels need, and
//! logs labels with letters that no font has, once.

use super::font::{self, Letters};
use crate::{Cause, Failure};
use std::fmt::{self, Write as _};
use std::path::Path;

/// How many labels with missing letters are named.
const NAMED: usize = 5;

/// The letters of a model's labels on a board's display.
#[derive(Debug, Default)]
pub struct Lettering {
    /// Those that the board's font file has, if the board names one. They live as long as the program.
    pub own: Option<&'static Letters>,
    /// The labels that cannot be shown completely.
    pub missing: Vec<MissingLetters>,
}

/// A label with letters that no font has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingLetters {
    /// The label; its other letters are shown.
    pub label: String,
    /// The missing letters, each once.
    pub letters: Vec<char>,
}

impl Lettering {
    /// Reads the board's font file, if it names one, for `words`: every label text that its displays show.
    ///
    /// # Errors
    /// [`Cause::Board`] if the font file cannot be read or is invalid.
    pub fn of(words: &[&str], font: Option<&Path>) -> Result<Self, Failure> {
        let own = match font {
            Some(path) => {
                let letters = words.iter().flat_map(|word| word.chars());
                let letters = Letters::read(path, letters).map_err(|why| {
                    let path = path.display();
                    Failure::new(Cause::Board, format!("display.font: {path} {why}"))
                })?;
                // Displays are reopened after a failure, with the same letters.
                Some(&*Box::leak(Box::new(letters)))
            }
            None => None,
        };
        let missing = words
            .iter()
            .filter_map(|label| MissingLetters::of(label, own));
        Ok(Self {
            own,
            missing: missing.collect(),
        })
    }

    /// A message about labels that cannot be shown completely; `None` if all can.
    pub fn warning(&self) -> Option<String> {
        let count = self.missing.len();
        let named: Vec<_> = self
            .missing
            .iter()
            .take(NAMED)
            .map(MissingLetters::to_string)
            .collect();
        let mut named = named.join(", ");
        if count > NAMED {
            // Writing to a String cannot fail.
            let _ = write!(named, " and {} more", count - NAMED);
        }
        let mut letters = self.missing.iter().flat_map(|missing| &missing.letters);
        let what = match self.own {
            _ if letters.all(|c| font::needs_shaping(*c)) => {
                "no font helps, write these labels in other letters"
            }
            None => {
                "put `font = \"FILE.ttf\"` into [display] of the board file, a font that has them"
            }
            Some(_) => "the file that `font` in [display] names lacks them too, take another one",
        };
        (count > 0)
            .then(|| format!("labels with letters that no font has, shown as `?`: {named}; {what}"))
    }
}

impl MissingLetters {
    fn of(label: &str, own: Option<&Letters>) -> Option<Self> {
        let mut letters = Vec::new();
        for c in super::words::letters(label) {
            if !font::has(c, own) && !letters.contains(&c) {
                letters.push(c);
            }
        }
        let label = label.to_owned();
        (!letters.is_empty()).then_some(Self { label, letters })
    }
}

impl fmt::Display for MissingLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" (", self.label)?;
        for (i, &c) in self.letters.iter().enumerate() {
            let gap = if i > 0 { ", " } else { "" };
            write!(f, "{gap}{c} U+{:04X}", u32::from(c))?;
        }
        if self.letters.iter().any(|c| font::needs_shaping(*c)) {
            f.write_str(": written from right to left or joined, which Eyelet does not do")?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(labels: &[&str], font: Option<&str>) -> Result<Lettering, Failure> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/fonts");
        let font = font.map(|file| folder.join(file));
        Lettering::of(labels, font.as_deref())
    }

    #[test]
    fn labels_that_cannot_be_shown_are_named_with_their_letters() {
        let labels = ["Łódź", "猫", "熊 bear", "ёж", "“q”", "שלום"];
        let warning = |font| of(&labels, font).unwrap().warning();
        assert_eq!(
            warning(None).unwrap(),
            "labels with letters that no font has, shown as `?`: \"猫\" (猫 U+732B), \"熊 bear\" (熊 U+718A), \
             \"שלום\" (ש U+05E9, ל U+05DC, ו U+05D5, ם U+05DD: written from right to left or joined, which Eyelet does not do); \
             put `font = \"FILE.ttf\"` into [display] of the board file, a font that has them"
        );
        let hebrew = of(&labels[5..], None).unwrap().warning();
        assert!(
            hebrew
                .unwrap()
                .ends_with("; no font helps, write these labels in other letters")
        );
        let with_font = warning(Some("chinese.ttf")).unwrap();
        assert!(
            with_font.contains("shown as `?`: \"熊 bear\" (熊 U+718A), \"ש"),
            "{with_font}"
        );
        assert!(
            with_font.ends_with("lacks them too, take another one"),
            "{with_font}"
        );
    }

    #[test]
    fn a_font_file_that_is_none_is_refused() {
        for (file, why) in [
            ("missing.ttf", "missing.ttf cannot be read: "),
            (
                "make.py",
                "make.py is not a TrueType or OpenType font (.ttf, .otf, .ttc)",
            ),
        ] {
            let failure = of(&[], Some(file)).unwrap_err();
            assert_eq!(failure.cause, Cause::Board);
            let message = failure.message;
            assert!(
                message.starts_with("display.font: ") && message.contains(why),
                "{message}"
            );
        }
    }
}
