//! The board's displays: each shows the newest scene. One that fails is closed and reopened later, and the others continue.
//!
//! A display draws in the loop, or on its own thread if its pictures take long ([`Threaded`]).

use crate::care::Care;
use crate::care::boot::Boot;
use crate::show::copy::Holds;
use crate::show::serial::Serial;
use crate::show::threaded::{Open, Threaded};
use crate::show::{self, Display, DisplayError, Scene};
use crate::{Cause, Failure};
use std::time::{Duration, Instant};

/// First and longest pause before a failed display is opened again: most disturbances are over at once, and during the trial of an
/// update frames that are not shown do not count. A display that is missing at start gets the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// Pause between two checks for a display that appears while the board is booting.
const BOOT_PAUSE: Duration = Duration::from_millis(50);

/// One display of a board, and how to open it: at start, and after each failure.
#[derive(Clone)]
pub struct OpenDisplay {
    /// Its name in logs and messages, such as `display` or `display png`.
    pub name: String,
    /// Whether the board must not start without it.
    pub is_required: bool,
    /// Whether drawing takes longer than a frame may wait.
    pub is_slow: bool,
    /// Opens it.
    pub open: Open,
}

impl std::fmt::Debug for OpenDisplay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, is_slow, .. } = self;
        write!(f, "OpenDisplay({name}, slow: {is_slow})")
    }
}

/// All displays of the board.
#[derive(Debug)]
pub(super) struct Displays {
    all: Vec<Place>,
    holds: Holds,
}

/// One display, open or not.
#[derive(Debug)]
struct Place {
    how: OpenDisplay,
    display: Option<Opened>,
    /// Its description when the board started.
    description: String,
    /// Since when it has shown scenes.
    shown_since: Option<Instant>,
    retry_at: Option<Instant>,
    /// The pause before it is opened again if it fails now.
    pause: Duration,
    /// Why it could not be opened at start, until that has been logged.
    absent: Option<DisplayError>,
    /// What last failed on its own thread, until that thread has ended: two must not use the same device.
    leaving: Option<Threaded>,
}

/// A display that is open, or is being opened on its thread.
enum Opened {
    Here(Box<dyn Display>),
    Threaded(Threaded),
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Here(_) => "Here",
            Self::Threaded(_) => "Threaded",
        })
    }
}

impl Opened {
    /// Shows the scene, or hands it over. `true` if a scene was shown.
    fn show(&mut self, scene: &Scene<'_>) -> Result<bool, DisplayError> {
        match self {
            Self::Here(display) => display.show(scene).map(|()| true),
            Self::Threaded(threaded) => threaded.show(scene),
        }
    }
}

impl Displays {
    /// Opens all displays. [`Self::report_absent`] later reports the optional ones that could not be opened.
    ///
    /// # Errors
    /// [`Cause::Display`] for a required display that is missing or unusable. At a desk also for an optional one that is there and
    /// unusable; on a supervised board, where nobody would see it, it is retried like a missing one.
    pub fn open(all: Vec<OpenDisplay>, holds: Holds, care: &mut Care) -> Result<Self, Failure> {
        let has_others = all.len() > 1;
        let mut places = Vec::with_capacity(all.len());
        for how in all {
            let mut place = Place {
                how,
                display: None,
                description: String::new(),
                shown_since: None,
                retry_at: None,
                pause: PAUSE.1,
                absent: None,
                leaving: None,
            };
            match place.open_patiently(&holds, care) {
                Ok(()) => place.pause = PAUSE.0,
                // A board without its panel still has its serial log, unless its file requires the panel.
                Err(why) if place.may_be_without(&why, care) => {
                    if !matches!(why, DisplayError::Absent(_)) {
                        place.pause = PAUSE.0;
                    }
                    // Runs while the loop waits for the camera, too.
                    place.retry_at = Some(Instant::now() + place.pause);
                    place.absent = Some(why);
                }
                Err(error) if has_others => {
                    return Err(Failure::new(
                        Cause::Display,
                        format!("{}: {error}", place.how.name),
                    ));
                }
                Err(error) => return Err(error.into()),
            }
            places.push(place);
        }
        Ok(Self { all: places, holds })
    }

    /// What the scenes are shown on, for people.
    pub fn describe(&self) -> String {
        let open = self.all.iter().filter(|place| place.display.is_some());
        let words: Vec<_> = open.map(|place| place.description.as_str()).collect();
        match words.is_empty() {
            true => "none: the serial log alone".to_owned(),
            false => words.join("; "),
        }
    }

    /// Reports the displays that could not be opened at start. When they are opened again is settled already.
    pub fn report_absent(&mut self, care: &mut Care, serial: &Serial) {
        for (index, place) in self.all.iter_mut().enumerate() {
            if let Some(why) = place.absent.take() {
                care.display_fails(index, &place.how.name, serial, &why);
            }
        }
    }

    /// Whether all of them show scenes: none is lost, and none has yet to show its first one.
    pub fn all_show(&self) -> bool {
        self.all.iter().all(|place| place.shown_since.is_some())
    }

    /// Shows the newest scene on all of them; `true` if one of them was lost or is back.
    pub fn show(&mut self, scene: &Scene<'_>, care: &mut Care, serial: &Serial) -> bool {
        let mut is_news = false;
        for (index, place) in self.all.iter_mut().enumerate() {
            let result = place
                .reopen(&self.holds)
                .and_then(|()| match place.display.as_mut() {
                    Some(display) => display.show(scene),
                    None => Ok(false),
                });
            is_news |= match result {
                // A display is back once it shows something, not once it can be opened.
                Ok(true) => {
                    place.shown_since.get_or_insert_with(Instant::now);
                    care.display_shows(index, &place.how.name, serial)
                }
                Ok(false) => false,
                Err(error) => place.lose(index, &error, care, serial),
            };
        }
        is_news
    }
}

impl Drop for Displays {
    /// Those with threads all close at once rather than one after the other.
    fn drop(&mut self) {
        for place in &self.all {
            if let Some(Opened::Threaded(threaded)) = &place.display {
                threaded.end();
            }
        }
    }
}

impl Place {
    /// Opens and describes it; on a freshly booted board, tries again while its module may still be loading.
    fn open_patiently(&mut self, holds: &Holds, care: &mut Care) -> Result<(), DisplayError> {
        loop {
            let result = open(&self.how, holds).and_then(|display| {
                self.description = match &display {
                    Opened::Here(display) => display.describe(),
                    Opened::Threaded(threaded) => match threaded.wait_until_open() {
                        Ok(description) => description,
                        Err(error) => {
                            self.leave(display);
                            return Err(error);
                        }
                    },
                };
                self.display = Some(display);
                Ok(())
            });
            let may_come = matches!(result, Err(DisplayError::Absent(_)))
                && care.boot.as_mut().is_some_and(Boot::may_bring_more);
            if !may_come {
                return result;
            }
            std::thread::sleep(BOOT_PAUSE);
        }
    }

    /// Whether the board starts although the display could not be opened.
    fn may_be_without(&self, why: &DisplayError, care: &Care) -> bool {
        let is_absent = matches!(why, DisplayError::Absent(_));
        !self.how.is_required && (is_absent || care.is_supervised())
    }

    /// Closes a display, without waiting for its thread.
    fn leave(&mut self, display: Opened) {
        if let Opened::Threaded(threaded) = display {
            threaded.abandon();
            self.leaving = Some(threaded);
        }
    }

    /// Reopens it, if that is due.
    fn reopen(&mut self, holds: &Holds) -> Result<(), DisplayError> {
        if self.retry_at.is_none_or(|at| Instant::now() < at) {
            return Ok(());
        }
        self.retry_at = None;
        if self.leaving.as_ref().is_some_and(|old| !old.is_over()) {
            let why = "it has not come back from its last picture; check its cable and power";
            return Err(DisplayError::Failed(why.to_owned()));
        }
        self.leaving = None;
        let display = open(&self.how, holds)?;
        self.description = match &display {
            Opened::Here(display) => display.describe(),
            // Its thread describes it once it is open.
            Opened::Threaded(_) => self.how.name.clone(),
        };
        self.display = Some(display);
        self.absent = None;
        Ok(())
    }

    /// Closes it and reports that; `true` if that is news.
    fn lose(&mut self, index: usize, why: &DisplayError, care: &mut Care, serial: &Serial) -> bool {
        if let Some(display) = self.display.take() {
            self.leave(display);
        }
        self.absent = None;
        // One that keeps failing is not set up twice per second for ever.
        let has_lasted = |since: Instant| since.elapsed() >= PAUSE.1;
        if self.shown_since.take().is_some_and(has_lasted) {
            self.pause = PAUSE.0;
        }
        self.retry_at = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(PAUSE.1);
        care.display_fails(index, &self.how.name, serial, why)
    }
}

/// Opens a display, or starts opening it on its own thread.
fn open(how: &OpenDisplay, holds: &Holds) -> Result<Opened, DisplayError> {
    if how.is_slow {
        let threaded = Threaded::start(&how.name, how.open.clone(), holds)?;
        return Ok(Opened::Threaded(threaded));
    }
    show::open_divided(&how.open, holds.regions).map(Opened::Here)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::board::policy::Policy;
    use crate::show::State;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, Mutex};

    const SCENE: Scene<'_> = Scene::in_state(State::Starting);

    fn no_words() -> Holds {
        Holds {
            labels: Arc::new([]),
            unknown_label: "".into(),
            picture_bytes: 0,
            regions: 0,
        }
    }

    /// Fails on its second picture if it is the first display. Counts the displays that are open.
    struct Failing {
        pictures: u32,
        is_first: bool,
        open: Arc<AtomicU32>,
    }

    impl Display for Failing {
        fn describe(&self) -> String {
            "failing".into()
        }

        fn show(&mut self, _: &Scene<'_>) -> Result<(), DisplayError> {
            self.pictures += 1;
            match self.pictures {
                2 if self.is_first => Err(DisplayError::Failed("the cable is out".into())),
                _ => Ok(()),
            }
        }
    }

    impl Drop for Failing {
        fn drop(&mut self) {
            self.open.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Makes a lost display due for reopening now.
    fn make_due(displays: &mut Displays) {
        for retry_at in displays.all.iter_mut().filter_map(|p| p.retry_at.as_mut()) {
            *retry_at = Instant::now();
        }
    }

    /// Shows until there is news, for a while.
    fn news(displays: &mut Displays, care: &mut Care, serial: &Serial) {
        let began = Instant::now();
        while !displays.show(&SCENE, care, serial) {
            assert!(began.elapsed() < Duration::from_secs(20), "nothing new");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn a_display_that_failed_is_opened_again_and_back_when_it_shows() {
        for is_slow in [false, true] {
            let open = Arc::new(AtomicU32::new(0));
            let opened = Arc::new(AtomicU32::new(0));
            let (counter, count) = (Arc::clone(&opened), Arc::clone(&open));
            let how = OpenDisplay {
                name: "display".into(),
                is_required: false,
                is_slow,
                open: Arc::new(move || {
                    let before = counter.fetch_add(1, Ordering::SeqCst);
                    if before == 1 {
                        return Err(DisplayError::Absent("not yet".into()));
                    }
                    count.fetch_add(1, Ordering::SeqCst);
                    Ok(Box::new(Failing {
                        pictures: 0,
                        is_first: before == 0,
                        open: Arc::clone(&count),
                    }))
                }),
            };
            let mut care = Care::unwatched(Policy::default());
            let serial = Serial::new(false, Instant::now(), "unknown");
            let mut displays = Displays::open(vec![how], no_words(), &mut care).unwrap();
            assert_eq!(displays.describe(), "failing");
            // On a busy machine the first pause may be over too soon.
            displays.all[0].pause = PAUSE.1;
            news(&mut displays, &mut care, &serial);
            assert!(care.is_display_lost());
            assert!(displays.all[0].retry_at.is_some() && displays.all[0].display.is_none());
            // Until then nothing is tried.
            assert!(!displays.show(&SCENE, &mut care, &serial));
            assert_eq!(opened.load(Ordering::SeqCst), 1);
            // The second opening fails, which is no news; the third succeeds.
            while opened.load(Ordering::SeqCst) < 2 || displays.all[0].display.is_some() {
                make_due(&mut displays);
                assert!(!displays.show(&SCENE, &mut care, &serial));
            }
            assert_eq!(open.load(Ordering::SeqCst), 0, "it is closed");
            make_due(&mut displays);
            news(&mut displays, &mut care, &serial);
            assert!(!care.is_display_lost());
            assert_eq!(opened.load(Ordering::SeqCst), 3);
            drop(displays);
            assert_eq!(open.load(Ordering::SeqCst), 0);
        }
    }

    #[test]
    fn a_display_is_opened_again_soon_and_then_less_and_less_often() {
        let how = OpenDisplay {
            name: "display".into(),
            is_required: false,
            is_slow: false,
            open: Arc::new(|| {
                Ok(Box::new(Failing {
                    pictures: 0,
                    is_first: true,
                    open: Arc::new(AtomicU32::new(1)),
                }))
            }),
        };
        let mut care = Care::unwatched(Policy::default());
        let serial = Serial::new(false, Instant::now(), "unknown");
        let mut displays = Displays::open(vec![how], no_words(), &mut care).unwrap();
        let why = DisplayError::Failed("torn".into());
        let pause = |displays: &mut Displays, care: &mut Care| {
            let before = Instant::now();
            displays.all[0].lose(0, &why, care, &serial);
            let pause = displays.all[0].retry_at.unwrap() - before;
            (pause.as_secs_f32() * 2.0).floor() / 2.0
        };
        let pauses = [(); 7].map(|()| pause(&mut displays, &mut care));
        assert_eq!(pauses, [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]);
        // Showing something in between is not enough; showing it for a while is.
        displays.all[0].shown_since = Some(Instant::now());
        assert_eq!(pause(&mut displays, &mut care), 10.0);
        displays.all[0].shown_since = Instant::now().checked_sub(PAUSE.1);
        if displays.all[0].shown_since.is_some() {
            assert_eq!(pause(&mut displays, &mut care), 0.5);
        }
    }

    /// A slot on trial must show its frames within 15 s.
    #[test]
    fn a_display_that_fails_at_start_is_opened_again_soon_and_a_missing_one_within_the_longest_pause()
     {
        let serial = Serial::new(false, Instant::now(), "unknown");
        for (is_absent, pause) in [(false, PAUSE.0), (true, PAUSE.1)] {
            let how = OpenDisplay {
                name: "display".into(),
                is_required: false,
                is_slow: false,
                open: Arc::new(move || {
                    Err(match is_absent {
                        true => DisplayError::Absent("no cable".into()),
                        false => DisplayError::Unusable("a disturbed bus".into()),
                    })
                }),
            };
            let mut care = Care::unwatched(Policy::default());
            care.watch(Box::new(crate::care::notify::Unwatched));
            let before = Instant::now();
            let mut displays = Displays::open(vec![how], no_words(), &mut care).unwrap();
            let retry_at = displays.all[0].retry_at;
            let (least, most) = (before + pause, Instant::now() + pause);
            assert!((least..=most).contains(&retry_at.unwrap()), "{is_absent}");
            displays.report_absent(&mut care, &serial);
            assert_eq!(displays.all[0].retry_at, retry_at, "not later");
            assert!(care.is_display_lost());
        }
    }

    /// Blocks while drawing as long as the lock is held elsewhere.
    struct Blocking(Arc<Mutex<()>>);

    impl Display for Blocking {
        fn describe(&self) -> String {
            "blocking".into()
        }

        fn show(&mut self, _: &Scene<'_>) -> Result<(), DisplayError> {
            drop(self.0.lock().unwrap());
            Ok(())
        }
    }

    #[test]
    fn a_display_that_hangs_is_not_opened_twice() {
        let gate = Arc::new(Mutex::new(()));
        let opened = Arc::new(AtomicU32::new(0));
        let (counter, inner) = (Arc::clone(&opened), Arc::clone(&gate));
        let how = OpenDisplay {
            name: "display".into(),
            is_required: false,
            is_slow: true,
            open: Arc::new(move || {
                counter.fetch_add(1, Ordering::SeqCst);
                Ok(Box::new(Blocking(Arc::clone(&inner))))
            }),
        };
        let mut care = Care::unwatched(Policy::default());
        let serial = Serial::new(false, Instant::now(), "unknown");
        let mut displays = Displays::open(vec![how], no_words(), &mut care).unwrap();
        let held = gate.lock().unwrap();
        displays.show(&SCENE, &mut care, &serial);
        let why = DisplayError::Failed("busy".into());
        assert!(displays.all[0].lose(0, &why, &mut care, &serial));
        for _ in 0..3 {
            make_due(&mut displays);
            displays.show(&SCENE, &mut care, &serial);
        }
        assert_eq!(opened.load(Ordering::SeqCst), 1);
        drop(held);
        let began = Instant::now();
        while care.is_display_lost() {
            make_due(&mut displays);
            displays.show(&SCENE, &mut care, &serial);
            assert!(began.elapsed() < Duration::from_secs(20), "not back");
        }
        assert_eq!(opened.load(Ordering::SeqCst), 2);
    }
}
