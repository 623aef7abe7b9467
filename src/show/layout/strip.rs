//! A low display: the label above, bar and percent below it, and the picture on the left if the height allows.

use super::{Layout, Part, Room, Side, face, percent_width};
use crate::show::Depth;

/// The percent's line if there is no status below it, as a fraction of the display's height.
const PERCENT_ALONE: Part = Part(3, 8);
/// The bar's thickness, as a fraction of the percent's line.
const BAR: Part = Part(3, 5);
/// The largest fraction of the width for the picture: the words get the larger part.
const MAX_PICTURE: Part = Part(9, 20);

pub(super) fn strip(room: Room, depth: Depth, pictured: bool) -> Layout {
    let (mut room, height) = (room, room.height());
    // Small black-and-white panels have their own black edge.
    let rimmed = depth == Depth::Mono && height < 100;
    let margin = if rimmed { 0 } else { height / 24 };
    room = room.within(margin);
    if pictured {
        return beside_picture(room, height, depth);
    }
    let gap = (height / 16).max(1);
    let status_face = face((height / 6).max(10).min((height / 17).max(15)), depth);
    let status = (height >= 48).then(|| room.take_bottom(status_face.line_px() as i32, gap));
    let percent_height = if status.is_some() {
        height / 5 + 1
    } else {
        PERCENT_ALONE.of(height)
    };
    let percent_face = face(percent_height.max(8), depth);
    let mut foot = room;
    foot.top = room.bottom - percent_face.line_px() as i32;
    let percent = foot.take_right(percent_width(percent_face, room), gap * 2);
    room.bottom = foot.top - gap;
    let thickness = BAR.of(foot.height()).max(3).min((height / 10).max(8));

    Layout::with_undecided(
        Layout {
            label: room.rectangle(),
            percent: Some(percent.rectangle()),
            percent_side: Side::Right,
            bar: Some(foot.middle(thickness)),
            status,
            status_face,
            ..Layout::default()
        },
        depth,
    )
}

/// The picture on the left, label, percent and status in a column beside it, the bar below both.
fn beside_picture(mut room: Room, height: i32, depth: Depth) -> Layout {
    let gap = (height / 24).max(2);
    let bar = room.take_bottom((height / 16).max(4), gap);
    let side = room.height().min(MAX_PICTURE.of(room.width()));
    let picture = room.take_left(side, gap * 2).middle(side);
    let status_face = face((height / 17).max(15), depth);
    let status = room.take_bottom(status_face.line_px() as i32, gap / 2);
    let percent = room.take_bottom(height / 5, gap / 2);
    Layout::with_undecided(
        Layout {
            picture: Some(picture),
            label: room.rectangle(),
            percent: Some(percent),
            bar: Some(bar),
            status: Some(status),
            status_face,
            ..Layout::default()
        },
        depth,
    )
}
