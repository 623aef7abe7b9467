//! Updates from USB sticks, where the board file allows them: a FAT volume with `eyelet-update.img` in its top folder, present at
//! start or plugged in later.
//!
//! A system is written to the idle slot unless it is the running one, or was tried from a stick before and did not pass: it would
//! otherwise be tried for ever. One that passed comes back only from a stick that is plugged in while the board runs: two sticks
//! that are left in would replace each other for ever, and one would undo an update that came another way. A stick that was left in
//! and disappears only for a moment is still left in: its bus was reset. If the running system
//! has a public key, the image must be signed with it ([`crate::update::signature`]). A disk with the signature of `eyelet image`
//! does not count as a stick: an old card in a reader must not become the board's system.

use super::card::{self, Disk};
use super::keeper::Keeper;
use super::slots::{Found, Slots};
use crate::clock;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often to look for disks.
const PERIOD: Duration = Duration::from_secs(2);

/// A stick that appears may need this long until its partitions are there and it can be read.
const SETTLING: Duration = Duration::from_secs(10);

/// A stick that is found before this time was left in: at start a disk may take this long to appear.
const STARTING: Duration = Duration::from_secs(60);

/// A stick that was left in and comes back within this time was not plugged in: its cable has a bad contact, or its hub was reset.
const AWAY: Duration = Duration::from_secs(30);

/// What was seen so far.
#[derive(Default)]
struct Seen {
    /// The disks that are present.
    present: Vec<Present>,
    /// When disks that were left in disappeared, the last [`AWAY`].
    away: Vec<Duration>,
}

/// A disk that is present, and what was seen on it.
struct Present {
    disk: Disk,
    sequence: String,
    since: Duration,
    /// It was there before the board ran, or may have been, and was not away for long since.
    is_left_in: bool,
    /// What could be looked at.
    volumes: Vec<PathBuf>,
    /// An update was found, or it is too late for one to appear.
    is_done: bool,
    /// What was logged because of it.
    complaints: Vec<String>,
}

/// Looks for updates.
pub struct Sticks {
    /// The card, which never counts as a stick.
    pub slots: Slots,
    /// Remembers which systems were tried.
    pub keeper: Keeper,
    /// The id of the running system.
    pub running_id: String,
    /// False while the running system is itself on trial.
    pub is_settled: Arc<AtomicBool>,
}

impl Sticks {
    /// Checks each disk that is present or appears, until an update is installed; returns why the board must reboot.
    pub fn watch(&self, sys: &Path, dev: &Path, mut log: impl FnMut(&str)) -> String {
        let mut seen = Seen::default();
        let mut is_first = true;
        loop {
            std::thread::sleep(PERIOD);
            if !self.is_settled.load(Ordering::Relaxed) {
                continue;
            }
            if let Some(why) = self.look(&mut seen, sys, dev, (clock::now(), is_first), &mut log) {
                return why;
            }
            is_first = false;
        }
    }

    /// One look at all disks, at `now`; it may be the first. A disk is looked at when it appears, when its partitions change, and until it
    /// has had time to settle.
    fn look(
        &self,
        seen: &mut Seen,
        sys: &Path,
        dev: &Path,
        (now, is_first): (Duration, bool),
        log: &mut impl FnMut(&str),
    ) -> Option<String> {
        let present: Vec<_> = self
            .candidates(sys, dev)
            .into_iter()
            .map(|disk| (sequence(sys, &disk), disk))
            .collect();
        let Seen {
            present: seen,
            away,
        } = seen;
        away.retain(|since| now - *since < AWAY);
        seen.retain(|it| {
            let mut disks = present.iter();
            let stays = disks.any(|(sequence, disk)| *sequence == it.sequence && *disk == it.disk);
            if !stays && it.is_left_in {
                away.push(now);
            }
            stays
        });
        for (sequence, disk) in present {
            let volumes = volumes(sys, &disk);
            let known = seen
                .iter()
                .position(|it| it.sequence == sequence && it.disk == disk);
            let at = known.unwrap_or_else(|| {
                seen.push(Present {
                    disk,
                    sequence,
                    since: now,
                    is_left_in: is_first || now < STARTING || away.pop().is_some(),
                    volumes: Vec::new(),
                    is_done: false,
                    complaints: Vec::new(),
                });
                seen.len() - 1
            });
            let it = &mut seen[at];
            if it.is_done && it.volumes == volumes {
                continue;
            }
            it.is_done = now - it.since >= SETTLING;
            it.volumes = volumes;
            if let Some(why) = self.look_at(it, log) {
                return Some(why);
            }
        }
        None
    }

    /// Disks that have a medium and are neither the card nor another one like it.
    fn candidates(&self, sys: &Path, dev: &Path) -> Vec<Disk> {
        let like_cards = card::ours(sys, dev);
        let is_empty = |disk: &Disk| {
            let sectors = std::fs::read_to_string(sys.join("block").join(&disk.name).join("size"));
            sectors.is_ok_and(|sectors| sectors.trim() == "0")
        };
        card::disks(sys, dev)
            .into_iter()
            .filter(|disk| *disk != self.slots.card && !like_cards.contains(disk))
            .filter(|disk| !is_empty(disk))
            .collect()
    }

    fn look_at(&self, seen: &mut Present, log: &mut impl FnMut(&str)) -> Option<String> {
        for volume in &seen.volumes {
            match self.slots.find(volume) {
                Ok(None) => {}
                Ok(Some(found)) => {
                    seen.is_done = true;
                    return self.take(volume, &found, seen.is_left_in, log);
                }
                Err(why) => {
                    let line = format!("no update: {why}");
                    if !seen.complaints.contains(&line) {
                        log(&line);
                        seen.complaints.push(line);
                    }
                }
            }
        }
        None
    }

    /// Installs `found`, unless there is a reason not to.
    fn take(
        &self,
        volume: &Path,
        found: &Found,
        is_left_in: bool,
        log: &mut impl FnMut(&str),
    ) -> Option<String> {
        let Found { id, version } = found;
        let place = volume.display();
        if *id == self.running_id {
            log(&format!("system {version} on {place} is already running"));
            return None;
        }
        let tried = match self.keeper.tried() {
            Ok(tried) => tried,
            Err(why) => {
                log(&format!(
                    "no update: cannot tell whether system {version} on {place} was tried before: {why}"
                ));
                return None;
            }
        };
        if tried.failed.contains(id) {
            log(&format!(
                "system {version} on {place} was tried before and failed; it is not tried again"
            ));
            return None;
        }
        if is_left_in && tried.passed.contains(id) {
            log(&format!(
                "system {version} on {place} ran on this board before; to go back to it, unplug the stick while the board runs, and plug it in again after a minute"
            ));
            return None;
        }
        let slot = self.slots.slot.other().letter();
        log(&format!(
            "update: writing system {version} from {place} to slot {slot}"
        ));
        let installed = match self.slots.install(volume) {
            Ok(installed) => installed,
            Err(why) => {
                log(&format!("no update: {why}"));
                return None;
            }
        };
        log(&format!("update: {}", installed.message));
        // The stick may have returned another label than before.
        if installed.id == self.running_id || tried.failed.contains(&installed.id) {
            log(
                "no update: the stick's system changed while it was read, to one that was already tried or is running",
            );
            return None;
        }
        // Recorded first: otherwise a system that fails its trial would be tried again and again.
        if let Err(why) = self.keeper.note_tried(&installed.id, &mut *log) {
            log(&format!(
                "no update, because the trial cannot be recorded: {why}"
            ));
            return None;
        }
        if let Err(why) = self.slots.try_other() {
            log(&format!(
                "no update, because the trial cannot be requested: {why}"
            ));
            return None;
        }
        Some(format!("update: trying system {version} in slot {slot}"))
    }
}

/// The kernel's sequence number of a disk, unique since boot: a stick that replaces another between two looks has the same name.
/// Empty where the kernel (before 5.15) has none.
fn sequence(sys: &Path, disk: &Disk) -> String {
    let file = sys.join("block").join(&disk.name).join("diskseq");
    std::fs::read_to_string(file).unwrap_or_default()
}

/// The devices of a disk that may be volumes: the disk itself and its partitions.
fn volumes(sys: &Path, disk: &Disk) -> Vec<PathBuf> {
    let folder = sys.join("block").join(&disk.name);
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("partition").exists())
        .map(|entry| entry.file_name())
        .collect();
    names.sort();
    let partitions = names
        .into_iter()
        .map(|name| disk.device.with_file_name(name));
    std::iter::once(disk.device.clone())
        .chain(partitions)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::firmware::card::Kind;
    use crate::firmware::fake::Program;
    use crate::slot::Slot;
    use crate::update::Chooser;
    use std::fs;

    /// A search for sticks that runs `program`.
    fn sticks(program: &Program) -> Sticks {
        let card = Disk {
            name: "mmcblk0".to_owned(),
            device: "/dev/mmcblk0".into(),
            kind: Kind::Mmc,
        };
        Sticks {
            keeper: Keeper::new(&program.path, &card.partition(4)),
            slots: Slots {
                program: program.path.clone(),
                card,
                slot: Slot::A,
                loader: Chooser::UBoot,
                public_key: None,
            },
            running_id: "running".to_owned(),
            is_settled: Arc::default(),
        }
    }

    /// Installs a stick that was read as `found` with a program that answers as `eyelet` does: it wrote the system `installed`,
    /// and `tried` was tried before. Returns the commands that it got, the log and the reason to reboot.
    fn take(
        installed: &str,
        tried: &str,
        fails: &str,
    ) -> (Vec<String>, Vec<String>, Option<String>) {
        let program = Program::new(&format!(
            "case \"$1 $2\" in\n\
             \"{fails}\") exit 1;;\n\
             \"keep tried\") echo {tried};;\n\
             \"update \"*) echo {installed}; echo 'card: it is in slot b';;\n\
             esac"
        ));
        let sticks = sticks(&program);
        let found = Found {
            id: "found".to_owned(),
            version: "2".to_owned(),
        };
        let mut lines = Vec::new();
        let why = sticks.take(Path::new("stick"), &found, true, &mut |line: &str| {
            lines.push(line.to_owned());
        });
        let words = |line: String| {
            let words: Vec<_> = line.split(' ').enumerate().collect();
            let but_the_device = words.into_iter().filter(|(at, _)| *at != 2);
            but_the_device
                .map(|(_, word)| word)
                .take(5)
                .collect::<Vec<_>>()
                .join(" ")
        };
        let commands = program.commands().into_iter().map(words).collect();
        (commands, lines, why)
    }

    const NOTHING: &str = "nothing";

    #[test]
    fn what_was_written_is_recorded_before_its_trial_is_requested() {
        let (commands, _, why) = take("verified", "earlier", NOTHING);
        assert_eq!(
            commands,
            [
                "keep tried",
                "update stick --loader u-boot --running",
                "keep note-tried verified",
                "slots try-once --loader u-boot --slot",
            ]
        );
        assert_eq!(why.unwrap(), "update: trying system 2 in slot b");
    }

    #[test]
    fn a_stick_that_returns_another_system_than_before_is_not_tried() {
        for installed in ["running", "earlier"] {
            let (commands, lines, why) = take(installed, "earlier", NOTHING);
            assert_eq!(commands.len(), 2, "{commands:?}");
            assert!(lines.last().unwrap().contains("changed while it was read"));
            assert_eq!(why, None);
        }
        assert_eq!(take("verified", "found", NOTHING).0, ["keep tried"]);
    }

    #[test]
    fn a_system_that_ran_before_comes_back_only_from_a_stick_that_is_plugged_in() {
        let (commands, lines, why) = take("verified", "passed found", NOTHING);
        assert_eq!((commands.len(), why), (1, None));
        assert!(
            lines[0].contains("plug it in again after a minute"),
            "{lines:?}"
        );
        let program = Program::new(
            "case \"$1 $2\" in\n\"keep tried\") echo passed found;;\n\"update \"*) echo found; echo done;;\n\
             \"slots find\") echo found 2;;\nesac",
        );
        let place = |name: &str| program.folder.path().join(name);
        let (sys, dev) = (place("sys"), place("dev"));
        fs::create_dir_all(sys.join("block/sda/device")).unwrap();
        let is_taken = |second, is_first| {
            let now = (Duration::from_secs(second), is_first);
            let why =
                sticks(&program).look(&mut Seen::default(), &sys, &dev, now, &mut |_: &str| {});
            why.is_some()
        };
        assert!(!is_taken(30, false), "at start");
        assert!(!is_taken(300, true), "after a trial");
        assert!(is_taken(300, false));
    }

    /// The kernel gives a disk whose bus was reset a new number.
    #[test]
    fn a_stick_that_was_left_in_and_was_away_for_a_moment_was_not_plugged_in() {
        let program = Program::new(
            "case \"$1 $2\" in\n\"keep tried\") echo passed found;;\n\"update \"*) echo found; echo done;;\n\
             \"slots find\") echo found 2;;\nesac",
        );
        let place = |name: &str| program.folder.path().join(name);
        let (sys, dev) = (place("sys"), place("dev"));
        let sticks = sticks(&program);
        let mut seen = Seen::default();
        let mut is_taken = |second, number: Option<&str>| {
            let disk = sys.join("block/sda");
            let _ = fs::remove_dir_all(&disk);
            if let Some(number) = number {
                fs::create_dir_all(disk.join("device")).unwrap();
                fs::write(disk.join("diskseq"), number).unwrap();
            }
            let now = (Duration::from_secs(second), false);
            let why = sticks.look(&mut seen, &sys, &dev, now, &mut |_: &str| {});
            why.is_some()
        };
        fs::create_dir_all(sys.join("block")).unwrap();
        assert!(!is_taken(30, Some("1")));
        assert!(!is_taken(100, Some("2")), "between two looks");
        assert!(!is_taken(102, None));
        assert!(!is_taken(131, Some("3")), "still the same");
        assert!(!is_taken(200, None));
        assert!(!is_taken(215, None));
        assert!(is_taken(230, Some("4")), "plugged in");
    }

    #[test]
    fn without_a_record_there_is_no_trial() {
        for (fails, words) in [
            (
                "keep tried",
                "cannot tell whether system 2 on stick was tried",
            ),
            ("keep note-tried", "the trial cannot be recorded"),
            ("slots try-once", "the trial cannot be requested"),
        ] {
            let (commands, lines, why) = take("verified", "earlier", fails);
            let is_requested = commands.iter().any(|line| line.contains("try-once"));
            assert_eq!(is_requested, fails == "slots try-once");
            assert!(lines.last().unwrap().contains(words), "{lines:?}");
            assert_eq!(why, None);
        }
    }

    #[test]
    fn a_stick_is_looked_at_until_it_has_settled_and_again_when_its_partitions_change() {
        let program = Program::new(
            "if [ $1$2 = slotsfind ] && [ -e $3 ]; then cat $3; [ -s $3 ] || exit 13; fi",
        );
        let place = |name: &str| program.folder.path().join(name);
        let (sys, dev) = (place("sys"), place("dev"));
        fs::create_dir_all(sys.join("block/sda/device")).unwrap();
        fs::create_dir(&dev).unwrap();
        let sticks = sticks(&program);
        let (mut seen, mut lines) = (Seen::default(), Vec::new());
        let mut look = |second| {
            let log = &mut |line: &str| lines.push(line.to_owned());
            let why = sticks.look(
                &mut seen,
                &sys,
                &dev,
                (Duration::from_secs(second), false),
                log,
            );
            assert_eq!(why, None, "the running system");
            lines.len()
        };
        assert_eq!(look(100), 0, "the kernel has not read its partitions");
        // It is still spinning up, which is logged once.
        fs::create_dir_all(sys.join("block/sda/sda1/partition")).unwrap();
        fs::write(dev.join("sda1"), "").unwrap();
        assert_eq!(look(102), 1);
        assert_eq!(look(104), 1);
        fs::write(dev.join("sda1"), "running 2").unwrap();
        assert_eq!(look(106), 2);
        assert_eq!(look(108), 2, "found");
        // New partitions are looked at even late.
        fs::create_dir_all(sys.join("block/sda/sda2/partition")).unwrap();
        assert_eq!(look(150), 3);
        assert_eq!(look(152), 3);
        // A stick without an update is left in peace.
        fs::write(dev.join("sda1"), "").unwrap();
        fs::write(sys.join("block/sda/diskseq"), "2").unwrap();
        assert_eq!(look(200), 4);
        assert_eq!(look(210), 4);
        fs::write(dev.join("sda1"), "running 2").unwrap();
        assert_eq!(look(212), 4);
        assert!(lines[0].starts_with("no update: "), "{lines:?}");
        assert!(lines[1].contains("is already running"), "{lines:?}");
    }
}
