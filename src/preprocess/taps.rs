//! The resize along one axis, as weights of neighbouring samples.
//!
//! A triangle filter like PIL's `BILINEAR`: output pixel `i` of the resized axis is at `(i + 0.5) * ratio` in source pixels, and
//! the filter extends `max(ratio, 1)` to each side, so that shrinking averages and enlarging interpolates. Weights are integer
//! multiples of 1/16384 that sum to exactly 1, so a flat picture stays flat.

use super::placement::Axis;
use std::ops::Range;

/// Fraction bits of a weight.
pub(super) const WEIGHT_BITS: u32 = 14;

/// For each output along the camera's axis, in the camera's order: its samples and their weights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Taps {
    starts: Vec<usize>,
    /// Output `i` has the weights `ends[i - 1]..ends[i]`.
    ends: Vec<usize>,
    weights: Vec<i16>,
}

impl Taps {
    /// Builds the taps for samples that are each `pitch_px` pixels wide: 1 for luma and RGB, 2 for halved chroma (whose samples
    /// are taken to be centred on the pixels that share them).
    pub fn build(&mut self, axis: &Axis, pitch_px: u32) {
        self.starts.clear();
        self.ends.clear();
        self.weights.clear();
        // Samples that a region shares with its surroundings belong to it too.
        let end_px = axis.first_px + axis.source_px;
        let samples = axis.first_px / pitch_px..end_px.div_ceil(pitch_px);
        let pitch = f64::from(pitch_px);
        let ratio = f64::from(axis.source_px) / axis.resized_px as f64;
        let reach = (ratio / pitch).max(1.0);
        for i in 0..axis.crop_px {
            let upright = if axis.flipped {
                axis.crop_px - 1 - i
            } else {
                i
            };
            let mut center_px = ((axis.offset_px + u64::from(upright)) as f64 + 0.5) * ratio;
            if axis.flipped {
                center_px = f64::from(axis.source_px) - center_px;
            }
            center_px += f64::from(axis.first_px);
            self.push(center_px / pitch, reach, &samples);
        }
    }

    /// Adds the taps of one output at `center`, in samples; sample `k` spans `k..k + 1`.
    fn push(&mut self, center: f64, reach: f64, samples: &Range<u32>) {
        let weight = |k: u32| (1.0 - ((f64::from(k) + 0.5 - center) / reach).abs()).max(0.0);
        // A float to integer cast saturates, so positions left of the picture become 0.
        let first = ((center - reach + 0.5) as u32).clamp(samples.start, samples.end - 1);
        let end = ((center + reach + 0.5) as u32).clamp(first + 1, samples.end);
        let total: f64 = (first..end).map(weight).sum();
        // Rounding the running sum and taking differences makes the integer weights sum to exactly 1.
        let whole = |sum: f64| (sum / total * f64::from(1 << WEIGHT_BITS)).round() as i16;
        let (mut sum, mut before) = (0.0, 0);
        let begin = self.weights.len();
        let mut start = first as usize;
        for k in first..end {
            sum += weight(k);
            let now = if k + 1 == end {
                1 << WEIGHT_BITS
            } else {
                whole(sum)
            };
            if now == before && self.weights.len() == begin {
                start += 1; // a weight of 0 in front needs no tap
                continue;
            }
            self.weights.push(now - before);
            before = now;
        }
        while self.weights.len() > begin + 1 && self.weights.last() == Some(&0) {
            self.weights.pop();
        }
        self.starts.push(start);
        self.ends.push(self.weights.len());
    }

    /// Counts samples from `first` on; none before it may be needed.
    pub fn count_from(&mut self, first: usize) {
        self.starts.iter_mut().for_each(|start| *start -= first);
    }

    /// The number of outputs.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// First sample and weights of output `i < len()`.
    #[inline(always)]
    pub fn get(&self, i: usize) -> (usize, &[i16]) {
        let begin = if i == 0 { 0 } else { self.ends[i - 1] };
        (self.starts[i], &self.weights[begin..self.ends[i]])
    }

    /// The same of all outputs in turn.
    #[inline(always)]
    pub fn iter(&self) -> impl Iterator<Item = (usize, &[i16])> {
        let mut begin = 0;
        let outputs = self.starts.iter().zip(&self.ends);
        outputs.map(move |(&start, &end)| {
            let weights = &self.weights[begin..end];
            begin = end;
            (start, weights)
        })
    }

    /// The samples that any output needs: first, and one past the last.
    pub fn span(&self) -> (usize, usize) {
        let all = self
            .iter()
            .map(|(start, weights)| (start, start + weights.len()));
        all.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
            .unwrap_or((0, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(source_px: u32, resized_px: u64, crop_px: u32, flipped: bool) -> Axis {
        Axis {
            first_px: 0,
            source_px,
            resized_px,
            offset_px: (resized_px - u64::from(crop_px)) / 2,
            crop_px,
            at_px: 0,
            input_px: crop_px,
            flipped,
        }
    }

    fn taps(axis: &Axis, pitch_px: u32) -> Taps {
        let mut taps = Taps::default();
        taps.build(axis, pitch_px);
        taps
    }

    #[test]
    fn weights_sum_to_one_and_stay_inside() {
        for (source, resized) in [
            (480, 256),
            (1, 256),
            (3, 256),
            (20_000, 256),
            (256, 256),
            (255, 256),
        ] {
            for pitch in [1, 2] {
                for flipped in [false, true] {
                    let t = taps(&axis(source, resized, 224, flipped), pitch);
                    assert_eq!(t.len(), 224);
                    for i in 0..t.len() {
                        let (start, weights) = t.get(i);
                        let sum: i32 = weights.iter().map(|&w| i32::from(w)).sum();
                        assert_eq!(sum, 1 << WEIGHT_BITS);
                        assert!(weights.iter().all(|&w| w >= 0));
                        assert!(start + weights.len() <= source.div_ceil(pitch) as usize);
                    }
                }
            }
        }
    }

    #[test]
    fn same_size_copies() {
        let t = taps(&axis(256, 256, 224, false), 1);
        assert_eq!(t.get(0), (16, &[1 << WEIGHT_BITS][..]));
        assert_eq!(t.get(223), (239, &[1 << WEIGHT_BITS][..]));
        assert_eq!(t.span(), (16, 240));
        let t = taps(&axis(256, 256, 224, true), 1);
        assert_eq!(t.get(0).0, 16);
    }

    #[test]
    fn halving_weighs_four_samples() {
        // Centre 2.0, reach 2: samples 0..4 at distances 1.5, 0.5, 0.5, 1.5 -> 1/8, 3/8, 3/8, 1/8.
        let t = taps(&axis(8, 4, 2, false), 1);
        assert_eq!(t.get(0), (1, &[2048, 6144, 6144, 2048][..]));
    }

    #[test]
    fn a_region_takes_its_own_samples() {
        let region = Axis {
            first_px: 101,
            ..axis(50, 20, 20, true)
        };
        for (pitch, samples) in [(1, 101..151), (2, 50..76)] {
            let (first, end) = taps(&region, pitch).span();
            assert_eq!(first..end, samples, "{pitch}");
        }
    }

    #[test]
    fn chroma_of_one_pixel_is_that_pixel() {
        let t = taps(&axis(1, 256, 224, false), 2);
        assert_eq!(t.get(100), (0, &[1 << WEIGHT_BITS][..]));
    }
}
