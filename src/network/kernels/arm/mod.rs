//! Kernels for AArch64.

mod dotprod;
mod dotprod_depthwise;
mod dotprod_end;
mod dotprod_five;
mod dotprod_row;
mod dotprod_three;
mod i8mm;
mod i8mm_tile;
mod neon;
mod neon_depthwise;
mod neon_depthwise_rows;
mod neon_end;
mod neon_f16;
mod neon_f16_depthwise;
mod neon_f16_tiles;
mod neon_f16_vectors;
mod neon_f32;
mod neon_f32_depthwise;
mod neon_f32_tile;
mod neon_look_up;
mod neon_q8;
mod neon_q8_tiles;
mod neon_three;

use super::Kernels;

/// The sets that this CPU can run, best first; every one has NEON.
pub fn detected() -> impl Iterator<Item = &'static dyn Kernels> {
    let i8mm = i8mm::MatrixProduct::detect().map(|k| k as &dyn Kernels);
    let dotprod = dotprod::DotProduct::detect().map(|k| k as &dyn Kernels);
    let neon: &dyn Kernels = neon::Products::here();
    [i8mm, dotprod, Some(neon)].into_iter().flatten()
}
