//! Quantisation whose scale is recomputed in every run: the arithmetic of ONNX's DynamicQuantizeLinear and of what follows the
//! integer sums. Every step is one IEEE binary32 operation, rounded to nearest even, so the bits are ONNX Runtime's, whatever the
//! kernels and the number of threads:
//! - with 0 counted among the tensor's values, `scale = (greatest - least) / 255`, or 1 if all are 0;
//! - `zero point = round_half_even(-least / scale)`, clamped to 0..=255;
//! - an integer minus its zero point is `round_half_even(x / scale)`, clamped to `-zero point..=255 - zero point`: a whole
//!   number, which a float holds exactly, as it does its products with those of the weights and their sums up to 2^24;
//! - a sum is multiplied by `scale * weights' scale`, the bias is added, then the result is clamped.

/// Least and greatest value of a tensor or of part of one, with 0 counted among them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extremes {
    /// The least.
    pub low: f32,
    /// The greatest.
    pub high: f32,
}

impl Extremes {
    /// Those of no values: 0.
    pub const NONE: Self = Self {
        low: 0.0,
        high: 0.0,
    };

    /// Those of both parts together.
    #[inline(always)]
    pub fn with(self, other: Self) -> Self {
        Self {
            low: least(self.low, other.low),
            high: greatest(self.high, other.high),
        }
    }

    /// Those of the whole tensor, from `(least, greatest)` of each part.
    pub fn of_parts(parts: &[f32]) -> Self {
        parts.chunks_exact(2).fold(Self::NONE, |all, part| {
            all.with(Self {
                low: part[0],
                high: part[1],
            })
        })
    }

    /// The quantisation step.
    pub fn scale(self) -> f32 {
        if self.low == self.high {
            1.0
        } else {
            (self.high - self.low) / 255.0
        }
    }

    /// The integer that represents 0.
    pub fn zero_point(self) -> f32 {
        let steps = greatest(0.0, 0.0 - self.low / self.scale());
        least(255.0, steps).round_ties_even()
    }
}

// `f32::min` and `max` would not be vectorised; NaN is skipped.
#[inline(always)]
fn least(a: f32, b: f32) -> f32 {
    if b < a { b } else { a }
}

#[inline(always)]
fn greatest(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// Those of these values and 0.
#[inline(always)]
pub fn extremes(x: &[f32]) -> Extremes {
    const LANES: usize = 32;
    let (mut low, mut high) = ([0f32; LANES], [0f32; LANES]);
    let blocks = x.chunks_exact(LANES);
    let rest = blocks.remainder();
    for block in blocks {
        for ((low, high), &x) in low.iter_mut().zip(&mut high).zip(block) {
            *low = least(*low, x);
            *high = greatest(*high, x);
        }
    }
    let lanes = low.iter().zip(&high);
    let lanes = lanes.map(|(&low, &high)| Extremes { low, high });
    let rest = rest.iter().map(|&x| Extremes { low: x, high: x });
    lanes.chain(rest).fold(Extremes::NONE, Extremes::with)
}

/// Converts real values to whole numbers.
#[inline(always)]
pub fn round(of: Extremes, values: &mut [f32]) {
    let scale = of.scale();
    let (low, high) = (-of.zero_point(), 255.0 - of.zero_point());
    for x in values {
        *x = (*x / scale).max(low).min(high).round_ties_even();
    }
}

/// How a convolution's sums of whole numbers become real values.
#[derive(Debug, Clone, Copy)]
pub struct Rescale<'a> {
    /// Scale of the integers that were summed.
    pub scale: f32,
    /// The weights' scale per channel.
    pub factors: &'a [f32],
    /// Bias per channel.
    pub bias: &'a [f32],
    /// Clamp limits of the result.
    pub clamp: (f32, f32),
}

/// Converts sums to real values, for one or more pixels.
#[inline(always)]
pub fn rescale(by: &Rescale<'_>, values: &mut [f32]) {
    let Rescale {
        scale,
        factors,
        bias,
        clamp,
    } = *by;
    for pixel in values.chunks_exact_mut(factors.len()) {
        for ((y, &factor), &bias) in pixel.iter_mut().zip(factors).zip(bias) {
            *y = (*y * (scale * factor) + bias).max(clamp.0).min(clamp.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::kernels;

    /// DynamicQuantizeLinear by its definition: scale, zero point, integers.
    fn plain(x: &[f32]) -> (f32, i32, Vec<i32>) {
        let low = x.iter().copied().fold(0.0, f32::min);
        let high = x.iter().copied().fold(0.0, f32::max);
        let range = high - low;
        let scale = if range == 0.0 { 1.0 } else { range / 255.0 };
        let half_even = |x: f32| {
            let below = x.floor();
            let up = x - below > 0.5 || (x - below == 0.5 && below % 2.0 != 0.0);
            (below + if up { 1.0 } else { 0.0 }) as i32
        };
        let zero = half_even(-low / scale).clamp(0, 255);
        let integers = x.iter().map(|x| half_even(x / scale) + zero);
        (scale, zero, integers.map(|q| q.clamp(0, 255)).collect())
    }

    fn tensors() -> Vec<(&'static str, Vec<f32>)> {
        let mut random = fastrand::Rng::with_seed(3);
        let mut of = |count: usize, from: f32, to: f32| -> Vec<f32> {
            let mut one = || from + (to - from) * random.f32();
            (0..count).map(|_| one()).collect()
        };
        vec![
            ("both signs", of(1003, -3.0, 5.0)),
            ("positive", of(257, 0.5, 9.0)),
            ("negative", of(64, -7.0, -2.0)),
            ("tiny", of(99, -1e-30, 2e-30)),
            ("huge", of(33, -1e37, 1e37)),
            ("all zero", vec![0.0; 70]),
            ("one value", vec![2.5]),
            ("one negative value", vec![-2.5]),
            ("alike", vec![-0.75; 45]),
            // Steps of 1 from -100 to 155, and halves between them.
            ("halves", (-200..=310).map(|i| i as f32 * 0.5).collect()),
            ("none", Vec::new()),
        ]
    }

    #[test]
    fn integers_are_those_of_the_definition_with_every_kernel() {
        for (name, x) in tensors() {
            let (scale, zero, integers) = plain(&x);
            for kernels in kernels::available() {
                let of = kernels.extremes_f32(&x);
                assert_eq!(of.scale(), scale, "{name}");
                assert_eq!(of.zero_point(), zero as f32, "{name}");
                let mut got = x.clone();
                kernels.round_f32(of, &mut got);
                let want: Vec<f32> = integers.iter().map(|&q| (q - zero) as f32).collect();
                assert_eq!(got, want, "{name} {}", kernels.name());
            }
        }
    }

    #[test]
    fn parts_have_the_extremes_of_the_whole() {
        for (name, x) in tensors() {
            for size in [1, 7, 64] {
                let parts = x.chunks(size).map(extremes);
                let parts: Vec<f32> = parts.flat_map(|p| [p.low, p.high]).collect();
                assert_eq!(Extremes::of_parts(&parts), extremes(&x), "{name} {size}");
            }
        }
    }

    #[test]
    fn nan_does_not_spread() {
        let of = extremes(&[1.0, f32::NAN, -1.0, 0.5]);
        assert_eq!((of.low, of.high), (-1.0, 1.0));
        // A NaN, an infinite scale, and one so small that it is 0.
        for mut x in [
            vec![1.0, f32::NAN, -1.0, 0.5],
            vec![f32::INFINITY, 1.0, -1.0],
            vec![1e-45, 0.0],
        ] {
            for kernels in kernels::available() {
                kernels.round_f32(kernels.extremes_f32(&x), &mut x);
                assert!(x.iter().all(|x| x.abs() <= 255.0), "{x:?}");
            }
        }
    }

    #[test]
    fn sums_are_scaled_in_the_order_of_the_operators() {
        let mut random = fastrand::Rng::with_seed(5);
        let (c, pixels) = (37, 5);
        let mut list = |count: usize| -> Vec<f32> { (0..count).map(|_| random.f32()).collect() };
        let (factors, bias) = (list(c), list(c));
        let sums: Vec<f32> = list(c * pixels).iter().map(|x| (x * 9e6).round()).collect();
        let by = Rescale {
            scale: 0.013,
            factors: &factors,
            bias: &bias,
            clamp: (0.0, 6e4),
        };
        let want: Vec<f32> = (0..sums.len())
            .map(|i| {
                let product = sums[i] * (by.scale * factors[i % c]);
                (product + bias[i % c]).clamp(0.0, 6e4)
            })
            .collect();
        for kernels in kernels::available() {
            let mut got = sums.clone();
            kernels.rescale_f32(&by, &mut got);
            assert_eq!(got, want, "{}", kernels.name());
        }
    }
}
