//! A [`Scene`] into the places of a [`Layout`].
//!
//! A class is shown as live only in [`State::Live`]; in the other states the places of label, percent, list and picture say
//! what is the matter instead, and no picture of the camera is left standing. Each thing is clipped to its own place, so
//! nothing can run into its neighbour.

mod regions;
mod test_picture;

use super::canvas::{Canvas, Rgb};
use super::cells::Cells;
use super::font::{Face, Letters, Pen};
use super::layout::{Layout, MIN_SIDE_PX, Side};
use super::picture::Scaler;
use super::setting::Setting;
use super::words::{self, Label, Number};
use super::{DisplayError, Scene, State};
use crate::board::Depth;
use crate::decide::Candidate;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

/// What a display of one depth paints with.
#[derive(Debug, Clone, Copy)]
struct Palette {
    ground: Rgb,
    panel: Rgb,
    text: Rgb,
    quiet: Rgb,
    good: Rgb,
    doubt: Rgb,
    alarm: Rgb,
}

const COLOUR: Palette = Palette {
    ground: [10, 14, 20],
    panel: [35, 43, 54],
    text: [245, 248, 250],
    quiet: [148, 163, 178],
    good: [52, 211, 132],
    doubt: [245, 184, 61],
    alarm: [255, 92, 84],
};

const MONO: Palette = Palette {
    ground: [0; 3],
    panel: [0; 3],
    text: [255; 3],
    quiet: [255; 3],
    good: [255; 3],
    doubt: [255; 3],
    alarm: [255; 3],
};

/// Draws scenes on one display. Everything it needs is allocated when it is made.
#[derive(Debug, Clone)]
pub struct Painter {
    canvas: Canvas,
    layout: Layout,
    pen: Pen,
    scaler: Option<Scaler>,
    /// The places of several regions and the scalers of their pictures, on a display that is divided among them.
    divided: Option<(Cells, Vec<Scaler>)>,
    palette: Palette,
    own: Option<&'static Letters>,
}

impl Painter {
    /// A painter for a display of this size and depth; an error when nothing would be legible on it.
    pub fn new(width_px: u32, height_px: u32, depth: Depth) -> Result<Self, DisplayError> {
        Self::with_letters(width_px, height_px, depth, None)
    }

    /// The same with letters of a font file of the board's own.
    pub fn with_letters(
        width_px: u32,
        height_px: u32,
        depth: Depth,
        own: Option<&'static Letters>,
    ) -> Result<Self, DisplayError> {
        if width_px.min(height_px) < MIN_SIDE_PX || width_px.max(height_px) > 8192 {
            return Err(DisplayError::Unusable(format!(
                "a display of {width_px} x {height_px} pixels cannot be drawn on: each side must be {MIN_SIDE_PX} to 8192"
            )));
        }
        let layout = Layout::of(width_px, height_px, depth);
        Ok(Self {
            canvas: Canvas::new(width_px, height_px, depth),
            scaler: layout.picture.map(Scaler::new),
            layout,
            divided: None,
            pen: Pen::new(width_px.max(height_px), own),
            palette: if depth == Depth::Mono { MONO } else { COLOUR },
            own,
        })
    }

    /// What was drawn last.
    pub fn canvas(&self) -> &Canvas {
        &self.canvas
    }

    /// The places that things are drawn in.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Draws the scene, whole.
    pub fn draw(&mut self, scene: &Scene<'_>) -> &Canvas {
        let all = self.canvas.bounding_box();
        self.canvas.fill(all, self.palette.ground);
        match scene.state {
            State::Live if !scene.regions.is_empty() => self.live_regions(scene),
            State::Live => self.live(scene),
            State::Starting => {
                let colour = self.palette.doubt;
                self.notice(
                    "starting",
                    "",
                    ["waiting for the camera", "please wait"],
                    colour,
                );
            }
            State::CameraLost { since } => {
                let colour = self.palette.alarm;
                let time = words::duration(since);
                self.notice(
                    "camera lost",
                    time.as_str(),
                    ["opening it again", "retrying"],
                    colour,
                );
            }
            State::Test(test) => self.test_picture(test),
            State::Failed(cause) => {
                let colour = self.palette.alarm;
                self.notice(
                    words::fault(cause),
                    "",
                    ["the serial log says why", "see the log"],
                    colour,
                );
            }
        }
        &self.canvas
    }

    fn live(&mut self, scene: &Scene<'_>) {
        let palette = self.palette;
        if let (Some(place), Some(scaler)) = (self.layout.picture, &mut self.scaler) {
            let picture = scene.picture.as_ref();
            if !picture.is_some_and(|picture| scaler.draw(&mut self.canvas, picture)) {
                self.no_picture(place, palette.quiet);
            }
        }
        let decided = scene.verdict.and_then(|verdict| verdict.decided);
        let Some(Candidate { class, probability }) = decided else {
            let unknown = words::legible(scene.unknown_label);
            self.label(unknown.as_str(), palette.doubt);
            self.gauge(self.layout.bar, 0.0, palette.doubt);
            self.details(scene);
            return;
        };
        let name = words::class_name(scene.labels, class);
        self.label(name.as_str(), palette.text);
        self.percent(words::percent(probability).as_str(), palette.text);
        self.gauge(self.layout.bar, probability, palette.good);
        self.details(scene);
    }

    /// The list and the frame rate.
    fn details(&mut self, scene: &Scene<'_>) {
        let palette = self.palette;
        if let Some(place) = self.layout.status {
            let side = if self.layout.rows.is_empty() {
                Side::Left
            } else {
                Side::Right
            };
            self.status(scene, place, self.layout.status_face, side);
        }
        let Some(verdict) = scene.verdict else { return };
        for i in 0..self.layout.rows.len().min(verdict.top.len()) {
            let (row, Candidate { class, probability }) = (self.layout.rows[i], verdict.top[i]);
            // A network of two classes has no third one.
            if verdict.top[..i].iter().any(|better| better.class == class) {
                break;
            }
            let first = verdict
                .decided
                .is_some_and(|decided| decided.class == class);
            let colour = if first { palette.text } else { palette.quiet };
            let name: Label = words::class_name(scene.labels, class);
            let percent: Number = words::percent(probability);
            let face = self.layout.row_face;
            let mut place = row.text;
            self.line(place, face, percent.as_str(), Side::Right, colour);
            let taken = face.width_px("100%") + face.line_px() / 3;
            place.size.width = place.size.width.saturating_sub(taken);
            self.line(place, face, name.as_str(), Side::Left, colour);
            let fill = if first { palette.good } else { palette.quiet };
            self.gauge(row.bar, probability, fill);
        }
    }

    /// The frame rate, or what is the matter with the board.
    fn status(&mut self, scene: &Scene<'_>, place: Rectangle, face: Face, side: Side) {
        let rate = words::rate(scene.rate_fps);
        let (text, colour) = match scene.notice {
            Some(notice) => (notice, self.palette.alarm),
            None => (rate.as_str(), self.palette.quiet),
        };
        // Before the second frame there is no rate to tell.
        if scene.rate_fps > 0.0 || scene.notice.is_some() {
            self.line(place, face, text, side, colour);
        }
    }

    /// A state without a class: its name, how long it lasts, and what is being done (the longer words that fit, if any do).
    fn notice(&mut self, name: &str, time: &str, doing: [&str; 2], colour: Rgb) {
        if let Some(place) = self.layout.picture {
            self.no_picture(place, colour);
        }
        self.label(name, colour);
        self.percent(time, colour);
        if self.canvas.depth() != Depth::Mono {
            self.gauge(self.layout.bar, 0.0, colour);
        }
        let (face, quiet) = (self.layout.status_face, self.palette.quiet);
        if let Some(place) = self.layout.status {
            let fits = |text: &&str| face.width_px(text) <= place.size.width;
            let text = doing.into_iter().find(fits).unwrap_or("");
            self.line(place, face, text, Side::Left, quiet);
        }
    }

    /// The drawing of a camera on a panel, where there is no picture.
    fn no_picture(&mut self, place: Rectangle, colour: Rgb) {
        let canvas = &mut self.canvas;
        canvas.fill(place, self.palette.panel);
        let unit = place.size.width / 16;
        let part = |x: u32, y: u32, width: u32, height: u32| {
            let corner = Point::new((x * unit) as i32, (y * unit) as i32);
            let spare = ((place.size.width - 16 * unit) / 2) as i32;
            let origin = place.top_left + Point::new(spare, spare);
            Rectangle::new(origin + corner, Size::new(width * unit, height * unit))
        };
        canvas.fill_rounded(part(6, 4, 4, 3), unit / 2, colour);
        canvas.fill_rounded(part(3, 5, 10, 7), unit, colour);
        canvas.fill_rounded(part(6, 6, 4, 4), unit * 2, self.palette.panel);
        canvas.fill_rounded(part(7, 7, 2, 2), unit, colour);
    }

    /// The label as large as its place allows.
    fn label(&mut self, text: &str, colour: Rgb) {
        self.label_at(self.layout.label, text, colour);
    }

    fn label_at(&mut self, place: Rectangle, text: &str, colour: Rgb) {
        let Size { width, height } = place.size;
        let set = Setting::of(text, (width, height), self.canvas.depth(), self.own);
        let line_px = set.face.line_px();
        let used = line_px * set.lines().len() as u32;
        let mut top = place.top_left.y + (height.saturating_sub(used) / 2) as i32;
        for line in set.lines() {
            let row = Rectangle::new(Point::new(place.top_left.x, top), Size::new(width, line_px));
            self.line(row, set.face, line, Side::Left, colour);
            top += line_px as i32;
        }
    }

    /// The percent, or a time in its place, as large as it fits.
    fn percent(&mut self, text: &str, colour: Rgb) {
        self.percent_at(self.layout.percent, text, colour);
    }

    fn percent_at(&mut self, place: Rectangle, text: &str, colour: Rgb) {
        let depth = self.canvas.depth();
        let fitting = (6..=place.size.height)
            .rev()
            .map(|line_px| Face::of_height(line_px, depth))
            .find(|face| face.width_px(text) <= place.size.width);
        let face = fitting.unwrap_or(Face::of_height(0, depth));
        self.line(place, face, text, Side::Right, colour);
    }

    /// One line in the middle of its place's height, shortened to its width.
    fn line(&mut self, place: Rectangle, face: Face, text: &str, side: Side, colour: Rgb) {
        let face = face.with(self.own);
        let (kept, ellipsis) = face.shortened(text, place.size.width);
        let left = match side {
            Side::Left => place.top_left.x,
            Side::Right => {
                let width = face.width_px(kept) + face.width_px(ellipsis);
                place.top_left.x + place.size.width as i32 - width as i32
            }
        };
        let top = place.top_left.y + (place.size.height as i32 - face.line_px() as i32) / 2;
        let (pen, canvas) = (&mut self.pen, &mut self.canvas);
        let end = pen.draw(canvas, face, (left as f32, top), kept, colour, place);
        pen.draw(canvas, face, (end, top), ellipsis, colour, place);
    }

    /// A bar that is filled from the left.
    fn gauge(&mut self, place: Rectangle, share: f32, colour: Rgb) {
        let share = if share.is_finite() {
            share.clamp(0.0, 1.0)
        } else {
            0.0
        };
        let filled = (place.size.width as f32 * share).round() as u32;
        let part = Rectangle::new(place.top_left, Size::new(filled, place.size.height));
        if self.canvas.depth() == Depth::Mono {
            // A frame instead of a darker ground.
            let inner = Rectangle::new(
                place.top_left + Point::new(1, 1),
                place.size.saturating_sub(Size::new(2, 2)),
            );
            self.canvas.fill(place, colour);
            self.canvas.fill(inner, self.palette.ground);
            self.canvas.fill(part, colour);
            return;
        }
        let radius = place.size.height / 2;
        self.canvas.fill_rounded(place, radius, self.palette.panel);
        self.canvas.fill_rounded(part, radius, colour);
    }
}
