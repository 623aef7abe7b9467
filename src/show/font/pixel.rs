//! The bitmap fonts: embedded-graphics' fonts in eight sizes, each with eight overlapping sets of letters. A letter is taken from
//! the first set that has it.

use embedded_graphics::mono_font::mapping::{self, StrGlyphMapping};
use embedded_graphics::mono_font::{
    MonoFont, iso_8859_1, iso_8859_2, iso_8859_3, iso_8859_4, iso_8859_5, iso_8859_7, iso_8859_14,
    iso_8859_16,
};
use std::sync::LazyLock;

/// Number of sizes.
pub(super) const SIZES: usize = 8;

/// One set of letters, smallest size first; bold if available.
struct Set {
    letters: &'static StrGlyphMapping<'static>,
    fonts: [&'static MonoFont<'static>; SIZES],
}

macro_rules! set {
    ($fonts:ident, $letters:ident) => {
        Set {
            letters: &mapping::$letters,
            fonts: [
                &$fonts::FONT_4X6,
                &$fonts::FONT_5X8,
                &$fonts::FONT_6X10,
                &$fonts::FONT_6X12,
                &$fonts::FONT_7X13_BOLD,
                &$fonts::FONT_9X15_BOLD,
                &$fonts::FONT_9X18_BOLD,
                &$fonts::FONT_10X20,
            ],
        }
    };
}

/// Western, Central, Southern and Northern Europe, Cyrillic, Greek, Celtic, Romanian. The other parts of ISO 8859 add no European
/// letter.
static SETS: [Set; 8] = [
    set!(iso_8859_1, ISO_8859_1),
    set!(iso_8859_2, ISO_8859_2),
    set!(iso_8859_3, ISO_8859_3),
    set!(iso_8859_4, ISO_8859_4),
    set!(iso_8859_5, ISO_8859_5),
    set!(iso_8859_7, ISO_8859_7),
    set!(iso_8859_14, ISO_8859_14),
    set!(iso_8859_16, ISO_8859_16),
];

/// The set of each letter, sorted by letter.
static INDEX: LazyLock<Vec<(char, usize)>> = LazyLock::new(|| {
    let sets = SETS.iter().enumerate();
    let mut all: Vec<_> = sets
        .flat_map(|(set, Set { letters, .. })| letters.chars().map(move |c| (c, set)))
        .collect();
    all.sort_unstable();
    all.dedup_by_key(|(c, _)| *c);
    all
});

/// Builds the index now, so that no drawing has to.
pub(super) fn prepare() {
    LazyLock::force(&INDEX);
}

/// Height of a line in this size.
pub(super) fn height_px(size: usize) -> u32 {
    SETS[0].fonts[size].character_size.height
}

/// The font that has the letter in this size, and the index of its glyph.
pub(super) fn glyph(c: char, size: usize) -> Option<(&'static MonoFont<'static>, u32)> {
    let at = INDEX.binary_search_by_key(&c, |(letter, _)| *letter).ok()?;
    let font = SETS[INDEX[at].1].fonts[size];
    Some((font, font.glyph_mapping.index(c) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_size_is_one_size_in_all_sets() {
        for set in &SETS {
            for size in 0..SIZES {
                let (font, first) = (set.fonts[size], SETS[0].fonts[size]);
                assert_eq!(font.character_size, first.character_size);
                assert_eq!(font.character_spacing, first.character_spacing);
                assert_eq!(font.baseline, first.baseline);
            }
        }
    }

    #[test]
    fn letters_of_europe_are_there() {
        for c in "AzÄßéĄąŁłŻżŹźČřŐűȘșȚțĞğİıŊŋĀāĢģĶķŅņĐđÞþŴŵẄẅΑαΆώςЯяЁёЄєЇїЂђЉљЏџ€Œœ".chars()
        {
            assert!(glyph(c, 0).is_some(), "{c}");
        }
        assert!(glyph('猫', 0).is_none() && glyph('\u{301}', 0).is_none());
    }
}
