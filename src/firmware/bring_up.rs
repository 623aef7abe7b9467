//! What need not be waited for to start the program: modules, then the card with its data partition and slots, then sticks.
//! Runs as a thread and says what it found.

use super::card::{self, Booted, Kind, NotFound};
use super::command_line::CommandLine;
use super::first::End;
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
/// A card may be found a little after its driver was loaded.
const CARD_PATIENCE: Duration = Duration::from_secs(3);
/// The Raspberry Pi's own kernels have it, and only they can ask its firmware for a trial.
const PI_MAILBOX: &str = "/dev/vcio";

/// What the thread says.
pub enum News {
    /// For the log.
    Line(String),
    /// This module is being loaded from now on.
    Loading(PathBuf),
    /// The modules are loaded, and it took so long.
    Loaded(usize, Duration),
    /// The data partition was looked for, and why the last reboot was.
    Data(Option<Keeper>, Option<String>),
    /// The card's slots.
    Slots(Slots),
    /// The running slot is on trial.
    Trial,
    /// The slot on trial was made the one that boots, or why not.
    Confirmed(Result<(), String>),
    /// The board is to reboot for this reason.
    Leave(String, End),
}

/// What the thread knows from the beginning.
pub struct BringUp {
    /// When the first program began, since kernel start.
    pub init_at: Duration,
    /// The kernel's command line.
    pub line: CommandLine,
    /// The system that runs, if it says what it is.
    pub system: Option<System>,
    /// Whether updates are taken from sticks.
    pub takes_sticks: bool,
    /// False while the running system is on trial.
    pub is_settled: Arc<AtomicBool>,
    /// Where it says what it found.
    pub news: Sender<News>,
}

impl BringUp {
    /// Does all of it.
    pub fn run(self) {
        self.load_modules();
        let Some(disk) = self.find_card() else {
            self.say(News::Data(None, None));
            return;
        };
        let program = Path::new(PROGRAM);
        let keeper = Keeper::new(program, &disk.partition(data::NUMBER));
        let reason = keeper.take_reason(|line| self.tell(line));
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
        if loader == Chooser::PiFirmware && self.does_as_u_boot_does(&slots) {
            return;
        }
        if let (true, Some(system)) = (self.takes_sticks, &self.system) {
            let sticks = Sticks {
                slots,
                keeper,
                running_id: system.id.clone(),
                is_settled: Arc::clone(&self.is_settled),
            };
            let why = sticks.watch(Path::new(SYS), Path::new(DEV), |line| self.tell(line));
            self.say(News::Leave(why, End::Reboot));
        }
    }

    fn say(&self, news: News) {
        // A receiver that has gone has left the loop; the board ends.
        let _ = self.news.send(news);
    }

    fn tell(&self, line: &str) {
        self.say(News::Line(line.to_owned()));
    }

    fn load_modules(&self) {
        let began = clock::now();
        let load = |module: &Path, options: &str| {
            self.say(News::Loading(module.to_owned()));
            modules::load(module, options)
        };
        let count = modules::load_all(Path::new(MODULES), load, |line| self.tell(line));
        let took = clock::now().saturating_sub(began);
        let text = Modules {
            init_at: self.init_at,
            took,
        }
        .to_text();
        if let Err(error) = std::fs::write(BOOT_FILE, text) {
            self.tell(&format!("{BOOT_FILE} cannot be written: {error}"));
        }
        self.say(News::Loaded(count, took));
    }

    /// Waits a little for the card that was booted.
    fn find_card(&self) -> Option<card::Disk> {
        let booted = Booted {
            // A Raspberry Pi that boots from USB does so because it has no card.
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
                    self.tell("two disks may be the one that booted, so neither is used; pull one out and start again");
                    return None;
                }
                Err(NotFound::None) if is_late => return None,
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// A board that does not know what it runs takes every disk for one that has it.
    fn holds_this_system(&self, disk: &card::Disk) -> bool {
        let (Some(system), Some(slot)) = (&self.system, self.line.slot) else {
            return true;
        };
        slots::id_in(Path::new(PROGRAM), disk, slot).is_ok_and(|id| id == system.id)
    }

    /// The Raspberry Pi's firmware does not read our file, so the first program does what `boot.scr` does elsewhere. Whether the
    /// board is to reboot for that.
    fn does_as_u_boot_does(&self, slots: &Slots) -> bool {
        let (current, waiting): (Slot, Option<Slot>) = match slots.current() {
            Ok(slots) => slots,
            Err(why) => {
                // Then it may be, and the other slot is not one to be written.
                self.is_settled.store(false, Ordering::Relaxed);
                self.tell(&format!("whether a slot is on trial is not known: {why}"));
                return false;
            }
        };
        if slots.slot != current {
            // At once, not when the loop hears of it: sticks are looked for next.
            self.is_settled.store(false, Ordering::Relaxed);
            self.say(News::Trial);
            return false;
        }
        let Some(waiting) = waiting.filter(|waiting| *waiting != current) else {
            return false;
        };
        if let Err(why) = slots.try_nothing() {
            self.tell(&format!(
                "slot {} waits for its trial in vain: {why}",
                waiting.letter()
            ));
            return false;
        }
        if !Path::new(PI_MAILBOX).exists() {
            self.tell(&format!(
                "slot {} cannot be tried: this kernel cannot ask the Raspberry Pi's firmware for it",
                waiting.letter()
            ));
            return false;
        }
        let argument = slots.loader.reboot_argument();
        let end = argument.map_or(End::Reboot, End::RebootWith);
        let why = format!("update: slot {} is tried", waiting.letter());
        self.say(News::Leave(why, end));
        true
    }
}
