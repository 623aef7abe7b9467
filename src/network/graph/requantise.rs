//! The exact integer arithmetic of quantised layers, which every kernel on every CPU must match bit for bit.
//!
//! Quantised values `q` are in 0..=255 here. All float steps are IEEE binary32, round to nearest even, one rounding per step (a
//! fused multiply-add only where stated):
//! - a convolution sums `(x - zero_x) * (w - zero_w)` and the bias in 32-bit integers, wrapping, in any order;
//! - the sum becomes a float (rounded beyond 2^24), is multiplied by `scale_x * scale_w / scale_y` (itself computed in binary32,
//!   in this order), clamped to `low - zero_y ..= high - zero_y`, rounded half to even, and `zero_y` is added as an integer;
//! - a residual sum, with all numbers in -128..=127, is `a * ra + (b * rb + fixed)` with `ra = scale_a / scale_y`, `rb = scale_b
//!   / scale_y`, `fixed = zero_y - (ra * zero_a + rb * zero_b)`; here the two multiply-adds are fused (one rounding each, IEEE
//!   fusedMultiplyAdd), and the result is clamped and rounded half to even. This is what ONNX Runtime's QLinearAdd does
//!   for int8 tensors, so such files give the same bits; uint8 ones can differ by a few steps, because rounding depends on the zero;
//! - a product is `(a - zero_a) * (b - zero_b)` in integers, then it ends like a convolution;
//! - an average is the integer sum of `x - zero_x`, times `scale_x / scale_y / count`, then it ends the same way.
//!
//! The limits are whole numbers, so clamping before rounding equals clamping after it, and no conversion can overflow.

use super::Quant;

/// The last step of every quantised layer: from a sum to a stored byte.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Requantise {
    /// Smallest result, minus the zero point.
    pub low: f32,
    /// Largest result, minus the zero point.
    pub high: f32,
    /// Zero point of the result, in the range of the stored bytes.
    pub zero: i32,
}

impl Requantise {
    /// For an output with quantisation `quant` and real limits `clamp`, stored with the top bit flipped if `signed`.
    pub fn new(quant: Quant, clamp: (f32, f32), signed: bool) -> Self {
        let bound = |real: f32| quantise(real, quant) - quant.zero;
        Self {
            low: bound(clamp.0) as f32,
            high: bound(clamp.1) as f32,
            zero: quant.zero - if signed { 128 } else { 0 },
        }
    }

    /// Whether the stored bytes are u8 with zero point 0 and no further limits.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // Other kernels store bytes signed.
    pub fn plain(&self) -> bool {
        self.zero == 0 && self.free()
    }

    /// Whether the stored bytes are u8 with no further limits.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // As `plain`.
    pub fn free(&self) -> bool {
        let zero = self.zero as f32;
        self.low + zero == 0.0 && self.high + zero == 255.0
    }

    /// From a value in units of the output's scale to the stored byte.
    #[inline(always)]
    pub fn finish(&self, steps: f32) -> u8 {
        let limited = steps.max(self.low).min(self.high);
        (limited.round_ties_even() as i32).wrapping_add(self.zero) as u8
    }

    /// From an integer sum to the stored byte.
    #[inline(always)]
    pub fn of(&self, sum: i32, multiplier: f32) -> u8 {
        self.finish(sum as f32 * multiplier)
    }
}

/// QuantizeLinear: `round_half_even(real / scale) + zero`, saturated to 0..=255.
pub fn quantise(real: f32, quant: Quant) -> i32 {
    let steps = (real / quant.scale).round_ties_even();
    // The cast saturates, and NaN becomes 0.
    (steps.clamp(-1e6, 1e6) as i32 + quant.zero).clamp(0, 255)
}

/// DequantizeLinear.
pub fn dequantise(q: u8, quant: Quant) -> f32 {
    (i32::from(q) - quant.zero) as f32 * quant.scale
}
