//! Runs this program's own commands, each in a separate process with a time limit: the first program itself must not read a
//! volume that may be damaged. As process 1 it also waits for processes whose parents have ended ([`reap_orphans`]).

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a killed program may take to end. One whose disk does not answer ends when the disk does, which may be never.
const DEATH_PATIENCE: Duration = Duration::from_millis(200);

/// Killed programs that had not ended when we gave up on them, and what each was for.
static LEFT_BEHIND: Mutex<Vec<(String, Child)>> = Mutex::new(Vec::new());

/// The process ids of all programs that run here, those left behind included.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Why a command gave no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// One line.
    pub message: String,
    /// Its exit code; `None` if it did not start or did not end in time, or a signal ended it.
    pub code: Option<i32>,
    /// It was not even started, because an earlier one for the same device lives on.
    must_wait: bool,
}

impl Failed {
    /// Whether an earlier command holds the device up, so that the same may succeed once that has ended.
    pub fn must_wait(&self) -> bool {
        self.must_wait
    }

    pub(super) fn new(message: String, code: Option<i32>) -> Self {
        Self {
            message,
            code,
            must_wait: false,
        }
    }

    pub(super) fn that_must_wait(message: String) -> Self {
        Self {
            must_wait: true,
            ..Self::new(message, None)
        }
    }
}

impl From<Failed> for String {
    fn from(failed: Failed) -> Self {
        failed.message
    }
}

/// Runs `program` with `arguments` and `input` until it ends or `patience` is over; returns its output, or its error message in
/// one line. `what`, such as a device, introduces errors that the program did not report itself. Returns a moment after `patience` at
/// the latest.
///
/// # Errors
/// The error message; at once if an earlier program for the same `what` was killed and lives on: a card that never answers would
/// leave one more such process each time.
pub fn run(
    program: &Path,
    arguments: &[&OsStr],
    input: &[u8],
    patience: Duration,
    what: &str,
) -> Result<String, Failed> {
    let fail = |error: io::Error| Failed::new(format!("{what}: {error}"), None);
    if left_behind().iter().any(|(whose, _)| whose == what) {
        let message = format!("{what}: no answer, not even to an earlier command");
        return Err(Failed::that_must_wait(message));
    }
    let mut command = Command::new(program);
    command.args(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = start(&mut command).map_err(fail)?;
    // The write ends when the pipe or the child has taken all of it, or when the child ends. Without a thread the child gets no
    // input.
    let mut stdin = child.stdin.take();
    let input = input.to_vec();
    let writer = std::thread::Builder::new().spawn(move || {
        if let Some(stdin) = &mut stdin {
            let _ = stdin.write_all(&input);
        }
    });
    let status = match ends_within(patience, &mut child) {
        Ok(Some(status)) => status,
        Ok(None) => {
            let _ = child.kill();
            // It may still hold its pipes, so neither its output is read nor the thread awaited.
            leave(what, child);
            let seconds = patience.as_secs();
            let message = format!("{what}: no answer within {seconds} s");
            return Err(Failed::new(message, None));
        }
        Err(error) => {
            forget(child.id());
            return Err(fail(error));
        }
    };
    forget(child.id());
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
    let message = match line.is_empty() {
        true => format!("{what}: {status}"),
        false => line.to_owned(),
    };
    Err(Failed::new(message, status.code()))
}

/// How `child` ended; `None` if it still runs after `patience`.
fn ends_within(patience: Duration, child: &mut Child) -> io::Result<Option<ExitStatus>> {
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
fn leave(what: &str, mut child: Child) {
    match ends_within(DEATH_PATIENCE, &mut child) {
        Ok(None) => left_behind().push((what.to_owned(), child)),
        _ => forget(child.id()),
    }
}

/// What was left behind and still lives.
fn left_behind() -> MutexGuard<'static, Vec<(String, Child)>> {
    let mut left = LEFT_BEHIND.lock().unwrap_or_else(PoisonError::into_inner);
    left.retain_mut(|(_, child)| {
        let lives = matches!(child.try_wait(), Ok(None));
        if !lives {
            forget(child.id());
        }
        lives
    });
    left
}

/// Starts a program. Until its process id is noted, and until one that cannot be started has been waited for, nothing may be taken
/// for an orphan.
fn start(command: &mut Command) -> io::Result<Child> {
    let mut running = running();
    let child = command.spawn()?;
    running.push(child.id());
    Ok(child)
}

/// The program has been waited for.
fn forget(id: u32) {
    running().retain(|running| *running != id);
}

fn running() -> MutexGuard<'static, Vec<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for the processes that have ended and that nobody else waits for. `own` are the ids of the caller's children, which it waits
/// for itself and starts on this thread.
pub fn reap_orphans(own: &[u32]) {
    drop(left_behind());
    // A program is being started: the next call will do.
    let Ok(running) = RUNNING.try_lock() else {
        return;
    };
    while let Some(id) = ended() {
        if own.contains(&id) || running.contains(&id) {
            // Once it has been waited for, the next call sees what is behind it.
            return;
        }
        // SAFETY: the call takes no pointer but null.
        if unsafe { libc::waitpid(id.cast_signed(), std::ptr::null_mut(), libc::WNOHANG) } <= 0 {
            return;
        }
    }
}

/// A child that has ended and has not been waited for.
fn ended() -> Option<u32> {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: all zeros are a valid `siginfo_t`.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one `siginfo_t` at the pointer, which is valid for that.
    if unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) } != 0 {
        return None;
    }
    // SAFETY: the call above has written the fields of a child's end, or left zeros.
    let id = unsafe { info.si_pid() };
    u32::try_from(id).ok().filter(|id| *id != 0)
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
        assert_eq!((failed.code, failed.must_wait()), (None, false));
        assert!(
            began.elapsed() < Duration::from_secs(8),
            "{:?}",
            began.elapsed()
        );
    }

    #[test]
    fn a_program_that_does_not_die_is_left_behind_until_it_does_and_is_the_only_one_for_its_device()
    {
        const WHAT: &str = "a dead card";
        // It is not killed: as if killing had no effect.
        let child = start(Command::new("sleep").arg("1000")).unwrap();
        let id = child.id();
        leave(WHAT, child);
        let is_left = || left_behind().iter().any(|(_, child)| child.id() == id);
        assert!(is_left() && running().contains(&id));
        let patience = Duration::from_secs(60);
        let asked = || run(Path::new("/bin/true"), &[], b"", patience, WHAT);
        let failed = asked().unwrap_err();
        assert_eq!(
            (failed.message.as_str(), failed.code, failed.must_wait()),
            (
                "a dead card: no answer, not even to an earlier command",
                None,
                true
            )
        );
        shell(":", b"", patience).unwrap();
        for (_, child) in left_behind().iter_mut().filter(|it| it.1.id() == id) {
            child.kill().unwrap();
        }
        let began = Instant::now();
        while is_left() {
            assert!(began.elapsed() < patience);
        }
        assert!(!running().contains(&id));
        asked().unwrap();
    }

    /// Runs in a process of its own, or it would wait for other tests' children. Not under emulation, which cannot start itself.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn orphans_are_waited_for_and_what_others_wait_for_is_left_to_them() {
        const ALONE: &str = "EYELET_TEST_ALONE";
        const NAME: &str = "firmware::child::tests::orphans_are_waited_for_and_what_others_wait_for_is_left_to_them";
        if std::env::var_os(ALONE).is_none() {
            let mut alone = Command::new(std::env::current_exe().unwrap());
            let output = alone.args(["--exact", NAME]).env(ALONE, "1").output();
            let output = output.unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && text.contains("1 passed"),
                "{text}"
            );
            return;
        }
        // SAFETY: the call takes no pointers. Orphans are given to this process, as to process 1.
        let done = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
        assert_eq!(done, 0);
        let patience = Duration::from_secs(60);
        let began = Instant::now();
        let script = "sleep 0.2 < /dev/null > /dev/null 2>&1 & echo $!";
        let orphan = shell(script, b"", patience).unwrap();
        let place = Path::new("/proc").join(orphan.trim());
        assert!(place.exists());
        while place.exists() {
            reap_orphans(&[]);
            assert!(began.elapsed() < patience, "a zombie");
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut own = Command::new("true").spawn().unwrap();
        while ended().is_none() {
            assert!(began.elapsed() < patience);
        }
        reap_orphans(&[own.id()]);
        assert!(own.wait().unwrap().success());
        std::thread::scope(|scope| {
            let commands = scope.spawn(|| {
                for _ in 0..100 {
                    let failed = shell("exit 3", b"", patience).unwrap_err();
                    assert_eq!(failed.code, Some(3), "{failed:?}");
                    let none = run(Path::new("/none"), &[], b"", patience, "none").unwrap_err();
                    assert!(none.message.contains("No such file"), "{none:?}");
                }
            });
            while !commands.is_finished() {
                reap_orphans(&[]);
            }
        });
        assert!(running().is_empty());
    }
}
