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
        match self.keeper.tried() {
            Ok(tried) if tried.contains(id) => {
                log(&format!(
                    "system {version} on {place} was tried before and failed; it is not tried again"
                ));
                return None;
            }
            // An unusable volume is formatted below.
            Ok(_) | Err(_) => {}
        }
        let slot = self.slots.slot.other().letter();
        log(&format!(
            "update: writing system {version} from {place} to slot {slot}"
        ));
        let installed = match self.slots.install(volume) {
            Ok(message) => self.keeper.note_tried(id, &mut *log).map(|()| message),
            Err(why) => {
                log(&format!("no update: {why}"));
                return None;
            }
        };
        match installed {
            Ok(message) => {
                log(&format!("update: {message}"));
                Some(format!("update: trying system {version} in slot {slot}"))
            }
            Err(why) => {
                // Otherwise a system that fails its trial would be tried again and again.
                log(&format!(
                    "no update, because the trial cannot be recorded: {why}"
                ));
                if let Err(why) = self.slots.try_nothing() {
                    log(&why);
                }
                None
            }
        }
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
