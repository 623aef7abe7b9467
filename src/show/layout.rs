//! Where everything stands on a display of a given size. Worked out once at start; [`super::draw`] fills it in.
//!
//! The policy, from the most important down: the **label** is the largest thing everywhere; then the **percent** with its bar;
//! then the camera's **picture**; then the **list** of the best three (five) classes; then the **status** (frame rate).
//! What does not fit legibly is left out whole rather than made tiny.
//!
//! | shape of the display | arrangement |
//! |---|---|
//! | *strip*: lower than 100 px, or over 2.6 times as wide as high, or landscape and too small for a picture | label above, bar and percent below; status only from 48 px of height; picture at the left from 96 px (never in black and white) |
//! | *card*: landscape and square | picture at the upper left, list and status right of it, below them label and percent in one line, bar at the foot. Where the column beside the picture is too narrow for a list (under 7 times its line, or lines under 13 px), the percent stands there |
//! | *tower*: over 1.15 times as high as wide | picture across the top, the bar at its foot, the label, status and percent in one line. From 300 px of width and 1.5 times that of height there is a list: picture, label and percent in one line, bar, list, status |
//!
//! Sizes in pixels follow from the height (card) or the width (tower): margin 1/24, label line 1/6 or what is left (in a strip half
//! of the height), bar 1/28, list text 1/12 (1/14 with five rows, 1/15 in a tower). Five rows of the list from a height of 480 px, three below that.
//! A black-and-white display has a picture (dithered) only when its shorter side is 200 px or more.
//!
//! Invariants, checked for random sizes by a test: all places lie inside of the display, and no two overlap.

use super::font::Face;
use crate::board::Depth;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

/// The smallest side that anything is drawn for.
pub const MIN_SIDE_PX: u32 = 32;

/// The lowest line that a list is set in.
const ROW_MIN_PX: i32 = 13;

/// One display's places.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The camera's picture, a square.
    pub picture: Option<Rectangle>,
    /// The label, left in its place.
    pub label: Rectangle,
    /// The percent, right in its place.
    pub percent: Rectangle,
    /// The percent as a bar.
    pub bar: Rectangle,
    /// The best classes, one place a row, best first.
    pub rows: Vec<Row>,
    /// The frame rate, or what is being done about a lost camera.
    pub status: Option<Rectangle>,
    /// Where in its place the frame rate stands.
    pub status_side: Side,
    /// Face of the list's text.
    pub row_face: Face,
    /// Face of the status.
    pub status_face: Face,
}

/// Which side of its place text is set at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Flush left.
    Left,
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

impl Layout {
    /// The places for a display of this size (at least [`MIN_SIDE_PX`] each way).
    pub fn of(width_px: u32, height_px: u32, depth: Depth) -> Self {
        let room = Room::of(width_px, height_px);
        let pictured = match depth {
            Depth::Mono => width_px.min(height_px) >= 200,
            _ => width_px.min(height_px) >= 72,
        };
        if height_px * 100 > width_px * 115 {
            tower(room, depth, pictured)
        } else if height_px < 100 || width_px * 10 > height_px * 26 || !pictured {
            strip(room, depth, pictured && height_px >= 96)
        } else {
            card(room, depth, pictured)
        }
    }

    /// Every place, with its name.
    pub fn places(&self) -> impl Iterator<Item = (&'static str, Rectangle)> {
        let rows = self.rows.iter();
        [
            ("label", self.label),
            ("percent", self.percent),
            ("bar", self.bar),
        ]
        .into_iter()
        .chain(self.picture.map(|place| ("picture", place)))
        .chain(self.status.map(|place| ("status", place)))
        .chain(rows.flat_map(|row| [("row", row.text), ("row's bar", row.bar)]))
    }
}

/// A rectangle that is eaten up from its sides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub left: i32,
    pub top: i32,
    pub right: i32,
    pub bottom: i32,
}

impl Room {
    /// A whole display.
    pub fn of(width_px: u32, height_px: u32) -> Self {
        Self {
            left: 0,
            top: 0,
            right: width_px as i32,
            bottom: height_px as i32,
        }
    }

    pub fn width(&self) -> i32 {
        (self.right - self.left).max(0)
    }

    pub fn height(&self) -> i32 {
        (self.bottom - self.top).max(0)
    }

    pub fn within(mut self, margin: i32) -> Self {
        self.left += margin;
        self.top += margin;
        self.right -= margin;
        self.bottom -= margin;
        self
    }

    /// Takes `height` (at most what there is) from the bottom, and a gap above that.
    pub fn take_bottom(&mut self, height: i32, gap: i32) -> Rectangle {
        let height = height.clamp(0, self.height());
        let taken = Self {
            top: self.bottom - height,
            ..*self
        };
        self.bottom -= height + gap;
        taken.rectangle()
    }

    pub fn take_top(&mut self, height: i32, gap: i32) -> Rectangle {
        let height = height.clamp(0, self.height());
        let taken = Self {
            bottom: self.top + height,
            ..*self
        };
        self.top += height + gap;
        taken.rectangle()
    }

    pub fn take_left(&mut self, width: i32, gap: i32) -> Self {
        let width = width.clamp(0, self.width());
        let taken = Self {
            right: self.left + width,
            ..*self
        };
        self.left += width + gap;
        taken
    }

    pub fn take_right(&mut self, width: i32, gap: i32) -> Self {
        let width = width.clamp(0, self.width());
        let taken = Self {
            left: self.right - width,
            ..*self
        };
        self.right -= width + gap;
        taken
    }

    pub fn rectangle(&self) -> Rectangle {
        Rectangle::new(
            Point::new(self.left, self.top),
            Size::new(self.width() as u32, self.height() as u32),
        )
    }
}

/// Faces of a height that is worked out in whole pixels.
pub(super) fn face(line_px: i32, depth: Depth) -> Face {
    Face::of_height(line_px.max(0) as u32, depth)
}

fn strip(room: Room, depth: Depth, pictured: bool) -> Layout {
    let (mut room, height) = (room, room.height());
    // Small black-and-white panels have a black rim of their own.
    let rimmed = depth == Depth::Mono && height < 100;
    let margin = if rimmed { 0 } else { height / 24 };
    room = room.within(margin);
    let gap = (height / 16).max(1);
    let picture = pictured.then(|| {
        let side = room.height().min(room.width() / 3);
        room.take_left(side, gap * 2).rectangle()
    });

    let status_face = face((height / 6).max(10), depth);
    let status = (height >= 48).then(|| room.take_bottom(status_face.line_px() as i32, gap));
    let percent_height = if status.is_some() {
        height / 5 + 1
    } else {
        height * 3 / 8
    };
    let percent_face = face(percent_height.max(8), depth);
    let mut foot = room;
    foot.top = room.bottom - percent_face.line_px() as i32;
    let percent = foot.take_right(percent_width(percent_face, room), gap * 2);
    room.bottom = foot.top - gap;
    let thickness = (foot.height() * 3 / 5).max(3);
    foot.top += (foot.height() - thickness) / 2;
    foot.bottom = foot.top + thickness;

    Layout {
        picture,
        label: room.rectangle(),
        percent: percent.rectangle(),
        bar: foot.rectangle(),
        rows: Vec::new(),
        status,
        status_side: Side::Left,
        row_face: status_face,
        status_face,
    }
}

fn card(room: Room, depth: Depth, pictured: bool) -> Layout {
    let (height, mut room) = (room.height(), room);
    let margin = (height / 24).max(2);
    let gap = (margin * 3 / 4).max(2);
    room = room.within(margin);
    let status_face = face((height / 17).max(15).min(height / 10), depth);

    let bar = room.take_bottom((height / 28).max(4), gap / 2 + 1);
    let percent_face = face(height / 6, depth);
    let mut head = room;
    head.bottom -= height / 6 + gap;

    let side_percent = percent_width(percent_face, room);
    let picture = pictured.then(|| {
        let side = head.height().min(head.width() - margin - side_percent);
        head.bottom = head.top + side;
        head.take_left(side, margin).rectangle()
    });
    // What the picture left over goes to the label.
    room.top = head.bottom + gap;

    let count = if height >= 480 { 5 } else { 3 };
    let row_line = (height / (9 + count)).min(head.width() / 7);
    let row_face = face(row_line, depth);
    let listed = row_line >= ROW_MIN_PX;
    let status = Some(head.take_top(status_face.line_px() as i32, gap / 2));
    let percent = if listed {
        room.take_right(side_percent, gap).rectangle()
    } else {
        head.take_bottom(percent_face.line_px() as i32, gap)
    };
    let rows = if listed {
        list(head, row_face, count)
    } else {
        Vec::new()
    };

    Layout {
        picture,
        label: room.rectangle(),
        percent,
        bar,
        status_side: if listed { Side::Right } else { Side::Left },
        rows,
        status,
        row_face,
        status_face,
    }
}

fn tower(room: Room, depth: Depth, pictured: bool) -> Layout {
    let (mut room, width, height) = (room, room.width(), room.height());
    let margin = (width / 24).max(1);
    let gap = (width / 30).max(2);
    let thickness = (width / 28).max(4);
    // High enough for a list; then the picture has a margin and label and percent share a line.
    let listed = width >= 300 && height * 10 >= width * 15;

    let side = if listed {
        (width - margin * 2).min(height * 47 / 100)
    } else {
        width.min(height - (width / 3).max(48))
    };
    let picture = (pictured && side >= 48).then(|| {
        room.top += if listed { margin } else { 0 };
        let mut place = room;
        place.take_left((width - side) / 2, 0);
        room.top += side;
        place.bottom = room.top;
        place.take_left(side, 0).rectangle()
    });
    let attached = (picture.is_some() && !listed).then(|| room.take_top(thickness, 0));
    room.top += if listed { gap - margin } else { 0 };
    room = room.within(margin);
    if !listed {
        // Below a picture that takes all of the width, the words need what height there is.
        room.top -= margin / 3;
        room.bottom += margin / 3;
    }

    let percent_most = (room.height() - gap) * 2 / 5;
    let percent_face = face((width / 9).max(8).min(percent_most), depth);
    let percent_line = percent_face.line_px() as i32;
    let mut others = if attached.is_some() {
        0
    } else {
        thickness + gap
    };
    others += if listed { 0 } else { percent_line + gap };
    // Without a list the label has all the height that is left.
    let label_height = if listed {
        width / 6
    } else {
        room.height() - others
    };
    let mut label = room;
    room.top += label_height + gap;
    label.bottom = label.top + label_height;

    let beside = listed.then(|| label.take_right(percent_width(percent_face, room), gap));
    let bar = attached.unwrap_or_else(|| room.take_top(thickness, gap));
    let status_face = face((percent_line * 3 / 4).min((width / 17).max(15)), depth);
    let status_width = status_face.width_px("99.9 fps") as i32;
    let (percent, status) = match beside {
        Some(percent) => {
            let status = room.take_bottom(status_face.line_px() as i32, gap);
            (percent, Some(status))
        }
        None => {
            let mut foot = room;
            foot.bottom = foot.top + percent_line;
            let percent = foot.take_right(percent_width(percent_face, foot), gap);
            let status = (foot.width() > status_width).then(|| foot.rectangle());
            (percent, status)
        }
    };
    let row_face = face(width / 15, depth);
    let rows = if listed {
        list(room, row_face, 5)
    } else {
        Vec::new()
    };

    Layout {
        picture,
        label: label.rectangle(),
        percent: percent.rectangle(),
        bar,
        rows,
        status,
        status_side: Side::Left,
        row_face,
        status_face,
    }
}

/// Room for "100%", but not all of a narrow display's width.
pub(super) fn percent_width(face: Face, room: Room) -> i32 {
    (face.width_px("100%") as i32 + 1).min(room.width() * 2 / 3)
}

/// `wanted` rows, or three of five, or none, spread over the room's height.
fn list(room: Room, face: Face, wanted: i32) -> Vec<Row> {
    let line = face.line_px() as i32;
    let (bar, air) = ((line / 5).max(2), line / 10);
    let closest = line + air + bar + (line / 4).max(2);
    let Some(count) = [wanted, 3]
        .into_iter()
        .find(|n| n * closest <= room.height())
    else {
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
        let layout = Layout::of(width_px, height_px, depth);
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
        assert!(
            layout.percent.size.height >= smallest,
            "{width_px} x {height_px}"
        );
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
                    let most = r.u32(MIN_SIDE_PX..=most);
                    r.u32(MIN_SIDE_PX..=most)
                };
                let (width_px, height_px) = (side(&mut random, 1920), side(&mut random, 1920));
                check(width_px, height_px, depth);
            }
        }
    }

    #[test]
    fn the_usual_displays_have_what_the_policy_promises() {
        let rows = |w, h| Layout::of(w, h, Depth::Rgb565).rows.len();
        assert_eq!([rows(320, 240), rows(480, 320), rows(800, 480)], [3, 3, 5]);
        assert_eq!(
            [rows(1024, 600), rows(1920, 1080), rows(480, 800)],
            [5, 5, 3]
        );
        let pictured = |w, h, depth| Layout::of(w, h, depth).picture.is_some();
        assert!(!pictured(128, 64, Depth::Mono));
        for (w, h) in [(160, 128), (240, 240), (240, 320), (480, 320)] {
            assert!(pictured(w, h, Depth::Rgb565));
        }
    }
}
