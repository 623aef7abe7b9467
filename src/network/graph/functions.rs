//! Functions of one value, over slices: no loop has branches, so that the compiler vectorises all of them.
//!
//! FUSED: multiply and add are fused, for CPUs that do so in one instruction. Without it every step is a plain IEEE operation, so
//! that tables built from these functions are the same on all CPUs.

use super::Unary;

/// `a * b + c`.
#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// `e^x`, within 2 ULP between -87 and 88; constant beyond that, and NaN stays NaN.
///
/// `e^x = 2^n * e^r` with `n` the integer nearest to `x / ln 2`; `e^r` by its power series, whose eighth term is below 2^-27 for
/// `|r| <= ln 2 / 2`. `ln 2` is subtracted in two parts, the first with so few digits that `n` times it is exact (Cody and Waite,
/// Software Manual for the Elementary Functions, 1980).
#[inline(always)]
pub fn exp<const FUSED: bool>(x: f32) -> f32 {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    /// Added to a number below 2^22, it leaves the integer in the lowest bits.
    const TO_WHOLE: f32 = 12_582_912.0;
    // `max` and `min` would turn NaN into a number.
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let whole = multiply_add::<FUSED>(x, std::f32::consts::LOG2_E, TO_WHOLE);
    let n = whole - TO_WHOLE;
    let r = multiply_add::<FUSED>(n, -LN_2_HIGH, x);
    let r = multiply_add::<FUSED>(n, -LN_2_LOW, r);
    let mut series = 1.0 / 5040.0;
    for factor in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        series = multiply_add::<FUSED>(series, r, factor);
    }
    let exponent = whole.to_bits().wrapping_sub(TO_WHOLE.to_bits());
    series * f32::from_bits(exponent.wrapping_add(127) << 23)
}

#[inline(always)]
fn sigmoid<const FUSED: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FUSED>(-x))
}

/// Near 0 by its power series, because `1 - 2 / (e^2x + 1)` would lose digits there.
#[inline(always)]
fn tanh<const FUSED: bool>(x: f32) -> f32 {
    let square = x * x;
    let mut series = 62.0 / 2835.0;
    for factor in [-17.0 / 315.0, 2.0 / 15.0, -1.0 / 3.0, 1.0] {
        series = multiply_add::<FUSED>(series, square, factor);
    }
    let far = 1.0 - 2.0 / (exp::<FUSED>(2.0 * x) + 1.0);
    if square < 0.09 { x * series } else { far }
}

/// Error below 5e-7: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
#[inline(always)]
fn erf<const FUSED: bool>(x: f32) -> f32 {
    let t = 1.0 / multiply_add::<FUSED>(0.327_591_1, x.abs(), 1.0);
    let mut series = 1.061_405_4;
    for factor in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6, 0.0] {
        series = multiply_add::<FUSED>(series, t, factor);
    }
    let positive = 1.0 - series * exp::<FUSED>(-x * x);
    positive.copysign(x)
}

#[inline(always)]
fn each(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = f(x);
    }
}

impl Unary {
    /// The function's value.
    pub fn of(self, x: f32) -> f32 {
        let mut y = 0.0;
        self.run::<false>(false, &[x], std::slice::from_mut(&mut y));
        y
    }

    /// `y = f(x)`; if `gate`, `y = x * f(x)`.
    #[inline(always)]
    pub fn run<const FUSED: bool>(self, gate: bool, x: &[f32], y: &mut [f32]) {
        match self {
            Self::Clamp(low, high) => gated(gate, x, y, |x| x.max(low).min(high)),
            Self::HardSwish => gated(gate, x, y, |x| x * (x * (1.0 / 6.0) + 0.5).clamp(0.0, 1.0)),
            Self::HardSigmoid(a, b) => gated(gate, x, y, |x| (a * x + b).clamp(0.0, 1.0)),
            Self::Sigmoid => gated(gate, x, y, sigmoid::<FUSED>),
            Self::LeakyRelu(alpha) => gated(gate, x, y, |x| if x < 0.0 { alpha * x } else { x }),
            Self::Tanh => gated(gate, x, y, tanh::<FUSED>),
            Self::Erf => gated(gate, x, y, erf::<FUSED>),
            Self::NormalCdf(times) => gated(gate, x, y, |x| {
                let half = 0.5 * times;
                half + half * erf::<FUSED>(x * std::f32::consts::FRAC_1_SQRT_2)
            }),
        }
    }
}

#[inline(always)]
fn gated(gate: bool, x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    if gate {
        each(x, y, |x| x * f(x));
    } else {
        each(x, y, f);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers() -> impl Iterator<Item = f32> {
        (-100_000..100_000).map(|i| i as f32 * 1e-3 + 1e-5)
    }

    fn exp_is_right_to_the_last_digits<const FUSED: bool>() {
        for x in numbers().filter(|x| (-87.0..88.0).contains(x)) {
            let want = f64::from(x).exp();
            let off = (f64::from(exp::<FUSED>(x)) - want).abs() / want;
            assert!(off < 2.4e-7, "{x}: {off}");
        }
        assert_eq!(exp::<FUSED>(0.0), 1.0);
        assert!(exp::<FUSED>(-1e9) > 0.0 && exp::<FUSED>(-1e9) < 2e-38);
        assert!(exp::<FUSED>(f32::INFINITY).is_finite());
        assert!(exp::<FUSED>(f32::NAN).is_nan());
    }

    #[test]
    fn exp_is_right_with_and_without_fused_steps() {
        exp_is_right_to_the_last_digits::<false>();
        exp_is_right_to_the_last_digits::<true>();
    }

    #[test]
    fn sigmoid_and_tanh_are_near_the_exact_values() {
        let small = (-1000..1000).map(|i| i as f32 * 1e-6);
        let x: Vec<f32> = numbers().chain(small).collect();
        let mut y = vec![0.0; x.len()];
        for kernels in crate::network::kernels::available() {
            kernels.unary_f32(Unary::Sigmoid, false, &x, &mut y);
            for (&x, &y) in x.iter().zip(&y) {
                let want = 1.0 / (1.0 + (-f64::from(x)).exp());
                assert!((f64::from(y) - want).abs() < 1.5e-7, "{x}: {y}");
            }
            kernels.unary_f32(Unary::Tanh, false, &x, &mut y);
            for (&x, &y) in x.iter().zip(&y) {
                let want = f64::from(x).tanh();
                assert!((f64::from(y) - want).abs() <= 5e-7 * want.abs(), "{x}: {y}");
            }
        }
        assert!(Unary::Sigmoid.of(f32::NAN).is_nan());
        assert!(Unary::Tanh.of(f32::NAN).is_nan());
        assert_eq!(Unary::Tanh.of(0.0), 0.0);
    }

    #[test]
    fn the_error_function_is_near_the_exact_values() {
        // From published tables, to the digits given.
        for (x, want) in [
            (0.0, 0.0),
            (0.1, 0.112_462_92),
            (0.5, 0.520_499_9),
            (1.0, 0.842_700_8),
            (1.5, 0.966_105_15),
            (2.0, 0.995_322_3),
            (3.0, 0.999_977_9),
            (30.0, 1.0),
        ] {
            for (x, want) in [(x, want), (-x, -want)] {
                assert!((Unary::Erf.of(x) - want).abs() < 5e-7, "{x}");
                let cdf = Unary::NormalCdf(2.0).of(x * std::f32::consts::SQRT_2);
                assert!((cdf - 1.0 - want).abs() < 1e-6, "{x}");
            }
        }
        assert!(Unary::Erf.of(f32::NAN).is_nan());
    }

    #[test]
    fn a_gate_is_the_number_times_its_function() {
        let x: Vec<f32> = numbers().step_by(997).collect();
        for f in [Unary::Sigmoid, Unary::HardSigmoid(0.2, 0.4), Unary::Tanh] {
            let mut y = vec![0.0; x.len()];
            f.run::<false>(true, &x, &mut y);
            for (&x, y) in x.iter().zip(y) {
                assert_eq!(y, x * f.of(x));
            }
        }
    }
}
