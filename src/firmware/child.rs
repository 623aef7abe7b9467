//! Runs this program's own commands, each in a separate process with a time limit: the first program itself must not read a
//! volume that may be damaged.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a killed program may take to end. One whose disk does not answer ends when the disk does, which may be never.
const DEATH_PATIENCE: Duration = Duration::from_millis(200);

/// Killed programs that had not ended when we gave up on them.
static LEFT_BEHIND: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// Why a command gave no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// One line.
    pub message: String,
    /// Its exit code; `None` if it did not start or did not end in time, or a signal ended it.
    pub code: Option<i32>,
}

impl From<Failed> for String {
    fn from(failed: Failed) -> Self {
        failed.message
    }
}

/// Runs `program` with `arguments` and `input` until it ends or `patience` is over; returns its output, or its error message in
/// one line. `what` introduces errors that the program did not report itself. Returns a moment after `patience` at the latest.
///
/// # Errors
/// The error message.
pub fn run(
    program: &Path,
    arguments: &[&OsStr],
    input: &[u8],
    patience: Duration,
    what: &str,
) -> Result<String, Failed> {
    let fail = |error: std::io::Error| Failed {
        message: format!("{what}: {error}"),
        code: None,
    };
    left_behind().retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    let mut command = Command::new(program);
    command.args(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(fail)?;
    // The write ends when the pipe or the child has taken all of it, or when the child ends. Without a thread the child gets no
    // input.
    let mut stdin = child.stdin.take();
    let input = input.to_vec();
    let writer = std::thread::Builder::new().spawn(move || {
        if let Some(stdin) = &mut stdin {
            let _ = stdin.write_all(&input);
        }
    });
    let Some(status) = ends_within(patience, &mut child).map_err(fail)? else {
        let _ = child.kill();
        // It may still hold its pipes, so neither its output is read nor the thread awaited.
        leave(child);
        return Err(Failed {
            message: format!("{what}: no answer within {} s", patience.as_secs()),
            code: None,
        });
    };
    if let Ok(writer) = writer {
        let _ = writer.join();
    }
    let (mut output, mut complaint) = (String::new(), String::new());
    if let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) {
        let _ = stdout.read_to_string(&mut output);
        let _ = stderr.read_to_string(&mut complaint);
    }
    if status.success() {
        return Ok(output);
    }
    let line = complaint.lines().last().unwrap_or_default();
    let line = line.strip_prefix("eyelet: ").unwrap_or(line);
    Err(Failed {
        message: if line.is_empty() {
            format!("{what}: {status}")
        } else {
            line.to_owned()
        },
        code: status.code(),
    })
}

/// How `child` ended; `None` if it still runs after `patience`.
fn ends_within(
    patience: Duration,
    child: &mut Child,
) -> std::io::Result<Option<std::process::ExitStatus>> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if began.elapsed() > patience {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits only briefly for a killed child: one that is blocked in a disk call lives on.
fn leave(mut child: Child) {
    if matches!(ends_within(DEATH_PATIENCE, &mut child), Ok(None)) {
        left_behind().push(child);
    }
}

fn left_behind() -> std::sync::MutexGuard<'static, Vec<Child>> {
    LEFT_BEHIND.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shell(script: &str, input: &[u8], patience: Duration) -> Result<String, Failed> {
        let arguments = ["-c", script].map(OsStr::new);
        run(Path::new("/bin/sh"), &arguments, input, patience, "a card")
    }

    #[test]
    fn output_or_the_last_line_of_the_complaint_and_the_code_are_returned() {
        let patience = Duration::from_secs(60);
        assert_eq!(shell("cat", b"input", patience).unwrap(), "input");
        let script = "echo first >&2; echo 'eyelet: it is full' >&2; exit 15";
        let failed = shell(script, b"", patience).unwrap_err();
        assert_eq!(
            (failed.message.as_str(), failed.code),
            ("it is full", Some(15))
        );
        let failed = shell("exit 3", b"", patience).unwrap_err();
        assert_eq!(failed.message, "a card: exit status: 3");
    }

    /// A program that is blocked in a disk call cannot be killed, and holds its pipes. Here a grandchild holds them, which is not
    /// killed.
    #[test]
    fn what_holds_the_pipes_of_a_killed_program_is_not_waited_for() {
        let began = Instant::now();
        let input = vec![0; 1 << 20];
        let failed = shell("sleep 10 & wait", &input, Duration::from_millis(50));
        let failed = failed.unwrap_err();
        assert_eq!(failed.message, "a card: no answer within 0 s");
        assert_eq!(failed.code, None);
        assert!(
            began.elapsed() < Duration::from_secs(8),
            "{:?}",
            began.elapsed()
        );
    }

    #[test]
    fn a_program_that_does_not_die_is_left_behind_until_it_does() {
        // It is not killed: as if killing had no effect.
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let id = child.id();
        leave(child);
        let is_left = || left_behind().iter().any(|child| child.id() == id);
        assert!(is_left());
        let mut left = left_behind();
        let child = left.iter_mut().find(|child| child.id() == id).unwrap();
        child.kill().unwrap();
        drop(left);
        let began = Instant::now();
        while is_left() {
            assert!(began.elapsed() < Duration::from_secs(60));
            shell(":", b"", Duration::from_secs(60)).unwrap();
        }
    }
}
