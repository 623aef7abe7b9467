//! What went wrong, as one line for a person and one exit code for a program.

use crate::escaped::Escaped;
use std::fmt;

/// Why the program ends; the number is its exit code.
///
/// 0 is success, 1 is left to the Rust runtime and 2 is a wrong command line (clap's own code).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// A board file, or a name of a board, is wrong.
    Board = 3,
    /// A model file, its `model.toml` or its labels are missing, damaged or contradict each other.
    Model = 4,
    /// The camera is missing, busy, forbidden or of a kind that cannot be used.
    Camera = 5,
    /// The display is missing or of another size than the board file says.
    Display = 6,
    /// The fixed memory pool is too small.
    Memory = 7,
    /// One or more pictures could not be read.
    Picture = 8,
    /// A model could not be fetched.
    Download = 9,
    /// A model ran, and its scores differ from the stored ones.
    Mismatch = 10,
    /// An output (standard output, a PNG, the service manager's socket) could not be written.
    Output = 11,
    /// A package or program that an image is made of is missing or damaged.
    Package = 12,
    /// A card was refused, or could not be written or read back.
    Device = 13,
    /// The board file's policy wants a reboot.
    Policy = 14,
    /// A board's data partition holds no usable volume. Only the hidden `eyelet keep` ends with it.
    Volume = 15,
}

/// One fault: its cause, and one line that says what was tried, on what, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code's meaning.
    pub cause: Cause,
    /// One line, or one line a fault of a file; no trailing full stop or newline, no other control character.
    pub message: String,
}

impl Failure {
    /// A fault of `cause` that reads `message`.
    pub fn new(cause: Cause, message: impl fmt::Display) -> Self {
        Self {
            cause,
            message: Escaped(message).to_string(),
        }
    }

    /// Several faults of one file, one a line.
    pub fn of_lines(cause: Cause, lines: &[String]) -> Self {
        let lines: Vec<_> = lines.iter().map(|l| Escaped(l).to_string()).collect();
        Self {
            cause,
            message: lines.join("\n"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
