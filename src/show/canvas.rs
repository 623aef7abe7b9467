//! The picture being drawn, in memory: packed 8-bit RGB whatever the display's depth, allocated once at start.
//!
//! It is a `DrawTarget` of embedded-graphics, and adds what that crate lacks: blending, for smooth edges. On a display of
//! [`Depth::Mono`] nothing is blended: a pixel that is at least half covered is set. Coordinates may be anywhere; drawing outside
//! the picture is clipped.

use crate::toml_file::{Table, Word};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use std::convert::Infallible;

/// A colour, R, G, B.
pub type Rgb = [u8; 3];

/// Colour depth of a display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Black and white.
    Mono,
    /// 5-6-5.
    Rgb565,
    /// 8-8-8.
    Rgb888,
}

impl Word for Depth {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("mono", Self::Mono),
        ("rgb565", Self::Rgb565),
        ("rgb888", Self::Rgb888),
    ];
}

/// How far the drawing is rotated, clockwise, on its way to the panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rotation {
    /// Not rotated.
    #[default]
    None,
    /// A quarter turn.
    Quarter,
    /// Upside down.
    Half,
    /// Three quarter turns.
    ThreeQuarters,
}

impl Rotation {
    /// From a board file's 0, 90, 180 or 270.
    pub const fn from_degrees(degrees: u16) -> Option<Self> {
        match degrees {
            0 => Some(Self::None),
            90 => Some(Self::Quarter),
            180 => Some(Self::Half),
            270 => Some(Self::ThreeQuarters),
            _ => None,
        }
    }

    /// Degrees, as in a board file.
    pub const fn degrees(self) -> u16 {
        match self {
            Self::None => 0,
            Self::Quarter => 90,
            Self::Half => 180,
            Self::ThreeQuarters => 270,
        }
    }

    /// The size of the drawing for a panel of this size (and vice versa).
    pub fn turn(self, (width_px, height_px): (u32, u32)) -> (u32, u32) {
        match self {
            Self::None | Self::Half => (width_px, height_px),
            Self::Quarter | Self::ThreeQuarters => (height_px, width_px),
        }
    }
}

/// Orientation of the drawing on the panel: rotated, then mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Orientation {
    /// The rotation.
    pub rotation: Rotation,
    /// Whether left and right of the rotated drawing are swapped.
    pub mirror: bool,
}

impl Orientation {
    /// Unchanged.
    pub const UPRIGHT: Self = Self {
        rotation: Rotation::None,
        mirror: false,
    };

    /// Reads `rotate_deg` and `mirror` of a display's table.
    pub(super) fn read(table: &mut Table<'_, '_>) -> Self {
        let degrees = table.quarter_turns("rotate_deg");
        let rotation = degrees.and_then(Rotation::from_degrees);
        Self {
            rotation: rotation.unwrap_or_default(),
            mirror: table.flag("mirror").unwrap_or(false),
        }
    }
}

/// The picture.
#[derive(Debug, Clone)]
pub struct Canvas {
    width_px: u32,
    height_px: u32,
    depth: Depth,
    rgb: Box<[u8]>,
}

impl Canvas {
    /// A black picture for a display of this depth.
    pub fn new(width_px: u32, height_px: u32, depth: Depth) -> Self {
        let bytes = width_px as usize * height_px as usize * 3;
        Self {
            width_px,
            height_px,
            depth,
            rgb: vec![0; bytes].into_boxed_slice(),
        }
    }

    /// Width.
    pub fn width_px(&self) -> u32 {
        self.width_px
    }

    /// Height.
    pub fn height_px(&self) -> u32 {
        self.height_px
    }

    /// The depth of the display that it is drawn for.
    pub fn depth(&self) -> Depth {
        self.depth
    }

    /// Row `y` of the drawing, `width_px * 3` bytes.
    pub fn row(&self, y: u32) -> &[u8] {
        let stride_bytes = self.width_px as usize * 3;
        &self.rgb[y as usize * stride_bytes..][..stride_bytes]
    }

    /// The pixel at `x`, `y`, which must be inside.
    pub fn pixel(&self, x: u32, y: u32) -> Rgb {
        let at = (y as usize * self.width_px as usize + x as usize) * 3;
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }

    /// Writes row `y` of a panel with this orientation into `out` (three bytes per pixel of the panel's width).
    pub fn turned_row(&self, orientation: Orientation, y: u32, out: &mut [u8]) {
        let Orientation { rotation, mirror } = orientation;
        let (panel_width_px, panel_height_px) = rotation.turn((self.width_px, self.height_px));
        if orientation == Orientation::UPRIGHT {
            out.copy_from_slice(self.row(y));
            return;
        }
        for (column, to) in (0..panel_width_px).zip(out.chunks_exact_mut(3)) {
            let x = if mirror {
                panel_width_px - 1 - column
            } else {
                column
            };
            let pixel = match rotation {
                Rotation::None => self.pixel(x, y),
                Rotation::Quarter => self.pixel(y, panel_width_px - 1 - x),
                Rotation::Half => self.pixel(panel_width_px - 1 - x, panel_height_px - 1 - y),
                Rotation::ThreeQuarters => self.pixel(panel_height_px - 1 - y, x),
            };
            to.copy_from_slice(&pixel);
        }
    }

    /// `pixels` pixels of row `y`, starting at `x`, which must all be inside.
    pub fn row_part_mut(&mut self, x: i32, y: i32, pixels: usize) -> &mut [u8] {
        let at = y as usize * self.width_px as usize + x as usize;
        &mut self.rgb[at * 3..][..pixels * 3]
    }

    /// Sets one pixel.
    pub fn set(&mut self, x: i32, y: i32, colour: Rgb) {
        if let Some(at) = self.index(x, y) {
            self.rgb[at..at + 3].copy_from_slice(&colour);
        }
    }

    /// Blends `colour` over one pixel, with an opacity of `coverage` / 255.
    pub fn blend(&mut self, x: i32, y: i32, colour: Rgb, coverage: u8) {
        let Some(at) = self.index(x, y) else { return };
        let coverage = match self.depth {
            Depth::Mono if coverage < 128 => 0,
            Depth::Mono => 255,
            _ => u32::from(coverage),
        };
        for (below, above) in self.rgb[at..at + 3].iter_mut().zip(colour) {
            let sum = u32::from(*below) * (255 - coverage) + u32::from(above) * coverage;
            *below = ((sum + 127) / 255) as u8;
        }
    }

    /// Fills the part of `area` that is inside.
    pub fn fill(&mut self, area: Rectangle, colour: Rgb) {
        let area = area.intersection(&self.bounding_box());
        let Some(first) = self.index(area.top_left.x, area.top_left.y) else {
            return;
        };
        let row = first..first + area.size.width as usize * 3;
        for pixel in self.rgb[row.clone()].chunks_exact_mut(3) {
            pixel.copy_from_slice(&colour);
        }
        for y in 1..area.size.height as usize {
            let at = first + y * self.width_px as usize * 3;
            self.rgb.copy_within(row.clone(), at);
        }
    }

    /// Fills `area` with rounded corners.
    pub fn fill_rounded(&mut self, area: Rectangle, radius_px: u32, colour: Rgb) {
        let radius_px = radius_px.min(area.size.width / 2).min(area.size.height / 2);
        let radius = radius_px as f32;
        let (right, bottom) = (
            area.size.width.saturating_sub(radius_px),
            area.size.height.saturating_sub(radius_px),
        );
        // How deep pixel `i` of a side is in the rounding at either end, from the circle's centre to the pixel's.
        let beyond = |i: u32, end: u32| {
            if i < radius_px {
                radius - i as f32 - 0.5
            } else if i >= end {
                (i - end) as f32 + 0.5
            } else {
                0.0
            }
        };
        for y in 0..area.size.height {
            let dy = beyond(y, bottom);
            if dy == 0.0 {
                let row = Rectangle::new(
                    area.top_left + Point::new(0, y as i32),
                    Size::new(area.size.width, 1),
                );
                self.fill(row, colour);
                continue;
            }
            for x in 0..area.size.width {
                let dx = beyond(x, right);
                let inside = (radius - (dx * dx + dy * dy).sqrt() + 0.5).clamp(0.0, 1.0);
                let coverage = if dx == 0.0 { 1.0 } else { inside };
                let at = area.top_left + Point::new(x as i32, y as i32);
                self.blend(at.x, at.y, colour, (coverage * 255.0) as u8);
            }
        }
    }

    fn index(&self, x: i32, y: i32) -> Option<usize> {
        let (x, y) = (u32::try_from(x).ok()?, u32::try_from(y).ok()?);
        (x < self.width_px && y < self.height_px)
            .then(|| (y as usize * self.width_px as usize + x as usize) * 3)
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.width_px, self.height_px)
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        for Pixel(at, colour) in pixels {
            self.set(at.x, at.y, [colour.r(), colour.g(), colour.b()]);
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, colour: Rgb888) -> Result<(), Infallible> {
        self.fill(*area, [colour.r(), colour.g(), colour.b()]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_outside_are_dropped() {
        let mut canvas = Canvas::new(4, 3, Depth::Rgb888);
        canvas.set(-1, 0, [255; 3]);
        canvas.blend(4, 2, [255; 3], 255);
        canvas.fill(
            Rectangle::new(Point::new(-5, -5), Size::new(5, 50)),
            [255; 3],
        );
        assert!((0..3).all(|y| canvas.row(y).iter().all(|v| *v == 0)));
        canvas.fill(Rectangle::new(Point::new(2, 1), Size::new(50, 50)), [9; 3]);
        assert_eq!(canvas.row(1), [0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9]);
    }

    #[test]
    fn rotations_put_the_corner_where_a_turned_panel_wants_it() {
        // One red pixel at the top left of a 3 x 2 drawing.
        let mut canvas = Canvas::new(3, 2, Depth::Rgb888);
        canvas.set(0, 0, [255, 0, 0]);
        for (rotation, size, corner) in [
            (Rotation::None, (3, 2), (0, 0)),
            (Rotation::Quarter, (2, 3), (1, 0)),
            (Rotation::Half, (3, 2), (2, 1)),
            (Rotation::ThreeQuarters, (2, 3), (0, 2)),
        ] {
            let place = |mirror| {
                let orientation = Orientation { rotation, mirror };
                let mut found = Vec::new();
                for y in 0..size.1 {
                    let mut row = vec![0; size.0 as usize * 3];
                    canvas.turned_row(orientation, y, &mut row);
                    let red = row.chunks_exact(3).position(|p| p[0] == 255);
                    found.extend(red.map(|x| (x as u32, y)));
                }
                found
            };
            assert_eq!(rotation.turn((3, 2)), size);
            assert_eq!(place(false), [corner], "{rotation:?}");
            let mirrored = (size.0 - 1 - corner.0, corner.1);
            assert_eq!(place(true), [mirrored], "{rotation:?}");
        }
    }

    #[test]
    fn mono_has_no_grey() {
        let mut canvas = Canvas::new(20, 9, Depth::Mono);
        let all = canvas.bounding_box();
        canvas.fill_rounded(all, 4, [255; 3]);
        assert!((0..9).all(|y| canvas.row(y).iter().all(|v| *v == 0 || *v == 255)));
        assert_eq!(canvas.pixel(0, 0), [0; 3]);
        assert_eq!(canvas.pixel(10, 4), [255; 3]);
    }
}
