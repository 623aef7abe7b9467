//! All output: results go to standard output, messages about the program itself to standard error.
//!
//! A result that cannot be written is a [`Failure`] with cause [`Cause::Output`]. A message on standard error that cannot be
//! written is lost without further effect: the exit code still tells. All text is [`Escaped`].

use crate::escaped::Escaped;
use crate::{Cause, Failure, poll};
use serde_json::Value;
use std::fmt::Display;
use std::io::{self, Write};

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
