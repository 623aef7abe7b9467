//! The loop with a camera and a display of the test's own: what is told and shown when one of them fails.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;

use common::fixture;
use eyelet::board::policy::{Action, Hot, Policy, Rule};
use eyelet::board::{Board, Firmware, Region, Tier};
use eyelet::camera::{Camera, CameraConfig, CameraError, CameraKind, Next, PatternConfig, SLICE};
use eyelet::care::Care;
use eyelet::care::notify::Heartbeat;
use eyelet::decide::{ClassRules, DecideConfig};
use eyelet::device::reload::Reload;
use eyelet::device::{Device, Limits, OpenDisplay, Parts};
use eyelet::frame::{Frame, Geometry, PixelFormat};
use eyelet::model::Model;
use eyelet::preprocess::{Area, Mount};
use eyelet::show::serial::Serial;
use eyelet::show::{Display, DisplayError, Scene, State};
use eyelet::{Failure, clock};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What the camera does next.
enum Act {
    /// Gives a picture of this grey level.
    Picture(u8),
    /// Gives a JPEG that ends in the middle.
    HalfJpeg,
    /// Fails as a pulled cable does.
    Lost,
    /// Gives no picture in a slice of time.
    Silent,
    /// Has given no picture for its timeout.
    Stall,
}

/// The acts of all cameras that are opened one after the other, and how many times opening fails in between.
type Script = Arc<Mutex<VecDeque<Act>>>;

struct ScriptedCamera {
    script: Script,
    rgb: Vec<u8>,
    sequence: u64,
}

const SIDE_PX: u32 = 64;

impl Camera for ScriptedCamera {
    fn describe(&self) -> String {
        "scripted".into()
    }

    fn geometry(&self) -> Geometry {
        Geometry {
            format: PixelFormat::Mjpeg,
            width_px: SIDE_PX,
            height_px: SIDE_PX,
            stride_bytes: 0,
        }
    }

    fn next(&mut self) -> Result<Next<'_>, CameraError> {
        let camera = "scripted".to_owned();
        self.sequence += 1;
        match self.script.lock().unwrap().pop_front() {
            None => Ok(Next::End),
            Some(Act::Lost) => Err(CameraError::Lost {
                camera,
                reason: "No such device".into(),
            }),
            Some(Act::Silent) => {
                std::thread::sleep(SLICE);
                Ok(Next::NotYet)
            }
            Some(Act::Stall) => Err(CameraError::Timeout {
                camera,
                waited: Duration::from_secs(2),
                doubt: String::new(),
            }),
            Some(Act::Picture(grey)) => {
                self.rgb.fill(grey);
                let geometry = Geometry::packed(PixelFormat::Rgb24, SIDE_PX, SIDE_PX);
                Ok(Next::Frame(
                    Frame::new(geometry, &self.rgb, clock::now(), self.sequence).unwrap(),
                ))
            }
            Some(Act::HalfJpeg) => {
                let data = &[0xFF, 0xD8, 0xFF, 0xE0, 0, 16, b'J', b'F'];
                let frame = Frame::new(self.geometry(), data, clock::now(), self.sequence);
                Ok(Next::Frame(frame.unwrap()))
            }
        }
    }
}

/// What a display was given: the state, and the class that it would show.
type Shown = Arc<Mutex<Vec<(State, Option<usize>)>>>;

struct RecordingDisplay {
    shown: Shown,
    fails: bool,
}

impl Display for RecordingDisplay {
    fn describe(&self) -> String {
        "recording".into()
    }

    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError> {
        if self.fails {
            return Err(DisplayError::Failed("the panel is gone".into()));
        }
        let class = scene.verdict.and_then(|v| v.decided).map(|c| c.class);
        self.shown.lock().unwrap().push((scene.state, class));
        Ok(())
    }
}

/// How a display of the test's own is opened.
fn opened_by(
    open: impl Fn() -> Result<Box<dyn Display>, DisplayError> + Send + Sync + 'static,
) -> OpenDisplay {
    OpenDisplay {
        name: "display".into(),
        is_required: false,
        is_slow: false,
        open: Arc::new(open),
    }
}

fn board() -> Board {
    Board {
        name: "test".into(),
        description: String::new(),
        tier: Tier::Untested,
        device_tree_models: Vec::new(),
        model: String::new(),
        threads: 1,
        pool: eyelet::memory::PoolSize::Bytes(32 << 20),
        camera: CameraConfig::Pattern(PatternConfig::default()),
        mount: Mount::default(),
        regions: Vec::new(),
        decide: DecideConfig {
            ema_weight: 1.0,
            enter: 0.0,
            leave: 0.0,
            frames_in_a_row: 1,
            hold: Duration::ZERO,
            unknown_label: "unknown".into(),
            classes: ClassRules::default(),
        },
        displays: Vec::new(),
        font: None,
        firmware: Firmware::default(),
        policy: Policy::default(),
    }
}

/// Runs a script to its end; gives the frames that were classified and what the display was given.
fn run(script: Vec<Act>, display_fails: bool) -> (u64, Vec<(State, Option<usize>)>) {
    let script: Script = Arc::new(Mutex::new(script.into()));
    let shown = Shown::default();
    let model = Model::find(&fixture("opset13.onnx").display().to_string(), None).unwrap();
    let open_camera = move || {
        let rgb = vec![0; (SIDE_PX * SIDE_PX * 3) as usize];
        Ok(Box::new(ScriptedCamera {
            script: Arc::clone(&script),
            rgb,
            sequence: 0,
        }) as Box<dyn Camera>)
    };
    let to_display = Arc::clone(&shown);
    let open_display = move || {
        let display = RecordingDisplay {
            shown: Arc::clone(&to_display),
            fails: display_fails,
        };
        Ok(Box::new(display) as Box<dyn Display>)
    };
    let serial = Serial::new(true, Instant::now(), "unknown");
    let mut device = Device::start_with(
        board(),
        model,
        serial,
        Box::new(open_camera),
        vec![opened_by(open_display)],
    )
    .unwrap();
    let stop = AtomicBool::new(false);
    let frames = device
        .run(&Limits {
            frames: None,
            stop: &stop,
            stats_every: None,
            reload: None,
        })
        .unwrap();
    let shown = shown.lock().unwrap().clone();
    (frames, shown)
}

fn is_lost(state: State) -> bool {
    matches!(state, State::CameraLost { .. })
}

#[test]
fn a_pulled_cable_is_shown_and_survived() {
    use Act::{Lost, Picture};
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
    let (frames, shown) = run(vec![Act::Picture(1), Act::Stall, Act::Picture(1)], false);
    assert_eq!(frames, 2);
    assert!(shown.iter().any(|(state, _)| is_lost(*state)));
    assert_eq!(shown.last().unwrap().0, State::Live);
}

#[test]
fn damaged_pictures_are_skipped() {
    let mut script: Vec<Act> = (0..1000).map(|_| Act::HalfJpeg).collect();
    script.insert(0, Act::Picture(9));
    script.push(Act::Picture(9));
    let (frames, _) = run(script, false);
    assert_eq!(frames, 2);
}

#[test]
fn a_display_that_fails_does_not_stop_the_loop() {
    let (frames, shown) = run((0..50).map(Act::Picture).collect(), true);
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
    let script = (0..250).map(Act::Picture).collect();
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
    let one = |index: usize, fails: bool, is_slow: bool| {
        let shown = Arc::clone(&shown[index]);
        OpenDisplay {
            name: format!("display {index}"),
            is_slow,
            ..opened_by(move || {
                let shown = Arc::clone(&shown);
                Ok(Box::new(RecordingDisplay { shown, fails }))
            })
        }
    };
    let displays = vec![
        one(0, true, false),
        one(1, false, false),
        one(2, true, true),
    ];
    let beats = Counting::default();
    let mut care = Care::unwatched(Policy::default());
    care.watch(Box::new(beats.clone()));
    let (frames, _) = run_cared_on(displays, (0..20).map(Act::Picture).collect(), care);
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
    let start = |displays| {
        Device::start_with(
            board(),
            Model::find(&fixture("opset13.onnx").display().to_string(), None).unwrap(),
            Serial::new(true, Instant::now(), "unknown"),
            Box::new(|| PatternConfig::default().open()),
            displays,
        )
    };
    assert!(start(vec![absent("display a", false), absent("display b", false)]).is_ok());
    let failure = start(vec![absent("display a", false), absent("display b", true)]);
    let failure = failure.err().unwrap();
    assert_eq!(failure.cause, eyelet::Cause::Display);
    assert_eq!(failure.message, "display b: no panel");
    let failure = start(vec![absent("display", true)]).err().unwrap();
    assert_eq!(failure.message, "no panel");
}

#[test]
fn the_stop_signal_is_heard_while_the_camera_is_lost() {
    let stop = AtomicBool::new(false);
    let model = Model::find(&fixture("opset13.onnx").display().to_string(), None).unwrap();
    let script: Script = Arc::new(Mutex::new((0..100).map(|_| Act::Lost).collect()));
    let open_camera = move || {
        let rgb = vec![0; (SIDE_PX * SIDE_PX * 3) as usize];
        Ok(Box::new(ScriptedCamera {
            script: Arc::clone(&script),
            rgb,
            sequence: 0,
        }) as Box<dyn Camera>)
    };
    let serial = Serial::new(true, Instant::now(), "unknown");
    let mut device =
        Device::start_with(board(), model, serial, Box::new(open_camera), Vec::new()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let started = Instant::now();
        device
            .run(&Limits {
                frames: None,
                stop: &stop,
                stats_every: None,
                reload: None,
            })
            .unwrap();
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{:?}",
            started.elapsed()
        );
    });
}

/// A board that is looked after by `care` takes so many pictures of a script.
fn run_cared(script: Vec<Act>, care: Care) -> (Result<u64, Failure>, Duration) {
    run_cared_on(Vec::new(), script, care)
}

/// The same with displays.
fn run_cared_on(
    displays: Vec<OpenDisplay>,
    script: Vec<Act>,
    care: Care,
) -> (Result<u64, Failure>, Duration) {
    let script: Script = Arc::new(Mutex::new(script.into()));
    let model = Model::find(&fixture("opset13.onnx").display().to_string(), None).unwrap();
    let open_camera = move || {
        let rgb = vec![0; (SIDE_PX * SIDE_PX * 3) as usize];
        Ok(Box::new(ScriptedCamera {
            script: Arc::clone(&script),
            rgb,
            sequence: 0,
        }) as Box<dyn Camera>)
    };
    let serial = Serial::new(true, Instant::now(), "unknown");
    let stop = AtomicBool::new(false);
    let parts = Parts {
        board: board(),
        model,
        serial,
        open_camera: Box::new(open_camera),
        displays,
        care,
    };
    let mut device = Device::start_watched(parts, &stop).unwrap();
    let began = Instant::now();
    let limits = Limits {
        frames: None,
        stop: &stop,
        stats_every: None,
        reload: None,
    };
    (device.run(&limits), began.elapsed())
}

#[test]
fn a_hot_board_takes_fewer_frames_where_its_policy_says_so() {
    let sys = tempfile::tempdir().unwrap();
    let zone = sys.path().join("class/thermal/thermal_zone0");
    std::fs::create_dir_all(&zone).unwrap();
    let took = |temperature: &str, action: Action| {
        std::fs::write(zone.join("temp"), temperature).unwrap();
        let default = Policy::default();
        let rule = Rule {
            action,
            after: Duration::ZERO,
        };
        let mut care = Care::unwatched(Policy {
            degraded_rate_fps: 20.0,
            hot: Hot {
                rule,
                ..default.hot
            },
            ..default
        });
        care.read_health_at(sys.path());
        run_cared((0..10).map(Act::Picture).collect(), care)
    };
    let (cool, cool_time) = took("79000", Action::Degrade);
    let (hot, hot_time) = took("81000", Action::Degrade);
    assert_eq!((cool, hot), (Ok(10), Ok(10)));
    assert!(cool_time < Duration::from_millis(400), "{cool_time:?}");
    assert!(hot_time >= Duration::from_millis(450), "{hot_time:?}");
    let (failed, _) = took("81000", Action::Reboot);
    let failure = failed.unwrap_err();
    assert_eq!(
        (failure.cause as u8, failure.message.as_str()),
        (14, "policy: too hot for 0 s")
    );
}

/// Counts what it is told: frames that were finished, and unseen, and waits.
#[derive(Clone, Default)]
struct Counting(Arc<Mutex<(u32, u32, u32)>>);

impl Heartbeat for Counting {
    fn finished(&mut self) {
        self.0.lock().unwrap().0 += 1;
    }

    fn unseen(&mut self) {
        self.0.lock().unwrap().1 += 1;
    }

    fn waiting(&mut self) {
        self.0.lock().unwrap().2 += 1;
    }

    fn says(&mut self, _words: &str) {}
}

#[test]
fn only_finished_frames_and_a_wait_that_is_allowed_are_heartbeats() {
    let beats = Counting::default();
    let watched = |rule: Rule| {
        let mut care = Care::unwatched(Policy {
            camera_lost: rule,
            ..Policy::default()
        });
        care.watch(Box::new(beats.clone()));
        care
    };
    let retry = Policy::default().camera_lost;
    // Pictures that are damaged are no frames, and a few of them are no loss either.
    let mut script: Vec<Act> = (0..5).map(Act::Picture).collect();
    script.extend((0..20).map(|_| Act::HalfJpeg));
    assert_eq!(run_cared(script, watched(retry)).0, Ok(5));
    assert_eq!(std::mem::take(&mut *beats.0.lock().unwrap()), (5, 0, 0));

    let script = || vec![Act::Picture(1), Act::Lost, Act::Lost, Act::Picture(2)];
    assert_eq!(run_cared(script(), watched(retry)).0, Ok(2));
    let (finished, unseen, waiting) = std::mem::take(&mut *beats.0.lock().unwrap());
    assert_eq!((finished, unseen), (2, 0));
    assert!(waiting >= 4, "{waiting}");

    let at_once = Rule {
        action: Action::Reboot,
        after: Duration::ZERO,
    };
    let failure = run_cared(script(), watched(at_once)).0.unwrap_err();
    assert_eq!(failure.message, "policy: camera lost for 0 s");
    assert_eq!(std::mem::take(&mut *beats.0.lock().unwrap()), (1, 0, 0));

    let fails = || {
        Ok(Box::new(RecordingDisplay {
            shown: Shown::default(),
            fails: true,
        }) as Box<dyn Display>)
    };
    let script = (0..5).map(Act::Picture).collect();
    let (result, _) = run_cared_on(vec![opened_by(fails)], script, watched(retry));
    assert_eq!(result, Ok(5));
    assert_eq!(*beats.0.lock().unwrap(), (0, 5, 0));
}

/// What a display was given of two regions: the state, and which of them had a live verdict and a picture.
type Halves = Arc<Mutex<Vec<(State, [bool; 2])>>>;

struct HalvesDisplay(Halves);

impl Display for HalvesDisplay {
    fn describe(&self) -> String {
        "halves".into()
    }

    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError> {
        assert_eq!(scene.regions.len(), 2);
        let live = [0, 1].map(|i| scene.regions[i].verdict.is_some());
        if scene.state == State::Live {
            let pictured = [0, 1].map(|i| scene.regions[i].picture.is_some());
            assert_eq!(live, pictured);
        }
        self.0.lock().unwrap().push((scene.state, live));
        Ok(())
    }
}

#[test]
fn regions_take_turns_and_a_lost_camera_leaves_none_of_them_live() {
    use Act::{HalfJpeg, Lost, Picture};
    let script = vec![
        Picture(1),
        HalfJpeg,
        Picture(2),
        Picture(3),
        Lost,
        Picture(4),
        Picture(5),
    ];
    let script: Script = Arc::new(Mutex::new(script.into()));
    let shown = Halves::default();
    let to_display = Arc::clone(&shown);
    let half = |name: &str, left| Region {
        name: Some(name.into()),
        area: Area {
            left,
            top: 0.0,
            width: 0.5,
            height: 1.0,
        },
    };
    let open_camera = move || {
        Ok(Box::new(ScriptedCamera {
            script: Arc::clone(&script),
            rgb: vec![0; (SIDE_PX * SIDE_PX * 3) as usize],
            sequence: 0,
        }) as Box<dyn Camera>)
    };
    let open_display = move || {
        let display = HalvesDisplay(Arc::clone(&to_display));
        Ok(Box::new(display) as Box<dyn Display>)
    };
    let mut device = Device::start_with(
        Board {
            regions: vec![half("left", 0.0), half("right", 0.5)],
            ..board()
        },
        Model::find(&fixture("opset13.onnx").display().to_string(), None).unwrap(),
        Serial::new(true, Instant::now(), "unknown"),
        Box::new(open_camera),
        vec![opened_by(open_display)],
    )
    .unwrap();
    let stop = AtomicBool::new(false);
    let limits = Limits {
        frames: None,
        stop: &stop,
        stats_every: None,
        reload: None,
    };
    assert_eq!(device.run(&limits).unwrap(), 5);
    // Only changes are looked at: how often a display is drawn is a matter of time.
    let mut live: Vec<[bool; 2]> = shown.lock().unwrap().iter().map(|s| s.1).collect();
    live.dedup();
    let (none, left, right, both) = ([false; 2], [true, false], [false, true], [true; 2]);
    // The fourth frame is the right one's turn again.
    assert_eq!(live, [none, left, both, none, right, both]);
    let shown = shown.lock().unwrap();
    let lost = shown.iter().filter(|(state, _)| is_lost(*state));
    assert!(lost.clone().count() > 0 && lost.clone().all(|(_, live)| *live == none));
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
/// A busy machine may take longer over a slice.
const LATE: Duration = Duration::from_millis(800);

/// The camera's own timeout (5 s for a pipe) is longer than that. It is open all the time, and goes on by itself, or fails.
#[test]
fn a_class_of_a_camera_that_stalls_is_withdrawn_before_the_camera_gives_up() {
    for fails in [false, true] {
        let mut script = vec![Act::Picture(1)];
        script.extend((0..40).map(|_| Act::Silent));
        if fails {
            script.push(Act::Stall);
        }
        script.push(Act::Picture(1));
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
        let withdrawn_after = shown[lost_at].0 - shown[live_at].0;
        assert!(
            (LIVE_FOR..LIVE_FOR + SLICE + LATE).contains(&withdrawn_after),
            "{withdrawn_after:?}"
        );
        for (_, state, class) in &shown[lost_at..back_at] {
            assert!(is_lost(*state) && class.is_none(), "{state:?} {class:?}");
        }
    }
}

#[test]
fn signals_are_heard_while_a_camera_is_silent() {
    let script: Script = Arc::new(Mutex::new((0..100).map(|_| Act::Silent).collect()));
    let open_camera = move || {
        Ok(Box::new(ScriptedCamera {
            script: Arc::clone(&script),
            rgb: Vec::new(),
            sequence: 0,
        }) as Box<dyn Camera>)
    };
    let mut device = Device::start_with(
        board(),
        Model::find(&fixture("opset13.onnx").display().to_string(), None).unwrap(),
        Serial::new(true, Instant::now(), "unknown"),
        Box::new(open_camera),
        Vec::new(),
    )
    .unwrap();
    // A reload is wanted, and by reading the board anew the end.
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
