//! What each part of the start took from the pool.

use super::{LARGEST, LIVE, PEAK, usage};
use std::sync::atomic::Ordering::Relaxed;

/// What each part of the start took from the pool; logged at start.
#[derive(Debug, Default)]
pub struct Ledger {
    lines: Vec<(&'static str, usize, usize)>,
}

impl Ledger {
    /// Runs one part of the start and records what it kept and its peak.
    pub fn account<T>(&mut self, part: &'static str, run: impl FnOnce() -> T) -> T {
        let before = LIVE.load(Relaxed);
        LARGEST.fetch_max(PEAK.swap(before, Relaxed), Relaxed);
        let result = run();
        let kept = LIVE.load(Relaxed).saturating_sub(before);
        self.lines
            .push((part, kept, PEAK.load(Relaxed).saturating_sub(before)));
        LARGEST.fetch_max(PEAK.load(Relaxed), Relaxed);
        result
    }

    /// The ledger, one line per part.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let usage = usage();
        let kib = |bytes: usize| bytes.div_ceil(1024);
        let head = if usage.pool_bytes == 0 {
            "memory: no fixed pool in this process".to_owned()
        } else {
            format!(
                "memory: pool of {} KiB reserved and touched, {} KiB in use, {} KiB needed at most",
                kib(usage.pool_bytes),
                kib(usage.live_bytes),
                kib(usage.peak_bytes.max(LARGEST.load(Relaxed)))
            )
        };
        std::iter::once(head).chain(self.lines.iter().map(move |&(part, kept, peak)| {
            format!(
                "memory:   {part:<20} keeps {:>6} KiB, peak {:>6} KiB",
                kib(kept),
                kib(peak)
            )
        }))
    }
}
