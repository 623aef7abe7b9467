//! From how bright a picture is to exposure and gain: plain, stable, and without a guess at what it cannot see.
//!
//! In linear light a picture's brightness is proportional to exposure x gain, so one good reading gives the right setting in one
//! step. What is left is patience: a sensor shows a setting some frames late, and a step before that would be taken twice. So
//! each step waits until its effect is there. A picture that is all white or all black tells only the direction; the step is
//! six stops then, after which there is something to measure.

use super::meter::Reading;
use super::setting::{Limits, Setting};

/// A mean of 18 % is a grey card in the middle of the scale.
const TARGET: f32 = 0.18;

/// Where highlights are held, as far as [`GUARD_STOPS`] allow it: low enough that what [`BAND_STOPS`] leave alone does not clip.
const HIGHLIGHTS_AT: f32 = 0.8;

/// For the sake of highlights the picture is made darker by so many stops at the most.
const GUARD_STOPS: f32 = 1.0;

/// The largest step, in stops.
const STEP_STOPS: f32 = 6.0;

/// A smaller error is none: gain comes in steps, light flickers, and a setting that moves is seen.
const BAND_STOPS: f32 = 0.15;

/// An error below this may be a passing thing: it must last for [`LASTS_FRAMES`].
const SMALL_STOPS: f32 = 0.5;
const LASTS_FRAMES: u32 = 3;

/// When nothing has changed, a setting that should be visible is waited for for so many frames more.
const PATIENCE_FRAMES: u64 = 4;

/// No sensor is known that takes longer.
const MOST_DELAY_FRAMES: u64 = 4;

/// Below this a reading is darkness: a quarter of the smallest number that 8 bits can have.
const DARK: f32 = 0.001;

/// More than this part of the picture clips: how much too bright it is cannot be told.
const BLIND_CLIPPED: f32 = 0.9;

/// A step whose effect has not been seen.
#[derive(Debug, Clone, Copy)]
struct Step {
    before: Reading,
    stops: f32,
    /// The frame that should show it.
    from: u64,
}

/// Keeps pictures at the right brightness.
#[derive(Debug)]
pub(super) struct Controller {
    limits: Limits,
    setting: Setting,
    delay_frames: u64,
    /// Frames before this one are not looked at.
    from: u64,
    step: Option<Step>,
    /// For how many readings a small error has lasted.
    lasted: u32,
}

impl Controller {
    /// Starts from what is set now, which frame 0 shows; the first `skipped` frames are not looked at.
    pub fn new(limits: Limits, setting: Setting, delay_frames: u64, skipped: u64) -> Self {
        Self {
            limits,
            setting,
            delay_frames: delay_frames.min(MOST_DELAY_FRAMES),
            from: skipped,
            step: None,
            lasted: 0,
        }
    }

    /// What is to be set now, if anything is: the reading is of frame `frame`, and the sensor works on frame `current`.
    pub fn next(&mut self, frame: u64, current: u64, reading: &Reading) -> Option<Setting> {
        if frame < self.from || self.is_late(frame, reading) {
            return None;
        }
        let stops = error_stops(reading);
        self.lasted = match stops.abs() {
            size if size < BAND_STOPS => 0,
            _ => self.lasted.saturating_add(1),
        };
        let is_due = stops.abs() >= SMALL_STOPS || self.lasted >= LASTS_FRAMES;
        if self.lasted == 0 || !is_due {
            return None;
        }
        let product = self.limits.product(self.setting) * f64::from(stops).exp2();
        let next = self.limits.split(product);
        if next == self.setting {
            return None;
        }
        let taken = self.limits.product(next) / self.limits.product(self.setting);
        self.setting = next;
        self.lasted = 0;
        self.from = current.max(frame).saturating_add(self.delay_frames);
        self.step = Some(Step {
            before: *reading,
            stops: taken.log2() as f32,
            from: self.from,
        });
        Some(next)
    }

    /// The driver did not take the setting: what is set is this, and the next reading counts.
    pub fn refused(&mut self, setting: Setting) {
        self.setting = setting;
        self.step = None;
    }

    /// Whether the last step should be visible and is not. A delay that is longer than was thought is remembered.
    fn is_late(&mut self, frame: u64, reading: &Reading) -> bool {
        let Some(step) = self.step else {
            return false;
        };
        let late = frame.saturating_sub(step.from);
        let is_visible = step.shows_in(reading);
        if !is_visible && late < step.patience_frames() {
            return true;
        }
        if is_visible {
            self.delay_frames = (self.delay_frames + late).min(MOST_DELAY_FRAMES);
        }
        self.step = None;
        false
    }
}

impl Step {
    /// How long it is waited for: a step from white that ends in white may well be there already.
    fn patience_frames(&self) -> u64 {
        if is_blind(&self.before) {
            1
        } else {
            PATIENCE_FRAMES
        }
    }

    /// Whether the picture has gone at least a quarter of the way. A step too small to be told from noise counts as seen.
    fn shows_in(&self, reading: &Reading) -> bool {
        if is_blind(&self.before) {
            return !is_blind(reading);
        }
        let gone = (reading.mean.max(DARK) / self.before.mean.max(DARK)).log2();
        self.stops.abs() < 2.0 * BAND_STOPS || gone / self.stops >= 0.25
    }
}

/// Whether a picture is too white or too black to tell how much so.
fn is_blind(reading: &Reading) -> bool {
    reading.clipped > BLIND_CLIPPED || reading.mean < DARK
}

/// By how many stops the picture should be brighter.
fn error_stops(reading: &Reading) -> f32 {
    // What clips may be any white: the more of it, the larger the step; all white asks for the largest. In between it is about
    // what a scene of five stops from dark to bright lacks.
    let all_white = STEP_STOPS + TARGET.log2();
    let clipped = reading.clipped;
    let beyond_white = clipped * (1.5 + (all_white - 1.5) * clipped.powi(3));
    let mut stops = (TARGET / reading.mean.max(DARK / 4.0)).log2() - beyond_white;
    // Highlights that clip are brighter than they look; taken as a stop brighter, they come down until they are seen.
    let brightest = reading.highlights.max(DARK) * (1.0 + reading.blown());
    let for_highlights = (HIGHLIGHTS_AT / brightest).log2();
    if for_highlights < stops {
        stops = for_highlights.max(stops - GUARD_STOPS);
    }
    stops.clamp(-STEP_STOPS, STEP_STOPS)
}

#[cfg(test)]
mod tests {
    use super::super::setting::tests::imx219;
    use super::*;

    fn reading(mean: f32, highlights: f32, clipped: f32) -> Reading {
        Reading {
            mean,
            highlights,
            clipped,
        }
    }

    #[test]
    fn what_cannot_be_measured_is_a_step_in_its_direction() {
        let near =
            |found: f32, wanted: f32| assert!((found - wanted).abs() < 0.01, "{found} {wanted}");
        near(error_stops(&reading(1.0, 1.0, 1.0)), -6.0);
        near(error_stops(&reading(-0.001, 0.0, 0.0)), 6.0);
        near(error_stops(&reading(0.0, 0.0, 0.0)), 6.0);
        near(error_stops(&reading(0.36, 0.4, 0.0)), -1.0);
        near(error_stops(&reading(0.09, 0.2, 0.0)), 1.0);
        near(error_stops(&reading(0.18, 0.5, 0.0)), 0.0);
    }

    #[test]
    fn highlights_cost_one_stop_at_the_most() {
        // They would fit with a third of a stop less.
        let stops = error_stops(&reading(0.18, 1.0, 0.0));
        assert!((-0.33..-0.31).contains(&stops), "{stops}");
        // A lamp never fits.
        let lamp = |mean| error_stops(&reading(mean, 1.0, 0.06));
        assert!((lamp(0.18) + 1.0).abs() < 0.1, "{}", lamp(0.18));
        assert!(lamp(0.09).abs() < 0.1, "{}", lamp(0.09));
    }

    #[test]
    fn a_small_error_must_last_and_a_tiny_one_is_none() {
        let start = Setting {
            lines: 500,
            code: 0,
        };
        let mut controller = Controller::new(imx219(None), start, 2, 0);
        for frame in 0..100 {
            let tiny = reading(if frame % 2 == 0 { 0.165 } else { 0.195 }, 0.5, 0.0);
            assert_eq!(controller.next(frame, frame + 1, &tiny), None);
        }
        // Two frames of a cloud, then one without it.
        for frame in 100..129 {
            let mean = if frame % 3 == 2 { 0.18 } else { 0.14 };
            assert_eq!(
                controller.next(frame, frame + 1, &reading(mean, 0.5, 0.0)),
                None
            );
        }
        let darker = reading(0.14, 0.5, 0.0);
        assert_eq!(controller.next(129, 130, &darker), None);
        assert_eq!(controller.next(130, 131, &darker), None);
        let next = controller.next(131, 132, &darker);
        assert_eq!(next.map(|setting| setting.lines), Some(642));
    }

    #[test]
    fn at_its_limits_it_is_silent() {
        let most = Setting {
            lines: 1759,
            code: 232,
        };
        let mut controller = Controller::new(imx219(None), most, 2, 0);
        let dark = reading(0.01, 0.02, 0.0);
        assert!((0..20).all(|frame| controller.next(frame, frame + 1, &dark).is_none()));
        let least = Setting { lines: 4, code: 0 };
        let mut controller = Controller::new(imx219(None), least, 2, 0);
        let white = reading(1.0, 1.0, 1.0);
        assert!((0..20).all(|frame| controller.next(frame, frame + 1, &white).is_none()));
    }
}
