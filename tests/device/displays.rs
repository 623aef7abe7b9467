//! Displays that fail, are slow or are not there: the frames and the other displays go on.

use crate::Act::Picture;
use crate::{
    Counting, Shown, opened_by, parts, recording, run, run_cared_on, scripted, start, until,
    warnings_of,
};
use eyelet::board::policy::Policy;
use eyelet::camera::{CameraKind, PatternConfig};
use eyelet::care::Care;
use eyelet::device::{OpenDisplay, Parts};
use eyelet::show::serial::Serial;
use eyelet::show::{Display, DisplayError, Scene, State};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[test]
fn a_display_that_fails_does_not_stop_the_loop() {
    let (frames, shown) = run((0..50).map(Picture).collect(), true);
    assert_eq!((frames, shown.len()), (50, 0));
}

/// What a display saw: the grey of the picture, and the class.
type Seen = Arc<Mutex<Vec<(Option<u8>, Option<usize>)>>>;

/// Takes so long for each picture.
struct SlowDisplay(Seen, Duration);

impl Display for SlowDisplay {
    fn describe(&self) -> String {
        "slow".into()
    }

    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError> {
        let grey = scene.picture.map(|picture| picture.rgb[0]);
        let class = scene.verdict.and_then(|v| v.decided).map(|c| c.class);
        std::thread::sleep(self.1);
        self.0.lock().unwrap().push((grey, class));
        Ok(())
    }
}

#[test]
fn a_slow_display_holds_up_neither_frames_nor_the_others() {
    let (slow, fast) = (Seen::default(), Seen::default());
    let one = |seen: &Seen, takes, is_slow| {
        let seen = Arc::clone(seen);
        OpenDisplay {
            is_slow,
            ..opened_by(move || Ok(Box::new(SlowDisplay(Arc::clone(&seen), takes))))
        }
    };
    let displays = vec![
        one(&slow, Duration::from_millis(800), true),
        one(&fast, Duration::from_millis(5), false),
    ];
    let script = (0..250).map(Picture).collect();
    let beats = Counting::default();
    let mut care = Care::unwatched(Policy::default());
    care.watch(Box::new(beats.clone()));
    let (frames, took) = run_cared_on(displays, script, care);
    assert_eq!(frames, Ok(250));
    // A frame counts once every display has shown something.
    let (finished, unseen, waiting) = *beats.0.lock().unwrap();
    assert_eq!((finished + unseen, waiting), (250, 0));
    assert!(unseen > 0);
    let (slow, fast) = (slow.lock().unwrap(), fast.lock().unwrap());
    println!(
        "250 frames in {took:?}; slow {}, fast {}",
        slow.len(),
        fast.len()
    );
    // As many pictures as the fast one had would have taken the slow one longer than this.
    assert!(took < Duration::from_millis(600) * fast.len() as u32);
    // What it misses it does not show later, and the last scene is shown before the end.
    assert!(slow.len() < fast.len());
    assert!(slow.is_sorted_by_key(|(grey, _)| *grey), "{slow:?}");
    assert_eq!(slow.last(), fast.last());
    assert!(slow.iter().all(|seen| fast.contains(seen)));
}

#[test]
fn a_display_that_fails_leaves_the_others_on() {
    let shown = [Shown::default(), Shown::default(), Shown::default()];
    let one = |index: usize, fails: bool, is_slow: bool| OpenDisplay {
        name: format!("display {index}"),
        is_slow,
        ..recording(&shown[index], fails)
    };
    let displays = vec![
        one(0, true, false),
        one(1, false, false),
        one(2, true, true),
    ];
    let beats = Counting::default();
    let mut care = Care::unwatched(Policy::default());
    care.watch(Box::new(beats.clone()));
    let (frames, _) = run_cared_on(displays, (0..20).map(Picture).collect(), care);
    assert_eq!(frames, Ok(20));
    let [first, second, third] = shown.map(|shown| shown.lock().unwrap().clone());
    assert_eq!((first, third), (vec![], vec![]));
    assert!(
        second
            .iter()
            .any(|(state, class)| *state == State::Live && class.is_some())
    );
    // A frame that one of the board's displays does not show does not count as finished.
    assert_eq!(*beats.0.lock().unwrap(), (0, 20, 0));
}

#[test]
fn a_display_that_must_be_there_is_named_where_there_are_others() {
    let absent = |name: &str, is_required| OpenDisplay {
        name: name.into(),
        is_required,
        ..opened_by(|| Err(DisplayError::Absent("no panel".into())))
    };
    let start_with = |displays| {
        let open_camera = Box::new(|| PatternConfig::default().open());
        start(parts(open_camera, displays))
    };
    assert!(start_with(vec![absent("display a", false), absent("display b", false)]).is_ok());
    let failure = start_with(vec![absent("display a", false), absent("display b", true)]);
    let failure = failure.err().unwrap();
    assert_eq!(failure.cause, eyelet::Cause::Display);
    assert_eq!(failure.message, "display b: no panel");
    let failure = start_with(vec![absent("display", true)]).err().unwrap();
    assert_eq!(failure.message, "no panel");
}

/// One that was set up for another screen, or whose bus had a hiccup: the board classifies and tries again. At a desk, where
/// somebody can fix it, it is an error; a required one is an error everywhere.
#[test]
fn a_display_that_cannot_be_used_is_left_out_on_a_supervised_board() {
    type Error = fn(String) -> DisplayError;
    let errors: [Error; 2] = [DisplayError::Unusable, DisplayError::Failed];
    for (error, is_slow) in [(errors[0], false), (errors[1], false), (errors[0], true)] {
        let run = |is_required, is_supervised| {
            let display = OpenDisplay {
                is_required,
                is_slow,
                ..opened_by(move || Err(error("no such mode".into())))
            };
            let beats = Counting::default();
            let mut care = Care::unwatched(Policy::default());
            if is_supervised {
                care.watch(Box::new(beats.clone()));
            }
            let parts = Parts {
                serial: Serial::new(false, Instant::now(), "unknown"),
                care,
                ..parts(scripted((0..3).map(Picture).collect()), vec![display])
            };
            let stop = AtomicBool::new(false);
            let mut result = Ok(0);
            let warnings = warnings_of(|| {
                result = start(parts).and_then(|mut device| device.run(&until(&stop)));
            });
            let beats = *beats.0.lock().unwrap();
            (result, beats, warnings)
        };
        let (frames, beats, warnings) = run(false, true);
        // Frames that it does not show do not count as finished.
        assert_eq!((frames, beats), (Ok(3), (0, 3, 0)));
        let why = "display: failed; the serial log continues: no such mode";
        assert!(warnings.iter().any(|line| line == why), "{warnings:?}");
        for (is_required, is_supervised) in [(true, true), (false, false)] {
            let failure = run(is_required, is_supervised).0.unwrap_err();
            assert_eq!(failure.cause, eyelet::Cause::Display);
            assert_eq!(failure.message, "no such mode");
        }
    }
}

/// Notes when it is closed.
struct Noting(Arc<Mutex<Vec<&'static str>>>);

impl Display for Noting {
    fn describe(&self) -> String {
        "noting".into()
    }

    fn show(&mut self, _: &Scene<'_>) -> Result<(), DisplayError> {
        Ok(())
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        self.0.lock().unwrap().push("closed");
    }
}

/// A panel that says "starting" goes dark when it is closed, and can be open only once.
#[test]
fn what_is_shown_while_the_model_loads_stays_until_the_displays_are_opened() {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let opened = Arc::clone(&notes);
    let display = opened_by(move || {
        opened.lock().unwrap().push("opened");
        Ok(Box::new(Noting(Arc::clone(&opened))))
    });
    let parts = Parts {
        earlier: vec![Box::new(Noting(Arc::clone(&notes)))],
        ..parts(scripted(vec![Picture(1)]), vec![display])
    };
    let device = start(parts).unwrap();
    let noted = notes.lock().unwrap().clone();
    assert_eq!(noted, ["closed", "opened"]);
    drop(device);
}
