//! Sums along the last axis: LayerNormalization and Softmax. Plain loops that the compiler vectorises; the order of summation is the
//! same on every CPU.

use crate::network::graph::Norm;
use crate::network::graph::functions::exp;

/// Number of partial sums.
const LANES: usize = 16;

/// The sum of `of(x)`.
#[inline(always)]
fn sum(x: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for block in blocks {
        for (sum, &x) in sums.iter_mut().zip(block) {
            *sum += of(x);
        }
    }
    for (sum, &x) in sums.iter_mut().zip(rest) {
        *sum += of(x);
    }
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    sums[0]
}

/// LayerNormalization of rows that are as long as the factors.
#[inline(always)]
pub fn norm(norm: &Norm, x: &[f32], y: &mut [f32]) {
    let Norm {
        scale,
        bias,
        epsilon,
    } = norm;
    let c = scale.len();
    for (x, y) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)) {
        let mean = sum(x, |x| x) / c as f32;
        let variance = sum(x, |x| (x - mean) * (x - mean)) / c as f32;
        let factor = 1.0 / (variance + epsilon).sqrt();
        for (((y, &x), &scale), &bias) in y.iter_mut().zip(x).zip(scale).zip(bias) {
            *y = (x - mean) * factor * scale + bias;
        }
    }
}

/// Softmax of rows of `c` values.
#[inline(always)]
pub fn softmax<const FUSED: bool>(x: &[f32], c: usize, y: &mut [f32]) {
    for (x, y) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)) {
        let (blocks, rest) = x.as_chunks::<LANES>();
        let mut tops = [f32::NEG_INFINITY; LANES];
        for block in blocks {
            for (top, &x) in tops.iter_mut().zip(block) {
                *top = if x > *top { x } else { *top };
            }
        }
        let top = tops.iter().chain(rest).copied();
        let top = top.fold(f32::NEG_INFINITY, f32::max);
        for (y, &x) in y.iter_mut().zip(x) {
            *y = exp::<FUSED>(x - top);
        }
        let sum = sum(y, |y| y);
        for y in y {
            *y /= sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::network::graph::Norm;
    use crate::network::kernels::available;

    #[test]
    fn rows_are_normalised_as_by_the_definition() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..60 {
            let (rows, c) = (random.usize(1..9), random.usize(1..90));
            let mut floats =
                |n: usize| -> Vec<f32> { (0..n).map(|_| random.f32() * 6.0 - 3.0).collect() };
            let x = floats(rows * c);
            let norm = Norm {
                scale: floats(c),
                bias: floats(c),
                epsilon: 1e-3,
            };
            for kernels in available() {
                let (mut normal, mut soft) = (vec![7.0; x.len()], vec![7.0; x.len()]);
                kernels.norm_f32(&norm, &x, &mut normal);
                kernels.softmax_f32(&x, c, &mut soft);
                for row in 0..rows {
                    let of = |i: usize| f64::from(x[row * c + i]);
                    let mean = (0..c).map(of).sum::<f64>() / c as f64;
                    let square = |i: usize| (of(i) - mean).powi(2);
                    let variance = (0..c).map(square).sum::<f64>() / c as f64;
                    let all: f64 = (0..c).map(|i| of(i).exp()).sum();
                    for i in 0..c {
                        let want = (of(i) - mean) / (variance + 1e-3).sqrt()
                            * f64::from(norm.scale[i])
                            + f64::from(norm.bias[i]);
                        let got = f64::from(normal[row * c + i]);
                        assert!(
                            (got - want).abs() < 2e-5,
                            "{}: {got} {want}",
                            kernels.name()
                        );
                        let (got, want) = (f64::from(soft[row * c + i]), of(i).exp() / all);
                        assert!(
                            (got - want).abs() < 1e-6,
                            "{}: {got} {want}",
                            kernels.name()
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn nan_stays_nan() {
        for kernels in available() {
            let mut y = [0.0; 20];
            let mut x = [1.0; 20];
            x[3] = f32::NAN;
            kernels.softmax_f32(&x, 20, &mut y);
            assert!(y.iter().all(|y| y.is_nan()), "{}", kernels.name());
            let norm = Norm {
                scale: vec![1.0; 20],
                bias: vec![0.0; 20],
                epsilon: 1e-5,
            };
            kernels.norm_f32(&norm, &x, &mut y);
            assert!(y.iter().all(|y| y.is_nan()), "{}", kernels.name());
        }
    }
}
