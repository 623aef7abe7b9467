//! A landscape or square display: the picture at the upper left, more about the classes beside it, the label below.

use super::{Layout, List, Part, ROW_MIN_PX, Room, Side, face, list, percent_width};
use crate::show::Depth;

/// Below this height a smaller picture leaves room for two lines of label.
const LOW_PX: i32 = 200;

/// The largest fraction of such a height for the picture.
const MAX_LOW_PICTURE: Part = Part(9, 20);
/// The gap between two layout, as a fraction of the margin.
const GAP: Part = Part(3, 4);

pub(super) fn card(room: Room, depth: Depth, pictured: bool) -> Layout {
    let (height, mut room) = (room.height(), room);
    let margin = (height / 24).max(2);
    let gap = GAP.of(margin).max(2);
    room = room.within(margin);
    let status_face = face((height / 17).max(15).min(height / 10), depth);

    let bar = room.take_bottom((height / 28).max(4), gap / 2 + 1);
    let percent_face = face(height / 6, depth);
    let mut head = room;
    head.bottom -= height / 6 + gap;

    let side_percent = percent_width(percent_face, room);
    let picture = pictured.then(|| {
        let mut side = head.height().min(head.width() - margin - side_percent);
        if height < LOW_PX {
            side = side.min(MAX_LOW_PICTURE.of(height));
        }
        head.bottom = head.top + side;
        head.take_left(side, margin).rectangle()
    });
    // Height that the picture leaves unused goes to the label.
    room.top = head.bottom + gap;

    let count = if height >= 480 { 5 } else { 3 };
    let row_line = (height / (9 + count)).min(head.width() / 7);
    let layout = Layout {
        picture,
        bar: Some(bar),
        status_face,
        ..Layout::default()
    };
    if row_line < ROW_MIN_PX {
        let status = head.take_top(status_face.line_px() as i32, gap / 2);
        let layout = Layout {
            status: Some(status),
            ..layout
        };
        return narrow(layout, room, head, (height, gap), depth);
    }
    let row_face = face(row_line, depth);
    let status = head.take_top(status_face.line_px() as i32, gap / 2);
    let percent = room.take_right(side_percent, gap);
    Layout::with_undecided(
        Layout {
            label: room.rectangle(),
            percent: Some(percent.rectangle()),
            percent_side: Side::Right,
            status: Some(status),
            status_side: Side::Right,
            list: List {
                rows: list(head, row_face, &[count, 3]),
                face: row_face,
                ..List::default()
            },
            ..layout
        },
        depth,
    )
}

/// The column beside the picture is too narrow for names with percents: it has the label's percent, and below that the next best
/// classes with bars only.
fn narrow(
    layout: Layout,
    room: Room,
    mut column: Room,
    (height, gap): (i32, i32),
    depth: Depth,
) -> Layout {
    let row_face = face((height / 14).max(15), depth);
    let mut below = column;
    let percent = below.take_top(height / 6, gap);
    let rows = list(below, row_face, &[2, 1]);
    let percent = if rows.is_empty() {
        column.take_top(column.height().min(height / 4), 0)
    } else {
        percent
    };
    Layout::with_undecided(
        Layout {
            label: room.rectangle(),
            percent: Some(percent),
            percent_side: Side::Left,
            list: List {
                rows,
                face: row_face,
                is_narrow: true,
            },
            ..layout
        },
        depth,
    )
}
