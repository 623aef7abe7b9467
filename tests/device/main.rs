//! The loop with a camera and a display of the test's own: what is reported and shown when one of them fails.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod cameras;
#[path = "../common/mod.rs"]
mod common;
mod displays;
#[allow(dead_code, reason = "other test programs use the rest")]
#[path = "../common/graph.rs"]
mod graph;
mod policy;
mod regions;

use common::fixture;
use eyelet::board::labelling::Labelling;
use eyelet::board::policy::Policy;
use eyelet::board::{Board, Firmware, Tier};
use eyelet::camera::{Camera, CameraConfig, CameraError, Next, PatternConfig, SLICE};
use eyelet::care::Care;
use eyelet::care::notify::Heartbeat;
use eyelet::decide::{ClassRules, DecideConfig};
use eyelet::device::{Device, Limits, OpenCamera, OpenDisplay, Parts};
use eyelet::frame::{Frame, Geometry, PixelFormat};
use eyelet::model::Model;
use eyelet::preprocess::Mount;
use eyelet::show::serial::Serial;
use eyelet::show::{Display, DisplayError, Scene, State};
use eyelet::{Failure, clock};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What the camera does next.
enum Act {
    /// Gives a picture of this grey level.
    Picture(u8),
    /// Gives a picture that was captured so long ago.
    Old(Duration),
    /// Gives a JPEG that ends in the middle.
    HalfJpeg,
    /// Gives a JPEG without its last so many bytes.
    CutJpeg(usize),
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
                warning: String::new(),
            }),
            Some(act @ (Act::Picture(_) | Act::Old(_))) => {
                let (grey, age) = match act {
                    Act::Picture(grey) => (grey, Duration::ZERO),
                    Act::Old(age) => (0, age),
                    _ => unreachable!("no picture"),
                };
                self.rgb = vec![grey; (SIDE_PX * SIDE_PX * 3) as usize];
                let geometry = Geometry::packed(PixelFormat::Rgb24, SIDE_PX, SIDE_PX);
                let captured_at = clock::now().saturating_sub(age);
                Ok(Next::Frame(
                    Frame::new(geometry, &self.rgb, captured_at, self.sequence).unwrap(),
                ))
            }
            Some(Act::CutJpeg(bytes)) => {
                let whole = jpeg();
                self.rgb = whole[..whole.len() - bytes].to_vec();
                let frame = Frame::new(self.geometry(), &self.rgb, clock::now(), self.sequence);
                Ok(Next::Frame(frame.unwrap()))
            }
            Some(Act::HalfJpeg) => {
                let data = &[0xFF, 0xD8, 0xFF, 0xE0, 0, 16, b'J', b'F'];
                let frame = Frame::new(self.geometry(), data, clock::now(), self.sequence);
                Ok(Next::Frame(frame.unwrap()))
            }
        }
    }
}

/// A picture of noise, so that each of its bytes counts.
fn jpeg() -> Vec<u8> {
    let noise = |x, y| image::Luma([((x * 7919 + y * 104_729) % 251) as u8]);
    let picture = image::GrayImage::from_fn(SIDE_PX, SIDE_PX, noise);
    let mut jpeg = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut jpeg, image::ImageFormat::Jpeg)
        .unwrap();
    jpeg.into_inner()
}

/// Opens cameras that act out a script, one after the other.
fn scripted(script: Vec<Act>) -> OpenCamera {
    let script: Script = Arc::new(Mutex::new(script.into()));
    Box::new(move || {
        Ok(Box::new(ScriptedCamera {
            script: Arc::clone(&script),
            rgb: vec![0; (SIDE_PX * SIDE_PX * 3) as usize],
            sequence: 0,
        }))
    })
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

/// A display that keeps in `shown` what it is given, and may fail after that.
fn recording(shown: &Shown, fails: bool) -> OpenDisplay {
    let shown = Arc::clone(shown);
    opened_by(move || {
        let shown = Arc::clone(&shown);
        Ok(Box::new(RecordingDisplay { shown, fails }))
    })
}

fn board() -> Board {
    Board {
        name: "test".into(),
        description: String::new(),
        tier: Tier::Untested,
        device_tree_models: Vec::new(),
        model: String::new(),
        precision: None,
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

/// A small network.
fn model() -> Model {
    Model::find(&fixture("opset13.onnx").display().to_string(), None).unwrap()
}

thread_local! {
    /// What this thread has warned of.
    static WARNINGS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Warnings;

impl log::Log for Warnings {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let text = record.args().to_string();
            WARNINGS.with_borrow_mut(|warnings| warnings.push(text));
        }
    }

    fn flush(&self) {}
}

/// What `job` warns of.
fn warnings_of(job: impl FnOnce()) -> Vec<String> {
    // Another test may have been faster.
    let _ = log::set_logger(&Warnings);
    log::set_max_level(log::LevelFilter::Warn);
    WARNINGS.take();
    job();
    WARNINGS.take()
}

fn serial() -> Serial {
    Serial::new(true, Instant::now(), "unknown")
}

/// The parts of an unsupervised board.
fn parts(open_camera: OpenCamera, displays: Vec<OpenDisplay>) -> Parts {
    parts_on(board(), model(), open_camera, displays)
}

/// The same with another board file and model.
fn parts_on(
    board: Board,
    model: Model,
    open_camera: OpenCamera,
    displays: Vec<OpenDisplay>,
) -> Parts {
    Parts {
        labelling: Labelling::of(&board, &model).unwrap(),
        care: Care::unwatched(board.policy.clone()),
        serial: serial(),
        earlier: Vec::new(),
        board,
        model,
        open_camera,
        displays,
    }
}

/// Starts a device that is not told to stop.
fn start(parts: Parts) -> Result<Device, Failure> {
    Device::start(parts, &AtomicBool::new(false))
}

/// A run to the camera's end.
fn until(stop: &AtomicBool) -> Limits<'_> {
    Limits {
        frames: None,
        stop,
        stats_every: None,
        reload: None,
    }
}

/// Runs a script to its end; gives the frames that were classified and what the display was given.
fn run(script: Vec<Act>, display_fails: bool) -> (u64, Vec<(State, Option<usize>)>) {
    let shown = Shown::default();
    let parts = parts(scripted(script), vec![recording(&shown, display_fails)]);
    let mut device = start(parts).unwrap();
    let stop = AtomicBool::new(false);
    let frames = device.run(&until(&stop)).unwrap();
    let shown = shown.lock().unwrap().clone();
    (frames, shown)
}

fn is_lost(state: State) -> bool {
    matches!(state, State::CameraLost { .. })
}

/// Whether the network is said to fail.
fn does_network_fail(state: State) -> bool {
    matches!(state, State::NetworkFails { .. })
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
    let stop = AtomicBool::new(false);
    let parts = Parts {
        care,
        ..parts(scripted(script), displays)
    };
    let mut device = start(parts).unwrap();
    let began = Instant::now();
    let limits = until(&stop);
    (device.run(&limits), began.elapsed())
}

/// Counts what is reported to it: frames that were finished, and unseen, and waits.
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
