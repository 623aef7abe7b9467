//! Updates from USB sticks, where the board file allows them: a FAT volume with `eyelet-update.img` in its topmost folder,
//! there at start or plugged in later.
//!
//! A system is put into the idle slot when it is none that runs, and none that was tried from a stick before: one that did
//! not hold would otherwise be tried for ever. Where the system that runs has a public key, the image must be signed by it
//! ([`crate::update::signature`]). A disk with the signature of `eyelet image` is no stick: an old card in a
//! reader must not become the board's system.

use super::card::{self, Disk};
use super::keeper::Keeper;
use super::slots::{Found, Slots};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Disks are looked for so often.
const PERIOD: Duration = Duration::from_secs(2);

/// Looks for updates.
pub struct Sticks {
    /// The card, which is none.
    pub slots: Slots,
    /// Remembers what was tried.
    pub keeper: Keeper,
    /// The id of the system that runs.
    pub running_id: String,
    /// False while the running system is on trial itself.
    pub is_settled: Arc<AtomicBool>,
}

impl Sticks {
    /// Looks at each disk that is there or comes, until an update is installed; returns why the board is to reboot.
    pub fn watch(&self, sys: &Path, dev: &Path, mut tell: impl FnMut(&str)) -> String {
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
                if let Some(why) = self.look_at(&volumes(sys, &disk.0), &mut tell) {
                    return why;
                }
            }
        }
    }

    /// Disks with something in them that are not the card, nor one like it.
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

    fn look_at(&self, volumes: &[PathBuf], tell: &mut impl FnMut(&str)) -> Option<String> {
        for volume in volumes {
            match self.slots.find(volume) {
                Ok(None) => {}
                Ok(Some(found)) => return self.take(volume, &found, tell),
                Err(why) => tell(&format!("no update is taken: {why}")),
            }
        }
        None
    }

    /// Installs `found`, unless there is a reason not to.
    fn take(&self, volume: &Path, found: &Found, tell: &mut impl FnMut(&str)) -> Option<String> {
        let Found { id, version } = found;
        let place = volume.display();
        if *id == self.running_id {
            tell(&format!("system {version} on {place} is the one that runs"));
            return None;
        }
        match self.keeper.tried() {
            Ok(tried) if tried.contains(id) => {
                tell(&format!(
                    "system {version} on {place} was tried before and did not hold; it is not tried again"
                ));
                return None;
            }
            // A volume that cannot be used is made anew below.
            Ok(_) | Err(_) => {}
        }
        let slot = self.slots.slot.other().letter();
        tell(&format!(
            "update: putting system {version} from {place} into slot {slot}"
        ));
        let told = match self.slots.install(volume) {
            Ok(said) => self.keeper.note_tried(id, &mut *tell).map(|()| said),
            Err(why) => {
                tell(&format!("no update: {why}"));
                return None;
            }
        };
        match told {
            Ok(said) => {
                tell(&format!("update: {said}"));
                Some(format!("update: system {version} is tried in slot {slot}"))
            }
            Err(why) => {
                // Without a memory of it a system that does not hold would be tried again and again.
                tell(&format!(
                    "no update, because it cannot be remembered: {why}"
                ));
                if let Err(why) = self.slots.try_nothing() {
                    tell(&why);
                }
                None
            }
        }
    }
}

/// The kernel's number of a disk, which no other has since it started: a stick that is pulled out and another one put in between
/// two looks have the same name. Empty where the kernel (before 5.15) has none.
fn sequence(sys: &Path, disk: &Disk) -> String {
    let file = sys.join("block").join(&disk.name).join("diskseq");
    std::fs::read_to_string(file).unwrap_or_default()
}

/// The devices of a disk that may be volumes: itself, and its partitions.
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
