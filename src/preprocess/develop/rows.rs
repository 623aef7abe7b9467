//! The loop over the mosaic, eight pixels at a time: from rows of samples to packed RGB.

use super::Window;
use super::tone::Tones;
use crate::preprocess::lanes::{LANES, Mosaic, Pass, Vectors};

/// How sixteen samples of a row are stored in `BYTES` bytes.
pub(super) trait Packing<const BYTES: usize>: Copy {
    /// The next sixteen samples of each of `N` rows, added up row by row.
    fn samples<V: Mosaic, const N: usize>(
        self,
        vectors: V,
        rows: [&[u8; BYTES]; N],
    ) -> [V::Samples; 2];
}

/// One byte per sample.
#[derive(Clone, Copy)]
pub(super) struct Bytes;

/// Two bytes per sample, of which these bits count.
#[derive(Clone, Copy)]
pub(super) struct Words(pub u16);

/// MIPI RAW10.
#[derive(Clone, Copy)]
pub(super) struct Packed10;

/// MIPI RAW12.
#[derive(Clone, Copy)]
pub(super) struct Packed12;

impl Packing<16> for Bytes {
    #[inline(always)]
    fn samples<V: Mosaic, const N: usize>(
        self,
        vectors: V,
        rows: [&[u8; 16]; N],
    ) -> [V::Samples; 2] {
        vectors.bytes(rows)
    }
}

impl Packing<32> for Words {
    #[inline(always)]
    fn samples<V: Mosaic, const N: usize>(
        self,
        vectors: V,
        rows: [&[u8; 32]; N],
    ) -> [V::Samples; 2] {
        vectors.words(rows, self.0)
    }
}

impl Packing<20> for Packed10 {
    #[inline(always)]
    fn samples<V: Mosaic, const N: usize>(
        self,
        vectors: V,
        rows: [&[u8; 20]; N],
    ) -> [V::Samples; 2] {
        vectors.packed_10(rows)
    }
}

impl Packing<24> for Packed12 {
    #[inline(always)]
    fn samples<V: Mosaic, const N: usize>(
        self,
        vectors: V,
        rows: [&[u8; 24]; N],
    ) -> [V::Samples; 2] {
        vectors.packed_12(rows)
    }
}

/// Develops a window of a frame, with cells of `2 * N` columns and rows.
pub(super) struct Develop<'a, P, const BYTES: usize, const N: usize> {
    pub packing: P,
    pub window: &'a Window,
    pub data: &'a [u8],
    /// Bytes from row to row.
    pub stride: usize,
    /// Which of the first two rows has red or blue in its even columns; the other has green there.
    pub first_row: usize,
    pub tones: &'a Tones,
    pub rgb: &'a mut [u8],
}

impl<P: Packing<BYTES>, const BYTES: usize, const N: usize> Pass for Develop<'_, P, BYTES, N> {
    #[inline(always)]
    fn run<V: Vectors>(self, vectors: V) {
        let window = self.window;
        let quad_bytes = BYTES / 4;
        let row = |y: usize| {
            let at = y * self.stride + window.first_quad * quad_bytes;
            &self.data[at..][..window.quads * quad_bytes]
        };
        let row_bytes = window.geometry().stride_bytes as usize;
        for (i, rgb) in self.rgb.chunks_exact_mut(row_bytes).enumerate() {
            let top = (window.first_row + i) * 2 * N;
            let rows: [[_; N]; 2] = [self.first_row, 1 - self.first_row]
                .map(|first| std::array::from_fn(|k| row(top + 2 * k + first)));
            develop_row(vectors, self.packing, rows, self.tones, rgb);
        }
    }
}

/// One row of pixels from `N` rows of the mosaic that have red or blue in the even columns, and `N` that have green there.
#[inline(always)]
fn develop_row<const BYTES: usize, const N: usize>(
    vectors: impl Vectors,
    packing: impl Packing<BYTES>,
    rows: [[&[u8]; N]; 2],
    tones: &Tones,
    rgb: &mut [u8],
) {
    let (blocks, last) = rgb.as_chunks_mut().0.as_chunks_mut::<LANES>();
    let count = blocks.len();
    let whole = rows.map(|rows| {
        rows.map(|row| {
            let (blocks, _) = row.as_chunks::<BYTES>().0.as_chunks::<N>();
            &blocks[..count]
        })
    });
    for (i, block) in blocks.iter_mut().enumerate() {
        let rows = whole.map(|rows| rows.map(|blocks| &blocks[i]));
        *block = eight_pixels(vectors, packing, rows, tones);
    }
    if !last.is_empty() {
        let padded = rows.map(|rows| {
            rows.map(|row| {
                let rest = &row[count * N * BYTES..];
                let mut block = [[0; BYTES]; N];
                block.as_flattened_mut()[..rest.len()].copy_from_slice(rest);
                block
            })
        });
        let rows = padded.each_ref().map(|rows| rows.each_ref());
        let pixels = eight_pixels(vectors, packing, rows, tones);
        last.copy_from_slice(&pixels[..last.len()]);
    }
}

/// Eight pixels, from `16 * N` samples of each row.
#[inline(always)]
fn eight_pixels<V: Vectors, const BYTES: usize, const N: usize>(
    vectors: V,
    packing: impl Packing<BYTES>,
    rows: [[&[[u8; BYTES]; N]; N]; 2],
    tones: &Tones,
) -> [[u8; 3]; LANES] {
    const { assert!(N == 1 || N == 2) };
    // Sums of the even and the odd columns of both kinds of rows.
    let [[first, green], [other_green, second]] = rows.map(|rows| {
        let columns: [_; N] = std::array::from_fn(|i| {
            let samples = packing.samples(vectors, rows.map(|row| &row[i]));
            vectors.deinterleave(samples)
        });
        [0, 1].map(|odd| match N {
            1 => columns[0][odd],
            _ => vectors.add_pairs([columns[0][odd], columns[N - 1][odd]]),
        })
    });
    let green = vectors.add(green, other_green);
    tones.pixels(vectors, [first, green, second])
}
