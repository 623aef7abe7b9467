//! The layout of a display shared by several regions: one cell per region, all of the same size, in the number of columns that
//! makes the cells most like a line of text with its picture.
//!
//! | height of a cell | arrangement |
//! |---|---|
//! | 50 px and more | name above, label below it, percent and bar at the bottom; the region's picture on the left if it has 40 px (never on small black-and-white displays) |
//! | 26 px and more (34 in colour) | name and percent above, label below them, bar at the bottom |
//! | less than that | name, label and percent in one line, above the bar; no bar below 12 px |
//! | on paper | only name and label: one above the other from 26 px (34), otherwise in one line |
//!
//! The frame rate has a line at the bottom of the display if that leaves the cells at least 18 px.
//!
//! The invariants are those of [`super::layout`].

use super::font::Face;
use super::layout::{Part, Room, Surface, Undecided, face, percent_width, square};
use crate::show::{Depth, Refresh, Shape};
use embedded_graphics::primitives::Rectangle;

/// The lowest legible line: in black and white, in colour.
const LINE_MIN_PX: [i32; 2] = [8, 10];
/// The narrowest cell with room for a name, a label and a percent; with other cells beside it, each needs more.
const WIDTH_MIN_PX: [i32; 2] = [96, 120];
/// The lowest cell next to which the frame rate gets its own line.
const WITH_STATUS_MIN_PX: i32 = 18;
/// The lowest cell with its parts one above the other: in black and white, in colour.
const BLOCK_MIN_PX: [i32; 2] = [26, 34];
/// The lowest cell with room for name, label and percent on separate lines.
const TALL_MIN_PX: i32 = 50;
/// The gap between a picture and the words beside it, as a fraction of the gap between two cells.
const PICTURE_GAP: Part = Part(3, 2);
/// The name's width in a cell of one line.
const NAME: Part = Part(3, 8);
/// The highest line for names there, as a fraction of their width: long ones must fit.
const MAX_NAME_LINE: Part = Part(2, 5);
/// The percent's line there, as a fraction of the cell's height.
const PERCENT: Part = Part(2, 3);
/// The smallest useful picture.
const PICTURE_MIN_PX: i32 = 40;

/// The layout of a divided display.
#[derive(Debug, Clone)]
pub struct Cells {
    /// One per region, row by row.
    pub cells: Vec<Cell>,
    /// The frame rate.
    pub status: Option<Rectangle>,
    /// Typeface of the names.
    pub name_face: Face,
    /// Typeface of the status.
    pub status_face: Face,
}

/// One region's places.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    /// The picture as the network sees it, a square.
    pub picture: Option<Rectangle>,
    /// Its name.
    pub name: Rectangle,
    /// The label, left-aligned.
    pub label: Rectangle,
    /// The same place while no class is decided.
    pub undecided: Undecided,
    /// The percent, right-aligned.
    pub percent: Option<Rectangle>,
    /// The percent as a bar.
    pub bar: Option<Rectangle>,
}

/// Columns, the size of a cell, and the gap between two.
#[derive(Debug, Clone, Copy)]
struct Grid {
    columns: i32,
    width: i32,
    height: i32,
    gap: i32,
}

impl Cells {
    /// The places of `count` regions on a rectangular display of this size that may change with every frame; `None` if they would
    /// not be legible.
    pub fn of(width_px: u32, height_px: u32, depth: Depth, count: usize) -> Option<Self> {
        Self::on(&Surface::new(width_px, height_px, depth), count)
    }

    /// The places of `count` regions on this surface; on a round one they share the square in its middle.
    pub fn on(surface: &Surface, count: usize) -> Option<Self> {
        let (depth, is_standing) = (surface.depth, surface.refresh == Refresh::Standing);
        let room = match surface.shape {
            Shape::Rectangle => Room::of(surface.width_px, surface.height_px),
            Shape::Round => square(surface.width_px),
        };
        let is_small = depth == Depth::Mono && room.height() < 100;
        let shorter = room.width().min(room.height());
        let is_rimmed = is_small || surface.shape == Shape::Round;
        let room = room.within(if is_rimmed { 0 } else { (shorter / 40).max(2) });
        let wide_gap = match is_small {
            // There are no bars to separate the words of two columns.
            _ if is_standing => (shorter / 8).max(6),
            true => 2,
            false => (shorter / 30).max(3),
        };
        let status_face = face((room.height() / 18).max(LINE_MIN_PX[0]), depth);

        let (mut above, whole) = (room, room);
        let status = above.take_bottom(status_face.line_px() as i32, wide_gap / 2);
        let with_status = Grid::of(above, wide_gap, depth, count)
            .filter(|grid| grid.height >= WITH_STATUS_MIN_PX);
        let (grid, room, status) = match with_status {
            Some(grid) => (grid, above, Some(status)),
            None => {
                // Rows are as close as their letters allow.
                let mut gaps = [wide_gap, 1, 0].into_iter();
                let grid = gaps.find_map(|gap| Grid::of(whole, gap, depth, count));
                (grid?, whole, None)
            }
        };
        let gap = grid.gap;
        let is_pictured = (depth != Depth::Mono || shorter >= 200) && !is_standing;
        let (mut cells, mut name_face) = (Vec::with_capacity(count), status_face);
        for i in 0..count as i32 {
            let left = room.left + i % grid.columns * (grid.width + gap);
            let top = room.top + i / grid.columns * (grid.height + gap);
            let cell = Room {
                left,
                top,
                right: left + grid.width,
                bottom: top + grid.height,
            };
            let is_block = grid.height >= BLOCK_MIN_PX[usize::from(depth != Depth::Mono)];
            let (cell, face) = if is_standing {
                standing(cell, is_block, depth)
            } else if is_block {
                block(cell, gap, depth, is_pictured)
            } else {
                line(cell, depth)
            };
            cells.push(cell);
            name_face = face;
        }
        Some(Self {
            cells,
            status,
            name_face,
            status_face,
        })
    }

    /// The message for `count` regions that do not fit on this surface, with the smallest similar size on which they do.
    pub fn no_room(surface: &Surface, count: usize) -> String {
        let &Surface {
            width_px,
            height_px,
            ..
        } = surface;
        let most = crate::limits::DISPLAY_SIDE_PX.most as u32;
        let higher = (height_px..=most).map(|height_px| (width_px, height_px));
        let wider = (width_px..=most).map(|width_px| (width_px, height_px));
        let larger = (0..most).map(|more| (width_px + more, height_px + more));
        let is_round = surface.shape == Shape::Round;
        let like_it = higher.chain(wider).filter(|_| !is_round).chain(larger);
        let room = like_it
            .map(|(width_px, height_px)| Surface {
                width_px,
                height_px,
                ..*surface
            })
            .find(|larger| larger.fault().is_none() && Self::on(larger, count).is_some());
        let room = room.map_or_else(String::new, |room| {
            format!(" (one of {} x {} has)", room.width_px, room.height_px)
        });
        format!(
            "a display of {width_px} x {height_px} pixels has no room for {count} regions{room}: take fewer in the board file's \
             [mount.regions], or [display.none]"
        )
    }

    /// Every place, with its name.
    pub fn places(&self) -> impl Iterator<Item = (&'static str, Rectangle)> {
        let cells = self.cells.iter().flat_map(|cell| {
            [
                ("name", Some(cell.name)),
                ("label", Some(cell.label)),
                ("percent", cell.percent),
                ("bar", cell.bar),
                ("picture", cell.picture),
            ]
        });
        cells
            .chain([("status", self.status)])
            .filter_map(|(name, place)| place.map(|place| (name, place)))
    }
}

impl Grid {
    /// The grid whose cells are nearest to three times as wide as high, with few empty cells.
    fn of(room: Room, gap: i32, depth: Depth, count: usize) -> Option<Self> {
        let line_min = LINE_MIN_PX[usize::from(depth != Depth::Mono)];
        let count = count as i32;
        let cost = |grid: &Self| {
            let rows = (count + grid.columns - 1) / grid.columns;
            let empty = (rows * grid.columns - count) as f32 / count as f32;
            (grid.width as f32 / grid.height as f32 / 3.0).ln().abs() + 0.35 * empty
        };
        (1..=count)
            .map(|columns| {
                let rows = (count + columns - 1) / columns;
                Self {
                    columns,
                    width: (room.width() - gap * (columns - 1)) / columns,
                    height: (room.height() - gap * (rows - 1)) / rows,
                    gap,
                }
            })
            .filter(|grid| {
                let width_min = WIDTH_MIN_PX[usize::from(grid.columns > 1)];
                grid.height >= line_min && grid.width >= width_min
            })
            .min_by(|a, b| cost(a).total_cmp(&cost(b)))
    }
}

/// Name, label, and percent with bar, one above the other, beside the picture.
fn block(mut cell: Room, gap: i32, depth: Depth, is_pictured: bool) -> (Cell, Face) {
    let (width, height) = (cell.width(), cell.height());
    if height < TALL_MIN_PX {
        return low_block(cell, gap, depth);
    }
    let side = height.min(width / 3);
    let picture = (is_pictured && side >= PICTURE_MIN_PX).then(|| {
        let mut place = cell.take_left(side, PICTURE_GAP.of(gap));
        place.take_top((height - side) / 2, 0);
        place.take_top(side, 0)
    });
    // In colour, text is smooth from a line height of 15 px. Long names and bars need the width.
    let name_face = face((height / 5).min(width / 12).max(15), depth);
    let percent_face = face((height / 4).min(width / 10).max(LINE_MIN_PX[1]), depth);
    let name = cell.take_top(name_face.line_px() as i32, 0);
    let mut foot = cell;
    foot.top = cell.bottom - percent_face.line_px() as i32;
    cell.bottom = foot.top - (gap / 4).min(2);
    let percent = foot.take_right(percent_width(percent_face, foot), gap);
    let thickness = (foot.height() / 2).max(3);
    foot.top += (foot.height() - thickness) / 2;
    foot.bottom = foot.top + thickness;
    let cell = Cell {
        picture,
        name,
        label: cell.rectangle(),
        undecided: Undecided::within(cell.rectangle(), depth),
        percent: Some(percent.rectangle()),
        bar: Some(foot.rectangle()),
    };
    (cell, name_face)
}

/// Only name and label, one above the other or in one line.
fn standing(mut cell: Room, is_block: bool, depth: Depth) -> (Cell, Face) {
    let height = cell.height();
    let line_min = LINE_MIN_PX[usize::from(depth != Depth::Mono)];
    let most = (cell.width() / 12).max(line_min);
    let line = if is_block {
        (height / 4).clamp(line_min, most)
    } else {
        height
    };
    let face = face(line, depth);
    let name = if is_block {
        cell.take_top(face.line_px() as i32, 0)
    } else {
        cell.take_left(NAME.of(cell.width()), (height / 4).max(3))
            .rectangle()
    };
    let cell = Cell {
        picture: None,
        name,
        label: cell.rectangle(),
        undecided: Undecided::within(cell.rectangle(), depth),
        percent: None,
        bar: None,
    };
    (cell, face)
}

/// Name and percent in one line, the label below them, and the bar at the bottom.
fn low_block(mut cell: Room, gap: i32, depth: Depth) -> (Cell, Face) {
    let height = cell.height();
    let line_min = LINE_MIN_PX[usize::from(depth != Depth::Mono)];
    let face = face((height / 4).max(line_min), depth);
    let mut head = cell;
    head.bottom = head.top + face.line_px() as i32;
    cell.top = head.bottom;
    let percent = head.take_right(percent_width(face, head), gap);
    let bar = cell.take_bottom((height / 9).max(3), 1);
    let cell = Cell {
        picture: None,
        name: head.rectangle(),
        label: cell.rectangle(),
        undecided: Undecided::within(cell.rectangle(), depth),
        percent: Some(percent.rectangle()),
        bar: Some(bar),
    };
    (cell, face)
}

/// Name, label and percent in one line, the bar below.
fn line(mut cell: Room, depth: Depth) -> (Cell, Face) {
    let height = cell.height();
    let bar = (height >= 12).then(|| cell.take_bottom((height / 5).max(3), 1));
    let line_min = LINE_MIN_PX[usize::from(depth != Depth::Mono)];
    let percent_face = face((PERCENT.of(cell.height())).max(line_min), depth);
    let percent = cell.take_right(percent_width(percent_face, cell), 2);
    let name = cell.take_left(NAME.of(cell.width()), (height / 4).max(3));
    // About six letters of a name.
    let name_line = cell
        .height()
        .min((MAX_NAME_LINE.of(name.width())).max(line_min));
    let face = face(name_line, depth);
    let cell = Cell {
        picture: None,
        name: name.rectangle(),
        label: cell.rectangle(),
        undecided: Undecided::within(cell.rectangle(), depth),
        percent: Some(percent.rectangle()),
        bar,
    };
    (cell, face)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::REGIONS;
    use embedded_graphics::prelude::*;

    #[test]
    fn places_lie_inside_and_apart() {
        let mut random = fastrand::Rng::with_seed(8);
        let mut divided = 0;
        for depth in [Depth::Mono, Depth::Rgb565] {
            for _ in 0..3000 {
                let most = random.u32(40..=1920);
                let (width_px, height_px) = (random.u32(32..=most), random.u32(32..=most));
                let count = random.usize(2..=REGIONS);
                let Some(cells) = Cells::of(width_px, height_px, depth, count) else {
                    continue;
                };
                divided += 1;
                assert_eq!(cells.cells.len(), count);
                let whole = Rectangle::new(Point::zero(), Size::new(width_px, height_px));
                let places: Vec<_> = cells.places().collect();
                for (i, (name, place)) in places.iter().enumerate() {
                    let context = || {
                        format!("{name} {place:?} of {count} on {width_px} x {height_px} {depth:?}")
                    };
                    assert!(!place.is_zero_sized(), "{}", context());
                    assert_eq!(place.intersection(&whole), *place, "{}", context());
                    let least = if matches!(*name, "name" | "label" | "percent") {
                        8
                    } else {
                        2
                    };
                    assert!(place.size.height >= least, "{}", context());
                    for (other, area) in &places[..i] {
                        let is_apart = place.intersection(area).is_zero_sized();
                        assert!(is_apart, "{} over {other} {area:?}", context());
                    }
                }
            }
        }
        assert!(divided > 4000, "{divided}");
    }

    #[test]
    fn the_usual_displays_have_room_for_all() {
        for (width_px, height_px, depth) in [
            (128, 64, Depth::Mono),
            (160, 128, Depth::Rgb565),
            (240, 240, Depth::Rgb565),
            (480, 320, Depth::Rgb565),
            (320, 480, Depth::Rgb565),
            (1920, 1080, Depth::Rgb888),
        ] {
            for count in 2..=REGIONS {
                let cells = Cells::of(width_px, height_px, depth, count);
                assert!(cells.is_some(), "{count} on {width_px} x {height_px}");
            }
        }
        assert!(Cells::of(64, 32, Depth::Mono, 2).is_none());
        assert!(Cells::of(128, 32, Depth::Mono, 3).is_some());
        assert!(Cells::of(128, 32, Depth::Mono, 5).is_none());
    }
}
