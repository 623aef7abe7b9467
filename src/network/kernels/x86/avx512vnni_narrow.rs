//! Int8 convolutions to 17..=24 channels with AVX-512 VNNI; the approach is described in [`super::avx512vnni_conv`].
//!
//! Two vectors of 16 channels would be a quarter empty or more. Instead a pixel has one such vector, and two pixels share another one,
//! each half of which holds 8 channels of one of them: three multiplications rather than four.

use super::avx512_ending::{Ending, FREE, LIMITED, kind, one_by_one};
use crate::network::kernels::panels::even_tiles;
use crate::network::kernels::{ConvQ8, Pixels, Runs};
use std::arch::x86_64::*;

/// Pixels of the largest tile.
const MAX_PIXELS: usize = 8;

/// Whether it has that many channels.
pub(super) fn takes(runs: &Runs) -> bool {
    (17..=24).contains(&runs.n)
}

/// The output channel at a place among the lanes of the two vectors.
pub(super) fn channel(_: usize, place: usize) -> usize {
    if place < 16 { place } else { 16 + place % 8 }
}

/// All channels of some pixels.
///
/// # Safety
/// The CPU has AVX-512 with VNNI; the contract of `Kernels`; `takes` these runs.
pub(super) unsafe fn run(conv: &ConvQ8, p: &Pixels) {
    let free = kind(conv.sums, &conv.end) >= FREE;
    macro_rules! by_size {
        ($p:expr, $size:expr, $count:expr, $($m:literal)*) => {
            match ($size, free) {
                $(($m, true) => tiles::<$m, FREE>(conv, $p, $count),
                ($m, false) => tiles::<$m, LIMITED>(conv, $p, $count),)*
                _ => {}
            }
        };
    }
    // SAFETY: contract (reads, writes), tile by tile.
    unsafe {
        even_tiles(p, 0, MAX_PIXELS, |p, size, count| {
            by_size!(p, size, count, 1 2 3 4 5 6 7 8);
        });
    }
}

/// # Safety
/// As `run`, with `count` times MR pixels.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn tiles<const MR: usize, const KIND: u8>(conv: &ConvQ8, p: &Pixels, count: usize) {
    let head = conv.packed.as_ptr();
    let end = Ending::<KIND>::new(&conv.end);
    let steps = conv.runs.len.div_ceil(4);
    // SAFETY: contract (reads) of MR pixels at a time; a run's last step reads at most 3 bytes of slack; the packed panel is biases,
    // multipliers, then two vectors per step.
    unsafe {
        let load = |at: *const u8| _mm512_load_si512(at.cast());
        let [first, second] = [0, 64].map(|v| Ending::<KIND>::start(load(head.add(v))));
        let m = [128, 192].map(|v| Ending::<KIND>::multiplier(_mm512_load_ps(head.add(v).cast())));
        for tile in 0..count {
            let pixel = p.x.add(tile * MR * p.x_pitch);
            let mut own = [first; MR];
            let mut shared = [second; MAX_PIXELS / 2];
            let mut w = head.add(256);
            for &offset in &conv.runs.offsets {
                let mut x = pixel.add(offset);
                for _ in 0..steps {
                    let weights = [load(w), load(w.add(64))];
                    for (pair, shared) in shared.iter_mut().enumerate().take(MR.div_ceil(2)) {
                        let mut four = [_mm512_setzero_si512(); 2];
                        for (m, four) in (pair * 2..MR).zip(&mut four) {
                            let x = x.add(m * p.x_pitch).cast::<i32>();
                            *four = _mm512_set1_epi32(x.read_unaligned());
                            own[m] = _mm512_dpbusd_epi32(own[m], *four, weights[0]);
                        }
                        let both = _mm512_mask_blend_epi32(0xff00, four[0], four[1]);
                        *shared = _mm512_dpbusd_epi32(*shared, both, weights[1]);
                    }
                    x = x.add(4);
                    w = w.add(128);
                }
            }
            let y = p.y.add(tile * MR * p.y_pitch);
            for first in (0..MR).step_by(4) {
                let q = |i: usize| end.steps(own[(first + i).min(MR - 1)], m[0]);
                let four = one_by_one(end.bytes([q(0), q(1), q(2), q(3)]));
                for (i, &bytes) in four.iter().enumerate().take(MR - first) {
                    _mm_storeu_si128(y.add((first + i) * p.y_pitch).cast(), bytes);
                }
            }
            let four = one_by_one(end.bytes(shared.map(|sums| end.steps(sums, m[1]))));
            for m in 0..MR {
                let (y, bytes) = (y.add(m * p.y_pitch + 16), four[m / 2]);
                let bytes = if m % 2 == 0 {
                    bytes
                } else {
                    _mm_unpackhi_epi64(bytes, bytes)
                };
                store(y, bytes, conv.runs.n - 16);
            }
        }
    }
}

/// Stores the first `valid` of 8 bytes.
///
/// # Safety
/// `y` is valid for them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn store(y: *mut u8, bytes: __m128i, valid: usize) {
    // SAFETY: only these bytes are stored.
    unsafe {
        if valid == 8 {
            _mm_storel_epi64(y.cast(), bytes);
        } else {
            _mm_mask_storeu_epi8(y.cast(), 0xff >> (8 - valid), bytes);
        }
    }
}
