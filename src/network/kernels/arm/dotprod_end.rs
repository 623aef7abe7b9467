//! The last step of a quantised layer where the CPU has dot products: it must be short, because there it costs as much as the sums
//! of a short window.
//!
//! On a Cortex-A76 a conversion between integers and floats takes one of two pipes for two cycles, an addition either pipe for one.
//! So integers become floats and back by their bits: the floats from 2^23 to 2^24 are the whole numbers, in the order of their
//! bits. That needs small numbers, which is checked when weights are packed ([`Channels`]), and gives the bits of `requantise`:
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

/// Steps below this (in magnitude) and zero points fit 16 bits together.
const LARGE_STEP: f32 = 32000.0;

/// Which ways a layer can end, as packed memory begins or ends with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ways {
    positive: bool,
    free: bool,
}

impl Ways {
    /// Bytes of packed memory.
    pub(super) const BYTES: usize = 16;

    fn write(self, to: &mut [u8]) {
        to[0] = u8::from(self.positive);
        to[1] = u8::from(self.free);
    }

    /// The way to end a layer.
    ///
    /// # Safety
    /// [`Channels::pack`] has written to `packed`.
    pub(super) unsafe fn read(packed: *const u8, end: &Requantise) -> u8 {
        // SAFETY: `write` wrote both.
        let [positive, free] = unsafe { [*packed == 1, *packed.add(1) == 1] };
        let (low, high) = (end.low as i32 + end.zero, end.high as i32 + end.zero);
        if positive && (end.zero, low) == (-128, -128) {
            POSITIVE
        } else if free && (low, high) == (-128, 127) {
            FREE
        } else {
            ANY
        }
    }
}

/// Runs code with a layer's way to end, which [`Ways::read`] gives, as a constant: `for_way!(way, WAY => run::<WAY>(...))`.
macro_rules! for_way {
    ($way:expr, $constant:ident => $run:expr) => {{
        use $crate::network::kernels::arm::dotprod_end::{ANY, FREE, POSITIVE};
        match $way {
            POSITIVE => {
                const $constant: u8 = POSITIVE;
                $run
            }
            FREE => {
                const $constant: u8 = FREE;
                $run
            }
            _ => {
                const $constant: u8 = ANY;
                $run
            }
        }
    }};
}
pub(super) use for_way;

/// What the channels of a [`POSITIVE`] layer need: the bias with which a sum starts, the multiplier, and what is added to the product.
pub(super) struct Channels(Vec<[[u8; 4]; 3]>);

impl Channels {
    /// Writes the ways that a layer can end, and returns its channels.
    pub(super) fn pack(raw: &RawQ8<'_>, to: &mut [u8]) -> Self {
        let per = raw.w.len() / raw.bias.len().max(1);
        let mut ways = Ways {
            positive: true,
            free: true,
        };
        let mut all = Vec::new();
        for (n, (&bias, &m)) in raw.bias.iter().zip(raw.multiplier).enumerate() {
            let (mut low, mut high) = (i64::from(bias), i64::from(bias));
            for &w in &raw.w[n * per..][..per] {
                let (a, b) = (i64::from(w) * -128, i64::from(w) * 127);
                (low, high) = (low + a.min(b), high + a.max(b));
            }
            let small = |sum: i64| (sum as f32 * m).abs() < LARGE_STEP;
            ways.free &= i32::try_from(low).is_ok() && i32::try_from(high).is_ok();
            ways.free &= small(low) && small(high);
            match positive(bias, low, high, m) {
                Some([shifted, m, shift]) => all.push([shifted, m, shift].map(u32::to_ne_bytes)),
                None => ways.positive = false,
            }
        }
        ways.write(to);
        if !ways.positive {
            all.clear();
        }
        Self(all)
    }

    /// The three numbers of channel `n`.
    pub(super) fn of(&self, n: usize) -> [[u8; 4]; 3] {
        self.0.get(n).copied().unwrap_or_default()
    }
}

/// Shifted bias, multiplier and shift of a channel whose sums are `low` to `high`; `None` if some are too large.
fn positive(bias: i32, low: i64, high: i64, m: f32) -> Option<[u32; 3]> {
    let step = |sum: i64| sum as f32 * m;
    if !(0.0..128.0).contains(&m) || i32::try_from(low).is_err() || i32::try_from(high).is_err() {
        return None;
    }
    // Channels that are always the same: real networks have some, and their numbers are the largest.
    let constant = if low == high {
        Some(step(low).clamp(-LARGE_STEP, LARGE_STEP))
    } else if high <= 0 {
        Some(0.0)
    } else {
        (step(low) >= 256.0).then_some(256.0)
    };
    let bias = i64::from(bias);
    if let Some(step) = constant {
        let finite = high - bias < 1 << 29 && bias - low < 1 << 29;
        return finite.then_some([SHIFT_BITS as u32, 0, step.to_bits()]);
    }
    let fits = high < 1 << 23
        && low > -i64::from(SHIFT_BITS)
        && step(high) < LARGE_STEP
        && step(low.max(-1 << 23)) > -LARGE_STEP;
    let shifted = (bias + i64::from(SHIFT_BITS)) as u32;
    fits.then_some([shifted, m.to_bits(), (-SHIFT * m).to_bits()])
}

/// The last step of a layer, in vectors.
#[derive(Clone, Copy)]
pub(super) struct End {
    general: Ending,
    /// The bytes' limits, for [`ANY`].
    pub(super) limits: [int8x16_t; 2],
    pub(super) round: float32x4_t,
    /// The zero point, not for [`POSITIVE`].
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
            limits: [end.low, end.high].map(|limit| vdupq_n_s8((limit as i32 + end.zero) as i8)),
            round: vdupq_n_f32(if WAY == POSITIVE {
                ROUND - 128.0
            } else {
                ROUND
            }),
            zero: vdupq_n_s16(end.zero as i16),
            high: vdupq_n_s8((end.high as i32 + end.zero) as i8),
        }
    }

    /// Converts the sums of 4 N channels to bytes, in this order. `shifts` are those of [`Channels`] if the way is
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
