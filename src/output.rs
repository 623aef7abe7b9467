//! All output: results go to standard output, messages about the program itself to standard error.
//!
//! A result that cannot be written is a [`Failure`] with cause [`Cause::Output`]. A message on standard error that cannot be
//! written is lost without further effect: the exit code still tells. Control characters in file names, labels and messages are
//! escaped, so that none of them reaches a terminal.

use crate::{Cause, Failure, poll};
use serde_json::Value;
use std::fmt::{self, Display, Write as _};
use std::io::{self, Write};

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
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes one line to standard output.
///
/// # Errors
/// [`Cause::Output`] when writing fails: a full disk, a reader that is gone.
pub fn print_line(line: impl Display) -> Result<(), Failure> {
    write_line(&mut io::stdout().lock(), line).map_err(cannot_print)
}

/// The version of all JSON output, the `v` of each object. It grows when a key changes its meaning or is removed; new keys may be
/// added without that. `boards/JSON.md` lists all keys.
pub const JSON_VERSION: u32 = 1;

/// Writes an object as one line of JSON to standard output, with its version.
///
/// # Errors
/// As [`print_line`].
pub fn print_json(mut object: Value) -> Result<(), Failure> {
    object["v"] = JSON_VERSION.into();
    print_line(object)
}

/// Checks that standard output still has a reader, as far as that is known without writing.
///
/// # Errors
/// [`Cause::Output`] when the reader of standard output is gone.
pub fn check_reader() -> Result<(), Failure> {
    if poll::is_reader_gone(io::stdout()) {
        return Err(cannot_print(io::ErrorKind::BrokenPipe.into()));
    }
    Ok(())
}

/// Prints one line to standard error; errors are ignored.
pub fn eprint_line(line: impl Display) {
    // There is nowhere else to report it.
    let _ = write_line(&mut io::stderr().lock(), line);
}

/// The failure for an error on standard output.
pub fn cannot_print(error: io::Error) -> Failure {
    let why = match error.kind() {
        io::ErrorKind::BrokenPipe => "its reader is gone".to_owned(),
        _ => error.to_string(),
    };
    Failure::new(
        Cause::Output,
        format!("cannot write to standard output: {why}"),
    )
}

/// One write per line, so that lines of several processes do not mix.
fn write_line(out: &mut impl Write, line: impl Display) -> io::Result<()> {
    let text = format!("{}\n", Escaped(line));
    out.write_all(text.as_bytes())?;
    out.flush()
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
