//! A standing picture, for paper: the label as large as possible, and one line at the bottom for what is wrong. Whatever changes
//! with every frame (percent, bar, frame rate, the camera's picture) is left out.

use super::{Layout, Room, face};
use crate::show::Depth;

pub(super) fn paper(mut room: Room, depth: Depth) -> Layout {
    let shorter = room.width().min(room.height());
    room = room.within(shorter / 32);
    let gap = (shorter / 32).max(1);
    let status_face = face((shorter / 8).max(8).min(room.width() / 12), depth);
    let status = room.take_bottom(status_face.line_px() as i32, gap);
    Layout::with_undecided(
        Layout {
            label: room.rectangle(),
            status: Some(status),
            status_face,
            ..Layout::default()
        },
        depth,
    )
}
