//! The shell on the serial line, on a board whose file asks for one: busybox, restarted whenever it exits. Anyone with access to
//! that line is root.
//!
//! The log goes to the same line. Nothing here waits for the shell, and what it runs has lower priority than the classifier.

use crate::clock;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

/// The program, where `eyelet image` puts it.
pub const PROGRAM: &str = "/bin/busybox";
/// The consoles of the kernel by name; the last one is `/dev/console`.
const CONSOLES: &str = "/sys/class/tty/console/active";
/// The shortest time from one start to the next.
const PAUSE: Duration = Duration::from_secs(2);
/// The nice value of the shell and of what it starts, compared with the classifier.
const NICENESS: libc::c_int = 10;

/// The shell.
#[derive(Debug)]
pub struct Shell {
    program: PathBuf,
    /// The terminal that it runs on.
    terminal: PathBuf,
    child: Option<Child>,
    started_at: Option<Duration>,
    is_logged: bool,
}

impl Shell {
    /// This board's shell, on the kernel's console.
    pub fn of_this_board() -> Self {
        let consoles = std::fs::read_to_string(CONSOLES).unwrap_or_default();
        // `/dev/console` is an alias of another terminal and cannot be a controlling terminal (no Ctrl-C).
        let name = consoles.split_whitespace().next_back();
        Self::new(
            Path::new(PROGRAM),
            &Path::new("/dev").join(name.unwrap_or("console")),
        )
    }

    fn new(program: &Path, terminal: &Path) -> Self {
        Self {
            program: program.to_owned(),
            terminal: terminal.to_owned(),
            child: None,
            started_at: None,
            is_logged: false,
        }
    }

    /// Starts the shell when it does not run. Returns what to log, once.
    pub fn keep_running(&mut self) -> Option<String> {
        let now = clock::now();
        if let Some(child) = &mut self.child {
            if matches!(child.try_wait(), Ok(None)) {
                return None;
            }
            self.child = None;
        }
        if self.started_at.is_some_and(|at| now - at < PAUSE) {
            return None;
        }
        self.started_at = Some(now);
        let place = self.terminal.display();
        let line = match self.start() {
            Ok(child) => {
                self.child = Some(child);
                format!("a shell runs on {place}: anyone there is root")
            }
            Err(error) => format!(
                "no shell on {place}: cannot start {}: {error}",
                self.program.display()
            ),
        };
        (!std::mem::replace(&mut self.is_logged, true)).then_some(line)
    }

    /// Its process id, while it runs or has not been waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    fn start(&self) -> io::Result<Child> {
        let terminal = File::options()
            .read(true)
            .write(true)
            .open(&self.terminal)?;
        let mut command = Command::new(&self.program);
        command
            .arg0("sh")
            .arg("-i")
            .current_dir("/")
            .env_clear()
            .envs([("PATH", "/bin"), ("HOME", "/"), ("TERM", "vt100")])
            .stdin(terminal.try_clone()?)
            .stdout(terminal.try_clone()?)
            .stderr(terminal);
        // SAFETY: between fork and exec only system calls are made, each of which takes only numbers.
        unsafe { command.pre_exec(own_terminal) };
        command.spawn()
    }
}

/// Makes standard input the controlling terminal of this process, whose group gets the typed input, Ctrl-C included.
fn own_terminal() -> io::Result<()> {
    // SAFETY: the calls take only numbers.
    unsafe {
        if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY as _, 1) < 0 {
            return Err(io::Error::last_os_error());
        }
        // An ignored Ctrl-C would be inherited by everything the shell starts.
        libc::signal(libc::SIGINT, libc::SIG_DFL);
        libc::signal(libc::SIGQUIT, libc::SIG_DFL);
        // If refused, it competes with the classifier like any other program.
        libc::nice(NICENESS);
    }
    Ok(())
}

// Not under emulation, whose terminals and process groups differ from a board's; tests/boot covers all of it.
#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::{AsRawFd, FromRawFd};

    /// A pseudo-terminal: the user's end, and the name of the other end.
    fn terminal() -> (File, PathBuf) {
        let mut name = [0u8; 64];
        // SAFETY: the descriptor is opened here and has one owner; the name is written to a buffer of the given length.
        unsafe {
            let person = libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK);
            assert!(person >= 0 && libc::grantpt(person) == 0 && libc::unlockpt(person) == 0);
            assert_eq!(
                libc::ptsname_r(person, name.as_mut_ptr().cast(), name.len()),
                0
            );
            let name = std::ffi::CStr::from_bytes_until_nul(&name).unwrap();
            (File::from_raw_fd(person), name.to_str().unwrap().into())
        }
    }

    #[test]
    fn typed_commands_run_and_a_shell_that_exits_is_restarted() {
        let (mut person, name) = terminal();
        let mut shell = Shell::new(Path::new("/bin/sh"), &name);
        let line = shell.keep_running().unwrap();
        assert!(line.contains("anyone there is root"), "{line}");
        let mut type_and_see = |typed: &str, seen: &str| {
            person.write_all(typed.as_bytes()).unwrap();
            let (began, mut screen) = (clock::now(), String::new());
            while !screen.contains(seen) {
                assert!(clock::now() - began < Duration::from_secs(60), "{screen}");
                let mut piece = [0; 256];
                // Nothing yet, or nobody at the other end yet.
                let length = person.read(&mut piece).unwrap_or(0);
                screen += &String::from_utf8_lossy(&piece[..length]);
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        type_and_see("echo $((6 * 7)) $HOME\n", "42 /");
        // Ctrl-C reaches the running command, which needs a controlling terminal.
        type_and_see("sh -c 'echo $((5 * 5)); exec sleep 1000'\n", "25");
        type_and_see("\x03echo $((6 * 8))\n", "48");
        assert_eq!(shell.keep_running(), None, "it runs");
        let first = shell.child.as_ref().unwrap().id();
        type_and_see("echo $((6 * 9)); exit\n", "54");
        let began = clock::now();
        let is_new = |shell: &Shell| {
            shell
                .child
                .as_ref()
                .is_some_and(|child| child.id() != first)
        };
        while !is_new(&shell) {
            assert_eq!(shell.keep_running(), None, "logged once");
            assert!(clock::now() - began < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(20));
        }
        type_and_see("echo $((7 * 7))\n", "49");
        let mut child = shell.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_missing_program_is_logged_once() {
        let (person, name) = terminal();
        assert!(person.as_raw_fd() > 0);
        let mut shell = Shell::new(Path::new("/none/busybox"), &name);
        let line = shell.keep_running().unwrap();
        assert!(
            line.contains("cannot start /none/busybox: No such file"),
            "{line}"
        );
        shell.started_at = None;
        assert_eq!(shell.keep_running(), None);
    }
}
