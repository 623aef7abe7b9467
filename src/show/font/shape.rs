//! An outline at one size: placed on the baseline, compressed to its line, drawn.

use super::own::{Letter, Letters, Piece};
use super::{Ink, ROBOTO};
use crate::show::canvas::Canvas;
use crate::show::outline::Raster;
use embedded_graphics::prelude::*;
use ttf_parser::{GlyphId, OutlineBuilder};

/// The parts of a line above and below the baseline.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub above_px: f32,
    pub below_px: f32,
}

/// An outline, scaled to pixels.
pub(super) struct Shape {
    outline: Outline,
    pub advance_px: f32,
    /// Pixels per unit.
    scale: f32,
    /// The ink in units, y up: left, bottom, right, top; `None` for a space.
    ink: Option<[i16; 4]>,
    pub room: Room,
}

enum Outline {
    Shipped(GlyphId),
    Own(&'static [Piece]),
}

impl Shape {
    pub fn shipped(id: GlyphId, em_px: f32, room: Room) -> Self {
        let scale = em_px / f32::from(ROBOTO.units_per_em());
        let ink = ROBOTO.glyph_bounding_box(id);
        Self {
            outline: Outline::Shipped(id),
            advance_px: f32::from(ROBOTO.glyph_hor_advance(id).unwrap_or(0)) * scale,
            scale,
            ink: ink.map(|ink| [ink.x_min, ink.y_min, ink.x_max, ink.y_max]),
            room,
        }
    }

    pub fn own(own: &Letters, letter: &'static Letter, em_px: f32, room: Room) -> Self {
        let em_px = own.em_px(em_px, room.above_px, room.below_px);
        Self {
            outline: Outline::Own(&letter.pieces),
            advance_px: letter.advance_em * em_px,
            scale: em_px / own.units_per_em,
            ink: letter.ink,
            room,
        }
    }

    fn trace(&self, to: &mut Scaled<'_>) {
        let pieces = match &self.outline {
            Outline::Shipped(id) => {
                ROBOTO.outline_glyph(*id, to);
                return;
            }
            Outline::Own(pieces) => pieces.iter(),
        };
        for piece in pieces {
            match *piece {
                Piece::Move([x, y]) => to.move_to(x.into(), y.into()),
                Piece::Line([x, y]) => to.line_to(x.into(), y.into()),
                Piece::Quad([x1, y1, x, y]) => {
                    to.quad_to(x1.into(), y1.into(), x.into(), y.into());
                }
                Piece::Curve([x1, y1, x2, y2, x, y]) => {
                    let [x1, y1, x2, y2, x, y] = [x1, y1, x2, y2, x, y].map(f32::from);
                    to.curve_to(x1, y1, x2, y2, x, y);
                }
                Piece::Close => to.close(),
            }
        }
    }

    /// Draws it on the baseline at `x`.
    pub fn draw(
        &self,
        canvas: &mut Canvas,
        raster: &mut Raster,
        (x, baseline): (f32, i32),
        ink: Ink,
    ) {
        let Some(bounds) = self.ink else {
            return; // A space.
        };
        let [ink_left, ink_bottom, ink_right, ink_top] =
            bounds.map(|units| f32::from(units) * self.scale);
        // The factors by which the parts above and below the baseline must shrink.
        let pressed = |ink: f32, room: f32| if ink > room { room / ink } else { 1.0 };
        let up = pressed(ink_top, self.room.above_px);
        let down = pressed(-ink_bottom, self.room.below_px);
        let part = |y: f32| if y > 0.0 { y * up } else { y * down };
        let left = (x + ink_left).floor();
        let right = (x + ink_right).ceil();
        let above = part(ink_top).ceil();
        let below = part(ink_bottom).floor();
        raster.begin((right - left) as u32 + 1, (above - below) as u32 + 1);
        let mut scaled = Scaled {
            raster,
            scale: self.scale,
            up,
            down,
            x: x - left,
            y: above,
        };
        self.trace(&mut scaled);
        let corner = Point::new(left as i32, baseline - above as i32);
        raster.finish(|x, y, coverage| {
            let at = corner + Point::new(x as i32, y as i32);
            if ink.clip.contains(at) {
                canvas.blend(at.x, at.y, ink.colour, coverage);
            }
        });
    }
}

/// Font units, y up, to pixels of the raster, y down.
struct Scaled<'a> {
    raster: &'a mut Raster,
    scale: f32,
    /// Factors for the parts above and below the baseline.
    up: f32,
    down: f32,
    x: f32,
    y: f32,
}

impl Scaled<'_> {
    fn to_px(&self, x: f32, y: f32) -> (f32, f32) {
        let y = y * if y > 0.0 { self.up } else { self.down };
        (self.x + x * self.scale, self.y - y * self.scale)
    }
}

impl OutlineBuilder for Scaled<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.to_px(x, y);
        self.raster.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.to_px(x, y);
        self.raster.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.to_px(x1, y1), self.to_px(x, y));
        self.raster.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let points = [(x1, y1), (x2, y2), (x, y)].map(|(x, y)| self.to_px(x, y));
        self.raster.curve_to(points);
    }

    fn close(&mut self) {
        self.raster.close();
    }
}
