//! This program's own commands, each run as a process of its own with a time limit: what reads a volume that may be damaged
//! must not be the first program.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs `program` with `arguments` and `input` to its end or the end of `patience`; its output, or its complaint in one line.
/// `what` begins a complaint that is not the program's own.
///
/// # Errors
/// The complaint.
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
    // The pipe holds all of it, or the child takes it; one that does neither is ended below, which ends the writing.
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
