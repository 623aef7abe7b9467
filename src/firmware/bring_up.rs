//! What happens beside the classifier's start: modules, then the card with its data partition and slots, then sticks. Runs as a
//! thread and reports what it finds.

use super::End;
use super::card::{self, Booted, Kind, NotFound};
use super::command_line::CommandLine;
use super::keeper::Keeper;
use super::slots::{self, Slots};
use super::sticks::Sticks;
use super::{BOOT_FILE, MODULES, data, modules};
use crate::care::boot::Modules;
use crate::clock;
use crate::slot::Slot;
use crate::update::{Chooser, System};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

/// This program's own file.
pub const PROGRAM: &str = "/proc/self/exe";
const SYS: &str = "/sys";
const DEV: &str = "/dev";
/// A card may appear a little after its driver was loaded.
const CARD_PATIENCE: Duration = Duration::from_secs(3);
/// Only the Raspberry Pi's own kernels have this device, and only they can ask its firmware for a trial boot.
const PI_MAILBOX: &str = "/dev/vcio";

/// What the thread reports.
pub enum News {
    /// For the log.
    Line(String),
    /// This module is being loaded now.
    Loading(PathBuf),
    /// How many modules were loaded, and how long it took.
    Loaded(usize, Duration),
    /// The data partition, if found, and the reason for the last reboot.
    Data(Option<Keeper>, Option<String>),
    /// The card's slots.
    Slots(Slots),
    /// The running slot is on trial.
    Trial,
    /// The slot on trial became the default, or why not.
    Confirmed(Result<(), String>),
    /// The board must reboot for this reason.
    Leave(String, End),
}

/// What the thread knows from the start.
pub struct BringUp {
    /// When the first program started, since kernel start.
    pub init_at: Duration,
    /// The kernel's command line.
    pub line: CommandLine,
    /// The running system, if it identifies itself.
    pub system: Option<System>,
    /// Whether updates from sticks are accepted.
    pub takes_sticks: bool,
    /// False while the running system is on trial.
    pub is_settled: Arc<AtomicBool>,
    /// Receives the reports.
    pub news: Sender<News>,
}

impl BringUp {
    /// Does all of it in order.
    pub fn run(self) {
        self.load_modules();
        let Some(disk) = self.find_card() else {
            self.say(News::Data(None, None));
            return;
        };
        let program = Path::new(PROGRAM);
        let keeper = Keeper::new(program, &disk.partition(data::NUMBER));
        let reason = keeper.take_reason(|line| self.log(line)).ok().flatten();
        self.say(News::Data(Some(keeper.clone()), reason));
        let (Some(slot), Some(loader)) = (self.line.slot, self.line.loader) else {
            return;
        };
        let slots = Slots {
            program: program.to_owned(),
            card: disk,
            slot,
            loader,
            public_key: self.system.as_ref().and_then(|it| it.public_key.clone()),
        };
        self.say(News::Slots(slots.clone()));
        if loader == Chooser::PiFirmware && self.start_trial(&slots) {
            return;
        }
        if let (true, Some(system)) = (self.takes_sticks, &self.system) {
            let sticks = Sticks {
                slots,
                keeper,
                running_id: system.id.clone(),
                is_settled: Arc::clone(&self.is_settled),
            };
            let why = sticks.watch(Path::new(SYS), Path::new(DEV), |line| self.log(line));
            self.say(News::Leave(why, End::Reboot));
        }
    }

    fn say(&self, news: News) {
        // If the receiver is gone, the loop has ended and the board shuts down.
        let _ = self.news.send(news);
    }

    fn log(&self, line: &str) {
        self.say(News::Line(line.to_owned()));
    }

    fn load_modules(&self) {
        let began = clock::now();
        let load = |module: &Path, options: &str| {
            self.say(News::Loading(module.to_owned()));
            modules::load(module, options)
        };
        let count = modules::load_all(Path::new(MODULES), load, |line| self.log(line));
        let took = clock::now().saturating_sub(began);
        let text = Modules {
            init_at: self.init_at,
            took,
        }
        .to_text();
        if let Err(error) = std::fs::write(BOOT_FILE, text) {
            self.log(&format!("cannot write {BOOT_FILE}: {error}"));
        }
        self.say(News::Loaded(count, took));
    }

    /// Waits a little for the card that the board booted from.
    fn find_card(&self) -> Option<card::Disk> {
        let booted = Booted {
            // A Raspberry Pi boots from USB only if it has no card.
            kind: self.line.disk.or_else(|| {
                let is_pi = self.line.loader == Some(Chooser::PiFirmware);
                is_pi.then_some(Kind::Mmc)
            }),
            is_kind_certain: self.line.disk.is_some(),
        };
        let began = clock::now();
        loop {
            let is_late = clock::now().saturating_sub(began) > CARD_PATIENCE;
            let candidates = card::ours(Path::new(SYS), Path::new(DEV));
            let found = card::choose(&candidates, booted, is_late, |disk| {
                self.holds_this_system(disk)
            });
            match found {
                Ok(disk) => return Some(disk),
                Err(NotFound::Several) if is_late => {
                    self.log("two disks may be the boot disk, so neither is used; unplug one and restart");
                    return None;
                }
                Err(NotFound::None) if is_late => return None,
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// A board that does not know which system it runs accepts every disk.
    fn holds_this_system(&self, disk: &card::Disk) -> bool {
        let (Some(system), Some(slot)) = (&self.system, self.line.slot) else {
            return true;
        };
        slots::id_in(Path::new(PROGRAM), disk, slot).is_ok_and(|id| id == system.id)
    }

    /// The Raspberry Pi's firmware does not read our file, so the first program does what `boot.scr` does elsewhere. Returns true
    /// when the board must reboot for that.
    fn start_trial(&self, slots: &Slots) -> bool {
        let (current, waiting): (Slot, Option<Slot>) = match slots.current() {
            Ok(slots) => slots,
            Err(why) => {
                // It may be on trial, and then the other slot must not be written.
                self.is_settled.store(false, Ordering::Relaxed);
                self.log(&format!("cannot tell whether a slot is on trial: {why}"));
                return false;
            }
        };
        if slots.slot != current {
            // Set here, not when the loop gets the message: sticks are looked for next.
            self.is_settled.store(false, Ordering::Relaxed);
            self.say(News::Trial);
            return false;
        }
        let Some(waiting) = waiting.filter(|waiting| *waiting != current) else {
            return false;
        };
        if let Err(why) = slots.try_nothing() {
            self.log(&format!(
                "slot {} is due for a trial and cannot be tried: {why}",
                waiting.letter()
            ));
            return false;
        }
        if !Path::new(PI_MAILBOX).exists() {
            self.log(&format!(
                "slot {} cannot be tried: this kernel cannot ask the Raspberry Pi's firmware for it",
                waiting.letter()
            ));
            return false;
        }
        let argument = slots.loader.reboot_argument();
        let end = argument.map_or(End::Reboot, End::RebootWith);
        let why = format!("update: trying slot {}", waiting.letter());
        self.say(News::Leave(why, end));
        true
    }
}
