//! A round display: the percent is a ring along its edge, open at the bottom; picture, label, percent and status are centred in
//! the circle, in the height that is available.

use super::{Layout, Part, Room, Side, face};
use crate::show::Depth;
use crate::show::ring::Ring;
use embedded_graphics::primitives::Rectangle;

/// The smallest one with a picture.
const PICTURE_DIAMETER_PX: i32 = 160;

/// The picture's side, as a fraction of the diameter.
const PICTURE: Part = Part(2, 5);
/// Where the percent ends, as a fraction of the diameter: above the status, which is between the ends of the ring.
const PERCENT_END: Part = Part(87, 100);
/// The side of a square inside the circle, as a fraction of the diameter: 0.71 would touch the edge.
const SQUARE: Part = Part(7, 10);

pub(super) fn round(diameter_px: u32, depth: Depth) -> Layout {
    let ring = Ring::on(diameter_px);
    let diameter = diameter_px as i32;
    let inside = Circle {
        centre: diameter / 2,
        radius: ring.inner_px() as i32 - (diameter / 60).max(1),
    };
    let gap = (diameter / 80).max(1);
    let mut top = diameter / 4;
    let picture = (depth != Depth::Mono && diameter >= PICTURE_DIAMETER_PX).then(|| {
        let side = PICTURE.of(diameter);
        let picture = inside.highest(side);
        top = picture.top_left.y + side + gap;
        picture
    });
    let percent_bottom = PERCENT_END.of(diameter);
    let percent_top = percent_bottom - (diameter / 10).max(10);
    let status_face = face((diameter / 16).max(10), depth);
    // Between the ends of the ring there is room up to the edge.
    let whole = Circle {
        centre: inside.centre,
        radius: ring.outer_px() as i32,
    };
    let status_top = percent_bottom + gap;
    let status = whole.band(status_top, status_top + status_face.line_px() as i32);
    Layout::with_undecided(
        Layout {
            picture,
            label: inside.band(top, percent_top - gap),
            label_side: Side::Middle,
            percent: Some(inside.band(percent_top, percent_bottom)),
            percent_side: Side::Middle,
            ring: Some(ring),
            status: Some(status),
            status_side: Side::Middle,
            status_face,
            ..Layout::default()
        },
        depth,
    )
}

/// The largest upright square in the circle inside the edge: shared by several regions.
pub(in crate::show) fn square(diameter_px: u32) -> Room {
    let diameter = diameter_px as i32;
    let side = SQUARE.of(diameter);
    Room::of(diameter_px, diameter_px).within((diameter - side) / 2)
}

/// In whole pixels.
#[derive(Debug, Clone, Copy)]
struct Circle {
    centre: i32,
    radius: i32,
}

impl Circle {
    /// Half the circle's width at this distance from its centre.
    fn half_width(self, distance: i32) -> i32 {
        (self.radius * self.radius - distance * distance)
            .max(0)
            .isqrt()
    }

    /// The widest rectangle with this top and bottom.
    fn band(self, top: i32, bottom: i32) -> Rectangle {
        let distance = (top - self.centre).abs().max((bottom - self.centre).abs());
        let half = self.half_width(distance);
        Room {
            left: self.centre - half,
            top,
            right: self.centre + half,
            bottom,
        }
        .rectangle()
    }

    /// The highest square with this side.
    fn highest(self, side: i32) -> Rectangle {
        let left = self.centre - side / 2;
        let top = self.centre - self.half_width(side - side / 2);
        Room {
            left,
            top,
            right: left + side,
            bottom: top + side,
        }
        .rectangle()
    }
}
