//! The plain loops, compiled for a CPU's wider vectors: the compiler makes the vectors.

/// The methods of [`super::Kernels`] that do the plain loops with these instructions, for a type of which there is a value on a
/// CPU with them only.
macro_rules! wider_loops {
    ($features:literal) => {
        fn add_f32(&self, clamp: (f32, f32), a: &[f32], b: &[f32], y: &mut [f32]) {
            #[target_feature(enable = $features)]
            fn wide(clamp: (f32, f32), a: &[f32], b: &[f32], y: &mut [f32]) {
                super::reference::add_f32(clamp, a, b, y);
            }
            // SAFETY: `self` is there on a CPU with the instructions only.
            unsafe { wide(clamp, a, b, y) }
        }

        fn mul_f32(&self, clamp: (f32, f32), a: &[f32], b: &[f32], y: &mut [f32]) {
            #[target_feature(enable = $features)]
            fn wide(clamp: (f32, f32), a: &[f32], b: &[f32], y: &mut [f32]) {
                super::reference::mul_f32(clamp, a, b, y);
            }
            // SAFETY: `self` is there on a CPU with the instructions only.
            unsafe { wide(clamp, a, b, y) }
        }

        fn mul_q8(&self, product: &super::BinaryQ8, a: &[u8], b: &[u8], y: &mut [u8]) {
            #[target_feature(enable = $features)]
            fn wide(product: &super::BinaryQ8, a: &[u8], b: &[u8], y: &mut [u8]) {
                super::reference::mul_q8(product, a, b, y);
            }
            // SAFETY: `self` is there on a CPU with the instructions only.
            unsafe { wide(product, a, b, y) }
        }

        fn unary_f32(&self, f: super::Unary, gate: bool, x: &[f32], y: &mut [f32]) {
            #[target_feature(enable = $features)]
            fn wide(f: super::Unary, gate: bool, x: &[f32], y: &mut [f32]) {
                f.run::<true>(gate, x, y);
            }
            // SAFETY: `self` is there on a CPU with the instructions only.
            unsafe { wide(f, gate, x, y) }
        }

        fn norm_f32(&self, norm: &super::Norm, x: &[f32], y: &mut [f32]) {
            #[target_feature(enable = $features)]
            fn wide(norm: &super::Norm, x: &[f32], y: &mut [f32]) {
                super::rows::norm(norm, x, y);
            }
            // SAFETY: `self` is there on a CPU with the instructions only.
            unsafe { wide(norm, x, y) }
        }

        fn softmax_f32(&self, x: &[f32], c: usize, y: &mut [f32]) {
            #[target_feature(enable = $features)]
            fn wide(x: &[f32], c: usize, y: &mut [f32]) {
                super::rows::softmax::<true>(x, c, y);
            }
            // SAFETY: `self` is there on a CPU with the instructions only.
            unsafe { wide(x, c, y) }
        }

        fn extremes_f32(&self, x: &[f32]) -> super::Extremes {
            #[target_feature(enable = $features)]
            fn wide(x: &[f32]) -> super::Extremes {
                super::dynamic::extremes(x)
            }
            // SAFETY: `self` is there on a CPU with the instructions only.
            unsafe { wide(x) }
        }

        fn round_f32(&self, of: super::Extremes, values: &mut [f32]) {
            #[target_feature(enable = $features)]
            fn wide(of: super::Extremes, values: &mut [f32]) {
                super::dynamic::round(of, values);
            }
            // SAFETY: `self` is there on a CPU with the instructions only.
            unsafe { wide(of, values) }
        }

        fn rescale_f32(&self, by: &super::Rescale<'_>, values: &mut [f32]) {
            #[target_feature(enable = $features)]
            fn wide(by: &super::Rescale<'_>, values: &mut [f32]) {
                super::dynamic::rescale(by, values);
            }
            // SAFETY: `self` is there on a CPU with the instructions only.
            unsafe { wide(by, values) }
        }

        fn max_f32(
            &self,
            pool: &super::MaxPool,
            x: &[f32],
            rows: std::ops::Range<usize>,
            y: &mut [f32],
        ) {
            #[target_feature(enable = $features)]
            fn wide(pool: &super::MaxPool, x: &[f32], rows: std::ops::Range<usize>, y: &mut [f32]) {
                pool.of_floats(x, rows, y);
            }
            // SAFETY: `self` is there on a CPU with the instructions only.
            unsafe { wide(pool, x, rows, y) }
        }

        fn max_q8(
            &self,
            pool: &super::MaxPool,
            x: &[u8],
            rows: std::ops::Range<usize>,
            y: &mut [u8],
        ) {
            #[target_feature(enable = $features)]
            fn wide(pool: &super::MaxPool, x: &[u8], rows: std::ops::Range<usize>, y: &mut [u8]) {
                pool.of_bytes(x, rows, y);
            }
            // SAFETY: `self` is there on a CPU with the instructions only.
            unsafe { wide(pool, x, rows, y) }
        }

        fn average_q8(
            &self,
            x: &[u8],
            c: usize,
            zero: i32,
            m: f32,
            end: &super::Requantise,
            y: &mut [u8],
        ) {
            #[target_feature(enable = $features)]
            fn wide(x: &[u8], c: usize, zero: i32, m: f32, end: &super::Requantise, y: &mut [u8]) {
                super::reference::average_q8(x, c, false, zero, m, end, y);
            }
            // SAFETY: `self` is there on a CPU with the instructions only.
            unsafe { wide(x, c, zero, m, end, y) }
        }

        fn average_f32(&self, x: &[f32], c: usize, y: &mut [f32]) {
            #[target_feature(enable = $features)]
            fn wide(x: &[f32], c: usize, y: &mut [f32]) {
                super::reference::average_f32(x, c, y);
            }
            // SAFETY: `self` is there on a CPU with the instructions only.
            unsafe { wide(x, c, y) }
        }
    };
}

pub(super) use wider_loops;
