//! Weights with zero points as sums of plain bytes.
//!
//! `w - zero` is up to 255 large, and a kernel's weight is a byte. So it is written as a sum of bytes, and the kernel goes over
//! the same inputs once for each: twice the work (three times for the rare `w - zero` of 255), by the kernels that are there,
//! and the same sums to the bit.

use super::{Kernels, RawQ8};
use std::borrow::Cow;

/// Weights as a kernel takes them.
#[derive(Debug)]
pub struct Split<'a> {
    w: Cow<'a, [i8]>,
    w_zero: Cow<'a, [i32]>,
    /// How many bytes each weight is a sum of.
    pub parts: usize,
}

/// The largest part: what no kernel's instructions overflow with.
const LARGEST: i32 = 127;

impl<'a> Split<'a> {
    /// The weights as they are, where `kernels` takes them so. Else as sums: an output channel's first parts come first, then
    /// its second ones; for a depthwise convolution that is a kernel of `parts` times the rows.
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
                    // What is left after the parts before, which were as large as they could be.
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
