//! A display that is higher than wide: the picture across the top, the words below it.

use super::{Layout, List, Part, Room, Side, face, list, percent_width};
use crate::show::Depth;

/// The narrowest tower with a list.
const LISTED_MIN_PX: i32 = 300;
/// Its least height, in percent of its width.
const LISTED_PERCENT: i32 = 150;
/// The largest fraction of the height for the picture above a list of three or five classes.
const MAX_LISTED_PICTURE: Part = Part(43, 100);
/// The largest fraction of what a picture leaves for the percent's line: the rest is the label's.
const MAX_PERCENT: Part = Part(2, 5);
/// The status's line, as a fraction of the percent's.
const STATUS: Part = Part(3, 4);

pub(super) fn tower(room: Room, depth: Depth, pictured: bool) -> Layout {
    // High enough for a list.
    if room.width() >= LISTED_MIN_PX && room.height() * 100 >= room.width() * LISTED_PERCENT {
        listed(room, depth, pictured)
    } else {
        plain(room, depth, pictured)
    }
}

/// Picture, label, bar with percent, list, status.
fn listed(room: Room, depth: Depth, pictured: bool) -> Layout {
    let (mut room, width, height) = (room, room.width(), room.height());
    let margin = width / 24;
    let gap = width / 30;
    room = room.within(margin);
    let side = room.width().min(MAX_LISTED_PICTURE.of(height));
    let picture = pictured.then(|| {
        let mut place = room;
        place.take_left((place.width() - side) / 2, 0);
        room.top += side + gap;
        place.bottom = place.top + side;
        place.take_left(side, 0).rectangle()
    });
    let label = room.take_top(width / 5, gap / 2);
    let percent_face = face(width / 10, depth);
    let mut line = room;
    room.take_top(percent_face.line_px() as i32, gap);
    line.bottom = line.top + percent_face.line_px() as i32;
    let percent = line.take_right(percent_width(percent_face, line), gap);
    let bar = line.middle(width / 28);
    let status_face = face((width / 17).max(15), depth);
    let status = room.take_bottom(status_face.line_px() as i32, gap / 2);
    let row_face = face(width / 15, depth);
    Layout::with_undecided(
        Layout {
            picture,
            label,
            percent: Some(percent.rectangle()),
            percent_side: Side::Right,
            bar: Some(bar),
            status: Some(status),
            status_side: Side::Right,
            status_face,
            list: List {
                rows: list(room, row_face, &[5, 3]),
                face: row_face,
                ..List::default()
            },
            ..Layout::default()
        },
        depth,
    )
}

/// Picture, bar, label, and status with percent.
fn plain(room: Room, depth: Depth, pictured: bool) -> Layout {
    let (mut room, width, height) = (room, room.width(), room.height());
    let margin = (width / 24).max(1);
    let gap = (width / 30).max(2);
    let thickness = (width / 28).max(4);
    // Two lines of a long label and one for the percent need their height.
    let side = width.min(height - (width / 2).max(48));
    let picture = (pictured && side >= 48).then(|| {
        // A picture that is narrower than the display is framed.
        let top = if side < width { margin } else { 0 };
        let side = side - top;
        let mut place = room;
        place.take_left((width - side) / 2, 0);
        place.top += top;
        place.bottom = place.top + side;
        room.top = place.bottom;
        place.take_left(side, 0).rectangle()
    });
    let attached = picture.filter(|place| place.size.width as i32 == width);
    let attached = attached.map(|_| room.take_top(thickness, 0));
    if picture.is_some() && attached.is_none() {
        room.top += gap - margin;
    }
    room = room.within(margin);
    // Below a picture the words need all the height there is.
    if attached.is_some() {
        room.top -= margin / 3;
    }
    room.bottom += margin / 3;
    let bar = attached.unwrap_or_else(|| room.take_top(thickness, gap / 2));

    let percent_most = MAX_PERCENT.of(room.height() - gap);
    let percent_face = face((width / 9).max(8).min(percent_most), depth);
    let percent_line = percent_face.line_px() as i32;
    let status_face = face(STATUS.of(percent_line).min((width / 17).max(15)), depth);
    let status_width = status_face.width_px("99.9 fps") as i32;
    let mut foot = room;
    foot.top = foot.bottom - percent_line;
    room.bottom = foot.top - gap;
    let percent = foot.take_right(percent_width(percent_face, foot), gap);
    let status = (foot.width() > status_width).then(|| foot.rectangle());
    Layout::with_undecided(
        Layout {
            picture,
            label: room.rectangle(),
            percent: Some(percent.rectangle()),
            percent_side: Side::Right,
            bar: Some(bar),
            status,
            status_face,
            ..Layout::default()
        },
        depth,
    )
}
