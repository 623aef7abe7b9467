//! Words and numbers for a display, written into fixed buffers: drawing allocates nothing.

use crate::Cause;
use std::fmt::{self, Write};
use std::time::Duration;

/// Text of at most `N` bytes; anything longer is cut at a character boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    /// Empty text.
    pub fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }

    fn push(&mut self, c: char) {
        let mut utf8 = [0; 4];
        let utf8 = c.encode_utf8(&mut utf8).as_bytes();
        if let Some(to) = self.bytes.get_mut(self.len..self.len + utf8.len()) {
            to.copy_from_slice(utf8);
            self.len += utf8.len();
        }
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Write for Text<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().for_each(|c| self.push(c));
        Ok(())
    }
}

/// A label: room for the longest that a display shows, even in letters of two or three bytes.
pub type Label = Text<240>;

/// A number with its unit.
pub type Number = Text<24>;

/// A label as it is set: quotes and dashes become plain ones, runs of white space become one space, and characters without a
/// shape are dropped. (Letters that no font has are left to the face.)
pub fn legible(label: &str) -> Label {
    let mut text = Label::new();
    for (i, word) in label.split_whitespace().enumerate() {
        if i > 0 {
            text.push(' ');
        }
        letters(word).for_each(|c| text.push(c));
    }
    text
}

/// The letters of a text as they are set.
pub fn letters(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter_map(|c| match c {
        '\u{2018}'..='\u{201b}' | '\u{2032}' => Some('\''),
        '\u{201c}'..='\u{201f}' | '\u{2033}' => Some('"'),
        '\u{2010}'..='\u{2015}' | '\u{2212}' => Some('-'),
        // Zero-width characters, soft hyphens, direction marks, and variation selectors.
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' => None,
        '\u{ad}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}' => None,
        _ => Some(c),
    })
}

/// What is shown of a class: its label, or "class 17" when it has none.
pub fn class_name(labels: &[String], class: usize) -> Label {
    let name = labels.get(class).map(|label| legible(label));
    name.filter(|name| !name.as_str().is_empty())
        .unwrap_or_else(|| written(format_args!("class {class}")))
}

/// "87%", rounded; NaN gives "0%".
pub fn percent(probability: f32) -> Number {
    // A cast from float saturates, and turns NaN into 0.
    let whole = (probability * 100.0).round() as u8;
    written(format_args!("{}%", whole.min(100)))
}

/// "14.2 fps", without the tenths from 100 on.
pub fn rate(rate_fps: f32) -> Number {
    if rate_fps >= 99.95 {
        written(format_args!("{:.0} fps", rate_fps.min(9999.0)))
    } else {
        written(format_args!("{:.1} fps", rate_fps.max(0.0)))
    }
}

/// "12 s", "3 min", "5 h", "2 d": whole units, the largest of which there are at least two.
pub fn duration(time: Duration) -> Number {
    let seconds = time.as_secs();
    match seconds {
        0..=119 => written(format_args!("{seconds} s")),
        120..=7199 => written(format_args!("{} min", seconds / 60)),
        7200..=172_799 => written(format_args!("{} h", seconds / 3600)),
        _ => written(format_args!("{} d", (seconds / 86_400).min(9999))),
    }
}

/// Why the program cannot start, in as few words as a display needs.
pub fn fault(cause: Cause) -> &'static str {
    match cause {
        Cause::Board => "board file wrong",
        Cause::Model => "model unusable",
        Cause::Camera => "camera unusable",
        Cause::Memory => "memory pool too small",
        Cause::Policy => "rebooting",
        _ => "cannot start",
    }
}

/// What `format!` would produce, without allocating.
pub(super) fn written<const N: usize>(arguments: fmt::Arguments<'_>) -> Text<N> {
    let mut text = Text::new();
    // Writing to a `Text` never fails.
    let _ = text.write_fmt(arguments);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_as_they_are_set() {
        let cases = [
            ("Schraube, M3", "Schraube, M3"),
            (
                "  black  and gold\tgarden spider ",
                "black and gold garden spider",
            ),
            ("jack-o'-lantern", "jack-o'-lantern"),
            ("jack\u{2010}o\u{2019}\u{2010}lantern", "jack-o'-lantern"),
            ("Käse, Käsekuchen", "Käse, Käsekuchen"),
            ("猫, cat", "猫, cat"),
            ("„Łódź“ \u{2212}5 \u{feff}м\u{ad}ёд", "\"Łódź\" -5 мёд"),
            ("", ""),
        ];
        for (label, shown) in cases {
            assert_eq!(legible(label).as_str(), shown);
        }
        assert_eq!(legible(&"é".repeat(500)).as_str(), "é".repeat(120));
        assert_eq!(legible(&"猫".repeat(500)).as_str(), "猫".repeat(80));
    }

    #[test]
    fn a_class_without_a_label_has_its_number() {
        let labels = ["cat".to_string(), "  ".to_string()];
        let names = [0, 1, 2].map(|class| class_name(&labels, class));
        assert_eq!(
            names.each_ref().map(Text::as_str),
            ["cat", "class 1", "class 2"]
        );
    }

    #[test]
    fn numbers() {
        let percents = [0.0, 0.004, 0.847, 0.994, 0.996, 1.0, 7.0, -1.0, f32::NAN];
        assert_eq!(
            percents.map(|p| percent(p).as_str().to_string()),
            ["0%", "0%", "85%", "99%", "100%", "100%", "100%", "0%", "0%"]
        );
        let rates = [
            0.0,
            14.24,
            99.9,
            99.96,
            250.4,
            -3.0,
            f32::NAN,
            f32::INFINITY,
        ];
        assert_eq!(
            rates.map(|r| rate(r).as_str().to_string()),
            [
                "0.0 fps", "14.2 fps", "99.9 fps", "100 fps", "250 fps", "0.0 fps", "0.0 fps",
                "9999 fps"
            ]
        );
        let times = [0, 12, 119, 120, 7199, 7200, 172_800, u64::MAX];
        assert_eq!(
            times.map(|s| duration(Duration::from_secs(s)).as_str().to_string()),
            [
                "0 s", "12 s", "119 s", "2 min", "119 min", "2 h", "2 d", "9999 d"
            ]
        );
    }
}
