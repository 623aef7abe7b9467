//! A camera that is pulled out, stalls, is silent or sends damaged pictures: no old class stays, and signals are heard.

use crate::Act::{CutJpeg, HalfJpeg, Lost, Old, Picture, Silent, Stall};
use crate::{
    Act, Counting, SIDE_PX, Shown, board, is_lost, model, opened_by, parts, parts_on, recording,
    run, run_cared_on, scripted, start, until, warnings_of,
};
use eyelet::board::policy::Policy;
use eyelet::camera::v4l2::V4l2Config;
use eyelet::camera::{Camera, CameraConfig, CameraError, Next, PipeConfig, SLICE};
use eyelet::care::Care;
use eyelet::clock;
use eyelet::device::reload::Reload;
use eyelet::device::{Limits, OpenCamera, Parts};
use eyelet::frame::{Frame, Geometry, PixelFormat};
use eyelet::show::serial::Serial;
use eyelet::show::{Display, DisplayError, Scene, State};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[test]
fn a_pulled_cable_is_shown_and_survived() {
    let (frames, shown) = run(
        vec![
            Picture(200),
            Picture(200),
            Lost,
            Lost,
            Picture(40),
            Picture(40),
        ],
        false,
    );
    assert_eq!(frames, 4);
    let lost_at = shown
        .iter()
        .position(|(state, _)| is_lost(*state))
        .expect("the loss was shown");
    let back_at = shown
        .iter()
        .rposition(|(state, _)| is_lost(*state))
        .unwrap()
        + 1;
    assert!(
        shown[..lost_at]
            .iter()
            .any(|(state, class)| *state == State::Live && class.is_some())
    );
    assert!(
        shown[lost_at..back_at]
            .iter()
            .all(|(_, class)| class.is_none()),
        "an old class was shown as live"
    );
    assert!(
        shown[back_at..]
            .iter()
            .any(|(state, class)| *state == State::Live && class.is_some())
    );
}

#[test]
fn a_stalled_camera_is_opened_again() {
    let (frames, shown) = run(vec![Picture(1), Stall, Picture(1)], false);
    assert_eq!(frames, 2);
    assert!(shown.iter().any(|(state, _)| is_lost(*state)));
    assert_eq!(shown.last().unwrap().0, State::Live);
}

#[test]
fn damaged_pictures_are_skipped() {
    let mut script: Vec<Act> = (0..1000).map(|_| HalfJpeg).collect();
    script.insert(0, Picture(9));
    script.push(Picture(9));
    let (frames, _) = run(script, false);
    assert_eq!(frames, 2);
}

/// Runs cameras one after the other, the first of which sends a picture and then only damaged ones, on a board with this camera.
/// Returns the number of frames that were classified, of cameras that were opened, and the warnings.
fn run_out_of_step(settings: CameraConfig) -> (u64, usize, Vec<String>) {
    let mut script = vec![Picture(1)];
    script.extend((0..12).flat_map(|_| [HalfJpeg, Silent]));
    let mut cameras = VecDeque::from([scripted(script), scripted(vec![Picture(2)])]);
    let opened = Arc::new(Mutex::new(0));
    let count = Arc::clone(&opened);
    let open_camera: OpenCamera = Box::new(move || {
        *count.lock().unwrap() += 1;
        cameras.pop_front().unwrap()()
    });
    let board = eyelet::board::Board {
        camera: settings,
        ..board()
    };
    let serial = Serial::new(false, Instant::now(), "unknown");
    let parts = Parts {
        serial,
        ..parts_on(board, model(), open_camera, Vec::new())
    };
    let mut device = start(parts).unwrap();
    let (stop, mut frames) = (AtomicBool::new(false), 0);
    let warnings = warnings_of(|| frames = device.run(&until(&stop)).unwrap());
    let opened = *opened.lock().unwrap();
    (frames, opened, warnings)
}

/// A webcam that is out of step recovers when its stream is started again.
#[test]
fn a_stream_of_damaged_pictures_is_opened_again_after_the_cameras_timeout() {
    let timeout = Duration::from_millis(400);
    let webcam = CameraConfig::V4l2(V4l2Config {
        timeout,
        ..V4l2Config::default()
    });
    let (frames, opened, warnings) = run_out_of_step(webcam);
    assert_eq!((frames, opened), (2, 2), "{warnings:?}");
    let why = "camera lost: no frame could be used for 400ms; the last one: ";
    assert!(
        warnings.iter().any(|line| line.contains(why)),
        "{warnings:?}"
    );
    // There is only one standard input.
    let pipe = CameraConfig::Pipe(PipeConfig {
        timeout,
        ..PipeConfig::default()
    });
    let (frames, opened, warnings) = run_out_of_step(pipe);
    assert_eq!((frames, opened), (1, 1), "{warnings:?}");
}

#[test]
fn a_jpeg_may_lack_its_end_marker_and_nothing_else() {
    for (bytes, expected) in [(0, 3), (2, 3), (20, 2), (1000, 2)] {
        let script = vec![Picture(9), CutJpeg(bytes), Picture(9)];
        assert_eq!(run(script, false).0, expected, "without {bytes} bytes");
    }
}

#[test]
fn the_stop_signal_is_heard_while_the_camera_is_lost() {
    let stop = AtomicBool::new(false);
    let script = (0..100).map(|_| Lost).collect();
    let mut device = start(parts(scripted(script), Vec::new())).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let started = Instant::now();
        device.run(&until(&stop)).unwrap();
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{:?}",
            started.elapsed()
        );
    });
}

/// When a display was given what: the state, and the class that it would show.
type Timed = Arc<Mutex<Vec<(Instant, State, Option<usize>)>>>;

struct TimedDisplay(Timed);

impl Display for TimedDisplay {
    fn describe(&self) -> String {
        "timed".into()
    }

    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError> {
        let class = scene.verdict.and_then(|v| v.decided).map(|c| c.class);
        let shown = (Instant::now(), scene.state, class);
        self.0.lock().unwrap().push(shown);
        Ok(())
    }
}

/// How long a class counts as live.
const LIVE_FOR: Duration = Duration::from_secs(3);
/// A busy machine may take longer over a slice, and one that emulates another processor still more.
const LATE: Duration = Duration::from_millis(if cfg!(target_arch = "x86_64") {
    2000
} else {
    5000
});

/// The camera's own timeout (5 s for a pipe) is longer than that. It is open all the time, and goes on by itself, or fails.
#[test]
fn a_class_of_a_camera_that_stalls_is_withdrawn_before_the_camera_gives_up() {
    for fails in [false, true] {
        let mut script = vec![Picture(1)];
        script.extend((0..100).map(|_| Silent));
        if fails {
            script.push(Stall);
        }
        script.push(Picture(1));
        let shown = Timed::default();
        let display = {
            let shown = Arc::clone(&shown);
            opened_by(move || Ok(Box::new(TimedDisplay(Arc::clone(&shown)))))
        };
        let beats = Counting::default();
        let mut care = Care::unwatched(Policy::default());
        care.watch(Box::new(beats.clone()));
        let (frames, _) = run_cared_on(vec![display], script, care);
        assert_eq!(frames, Ok(2));
        let (finished, unseen, waiting) = *beats.0.lock().unwrap();
        assert_eq!((finished, unseen), (2, 0));
        assert!(waiting >= 5, "a watchdog would bite: {waiting}");

        let shown = shown.lock().unwrap();
        let is_live = |(_, state, class): &(_, State, Option<usize>)| {
            *state == State::Live && class.is_some()
        };
        let live_at = shown.iter().position(is_live).unwrap();
        let lost_at = shown.iter().position(|shown| is_lost(shown.1)).unwrap();
        let back_at = shown.iter().rposition(is_live).unwrap();
        assert!(live_at < lost_at && lost_at < back_at);
        // The age of the class, from its capture: it is shown some time after that.
        let State::CameraLost { since } = shown[lost_at].1 else {
            unreachable!("it is lost");
        };
        assert!(
            (LIVE_FOR..LIVE_FOR + SLICE + LATE).contains(&since),
            "{since:?}"
        );
        for (_, state, class) in &shown[lost_at..back_at] {
            assert!(is_lost(*state) && class.is_none(), "{state:?} {class:?}");
        }
    }
}

#[test]
fn signals_are_heard_while_a_camera_is_silent() {
    let script = (0..100).map(|_| Silent).collect();
    let mut device = start(parts(scripted(script), Vec::new())).unwrap();
    // A reload is requested; reading the board for it requests the end.
    let (stop, wanted) = (AtomicBool::new(false), AtomicBool::new(false));
    let read = || {
        stop.store(true, Ordering::Relaxed);
        Ok(board())
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(150));
            wanted.store(true, Ordering::Relaxed);
        });
        let started = Instant::now();
        let limits = Limits {
            frames: None,
            stop: &stop,
            stats_every: None,
            reload: Some(Reload {
                wanted: &wanted,
                read: &read,
            }),
        };
        assert_eq!(device.run(&limits), Ok(0));
        let took = started.elapsed();
        assert!(
            took < Duration::from_millis(150) + SLICE * 2 + LATE,
            "{took:?}"
        );
    });
}

/// A camera that is lost at once. When it is closed, it notes what was shown before.
struct Closing {
    shown: Timed,
    at_close: Arc<Mutex<Vec<State>>>,
    pictures: u64,
    rgb: Vec<u8>,
}

impl Camera for Closing {
    fn describe(&self) -> String {
        "closing".into()
    }

    fn geometry(&self) -> Geometry {
        Geometry::packed(PixelFormat::Rgb24, SIDE_PX, SIDE_PX)
    }

    fn next(&mut self) -> Result<Next<'_>, CameraError> {
        self.pictures += 1;
        match self.pictures {
            1 => Ok(Next::Frame(
                Frame::new(self.geometry(), &self.rgb, clock::now(), 0).unwrap(),
            )),
            _ => Err(CameraError::Lost {
                camera: "closing".into(),
                reason: "No such device".into(),
            }),
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let shown = self.shown.lock().unwrap();
        self.at_close.lock().unwrap().push(shown.last().unwrap().1);
    }
}

/// To close a hung USB camera may take seconds.
#[test]
fn a_class_is_withdrawn_before_its_camera_is_closed() {
    let (shown, at_close) = (Timed::default(), Arc::new(Mutex::new(Vec::new())));
    let display = {
        let shown = Arc::clone(&shown);
        opened_by(move || Ok(Box::new(TimedDisplay(Arc::clone(&shown)))))
    };
    let stop = Arc::new(AtomicBool::new(false));
    let open_camera = {
        let (shown, at_close, stop) =
            (Arc::clone(&shown), Arc::clone(&at_close), Arc::clone(&stop));
        move || {
            // One that is reopened is not used any more.
            stop.store(!at_close.lock().unwrap().is_empty(), Ordering::Relaxed);
            Ok(Box::new(Closing {
                shown: Arc::clone(&shown),
                at_close: Arc::clone(&at_close),
                pictures: 0,
                rgb: vec![0; (SIDE_PX * SIDE_PX * 3) as usize],
            }) as Box<dyn Camera>)
        }
    };
    let open_camera = Box::new(open_camera);
    let mut device = start(parts(open_camera, vec![display])).unwrap();
    assert_eq!(device.run(&until(&stop)), Ok(1));
    let first = at_close.lock().unwrap()[0];
    assert!(is_lost(first), "{first:?}");
}

/// What a display shows is as old as its frame, not as the verdict about it.
#[test]
fn a_class_is_live_for_three_seconds_after_its_frame_was_captured() {
    let age = Duration::from_secs(2);
    let mut script = vec![Picture(1), Old(age)];
    script.extend((0..15).map(|_| Silent));
    // A frame that is too old already is classified and not shown.
    script.extend([Old(LIVE_FOR + age), Picture(1)]);
    let shown = Timed::default();
    let display = {
        let shown = Arc::clone(&shown);
        opened_by(move || Ok(Box::new(TimedDisplay(Arc::clone(&shown)))))
    };
    let care = Care::unwatched(Policy::default());
    let (frames, _) = run_cared_on(vec![display], script, care);
    assert_eq!(frames, Ok(4));
    let shown = shown.lock().unwrap();
    let is_live =
        |(_, state, class): &(_, State, Option<usize>)| *state == State::Live && class.is_some();
    let live_at = shown.iter().position(is_live).unwrap();
    let lost_at = shown.iter().position(|shown| is_lost(shown.1)).unwrap();
    let withdrawn_after = shown[lost_at].0 - shown[live_at].0;
    let left = LIVE_FOR - age;
    assert!(
        (left..left + SLICE + LATE).contains(&withdrawn_after),
        "{withdrawn_after:?}"
    );
    let back_at = shown.iter().rposition(|shown| is_lost(shown.1)).unwrap() + 1;
    assert!(
        shown[back_at..].iter().all(is_live),
        "{:?}",
        &shown[back_at..]
    );
    assert!(
        shown[lost_at..back_at]
            .iter()
            .all(|(_, state, class)| is_lost(*state) && class.is_none()),
        "{:?}",
        &shown[lost_at..back_at]
    );
}

/// Fails to be opened for these reasons, one after the other, and then is a camera without pictures.
fn opened_after(reasons: &[&'static str]) -> OpenCamera {
    let mut left: VecDeque<_> = reasons.iter().copied().collect();
    let mut camera = scripted(Vec::new());
    Box::new(move || match left.pop_front() {
        Some(reason) => Err(CameraError::Unusable(reason.into())),
        None => camera(),
    })
}

/// Each reason is reported once, and again only after a while.
#[test]
fn why_a_camera_cannot_be_opened_again_is_reported_whenever_it_changes() {
    let mut first = scripted(vec![Picture(1), Lost]);
    let mut others = opened_after(&["no camera", "no camera", "unusable format", "no camera"]);
    let mut is_first = true;
    let open_camera: OpenCamera = Box::new(move || match std::mem::take(&mut is_first) {
        true => first(),
        false => others(),
    });
    let serial = Serial::new(false, Instant::now(), "unknown");
    let parts = Parts {
        serial,
        ..parts(open_camera, Vec::new())
    };
    let mut device = start(parts).unwrap();
    let stop = AtomicBool::new(false);
    let warnings = warnings_of(|| assert_eq!(device.run(&until(&stop)), Ok(1)));
    let reasons: Vec<_> = warnings
        .iter()
        .filter(|line| line.contains("no camera") || line.contains("unusable format"))
        .collect();
    assert_eq!(
        reasons,
        [
            "camera: no camera",
            "camera: unusable format",
            "camera: no camera"
        ]
    );
    assert!(
        warnings.iter().any(|line| line.contains("No such device")),
        "{warnings:?}"
    );
}

#[test]
fn why_there_is_no_camera_at_start_is_reported_whenever_it_changes() {
    let mut care = Care::unwatched(Policy::default());
    care.watch(Box::new(Counting::default()));
    let open_camera = opened_after(&["no camera", "no camera", "unusable format"]);
    let parts = Parts {
        care,
        ..parts(open_camera, Vec::new())
    };
    let warnings = warnings_of(|| {
        start(parts).unwrap();
    });
    let waits = "opening it again until it is there";
    assert_eq!(
        warnings,
        ["no camera", "unusable format"].map(|why| format!("no camera yet: {why}; {waits}"))
    );
}

/// A pipe whose sender is slow: e-paper and panels would keep the last class meanwhile.
#[test]
fn displays_say_that_the_board_is_starting_while_a_stream_is_silent() {
    let shown = Shown::default();
    let display = recording(&shown, false);
    let seen = Arc::clone(&shown);
    let (mut asked, mut camera) = (0, scripted(vec![Picture(1)]));
    let open_camera: OpenCamera = Box::new(move || {
        let shown = seen.lock().unwrap();
        assert_eq!(shown.len(), asked);
        assert!(shown.iter().all(|(state, _)| *state == State::Starting));
        asked += 1;
        match asked {
            1..=3 => Err(CameraError::NotYet),
            _ => camera(),
        }
    });
    start(parts(open_camera, vec![display])).unwrap();
    assert!(shown.lock().unwrap().len() > 3);
}
