//! Whether the running slot is on trial, as far as is known.
//!
//! U-Boot says it on the kernel's command line. A Raspberry Pi's firmware says it in the device tree, if it is new enough; otherwise
//! the card says it, which is read only after all modules are loaded. A system whose modules or card fail must not escape its trial
//! by that: while nothing is known and the card is overdue, the slot is treated as one on trial.

use super::command_line::CommandLine;
use crate::update::Chooser;
use std::path::Path;
use std::time::Duration;

/// Where the Raspberry Pi's firmware says whether it was asked for a trial boot: a big-endian number of 32 bits, 0 or 1.
pub const OF_FIRMWARE: &str = "/proc/device-tree/chosen/bootloader/tryboot";
/// The card should have been read this long after the first program's start.
const CARD_PATIENCE: Duration = Duration::from_secs(30);
/// A trial that has passed waits this long for the card, on which it is confirmed.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(60);

/// What the card says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Card {
    /// The running slot boots by default.
    Default,
    /// Another slot boots by default.
    Trial,
    /// Nothing, for this reason.
    Silent(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not on trial, or not any more.
    Settled,
    /// Nothing is known until this time.
    Open { until: Duration },
    /// Treated as on trial, because it may be.
    Suspected,
    /// On trial.
    Certain,
}

/// What the first program must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Supervise as in a trial, and log this line.
    Begin(String),
    /// Supervise as the policy says.
    End,
}

/// What is known.
#[derive(Debug)]
pub struct Trial {
    state: State,
    /// Since when it could be confirmed.
    passed_at: Option<Duration>,
}

impl Trial {
    /// What is known at the start: from the kernel's command line and from the firmware's file.
    pub fn new(line: &CommandLine, firmware: &Path, now: Duration) -> Self {
        let is_pi = line.loader == Some(Chooser::PiFirmware) && line.slot.is_some();
        let of_firmware = is_pi.then(|| number(firmware)).flatten();
        let state = match of_firmware {
            _ if line.is_trial => State::Certain,
            Some(number) if number != 0 => State::Certain,
            None if is_pi => State::Open {
                until: now + CARD_PATIENCE,
            },
            _ => State::Settled,
        };
        Self {
            state,
            passed_at: None,
        }
    }

    /// Whether it is known that the slot is on trial.
    pub fn is_certain(&self) -> bool {
        self.state == State::Certain
    }

    /// The card was read, or was not.
    pub fn learn(&mut self, card: Card) -> Option<Change> {
        match (card, self.state) {
            (Card::Trial, State::Settled | State::Open { .. } | State::Suspected) => {
                self.state = State::Certain;
                let line = "this slot is on trial: it does not boot by default yet";
                Some(Change::Begin(line.to_owned()))
            }
            (Card::Default, State::Open { .. } | State::Suspected) => {
                *self = Self {
                    state: State::Settled,
                    passed_at: None,
                };
                Some(Change::End)
            }
            (Card::Silent(why), State::Open { .. }) => Some(self.suspect(&why)),
            _ => None,
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) -> Option<Change> {
        match self.state {
            State::Open { until } if now >= until => {
                let seconds = CARD_PATIENCE.as_secs();
                Some(self.suspect(&format!("the card was not read within {seconds} s")))
            }
            _ => None,
        }
    }

    fn suspect(&mut self, why: &str) -> Change {
        self.state = State::Suspected;
        Change::Begin(format!(
            "cannot tell whether this slot is on trial: {why}; it is treated as if it were"
        ))
    }

    /// The slot has worked for long enough.
    pub fn passed(&mut self, now: Duration) {
        self.passed_at.get_or_insert(now);
    }

    /// Whether the slot must be confirmed now, which is said once. Without the card, which may have to be waited for, that fails.
    pub fn wants_confirmation(&mut self, is_card_search_over: bool, now: Duration) -> bool {
        let is_due = |at: &mut Duration| is_card_search_over || now - *at >= CONFIRM_PATIENCE;
        self.passed_at.take_if(is_due).is_some()
    }

    /// The slot could not be confirmed. True if the board must leave it. One that was only suspected stays: it may be the default,
    /// and then the board would reboot for ever; if it is not, the next start is the old system.
    pub fn cannot_be_confirmed(&mut self) -> bool {
        let was_certain = self.is_certain();
        self.state = State::Settled;
        was_certain
    }

    /// The slot boots by default from now on.
    pub fn settle(&mut self) {
        self.state = State::Settled;
    }
}

/// The number in a file of the device tree; `None` if there is none.
fn number(file: &Path) -> Option<u32> {
    let bytes = std::fs::read(file).ok()?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const START: Duration = Duration::from_secs(2);
    const LATE: Duration = Duration::from_secs(32);

    fn of(words: &str, firmware: Option<&[u8]>) -> Trial {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tryboot");
        if let Some(bytes) = firmware {
            std::fs::write(&file, bytes).unwrap();
        }
        let line = CommandLine::of_text(&format!("eyelet.slot=b {words}"));
        Trial::new(&line, &file, START)
    }

    fn begins(change: Option<Change>, why: &str) {
        match change {
            Some(Change::Begin(line)) => assert!(line.contains(why), "{line}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_or_the_firmware_says_it_before_anything_can_hang() {
        assert!(of("eyelet.loader=u-boot eyelet.trial=1", None).is_certain());
        assert!(of("eyelet.loader=pi", Some(&[0, 0, 0, 1])).is_certain());
        let mut none = of("eyelet.loader=u-boot", Some(&[0, 0, 0, 1]));
        assert!(!none.is_certain());
        assert_eq!(none.tick(LATE), None);
        // The firmware says that it is not a trial, so a card that cannot be read does not matter.
        let mut none = of("eyelet.loader=pi", Some(&[0, 0, 0, 0]));
        assert_eq!(none.learn(Card::Silent("dead".into())), None);
        assert_eq!(none.tick(LATE), None);
        begins(none.learn(Card::Trial), "does not boot by default");
    }

    #[test]
    fn modules_that_hang_and_a_card_that_is_not_found_are_a_trial_on_a_pi() {
        for odd in [None, Some(&[1][..])] {
            let mut trial = of("eyelet.loader=pi", odd);
            assert!(!trial.is_certain());
            assert_eq!(trial.tick(START), None);
            begins(trial.tick(LATE), "not read within 30 s");
            assert_eq!(trial.tick(LATE), None, "once");
            assert_eq!(trial.learn(Card::Silent("dead".into())), None);
            assert_eq!(trial.learn(Card::Default), Some(Change::End));
            assert_eq!(trial.tick(LATE), None);
        }
        let mut trial = of("eyelet.loader=pi", None);
        begins(trial.learn(Card::Silent("dead".into())), "on trial: dead;");
        begins(trial.learn(Card::Trial), "does not boot by default");
        assert!(trial.is_certain());
        assert_eq!(trial.learn(Card::Default), None);
    }

    #[test]
    fn a_trial_that_passed_waits_for_the_card_and_only_a_certain_one_needs_it() {
        let mut trial = of("eyelet.trial=1", None);
        assert!(!trial.wants_confirmation(true, START), "not passed");
        trial.passed(START);
        trial.passed(LATE);
        assert!(!trial.wants_confirmation(false, LATE));
        assert!(trial.wants_confirmation(true, LATE));
        assert!(!trial.wants_confirmation(true, LATE), "once");
        trial.passed(START);
        assert!(trial.wants_confirmation(false, START + CONFIRM_PATIENCE));
        assert!(trial.cannot_be_confirmed());

        // A late card says that there was nothing to confirm.
        let mut trial = of("eyelet.loader=pi", None);
        begins(trial.tick(LATE), "not read");
        trial.passed(LATE);
        assert_eq!(trial.learn(Card::Default), Some(Change::End));
        assert!(!trial.wants_confirmation(true, LATE));

        let mut trial = of("eyelet.loader=pi", None);
        begins(trial.learn(Card::Silent("dead".into())), "dead");
        assert!(!trial.cannot_be_confirmed());
        assert_eq!(trial.tick(LATE), None, "not suspected again");
    }
}
