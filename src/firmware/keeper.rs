//! The data partition as the first program uses it: each thing by a process of its own, with a time limit, and the volume
//! made anew when that fails.

use super::child;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A card needs milliseconds for what is asked of it; a damaged volume may need for ever.
const PATIENCE: Duration = Duration::from_secs(4);

/// The data partition, and the program that handles it.
#[derive(Debug, Clone)]
pub struct Keeper {
    program: PathBuf,
    device: PathBuf,
}

impl Keeper {
    /// With this program and device.
    pub fn new(program: &Path, device: &Path) -> Self {
        Self {
            program: program.to_owned(),
            device: device.to_owned(),
        }
    }

    /// The reason of the last reboot, which is forgotten by that. A volume that cannot be used is made anew, and `tell`
    /// hears of it. Nothing is written where there is no reason and the volume is sound.
    pub fn take_reason(&self, mut tell: impl FnMut(&str)) -> Option<String> {
        let reason = match self.run("tell", "", &[]) {
            Ok(reason) => reason,
            Err(why) => {
                self.format(&why, &mut tell);
                return None;
            }
        };
        let reason = reason.trim();
        if reason.is_empty() {
            return None;
        }
        if let Err(why) = self.run("forget", "", &[]) {
            self.format(&why, &mut tell);
        }
        Some(reason.to_owned())
    }

    /// Keeps a reason and the log; on a volume that cannot be used, after making it anew.
    pub fn keep(&self, reason: &str, log: &[u8], mut tell: impl FnMut(&str)) {
        if let Err(why) = self.run("put", reason, log) {
            self.format(&why, &mut tell);
            if let Err(why) = self.run("put", reason, log) {
                tell(&format!("the reason is not kept: {why}"));
            }
        }
    }

    /// Forgets a reason that did not come true.
    pub fn forget(&self, mut tell: impl FnMut(&str)) {
        if let Err(why) = self.run("forget", "", &[]) {
            tell(&format!("a reason is kept that was none: {why}"));
        }
    }

    fn format(&self, why: &str, tell: &mut impl FnMut(&str)) {
        tell(&format!("{why}; making the data partition anew, empty"));
        if let Err(why) = self.run("format", "", &[]) {
            tell(&format!("the data partition cannot be made anew: {why}"));
        }
    }

    /// The ids of systems that were tried.
    pub fn tried(&self) -> Result<Vec<String>, String> {
        let ids = self.run("tried", "", &[])?;
        Ok(ids.lines().map(str::to_owned).collect())
    }

    /// Keeps that the system `id` was tried; on a volume that cannot be used, after making it anew.
    ///
    /// # Errors
    /// Why it cannot be kept.
    pub fn note_tried(&self, id: &str, mut tell: impl FnMut(&str)) -> Result<(), String> {
        if let Err(why) = self.run("note-tried", id, &[]) {
            self.format(&why, &mut tell);
            self.run("note-tried", id, &[])?;
        }
        Ok(())
    }

    /// Runs `eyelet keep`.
    fn run(&self, what: &str, reason: &str, input: &[u8]) -> Result<String, String> {
        let arguments = [
            "keep".as_ref(),
            what.as_ref(),
            self.device.as_os_str(),
            reason.as_ref(),
        ];
        let whole = format!("data partition {}", self.device.display());
        child::run(&self.program, &arguments, input, PATIENCE, &whole)
    }
}
