//! What is drawn on.

use super::MIN_DIAMETER_PX;
use crate::board::{Depth, Refresh, Shape};

/// The smallest side that anything is drawn for.
pub const MIN_SIDE_PX: u32 = 32;

/// The largest one.
const MAX_SIDE_PX: u32 = 8192;

/// What is drawn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surface {
    /// Width of the drawing, upright.
    pub width_px: u32,
    /// Height of the drawing, upright.
    pub height_px: u32,
    /// Its colours.
    pub depth: Depth,
    /// What of it can be seen.
    pub shape: Shape,
    /// How often it may change.
    pub refresh: Refresh,
}

impl Surface {
    /// A rectangular display that may change with every frame.
    pub const fn new(width_px: u32, height_px: u32, depth: Depth) -> Self {
        Self {
            width_px,
            height_px,
            depth,
            shape: Shape::Rectangle,
            refresh: Refresh::Live,
        }
    }

    /// The same with this shape.
    pub const fn shaped(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    /// The same, changed as often as this.
    pub const fn refreshed(self, refresh: Refresh) -> Self {
        Self { refresh, ..self }
    }

    /// Why nothing would be legible on it, in words that follow its size; none when all is well.
    pub fn fault(&self) -> Option<String> {
        let (shorter, longer) = (
            self.width_px.min(self.height_px),
            self.width_px.max(self.height_px),
        );
        match self.shape {
            _ if shorter < MIN_SIDE_PX || longer > MAX_SIDE_PX => {
                Some(format!("each side must be {MIN_SIDE_PX} to {MAX_SIDE_PX}"))
            }
            Shape::Round if shorter != longer => {
                Some("a round one has sides of one length".to_owned())
            }
            Shape::Round if shorter < MIN_DIAMETER_PX => {
                Some(format!("a round one needs {MIN_DIAMETER_PX} or more"))
            }
            _ => None,
        }
    }
}
