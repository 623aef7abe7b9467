//! Which parts of exposure and gain we can set, given the controls that a driver lists.

use super::gain::{Known, USUAL_DELAY_FRAMES};
use super::setting::{Limits, Setting};
use crate::camera::v4l2::controls::{Control, Kind};
use crate::frame::Geometry;
use std::fmt;
use std::time::Duration;

/// `V4L2_CID_EXPOSURE`, in lines.
const EXPOSURE: u32 = 0x0098_0911;
/// `V4L2_CID_VBLANK`, in lines.
const VERTICAL_BLANKING: u32 = 0x009e_0901;
/// `V4L2_CID_HBLANK`, in pixels.
const HORIZONTAL_BLANKING: u32 = 0x009e_0902;
/// `V4L2_CID_ANALOGUE_GAIN`, a code.
const ANALOGUE_GAIN: u32 = 0x009e_0903;
/// `V4L2_CID_PIXEL_RATE`, pixels per second: 64 bits; its default is the rate of the current mode.
const PIXEL_RATE: u32 = 0x009f_0902;

/// What is set, and within which limits.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::camera::v4l2) struct Plan {
    pub(super) limits: Limits,
    pub(super) exposure_id: u32,
    /// `None` if the gain is left alone.
    pub(super) gain_id: Option<u32>,
    /// The current setting.
    pub(super) now: Setting,
    pub(super) delay_frames: u64,
    /// The frame interval, as given by the controls or else by the stream.
    pub(super) frame_time: Duration,
    /// Whether it comes from the controls.
    pub(super) makes_rate: bool,
    line_us: Option<f64>,
    mains_hz: u32,
}

/// What the board file and the stream specify.
#[derive(Debug, Clone, Copy)]
pub(in crate::camera::v4l2) struct Wanted {
    pub geometry: Geometry,
    pub known: Option<Known>,
    /// 0 if no light flickers or nothing is specified.
    pub mains_hz: u32,
    /// The frame interval, if the controls do not give it.
    pub interval: Duration,
}

/// Why exposure is left as the driver has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::camera::v4l2) enum Fixed {
    /// There is no such control.
    Absent,
    /// It cannot be set, or its range is empty.
    Locked,
}

impl fmt::Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => {
                "has no control `exposure` (name the sensor's own node, /dev/v4l-subdevN, as controls_device)"
            }
            Self::Locked => "has a control `exposure` that cannot be set (another control holds it?)",
        })
    }
}

/// The vertical blanking that gives `rate_fps`, as control and value: `None` if the driver does not report the duration of a
/// line.
pub(in crate::camera::v4l2) fn blanking(
    controls: &[Control],
    geometry: Geometry,
    rate_fps: u32,
) -> Option<(u32, i32)> {
    let line_us = line_us(controls, geometry)?;
    let control = settable(controls, VERTICAL_BLANKING).ok()?;
    let lines = 1e6 / (f64::from(rate_fps.max(1)) * line_us) - f64::from(geometry.height_px);
    let lines = (lines.round() as i64).clamp(control.least, control.most);
    (control.value != Some(lines)).then_some(())?;
    Some((control.id, i32::try_from(lines).ok()?))
}

impl Plan {
    /// The plan for these controls.
    pub fn of(controls: &[Control], wanted: &Wanted) -> Result<Self, Fixed> {
        let exposure = settable(controls, EXPOSURE)?;
        let lines = (exposure.least.max(1), exposure.most);
        if lines.0 > lines.1 {
            return Err(Fixed::Locked);
        }
        let gain = settable(controls, ANALOGUE_GAIN).ok();
        let law = wanted.known.map(|known| known.law);
        let gain = gain.zip(law).filter(|(control, law)| {
            // A range that the formula does not cover belongs to another sensor.
            let ends = (law.factor(control.least), law.factor(control.most));
            matches!(ends, (Some(least), Some(most)) if least <= most)
        });
        let line_us = line_us(controls, wanted.geometry);
        let blanking = number(controls, VERTICAL_BLANKING);
        let frame_time = line_us.zip(blanking).map(|(line_us, blanking)| {
            let lines = f64::from(wanted.geometry.height_px) + blanking.max(0) as f64;
            Duration::from_secs_f64((line_us * lines / 1e6).min(60.0))
        });
        let flicker_us = (wanted.mains_hz > 0).then(|| 5e5 / f64::from(wanted.mains_hz));
        let value = |control: &Control| {
            let value = control.value.unwrap_or(control.default);
            value.clamp(control.least, control.most)
        };
        Ok(Self {
            limits: Limits {
                lines,
                gain: gain.map(|(control, law)| (control.least, control.most, law)),
                flicker_lines: flicker_us
                    .zip(line_us)
                    .map(|(flicker, line)| flicker / line),
            },
            exposure_id: exposure.id,
            gain_id: gain.map(|(control, _)| control.id),
            now: Setting {
                lines: value(exposure).max(lines.0),
                code: gain.map_or(0, |(control, _)| value(control)),
            },
            delay_frames: wanted
                .known
                .map_or(USUAL_DELAY_FRAMES, |known| known.delay_frames),
            frame_time: frame_time.unwrap_or(wanted.interval),
            makes_rate: frame_time.is_some(),
            line_us,
            mains_hz: wanted.mains_hz,
        })
    }
}

impl fmt::Display for Plan {
    /// For the log: `exposure by us, 76 to 33245 us, gain 1 to 10.7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = self.limits.lines;
        match self.line_us {
            Some(line_us) => {
                let [least, most] = [least, most].map(|lines| (lines as f64 * line_us).round());
                write!(f, "exposure by us, {least} to {most} us")?;
            }
            None => write!(f, "exposure by us, {least} to {most} lines")?,
        }
        match (self.limits.flicker_lines, self.mains_hz) {
            (Some(_), hertz) => write!(f, " in whole flashes of {hertz} Hz lamps")?,
            (None, 0) => {}
            (None, _) => f.write_str(
                " (flicker cannot be avoided: the driver does not report the time of a line)",
            )?,
        }
        if self.limits.gain.is_none() {
            return f.write_str(", gain as it is");
        }
        let (least, most) = self.limits.factors();
        let [least, most] = [least, most].map(|factor| (factor * 10.0).round() / 10.0);
        write!(f, ", gain {least} to {most}")
    }
}

fn settable(controls: &[Control], id: u32) -> Result<&Control, Fixed> {
    let control = controls.iter().find(|control| control.id == id);
    let control = control.ok_or(Fixed::Absent)?;
    let narrow = i64::from(i32::MIN)..=i64::from(i32::MAX);
    let is_usable = control.kind == Kind::Whole
        && !control.is_read_only
        && !control.is_inactive
        && control.least <= control.most
        && narrow.contains(&control.least)
        && narrow.contains(&control.most);
    is_usable.then_some(control).ok_or(Fixed::Locked)
}

fn number(controls: &[Control], id: u32) -> Option<i64> {
    let control = controls.iter().find(|control| control.id == id)?;
    Some(control.value.unwrap_or(control.default))
}

/// Microseconds from the start of one line to the next: the pixels of a line, including blanking, divided by the pixel rate.
fn line_us(controls: &[Control], geometry: Geometry) -> Option<f64> {
    let blanking = number(controls, HORIZONTAL_BLANKING).filter(|pixels| *pixels >= 0)?;
    let rate = number(controls, PIXEL_RATE).filter(|rate| *rate > 0)?;
    let line_us = 1e6 * (f64::from(geometry.width_px) + blanking as f64) / rate as f64;
    // From the fastest line of any sensor to one that would make a frame take minutes.
    (0.1..1e5).contains(&line_us).then_some(line_us)
}

#[cfg(test)]
pub(in crate::camera::v4l2) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::camera::v4l2::sensor::Sensor;
    use crate::frame::PixelFormat;

    fn control(id: u32, name: &str, range: (i64, i64), value: i64) -> Control {
        Control {
            id,
            name: name.to_owned(),
            kind: Kind::Whole,
            least: range.0,
            most: range.1,
            step: 1,
            default: value,
            value: Some(value),
            entries: vec![],
            is_read_only: false,
            is_inactive: false,
        }
    }

    /// The controls of the kernel's imx219 driver at 1640 x 1232.
    pub(in crate::camera::v4l2) fn imx219() -> Vec<Control> {
        let mut hblank = control(
            HORIZONTAL_BLANKING,
            "horizontal_blanking",
            (1808, 1808),
            1808,
        );
        hblank.is_read_only = true;
        let mut rate = control(
            PIXEL_RATE,
            "pixel_rate",
            (182_400_000, 182_400_000),
            182_400_000,
        );
        (rate.kind, rate.value, rate.is_read_only) = (Kind::Other, None, true);
        vec![
            control(EXPOSURE, "exposure", (4, 1759), 1600),
            control(VERTICAL_BLANKING, "vertical_blanking", (4, 64303), 531),
            hblank,
            control(ANALOGUE_GAIN, "analogue_gain", (0, 232), 0),
            rate,
        ]
    }

    pub(in super::super) fn wanted(mains_hz: u32) -> Wanted {
        Wanted {
            geometry: Geometry::packed(PixelFormat::Grey, 1640, 1232),
            known: super::super::gain::of(Some(Sensor::Imx219), ""),
            mains_hz,
            interval: Duration::from_millis(33),
        }
    }

    #[test]
    fn an_imx219_is_ours_by_exposure_and_gain() {
        let plan = Plan::of(&imx219(), &wanted(0)).unwrap();
        assert_eq!(
            plan.to_string(),
            "exposure by us, 76 to 33251 us, gain 1 to 10.7"
        );
        assert_eq!(
            plan.now,
            Setting {
                lines: 1600,
                code: 0
            }
        );
        assert_eq!(plan.frame_time.as_millis(), 33);
        let plan = Plan::of(&imx219(), &wanted(50)).unwrap();
        assert_eq!(
            plan.to_string(),
            "exposure by us, 76 to 33251 us in whole flashes of 50 Hz lamps, gain 1 to 10.7"
        );
        let flicker_lines = plan.limits.flicker_lines.unwrap();
        assert!((flicker_lines - 529.0).abs() < 0.1, "{flicker_lines}");
    }

    #[test]
    fn missing_driver_information_is_not_guessed() {
        let without = |id: u32| {
            let mut controls = imx219();
            controls.retain(|control| control.id != id);
            controls
        };
        let text =
            |controls: &[Control], wanted: &Wanted| Plan::of(controls, wanted).unwrap().to_string();
        assert_eq!(
            text(&without(PIXEL_RATE), &wanted(60)),
            "exposure by us, 4 to 1759 lines (flicker cannot be avoided: the driver does not report the time of a line), gain 1 to 10.7"
        );
        assert_eq!(
            Plan::of(&without(PIXEL_RATE), &wanted(0))
                .unwrap()
                .frame_time
                .as_millis(),
            33
        );
        assert_eq!(
            text(&without(ANALOGUE_GAIN), &wanted(0)),
            "exposure by us, 76 to 33251 us, gain as it is"
        );
        let unknown = Wanted {
            known: None,
            ..wanted(0)
        };
        assert!(text(&imx219(), &unknown).ends_with("gain as it is"));
        // Codes of another sensor: the formula has no factor for 300.
        let mut other = imx219();
        other[3].most = 300;
        assert!(text(&other, &wanted(0)).ends_with("gain as it is"));

        assert_eq!(Plan::of(&without(EXPOSURE), &wanted(0)), Err(Fixed::Absent));
        assert_eq!(Plan::of(&[], &wanted(0)), Err(Fixed::Absent));
        for lock in [
            |control: &mut Control| control.is_read_only = true,
            |control: &mut Control| control.is_inactive = true,
            |control: &mut Control| control.kind = Kind::Menu,
            |control: &mut Control| control.most = 3,
            |control: &mut Control| control.most = i64::MAX,
            |control: &mut Control| (control.least, control.most) = (-5, 0),
        ] {
            let mut controls = imx219();
            lock(&mut controls[0]);
            assert_eq!(Plan::of(&controls, &wanted(0)), Err(Fixed::Locked));
        }
    }

    #[test]
    fn hostile_numbers_neither_panic_nor_count() {
        for value in [i64::MIN, -1, 0, 1, i64::MAX] {
            for at in 0..5 {
                let mut controls = imx219();
                let control = &mut controls[at];
                (control.value, control.default, control.most) = (Some(value), value, value);
                let plan = Plan::of(&controls, &wanted(50));
                if let Ok(plan) = plan {
                    assert!(plan.frame_time <= Duration::from_secs(60));
                    assert!(plan.now.lines >= 1 && !plan.to_string().contains("NaN"));
                }
                blanking(&controls, wanted(0).geometry, 240);
            }
        }
    }

    #[test]
    fn the_rate_comes_from_the_blanking() {
        let geometry = wanted(0).geometry;
        let at = |rate_fps| blanking(&imx219(), geometry, rate_fps);
        // A line takes 18.9 us, so at 10 frames per second there are 5290 lines.
        assert_eq!(at(10), Some((VERTICAL_BLANKING, 5290 - 1232)));
        assert_eq!(at(1), Some((VERTICAL_BLANKING, 52900 - 1232)));
        assert_eq!(
            at(240),
            Some((VERTICAL_BLANKING, 4)),
            "the fastest that there is"
        );
        assert_eq!(at(30), None, "it is so already");
        let mut fixed = imx219();
        fixed[1].is_read_only = true;
        assert_eq!(blanking(&fixed, geometry, 10), None);
        assert_eq!(blanking(&imx219()[..4], geometry, 10), None);
    }
}
