//! From a sensor's raw mosaic to a small RGB picture, for the part of the frame that one region needs.
//!
//! Each 2x2 or 4x4 cell of the mosaic becomes one pixel: its samples of each colour are added (in linear light, which averages
//! noise), then the black level is subtracted, white is balanced, the sensor's colours are converted to sRGB's, and its curve is
//! applied. So no missing colours are interpolated, and there is never a picture of the sensor's size. Up to three columns and
//! rows at the right and lower edge that make no whole cell are ignored.

#[cfg(test)]
mod reference;
mod rows;
mod tone;
mod white;

use super::lanes;
use super::source::AxisTaps;
use crate::frame::{BayerDepth, BayerFormat, BayerOrder, Frame, Geometry, PixelFormat, RawTuning};
use rows::{Bytes, Develop, Packed10, Packed12, Packing, Words};
use std::time::Duration;
use tone::{Scale, Tones};
use white::White;

/// The number of columns and rows of the mosaic per pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    Two,
    Four,
}

impl Cell {
    /// From the coarsest.
    pub const ALL: [Self; 2] = [Self::Four, Self::Two];

    pub fn side_px(self) -> u32 {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Width and height of the whole developed picture; `None` if the mosaic is smaller than 4x4.
    pub fn picture_px(self, raw: &Geometry) -> Option<(u32, u32)> {
        let side_px = self.side_px();
        let size = (raw.width_px / 4 * 4 / side_px, raw.height_px / side_px);
        (raw.width_px >= 4 && raw.height_px >= 4).then_some(size)
    }
}

/// The part of the developed picture that a region needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    cell: Cell,
    /// First four columns of the mosaic.
    first_quad: usize,
    quads: usize,
    /// First row of the developed picture.
    first_row: usize,
    rows: usize,
}

impl Window {
    /// The window for these taps, which are then counted from its corner.
    pub fn of(cell: Cell, x: &mut AxisTaps, y: &mut AxisTaps) -> Self {
        let quad_px = 4 / cell.side_px() as usize;
        let ((left, right), (top, bottom)) = (x.full.span(), y.full.span());
        let first_quad = left / quad_px;
        x.full.count_from(first_quad * quad_px);
        y.full.count_from(top);
        Self {
            cell,
            first_quad,
            quads: right.div_ceil(quad_px) - first_quad,
            first_row: top,
            rows: bottom - top,
        }
    }

    #[cfg(test)]
    pub fn cell(&self) -> Cell {
        self.cell
    }

    /// The resulting geometry.
    pub fn geometry(&self) -> Geometry {
        let width_px = self.quads as u32 * 4 / self.cell.side_px();
        Geometry::packed(PixelFormat::Rgb24, width_px, self.rows as u32)
    }

    /// Bytes of the resulting picture.
    pub fn bytes(&self) -> usize {
        self.geometry().stride_bytes as usize * self.rows
    }
}

/// A full sample, in the unit of black levels.
const FULL_SCALE: f32 = 65_536.0;

/// Develops frames of one raw geometry.
#[derive(Debug)]
pub(super) struct Developer {
    format: BayerFormat,
    /// Black level as a fraction of a full sample.
    black: f32,
    white: White,
    /// For cells of two and of four.
    tones: [Box<Tones>; 2],
    /// The developed window, packed RGB; as long as the largest one needs.
    rgb: Vec<u8>,
    /// Time and number of the last frame in which white was measured.
    seen: Option<(Duration, u64)>,
}

impl Developer {
    /// Builds the tables, and allocates space for the largest window.
    pub fn new(format: BayerFormat, tuning: &RawTuning, most_bytes: usize) -> Self {
        let white = White::new(tuning.white_balance, tuning.lights);
        let black = f32::from(tuning.black_level) / FULL_SCALE;
        let bits = format.depth.bits();
        let tones = |samples: u32| {
            let green = Scale::of(bits, 2 * samples, black);
            let other = Scale::of(bits, samples, black);
            let matrix = tuning.matrix.map(|parts| by_columns(format.order, parts));
            let gains = by_columns(format.order, white.gains());
            Box::new(Tones::new([other, green, other], matrix, gains))
        };
        Self {
            format,
            black,
            tones: [tones(1), tones(4)],
            white,
            rgb: vec![0; most_bytes],
            seen: None,
        }
    }

    /// Develops a window of `frame`, which has the geometry for which the window was made: packed RGB of `window.geometry()`.
    pub fn run(&mut self, window: &Window, frame: &Frame<'_>) -> &[u8] {
        let now = (frame.captured_at, frame.sequence);
        if self.seen != Some(now) {
            self.seen = Some(now);
            if self.white.measure(self.format, self.black, frame) {
                let gains = by_columns(self.format.order, self.white.gains());
                self.tones.iter_mut().for_each(|tones| tones.set(gains));
            }
        }
        let [two, four] = &self.tones;
        let rgb = &mut self.rgb[..window.bytes()];
        match window.cell {
            Cell::Two => of_depth::<1>(self.format, window, two, frame, rgb),
            Cell::Four => of_depth::<2>(self.format, window, four, frame, rgb),
        }
        rgb
    }
}

/// Cells of `2 * N` columns and rows.
fn of_depth<const N: usize>(
    format: BayerFormat,
    window: &Window,
    tones: &Tones,
    frame: &Frame<'_>,
    rgb: &mut [u8],
) {
    let order = format.order;
    match format.depth {
        BayerDepth::Bits8 => develop::<_, 16, N>(Bytes, order, window, tones, frame, rgb),
        BayerDepth::Bits10 => develop::<_, 32, N>(Words(0x03ff), order, window, tones, frame, rgb),
        BayerDepth::Bits12 => develop::<_, 32, N>(Words(0x0fff), order, window, tones, frame, rgb),
        BayerDepth::Packed10 => develop::<_, 20, N>(Packed10, order, window, tones, frame, rgb),
        BayerDepth::Packed12 => develop::<_, 24, N>(Packed12, order, window, tones, frame, rgb),
    }
}

fn develop<P: Packing<BYTES>, const BYTES: usize, const N: usize>(
    packing: P,
    order: BayerOrder,
    window: &Window,
    tones: &Tones,
    frame: &Frame<'_>,
    rgb: &mut [u8],
) {
    let (red_x, red_y) = order.red_at();
    lanes::run(Develop::<P, BYTES, N> {
        packing,
        window,
        data: frame.data,
        stride: frame.geometry.stride_bytes as usize,
        first_row: red_x ^ red_y,
        tones,
        rgb,
    });
}

/// Reorders red, green and blue to the order of the sums: the colour in the even columns of its rows, green, the colour in the
/// odd columns.
fn by_columns<T: Copy>(order: BayerOrder, [red, green, blue]: [T; 3]) -> [T; 3] {
    if order.red_at().0 == 0 {
        [red, green, blue]
    } else {
        [blue, green, red]
    }
}
