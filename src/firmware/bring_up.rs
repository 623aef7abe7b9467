//! What happens beside the classifier's start: modules, then the card with its data partition and slots, then sticks. Runs as a
//! thread and reports what it finds.

use super::End;
use super::card::{self, Booted, Kind, NotFound};
use super::command_line::CommandLine;
use super::keeper::Keeper;
use super::slots::{self, Slots};
use super::sticks::Sticks;
use super::trial::Card;
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
/// A card may appear a little after its driver was loaded.
const CARD_PATIENCE: Duration = Duration::from_secs(3);
/// Only the Raspberry Pi's own kernels have this device, and only they can ask its firmware for a trial boot.
const PI_MAILBOX: &str = "vcio";

/// Where everything is on the board.
pub struct Machine {
    /// This program's own file.
    pub program: PathBuf,
    /// The list of modules.
    pub modules: PathBuf,
    /// Passes the modules' load time to the classifier.
    pub boot_file: PathBuf,
    /// `/sys`
    pub sys: PathBuf,
    /// `/dev`
    pub dev: PathBuf,
    /// How long to wait for the card.
    pub card_patience: Duration,
}

impl Machine {
    /// The board that this program runs on.
    pub fn this() -> Self {
        Self {
            program: PROGRAM.into(),
            modules: MODULES.into(),
            boot_file: BOOT_FILE.into(),
            sys: "/sys".into(),
            dev: "/dev".into(),
            card_patience: CARD_PATIENCE,
        }
    }
}

/// What the data partition says of the last reboot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastReboot {
    /// It was for this reason.
    Because(String),
    /// Nobody ordered it, or it could not be recorded.
    Unrecorded,
    /// The record cannot be read.
    Unknown,
}

/// What the thread reports.
pub enum News {
    /// For the log.
    Line(String),
    /// This module is being loaded now.
    Loading(PathBuf),
    /// How many modules were loaded, and how long it took.
    Loaded(usize, Duration),
    /// The data partition, if found, and what it says.
    Data(Option<(Keeper, LastReboot)>),
    /// The card's slots.
    Slots(Slots),
    /// What the card says of the running slot, on a Raspberry Pi.
    Trial(Card),
    /// The slot on trial became the default, or why not.
    Confirmed(Result<(), String>),
    /// The board must reboot for this reason.
    Leave(String, End),
}

/// What the thread knows from the start.
pub struct BringUp {
    /// The board that it runs on.
    pub machine: Machine,
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
            self.say(News::Data(None));
            self.say(News::Trial(Card::Silent(
                "its card was not found".to_owned(),
            )));
            return;
        };
        let program = &self.machine.program;
        let keeper = Keeper::new(program, &disk.partition(data::NUMBER));
        let last = match keeper.take_reason(|line| self.log(line)) {
            Ok(Some(reason)) => LastReboot::Because(reason),
            Ok(None) => LastReboot::Unrecorded,
            Err(_) => LastReboot::Unknown,
        };
        self.say(News::Data(Some((keeper.clone(), last))));
        let (Some(slot), Some(loader)) = (self.line.slot, self.line.loader) else {
            return;
        };
        let slots = Slots {
            program: program.clone(),
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
            let why = sticks.watch(&self.machine.sys, &self.machine.dev, |line| self.log(line));
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
        let count = modules::load_all(&self.machine.modules, load, |line| self.log(line));
        let took = clock::now().saturating_sub(began);
        let text = Modules {
            init_at: self.init_at,
            took,
        }
        .to_text();
        let file = &self.machine.boot_file;
        if let Err(error) = std::fs::write(file, text) {
            self.log(&format!("cannot write {}: {error}", file.display()));
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
            let is_late = clock::now().saturating_sub(began) > self.machine.card_patience;
            let candidates = card::ours(&self.machine.sys, &self.machine.dev);
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
        slots::id_in(&self.machine.program, disk, slot).is_ok_and(|id| id == system.id)
    }

    /// The Raspberry Pi's firmware does not read our file, so the first program does what `boot.scr` does elsewhere. Returns true
    /// when the board must reboot for that.
    fn start_trial(&self, slots: &Slots) -> bool {
        let (current, waiting): (Slot, Option<Slot>) = match slots.current() {
            Ok(slots) => slots,
            Err(why) => {
                // It may be on trial, and then the other slot must not be written.
                self.is_settled.store(false, Ordering::Relaxed);
                self.say(News::Trial(Card::Silent(why)));
                return false;
            }
        };
        if slots.slot != current {
            // Set here, not when the loop gets the message: sticks are looked for next.
            self.is_settled.store(false, Ordering::Relaxed);
            self.say(News::Trial(Card::Trial));
            return false;
        }
        self.say(News::Trial(Card::Default));
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
        if !self.machine.dev.join(PI_MAILBOX).exists() {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::firmware::fake::Program;
    use crate::mbr;
    use std::fs;
    use std::sync::mpsc::channel;

    /// What the thread reports on a Raspberry Pi with or without a card, whose program runs `script` and which booted slot B.
    fn reports(has_card: bool, script: &str) -> Vec<News> {
        let program = Program::new(script);
        let place = |name: &str| program.folder.path().join(name);
        if has_card {
            let card = place("sys/block/mmcblk0");
            fs::create_dir_all(card.join("device")).unwrap();
            fs::create_dir_all(card.join("mmcblk0p4")).unwrap();
            fs::create_dir_all(place("dev")).unwrap();
            let mut sector = [0; 512];
            sector[440..444].copy_from_slice(&mbr::EYELET_DISK_ID.to_le_bytes());
            sector[510..].copy_from_slice(&[0x55, 0xaa]);
            fs::write(place("dev/mmcblk0"), sector).unwrap();
        }
        let (news, reports) = channel();
        let bring_up = BringUp {
            machine: Machine {
                program: program.path.clone(),
                modules: place("modules"),
                boot_file: place("boot"),
                sys: place("sys"),
                dev: place("dev"),
                card_patience: Duration::ZERO,
            },
            init_at: clock::now(),
            line: CommandLine::of_text("eyelet.slot=b eyelet.loader=pi"),
            system: None,
            takes_sticks: false,
            is_settled: Arc::new(AtomicBool::new(true)),
            news,
        };
        bring_up.run();
        reports.iter().collect()
    }

    #[test]
    fn on_a_pi_it_is_always_said_what_the_card_says_of_a_trial() {
        let said = |has_card, script: &str| -> Vec<Card> {
            let trials = reports(has_card, script)
                .into_iter()
                .filter_map(|news| match news {
                    News::Trial(card) => Some(card),
                    _ => None,
                });
            trials.collect()
        };
        let silent = |why: &str| [Card::Silent(why.to_owned())];
        assert_eq!(said(false, ""), silent("its card was not found"));
        let current = |does: &str| format!("if [ $2 = current ]; then {does}; fi");
        let fails = current("echo 'eyelet: no answer' >&2; exit 13");
        assert_eq!(said(true, &fails), silent("no answer"));
        assert_eq!(said(true, &current("echo a")), [Card::Trial]);
        assert_eq!(said(true, &current("echo b")), [Card::Default]);
    }

    #[test]
    fn the_last_reboot_has_a_reason_none_or_an_unknown_one() {
        let last = |does: &str| {
            let script = format!("if [ $2 = tell ]; then {does}; fi");
            let mut all = reports(true, &script)
                .into_iter()
                .filter_map(|news| match news {
                    News::Data(found) => Some(found.unwrap().1),
                    _ => None,
                });
            all.next().unwrap()
        };
        assert_eq!(last("echo why"), LastReboot::Because("why".to_owned()));
        assert_eq!(last("exit 0"), LastReboot::Unrecorded);
        assert_eq!(last("exit 13"), LastReboot::Unknown);
    }
}
