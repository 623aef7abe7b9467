//! Max pooling: a block of channels stays in registers over all taps of its window.

use crate::network::graph::{Shape, Window};
use std::ops::Range;

/// A max pooling.
#[derive(Debug)]
pub struct MaxPool {
    pub input: Shape,
    pub output: Shape,
    pub window: Window,
    /// Whether padding counts as zeros; otherwise it never wins.
    pub zeros: bool,
    /// For bytes: the XOR that makes a stored byte order as u8, and the stored zero point.
    pub bytes: Option<(u8, u8)>,
}

impl MaxPool {
    /// Output rows `rows` of stored bytes.
    #[inline(always)]
    pub fn of_bytes(&self, x: &[u8], rows: Range<usize>, y: &mut [u8]) {
        let (flip, zero) = self.bytes.unwrap_or_default();
        let larger = |a: u8, b: u8| (a ^ flip).max(b ^ flip) ^ flip;
        self.rows::<u8, 64, 8>(x, rows, y, (flip, zero), larger);
    }

    /// Output rows `rows` of floats. NaN never wins.
    #[inline(always)]
    pub fn of_floats(&self, x: &[f32], rows: Range<usize>, y: &mut [f32]) {
        let larger = |a: f32, b: f32| if b > a { b } else { a };
        self.rows::<f32, 32, 8>(x, rows, y, (f32::NEG_INFINITY, 0.0), larger);
    }

    /// Output rows `rows` of values of half precision. NaN never wins.
    pub fn of_halves(&self, x: &[u16], rows: Range<usize>, y: &mut [u16]) {
        /// Minus infinity.
        const NEG_INFINITY: u16 = 0xfc00;
        // As integers, the numbers of one sign are in order, or in reverse.
        let order = |h: u16| (h ^ (((h as i16) >> 15) as u16 >> 1)) as i16;
        let nan = |h: u16| h & 0x7fff > 0x7c00;
        let larger = |a: u16, b: u16| {
            if order(b) > order(a) && !nan(b) { b } else { a }
        };
        self.rows::<u16, 64, 8>(x, rows, y, (NEG_INFINITY, 0), larger);
    }

    /// In blocks of `WIDE` channels, then `NARROW`, then one by one. `least` loses to every value; `zero` is the padding.
    #[inline(always)]
    fn rows<T: Copy, const WIDE: usize, const NARROW: usize>(
        &self,
        x: &[T],
        rows: Range<usize>,
        y: &mut [T],
        (least, zero): (T, T),
        larger: impl Fn(T, T) -> T,
    ) {
        let (w, c) = (&self.window, self.input.c);
        let mut pixels = y.chunks_exact_mut(c);
        for oy in rows {
            let down = inside(oy * w.sh, w.dh, w.top, w.kh, self.input.h);
            for (ox, y) in (0..self.output.w).zip(&mut pixels) {
                let across = inside(ox * w.sw, w.dw, w.left, w.kw, self.input.w);
                let all = (down.len(), across.len()) == (w.kh, w.kw);
                let first = if self.zeros && !all { zero } else { least };
                let start = match (down.is_empty(), across.is_empty()) {
                    (false, false) => {
                        let row = oy * w.sh + down.start * w.dh - w.top;
                        (row * self.input.w + ox * w.sw + across.start * w.dw - w.left) * c
                    }
                    _ => 0,
                };
                let taps = Taps {
                    start,
                    rows: down.len(),
                    // A dilation of a single row or column may be any number.
                    row_step: w.dh.wrapping_mul(self.input.w * c),
                    columns: across.len(),
                    column_step: w.dw.wrapping_mul(c),
                };
                let mut at = 0;
                at = taps.blocks::<T, WIDE>(x, y, at, first, &larger);
                at = taps.blocks::<T, NARROW>(x, y, at, first, &larger);
                taps.blocks::<T, 1>(x, y, at, first, &larger);
            }
        }
    }
}

/// The taps of a window, `step` apart from `at - before`, that are within `0..size`.
fn inside(at: usize, step: usize, before: usize, taps: usize, size: usize) -> Range<usize> {
    let first = before.saturating_sub(at).div_ceil(step).min(taps);
    let end = (size + before)
        .saturating_sub(at)
        .div_ceil(step)
        .clamp(first, taps);
    first..end
}

/// The taps of one window that are inside the picture: values from the first one's channel 0 to the next one's.
struct Taps {
    start: usize,
    rows: usize,
    row_step: usize,
    columns: usize,
    column_step: usize,
}

impl Taps {
    /// Whole blocks of `N` channels of one pixel from channel `at`; returns the first remaining channel.
    #[inline(always)]
    fn blocks<T: Copy, const N: usize>(
        &self,
        x: &[T],
        y: &mut [T],
        mut at: usize,
        first: T,
        larger: &impl Fn(T, T) -> T,
    ) -> usize {
        while at + N <= y.len() {
            let mut best = [first; N];
            for row in 0..self.rows {
                let mut tap = self.start + row * self.row_step + at;
                for _ in 0..self.columns {
                    let values = &x[tap..tap + N];
                    for (best, &value) in best.iter_mut().zip(values) {
                        *best = larger(*best, value);
                    }
                    tap += self.column_step;
                }
            }
            y[at..at + N].copy_from_slice(&best);
            at += N;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_inside_are_those_that_lie_in_the_picture() {
        for (at, step, before, taps, size) in (0..6).flat_map(|at| {
            (1..3).flat_map(move |step| {
                (0..4).flat_map(move |before| {
                    (1..5).flat_map(move |taps| {
                        (1..5).map(move |size| (at, step, before, taps, size))
                    })
                })
            })
        }) {
            let lies = |k: &usize| (before..before + size).contains(&(at + k * step));
            let expected: Vec<usize> = (0..taps).filter(lies).collect();
            let got: Vec<usize> = inside(at, step, before, taps, size).collect();
            assert_eq!(got, expected, "{at} {step} {before} {taps} {size}");
        }
    }

    #[test]
    fn every_kernel_finds_the_largest_of_each_window() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..300 {
            let mut up_to = |n: usize| random.usize(1..=n);
            let (kh, kw) = (up_to(4), up_to(4));
            let input = Shape::new(kh + up_to(6), kw + up_to(6), up_to(80)).expect("it is small");
            let window = Window {
                kh,
                kw,
                sh: up_to(3),
                sw: up_to(3),
                dh: 1,
                dw: 1,
                top: up_to(kh) - 1,
                left: up_to(kw) - 1,
                bottom: up_to(kh) - 1,
                right: up_to(kw) - 1,
            };
            let (h, w) = window.output(input.h, input.w).expect("it is not larger");
            let output = Shape::new(h, w, input.c).expect("it is small");
            let (zeros, flip, zero) = (random.bool(), random.u8(0..2) << 7, random.u8(..));
            let mut pool = MaxPool {
                input,
                output,
                window,
                zeros,
                bytes: None,
            };
            let bytes: Vec<u8> = (0..input.volume()).map(|_| random.u8(..)).collect();
            let floats: Vec<f32> = bytes.iter().map(|&b| f32::from(b as i8)).collect();
            // By definition: all taps, including padding.
            let largest = |at: &dyn Fn(usize) -> i32, pad: i32, least: i32| -> Vec<i32> {
                (0..output.volume())
                    .map(|i| {
                        let (pixel, c) = (i / input.c, i % input.c);
                        let (oy, ox) = (pixel / w, pixel % w);
                        let taps = (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx)));
                        let values = taps.map(|(ky, kx)| {
                            let y = (oy * window.sh + ky).wrapping_sub(window.top);
                            let x = (ox * window.sw + kx).wrapping_sub(window.left);
                            let lies = y < input.h && x < input.w;
                            let value = || at((y * input.w + x) * input.c + c);
                            if lies {
                                value()
                            } else if zeros {
                                pad
                            } else {
                                least
                            }
                        });
                        values.max().expect("there are taps")
                    })
                    .collect()
            };
            let expected = largest(&|i| i32::from(bytes[i] as i8), 0, i32::MIN);
            let expected_bytes = largest(&|i| i32::from(bytes[i] ^ flip), (zero ^ flip).into(), 0);
            for kernels in crate::network::kernels::available() {
                pool.bytes = None;
                let mut y = vec![0.0; output.volume()];
                kernels.max_f32(&pool, &floats, 0..h, &mut y);
                let least = |v: i32| {
                    if v == i32::MIN {
                        f32::NEG_INFINITY
                    } else {
                        v as f32
                    }
                };
                let want: Vec<f32> = expected.iter().map(|&v| least(v)).collect();
                assert_eq!(y, want, "{pool:?} {}", kernels.name());
                pool.bytes = Some((flip, zero));
                let mut y = vec![0; output.volume()];
                kernels.max_q8(&pool, &bytes, 0..h, &mut y);
                let want: Vec<u8> = expected_bytes.iter().map(|&v| v as u8 ^ flip).collect();
                assert_eq!(y, want, "{pool:?} {}", kernels.name());
            }
        }
    }
}
