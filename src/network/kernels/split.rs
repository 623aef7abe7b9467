//! Weights with zero points as sums of int8 values.
//!
//! `w - zero` is up to 255, and a kernel's weight is an int8. So it is split into a sum of int8 values, and the kernel reads the same
//! inputs once per part: twice the work (three times for the rare `w - zero` of 255), with the existing kernels and identical sums.

use super::{Kernels, RawQ8};
use std::borrow::Cow;

/// Weights in the form that a kernel takes.
#[derive(Debug)]
pub struct Split<'a> {
    w: Cow<'a, [i8]>,
    w_zero: Cow<'a, [i32]>,
    /// Number of int8 values that each weight is split into.
    pub parts: usize,
}

/// The largest part: no kernel's instructions overflow with it.
const LARGEST: i32 = 127;

impl<'a> Split<'a> {
    /// The weights unchanged, if `kernels` takes them so. Otherwise split: an output channel's first parts, then its second ones; for a
    /// depthwise convolution that is a kernel with `parts` times the rows.
    pub fn of(kernels: &dyn Kernels, raw: &RawQ8<'a>) -> Self {
        if kernels.takes(raw) {
            return Self {
                w: raw.w.into(),
                w_zero: raw.w_zero.into(),
                parts: 1,
            };
        }
        let channels = raw.w_zero.len();
        let per = raw.w.len() / channels.max(1);
        let weight = |i: usize| i32::from(raw.w[i]) - raw.w_zero[i / per];
        let most = (0..raw.w.len()).map(|i| weight(i).abs()).max();
        let parts = (most.unwrap_or(0) as usize)
            .div_ceil(LARGEST as usize)
            .max(1);
        let mut w = Vec::with_capacity(raw.w.len() * parts);
        for n in 0..channels {
            for part in 0..parts as i32 {
                w.extend((n * per..(n + 1) * per).map(|i| {
                    // The remainder after the earlier parts, each as large as possible.
                    let weight = weight(i);
                    let left = (weight.abs() - part * LARGEST).clamp(0, LARGEST);
                    (left * weight.signum()) as i8
                }));
            }
        }
        Self {
            w: w.into(),
            w_zero: vec![0; channels].into(),
            parts,
        }
    }

    /// `raw` with these weights.
    pub fn instead<'b>(&'b self, raw: &RawQ8<'b>) -> RawQ8<'b> {
        RawQ8 {
            w: &self.w,
            w_zero: &self.w_zero,
            ..*raw
        }
    }
}
