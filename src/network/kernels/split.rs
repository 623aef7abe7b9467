//! Weights with zero points as int8 values.
//!
//! A kernel's weight is an int8, and `w - zero` is up to 255. Usually nearly all of a layer's are within an int8 all the same: a
//! zero point for all weights is far from the middle only because of a few large ones. Three cases:
//!
//! - all are within: the kernel takes them;
//! - a few channels have others: the kernel computes all channels with the weights limited to an int8, then those few are computed
//!   once more, one at a time ([`super::wide`]);
//! - many channels have others: each weight becomes a sum of int8 values, and the kernel reads the same inputs once per part: twice
//!   the work (three times for the rare `w - zero` of 255), with the existing kernels and identical sums.

use super::wide::Wide;
use super::{Kernels, RawQ8};
use std::borrow::Cow;

/// Weights in the form that a kernel takes.
#[derive(Debug)]
pub struct Split<'a> {
    w: Cow<'a, [i8]>,
    w_zero: Cow<'a, [i32]>,
    /// Number of int8 values that each weight is split into.
    pub parts: usize,
    /// Channels whose weights are limited here, with their own.
    pub wide: Vec<Wide>,
}

/// The largest part: no kernel's instructions overflow with it.
const LARGEST: i32 = 127;

/// One channel on its own takes about as long as this many in a kernel.
const COST_OF_WIDE: usize = 8;

impl<'a> Split<'a> {
    /// The weights of a convolution for `kernels`. If they are split: an output channel's first parts, then its second ones; for a
    /// depthwise convolution that is a kernel with `parts` times the rows.
    pub fn of(kernels: &dyn Kernels, raw: &RawQ8<'a>) -> Self {
        if kernels.takes(raw) {
            return Self {
                w: raw.w.into(),
                w_zero: raw.w_zero.into(),
                parts: 1,
                wide: Vec::new(),
            };
        }
        let channels = raw.w_zero.len();
        let per = raw.w.len() / channels.max(1);
        let weights = |n: usize| (n * per..(n + 1) * per).map(move |i| raw.weight(i, n));
        let is_wide = |&n: &usize| weights(n).any(|w| i8::try_from(w).is_err());
        let wide: Vec<usize> = (0..channels).filter(is_wide).collect();
        let mut w = Vec::with_capacity(raw.w.len());
        let mut parts = 1;
        if wide.len() * COST_OF_WIDE <= channels {
            let limited = |w: i32| w.clamp(i8::MIN.into(), i8::MAX.into()) as i8;
            (0..channels).for_each(|n| w.extend(weights(n).map(limited)));
        } else {
            let most = (0..channels).flat_map(weights).map(i32::abs).max();
            parts = (most.unwrap_or(0) as usize).div_ceil(LARGEST as usize);
            for n in 0..channels {
                for part in 0..parts as i32 {
                    w.extend(weights(n).map(|weight| {
                        // The remainder after the earlier parts, each as large as possible.
                        let left = (weight.abs() - part * LARGEST).clamp(0, LARGEST);
                        (left * weight.signum()) as i8
                    }));
                }
            }
        }
        let alone = |&n: &usize| Wide {
            channel: n,
            w: weights(n).map(|w| w as i16).collect(),
            bias: raw.bias[n],
            multiplier: raw.multiplier[n],
        };
        Self {
            w: w.into(),
            w_zero: vec![0; channels].into(),
            wide: match parts {
                1 => wide.iter().map(alone).collect(),
                _ => Vec::new(),
            },
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
