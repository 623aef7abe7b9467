//! All output: results go to standard output, messages about the program itself to standard error.
//!
//! A result that cannot be written is a [`Failure`] with cause [`Cause::Output`]. A message on standard error that cannot be
//! written is lost without further effect: the exit code still tells. All text is [`Escaped`].
//!
//! Commands wait for a reader that takes its time, such as a pager. A running board does not ([`live`]).

pub mod live;

use crate::escaped::Escaped;
use crate::{Cause, Failure, poll};
use serde_json::Value;
use std::fmt::Display;
use std::io::{self, Write};

/// Writes one line to standard output.
///
/// # Errors
/// [`Cause::Output`] when writing fails: a full disk, a reader that is gone, or one that a running board waits for in vain.
pub fn print_line(line: impl Display) -> Result<(), Failure> {
    let text = text(line);
    live::result(text.as_bytes())
        .unwrap_or_else(|| write(&mut io::stdout().lock(), &text))
        .map_err(cannot_print)
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
    let text = text(line);
    if live::message(false, text.as_bytes()).is_none() {
        // There is nowhere else to report it.
        let _ = write(&mut io::stderr().lock(), &text);
    }
}

impl Failure {
    /// Prints it on standard error; returns its exit code.
    pub fn report(&self) -> u8 {
        for (first, line) in self.message.lines().enumerate() {
            let program = if first == 0 { "eyelet: " } else { "" };
            eprint_line(format_args!("{program}{line}"));
        }
        self.cause as u8
    }
}

/// The failure for an error on standard output.
pub fn cannot_print(error: io::Error) -> Failure {
    let why = match error.kind() {
        io::ErrorKind::BrokenPipe => "its reader is gone".to_owned(),
        io::ErrorKind::TimedOut => format!(
            "nobody has read it for {} s: make its reader keep up, or write to a file",
            live::RESULT_WAIT.as_secs()
        ),
        _ => error.to_string(),
    };
    Failure::new(
        Cause::Output,
        format!("cannot write to standard output: {why}"),
    )
}

/// A line's text, whole, so that lines of several processes do not mix.
fn text(line: impl Display) -> String {
    format!("{}\n", Escaped(line))
}

fn write(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}
