//! A display on its own thread, for displays whose pictures take longer than a frame may wait: moving ink, a slow bus.
//!
//! The loop puts the newest scene into a slot and continues; the thread takes it once it has finished the previous scene. So a
//! slow display skips scenes in between, never shows one older than necessary, and holds up neither frames nor other displays. It
//! is opened, drawn on and closed only on its thread, so it need not be `Send`.
//!
//! A thread lives as long as its display: when the display fails, both end, and a new pair is created to try again.

use super::copy::{Holds, SceneCopy};
use super::{Display, DisplayError, Scene};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The longest that opening or one picture may take; the slowest e-paper needs several seconds for a full refresh.
const BUSY_LIMIT: Duration = Duration::from_secs(30);
/// When the program ends, how long it waits for the last scene to be shown and the display to be closed.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);
/// How often to check whether a thread has ended.
const CHECK_PERIOD: Duration = Duration::from_millis(20);
/// A display draws on the stack of this thread.
const STACK_BYTES: usize = 512 << 10;

/// Opens a display, on whichever thread calls it.
pub type Open = Arc<dyn Fn() -> Result<Box<dyn Display>, DisplayError> + Send + Sync>;

/// A display on its thread.
#[derive(Debug)]
pub struct Threaded {
    busy_limit: Duration,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    slot: Mutex<Slot>,
    changed: Condvar,
}

/// The state shared by the loop and the thread.
#[derive(Debug)]
struct Slot {
    next: SceneCopy,
    /// `next` has not been taken yet.
    is_new: bool,
    /// The display's description, once it is open.
    opened: Option<String>,
    /// When the current opening or drawing began.
    busy_since: Option<Instant>,
    /// Whether a scene has been shown since the last query.
    is_shown: bool,
    failed: Option<DisplayError>,
    is_ending: bool,
}

impl Shared {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        // No holder of the lock can panic halfway, so the guarded state is consistent.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Threaded {
    /// Starts the thread, which opens the display; see [`Self::wait_until_open`].
    pub fn start(name: &str, open: Open, holds: &Holds) -> Result<Self, DisplayError> {
        let shared = Arc::new(Shared {
            slot: Mutex::new(Slot {
                next: SceneCopy::new(holds),
                is_new: false,
                opened: None,
                busy_since: Some(Instant::now()),
                is_shown: false,
                failed: None,
                is_ending: false,
            }),
            changed: Condvar::new(),
        });
        let (theirs, own, regions) = (Arc::clone(&shared), SceneCopy::new(holds), holds.regions);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || serve(&theirs, &open, own, regions))
            .map_err(|error| {
                DisplayError::Failed(format!("its thread cannot be started: {error}"))
            })?;
        Ok(Self {
            busy_limit: BUSY_LIMIT,
            shared,
            thread: Some(thread),
        })
    }

    /// Waits until the display is open; returns its description.
    pub fn wait_until_open(&self) -> Result<String, DisplayError> {
        loop {
            self.check()?;
            let slot = self.shared.slot();
            if let Some(described) = &slot.opened {
                return Ok(described.clone());
            }
            // A thread that ended by a panic wakes nobody, so each wait is short.
            let waited = self.shared.changed.wait_timeout(slot, CHECK_PERIOD);
            drop(waited);
        }
    }

    /// Hands `scene` to the thread. `true` if a scene has been shown since the last call.
    ///
    /// # Errors
    /// The display's, from the previous scene or from its opening; or that it has been busy with one picture for too long.
    pub fn show(&self, scene: &Scene<'_>) -> Result<bool, DisplayError> {
        self.check()?;
        let mut slot = self.shared.slot();
        slot.next.take(scene);
        slot.is_new = true;
        let is_shown = std::mem::take(&mut slot.is_shown);
        drop(slot);
        self.shared.changed.notify_all();
        Ok(is_shown)
    }

    fn check(&self) -> Result<(), DisplayError> {
        let mut slot = self.shared.slot();
        if let Some(error) = slot.failed.take() {
            return Err(error);
        }
        if self.is_over() {
            let why = "its thread has ended, which is a bug in Eyelet: please report it";
            return Err(DisplayError::Failed(why.to_owned()));
        }
        match slot.busy_since.map(|since| since.elapsed()) {
            Some(busy) if busy > self.busy_limit => {
                let what = match slot.opened {
                    Some(_) => "has been busy with one picture",
                    None => "has been opening",
                };
                let busy_s = busy.as_secs();
                Err(DisplayError::Failed(format!(
                    "it {what} for {busy_s} s; check its cable and power"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Makes the thread end as soon as possible, discarding a scene that it has not taken yet.
    pub fn abandon(&self) {
        let mut slot = self.shared.slot();
        slot.is_new = false;
        slot.is_ending = true;
        drop(slot);
        self.shared.changed.notify_all();
    }

    /// Makes the thread show any scene that it has not taken yet, and then end.
    pub fn end(&self) {
        self.shared.slot().is_ending = true;
        self.shared.changed.notify_all();
    }

    /// Whether the thread has ended and the display is closed.
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Threaded {
    /// Shows the last scene and closes the display, unless that takes too long.
    fn drop(&mut self) {
        self.end();
        let began = Instant::now();
        while !self.is_over() && began.elapsed() < CLOSE_LIMIT {
            std::thread::sleep(CHECK_PERIOD);
        }
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished) {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// The thread: opens the display and shows the newest scene until it fails or is told to end.
fn serve(shared: &Shared, open: &Open, mut own: SceneCopy, regions: usize) {
    let mut display = match super::open_divided(open, regions) {
        Ok(display) => display,
        Err(error) => {
            shared.slot().failed = Some(error);
            shared.changed.notify_all();
            return;
        }
    };
    {
        let mut slot = shared.slot();
        slot.opened = Some(display.describe());
        slot.busy_since = None;
    }
    shared.changed.notify_all();
    loop {
        let mut slot = shared.slot();
        while !slot.is_new && !slot.is_ending {
            let woken = shared.changed.wait(slot);
            slot = woken.unwrap_or_else(PoisonError::into_inner);
        }
        if !slot.is_new {
            return;
        }
        std::mem::swap(&mut slot.next, &mut own);
        slot.is_new = false;
        slot.busy_since = Some(Instant::now());
        drop(slot);
        let result = own.with(|scene| display.show(scene));
        let mut slot = shared.slot();
        slot.busy_since = None;
        match result {
            Ok(()) => slot.is_shown = true,
            Err(error) => {
                slot.failed = Some(error);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::State;
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// What a display does with a picture that has this rate.
    const FAILS: f32 = 13.0;
    const PANICS: f32 = 14.0;
    const HANGS: f32 = 15.0;

    struct Reporting(Sender<f32>);

    impl Display for Reporting {
        fn describe(&self) -> String {
            "reporting".into()
        }

        fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError> {
            self.0.send(scene.rate_fps).unwrap();
            match scene.rate_fps {
                FAILS => Err(DisplayError::Failed("torn".into())),
                PANICS => panic!("on purpose"),
                HANGS => {
                    std::thread::sleep(Duration::from_secs(3));
                    Ok(())
                }
                _ => Ok(()),
            }
        }
    }

    fn scene(rate_fps: f32) -> Scene<'static> {
        Scene {
            state: State::Live,
            verdict: None,
            labels: &[],
            unknown_label: "",
            rate_fps,
            picture: None,
            regions: &[],
            notice: None,
        }
    }

    fn holds() -> Holds {
        Holds {
            labels: Arc::new([]),
            unknown_label: "".into(),
            picture_bytes: 0,
            regions: 0,
        }
    }

    fn reporting() -> (Threaded, Receiver<f32>) {
        let (sender, receiver) = channel();
        let sender = Mutex::new(sender);
        let open =
            move || Ok(Box::new(Reporting(sender.lock().unwrap().clone())) as Box<dyn Display>);
        let threaded = Threaded::start("t", Arc::new(open), &holds()).unwrap();
        assert_eq!(threaded.wait_until_open().unwrap(), "reporting");
        (threaded, receiver)
    }

    /// The error, which must come within a while.
    fn error_of(threaded: &Threaded) -> String {
        let began = Instant::now();
        loop {
            if let Err(error) = threaded.check() {
                return error.to_string();
            }
            assert!(began.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn the_last_scene_is_shown_before_the_end_unless_it_is_abandoned() {
        for is_abandoned in [false, true] {
            let (threaded, seen) = reporting();
            assert!(
                !threaded.show(&scene(HANGS)).unwrap(),
                "nothing was shown yet"
            );
            assert_eq!(seen.recv().unwrap(), HANGS);
            for rate in 1..=3 {
                threaded.show(&scene(rate as f32)).unwrap();
            }
            if is_abandoned {
                threaded.abandon();
            }
            drop(threaded);
            let rest: Vec<_> = seen.iter().collect();
            assert_eq!(rest, if is_abandoned { vec![] } else { vec![3.0] });
        }
    }

    #[test]
    fn failures_panics_and_hangs_are_reported() {
        for (rate, says) in [
            (FAILS, "torn"),
            (
                PANICS,
                "its thread has ended, which is a bug in Eyelet: please report it",
            ),
            (
                HANGS,
                "it has been busy with one picture for N s; check its cable and power",
            ),
        ] {
            let (mut threaded, seen) = reporting();
            threaded.show(&scene(1.0)).unwrap();
            assert_eq!(seen.recv().unwrap(), 1.0);
            threaded.show(&scene(rate)).unwrap();
            assert_eq!(seen.recv().unwrap(), rate);
            if rate == HANGS {
                threaded.busy_limit = Duration::from_millis(100);
            }
            let error = error_of(&threaded);
            // How many seconds depends on the machine.
            assert_eq!(error.replace(|c: char| c.is_ascii_digit(), "N"), says);
        }
    }

    #[test]
    fn the_reason_why_a_display_cannot_be_opened_is_reported() {
        let open: Open = Arc::new(|| Err(DisplayError::Absent("no panel".into())));
        let threaded = Threaded::start("t", open, &holds()).unwrap();
        let error = threaded.wait_until_open().unwrap_err();
        assert!(matches!(error, DisplayError::Absent(why) if why == "no panel"));
    }
}
