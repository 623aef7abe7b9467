//! Loops over the pixels of a picture: LocalResponseNormalization and linear resizing. No loop over channels has branches, so that
//! the compiler vectorises them.

use crate::network::graph::Lrn;
use crate::network::graph::resize::Between;

/// Channels that are normalised together.
const BLOCK: usize = 64;

/// LocalResponseNormalization of pixels of `c` channels.
#[inline(always)]
pub fn lrn(of: &Lrn, c: usize, x: &[f32], y: &mut [f32]) {
    let factor = of.alpha / of.size as f32;
    for (x, y) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)) {
        for (block, y) in y.chunks_mut(BLOCK).enumerate() {
            let first = block * BLOCK;
            let mut sums = [0.0; BLOCK];
            for tap in 0..of.size {
                // Channels of the block whose neighbour at this distance exists.
                let at = first + tap;
                let low = of.before().saturating_sub(at).min(y.len());
                let high = (c + of.before()).saturating_sub(at).clamp(low, y.len());
                let from = at + low - of.before().min(at + low);
                let sums = &mut sums[low..high];
                for (sum, &x) in sums.iter_mut().zip(&x[from.min(c)..]) {
                    *sum += x * x;
                }
            }
            for sum in &mut sums {
                *sum = *sum * factor + of.bias;
            }
            let x = &x[first..];
            if of.beta == 0.75 {
                for ((y, &x), &sum) in y.iter_mut().zip(x).zip(&sums) {
                    let root = sum.sqrt();
                    *y = x / (root * root.sqrt());
                }
            } else if of.beta == 0.5 {
                for ((y, &x), &sum) in y.iter_mut().zip(x).zip(&sums) {
                    *y = x / sum.sqrt();
                }
            } else {
                for ((y, &x), &sum) in y.iter_mut().zip(x).zip(&sums) {
                    *y = x * sum.powf(-of.beta);
                }
            }
        }
    }
}

/// A row of a resized picture of `c` channels between two rows of the input; `share` is that of the second.
#[inline(always)]
pub fn blend(columns: &[Between], c: usize, rows: [&[f32]; 2], share: f32, y: &mut [f32]) {
    for (between, y) in columns.iter().zip(y.chunks_exact_mut(c)) {
        let right = between.share;
        let corners = Corners {
            rows,
            first: between.first * c,
            second: between.second * c,
            weights: [
                (1.0 - right) * (1.0 - share),
                right * (1.0 - share),
                (1.0 - right) * share,
                right * share,
            ],
        };
        let at = corners.blocks::<32>(y, 0);
        let at = corners.blocks::<8>(y, at);
        corners.blocks::<1>(y, at);
    }
}

/// The four pixels around a place, and their weights.
struct Corners<'a> {
    rows: [&'a [f32]; 2],
    /// Where the two columns' pixels begin in each row.
    first: usize,
    second: usize,
    weights: [f32; 4],
}

impl Corners<'_> {
    /// Whole blocks of `N` channels of the pixel from channel `at`; returns the first remaining channel.
    #[inline(always)]
    fn blocks<const N: usize>(&self, y: &mut [f32], mut at: usize) -> usize {
        let [above, below] = self.rows;
        let [p, q, r, s] = self.weights;
        while at + N <= y.len() {
            let (first, second) = (self.first + at, self.second + at);
            let (a, b) = (&above[first..first + N], &above[second..second + N]);
            let (d, e) = (&below[first..first + N], &below[second..second + N]);
            let mut sums = [0.0; N];
            for i in 0..N {
                sums[i] = a[i] * p + b[i] * q + d[i] * r + e[i] * s;
            }
            y[at..at + N].copy_from_slice(&sums);
            at += N;
        }
        at
    }
}
