//! Numbers with a tolerance for other correct executors: zero where the bits are guaranteed, else as far as rounding can lead if
//! sums are taken in another order.

use std::ops::{Add, Div, Mul, Sub};

/// Rounding moves a float by less than this fraction of it.
const ROUNDING: f32 = f32::EPSILON;

/// A value, and how far another executor's may be from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Near {
    pub is: f32,
    pub off: f32,
}

/// A value whose bits are guaranteed.
pub fn exact(is: f32) -> Near {
    Near { is, off: 0.0 }
}

fn near(is: f32, off: f32) -> Near {
    let off = if off.is_nan() { f32::INFINITY } else { off };
    Near { is, off }
}

/// The result of one IEEE operation whose inputs make it inexact by `off`.
fn rounded(is: f32, off: f32) -> Near {
    let rounding = if off > 0.0 { is.abs() * ROUNDING } else { 0.0 };
    near(is, off + rounding)
}

impl Add for Near {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        rounded(self.is + other.is, self.off + other.off)
    }
}

impl Sub for Near {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        rounded(self.is - other.is, self.off + other.off)
    }
}

impl Mul for Near {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let off = self.is.abs() * other.off + other.is.abs() * self.off + self.off * other.off;
        rounded(self.is * other.is, off)
    }
}

impl Div for Near {
    type Output = Self;
    fn div(self, by: Self) -> Self {
        let is = self.is / by.is;
        let least = (by.is.abs() - by.off).max(f32::MIN_POSITIVE);
        rounded(is, (self.off + is.abs() * by.off) / least)
    }
}

impl Near {
    /// A monotonic function whose bits are guaranteed.
    pub fn map(self, f: impl Fn(f32) -> f32) -> Self {
        let is = f(self.is);
        let away = |x: f32| (f(x) - is).abs();
        if self.off == 0.0 {
            return exact(is);
        }
        let (above, below) = (away(self.is + self.off), away(self.is - self.off));
        near(is, if above > below { above } else { below })
    }

    /// The same value with `more` added to its tolerance.
    pub fn and_off(self, more: f32) -> Self {
        near(self.is, self.off + more)
    }

    /// The larger one.
    pub fn max(self, other: Self) -> Self {
        Self {
            is: if other.is > self.is {
                other.is
            } else {
                self.is
            },
            off: self.off.max(other.off),
        }
    }

    /// Whether another executor's value is within the tolerance.
    pub fn takes(self, value: f32) -> bool {
        self.is == value
            || (self.is.is_nan() && value.is_nan())
            || (self.off > 0.0 && (value - self.is).abs() <= self.off)
    }
}

/// A sum in any order.
pub fn sum(terms: impl Iterator<Item = Near>) -> Near {
    let (mut count, mut is, mut sizes, mut off) = (0, 0.0, 0.0, 0.0);
    for term in terms {
        count += 1;
        is += f64::from(term.is);
        sizes += term.is.abs();
        off += term.off;
    }
    let rounding = if count > 1 { count as f32 * sizes } else { 0.0 };
    near(is as f32, off + rounding * ROUNDING)
}

/// A sum of products in any order; sums of whole numbers that fit in a float are the same in every order.
pub fn dot(pairs: impl Iterator<Item = (Near, f32)>, first: f32) -> Near {
    let (mut count, mut is, mut sizes, mut off) = (1, f64::from(first), first.abs(), 0.0);
    let mut whole = first.fract() == 0.0;
    for (x, w) in pairs {
        let product = f64::from(x.is) * f64::from(w);
        count += 1;
        is += product;
        sizes += product.abs() as f32;
        off += x.off * w.abs();
        whole &= product.fract() == 0.0;
    }
    let same = whole && sizes < 16_777_216.0;
    let rounding = if same { 0.0 } else { count as f32 * sizes };
    near(is as f32, off + rounding * ROUNDING)
}
