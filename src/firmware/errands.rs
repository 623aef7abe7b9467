//! Writes to the data partition beside the loop: a slow card takes seconds, a dead one never answers, and the watchdog must be fed
//! meanwhile. One thread does this, in order; every wait for it has a limit.

use super::End;
use super::keeper::{KEEP_PATIENCE, Keeper};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

/// A reboot waits this long for the data partition to be found, to save its reason there.
const FIND_PATIENCE: Duration = Duration::from_secs(6);
/// An obsolete reason that could not be deleted is tried again this often: the next start would believe it.
const AGAIN: Duration = Duration::from_secs(60);

enum Errand {
    Keep {
        reason: String,
        log: Vec<u8>,
        is_saved: Sender<bool>,
    },
    Forget,
    NotePassed(String),
}

/// The thread.
pub struct Errands {
    sender: Sender<Errand>,
}

impl Errands {
    /// Starts the thread; `log` is called for what goes wrong.
    ///
    /// # Errors
    /// The system's.
    pub fn begin(keeper: Keeper, log: impl Fn(&str) + Send + 'static) -> io::Result<Self> {
        Self::begin_with(keeper, AGAIN, log)
    }

    /// The same with another time for [`AGAIN`].
    fn begin_with(
        keeper: Keeper,
        again: Duration,
        log: impl Fn(&str) + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, errands) = channel();
        std::thread::Builder::new()
            .name("errands".into())
            .spawn(move || run(&keeper, &errands, again, &log))?;
        Ok(Self { sender })
    }

    /// Saves a reason and the log. The receiver gets whether they were saved.
    pub fn keep(&self, reason: &str, log: Vec<u8>) -> Receiver<bool> {
        let (is_saved, receiver) = channel();
        self.order(Errand::Keep {
            reason: reason.to_owned(),
            log,
            is_saved,
        });
        receiver
    }

    /// Deletes the reason.
    pub fn forget(&self) {
        self.order(Errand::Forget);
    }

    /// Records that a system passed its trial.
    pub fn note_passed(&self, id: &str) {
        self.order(Errand::NotePassed(id.to_owned()));
    }

    fn order(&self, errand: Errand) {
        // The thread ends only with the process.
        let _ = self.sender.send(errand);
    }
}

/// Does what is ordered, until nobody can order any more.
fn run(keeper: &Keeper, errands: &Receiver<Errand>, again: Duration, log: &impl Fn(&str)) {
    // An obsolete reason may be on the card.
    let mut is_obsolete = false;
    loop {
        let errand = match is_obsolete {
            true => errands.recv_timeout(again),
            false => errands.recv().map_err(RecvTimeoutError::from),
        };
        match errand {
            Ok(Errand::Keep {
                reason,
                log: journal,
                is_saved,
            }) => {
                let is_kept = keeper.keep(&reason, &journal, log);
                // Whoever ordered it may have given up.
                let _ = is_saved.send(is_kept);
                is_obsolete = is_obsolete && !is_kept && !forget(keeper, true, log);
            }
            Ok(Errand::Forget) | Err(RecvTimeoutError::Timeout) => {
                is_obsolete = !forget(keeper, is_obsolete, log);
            }
            Ok(Errand::NotePassed(id)) => keeper.note_passed(&id, log),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Whether the obsolete reason was deleted. Repeated failures are logged once.
fn forget(keeper: &Keeper, is_again: bool, log: &impl Fn(&str)) -> bool {
    let deleted = keeper.forget();
    match &deleted {
        Err(why) if !is_again => log(&format!(
            "an obsolete reason was not deleted: {why}; trying again until it is"
        )),
        Ok(()) if is_again => log("the obsolete reason is deleted"),
        _ => {}
    }
    deleted.is_ok()
}

/// A shutdown that waits until its reason is saved.
pub struct Departure {
    /// Why.
    pub reason: String,
    /// How.
    pub end: End,
    since: Duration,
    /// Since when the reason is being saved.
    saving: Option<(Receiver<bool>, Duration)>,
}

impl Departure {
    /// A shutdown that is due now.
    pub fn new(reason: String, end: End, now: Duration) -> Self {
        Self {
            reason,
            end,
            since: now,
            saving: None,
        }
    }

    /// Whether the reason was saved; `None` while that is unknown. Without `errands` the data partition was not found; the search
    /// may go on unless `is_search_over`. `log` is what is saved with the reason.
    pub fn is_saved(
        &mut self,
        errands: Option<&Errands>,
        is_search_over: bool,
        now: Duration,
        log: impl FnOnce() -> Vec<u8>,
    ) -> Option<bool> {
        if self.saving.is_none() {
            let Some(errands) = errands else {
                let is_over = is_search_over || now - self.since > FIND_PATIENCE;
                return is_over.then_some(false);
            };
            self.saving = Some((errands.keep(&self.reason, log()), now));
        }
        let (receiver, began) = self.saving.as_ref()?;
        match receiver.try_recv() {
            Ok(is_saved) => Some(is_saved),
            Err(TryRecvError::Empty) if now - *began < KEEP_PATIENCE => None,
            Err(_) => Some(false),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::firmware::fake::Program;
    use std::path::Path;
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    const START: Duration = Duration::from_secs(100);

    fn errands(script: &str) -> (Errands, Program) {
        let program = Program::new(script);
        let keeper = Keeper::new(&program.path, Path::new("data"));
        (Errands::begin(keeper, |_| {}).unwrap(), program)
    }

    #[test]
    fn the_loop_goes_on_while_a_reason_is_saved_and_the_order_is_kept() {
        // The first one lasts until the test ends it.
        let script = "if [ $2 = put ]; then while [ ! -e $folder/go ]; do sleep 0.01; done; fi";
        let (errands, program) = errands(script);
        let mut departure = Departure::new("why".into(), End::Reboot, START);
        let is_saved = |departure: &mut Departure, now| {
            departure.is_saved(Some(&errands), true, now, Vec::new)
        };
        assert_eq!(is_saved(&mut departure, START), None);
        errands.forget();
        errands.note_passed("id");
        assert_eq!(is_saved(&mut departure, START), None);
        std::fs::write(program.folder.path().join("go"), "").unwrap();
        let began = Instant::now();
        while is_saved(&mut departure, START).is_none() {
            assert!(began.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(5));
        }
        while program.commands().len() < 3 {
            assert!(began.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(5));
        }
        let expected = [
            "keep put data why",
            "keep forget data",
            "keep note-passed data id",
        ];
        assert_eq!(program.commands(), expected);
    }

    /// A command that was killed may still write a reason when the card comes back.
    #[test]
    fn an_obsolete_reason_is_deleted_as_soon_as_the_card_allows() {
        let wait_for = |program: &Program, count: usize| {
            let began = Instant::now();
            while program.commands().len() < count {
                assert!(began.elapsed() < Duration::from_secs(60));
                std::thread::sleep(Duration::from_millis(5));
            }
            program.commands()
        };
        let begin = |script: &str, again| {
            let program = Program::new(script);
            let keeper = Keeper::new(&program.path, Path::new("data"));
            let lines = Arc::new(Mutex::new(Vec::new()));
            let log = Arc::clone(&lines);
            let log = move |line: &str| log.lock().unwrap().push(line.to_owned());
            let errands = Errands::begin_with(keeper, again, log).unwrap();
            (errands, program, lines)
        };
        // The first two times the card does not take it.
        let script = "[ $2 != forget ] || [ $(grep -c forget $folder/commands) -gt 2 ]";
        let (errands, program, lines) = begin(script, Duration::from_millis(1));
        errands.forget();
        assert_eq!(wait_for(&program, 3), ["keep forget data"; 3]);
        errands.note_passed("id");
        let commands = wait_for(&program, 4);
        assert_eq!(commands[3], "keep note-passed data id", "{commands:?}");
        let lines = lines.lock().unwrap();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("trying again") && lines[1].contains("is deleted"));

        // A new reason replaces it; one that is not saved does not.
        let never = Duration::from_secs(1000);
        for (takes_put, expected) in [(true, "note-passed data id"), (false, "forget data")] {
            let script = format!("[ $2 != forget ] && {{ [ $2 != put ] || {takes_put}; }}");
            let (errands, program, _lines) = begin(&script, never);
            errands.forget();
            drop(errands.keep("new", Vec::new()));
            errands.note_passed("id");
            let commands = wait_for(&program, 3);
            assert_eq!(commands[1], "keep put data new");
            assert_eq!(commands[2], format!("keep {expected}"));
        }
    }

    #[test]
    fn a_shutdown_waits_for_the_card_and_for_its_answer_but_not_for_ever() {
        let late = START + KEEP_PATIENCE;
        let mut departure = Departure::new("why".into(), End::Reboot, START);
        let mut is_saved = |is_over, now| departure.is_saved(None, is_over, now, Vec::new);
        assert_eq!(is_saved(false, START), None);
        assert_eq!(is_saved(true, START), Some(false));
        assert_eq!(is_saved(false, late), Some(false));

        let (errands, _program) = errands("sleep 0.2; exit 13");
        let mut is_saved = |now| departure.is_saved(Some(&errands), true, now, Vec::new);
        assert_eq!(is_saved(START), None);
        assert_eq!(is_saved(late), Some(false), "no answer");
        let began = Instant::now();
        let answer = loop {
            if let Some(answer) = is_saved(START) {
                break answer;
            }
            assert!(began.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(!answer, "the card refused");
    }
}
