//! The discrete Fourier transform of any length, by the names under which tract calls the registry's `rustfft`.
//!
//! A length that is a power of two goes by radix 2, any other as a convolution of such a length (Bluestein 1970), so that no
//! length takes longer than `n log n`. All is computed in `f64`: one copy of the code serves each type of number, and rounding
//! is far below `f32`. Both directions are unscaled, as in `rustfft`: forward and back gives `n` times the values.

use std::f64::consts::PI;

pub use num_complex;
pub use num_traits;

use num_complex::Complex;
use num_traits::{FromPrimitive, Signed, ToPrimitive};

type Wide = Complex<f64>;

/// A number that can be transformed.
pub trait FftNum: Copy + FromPrimitive + ToPrimitive + Signed + Send + Sync + 'static {}

impl<T: Copy + FromPrimitive + ToPrimitive + Signed + Send + Sync + 'static> FftNum for T {}

/// The sign of the exponent: minus forward, plus back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FftDirection {
    Forward,
    Inverse,
}

/// Makes transforms. It holds nothing; tract makes one for each use.
#[derive(Clone, Copy, Default, Debug)]
pub struct FftPlanner;

impl FftPlanner {
    pub fn new() -> Self {
        Self
    }

    pub fn plan_fft(&mut self, len: usize, direction: FftDirection) -> Fft {
        let sign = match direction {
            FftDirection::Forward => -1.0,
            FftDirection::Inverse => 1.0,
        };
        if len.is_power_of_two() || len == 0 {
            let roots = roots(len, sign);
            return Fft(Way::Radix2 { roots });
        }
        // e^(s i pi k^2 / n). The square is taken modulo 2n, after which the sine still has all its digits.
        let chirp: Vec<Wide> = (0..len as u128)
            .map(|k| Wide::cis(sign * PI * (k * k % (2 * len as u128)) as f64 / len as f64))
            .collect();
        let padded = (2 * len - 1).next_power_of_two();
        let roots = roots(padded, -1.0);
        let mut filter = vec![Wide::ZERO; padded];
        for (k, value) in chirp.iter().enumerate() {
            filter[k] = value.conj();
            filter[(padded - k) % padded] = value.conj();
        }
        radix_2(&mut filter, &roots);
        Fft(Way::Bluestein {
            chirp,
            filter,
            roots,
        })
    }

    pub fn plan_fft_forward(&mut self, len: usize) -> Fft {
        self.plan_fft(len, FftDirection::Forward)
    }
}

/// A transform of one length in one direction.
pub struct Fft(Way);

enum Way {
    Radix2 {
        roots: Vec<Wide>,
    },
    Bluestein {
        chirp: Vec<Wide>,
        /// The conjugate chirp around 0, transformed.
        filter: Vec<Wide>,
        roots: Vec<Wide>,
    },
}

impl Fft {
    /// Transforms `values` in place.
    ///
    /// # Panics
    /// If there are not as many as the transform's length.
    pub fn process<T: FftNum>(&self, values: &mut [Complex<T>]) {
        let wide = |value: T| value.to_f64().unwrap_or(f64::NAN);
        let mut all: Vec<Wide> = values
            .iter()
            .map(|v| Wide::new(wide(v.re), wide(v.im)))
            .collect();
        self.transform(&mut all);
        let narrow = |value| T::from_f64(value).unwrap_or(T::zero());
        for (to, from) in values.iter_mut().zip(all) {
            *to = Complex::new(narrow(from.re), narrow(from.im));
        }
    }

    fn transform(&self, values: &mut [Wide]) {
        match &self.0 {
            Way::Radix2 { roots } => {
                assert_eq!(values.len() / 2, roots.len());
                radix_2(values, roots);
            }
            Way::Bluestein {
                chirp,
                filter,
                roots,
            } => {
                assert_eq!(values.len(), chirp.len());
                let mut padded = vec![Wide::ZERO; filter.len()];
                for ((to, value), turn) in padded.iter_mut().zip(&*values).zip(chirp) {
                    *to = value * turn;
                }
                radix_2(&mut padded, roots);
                // The inverse is a forward transform of conjugates.
                for (value, factor) in padded.iter_mut().zip(filter) {
                    *value = (*value * factor).conj();
                }
                radix_2(&mut padded, roots);
                for ((to, sum), turn) in values.iter_mut().zip(&padded).zip(chirp) {
                    *to = sum.conj() * turn / padded.len() as f64;
                }
            }
        }
    }
}

/// e^(s 2 pi i k / n) for `k` below n/2.
fn roots(len: usize, sign: f64) -> Vec<Wide> {
    (0..len / 2)
        .map(|k| Wide::cis(sign * 2.0 * PI * k as f64 / len as f64))
        .collect()
}

/// Decimation in time, in place. `values` is a power of two long, `roots` half as long.
fn radix_2(values: &mut [Wide], roots: &[Wide]) {
    let len = values.len();
    if len < 2 {
        return;
    }
    let unused_bits = usize::BITS - len.trailing_zeros();
    for i in 0..len {
        let reversed = i.reverse_bits() >> unused_bits;
        if i < reversed {
            values.swap(i, reversed);
        }
    }
    let mut half = 1;
    while half < len {
        let step = len / (2 * half);
        for block in values.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for ((low, high), root) in low.iter_mut().zip(high).zip(roots.iter().step_by(step)) {
                let turned = *high * root;
                (*low, *high) = (*low + turned, *low - turned);
            }
        }
        half *= 2;
    }
}
