//! Text from elsewhere (file names, labels, messages) on one line: control characters are escaped, so that none of them reaches a
//! terminal.

use std::fmt::{self, Display, Write};

/// Displays its content on one line: control characters become `\n`, `\r`, `\t` or `\u001b`, as in JSON, so that a line of JSON
/// stays valid.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<T>(pub T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(controls_the_terminal) {
            let (clean, from) = rest.split_at(at);
            self.0.write_str(clean)?;
            let mut chars = from.chars();
            match chars.next() {
                Some('\n') => self.0.write_str("\\n")?,
                Some('\r') => self.0.write_str("\\r")?,
                Some('\t') => self.0.write_str("\\t")?,
                Some(other) => write!(self.0, "\\u{:04x}", u32::from(other))?,
                None => {}
            }
            rest = chars.as_str();
        }
        self.0.write_str(rest)
    }
}

/// Control characters, line ends, and marks that change the writing direction.
fn controls_the_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        let escaped = |text: &str| Escaped(text).to_string();
        assert_eq!(escaped("Zürich, 50 % 😀 \\n"), "Zürich, 50 % 😀 \\n");
        assert_eq!(escaped("a\nb\r\tc"), "a\\nb\\r\\tc");
        assert_eq!(escaped("\u{1b}[31m\0"), "\\u001b[31m\\u0000");
        assert_eq!(
            escaped("\u{9b}1m \u{7f} \u{202e}gpj"),
            "\\u009b1m \\u007f \\u202egpj"
        );
        assert_eq!(
            escaped("\u{61c}1 \u{200f} \u{2066}"),
            "\\u061c1 \\u200f \\u2066"
        );
        // Escaping twice changes nothing.
        assert_eq!(escaped(&escaped("a\nb")), "a\\nb");
    }

    #[test]
    fn a_line_of_json_stays_json() {
        let value = serde_json::json!({"label": "a\u{1b}\u{7f}\u{85}\n"});
        let line = Escaped(&value).to_string();
        assert!(!line.contains(char::is_control), "{line}");
        let back: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        assert_eq!(back, value);
    }
}
