//! The camera's picture, scaled into its place on the display: bilinear in 16.16 fixed point, so it is the same on every machine;
//! with a 4 x 4 ordered dither on a black-and-white display. A picture with a different aspect ratio is centred in its place.

use super::canvas::Canvas;
use super::pixel::luma;
use crate::preprocess::Crop;
use crate::show::Depth;
use embedded_graphics::prelude::{Point, Size};
use embedded_graphics::primitives::Rectangle;

/// Bayer's matrix, scaled to thresholds of 8-bit luma.
const DITHER: [[u32; 4]; 4] = [
    [8, 136, 40, 168],
    [200, 72, 232, 104],
    [56, 184, 24, 152],
    [248, 120, 216, 88],
];

/// Scales pictures into one place. Its tables are built for the first picture, and rebuilt only for one of a different size.
#[derive(Debug, Clone)]
pub struct Scaler {
    place: Rectangle,
    from_px: (u32, u32),
    /// The part of the place that a picture of this size covers.
    inner: Rectangle,
    /// Per column of that: where its two source pixels start in a row, and the weight of the second one in 1/256.
    across: Vec<(usize, usize, u32)>,
    /// One row, already mixed from its two source rows: values times 256.
    mixed: Vec<u32>,
}

impl Scaler {
    /// For a place inside the canvas, and pictures up to 512 pixels wide without allocating again.
    pub fn new(place: Rectangle) -> Self {
        Self {
            place,
            from_px: (0, 0),
            inner: place,
            across: Vec::with_capacity(place.size.width as usize),
            mixed: Vec::with_capacity(512 * 3),
        }
    }

    /// Draws `picture` as large as its place allows. A picture whose bytes do not match its size is left out; returns whether it
    /// was drawn.
    pub fn draw(&mut self, canvas: &mut Canvas, picture: &Crop<'_>) -> bool {
        let (width, height) = (picture.width_px as usize, picture.height_px as usize);
        if width == 0 || height == 0 || picture.rgb.len() != width * height * 3 {
            return false;
        }
        self.prepare(picture);
        let down = Steps::new(picture.height_px, self.inner.size.height);
        let row = |y: usize| &picture.rgb[y * width * 3..][..width * 3];
        for (y, to_y) in self.inner.rows().enumerate() {
            let (top, bottom, part) = down.at(y as u32);
            let pairs = row(top).iter().zip(row(bottom));
            for (mixed, (top, bottom)) in self.mixed.iter_mut().zip(pairs) {
                *mixed = u32::from(*top) * (256 - part) + u32::from(*bottom) * part;
            }
            let to = canvas.row_part_mut(self.inner.top_left.x, to_y, self.across.len());
            for (to, (left, right, part)) in to.chunks_exact_mut(3).zip(&self.across) {
                let (left, right) = (&self.mixed[*left..][..3], &self.mixed[*right..][..3]);
                for c in 0..3 {
                    let sum = left[c] * (256 - part) + right[c] * part;
                    to[c] = ((sum + 32_768) >> 16) as u8;
                }
            }
            if canvas.depth() == Depth::Mono {
                let to = canvas.row_part_mut(self.inner.top_left.x, to_y, self.across.len());
                dither(to, y);
            }
        }
        true
    }

    fn prepare(&mut self, picture: &Crop<'_>) {
        let from_px = (picture.width_px, picture.height_px);
        if from_px == self.from_px {
            return;
        }
        self.from_px = from_px;
        self.inner = fitted(self.place, from_px);
        self.mixed.clear();
        self.mixed.resize(picture.width_px as usize * 3, 0);
        let steps = Steps::new(picture.width_px, self.inner.size.width);
        self.across.clear();
        self.across.extend((0..self.inner.size.width).map(|x| {
            let (left, right, part) = steps.at(x);
            (left * 3, right * 3, part)
        }));
    }
}

/// The largest part of `place`, centred, with the aspect ratio of a picture of this size (no side 0).
fn fitted(place: Rectangle, (width_px, height_px): (u32, u32)) -> Rectangle {
    let Size { width, height } = place.size;
    let scaled = |side: u32, by: u32, of: u32| {
        let long = u64::from(side) * u64::from(by);
        ((long + u64::from(of) / 2) / u64::from(of)).max(1) as u32
    };
    // A picture that is wider than its place, relative to height, takes the full width.
    let (width, height) =
        if u64::from(width_px) * u64::from(height) >= u64::from(height_px) * u64::from(width) {
            (width, scaled(width, height_px, width_px).min(height))
        } else {
            (scaled(height, width_px, height_px).min(width), height)
        };
    let spare = place.size - Size::new(width, height);
    let corner = place.top_left + Point::new(spare.width as i32 / 2, spare.height as i32 / 2);
    Rectangle::new(corner, Size::new(width, height))
}

/// Dithers row `y` of a picture to black and white.
fn dither(row: &mut [u8], y: usize) {
    for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
        pixel.fill(if u32::from(luma(pixel)) > DITHER[y % 4][x % 4] {
            255
        } else {
            0
        });
    }
}

/// The positions of a scaled side's pixels on the source side, centre to centre.
struct Steps {
    step: u64,
    last: u64,
}

impl Steps {
    fn new(from_px: u32, to_px: u32) -> Self {
        Self {
            step: (u64::from(from_px) << 16) / u64::from(to_px.max(1)),
            last: u64::from(from_px) - 1,
        }
    }

    /// The two source pixels around pixel `i`, and the weight of the second one in 1/256.
    fn at(&self, i: u32) -> (usize, usize, u32) {
        let centre = (u64::from(i) * self.step + self.step / 2).saturating_sub(1 << 15);
        let first = (centre >> 16).min(self.last);
        let part = if first == self.last {
            0
        } else {
            (centre >> 8) & 255
        };
        (
            first as usize,
            (first + 1).min(self.last) as usize,
            part as u32,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_graphics::prelude::*;

    fn ramp(side: u32) -> Vec<u8> {
        (0..side * side)
            .flat_map(|i| [(i % side) as u8, (i / side) as u8, 7])
            .collect()
    }

    #[test]
    fn the_same_size_is_a_copy() {
        let rgb = ramp(9);
        let picture = Crop {
            width_px: 9,
            height_px: 9,
            rgb: &rgb,
        };
        let mut canvas = Canvas::new(11, 10, Depth::Rgb888);
        let place = Rectangle::new(Point::new(1, 1), Size::new(9, 9));
        assert!(Scaler::new(place).draw(&mut canvas, &picture));
        assert_eq!(canvas.pixel(1, 1), [0, 0, 7]);
        assert_eq!(canvas.pixel(9, 5), [8, 4, 7]);
        assert_eq!(canvas.pixel(10, 5), [0, 0, 0]);
    }

    #[test]
    fn scaling_keeps_a_ramp_a_ramp() {
        let rgb = ramp(200);
        let picture = Crop {
            width_px: 200,
            height_px: 200,
            rgb: &rgb,
        };
        for side in [60, 113, 199, 450] {
            let mut canvas = Canvas::new(side, side, Depth::Rgb888);
            let all = canvas.bounding_box();
            assert!(Scaler::new(all).draw(&mut canvas, &picture));
            for x in 0..side {
                let wanted = (x as f32 + 0.5) * 200.0 / side as f32 - 0.5;
                let got = f32::from(canvas.pixel(x, side / 2)[0]);
                assert!(
                    (got - wanted.clamp(0.0, 199.0)).abs() <= 1.01,
                    "{side}: {x}"
                );
            }
        }
    }

    #[test]
    fn a_picture_keeps_its_proportions() {
        let place = Rectangle::new(Point::new(10, 20), Size::new(90, 60));
        let inner = |width_px, height_px| {
            let Rectangle { top_left, size } = fitted(place, (width_px, height_px));
            [
                top_left.x,
                top_left.y,
                size.width as i32,
                size.height as i32,
            ]
        };
        assert_eq!(inner(300, 200), [10, 20, 90, 60]);
        assert_eq!(inner(192, 48), [10, 38, 90, 23]);
        assert_eq!(inner(10, 10), [25, 20, 60, 60]);
        assert_eq!(inner(1, 2000), [54, 20, 1, 60]);
        assert_eq!(inner(2000, 1), [10, 49, 90, 1]);
    }

    #[test]
    fn a_picture_of_a_wrong_size_is_left_out() {
        let mut canvas = Canvas::new(8, 8, Depth::Rgb888);
        let all = canvas.bounding_box();
        for (width_px, height_px) in [(0, 4), (4, 0), (4, 3), (5, 4)] {
            let rgb = [1; 48];
            assert!(!Scaler::new(all).draw(
                &mut canvas,
                &Crop {
                    width_px,
                    height_px,
                    rgb: &rgb
                }
            ));
        }
    }

    #[test]
    fn a_dithered_grey_is_half_white() {
        let rgb = [128; 48];
        let mut canvas = Canvas::new(8, 8, Depth::Mono);
        let all = canvas.bounding_box();
        assert!(Scaler::new(all).draw(
            &mut canvas,
            &Crop {
                width_px: 4,
                height_px: 4,
                rgb: &rgb
            }
        ));
        let white = all
            .points()
            .filter(|p| canvas.pixel(p.x as u32, p.y as u32)[0] == 255);
        assert_eq!(white.count(), 32);
    }
}
