//! Exposure and gain in units of the controls, and how a brightness is split between the two.

use super::gain::Law;

/// A setting, in units of the controls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Setting {
    /// Exposure in lines.
    pub lines: i64,
    /// Gain code; 0 if we do not control the gain.
    pub code: i64,
}

/// The limits of what can be set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Limits {
    /// Least and most lines of exposure.
    pub lines: (i64, i64),
    /// Least and greatest gain code, and what codes mean; `None`: the gain is left alone.
    pub gain: Option<(i64, i64, Law)>,
    /// Lines in half a mains period, which is the period of a lamp's flicker; `None`: flicker is ignored.
    pub flicker_lines: Option<f64>,
}

impl Limits {
    /// The smallest and the largest gain factor.
    pub fn factors(&self) -> (f64, f64) {
        match self.gain {
            None => (1.0, 1.0),
            Some((least, most, law)) => (
                law.factor(least).unwrap_or(1.0),
                law.factor(most).unwrap_or(1.0),
            ),
        }
    }

    /// Lines x gain.
    pub fn product(&self, setting: Setting) -> f64 {
        let factor = self.gain.and_then(|(_, _, law)| law.factor(setting.code));
        setting.lines as f64 * factor.unwrap_or(1.0)
    }

    /// The setting for a product: the longest possible exposure, and gain for the rest. An exposure at least as long as a flicker
    /// period is a multiple of it, so that every line sees the same number of flashes.
    pub fn split(&self, product: f64) -> Setting {
        let (least_factor, most_factor) = self.factors();
        let (least, most) = (self.lines.0 as f64, self.lines.1 as f64);
        let wanted = (product / least_factor).clamp(least, most);
        let lines = match self.flicker_lines {
            Some(flicker) if wanted >= flicker => (wanted / flicker).floor() * flicker,
            _ if self.gain.is_some() => wanted,
            // Without gain to make up for it, the nearest.
            _ => wanted + 0.5,
        };
        // A multiple that is a whole number of lines except for rounding must not lose one.
        let lines = (lines + 1e-6).floor().clamp(least, most);
        let code = self.gain.map_or(0, |(least, most, law)| {
            let factor = (product / lines).clamp(least_factor, most_factor);
            law.code(factor).clamp(least, most)
        });
        Setting {
            lines: lines as i64,
            code,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A setting must come this close to the request: half of the error that the controller tolerates.
    const NEAR_STOPS: f64 = 0.075;

    /// An IMX219 at 1640 x 1232 and 30 frames a second.
    pub(in super::super) fn imx219(mains_hz: Option<f64>) -> Limits {
        let line_us = 18.9;
        Limits {
            lines: (4, 1759),
            gain: Some((0, 232, Law::Reciprocal { full: 256 })),
            flicker_lines: mains_hz.map(|hertz| 5e5 / hertz / line_us),
        }
    }

    #[test]
    fn exposure_comes_first_and_gain_makes_up_for_the_rest() {
        let limits = imx219(None);
        let split = |product| {
            let setting = limits.split(product);
            (setting.lines, setting.code)
        };
        assert_eq!(split(0.0), (4, 0));
        assert_eq!(split(1000.0), (1000, 0));
        assert_eq!(split(3518.0), (1759, 128));
        assert_eq!(split(1e9), (1759, 232));
        // Half a line more than four: the gain makes up for it.
        assert_eq!(split(4.5).0, 4);
        let mut product = 4.0;
        while product < 1759.0 * 10.0 {
            let error = limits.product(limits.split(product)) / product;
            assert!(error.log2().abs() < NEAR_STOPS, "{product}: {error}");
            product *= 1.01;
        }
    }

    #[test]
    fn under_lamps_exposures_are_multiples_of_the_flicker() {
        for hertz in [50.0, 60.0] {
            let limits = imx219(Some(hertz));
            let flicker_us = 5e5 / hertz;
            let mut product = 4.0;
            let mut multiples = std::collections::BTreeSet::new();
            // With three flashes at 60 Hz and the largest gain.
            while product < 14_000.0 {
                let setting = limits.split(product);
                let exposure_us = setting.lines as f64 * 18.9;
                let multiple = exposure_us / flicker_us;
                if product * 18.9 > flicker_us {
                    let off_us = (multiple.round() - multiple).abs() * flicker_us;
                    assert!(off_us <= 18.9, "{product}: {exposure_us} us");
                    multiples.insert(multiple.round() as u32);
                }
                let error = limits.product(setting) / product;
                assert!(error.log2().abs() < NEAR_STOPS, "{product}: {error}");
                product *= 1.01;
            }
            assert_eq!(multiples.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
        }
    }

    #[test]
    fn without_gain_the_nearest_exposure_is_taken() {
        let limits = Limits {
            gain: None,
            ..imx219(None)
        };
        for (product, lines) in [(4.4, 4), (4.6, 5), (1758.9, 1759), (1e9, 1759)] {
            assert_eq!(limits.split(product), Setting { lines, code: 0 });
        }
    }
}
