//! Updates from USB sticks, where the board file allows them: a FAT volume with `eyelet-update.img` in its top folder, present at
//! start or plugged in later.
//!
//! A system is written to the idle slot unless it is the running one or was tried from a stick before: one that failed its trial
//! would otherwise be tried forever. If the running system has a public key, the image must be signed with it
//! ([`crate::update::signature`]). A disk with the signature of `eyelet image` does not count as a stick: an old card in a reader
//! must not become the board's system.

use super::card::{self, Disk};
use super::keeper::Keeper;
use super::slots::{Found, Slots};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often to look for disks.
const PERIOD: Duration = Duration::from_secs(2);

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
        let mut seen: Vec<(Disk, String)> = Vec::new();
        loop {
            std::thread::sleep(PERIOD);
            if !self.is_settled.load(Ordering::Relaxed) {
                continue;
            }
            let present: Vec<_> = self
                .candidates(sys, dev)
                .into_iter()
                .map(|disk| (disk.clone(), sequence(sys, &disk)))
                .collect();
            seen.retain(|disk| present.contains(disk));
            for disk in present {
                if seen.contains(&disk) {
                    continue;
                }
                seen.push(disk.clone());
                if let Some(why) = self.look_at(&volumes(sys, &disk.0), &mut log) {
                    return why;
                }
            }
        }
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

    fn look_at(&self, volumes: &[PathBuf], log: &mut impl FnMut(&str)) -> Option<String> {
        for volume in volumes {
            match self.slots.find(volume) {
                Ok(None) => {}
                Ok(Some(found)) => return self.take(volume, &found, log),
                Err(why) => log(&format!("no update: {why}")),
            }
        }
        None
    }

    /// Installs `found`, unless there is a reason not to.
    fn take(&self, volume: &Path, found: &Found, log: &mut impl FnMut(&str)) -> Option<String> {
        let Found { id, version } = found;
        let place = volume.display();
        if *id == self.running_id {
            log(&format!("system {version} on {place} is already running"));
            return None;
        }
        // An unusable volume is formatted below.
        let tried = self.keeper.tried().unwrap_or_default();
        if tried.contains(id) {
            log(&format!(
                "system {version} on {place} was tried before and failed; it is not tried again"
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
        if installed.id == self.running_id || tried.contains(&installed.id) {
            log("no update: the system changed while it was read, to one that is not tried again");
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
    use crate::slot::Slot;
    use crate::update::Chooser;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    /// Installs a stick that was read as `found` with a program that answers as `eyelet` does: it wrote the system `installed`,
    /// and `tried` was tried before. Returns the commands that it got, the log and the reason to reboot.
    fn take(
        installed: &str,
        tried: &str,
        fails: &str,
    ) -> (Vec<String>, Vec<String>, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("eyelet");
        let script = format!(
            "#!/bin/sh\n\
             echo \"$1 $2 $4 $5 $6\" >> {}/commands\n\
             case \"$1 $2\" in\n\
             \"{fails}\") exit 1;;\n\
             \"keep tried\") echo {tried};;\n\
             \"update \"*) echo {installed}; echo 'card: it is in slot b';;\n\
             esac\n",
            folder.path().display()
        );
        // Written by another process: one that was just written by this one cannot be run while another test forks.
        let written = Command::new("sh")
            .args(["-c", "printf %s \"$1\" > \"$2\"", "sh", &script])
            .arg(&program)
            .status();
        assert!(written.unwrap().success());
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let card = Disk {
            name: "mmcblk0".to_owned(),
            device: "/dev/mmcblk0".into(),
            kind: Kind::Mmc,
        };
        let sticks = Sticks {
            keeper: Keeper::new(&program, &card.partition(4)),
            slots: Slots {
                program,
                card,
                slot: Slot::A,
                loader: Chooser::UBoot,
                public_key: None,
            },
            running_id: "running".to_owned(),
            is_settled: Arc::default(),
        };
        let found = Found {
            id: "found".to_owned(),
            version: "2".to_owned(),
        };
        let mut lines = Vec::new();
        let why = sticks.take(Path::new("stick"), &found, &mut |line: &str| {
            lines.push(line.to_owned());
        });
        let commands = fs::read_to_string(folder.path().join("commands")).unwrap();
        (commands.lines().map(str::to_owned).collect(), lines, why)
    }

    const NOTHING: &str = "nothing";

    #[test]
    fn what_was_written_is_recorded_before_its_trial_is_requested() {
        let (commands, _, why) = take("verified", "earlier", NOTHING);
        assert_eq!(
            commands,
            [
                "keep tried   ",
                "update stick --loader u-boot --running",
                "keep note-tried verified  ",
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
        assert_eq!(take("verified", "found", NOTHING).0, ["keep tried   "]);
    }

    #[test]
    fn without_a_record_there_is_no_trial() {
        for (fails, words) in [
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
}
