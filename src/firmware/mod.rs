//! The first and only program of a board: `/init` in the initramfs is this same binary.
//!
//! ```text
//! kernel -> /init: mounts, console ---- loop: listens, feeds the watchdog, restarts, reboots
//!                    |          '--- thread: loads modules in order, then reads the data partition and the last reboot's reason
//!                    |--- thread: writes to the data partition, when there is something to write
//!                    '--- eyelet run: loads the model meanwhile; camera, display, frames; sends WATCHDOG=1 for each
//! ```
//!
//! The classifier runs as a separate process, so that whatever kills it (a driver, a model, too little memory) leaves this one to
//! report it, to save the log, and to restart it. It reports finished frames and waits by the datagrams that it would send to systemd,
//! so both are served the same way ([`crate::care::notify`]).
//!
//! This program writes nothing to the card unless something went wrong ([`data`]). It never ends: its panic is a kernel panic,
//! which reboots (`panic=10` on the kernel's command line).

mod bring_up;
pub mod card;
mod child;
pub mod command_line;
pub mod data;
mod errands;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod fake;
mod first;
pub mod identity;
mod journal;
pub mod keeper;
pub mod modules;
mod mounts;
pub mod ring;
pub mod shell;
pub mod slots;
mod sticks;
pub mod supervisor;
pub mod trial;
pub mod watchdog;

use crate::board::Board;
use crate::board::choose::Places;
use crate::board::policy::Policy;
use crate::clock;
use crate::data_roots::DataRoots;
use crate::update::System;
use command_line::CommandLine;
use first::First;
use journal::Journal;
use std::ffi::CString;
use std::path::Path;
use std::time::Duration;
use trial::Trial;

/// The list of modules.
const MODULES: &str = "/etc/eyelet/modules";
/// The bill of materials.
const MANIFEST: &str = "/etc/eyelet/manifest.json";
/// The file that passes the modules' load time to the classifier.
const BOOT_FILE: &str = "/run/eyelet/boot";

/// How long the disks may take before a reboot. Everything that matters was written through when its command ended.
const SYNC_PATIENCE: Duration = Duration::from_secs(3);

/// How the board shuts down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Restart.
    Reboot,
    /// Restart and pass this to the boot loader.
    RebootWith(&'static str),
    /// Power off.
    PowerOff,
}

/// Whether this process is a machine's first program: process 1, started as `/init`. (A container starts its process 1 by another
/// name.)
pub fn is_first_program() -> bool {
    std::process::id() == 1
        && std::env::args_os()
            .next()
            .is_some_and(|name| Path::new(&name).file_name() == Some("init".as_ref()))
}

/// Runs the board until it reboots or powers off. Does not return.
pub fn run() -> ! {
    let failed_mounts = mounts::mount_all();
    let console = mounts::take_console();
    let mut journal = Journal::new(Path::new("/dev/console"));
    for line in failed_mounts {
        journal.log(&line);
    }
    if let Err(error) = console {
        journal.log(&format!("the console cannot be used: {error}"));
    }
    // SAFETY: the call takes no pointers. From now on Ctrl-Alt-Del is a signal to this process.
    unsafe { libc::reboot(libc::LINUX_REBOOT_CMD_CAD_OFF) };
    let line = CommandLine::of_text(&std::fs::read_to_string("/proc/cmdline").unwrap_or_default());
    let trial = Trial::new(&line, Path::new(trial::OF_FIRMWARE), clock::now());
    let system = system(&mut journal);
    log_start(&mut journal, &line, trial.is_certain(), system.as_ref());
    let settings = settings(&mut journal);
    if let (true, Some(system)) = (settings.takes_sticks, &system) {
        log_update_key(&mut journal, system);
    }
    match First::begin(journal, settings, line, trial, system) {
        Ok(mut first) => end(first.run()),
        Err(error) => {
            eprintln!("init: cannot start: {error}; rebooting in 10 s");
            std::thread::sleep(Duration::from_secs(10));
            end(End::Reboot)
        }
    }
}

/// The image's description of itself; `None` if it was not made by `eyelet image`.
fn system(journal: &mut Journal) -> Option<System> {
    let text = std::fs::read_to_string(MANIFEST).ok()?;
    match System::of_manifest(&text) {
        Ok(system) => Some(system),
        Err(error) => {
            journal.log(&format!("{MANIFEST} cannot be read: {error}"));
            None
        }
    }
}

fn log_start(journal: &mut Journal, line: &CommandLine, is_trial: bool, system: Option<&System>) {
    let slot = match (line.slot, is_trial) {
        (Some(slot), true) => format!(", slot {} on trial", slot.letter()),
        (Some(slot), false) => format!(", slot {}", slot.letter()),
        (None, _) => String::new(),
    };
    let system = system.map_or_else(String::new, |system| {
        format!(", system {} ({})", system.version, &system.id[..8])
    });
    journal.log(&format!("eyelet {}{slot}{system}", identity::version()));
    for word in &line.unknown {
        journal.log(&format!(
            "unknown word on the kernel's command line: {word}"
        ));
    }
}

/// Logged at every start, so that nobody runs an open board without knowing.
fn log_update_key(journal: &mut Journal, system: &System) {
    match &system.public_key {
        Some(key) => journal.log(&format!(
            "this system accepts updates from USB sticks, signed with the key of {key}"
        )),
        None => journal.log(
            "this system has no public key: it accepts unsigned updates, so anyone with access to the USB port can replace it \
             (eyelet image --public-key)",
        ),
    }
}

/// The board file's settings for the first program.
struct Settings {
    policy: Policy,
    /// Updates from USB sticks are accepted.
    takes_sticks: bool,
    /// A shell runs on the serial line.
    has_shell: bool,
}

/// The board's settings. A faulty board file leaves the defaults; the classifier reports the fault.
fn settings(journal: &mut Journal) -> Settings {
    let places = Places {
        roots: DataRoots::new(vec!["/".into()], None, None),
        ..Places::of_this_machine()
    };
    match Board::choose(None, None, &places) {
        Ok((board, _)) => Settings {
            policy: board.policy,
            takes_sticks: board.firmware.update_from_sticks,
            has_shell: board.firmware.shell,
        },
        Err(error) => {
            journal.log(&format!("{error}; the default policy is used"));
            Settings {
                policy: Policy::default(),
                takes_sticks: false,
                has_shell: false,
            }
        }
    }
}

/// Writes to the disks what has not been written yet. A disk that does not answer is not waited for.
fn sync() {
    let (done, wait) = std::sync::mpsc::channel();
    let sync = move || {
        // SAFETY: the call takes no pointers.
        unsafe { libc::sync() };
        // If nobody waits any more, the machine reboots.
        let _ = done.send(());
    };
    if std::thread::Builder::new().spawn(sync).is_ok() {
        let _ = wait.recv_timeout(SYNC_PATIENCE);
    }
}

/// Reboots or powers off the machine.
fn end(end: End) -> ! {
    let command = match end {
        End::Reboot | End::RebootWith(_) => libc::LINUX_REBOOT_CMD_RESTART,
        End::PowerOff => libc::LINUX_REBOOT_CMD_POWER_OFF,
    };
    // Let the console show its last lines first.
    std::thread::sleep(Duration::from_millis(200));
    sync();
    if let End::RebootWith(words) = end
        && let Ok(words) = CString::new(words)
    {
        // SAFETY: the string ends in a NUL and lives until the call returns; the kernel copies it.
        unsafe {
            libc::syscall(
                libc::SYS_reboot,
                libc::LINUX_REBOOT_MAGIC1,
                libc::LINUX_REBOOT_MAGIC2,
                libc::LINUX_REBOOT_CMD_RESTART2,
                words.as_ptr(),
            )
        };
        // Refused: try without the argument.
    }
    // SAFETY: the call takes no pointers.
    unsafe { libc::reboot(command) };
    // Refused: an armed watchdog resets the board, or the kernel does when its first program ends.
    std::thread::sleep(Duration::from_secs(60));
    std::process::exit(1)
}
