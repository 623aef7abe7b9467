//! Turns a picture's brightness into exposure and gain: simple, stable, and with no guesses about what it cannot see.
//!
//! In linear light a picture's brightness is proportional to exposure x gain, so one good reading gives the right setting in one
//! step. The rest is patience: a sensor shows a setting some frames late, and stepping again before that would apply the step
//! twice. So each step waits until its effect is visible. An all-white or all-black picture tells only the direction; the step is
//! then six stops, after which there is something to measure.
//!
//! Clipped highlights are the exception to one good reading: a small bright area looks darker than it is as soon as it clips, so the
//! picture could get brighter and darker by turns for ever. The setting at which highlights clipped is therefore remembered, and
//! approached from below by half of what is left each time.

use super::meter::Reading;
use super::setting::{Limits, Setting};

/// A mean of 18 % puts a grey card in the middle of the scale.
const TARGET: f32 = 0.18;

/// Target for highlights, as far as [`GUARD_STOPS`] allow: low enough that an error that [`BAND_STOPS`] tolerates does not clip.
const HIGHLIGHTS_AT: f32 = 0.8;

/// To protect highlights the picture is darkened by at most this many stops.
const GUARD_STOPS: f32 = 1.0;

/// The largest step, in stops.
const STEP_STOPS: f32 = 6.0;

/// Smaller errors are ignored: gain comes in steps, light flickers, and every change of setting is visible.
const BAND_STOPS: f32 = 0.15;

/// An error below this may be temporary: it must last for [`LASTS_FRAMES`].
const SMALL_STOPS: f32 = 0.5;
const LASTS_FRAMES: u32 = 3;

/// If nothing has changed, wait this many more frames for a setting that should already be visible.
const PATIENCE_FRAMES: u64 = 4;

/// No known sensor takes longer.
const MAX_DELAY_FRAMES: u64 = 4;

/// Below this a reading counts as darkness: a quarter of the smallest 8-bit value.
const DARK: f32 = 0.001;

/// If more than this fraction of the picture clips, there is no telling how much too bright it is.
const BLIND_CLIPPED: f32 = 0.9;

/// A scene whose light differs by more than this, for [`LASTS_FRAMES`], is another one.
const OTHER_SCENE_STOPS: f32 = 0.25;

/// Highlights that clip cost less than this: a picture that is darker by it is of another scene.
const DARKER_STOPS: f32 = 1.5;

/// A setting that was too bright for the highlights of a scene.
#[derive(Debug, Clone, Copy)]
struct Ceiling {
    product: f64,
    /// The frame that should show the setting below it.
    from: u64,
    /// The scene's light (mean and highlights) at a setting below it.
    scene: Option<[f64; 2]>,
    /// For how many readings the light has differed from that.
    differed: u32,
}

/// A step whose effect has not been seen yet.
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
    /// Frames before this one are ignored.
    from: u64,
    step: Option<Step>,
    ceiling: Option<Ceiling>,
    /// For how many readings a small error has lasted.
    lasted: u32,
}

impl Controller {
    /// Starts from the current setting, which frame 0 shows; the first `skipped` frames are ignored.
    pub fn new(limits: Limits, setting: Setting, delay_frames: u64, skipped: u64) -> Self {
        Self {
            limits,
            setting,
            delay_frames: delay_frames.min(MAX_DELAY_FRAMES),
            from: skipped,
            step: None,
            ceiling: None,
            lasted: 0,
        }
    }

    /// The new setting, if one is needed: the reading is of frame `frame`, and the sensor is exposing frame `current`.
    pub fn next(&mut self, frame: u64, current: u64, reading: &Reading) -> Option<Setting> {
        if frame < self.from || self.is_late(frame, reading) {
            return None;
        }
        let stops = self.below_ceiling(error_stops(reading), frame, reading);
        self.lasted = match stops.abs() {
            size if size < BAND_STOPS => 0,
            _ => self.lasted.saturating_add(1),
        };
        let is_due = stops.abs() >= SMALL_STOPS || self.lasted >= LASTS_FRAMES;
        if self.lasted == 0 || !is_due {
            return None;
        }
        let product = self.limits.product(self.setting);
        let next = self.limits.split(product * f64::from(stops).exp2());
        if next == self.setting {
            return None;
        }
        let taken = self.limits.product(next) / product;
        self.setting = next;
        self.lasted = 0;
        self.from = current.max(frame).saturating_add(self.delay_frames);
        if stops < 0.0 && reading.clipped > 0.0 {
            self.ceiling = Some(Ceiling {
                product,
                from: self.from,
                scene: None,
                differed: 0,
            });
        }
        self.step = Some(Step {
            before: *reading,
            stops: taken.log2() as f32,
            from: self.from,
        });
        Some(next)
    }

    /// Of a step up in the same scene at most half of the way to where its highlights clipped, and nothing if that is little: noise
    /// alone would make such a step.
    fn below_ceiling(&mut self, stops: f32, frame: u64, reading: &Reading) -> f32 {
        let product = self.limits.product(self.setting);
        let Some(ceiling) = self.ceiling.as_mut().filter(|_| stops < DARKER_STOPS) else {
            self.ceiling = None;
            return stops;
        };
        let light =
            [reading.mean, reading.highlights].map(|part| f64::from(part.max(DARK)) / product);
        // A sensor may be late with a step that is too small to be waited for.
        if ceiling.scene.is_none() && (stops > 0.0 || frame >= ceiling.from + PATIENCE_FRAMES) {
            ceiling.scene = Some(light);
        }
        let Some(before) = ceiling.scene else {
            return stops;
        };
        let is_same =
            |(now, before): (f64, f64)| (now / before).log2().abs() < OTHER_SCENE_STOPS.into();
        ceiling.differed = match light.into_iter().zip(before).all(is_same) {
            true => 0,
            false => ceiling.differed + 1,
        };
        if ceiling.differed >= LASTS_FRAMES {
            self.ceiling = None;
            return stops;
        }
        let most = (ceiling.product / product).log2() as f32 / 2.0;
        match stops {
            down if down <= 0.0 => down,
            up if up.min(most) < 2.0 * BAND_STOPS => 0.0,
            up => up.min(most),
        }
    }

    /// The driver did not accept the setting: this is the actual one, and the next reading counts.
    pub fn refused(&mut self, setting: Setting) {
        self.setting = setting;
        self.step = None;
    }

    /// Whether the last step should be visible but is not. If the delay turns out longer than assumed, that is remembered.
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
            self.delay_frames = (self.delay_frames + late).min(MAX_DELAY_FRAMES);
        }
        self.step = None;
        false
    }
}

impl Step {
    /// How long to wait for it: a step from white that ends in white may well have arrived already.
    fn patience_frames(&self) -> u64 {
        if is_blind(&self.before) {
            1
        } else {
            PATIENCE_FRAMES
        }
    }

    /// Whether the brightness has moved at least a quarter of the way. A step too small to tell from noise counts as seen.
    fn shows_in(&self, reading: &Reading) -> bool {
        if is_blind(&self.before) {
            return !is_blind(reading);
        }
        let gone = (reading.mean.max(DARK) / self.before.mean.max(DARK)).log2();
        self.stops.abs() < 2.0 * BAND_STOPS || gone / self.stops >= 0.25
    }
}

/// Whether a picture is too white or too black to tell by how much.
fn is_blind(reading: &Reading) -> bool {
    reading.clipped > BLIND_CLIPPED || reading.mean < DARK
}

/// By how many stops the picture should be brighter.
fn error_stops(reading: &Reading) -> f32 {
    // Clipped pixels may be arbitrarily bright: the more of them, the larger the step; all white asks for the largest. In
    // between, the step is roughly what a scene with a range of five stops needs.
    let all_white = STEP_STOPS + TARGET.log2();
    let clipped = reading.clipped;
    let beyond_white = clipped * (1.5 + (all_white - 1.5) * clipped.powi(3));
    let mut stops = (TARGET / reading.mean.max(DARK / 4.0)).log2() - beyond_white;
    // Clipped highlights are brighter than they look; treated as a stop brighter, they come down until they can be measured.
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
    fn a_brightness_beyond_the_meter_is_a_step_in_its_direction() {
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
    fn a_small_error_must_last_and_a_tiny_one_is_ignored() {
        let start = Setting {
            lines: 500,
            code: 0,
        };
        let mut controller = Controller::new(imx219(None), start, 2, 0);
        for frame in 0..100 {
            let tiny = reading(if frame % 2 == 0 { 0.165 } else { 0.195 }, 0.5, 0.0);
            assert_eq!(controller.next(frame, frame + 1, &tiny), None);
        }
        // Two frames of a cloud, then one without.
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
    fn at_its_limits_the_controller_changes_nothing() {
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
