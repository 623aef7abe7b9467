//! Draws a [`Scene`] into a [`Layout`].
//!
//! A class is shown as live only in [`State::Live`]; in the other states the places of label, percent, list and picture say what
//! is wrong instead, and no camera picture stays visible. Everything is clipped to its own place, so nothing can overlap its
//! neighbour.

mod distinct;
mod gauge;
mod palette;
mod regions;
mod test_picture;
mod undecided;

use super::canvas::{Canvas, Rgb};
use super::cells::Cells;
use super::font::{Face, Ink, Letters, Pen};
use super::layout::{Layout, Side, Surface};
use super::picture::Scaler;
use super::setting::Setting;
use super::words::{self, Label, Number};
use super::{DisplayError, DisplayKind, Fault, Scene, State};
use crate::decide::{Candidate, TOP};
use crate::show::{Depth, Refresh};
use distinct::Pieces;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use palette::Palette;
use std::time::Duration;

/// Of a fault that nothing here can mend.
const SEE_LOG: [&str; 2] = ["the serial log says why", "see the log"];

/// Draws scenes on one display. Allocates everything it needs on creation.
#[derive(Debug, Clone)]
pub struct Painter {
    canvas: Canvas,
    layout: Layout,
    surface: Surface,
    pen: Pen,
    scaler: Option<Scaler>,
    /// The places of several regions and the scalers of their pictures, on a display divided among them.
    divided: Option<(Cells, Vec<Scaler>)>,
    palette: Palette,
    own: Option<&'static Letters>,
}

impl Painter {
    /// A painter for a display of this size and depth; an error if nothing would be legible on it.
    pub fn new(width_px: u32, height_px: u32, depth: Depth) -> Result<Self, DisplayError> {
        Self::with_letters(width_px, height_px, depth, None)
    }

    /// The same with the letters of the board's own font file.
    pub fn with_letters(
        width_px: u32,
        height_px: u32,
        depth: Depth,
        own: Option<&'static Letters>,
    ) -> Result<Self, DisplayError> {
        Self::on(Surface::new(width_px, height_px, depth), own)
    }

    /// A painter for a display whose table defines its surface.
    pub(super) fn of(
        display: &dyn DisplayKind,
        own: Option<&'static Letters>,
    ) -> Result<Self, DisplayError> {
        let surface = display.surface().ok_or_else(|| {
            DisplayError::Unusable(format!("{display}: its table does not say its size"))
        })?;
        Self::on(surface, own)
    }

    /// A painter for this surface: a round display, or paper, which changes only with class, state and notice.
    pub fn on(surface: Surface, own: Option<&'static Letters>) -> Result<Self, DisplayError> {
        let Surface {
            width_px,
            height_px,
            depth,
            ..
        } = surface;
        if let Some(fault) = surface.fault() {
            return Err(DisplayError::Unusable(format!(
                "a display of {width_px} x {height_px} pixels cannot be drawn on: {fault}"
            )));
        }
        let layout = Layout::on(&surface);
        Ok(Self {
            canvas: Canvas::new(width_px, height_px, depth),
            scaler: layout.picture.map(Scaler::new),
            layout,
            surface,
            divided: None,
            pen: Pen::new(width_px.max(height_px), own),
            palette: Palette::of(&surface, State::Live),
            own,
        })
    }

    fn is_standing(&self) -> bool {
        self.surface.refresh == Refresh::Standing
    }

    /// What was drawn last.
    pub fn canvas(&self) -> &Canvas {
        &self.canvas
    }

    /// The places to draw in.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Draws the whole scene.
    pub fn draw(&mut self, scene: &Scene<'_>) -> &Canvas {
        let all = self.canvas.bounding_box();
        self.palette = Palette::of(&self.surface, scene.state);
        self.canvas.fill(all, self.palette.ground);
        match scene.state {
            State::Live if !scene.regions.is_empty() => self.live_regions(scene),
            State::Live => self.live(scene),
            State::Starting => {
                let colour = self.palette.warning;
                self.notice(
                    "starting",
                    "",
                    ["waiting for the camera", "please wait"],
                    colour,
                );
            }
            State::CameraLost { since } => {
                let doing = ["opening it again", "retrying"];
                self.fault(Fault::Camera.words(), Some(since), doing);
            }
            State::NetworkFails { since } => {
                self.fault(Fault::Network.words(), Some(since), SEE_LOG);
            }
            State::Test(test) => self.test_picture(test),
            State::Failed(cause) => self.fault(words::fault(cause), None, SEE_LOG),
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
        let verdict = scene.verdict;
        if let Some(Candidate { class, probability }) = verdict.and_then(|verdict| verdict.decided)
        {
            let name = words::class_name(scene.labels, class);
            let line_px = self.label(name.as_str(), palette.text);
            self.percent(words::percent(probability).as_str(), line_px, palette.text);
            self.share(probability, None, palette.good);
        } else {
            self.undecided(
                scene,
                verdict,
                self.layout.undecided,
                self.layout.label_side,
            );
            let (share, needed) = undecided::bar_of(verdict);
            self.share(share, needed, palette.warning);
        }
        self.details(scene);
    }

    /// The list and the frame rate.
    fn details(&mut self, scene: &Scene<'_>) {
        let palette = self.palette;
        if let Some(place) = self.layout.status {
            let (face, side) = (self.layout.status_face, self.layout.status_side);
            self.status(scene, place, face, side);
        }
        let Some(verdict) = scene.verdict else { return };
        let is_narrow = self.layout.list.is_narrow;
        let large = verdict.decided.unwrap_or(verdict.top[0]).class;
        let mut names = [Label::new(); TOP];
        let listed = verdict
            .candidates()
            .filter(|c| !is_narrow || c.class != large);
        for (name, candidate) in names.iter_mut().zip(listed) {
            *name = words::class_name(scene.labels, candidate.class);
        }
        // Not more labels than rows: one that is not shown is not to be told apart.
        let names = &names[..self.layout.list.rows.len().min(TOP)];
        let mut rows = 0;
        for &Candidate { class, probability } in verdict.candidates() {
            if is_narrow && class == large {
                continue;
            }
            let Some(&row) = self.layout.list.rows.get(rows) else {
                break;
            };
            rows += 1;
            let is_decided = verdict
                .decided
                .is_some_and(|decided| decided.class == class);
            let colour = if is_decided {
                palette.text
            } else {
                palette.quiet
            };
            let face = self.layout.list.face;
            let mut place = row.text;
            if !is_narrow {
                let percent: Number = words::percent(probability);
                self.line(place, face, percent.as_str(), Side::Right, colour);
                let taken = face.width_px("100%") + face.line_px() / 3;
                place.size.width = place.size.width.saturating_sub(taken);
            }
            let own = face.with(self.own);
            let pieces = distinct::pieces(own, names, rows - 1, place.size.width);
            self.pieces(place, own, pieces, Side::Left, colour);
            let fill = if is_decided {
                palette.good
            } else {
                palette.quiet
            };
            self.gauge(row.bar, probability, None, fill);
        }
    }

    /// The frame rate, or what is wrong with the board.
    fn status(&mut self, scene: &Scene<'_>, place: Rectangle, face: Face, side: Side) {
        if self.is_standing() && scene.notice.is_none() {
            self.standing_status(scene, place, face);
            return;
        }
        let rate = words::rate(scene.rate_fps);
        let (text, colour) = match scene.notice {
            Some(notice) => (notice, self.palette.alarm),
            None => (rate.as_str(), self.palette.quiet),
        };
        // Before the second frame there is no rate to show.
        if scene.rate_fps > 0.0 || scene.notice.is_some() {
            self.line(place, face, text, side, colour);
        }
    }

    /// A state that is a fault, as in [`Self::notice`].
    fn fault(&mut self, name: &str, since: Option<Duration>, doing: [&str; 2]) {
        let time = since.map(words::duration).unwrap_or_default();
        self.notice(name, time.as_str(), doing, self.palette.alarm);
    }

    /// A state without a class: its name, how long it has lasted, and what is being done (the longest wording that fits, if any).
    fn notice(&mut self, name: &str, time: &str, doing: [&str; 2], colour: Rgb) {
        if let Some(place) = self.layout.picture {
            self.no_picture(place, colour);
        }
        let line_px = self.label(name, colour);
        self.percent(time, line_px, colour);
        if self.canvas.depth() != Depth::Mono {
            self.share(0.0, None, colour);
        }
        if let Some(place) = self.layout.status {
            self.fitting(place, self.layout.status_face, &doing, self.palette.quiet);
        }
    }

    /// The first of these texts that fits, if any.
    fn fitting(&mut self, place: Rectangle, face: Face, texts: &[&str], colour: Rgb) {
        let fits = |text: &&&str| face.width_px(text) <= place.size.width;
        if let Some(text) = texts.iter().find(fits) {
            let side = match self.layout.label_side {
                Side::Middle => Side::Middle,
                _ => Side::Left,
            };
            self.line(place, face, text, side, colour);
        }
    }

    /// A camera symbol on a panel, used when there is no picture.
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

    /// The label as large as its place allows; returns the height of its lines.
    fn label(&mut self, text: &str, colour: Rgb) -> u32 {
        self.label_at(self.layout.label, text, self.layout.label_side, colour)
    }

    fn label_at(&mut self, place: Rectangle, text: &str, side: Side, colour: Rgb) -> u32 {
        let Size { width, height } = place.size;
        let set = Setting::of(text, (width, height), self.canvas.depth(), self.own);
        let line_px = set.face.line_px();
        let used = line_px * set.lines().len() as u32;
        let mut top = place.top_left.y + (height.saturating_sub(used) / 2) as i32;
        for line in set.lines() {
            let row = Rectangle::new(Point::new(place.top_left.x, top), Size::new(width, line_px));
            self.line(row, set.face, line, side, colour);
            top += line_px as i32;
        }
        line_px
    }

    /// The percent, or a time in its place, as large as it fits and no larger than the label's lines, but at least half the
    /// height of its place.
    fn percent(&mut self, text: &str, line_px: u32, colour: Rgb) {
        if let Some(place) = self.layout.percent {
            let line_px = line_px.max(place.size.height / 2);
            self.percent_at(place, text, line_px, self.layout.percent_side, colour);
        }
    }

    fn percent_at(&mut self, place: Rectangle, text: &str, most: u32, side: Side, colour: Rgb) {
        let depth = self.canvas.depth();
        let fitting = (6..=place.size.height.min(most))
            .rev()
            .map(|line_px| Face::of_height(line_px, depth))
            .find(|face| face.width_px(text) <= place.size.width);
        let face = fitting.unwrap_or(Face::of_height(0, depth));
        self.line(place, face, text, side, colour);
    }

    /// One line, vertically centred in its place and shortened to its width.
    fn line(&mut self, place: Rectangle, face: Face, text: &str, side: Side, colour: Rgb) {
        let face = face.with(self.own);
        let (kept, ellipsis) = face.shortened(text, place.size.width);
        self.pieces(place, face, [kept, ellipsis, "", ""], side, colour);
    }

    /// One line of these pieces, vertically centred in its place.
    fn pieces(
        &mut self,
        place: Rectangle,
        face: Face,
        pieces: Pieces<'_>,
        side: Side,
        colour: Rgb,
    ) {
        let width: u32 = pieces.iter().map(|piece| face.width_px(piece)).sum();
        let spare = place.size.width as i32 - width as i32;
        let left = place.top_left.x
            + match side {
                Side::Left => 0,
                Side::Middle => spare / 2,
                Side::Right => spare,
            };
        let top = place.top_left.y + (place.size.height as i32 - face.line_px() as i32) / 2;
        let (pen, canvas) = (&mut self.pen, &mut self.canvas);
        let ink = Ink {
            colour,
            clip: place,
        };
        let mut end = left as f32;
        for piece in pieces {
            end = pen.draw(canvas, face, (end, top), piece, ink);
        }
    }
}
