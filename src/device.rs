//! The loop: newest frame, network, verdict, display; and what happens when one of them fails.
//!
//! Nothing queues. The loop waits for a camera in slices ([`camera::SLICE`](crate::camera::SLICE)), so a class is withdrawn in
//! time even when the camera's own timeout is longer. A camera that fails is reopened with growing pauses; meanwhile display and
//! log report it as lost, and no old class is shown as live. A network that fails on every frame is reported likewise. A display
//! that fails is reopened too; the other displays and the serial log continue. How long that may last is the board's policy, which
//! [`Care`] enforces; it also reports each finished frame to whatever supervises the board.

mod displays;
pub mod reload;
mod start;
mod trouble;
pub(crate) mod views;

use crate::board::Board;
use crate::camera::{Camera, CameraError, Counts, Next};
use crate::care::Care;
use crate::care::notify::CLASSIFYING;
use crate::memory;
use crate::network::Network;
use crate::output::live;
use crate::preprocess::Preprocess;
use crate::show::serial::Serial;
use crate::show::{Fault, Scene, State};
use crate::stats::{Stage, Stats, Stopwatch};
use crate::{Cause, Failure, clock};
use displays::Displays;
pub use displays::OpenDisplay;
use reload::Reload;
pub use start::Parts;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use trouble::{Reason, Trouble};
use views::Views;

/// First and longest pause between two attempts to open a lost camera.
const REOPEN_PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));
/// The picture on a display is refreshed this often while the verdict stays the same.
const PICTURE_PERIOD: Duration = Duration::from_millis(100);
/// A verdict whose frame was captured longer ago than this is no longer live, whatever the camera reports; twice the time that a
/// frame takes to be classified, if that is longer.
const LIVE_FOR: Duration = Duration::from_secs(3);
/// How often counters and percentiles are logged, unless the interval is set in frames.
const STATS_PERIOD: Duration = Duration::from_secs(60);

/// When the loop ends, and how often it logs its counters.
#[derive(Debug)]
pub struct Limits<'a> {
    /// After this many frames.
    pub frames: Option<u64>,
    /// When this becomes true (set by a signal).
    pub stop: &'a AtomicBool,
    /// Log the counters every this many frames instead of by time.
    pub stats_every: Option<u64>,
    /// When to reread the board file.
    pub reload: Option<Reload<'a>>,
}

/// A running board.
pub struct Device {
    board: Board,
    labels: Vec<String>,
    /// The model's name and its own labels, by which a board file names classes.
    classes_of: (String, Vec<String>),
    /// The labels as a display has them.
    shown: Arc<[String]>,
    camera: Option<Box<dyn Camera>>,
    preprocess: Preprocess,
    network: Network,
    views: Views,
    displays: Displays,
    serial: Serial,
    stats: Stats,
    /// When the frame of the newest verdict was captured, on [`clock::now`]; `None` before the first one.
    live_at: Option<Duration>,
    /// How long it is live from then on.
    live_for: Duration,
    lost: Option<Lost>,
    /// Measures the wait for the next frame.
    waiting: Option<Stopwatch>,
    /// Number of times a camera was lost since start, and of damaged frames that only the decoder detected.
    past: Counts,
    drawn_at: Instant,
    trouble: Trouble,
    /// Why the camera is lost.
    reason: Reason,
    care: Care,
    /// Whether all displays were showing scenes when the last frame was finished.
    is_seen: bool,
    /// When the last frame was finished; initially, when the device was started.
    finished_at: Instant,
    /// When the current run of unusable frames began, and why the last one was unusable; `None` after a good one.
    skipped: Option<(Instant, Failure)>,
    open_camera: OpenCamera,
}

/// How a board's camera is opened, at start and after each loss.
pub type OpenCamera = Box<dyn FnMut() -> Result<Box<dyn Camera>, CameraError>>;

/// There are no classes.
#[derive(Debug, Clone, Copy)]
struct Lost {
    /// On [`clock::now`].
    since: Duration,
    /// Why, at present.
    fault: Fault,
    /// Whether the camera's fault is known and reported; otherwise it is still open.
    is_explained: bool,
}

enum Step {
    Frame,
    /// No frame yet.
    Nothing,
    /// An unusable frame, and why.
    Skipped(Failure),
    CameraFailed(CameraError),
    End,
}

impl Device {
    /// Runs until the frame limit, the end of the camera's pictures, or `stop`. Returns the number of frames classified.
    pub fn run(&mut self, limits: &Limits<'_>) -> Result<u64, Failure> {
        let mut pause = REOPEN_PAUSE.0;
        let mut reported_at = Instant::now();
        while !limits.stop.load(Ordering::Relaxed)
            && limits.frames.is_none_or(|n| self.stats.frames() < n)
        {
            let began = Instant::now();
            live::begin_round();
            if let Some(reload) = &limits.reload
                && reload.wanted.swap(false, Ordering::Relaxed)
            {
                self.reload(reload);
            }
            let step = self.step();
            self.care.check(memory::usage(), &self.serial)?;
            self.serial.check()?;
            match step {
                Step::Frame => {
                    pause = REOPEN_PAUSE.0;
                    self.finish_frame();
                    let due = match limits.stats_every {
                        Some(frames) => self.stats.frames().is_multiple_of(frames.max(1)),
                        None => reported_at.elapsed() >= STATS_PERIOD,
                    };
                    if due {
                        reported_at = Instant::now();
                        self.report_stats("stats");
                    }
                    self.keep_rate(began, limits.stop);
                }
                Step::Skipped(why) => {
                    self.skip(why)?;
                    match self.useless_stream() {
                        Some(why) => self.rebuild_camera(&why, &mut pause, limits.stop)?,
                        None => self.go_without_frame()?,
                    }
                }
                Step::Nothing => self.go_without_frame()?,
                Step::End => {
                    if let (0, Some((_, why))) = (self.stats.frames(), &self.skipped) {
                        return Err(no_frame(why));
                    }
                    break;
                }
                Step::CameraFailed(error @ CameraError::Spent(_)) => return Err(error.into()),
                Step::CameraFailed(error) => {
                    self.rebuild_camera(&error.to_string(), &mut pause, limits.stop)?;
                }
            }
        }
        self.report_stats("end");
        self.serial.check()?;
        Ok(self.stats.frames())
    }

    /// A frame was unusable. If there were good ones before, that may pass; otherwise the caller is told why. A supervised board
    /// follows its policy.
    fn skip(&mut self, why: Failure) -> Result<(), Failure> {
        let since = self.skipped.as_ref().map_or_else(Instant::now, |s| s.0);
        if self.is_vain() && since.elapsed() > LIVE_FOR {
            return Err(no_frame(&why));
        }
        self.skipped = Some((since, why));
        Ok(())
    }

    /// Whether no frame has been usable so far, and somebody at a desk waits for the first one.
    fn is_vain(&self) -> bool {
        self.live_at.is_none() && !self.care.is_supervised()
    }

    /// Why the camera's stream has to be rebuilt although frames arrive: all of them were damaged for as long as its timeout, as
    /// after a disturbance that left it out of step. A pipe has only one stream.
    fn useless_stream(&self) -> Option<String> {
        let settings = self.board.camera.settings();
        let timeout = settings.timeout().filter(|_| !settings.ends_for_good())?;
        let (since, why) = self.skipped.as_ref()?;
        let is_due = why.cause == Cause::Camera && since.elapsed() >= timeout && !self.is_vain();
        is_due.then(|| format!("no frame could be used for {timeout:?}; the last one: {why}"))
    }

    /// One frame, from camera to display.
    fn step(&mut self) -> Step {
        let Some(camera) = self.camera.as_mut() else {
            return Step::CameraFailed(CameraError::Unusable("the camera is not open".into()));
        };
        if let Some(damage) = camera.damage() {
            self.trouble.report(&self.serial, "frame skipped", &damage);
        }
        let mut watch = self.waiting.take().unwrap_or_else(Stopwatch::start);
        let frame = match camera.next() {
            Ok(Next::Frame(frame)) => frame,
            Ok(Next::NotYet) => {
                self.waiting = Some(watch);
                return Step::Nothing;
            }
            Ok(Next::End) => return Step::End,
            Err(error) => return Step::CameraFailed(error),
        };
        watch.lap(Stage::Camera);
        let (captured_at, taken_at) = (frame.captured_at, clock::now());
        let turn = self.views.turn();
        let filled = match self.preprocess.decode(turn, &frame) {
            Ok(decoded) => {
                watch.lap(Stage::Decode);
                self.views.end_turn();
                decoded.fill(self.network.input())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = filled {
            self.past.damaged += 1;
            self.trouble.report(&self.serial, "frame skipped", &error);
            return Step::Skipped(Failure::new(Cause::Camera, error));
        }
        watch.lap(Stage::Preprocess);
        let view = &mut self.views.all[turn];
        let (verdict, is_news) = match self.network.run() {
            Ok(scores) => view.step(scores, captured_at),
            Err(error) => {
                self.trouble.report(&self.serial, "frame skipped", &error);
                return Step::Skipped(error.into());
            }
        };
        watch.lap(Stage::Infer);
        let now = clock::now();
        (watch.times).set(Stage::Latency, now.saturating_sub(captured_at));
        self.skipped = None;
        self.live_at = Some(captured_at);
        self.live_for = LIVE_FOR.max(2 * now.saturating_sub(taken_at));
        if let Some(age) = self.too_old() {
            let why = format!(
                "its frame was {:.1} s old when it was classified: use a faster model, or another camera if its driver's times are wrong",
                age.as_secs_f32()
            );
            self.trouble.report(&self.serial, "class not shown", &why);
        }
        self.find_camera();
        if is_news || self.drawn_at.elapsed() >= PICTURE_PERIOD {
            self.draw();
        }
        watch.lap(Stage::Show);
        self.stats.record(watch.times);
        if is_news || self.serial.reports_every_frame() {
            let (frame, region) = (self.stats.frames(), self.views.all[turn].name());
            self.serial
                .verdict(frame, region, &verdict, &self.labels, &watch.times);
        }
        Step::Frame
    }

    /// The frame was shown: the board is doing its job.
    fn finish_frame(&mut self) {
        self.finished_at = Instant::now();
        let is_seen = self.displays.all_show();
        self.care.finished(is_seen);
        if is_seen && !self.is_seen {
            self.say_status();
        }
        self.is_seen = is_seen;
    }

    /// There is no usable frame. Briefly, that is harmless; then the class is withdrawn, and the policy says how long it may
    /// last.
    fn go_without_frame(&mut self) -> Result<(), Failure> {
        self.withdraw_if_stale();
        let fault = self.fault();
        if let Some(lost) = &mut self.lost {
            let before = std::mem::replace(&mut lost.fault, fault);
            self.draw();
            if before != fault {
                self.say_status();
            }
        }
        let since = self.finished_at.elapsed();
        if self.lost.is_some() || since > LIVE_FOR {
            match fault {
                Fault::Network => self.care.failing(since)?,
                Fault::Camera => self.care.waiting(since)?,
            }
        }
        Ok(())
    }

    /// Why there is no usable frame: the network, if the camera's frames are good and it has failed on the newest.
    fn fault(&self) -> Fault {
        let why = self.skipped.as_ref().map(|(_, why)| why.cause);
        match self.camera.is_some() && why.is_some_and(|cause| cause != Cause::Camera) {
            true => Fault::Network,
            false => Fault::Camera,
        }
    }

    /// The age of the newest verdict's frame, if that is too old to be live.
    fn too_old(&self) -> Option<Duration> {
        let age = clock::now().saturating_sub(self.live_at?);
        (age > self.live_for).then_some(age)
    }

    /// Sleeps until the next frame is due, if the frame rate is reduced.
    fn keep_rate(&mut self, began: Instant, stop: &AtomicBool) {
        let Some(period) = self.care.frame_period() else {
            return;
        };
        while !stop.load(Ordering::Relaxed) {
            let left = period.saturating_sub(began.elapsed());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(PICTURE_PERIOD));
            self.withdraw_if_stale();
        }
    }

    /// The camera failed: drop the verdict, report it once, close the camera. In that order: to stop a hung USB device may take
    /// seconds.
    fn lose_camera(&mut self, why: &str) {
        self.waiting = None;
        // One that was not opened again has said why already.
        let is_new = self.camera.is_some() && self.reason.is_due(why);
        match &mut self.lost {
            None => {
                let lost = Lost {
                    since: clock::now(),
                    fault: Fault::Camera,
                    is_explained: true,
                };
                self.withdraw(lost, why);
            }
            Some(lost) if !lost.is_explained => {
                lost.is_explained = true;
                self.serial.trouble("camera", why);
            }
            Some(_) if is_new => self.serial.trouble("camera", why),
            Some(_) => {}
        }
        if let Some(camera) = self.camera.take() {
            let counts = camera.counts();
            self.past.stale += counts.stale;
            self.past.damaged += counts.damaged;
        }
    }

    /// The newest verdict has become too old to be live, whatever the camera does.
    fn withdraw_if_stale(&mut self) {
        if let (None, Some(since), Some(_)) = (self.lost, self.live_at, self.too_old()) {
            let fault = self.fault();
            let why = match (fault, &self.skipped) {
                (Fault::Network, Some((_, why))) => why.to_string(),
                _ => format!("no usable frame for {} s", self.live_for.as_secs()),
            };
            let lost = Lost {
                since,
                fault,
                is_explained: false,
            };
            self.withdraw(lost, &why);
        }
    }

    /// Drops the verdict and its history, first of all from the displays.
    fn withdraw(&mut self, lost: Lost, why: &str) {
        self.lost = Some(lost);
        self.views.forget();
        self.draw();
        self.serial.lost(lost.fault, why);
        self.say_status();
    }

    /// A frame was classified: if there were none, report that they are back.
    fn find_camera(&mut self) {
        let Some(lost) = self.lost.take() else {
            return;
        };
        self.reason = Reason::default();
        let camera = self
            .camera
            .as_ref()
            .map_or_else(String::new, |c| c.describe());
        let lasted = clock::now().saturating_sub(lost.since);
        self.serial.back(lost.fault, &camera, lasted);
        self.say_status();
    }

    /// Closes the camera and opens it again after a pause, which grows until frames come.
    fn rebuild_camera(
        &mut self,
        why: &str,
        pause: &mut Duration,
        stop: &AtomicBool,
    ) -> Result<(), Failure> {
        self.lose_camera(why);
        // The next stream has its whole timeout again; the wait for a first frame is not extended.
        if !self.is_vain() {
            self.skipped = None;
        }
        self.wait(*pause, stop)?;
        *pause = (*pause * 2).min(REOPEN_PAUSE.1);
        self.reopen_camera()
    }

    fn reopen_camera(&mut self) -> Result<(), Failure> {
        match (self.open_camera)() {
            Ok(camera) => self.camera = Some(camera),
            Err(error @ CameraError::Spent(_)) => return Err(error.into()),
            Err(error) => {
                let why = error.to_string();
                if self.reason.is_due(&why) {
                    self.serial.trouble("camera", &why);
                }
            }
        }
        Ok(())
    }

    /// Waits, in slices short enough for signals and for the display's clock.
    fn wait(&mut self, pause: Duration, stop: &AtomicBool) -> Result<(), Failure> {
        let until = Instant::now() + pause;
        loop {
            self.go_without_frame()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            std::thread::sleep(left.min(PICTURE_PERIOD));
        }
    }

    fn state(&self) -> State {
        match (self.lost, self.live_at) {
            (Some(lost), _) => lost.fault.state(clock::now().saturating_sub(lost.since)),
            (None, None) => State::Starting,
            (None, Some(_)) => match self.too_old() {
                Some(since) => self.fault().state(since),
                None => State::Live,
            },
        }
    }

    /// Shows the newest scene.
    fn draw(&mut self) {
        self.drawn_at = Instant::now();
        let state = self.state();
        let notice = self.care.notice();
        let preprocess = (state == State::Live).then_some(&self.preprocess);
        let regions = self.views.regions(preprocess, self.live_for);
        let count = self.views.all.len();
        let scene = Scene {
            state,
            verdict: preprocess.and(self.views.all[0].verdict()),
            labels: &self.shown,
            unknown_label: &self.board.decide.unknown_label,
            rate_fps: self.stats.rate_fps(),
            picture: preprocess.map(Preprocess::crop),
            // A single region has the whole display.
            regions: &regions[..if count > 1 { count } else { 0 }],
            notice: notice.as_ref().map(|words| words.as_str()),
        };
        if (self.displays).show(&scene, &mut self.care, &self.serial) {
            self.say_status();
        }
    }

    /// Reports the current problem to the supervisor.
    fn say_status(&mut self) {
        self.care.says(match self.lost {
            Some(lost) => lost.fault.words(),
            None if self.care.is_display_lost() => "display lost",
            None => CLASSIFYING,
        });
    }

    fn report_stats(&mut self, event: &str) {
        let open = self
            .camera
            .as_ref()
            .map_or_else(Counts::default, |c| c.counts());
        let counts = Counts {
            stale: self.past.stale + open.stale,
            damaged: self.past.damaged + open.damaged,
        };
        self.serial.stats(event, &mut self.stats, counts);
        let overflow = memory::usage().overflow_peak_bytes;
        if event == "stats" && overflow > 0 {
            let why = format!("{overflow} bytes did not fit; raise pool_mib in the board file");
            self.trouble
                .report(&self.serial, "memory pool exhausted", &why);
        }
    }
}

/// No frame has been usable since the start.
fn no_frame(why: &Failure) -> Failure {
    let message = format!("no frame could be used; the last one: {why}");
    Failure::new(why.cause, message)
}
