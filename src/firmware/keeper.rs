//! The data partition as the first program uses it: each operation in a separate process with a time limit. A volume that is
//! unusable is formatted again; one that merely gave no answer, or could not be written, is left alone.

use super::child::{self, Failed};
use super::data::PASSED;
use crate::Cause;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A card needs milliseconds for each operation; a damaged volume may never finish.
const PATIENCE: Duration = Duration::from_secs(4);
/// [`Keeper::keep`] returns within this time: it tries, formats, tries again.
pub const KEEP_PATIENCE: Duration = Duration::from_secs(13);

/// The data partition, and the program that handles it.
#[derive(Debug, Clone)]
pub struct Keeper {
    program: PathBuf,
    device: PathBuf,
    /// Two threads use the volume, and two processes that write it at once would damage it.
    turn: Arc<Mutex<()>>,
}

/// The ids of systems that were tried from a stick.
#[derive(Debug, Default)]
pub struct Tried {
    /// Those that did not pass.
    pub failed: Vec<String>,
    /// Those that did.
    pub passed: Vec<String>,
}

impl Tried {
    fn of(record: &str) -> Self {
        let mut tried = Self::default();
        for line in record.lines() {
            match line.strip_prefix(PASSED) {
                Some(id) => tried.passed.push(id.to_owned()),
                None => tried.failed.push(line.to_owned()),
            }
        }
        tried
    }
}

impl Keeper {
    /// Handles the data partition `device` with `program`.
    pub fn new(program: &Path, device: &Path) -> Self {
        Self {
            program: program.to_owned(),
            device: device.to_owned(),
            turn: Arc::default(),
        }
    }

    /// Reads the reason for the last reboot, if there is one, and deletes it. Writes nothing if there is none and the volume is
    /// usable.
    ///
    /// # Errors
    /// Why it cannot be read, which was logged.
    pub fn take_reason(&self, mut log: impl FnMut(&str)) -> Result<Option<String>, String> {
        let reason = self.run("tell", "", &[]).map_err(|failed| {
            self.format_if_unusable(&failed, &mut log);
            failed.message
        })?;
        let reason = reason.trim();
        if reason.is_empty() {
            return Ok(None);
        }
        if let Err(failed) = self.run("forget", "", &[]) {
            self.format_if_unusable(&failed, &mut log);
        }
        Ok(Some(reason.to_owned()))
    }

    /// Saves a reason and the log; returns whether they were saved.
    pub fn keep(&self, reason: &str, journal: &[u8], mut log: impl FnMut(&str)) -> bool {
        let saved = self.write("put", reason, journal, &mut log);
        if let Err(failed) = &saved {
            log(&format!("the reason was not saved: {}", failed.message));
        }
        saved.is_ok()
    }

    /// Deletes a reason whose reset did not happen.
    ///
    /// # Errors
    /// Why it was not deleted.
    pub fn forget(&self) -> Result<(), String> {
        self.run("forget", "", &[])?;
        Ok(())
    }

    /// The systems that were tried; none if the volume is unusable.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub fn tried(&self) -> Result<Tried, String> {
        match self.run("tried", "", &[]) {
            Ok(record) => Ok(Tried::of(&record)),
            Err(failed) if is_unusable(&failed) => Ok(Tried::default()),
            Err(failed) => Err(failed.message),
        }
    }

    /// Records that the system `id` was tried; formats an unusable volume first.
    ///
    /// # Errors
    /// Why it cannot be recorded.
    pub fn note_tried(&self, id: &str, mut log: impl FnMut(&str)) -> Result<(), String> {
        Ok(self.write("note-tried", id, &[], &mut log)?)
    }

    /// Records that the system `id` passed its trial.
    pub fn note_passed(&self, id: &str, mut log: impl FnMut(&str)) {
        if let Err(failed) = self.run("note-passed", id, &[]) {
            log(&format!(
                "this system will not be taken from a stick again, because its trial still counts as failed: {}",
                failed.message
            ));
        }
    }

    /// Writes to the volume; one that is unusable is formatted, and the writing is tried once more.
    fn write(
        &self,
        what: &str,
        words: &str,
        input: &[u8],
        log: &mut impl FnMut(&str),
    ) -> Result<(), Failed> {
        match self.run(what, words, input) {
            Err(failed) if is_unusable(&failed) => {
                self.format_if_unusable(&failed, log);
                self.run(what, words, input).map(|_| ())
            }
            result => result.map(|_| ()),
        }
    }

    fn format_if_unusable(&self, failed: &Failed, log: &mut impl FnMut(&str)) {
        let why = &failed.message;
        if !is_unusable(failed) {
            log(why);
            return;
        }
        log(&format!("{why}; formatting the data partition"));
        if let Err(failed) = self.run("format", "", &[]) {
            log(&format!(
                "cannot format the data partition: {}",
                failed.message
            ));
        }
    }

    /// Runs `eyelet keep`.
    fn run(&self, what: &str, words: &str, input: &[u8]) -> Result<String, Failed> {
        // An argument cannot contain it.
        let words = words.replace('\0', " ");
        let arguments = [
            "keep".as_ref(),
            what.as_ref(),
            self.device.as_os_str(),
            words.as_ref(),
        ];
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = format!("data partition {}", self.device.display());
        child::run(&self.program, &arguments, input, PATIENCE, &whole)
    }
}

fn is_unusable(failed: &Failed) -> bool {
    failed.code == Some(Cause::Volume as i32)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::firmware::fake::Program;

    /// A keeper whose program runs `script`, and the program.
    fn keeper(script: &str) -> (Keeper, Program) {
        let program = Program::new(script);
        (Keeper::new(&program.path, Path::new("data")), program)
    }

    #[test]
    fn only_an_unusable_volume_is_formatted() {
        for (code, does_format) in [(13, false), (15, true)] {
            let script = format!("[ $2 = format ] || {{ echo 'eyelet: no' >&2; exit {code}; }}");
            let (keeper, program) = keeper(&script);
            let mut lines = Vec::new();
            let reason = keeper.take_reason(|line| lines.push(line.to_owned()));
            assert_eq!(reason, Err("no".to_owned()));
            assert!(!keeper.keep("why", b"log", |line| lines.push(line.to_owned())));
            let tried = keeper.tried();
            assert_eq!(tried.is_ok(), does_format, "{tried:?}");
            assert!(keeper.note_tried("id", |_| {}).is_err());
            let commands = program.commands();
            let formats = commands.iter().filter(|line| line.contains("format"));
            assert_eq!(
                formats.count(),
                if does_format { 3 } else { 0 },
                "{commands:?}"
            );
            assert!(lines.last().unwrap().contains("not saved: no"), "{lines:?}");
        }
    }

    #[test]
    fn a_reason_that_cannot_be_deleted_is_still_told_and_a_saved_one_is_reported() {
        let (keeper, program) = keeper("case $2 in tell) echo why;; forget) exit 13;; esac");
        let reason = keeper.take_reason(|_| {});
        assert_eq!(reason, Ok(Some("why".to_owned())));
        assert!(keeper.keep("a\0b", b"log", |_| {}));
        assert_eq!(
            program.commands(),
            ["keep tell data", "keep forget data", "keep put data a b"]
        );
    }
}
