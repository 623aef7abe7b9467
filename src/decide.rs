//! From scores to a verdict.

/// One class and how sure the network is of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Index into the labels, `0..class_count` (any label offset is already taken off).
    pub class: usize,
    /// Softmax probability, 0..=1.
    pub probability: f32,
}

/// How many candidates a verdict carries.
pub const TOP: usize = 5;

/// What the board says of the newest frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// The decided class after smoothing and hysteresis; `None` is "unknown".
    pub decided: Option<Candidate>,
    /// The best candidates (smoothed), best first.
    pub top: [Candidate; TOP],
    /// Whether `decided`'s class differs from the verdict before.
    pub changed: bool,
}
