//! Byte arithmetic, see `requantise`.

use crate::network::fused::tests::near::{Near, exact};
use crate::network::graph::requantise::{dequantise, quantise};
use crate::network::graph::tables::Table;
use crate::network::graph::{Quant, Unary};

/// A sum of products of whole numbers, in wrapping 32-bit arithmetic.
pub(super) fn whole_dot(pairs: impl Iterator<Item = (Near, f32)>, bias: i32) -> Near {
    let (mut total, mut off) = (bias, 0.0);
    for (x, w) in pairs {
        total = total.wrapping_add((x.is * w) as i32);
        off += x.off * w.abs();
    }
    Near {
        is: total as f32,
        off,
    }
}

/// From an integer sum to the byte of the result.
pub(super) fn byte(total: Near, multiplier: f32, to: Quant, clamp: (f32, f32)) -> Near {
    let limit = |real: f32| (quantise(real, to) - to.zero) as f32;
    let (low, high) = (limit(clamp.0), limit(clamp.1));
    let steps = |sum: f32| (sum * multiplier).max(low).min(high).round_ties_even();
    total.map(|sum| steps(sum) + to.zero as f32)
}

/// The sum of two bytes, counted from -128; both multiply-adds are fused.
pub(super) fn sum_of_bytes(a: Near, b: Near, [qa, qb, qy]: [Quant; 3], clamp: (f32, f32)) -> Near {
    let (ra, rb) = (qa.scale / qy.scale, qb.scale / qy.scale);
    let zero = |q: Quant| (q.zero - 128) as f32;
    let fixed = zero(qy) - (ra * zero(qa) + rb * zero(qb));
    let limit = |real: f32| (quantise(real, qy) - 128) as f32;
    let (low, high) = (limit(clamp.0), limit(clamp.1));
    let of = |a: f32, b: f32| {
        let steps = (a - 128.0).mul_add(ra, (b - 128.0).mul_add(rb, fixed));
        steps.max(low).min(high).round_ties_even() + 128.0
    };
    corners(a, b, of)
}

pub(super) fn product_of_bytes(
    a: Near,
    b: Near,
    [qa, qb, qy]: [Quant; 3],
    clamp: (f32, f32),
) -> Near {
    let multiplier = qa.scale * qb.scale / qy.scale;
    let of = |a: f32, b: f32| {
        let product = (a - qa.zero as f32) * (b - qb.zero as f32);
        byte(exact(product), multiplier, qy, clamp).is
    };
    corners(a, b, of)
}

/// A function of two numbers that is monotonic in each.
pub(super) fn corners(a: Near, b: Near, of: impl Fn(f32, f32) -> f32) -> Near {
    let is = of(a.is, b.is);
    let mut off = 0.0f32;
    if a.off > 0.0 || b.off > 0.0 {
        for (a, b) in [
            (a.is - a.off, b.is - b.off),
            (a.is - a.off, b.is + b.off),
            (a.is + a.off, b.is - b.off),
            (a.is + a.off, b.is + b.off),
        ] {
            off = off.max((of(a, b) - is).abs());
        }
    }
    Near { is, off }
}

/// A function of the real value of a byte, as a byte.
pub(super) fn through_bytes(f: Unary, x: Near, from: Quant, to: Quant) -> Near {
    over_bytes(x, |q| {
        let real = f.of(dequantise(q as u8, from));
        quantise(real, to) as f32
    })
}

/// A table's value.
pub(super) fn mapped(table: &Table, x: Near) -> Near {
    over_bytes(x, |q| f32::from(table[q as usize]))
}

/// A function of a byte with a tolerance: the result covers every byte within it.
pub(super) fn over_bytes(x: Near, f: impl Fn(f32) -> f32) -> Near {
    let is = f(x.is);
    let (low, high) = ((x.is - x.off).max(0.0), (x.is + x.off).min(255.0));
    let others = (low.ceil() as i32..=high.floor() as i32).map(|q| (f(q as f32) - is).abs());
    let off = others.fold(0.0, f32::max);
    Near { is, off }
}
