//! The picture of `eyelet display-test`: shows at a glance how a panel is set up.
//!
//! A one-pixel frame around everything; the corners numbered clockwise from the upper left; an arrow that points up; the kind,
//! the size, the drawing's orientation; bars of the primary colours with their letters, and steps of grey. On a black-and-white
//! display, stripes and checks of single pixels replace colours and greys.

use super::Painter;
use crate::show::TestPicture;
use crate::show::canvas::{Canvas, Orientation, Rgb};
use crate::show::font::Face;
use crate::show::layout::{Room, Side, square};
use crate::show::words::Text;
use crate::show::{Depth, Shape};
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use std::fmt::Write as _;

/// The text on it besides letters.
type Words = Text<40>;

const BLACK: Rgb = [0; 3];
const WHITE: Rgb = [255; 3];
/// Neither black nor white, so that both are visible on it.
const GROUND: Rgb = [56; 3];
/// The corners, clockwise from the upper left, and their labels.
const CORNERS: [(&str, Rgb, Rgb); 4] = [
    ("1", [200, 0, 0], WHITE),
    ("2", [0, 170, 0], BLACK),
    ("3", [0, 0, 220], WHITE),
    ("4", [230, 200, 0], BLACK),
];
/// Each primary colour with its letter.
const BARS: [(&str, Rgb); 8] = [
    ("R", [255, 0, 0]),
    ("G", [0, 255, 0]),
    ("B", [0, 0, 255]),
    ("C", [0, 255, 255]),
    ("M", [255, 0, 255]),
    ("Y", [255, 255, 0]),
    ("W", WHITE),
    ("K", BLACK),
];
/// Steps from black to white.
const GREYS: u32 = 16;
/// Which pixels are set, from the left: all, none, columns, rows, checks of one pixel and of two.
const PATTERNS: [fn(i32, i32) -> bool; 6] = [
    |_, _| true,
    |_, _| false,
    |x, _| x % 2 == 0,
    |_, y| y % 2 == 0,
    |x, y| (x + y) % 2 == 0,
    |x, y| (x / 2 + y / 2) % 2 == 0,
];
/// The lowest and highest lines of text.
const TEXT_MIN_PX: i32 = 8;
const TEXT_MAX_PX: i32 = 96;
/// The lowest arrow that is recognisable.
const ARROW_MIN_PX: i32 = 12;

impl Painter {
    /// Draws the test picture on the blank canvas.
    pub(super) fn test_picture(&mut self, test: TestPicture) {
        let (width_px, height_px) = (self.canvas.width_px(), self.canvas.height_px());
        let is_mono = self.canvas.depth() == Depth::Mono;
        let whole = Room::of(width_px, height_px);
        self.canvas.fill(whole.rectangle(), WHITE);
        let ground = if is_mono { BLACK } else { GROUND };
        let inner = whole.within(1).rectangle();
        match self.surface.shape {
            Shape::Rectangle => self.canvas.fill(inner, ground),
            Shape::Round => self.canvas.fill_rounded(inner, width_px / 2, ground),
        }

        // On a round display the corners of the square inside its circle are numbered.
        let seen = match self.surface.shape {
            Shape::Rectangle => whole,
            Shape::Round => square(width_px),
        };
        let shorter = seen.width().min(seen.height());
        let gap = (shorter / 60).max(1);
        let mark_px = (shorter / 7).clamp(9, 120);
        let mut room = seen.within(2 + gap);
        let mut upper = Room::around(room.take_top(mark_px, gap));
        let mut lower = Room::around(room.take_bottom(mark_px, gap));
        let places = [
            upper.take_left(mark_px, gap),
            upper.take_right(mark_px, gap),
            lower.take_right(mark_px, gap),
            lower.take_left(mark_px, gap),
        ];
        for (place, (number, colour, ink)) in places.iter().zip(CORNERS) {
            let (colour, ink) = if is_mono {
                (BLACK, WHITE)
            } else {
                (colour, ink)
            };
            self.canvas.fill(place.rectangle(), colour);
            self.centred(place, number, ink);
        }
        self.centred(&upper, test.kind, WHITE);
        let size = words(format_args!("{width_px} x {height_px}"));
        self.centred(&lower, size.as_str(), WHITE);

        if room.height() >= ARROW_MIN_PX {
            let width = (seen.width() / 6).min(room.height()).min(160);
            arrow(&mut self.canvas, &room.take_left(width, gap * 2), WHITE);
        }
        if room.height() >= 3 * TEXT_MIN_PX {
            self.turned(test, &mut room, mark_px, gap);
        }
        if is_mono {
            patterns(&mut self.canvas, &room);
            return;
        }
        let bars = Room::around(room.take_top((room.height() - gap) / 2, gap));
        // All letters are as large as the widest allows.
        let face = self.largest(&part(&bars, 0, BARS.len() as u32).within(1), "W");
        for (i, (letter, colour)) in (0..).zip(BARS) {
            let bar = part(&bars, i, BARS.len() as u32);
            self.canvas.fill(bar.rectangle(), colour);
            let is_dark = matches!(letter, "R" | "B" | "M" | "K");
            let ink = if is_dark { WHITE } else { BLACK };
            if let Some(face) = face {
                self.centred_in(face, &bar, letter, ink);
            }
        }
        for i in 0..GREYS {
            let grey = (i * 255 / (GREYS - 1)) as u8;
            let step = part(&room, i, GREYS);
            self.canvas.fill(step.rectangle(), [grey; 3]);
        }
    }

    /// The drawing's orientation, in the longest wording that fits; nothing if none does.
    fn turned(&mut self, test: TestPicture, room: &mut Room, mark_px: i32, gap: i32) {
        let Some(Orientation { rotation, mirror }) = test.orientation else {
            return;
        };
        let rotate_deg = rotation.degrees();
        let on = if mirror { "on" } else { "off" };
        let mirrored = if mirror { " mirrored" } else { "" };
        let spoken = [
            words(format_args!("rotate {rotate_deg}, mirror {on}")),
            words(format_args!("{rotate_deg}\u{b0}{mirrored}")),
        ];
        let mut below = *room;
        let line_px = (room.height() / 5).clamp(TEXT_MIN_PX, mark_px.max(TEXT_MIN_PX));
        let line = Room::around(below.take_top(line_px, gap));
        let fits = |text: &&Words| self.largest(&line, text.as_str()).is_some();
        if let Some(text) = spoken.iter().find(fits) {
            self.centred(&line, text.as_str(), WHITE);
            *room = below;
        }
    }

    /// The largest face in which a text fits into a place.
    fn largest(&self, room: &Room, text: &str) -> Option<Face> {
        let depth = self.canvas.depth();
        let highest = room.height().min(TEXT_MAX_PX);
        (TEXT_MIN_PX..=highest).rev().find_map(|line_px| {
            let face = Face::of_height(line_px as u32, depth);
            let is_fitting = face.line_px() as i32 <= room.height()
                && face.width_px(text) as i32 <= room.width();
            is_fitting.then_some(face)
        })
    }

    /// One line, vertically centred in its place and as large as it fits; nothing if it does not.
    fn centred(&mut self, room: &Room, text: &str, colour: Rgb) {
        if let Some(face) = self.largest(room, text) {
            self.centred_in(face, room, text, colour);
        }
    }

    fn centred_in(&mut self, face: Face, room: &Room, text: &str, colour: Rgb) {
        let spare = (room.width() - face.width_px(text) as i32) / 2;
        let place = Room {
            left: room.left + spare,
            ..*room
        };
        self.line(place.rectangle(), face, text, Side::Left, colour);
    }
}

impl Room {
    fn around(place: Rectangle) -> Self {
        Self {
            left: place.top_left.x,
            top: place.top_left.y,
            right: place.top_left.x + place.size.width as i32,
            bottom: place.top_left.y + place.size.height as i32,
        }
    }
}

/// Part `i` of `count` of a place, from the left; together they make up the whole place.
fn part(room: &Room, i: u32, count: u32) -> Room {
    let edge = |i: u32| room.left + (room.width() as u32 * i / count) as i32;
    Room {
        left: edge(i),
        right: edge(i + 1),
        ..*room
    }
}

fn words(arguments: std::fmt::Arguments<'_>) -> Words {
    let mut text = Words::new();
    // Text that does not fit is cut off, which cannot fail.
    let _ = text.write_fmt(arguments);
    text
}

/// An arrow that points up and fills its place.
fn arrow(canvas: &mut Canvas, room: &Room, colour: Rgb) {
    let (width, height) = (room.width(), room.height());
    let head = height / 2;
    for y in 0..height {
        // All widths have the parity of the place's, so that each row is centred.
        let row = match y < head {
            true => width * (y + 1) / head.max(1),
            false => width / 3,
        };
        let row = (row.max(1) - (width - row) % 2).clamp(1, width.max(1));
        let at = Point::new(room.left + (width - row) / 2, room.top + y);
        canvas.fill(Rectangle::new(at, Size::new(row as u32, 1)), colour);
    }
}

/// [`PATTERNS`] side by side, in a frame.
fn patterns(canvas: &mut Canvas, room: &Room) {
    canvas.fill(room.rectangle(), WHITE);
    let room = room.within(1);
    for (i, is_set) in (0..).zip(PATTERNS) {
        let place = part(&room, i, PATTERNS.len() as u32);
        for y in place.top..place.bottom {
            for x in place.left..place.right {
                let colour = if is_set(x, y) { WHITE } else { BLACK };
                canvas.set(x, y, colour);
            }
        }
    }
}
