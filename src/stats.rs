//! How long each stage of a frame takes, over a window of frames. Allocated once.

use std::time::{Duration, Instant};

/// The stages of a frame, in order, and the total latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Waiting for the camera.
    Camera,
    /// JPEG to RGB.
    Decode,
    /// Colour, crop, resize, normalise.
    Preprocess,
    /// The network.
    Infer,
    /// The display.
    Show,
    /// From the driver's timestamp to the verdict (display not included).
    Latency,
}

/// All stages, in order.
pub const STAGES: [Stage; 6] = [
    Stage::Camera,
    Stage::Decode,
    Stage::Preprocess,
    Stage::Infer,
    Stage::Show,
    Stage::Latency,
];

impl Stage {
    /// The stage's name in logs and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Camera => "camera",
            Self::Decode => "decode",
            Self::Preprocess => "preprocess",
            Self::Infer => "infer",
            Self::Show => "show",
            Self::Latency => "latency",
        }
    }
}

/// Milliseconds of one frame, by stage.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StageTimes([f32; STAGES.len()]);

impl StageTimes {
    /// The time of a stage in milliseconds.
    pub fn ms(&self, stage: Stage) -> f32 {
        self.0[stage as usize]
    }

    /// Sets the time of a stage.
    pub fn set(&mut self, stage: Stage, time: Duration) {
        self.0[stage as usize] = time.as_secs_f32() * 1e3;
    }
}

/// Measures one stage after another.
#[derive(Debug)]
pub struct Stopwatch {
    last: Instant,
    /// The times measured so far.
    pub times: StageTimes,
}

impl Stopwatch {
    /// Starts with the first stage.
    pub fn start() -> Self {
        Self {
            last: Instant::now(),
            times: StageTimes::default(),
        }
    }

    /// Ends a stage and begins the next.
    pub fn lap(&mut self, stage: Stage) {
        let now = Instant::now();
        self.times.set(stage, now - self.last);
        self.last = now;
    }
}

/// The median and the slow tail of one stage, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Percentiles {
    /// Half of the frames took at most this.
    pub p50: f32,
    /// Nine in ten.
    pub p90: f32,
    /// Ninety-nine in a hundred.
    pub p99: f32,
}

/// Times of the most recent frames.
#[derive(Debug)]
pub struct Stats {
    window: Vec<(Instant, StageTimes)>,
    next: usize,
    scratch: Vec<f32>,
    frames: u64,
}

/// How many frames the window holds.
const WINDOW_FRAMES: usize = 512;

impl Default for Stats {
    fn default() -> Self {
        let mut new = Self {
            window: Vec::with_capacity(WINDOW_FRAMES),
            next: 0,
            scratch: Vec::with_capacity(WINDOW_FRAMES),
            frames: 0,
        };
        new.warm_up();
        new
    }
}

impl Stats {
    /// Sorts once at start, so that the sorting code is mapped in before frames run: short and long windows use different code.
    fn warm_up(&mut self) {
        for count in [8, 32, 128, WINDOW_FRAMES] {
            for (factor, modulus) in [(1, usize::MAX), (7919, 1009), (7919, 5)] {
                self.scratch.clear();
                self.scratch
                    .extend((0..count).map(|i| (i * factor % modulus) as f32));
                std::hint::black_box(percentiles(&mut self.scratch));
            }
        }
    }

    /// Records a finished frame.
    pub fn record(&mut self, times: StageTimes) {
        let entry = (Instant::now(), times);
        if self.window.len() < WINDOW_FRAMES {
            self.window.push(entry);
        } else {
            self.window[self.next] = entry;
        }
        self.next = (self.next + 1) % WINDOW_FRAMES;
        self.frames += 1;
    }

    /// Frames since start.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Frames per second, over the window's last 32 frames; 0 before there are two.
    pub fn rate_fps(&self) -> f32 {
        let count = self.window.len().min(32);
        if count < 2 {
            return 0.0;
        }
        let at =
            |back: usize| self.window[(self.next + WINDOW_FRAMES - 1 - back) % WINDOW_FRAMES].0;
        let span = at(0).duration_since(at(count - 1)).as_secs_f32();
        if span > 0.0 {
            (count - 1) as f32 / span
        } else {
            0.0
        }
    }

    /// The percentiles of a stage over the window (nearest rank); zeros before the first frame.
    pub fn percentiles(&mut self, stage: Stage) -> Percentiles {
        self.scratch.clear();
        self.scratch
            .extend(self.window.iter().map(|(_, times)| times.ms(stage)));
        percentiles(&mut self.scratch)
    }
}

/// Nearest-rank percentiles; sorts in place.
pub fn percentiles(ms: &mut [f32]) -> Percentiles {
    if ms.is_empty() {
        return Percentiles::default();
    }
    ms.sort_unstable_by(f32::total_cmp);
    let rank = |percent: usize| ms[(ms.len() * percent).div_ceil(100).max(1) - 1];
    Percentiles {
        p50: rank(50),
        p90: rank(90),
        p99: rank(99),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut ms: Vec<f32> = (1..=100).rev().map(|n| n as f32).collect();
        assert_eq!(
            percentiles(&mut ms),
            Percentiles {
                p50: 50.0,
                p90: 90.0,
                p99: 99.0
            }
        );
        assert_eq!(
            percentiles(&mut [7.0]),
            Percentiles {
                p50: 7.0,
                p90: 7.0,
                p99: 7.0
            }
        );
        assert_eq!(percentiles(&mut []), Percentiles::default());
    }

    #[test]
    fn the_window_keeps_the_newest_frames_and_does_not_grow() {
        let mut stats = Stats::default();
        let capacity = stats.window.capacity();
        for n in 0..2000u64 {
            let mut times = StageTimes::default();
            times.set(Stage::Infer, Duration::from_millis(n));
            stats.record(times);
        }
        assert_eq!(stats.frames(), 2000);
        assert_eq!(
            (stats.window.len(), stats.window.capacity()),
            (WINDOW_FRAMES, capacity)
        );
        assert!(stats.percentiles(Stage::Infer).p50 >= 1700.0);
    }
}
