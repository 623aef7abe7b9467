//! From kernel start to the first class: how long each part took.
//!
//! On a board that Eyelet booted itself, the first program (`firmware`) loads the kernel's modules while this one loads the
//! model. It writes the file named by [`VARIABLE`] when it is done; until then a display or a camera may still appear.

use crate::clock;
use std::path::PathBuf;
use std::time::Duration;

/// The environment variable that names the file.
pub const VARIABLE: &str = "EYELET_BOOT";
/// A device may appear a moment after its module was loaded.
const GRACE: Duration = Duration::from_secs(2);
/// A module that takes longer than this hangs; the board continues without it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A boot in progress. All times are since kernel start ([`clock::now`]) unless they are durations.
#[derive(Debug)]
pub struct Boot {
    file: PathBuf,
    modules: Option<Modules>,
    asked_at: Option<Duration>,
    /// There was a class.
    is_over: bool,
    /// How long the model took to load.
    pub model: Duration,
    /// How long opening the display took, after the model.
    pub display: Duration,
    /// How long opening the camera took, after the display.
    pub camera: Duration,
    /// When the camera was open.
    pub camera_at: Duration,
}

/// The contents of the first program's file: two numbers in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Modules {
    /// When the first program started.
    pub init_at: Duration,
    /// How long loading the modules took.
    pub took: Duration,
}

impl Modules {
    /// The file's text.
    pub fn to_text(self) -> String {
        format!(
            "{:.3} {:.3}\n",
            self.init_at.as_secs_f64(),
            self.took.as_secs_f64()
        )
    }

    /// Reads the file's text.
    pub fn of_text(text: &str) -> Option<Self> {
        let mut seconds = text
            .split_whitespace()
            .map(|word| Duration::try_from_secs_f64(word.parse().ok()?).ok());
        Some(Self {
            init_at: seconds.next()??,
            took: seconds.next()??,
        })
    }
}

impl Boot {
    /// A boot whose first program will write `file`.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            modules: None,
            asked_at: None,
            is_over: false,
            model: Duration::ZERO,
            display: Duration::ZERO,
            camera: Duration::ZERO,
            camera_at: Duration::ZERO,
        }
    }

    /// Whether a missing device may still appear because its module was loaded just now, or has not been loaded yet.
    pub fn may_bring_more(&mut self) -> bool {
        if self.modules.is_none() {
            let text = std::fs::read_to_string(&self.file).unwrap_or_default();
            self.modules = Modules::of_text(&text);
        }
        let now = clock::now();
        let asked_at = *self.asked_at.get_or_insert(now);
        match self.modules {
            Some(modules) => now < modules.init_at + modules.took + GRACE,
            None => now < asked_at + PATIENCE,
        }
    }

    /// There is a class: for the first one the total and its parts, in words.
    pub fn first_class(&mut self) -> Option<String> {
        if std::mem::replace(&mut self.is_over, true) {
            return None;
        }
        self.may_bring_more();
        let seconds = |time: Duration| time.as_secs_f64();
        let now = clock::now();
        let beside = match self.modules {
            Some(Modules { init_at, took }) => format!(
                "kernel {:.2} s, modules {:.2} s, meanwhile ",
                seconds(init_at),
                seconds(took)
            ),
            None => String::new(),
        };
        let words = format!(
            "first class after {:.2} s of kernel time: {beside}model {:.2} s, display {:.2} s, camera {:.2} s, first frame {:.2} s",
            seconds(now),
            seconds(self.model),
            seconds(self.display),
            seconds(self.camera),
            seconds(now.saturating_sub(self.camera_at))
        );
        Some(words)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn we_wait_for_devices_until_the_modules_are_loaded_and_a_moment_longer() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("boot");
        let mut boot = Boot::new(&file);
        assert!(boot.may_bring_more());
        std::fs::write(&file, "").unwrap();
        assert!(boot.may_bring_more(), "a file still being written");
        let modules = Modules {
            init_at: clock::now(),
            took: Duration::from_millis(250),
        };
        std::fs::write(&file, modules.to_text()).unwrap();
        assert!(boot.may_bring_more(), "a moment longer");
        let long_ago = Modules {
            init_at: Duration::from_millis(1500),
            took: Duration::from_millis(250),
        };
        std::fs::write(&file, long_ago.to_text()).unwrap();
        let mut boot = Boot::new(&file);
        assert!(!boot.may_bring_more());
        let summary = boot.first_class().unwrap();
        assert!(
            summary.contains("kernel 1.50 s, modules 0.25 s, meanwhile model"),
            "{summary}"
        );
        assert_eq!(boot.first_class(), None, "once");
        assert_eq!(Modules::of_text("1.5 -2"), None);
    }
}
