//! Exposure and gain of a sensor that has no automatic of its own, by its V4L2 controls.
//!
//! `plan` finds out what can be set, `meter` reads how bright a picture is, `controller` decides, `gain` knows what sensors'
//! codes mean. A raw sensor's controls are `exposure` (in lines), `analogue_gain` (a code) and `vertical_blanking` (lines without
//! picture, which make the frame rate); read-only ones give the time of a line. Digital gain is left alone: it adds no light.

mod controller;
mod gain;
mod meter;
mod plan;
#[cfg(test)]
mod simulated;

pub(super) use plan::{Plan, Wanted, blanking};

use super::controls::Knobs;
use crate::board::sensor::Sensor;
use crate::frame::{Geometry, PixelFormat};
use controller::Controller;
use gain::Known;
use std::path::Path;
use std::time::Duration;
use std::{fmt, fs, io};

/// The first frames of a stream may be darker than their setting says (OV5647).
const SKIPPED_FRAMES: u64 = 2;

/// After so many settings in a row that the driver refuses, exposure is left alone.
const MOST_REFUSALS: u32 = 10;

/// A frame is never taken to be older than so many intervals.
const OLDEST_INTERVALS: u128 = 8;

/// What is known of the sensor that the board file names, or else of the one behind the node that has the controls.
pub(super) fn known(sensor: Option<Sensor>, controls_device: &Path) -> Option<Known> {
    // "imx219 10-0010"; a link in /dev/v4l has the name that it leads to.
    let node = fs::canonicalize(controls_device).ok();
    let name = node.as_ref().and_then(|node| node.file_name());
    let name = name.and_then(|name| {
        let folder = Path::new("/sys/class/video4linux").join(name);
        fs::read_to_string(folder.join("name")).ok()
    });
    gain::of(sensor, &name.unwrap_or_default())
}

/// How bright each pixel of a picture is, from its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Light {
    geometry: Geometry,
    /// Numbers at black, and from there to the largest.
    black: f32,
    range: f32,
}

impl Light {
    /// `None` for pictures that do not come straight from a sensor: their numbers are not proportional to light.
    pub fn of(geometry: Geometry) -> Option<Self> {
        match geometry.format {
            PixelFormat::Grey => Some(Self {
                geometry,
                black: 0.0,
                range: 255.0,
            }),
            _ => None,
        }
    }

    /// The pictures that it is for.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Of the pixel at `x`, `y`: 0 at black, 1 at the largest number. What lies outside the bytes is black.
    fn at(&self, bytes: &[u8], x: u32, y: u32) -> f32 {
        let first = y as usize * self.geometry.stride_bytes as usize;
        let row = bytes.get(first..).unwrap_or_default();
        let number = f32::from(row.get(x as usize).copied().unwrap_or(0));
        (number - self.black) / self.range
    }

    fn read(&self, bytes: &[u8]) -> meter::Reading {
        let Geometry {
            width_px,
            height_px,
            ..
        } = self.geometry;
        meter::read(width_px, height_px, |x, y| self.at(bytes, x, y))
    }
}

/// Keeps a running stream at the right brightness. Nothing is allocated, but for the words about an error.
#[derive(Debug)]
pub(super) struct AutoExposure<K> {
    knobs: K,
    plan: Plan,
    light: Light,
    controller: Controller,
    set: controller::Setting,
    /// The first frame's number, by which all are counted.
    first: Option<u64>,
    /// Settings that the driver refused in a row.
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
            refusals: 0,
        }
    }

    /// Looks at frame `sequence`, which was captured `age` ago, and sets what it asks for.
    pub fn watch(&mut self, bytes: &[u8], sequence: u64, age: Duration) {
        if self.refusals >= MOST_REFUSALS || bytes.is_empty() {
            return;
        }
        let frame = sequence.saturating_sub(*self.first.get_or_insert(sequence));
        // The sensor is at the next frame, and further when this one has been waiting.
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

    /// Sets what differs. What the driver took stays known, also when the second of two fails.
    fn apply(&mut self, next: controller::Setting) -> Result<(), (&'static str, io::Error)> {
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
            log::warn!("the driver did not set the control `{name}`: {error}; it is tried again");
        } else if self.refusals == MOST_REFUSALS {
            log::warn!(
                "exposure stays as it is from now on: the driver refused the control `{name}` {MOST_REFUSALS} times ({error})"
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
    use std::cell::RefCell;

    /// A driver that notes what is set, and refuses as long as it is told to.
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
        let light = Light::of(Geometry::packed(PixelFormat::Grey, 64, 48)).unwrap();
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
        // Its effect is not there yet, then it is.
        automatic.watch(&picture(0.72), 104, AGE);
        automatic.watch(&picture(0.18), 105, AGE);
        assert_eq!(driver.set.borrow().len(), 1);
        automatic.watch(&picture(0.01), 106, AGE);
        let set = driver.set.borrow();
        assert_eq!(set[1], (0x0098_0911, 1759));
        assert_eq!(set[2].0, 0x009e_0903);
        assert!((180..=200).contains(&set[2].1), "{set:?}");
    }

    #[test]
    fn a_frame_that_has_waited_is_followed_by_more_that_are_old() {
        let driver = Driver::default();
        let mut automatic = automatic(&driver);
        // Three intervals old: the sensor is at frame 6, and frame 8 is the first that shows what is set now.
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
        assert_eq!(*driver.refusals_left.borrow(), 1000 - MOST_REFUSALS);
        assert_eq!(driver.set.borrow().len(), 1);
    }

    #[test]
    fn short_pictures_and_strange_numbers_do_no_harm() {
        let driver = Driver::default();
        let mut automatic = automatic(&driver);
        for bytes in [&[][..], &[7], &[255; 100]] {
            for sequence in [0, u64::MAX, 5, u64::MAX] {
                automatic.watch(bytes, sequence, Duration::MAX);
            }
        }
    }

    #[test]
    fn only_what_comes_straight_from_a_sensor_is_measured() {
        for format in PixelFormat::ALL {
            let light = Light::of(Geometry::packed(format, 64, 48));
            assert_eq!(light.is_some(), format == PixelFormat::Grey, "{format}");
        }
    }
}
