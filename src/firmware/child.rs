//! Runs this program's own commands, each in a separate process with a time limit: the first program itself must not read a
//! volume that may be damaged.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs `program` with `arguments` and `input` until it ends or `patience` is over; returns its output, or its error message in
/// one line. `what` introduces errors that the program did not report itself.
///
/// # Errors
/// The error message.
pub fn run(
    program: &Path,
    arguments: &[&OsStr],
    input: &[u8],
    patience: Duration,
    what: &str,
) -> Result<String, String> {
    let fail = |error: std::io::Error| format!("{what}: {error}");
    let mut command = Command::new(program);
    command.args(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(fail)?;
    // The pipe holds all of it, or the child reads it; a child that does neither is killed below, which ends the write.
    let mut stdin = child.stdin.take();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        if let Some(stdin) = &mut stdin {
            let _ = stdin.write_all(&input);
        }
    });
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(fail)? {
            break Some(status);
        }
        if began.elapsed() > patience {
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let _ = writer.join();
    let (mut output, mut complaint) = (String::new(), String::new());
    if let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) {
        let _ = stdout.read_to_string(&mut output);
        let _ = stderr.read_to_string(&mut complaint);
    }
    match status {
        Some(status) if status.success() => Ok(output),
        Some(status) => {
            let line = complaint.lines().last().unwrap_or_default();
            let line = line.strip_prefix("eyelet: ").unwrap_or(line);
            Err(if line.is_empty() {
                format!("{what}: {status}")
            } else {
                line.to_owned()
            })
        }
        None => Err(format!("{what}: no answer within {} s", patience.as_secs())),
    }
}
