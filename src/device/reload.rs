//! SIGHUP: rereads the board file. Thresholds, also those of single classes, and the policy are applied while running; other
//! changes are logged as needing a restart. A file with a fault, which could not be started with, changes nothing.

use super::Device;
use crate::Failure;
use crate::board::Board;
use crate::board::labelling;
use crate::decide::{Classes, DecideConfig};
use crate::model::find;
use std::sync::atomic::AtomicBool;

/// Rereads the board on request.
pub struct Reload<'a> {
    /// Becomes true on request (a signal).
    pub wanted: &'a AtomicBool,
    /// The current board, with the command line's overrides.
    pub read: &'a dyn Fn() -> Result<Board, Failure>,
}

impl std::fmt::Debug for Reload<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reload")
            .field("wanted", self.wanted)
            .finish()
    }
}

impl Device {
    /// Applies what may change while frames are classified.
    pub(super) fn reload(&mut self, reload: &Reload<'_>) {
        let checked = (reload.read)().and_then(|new| Ok((self.new_classes(&new)?, new)));
        let (classes, new) = match checked {
            Ok(checked) => checked,
            Err(failure) => {
                log::error!(
                    "reread the board file: {failure}; nothing is applied, the board continues as before"
                );
                return;
            }
        };
        let mut taken = Vec::new();
        let decide = DecideConfig {
            unknown_label: self.board.decide.unknown_label.clone(),
            classes: match &classes {
                Some(_) => new.decide.classes.clone(),
                None => self.board.decide.classes.clone(),
            },
            ..new.decide.clone()
        };
        if decide != self.board.decide {
            let classes = classes.unwrap_or_else(|| self.views.classes());
            self.views.follow(&decide, &classes);
            self.board.decide = decide;
            taken.push("decide");
        }
        let restart = needing_restart(&self.board, &new);
        let mut policy = new.policy.clone();
        policy.watchdog = self.board.policy.watchdog;
        if policy != self.board.policy {
            self.care.follow(policy.clone());
            self.board.policy = policy;
            taken.push("policy");
        }
        let taken = match taken.is_empty() {
            true => "nothing that applies without a restart has changed".to_owned(),
            false => format!("{} applied", taken.join(" and ")),
        };
        log::info!("reread the board file: {taken}");
        if !restart.is_empty() {
            log::warn!(
                "these have changed and need a restart: {}",
                restart.join(", ")
            );
        }
    }

    /// The new rules for single classes, if they apply without a restart: the same classes are ignored and merged.
    ///
    /// # Errors
    /// A rule names no class of the model, or the board names another model, which is not here.
    fn new_classes(&self, new: &Board) -> Result<Option<Classes>, Failure> {
        if new.model != self.board.model {
            // Its classes are known after the restart.
            find::locate(&new.model)?;
            return Ok(None);
        }
        let (name, labels) = &self.classes_of;
        let classes = labelling::classes(new, name, labels)?;
        Ok(self.views.classes().with_rules_of(&classes))
    }
}

/// The changed keys that are read only at start.
fn needing_restart(old: &Board, new: &Board) -> Vec<&'static str> {
    let keys = [
        ("model", old.model != new.model),
        ("precision", old.precision != new.precision),
        ("threads", old.threads != new.threads),
        ("pool_mib", old.pool != new.pool),
        ("camera", old.camera != new.camera),
        (
            "mount",
            old.mount != new.mount || old.regions != new.regions,
        ),
        (
            "decide.unknown_label",
            old.decide.unknown_label != new.decide.unknown_label,
        ),
        (
            "decide.class, decide.ignore or decide.merge",
            old.decide.classes != new.decide.classes,
        ),
        (
            "display",
            old.displays != new.displays || old.font != new.font,
        ),
        (
            "policy.watchdog_s",
            old.policy.watchdog != new.policy.watchdog,
        ),
        ("firmware", old.firmware != new.firmware),
    ];
    let changed = keys.into_iter().filter(|(_, changed)| *changed);
    changed.map(|(key, _)| key).collect()
}
