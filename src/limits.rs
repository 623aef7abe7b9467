//! The range of every number that a user can set, on the command line or in a board or model file. All readers take their ranges
//! from here, and `boards/README.md` is tested against them.

use std::fmt;

/// A range of whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    /// The smallest allowed.
    pub least: u64,
    /// The largest allowed.
    pub most: u64,
}

/// A range of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Real {
    /// The smallest allowed.
    pub least: f32,
    /// The largest allowed.
    pub most: f32,
}

const fn whole(least: u64, most: u64) -> Whole {
    Whole { least, most }
}

const fn real(least: f32, most: f32) -> Real {
    Real { least, most }
}

// For the command line and board files.

/// Threads that run the network: no board has more cores, and each costs a stack.
pub const THREADS: Whole = whole(1, 64);

// For the command line only.

/// `bench --iterations`: each takes two 8-byte times in memory.
pub const BENCH_ITERATIONS: Whole = whole(1, 1_000_000);
/// `classify --top`: no model has more classes.
pub const TOP_CLASSES: Whole = whole(1, CLASS_COUNT.most);
/// `run --frames`; 0 starts everything and exits.
pub const FRAMES: Whole = whole(0, u64::MAX);
/// `run --stats-every`, in frames.
pub const STATS_EVERY_FRAMES: Whole = whole(1, u64::MAX);
/// `display-test --seconds`; 0 draws and exits.
pub const DISPLAY_TEST_S: Whole = whole(0, 86_400);
/// `model verify --tolerance`, a difference of two scores.
pub const TOLERANCE: Real = real(0.0, 1e6);

/// `image --public-key`: minisign's file has two short lines.
pub const KEY_FILE_BYTES: u64 = 10 << 10;

// For board files.

/// The file itself: a complete one has 4 KiB.
pub const TOML_FILE_BYTES: u64 = 64 << 10;
/// `pool_mib`.
pub const POOL_MIB: Whole = whole(1, 2048);
/// Pixels per side: no camera picture or display is larger, and smaller ones show nothing useful.
pub const SIDE_PX: Whole = whole(16, 8192);
/// The same of a display: on smaller ones no word is legible.
pub const DISPLAY_SIDE_PX: Whole = whole(32, 8192);
/// Width and height of a round display.
pub const ROUND_DISPLAY_PX: Whole = whole(96, DISPLAY_SIDE_PX.most);
/// `rate_fps` of a camera.
pub const CAMERA_RATE_FPS: Whole = whole(1, 240);
/// `rate_fps` of pictures that we produce; 0 is as fast as possible.
pub const DRAWN_RATE_FPS: Whole = whole(0, 1000);
/// `timeout_ms` of a camera.
pub const CAMERA_TIMEOUT_MS: Whole = whole(100, 60_000);
/// `timeout_ms` of a pipe.
pub const PIPE_TIMEOUT_MS: Whole = whole(100, 600_000);
/// `black_level`, out of 65536 for a full sample: no sensor has more than a quarter.
pub const BLACK_LEVEL: Whole = whole(0, 16_384);
/// `white_balance`, the gains of red and blue relative to green.
pub const WHITE_GAIN: Real = real(0.25, 8.0);
/// `frames_each`.
pub const FRAMES_EACH: Whole = whole(1, 1_000_000);
/// `ema_weight`: the smallest one still adapts to a new picture within some hundred frames.
pub const EMA_WEIGHT: Real = real(0.01, 1.0);
/// `enter` and `leave`.
pub const PROBABILITY: Real = real(0.0, 1.0);
/// `frames_in_a_row`.
pub const FRAMES_IN_A_ROW: Whole = whole(1, 1000);
/// `region` and the entries of `[mount.regions]`, as fractions of the picture.
pub const REGION_PART: Real = real(0.0, 1.0);
/// Entries of `[mount.regions]`: with more, each would be classified too rarely, and no display has room for them.
pub const REGIONS: Whole = whole(1, 8);
/// Characters of a region's name.
pub const REGION_NAME_CHARS: usize = 24;
/// A region has at least this many pixels per side, like a network's picture; less shows only enlarged noise.
pub const REGION_SIDE_PX: Whole = whole(8, SIDE_PX.most);
/// `hold_ms`.
pub const HOLD_MS: Whole = whole(0, 3_600_000);
/// `font` of `[display]`: a font with all Chinese, Japanese and Korean characters has some 20 MB.
pub const FONT_FILE_BYTES: u64 = 64 << 20;
/// Tables in `[display]`: no board has more connectors, and each costs time for every picture.
pub const DISPLAYS: Whole = whole(1, 4);
/// `keep` of `[display.png]`.
pub const PNG_KEEP: Whole = whole(1, 999);
/// `left_px` and `top_px` of a panel: no controller has a larger memory.
pub const PANEL_OFFSET_PX: Whole = whole(0, 479);
/// `speed_hz` of a panel on SPI: below the minimum a picture takes seconds, and no board's controller exceeds the maximum.
pub const SPI_SPEED_HZ: Whole = whole(200_000, 125_000_000);
/// `transfer_bytes`: Linux's spidev can be configured up to this.
pub const SPI_TRANSFER_BYTES: Whole = whole(16, 65_536);
/// `dc_gpio` and the other lines of a GPIO chip.
pub const GPIO_LINE: Whole = whole(0, 1023);
/// `address` of a panel on I2C: those that the I2C specification does not reserve.
pub const I2C_ADDRESS: Whole = whole(0x08, 0x77);
/// `contrast`.
pub const CONTRAST: Whole = whole(0, 255);
/// `full_every` of e-paper.
pub const FULL_EVERY: Whole = whole(1, 1000);
/// `rate_hz` of `[display.drm]`: the fastest displays on sale show some 500 pictures per second.
pub const MODE_RATE_HZ: Whole = whole(1, 1000);
/// `watchdog_s`, unless it is 0: the first program may wait 4 s for a slow card.
pub const WATCHDOG_S: Whole = whole(5, 300);
/// `start_s` and `trial_s`.
pub const START_S: Whole = whole(5, 3600);
/// `degraded_rate_fps`: below one frame in two seconds the display would treat the class as stale.
pub const DEGRADED_RATE_FPS: Real = real(0.5, 60.0);
/// `after_s`.
pub const AFTER_S: Whole = whole(0, 86_400);
/// `within_s` of `[policy.program_fails]`.
pub const WITHIN_S: Whole = whole(1, 86_400);
/// `count` of `[policy.program_fails]`.
pub const FAILURE_COUNT: Whole = whole(1, 1000);
/// `at_celsius`.
pub const AT_CELSIUS: Real = real(30.0, 120.0);
/// `at_percent`.
pub const AT_PERCENT: Whole = whole(10, 100);

// For model files.

/// `size_bytes`.
pub const MODEL_BYTES: Whole = whole(1, 4 << 30);
/// `width_px` and `height_px` of a network's input.
pub const INPUT_SIDE_PX: Whole = whole(1, 4096);
/// `resize_shorter_px`: the default is 8/7 of the longer side.
pub const RESIZE_SHORTER_PX: Whole = whole(1, 8192);
/// `fill`, a colour.
pub const COLOUR: Real = real(0.0, 255.0);
/// `scale` and `std`, which are factors.
pub const FACTOR: Real = real(1e-6, 1e6);
/// `mean`.
pub const MEAN: Real = real(-1e6, 1e6);
/// `class_count`.
pub const CLASS_COUNT: Whole = whole(2, 100_000);
/// `label_offset`.
pub const LABEL_OFFSET: Whole = whole(0, 1000);

impl Whole {
    /// The number, if it is in the range.
    pub fn check(self, number: u64) -> Option<u64> {
        (self.least..=self.most).contains(&number).then_some(number)
    }
}

impl Real {
    /// The number, if it is in the range.
    pub fn check(self, number: f32) -> Option<f32> {
        (self.least..=self.most).contains(&number).then_some(number)
    }
}

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.most {
            u64::MAX => write!(f, "a whole number of at least {}", self.least),
            most => write!(f, "a whole number from {} to {most}", self.least),
        }
    }
}

impl fmt::Display for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number from {} to {}", self.least, self.most)
    }
}

/// Parses a command-line flag: a whole number in `range`.
pub fn flag<T: TryFrom<u64>>(range: Whole) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok().and_then(|number| range.check(number));
        number
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("needs {range}"))
    }
}

/// Parses a command-line flag: a number in `range`.
pub fn real_flag(range: Real) -> impl Fn(&str) -> Result<f32, String> + Clone {
    move |text| {
        let number = text.parse().ok().and_then(|number| range.check(number));
        number.ok_or_else(|| format!("needs {range}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_flag_out_of_range_is_refused_with_its_range() {
        let threads = flag::<usize>(THREADS);
        assert_eq!((threads("1"), threads("64")), (Ok(1), Ok(64)));
        for text in ["0", "65", "-1", "1.5", "", "two", "99999999999999999999"] {
            let error = threads(text).unwrap_err();
            assert_eq!(error, "needs a whole number from 1 to 64", "{text}");
        }
        let byte = flag::<u8>(FRAMES);
        assert_eq!(
            byte("256").unwrap_err(),
            "needs a whole number of at least 0"
        );
        let tolerance = real_flag(TOLERANCE);
        assert_eq!(tolerance("0.5"), Ok(0.5));
        for text in ["NaN", "inf", "-1", "x", "1e7"] {
            let error = tolerance(text).unwrap_err();
            assert_eq!(error, "needs a number from 0 to 1000000", "{text}");
        }
    }

    #[test]
    fn the_boards_readme_states_the_same_ranges() {
        let path = crate::basics::project_folder().join("boards/README.md");
        let readme = std::fs::read_to_string(path).unwrap();
        let whole = |key: &str, range: Whole| {
            let range = format!("{} to {}", range.least, range.most);
            (key.to_owned(), range)
        };
        let real = |key: &str, range: Real| {
            let range = format!("{} to {}", range.least, range.most);
            (key.to_owned(), range)
        };
        for (key, range) in [
            whole("threads", THREADS),
            whole("pool_mib", POOL_MIB),
            whole("width_px", SIDE_PX),
            whole("width_px", DISPLAY_SIDE_PX),
            whole("max_width_px", SIDE_PX),
            whole("rate_fps", CAMERA_RATE_FPS),
            whole("rate_fps", DRAWN_RATE_FPS),
            whole("timeout_ms", CAMERA_TIMEOUT_MS),
            whole("timeout_ms", PIPE_TIMEOUT_MS),
            whole("black_level", BLACK_LEVEL),
            real("white_balance", WHITE_GAIN),
            whole("frames_each", FRAMES_EACH),
            real("ema_weight", EMA_WEIGHT),
            real("enter", PROBABILITY),
            whole("frames_in_a_row", FRAMES_IN_A_ROW),
            whole("hold_ms", HOLD_MS),
            whole("regions", REGIONS),
            whole("display", DISPLAYS),
            whole("keep", PNG_KEEP),
            whole("left_px", PANEL_OFFSET_PX),
            whole("speed_hz", SPI_SPEED_HZ),
            whole("transfer_bytes", SPI_TRANSFER_BYTES),
            whole("dc_gpio", GPIO_LINE),
            whole("address", I2C_ADDRESS),
            whole("contrast", CONTRAST),
            whole("full_every", FULL_EVERY),
            whole("rate_hz", MODE_RATE_HZ),
            whole("watchdog_s", WATCHDOG_S),
            whole("start_s", START_S),
            whole("trial_s", START_S),
            real("degraded_rate_fps", DEGRADED_RATE_FPS),
            whole("after_s", AFTER_S),
            real("at_celsius", AT_CELSIUS),
            whole("at_percent", AT_PERCENT),
            whole("count", FAILURE_COUNT),
            whole("within_s", WITHIN_S),
        ] {
            let key = format!("`{key}`");
            let is_stated = readme.lines().any(|row| {
                let mut cells = row.split('|').skip(1);
                cells.next().is_some_and(|cell| cell.contains(&key))
                    && cells.next().is_some_and(|cell| cell.contains(&range))
            });
            assert!(is_stated, "boards/README.md does not say {key}: {range}");
        }
    }
}
