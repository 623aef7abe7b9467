//! The data partition as the first program uses it: each operation in a separate process with a time limit; if one fails, the
//! volume is formatted again.

use super::child;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A card needs milliseconds for each operation; a damaged volume may never finish.
const PATIENCE: Duration = Duration::from_secs(4);

/// The data partition, and the program that handles it.
#[derive(Debug, Clone)]
pub struct Keeper {
    program: PathBuf,
    device: PathBuf,
}

impl Keeper {
    /// Handles the data partition `device` with `program`.
    pub fn new(program: &Path, device: &Path) -> Self {
        Self {
            program: program.to_owned(),
            device: device.to_owned(),
        }
    }

    /// Reads the reason for the last reboot and deletes it. An unusable volume is formatted again and logged. Writes nothing if
    /// there is no reason and the volume is intact.
    pub fn take_reason(&self, mut log: impl FnMut(&str)) -> Option<String> {
        let reason = match self.run("tell", "", &[]) {
            Ok(reason) => reason,
            Err(why) => {
                self.format(&why, &mut log);
                return None;
            }
        };
        let reason = reason.trim();
        if reason.is_empty() {
            return None;
        }
        if let Err(why) = self.run("forget", "", &[]) {
            self.format(&why, &mut log);
        }
        Some(reason.to_owned())
    }

    /// Saves a reason and the log; formats an unusable volume first.
    pub fn keep(&self, reason: &str, journal: &[u8], mut log: impl FnMut(&str)) {
        if let Err(why) = self.run("put", reason, journal) {
            self.format(&why, &mut log);
            if let Err(why) = self.run("put", reason, journal) {
                log(&format!("the reason was not saved: {why}"));
            }
        }
    }

    /// Deletes a reason whose reset did not happen.
    pub fn forget(&self, mut log: impl FnMut(&str)) {
        if let Err(why) = self.run("forget", "", &[]) {
            log(&format!("an obsolete reason was not deleted: {why}"));
        }
    }

    fn format(&self, why: &str, log: &mut impl FnMut(&str)) {
        log(&format!("{why}; formatting the data partition"));
        if let Err(why) = self.run("format", "", &[]) {
            log(&format!("cannot format the data partition: {why}"));
        }
    }

    /// The ids of systems that were tried.
    pub fn tried(&self) -> Result<Vec<String>, String> {
        let ids = self.run("tried", "", &[])?;
        Ok(ids.lines().map(str::to_owned).collect())
    }

    /// Records that the system `id` was tried; formats an unusable volume first.
    ///
    /// # Errors
    /// Why it cannot be recorded.
    pub fn note_tried(&self, id: &str, mut log: impl FnMut(&str)) -> Result<(), String> {
        if let Err(why) = self.run("note-tried", id, &[]) {
            self.format(&why, &mut log);
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
