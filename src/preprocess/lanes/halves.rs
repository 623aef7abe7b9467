//! Columns in the vectors of x86-64, whole and in halves.

use super::{Column, ROWS};
use core::arch::x86_64::*;

/// Rows of half a column.
pub(super) const HALF: usize = ROWS / 2;

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load(column: &Column) -> __m256i {
    // SAFETY: the reference is valid for 32 bytes, and this load needs no alignment.
    unsafe { _mm256_loadu_si256(column.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_half(column: &mut Column, half: usize, values: __m128i) {
    let half = &mut column.as_chunks_mut::<HALF>().0[half];
    // SAFETY: the reference is valid for 16 bytes, and this store needs no alignment.
    unsafe { _mm_storeu_si128(half.as_mut_ptr().cast(), values) }
}
