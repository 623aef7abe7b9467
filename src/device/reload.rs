//! SIGHUP: rereads the board file. Thresholds, also those of single classes, and the policy are applied while running, except for
//! what of it is for whatever supervises this program; other changes are logged as needing a restart. A file with a fault, which
//! could not be started with, changes nothing.

use super::Device;
use crate::Failure;
use crate::board::Board;
use crate::board::labelling;
use crate::board::policy::Policy;
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
        let supervision = of_supervisor(&self.board.policy, &new.policy);
        let Policy {
            watchdog,
            start,
            trial,
            failures,
            ..
        } = self.board.policy;
        let policy = Policy {
            watchdog,
            start,
            trial,
            failures,
            ..new.policy
        };
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
        if !supervision.is_empty() {
            let advice = advice_on(&supervision, self.care.is_of_a_card());
            log::warn!("these have changed and {advice}");
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
        ("firmware", old.firmware != new.firmware),
    ];
    changed(keys)
}

/// The changed keys of a policy that are for what supervises the program: on a card the first program, which reads them when it starts.
fn of_supervisor(old: &Policy, new: &Policy) -> Vec<&'static str> {
    changed([
        ("policy.watchdog_s", old.watchdog != new.watchdog),
        ("policy.start_s", old.start != new.start),
        ("policy.trial_s", old.trial != new.trial),
        ("policy.program_fails", old.failures != new.failures),
    ])
}

/// What to do with the changed `keys` that are for the supervisor.
fn advice_on(keys: &[&str], is_of_a_card: bool) -> String {
    let keys = keys.join(", ");
    match is_of_a_card {
        true => format!(
            "are read when the board boots: {keys}; make or update the card with this board file"
        ),
        false => format!(
            "act only on a card whose only program is Eyelet: {keys}; a service has WatchdogSec=, TimeoutStartSec=, Restart= and \
             RestartSec= instead (`systemctl edit eyelet`)"
        ),
    }
}

fn changed<const N: usize>(keys: [(&'static str, bool); N]) -> Vec<&'static str> {
    let changed = keys.into_iter().filter(|(_, changed)| *changed);
    changed.map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_for_the_supervisor_needs_more_than_a_restart() {
        let old = Policy::default();
        let mut new = Policy {
            start: Duration::from_secs(7),
            degraded_rate_fps: 1.0,
            ..old.clone()
        };
        new.failures.count += 1;
        let keys = of_supervisor(&old, &new);
        assert_eq!(keys, ["policy.start_s", "policy.program_fails"]);
        assert!(of_supervisor(&old, &old).is_empty());
        let on_a_card = advice_on(&keys, true);
        assert!(
            on_a_card.contains("when the board boots: policy.start_s, policy.program_fails;"),
            "{on_a_card}"
        );
        assert!(advice_on(&keys, false).contains("TimeoutStartSec="));
    }
}
