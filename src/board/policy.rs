//! `[policy]`: what a board does when something is wrong, and how long it may go without finishing a frame.
//!
//! The table applies to a board that runs `eyelet` as its init, and under a service manager that asks for notifications. A
//! missing key or table means the defaults; they are documented in `boards/README.md`.

use crate::limits::{self, Whole};
use crate::toml_file::Table;
use std::time::Duration;

/// `[policy]`
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The board is reset after this long without a finished frame; zero disables the watchdog.
    pub watchdog: Duration,
    /// How long the program may take until its first finished frame (not counting the wait for a missing camera).
    pub start: Duration,
    /// A newly installed update is kept once frames have been finished for this long.
    pub trial: Duration,
    /// The frame rate of [`Action::Degrade`].
    pub degraded_rate_fps: f32,
    /// What to do when the program exits by itself again and again.
    pub failures: Failures,
    /// No frames arrive.
    pub camera_lost: Rule,
    /// Nothing can be shown.
    pub display_lost: Rule,
    /// The processor is too hot.
    pub hot: Hot,
    /// The supply voltage is too low.
    pub power_low: Rule,
    /// The memory pool is almost full.
    pub memory_low: MemoryLow,
}

/// What to do about a problem besides reporting it on log and display, which always happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing more; whatever can be retried is retried, for ever.
    Retry,
    /// Run at a lower frame rate while it lasts.
    Degrade,
    /// Reboot once it has lasted for the rule's time.
    Reboot,
}

/// The rule for one problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// What to do.
    pub action: Action,
    /// How long the trouble must last before a reboot.
    pub after: Duration,
}

/// `[policy.program_fails]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    /// `Retry` or `Reboot`.
    pub action: Action,
    /// This many exits...
    pub count: u32,
    /// ...within this time are too many.
    pub within: Duration,
}

/// `[policy.hot]`
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hot {
    /// What to do.
    pub rule: Rule,
    /// At or above this temperature it is hot; 5 degrees below, it no longer is.
    pub at_celsius: f32,
}

/// `[policy.memory_low]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLow {
    /// What to do.
    pub rule: Rule,
    /// The fill level that counts as almost full, in percent of the pool.
    pub at_percent: u32,
}

/// The values of `do` for problems that are retried, and for those that are only reported.
const RETRY: [(&str, Action); 2] = [("retry", Action::Retry), ("reboot", Action::Reboot)];
const TELL: [(&str, Action); 2] = [("tell", Action::Retry), ("reboot", Action::Reboot)];
const TELL_OR_DEGRADE: [(&str, Action); 3] = [
    ("tell", Action::Retry),
    ("degrade", Action::Degrade),
    ("reboot", Action::Reboot),
];

impl Default for Policy {
    /// The defaults for everything that `[policy]` leaves out.
    fn default() -> Self {
        let rule = |action, after_s| Rule {
            action,
            after: Duration::from_secs(after_s),
        };
        Self {
            watchdog: Duration::from_secs(15),
            start: Duration::from_secs(60),
            trial: Duration::from_secs(60),
            degraded_rate_fps: 5.0,
            failures: Failures {
                action: Action::Reboot,
                count: 10,
                within: Duration::from_secs(600),
            },
            camera_lost: rule(Action::Retry, 300),
            display_lost: rule(Action::Retry, 300),
            hot: Hot {
                rule: rule(Action::Retry, 300),
                at_celsius: 80.0,
            },
            power_low: rule(Action::Retry, 300),
            memory_low: MemoryLow {
                rule: rule(Action::Retry, 60),
                at_percent: 95,
            },
        }
    }
}

impl Policy {
    /// Reads the board file's `[policy]`.
    pub(super) fn read(top: &mut Table<'_, '_>) -> Self {
        let default = Self::default();
        let Some(mut table) = top.table("policy") else {
            return default;
        };
        Self {
            watchdog: watchdog(&mut table, default.watchdog),
            start: seconds(&mut table, "start_s", limits::START_S, default.start),
            trial: seconds(&mut table, "trial_s", limits::START_S, default.trial),
            degraded_rate_fps: table
                .number("degraded_rate_fps", limits::DEGRADED_RATE_FPS)
                .unwrap_or(default.degraded_rate_fps),
            failures: failures(&mut table, default.failures),
            camera_lost: named_rule(&mut table, "camera_lost", &RETRY, default.camera_lost),
            display_lost: named_rule(&mut table, "display_lost", &RETRY, default.display_lost),
            hot: hot(&mut table, default.hot),
            power_low: named_rule(&mut table, "power_low", &TELL_OR_DEGRADE, default.power_low),
            memory_low: memory_low(&mut table, default.memory_low),
        }
    }
}

fn seconds(table: &mut Table<'_, '_>, key: &str, range: Whole, default: Duration) -> Duration {
    table.seconds(key, range).unwrap_or(default)
}

fn watchdog(table: &mut Table<'_, '_>, default: Duration) -> Duration {
    let Whole { least, most } = limits::WATCHDOG_S;
    let watchdog = seconds(table, "watchdog_s", Whole { least: 0, most }, default);
    if (1..least).contains(&watchdog.as_secs()) {
        table.fault(
            "watchdog_s",
            format_args!(
                "is {}, needs 0 (no watchdog) or {least} to {most}: a slow card alone may take 4 s",
                watchdog.as_secs()
            ),
        );
    }
    watchdog
}

fn rule(table: &mut Table<'_, '_>, words: &[(&str, Action)], default: Rule) -> Rule {
    Rule {
        action: table.word("do", words).unwrap_or(default.action),
        after: seconds(table, "after_s", limits::AFTER_S, default.after),
    }
}

fn named_rule(
    table: &mut Table<'_, '_>,
    key: &str,
    words: &[(&str, Action)],
    default: Rule,
) -> Rule {
    match table.table(key) {
        Some(mut table) => rule(&mut table, words, default),
        None => default,
    }
}

fn failures(table: &mut Table<'_, '_>, default: Failures) -> Failures {
    let Some(mut table) = table.table("program_fails") else {
        return default;
    };
    Failures {
        action: table.word("do", &RETRY).unwrap_or(default.action),
        count: table
            .integer_u32("count", limits::FAILURE_COUNT)
            .unwrap_or(default.count),
        within: seconds(&mut table, "within_s", limits::WITHIN_S, default.within),
    }
}

fn hot(table: &mut Table<'_, '_>, default: Hot) -> Hot {
    let Some(mut table) = table.table("hot") else {
        return default;
    };
    Hot {
        rule: rule(&mut table, &TELL_OR_DEGRADE, default.rule),
        at_celsius: table
            .number("at_celsius", limits::AT_CELSIUS)
            .unwrap_or(default.at_celsius),
    }
}

fn memory_low(table: &mut Table<'_, '_>, default: MemoryLow) -> MemoryLow {
    let Some(mut table) = table.table("memory_low") else {
        return default;
    };
    MemoryLow {
        rule: rule(&mut table, &TELL, default.rule),
        at_percent: table
            .integer_u32("at_percent", limits::AT_PERCENT)
            .unwrap_or(default.at_percent),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::toml_file;

    fn read(text: &str) -> Result<Policy, toml_file::Faults> {
        toml_file::read("board.toml", text, |top| Some(Policy::read(top)))
    }

    #[test]
    fn omitted_keys_have_their_default() {
        assert_eq!(read("").unwrap(), Policy::default());
        let policy = read(
            "[policy]\nwatchdog_s = 30\ndegraded_rate_fps = 2.5\n[policy.camera_lost]\ndo = \"reboot\"\nafter_s = 120\n\
             [policy.hot]\ndo = \"degrade\"",
        )
        .unwrap();
        assert_eq!(
            policy,
            Policy {
                watchdog: Duration::from_secs(30),
                camera_lost: Rule {
                    action: Action::Reboot,
                    after: Duration::from_secs(120)
                },
                hot: Hot {
                    rule: Rule {
                        action: Action::Degrade,
                        ..Policy::default().hot.rule
                    },
                    ..Policy::default().hot
                },
                degraded_rate_fps: 2.5,
                ..Policy::default()
            }
        );
    }

    #[test]
    fn each_fault_is_reported_with_its_key() {
        let faults = read(
            "[policy]\nwatchdog_s = -1\nstart = 5\n[policy.camera_lost]\ndo = \"degrade\"\n\
             [policy.memory_low]\nat_percent = 101",
        )
        .unwrap_err();
        for seconds in [1, 4] {
            let faults = read(&format!("[policy]\nwatchdog_s = {seconds}")).unwrap_err();
            assert!(faults.lines[0].contains("needs 0 (no watchdog) or 5 to 300"));
        }
        for seconds in [0, 5, 300] {
            assert!(read(&format!("[policy]\nwatchdog_s = {seconds}")).is_ok());
        }
        let keys: Vec<&str> = faults
            .lines
            .iter()
            .map(|line| line.split(": ").nth(1).unwrap())
            .collect();
        assert_eq!(
            keys,
            [
                "policy.watchdog_s",
                "policy.start",
                "policy.camera_lost.do",
                "policy.memory_low.at_percent"
            ]
        );
    }
}
