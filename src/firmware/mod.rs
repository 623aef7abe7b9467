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

pub mod command_line;
pub mod data;
mod first;
mod journal;
pub mod keeper;
pub mod modules;
mod mounts;
pub mod oversee;
pub mod ring;
pub mod watchdog;

use crate::board::Board;
use crate::board::choose::Places;
use crate::board::policy::Policy;
use crate::data_roots::DataRoots;
use command_line::CommandLine;
use first::{End, First};
use journal::Journal;
use std::path::Path;
use std::time::Duration;

/// The list of modules.
const MODULES: &str = "/etc/eyelet/modules";
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
    greet(&mut journal, &line);
    let policy = policy(&mut journal);
    match First::begin(journal, policy, line) {
        Ok(mut first) => end(first.run()),
        Err(error) => {
            eprintln!("init: cannot begin: {error}; rebooting in 10 s");
            std::thread::sleep(Duration::from_secs(10));
            end(End::Reboot)
        }
    }
}

fn greet(journal: &mut Journal, line: &CommandLine) {
    let slot = match (&line.slot, line.is_trial) {
        (Some(slot), true) => format!(", slot {slot} on trial"),
        (Some(slot), false) => format!(", slot {slot}"),
        (None, _) => String::new(),
    };
    journal.tell(&format!("eyelet {}{slot}", env!("CARGO_PKG_VERSION")));
    for word in &line.unknown {
        journal.tell(&format!(
            "{word} on the kernel's command line means nothing"
        ));
    }
}

/// The board's policy. A board file that is wrong leaves the default one; the program that classifies says what is wrong.
fn policy(journal: &mut Journal) -> Policy {
    let places = Places {
        roots: DataRoots::new(vec!["/".into()], None, None),
        ..Places::of_this_machine()
    };
    match Board::choose(None, None, &places) {
        Ok((board, _)) => board.policy,
        Err(error) => {
            journal.tell(&format!("{error}; the default policy is used"));
            Policy::default()
        }
    }
}

/// Ends the machine.
fn end(end: End) -> ! {
    let command = match end {
        End::Reboot => libc::LINUX_REBOOT_CMD_RESTART,
        End::PowerOff => libc::LINUX_REBOOT_CMD_POWER_OFF,
    };
    // The console shows its last lines first.
    std::thread::sleep(Duration::from_millis(200));
    // SAFETY: neither call takes a pointer.
    unsafe {
        libc::sync();
        libc::reboot(command);
    }
    // Refused: an armed watchdog, or the kernel's panic at the end of its first program, resets the board.
    std::thread::sleep(Duration::from_secs(60));
    std::process::exit(1)
}
