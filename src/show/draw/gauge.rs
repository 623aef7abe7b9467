//! A fraction as a bar that fills from the left, or as a ring; with a mark at the value needed.

use super::Painter;
use crate::show::Depth;
use crate::show::canvas::Rgb;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

impl Painter {
    /// The share in the display's bar or ring, and a mark at the value it would need.
    pub(super) fn share(&mut self, share: f32, needed: Option<f32>, colour: Rgb) {
        if let Some(bar) = self.layout.bar {
            self.gauge(bar, share, needed, colour);
        }
        if let Some(ring) = &self.layout.ring {
            ring.fill(&mut self.canvas, 1.0, self.palette.panel);
            ring.fill(&mut self.canvas, sound(share), colour);
            if let Some(needed) = needed {
                ring.mark(&mut self.canvas, sound(needed), self.palette.text);
            }
        }
    }

    /// A bar that fills from the left.
    pub(super) fn gauge(&mut self, place: Rectangle, share: f32, needed: Option<f32>, colour: Rgb) {
        let Size { width, height } = place.size;
        let filled = (width as f32 * sound(share)).round() as u32;
        let part = Rectangle::new(place.top_left, Size::new(filled, height));
        let is_mono = self.canvas.depth() == Depth::Mono;
        if is_mono {
            // A frame instead of a darker background.
            let inner = Rectangle::new(
                place.top_left + Point::new(1, 1),
                place.size.saturating_sub(Size::new(2, 2)),
            );
            self.canvas.fill(place, colour);
            self.canvas.fill(inner, self.palette.ground);
            self.canvas.fill(part, colour);
        } else {
            self.canvas
                .fill_rounded(place, height / 2, self.palette.panel);
            self.canvas.fill_rounded(part, height / 2, colour);
        }
        let Some(needed) = needed else { return };
        // A line across the bar, with as much background on either side of it.
        let line_px = (height / 5).max(if is_mono { 1 } else { 2 });
        let middle = (width as f32 * sound(needed)).round() as u32;
        let left = middle
            .saturating_sub(line_px + line_px / 2)
            .min(width.saturating_sub(line_px * 3));
        let stripe = |from: u32, lines: u32| {
            let corner = place.top_left + Point::new((left + from) as i32, 0);
            Rectangle::new(corner, Size::new(line_px * lines, height)).intersection(&place)
        };
        self.canvas.fill(stripe(0, 3), self.palette.ground);
        self.canvas.fill(stripe(line_px, 1), self.palette.text);
    }
}

/// Clamps a share to 0 to 1; NaN becomes 0.
fn sound(share: f32) -> f32 {
    if share.is_finite() {
        share.clamp(0.0, 1.0)
    } else {
        0.0
    }
}
