//! Exposure and gain of a sensor without an automatic of its own, set through its V4L2 controls.
//!
//! `plan` finds out what can be set, `light` and `meter` measure how bright a picture is, `controller` decides, `setting` splits
//! that between exposure and gain, `gain` knows what sensors' codes mean. A raw sensor's controls are `exposure` (in lines),
//! `analogue_gain` (a code) and `vertical_blanking` (lines without picture, which determine the frame rate); read-only ones give
//! the duration of a line. Digital gain is left alone: it adds no light.

mod controller;
mod gain;
mod light;
mod meter;
mod plan;
mod setting;
#[cfg(test)]
mod simulated;

pub(super) use light::Light;
#[cfg(test)]
pub(super) use plan::tests::imx219;
pub(super) use plan::{Plan, Wanted, blanking};

use super::controls::Knobs;
use crate::camera::v4l2::sensor::Sensor;
use controller::Controller;
use gain::Known;
use setting::Setting;
use std::path::Path;
use std::time::Duration;
use std::{fmt, fs, io};

/// The first frames of a stream may be darker than their setting implies (OV5647).
const SKIPPED_FRAMES: u64 = 2;

/// After the driver has refused this many settings in a row, exposure is left alone.
const MAX_REFUSALS: u32 = 10;

/// A frame is never assumed to be older than this many intervals.
const OLDEST_INTERVALS: u128 = 8;

/// What is known about the sensor that the board file names, or else about the one behind the node that has the controls.
pub(super) fn known(sensor: Option<Sensor>, controls_device: &Path) -> Option<Known> {
    // "imx219 10-0010"; for a link in /dev/v4l, the name of its target.
    let node = fs::canonicalize(controls_device).ok();
    let name = node.as_ref().and_then(|node| node.file_name());
    let name = name.and_then(|name| {
        let folder = Path::new("/sys/class/video4linux").join(name);
        fs::read_to_string(folder.join("name")).ok()
    });
    gain::of(sensor, &name.unwrap_or_default())
}

/// Keeps a running stream at the right brightness. Allocates nothing except for error messages.
#[derive(Debug)]
pub(super) struct AutoExposure<K> {
    knobs: K,
    plan: Plan,
    light: Light,
    controller: Controller,
    set: Setting,
    /// The sequence number of the first frame, from which all are counted.
    first: Option<u64>,
    /// The smallest number that the next frame can have: some drivers do not count.
    next: u64,
    /// Number of settings in a row that the driver refused.
    refusals: u32,
}

impl<K: Knobs> AutoExposure<K> {
    /// Sets nothing yet: the controls are as the plan found them.
    pub fn new(knobs: K, plan: Plan, light: Light) -> Self {
        let set = plan.now;
        let controller =
            Controller::new(plan.limits.clone(), set, plan.delay_frames, SKIPPED_FRAMES);
        Self {
            knobs,
            plan,
            light,
            controller,
            set,
            first: None,
            next: 0,
            refusals: 0,
        }
    }

    /// The frame interval that the sensor's blanking produces; `None` if the driver does not report it.
    pub fn interval(&self) -> Option<Duration> {
        self.plan.makes_rate.then_some(self.plan.frame_time)
    }

    /// Measures frame `sequence`, which was captured `age` ago, and applies the new setting if it calls for one.
    pub fn watch(&mut self, bytes: &[u8], sequence: u64, age: Duration) {
        if self.refusals >= MAX_REFUSALS || bytes.is_empty() {
            return;
        }
        let frame = sequence.saturating_sub(*self.first.get_or_insert(sequence));
        let frame = frame.max(self.next);
        self.next = frame.saturating_add(1);
        // The sensor is exposing the next frame, or a later one if this frame has been waiting.
        let waited = age.as_micros() / self.plan.frame_time.as_micros().max(1);
        let current = frame.saturating_add(1 + waited.min(OLDEST_INTERVALS) as u64);
        let reading = self.light.read(bytes);
        if let Some(next) = self.controller.next(frame, current, &reading) {
            match self.apply(next) {
                Ok(()) => self.refusals = 0,
                Err((name, error)) => self.is_refused(name, &error),
            }
        }
    }

    /// Sets what differs. Whatever the driver accepted is remembered, even if the second of two fails.
    fn apply(&mut self, next: Setting) -> Result<(), (&'static str, io::Error)> {
        if next.lines != self.set.lines {
            self.turn(self.plan.exposure_id, next.lines)
                .map_err(|error| ("exposure", error))?;
            self.set.lines = next.lines;
        }
        if let Some(id) = self.plan.gain_id.filter(|_| next.code != self.set.code) {
            self.turn(id, next.code)
                .map_err(|error| ("analogue_gain", error))?;
            self.set.code = next.code;
        }
        Ok(())
    }

    fn turn(&self, id: u32, value: i64) -> io::Result<()> {
        let value = i32::try_from(value).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.knobs.set(id, value).map(|_| ())
    }

    fn is_refused(&mut self, name: &str, error: &io::Error) {
        self.controller.refused(self.set);
        self.refusals += 1;
        if self.refusals == 1 {
            log::warn!(
                "the driver did not set the control `{name}`: {error}; it will be tried again"
            );
        } else if self.refusals == MAX_REFUSALS {
            log::warn!(
                "exposure stays as it is from now on: the driver refused the control `{name}` {MAX_REFUSALS} times ({error})"
            );
        }
    }
}

impl<K> fmt::Display for AutoExposure<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::frame::RawTuning;
    use crate::frame::{BayerDepth, BayerFormat, BayerOrder, Geometry, PixelFormat};
    use std::cell::RefCell;

    /// A driver that records what is set, and refuses while told to.
    #[derive(Default)]
    struct Driver {
        set: RefCell<Vec<(u32, i32)>>,
        refusals_left: RefCell<u32>,
    }

    impl Knobs for &Driver {
        fn set(&self, id: u32, value: i32) -> io::Result<i32> {
            let mut left = self.refusals_left.borrow_mut();
            if *left > 0 {
                *left -= 1;
                return Err(io::Error::from_raw_os_error(libc::EREMOTEIO));
            }
            self.set.borrow_mut().push((id, value));
            Ok(value)
        }
    }

    const AGE: Duration = Duration::from_millis(5);

    fn automatic(driver: &Driver) -> AutoExposure<&Driver> {
        let plan = Plan::of(&plan::tests::imx219(), &plan::tests::wanted(0)).unwrap();
        let light = Light::of(
            Geometry::packed(PixelFormat::Grey, 64, 48),
            RawTuning::default(),
        )
        .unwrap();
        AutoExposure::new(driver, plan, light)
    }

    fn picture(light: f64) -> Vec<u8> {
        vec![(light * 255.0) as u8; 64 * 48]
    }

    #[test]
    fn a_picture_that_is_too_bright_sets_exposure_and_a_dark_one_gain() {
        let driver = Driver::default();
        let mut automatic = automatic(&driver);
        for sequence in 100..102 {
            automatic.watch(&picture(0.72), sequence, AGE);
        }
        assert_eq!(*driver.set.borrow(), [], "the first frames do not count");
        automatic.watch(&picture(0.72), 102, AGE);
        assert_eq!(*driver.set.borrow(), [(0x0098_0911, 401)]);
        // First its effect is not visible yet, then it is.
        automatic.watch(&picture(0.72), 104, AGE);
        automatic.watch(&picture(0.18), 105, AGE);
        assert_eq!(driver.set.borrow().len(), 1);
        automatic.watch(&picture(0.01), 106, AGE);
        let set = driver.set.borrow();
        assert_eq!(set[1], (0x0098_0911, 1759));
        assert_eq!(set[2].0, 0x009e_0903);
        assert!((205..=210).contains(&set[2].1), "{set:?}");
    }

    #[test]
    fn a_frame_that_has_waited_is_followed_by_more_that_are_old() {
        let driver = Driver::default();
        let mut automatic = automatic(&driver);
        // Three intervals old: the sensor is at frame 6, and frame 8 is the first to show what is set now.
        automatic.watch(&picture(0.72), 0, AGE);
        automatic.watch(&picture(0.72), 2, Duration::from_millis(105));
        assert_eq!(driver.set.borrow().len(), 1);
        automatic.watch(&picture(0.02), 7, AGE);
        assert_eq!(driver.set.borrow().len(), 1, "not looked at");
        automatic.watch(&picture(0.02), 8, AGE);
        assert_eq!(driver.set.borrow().len(), 3);
    }

    #[test]
    fn a_driver_that_refuses_is_tried_again_and_then_left_alone() {
        let driver = Driver::default();
        let mut automatic = automatic(&driver);
        *driver.refusals_left.borrow_mut() = 3;
        for sequence in 0..12 {
            automatic.watch(&picture(0.72), sequence, AGE);
        }
        assert_eq!(driver.set.borrow().len(), 1, "after three refusals");
        *driver.refusals_left.borrow_mut() = 1000;
        for sequence in 12..200 {
            automatic.watch(&picture(0.02), sequence, AGE);
        }
        assert_eq!(*driver.refusals_left.borrow(), 1000 - MAX_REFUSALS);
        assert_eq!(driver.set.borrow().len(), 1);
    }

    #[test]
    fn short_pictures_and_implausible_numbers_do_no_harm() {
        let driver = Driver::default();
        let mut automatic = automatic(&driver);
        for bytes in [&[][..], &[7], &[255; 100]] {
            for sequence in [0, u64::MAX, 5, u64::MAX] {
                automatic.watch(bytes, sequence, Duration::MAX);
            }
        }
    }

    /// An unfamiliar picture of the sensor's own size and depth is brought to 18 % by settings that the driver accepts.
    #[test]
    fn a_packed_mosaic_ends_at_the_goal() {
        let bayer = BayerFormat {
            order: BayerOrder::Rggb,
            depth: BayerDepth::Packed10,
        };
        let geometry = Geometry::packed(PixelFormat::Bayer(bayer), 64, 48);
        let driver = Driver::default();
        let plan = Plan::of(&plan::tests::imx219(), &plan::tests::wanted(0)).unwrap();
        let light = Light::of(geometry, RawTuning::default()).unwrap();
        let mut automatic = AutoExposure::new(&driver, plan, light);
        let mut picture = vec![0; geometry.picture_bytes().unwrap()];
        let (mut lines, mut code) = (1600, 0);
        let mut level = 0.0;
        for sequence in 0..30 {
            level = (f64::from(lines) * 256.0 / f64::from(256 - code) * 1e-5).min(1.0);
            let number = (64.0 + level * 959.0).round() as u16;
            for group in picture.chunks_exact_mut(5) {
                group[..4].fill((number >> 2) as u8);
                group[4] = (number & 3) as u8 * 0b0101_0101;
            }
            automatic.watch(&picture, sequence, AGE);
            // With no delay, which is soon enough.
            for (id, value) in driver.set.borrow_mut().drain(..) {
                match id {
                    0x0098_0911 => lines = value,
                    _ => code = value,
                }
            }
        }
        assert!(
            (0.17..0.19).contains(&level),
            "{level}: {lines} lines, code {code}"
        );
    }
}
