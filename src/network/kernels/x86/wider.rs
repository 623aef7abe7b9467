//! The plain loops, compiled for a CPU's wider vectors: the compiler vectorises them.

/// The methods of [`Kernels`](crate::network::kernels::Kernels) that run the plain loops with these instructions, for a type
/// whose values exist only on a CPU with them.
macro_rules! wider_loops {
    ($features:literal) => {
        fn add_f32(&self, clamp: (f32, f32), a: &[f32], b: &[f32], y: &mut [f32]) {
            #[target_feature(enable = $features)]
            fn wide(clamp: (f32, f32), a: &[f32], b: &[f32], y: &mut [f32]) {
                crate::network::kernels::plain::add_f32(clamp, a, b, y);
            }
            // SAFETY: `self` exists only on a CPU with the instructions.
            unsafe { wide(clamp, a, b, y) }
        }

        unsafe fn wide_conv_q8(
            &self,
            conv: &crate::network::kernels::ConvQ8,
            pixels: &crate::network::kernels::Pixels,
            channels: std::ops::Range<usize>,
        ) {
            /// # Safety
            /// As for the method.
            #[target_feature(enable = $features)]
            unsafe fn wide(
                conv: &crate::network::kernels::ConvQ8,
                pixels: &crate::network::kernels::Pixels,
                channels: std::ops::Range<usize>,
            ) {
                // SAFETY: the caller's contract is the same.
                unsafe { crate::network::kernels::wide::conv::<false>(conv, pixels, channels) }
            }
            // SAFETY: the caller's contract is the same; `self` exists only on a CPU with the instructions.
            unsafe { wide(conv, pixels, channels) }
        }

        unsafe fn wide_depthwise_q8(
            &self,
            conv: &crate::network::kernels::DepthwiseQ8,
            rows: &[*const u8],
            y: *mut u8,
            channels: std::ops::Range<usize>,
        ) {
            /// # Safety
            /// As for the method.
            #[target_feature(enable = $features)]
            unsafe fn wide(
                conv: &crate::network::kernels::DepthwiseQ8,
                rows: &[*const u8],
                y: *mut u8,
                channels: std::ops::Range<usize>,
            ) {
                // SAFETY: the caller's contract is the same.
                unsafe {
                    crate::network::kernels::wide::depthwise::<false>(conv, rows, y, channels)
                }
            }
            // SAFETY: the caller's contract is the same; `self` exists only on a CPU with the instructions.
            unsafe { wide(conv, rows, y, channels) }
        }

        fn mul_f32(&self, clamp: (f32, f32), a: &[f32], b: &[f32], y: &mut [f32]) {
            #[target_feature(enable = $features)]
            fn wide(clamp: (f32, f32), a: &[f32], b: &[f32], y: &mut [f32]) {
                crate::network::kernels::plain::mul_f32(clamp, a, b, y);
            }
            // SAFETY: `self` exists only on a CPU with the instructions.
            unsafe { wide(clamp, a, b, y) }
        }

        fn mul_q8(
            &self,
            product: &crate::network::kernels::BinaryQ8,
            a: &[u8],
            b: &[u8],
            y: &mut [u8],
        ) {
            #[target_feature(enable = $features)]
            fn wide(product: &crate::network::kernels::BinaryQ8, a: &[u8], b: &[u8], y: &mut [u8]) {
                crate::network::kernels::plain::mul_q8(product, a, b, y);
            }
            // SAFETY: `self` exists only on a CPU with the instructions.
            unsafe { wide(product, a, b, y) }
        }

        fn unary_f32(
            &self,
            f: crate::network::kernels::Unary,
            gate: bool,
            x: &[f32],
            y: &mut [f32],
        ) {
            #[target_feature(enable = $features)]
            fn wide(f: crate::network::kernels::Unary, gate: bool, x: &[f32], y: &mut [f32]) {
                f.run::<true>(gate, x, y);
            }
            // SAFETY: `self` exists only on a CPU with the instructions.
            unsafe { wide(f, gate, x, y) }
        }

        fn norm_f32(&self, norm: &crate::network::kernels::Norm, x: &[f32], y: &mut [f32]) {
            #[target_feature(enable = $features)]
            fn wide(norm: &crate::network::kernels::Norm, x: &[f32], y: &mut [f32]) {
                crate::network::kernels::rows::norm(norm, x, y);
            }
            // SAFETY: `self` exists only on a CPU with the instructions.
            unsafe { wide(norm, x, y) }
        }

        fn lrn_f32(&self, of: &crate::network::kernels::Lrn, c: usize, x: &[f32], y: &mut [f32]) {
            #[target_feature(enable = $features)]
            fn wide(of: &crate::network::kernels::Lrn, c: usize, x: &[f32], y: &mut [f32]) {
                crate::network::kernels::pictures::lrn(of, c, x, y);
            }
            // SAFETY: `self` exists only on a CPU with the instructions.
            unsafe { wide(of, c, x, y) }
        }

        fn blend_f32(
            &self,
            columns: &[crate::network::kernels::Between],
            c: usize,
            rows: [&[f32]; 2],
            share: f32,
            y: &mut [f32],
        ) {
            #[target_feature(enable = $features)]
            fn wide(
                columns: &[crate::network::kernels::Between],
                c: usize,
                rows: [&[f32]; 2],
                share: f32,
                y: &mut [f32],
            ) {
                crate::network::kernels::pictures::blend(columns, c, rows, share, y);
            }
            // SAFETY: `self` exists only on a CPU with the instructions.
            unsafe { wide(columns, c, rows, share, y) }
        }

        fn softmax_f32(&self, x: &[f32], c: usize, y: &mut [f32]) {
            #[target_feature(enable = $features)]
            fn wide(x: &[f32], c: usize, y: &mut [f32]) {
                crate::network::kernels::rows::softmax::<true>(x, c, y);
            }
            // SAFETY: `self` exists only on a CPU with the instructions.
            unsafe { wide(x, c, y) }
        }

        fn extremes_f32(&self, x: &[f32]) -> crate::network::kernels::Extremes {
            #[target_feature(enable = $features)]
            fn wide(x: &[f32]) -> crate::network::kernels::Extremes {
                crate::network::kernels::dynamic::extremes(x)
            }
            // SAFETY: `self` exists only on a CPU with the instructions.
            unsafe { wide(x) }
        }

        fn round_f32(&self, of: crate::network::kernels::Extremes, values: &mut [f32]) {
            #[target_feature(enable = $features)]
            fn wide(of: crate::network::kernels::Extremes, values: &mut [f32]) {
                crate::network::kernels::dynamic::round(of, values);
            }
            // SAFETY: `self` exists only on a CPU with the instructions.
            unsafe { wide(of, values) }
        }

        fn rescale_f32(&self, by: &crate::network::kernels::Rescale<'_>, values: &mut [f32]) {
            #[target_feature(enable = $features)]
            fn wide(by: &crate::network::kernels::Rescale<'_>, values: &mut [f32]) {
                crate::network::kernels::dynamic::rescale(by, values);
            }
            // SAFETY: `self` exists only on a CPU with the instructions.
            unsafe { wide(by, values) }
        }

        fn max_f32(
            &self,
            pool: &crate::network::kernels::MaxPool,
            x: &[f32],
            rows: std::ops::Range<usize>,
            y: &mut [f32],
        ) {
            #[target_feature(enable = $features)]
            fn wide(
                pool: &crate::network::kernels::MaxPool,
                x: &[f32],
                rows: std::ops::Range<usize>,
                y: &mut [f32],
            ) {
                pool.of_floats(x, rows, y);
            }
            // SAFETY: `self` exists only on a CPU with the instructions.
            unsafe { wide(pool, x, rows, y) }
        }

        fn max_q8(
            &self,
            pool: &crate::network::kernels::MaxPool,
            x: &[u8],
            rows: std::ops::Range<usize>,
            y: &mut [u8],
        ) {
            #[target_feature(enable = $features)]
            fn wide(
                pool: &crate::network::kernels::MaxPool,
                x: &[u8],
                rows: std::ops::Range<usize>,
                y: &mut [u8],
            ) {
                pool.of_bytes(x, rows, y);
            }
            // SAFETY: `self` exists only on a CPU with the instructions.
            unsafe { wide(pool, x, rows, y) }
        }

        fn map_q8(
            &self,
            map: &crate::network::kernels::Map,
            channels: std::ops::Range<usize>,
            y: &mut [u8],
        ) {
            #[target_feature(enable = $features)]
            fn wide(
                map: &crate::network::kernels::Map,
                channels: std::ops::Range<usize>,
                y: &mut [u8],
            ) {
                map.run::<false>(channels, y);
            }
            // SAFETY: `self` exists only on a CPU with the instructions.
            unsafe { wide(map, channels, y) }
        }

        fn average_q8(&self, average: &crate::network::kernels::AverageQ8, x: &[u8], y: &mut [u8]) {
            #[target_feature(enable = $features)]
            fn wide(average: &crate::network::kernels::AverageQ8, x: &[u8], y: &mut [u8]) {
                crate::network::kernels::plain::average_q8(average, false, x, y);
            }
            // SAFETY: `self` exists only on a CPU with the instructions.
            unsafe { wide(average, x, y) }
        }

        fn average_f32(&self, x: &[f32], c: usize, y: &mut [f32]) {
            #[target_feature(enable = $features)]
            fn wide(x: &[f32], c: usize, y: &mut [f32]) {
                crate::network::kernels::plain::average_f32(x, c, y);
            }
            // SAFETY: `self` exists only on a CPU with the instructions.
            unsafe { wide(x, c, y) }
        }
    };
}

pub(super) use wider_loops;
