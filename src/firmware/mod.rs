//! The first program of a board that has no other: `/init` of the initramfs is this very binary.
//!
//! ```text
//! kernel -> /init: mounts, console ---- loop: hears, feeds the watchdog, restarts, reboots
//!                    |          '--- thread: modules in order, then the data partition and the last reboot's reason
//!                    '--- eyelet run: loads the model meanwhile; camera, display, frames; says WATCHDOG=1 with each
//! ```
//!
//! The program that classifies is a process of its own, so that whatever ends it (a driver, a model, too little memory)
//! leaves this one to say so, to keep the log, and to start it again. It tells that frames are finished by the datagrams
//! that it would send to systemd, so both are fed the same way ([`crate::care::notify`]).
//!
//! This program writes nothing to the card unless something went wrong ([`data`]), it never ends, and a panic of it is a
//! panic of the kernel, which reboots (`panic=10` on the kernel's command line).

mod bring_up;
pub mod card;
mod child;
pub mod command_line;
pub mod data;
mod first;
pub mod identity;
mod journal;
pub mod keeper;
pub mod modules;
mod mounts;
pub mod oversee;
pub mod ring;
pub mod shell;
pub mod slots;
mod sticks;
pub mod watchdog;

use crate::board::Board;
use crate::board::choose::Places;
use crate::board::policy::Policy;
use crate::data_roots::DataRoots;
use crate::update::System;
use command_line::CommandLine;
use first::{End, First};
use journal::Journal;
use std::ffi::CString;
use std::path::Path;
use std::time::Duration;

/// The list of modules.
const MODULES: &str = "/etc/eyelet/modules";
/// The bill of materials.
const MANIFEST: &str = "/etc/eyelet/manifest.json";
/// Where the modules' time is told to the program that classifies.
const BOOT_FILE: &str = "/run/eyelet/boot";

/// Whether this process is the first program of a machine: process 1, started as `/init`. (Process 1 of a container is
/// started by another name.)
pub fn is_first_program() -> bool {
    std::process::id() == 1
        && std::env::args_os()
            .next()
            .is_some_and(|name| Path::new(&name).file_name() == Some("init".as_ref()))
}

/// Runs the board until it is rebooted or switched off. Does not return.
pub fn run() -> ! {
    let failed_mounts = mounts::mount_all();
    let console = mounts::take_console();
    let mut journal = Journal::new(Path::new("/dev/console"));
    for line in failed_mounts {
        journal.tell(&line);
    }
    if let Err(error) = console {
        journal.tell(&format!("the console cannot be used: {error}"));
    }
    // SAFETY: the call takes no pointers. From now on Ctrl-Alt-Del is a signal to this process.
    unsafe { libc::reboot(libc::LINUX_REBOOT_CMD_CAD_OFF) };
    let line = CommandLine::of_text(&std::fs::read_to_string("/proc/cmdline").unwrap_or_default());
    let system = system(&mut journal);
    greet(&mut journal, &line, system.as_ref());
    let wishes = wishes(&mut journal);
    if let (true, Some(system)) = (wishes.takes_sticks, &system) {
        tell_whose_updates(&mut journal, system);
    }
    match First::begin(journal, wishes, line, system) {
        Ok(mut first) => end(first.run()),
        Err(error) => {
            eprintln!("init: cannot begin: {error}; rebooting in 10 s");
            std::thread::sleep(Duration::from_secs(10));
            end(End::Reboot)
        }
    }
}

/// What the image says that it is; `None`: it was not made by `eyelet image`.
fn system(journal: &mut Journal) -> Option<System> {
    let text = std::fs::read_to_string(MANIFEST).ok()?;
    match System::of_manifest(&text) {
        Ok(system) => Some(system),
        Err(error) => {
            journal.tell(&format!("{MANIFEST} cannot be read: {error}"));
            None
        }
    }
}

fn greet(journal: &mut Journal, line: &CommandLine, system: Option<&System>) {
    let slot = match (line.slot, line.is_trial) {
        (Some(slot), true) => format!(", slot {} on trial", slot.letter()),
        (Some(slot), false) => format!(", slot {}", slot.letter()),
        (None, _) => String::new(),
    };
    let system = system.map_or_else(String::new, |system| {
        format!(", system {} ({})", system.version, &system.id[..8])
    });
    journal.tell(&format!("eyelet {}{slot}{system}", identity::version()));
    for word in &line.unknown {
        journal.tell(&format!(
            "{word} on the kernel's command line means nothing"
        ));
    }
}

/// Said at every start, so that a board that stands open does not stand open unnoticed.
fn tell_whose_updates(journal: &mut Journal, system: &System) {
    match &system.public_key {
        Some(key) => journal.tell(&format!(
            "updates are taken from USB sticks, signed with the key of {key}"
        )),
        None => journal.tell(
            "updates are taken from USB sticks, and this system has no public key: whoever reaches the USB port can replace it (eyelet image --public-key)",
        ),
    }
}

/// What the board file wants of the first program.
struct Wishes {
    policy: Policy,
    /// Updates are taken from USB sticks.
    takes_sticks: bool,
    /// A shell runs on the serial line.
    has_shell: bool,
}

/// The board's wishes. A board file that is wrong leaves the default ones; the program that classifies says what is wrong.
fn wishes(journal: &mut Journal) -> Wishes {
    let places = Places {
        roots: DataRoots::new(vec!["/".into()], None, None),
        ..Places::of_this_machine()
    };
    match Board::choose(None, None, &places) {
        Ok((board, _)) => Wishes {
            policy: board.policy,
            takes_sticks: board.firmware.update_from_sticks,
            has_shell: board.firmware.shell,
        },
        Err(error) => {
            journal.tell(&format!("{error}; the default policy is used"));
            Wishes {
                policy: Policy::default(),
                takes_sticks: false,
                has_shell: false,
            }
        }
    }
}

/// Ends the machine.
fn end(end: End) -> ! {
    let command = match end {
        End::Reboot | End::RebootWith(_) => libc::LINUX_REBOOT_CMD_RESTART,
        End::PowerOff => libc::LINUX_REBOOT_CMD_POWER_OFF,
    };
    // The console shows its last lines first.
    std::thread::sleep(Duration::from_millis(200));
    // SAFETY: the call takes no pointers.
    unsafe { libc::sync() };
    if let End::RebootWith(words) = end
        && let Ok(words) = CString::new(words)
    {
        // SAFETY: the words end in a NUL and live until the call returns; the kernel copies them.
        unsafe {
            libc::syscall(
                libc::SYS_reboot,
                libc::LINUX_REBOOT_MAGIC1,
                libc::LINUX_REBOOT_MAGIC2,
                libc::LINUX_REBOOT_CMD_RESTART2,
                words.as_ptr(),
            )
        };
        // Refused: without the words, then.
    }
    // SAFETY: the call takes no pointers.
    unsafe { libc::reboot(command) };
    // Refused: an armed watchdog, or the kernel's panic at the end of its first program, resets the board.
    std::thread::sleep(Duration::from_secs(60));
    std::process::exit(1)
}
