//! Sums along rows, matrix products, places along axes, and scales that are recomputed in every run.

use super::Values;
use crate::network::fused::tests::near::{Near, exact, sum};
use crate::network::graph::axes::Axes;
use crate::network::graph::dynamic::Extremes;
use crate::network::graph::{Norm, Product};

pub(super) fn softmax(x: &[Near]) -> Values {
    let top = x
        .iter()
        .fold(exact(f32::NEG_INFINITY), |top, &x| top.max(x));
    let power = |&x: &Near| {
        let y = (x - top).map(|x| f64::from(x).exp() as f32);
        // Ours are constant below e^-87.
        y.and_off(1e-6 * y.is + 2.0 * f32::MIN_POSITIVE)
    };
    let powers: Values = x.iter().map(power).collect();
    let all = sum(powers.iter().copied());
    let parts = powers.iter().map(|&p| p / all);
    // Whatever their error, they are fractions of 1.
    parts
        .map(|p| Near {
            off: p.off.min(1.0),
            ..p
        })
        .collect()
}

pub(super) fn normalised(norm: &Norm, x: &[Near]) -> Values {
    let count = exact(x.len() as f32);
    let mean = sum(x.iter().copied()) / count;
    let variance = sum(x.iter().map(|&x| (x - mean) * (x - mean))) / count;
    let factor = variance.map(|v| 1.0 / (v.max(0.0) + norm.epsilon).sqrt());
    // Whatever the number of values, these steps may be fused.
    let factor = factor.and_off(4.0 * f32::EPSILON * factor.is);
    let channels = norm.scale.iter().zip(&norm.bias);
    let values = x.iter().zip(channels);
    values
        .map(|(&x, (&scale, &bias))| (x - mean) * factor * exact(scale) + exact(bias))
        .collect()
}

/// The index of every value of these axes, in row-major order.
pub(super) fn places(axes: &Axes) -> impl Iterator<Item = usize> {
    let axes = *axes;
    (0..axes.volume()).map(move |mut i| {
        let mut at = axes.offset();
        for (&size, &stride) in axes.dims().iter().zip(axes.strides()).rev() {
            at += i % size * stride;
            i /= size;
        }
        at
    })
}

/// Matrix products.
pub fn product(of: &Product, a: &Values, b: &Values) -> Values {
    let (rows, columns, depth) = (of.rows(), of.columns(), of.depth());
    let [a_at, b_at, y_at] = [&of.a, &of.b, &of.y].map(|m| places(m).collect::<Vec<_>>());
    let mut y = vec![exact(0.0); y_at.len()];
    for (i, &to) in y_at.iter().enumerate() {
        let (matrix, row, column) = (i / columns / rows, i / columns % rows, i % columns);
        let terms = (0..depth).map(|k| {
            let x = a[a_at[(matrix * rows + row) * depth + k]];
            let w = b[b_at[(matrix * depth + k) * columns + column]];
            x * w * exact(of.scale)
        });
        let total = sum(terms);
        // The factor may be applied before or after the products.
        y[to] = total.and_off(4.0 * f32::EPSILON * total.is.abs());
    }
    y
}

/// The scale that a tensor of extremes gives.
pub(super) fn scale_of(extremes: &Values) -> Near {
    match (extremes[1] - extremes[0]).map(|range| range / 255.0) {
        Near { is: 0.0, .. } => exact(1.0),
        scale => scale,
    }
}

#[allow(
    clippy::manual_clamp,
    reason = "no number becomes 0, as in the operator's text"
)]
pub(super) fn whole_number(x: Near, extremes: &Values) -> Near {
    let at = |low: f32, high: f32, x: f32| {
        let of = Extremes { low, high };
        let zero = (0.0 - low / of.scale()).clamp(0.0, 255.0).round_ties_even();
        (x / of.scale())
            .max(-zero)
            .min(255.0 - zero)
            .round_ties_even()
    };
    let (low, high) = (extremes[0], extremes[1]);
    let is = at(low.is, high.is, x.is);
    let mut off = 0.0f32;
    let all = x.off + low.off + high.off;
    if !all.is_finite() {
        return Near { is, off: 255.0 };
    }
    if all > 0.0 {
        for corner in 0..8 {
            let moved = |n: Near, bit: u8| {
                if corner >> bit & 1 == 0 {
                    n.is - n.off
                } else {
                    n.is + n.off
                }
            };
            let other = at(moved(low, 0).min(0.0), moved(high, 1).max(0.0), moved(x, 2));
            off = off.max((other - is).abs());
        }
        // Between the corners the zero point may be rounded the other way at a half.
        off += 1.0;
    }
    Near { is, off }
}
