//! Type: two kinds of faces, chosen by the available height.
//!
//! - *Outline*: the shipped Roboto Medium (see `font/README.md`), drawn smooth at any size. Used from 12 px on colour displays,
//!   and from 20 px in black and white, where edges are not smoothed.
//! - *Pixel*: embedded-graphics' own bitmap fonts, enlarged by whole numbers. Used where an outline would be too small to be
//!   sharp.
//!
//! Both contain the Latin letters of Europe, Greek and Cyrillic. A letter missing from the bitmap fonts is drawn as Roboto's
//! outline; one missing from Roboto too comes from the board's own font file ([`Letters`]), if there is one; otherwise '?' is
//! shown.
//!
//! A line of text is `line_px` high; the baseline is `baseline_px` below its top. In both kinds a capital letter is centred in
//! the line, and no glyph leaves it: one that is too tall is compressed to fit.

mod own;
mod pixel;
mod shape;

pub use own::Letters;

use super::canvas::{Canvas, Rgb};
use super::outline::Raster;
use crate::show::Depth;
use embedded_graphics::image::GetPixel;
use embedded_graphics::mono_font::MonoFont;
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use shape::{Room, Shape};
use std::sync::LazyLock;

static ROBOTO: LazyLock<ttf_parser::Face<'static>> = LazyLock::new(|| {
    ttf_parser::Face::parse(include_bytes!("font/Roboto-Medium-europe.ttf"), 0)
        .expect("the shipped font parses: it is part of the program, and a test draws with it")
});

/// Extent of Roboto's line within its em, above and below the baseline: most glyphs are inside it.
const OUTLINE_ABOVE: f32 = 0.95;
const OUTLINE_BELOW: f32 = 0.235;
/// The smallest outline that is sharp enough.
const OUTLINE_MIN_PX: f32 = 12.0;
/// The smallest outline whose strokes are even without antialiasing.
const OUTLINE_MONO_MIN_PX: f32 = 20.0;
/// The largest em that is drawn.
const OUTLINE_MAX_PX: f32 = 200.0;
/// Position of an outline's baseline in a line of a bitmap font.
const PIXEL_ABOVE: f32 = 0.8;

/// A typeface at one size.
#[derive(Debug, Clone, Copy)]
pub struct Face {
    kind: Kind,
    own: Option<&'static Letters>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Bitmap fonts of one size, enlarged.
    Pixel { size: usize, scale: u32 },
    /// Roboto Medium.
    Outline { em_px: f32 },
}

/// Whether the built-in font has the letter.
fn is_shipped(c: char) -> bool {
    ROBOTO.glyph_index(c).is_some()
}

/// Whether the letter can be shown correctly, with or without the board's own font file.
pub fn has(c: char, own: Option<&Letters>) -> bool {
    c.is_whitespace() || is_shipped(c) || own.is_some_and(|own| own.get(c).is_some())
}

/// Letters that are written right to left, or whose shape and position depend on their neighbours. Set one after another, they
/// would look like text but be wrong.
pub(super) fn needs_shaping(c: char) -> bool {
    matches!(c,
        '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}' // Hebrew, Arabic, Syriac, ...
        | '\u{900}'..='\u{dff}' // India and Sri Lanka
        | '\u{f00}'..='\u{109f}' | '\u{1780}'..='\u{18af}' | '\u{1900}'..='\u{1aff}' // Tibetan, Burmese, Khmer, ...
        | '\u{1b00}'..='\u{1c4f}' | '\u{a800}'..='\u{abff}' | '\u{10800}'..='\u{11fff}'
        | '\u{1e800}'..='\u{1eeff}')
}

impl Default for Face {
    /// The smallest bitmap font.
    fn default() -> Self {
        Self {
            kind: Kind::Pixel { size: 0, scale: 1 },
            own: None,
        }
    }
}

impl Face {
    /// The largest face whose line is at most `line_px` high (at least the smallest bitmap font).
    pub fn of_height(line_px: u32, depth: Depth) -> Self {
        let of_kind = |kind| Self { kind, own: None };
        let least_px = match depth {
            Depth::Mono => OUTLINE_MONO_MIN_PX,
            _ => OUTLINE_MIN_PX,
        };
        if line_px as f32 > least_px {
            let mut em_px = line_px as f32 / (OUTLINE_ABOVE + OUTLINE_BELOW);
            em_px = (em_px * 4.0).floor() / 4.0;
            // Rounding both parts to whole pixels may cost a pixel.
            while of_kind(Kind::Outline { em_px }).line_px() > line_px {
                em_px -= 0.25;
            }
            if em_px >= least_px {
                let em_px = em_px.min(OUTLINE_MAX_PX);
                return of_kind(Kind::Outline { em_px });
            }
        }
        let mut best = of_kind(Kind::Pixel { size: 0, scale: 1 });
        for size in 0..pixel::SIZES {
            let height = pixel::height_px(size);
            // The small fonts are too coarse to enlarge.
            let most = if height < 13 { 1 } else { 12 };
            let scale = (line_px / height).min(most);
            let face = of_kind(Kind::Pixel { size, scale });
            if scale > 0 && face.line_px() >= best.line_px() {
                best = face;
            }
        }
        best
    }

    /// The same face, extended by the letters of the board's own font file.
    pub fn with(self, own: Option<&'static Letters>) -> Self {
        Self { own, ..self }
    }

    /// Height of a line.
    pub fn line_px(self) -> u32 {
        match self.kind {
            Kind::Pixel { size, scale } => pixel::height_px(size) * scale,
            Kind::Outline { em_px } => {
                ((em_px * OUTLINE_ABOVE).ceil() + (em_px * OUTLINE_BELOW).ceil()) as u32
            }
        }
    }

    /// Width of `text`, rounded up to whole pixels.
    pub fn width_px(self, text: &str) -> u32 {
        self.measure(text).ceil() as u32
    }

    fn measure(self, text: &str) -> f32 {
        text.chars().map(|c| self.advance(c)).sum()
    }

    fn advance(self, c: char) -> f32 {
        self.glyph(c).map_or(0.0, |glyph| glyph.advance_px())
    }

    /// The glyph drawn for a letter: '?' for one that no font has.
    fn glyph(self, c: char) -> Option<Glyph> {
        self.glyph_of(c).or_else(|| self.glyph_of('?'))
    }

    fn glyph_of(self, c: char) -> Option<Glyph> {
        let (em_px, above_px, below_px) = match self.kind {
            Kind::Outline { em_px } => (em_px, em_px * OUTLINE_ABOVE, em_px * OUTLINE_BELOW),
            Kind::Pixel { size, scale } => {
                if let Some((font, index)) = pixel::glyph(c, size) {
                    return Some(Glyph::Pixel { font, index, scale });
                }
                let line_px = self.line_px() as f32;
                let above_px = (line_px * PIXEL_ABOVE).round();
                (above_px / OUTLINE_ABOVE, above_px, line_px - above_px)
            }
        };
        let room = Room { above_px, below_px };
        let shipped = ROBOTO
            .glyph_index(c)
            .map(|id| Shape::shipped(id, em_px, room));
        let own = || {
            let own = self.own?;
            Some(Shape::own(own, own.get(c)?, em_px, room))
        };
        shipped.or_else(own).map(Glyph::Shape)
    }

    /// What marks truncated text. (The bitmap fonts have no ellipsis.)
    pub fn ellipsis(self) -> &'static str {
        match self.kind {
            Kind::Pixel { .. } => "..",
            Kind::Outline { .. } => "\u{2026}",
        }
    }

    /// The longest prefix of `text` that is at most `width_px` wide including the suffix ("" or the ellipsis).
    pub fn shortened(self, text: &str, width_px: u32) -> (&str, &'static str) {
        if self.width_px(text) <= width_px {
            return (text, "");
        }
        let room = width_px as f32 - self.measure(self.ellipsis());
        (self.prefix(text, room), self.ellipsis())
    }

    /// The longest prefix of `text` that is at most `room` pixels wide, without the spaces and dashes at its end.
    pub fn prefix(self, text: &str, room: f32) -> &str {
        let mut used = 0.0;
        for (at, c) in text.char_indices() {
            used += self.advance(c);
            if used > room {
                return text[..at].trim_end_matches([' ', '-']);
            }
        }
        text
    }
}

/// One letter at one size.
enum Glyph {
    Pixel {
        font: &'static MonoFont<'static>,
        index: u32,
        scale: u32,
    },
    Shape(Shape),
}

impl Glyph {
    /// Advance to the next letter.
    fn advance_px(&self) -> f32 {
        match self {
            Self::Pixel { font, scale, .. } => {
                ((font.character_size.width + font.character_spacing) * scale) as f32
            }
            Self::Shape(shape) => shape.advance_px,
        }
    }
}

/// Draws text. It owns the buffer in which outlines are accumulated, allocated once.
#[derive(Debug, Clone)]
pub struct Pen {
    raster: Raster,
}

/// How text is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Ink {
    /// Its colour.
    pub colour: Rgb,
    /// Nothing outside this is touched.
    pub clip: Rectangle,
}

impl Pen {
    /// A pen for a display of this height, which also draws the letters of the board's own font file.
    pub fn new(height_px: u32, own: Option<&Letters>) -> Self {
        // Done here, so that no drawing has to do it.
        LazyLock::force(&ROBOTO);
        pixel::prepare();
        // No face is larger than the display's height; none of Roboto's glyphs is wider than 1.4 em, and none higher than a line.
        let em_px = (height_px as f32).min(OUTLINE_MAX_PX);
        let widest_em = own.map_or(0.0, |own| own.widest_em).max(1.4);
        let side = |ems: f32| (em_px * ems) as u32 + 4;
        Self {
            raster: Raster::new(side(widest_em), side(OUTLINE_ABOVE + OUTLINE_BELOW)),
        }
    }

    /// Draws `text` from `left` in a line whose top is `top`. Returns where it ended.
    pub fn draw(
        &mut self,
        canvas: &mut Canvas,
        face: Face,
        (left, top): (f32, i32),
        text: &str,
        ink: Ink,
    ) -> f32 {
        let mut x = left;
        for c in text.chars() {
            let Some(glyph) = face.glyph(c) else {
                continue;
            };
            match &glyph {
                Glyph::Pixel { font, index, scale } => {
                    let at = Point::new(x.round() as i32, top);
                    pixel_glyph(canvas, (font, *index), *scale, at, ink);
                }
                Glyph::Shape(shape) => {
                    let baseline = top + shape.room.above_px.ceil() as i32;
                    shape.draw(canvas, &mut self.raster, (x, baseline), ink);
                }
            }
            x += glyph.advance_px();
        }
        x
    }
}

fn pixel_glyph(
    canvas: &mut Canvas,
    (font, index): (&MonoFont<'_>, u32),
    scale: u32,
    at: Point,
    ink: Ink,
) {
    let size = font.character_size;
    let columns = font.image.size().width / size.width;
    let corner = Point::new(
        (index % columns * size.width) as i32,
        (index / columns * size.height) as i32,
    );
    for dot in Rectangle::new(Point::zero(), size).points() {
        if font.image.pixel(corner + dot) == Some(BinaryColor::On) {
            let square = Rectangle::new(at + dot * scale as i32, Size::new_equal(scale));
            canvas.fill(square.intersection(&ink.clip), ink.colour);
        }
    }
}

#[cfg(test)]
mod tests;
