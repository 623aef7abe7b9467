//! The camera's picture, scaled into its place on the display: bilinear in 16.16 fixed point, so the same on every machine;
//! with a 4 x 4 ordered dither on a black-and-white display.

use super::canvas::Canvas;
use crate::board::Depth;
use crate::preprocess::Crop;
use embedded_graphics::primitives::Rectangle;

/// Bayer's matrix, scaled to thresholds of 8-bit luma.
const DITHER: [[u32; 4]; 4] = [
    [8, 136, 40, 168],
    [200, 72, 232, 104],
    [56, 184, 24, 152],
    [248, 120, 216, 88],
];

/// Draws `picture` as large as `place`, which must lie in the canvas. A picture whose bytes do not fit its size is left out;
/// the answer says whether it was drawn.
pub fn draw(canvas: &mut Canvas, picture: &Crop<'_>, place: Rectangle) -> bool {
    let (width, height) = (picture.width_px as usize, picture.height_px as usize);
    if width == 0 || height == 0 || picture.rgb.len() != width * height * 3 {
        return false;
    }
    let across = Steps::new(picture.width_px, place.size.width);
    let down = Steps::new(picture.height_px, place.size.height);
    for (y, to_y) in place.rows().enumerate() {
        let (top, bottom, part_y) = down.at(y as u32);
        let top = &picture.rgb[top * width * 3..][..width * 3];
        let bottom = &picture.rgb[bottom * width * 3..][..width * 3];
        for (x, to_x) in place.columns().enumerate() {
            let (left, right, part_x) = across.at(x as u32);
            let mut rgb = [0; 3];
            for (c, value) in rgb.iter_mut().enumerate() {
                let mix = |row: &[u8]| {
                    u32::from(row[left * 3 + c]) * (256 - part_x)
                        + u32::from(row[right * 3 + c]) * part_x
                };
                let sum = mix(top) * (256 - part_y) + mix(bottom) * part_y;
                *value = ((sum + 32_768) >> 16) as u8;
            }
            if canvas.depth() == Depth::Mono {
                let [r, g, b] = rgb.map(u32::from);
                let luma = (r * 77 + g * 150 + b * 29) >> 8;
                let white = luma > DITHER[y % 4][x % 4];
                rgb = [if white { 255 } else { 0 }; 3];
            }
            canvas.set(to_x, to_y, rgb);
        }
    }
    true
}

/// Where the pixels of a scaled side lie on the source side, centre on centre.
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

    /// The two source pixels around pixel `i`, and the second one's part of 256.
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
        assert!(draw(&mut canvas, &picture, place));
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
            assert!(draw(&mut canvas, &picture, all));
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
    fn a_picture_of_a_wrong_size_is_left_out() {
        let mut canvas = Canvas::new(8, 8, Depth::Rgb888);
        let all = canvas.bounding_box();
        for (width_px, height_px) in [(0, 4), (4, 0), (4, 3), (5, 4)] {
            let rgb = [1; 48];
            assert!(!draw(
                &mut canvas,
                &Crop {
                    width_px,
                    height_px,
                    rgb: &rgb
                },
                all
            ));
        }
    }

    #[test]
    fn a_dithered_grey_is_half_white() {
        let rgb = [128; 48];
        let mut canvas = Canvas::new(8, 8, Depth::Mono);
        let all = canvas.bounding_box();
        assert!(draw(
            &mut canvas,
            &Crop {
                width_px: 4,
                height_px: 4,
                rgb: &rgb
            },
            all
        ));
        let white = all
            .points()
            .filter(|p| canvas.pixel(p.x as u32, p.y as u32)[0] == 255);
        assert_eq!(white.count(), 32);
    }
}
