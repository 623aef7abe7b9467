//! Vectors of half precision with NEON, and the loops over slices that need nothing else.
//!
//! Stable Rust has no intrinsics for these instructions, so each is a single line of inline assembly.

use crate::network::graph::FREE;
use crate::network::kernels::half_values::{of_f32, to_f32};
use std::arch::aarch64::*;
use std::arch::asm;

/// The same numbers in single precision.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn wide(x: uint16x8_t) -> [float32x4_t; 2] {
    let (low, high);
    // SAFETY: every aarch64 CPU has these instructions, which only compute.
    unsafe {
        asm!("fcvtl {y:v}.4s, {x:v}.4h", x = in(vreg) x, y = out(vreg) low,
            options(pure, nomem, nostack, preserves_flags));
        asm!("fcvtl2 {y:v}.4s, {x:v}.8h", x = in(vreg) x, y = out(vreg) high,
            options(pure, nomem, nostack, preserves_flags));
    }
    [low, high]
}

/// The nearest numbers in half precision.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn narrowed(x: [float32x4_t; 2]) -> uint16x8_t {
    let mut y: uint16x8_t;
    // SAFETY: every aarch64 CPU has these instructions, which only compute.
    unsafe {
        asm!("fcvtn {y:v}.4h, {x:v}.4s", x = in(vreg) x[0], y = out(vreg) y,
            options(pure, nomem, nostack, preserves_flags));
        asm!("fcvtn2 {y:v}.8h, {x:v}.4s", x = in(vreg) x[1], y = inout(vreg) y,
            options(pure, nomem, nostack, preserves_flags));
    }
    y
}

/// Instructions of one line: `y = op(a, b)`.
macro_rules! binary {
    ($($name:ident: $line:literal)*) => {$(
        #[inline]
        #[target_feature(enable = "neon,fp16")]
        pub(super) fn $name(a: uint16x8_t, b: uint16x8_t) -> uint16x8_t {
            let y;
            // SAFETY: the caller has proved that the CPU has the instruction, which only computes.
            unsafe {
                asm!($line, y = out(vreg) y, a = in(vreg) a, b = in(vreg) b,
                    options(pure, nomem, nostack, preserves_flags));
            }
            y
        }
    )*};
}

binary! {
    sum: "fadd {y:v}.8h, {a:v}.8h, {b:v}.8h"
    larger: "fmax {y:v}.8h, {a:v}.8h, {b:v}.8h"
    smaller: "fmin {y:v}.8h, {a:v}.8h, {b:v}.8h"
}

/// `sum + a * b`.
#[inline]
#[target_feature(enable = "neon,fp16")]
pub(super) fn multiply_add(sum: uint16x8_t, a: uint16x8_t, b: uint16x8_t) -> uint16x8_t {
    let mut y = sum;
    // SAFETY: the caller has proved that the CPU has the instruction, which only computes.
    unsafe {
        asm!("fmla {y:v}.8h, {a:v}.8h, {b:v}.8h", y = inout(vreg) y, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    y
}

/// Vectors of the two limits.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn limits(clamp: (f32, f32)) -> [uint16x8_t; 2] {
    [clamp.0, clamp.1].map(|limit| vdupq_n_u16(of_f32(limit)))
}

/// Stores the first `count` values (more than 8 count as 8).
///
/// # Safety
/// `y` is valid for them.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn store(y: *mut u16, values: uint16x8_t, count: usize) {
    // SAFETY: each value is stored only if `count` includes it.
    unsafe {
        if count >= 8 {
            vst1q_u16(y, values);
        } else {
            let mut all = [0; 8];
            vst1q_u16(all.as_mut_ptr(), values);
            std::ptr::copy_nonoverlapping(all.as_ptr(), y, count);
        }
    }
}

/// Converts to single precision.
#[target_feature(enable = "neon")]
pub(super) fn widen(x: &[u16], y: &mut [f32]) {
    let (x, x_rest) = x.as_chunks::<8>();
    let (y, y_rest) = y.as_chunks_mut::<8>();
    for (x, y) in x.iter().zip(y.iter_mut()) {
        // SAFETY: eight values each.
        unsafe {
            let [low, high] = wide(vld1q_u16(x.as_ptr()));
            vst1q_f32_x2(y.as_mut_ptr(), float32x4x2_t(low, high));
        }
    }
    // What is left of `x` may have its place in a whole piece of `y`.
    let rest = y.get_mut(x.len()).map_or(y_rest, |y| &mut y[..]);
    for (y, &x) in rest.iter_mut().zip(x_rest) {
        *y = to_f32(x);
    }
}

/// Converts from single precision.
#[target_feature(enable = "neon")]
pub(super) fn narrow(x: &[f32], y: &mut [u16]) {
    let (x, x_rest) = x.as_chunks::<8>();
    let (y, y_rest) = y.as_chunks_mut::<8>();
    for (x, y) in x.iter().zip(y.iter_mut()) {
        // SAFETY: eight values each.
        unsafe {
            let x = vld1q_f32_x2(x.as_ptr());
            vst1q_u16(y.as_mut_ptr(), narrowed([x.0, x.1]));
        }
    }
    // What is left of `y` may have its values in a whole piece of `x`.
    let rest = x.get(y.len()).map_or(x_rest, |x| &x[..]);
    for (y, &x) in y_rest.iter_mut().zip(rest) {
        *y = of_f32(x);
    }
}

/// Sums within `clamp`.
#[target_feature(enable = "neon,fp16")]
pub(super) fn add(clamp: (f32, f32), a: &[u16], b: &[u16], y: &mut [u16]) {
    let [least, most] = limits(clamp);
    let limited = |sum| smaller(larger(sum, least), most);
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let (y, y_rest) = y.as_chunks_mut::<8>();
    let eights = a.iter().zip(b).zip(y);
    // SAFETY: eight values each.
    let added =
        |a: &[u16; 8], b: &[u16; 8]| unsafe { sum(vld1q_u16(a.as_ptr()), vld1q_u16(b.as_ptr())) };
    if clamp == FREE {
        for ((a, b), y) in eights {
            // SAFETY: eight values.
            unsafe { vst1q_u16(y.as_mut_ptr(), added(a, b)) };
        }
    } else {
        for ((a, b), y) in eights {
            // SAFETY: eight values.
            unsafe { vst1q_u16(y.as_mut_ptr(), limited(added(a, b))) };
        }
    }
    if !y_rest.is_empty() {
        let eight = |x: &[u16]| {
            let mut all = [0; 8];
            all[..x.len()].copy_from_slice(x);
            all
        };
        let sums = limited(added(&eight(a_rest), &eight(b_rest)));
        // SAFETY: as many values as are left.
        unsafe { store(y_rest.as_mut_ptr(), sums, y_rest.len()) };
    }
}
