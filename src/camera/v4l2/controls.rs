//! Camera controls: what a driver has, what the board file wants, and how the two are matched.
//!
//! Names are spelt as `v4l2-ctl -l` prints them; three have short forms ([`SHORT_NAMES`]). Everything is checked against the
//! driver's own ranges and menus before anything is set. Switches (menus and booleans) are set before numbers, because an enabled
//! automatic locks the number it controls. Only controls that change the ranges of others, the blanking of a raw sensor, are set
//! before the checks.

use crate::camera::v4l2::tuning::{ControlSetting, Tuning};
use crate::toml_file::{Scalar, did_you_mean};
use std::fmt;
use std::io;

/// The controls that determine an exposure's range: `V4L2_CID_VBLANK` and `V4L2_CID_HBLANK`.
const BLANKING: [&str; 2] = ["vertical_blanking", "horizontal_blanking"];

/// The same control has one name in a webcam's driver and another in a sensor's: if the driver lacks the name on the left, it
/// stands for the first name on the right that the driver has.
const SHORT_NAMES: [(&str, &[&str]); 3] = [
    ("exposure", &["exposure_time_absolute", "exposure_absolute"]),
    ("gain", &["analogue_gain"]),
    ("focus", &["focus_absolute"]),
];

/// `V4L2_CID_POWER_LINE_FREQUENCY`
const POWER_LINE_FREQUENCY: u32 = 0x0098_0918;

/// A control that a driver lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// The kernel's number for it.
    pub id: u32,
    /// Its name as in `v4l2-ctl`: `exposure_time_absolute`.
    pub name: String,
    /// The type of its value.
    pub kind: Kind,
    /// The smallest value.
    pub least: i64,
    /// The largest value.
    pub most: i64,
    /// Valid values are `least` plus whole steps.
    pub step: u64,
    /// The driver's default.
    pub default: i64,
    /// The current value; `None` if it cannot be read.
    pub value: Option<i64>,
    /// Menu only: values and their names.
    pub entries: Vec<(i64, String)>,
    /// Read-only.
    pub is_read_only: bool,
    /// Another control (an automatic) locks it at present.
    pub is_inactive: bool,
}

/// The type of a control's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A 32-bit integer.
    Whole,
    /// 0 or 1.
    Flag,
    /// One of named entries.
    Menu,
    /// A bit mask.
    Bits,
    /// A button, a string, a table or a 64-bit integer; these cannot be set here.
    Other,
}

/// The name that `v4l2-ctl` gives a control: lower-case letters and digits, with one `_` for anything in between.
pub(super) fn name_of(title: &str) -> String {
    let words = title
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_ascii_lowercase()
}

impl Control {
    /// The values that it accepts, for people.
    fn range(&self) -> String {
        match self.kind {
            Kind::Flag => "true or false".to_owned(),
            Kind::Menu => {
                let entries = self.entries.iter();
                let names: Vec<_> = entries
                    .map(|(at, name)| format!("{name:?} ({at})"))
                    .collect();
                format!("one of {}", names.join(", "))
            }
            Kind::Bits => format!("bits of {:#x}", self.most),
            Kind::Whole | Kind::Other if self.step > 1 => {
                format!("{} to {} in steps of {}", self.least, self.most, self.step)
            }
            Kind::Whole | Kind::Other => format!("{} to {}", self.least, self.most),
        }
    }

    /// A value for people.
    fn shown(&self, value: i64) -> String {
        let entry = self.entries.iter().find(|(at, _)| *at == value);
        match (self.kind, entry) {
            (Kind::Menu, Some((_, name))) => format!("{name:?}"),
            (Kind::Flag, _) => (value != 0).to_string(),
            _ => value.to_string(),
        }
    }

    /// Converts a board-file value to the kernel's number, or says what is wrong with it.
    fn number(&self, value: &Scalar) -> Result<i32, String> {
        let wrong = |near: &str| format!("is {value}, needs {}{near}", self.range());
        if self.is_read_only {
            return Err("is read-only".to_owned());
        }
        let number = match (self.kind, value) {
            (Kind::Other, _) => return Err("is of a type that cannot be set here".to_owned()),
            (Kind::Flag, Scalar::Flag(flag)) => Some(i64::from(*flag)),
            (Kind::Flag, Scalar::Whole(number)) => Some(*number).filter(|n| matches!(n, 0 | 1)),
            (Kind::Menu, Scalar::Whole(number)) => {
                let mut entries = self.entries.iter();
                entries.find(|(at, _)| at == number).map(|(at, _)| *at)
            }
            (Kind::Menu, Scalar::Text(text)) => {
                let same = |name: &String| name.eq_ignore_ascii_case(text.trim());
                match self.entries.iter().find(|(_, name)| same(name)) {
                    Some((at, _)) => Some(*at),
                    None => {
                        let names = self.entries.iter().map(|(_, name)| name.as_str());
                        return Err(wrong(&did_you_mean(text, names)));
                    }
                }
            }
            (Kind::Bits, Scalar::Whole(number)) => {
                Some(*number).filter(|bits| bits & !self.most == 0)
            }
            (Kind::Whole, Scalar::Whole(number)) => Some(*number).filter(|n| self.has(*n)),
            _ => None,
        };
        // The top bit of a bit mask may be the sign bit.
        let narrow = |n: i64| {
            i32::try_from(n)
                .ok()
                .or_else(|| Some(u32::try_from(n).ok()?.cast_signed()))
        };
        number.and_then(narrow).ok_or_else(|| wrong(""))
    }

    fn is_switch(&self) -> bool {
        matches!(self.kind, Kind::Menu | Kind::Flag)
    }

    fn has(&self, number: i64) -> bool {
        (self.least..=self.most).contains(&number)
            && number.abs_diff(self.least).is_multiple_of(self.step.max(1))
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if self.kind == Kind::Other {
            return f.write_str(": not one that can be set here");
        }
        write!(
            f,
            ": {}, default {}",
            self.range(),
            self.shown(self.default)
        )?;
        if let Some(value) = self.value {
            write!(f, ", now {}", self.shown(value))?;
        }
        if self.is_read_only {
            f.write_str(", read only")?;
        }
        if self.is_inactive {
            f.write_str(", held by another control")?;
        }
        Ok(())
    }
}

/// A control to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    id: u32,
    name: String,
    value: i32,
    is_switch: bool,
    /// The camera is used although the driver refuses it.
    may_be_refused: bool,
}

/// Matches the board file's settings with these controls, in the order in which they are set.
///
/// # Errors
/// The first fault, for people.
fn settings(found: &[Control], tuning: &Tuning) -> Result<Vec<Setting>, String> {
    let mut settings = Vec::with_capacity(tuning.controls.len() + 1);
    settings.extend(mains(found, tuning.mains_hz));
    for wanted in &tuning.controls {
        settings.push(setting(found, wanted)?);
    }
    settings.sort_by_key(|setting| !setting.is_switch);
    Ok(settings)
}

/// The control with this name, or what exists instead.
fn named<'a>(found: &'a [Control], name: &str) -> Result<&'a Control, String> {
    let of = |name: &str| found.iter().find(|control| control.name == name);
    let mut short = SHORT_NAMES.iter().filter(|(short, _)| *short == name);
    let long = || short.find_map(|(_, names)| names.iter().find_map(|name| of(name)));
    of(name).or_else(long).ok_or_else(|| {
        let names: Vec<_> = found.iter().map(|control| control.name.as_str()).collect();
        let near = did_you_mean(name, names.iter().copied());
        match names.is_empty() {
            true => format!("has no controls, and the board file sets `{name}`"),
            false => format!(
                "has no control `{name}`{near} (it has {})",
                names.join(", ")
            ),
        }
    })
}

fn setting(found: &[Control], wanted: &ControlSetting) -> Result<Setting, String> {
    let control = named(found, &wanted.name)?;
    let name = &control.name;
    let value = control.number(&wanted.value).map_err(|why| {
        format!("cannot be set as the board file asks: its control `{name}` {why}")
    })?;
    Ok(Setting {
        id: control.id,
        name: name.clone(),
        value,
        is_switch: control.is_switch(),
        may_be_refused: false,
    })
}

/// `mains_hz` as a setting; none if the driver lacks the control or this entry: cameras that cannot switch the filter off list only
/// 50 and 60 Hz.
fn mains(found: &[Control], mains_hz: Option<u32>) -> Option<Setting> {
    let control = found
        .iter()
        .find(|control| control.id == POWER_LINE_FREQUENCY)?;
    let hertz = mains_hz?;
    // `enum v4l2_power_line_frequency`; its automatic is 3.
    let number = match hertz {
        0 => 0,
        50 => 1,
        _ => 2,
    };
    match control.number(&Scalar::Whole(number)) {
        Ok(value) => Some(Setting {
            id: control.id,
            name: control.name.clone(),
            value,
            is_switch: control.is_switch(),
            may_be_refused: true,
        }),
        Err(why) => {
            log::warn!(
                "mains_hz = {hertz} is not set: the camera's control `{}` {why}",
                control.name
            );
            None
        }
    }
}

/// Something on which controls can be set.
pub(super) trait Knobs {
    /// Sets a control; returns the value that the driver accepted.
    fn set(&self, id: u32, value: i32) -> io::Result<i32>;
}

/// A node whose controls can be listed and set.
pub(super) trait Panel: Knobs {
    /// The controls in their current state.
    fn list(&self) -> Vec<Control>;
}

/// Why a control was not set.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The board file asks for something that does not exist; in words.
    Words(String),
    /// The driver refused; with what was attempted.
    Call(String, io::Error),
}

/// Sets the controls that the board file names; returns how many.
pub(super) fn set_all(panel: &impl Panel, tuning: &Tuning) -> Result<usize, Refusal> {
    let mut found = panel.list();
    let of = |controls| Tuning {
        controls,
        ..tuning.clone()
    };
    let mut count = 0;
    let mut rest = of(tuning.controls.clone());
    if BLANKING.iter().any(|name| tuning.names(name)) {
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for wanted in &tuning.controls {
            let control = named(&found, &wanted.name).map_err(Refusal::Words)?;
            let is_first = control.is_switch() || BLANKING.contains(&control.name.as_str());
            let list = if is_first { &mut first } else { &mut last };
            list.push(wanted.clone());
        }
        count += set_these(panel, &found, &of(first))?;
        found = panel.list();
        rest = Tuning {
            mains_hz: None,
            ..of(last)
        };
    }
    count += set_these(panel, &found, &rest)?;
    Ok(count)
}

fn set_these(knobs: &impl Knobs, found: &[Control], tuning: &Tuning) -> Result<usize, Refusal> {
    let settings = settings(found, tuning).map_err(Refusal::Words)?;
    apply(knobs, &settings).map_err(|(doing, error)| Refusal::Call(doing, error))
}

/// Sets them all, and returns how many the driver took; on error, returns the first that it refused and that is needed, with its
/// reason.
fn apply(knobs: &impl Knobs, settings: &[Setting]) -> Result<usize, (String, io::Error)> {
    let mut count = 0;
    for setting in settings {
        let Setting {
            id,
            name,
            value,
            may_be_refused,
            ..
        } = setting;
        let taken = match knobs.set(*id, *value) {
            // A USB camera stalled; the next request clears that.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => knobs.set(*id, *value),
            result => result,
        };
        let taken = match taken {
            Ok(taken) => taken,
            Err(error) if *may_be_refused && error.raw_os_error() != Some(libc::ENODEV) => {
                log::warn!(
                    "mains_hz is not set: the driver refused to set the camera's control `{name}` to {value}: {error}"
                );
                continue;
            }
            Err(error) => return Err((format!("to set its control `{name}` to {value}"), error)),
        };
        if taken != *value {
            log::warn!("the driver set the control `{name}` to {taken}, not to {value}");
        }
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::cell::{Cell, RefCell};

    fn control(id: u32, name: &str, kind: Kind, range: (i64, i64, u64)) -> Control {
        Control {
            id,
            name: name.to_owned(),
            kind,
            least: range.0,
            most: range.1,
            step: range.2,
            default: range.0,
            value: Some(range.0),
            entries: vec![],
            is_read_only: false,
            is_inactive: false,
        }
    }

    /// The controls of a common webcam.
    fn webcam() -> Vec<Control> {
        let mut mains = control(
            POWER_LINE_FREQUENCY,
            "power_line_frequency",
            Kind::Menu,
            (0, 2, 1),
        );
        mains.entries = [(0, "Disabled"), (1, "50 Hz"), (2, "60 Hz")]
            .map(|(at, name)| (at, name.to_owned()))
            .to_vec();
        let mut automatic = control(2, "auto_exposure", Kind::Menu, (0, 3, 1));
        automatic.entries = [(1, "Manual Mode"), (3, "Aperture Priority Mode")]
            .map(|(at, name)| (at, name.to_owned()))
            .to_vec();
        let mut fixed = control(7, "pixel_rate", Kind::Whole, (1, 9, 1));
        fixed.is_read_only = true;
        vec![
            control(1, "exposure_time_absolute", Kind::Whole, (3, 2047, 1)),
            control(4, "gain", Kind::Whole, (-10, 100, 5)),
            control(5, "white_balance_automatic", Kind::Flag, (0, 1, 1)),
            control(6, "leds", Kind::Bits, (0, 6, 0)),
            control(8, "reset", Kind::Other, (0, 0, 0)),
            mains,
            automatic,
            fixed,
            control(9, "focus_absolute", Kind::Whole, (0, 250, 5)),
        ]
    }

    #[test]
    fn exposure_gain_focus_and_mains_have_one_name_for_every_driver() {
        let sensor = [
            control(21, "exposure", Kind::Whole, (4, 1759, 1)),
            control(22, "analogue_gain", Kind::Whole, (0, 232, 1)),
        ];
        let old = [control(31, "exposure_absolute", Kind::Whole, (1, 5000, 1))];
        for (found, name, value, expected) in [
            (&webcam()[..], "exposure", Scalar::Whole(157), (1, 157)),
            (&webcam(), "gain", Scalar::Whole(95), (4, 95)),
            (&webcam(), "focus", Scalar::Whole(30), (9, 30)),
            (
                &webcam(),
                "power_line_frequency",
                text("60 Hz"),
                (POWER_LINE_FREQUENCY, 2),
            ),
            (&sensor, "exposure", Scalar::Whole(1000), (21, 1000)),
            (&sensor, "gain", Scalar::Whole(100), (22, 100)),
            (&old, "exposure", Scalar::Whole(5000), (31, 5000)),
        ] {
            let settings = settings(found, &wanted(name, value)).unwrap();
            assert_eq!((settings[0].id, settings[0].value), expected, "{name}");
        }
        for (name, number, expected) in [
            (
                "exposure",
                2,
                "`exposure_time_absolute` is 2, needs 3 to 2047",
            ),
            (
                "focus",
                251,
                "`focus_absolute` is 251, needs 0 to 250 in steps of 5",
            ),
        ] {
            let why = settings(&webcam(), &wanted(name, Scalar::Whole(number))).unwrap_err();
            assert!(why.contains(expected), "{why}");
        }
        let why = settings(&sensor, &wanted("focus", Scalar::Whole(1))).unwrap_err();
        assert!(
            why.starts_with("has no control `focus` (it has exposure, analogue_gain)"),
            "{why}"
        );
    }

    fn wanted(name: &str, value: Scalar) -> Tuning {
        let name = name.to_owned();
        Tuning {
            controls: vec![ControlSetting { name, value }],
            ..Tuning::default()
        }
    }

    fn text(text: &str) -> Scalar {
        Scalar::Text(text.to_owned())
    }

    #[test]
    fn names_are_written_as_v4l2_ctl_does() {
        for (title, name) in [
            ("Exposure Time, Absolute", "exposure_time_absolute"),
            ("White Balance, Automatic", "white_balance_automatic"),
            ("  Gain  ", "gain"),
            ("Region of Interest (ROI)", "region_of_interest_roi"),
            ("Énergie 2", "nergie_2"),
        ] {
            assert_eq!(name_of(title), name);
        }
    }

    #[test]
    fn values_become_the_drivers_numbers() {
        for (name, value, number) in [
            ("gain", Scalar::Whole(-10), -10),
            ("gain", Scalar::Whole(95), 95),
            ("white_balance_automatic", Scalar::Flag(false), 0),
            ("white_balance_automatic", Scalar::Whole(1), 1),
            ("power_line_frequency", text("50 hz"), 1),
            ("power_line_frequency", text("DISABLED"), 0),
            ("power_line_frequency", Scalar::Whole(2), 2),
            ("auto_exposure", Scalar::Whole(3), 3),
            ("leds", Scalar::Whole(6), 6),
        ] {
            let settings = settings(&webcam(), &wanted(name, value)).unwrap();
            assert_eq!(settings[0].value, number, "{name}");
        }
    }

    #[test]
    fn a_control_that_cannot_be_set_lists_those_that_can() {
        for (name, value, words) in [
            (
                "gian",
                Scalar::Whole(1),
                "no control `gian`, did you mean `gain`? (it has exposure_time_absolute, gain,",
            ),
            (
                "gain",
                Scalar::Whole(101),
                "is 101, needs -10 to 100 in steps of 5",
            ),
            (
                "gain",
                Scalar::Whole(1),
                "is 1, needs -10 to 100 in steps of 5",
            ),
            ("gain", Scalar::Whole(i64::MIN), "needs -10 to 100"),
            ("gain", Scalar::Flag(true), "is true, needs -10"),
            ("gain", text("high"), "is \"high\", needs -10"),
            (
                "power_line_frequency",
                text("55 hz"),
                "is \"55 hz\", needs one of \"Disabled\" (0), \"50 Hz\" (1), \"60 Hz\" (2)",
            ),
            (
                "power_line_frequency",
                text("Disable"),
                "did you mean `Disabled`?",
            ),
            (
                "auto_exposure",
                Scalar::Whole(2),
                "needs one of \"Manual Mode\" (1)",
            ),
            (
                "white_balance_automatic",
                Scalar::Whole(2),
                "needs true or false",
            ),
            ("leds", Scalar::Whole(8), "needs bits of 0x6"),
            ("leds", Scalar::Whole(-1), "needs bits of 0x6"),
            ("pixel_rate", Scalar::Whole(2), "is read-only"),
            (
                "reset",
                Scalar::Whole(0),
                "of a type that cannot be set here",
            ),
        ] {
            let why = settings(&webcam(), &wanted(name, value)).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
        let why = settings(&[], &wanted("gain", Scalar::Whole(1))).unwrap_err();
        assert!(why.contains("has no controls"), "{why}");
    }

    #[test]
    fn mains_is_set_where_there_is_such_a_control() {
        for (hertz, number) in [(0, 0), (50, 1), (60, 2)] {
            let tuning = Tuning {
                mains_hz: Some(hertz),
                ..Tuning::default()
            };
            assert_eq!(settings(&webcam(), &tuning).unwrap()[0].value, number);
            assert_eq!(settings(&webcam()[..5], &tuning), Ok(vec![]));
        }
        assert_eq!(settings(&webcam(), &Tuning::default()), Ok(vec![]));
    }

    /// A camera that lacks the entry is used all the same, unless the board file names the control.
    #[test]
    fn mains_is_left_alone_where_the_camera_lacks_the_entry() {
        let mut found = webcam();
        let menu = found.iter_mut().find(|c| c.id == POWER_LINE_FREQUENCY);
        let menu = menu.unwrap();
        menu.entries.remove(0);
        // The driver's own name for it.
        menu.entries[0].1 = "50Hz".to_owned();
        let of = |mains_hz| Tuning {
            mains_hz: Some(mains_hz),
            ..Tuning::default()
        };
        assert_eq!(settings(&found, &of(0)), Ok(vec![]));
        assert_eq!(settings(&found, &of(50)).unwrap()[0].value, 1);
        let why = settings(&found, &wanted("power_line_frequency", text("Disabled"))).unwrap_err();
        assert!(why.contains("needs one of \"50Hz\" (1)"), "{why}");
    }

    /// Knobs that record what is set, and refuse one with this error.
    struct Noted(RefCell<Vec<(u32, i32)>>, Option<(u32, i32)>);

    impl Knobs for Noted {
        fn set(&self, id: u32, value: i32) -> io::Result<i32> {
            if let Some((refused, error)) = self.1
                && refused == id
            {
                return Err(io::Error::from_raw_os_error(error));
            }
            self.0.borrow_mut().push((id, value));
            Ok(value)
        }
    }

    #[test]
    fn automatics_are_switched_before_what_they_lock() {
        let pairs = [
            ("exposure_time_absolute", Scalar::Whole(100)),
            ("gain", Scalar::Whole(0)),
            ("auto_exposure", text("manual mode")),
        ];
        let controls = pairs
            .map(|(name, value)| ControlSetting {
                name: name.to_owned(),
                value,
            })
            .to_vec();
        let tuning = Tuning {
            controls,
            ..Tuning::default()
        };
        let settings = settings(&webcam(), &tuning).unwrap();
        let knobs = Noted(RefCell::default(), None);
        apply(&knobs, &settings).unwrap();
        assert_eq!(*knobs.0.borrow(), [(2, 1), (1, 100), (4, 0)]);
        let knobs = Noted(RefCell::default(), Some((1, libc::EACCES)));
        let (doing, _) = apply(&knobs, &settings).unwrap_err();
        assert_eq!(doing, "to set its control `exposure_time_absolute` to 100");
    }

    /// Knobs that stall this many times before they take a value.
    struct Stalling(Cell<u32>);

    impl Knobs for Stalling {
        fn set(&self, _: u32, value: i32) -> io::Result<i32> {
            match self.0.get() {
                0 => Ok(value),
                left => {
                    self.0.set(left - 1);
                    Err(io::Error::from_raw_os_error(libc::EPIPE))
                }
            }
        }
    }

    /// Lamps that flicker are no reason to do without the camera; a camera that is gone is.
    #[test]
    fn mains_that_the_driver_refuses_is_left_alone_unless_the_board_file_names_the_control() {
        let mains = Tuning {
            mains_hz: Some(50),
            ..wanted("gain", Scalar::Whole(5))
        };
        let mains = settings(&webcam(), &mains).unwrap();
        let named = wanted("power_line_frequency", Scalar::Whole(1));
        let named = settings(&webcam(), &named).unwrap();
        for (error, is_used) in [
            (libc::EPIPE, true),
            (libc::EIO, true),
            (libc::EINVAL, true),
            (libc::ENODEV, false),
        ] {
            let knobs = Noted(RefCell::default(), Some((POWER_LINE_FREQUENCY, error)));
            let result = apply(&knobs, &mains);
            assert_eq!(result.is_ok(), is_used, "{result:?}");
            let set = if is_used { vec![(4, 5)] } else { vec![] };
            assert_eq!(*knobs.0.borrow(), set);
            if is_used {
                assert_eq!(result.unwrap(), 1, "the refused one does not count");
            }
            assert!(apply(&knobs, &named).is_err());
        }
    }

    #[test]
    fn a_control_that_stalls_is_set_once_more() {
        let settings = settings(&webcam(), &wanted("gain", Scalar::Whole(5))).unwrap();
        let stalls = |times| apply(&Stalling(Cell::new(times)), &settings);
        assert!(stalls(0).is_ok() && stalls(1).is_ok());
        let (doing, error) = stalls(2).unwrap_err();
        assert_eq!(doing, "to set its control `gain` to 5");
        assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
    }

    #[test]
    fn a_control_prints_its_range_default_and_value() {
        let lines: Vec<_> = webcam().iter().map(ToString::to_string).collect();
        assert_eq!(
            lines[1],
            "gain: -10 to 100 in steps of 5, default -10, now -10"
        );
        assert_eq!(
            lines[2],
            "white_balance_automatic: true or false, default false, now false"
        );
        assert_eq!(
            lines[5],
            "power_line_frequency: one of \"Disabled\" (0), \"50 Hz\" (1), \"60 Hz\" (2), default \"Disabled\", now \"Disabled\""
        );
        assert!(lines[7].ends_with("read only"), "{}", lines[7]);
    }
}
