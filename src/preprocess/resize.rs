//! [`Resize`]: from a frame's rows to the upright crop. All loops over pixels of the resize are here; [`lanes`](super::lanes) has what
//! they do in each instruction set.

use super::lanes::{Column, LANES, Pass, ROWS, TILE, Vectors, vertical_byte};
use super::placement::{Axis, Placement};
use super::source::{AxisTaps, Colours, Component, Plane, Source};
use super::taps::Taps;

/// From a frame's bytes to the crop, block by block.
pub struct Resize<'a> {
    /// The bytes of the frame's planes; unused ones are empty.
    pub planes: [&'a [u8]; 3],
    /// Which pixels become the crop, and where each of them goes.
    pub placement: &'a Placement,
    /// Where the samples lie in the planes.
    pub source: &'a Source,
    /// Weights along the rows.
    pub x: &'a AxisTaps,
    /// Weights along the columns.
    pub y: &'a AxisTaps,
    /// One block after the vertical pass, [`Source::columns`] long.
    pub columns: &'a mut [Column],
    /// One block after the horizontal pass: one per pixel of a row of the crop.
    pub pixels: &'a mut [[[u8; ROWS]; 3]],
    /// The result, packed RGB.
    pub crop: &'a mut [u8],
}

impl Pass for Resize<'_> {
    #[inline(always)]
    fn run<V: Vectors>(self, vectors: V) {
        let count = self.y.full.len();
        for first_row in (0..count).step_by(ROWS) {
            // Lanes past the last row repeat it, and are not written.
            let rows = std::array::from_fn(|lane| (first_row + lane).min(count - 1));
            let planes = self.source.planes.iter().zip(self.planes);
            for (plane, data) in planes.filter(|(plane, _)| plane.len > 0) {
                let columns = &mut self.columns[plane.first_column..][..plane.len];
                let taps = self.y.of(plane.rows);
                vertical(vectors, data, plane, taps, &rows, columns);
            }
            block(vectors, self.source, self.x, self.columns, self.pixels);
            let lanes = ROWS.min(count - first_row);
            let crop = &mut *self.crop;
            write_block(vectors, self.placement, self.pixels, first_row, lanes, crop);
        }
    }
}

/// The vertical pass of one block: filters a plane's rows into output rows `rows`, one lane each.
#[inline(always)]
fn vertical(
    vectors: impl Vectors,
    data: &[u8],
    plane: &Plane,
    taps: &Taps,
    rows: &[usize; ROWS],
    columns: &mut [Column],
) {
    let rows = rows.map(|row| {
        let (start, weights) = taps.get(row);
        (&data[plane.offset + start * plane.stride..], weights)
    });
    let count = columns.len();
    let (tiles, _) = columns.as_chunks_mut::<TILE>();
    let (pairs, last) = tiles.as_chunks_mut::<2>();
    for (i, pair) in pairs.iter_mut().enumerate() {
        vectors.vertical_tiles(&rows, i * 2 * TILE, plane.stride, pair);
    }
    if let [tile] = last {
        let at = pairs.len() * 2 * TILE;
        vectors.vertical_tile(&rows, at, plane.stride, tile);
    }
    if count.is_multiple_of(TILE) {
        return;
    }
    match columns.last_chunk_mut() {
        // The last tile ends with the row, and repeats a part of its neighbour's work.
        Some(tile) => vectors.vertical_tile(&rows, count - TILE, plane.stride, tile),
        None => {
            for (at, column) in columns.iter_mut().enumerate() {
                *column = vertical_byte(&rows, at, plane.stride);
            }
        }
    }
}

/// The horizontal pass and the colour conversion of one block.
#[inline(always)]
fn block<V: Vectors>(
    vectors: V,
    source: &Source,
    x: &AxisTaps,
    columns: &[Column],
    pixels: &mut [[[u8; ROWS]; 3]],
) {
    let components = &source.components;
    match (source.colours, source.steps) {
        (Colours::Rgb, _) => {
            let [r, g, b] = components;
            for (pixel, (start, weights)) in pixels.iter_mut().zip(x.full.iter()) {
                let [r, g, b] = [r, g, b].map(|colour| at::<3>(colour, columns, start));
                let r = vectors.horizontal::<3>(r, weights);
                let [g, b] = vectors.horizontal_twice::<3>([g, b], weights);
                *pixel = [r, g, b].map(|colour| vectors.bytes_of(colour));
            }
        }
        (Colours::Grey, _) => {
            let grey = &components[0];
            for (pixel, (start, weights)) in pixels.iter_mut().zip(x.full.iter()) {
                let columns = at::<1>(grey, columns, start);
                *pixel = [vectors.bytes_of(vectors.horizontal::<1>(columns, weights)); 3];
            }
        }
        (Colours::Yuv, (2, 4)) => block_yuv::<2, 4>(vectors, source, x, columns, pixels),
        (Colours::Yuv, (1, 2)) => block_yuv::<1, 2>(vectors, source, x, columns, pixels),
        (Colours::Yuv | Colours::FullYuv, _) => {
            block_yuv::<1, 1>(vectors, source, x, columns, pixels)
        }
    }
}

#[inline(always)]
fn block_yuv<const LUMA: usize, const CHROMA: usize>(
    vectors: impl Vectors,
    source: &Source,
    x: &AxisTaps,
    columns: &[Column],
    pixels: &mut [[[u8; ROWS]; 3]],
) {
    let components = &source.components;
    let (full, chroma): (&Taps, &Taps) = (&x.full, x.of(source.chroma));
    let is_full = source.colours == Colours::FullYuv;
    let taps = full.iter().zip(chroma.iter());
    for (pixel, ((start, weights), chroma)) in pixels.iter_mut().zip(taps) {
        let y = at::<LUMA>(&components[0], columns, start);
        let y = vectors.horizontal::<LUMA>(y, weights);
        let (start, weights) = chroma;
        let both = [&components[1], &components[2]].map(|c| at::<CHROMA>(c, columns, start));
        let [u, v] = vectors.horizontal_twice::<CHROMA>(both, weights);
        *pixel = if LUMA == 1 && is_full {
            vectors.rgb_of_full_yuv(y, u, v)
        } else {
            vectors.rgb_of_yuv(y, u, v)
        };
    }
}

/// The columns from sample `start` of a component on.
#[inline(always)]
fn at<'a, const STEP: usize>(
    component: &Component,
    columns: &'a [Column],
    start: usize,
) -> &'a [Column] {
    &columns[component.first_column + (start - component.first_sample) * STEP..]
}

/// Writes a block's pixels to their place in the upright crop; only `lanes` of its rows are valid.
#[inline(always)]
fn write_block(
    vectors: impl Vectors,
    placement: &Placement,
    pixels: &[[[u8; ROWS]; 3]],
    first_row: usize,
    lanes: usize,
    crop: &mut [u8],
) {
    let (x, y) = (&placement.x, &placement.y);
    // The position in the network's picture of a position in the crop.
    let upright = |axis: &Axis, i: usize| {
        let i = if axis.flipped {
            axis.crop_px as usize - 1 - i
        } else {
            i
        };
        axis.at_px as usize + i
    };
    if placement.transposed {
        // A pixel's lanes are adjacent in one upright row.
        let width = y.input_px as usize;
        let first = upright(y, first_row).min(upright(y, first_row + lanes - 1));
        for (i, pixel) in pixels.iter().enumerate() {
            let at = (upright(x, i) * width + first) * 3;
            let places = crop[at..at + lanes * 3].chunks_exact_mut(3);
            let [red, green, blue] = pixel;
            let colours = red.iter().zip(green).zip(blue).take(lanes);
            let write = |(place, ((&r, &g), &b)): (&mut [u8], _)| place.copy_from_slice(&[r, g, b]);
            if y.flipped {
                places.rev().zip(colours).for_each(write);
            } else {
                places.zip(colours).for_each(write);
            }
        }
        return;
    }
    let width = x.crop_px as usize;
    let mut rows = [0; ROWS];
    for (lane, row) in rows.iter_mut().enumerate().take(lanes) {
        let at = upright(y, first_row + lane) * x.input_px as usize;
        *row = (at + x.at_px as usize) * 3;
    }
    let (blocks, rest) = pixels.as_chunks::<LANES>();
    for (k, block) in blocks.iter().enumerate() {
        let mut turned;
        let (block, i) = if x.flipped {
            turned = *block;
            turned.reverse();
            (&turned, width - (k + 1) * LANES)
        } else {
            (block, k * LANES)
        };
        // The colours of these consecutive pixels are as many columns; each eight of them are transposed to rows.
        let (eights, _) = block.as_flattened().as_chunks::<LANES>();
        for (k, columns) in eights.iter().enumerate() {
            for (row, values) in rows.iter().zip(vectors.rows_of(columns)).take(lanes) {
                let at = row + i * 3 + k * LANES;
                crop[at..at + LANES].copy_from_slice(&values);
            }
        }
    }
    for (k, pixel) in rest.iter().enumerate() {
        let i = width - rest.len() + k;
        let i = if x.flipped { width - 1 - i } else { i };
        for (lane, row) in rows.iter().enumerate().take(lanes) {
            let at = row + i * 3;
            crop[at..at + 3].copy_from_slice(&pixel.map(|colour| colour[lane]));
        }
    }
}
