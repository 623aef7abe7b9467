//! The layout of a display of a given size. Computed once at start; [`super::draw`] fills it in.
//!
//! The policy, most important first: the **label** is the largest element everywhere; then the **percent** with its bar; then the
//! camera's **picture**; then the **list** of the best classes; then the **status** (frame rate). Whatever does not fit legibly
//! is left out entirely rather than made tiny.
//!
//! | display | arrangement |
//! |---|---|
//! | *strip*: lower than 100 px, over 2.6 times as wide as high (1.6 times below 200 px of height), or landscape and too small for a picture | label above, bar and percent below; status only from 48 px of height; picture on the left from 96 px (never in black and white) |
//! | *card*: landscape and square | picture at the upper left, list and status right of it, below them label and percent in one line, bar at the bottom. If the column beside the picture is too narrow for a list (under 7 times its line, or lines under 13 px), the percent is there, and below it the names of the next two classes above their bars |
//! | *tower*: over 1.15 times as high as wide | picture across the top with the bar at its bottom, the label, status and percent in one line. From 300 px of width and 1.5 times that height there is a list: picture, label, percent beside its bar, list, status |
//! | *round* | the percent as a ring along the edge; picture, label, percent and status centred in the circle |
//! | *paper* ([`Refresh::Standing`]) | label, and a line at the bottom for what is wrong: nothing that changes with every frame |
//!
//! Sizes in pixels follow from the height (card) or the width (tower): margin 1/24, label line 1/6 (tower with a list: 1/5) or what is left
//! (in a strip half of the height), bar 1/28, list text 1/12 (1/14 with five rows, 1/15 in a tower). Five rows of the list from a height of
//! 480 px, three below that.
//! A black-and-white display has a (dithered) picture only if its shorter side is 200 px or more.
//!
//! While no class is decided, the label's place is shared by the word for that and a line with the best class: [`Undecided`].
//!
//! Invariants, checked by a test for random sizes: all places are inside the display, and no two overlap.

mod card;
mod paper;
mod room;
mod round;
mod strip;
mod surface;
mod tower;

pub(super) use room::{Part, Room};
pub(super) use round::square;

use super::font::Face;
use super::ring::Ring;
use crate::show::Depth;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

pub use surface::{Refresh, Shape, Surface};

/// The smallest display that shows a picture, by its shorter side: in black and white, in colour.
const PICTURED_MIN_PX: [u32; 2] = [200, 72];
/// A display with more than this ratio of height to width is a tower.
const TOWER_PERCENT: u32 = 115;
/// One with more than this ratio of width to height is a strip: below [`LOW_PX`], and from there on.
const STRIP_PERCENT: [u32; 2] = [160, 260];
/// Below this height a picture takes so much room that the words need the full width beside it sooner.
const LOW_PX: u32 = 200;
/// Below this height a display is a strip, however narrow.
const STRIP_BELOW_PX: u32 = 100;
/// The lowest strip with a picture.
const PICTURED_STRIP_MIN_PX: u32 = 96;
/// The largest fraction of a narrow display's width for the percent.
const MAX_PERCENT: Part = Part(2, 3);

/// The lowest line height of a list.
const ROW_MIN_PX: i32 = 13;

/// One display's layout; what it leaves out is `None`.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    /// The camera's picture, a square.
    pub picture: Option<Rectangle>,
    /// The label.
    pub label: Rectangle,
    /// Alignment of the label in its place.
    pub label_side: Side,
    /// The same place while no class is decided.
    pub undecided: Undecided,
    /// The percent.
    pub percent: Option<Rectangle>,
    /// Alignment of the percent in its place.
    pub percent_side: Side,
    /// The percent as a bar.
    pub bar: Option<Rectangle>,
    /// The percent as a ring.
    pub ring: Option<Ring>,
    /// The next best classes.
    pub list: List,
    /// The frame rate, or what is being done about a lost camera.
    pub status: Option<Rectangle>,
    /// Alignment of the frame rate in its place.
    pub status_side: Side,
    /// Typeface of the status.
    pub status_face: Face,
}

/// The best classes, one row per class, best first.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// Their places.
    pub rows: Vec<Row>,
    /// Typeface of their text.
    pub face: Face,
    /// Whether it is too narrow for percents; then it also omits the class that is shown large.
    pub is_narrow: bool,
}

/// Alignment of text in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Side {
    /// Flush left.
    #[default]
    Left,
    /// In the middle.
    Middle,
    /// Flush right.
    Right,
}

/// One row of the list.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Name and percent.
    pub text: Rectangle,
    /// The percent as a bar.
    pub bar: Rectangle,
}

/// A label's place while no class is decided.
#[derive(Debug, Clone, Copy, Default)]
pub struct Undecided {
    /// All of it, for the word only.
    pub whole: Rectangle,
    /// The word for that.
    pub word: Rectangle,
    /// The best class, its percent and the percent it would need, if the height allows a second line.
    pub guess: Option<Rectangle>,
    /// Typeface of the guess.
    pub face: Face,
}

impl Undecided {
    /// Divides the place of a label.
    pub fn within(label: Rectangle, depth: Depth) -> Self {
        let height = label.size.height as i32;
        // A third, and a legible line; the word keeps the larger one.
        let least = if depth == Depth::Mono { 8 } else { 15 };
        let most = (label.size.width as i32 / 11).max(least);
        let face = face((height / 3).clamp(least, most), depth);
        let line = face.line_px() as i32;
        let is_shared = height >= line * 2 + 3;
        let mut word = label;
        let guess = is_shared.then(|| {
            word.size.height -= line as u32;
            let top_left = word.top_left + Point::new(0, word.size.height as i32);
            Rectangle::new(top_left, Size::new(label.size.width, line as u32))
        });
        Self {
            whole: label,
            word,
            guess,
            face,
        }
    }
}

impl Layout {
    /// The layout of a rectangular display that may change with every frame.
    pub fn of(width_px: u32, height_px: u32, depth: Depth) -> Self {
        Self::on(&Surface::new(width_px, height_px, depth))
    }

    /// The layout of a display without [`Surface::fault`].
    pub fn on(surface: &Surface) -> Self {
        let &Surface {
            width_px,
            height_px,
            depth,
            ..
        } = surface;
        let room = match surface.shape {
            Shape::Round if surface.refresh == Refresh::Standing => square(width_px),
            Shape::Round => return round::round(width_px, depth),
            Shape::Rectangle => Room::of(width_px, height_px),
        };
        if surface.refresh == Refresh::Standing {
            return paper::paper(room, depth);
        }
        let shorter_px = width_px.min(height_px);
        let pictured = shorter_px >= PICTURED_MIN_PX[usize::from(depth != Depth::Mono)];
        let strip_percent = STRIP_PERCENT[usize::from(height_px >= LOW_PX)];
        let is_flat = width_px * 100 > height_px * strip_percent;
        if height_px * 100 > width_px * TOWER_PERCENT {
            tower::tower(room, depth, pictured)
        } else if height_px < STRIP_BELOW_PX || is_flat || !pictured {
            strip::strip(room, depth, pictured && height_px >= PICTURED_STRIP_MIN_PX)
        } else {
            card::card(room, depth, pictured)
        }
    }

    /// An arrangement's result, with the label's place while no class is decided.
    fn with_undecided(mut self, depth: Depth) -> Self {
        self.undecided = Undecided::within(self.label, depth);
        self
    }

    /// Every rectangular place, with its name.
    pub fn places(&self) -> impl Iterator<Item = (&'static str, Rectangle)> {
        let rows = self.list.rows.iter();
        [
            ("label", Some(self.label)),
            ("percent", self.percent),
            ("bar", self.bar),
            ("picture", self.picture),
            ("status", self.status),
        ]
        .into_iter()
        .filter_map(|(name, place)| Some((name, place?)))
        .chain(rows.flat_map(|row| [("row", row.text), ("row's bar", row.bar)]))
    }
}

/// Faces of a height computed in whole pixels.
pub(super) fn face(line_px: i32, depth: Depth) -> Face {
    Face::of_height(line_px.max(0) as u32, depth)
}

/// Room for "100%", but not all of a narrow display's width.
pub(super) fn percent_width(face: Face, room: Room) -> i32 {
    (face.width_px("100%") as i32 + 1).min(MAX_PERCENT.of(room.width()))
}

/// The first of `counts` rows that fits, or none, spread over the room's height.
fn list(room: Room, face: Face, counts: &[i32]) -> Vec<Row> {
    let line = face.line_px() as i32;
    let (bar, air) = ((line / 5).max(2), line / 10);
    let closest = line + air + bar + (line / 4).max(2);
    let mut counts = counts.iter().copied();
    let Some(count) = counts.find(|n| n * closest <= room.height()) else {
        return Vec::new();
    };
    let pitch = (room.height() / count).min(closest * 2);
    let spare = room.height() - pitch * count;
    (0..count)
        .map(|i| {
            let mut row = room;
            row.bottom = room.top + spare + (i + 1) * pitch;
            let bar = row.take_bottom(bar, air);
            let text = row.take_bottom(line, 0);
            Row { text, bar }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(width_px: u32, height_px: u32, depth: Depth) {
        check_on(Surface::new(width_px, height_px, depth));
    }

    fn check_on(surface: Surface) {
        let Surface {
            width_px,
            height_px,
            depth,
            ..
        } = surface;
        let layout = Layout::on(&surface);
        let undecided = layout.undecided;
        if let Some(guess) = undecided.guess {
            for part in [guess, undecided.word] {
                assert_eq!(part.intersection(&layout.label), part, "{surface:?}");
            }
            assert!(undecided.word.intersection(&guess).is_zero_sized());
            assert!(guess.size.height <= undecided.word.size.height);
        }
        let whole = Rectangle::new(Point::zero(), Size::new(width_px, height_px));
        let places: Vec<_> = layout.places().collect();
        for (i, (name, place)) in places.iter().enumerate() {
            let context = || format!("{name} {place:?} on {width_px} x {height_px} {depth:?}");
            assert!(!place.is_zero_sized(), "{}", context());
            assert_eq!(place.intersection(&whole), *place, "{}", context());
            for (other, area) in &places[..i] {
                let shared = place.intersection(area);
                assert!(
                    shared.is_zero_sized(),
                    "{} over {other} {area:?}",
                    context()
                );
            }
        }
        let smallest = Face::of_height(0, depth).line_px();
        assert!(
            layout.label.size.height >= smallest,
            "{width_px} x {height_px}"
        );
        let percent = layout.percent.expect("every display but paper has one");
        assert!(percent.size.height >= smallest, "{width_px} x {height_px}");
    }

    #[test]
    fn places_lie_inside_and_apart() {
        let mut random = fastrand::Rng::with_seed(7);
        for depth in [Depth::Mono, Depth::Rgb565] {
            for (width_px, height_px) in
                [(32, 32), (128, 32), (32, 128), (1920, 1080), (1080, 1920)]
            {
                check(width_px, height_px, depth);
            }
            for _ in 0..4000 {
                let side = |r: &mut fastrand::Rng, most: u32| {
                    // Small displays as often as large ones.
                    let least = crate::limits::DISPLAY_SIDE_PX.least as u32;
                    let most = r.u32(least..=most);
                    r.u32(least..=most)
                };
                let (width_px, height_px) = (side(&mut random, 1920), side(&mut random, 1920));
                check(width_px, height_px, depth);
            }
        }
    }

    #[test]
    fn the_usual_displays_have_what_the_policy_promises() {
        let rows = |w, h| Layout::of(w, h, Depth::Rgb565).list.rows.len();
        assert_eq!([rows(320, 240), rows(480, 320), rows(800, 480)], [3, 3, 5]);
        assert_eq!(
            [rows(1024, 600), rows(1920, 1080), rows(480, 800)],
            [5, 5, 3]
        );
        assert_eq!(
            [
                rows(240, 240),
                rows(320, 480),
                rows(160, 128),
                rows(240, 135)
            ],
            [2, 3, 0, 0]
        );
        let pictured = |w, h, depth| Layout::of(w, h, depth).picture.is_some();
        assert!(!pictured(128, 64, Depth::Mono));
        for (w, h) in [(160, 128), (240, 240), (240, 320), (480, 320)] {
            assert!(pictured(w, h, Depth::Rgb565));
        }
    }
}
