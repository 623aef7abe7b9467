//! Kernels for x86-64.

mod avx2;
mod avx2_conv;
mod avx2_depthwise;
mod avx2_ending;
mod avx2_float;
mod avx512;
mod avx512_ending;
mod avx512vnni;
mod avx512vnni_conv;
mod avx512vnni_depthwise;
mod avx512vnni_narrow;
mod wider;

use super::Kernels;

/// The sets that this CPU can run, best first.
pub fn detected() -> impl Iterator<Item = &'static dyn Kernels> {
    let vnni = avx512vnni::Avx512Vnni::detect().map(|k| k as &dyn Kernels);
    let avx2 = avx2::Avx2::detect().map(|k| k as &dyn Kernels);
    [vnni, avx2].into_iter().flatten()
}
