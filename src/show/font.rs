//! Type: faces of two kinds, chosen by the height that there is.
//!
//! - *Outline*: the shipped Roboto Medium (see `font/README.md`), drawn smooth at any size. For colour displays, from 12 px up.
//! - *Pixel*: embedded-graphics' own bitmap fonts, enlarged by whole numbers. For black-and-white displays, and where an outline
//!   would be too small to be sharp.
//!
//! Both hold Latin-1. A line of text is `line_px` high; the letters stand on `baseline_px` below its top. In both kinds a
//! capital letter is centred in the line, and no glyph leaves it.

use super::canvas::{Canvas, Rgb};
use super::outline::Raster;
use crate::board::Depth;
use embedded_graphics::image::GetPixel;
use embedded_graphics::mono_font::{MonoFont, iso_8859_1 as pixel_fonts};
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use std::sync::LazyLock;
use ttf_parser::{GlyphId, OutlineBuilder};

static ROBOTO: LazyLock<ttf_parser::Face<'static>> = LazyLock::new(|| {
    ttf_parser::Face::parse(include_bytes!("font/Roboto-Medium-latin1.ttf"), 0)
        .expect("the shipped font parses: it is part of the program, and a test draws with it")
});

/// The bitmap fonts, smallest first; bold where there is a bold one.
const PIXEL_FONTS: [&MonoFont<'static>; 8] = [
    &pixel_fonts::FONT_4X6,
    &pixel_fonts::FONT_5X8,
    &pixel_fonts::FONT_6X10,
    &pixel_fonts::FONT_6X12,
    &pixel_fonts::FONT_7X13_BOLD,
    &pixel_fonts::FONT_9X15_BOLD,
    &pixel_fonts::FONT_9X18_BOLD,
    &pixel_fonts::FONT_10X20,
];

/// Roboto's line in its em, above and below the baseline: all Latin-1 glyphs lie between these.
const OUTLINE_ABOVE: f32 = 0.95;
const OUTLINE_BELOW: f32 = 0.235;
/// The smallest outline that is sharp enough.
const OUTLINE_MIN_PX: f32 = 12.0;
/// The largest em that is drawn.
const OUTLINE_MAX_PX: f32 = 200.0;

/// One kind of letter at one size.
#[derive(Debug, Clone, Copy)]
pub enum Face {
    /// A bitmap font, enlarged.
    Pixel {
        /// The font.
        font: &'static MonoFont<'static>,
        /// By how much.
        scale: u32,
    },
    /// Roboto Medium.
    Outline {
        /// The em.
        em_px: f32,
    },
}

impl Face {
    /// The largest face whose line is at most `line_px` high (at least the smallest bitmap font).
    pub fn of_height(line_px: u32, depth: Depth) -> Self {
        if depth != Depth::Mono {
            let mut em_px = line_px as f32 / (OUTLINE_ABOVE + OUTLINE_BELOW);
            em_px = (em_px * 4.0).floor() / 4.0;
            // Rounding of both parts to whole pixels may cost a pixel.
            while (Self::Outline { em_px }).line_px() > line_px {
                em_px -= 0.25;
            }
            if em_px >= OUTLINE_MIN_PX {
                return Self::Outline {
                    em_px: em_px.min(OUTLINE_MAX_PX),
                };
            }
        }
        let mut best = Self::Pixel {
            font: PIXEL_FONTS[0],
            scale: 1,
        };
        for font in PIXEL_FONTS {
            let height = font.character_size.height;
            // The small fonts are too coarse to be enlarged.
            let most = if height < 13 { 1 } else { 12 };
            let scale = (line_px / height).min(most);
            let face = Self::Pixel { font, scale };
            if scale > 0 && face.line_px() >= best.line_px() {
                best = face;
            }
        }
        best
    }

    /// Height of a line.
    pub fn line_px(self) -> u32 {
        match self {
            Self::Pixel { font, scale } => font.character_size.height * scale,
            Self::Outline { em_px } => {
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
        match self {
            Self::Pixel { font, scale } => {
                ((font.character_size.width + font.character_spacing) * scale) as f32
            }
            Self::Outline { em_px } => {
                let units = glyph(c).and_then(|id| ROBOTO.glyph_hor_advance(id));
                f32::from(units.unwrap_or(0)) * em_px / f32::from(ROBOTO.units_per_em())
            }
        }
    }

    /// What is put where text was cut off. (The bitmap fonts have no ellipsis of their own.)
    pub fn ellipsis(self) -> &'static str {
        match self {
            Self::Pixel { .. } => "..",
            Self::Outline { .. } => "\u{2026}",
        }
    }

    /// The longest beginning of `text` that is at most `width_px` wide with what follows it ("" or the ellipsis).
    pub fn shortened(self, text: &str, width_px: u32) -> (&str, &'static str) {
        if self.width_px(text) <= width_px {
            return (text, "");
        }
        let room = width_px as f32 - self.measure(self.ellipsis());
        let mut used = 0.0;
        for (at, c) in text.char_indices() {
            used += self.advance(c);
            if used > room {
                return (text[..at].trim_end_matches([' ', '-']), self.ellipsis());
            }
        }
        (text, self.ellipsis())
    }
}

/// Roboto's glyph; '?' for what the shipped part does not have.
fn glyph(c: char) -> Option<GlyphId> {
    ROBOTO.glyph_index(c).or_else(|| ROBOTO.glyph_index('?'))
}

/// Draws text. It owns the buffer that outlines are summed up in, allocated once.
#[derive(Debug, Clone)]
pub struct Pen {
    raster: Raster,
}

impl Pen {
    /// A pen for a display of this height.
    pub fn new(height_px: u32) -> Self {
        // No face is larger than the display is high, and no glyph is wider than 1.2 em.
        let em_px = (height_px as f32).min(OUTLINE_MAX_PX);
        Self {
            raster: Raster::new((em_px * 1.3) as u32 + 4),
        }
    }

    /// Draws `text` from `left` on in a line whose top is `top`; nothing outside of `clip` is touched. Returns where it ended.
    pub fn draw(
        &mut self,
        canvas: &mut Canvas,
        face: Face,
        (left, top): (f32, i32),
        text: &str,
        colour: Rgb,
        clip: Rectangle,
    ) -> f32 {
        let mut x = left;
        for c in text.chars() {
            match face {
                Face::Pixel { font, scale } => {
                    let at = Point::new(x.round() as i32, top);
                    pixel_glyph(canvas, font, scale, at, c, colour, clip);
                }
                Face::Outline { em_px } => {
                    let baseline = top + (em_px * OUTLINE_ABOVE).ceil() as i32;
                    self.outline_glyph(canvas, em_px, (x, baseline), c, colour, clip);
                }
            }
            x += face.advance(c);
        }
        x
    }

    fn outline_glyph(
        &mut self,
        canvas: &mut Canvas,
        em_px: f32,
        (x, baseline): (f32, i32),
        c: char,
        colour: Rgb,
        clip: Rectangle,
    ) {
        let scale = em_px / f32::from(ROBOTO.units_per_em());
        let Some(id) = glyph(c) else { return };
        let Some(bounds) = ROBOTO.glyph_bounding_box(id) else {
            return; // a space
        };
        let left = (x + f32::from(bounds.x_min) * scale).floor();
        let right = (x + f32::from(bounds.x_max) * scale).ceil();
        let above = (f32::from(bounds.y_max) * scale).ceil();
        let below = (f32::from(bounds.y_min) * scale).floor();
        self.raster
            .begin((right - left) as u32 + 1, (above - below) as u32 + 1);
        let mut scaled = Scaled {
            raster: &mut self.raster,
            scale,
            x: x - left,
            y: above,
        };
        ROBOTO.outline_glyph(id, &mut scaled);
        let corner = Point::new(left as i32, baseline - above as i32);
        self.raster.finish(|x, y, coverage| {
            let at = corner + Point::new(x as i32, y as i32);
            if clip.contains(at) {
                canvas.blend(at.x, at.y, colour, coverage);
            }
        });
    }
}

/// Font units, y up, to pixels of the raster, y down.
struct Scaled<'a> {
    raster: &'a mut Raster,
    scale: f32,
    x: f32,
    y: f32,
}

impl Scaled<'_> {
    fn to_px(&self, x: f32, y: f32) -> (f32, f32) {
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

    fn curve_to(&mut self, _: f32, _: f32, _: f32, _: f32, x: f32, y: f32) {
        // TrueType outlines have no cubic curves; a straight edge keeps the shape closed.
        self.line_to(x, y);
    }

    fn close(&mut self) {
        self.raster.close();
    }
}

fn pixel_glyph(
    canvas: &mut Canvas,
    font: &MonoFont<'_>,
    scale: u32,
    at: Point,
    c: char,
    colour: Rgb,
    clip: Rectangle,
) {
    let size = font.character_size;
    let columns = font.image.size().width / size.width;
    let index = font.glyph_mapping.index(c) as u32;
    let corner = Point::new(
        (index % columns * size.width) as i32,
        (index / columns * size.height) as i32,
    );
    for dot in Rectangle::new(Point::zero(), size).points() {
        if font.image.pixel(corner + dot) == Some(BinaryColor::On) {
            let square = Rectangle::new(at + dot * scale as i32, Size::new_equal(scale));
            canvas.fill(square.intersection(&clip), colour);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATIN_1: std::ops::RangeInclusive<char> = '\u{a1}'..='\u{ff}';

    fn faces() -> impl Iterator<Item = Face> {
        [Depth::Mono, Depth::Rgb565]
            .into_iter()
            .flat_map(|depth| (6..=120).map(move |line_px| Face::of_height(line_px, depth)))
    }

    #[test]
    fn a_face_is_no_higher_than_its_room() {
        for line_px in 6..400 {
            for depth in [Depth::Mono, Depth::Rgb888] {
                let face = Face::of_height(line_px, depth);
                assert!(face.line_px() <= line_px, "{face:?}");
                assert!(face.line_px() * 2 > line_px || line_px > 238);
            }
        }
    }

    #[test]
    fn every_glyph_stays_in_its_line_and_near_its_advance() {
        let mut pen = Pen::new(200);
        for face in faces() {
            let line_px = face.line_px() as i32;
            for c in ('!'..='~').chain(LATIN_1) {
                let text = c.encode_utf8(&mut [0; 4]).to_string();
                let width = face.width_px(&text) + 40;
                let mut canvas = Canvas::new(width, line_px as u32 + 40, Depth::Rgb888);
                let all = canvas.bounding_box();
                pen.draw(&mut canvas, face, (20.0, 20), &text, [255; 3], all);
                let mut inked = 0;
                for at in all.points() {
                    let ink = canvas.pixel(at.x as u32, at.y as u32)[0];
                    inked += u32::from(ink > 0);
                    // An overhang is a fraction of a pixel to the left ('j') and right ('f') of the advance.
                    let overhang = line_px / 8 + 1;
                    let inside = (20..20 + line_px).contains(&at.y)
                        && (20 - overhang..=width as i32 - 20 + overhang).contains(&at.x);
                    assert!(ink == 0 || inside, "{c:?} of {face:?} at {at}");
                }
                assert!(inked > 0 || c == '\u{ad}', "{c:?} of {face:?} is empty");
            }
        }
    }

    #[test]
    fn nothing_is_drawn_outside_of_the_clip() {
        let mut pen = Pen::new(50);
        let clip = Rectangle::new(Point::new(10, 10), Size::new(15, 9));
        for face in faces() {
            let mut canvas = Canvas::new(60, 50, Depth::Rgb888);
            pen.draw(&mut canvas, face, (3.0, 4), "WgÖ@", [255; 3], clip);
            for at in canvas.bounding_box().points() {
                let ink = canvas.pixel(at.x as u32, at.y as u32)[0];
                assert!(ink == 0 || clip.contains(at), "{face:?} at {at}");
            }
        }
    }

    #[test]
    fn text_is_cut_where_it_no_longer_fits() {
        let face = Face::of_height(18, Depth::Mono);
        assert_eq!(face.shortened("tabby", 45), ("tabby", ""));
        assert_eq!(face.shortened("tabby", 44), ("ta", ".."));
        assert_eq!(face.shortened("ta bby", 50), ("ta", ".."));
        assert_eq!(face.shortened("tabby", 0), ("", ".."));
        for face in faces() {
            for width_px in 30..300 {
                let (kept, rest) = face.shortened("Staffordshire bullterrier", width_px);
                assert!(
                    face.width_px(kept) + face.width_px(rest) <= width_px + 1 || kept.is_empty()
                );
            }
        }
    }
}
