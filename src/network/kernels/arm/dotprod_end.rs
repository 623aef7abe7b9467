//! The last step of a quantised layer where the CPU has dot products: it must be short, because there it costs as much as the sums
//! of a short window.
//!
//! On a Cortex-A76 a conversion between integers and floats takes one of two pipes for two cycles, an addition either pipe for one.
//! So integers become floats and back by their bits: the floats from 2^23 to 2^24 are the whole numbers, in the order of their
//! bits. That needs limits that are checked when weights are packed ([`Ranges`]), and gives the bits of `requantise`:
//!
//! - To round: adding 1.5 * 2^23 rounds half to even, and leaves the whole number in the sum's low bits ([`FREE`]).
//! - To convert a sum: if the bits of 2^23 are part of the bias, then the sum's bits are those of the float 2^23 + sum, and
//!   `(2^23 + sum) * m - 2^23 * m` with one rounding is the rounded product of sum and multiplier: 2^23 * m is exact. A negative sum
//!   becomes some negative number. So this is for layers that end in a ReLU, which takes all of them to 0 ([`POSITIVE`]).

use super::neon_end::{ANY as GENERAL, Ending, fresh};
use crate::network::graph::requantise::Requantise;
use crate::network::kernels::RawQ8;
use std::arch::aarch64::*;

/// Zero point -128, no lower limit but 0, everything small.
pub(super) const POSITIVE: u8 = 0;
/// Any zero point, no limits but a byte's, steps are small.
pub(super) const FREE: u8 = 1;
/// Anything.
pub(super) const ANY: u8 = 2;

/// The bits of 2^23.
const SHIFT_BITS: i32 = 0x4b00_0000;
const SHIFT: f32 = 8_388_608.0;
/// Added to a step, it leaves a whole number in the low bits.
const ROUND: f32 = 12_582_912.0;

/// How large sums and steps can get, known when weights are packed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ranges {
    /// All sums are below 2^23.
    sums: bool,
    /// All multipliers are small and not negative, and all sums times their multipliers are below 2^15 - 256.
    steps: bool,
}

impl Ranges {
    /// Bytes of packed memory.
    pub(super) const BYTES: usize = 16;

    pub(super) fn of(raw: &RawQ8<'_>) -> Self {
        Self {
            sums: raw.largest().all(|(sum, _)| sum < f64::from(SHIFT)),
            steps: raw.largest().all(|(sum, m)| {
                (0.0..128.0).contains(&m) && sum * f64::from(m) < f64::from(1 << 15) - 256.0
            }),
        }
    }

    /// Writes them to packed memory.
    pub(super) fn write(self, to: &mut [u8]) {
        to[0] = u8::from(self.sums);
        to[1] = u8::from(self.steps);
    }

    /// Reads them from packed memory: the way to end a layer.
    ///
    /// # Safety
    /// They were written there.
    pub(super) unsafe fn way(packed: *const u8, end: &Requantise) -> u8 {
        // SAFETY: `write` wrote both.
        let [sums, steps] = unsafe { [*packed == 1, *packed.add(1) == 1] };
        let (low, high) = (end.low as i32 + end.zero, end.high as i32 + end.zero);
        match (steps, sums) {
            (true, true) if (end.zero, low) == (-128, -128) => POSITIVE,
            (true, _) if (low, high) == (-128, 127) => FREE,
            _ => ANY,
        }
    }
}

/// What a channel's [`POSITIVE`] end needs beside the multiplier: the bias from which its sum starts, and what is added to the product.
pub(super) fn shifted(bias: i32, multiplier: f32) -> [[u8; 4]; 2] {
    [
        bias.wrapping_add(SHIFT_BITS).to_ne_bytes(),
        (-SHIFT * multiplier).to_ne_bytes(),
    ]
}

/// The last step of a layer, in vectors.
#[derive(Clone, Copy)]
pub(super) struct End {
    general: Ending,
    pub(super) round: float32x4_t,
    /// For [`FREE`].
    pub(super) zero: int16x8_t,
    /// For [`POSITIVE`].
    pub(super) high: int8x16_t,
}

impl End {
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn new<const WAY: u8>(end: &Requantise) -> Self {
        Self {
            general: Ending::new(end),
            round: vdupq_n_f32(if WAY == POSITIVE {
                ROUND - 128.0
            } else {
                ROUND
            }),
            zero: vdupq_n_s16(end.zero as i16),
            high: vdupq_n_s8((end.high as i32 + end.zero) as i8),
        }
    }

    /// Converts the sums of 4 N channels to bytes, in this order. `shifts` is what [`shifted`] gave for each of them, if the way is
    /// [`POSITIVE`].
    ///
    /// # Safety
    /// `shifts` is valid for N vectors.
    #[inline(always)]
    pub(super) unsafe fn bytes<const WAY: u8, const N: usize>(
        &self,
        sums: [int32x4_t; N],
        multipliers: [float32x4_t; N],
        shifts: *const u8,
    ) -> int8x16_t {
        // SAFETY: every aarch64 CPU has NEON; `shifts` is valid for N vectors.
        unsafe {
            let of = |i: usize| i.min(N - 1);
            if WAY == ANY {
                let (sums, m) = (
                    std::array::from_fn(|i| sums[of(i)]),
                    std::array::from_fn(|i| multipliers[of(i)]),
                );
                return self.general.bytes::<GENERAL>(sums, m);
            }
            let mut whole = [vdupq_n_s16(0); 4];
            if WAY == POSITIVE {
                let shifts = fresh::<N>(shifts);
                for i in 0..N {
                    let (sum, shift) = (
                        vreinterpretq_f32_s32(sums[i]),
                        vreinterpretq_f32_s32(shifts[i]),
                    );
                    let step = vfmaq_f32(shift, sum, multipliers[i]);
                    whole[i] = vreinterpretq_s16_f32(vaddq_f32(step, self.round));
                }
            } else {
                for i in 0..N {
                    let step = vmulq_f32(vcvtq_f32_s32(sums[i]), multipliers[i]);
                    whole[i] = vreinterpretq_s16_f32(vaddq_f32(step, self.round));
                }
            }
            let mut a = vuzp1q_s16(whole[0], whole[of(1)]);
            let mut b = vuzp1q_s16(whole[of(2)], whole[of(3)]);
            if WAY == FREE {
                a = vaddq_s16(a, self.zero);
                b = vaddq_s16(b, self.zero);
            }
            let low = vqmovn_s16(a);
            let bytes = if N > 2 {
                vqmovn_high_s16(low, b)
            } else {
                vcombine_s8(low, low)
            };
            if WAY == POSITIVE {
                vminq_s8(bytes, self.high)
            } else {
                bytes
            }
        }
    }
}
