//! The loops with NEON.

use super::super::LANES;
use super::super::neon::Neon;
use super::{ColourTransform, FRACTION_BITS, LIGHT_BITS, Mosaic};
use core::arch::aarch64::*;

impl Mosaic for Neon {
    type Samples = uint16x8_t;

    #[inline(always)]
    fn bytes<const N: usize>(self, rows: [&[u8; 16]; N]) -> [uint16x8_t; 2] {
        // SAFETY: the intrinsics only need NEON, which is part of the target.
        unsafe {
            let mut sums = [vdupq_n_u16(0); 2];
            for row in rows.map(load) {
                sums[0] = vaddw_u8(sums[0], vget_low_u8(row));
                sums[1] = vaddw_high_u8(sums[1], row);
            }
            sums
        }
    }

    #[inline(always)]
    fn words<const N: usize>(self, rows: [&[u8; 32]; N], mask: u16) -> [uint16x8_t; 2] {
        // SAFETY: the intrinsics only need NEON, which is part of the target.
        unsafe {
            let mut sums = [vdupq_n_u16(0); 2];
            for row in rows {
                for (sum, half) in sums.iter_mut().zip(row.as_chunks().0) {
                    let words = vreinterpretq_u16_u8(load(half));
                    *sum = vaddq_u16(*sum, vandq_u16(words, vdupq_n_u16(mask)));
                }
            }
            sums
        }
    }

    #[inline(always)]
    fn packed_10<const N: usize>(self, rows: [&[u8; 20]; N]) -> [uint16x8_t; 2] {
        let eight = |at: usize, first: u8| packed::<N, 20, 2>(rows, at, first);
        [eight(0, 0), eight(4, 6)]
    }

    #[inline(always)]
    fn packed_12<const N: usize>(self, rows: [&[u8; 24]; N]) -> [uint16x8_t; 2] {
        let eight = |at: usize, first: u8| packed::<N, 24, 4>(rows, at, first);
        [eight(0, 0), eight(8, 4)]
    }

    #[inline(always)]
    fn add(self, a: uint16x8_t, b: uint16x8_t) -> uint16x8_t {
        // SAFETY: the intrinsic only needs NEON, which is part of the target.
        unsafe { vaddq_u16(a, b) }
    }

    #[inline(always)]
    fn deinterleave(self, [a, b]: [uint16x8_t; 2]) -> [uint16x8_t; 2] {
        // SAFETY: the intrinsics only need NEON, which is part of the target.
        unsafe { [vuzp1q_u16(a, b), vuzp2q_u16(a, b)] }
    }

    #[inline(always)]
    fn add_pairs(self, [a, b]: [uint16x8_t; 2]) -> uint16x8_t {
        // SAFETY: the intrinsic only needs NEON, which is part of the target.
        unsafe { vpaddq_u16(a, b) }
    }

    #[inline(always)]
    fn linear_light(self, sums: [uint16x8_t; 3], transform: &ColourTransform) -> [uint16x8_t; 3] {
        // SAFETY: the intrinsics only need NEON, which is part of the target.
        unsafe {
            let part = |c: usize| -> int16x8_t {
                let sum = vshlq_u16(sums[c], vdupq_n_s16(transform.up[c] as i16));
                let above = vqsubq_u16(sum, vdupq_n_u16(transform.black[c]));
                let cut = vminq_u16(above, vdupq_n_u16(transform.white[c]));
                vreinterpretq_s16_u16(vshlq_u16(cut, vdupq_n_s16(transform.lift[c] as i16)))
            };
            let [a, b, c] = [part(0), part(1), part(2)];
            let [low_a, low_b, low_c] = [a, b, c].map(|part| vget_low_s16(part));
            transform.factors.map(|[r, g, b_]| {
                let low = vmlal_n_s16(vmlal_n_s16(vmull_n_s16(low_a, r), low_b, g), low_c, b_);
                let high = vmull_high_n_s16(a, r);
                let high = vmlal_high_n_s16(vmlal_high_n_s16(high, b, g), c, b_);
                let light = vcombine_u16(
                    vqrshrun_n_s32::<{ FRACTION_BITS as i32 }>(low),
                    vqrshrun_n_s32::<{ FRACTION_BITS as i32 }>(high),
                );
                vminq_u16(light, vdupq_n_u16((1 << LIGHT_BITS) - 1))
            })
        }
    }

    #[inline(always)]
    fn words_of(self, samples: uint16x8_t) -> [u64; 2] {
        // SAFETY: the intrinsics only need NEON, which is part of the target.
        unsafe {
            let words = vreinterpretq_u64_u16(samples);
            [vgetq_lane_u64::<0>(words), vgetq_lane_u64::<1>(words)]
        }
    }
}

#[inline(always)]
fn load(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: the reference is valid for 16 bytes; NEON is part of the target.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

/// Eight samples of `N` rows, whose lower `SHARED` bits are in a byte shared by `8 / SHARED` samples, which follows them. The
/// samples begin `first` bytes after byte `at`, from which on each row has at least 16 bytes.
#[inline(always)]
fn packed<const N: usize, const BYTES: usize, const SHARED: i32>(
    rows: [&[u8; BYTES]; N],
    at: usize,
    first: u8,
) -> uint16x8_t {
    let group = (8 / SHARED) as usize;
    // The low byte of each lane is the shared one, the high byte the sample's own.
    let lane = |i: usize| first as usize + i / group * (group + 1);
    let places: [u8; 16] = std::array::from_fn(|k| {
        let (at, i) = (lane(k / 2), k / 2);
        (at + if k % 2 == 0 { group } else { i % group }) as u8
    });
    let down: [i16; LANES] = std::array::from_fn(|i| (i % group) as i16 * -(SHARED as i16));
    let masks: [u16; LANES] =
        std::array::from_fn(|i| ((1 << SHARED) - 1) << (i % group * SHARED as usize));
    // SAFETY: the references are valid for 8 values; NEON is part of the target.
    unsafe {
        let (places, down, masks) = (
            load(&places),
            vld1q_s16(down.as_ptr()),
            vld1q_u16(masks.as_ptr()),
        );
        let (mut upper, mut lower) = (vdupq_n_u16(0), vdupq_n_u16(0));
        for row in rows {
            let bytes = load(row[at..].first_chunk().unwrap_or(&[0; 16])); // it has them
            let lanes = vreinterpretq_u16_u8(vqtbl1q_u8(bytes, places));
            upper = vsraq_n_u16::<8>(upper, lanes);
            lower = vaddq_u16(lower, vandq_u16(lanes, masks));
        }
        vaddq_u16(vshlq_n_u16::<SHARED>(upper), vshlq_u16(lower, down))
    }
}
