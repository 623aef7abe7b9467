//! The last step of a quantised layer with NEON: sums of 16 channels become bytes by the arithmetic of `requantise`, and are
//! stored.
//!
//! The limits are applied to the bytes: until then the saturating conversions and narrowings keep the order of values, which
//! gives the same bits. Bytes are stored signed here, so a layer that ends in a ReLU usually has zero point -128 and no limits
//! except a byte's: it takes the shortest path.

use crate::network::graph::requantise::Requantise;
use crate::network::kernels::BinaryQ8;
use std::arch::aarch64::*;
use std::arch::asm;

/// Zero point -128 and no limits within the byte's range.
pub(super) const FULL: u8 = 0;
/// Zero point -128 and an upper limit.
pub(super) const UPPER: u8 = 1;
/// Any zero point and limits.
pub(super) const ANY: u8 = 2;

/// The last step of a quantised layer, in vectors.
#[derive(Clone, Copy)]
pub(super) struct Ending {
    zero: int16x8_t,
    low: int8x16_t,
    high: int8x16_t,
    /// [`FULL`], [`UPPER`] or [`ANY`].
    pub(super) mode: u8,
}

impl Ending {
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn new(end: &Requantise) -> Self {
        let (low, high) = (end.low as i32 + end.zero, end.high as i32 + end.zero);
        Self {
            zero: vdupq_n_s16(end.zero as i16),
            low: vdupq_n_s8(low as i8),
            high: vdupq_n_s8(high as i8),
            mode: match (end.zero, low, high) {
                (-128, -128, 127) => FULL,
                (-128, -128, _) => UPPER,
                _ => ANY,
            },
        }
    }

    /// Converts the sums of four times four channels to bytes, in this order. `MODE` is [`Ending::mode`].
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn bytes<const MODE: u8>(
        &self,
        sums: [int32x4_t; 4],
        multipliers: [float32x4_t; 4],
    ) -> int8x16_t {
        let step = |i: usize| vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sums[i]), multipliers[i]));
        self.narrow::<MODE>([step(0), step(1), step(2), step(3)])
    }

    /// Converts whole steps from the zero point to bytes.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn narrow<const MODE: u8>(&self, steps: [int32x4_t; 4]) -> int8x16_t {
        let a = vqmovn_high_s32(vqmovn_s32(steps[0]), steps[1]);
        let b = vqmovn_high_s32(vqmovn_s32(steps[2]), steps[3]);
        if MODE == ANY {
            let (a, b) = (vqaddq_s16(a, self.zero), vqaddq_s16(b, self.zero));
            let bytes = vqmovn_high_s16(vqmovn_s16(a), b);
            vminq_s8(vmaxq_s8(bytes, self.low), self.high)
        } else {
            let bytes = vqmovun_high_s16(vqmovun_s16(a), b);
            let bytes = vreinterpretq_s8_u8(veorq_u8(bytes, vdupq_n_u8(0x80)));
            if MODE == UPPER {
                vminq_s8(bytes, self.high)
            } else {
                bytes
            }
        }
    }
}

/// Stores the first `count` (1 to 16) bytes.
///
/// # Safety
/// `y` is valid for `count` bytes.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn store(y: *mut u8, bytes: int8x16_t, count: usize) {
    // SAFETY: `y` is valid for `count` bytes; each part is stored only if `count` includes it.
    unsafe {
        if count >= 16 {
            vst1q_s8(y.cast(), bytes);
            return;
        }
        let (mut y, mut left) = (y, vreinterpretq_u64_s8(bytes));
        if count & 8 != 0 {
            y.cast::<u64>().write_unaligned(vgetq_lane_u64::<0>(left));
            y = y.add(8);
            left = vextq_u64::<1>(left, left);
        }
        let mut last = vgetq_lane_u64::<0>(left);
        for size in [4, 2, 1] {
            if count & size != 0 {
                std::ptr::copy_nonoverlapping(last.to_le_bytes().as_ptr(), y, size);
                y = y.add(size);
                last >>= size * 8;
            }
        }
    }
}

/// N vectors from memory. They are read here and now, not copied from registers that hold them already: that takes a pipe's time.
///
/// # Safety
/// `from` is valid for N (1 to 4) vectors.
#[inline(always)]
pub(super) unsafe fn fresh<const N: usize>(from: *const u8) -> [int32x4_t; N] {
    // SAFETY: it reads the N vectors that `from` is valid for.
    unsafe {
        let mut all = [vdupq_n_s32(0); 4];
        macro_rules! pair {
            ($at:literal: $a:literal $b:literal) => {
                asm!(
                    concat!("ldp {a:q}, {b:q}, [{from}, ", $at, "]"),
                    from = in(reg) from,
                    a = out(vreg) all[$a],
                    b = out(vreg) all[$b],
                    options(readonly, nostack, preserves_flags),
                )
            };
        }
        macro_rules! single {
            ($at:literal: $a:literal) => {
                asm!(
                    concat!("ldr {a:q}, [{from}, ", $at, "]"),
                    from = in(reg) from,
                    a = out(vreg) all[$a],
                    options(readonly, nostack, preserves_flags),
                )
            };
        }
        if N == 1 {
            single!("0": 0);
        } else {
            pair!("0": 0 1);
        }
        if N == 3 {
            single!("32": 2);
        } else if N == 4 {
            pair!("32": 2 3);
        }
        std::array::from_fn(|i| all[i.min(3)])
    }
}

/// Stores the bytes of 4 N channels. (`str` of a whole vector takes a pipe for longer than `st1`.)
///
/// # Safety
/// `y` is valid for 4 N bytes.
#[inline(always)]
pub(super) unsafe fn store_vectors<const N: usize>(y: *mut u8, bytes: int8x16_t) {
    // SAFETY: it writes the 4 N bytes that `y` is valid for.
    unsafe {
        macro_rules! store {
            ($what:literal, $y:expr) => {
                asm!(
                    concat!("st1 {{{b:v}", $what, ", [{y}]"),
                    y = in(reg) $y,
                    b = in(vreg) bytes,
                    options(nostack, preserves_flags),
                )
            };
        }
        match N {
            1 => store!(".s}}[0]", y),
            2 => store!(".8b}}", y),
            3 => {
                store!(".8b}}", y);
                store!(".s}}[2]", y.add(8));
            }
            _ => store!(".16b}}", y),
        }
    }
}

/// `y = a + b` on bytes stored signed.
#[target_feature(enable = "neon")]
pub(super) fn add_q8(add: &BinaryQ8, a: &[u8], b: &[u8], y: &mut [u8]) {
    let largest = 128.0 * (add.a.abs() + add.b.abs()) + add.fixed.abs();
    // Then the rounded result is the low bits of a sum, as in `dotprod_end`.
    if largest < 32000.0 {
        add_bytes::<true>(add, a, b, y);
    } else {
        add_bytes::<false>(add, a, b, y);
    }
}

#[target_feature(enable = "neon")]
fn add_bytes<const SMALL: bool>(add: &BinaryQ8, a: &[u8], b: &[u8], y: &mut [u8]) {
    let end = Ending {
        mode: ANY,
        zero: vdupq_n_s16(0),
        ..Ending::new(&add.end)
    };
    let (ra, rb) = (vdupq_n_f32(add.a), vdupq_n_f32(add.b));
    let fixed = [vdupq_n_f32(add.fixed); 4];
    // The floats from 2^23 to 2^24 are the whole numbers.
    let (shift, shift_bits) = (vdupq_n_f32(12_582_912.0), vdupq_n_s32(0x4b40_0000));
    let wide = |bytes: int8x16_t| {
        let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
        let float = |shifted| vsubq_f32(vreinterpretq_f32_s32(shifted), shift);
        [
            float(vaddw_s16(shift_bits, vget_low_s16(low))),
            float(vaddw_high_s16(shift_bits, low)),
            float(vaddw_s16(shift_bits, vget_low_s16(high))),
            float(vaddw_high_s16(shift_bits, high)),
        ]
    };
    let sum = |a: &[u8; 16], b: &[u8; 16], y: &mut [u8; 16]| {
        // SAFETY: 16 bytes each, and four vectors.
        unsafe {
            let (a, b) = (
                wide(vld1q_s8(a.as_ptr().cast())),
                wide(vld1q_s8(b.as_ptr().cast())),
            );
            let fixed = fresh::<4>(fixed.as_ptr().cast());
            let step = |i: usize| {
                let first = vfmaq_f32(vreinterpretq_f32_s32(fixed[i]), b[i], rb);
                vfmaq_f32(first, a[i], ra)
            };
            let bytes = if SMALL {
                let whole = |i: usize| vreinterpretq_s16_f32(vaddq_f32(step(i), shift));
                let low = vqmovn_s16(vuzp1q_s16(whole(0), whole(1)));
                let bytes = vqmovn_high_s16(low, vuzp1q_s16(whole(2), whole(3)));
                vminq_s8(vmaxq_s8(bytes, end.low), end.high)
            } else {
                let whole = |i: usize| vcvtnq_s32_f32(step(i));
                end.narrow::<ANY>([whole(0), whole(1), whole(2), whole(3)])
            };
            store_vectors::<4>(y.as_mut_ptr(), bytes);
        }
    };
    let (a, a_rest) = a.as_chunks::<16>();
    let (b, b_rest) = b.as_chunks::<16>();
    let (y, y_rest) = y.as_chunks_mut::<16>();
    for ((a, b), y) in a.iter().zip(b).zip(y) {
        sum(a, b, y);
    }
    if !y_rest.is_empty() {
        let mut last = [[0; 16]; 3];
        last[0][..a_rest.len()].copy_from_slice(a_rest);
        last[1][..b_rest.len()].copy_from_slice(b_rest);
        let [a, b, y] = &mut last;
        sum(a, b, y);
        y_rest.copy_from_slice(&y[..y_rest.len()]);
    }
}
