//! A label set as large as its place allows: on one, two or three lines, broken at spaces and hyphens, and between Chinese and
//! Japanese letters, which are written without spaces.

use super::font::{Face, Letters};
use crate::show::Depth;

/// The most lines that a label is broken into.
pub const LINES: usize = 3;

/// A label broken into lines of one face.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// The face.
    pub face: Face,
    lines: [&'a str; LINES],
    count: usize,
}

impl<'a> Setting<'a> {
    /// The largest face in which all of `text` fits into `width_px` x `height_px`. If it would have to be lower than 8 px, the
    /// lines stay too long and are shortened when drawn.
    ///
    /// `own` holds the letters of the board's own font file.
    pub fn of(
        text: &'a str,
        (width_px, height_px): (u32, u32),
        depth: Depth,
        own: Option<&'static Letters>,
    ) -> Self {
        let lowest = 8.min(height_px);
        let mut line_px = height_px;
        loop {
            let face = Face::of_height(line_px, depth).with(own);
            let most = (height_px / face.line_px().max(1)).clamp(1, LINES as u32);
            let set = Self::broken(text, face, width_px, most as usize);
            if set.fits(width_px) || line_px <= lowest {
                return set;
            }
            line_px = (line_px - line_px.div_ceil(16)).max(lowest);
        }
    }

    /// The lines, from the top.
    pub fn lines(&self) -> &[&'a str] {
        &self.lines[..self.count]
    }

    fn fits(&self, width_px: u32) -> bool {
        let mut lines = self.lines().iter();
        lines.all(|line| self.face.width_px(line) <= width_px)
    }

    /// Fills line after line; the rest becomes the last one, however long.
    fn broken(text: &'a str, face: Face, width_px: u32, most: usize) -> Self {
        let mut set = Self {
            face,
            lines: [""; LINES],
            count: 0,
        };
        let mut rest = text.trim();
        while set.count + 1 < most && face.width_px(rest) > width_px {
            let Some((line, after)) = first_line(rest, face, width_px) else {
                break;
            };
            set.lines[set.count] = line;
            set.count += 1;
            rest = after;
        }
        set.lines[set.count] = rest;
        set.count += 1;
        set
    }
}

/// As many words as fit, but at least one; `None` if there is only one word.
fn first_line(text: &str, face: Face, width_px: u32) -> Option<(&str, &str)> {
    let ends = text.char_indices().filter_map(|(at, c)| match c {
        ' ' => Some(at),
        '-' => Some(at + 1),
        _ if is_unspaced(c) => {
            let end = at + c.len_utf8();
            // No line begins with a small letter, a length mark or a closing mark.
            let may_begin = |c| is_unspaced(c) && !SMALL.contains(c);
            text[end..].starts_with(may_begin).then_some(end)
        }
        _ => None,
    });
    let mut ends = ends.filter(|end| *end > 0 && !text[*end..].trim().is_empty());
    let mut end = ends.next()?;
    for further in ends {
        if face.width_px(&text[..further]) > width_px {
            break;
        }
        end = further;
    }
    Some((&text[..end], text[end..].trim_start()))
}

/// Letters that belong to the preceding one.
const SMALL: &str = "ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮー";

/// Chinese and Japanese letters, written without spaces between them.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{3041}'..='\u{30fc}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str, size: (u32, u32)) -> (u32, Vec<&str>) {
        let set = Setting::of(text, size, Depth::Mono, None);
        (set.face.line_px(), set.lines().to_vec())
    }

    #[test]
    fn a_label_is_as_large_as_its_place_allows() {
        // Bitmap fonts of these sizes: 10 x 20, 9 x 18, 9 x 15, 7 x 13, 6 x 12, 6 x 10, 5 x 8.
        assert_eq!(set("tabby", (128, 18)), (18, vec!["tabby"]));
        assert_eq!(set("tabby", (44, 18)), (13, vec!["tabby"]));
        assert_eq!(set("tiger cat", (60, 40)), (20, vec!["tiger", "cat"]));
        let spider = "black and gold garden spider";
        assert_eq!(
            set(spider, (120, 60)),
            (20, vec!["black and", "gold garden", "spider"])
        );
        assert_eq!(
            set("jack-o'-lantern", (70, 40)),
            (13, vec!["jack-o'-", "lantern"])
        );
    }

    #[test]
    fn chinese_and_japanese_are_broken_between_letters() {
        let lines = |text: &str| {
            let face = Face::of_height(18, Depth::Mono);
            let width_px = face.width_px("???");
            let set = Setting::broken(text, face, width_px, 3);
            set.lines().join("|")
        };
        assert_eq!(lines("金毛寻回犬"), "金毛寻|回犬");
        assert_eq!(lines("シャム猫"), "シャム|猫");
        // Not before a small letter or a closing mark.
        assert_eq!(lines("ねこじゃらし"), "ねこ|じゃら|し");
        assert_eq!(lines("犬犬犬、猫"), "犬犬|犬、猫");
    }

    #[test]
    fn a_label_that_fits_nowhere_is_left_to_be_shortened() {
        let (line_px, lines) = set("Staffordshire bullterrier", (30, 40));
        assert_eq!((line_px, lines), (8, vec!["Staffordshire", "bullterrier"]));
        assert_eq!(set("", (30, 40)).1, [""]);
        assert_eq!(set("--- -", (5, 5)).1, ["--- -"]);
    }

    #[test]
    fn no_word_is_lost_and_the_lines_fit_the_height() {
        let text = "a bb-ccc  dddd eeeee-ffffff ggggggg";
        for depth in [Depth::Mono, Depth::Rgb888] {
            for width_px in 10..200 {
                for height_px in [8, 13, 20, 33, 64, 100] {
                    let set = Setting::of(text, (width_px, height_px), depth, None);
                    let height = set.face.line_px() * set.lines().len() as u32;
                    assert!(height <= height_px, "{set:?} in {width_px} x {height_px}");
                    let letters = |text: &str| text.replace(' ', "");
                    assert_eq!(letters(&set.lines().concat()), letters(text));
                }
            }
        }
    }
}
