//! Chooses which of a connector's modes to set.

use ::drm::control::{self, ModeFlags, ModeTypeFlags};
use std::cmp::Reverse;
use std::fmt;

/// The preferred rate if several are available and the board file names none: the display is drawn ten times per second.
const USUAL_RATE_HZ: u32 = 60;
/// The most sizes listed in an error.
const SIZES_LISTED: usize = 12;

/// The relevant properties of a mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Columns.
    pub width_px: u32,
    /// Rows.
    pub height_px: u32,
    /// Refresh rate in hertz, rounded.
    pub rate_hz: u32,
    /// Whether the display itself names this mode as its best.
    pub is_preferred: bool,
    /// Whether the mode is interlaced or doubles rows, so that a picture one row high flickers.
    pub is_interlaced: bool,
}

impl From<&control::Mode> for Timing {
    fn from(mode: &control::Mode) -> Self {
        let (width_px, height_px) = mode.size();
        Self {
            width_px: width_px.into(),
            height_px: height_px.into(),
            rate_hz: mode.vrefresh(),
            is_preferred: mode.mode_type().contains(ModeTypeFlags::PREFERRED),
            is_interlaced: mode
                .flags()
                .intersects(ModeFlags::INTERLACE | ModeFlags::DBLSCAN),
        }
    }
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            width_px,
            height_px,
            rate_hz,
            ..
        } = self;
        write!(f, "{width_px} x {height_px} pixels at {rate_hz} Hz")
    }
}

/// The board file's settings for the mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Columns.
    pub width_px: Option<u32>,
    /// Rows.
    pub height_px: Option<u32>,
    /// Refresh rate in hertz.
    pub rate_hz: Option<u32>,
}

impl Wanted {
    fn admits(&self, timing: &Timing) -> bool {
        let is = |wanted: Option<u32>, real| wanted.is_none_or(|wanted| wanted == real);
        is(self.width_px, timing.width_px)
            && is(self.height_px, timing.height_px)
            && is(self.rate_hz, timing.rate_hz)
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |px: Option<u32>| px.map_or("any".to_owned(), |px| px.to_string());
        write!(f, "{} x {}", word(self.width_px), word(self.height_px))?;
        self.rate_hz
            .map_or(Ok(()), |rate_hz| write!(f, " at {rate_hz} Hz"))
    }
}

/// The mode to set: among those that the board file allows, first one that is neither interlaced nor doubled, then the display's
/// preferred one, then the largest, then the one whose rate is nearest to 60 Hz.
///
/// # Errors
/// The available modes, if none is allowed.
pub fn chosen(modes: &[Timing], wanted: &Wanted) -> Result<usize, String> {
    let admitted = modes.iter().enumerate().filter(|(_, m)| wanted.admits(m));
    // Among equals the first one in the driver's order, which is its own ranking.
    let best = admitted.min_by_key(|(_, mode)| {
        let area = u64::from(mode.width_px) * u64::from(mode.height_px);
        (
            mode.is_interlaced,
            !mode.is_preferred,
            Reverse(area),
            mode.rate_hz.abs_diff(USUAL_RATE_HZ),
        )
    });
    best.map(|(at, _)| at).ok_or_else(|| {
        if modes.is_empty() {
            return "the display and its driver name no mode: check the cable".to_owned();
        }
        format!(
            "it has no mode of {wanted}, but {}: change width_px, height_px and rate_hz of display.drm, or leave them out",
            listed(modes)
        )
    })
}

/// The modes for people: each size once, with its rates.
fn listed(modes: &[Timing]) -> String {
    let mut sizes: Vec<((u32, u32), Vec<u32>)> = Vec::new();
    for mode in modes {
        let size = (mode.width_px, mode.height_px);
        let at = sizes.iter().position(|(known, _)| *known == size);
        let at = at.unwrap_or_else(|| {
            sizes.push((size, Vec::new()));
            sizes.len() - 1
        });
        if !sizes[at].1.contains(&mode.rate_hz) {
            sizes[at].1.push(mode.rate_hz);
        }
    }
    let more = sizes.len().saturating_sub(SIZES_LISTED);
    let mut words: Vec<String> = sizes
        .iter()
        .take(SIZES_LISTED)
        .map(|((width_px, height_px), rates)| {
            let rates: Vec<String> = rates.iter().map(u32::to_string).collect();
            format!("{width_px} x {height_px} ({} Hz)", rates.join(", "))
        })
        .collect();
    if more > 0 {
        words.push(format!("{more} sizes more"));
    }
    words.join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn mode(width_px: u32, height_px: u32, rate_hz: u32) -> Timing {
        Timing {
            width_px,
            height_px,
            rate_hz,
            is_preferred: false,
            is_interlaced: false,
        }
    }

    fn wanted(width_px: u32, height_px: u32, rate_hz: u32) -> Wanted {
        let some = |number| (number != 0).then_some(number);
        Wanted {
            width_px: some(width_px),
            height_px: some(height_px),
            rate_hz: some(rate_hz),
        }
    }

    #[test]
    fn the_displays_own_best_then_the_largest_then_the_usual_rate() {
        let interlaced = Timing {
            is_interlaced: true,
            ..mode(1920, 1080, 60)
        };
        let mut modes = vec![
            interlaced,
            mode(1920, 1080, 24),
            mode(1920, 1080, 50),
            mode(1024, 600, 60),
            mode(1920, 1080, 120),
        ];
        assert_eq!(chosen(&modes, &Wanted::default()), Ok(2));
        modes[3].is_preferred = true;
        assert_eq!(chosen(&modes, &Wanted::default()), Ok(3));
        // The board file takes precedence.
        for (wanted, at) in [
            (wanted(1920, 0, 0), 2),
            (wanted(0, 1080, 0), 2),
            (wanted(1920, 1080, 24), 1),
            (wanted(0, 0, 120), 4),
            (wanted(1920, 1080, 60), 0),
        ] {
            assert_eq!(chosen(&modes, &wanted), Ok(at), "{wanted}");
        }
        // Among equals, the first.
        assert_eq!(
            chosen(&[modes[1], modes[1]], &Wanted::default()),
            Ok(0),
            "two modes that differ in what does not count"
        );
    }

    #[test]
    fn a_missing_mode_is_refused_with_those_that_exist() {
        let modes = [
            mode(1920, 1080, 60),
            mode(1920, 1080, 50),
            mode(1920, 1080, 60),
            mode(640, 480, 60),
        ];
        let error = chosen(&modes, &wanted(800, 480, 0)).unwrap_err();
        assert_eq!(
            error,
            "it has no mode of 800 x 480, but 1920 x 1080 (60, 50 Hz), 640 x 480 (60 Hz): \
             change width_px, height_px and rate_hz of display.drm, or leave them out"
        );
        let error = chosen(&modes, &wanted(640, 0, 75)).unwrap_err();
        assert!(error.contains("no mode of 640 x any at 75 Hz"), "{error}");
        let many: Vec<_> = (1..=20).map(|i| mode(100 * i, 100, 60)).collect();
        let error = chosen(&many, &wanted(50, 0, 0)).unwrap_err();
        assert!(error.contains("1200 x 100 (60 Hz), 8 sizes more:"));
        let error = chosen(&[], &Wanted::default()).unwrap_err();
        assert!(error.contains("check the cable"), "{error}");
    }
}
